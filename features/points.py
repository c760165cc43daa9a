"""Points: what one event adds to its customer's slot, and how a slot's sums become scores.

A score is not quite a sum: its rate part is divided by the number of events, which only the network
as a whole knows. Without noise (the sandbox), each score travels as two sums beside one count, and
nothing is lost. With noise every number costs, so an event adds **one** number a score: what it
says beyond the usual event, at the network's average customer of n events,

    a = points + (rate points - usual) / (n0 + n)

in units of a cap, and one share of the row's length for the count m, from which the rest follows:

    score = base + usual m / (n0 + m) + b log(1 + m) / 2 + (q (n0 + n) / (n0 + m) + 1 - q) sum of a

q is the part of the spread that is rates'. Caps, n, usual and q come from the scorecard and the
moments release, so that they cost nothing more. What was measured, and against what, is in
docs/decisions/0007.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from features.errors import CatalogueError
from features.events import CATALOGUE, COUNT_SCALE, DIMENSION, N0, POINT_BOUNDS, RATE_BOUNDS
from features.learning import shorten
from features.scorecard import LARGEST_WEIGHT, POINTS_PER_LOGIT, Scorecard

if TYPE_CHECKING:
    from features.events import EventFeatures, Matrix, Vector

COUNT_SHARE = 0.5
"""Length of a row that tells 'one event'; the scores have what is left of a length of 1."""

CAP = 0.8
"""An event's cap: this times the spread of scores, over the root of the usual events."""

LEAST_KEPT = 0.02
"""Part of what is new in a sum that is believed at least, however large the noise."""

STANDARD_MEAN, STANDARD_SD = -40.0, 40.0
"""Of standard scores, in points: bins are many where the highest tenth of customers is."""

LARGEST_POINTS = LARGEST_WEIGHT * POINTS_PER_LOGIT
"""Public bound on a code's numbers, and on caps a part of it."""

_NOTHING = 1e-12
_MOST_EVENTS = 100.0
_MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
_POINTS, _RATES = len(POINT_BOUNDS), len(RATE_BOUNDS)
_WIDTH = _POINTS + _RATES + 1
_POINT_WEIGHTS = slice(1, 1 + _POINTS)
_RATE_WEIGHTS = slice(1 + _POINTS, 1 + _POINTS + _RATES)
_MOST_SCORES, _MOST_BYTES = 4, 2**16
MOST_NUMBERS = 2 * _MOST_SCORES + 1
"""A slot, whatever the code."""


def _numbers(scores: int, *, exact: bool) -> int:
    return 2 * scores + 1 if exact else scores + 1


