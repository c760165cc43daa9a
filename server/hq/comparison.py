"""Whether private counts say that a scorecard ranks worse than the one before it did.

Everything is read from releases that were opened for another use: comparing costs no privacy.

What is compared is the AUC of a night's counts with that of earlier ones. Its spread is that of the
release's noise, and of chance in who was counted [HM82], without which a large network, whose noise
is next to nothing, would hold back what fell by a hair. An outlet whose labels are wrong makes the
counts themselves worse, under whatever scorecard: so a comparison is with what was counted before,
and with the starting scorecard where nothing was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from features.accuracy import auc_of_cells

if TYPE_CHECKING:
    from features.events import Vector

MOST_SD = 3.0
"""A fall by more standard deviations than this is held back: by chance one comparison in 740."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well a score ranked customers, by private counts.

    Attributes:
        what: Whose counts, for people.
        auc: The AUC.
        sd: Its standard deviation, from the release's noise and from chance in who was counted.
    """

    what: str
    auc: float
    sd: float

    @classmethod
    def of(cls, what: str, values: Vector, noise_sd: float) -> Self | None:
        """Reads one score's cells of a release; None where noise covers them.

        Args:
            what: Whose counts, for people.
            values: float64[2 b], cells of outcome 0 first, bins in ascending order.
            noise_sd: Standard deviation of the noise in each value.
        """
        found = auc_of_cells(values, noise_sd)
        if found is None:
            return None
        without, having = values.reshape(2, -1).sum(axis=1).tolist()
        chance = _chance(found.value, without, having)
        return cls(what, found.value, math.hypot(found.noise_sd, chance))

    @property
    def figure(self) -> str:
        """For people."""
        return f"{self.auc:.3f} ± {self.sd:.3f} ({self.what})"


@dataclass(frozen=True, slots=True)
class Fall:
    """By how much one ranking is below another.

    Attributes:
        outcome: What is ranked for.
        now: The one that is new.
        before: What it is held against.
    """

    outcome: str
    now: Ranking
    before: Ranking

    @property
    def in_sd(self) -> float:
        """The fall, in standard deviations of the difference."""
        spread = math.hypot(self.now.sd, self.before.sd)
        fall = self.before.auc - self.now.auc
        return fall / spread if spread > 0 else math.copysign(math.inf, fall) if fall else 0.0

    @property
    def is_held(self) -> bool:
        """Whether a person has to look."""
        return self.in_sd > MOST_SD

    @property
    def reason(self) -> str:
        """For people: what fell, from where, and by how much."""
        return (
            f"{self.outcome}: AUC {self.now.figure}, expected about {self.before.figure}: "
            f"{self.in_sd:.1f} standard deviations worse, expected at most {MOST_SD:g}"
        )


def _chance(auc: float, without: float, having: float) -> float:
    """Standard deviation of an AUC from chance in who was counted [HM82]."""
    both = auc / (2 - auc) - auc**2, 2 * auc**2 / (1 + auc) - auc**2
    spread = auc * (1 - auc) + (having - 1) * both[0] + (without - 1) * both[1]
    return math.sqrt(max(spread, 0.0) / (without * having))
