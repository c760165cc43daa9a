"""The loss's conversions against other implementations, and the ledger's law."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction

import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st
from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance

from privacy.budget import (
    GENESIS,
    YEAR_SECONDS,
    Ledger,
    LedgerAct,
    LedgerBroken,
    LedgerEntry,
    Policy,
)
from privacy.errors import BudgetExceeded, InvalidParameter
from privacy.loss import EpsilonDelta, Rho, epsilon_of, pld_epsilon
from privacy.noise import DiscreteGaussian, scale_for
from privacy.purposes import Purpose

POLICY = Policy(EpsilonDelta(1.0, 1e-6), {Purpose.MOMENTS: Fraction(1, 2)})
LIMIT = POLICY.limit(Purpose.MOMENTS)


@pytest.mark.parametrize("multiplier", [2.0, 5.0, 20.0, 100.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-6, 1e-9])
def test_epsilon_agrees_with_opendp_and_is_never_below_the_tight_one(
    multiplier: float, delta: float
) -> None:
    rho = Rho(1 / (2 * multiplier**2))
    gaussian = make_gaussian(
        vector_domain(atom_domain(T=int)), l2_distance(T=int), 1000 * multiplier
    )
    opendp = make_zCDP_to_approxDP(gaussian).map(1000).epsilon(delta)  # type: ignore[no-untyped-call]
    ours = epsilon_of(rho, delta)
    assert ours == pytest.approx(opendp, rel=1e-3)
    assert ours >= pld_epsilon([multiplier], delta) * 0.999
    rdp = RdpAccountant([1 + 1.2**k for k in range(-60, 80)])
    rdp.compose(GaussianDpEvent(multiplier))
    assert ours <= rdp.get_epsilon(delta) * 1.001


@given(st.floats(0.05, 20), st.sampled_from([1e-5, 1e-6, 1e-8]))
def test_the_rho_bought_for_an_epsilon_never_costs_more(epsilon: float, delta: float) -> None:
    rho = EpsilonDelta(epsilon, delta).rho()
    assert epsilon * (1 - 1e-6) <= epsilon_of(rho, delta) <= epsilon


def test_the_published_example_of_a_year_of_gaussians_holds() -> None:
    assert pld_epsilon([24.8] * 365, 1e-7) == pytest.approx(4.00, abs=0.005)


@given(st.integers(1, 2**24), st.floats(1e-6, 1.0))
def test_the_noise_scale_bought_costs_at_most_its_rho(sensitivity: int, rho: float) -> None:
    scale = scale_for(Rho(rho), sensitivity)
    assert DiscreteGaussian(scale).rho(sensitivity) <= Rho(rho)
    assert scale == 1 or DiscreteGaussian(scale - 1).rho(sensitivity) > Rho(rho) * Fraction(
        999, 1000
    )


def test_the_noise_scale_bought_is_the_smallest_also_where_it_costs_its_rho_exactly() -> None:
    assert scale_for(Rho(1, 2), 1000) == 1000
    assert scale_for(Rho(1, 8), 1000) == 2000
    with pytest.raises(InvalidParameter, match="rho: got 0"):
        scale_for(Rho(0), 1)


def test_noise_outside_its_domain_is_refused() -> None:
    for scale in (0, -1, 2**50 + 1):
        with pytest.raises(InvalidParameter, match="noise scale"):
            DiscreteGaussian(scale)
    assert DiscreteGaussian(2**50).rho(1) > 0
    noise = DiscreteGaussian(1)
    for number in (0, -1):
        with pytest.raises(InvalidParameter, match="sensitivity"):
            noise.rho(number)
        with pytest.raises(InvalidParameter, match="dimension"):
            noise.draw(number)
    for dimension in (1, 2, 3):
        drawn = noise.draw(dimension)
        assert (drawn.shape, drawn.dtype.name) == ((dimension,), "int64")


@pytest.mark.statistical
def test_draws_are_around_nothing() -> None:
    """4,000 draws of scale 1: a mean of .1 is 6.3 of its deviations; false alarms 1 in 10^9."""
    assert abs(DiscreteGaussian(1).draw(4000).mean()) < 0.1


def test_two_mechanisms_of_one_scale_are_equal_and_print_nothing_but_the_scale() -> None:
    assert DiscreteGaussian(5) == DiscreteGaussian(5) != DiscreteGaussian(6)
    assert repr(DiscreteGaussian(5)) == "DiscreteGaussian(scale=5)"


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_loss_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(InvalidParameter):
        Rho(value)


def test_shares_over_one_are_refused() -> None:
    shares = {Purpose.MOMENTS: Fraction(2, 3), Purpose.TRAINING: Fraction(1, 2)}
    with pytest.raises(InvalidParameter, match="at most 1"):
        Policy(EpsilonDelta(1, 1e-6), shares)


def test_a_share_of_points_or_a_negative_one_is_refused() -> None:
    """Points are sealed: no share of the year stands for what nobody opens."""
    with pytest.raises(InvalidParameter, match="points are sealed and cost nothing"):
        Policy(EpsilonDelta(1, 1e-6), {Purpose.POINTS: Fraction(1, 10)})
    with pytest.raises(InvalidParameter, match="none negative"):
        Policy(EpsilonDelta(1, 1e-6), {Purpose.MOMENTS: Fraction(-1, 10)})
    policy = Policy(EpsilonDelta(1, 1e-6), {Purpose.POINTS: Fraction(0)})
    assert policy.limit(Purpose.POINTS) == policy.limit(Purpose.MOMENTS) == 0


def test_the_years_promise_is_one_of_all_purposes_together() -> None:
    """Shares of the whole make up the customer's epsilon, to the last part."""
    thirds = [Purpose.MOMENTS, Purpose.TRAINING, Purpose.CALIBRATION]
    policy = Policy(EpsilonDelta(4.0, 1e-6), dict.fromkeys(thirds, Fraction(1, 3)))
    whole = {purpose: policy.limit(purpose) for purpose in thirds}
    ledger = Ledger(policy).reserve("n1", whole, 0)
    for number, (purpose, cost) in enumerate(whole.items()):
        ledger = ledger.charge("n1", f"r{number}", purpose, cost, 0)
    assert ledger.spent_in_year(0) == policy.customer.rho()
    epsilon = ledger.epsilon(0)
    assert epsilon is not None
    assert 3.999 < epsilon <= 4.0
    assert ledger.spent_in_year(YEAR_SECONDS) == 0


