"""Who may not be left out of a seal, whom it carries, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privacy.envelopes import SigningKey
from privacy.two_key_sum import CARRY_DAYS, Carried, _statement
from server.office.seed_store import SeedStore
from server.office.settings import OfficeSettings
from tests.server.seal_benches import DAY, MANY, SealBench
from tests.server.seal_sets.shown_sets import (
    FINE,
    after_days,
    fresh,
    kept,
    refuse,
    sealed,
    signed,
)

pytestmark = pytest.mark.usefixtures("both_engines")


def test_an_outlet_that_answered_before_is_fresh_or_carried_and_never_left_out(
    bench: SealBench,
) -> None:
    first = sealed(bench, "s1", "abcd")
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "its set lacks 1 outlets that answered within 31 days, of which d is one", given)
    assert bench.office.store_set(seal.signed.digest, given, [seal.carry(first, "d")])
    bench.office.close_seal(seal.signed.digest)
    sealed(bench, "s3", "abcd")


def test_a_refusal_says_from_when_on_nobody_is_demanded_any_more(bench: SealBench) -> None:
    """A month after the last of those who are left out answered, not after the first."""
    first = sealed(bench, "s1", "abcde")
    bench.bench.clock.at += 3 * DAY
    sealed(bench, "s2", "abce", (first, "d"))
    seal = signed(bench, "s3")
    refuse(seal, f"lacks 2 .*, or after {bench.bench.day(31)}$", fresh(seal))


def test_an_outlet_with_another_key_than_it_answered_with_is_neither_demanded_nor_carried(
    bench: SealBench,
) -> None:
    """Nobody could sign for its last answer: HQ would wait for a month."""
    first = sealed(bench, "s1", "abcd")
    listed = {**bench.office.outlets, "d": SigningKey.generate().public}
    bench.bench.office = replace(bench.office, outlets=listed)
    seal = signed(bench, "s2")
    refuse(seal, "d: signature does not", fresh(seal), [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, fresh(seal), ())


def test_an_outlet_that_never_answered_may_come_whenever_it_does(bench: SealBench) -> None:
    sealed(bench, "s1", "abc")
    sealed(bench, "s2", "abcde")


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({}, {"scorecard": "6" * 64}),
        ({}, {"scores": 1, "cuts": ((-8, 8),)}),
        ({"scores": 1, "cuts": ((-8, 8),)}, {}),
    ],
    ids=["another card", "a score less", "a score more"],
)
def test_an_answer_on_other_terms_is_neither_demanded_nor_carried(
    then: dict[str, object], now: dict[str, object]
) -> None:
    bench = SealBench(settings=MANY.model_copy(update={"cut_days": 0}))
    first = sealed(bench, "s1", "abcd", **then)
    with bench.bench.store.transaction() as transaction:
        transaction.seals.note_calibration()
    seal = signed(bench, "s2", **now)
    given = fresh(seal)
    carried = [seal.carry(first, "d")]
    refuse(seal, "d: not its last answer for this scorecard", given, carried, outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_an_answer_under_the_larger_modulus_is_not_carried_under_the_smaller(
    bench: SealBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sealed(bench, "s1", "abcd")
    monkeypatch.setattr("privacy.seal_plans.LARGEST_FULL", 5)
    seal = signed(bench, "s2")
    given, carried = fresh(seal), [seal.carry(first, "d")]
    refuse(seal, "d: not its last answer", given, carried, outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_a_seal_for_calibration_demands_carries_and_keeps_nobody() -> None:
    """Not even where its day is as near as that of bands."""
    bench = SealBench(settings=MANY.model_copy(update={"horizon_days": 0}))
    first = sealed(bench, "s1", "abcd")
    before = kept(bench)
    seal = signed(bench, "s2", kind=FINE)
    given = fresh(seal)
    carried = [seal.carry(first, "d")]
    refuse(seal, "only seals for bands carry absent outlets", given, carried)
    assert bench.office.store_set(seal.signed.digest, given, ())
    bench.office.close_seal(seal.signed.digest)
    assert kept(bench) == before
    after = signed(bench, "s3")  # its answers are carried by none: the last ones for bands are
    given = fresh(after, "bde")
    carried = [after.carry(seal, "a"), after.carry(first, "c")]
    refuse(after, "a: not its last answer", given, carried, outlet="a")
    carried = [after.carry(first, name) for name in "ac"]
    assert bench.office.store_set(after.signed.digest, given, carried)


def test_an_outlet_that_left_the_list_is_neither_demanded_nor_carried(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    listed = {name: key for name, key in bench.office.outlets.items() if name != "d"}
    bench.bench.office = replace(bench.office, outlets=listed)
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "d: not on the office's list", given, [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_an_absent_outlet_counts_with_its_last_answer_exactly(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    assert (first.codes() == first.clear()).all()
    second = sealed(bench, "s2", "abc", (first, "d"))
    assert (second.codes() == first.clear()).all()
    third = sealed(bench, "s3", "abe", (first, "d"), (second, "c"))  # absent twice: the same
    assert (third.codes() == third.clear()).all()


def test_an_outlet_is_carried_over_slots_that_were_added_and_blanked_since(
    bench: SealBench,
) -> None:
    first = sealed(bench, "s1", "abcd")
    bench.list(0, None, 2, 3, 4, 5, 6, 7, batch=2)
    second = sealed(bench, "s2", "abc", (first, "d"))
    live = [0, 2, 3, 4, 5, 6, 7]
    assert (second.codes()[live] == second.clear()[live]).all()


def test_a_seal_of_fewer_slots_than_an_answer_has_neither_demands_nor_carries_it(
    bench: SealBench,
) -> None:
    """It cannot be while directories only grow; if a store of them was copied back, it can."""
    first = sealed(bench, "s1", "abcd")
    bench.list(*range(5), batch=2)
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "d: not its last answer", given, [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_only_the_very_last_answer_is_carried(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    second = sealed(bench, "s2", "abcd")
    seal = signed(bench, "s3")
    given, last = fresh(seal), seal.carry(second, "d")
    again = second.share("d").envelope  # d signs a second vector: a seed the office never opened
    forged = replace(last.envelope, commitment=again.commitment)
    statement = _statement(first.signed.digest, last.envelope)
    moved = replace(last.envelope, signature=bench.bench.keys["d"].sign(*statement))
    for carried, why in [
        (seal.carry(first, "d"), "d: not its last answer"),
        (Carried(again, second.signed.digest), "d: not its last answer"),
        (Carried(moved, first.signed.digest), "d: not its last answer"),
        (Carried(first.shares["d"].envelope, second.signed.digest), "d: signature does not"),
        (Carried(forged, second.signed.digest), "d: signature does not verify"),
    ]:
        refuse(seal, why, given, [carried], outlet="d")
    refuse(seal, "named twice", [*given, seal.share("d").envelope], [last])
    assert bench.office.store_set(seal.signed.digest, given, [last])


def test_an_answer_that_was_in_no_set_is_not_carried(bench: SealBench) -> None:
    seal = signed(bench, "s1")
    envelope = seal.share("d").envelope
    seal.store("abc")
    bench.office.close_seal(seal.signed.digest)
    after = signed(bench, "s2")
    carried = [Carried(envelope, seal.signed.digest)]
    refuse(after, "d: not its last answer", fresh(after), carried, outlet="d")


def test_an_answer_of_a_seal_that_was_never_finished_is_the_last_one(bench: SealBench) -> None:
    sealed(bench, "s1", "abcd")
    failed = signed(bench, "s2")
    failed.store("abcd")
    bench.office.close_seal(failed.signed.digest)
    after = sealed(bench, "s3", "abc", (failed, "d"))
    assert (after.codes() == after.clear()).all()


def test_an_answer_of_31_days_ago_is_demanded_and_carried(bench: SealBench) -> None:
    first, seal = after_days(bench, CARRY_DAYS)
    given = fresh(seal)
    refuse(seal, "lacks 1 outlets that answered within 31 days", given)
    assert bench.office.store_set(seal.signed.digest, given, [seal.carry(first, "d")])


@pytest.mark.parametrize("deleted", [True, False])
def test_an_answer_that_is_older_than_31_days_is_not_carried(
    bench: SealBench, monkeypatch: pytest.MonkeyPatch, *, deleted: bool
) -> None:
    if not deleted:
        monkeypatch.setattr(SeedStore, "delete_old", lambda *_: None)
    first, seal = after_days(bench, CARRY_DAYS + 1 / 24)
    given = fresh(seal)
    why = "d: .*or of more than 31 days ago"
    refuse(seal, why, given, [seal.carry(first, "d")], outlet="d")
    assert bench.office.store_set(seal.signed.digest, given, ())


def test_a_carried_answer_grows_older_however_often_it_is_carried(bench: SealBench) -> None:
    first = sealed(bench, "s1", "abcd")
    for number in range(2, 5):
        bench.bench.clock.at += 10 * DAY
        sealed(bench, f"s{number}", "abc", (first, "d"))
    bench.bench.clock.at += 10 * DAY
    seal = signed(bench, "s5")
    refuse(seal, "more than 31 days ago", fresh(seal), [seal.carry(first, "d")], outlet="d")


@pytest.mark.parametrize("off", [32, -32])
def test_of_which_day_an_answer_is_decides_nothing(off: int) -> None:
    """HQ chooses the days; when an answer came it does not."""
    bench = SealBench(settings=MANY.model_copy(update={"days_off": 40}))
    first = sealed(bench, "s1", "abcd", as_of=bench.bench.day(off))
    with bench.bench.store.transaction() as transaction:
        transaction.keep_day("bands", "2000-01-01")  # as if days might go back
    seal = signed(bench, "s2")
    given = fresh(seal)
    refuse(seal, "its set lacks 1 outlets that answered within 31 days", given)
    seal.store("abc", (first, "d"))
    seal.take_all()
    seal.close()
    assert (seal.codes() == seal.clear()).all()


def test_at_the_days_that_the_office_signs_a_month_of_carrying_is_a_month() -> None:
    """Sealed as of a week ago, and 18 days later as of a week ahead; with the office's limits."""
    bench = SealBench(settings=OfficeSettings(), names=tuple("abcdefgh"))
    first = sealed(bench, "s1", "abcdefgh", as_of=bench.bench.day(-7))
    bench.bench.clock.at += 18 * DAY
    seal = signed(bench, "s2", as_of=bench.bench.day(7))
    refuse(seal, "its set lacks 2 outlets", fresh(seal, "abcdef"))
    seal.store("abcdef", (first, "g"), (first, "h"))
