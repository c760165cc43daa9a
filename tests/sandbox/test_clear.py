"""The clear sum: what the outlets' parts come to, and what is measured and counted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from features.bands import EVIDENCE_CAP, LEAST_EVIDENCE, SCHEMES, named
from features.calibration import (
    CALIBRATION_BINS,
    CELLS_A_SCORE,
    Calibration,
    Counts,
    calibration_dimension,
    calibration_norm,
    fine_bins,
    middle,
)
from features.events import DIMENSION, POINTS, RATE_BOUNDS, RATES, CustomerSums
from features.points import PART_BOUND, base_points, outlet_parts
from features.scorecard import Scorecard
from privacy.loss import Rho
from privacy.seal_plans import LARGEST_CUT, LEAST_GAP, SealDraft, SealKind, most_outlets
from privacy.slot_keys import OneTimeKey
from sandbox.clear_sum import ClearSum
from tests.networks import (
    CUT_OFF,
    SECOND,
    TARGET,
    banded_settings,
    small_network,
    small_world,
)

if TYPE_CHECKING:
    from sandbox.network import Network

USUAL = 0.2 * RATE_BOUNDS
CARDS = (
    Scorecard.of(TARGET, np.linspace(-1.0, 1.0, DIMENSION), USUAL),
    Scorecard.of(SECOND, np.linspace(0.5, -1.0, DIMENSION), USUAL),
)
OUTCOMES = [card.outcome for card in CARDS]
WORLD = small_world()
FALSE_ALARM = 1e-6


def clear() -> ClearSum:
    return ClearSum.of_world(CARDS, WORLD)


def sums_of(counts: list[float]) -> CustomerSums:
    """Customers of whom an outlet knows a number of events and nothing else."""
    number = len(counts)
    return CustomerSums(np.zeros((number, POINTS)), np.zeros((number, RATES)), np.array(counts))


def counting(base: float) -> Scorecard:
    """A scorecard of a base, and of the number of events: two are 5.5 points, eight 12.9."""
    return Scorecard.of(TARGET, np.r_[base / 10, np.zeros(DIMENSION - 2), 1.0])


def test_it_is_what_the_outlets_of_a_network_send_added_up() -> None:
    """By the outlets that answer a night: their views, slots, homes, and own dithers."""
    network = small_network(outcomes=OUTCOMES)
    total = np.zeros((len(WORLD.customers), len(CARDS) + 1), dtype=np.int64)
    dithers = dithers_of(network)
    for name, outlet in network.outlets.items():
        view = outlet.views[str(CUT_OFF)]
        parts = outlet_parts(CARDS, view.sums, view.at_home, dithers[name][view.slots])
        assert parts.any()
        total[view.slots] += parts
    found = ClearSum.of_world(CARDS, WORLD, dithers)
    assert found.parts.tolist() == total.tolist()
    for place, card in enumerate(CARDS):
        expected = base_points(card) + total[:, place]
        assert found.scores[place].tolist() == expected.tolist()
        assert np.std(expected) > 1
    assert found.evidence.tolist() == total[:, -1].tolist()


def dithers_of(network: Network) -> dict[str, np.ndarray]:
    """How each outlet of a network rounds the parts of everybody."""
    return {
        name: outlet.dither.of_slots([key.tobytes() for key in outlet.keys], OUTCOMES)
        for name, outlet in network.outlets.items()
    }


def test_a_sealed_night_gives_the_bands_of_its_clear_sum_to_the_last_customer() -> None:
    """No noise, so that it is the same every time: some bands owe themselves to dithers alone."""
    world = small_world(outlets=4, customers=1500)
    network = small_network(world=world, settings=banded_settings(None), outcomes=OUTCOMES)
    night = network.night("n1", str(CUT_OFF), *OUTCOMES, bands=True)
    assert night.ended == "complete"
    cards = [night.scorecards[outcome] for outcome in OUTCOMES]
    sealed = ClearSum.of_world(cards, world, dithers_of(network))
    nearest = ClearSum.of_world(cards, world)
    read = network.bands(network.book())
    others = 0
    for place, (outcome, scheme) in enumerate(SCHEMES.items()):
        cuts = night.calibrations[outcome].cuts
        found = [scheme.bands.index(bands[scheme.name]) for bands in read]
        assert found == sealed.bands(place, cuts).tolist()
        assert len(set(found)) > 2
        others += int((nearest.bands(place, cuts) != found).sum())
    assert others > 0
    network.close()


def test_dithers_move_a_sum_by_a_point_an_outlet_at_most_and_evidence_never() -> None:
    random, nearest = np.random.default_rng(1), clear()
    shape = (len(WORLD.customers), len(CARDS))
    dithers = {name: random.random(shape) for name in WORLD.events}
    found = ClearSum.of_world(CARDS, WORLD, dithers)
    assert (found.parts[:, :2] != nearest.parts[:, :2]).any(axis=0).all()
    assert np.abs(found.parts - nearest.parts).max() <= len(dithers)
    assert found.evidence.tolist() == nearest.evidence.tolist()
    again = ClearSum.of_events(CARDS, WORLD.events, WORLD.customers, WORLD.homes, dithers)
    assert again.parts.tolist() == found.parts.tolist()


def test_a_customer_of_two_outlets_by_hand() -> None:
    """Two events at home are 5.5 points, told as 6; two elsewhere half of it, told as 3."""
    cards = [counting(-20.0), counting(-20.0)]
    home = {"o1": np.array([True, True, False]), "o2": np.array([False, False, True])}
    sums = {"o1": sums_of([2.0, 8.0, 2.0]), "o2": sums_of([2.0, 0.0, 8.0])}
    found = ClearSum.of(cards, sums, home)
    for scores in found.scores:
        assert scores.tolist() == [-20 + 6 + 3, -20 + 13, -20 + 3 + 13]
    assert found.evidence.tolist() == [4, EVIDENCE_CAP, 2 + EVIDENCE_CAP]


def test_customers_of_any_day_are_added_up_as_those_of_a_world_are() -> None:
    chosen = np.arange(len(WORLD.customers)) % 7 == 0
    some = ClearSum.of_events(
        CARDS, WORLD.events, WORLD.customers.filter(pl.Series(chosen)),
        WORLD.homes.filter(pl.Series(chosen)),
    )  # fmt: skip
    whole = clear()
    for one, other in zip(some.scores, whole.scores, strict=True):
        assert one.tolist() == other[chosen].tolist()
    assert some.evidence.tolist() == whole.evidence[chosen].tolist()


# --- where customers are looked up ----------------------------------------------------------------


def test_an_outlets_own_view_is_its_events_as_a_home_and_none_where_it_never_met_them() -> None:
    found = clear()
    for place, card in enumerate(CARDS):
        views = found.own_views(place)
        assert views.shape == (len(WORLD.customers), len(WORLD.events))
        for column, events in zip(views.T, WORLD.events.values(), strict=True):
            met = WORLD.customers.is_in(events.keys["customer"].unique().implode()).to_numpy()
            assert 0 < met.sum() < len(met)
            assert np.isnan(column[~met]).all()
            scores = card.score(CustomerSums.of(events, WORLD.customers))
            assert column[met].tolist() == scores[met].tolist()


def test_a_customers_main_outlet_is_the_first_of_those_with_most_events() -> None:
    """Also of those with none: the third was met nowhere."""
    sums = {
        "o1": sums_of([1, 2, 0, 0, 3]), "o2": sums_of([4, 2, 0, 1, 1]),
        "o3": sums_of([0, 2, 0, 1, 3]),
    }  # fmt: skip
    nobody = {name: np.zeros(5, dtype=bool) for name in sums}
    assert ClearSum.of([counting(0.0)], sums, nobody).main().tolist() == [1, 0, 0, 1, 0]


# --- sealed codes ---------------------------------------------------------------------------------

POINT = OneTimeKey.generate().public.hex()
SLOTS = 40


def draft(kind: SealKind, cuts: tuple[tuple[int, ...], ...]) -> SealDraft:
    drawn = SealDraft(
        "r", "n", "", kind, SLOTS, len(cuts), cuts, 3, "s", "d", "2026-01-31", POINT, POINT
    )  # fmt: skip
    drawn.check()
    return drawn


@st.composite
def any_sums(draw: st.DrawFn) -> ClearSum:
    """What up to as many outlets as never wrap may add up to, most of it near the cuts."""
    outlets = draw(st.integers(1, most_outlets(SLOTS)))
    most = PART_BOUND * outlets
    sums = st.integers(-most, most) | st.integers(-min(most, 60), min(most, 60))
    told = st.integers(0, EVIDENCE_CAP * outlets) | st.integers(0, 7)
    columns = [draw(hnp.arrays(np.int64, SLOTS, elements=one)) for one in (sums, sums, told)]
    return ClearSum(CARDS, {}, np.stack(columns, axis=1))


even = st.integers(-LARGEST_CUT // 2, LARGEST_CUT // 2 - LEAST_GAP) | st.integers(-30, 30)
cuts_of_one = st.tuples(even, st.integers(LEAST_GAP // 2, 40)).map(
    lambda drawn: (2 * drawn[0], min(2 * drawn[0] + 2 * drawn[1], LARGEST_CUT))
)


@given(any_sums(), cuts_of_one, cuts_of_one)
def test_bands_are_those_that_staff_read_of_what_is_sealed(
    clear: ClearSum, loyal: tuple[int, int], flipped: tuple[int, int]
) -> None:
    """By the tables of the seal itself: the codes of sums and evidence, read as names."""
    *scores, evidence = draft(SealKind.BAND, (loyal, flipped)).tables()
    codes = [table.codes(sums) for table, sums in zip(scores, clear.parts.T, strict=False)]
    known = evidence.codes(clear.evidence)
    places = [clear.bands(place, cuts) for place, cuts in enumerate((loyal, flipped))]
    for slot in range(SLOTS):
        read = named([int(code[slot]) for code in codes], int(known[slot]))
        for scheme, place in zip(SCHEMES.values(), places, strict=True):
            assert read[scheme.name] == scheme.bands[place[slot]]


@given(any_sums(), st.integers(-250, 250).map(lambda step: 4 * step))
def test_bins_that_are_counted_are_those_that_a_home_reads(clear: ClearSum, middle: int) -> None:
    [table] = draft(SealKind.FINE, ((middle,),)).tables()
    for sums in clear.parts.T[:2]:
        assert table.codes(sums).tolist() == fine_bins(sums, middle).tolist()


def test_bands_begin_at_their_cuts_and_nobody_of_little_evidence_has_one() -> None:
    number = LEAST_EVIDENCE + 3
    sums = {"o1": sums_of([float(count) for count in range(number)])}
    found = ClearSum.of([counting(-30.0)], sums, {"o1": np.ones(number, dtype=bool)})
    told = found.parts[:, 0].tolist()
    assert sorted(set(told)) == told
    cuts = [told[LEAST_EVIDENCE - 1], told[LEAST_EVIDENCE + 1]]
    assert found.bands(0, cuts).tolist() == [0] * LEAST_EVIDENCE + [2, 3, 3]
    assert found.bands(0, [cuts[1]]).tolist() == [0] * LEAST_EVIDENCE + [1, 2, 2]


# --- calibration ----------------------------------------------------------------------------------


def outcomes() -> list[np.ndarray]:
    random = np.random.default_rng(2)
    chances = [1 / (1 + np.exp(-score / 10)) for score in clear().scores]
    return [(random.random(len(chance)) < chance).astype(np.float64) for chance in chances]


def second_moments() -> np.ndarray:
    x = CARDS[0].vectors(WORLD.sums()["O1"])
    return np.asarray(x.T @ x / len(x))


def test_without_noise_calibration_is_of_counts_made_by_hand() -> None:
    found, y = clear(), outcomes()
    among = np.arange(len(WORLD.customers)) % 5 != 0
    second = second_moments()
    expected = []
    for place, card in enumerate(CARDS):
        at = middle(card, second)
        cells = np.zeros((2, CALIBRATION_BINS))
        bins = fine_bins(found.parts[:, place], at)
        for customer in np.flatnonzero(among):
            cells[int(y[place][customer]), bins[customer]] += 1
        assert cells.sum() == among.sum() < len(among)
        assert (cells > 0).sum() > 4
        expected.append(Calibration.of(Counts(cells.ravel(), 0.0, base_points(card) + at)))
    assert found.calibrations(y, among, second, None) == expected
    assert found.calibrations(y, np.ones_like(among), second, None) != expected
    assert expected[0] != expected[1]


@pytest.mark.statistical
def test_noise_in_its_counts_is_that_of_two_servers_and_fresh_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """40 calls of 32 counts; false alarms 1 in 10^6. A scale 30 % wrong is rejected."""
    found, y, second = clear(), outcomes(), second_moments()
    among = np.ones(len(WORLD.customers), dtype=bool)
    made: list[np.ndarray] = []
    told: set[float] = set()

    def recorded(values: np.ndarray, noise_sd: float, place: int, centre: float) -> Counts:
        if place == 0:
            made.append(values)
            told.add(noise_sd)
        return Counts(values[:CELLS_A_SCORE], noise_sd, centre)

    monkeypatch.setattr("sandbox.clear_sum.Counts.of", recorded)
    found.calibrations(y, among, second, None)
    for _ in range(40):
        found.calibrations(y, among, second, Rho(1, 32))  # a multiplier of 4
    exact, *noisy = made
    assert len({values.tobytes() for values in noisy}) == 40
    drawn = np.concatenate([values - exact for values in noisy])
    assert len(drawn) == 40 * calibration_dimension(2)
    told.discard(0.0)
    [sd] = told
    assert sd == pytest.approx(4 * calibration_norm(2) * 2**0.5, rel=1e-2)
    assert fits(drawn, sd)
    assert not fits(drawn, sd * 1.3)
    assert not fits(drawn, sd / 1.3)


def fits(drawn: np.ndarray, sd: float) -> bool:
    chi = float((drawn**2).sum()) / sd**2
    tails = stats.chi2.cdf(chi, len(drawn)), stats.chi2.sf(chi, len(drawn))
    return bool(min(tails) * 2 > FALSE_ALARM)
