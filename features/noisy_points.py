"""Noisy points: how the live night carries sums a slot while they are opened with noise.

Until bands are sealed, HQ opens the sum of each slot, with both servers' noise, for one event's
protection. With noise every number costs, so an event adds one number a score, its points
(`features.points`), within a cap, and one share of its row's length for the number of events, from
which HQ makes the points of that number, as if all events had been at one outlet.

Caps and mixing come from scorecards and moments release, so that they cost nothing more. What was
measured is in docs/decisions/0007.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from features.errors import CatalogueError
from features.events import (
    CATALOGUE,
    POINT_COLUMNS,
    POINTS,
    RATE_COLUMNS,
    RATE_SCALE,
    RATES,
    USUAL_COUNT,
)
from features.learning import shorten
from features.points import base_points, count_points
from features.scorecard import (
    LARGEST_WEIGHT,
    MOST_SCORES,
    POINTS_PER_LOGIT,
    Scorecard,
    decode_scorecards,
    encode_scorecards,
)

if TYPE_CHECKING:
    from features.events import EventFeatures, Matrix, Vector

COUNT_SHARE = 0.5
"""Length of a row that tells 'one event'; the scores have what is left of a length of 1."""

CAP = 0.8
"""An event's cap: this times the spread of scores, over the root of the usual events."""

LEAST_KEPT = 0.02
"""Part of what is new in a sum that is believed at least, however large the noise."""

RING_BITS, SCALE, MOST_EVENTS = 32, 2**8, 2**11
"""The ring; integer units per 1.0; at how many events an outlet's sum for a slot saturates."""

LARGEST_POINTS = LARGEST_WEIGHT * POINTS_PER_LOGIT
"""Public bound on a code's numbers, and on caps a part of it."""

MOST_NUMBERS = MOST_SCORES + 1
"""A slot, whatever the code."""

