"""The clear sum: what a network's parts add up to, computed from the sandbox's own ledgers.

Invariant: nothing here is private, and nothing but measures and pictures is made of it. A real
network's sums are opened by nobody; who looks at a customer sees a band. Given the outlets' own
dithers, sums here are those that are sealed, and bands those that staff read.
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
    middle,
)
from features.events import CustomerSums
from features.points import base_points, outlet_parts
from privacy.fixed_point import clipping_units
from privacy.noise import DiscreteGaussian, scale_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from features.events import EventFeatures, Matrix, Vector
    from features.points import Parts
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
        parts: int64[n, k + 1], what all outlets' parts and evidence add up to.
    """

    cards: tuple[Scorecard, ...]
    sums: Mapping[str, CustomerSums]
    parts: Parts

    @classmethod
    def of(
        cls,
        cards: Sequence[Scorecard],
        sums: Mapping[str, CustomerSums],
        at_home: Mapping[str, npt.NDArray[np.bool_]],
        dithers: Mapping[str, Matrix] | None = None,
    ) -> Self:
        """Adds the outlets' parts up, as the network would.

        Args:
            cards: The k scorecards.
            sums: By outlet, n rows each.
            at_home: By outlet, bool[n].
            dithers: By outlet, float64[n, k]; None rounds every part to the nearest point.
        """
        parts = [
            outlet_parts(cards, own, at_home[name], None if dithers is None else dithers[name])
            for name, own in sums.items()
        ]
        return cls(tuple(cards), sums, np.sum(parts, axis=0))

    @classmethod
    def of_world(
        cls,
        cards: Sequence[Scorecard],
        world: World,
        dithers: Mapping[str, Matrix] | None = None,
    ) -> Self:
        """The clear sum of a world's customers as of its cut-off."""
        at_home = {name: world.at_home(name) for name in world.events}
        return cls.of(cards, world.sums(), at_home, dithers)

    @classmethod
    def of_events(
        cls,
        cards: Sequence[Scorecard],
        events: Mapping[str, EventFeatures],
        customers: pl.Series,
        homes: pl.Series,
        dithers: Mapping[str, Matrix] | None = None,
    ) -> Self:
        """The clear sum of any customers: String[n], with their homes, String[n]."""
        sums = {name: CustomerSums.of(own, customers) for name, own in events.items()}
        at_home = {name: (homes == name).to_numpy() for name in events}
        return cls.of(cards, sums, at_home, dithers)

    @property
    def scores(self) -> tuple[Vector, ...]:
        """float64[n] a scorecard, in points: the base and all outlets' parts."""
        return tuple(
            base_points(card) + total for card, total in zip(self.cards, self.parts.T, strict=False)
        )

    @property
    def evidence(self) -> npt.NDArray[np.int64]:
        """int64[n], numbers of events as far as they are told."""
        return self.parts[:, -1]

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
        middles = [middle(card, second) for card in self.cards]
        bins = np.stack(
            [fine_bins(self.parts[:, place], at) for place, at in enumerate(middles)], axis=1
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
            Calibration.of(Counts.of(counted, noise_sd, place, base_points(card) + middles[place]))
            for place, card in enumerate(self.cards)
        ]

    def bands(self, place: int, cuts: Sequence[int]) -> npt.NDArray[np.int64]:
        """The place of each customer's band in its scheme, int64[n], as a book reads: 0 is "new".

        Args:
            place: Which scorecard.
            cuts: Sums of parts at which bands begin, ascending.
        """
        codes = np.searchsorted(cuts, self.parts[:, place], side="right")
        return np.where(self.evidence >= LEAST_EVIDENCE, 1 + codes, 0)
