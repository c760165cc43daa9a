"""What a ledger that was lost, or whose clock was ahead, comes back to: never to more budget."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.budget import (
    GENESIS,
    YEAR_SECONDS,
    Ledger,
    LedgerAct,
    LedgerBroken,
    LedgerEntry,
    LedgerForked,
    LedgerPosition,
    Policy,
)
from privacy.envelopes import SigningKey
from privacy.errors import BudgetExceeded, PlanRefused
from privacy.ledger_copies import LedgerCopy, brought_back, check_seen, unproven_charges
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import NightPlan, PlannedReleases, sign
from privacy.purposes import Purpose

if TYPE_CHECKING:
    from privacy.plans import Signed

POLICY = Policy(
    EpsilonDelta(4.0, 1e-6),
    {Purpose.TRAINING: Fraction(3, 4), Purpose.CALIBRATION: Fraction(1, 4)},
)
OFFICE = SigningKey.generate()
DAY, NOW = 86_400, 1_800_000_000
SPENDING = (Purpose.TRAINING, Purpose.CALIBRATION)


def plan_of(ledger: Ledger, night: str, office: SigningKey = OFFICE) -> Signed:
    """What the office signs once a night's reservations are entered."""
    lines = (PlannedReleases(Purpose.TRAINING, 1, Rho(1)),)
    plan = NightPlan(night, "2026-01-01", lines, ledger.length, ledger.head, NOW)
    return sign(plan, office)


def night(
    ledger: Ledger, number: int, cost: Rho, charged: int, at: int, *, closes: bool = True
) -> tuple[Ledger, Signed]:
    """A night that reserves three releases for two purposes, and charges some of them."""
    name = f"n{number}"
    costs = {purpose: Rho(3 * cost) for purpose in SPENDING}
    ledger = ledger.reserve(name, costs, at)
    signed = plan_of(ledger, name)
    for place in range(charged):
        purpose = SPENDING[place % 2]
        ledger = ledger.charge(name, f"{name}/{place}", purpose, cost, at + place)
    return (ledger.close(name, at + 9) if closes else ledger), signed


def copy_of(ledger: Ledger, plan: Signed | None = None, holder: str = "HQ") -> LedgerCopy:
    return LedgerCopy(holder, ledger.entries, (), plan)


COST = Rho(1, 1000)
WHOLE, PLAN = night(night(Ledger(POLICY), 0, COST, 6, NOW)[0], 1, COST, 4, NOW + DAY)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Ledger, list[tuple[int, Signed]]]:
    """A ledger of some nights, and after each plan how long it was."""
    ledger, plans = Ledger(POLICY), []
    for number in range(draw(st.integers(1, 4))):
        at = NOW + number * draw(st.integers(1, 200)) * DAY
        cost = Rho(draw(st.integers(1, 9)), 10_000)
        before = ledger.length
        ledger, signed = night(
            ledger, number, cost, draw(st.integers(0, 6)), at, closes=draw(st.booleans())
        )
        plans.append((before + 2, signed))
    return ledger, plans


@given(histories(), st.data())
def test_whatever_was_lost_and_left_out_no_purpose_has_more_left_than_before(
    history: tuple[Ledger, list[tuple[int, Signed]]], data: st.DataObject
) -> None:
    """The office has a prefix; HQ's copy has the last plan, and leaves charges after it out."""
    truth, plans = history
    proven, plan = plans[-1]
    cut = data.draw(st.integers(proven, truth.length))
    shown = Ledger.of(POLICY, truth.entries[:cut])
    if data.draw(st.booleans()):
        shown = shown.close(f"n{len(plans) - 1}", NOW)  # HQ says that the night was over then
    own = Ledger.of(POLICY, truth.entries[: data.draw(st.integers(0, cut - 1))])
    copies = [copy_of(shown, plan)]
    after = brought_back(own, copies)
    assert after == shown
    at = truth.not_before(NOW) + DAY
    after = after.reconcile(at, unproven_charges(after, copies, OFFICE.public))
    for purpose in SPENDING:
        assert after.spent(purpose, at) >= truth.spent(purpose, at)
        held = Rho.total(truth.held(name, purpose) or Rho(0) for name in truth.open_nights())
        assert after.remaining(purpose, at) <= Rho(truth.remaining(purpose, at) + held)
    assert Ledger.of(POLICY, after.entries) == after


