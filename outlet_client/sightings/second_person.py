"""Whether a second person was there when a sighting was confirmed.

Invariant: it follows from what is stored of the piece, whose rows are only added; nobody says it of
themselves. A name is compared as an account's is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.ledger import Kind
from outlet_client.records.actor import folded_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from outlet_client.ledger.sighting_rows import Noted


def was_alone(serial: str, seen: dt.date, said: Iterable[Noted]) -> bool:
    """Whether one person reported a sighting and confirmed it, and nobody else confirmed it.

    What stands in the outlet's own table was reported by somebody there, whose name is not known.

    Args:
        serial: The piece.
        seen: The day it was seen.
        said: What was said here of this piece, or of all.
    """
    of_it = [one for one in said if one.serial == serial and one.seen == seen]
    reporters = {folded_name(one.by) for one in of_it if one.kind is Kind.SUSPECTED}
    deciders = {folded_name(one.by) for one in of_it if one.kind is Kind.CONFIRMED}
    return bool(reporters) and bool(deciders) and len(reporters | deciders) == 1


def has_reported(name: str, seen: dt.date, said: Iterable[Noted]) -> bool:
    """Whether somebody reported that a piece was seen on a day."""
    reports = (one for one in said if one.seen == seen and one.kind is Kind.SUSPECTED)
    return folded_name(name) in {folded_name(one.by) for one in reports}
