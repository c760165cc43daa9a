"""What a row of a ledger is, and how scarce its piece: the words that every table shares."""

from __future__ import annotations

from enum import StrEnum

import polars as pl


class Kind(StrEnum):
    """What a row is."""

    PURCHASE = "purchase"
    RETURN = "return"
    SERVICE = "service"
    """A service visit: the owner still has the piece."""

    INTEREST = "interest"
    """An entry on the waitlist."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    """Answers to an offer, in the basket of their interest."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    """Resale sightings of a serial."""

    DISMISSED = "dismissed"
    """A person found that the sightings of the serial so far were of another piece."""


class Tier(StrEnum):
    """How scarce a reference is."""

    OPEN = "open"
    LIMITED = "limited"
    ALLOCATION = "allocation"
    """By allocation only."""


KINDS = pl.Enum([kind.value for kind in Kind])
TIERS = pl.Enum([tier.value for tier in Tier])
SIGHTINGS = (Kind.SUSPECTED, Kind.CONFIRMED, Kind.DISMISSED)
LEDGER_KINDS = tuple(kind for kind in Kind if kind not in SIGHTINGS)
SALES = (Kind.PURCHASE.value, Kind.RETURN.value)
"""The kinds of which a price is needed."""
