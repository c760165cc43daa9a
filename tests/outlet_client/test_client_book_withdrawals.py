"""Withdrawals of a person with several entries: what they end, also for who joins later."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.people.consents import Consent, Recorded
from outlet_client.people.duplicates import DecisionRefused, decide
from outlet_client.people.identifiers import typed_keys
from outlet_client.people.people_store import State
from outlet_client.people.tables import WITHDRAWALS
from tests.builders import outlet_at
from tests.outlet_client.client_book_outlet import (
    NOON,
    ONE,
    THREE,
    TWO,
    Boutique,
    Row,
    X,
    Y,
    Z,
    boutique,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["boutique"]


@pytest.mark.parametrize("typed", [ONE, X, TWO])
def test_a_withdrawal_by_any_identifier_ends_all_of_the_persons(
    boutique: Boutique, typed: str
) -> None:
    boutique.consents(X)
    boutique.consents(ONE)
    boutique.consents(TWO)
    boutique.has(("a", ONE, X), ("a", TWO, X), ("b", TWO, None))
    boutique.evaluated(X)
    boutique.clock.later()
    found = boutique.people.withdraw_all([boutique.key(typed)])
    assert (found.state, found.ended, found.left, found.persons) == (State.WITHDRAWING, 3, True, 1)
    assert not any(map(boutique.stands, (ONE, X, TWO)))
    assert boutique.people.consents()["withdrawn_at"].null_count() == 0


def test_a_withdrawal_by_a_phone_that_several_have_ends_it_for_all_of_them(
    boutique: Boutique,
) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, Y), ("c", THREE, Z))
    for who in (X, Y, Z):
        boutique.consents(who)
    boutique.clock.later()
    assert boutique.people.withdraw_all([boutique.key(ONE)]).persons == 2
    assert [boutique.stands(who) for who in (X, Y, Z)] == [False, False, True]


def test_a_withdrawal_by_ones_own_email_ends_ones_contested_phone_and_nobody_elses_email(
    boutique: Boutique,
) -> None:
    boutique.consents(ONE)
    boutique.has(("a", ONE, X), ("b", ONE, Y))
    boutique.consents(X)
    boutique.consents(Y)
    boutique.withdraws(X)
    assert [boutique.stands(who) for who in (ONE, X, Y)] == [False, False, True]
    boutique.has(("a", ONE, X), ("b", ONE, Y), ("d", TWO, None))  # grouped once more
    assert boutique.stands(Y)


def test_a_withdrawal_with_a_new_phone_beside_a_known_email_ends_it(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X))
    boutique.consents(ONE)
    keys = typed_keys(TWO, X, boutique.people.local_key, "SG")
    assert keys == [boutique.key(TWO), boutique.key(X)]
    boutique.clock.later()
    assert boutique.people.withdraw(*keys) is State.WITHDRAWN
    assert not boutique.stands(ONE)


def test_a_consent_typed_with_two_identifiers_is_withdrawn_by_either(boutique: Boutique) -> None:
    boutique.consents(ONE, X)
    boutique.withdraws(X)
    assert not boutique.stands(ONE)
    old = Consent(boutique.key(ONE), "2026-02", NOON, "mei")
    assert boutique.people.record_consents([old]) == [Recorded.TOO_OLD]


def test_what_was_typed_together_in_a_consent_is_one_persons_to_a_withdrawal(
    boutique: Boutique,
) -> None:
    boutique.has(("a", ONE, X), ("c", THREE, Z))
    boutique.consents(TWO, X)
    boutique.consents(Z)
    boutique.withdraws(ONE)
    assert not boutique.stands(TWO)
    boutique.consents(THREE, Y)
    boutique.withdraws(Y)
    assert not boutique.stands(Z)


def test_a_withdrawal_holds_for_the_other_identifier_also_where_the_entry_is_gone(
    boutique: Boutique,
) -> None:
    boutique.has(("a", ONE, X))
    boutique.consents(ONE)
    boutique.withdraws(ONE)
    boutique.has(("b", TWO, X))
    old = Consent(boutique.key(X), "2026-02", NOON, "mei")
    assert boutique.people.record_consents([old]) == [Recorded.TOO_OLD]


def test_who_joins_a_withdrawn_person_later_revives_nothing(boutique: Boutique) -> None:
    boutique.has(("a", ONE, None))
    boutique.consents(ONE)
    boutique.consents(X)
    boutique.evaluated(X)
    boutique.withdraws(ONE)
    assert boutique.stands(X)
    boutique.has(("a", ONE, None), ("b", ONE, X))
    assert not boutique.stands(X)
    assert boutique.people.counts()[State.WITHDRAWING] == 1
    old = Consent(boutique.key(X), "2026-02", NOON, "mei")
    assert boutique.people.record_consents([old]) == [Recorded.TOO_OLD]
    boutique.has(("b", ONE, X))
    assert not boutique.stands(X)
    assert boutique.consents(X) is Recorded.NEW


def test_a_decision_that_two_are_one_brings_a_withdrawal_to_the_other(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, Y))
    boutique.consents(X)
    boutique.consents(Y)
    boutique.withdraws(X)
    assert boutique.stands(Y)
    decide(boutique.people, "b", "a", same=True, by="Mei Lin")
    assert boutique.joined("a", "b")
    assert not boutique.stands(Y)


def test_a_withdrawal_reaches_the_phone_that_a_customer_had_before(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X))
    boutique.consents(ONE)
    boutique.has(("a", TWO, X))
    assert boutique.stands(ONE)
    boutique.withdraws(TWO)
    assert not boutique.stands(ONE)


def test_a_withdrawal_by_a_former_phone_reaches_the_customer_unless_it_is_anothers_now(
    boutique: Boutique,
) -> None:
    boutique.has(("a", ONE, X))
    boutique.consents(ONE)
    boutique.has(("a", TWO, X))
    boutique.consents(TWO)
    boutique.withdraws(ONE)
    assert not boutique.stands(TWO)
    boutique.has(("a", TWO, X), ("b", ONE, Y))
    boutique.consents(ONE)
    boutique.withdraws(X)
    assert boutique.stands(ONE)


def test_a_withdrawal_of_before_they_had_a_table_holds_for_who_joins(tmp_path: Path) -> None:
    url = outlet_at(tmp_path)
    before = Boutique(url)
    before.consents(ONE)
    before.withdraws(ONE)
    with before.people.transaction() as connection:
        WITHDRAWALS.drop(connection)
    after = Boutique(url)
    after.people.record_consent(after.key(X), "2026-03", "mei", NOON)
    after.has(("a", ONE, X))
    assert not after.stands(X)


PHONES, EMAILS = [ONE, TWO, THREE], [X, Y, Z]
ROWS = st.tuples(
    st.sampled_from("abcde"),
    st.none() | st.sampled_from(PHONES),
    st.none() | st.sampled_from(EMAILS),
)
TYPED = st.tuples(st.none() | st.sampled_from(PHONES), st.none() | st.sampled_from(EMAILS)).filter(
    any
)
STEPS = st.one_of(
    st.tuples(st.just("book"), st.lists(ROWS, max_size=7)),
    st.tuples(st.just("consent"), TYPED, st.integers(0, 9)),
    st.tuples(st.just("withdraw"), TYPED),
    st.tuples(
        st.just("decide"),
        st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")),
        st.booleans(),
    ),
)


@given(st.lists(STEPS, max_size=12))
def test_no_consent_that_is_older_than_a_withdrawal_stands_for_anybody_with_what_was_typed(
    steps: list[tuple[Any, ...]],
) -> None:
    boutique = Boutique()
    rows: list[Row] = []
    withdrawn: list[tuple[set[str], str]] = []
    for step, what, *more in steps:
        if step == "book":
            rows = what
            boutique.has(*rows)
        elif step == "consent":
            at = boutique.clock.later() - dt.timedelta(hours=more[0])
            keys = [boutique.key(who) for who in what if who]
            boutique.people.record_consent(keys[0], "n", "m", at, keys[1:])
        elif step == "withdraw":
            typed = {who for who in what if who}
            boutique.withdraws(*typed)
            withdrawn.append((typed, boutique.clock.now.isoformat(timespec="microseconds")))
        else:
            with contextlib.suppress(DecisionRefused):
                decide(boutique.people, *what, same=more[0], by="Mei")
        _check(boutique, rows, withdrawn)


def _check(boutique: Boutique, rows: list[Row], withdrawn: list[tuple[set[str], str]]) -> None:
    history = boutique.people.consents().filter(pl.col("withdrawn_at").is_null())
    standing = dict(history["key", "recorded_at"].sort("recorded_at").iter_rows())
    keys = boutique.keys() if rows else {}
    for typed, at in withdrawn:
        holders = {customer for customer, *own in rows if typed & set(own)}
        persons = {keys[one] for one in holders if one in keys}
        holders |= {one for one, key in keys.items() if key in persons}
        theirs = typed | {who for one, *own in rows if one in holders for who in own if who}
        for who in theirs:
            assert standing.get(boutique.key(who), "9") > at, who
            person = boutique.people.person(boutique.key(who))
            if person is not None and person.state.stands:
                assert standing[person.key] > at
