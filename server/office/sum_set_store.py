"""Over which outlets sums were opened in the last year, as far as the office's store knows.

Invariant: a set is kept in the transaction that charges its sum, or that takes the set of a seal of
fine bins, whose codes a calibration counts. It counts for 365 days, by the ledger's clock.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from privacy.budget import YEAR_SECONDS
from privacy.envelopes import digest
from privacy.outlet_blocks import blocks_of
from server.office.errors import NotAdmitted
from server.office.tables import ADMITTED, SUM_SETS

if TYPE_CHECKING:
    from collections.abc import Collection, Set

    from privacy.outlet_blocks import Block

_KEPT_SECONDS = 2 * YEAR_SECONDS
"""Longer than a set counts: a clock that was ahead for a while deletes none that will count."""


class Admission(NamedTuple):
    """A person's word that an outlet is let into sums.

    Attributes:
        at: Unix seconds.
        by: Who says so, by name; "" of admissions that an earlier release kept.
        why: Their reason; likewise.
    """

    at: int
    by: str
    why: str


class SumSetStore:
    """The sets of opened sums, within a transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def blocks(self, listed: Set[str], at: int) -> list[Block]:
        """The blocks of the sets of the 365 days before a moment.

        Args:
            listed: Outlets on the office's list; others are left out of account.
            at: Unix seconds.
        """
        within = SUM_SETS.c.at > at - YEAR_SECONDS
        found = self._connection.scalars(sa.select(SUM_SETS.c.outlets).where(within))
        return blocks_of([_names(row) & listed for row in found])

    def admitted(self, at: int) -> Block:
        """Who was admitted within the 365 days before a moment, and counts for no quorum."""
        within = ADMITTED.c.at > at - YEAR_SECONDS
        return frozenset(self._connection.scalars(sa.select(ADMITTED.c.outlet).where(within)))

    def admissions(self, at: int) -> dict[str, Admission]:
        """By whom, when and why each was admitted within the 365 days before a moment."""
        query = sa.select(ADMITTED).where(ADMITTED.c.at > at - YEAR_SECONDS)
        found = self._connection.execute(query).all()
        return {row.outlet: Admission(row.at, row.admitted_by, row.why) for row in found}

    def keep(self, outlets: Collection[str], at: int) -> None:
        """Keeps the set of a sum that is charged; one that is kept already never counts shorter."""
        row = _row(outlets)
        old = SUM_SETS.c.at <= at - _KEPT_SECONDS
        same = SUM_SETS.c.digest == row["digest"]
        before = self._connection.scalar(sa.select(SUM_SETS.c.at).where(same))
        self._connection.execute(SUM_SETS.delete().where(old | same))
        latest = at if before is None else max(at, before)
        self._connection.execute(SUM_SETS.insert().values(**row, at=latest))

    def admit(
        self, outlet: str, listed: Set[str], quorum: int, said: Admission
    ) -> tuple[Block, Block]:
        """Has outlets count as if they had been in all sums of the largest block.

        An outlet of a block that is smaller than the quorum, as of which others left the list, is
        admitted with all of that block: of a part the rest would be told.

        Args:
            outlet: One that is in no set, or in such a block.
            listed: Outlets on the office's list.
            quorum: The least number of outlets in a block.
            said: Who says so, when and why; kept.

        Returns:
            Who is admitted, and the block that they are in from then on.

        Raises:
            NotAdmitted: If the outlet is not on the list or needs no admission, or there is no
                block of a quorum.
        """
        if outlet not in listed:
            raise NotAdmitted(outlet, "not on the office's list; `outlets list` shows it")
        at = said.at
        blocks, admitted = self.blocks(listed, at), self.admitted(at)
        mine = next((block for block in blocks if outlet in block), frozenset[str]())
        if outlet in admitted or len(mine - admitted) >= quorum:
            raise NotAdmitted(outlet, "in sums already; there is nothing to admit")
        hosts = [block for block in blocks if len(block - admitted) >= quorum]
        if not hosts:
            raise NotAdmitted(outlet, "no sum of a year is over a quorum; it is in the next one")
        host, coming = max(hosts, key=len), (mine - admitted) | {outlet}
        within = SUM_SETS.c.at > at - YEAR_SECONDS
        for row in self._connection.execute(sa.select(SUM_SETS).where(within)).all():
            names = _names(row.outlets)
            changed = names | coming if host <= names else names - coming
            if changed != names:
                self._connection.execute(SUM_SETS.delete().where(SUM_SETS.c.digest == row.digest))
                if changed:
                    self.keep(changed, row.at)
        for name in coming:
            self._connection.execute(ADMITTED.delete().where(ADMITTED.c.outlet == name))
            new = {"outlet": name, "at": at, "admitted_by": said.by, "why": said.why}
            self._connection.execute(ADMITTED.insert().values(**new))
        return coming, host | coming


def _row(outlets: Collection[str]) -> dict[str, str]:
    text = json.dumps(sorted(outlets))
    return {"digest": digest(text.encode()), "outlets": text}


def _names(row: str) -> frozenset[str]:
    return frozenset(json.loads(row))
