"""Privacy loss: zCDP rho, exact, and its statements in epsilon and delta.

Rho adds up under adaptive composition [BS16, Lemma 2.3], so it is what is enforced, in exact
fractions. Epsilon is only ever a statement about a sum of rho. Conversions round against us:
an epsilon is rounded up, a rho bought for an epsilon is rounded down.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from privacy.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESOLUTION = 2**60


_WRITTEN = re.compile(r"\d{1,400}/\d{1,400}", re.ASCII)


class Rho(Fraction):
    """A zero-concentrated differential privacy loss, exact and never negative."""

    def __new__(cls, numerator: int | float | str | Fraction = 0, denominator: int = 1) -> Self:
        """Makes a loss.

        Raises:
            InvalidParameter: If it is negative or not finite.
        """
        try:
            value = Fraction(numerator) / denominator
        except (OverflowError, ValueError, ZeroDivisionError) as error:
            raise InvalidParameter("rho: expected a finite number") from error
        if value < 0:
            raise InvalidParameter(f"rho: got {float(value):g}, expected at least 0")
        return super().__new__(cls, value)

    @classmethod
    def total(cls, losses: Iterable[Fraction]) -> Rho:
        """Adds losses up; the loss of their adaptive composition."""
        return cls(sum(losses, Fraction(0)))

    def encode(self) -> str:
        """Writes the loss exactly, as `numerator/denominator`."""
        return f"{self.numerator}/{self.denominator}"

    @classmethod
    def decode(cls, text: object) -> Self:
        """Reads what `encode` wrote, and nothing else: "1e999999999" would take all memory.

        Raises:
            InvalidParameter: If it is anything else.
        """
        if not isinstance(text, str) or not _WRITTEN.fullmatch(text):
            raise InvalidParameter("rho: expected a fraction of whole numbers")
        made = cls(text)
        if made.encode() != text:
            raise InvalidParameter("rho: expected a fraction in lowest terms")
        return made


@dataclass(frozen=True, slots=True)
class EpsilonDelta:
    """An approximate differential privacy guarantee."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and math.isfinite(self.epsilon)):
            raise InvalidParameter(f"epsilon: got {self.epsilon}, expected a positive number")
        if not 0 < self.delta < 1:
            raise InvalidParameter(f"delta: got {self.delta}, expected between 0 and 1")

    def rho(self) -> Rho:
        """The largest zCDP loss that this guarantee allows, to 1e-9 of itself from below."""
        return _largest_rho(self.epsilon, self.delta)


@lru_cache(maxsize=256)
def _largest_rho(epsilon: float, delta: float) -> Rho:
    low, high = 0.0, epsilon
    while epsilon_of(Rho(high), delta) < epsilon:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if epsilon_of(Rho(middle), delta) <= epsilon:
            low = middle
        else:
            high = middle
    return Rho(math.floor(low * _RESOLUTION), _RESOLUTION)


def epsilon_of(rho: Rho, delta: float) -> float:
    """States a zCDP loss as epsilon at a delta [CKS20, Prop. 7 and Cor. 13].

    For every alpha > 1, rho-zCDP is (epsilon, delta) differential privacy with
    epsilon = alpha rho + (log(1/delta) + (alpha - 1) log(1 - 1/alpha) - log(alpha)) / (alpha - 1).
    Any alpha gives a valid statement; the best one is searched for on a log scale.

    Args:
        rho: The loss.
        delta: The failure probability, in (0, 1).

    Returns:
        The smallest epsilon found, at least 0.
    """
    # Loaded here: every command would pay for it otherwise.
    from scipy.optimize import minimize_scalar

    if rho == 0:
        return 0.0
    loss = float(rho)

    def bound(log_excess: float) -> float:
        excess = math.exp(log_excess)
        alpha = 1 + excess
        log_term = excess * math.log1p(-1 / alpha) - math.log(alpha) - math.log(delta)
        return alpha * loss + log_term / excess

    best = minimize_scalar(bound, bounds=(math.log(1e-4), math.log(1e8)), method="bounded")
    return max(0.0, float(bound(float(best.x))))


def pld_epsilon(noise_multipliers: Iterable[float], delta: float) -> float:
    """States Gaussian releases as epsilon with `dp-accounting`'s PLD accountant.

    Tighter than `epsilon_of`; for statements, never for enforcement.

    Args:
        noise_multipliers: sigma / sensitivity, one per release.
        delta: The failure probability.
    """
    from dp_accounting import GaussianDpEvent
    from dp_accounting.pld import PLDAccountant

    # Gaussians compose to one Gaussian whose inverse square multiplier is the sum of theirs.
    precision = sum(1 / z**2 for z in noise_multipliers)
    if precision == 0:
        return 0.0
    accountant = PLDAccountant()
    accountant.compose(GaussianDpEvent(precision**-0.5))
    return float(accountant.get_epsilon(delta))
