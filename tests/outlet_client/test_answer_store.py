"""The store of answers by itself: one answer a plan, whole or not at all; heads and days go on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from outlet_client.contribution.answer_store import (
    _ANSWERS,
    _FINE_PLAN,
    _HEADS,
    _LATEST_DAYS,
    Answers,
    AnswerStore,
)
from outlet_client.contribution.scorecard_store import _SCORECARDS
from outlet_client.errors import QuestionRefused
from privacy.budget import YEAR_SECONDS
from privacy.plans import NightPlan
from privacy.purposes import Purpose
from privacy.two_key_sum import Envelope, MaskedShare
from tests.networks import CUT_OFF
from tests.outlet_client.contributing import MOMENTS, NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = {
    "release": "r", "plan": "p", "purpose": "moments", "rho": "1/8", "at": 1, "outlet": "O1",
    "ring_bits": 64, "vector": b"v", "salt": b"s", "sealed_seed": b"e", "commitment": "c",
    "signature": b"g",
}  # fmt: skip
ROWS: list[tuple[sa.Table, dict[str, object]]] = [
    (_ANSWERS, dict(ANSWER)),
    (_HEADS, {"length": 1, "head": "h"}),
    (_FINE_PLAN, {"payload": b"p"}),
    (_LATEST_DAYS, {"what": "bands", "day": "2026-01-01"}),
    (_SCORECARDS, {"place": 1, "as_of": "2026-01-01", "card": b"c"}),
]

SHARE = MaskedShare(np.zeros(1, np.uint64), b"s", Envelope("O1", b"e", "c", b"g"))


@pytest.fixture
def answers() -> Iterator[Answers]:
    store = AnswerStore("sqlite://")
    with store.transaction() as answers:
        _SCORECARDS.create(answers.connection)  # kept beside an answer, and made with the first
        yield answers
    store.close()


@pytest.mark.parametrize(
    ("table", "row", "name"),
    [(table, row, name) for table, row in ROWS for name in row],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_kept_in_part(
    answers: Answers, table: sa.Table, row: dict[str, object], name: str
) -> None:
    """An answer without its salt or signature could be sent no second time."""
    if table.columns[name].type.python_type is int and table.columns[name].primary_key:
        return  # SQLite numbers those itself
    with (
        pytest.raises(sa.exc.IntegrityError, match=f"{table.name}.{name}"),
        answers.connection.begin_nested(),
    ):
        answers.connection.execute(table.insert().values({**row, name: None}))
    answers.connection.execute(table.insert().values(row))


@pytest.mark.parametrize(
    ("table", "row", "key"),
    [(_ANSWERS, ROWS[0][1], "release"), (_HEADS, ROWS[1][1], "length"),
     (_LATEST_DAYS, ROWS[3][1], "what"), (_SCORECARDS, ROWS[4][1], "place")],
    ids=["answers", "heads", "days", "scorecards"],
)  # fmt: skip
def test_of_one_release_length_or_kind_of_day_there_is_one(
    answers: Answers, table: sa.Table, row: dict[str, object], key: str
) -> None:
    """Whatever the code does: no two answers of one plan's name are ever stored."""
    answers.connection.execute(table.insert().values(row))
    other = {name: value if name == key else _another(value) for name, value in row.items()}
    with (
        pytest.raises(sa.exc.IntegrityError, match=f"{table.name}.{key}"),
        answers.connection.begin_nested(),
    ):
        answers.connection.execute(table.insert().values(other))


def test_a_sum_without_noise_spends_nothing_of_the_year(answers: Answers) -> None:
    """Only the sandbox asks for one; no rho bounds it, and it takes no room from those with one."""
    plan = replace(MOMENTS, noise_scale=0)
    assert plan.rho() is None
    answers.add(plan, "p", SHARE, NOW)
    assert answers.spent(NOW) == 0
    noisy = replace(MOMENTS, release="noisy")
    answers.add(noisy, "p", SHARE, NOW)
    assert answers.spent(NOW) == noisy.rho()


@pytest.mark.parametrize("purpose", Purpose)
def test_a_sum_for_any_purpose_but_points_spends_of_the_year(
    answers: Answers, purpose: Purpose
) -> None:
    """Points are sealed: what release 0.1 answered of them had noise for events."""
    plan = replace(MOMENTS, purpose=purpose)
    answers.add(plan, "p", SHARE, NOW)
    assert answers.spent(NOW) == (0 if purpose is Purpose.POINTS else plan.rho())


def night_of(length: int, head: str) -> NightPlan:
    return NightPlan("n", str(CUT_OFF), (), length, head, NOW)


@pytest.mark.parametrize(
    ("length", "head"), [(4, "m"), (4, "k"), (0, "m"), (5, "a"), (5, "z"), (5, "")]
)
def test_of_two_questions_at_once_none_takes_the_ledger_back(
    answers: Answers, length: int, head: str
) -> None:
    """Both were held against what was seen before either was answered."""
    answers.follow(night_of(5, "m"))
    with pytest.raises(QuestionRefused, match=f"went back from 5 to {length} entries"):
        answers.follow(night_of(length, head))
    answers.follow(night_of(5, "m"))
    answers.follow(night_of(6, "a"))
    assert answers.ledger_positions() == [(5, "m"), (6, "a")]


@pytest.mark.parametrize(("one", "other"), [("bands", "cut-off"), ("cut-off", "bands")])
def test_the_last_days_of_bands_and_of_cut_offs_are_kept_apart(
    answers: Answers, one: str, other: str
) -> None:
    answers.follow_day(one, "2026-03-02")
    answers.follow_day(other, "2026-01-02")
    for what, before in ((one, "2026-03-01"), (other, "2026-01-01")):
        with pytest.raises(QuestionRefused, match=f"{what}: got {before}"):
            answers.follow_day(what, before)
    answers.follow_day(other, "2026-01-03")


def test_where_a_clock_went_back_the_year_is_that_before_the_last_answer(answers: Answers) -> None:
    cost = MOMENTS.rho()
    assert cost is not None
    for place, years in enumerate((0, 0.5, 1.75)):
        plan = replace(MOMENTS, release=f"r{place}")
        answers.add(plan, "p", SHARE, NOW + int(years * YEAR_SECONDS))
    for at in (NOW - 5 * YEAR_SECONDS, NOW, NOW + YEAR_SECONDS, NOW + int(1.75 * YEAR_SECONDS)):
        assert answers.spent(at) == cost
    assert answers.spent(NOW + 3 * YEAR_SECONDS) == 0


def test_a_closed_store_has_let_go_of_its_connections() -> None:
    """Of one in memory nothing is left then."""
    store = AnswerStore("sqlite://")
    with store.transaction() as answers:
        assert answers.ledger_positions() == []
    store.close()
    with pytest.raises(sa.exc.OperationalError), store.transaction() as answers:
        answers.ledger_positions()


def _another(value: object) -> object:
    if isinstance(value, int):
        return value + 1
    return value + b"2" if isinstance(value, bytes) else f"{value}2"
