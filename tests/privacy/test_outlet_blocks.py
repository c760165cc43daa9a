"""Laws of the sets that sums are over: no combination of sums is about fewer than a quorum."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from privacy.outlet_blocks import blocks_of, largest_set, smallest_block

OUTLETS = tuple("abcdefgh")
QUORUM = 3


def told_apart(sets: list[frozenset[str]], outlets: tuple[str, ...] = OUTLETS) -> set[str]:
    """The smallest group of outlets of which some combination of the sets' sums tells by itself.

    By linear algebra over all groups smaller than a quorum, and nothing of blocks.
    """
    if not sets:
        return set()
    table = np.array([[one in chosen for one in outlets] for chosen in sets], dtype=np.float64)
    rank = np.linalg.matrix_rank(table)
    for size in range(1, QUORUM):
        for group in combinations(range(len(outlets)), size):
            others = np.delete(table, group, axis=1)
            # A combination that vanishes on all others and not on the group.
            if np.linalg.matrix_rank(others) < rank:
                return {outlets[place] for place in group}
    return set()


nights = st.lists(st.frozensets(st.sampled_from(OUTLETS)), min_size=1, max_size=8)


@given(nights)
def test_no_combination_of_allowed_sums_tells_of_fewer_outlets_than_a_quorum(
    there: list[frozenset[str]],
) -> None:
    sets: list[frozenset[str]] = []
    for present in there:
        chosen = largest_set(sets, present, QUORUM)
        assert chosen <= present
        if chosen:
            sets.append(chosen)
    assert not sets or len(smallest_block(sets)) >= QUORUM
    assert not told_apart(sets)


@given(nights)
def test_no_larger_set_of_those_who_are_there_is_allowed(there: list[frozenset[str]]) -> None:
    sets: list[frozenset[str]] = []
    for present in there:
        chosen = largest_set(sets, present, QUORUM)
        allowed = [
            one
            for one in map(frozenset, chain.from_iterable(
                combinations(sorted(present), size) for size in range(len(present) + 1)
            ))
            if one and len(smallest_block([*sets, one])) >= QUORUM
        ]  # fmt: skip
        assert len(chosen) == max(map(len, allowed), default=0)
        if chosen:
            sets.append(chosen)


def test_four_sums_of_three_tell_every_outlet_apart_and_are_not_allowed() -> None:
    four = [frozenset("abcd") - {one} for one in "abcd"]
    assert told_apart(four, tuple("abcd"))
    assert len(smallest_block(four)) == 1
    assert largest_set(four[:1], "acd", QUORUM) == frozenset()


def test_an_outlet_that_is_away_takes_others_along_until_they_are_a_quorum() -> None:
    everybody = frozenset("abcdefgh")
    chosen = largest_set([everybody], everybody - {"a"}, QUORUM)
    assert chosen == frozenset("bcdef")  # "g" and "h" stay away with "a"
    assert blocks_of([everybody, chosen]) == [frozenset("agh"), frozenset("bcdef")]
    assert largest_set([everybody, chosen], everybody - {"h"}, QUORUM) == chosen


def test_a_single_new_outlet_waits_for_two_more() -> None:
    old = frozenset("abc")
    assert largest_set([old], "abcd", QUORUM) == old
    assert largest_set([old], "abcdef", QUORUM) == frozenset("abcdef")
