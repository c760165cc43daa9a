"""Training: from releases to scorecards, and from nothing but releases.

Logistic regression in a whitened space. A round releases the sum of gradients at the latest
scorecard. As HQ models customers, whitened features of known variance, a gradient is a noisy
measurement of one and the same thing: the sum of (outcome - probability at nothing) z, which has no
round in it. So all rounds are averaged, and the scorecard is the one whose modelled sums are the
measured ones. Everything is a pure function of releases: it costs no privacy, and is repeated after
a kill.

A training begins at the outcome's starting scorecard, where there is one, else at nothing but an
intercept. It leaves its start only as far as the measurements are not noise [EM73], and from a
starting scorecard only as far as experts may err: when noise covers the signal, it stays there.
docs/decisions/0019 has what was tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.accuracy import auc_of_cells
from features.events import DIMENSION, Vector
from features.scorecard import LARGEST_WEIGHT, Scorecard

if TYPE_CHECKING:
    from features.learning import Whitening
    from privacy.two_key_sum import CustomerRelease

PRIOR_SD, INTERCEPT_SD = 0.1, 0.7
"""How far experts may err in each whitened direction, and in how often it comes true: log odds."""

LARGEST_INTERCEPT, LARGEST_SPREAD = 4.5, 4.0
"""Bounds in log odds: the intercept of an outcome of one customer in ninety, and how far scores may
go from the start's, as a standard deviation. Noise without bounds goes no further."""

LEAST_CURVATURE = 0.004
"""A good third of an outcome's at the largest intercept: a step for a rarer one is no longer."""

_STEPS = 40
_PLACES, _SHARES = np.polynomial.hermite_e.hermegauss(15)
_SHARES = _SHARES / _SHARES.sum()


