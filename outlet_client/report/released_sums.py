"""The masked sums that left the outlet, read from the store of answers, never from a log.

Invariant: an answer is stored before it is sent, so nothing that left is missing here. What is sent
again after a break is the same bytes, and counts once, in the first report after it was made.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.contribution.answer_store import AnswerStore
from privacy.loss import Rho, epsilon_of
from privacy.purposes import Purpose

if TYPE_CHECKING:
    from outlet_client.people.registration import Introduced
    from outlet_client.report.night_facts import NightFacts
    from outlet_client.settings import OutletSettings

_ANSWERS = sa.table(
    "answers", *(sa.column(name) for name in ("purpose", "rho", "at", "vector", "sealed_seed"))
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Masked sums of one purpose.

    Attributes:
        size: Bytes in all, as stored; what carries them adds a little.
        rho: Their loss, for one customer; 0 where nothing is opened, or nothing has noise.
    """

    purpose: Purpose
    count: int
    size: int
    rho: Rho


@dataclass(frozen=True, slots=True)
class Left:
    """What left.

    Attributes:
        sums: One a purpose, in the order of `Purpose`; empty where nothing was asked.
        introduced: What left for the directory; None where the night did not get as far.
        spent: Loss of one customer by the sums answered in the past 365 days.
        epsilon: The same as epsilon.
        floors: What the outlet refuses.
    """

    sums: tuple[Sums, ...]
    introduced: Introduced | None
    spent: Rho
    epsilon: float
    floors: OutletSettings

    @property
    def count(self) -> int:
        """How many sums left."""
        return sum(one.count for one in self.sums)

    @property
    def size(self) -> int:
        """Bytes of all sums."""
        return sum(one.size for one in self.sums)

    @property
    def tonight(self) -> Rho:
        """Loss of one customer by tonight's sums."""
        return Rho.total(one.rho for one in self.sums)


def read_released(facts: NightFacts, floors: OutletSettings) -> Left:
    """Reads what was answered since the last report, and in the past year."""
    with (
        closing(AnswerStore(f"sqlite:///{facts.home / 'outlet.db'}")) as store,
        store.transaction() as answers,
    ):
        sums = _sums(answers.connection, int(facts.since))
        spent = answers.spent(int(facts.at.timestamp()))
    return Left(sums, facts.introduced, spent, epsilon_of(spent, floors.delta), floors)


def _sums(connection: sa.Connection, since: int) -> tuple[Sums, ...]:
    column = _ANSWERS.c
    size = sa.func.length(column.vector) + sa.func.length(column.sealed_seed)
    query = sa.select(column.purpose, column.rho, size.label("size")).where(column.at >= since)
    rows = connection.execute(query).all()
    found = []
    for purpose in Purpose:
        ours = [row for row in rows if row.purpose == purpose.value]
        if ours:
            rho = Rho.total(Fraction(row.rho) for row in ours)
            found.append(Sums(purpose, len(ours), sum(row.size for row in ours), rho))
    return tuple(found)
