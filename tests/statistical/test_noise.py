"""The law of the real noise, each test with its sample size and false-alarm rate.

A test that accepts everything shows nothing: each is also run on noise of a scale 30 % wrong, which
it must reject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from features.learning import moments_rows, read_usual
from privacy.loss import Rho
from privacy.noise import DiscreteGaussian, scale_for
from privacy.plans import ReleasePlan
from tests.networks import CUT_OFF, TARGET, small_network

if TYPE_CHECKING:
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
