"""Which sets of outlets sums may be over, so that no number of sums tells fewer outlets apart.

Invariant: over a history of sets that was checked set by set, every block has a quorum of outlets
at least.

Two sums over sets that differ in one outlet tell that outlet's part. So sets are looked at
together. A *block* is a greatest group of outlets of which each set holds all or none. Let every
block that is in some set have q outlets at least. A sum over a set is the sum of its blocks' sums,
whatever was asked in it. So all that anybody reads from all the sums together follows from sums
over blocks, each of q outlets or more, and nothing in it tells one outlet of a block from another.
That holds for whatever is computed of them, not for differences alone, and whatever was asked.

The blocks are not fixed beforehand. The first set is one block, and a set that holds a part of a
block splits it, where both parts have a quorum. An outlet that is away takes others of its block
along, until there is a quorum of those left out; it takes fewer, the finer the blocks are already.

An outlet may be *admitted* to a block that was in sums without it. Its own part is told then, by
the sums before and after; so it counts for no quorum, neither of those who are in a sum nor of
those who are left out, and hides nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

Block = frozenset[str]


class SumBlocks(NamedTuple):
    """What the sums of a year tell together only.

    Attributes:
        quorum: The least number of outlets in a block.
        blocks: Of the outlets that are in sums.
        admitted: Those that were admitted to their block within the year.
    """

    quorum: int
    blocks: tuple[Block, ...] = ()
    admitted: Block = frozenset()


def blocks_of(sets: Sequence[Set[str]]) -> list[Block]:
    """The blocks of the outlets that are in some set, in the order of their names."""
    everybody = sorted(set[str]().union(*sets))
    together: dict[tuple[bool, ...], set[str]] = {}
    for outlet in everybody:
        together.setdefault(tuple(outlet in one for one in sets), set()).add(outlet)
    return [frozenset(block) for block in together.values()]


def smallest_block(sets: Sequence[Set[str]]) -> Block:
    """The block of the fewest outlets; empty where there are no sets."""
    return min(blocks_of(sets), key=len, default=frozenset())


def largest_set(
    before: Sequence[Set[str]],
    there: Iterable[str],
    quorum: int,
    admitted: Set[str] = frozenset(),
) -> Block:
    """The most of the outlets that are there over whom a sum may be taken.

    Of a block the whole is taken; where some of it are away, as many as leave a quorum out, if they
    are a quorum themselves. Outlets that were in no set yet are a group of their own, of which any
    quorum may be taken. Who stays away with others of a block is decided by name, so that the same
    are left out each time.

    Args:
        before: The sets of sums before, of the time in which sums are looked at together.
        there: Who could be in the sum.
        quorum: The least number of outlets in a block.
        admitted: Who counts for no quorum.

    Returns:
        Empty where no such sum may be taken.
    """
    present = frozenset(there)
    blocks = blocks_of(before)
    new = present.difference(*blocks)
    taken = set(new if len(new - admitted) >= quorum else ())
    for block in blocks:
        here = sorted((block & present) - admitted)
        away = (block - present) - admitted
        also = max(quorum - len(away), 0) if away else 0
        rest = here[: max(len(here) - also, 0)]
        if len(rest) >= quorum:
            taken.update(rest, block & present & admitted)
    return frozenset(taken)