def test_what_a_copy_does_not_prove_of_its_last_night_is_charged_as_reserved() -> None:
    shown = Ledger.of(POLICY, WHOLE.entries[:-3]).close("n1", NOW + DAY)  # two charges left out
    own = Ledger.of(POLICY, WHOLE.entries[:4])
    charged = unproven_charges(brought_back(own, [copy_of(shown, PLAN)]), [copy_of(shown, PLAN)],
                               OFFICE.public)  # fmt: skip
    assert charged == {Purpose.TRAINING: Rho(2 * COST), Purpose.CALIBRATION: Rho(2 * COST)}
    after = brought_back(own, [copy_of(shown, PLAN)]).reconcile(NOW + 2 * DAY, charged)
    for purpose in SPENDING:
        assert after.spent(purpose, NOW + 2 * DAY) == Rho(6 * COST)
    assert [entry.act for entry in after.entries[-3:]] == [LedgerAct.RECONCILE] * 3
    assert after.open_nights() == ()
    assert Ledger.of(POLICY, after.entries) == after


def test_without_a_plan_of_the_offices_every_night_is_charged_as_reserved() -> None:
    copies = [copy_of(WHOLE)]
    charged = unproven_charges(brought_back(Ledger(POLICY), copies), copies, OFFICE.public)
    assert charged == {purpose: Rho(6 * COST - 5 * COST) for purpose in SPENDING}
    forged = [copy_of(WHOLE, plan_of(WHOLE, "n1", SigningKey.generate()))]
    with pytest.raises(PlanRefused, match="not signed by the pinned"):
        unproven_charges(WHOLE, forged, OFFICE.public)


def test_a_plan_that_names_another_ledger_proves_nothing() -> None:
    """The office signed it, of a ledger that it lost before."""
    whole = NightPlan("n1", "2026-01-01", (), WHOLE.length, "0" * 64, NOW)
    unproven = unproven_charges(WHOLE, [copy_of(WHOLE)], OFFICE.public)
    assert unproven
    longer = replace(whole, ledger_length=WHOLE.length + 1, ledger_head=WHOLE.head)
    for plan in (whole, replace(whole, ledger_head="f" * 64), longer):
        copies = [copy_of(WHOLE, sign(plan, OFFICE))]
        assert unproven_charges(WHOLE, copies, OFFICE.public) == unproven
    proven = replace(whole, ledger_head=WHOLE.head)
    assert unproven_charges(WHOLE, [copy_of(WHOLE, sign(proven, OFFICE))], OFFICE.public) == {}


def test_the_longest_copy_counts_and_all_have_to_be_one_history() -> None:
    short = Ledger.of(POLICY, WHOLE.entries[:5])
    for copies in ([copy_of(short), copy_of(WHOLE)], [copy_of(WHOLE)], [copy_of(WHOLE)] * 2):
        assert brought_back(short, copies) == WHOLE
    assert brought_back(WHOLE, [copy_of(short)]) == WHOLE
    assert brought_back(WHOLE, []) == WHOLE
    other = night(Ledger(POLICY), 0, COST, 1, NOW)[0]
    for own, copies in (
        (other, [copy_of(WHOLE)]),
        (Ledger(POLICY), [copy_of(WHOLE), copy_of(other)]),
    ):
        with pytest.raises(LedgerForked, match="two histories"):
            brought_back(own, copies)


def test_a_copy_that_breaks_the_law_is_refused() -> None:
    rich = Policy(EpsilonDelta(4.0, 1e-6), {Purpose.TRAINING: Fraction(1)})
    made = Ledger(rich).reserve("n", {Purpose.TRAINING: COST}, NOW)
    more = replace(made.entries[0], act=LedgerAct.CHARGE, release="r", digest="")
    more = replace(more, digest=more.compute_digest())
    with pytest.raises(LedgerBroken, match="charges more than its night holds"):
        brought_back(Ledger(POLICY), [LedgerCopy("HQ", (more,))])


def test_what_an_outlet_saw_has_to_be_there() -> None:
    there = LedgerCopy("boutique", seen=(LedgerPosition(3, WHOLE.entries[2].digest),))
    check_seen(WHOLE, [there, copy_of(WHOLE)])
    later = LedgerPosition(WHOLE.length + 1, "a" * 64)
    for seen in (later, LedgerPosition(3, "a" * 64)):
        with pytest.raises(LedgerForked, match="boutique has seen"):
            check_seen(WHOLE, [LedgerCopy("boutique", seen=(seen,))])


def test_a_file_gives_the_copy_back_and_one_that_was_altered_is_refused() -> None:
    seen = (LedgerPosition(1, "a" * 64), LedgerPosition(4, "b" * 64))
    for copy in (LedgerCopy("HQ", WHOLE.entries, seen, PLAN), LedgerCopy("a"), copy_of(WHOLE)):
        assert LedgerCopy.decode(copy.encode()) == copy
    lines = copy_of(WHOLE, PLAN).encode().splitlines()
    wrong = [
        b"",
        b"{}",
        b"\n".join(lines[:-1]),  # cut off
        b"\n".join([lines[0], lines[2], lines[1], *lines[3:]]),
        b"\n".join([lines[0], lines[1].replace(b"n0", b"n7"), *lines[2:]]),
        b"\n".join([lines[0].replace(b"escapement ledger copy", b"another"), *lines[1:]]),
    ]
    for data in wrong:
        with pytest.raises(LedgerBroken):
            LedgerCopy.decode(data)


