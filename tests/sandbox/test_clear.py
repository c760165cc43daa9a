"""The clear sum: what the outlets' parts come to, and what is measured and counted of it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from features.bands import EVIDENCE_CAP, LEAST_EVIDENCE
from features.calibration import (
    CALIBRATION_BINS,
    CELLS_A_SCORE,
    Calibration,
    Counts,
    calibration_dimension,
    calibration_norm,
    fine_bins,
)
from features.events import DIMENSION, POINTS, RATE_BOUNDS, RATES, CustomerSums
from features.points import base_points, outlet_parts
from features.scorecard import Scorecard
from privacy.loss import Rho
from sandbox.clear_sum import ClearSum
from tests.networks import CUT_OFF, SECOND, TARGET, small_network, small_world

USUAL = 0.2 * RATE_BOUNDS
CARDS = (
    Scorecard.of(TARGET, np.linspace(-1.0, 1.0, DIMENSION), USUAL),
    Scorecard.of(SECOND, np.linspace(0.5, -1.0, DIMENSION), USUAL),
)
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


def test_it_is_what_a_network_that_releases_points_without_noise_adds_up() -> None:
    """By the outlets that answer a night: their views, slots and home customers."""
    network = small_network(outcomes=(TARGET, SECOND))
    slots = len(network.directory)
    total = np.zeros((slots, len(CARDS) + 1), dtype=np.int64)
    for outlet in network.outlets.values():
        view = outlet.views[str(CUT_OFF)]
        sums = CustomerSums.at(view.events, view.slots, slots)
        at_home = np.isin(np.arange(slots), outlet.home.slots)
        parts = outlet_parts(CARDS, sums, at_home)
        assert parts.any()
        total += parts
    found = clear()
    for place, card in enumerate(CARDS):
        expected = base_points(card) + total[:, place]
        assert found.scores[place].tolist() == expected.tolist()
        assert np.std(expected) > 1
    assert found.evidence.tolist() == total[:, -1].tolist()


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


def test_bands_begin_at_their_cuts_and_nobody_of_little_evidence_has_one() -> None:
    number = LEAST_EVIDENCE + 3
    sums = {"o1": sums_of([float(count) for count in range(number)])}
    found = ClearSum.of([counting(0.0)], sums, {"o1": np.ones(number, dtype=bool)})
    [scores] = found.scores
    assert (np.diff(scores) > 0).all()
    cuts = [scores[LEAST_EVIDENCE - 1], scores[LEAST_EVIDENCE + 1]]
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
        centre = card.centre(second)
        cells = np.zeros((2, CALIBRATION_BINS))
        bins = fine_bins(found.scores[place], centre)
        for customer in np.flatnonzero(among):
            cells[int(y[place][customer]), bins[customer]] += 1
        assert cells.sum() == among.sum() < len(among)
        assert (cells > 0).sum() > 4
        expected.append(Calibration.of(Counts(cells.ravel(), 0.0, centre)))
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
