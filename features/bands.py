"""Bands: what staff see of a score, and what it allows.

Score -> calibrated probability -> band. Every scheme begins with "new", not enough history, which
says nothing about a customer and is never a refusal. No band refuses anybody: the highest risk asks
for a person's decision. A band moves only when a score passes a cut
by more than a margin, so that noise in a points release does not make bands flicker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.errors import CatalogueError, FeatureError
from features.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.events import Vector

Bands = npt.NDArray[np.uint8]

NEW = "new"
"""The first band of every scheme, index 0: not enough history."""

UNKNOWN = -1
"""The previous band of a slot that had none."""

EVIDENCE_CAP = 6
"""At most so many of a customer's events at one outlet count as evidence there. Evidence is the sum
over outlets; what an outlet sends of a slot says no more than this of how much it knows."""

LEAST_EVIDENCE = 3
"""Below this evidence both bands of a customer read "new"."""

COUNT_MARGIN = 0.5
"""Hysteresis of the number of events, in events."""

_BITS = 2
_LEAST_BANDS, _MOST_BANDS = 2, 1 << _BITS
_MARK, _MARK_MASK = 0b0100_0000, 0b1100_0000
"""Of these schemes: another set of schemes needs another mark, so that no old book is misread."""


class BandRefused(FeatureError):
    """An entry of a band book that stands for no bands: read with a wrong key, as a rule."""


@dataclass(frozen=True, slots=True)
class BandScheme:
    """The bands of one score.

    Attributes:
        name: What the scheme is called on the desk and in `unpack`.
        bands: Their names in ascending order of probability, "new" first.
        thresholds: Calibrated probabilities, ascending: bands[2] begins at thresholds[0], and so
            on; bands[1] is below all.
        allows: One plain sentence a band, for staff.
    """

    name: str
    bands: tuple[str, ...]
    thresholds: tuple[float, ...]
    allows: tuple[str, ...]

    def __post_init__(self) -> None:
        named = _LEAST_BANDS <= len(self.bands) <= _MOST_BANDS and self.bands[0] == NEW
        if not named or len(set(self.bands)) != len(self.bands):
            raise CatalogueError(
                f"{self.name}: expected {_LEAST_BANDS} to {_MOST_BANDS} bands of different names, "
                f"'{NEW}' first"
            )
        if len(self.allows) != len(self.bands):
            raise CatalogueError(f"{self.name}: expected one sentence a band")
        steps = np.diff([0.0, *self.thresholds, 1.0])
        if len(self.thresholds) != len(self.bands) - 2 or not (steps > 0).all():
            raise CatalogueError(
                f"{self.name}: got thresholds {self.thresholds}, expected "
                f"{len(self.bands) - 2}, ascending between 0 and 1"
            )

    def sentence(self, band: str) -> str:
        """What a band allows.

        Raises:
            CatalogueError: If the scheme has no such band.
        """
        if band not in self.bands:
            raise CatalogueError(
                f"{self.name}: got another band than {', '.join(self.bands)}; update this outlet"
            )
        return self.allows[self.bands.index(band)]


@dataclass(frozen=True, slots=True)
class BandPolicy:
    """What a network decides about bands. Probabilities are calibrated ones.

    Attributes:
        eligible: Least probability of being loyal for "eligible",
        priority: and for "priority".
        elevated: Least probability of a confirmed resale for "elevated",
        review: and for "review".
        margin: By how much a score must pass a cut to move a band, in points.
        least_events: Fewer events than this are "new". Halfway below LEAST_EVIDENCE, so that noise
            errs to either side alike. With noise of standard deviation 1.4 in the number, of
            customers with none, one or two events about 4, 14 and 36 in 100 are taken for more in a
            first book.

    The thresholds name few people: docs/allocation.md says how many, of whom, and how often
    wrongly.
    """

    eligible: float = 0.2
    priority: float = 0.3
    elevated: float = 0.08
    review: float = 0.13
    margin: float = 2.0
    least_events: float = LEAST_EVIDENCE - 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.margin < np.inf and 0 < self.least_events < np.inf):
            raise CatalogueError(
                f"band policy: got margin {self.margin} and least events {self.least_events}, "
                "expected a margin of 0 or more and least events above 0"
            )
        schemes(self)  # refuses thresholds that do not ascend


def schemes(policy: BandPolicy) -> dict[Outcome, BandScheme]:
    """The scheme of each outcome under a policy; their order is that of the bits in a book.

    Raises:
        CatalogueError: If a scheme's thresholds do not ascend between 0 and 1.
    """
    eligibility = BandScheme(
        "eligibility",
        (NEW, "building", "eligible", "priority"),
        (policy.eligible, policy.priority),
        (
            "Not enough history to say; this is never a refusal: decide as without a band.",
            "Keep the interest on the waitlist; the band alone does not speak for an offer yet.",
            "May be offered a scarce reference when one is free.",
            "May be offered a scarce reference first.",
        ),
    )
    flipper_risk = BandScheme(
        "flipper_risk",
        (NEW, "low", "elevated", "review"),
        (policy.elevated, policy.review),
        (
            "Not enough history to say; this is never a refusal: decide as without a band.",
            "Nothing to do.",
            "A manager may look at it before an offer; it says nothing certain about a customer.",
            (
                "A person decides: show a manager before any offer; "
                "to the customer say no more than that an answer will come."
            ),
        ),
    )
    return {Outcome.LOYAL: eligibility, Outcome.FLIPPED: flipper_risk}


def scheme_of(outcome: str, policy: BandPolicy) -> BandScheme:
    """The scheme of an outcome under a policy.

    Raises:
        CatalogueError: If the outcome has no bands.
    """
    by_name = {known.value: scheme for known, scheme in schemes(policy).items()}
    if outcome not in by_name:
        raise CatalogueError(
            f"bands: got outcome '{outcome}', expected one of {', '.join(by_name)}; "
            "an outcome without bands can be replayed, not banded"
        )
    return by_name[outcome]


SCHEMES: dict[Outcome, BandScheme] = schemes(BandPolicy())
"""The schemes under the default policy. Names, bands, sentences and order hold for every policy."""


def assign(
    scores: Vector,
    counts: Vector,
    cuts: Sequence[float],
    previous: npt.NDArray[np.int8],
    margin: float,
    least_events: float,
) -> Bands:
    """Gives every slot a band.

    A slot passes a cut upwards when its score is more than `margin` above it, and falls back when
    it is more than `margin` below. Slots that had no band, or were "new", are banded by the cuts
    alone. Likewise a slot leaves "new" at `least_events` and half an event more, and returns to it
    below half an event less. A score or count that is not finite is "new".

    Args:
        scores: float64[n], in points.
        counts: float64[n], noisy numbers of events.
        cuts: The thresholds in points, ascending.
        previous: int8[n], the previous index of a band, or UNKNOWN.
        margin: Hysteresis, in points, 0 or more.
        least_events: Fewer are "new".

    Returns:
        uint8[n], indices of a scheme's bands: 0 for "new", 1 + number of cuts passed otherwise.

    Raises:
        CatalogueError: If lengths differ, cuts do not ascend, the margin is negative, or a
            previous band is not one of the scheme's.
    """
    lines = np.asarray(cuts, dtype=np.float64)
    _check(scores, counts, lines, previous, margin)
    was = previous.astype(np.int64)[:, None]
    above = was > np.arange(1, len(lines) + 1)
    below = (was >= 1) & ~above
    moved = lines + margin * (below.astype(np.float64) - above)
    score = scores[:, None]
    passed = np.where(below, score > moved, score >= moved).sum(axis=1)
    least = least_events + COUNT_MARGIN * np.select([previous == 0, previous > 0], [1.0, -1.0], 0.0)
    known = np.isfinite(scores) & np.isfinite(counts) & (counts >= least)
    return np.where(known, 1 + passed, 0).astype(np.uint8)


def pack(bands: Mapping[str, Bands]) -> Bands:
    """Packs the bands of all schemes into one byte a slot: the entries of a band book.

    Two bits a scheme, the first of SCHEMES lowest, below a constant of two bits, so that a byte of
    zeros never stands for bands. A scheme that is not given, since the network has no scorecard for
    it yet, reads "new".

    Args:
        bands: uint8[n] a scheme, indices of its bands, under the scheme's name.

    Returns:
        uint8[n, 1].

    Raises:
        CatalogueError: If a name is unknown, lengths differ, or a scheme has no such band.
    """
    known = [scheme.name for scheme in SCHEMES.values()]
    if not bands or not set(bands) <= set(known):
        raise CatalogueError(f"bands: got {', '.join(bands) or 'none'}, expected some of {known}")
    if len({band.shape for band in bands.values()}) != 1:
        raise CatalogueError("bands: got another number of slots for each scheme")
    packed = np.full_like(next(iter(bands.values())), _MARK, dtype=np.uint8)
    for order, scheme in enumerate(SCHEMES.values()):
        index = bands.get(scheme.name)
        if index is None:
            continue
        if index.dtype != np.uint8 or (index >= len(scheme.bands)).any():
            raise CatalogueError(f"{scheme.name}: expected uint8 below {len(scheme.bands)}")
        packed |= index << (_BITS * order)
    return packed[:, None]


def unpack(entry: bytes) -> dict[str, str]:
    """Reads one entry of a band book.

    Refusing impossible bytes notices most wrong keys: fifteen in sixteen while there are two
    schemes. That is no authentication, which is the signature's part.

    Args:
        entry: One byte.

    Returns:
        The band's name under each scheme's name.

    Raises:
        BandRefused: If the byte stands for no bands.
    """
    if len(entry) != 1:
        raise BandRefused(f"band entry: got {len(entry)} bytes, expected 1")
    byte, found = entry[0], {}
    if byte & _MARK_MASK != _MARK:
        raise BandRefused("band entry: not bands; compute the token anew and fetch the book again")
    byte ^= _MARK
    for scheme in SCHEMES.values():
        index, byte = byte % _MOST_BANDS, byte >> _BITS
        if index >= len(scheme.bands):
            raise BandRefused(f"band entry: {scheme.name} has no such band; update this outlet")
        found[scheme.name] = scheme.bands[index]
    if byte:
        raise BandRefused("band entry: bands of an unknown scheme; update this outlet")
    return found


def _check(
    scores: Vector, counts: Vector, cuts: Vector, previous: npt.NDArray[np.int8], margin: float
) -> None:
    if not scores.shape == counts.shape == previous.shape or scores.ndim != 1:
        raise CatalogueError(
            f"bands: got {scores.shape} scores, {counts.shape} counts and {previous.shape} "
            "previous bands, expected one of each a slot"
        )
    most = _MOST_BANDS - _LEAST_BANDS
    ascending = cuts.ndim == 1 and np.isfinite(cuts).all() and (cuts[1:] >= cuts[:-1]).all()
    if not ascending or len(cuts) > most:
        raise CatalogueError(f"bands: expected up to {most} finite cuts, ascending")
    if not 0 <= margin < np.inf:
        raise CatalogueError(f"bands: got margin {margin}, expected 0 or more points")
    if len(previous) and not (previous.min() >= UNKNOWN and previous.max() <= len(cuts) + 1):
        raise CatalogueError(f"bands: expected previous bands from {UNKNOWN} to {len(cuts) + 1}")
