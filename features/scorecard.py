"""Scorecard: the weights of a customer's vector, and what a point is.

    score = base + the sum over outlets of what each one's events give

A point is a tenth of log odds, so that seven points double the odds [Sid06, ch. 6]. How many points
an outlet gives is `points.py`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from features.errors import CatalogueError
from features.events import CATALOGUE, DIMENSION, RATE_BOUNDS, RATES, Matrix, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import CustomerSums

POINTS_PER_LOGIT = 10.0
"""Points per unit of log odds: one point is a tenth of it, seven double the odds."""

LARGEST_WEIGHT = 20.0
"""Public bound of a weight, in log odds: trained ones reach 10. A larger one would make of a sum a
sharp question about one fact, such as a day, which bands are not for."""

MOST_SCORES = 4
"""As many scorecards are trained, and carried in one question, at most."""

_MOST_BYTES = 2**16
_NO_EVENT = (0.0,) * RATES


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A trained, or starting, scorecard.

    Attributes:
        outcome: What it predicts.
        weights: float64[DIMENSION] in log odds, in the order of `events.FEATURE_NAMES`.
        usual: float64[r], rates of the network's usual event; 0 where nothing is known of it.
    """

    outcome: str
    weights: tuple[float, ...]
    usual: tuple[float, ...] = _NO_EVENT

    def __post_init__(self) -> None:
        small = all(abs(weight) <= LARGEST_WEIGHT for weight in self.weights)
        if len(self.weights) != DIMENSION or not small:
            raise CatalogueError(
                f"scorecard: expected {DIMENSION} weights within +-{LARGEST_WEIGHT:g}"
            )
        bounded = len(self.usual) == RATES and all(
            0 <= rate <= most for rate, most in zip(self.usual, RATE_BOUNDS, strict=True)
        )
        if not bounded:
            raise CatalogueError(f"scorecard: expected {RATES} usual rates within their bounds")

    @classmethod
    def of(cls, outcome: str, weights: Vector, usual: Vector | None = None) -> Self:
        """A scorecard of arrays: weights float64[DIMENSION], usual float64[r] or nothing known."""
        rates = _NO_EVENT if usual is None else tuple(np.asarray(usual, dtype=np.float64).tolist())
        return cls(outcome, tuple(np.asarray(weights, dtype=np.float64).tolist()), rates)

    def vectors(self, sums: CustomerSums) -> Matrix:
        """The vectors that this scorecard weighs, float64[n, DIMENSION]."""
        return sums.vectors(np.asarray(self.usual))

    def score(self, sums: CustomerSums) -> Vector:
        """Scores customers by one outlet's events alone, as at home: float64[n], in points."""
        return np.asarray(self.vectors(sums) @ np.asarray(self.weights)) * POINTS_PER_LOGIT

    def encode(self) -> bytes:
        """Canonical bytes, catalogue included."""
        return _canonical(self._body())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes.

        Raises:
            CatalogueError: If they are of another catalogue, not a scorecard, or in another form.
        """
        made = cls._read(_parsed(data))
        if made.encode() != data:
            raise CatalogueError("scorecard: not in canonical form")
        return made

    def _body(self) -> dict[str, Any]:
        return {
            "catalogue": CATALOGUE, "outcome": self.outcome,
            "weights": self.weights, "usual": self.usual,
        }  # fmt: skip

    @classmethod
    def _read(cls, raw: Any) -> Self:
        try:
            catalogue, outcome = raw["catalogue"], raw["outcome"]
            if not isinstance(outcome, str):
                raise CatalogueError("scorecard: its outcome is no text")
            if catalogue != CATALOGUE:
                raise CatalogueError(f"scorecard: of another catalogue, expected {CATALOGUE}")
            weights = tuple(float(w) for w in raw["weights"])
            return cls(outcome, weights, tuple(float(u) for u in raw["usual"]))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise CatalogueError("scorecard: malformed") from error


def encode_scorecards(cards: Sequence[Scorecard]) -> bytes:
    """Canonical bytes of several scorecards; their digest names them in plans."""
    return _canonical([card._body() for card in cards])  # noqa: SLF001  (of this module)


def decode_scorecards(data: bytes) -> tuple[Scorecard, ...]:
    """Reads `encode_scorecards`' bytes.

    Raises:
        CatalogueError: If they are not 1 to MOST_SCORES scorecards of this catalogue, each of
            another outcome; or in another form, which would give the same cards another digest.
    """
    raw = _parsed(data)
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_SCORES:
        raise CatalogueError(f"scorecards: expected a list of 1 to {MOST_SCORES}")
    cards = tuple(Scorecard._read(one) for one in raw)  # noqa: SLF001  (of this module)
    if len({card.outcome for card in cards}) != len(cards):
        raise CatalogueError("scorecards: expected each outcome once")
    if encode_scorecards(cards) != data:
        raise CatalogueError("scorecards: not in canonical form")
    return cards


def _canonical(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _parsed(data: bytes) -> Any:
    if len(data) > _MOST_BYTES:
        raise CatalogueError(f"scorecard: got {len(data)} bytes, expected at most {_MOST_BYTES}")
    try:
        return json.loads(data)
    except (RecursionError, ValueError) as error:
        raise CatalogueError("scorecard: malformed") from error