def test_a_night_reserves_charges_and_closes() -> None:
    third = Rho(LIMIT / 3)
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: Rho(third * 2)}, 10)
    assert ledger.remaining(Purpose.MOMENTS, 10) == LIMIT - 2 * third
    ledger = ledger.charge("n1", "r1", Purpose.MOMENTS, third, 11)
    assert ledger.remaining(Purpose.MOMENTS, 11) == LIMIT - 2 * third
    ledger = ledger.close("n1", 12)
    assert ledger.remaining(Purpose.MOMENTS, 12) == LIMIT - third
    assert ledger.close("n1", 13) == ledger
    assert ledger.remaining(Purpose.MOMENTS, 11 + YEAR_SECONDS) == LIMIT
    assert Ledger.of(POLICY, ledger.entries) == ledger


def test_a_cost_above_what_remains_is_refused_and_changes_nothing() -> None:
    ledger = Ledger(POLICY)
    with pytest.raises(BudgetExceeded) as caught:
        ledger.reserve("n1", {Purpose.MOMENTS: Rho(LIMIT * 2)}, 0)
    assert (caught.value.requested, caught.value.remaining) == (LIMIT * 2, LIMIT)
    assert ledger.entries == ()
    with pytest.raises(BudgetExceeded):
        ledger.reserve("n1", {Purpose.TRAINING: Rho(1, 10**9)}, 0)


def test_a_charge_needs_an_open_reservation_that_holds_it() -> None:
    half = Rho(LIMIT / 2)
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: half}, 0)
    with pytest.raises(BudgetExceeded):
        ledger.charge("n1", "r1", Purpose.MOMENTS, LIMIT, 0)
    with pytest.raises(BudgetExceeded):
        ledger.charge("n2", "r1", Purpose.MOMENTS, half, 0)
    with pytest.raises(BudgetExceeded):
        ledger.close("n1", 1).charge("n1", "r1", Purpose.MOMENTS, half, 2)
    charged = ledger.charge("n1", "r1", Purpose.MOMENTS, half, 0)
    with pytest.raises(InvalidParameter, match="charged before"):
        charged.charge("n1", "r1", Purpose.MOMENTS, Rho(0), 0)


def test_a_clock_that_goes_back_takes_no_charge_out_of_the_year() -> None:
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: LIMIT}, YEAR_SECONDS)
    ledger = ledger.charge("n1", "r1", Purpose.MOMENTS, LIMIT, 5)
    assert ledger.entries[-1].at == YEAR_SECONDS
    assert ledger.remaining(Purpose.MOMENTS, YEAR_SECONDS + 10) == 0
    assert ledger.spent(Purpose.MOMENTS, 5) == LIMIT


def test_a_release_without_noise_makes_the_statement_unbounded() -> None:
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: Rho(0)}, 0)
    ledger = ledger.charge("n1", "r1", Purpose.MOMENTS, None, 0)
    assert ledger.epsilon(0) is None
    assert Ledger(POLICY).epsilon(0) == 0


