"""The law of the real noise, each test with its sample size and false-alarm rate.

A test that accepts everything shows nothing: each is also run on noise of a scale 30 % wrong, which
it must reject.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from features.learning import moments_rows, read_usual
from features.noisy_points import SCALE
from privacy.loss import Rho
from privacy.noise import DiscreteGaussian, scale_for
from privacy.plans import ReleasePlan
from privacy.two_key_sum import Contribution
from privacy.units import Purpose
from server.hq.night import points_code
from tests.networks import CUT_OFF, TARGET, banded_settings, small_network, small_world

if TYPE_CHECKING:
    from flwr.app import Message

    from sandbox.network import Network

pytestmark = pytest.mark.statistical

FALSE_ALARM = 1e-6


def fits(draws: np.ndarray, scale: float) -> bool:
    """Two-sided test of variance at the stated false-alarm rate, and of the mean at the same."""
    chi = (draws.astype(float) ** 2).sum() / scale**2
    tails = stats.chi2.cdf(chi, len(draws)), stats.chi2.sf(chi, len(draws))
    mean = stats.norm.sf(abs(draws.mean()) / (scale / len(draws) ** 0.5)) * 2
    return bool(min(tails) * 2 > FALSE_ALARM and mean > FALSE_ALARM)


@pytest.mark.parametrize("scale", [3, 1000, 2**24, 2**33, 2**45, 2**50])
def test_a_draw_is_a_discrete_gaussian_of_its_scale_and_of_no_other(scale: int) -> None:
    draws = DiscreteGaussian(scale).draw(20_000)
    assert fits(draws, scale)
    assert not fits(draws, scale * 1.3)
    assert not fits(draws, scale / 1.3)
    assert len(np.unique(np.abs(draws))) > min(
        6, scale
    )  # 32-bit integers would pile up at the ends


def test_small_scales_have_the_discrete_law_cell_by_cell() -> None:
    """20,000 draws in 13 cells, chi-squared, false alarms 1 in 10^6."""
    scale, support = 2, np.arange(-6, 7)
    draws = DiscreteGaussian(scale).draw(20_000)
    law = np.exp(-(np.arange(-60, 61) ** 2) / (2 * scale**2))
    law /= law.sum()
    inside = np.abs(draws) <= 6
    observed = np.array([(draws == value).sum() for value in support])
    expected = law[54:67] / law[54:67].sum() * inside.sum()
    assert stats.chisquare(observed, expected).pvalue > FALSE_ALARM
    wrong = np.exp(-(support**2) / (2 * (1.3 * scale) ** 2))
    wrong = wrong / wrong.sum() * inside.sum()
    assert stats.chisquare(observed, wrong).pvalue < FALSE_ALARM


def test_draws_are_independent_of_one_another() -> None:
    """Lag-1 correlation of 20,000 draws; false alarms 1 in 10^6."""
    draws = DiscreteGaussian(500).draw(20_000).astype(float)
    correlation = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert stats.norm.sf(abs(correlation) * len(draws) ** 0.5) * 2 > FALSE_ALARM


def released_noise(network: Network) -> tuple[np.ndarray, float]:
    """Released moments less the exact ones, and each server's scale, in integer units."""
    network.night("n1", str(CUT_OFF), TARGET)
    first, second = (
        network.hq_store.checkpoint(f"n1/{name}") for name in ("001-usual", "002-moments")
    )
    assert first is not None
    assert first.values is not None
    assert second is not None
    assert second.values is not None
    before, plan = (ReleasePlan.decode(one.signed.payload) for one in (first, second))
    usual = read_usual(first.values, 2**0.5 * before.noise_scale / before.scale)
    rows = [moments_rows(outlet.home.sums.vectors(usual)) for outlet in network.outlets.values()]
    exact = sum(part.sum(axis=0) for part in rows)
    return (second.values - exact) * plan.scale, plan.noise_scale


def test_a_release_carries_the_noise_of_both_servers() -> None:
    """40 nights of 91 numbers; false alarms 1 in 10^6. One server's noise alone is rejected."""
    parts, scales = zip(*(released_noise(small_network(rounds=1)) for _ in range(40)), strict=True)
    noise, scale = np.concatenate(parts), scales[0]
    assert fits(noise, scale * 2**0.5)
    assert not fits(noise, scale)
    assert not fits(noise, scale * 2**0.5 * 1.3)


