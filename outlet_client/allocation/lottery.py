"""The lottery between equals: terms, tickets, lots, and everybody's odds.

Invariant: where a customer comes follows from the seed, the reference, the customer's id and the
number of their tickets, and from nothing else; anybody who has these draws it again. With one
ticket each all odds are equal.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from outlet_client.errors import OutletError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.ledger import Tier

SEED_BYTES = 16
MOST_TICKETS = 10
"""Of one customer, however often they lost."""

_SEED = re.compile(f"[0-9a-f]{{{2 * SEED_BYTES}}}")
_MOST_STEPS, _LEAST_STEPS, _WORK = 4_000, 200, 200_000
"""Of the integral over the time of the draw, fewer for many pieces; odds good to three digits."""


class AllocationRefused(OutletError):
    """An allocation that cannot be proposed or decided as asked."""


class TieBreak(StrEnum):
    """What decides between customers whom policy and bands hold equal."""

    WAITING = "waiting"
    """The longest on the list; those of one day by lot."""

    LOTTERY = "lottery"
    """A lottery with equal odds."""

    RISING = "rising"
    """A lottery in which each one that was lost before is a ticket more."""

    @property
    def is_lottery(self) -> bool:
        """Whether a lot decides, whoever waited longer."""
        return self is not TieBreak.WAITING


@dataclass(frozen=True, slots=True)
class Terms:
    """What is allocated, and how.

    Attributes:
        seed: 32 hex digits, of the lottery.
        drawn: Whether the seed was drawn for this proposal, and not given by whoever asked.
    """

    reference: str
    tier: Tier
    pieces: int
    ties: TieBreak
    seed: str
    drawn: bool

    def __post_init__(self) -> None:
        if self.pieces < 1:
            raise AllocationRefused(f"pieces: got {self.pieces}, expected 1 or more")
        if not _SEED.fullmatch(self.seed):
            raise AllocationRefused(
                f"seed: expected {2 * SEED_BYTES} hex digits, as a proposal prints; leave it out "
                "to draw a new one"
            )

    def tickets(self, losses: int) -> int:
        """How many tickets somebody has who lost so many fair draws."""
        return 1 + min(losses, MOST_TICKETS - 1) if self.ties is TieBreak.RISING else 1

    def lot(self, customer: str, tickets: int = 1) -> bytes:
        """Where the lottery puts a customer: the smallest of their tickets; the smallest is first.

        A ticket is HMAC-SHA256 by the seed of the reference and the customer, and from the second
        on of its number.
        """
        key = bytes.fromhex(self.seed)
        names = [f"{self.reference}\n{customer}"]
        names += [f"{names[0]}\n{number}" for number in range(2, tickets + 1)]
        return min(hmac.digest(key, name.encode(), hashlib.sha256) for name in names)


def odds(tickets: Sequence[int], pieces: int) -> Mapping[int, float]:
    """The chance of being drawn, by how many tickets somebody has.

    Whoever's smallest ticket is among the `pieces` smallest of all is drawn. With waiting times
    that are exponential in the tickets this is the chance that fewer than `pieces` others came
    before, integrated over the time at which somebody comes.

    Args:
        tickets: Of each entry, 1 or more.
        pieces: How many are drawn.
    """
    counts = Counter(tickets)
    if pieces <= 0:
        return dict.fromkeys(counts, 0.0)
    if pieces >= len(tickets):
        return dict.fromkeys(counts, 1.0)
    if len(counts) == 1:
        return dict.fromkeys(counts, pieces / len(tickets))
    return {own: _chance(own, counts, pieces) for own in counts}


def _chance(own: int, counts: Mapping[int, int], pieces: int) -> float:
    """Of one customer among all, with so many tickets."""
    steps = max(_LEAST_STEPS, min(_MOST_STEPS, _WORK // pieces))
    later = (np.arange(steps) + 0.5) / steps  # the chance that one ticket has not come yet
    before = np.zeros((pieces, steps))
    before[0] = 1.0
    for many, count in counts.items():
        others = count - (many == own)
        before = _convolved(before, _binomial(others, 1.0 - later**many, pieces))
    fewer = before.sum(axis=0)
    return float((own * later ** (own - 1) * fewer).mean())


def _binomial(count: int, chance: np.ndarray, upto: int) -> np.ndarray:
    """float64[upto, steps]: how likely it is that k of so many came."""
    made = np.zeros((upto, len(chance)))
    with np.errstate(divide="ignore"):
        came, not_yet = np.log(chance), np.log1p(-chance)
    log_of = 0.0
    for k in range(min(upto, count + 1)):
        if k:
            log_of += np.log((count - k + 1) / k)
        rest = (count - k) * not_yet if count > k else 0.0
        made[k] = np.exp(log_of + (k * came if k else 0.0) + rest)
    return made


def _convolved(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    made = np.zeros_like(one)
    for k in range(len(one)):
        made[k] = (one[: k + 1] * other[k::-1]).sum(axis=0)
    return made
