"""Training: from releases to a scorecard, and from nothing but releases.

Logistic regression by preconditioned gradient descent: the moments release gives a whitening map,
then each round's release gives one step, and the iterates of the second half are averaged [PJ92].
All of it is a pure function of releases, so it costs no privacy and is repeated after a kill.

It begins at the outcome's starting scorecard, where there is one, and is pulled back to it: the
answer is the most likely scorecard if experts err by PRIOR_SD in each whitened direction and the
gradients by their noise and by sampling. With much noise or few customers it hardly moves; with
many customers the pull vanishes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.events import DIMENSION, Matrix, Vector
from features.learning import Preconditioner, auc_of_counts, read_gradient

if TYPE_CHECKING:
    from features.scorecard import Scorecard
    from privacy.two_key_sum import CustomerRelease

PRIOR_SD = 0.1
"""How far experts may err in each whitened direction, in log odds."""

LEAST_CURVATURE = 0.08
"""Steps are no longer than an outcome of one customer in ten allows: noise grows with them."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training so far.

    Attributes:
        preconditioner: From the moments.
        start: float64[DIMENSION], where it begins, in preconditioned space.
        pulled: Whether it is pulled back there: where experts have said something.
        rounds: How many there will be.
        iterates: One point in preconditioned space a round, float64[DIMENSION] each.
        clipped: Share of rows clipped in each round, as released.
    """

    preconditioner: Preconditioner
    start: Vector
    pulled: bool
    rounds: int
    iterates: tuple[Vector, ...] = ()
    clipped: tuple[float, ...] = ()

    @classmethod
    def begin(cls, moments: CustomerRelease, card: Scorecard | None, rounds: int) -> Training:
        """Begins at a starting scorecard, in the space that the moments whiten.

        Args:
            moments: The release.
            card: The outcome's; None begins at zero weights and is not pulled back.
            rounds: How many gradients there will be.
        """
        map_ = Preconditioner.of(moments.values, moments.noise_sd)
        weights = np.zeros(DIMENSION) if card is None else np.asarray(card.weights)
        return cls(map_, np.linalg.solve(map_.matrix, weights), card is not None, rounds)

    def after_round(self, gradient: CustomerRelease, step: float) -> Training:
        """Takes one step down a released gradient.

        Args:
            gradient: The release.
            step: The part of a Newton step, between 0 and 1.
        """
        customers = self.preconditioner.customers
        mean, clipped = read_gradient(gradient.values, customers)
        bend = curvature(self.weights, self.preconditioner.second)
        averaged = self.rounds / 2  # of the later half, a step's memory apart
        error = (gradient.noise_sd / customers) ** 2 / averaged + bend / customers
        pull = error / (bend * PRIOR_SD**2) if self.pulled else 0.0
        slope = mean + pull * (self._latest - self.start)
        moved = self._latest - slope / (max(bend, LEAST_CURVATURE) / step + pull)
        return replace(self, iterates=(*self.iterates, moved), clipped=(*self.clipped, clipped))

    @property
    def weights(self) -> Vector:
        """The latest iterate's weights, at which the next gradient is taken. float64[DIMENSION]."""
        return np.asarray(self.preconditioner.matrix @ self._latest)

    @property
    def averaged(self) -> Vector:
        """Weights of the mean of the later half of the iterates. float64[DIMENSION]."""
        later = self.iterates[len(self.iterates) // 2 :]
        return np.asarray(self.preconditioner.matrix @ np.mean(later, axis=0))

    @property
    def _latest(self) -> Vector:
        return self.iterates[-1] if self.iterates else self.start


def curvature(weights: Vector, second: Matrix) -> float:
    """The mean of p (1 - p) over customers whose log odds are taken as normal.

    How steeply a mean gradient answers a step, at most 1/4. Where an outcome is rare it is small,
    and steps may be longer.

    Args:
        weights: float64[DIMENSION].
        second: float64[DIMENSION, DIMENSION], noisy second moments of a customer's vector.
    """
    mean = float(second[0] @ weights)
    spread = math.sqrt(max(float(weights @ second @ weights) - mean**2, 0.0))
    places, shares = np.polynomial.hermite_e.hermegauss(15)
    p = 1 / (1 + np.exp(-np.clip(mean + spread * places, -30, 30)))
    return float(shares @ (p * (1 - p)) / shares.sum())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The AUC that released counts stand for, and how far noise alone may have moved it.

    Attributes:
        auc: Area under the ROC curve, from binned counts; None without both outcomes.
        noise_sd: Its standard deviation from noise, to first order.
    """

    auc: float | None
    noise_sd: float | None

    @classmethod
    def of(cls, counts: CustomerRelease) -> Evaluation:
        """Reads an evaluation release; the error is propagated through numeric derivatives."""
        auc = auc_of_counts(counts.values)
        if auc is None:
            return cls(None, None)
        nudge = max(1.0, counts.noise_sd / 10)
        slopes = [
            (auc if moved is None else moved) - auc
            for unit in np.eye(len(counts.values))
            for moved in [auc_of_counts(counts.values + nudge * unit)]
        ]
        return cls(auc, float(np.linalg.norm(slopes) / nudge * counts.noise_sd))