def test_an_entry_travels_and_a_changed_one_is_refused() -> None:
    for entry in WHOLE.lose(NOW + DAY).entries:
        assert LedgerEntry.decode(entry.encode()) == entry
        with pytest.raises(LedgerBroken):
            LedgerEntry.decode(entry.encode().replace(b'"at":18', b'"at":17'))
    for data in (b"", b"[]", b"{}", b"null", WHOLE.entries[0].encode() + b" "):
        with pytest.raises(LedgerBroken):
            LedgerEntry.decode(data)


def test_a_position_follows_the_chain_and_nothing_else() -> None:
    start = LedgerPosition()
    assert start == (0, GENESIS)
    assert start.followed_by(WHOLE.entries) == WHOLE.position
    middle = start.followed_by(WHOLE.entries[:4])
    assert middle.followed_by(WHOLE.entries[4:]) == WHOLE.position
    for entries in (WHOLE.entries[1:], (*WHOLE.entries[:2], *WHOLE.entries[3:])):
        with pytest.raises(LedgerBroken):
            start.followed_by(entries)


# --- a loss, and a clock ----------------------------------------------------------------------


def test_after_a_loss_nothing_is_left_for_a_year_and_then_all_of_it() -> None:
    at = NOW + 3 * DAY
    lost = Ledger(POLICY).lose(at)
    for later in (at, at + YEAR_SECONDS - 1):
        for purpose in SPENDING:
            assert lost.remaining(purpose, later) == 0
            with pytest.raises(BudgetExceeded):
                lost.reserve("n", {purpose: COST}, later)
        assert lost.epsilon(later) == pytest.approx(4.0, abs=1e-3)
    for purpose in SPENDING:
        assert lost.remaining(purpose, at + YEAR_SECONDS) == POLICY.limit(purpose)


def ahead_for_a_night(days: int = 400) -> tuple[Ledger, Ledger]:
    """A ledger of one night, and with another that was entered so many days too late."""
    first = night(Ledger(POLICY), 0, COST, 6, NOW)[0]
    return first, night(first, 1, COST, 2, NOW + days * DAY, closes=False)[0]


def test_a_clock_that_was_ahead_let_charges_leave_the_year_and_set_back_they_count_again() -> None:
    first, wrong = ahead_for_a_night()
    late = NOW + 400 * DAY
    assert wrong.spent(Purpose.TRAINING, late) == COST  # what the first night cost is gone
    right = wrong.set_clock(NOW + DAY)
    assert right.entries[wrong.length].act is LedgerAct.CLOCK
    for purpose in SPENDING:
        assert right.spent(purpose, NOW + DAY) == Rho(4 * COST)
        left = first.remaining(purpose, NOW + DAY)
        assert right.remaining(purpose, NOW + DAY) == Rho(left - COST)
        # Both leave the year when the year of each is over, by the clock that is right.
        assert right.spent(purpose, NOW + 365 * DAY + 60) == COST
        assert right.spent(purpose, NOW + 367 * DAY) == 0
    assert right.open_nights() == ()
    assert right.not_before(NOW + DAY) == NOW + DAY
    assert Ledger.of(POLICY, right.entries) == right
    assert Ledger.of(POLICY, right.entries).spent(Purpose.TRAINING, NOW + DAY) == Rho(4 * COST)


def test_a_clock_is_set_back_only() -> None:
    first, _ = ahead_for_a_night()
    assert first.set_clock(first.not_before(0)) is first
    body = first.set_clock(NOW - DAY).entries[-1]
    on = replace(body, at=NOW + 900 * DAY, digest="")
    with pytest.raises(LedgerBroken, match="does not set the clock back"):
        first.followed_by(replace(on, digest=on.compute_digest()))


@given(st.integers(1, 2000), st.integers(0, 399))
def test_setting_a_clock_back_makes_no_purpose_have_more_left(days: int, back: int) -> None:
    _, wrong = ahead_for_a_night(days)
    at = NOW + min(back, days) * DAY + 60
    right = wrong.set_clock(at)
    for purpose in SPENDING:
        held = wrong.held("n1", purpose) or Rho(0)
        assert right.remaining(purpose, at) <= Rho(wrong.remaining(purpose, at) + held)
        assert right.spent(purpose, at) >= wrong.spent(purpose, at)


def test_a_loss_counts_by_the_clock_that_is_right() -> None:
    lost = Ledger(POLICY).lose(NOW + 400 * DAY).set_clock(NOW)
    assert lost.remaining(Purpose.TRAINING, NOW + 364 * DAY) == 0
    assert lost.remaining(Purpose.TRAINING, NOW + 365 * DAY) == POLICY.limit(Purpose.TRAINING)
