"""The clear sum: what a network's parts add up to, computed from the sandbox's own ledgers.

Invariant: nothing here is private, and nothing but measures and pictures is made of it. A real
network's sums are opened by nobody once bands are sealed; who looks at a customer sees a band.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from features.bands import LEAST_EVIDENCE
from features.calibration import (
    Calibration,
    Counts,
    calibration_dimension,
    calibration_norm,
    calibration_rows,
    fine_bins,
)
from features.events import CustomerSums
from features.points import base_points, outlet_parts
from privacy.fixed_point import clipping_units
from privacy.noise import DiscreteGaussian, scale_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from features.events import EventFeatures, Matrix, Vector
    from features.scorecard import Scorecard
    from privacy.loss import Rho
    from sandbox.world import World

_COUNT_SCALE = 2**10
"""Integer units of a count, for noise as a release's."""


@dataclass(frozen=True, slots=True, repr=False)
class ClearSum:
    """What all outlets together know of n customers, score by score.

    Attributes:
        cards: The k scorecards.
        sums: By outlet, what its events add up to; n rows each.
        at_home: By outlet, bool[n], whose home it is.
        scores: float64[n] a scorecard, in points: the base and all outlets' parts.
        evidence: int64[n], numbers of events as far as they are told.
    """

    cards: tuple[Scorecard, ...]
    sums: Mapping[str, CustomerSums]
    at_home: Mapping[str, npt.NDArray[np.bool_]]
    scores: tuple[Vector, ...]
    evidence: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        cards: Sequence[Scorecard],
        sums: Mapping[str, CustomerSums],
        at_home: Mapping[str, npt.NDArray[np.bool_]],
    ) -> Self:
        """Adds the outlets' parts up, as the network would.

        Args:
            cards: The k scorecards.
            sums: By outlet, n rows each.
            at_home: By outlet, bool[n].
        """
        parts = sum(outlet_parts(cards, own, at_home[name]) for name, own in sums.items())
        total = np.asarray(parts)
        scores = [
            base_points(card) + total[:, place].astype(np.float64)
            for place, card in enumerate(cards)
        ]
        return cls(tuple(cards), sums, at_home, tuple(scores), total[:, -1])

    @classmethod
    def of_world(cls, cards: Sequence[Scorecard], world: World) -> Self:
        """The clear sum of a world's customers as of its cut-off."""
        return cls.of(cards, world.sums(), {name: world.at_home(name) for name in world.events})

    @classmethod
    def of_events(
        cls,
        cards: Sequence[Scorecard],
        events: Mapping[str, EventFeatures],
        customers: pl.Series,
        homes: pl.Series,
    ) -> Self:
        """The clear sum of any customers: String[n], with their homes, String[n]."""
        sums = {name: CustomerSums.of(own, customers) for name, own in events.items()}
        return cls.of(cards, sums, {name: (homes == name).to_numpy() for name in events})

    def own_views(self, place: int) -> Matrix:
        """What each outlet would think by itself, with the same scorecard: float64[n, outlets].

        Every outlet sees its own events as a home does. NaN where it has not met the customer.

        Args:
            place: Which scorecard.
        """
        card = self.cards[place]
        return np.stack(
            [np.where(own.counts > 0, card.score(own), np.nan) for own in self.sums.values()],
            axis=1,
        )

    def main(self) -> npt.NDArray[np.int64]:
        """Where each customer has most events, int64[n]: the first of equals, also of none."""
        counts = np.stack([own.counts for own in self.sums.values()], axis=1)
        return np.asarray(counts.argmax(axis=1))

    def calibrations(
        self, y: Sequence[Vector], among: npt.NDArray[np.bool_], second: Matrix, cost: Rho | None
    ) -> list[Calibration]:
        """Calibrates the scores with counts as private as a night's; fresh noise at each call.

        Args:
            y: float64[n] of 0 and 1 a scorecard, as homes see it.
            among: bool[n], who is counted.
            second: float64[DIMENSION, DIMENSION], noisy second moments of a home customer's short
                vector.
            cost: Of the release of all counts; None without noise.
        """
        scores = len(self.cards)
        centres = [card.centre(second) for card in self.cards]
        bins = np.stack(
            [fine_bins(score, at) for score, at in zip(self.scores, centres, strict=True)], axis=1
        )
        counted = calibration_rows(bins[among], np.stack(y, axis=1)[among]).sum(axis=0)
        noise_sd = 0.0
        if cost is not None:
            scale = scale_for(cost, clipping_units(calibration_norm(scores), _COUNT_SCALE))
            dimension = calibration_dimension(scores)
            for _server in ("HQ", "office"):
                counted = counted + DiscreteGaussian(scale).draw(dimension) / _COUNT_SCALE
            noise_sd = 2**0.5 * scale / _COUNT_SCALE
        return [
            Calibration.of(Counts.of(counted, noise_sd, place, centre))
            for place, centre in enumerate(centres)
        ]

    def bands(self, place: int, cuts: Sequence[float]) -> npt.NDArray[np.int64]:
        """Band of each customer, int64[n], as a sealed network would give it: 0 is "new"."""
        passed = np.searchsorted(np.asarray(cuts), self.scores[place], side="right")
        return np.where(self.evidence >= LEAST_EVIDENCE, 1 + passed, 0)