def of_0_1(*charges: tuple[Purpose, Rho | None]) -> list[LedgerEntry]:
    """Entries of a night of release 0.1, in which points had a share and a cost of their own."""
    entries, previous = [], GENESIS
    acts = [(LedgerAct.RESERVE, "", purpose, cost) for purpose, cost in charges]
    acts += [(LedgerAct.CHARGE, f"r{n}", *charge) for n, charge in enumerate(charges)]
    for place, (act, release, purpose, cost) in enumerate(acts):
        entry = LedgerEntry(
            place, 10, act, "n1", release, purpose, cost or Rho(0),
            act is LedgerAct.CHARGE and cost is None, previous, "",
        )  # fmt: skip
        entries.append(replace(entry, digest=entry.compute_digest()))
        previous = entries[-1].digest
    return entries


def test_points_of_an_old_ledger_are_read_and_count_for_nothing() -> None:
    """It is hash-chained: what stands in it stays, epsilon 231 a year of an event or not."""
    half = Rho(LIMIT / 2)
    old = of_0_1((Purpose.MOMENTS, half), (Purpose.POINTS, Rho(200)))
    ledger = Ledger.of(POLICY, old)
    assert list(ledger.entries) == old
    assert ledger.head == old[-1].digest
    assert ledger.spent_in_year(10) == half
    assert ledger.epsilon(10) == epsilon_of(half, 1e-6)
    assert ledger.remaining(Purpose.MOMENTS, 10) == LIMIT - half
    assert ledger.remaining(Purpose.POINTS, 10) == 0
    after = ledger.close("n1", 11).reserve("n2", {Purpose.MOMENTS: half}, 12)
    assert Ledger.of(POLICY, after.entries) == after
    assert after.spent(Purpose.POINTS, 12) == 200


def test_noiseless_points_of_an_old_ledger_leave_the_promise_a_number() -> None:
    entries = of_0_1((Purpose.MOMENTS, LIMIT), (Purpose.POINTS, None))
    assert Ledger.of(POLICY, entries).epsilon(10) == epsilon_of(LIMIT, 1e-6)
    entries = of_0_1((Purpose.MOMENTS, None), (Purpose.POINTS, Rho(1)))
    assert Ledger.of(POLICY, entries).epsilon(10) is None


def test_an_entry_of_an_old_ledger_has_the_digest_that_it_had() -> None:
    """Release 0.1 wrote these; a new field of an entry would break every chain."""
    entries = of_0_1((Purpose.POINTS, Rho(1, 3)))
    body = '[0,10,"reserve","n1","","points","1/3",false,"' + GENESIS + '"]'
    assert entries[0].digest == hashlib.sha256(body.encode()).hexdigest()


def test_points_can_be_neither_reserved_nor_charged_at_a_cost() -> None:
    with pytest.raises(BudgetExceeded) as caught:
        Ledger(POLICY).reserve("n1", {Purpose.POINTS: Rho(1, 10**9)}, 0)
    assert caught.value.purpose == "points"
    assert caught.value.remaining == 0
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: LIMIT}, 0)
    for cost in (None, Rho(0), Rho(1)):
        with pytest.raises(BudgetExceeded):
            ledger.charge("n1", "r1", Purpose.POINTS, cost, 0)


@pytest.mark.parametrize("at", [9, 10, 11])
def test_spent_is_of_a_rolling_year_purpose_by_purpose(at: int) -> None:
    costs = {Purpose.MOMENTS: LIMIT}
    ledger = Ledger(POLICY).reserve("n1", costs, 0)
    assert ledger.spent_in_year(0) == 0  # a reservation is no charge
    ledger = ledger.charge("n1", "r1", Purpose.MOMENTS, Rho(LIMIT / 2), 10)
    spent = ledger.spent_in_year(at + YEAR_SECONDS)
    assert spent == (LIMIT / 2 if at < 10 else 0)
    assert ledger.spent(Purpose.TRAINING, at) == 0


def test_a_ledger_that_was_cut_reordered_or_rewritten_is_noticed() -> None:
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: LIMIT}, 0)
    ledger = ledger.charge("n1", "r1", Purpose.MOMENTS, Rho(LIMIT / 2), 0).close("n1", 0)
    first, second, third = ledger.entries
    assert first.previous == GENESIS
    assert [e.act for e in ledger.entries] == [LedgerAct.RESERVE, LedgerAct.CHARGE, LedgerAct.CLOSE]
    forged = replace(second, rho=Rho(0))
    for entries in [(second, third), (first, third, second), (first, forged, third)]:
        with pytest.raises(LedgerBroken):
            Ledger.of(POLICY, entries)


