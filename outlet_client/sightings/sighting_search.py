"""Sightings as a list that somebody can use: searched, grouped and paged.

Invariant: a page holds at most `A_PAGE` sightings, and every sighting that was asked for is on
exactly one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from outlet_client.sightings.sighting_history import Sighting

A_PAGE = 20
"""Sightings on one page; each has a form of its own."""

NO_REFERENCE = "no reference"


class SightingGroup(StrEnum):
    """What sightings are put together by; the order of a list is by it."""

    STATE = "state"
    REFERENCE = "reference"


class SightingState(StrEnum):
    """How far the decision about a sighting is, in the order of a list."""

    OPEN = "to be decided"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class SightingQuery:
    """Which sightings are asked for.

    Attributes:
        text: A part of the serial, the reference or a customer's id; upper and lower case are one.
        state: None for all.
        group: What they are put together by.
        page: From 1.
        first: The piece and day that come before all others, also where they do not fit; None for
            none.
    """

    text: str = field(default="", repr=False)
    state: SightingState | None = None
    group: SightingGroup = SightingGroup.STATE
    page: int = 1
    first: tuple[str, dt.date] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SightingPage:
    """One page of what was found.

    Attributes:
        groups: Each with its name, how many it has on all pages, and its sightings on this one.
        found: How many fit, on all pages.
        of: How many there are.
        page: From 1.
        pages: At least 1.
    """

    groups: tuple[tuple[str, int, tuple[Sighting, ...]], ...] = ()
    found: int = 0
    of: int = 0
    page: int = 1
    pages: int = 1


def state_of(one: Sighting) -> SightingState:
    """How far the decision about a sighting is."""
    return SightingState.OPEN if one.is_open else SightingState(one.status.value)


def anchor(one: Sighting) -> str:
    """The name of a sighting's place in a page; it tells no serial."""
    return "s" + hashlib.sha256(f"{one.seen} {one.serial}".encode()).hexdigest()[:12]


def sighting_page(sightings: Sequence[Sighting], asked: SightingQuery) -> SightingPage:
    """The page that is asked for, or the last where there are not so many.

    Args:
        sightings: All, in the order of `SightingHistory`.
        asked: Which of them.
    """
    first = [one for one in sightings if (one.serial, one.seen) == asked.first]
    found = [one for one in sightings if _fits(one, asked) and one not in first]
    found.sort(key=lambda one: _place(one, asked.group))  # stable: the newest first in each group
    pages = max(1, -(-len(found) // A_PAGE))
    page = min(max(1, asked.page), pages)
    sizes: dict[str, int] = {}
    for one in found:
        name = _name(one, asked.group)
        sizes[name] = sizes.get(name, 0) + 1
    here = found[(page - 1) * A_PAGE : page * A_PAGE]
    groups = [
        (name, sizes[name], tuple(some))
        for name, some in groupby(here, lambda one: _name(one, asked.group))
    ]
    if first:
        groups.insert(0, ("not sent yet", len(first), tuple(first)))
    return SightingPage(tuple(groups), len(found) + len(first), len(sightings), page, pages)


def _fits(one: Sighting, asked: SightingQuery) -> bool:
    if asked.state is not None and state_of(one) is not asked.state:
        return False
    text = asked.text.casefold()
    return any(
        text in cell.casefold() for cell in (one.serial, one.reference or "", *one.customers)
    )


def _place(one: Sighting, group: SightingGroup) -> tuple[object, ...]:
    state = list(SightingState).index(state_of(one))
    if group is SightingGroup.STATE:
        return (state,)
    return (one.reference is None, one.reference or "", state)


def _name(one: Sighting, group: SightingGroup) -> str:
    return state_of(one).value if group is SightingGroup.STATE else one.reference or NO_REFERENCE