_NOTHING = 1e-12
_MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
_WIDTH = POINTS + RATES + 1
_COUNT_ROW = np.eye(_WIDTH)[-1:] * COUNT_SHARE
_MOST_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class PointsCode:
    """How events become numbers, and sums scores.

    Attributes:
        cards: The scorecards.
        matrix: float64[scores + 1, p + r + 1], from an event's point features, rate features and 1
            to its row.
        unmix: float64[scores, scores], from sums to points.
    """

    cards: tuple[Scorecard, ...]
    matrix: Matrix
    unmix: Matrix

    @classmethod
    def of(cls, cards: tuple[Scorecard, ...], second: Matrix) -> Self:
        """One number a score.

        Two scores that go together are mixed, so that noise in what they share is paid for once: of
        all maps A with E|A u|^2 fixed, K^(-1/4) leaves the least noise in u, K being the scores'
        correlation.

        Args:
            cards: The scorecards, all with the same usual event.
            second: float64[DIMENSION, DIMENSION], noisy second moments of a customer's short
                vector.
        """
        weights = np.array([card.weights for card in cards]) * POINTS_PER_LOGIT
        values, axes = np.linalg.eigh(second - np.outer(second[0], second[0]))
        about = (axes * np.maximum(values, 1e-3)) @ axes.T  # noisy moments may be indefinite
        told = weights[:, 1:-1] @ about[1:-1, 1:-1] @ weights[:, 1:-1].T
        size = np.maximum(np.sqrt(np.diag(told)), 1.0)
        caps = np.clip(CAP * size / math.sqrt(USUAL_COUNT), 1.0, LARGEST_POINTS / 100)
        values, axes = np.linalg.eigh(told / np.outer(size, size))
        values = np.maximum(values, 0.02)
        mix = (axes * values**-0.25) @ axes.T / math.sqrt(np.sqrt(values).sum())
        mix = mix * math.sqrt(1 - COUNT_SHARE**2)
        rates = RATE_SCALE * weights[:, RATE_COLUMNS]
        usual = np.array([card.usual for card in cards])
        beyond = -(rates * usual).sum(axis=1, keepdims=True)
        slope = np.hstack([weights[:, POINT_COLUMNS], rates, beyond])
        matrix = np.vstack([mix @ (slope / caps[:, None]), _COUNT_ROW])
        return cls(cards, matrix, np.linalg.inv(mix) * caps[:, None])

    @property
    def width(self) -> int:
        """Numbers a slot."""
        return len(self.matrix)

    def rows(self, events: EventFeatures) -> Matrix:
        """An event's row, float64[events, width]; its norm is at most 1."""
        one = np.ones((len(events.points), 1))
        rows = np.hstack([events.points, events.rates, one]) @ self.matrix.T
        scores, _ = shorten(rows[:, :-1], math.sqrt(1 - COUNT_SHARE**2))
        return np.hstack([scores, rows[:, -1:]])

    def estimate(self, values: Vector, noise_sd: float, before: Matrix | None = None) -> Matrix:
        """The best linear guess of the sums, float64[slots, width].

        Args:
            values: float64[slots * width], a score table's.
            noise_sd: Standard deviation of the noise in each; 0 leaves the sums as they are.
            before: float64[slots or fewer, any], the guess at an earlier release, by any code.
        """
        sums = values.reshape(-1, self.width)
        if noise_sd == 0 or not len(sums):
            return sums
        if before is None or not len(before):
            return smooth(sums, noise_sd, np.ones((len(sums), 1)))
        known = len(before)  # slots are only ever added at the end; a new one is guessed as average
        filled = np.vstack([before, np.tile(before.mean(axis=0), (len(sums) - known, 1))])
        return smooth(sums, noise_sd, np.hstack([np.ones((len(sums), 1)), filled]))

    def scores(self, estimate: Matrix) -> list[Vector]:
        """Scores in points, float64[slots] a scorecard."""
        counts = np.maximum(self.counts(estimate), 0.0)
        at_home = np.ones(len(counts), dtype=bool)
        return [
            base_points(card) + estimate[:, :-1] @ unmix + count_points(card, counts, at_home)
            for card, unmix in zip(self.cards, self.unmix, strict=True)
        ]

    def counts(self, estimate: Matrix) -> Vector:
        """Numbers of events, float64[slots]."""
        return estimate[:, -1] / COUNT_SHARE

    def encode(self) -> bytes:
        """Canonical bytes; their digest names the code, scorecards included, in plans."""
        body = {
            "catalogue": CATALOGUE,
            "cards": encode_scorecards(self.cards).decode(),
            "matrix": self.matrix.tolist(),
            "unmix": self.unmix.tolist(),
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes.

        Raises:
            CatalogueError: If they are of another catalogue, or not a points code.
        """
        if len(data) > _MOST_BYTES:
            raise CatalogueError("points code: longer than any")
        try:
            raw = json.loads(data)
            catalogue = raw["catalogue"]
            cards = decode_scorecards(raw["cards"].encode())
            matrix, unmix = (
                np.asarray(raw[name], dtype=np.float64) for name in ("matrix", "unmix")
            )
        except _MALFORMED as error:
            raise CatalogueError("points code: malformed") from error
        if catalogue != CATALOGUE:
            raise CatalogueError(f"points code: of another catalogue, expected {CATALOGUE}")
        scores = len(cards)
        if (matrix.shape, unmix.shape) != ((scores + 1, _WIDTH), (scores, scores)):
            raise CatalogueError("points code: another number of numbers than its scorecards need")
        if not (matrix[-1] == _COUNT_ROW).all():
            raise CatalogueError("points code: another row for the number of events")
        if not all((np.abs(array) <= LARGEST_POINTS).all() for array in (matrix, unmix)):
            raise CatalogueError(f"points code: expected numbers within +-{LARGEST_POINTS:g}")
        return cls(cards, matrix, unmix)


def smooth(sums: Matrix, noise_sd: float, known: Matrix) -> Matrix:
    """Shrinks noisy sums towards what is known: linear empirical Bayes [EM73].

    Sums are regressed on what is known of each slot. The difference from the regression is shrunk,
    direction by direction, by its estimated share of noise. A function of releases only, so it
    costs nothing.

    Args:
        sums: float64[n, k].
        noise_sd: Standard deviation of the noise in each.
        known: float64[n, m], such as 1 and the guess at the last release.

    Returns:
        float64[n, k].
    """
    largest = np.abs(known).max(axis=0)
    known = np.where(largest > _NOTHING, known / np.maximum(largest, _NOTHING), 0.0)
    guess = known @ np.linalg.lstsq(known, sums, rcond=None)[0]
    news = sums - guess
    values, axes = np.linalg.eigh(news.T @ news / len(news))
    kept = np.clip(1 - noise_sd**2 / np.maximum(values, 1e-12), LEAST_KEPT, 1.0)
    return np.asarray(guess + news @ (axes * kept) @ axes.T)