def test_a_charge_of_more_than_its_night_holds_is_no_entry_of_a_ledger() -> None:
    half = Rho(LIMIT / 2)
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: half}, 0)
    honest = ledger.charge("n1", "r1", Purpose.MOMENTS, half, 0).entries[-1]
    closed = ledger.close("n1", 0)
    after = replace(honest, sequence=2, previous=closed.head)
    for before, changed in (
        (ledger, replace(honest, rho=LIMIT)),
        (ledger, replace(honest, purpose=Purpose.TRAINING)),
        (ledger, replace(honest, purpose=None)),
        (ledger, replace(honest, night="n2")),
        (closed, after),
    ):
        chained = replace(changed, digest=changed.compute_digest())
        with pytest.raises(LedgerBroken, match="more than its night holds"):
            before.followed_by(chained)
    assert ledger.followed_by(honest).held("n1", Purpose.MOMENTS) == 0


def test_two_ledgers_that_go_on_from_one_know_nothing_of_each_other() -> None:
    ledger = Ledger(POLICY).reserve("n1", {Purpose.MOMENTS: LIMIT}, 0)
    third = Rho(LIMIT / 3)
    one = ledger.charge("n1", "r1", Purpose.MOMENTS, third, 1)
    other = ledger.charge("n1", "r2", Purpose.MOMENTS, LIMIT, 2).close("n1", 3)
    assert [e.release for e in one.entries] == ["", "r1"]
    assert [e.release for e in other.entries] == ["", "r2", ""]
    assert (one.spent(Purpose.MOMENTS, 3), other.spent(Purpose.MOMENTS, 3)) == (third, LIMIT)
    assert one.charge("n1", "r2", Purpose.MOMENTS, third, 2).spent_in_year(3) == 2 * third
    assert ledger.entries == one.entries[:1]
    assert ledger.charge("n1", "r1", Purpose.MOMENTS, third, 1) == one
    assert (ledger.open_nights(), other.open_nights()) == (("n1",), ())
    assert ledger.spent_in_year(3) == 0


Acts = list[tuple[str, int, int, int]]
"""What is done, to which night, in how many hundredths of the limit, how many hours later."""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "charge", "close"]),
            st.integers(0, 3),
            st.integers(0, 40),
            st.integers(0, 4000),
        ),
        max_size=30,
    )
)
def test_what_a_ledger_keeps_is_what_its_entries_add_up_to(acts: Acts) -> None:
    ledger, at = Ledger(POLICY), 0
    for number, (act, which, hundredths, hours) in enumerate(acts):
        night, cost, at = f"n{which}", Rho(LIMIT * Fraction(hundredths, 100)), at + hours * 3600
        try:
            if act == "reserve":
                ledger = ledger.reserve(night, {Purpose.MOMENTS: cost}, at)
            elif act == "charge":
                ledger = ledger.charge(night, f"r{number}", Purpose.MOMENTS, cost, at)
            else:
                ledger = ledger.close(night, at)
        except (BudgetExceeded, InvalidParameter):
            continue
    entries = ledger.entries
    year = [e for e in entries if e.act is LedgerAct.CHARGE and e.at > at - YEAR_SECONDS]
    closed = {e.night for e in entries if e.act is LedgerAct.CLOSE}
    reserved = {e.night: e.rho for e in entries if e.act is LedgerAct.RESERVE}
    assert ledger.spent(Purpose.MOMENTS, at) == sum(e.rho for e in year)
    assert ledger.spent_in_year(at) == sum(e.rho for e in year)
    assert ledger.open_nights() == tuple(night for night in reserved if night not in closed)
    for night in ledger.open_nights():
        mine = (e.rho for e in entries if e.act is LedgerAct.CHARGE and e.night == night)
        assert ledger.held(night, Purpose.MOMENTS) == reserved[night] - sum(mine)
    again = Ledger.of(POLICY, entries)
    assert again == ledger
    assert again.remaining(Purpose.MOMENTS, at) == ledger.remaining(Purpose.MOMENTS, at)


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=12))
def test_no_order_of_nights_overspends_a_year(nights: list[tuple[int, bool]]) -> None:
    ledger = Ledger(POLICY)
    for index, (parts, spend) in enumerate(nights):
        name = f"n{index}"
        cost = Rho(LIMIT * Fraction(parts, 100))
        try:
            ledger = ledger.reserve(name, {Purpose.MOMENTS: cost}, index)
        except BudgetExceeded:
            assert cost > ledger.remaining(Purpose.MOMENTS, index)
            continue
        if spend:
            ledger = ledger.charge(name, f"r{index}", Purpose.MOMENTS, cost, index)
        ledger = ledger.close(name, index)
    assert ledger.spent(Purpose.MOMENTS, len(nights)) <= LIMIT