@dataclass(frozen=True, slots=True)
class Training:
    """One outcome's training so far.

    Attributes:
        outcome: What is learned.
        usual: float64[r], rates of the usual event.
        space: From the moments.
        start: float64[DIMENSION], where it begins, in whitened space.
        from_card: Whether that is a starting scorecard.
        at: float64[DIMENSION], where it stands.
        measured: float64[DIMENSION] a round: sums of (outcome - probability at nothing) z.
    """

    outcome: str
    usual: Vector
    space: Whitening
    start: Vector
    from_card: bool
    at: Vector
    measured: tuple[Vector, ...] = ()

    @classmethod
    def begin(
        cls, outcome: str, usual: Vector, space: Whitening, start: Scorecard | None
    ) -> Training:
        """Begins at a starting scorecard.

        Args:
            outcome: What is learned.
            usual: float64[r], rates of the usual event.
            space: From the moments.
            start: The outcome's; None begins at zero weights.
        """
        weights = np.zeros(DIMENSION) if start is None else np.asarray(start.weights)
        whitened = np.linalg.solve(space.matrix, weights)
        return cls(outcome, usual, space, whitened, start is not None, whitened)

    def after_round(self, gradient: Vector, noise_sd: float) -> Training:
        """Reads a round and moves to where all rounds so far point.

        Args:
            gradient: float64[DIMENSION], the released sum of gradients at `card`.
            noise_sd: Standard deviation of the noise in each number.
        """
        customers = self.space.customers
        chance, bend = modelled(self.at[0], self._spread(self.at[1:]))
        intercept = customers * chance - gradient[0]
        features = customers * bend * self.at[1:] - gradient[1:]
        measured = (*self.measured, np.concatenate([[intercept], features]))
        return replace(self, at=self._answer(measured, noise_sd), measured=measured)

    @property
    def card(self) -> Scorecard:
        """The latest scorecard: where the next gradient is taken, and after the last the answer."""
        weights = np.clip(self.space.matrix @ self.at, -LARGEST_WEIGHT, LARGEST_WEIGHT)
        return Scorecard.of(self.outcome, weights, self.usual)

    def _answer(self, measured: tuple[Vector, ...], noise_sd: float) -> Vector:
        """The point whose modelled sums are the measured ones, as far as they are believed."""
        customers, rounds = self.space.customers, np.arange(1.0, len(measured) + 1)
        table = np.stack(measured)
        # Later rounds know the spread of scores better, on which the intercept depends.
        shares = rounds / rounds.sum()
        chance = float(shares @ table[:, 0]) / customers
        if self.from_card:
            noise = (noise_sd / customers) ** 2 * float(shares @ shares)
            chance = self._believed(chance, noise)
        chance = min(max(chance, 1 / customers), 1 - 1 / customers)
        # The first round from nothing is far from any intercept, and what it says of features is
        # mostly the mean's noise: it sets the intercept alone.
        believed = table[:, 1:] if self.from_card else table[1:, 1:]
        mean = believed.mean(axis=0) if len(believed) else None
        at = self.at.copy()
        for _ in range(_STEPS):  # the spread and both moves depend on each other
            probability, bend = modelled(at[0], self._spread(at[1:]))
            bend = max(bend, LEAST_CURVATURE)
            move = min(max((chance - probability) / bend, -1.0), 1.0)
            at[0] = min(max(at[0] + 0.7 * move, -LARGEST_INTERCEPT), LARGEST_INTERCEPT)
            if mean is not None:
                variance = noise_sd**2 / len(believed)
                to = self._features(mean, variance, customers * bend)
                at[1:] += 0.5 * (to - at[1:])
        return at

    def _believed(self, chance: float, noise: float) -> float:
        """How often it comes true, between what experts say and what was measured.

        Args:
            chance: Measured.
            noise: Variance of its noise; sampling comes on top.
        """
        said, bend = modelled(self.start[0], self._spread(self.start[1:]))
        experts = (INTERCEPT_SD * bend) ** 2
        sampling = said * (1 - said) / self.space.customers
        return said + (chance - said) * experts / (experts + noise + sampling)

    def _features(self, measured: Vector, variance: float, curvature: float) -> Vector:
        """Where features go: from the start as far as the measurement is not noise.

        Args:
            measured: float64[DIMENSION - 1], the mean measurement.
            variance: Of its noise.
            curvature: How much a measurement answers a unit of a weight.
        """
        start = self.start[1:]
        news = measured - curvature * start
        length = max(float(news @ news), np.finfo(np.float64).tiny)
        kept = max(0.0, 1 - len(start) * variance / length)
        if self.from_card:
            experts = (curvature * PRIOR_SD) ** 2
            kept = min(kept, experts / (variance + curvature + experts))
        move = kept * news / curvature
        return np.asarray(start + move * min(1.0, LARGEST_SPREAD / max(self._spread(move), 1e-9)))

    def _spread(self, features: Vector) -> float:
        """Standard deviation of scores in log odds, as the moments tell it."""
        return math.sqrt(float(self.space.variances @ features**2))


def modelled(mean: float, spread: float) -> tuple[float, float]:
    """Means of p and of p (1 - p) over customers whose log odds are normal."""
    p = 1 / (1 + np.exp(-np.clip(mean + spread * _PLACES, -30, 30)))
    return float(_SHARES @ p), float(_SHARES @ (p * (1 - p)))


@dataclass(frozen=True, slots=True)
class ScorecardEvaluation:
    """The AUC that released counts stand for, and how far noise alone may have moved it.

    Attributes:
        auc: Area under the ROC curve, from binned counts; None where noise covers them.
        noise_sd: Its standard deviation from noise; None likewise.
    """

    auc: float | None
    noise_sd: float | None

    @classmethod
    def of(cls, counts: CustomerRelease, scores: int) -> list[ScorecardEvaluation]:
        """Reads an evaluation release, one a scorecard."""
        return [
            cls(None, None) if found is None else cls(*found)
            for values in counts.values.reshape(scores, -1)
            for found in [auc_of_cells(values, counts.noise_sd)]
        ]
