"""Training: from releases to a scorecard, and from nothing but releases.

Logistic regression by preconditioned gradient descent: the moments release gives a whitening map,
then each round's release gives one step, and the iterates of the second half are averaged [PJ92].
All of it is a pure function of releases, so it costs no privacy and is repeated after a kill.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.events import DIMENSION, Vector
from features.learning import Preconditioner, auc_of_counts, read_gradient

if TYPE_CHECKING:
    from privacy.two_key_sum import CustomerRelease


@dataclass(frozen=True, slots=True)
class Training:
    """A training so far.

    Attributes:
        preconditioner: From the moments.
        iterates: One point in preconditioned space a round, float64[DIMENSION] each.
        clipped: Share of rows clipped in each round, as released.
    """

    preconditioner: Preconditioner
    iterates: tuple[Vector, ...] = ()
    clipped: tuple[float, ...] = ()

    @classmethod
    def start(cls, moments: CustomerRelease) -> Training:
        """Begins at zero weights, in the space that the moments whiten."""
        return cls(Preconditioner.of(moments.values, moments.noise_sd))

    def after_round(self, gradient: CustomerRelease, step: float) -> Training:
        """Takes one step down a released gradient."""
        mean, clipped = read_gradient(gradient.values, self.preconditioner.customers)
        moved = self._latest - step * mean
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
        return self.iterates[-1] if self.iterates else np.zeros(DIMENSION)


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