def points_noise(network: Network) -> tuple[list[np.ndarray], float]:
    """Each points release of a night less the exact sums, and each server's scale."""
    report = network.night("n1", str(CUT_OFF), TARGET, bands=True)
    model = network.hq_store.model(TARGET)
    assert model is not None
    code = points_code([model])
    noise, scale = [], 0
    for step in report.steps:
        if step.purpose is not Purpose.POINTS:
            continue
        checkpoint = network.hq_store.checkpoint(step.release)
        assert checkpoint is not None
        assert checkpoint.values is not None
        plan, width = ReleasePlan.decode(checkpoint.signed.payload), code.width
        exact = np.zeros(plan.dimension, dtype=np.int64)
        for outlet in network.outlets.values():
            view = outlet.views[plan.as_of]
            listed = view.slots >= 0
            rows = code.rows(view.events)[listed]
            exact += Contribution(rows, view.slots[listed] * width).sums(plan)
        drawn = checkpoint.values * plan.scale - exact
        assert (drawn == np.rint(drawn)).all()
        noise.append(drawn)
        scale = plan.noise_scale
    return noise, scale


def test_a_points_release_carries_the_noise_of_both_servers_and_another_one_each_time() -> None:
    """Two releases of about 890 slots, two numbers each; false alarms 1 in 10^6.

    One server's noise alone is rejected. That the two releases share none is seen in their
    difference, whose variance is that of four draws.
    """
    network = small_network(
        world=small_world(customers=1_150), settings=banded_settings(None, 1, 0.5)
    )
    (first, second), scale = points_noise(network)
    assert len(first) == len(second) == 2 * len(network.directory)
    for noise in (first, second):
        assert fits(noise, scale * 2**0.5)
    both = np.concatenate([first, second])
    assert not fits(both, scale)
    assert not fits(both, scale * 2**0.5 * 1.3)
    assert fits(first - second, scale * 2)
    assert not fits(first - second, scale * 2**0.5)


def test_a_carried_outlet_takes_no_noise_out_of_a_points_release() -> None:
    """Its last answer counts in full; noise is drawn anew. About 1,800 numbers, as above."""
    away: set[int] = set()

    def drop(node: int, message: Message) -> bool:
        return node in away and message.metadata.message_type == "query.release"

    settings = banded_settings(None, 1, 0.5)
    often = settings.hq.model_copy(update={"band_days": 0.0})
    network = small_network(
        drop=drop, world=small_world(customers=1_150), settings=replace(settings, hq=often)
    )
    (first, _), scale = points_noise(network)
    away.add(1001)
    report = network.night("n2", str(CUT_OFF), TARGET, bands=True)
    assert [(step.purpose, step.outlets) for step in report.steps] == [(Purpose.POINTS, 4)]
    checkpoints = [network.hq_store.checkpoint(f"{name}-points") for name in ("n1/005", "n2/001")]
    before, now = (c.values for c in checkpoints if c is not None and c.values is not None)
    noise = np.rint((now - before) * SCALE) + first  # as of the same day, the sums are the same
    assert fits(noise, scale * 2**0.5)
    assert not fits(noise, scale)
    assert not fits(noise, scale * 2**0.5 * 1.3)


def test_two_neighbouring_sums_are_as_hard_to_tell_apart_as_the_ledger_says() -> None:
    """A distinguisher with 20,000 draws on each side stays below what rho allows.

    For a Gaussian of multiplier z the best test at threshold 1/2 wins with Phi(1 / 2z); its share
    is checked from both sides at a false-alarm rate of 1 in 10^6, and against a scale 30 % too
    small, whose advantage must be noticed.
    """
    sensitivity, trials = 1000, 20_000
    scale = scale_for(Rho(0.5), sensitivity)  # z = 1
    noise = DiscreteGaussian(scale).draw(2 * trials)
    wins = (noise[:trials] < sensitivity / 2).sum() + (
        noise[trials:] + sensitivity > sensitivity / 2
    ).sum()
    allowed = stats.norm.cdf(sensitivity / (2 * scale))
    assert stats.binomtest(int(wins), 2 * trials, allowed).pvalue > FALSE_ALARM
    careless = stats.norm.cdf(1.3 * sensitivity / (2 * scale))
    assert stats.binomtest(int(wins), 2 * trials, careless).pvalue < FALSE_ALARM
