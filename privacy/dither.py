"""Dithers: where the fraction of a part is rounded up, fixed for each slot and score.

A part is whole points, floor(points + u) with u in [0, 1): small parts of many customers do not
all vanish. u is a PRF of the outlet's own secret [HMAC-SHA256], so that nobody else can take it
off, and the same every week: a fresh one could be averaged away over the weeks.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from privacy.envelopes import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_DOMAIN = b"escapement/v1/dither"
_PRECISION = 53


@dataclass(frozen=True, slots=True)
class Dither:
    """An outlet's dithers."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """Derives them from a secret of the outlet's folder."""
        return cls(hashlib.sha256(frame(_DOMAIN, secret)).digest())

    def of_slots(self, keys: Sequence[bytes], scores: Sequence[str]) -> npt.NDArray[np.float64]:
        """The dithers of customers, float64[n, k], each in [0, 1).

        Args:
            keys: Public slot keys, n of them.
            scores: Names of the k outcomes.
        """
        drawn = [[self._one(key, score) for score in scores] for key in keys]
        return np.array(drawn, dtype=np.float64).reshape(len(keys), len(scores))

    def _one(self, key: bytes, score: str) -> float:
        made = hmac.digest(self._key, frame(key, score.encode()), "sha256")
        return (int.from_bytes(made[:7], "big") >> (56 - _PRECISION)) / (1 << _PRECISION)
