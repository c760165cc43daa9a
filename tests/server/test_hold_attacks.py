"""Attacks on what HQ holds back, and on which outlets' sums the office opens."""

from __future__ import annotations

import json

import sqlalchemy as sa

from privacy.budget import YEAR_SECONDS
from server.office.sum_set_store import Admission, SumSetStore
from server.office.tables import SUM_SETS

DAY = 86_400
NOW = 10 * YEAR_SECONDS
SAID = Admission(NOW, "M. Okafor", "agreed")


def test_an_admission_lets_no_sum_be_forgotten_before_its_year_is_over() -> None:
    engine = sa.create_engine("sqlite://")
    SUM_SETS.metadata.create_all(engine)
    with engine.begin() as connection:
        sets = SumSetStore(connection)
        sets.keep("abc", NOW - 300 * DAY)
        sets.keep("abcd", NOW - 10 * DAY)  # d was admitted more than a year ago
        sets.admit("d", frozenset("abcd"), 3, SAID)
        later = NOW + 100 * DAY
        kept = connection.scalars(
            sa.select(SUM_SETS.c.outlets).where(SUM_SETS.c.at > later - YEAR_SECONDS)
        )
        assert [json.loads(one) for one in kept] == [list("abcd")]
