"""Bands: what staff see of a score, and what it allows.

A sealed network gives an outlet two codes a customer and one of the evidence, and no score:

    code c of a score     c cuts are at or below the sum of parts
    code of evidence      0: no event    1: one or two    2: three to five    3: six or more

Cuts are where a score's calibrated probability reaches the thresholds below. Every scheme begins
with "new", not enough history, which says nothing about a customer and is never a refusal: it is
what little evidence reads as, whatever the codes. No band refuses anybody: the highest risk asks
for a person's decision. So does an entry that is marked "many outlets", whose codes stand for
nothing: that is no band, and who reads such an entry asks for a person and names none.

Invariant: whatever codes are read, each score has a band of its scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.errors import CatalogueError
from features.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

NEW = "new"
"""The first band of every scheme: not enough history."""

EVIDENCE_CAP = 6
"""At most so many of a customer's events at one outlet count as evidence there. Evidence is the sum
over outlets; what an outlet sends of a slot says no more than this of how much it knows."""

LEAST_EVIDENCE = 3
"""Below this evidence both bands of a customer read "new"."""

KNOWN_EVIDENCE_CODE = 2
"""The code of LEAST_EVIDENCE: below it both bands read "new"."""

_LEAST_BANDS, _MOST_BANDS = 2, 4


@dataclass(frozen=True, slots=True)
class BandScheme:
    """The bands of one score.

    Attributes:
        name: What the scheme is called on the desk and in `named`.
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

    The thresholds name few people: docs/allocation.md says how many, of whom, and how often
    wrongly.
    """

    eligible: float = 0.2
    priority: float = 0.3
    elevated: float = 0.08
    review: float = 0.13

    def __post_init__(self) -> None:
        schemes(self)  # refuses thresholds that do not ascend


def schemes(policy: BandPolicy) -> dict[Outcome, BandScheme]:
    """The scheme of each outcome under a policy; their order is that of the codes in a book.

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


def named(
    codes: Sequence[int], evidence: int, outcomes: Sequence[str] | None = None
) -> dict[str, str]:
    """The bands that the codes of a customer stand for.

    Args:
        codes: One a score, from 0; one above a scheme's highest reads as its highest.
        evidence: The code of the evidence.
        outcomes: What the scores predict; None for those of SCHEMES, in their order.

    Returns:
        The band's name under each scheme's name; "new" where a scheme has no score.
    """
    order = SCHEMES if outcomes is None else outcomes
    by_outcome = dict(zip(order, codes, strict=False)) if evidence >= KNOWN_EVIDENCE_CODE else {}
    return {
        scheme.name: scheme.bands[min(1 + by_outcome.get(outcome, -1), len(scheme.bands) - 1)]
        for outcome, scheme in SCHEMES.items()
    }


def newcomer() -> dict[str, str]:
    """The bands of who has no entry: "new" under each scheme's name."""
    return {scheme.name: NEW for scheme in SCHEMES.values()}