@dataclass(frozen=True, slots=True)
class PointsCode:
    """How events become numbers, and sums scores.

    Attributes:
        cards: The scorecards.
        matrix: float64[width, p + r + 1], from an event's point features, rate features and 1 to
            its row.
        unmix: float64[scores, scores], from sums to points; unused where exact, as are the next.
        usual: float64[scores], the usual event's rate points.
        rates: float64[scores], the part of the spread that is rates'.
        events: Of the average customer.
        exact: Two numbers a score, uncapped, for sums without noise; else one, capped.
    """

    cards: tuple[Scorecard, ...]
    matrix: Matrix
    unmix: Matrix
    usual: Vector
    rates: Vector
    events: float
    exact: bool

    @classmethod
    def lossless(cls, cards: tuple[Scorecard, ...]) -> Self:
        """For sums without noise: the bounds of the catalogue are the caps."""
        weights = _weights(cards)
        rows = []
        for weight in weights:
            points, rates = np.zeros(_WIDTH), np.zeros(_WIDTH)
            points[:_POINTS] = weight[_POINT_WEIGHTS]
            rates[_POINTS:-1] = weight[_RATE_WEIGHTS]
            most_points, most_rates = _most(weight)
            rows += [points / most_points, rates / most_rates]
        rows.append(np.eye(_WIDTH)[-1])
        none = np.zeros(len(cards))
        return cls(cards, np.stack(rows), np.eye(len(cards)), none, none, 1.0, exact=True)

    @classmethod
    def tangent(cls, cards: tuple[Scorecard, ...], second: Matrix) -> Self:
        """For noisy sums: one number a score.

        Two scores that go together are mixed, so that noise in what they share is paid for once: of
        all maps A with E|A u|^2 fixed, K^(-1/4) leaves the least noise in u, K being the scores'
        correlation.

        Args:
            cards: The scorecards.
            second: float64[DIMENSION, DIMENSION], noisy second moments of a customer's vector.
        """
        weights = _weights(cards)
        average = math.sqrt(max(float(second[-1, -1]), 0.0)) / COUNT_SCALE
        events = math.expm1(min(max(average, 0.5), 4.0))
        usual = weights[:, _RATE_WEIGHTS] @ second[0, _RATE_WEIGHTS] * (N0 + events) / events
        values, axes = np.linalg.eigh(second - np.outer(second[0], second[0]))
        about = (axes * np.maximum(values, 1e-3)) @ axes.T  # noisy moments may be indefinite

        def spread(part: slice) -> Matrix:
            return np.asarray(weights[:, part] @ about[part, part] @ weights[:, part].T)

        told = spread(slice(1, -1))
        size = np.maximum(np.sqrt(np.diag(told)), 1.0)
        caps = np.clip(CAP * size / math.sqrt(events), 1.0, LARGEST_POINTS / 100)
        values, axes = np.linalg.eigh(told / np.outer(size, size))
        values = np.maximum(values, 0.02)
        mix = (axes * values**-0.25) @ axes.T / math.sqrt(np.sqrt(values).sum())
        mix = mix * math.sqrt(1 - COUNT_SHARE**2)
        slope = np.hstack(
            [
                weights[:, _POINT_WEIGHTS],
                weights[:, _RATE_WEIGHTS] / (N0 + events),
                (-usual / (N0 + events))[:, None],
            ]
        )
        of_points, of_rates = np.diag(spread(_POINT_WEIGHTS)), np.diag(spread(_RATE_WEIGHTS))
        rates = of_rates / np.maximum(of_points + of_rates, _NOTHING)
        count = np.eye(_WIDTH)[-1:] * COUNT_SHARE
        matrix = np.vstack([mix @ (slope / caps[:, None]), count])
        unmix = np.linalg.inv(mix) * caps[:, None]
        return cls(cards, matrix, unmix, usual, rates, events, exact=False)

    @property
    def width(self) -> int:
        """Numbers a slot."""
        return len(self.matrix)

    @property
    def norm(self) -> float:
        """The longest that an event's row may be."""
        return math.sqrt(self.width) if self.exact else 1.0

    @property
    def ring_bits(self) -> int:
        """The ring: a small one where there are noise and many slots."""
        return 64 if self.exact else 32

    @property
    def scale(self) -> int:
        """Integer units per 1.0."""
        return 2**20 if self.exact else 2**8

    @property
    def most_events(self) -> int:
        """At how many events an outlet's sum for a slot saturates."""
        return 2**16 if self.exact else 2**11

    def rows(self, events: EventFeatures) -> Matrix:
        """An event's row, float64[events, width]; its norm is at most `norm`."""
        one = np.ones((len(events.points), 1))
        rows = np.hstack([events.points, events.rates, one]) @ self.matrix.T
        if self.exact:
            return rows
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

    def scores_alone(self, values: Vector, noise_sd: float, second: Matrix) -> list[Vector]:
        """Scores of which each depends on its own slot's sums, float64[slots] a scorecard.

        For calibration: its counts promise that one customer moves them by one row, so no slot's
        bin may depend on another slot, as `estimate`'s do. With noise they are standard scores,
        STANDARD_SD points a standard deviation, by constants that the moments release made private:
        so that the fixed fine bins resolve any scorecard's scores, however rare its outcome.

        Args:
            values: float64[slots * width], a score table's.
            noise_sd: Standard deviation of the noise in each.
            second: float64[DIMENSION, DIMENSION], noisy second moments of a customer's vector.
        """
        raw = self.scores(values.reshape(-1, self.width))
        if noise_sd == 0:
            return raw
        found = []
        noise = noise_sd**2 * np.square(self.unmix).sum(axis=1)
        for score, weight, variance in zip(raw, _weights(self.cards), noise, strict=True):
            mean = float(weight @ second[0])
            spread = max(float(weight @ second @ weight) - mean**2, 1.0)
            standard = (score - mean) / math.sqrt(spread + float(variance))
            found.append(STANDARD_MEAN + STANDARD_SD * standard)
        return found

    def scores(self, estimate: Matrix) -> list[Vector]:
        """Scores in points, float64[slots] a scorecard."""
        if not self.exact:
            return self._told(estimate)
        count = np.maximum(estimate[:, -1], 0.0)
        found = []
        for place, weight in enumerate(_weights(self.cards)):
            most_points, most_rates = _most(weight)
            points = estimate[:, 2 * place] * most_points
            rates = estimate[:, 2 * place + 1] * most_rates
            logs = weight[-1] * COUNT_SCALE * np.log1p(count)
            found.append(weight[0] + points + rates / (N0 + count) + logs)
        return found

    def _told(self, estimate: Matrix) -> list[Vector]:
        """Scores of noisy sums; see the module's docstring."""
        count = np.maximum(self.counts(estimate), 0.0)
        found = []
        for score, weight in enumerate(_weights(self.cards)):
            beyond = estimate[:, :-1] @ self.unmix[score]
            part = self.rates[score]
            kept = part * (N0 + self.events) / (N0 + count) + 1 - part
            base = weight[0] + self.usual[score] * count / (N0 + count)
            logs = weight[-1] * COUNT_SCALE * np.log1p(count)
            found.append(base + logs + beyond * kept)
        return found

    def counts(self, estimate: Matrix) -> Vector:
        """Numbers of events, float64[slots]."""
        return estimate[:, -1] / (1.0 if self.exact else COUNT_SHARE)

    def encode(self) -> bytes:
        """Canonical bytes; their digest names the code, scorecards included, in plans."""
        body = {
            "catalogue": CATALOGUE,
            "cards": [card.encode().decode() for card in self.cards],
            "exact": self.exact,
            "matrix": self.matrix.tolist(),
            "unmix": self.unmix.tolist(),
            "usual": self.usual.tolist(),
            "rates": self.rates.tolist(),
            "events": self.events,
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
            catalogue, exact = raw["catalogue"], raw["exact"]
            cards = tuple(Scorecard.decode(card.encode()) for card in raw["cards"])
            arrays = [
                np.asarray(raw[name], dtype=np.float64)
                for name in ("matrix", "unmix", "usual", "rates", "events")
            ]
        except _MALFORMED as error:
            raise CatalogueError("points code: malformed") from error
        matrix, unmix, usual, rates, events = arrays
        scores = len(cards)
        each = (scores,)
        shapes = (_numbers(scores, exact=bool(exact)), _WIDTH), (scores, scores), each, each, ()
        if catalogue != CATALOGUE or not 1 <= scores <= _MOST_SCORES or not isinstance(exact, bool):
            raise CatalogueError(f"points code: of another catalogue, expected {CATALOGUE}")
        if tuple(array.shape for array in arrays) != shapes:
            raise CatalogueError("points code: another number of numbers than its scorecards need")
        small = all((np.abs(array) <= LARGEST_POINTS).all() for array in (matrix, unmix))
        small = small and bool((np.abs(usual) <= LARGEST_POINTS**2).all())
        shares = bool(((rates >= 0) & (rates <= 1)).all())
        if not small or not shares or not 0 < float(events) <= _MOST_EVENTS:
            raise CatalogueError(f"points code: expected numbers within +-{LARGEST_POINTS:g}")
        return cls(cards, matrix, unmix, usual, rates, float(events), exact=exact)


def smooth(sums: Matrix, noise_sd: float, known: Matrix) -> Matrix:
    """Shrinks noisy sums towards what is known: linear empirical Bayes [EM73].

    Sums are regressed on what is known of each slot; of what is new in a direction, the part is
    kept that is not noise. A function of releases only, so it costs nothing.

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


def _most(weight: Vector) -> tuple[float, float]:
    """The most points and rate points that an event within the catalogue's bounds may have."""
    points = float(np.abs(weight[_POINT_WEIGHTS]) @ POINT_BOUNDS)
    rates = float(np.abs(weight[_RATE_WEIGHTS]) @ RATE_BOUNDS)
    return max(1.0, points), max(1.0, rates)


def _weights(cards: tuple[Scorecard, ...]) -> Matrix:
    """Weights in points, float64[scores, DIMENSION]."""
    weights = np.array([card.weights for card in cards], dtype=np.float64) * POINTS_PER_LOGIT
    return weights.reshape(len(cards), DIMENSION)
