"""Which kinds of events bands are made of in general, as customers are told.

Invariant: it is said of the scorecards and the catalogue alone, and is the same for every customer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.event_words import kinds_that_count
from outlet_client.contribution.scorecard_store import ScorecardMissing, read_scorecards

if TYPE_CHECKING:
    from pathlib import Path


def kinds_in_general(home: Path) -> tuple[str, ...]:
    """The kinds that count, by the scorecards that this outlet last gave parts for.

    Before the first all kinds that the catalogue has: no other can count.
    """
    try:
        return kinds_that_count(read_scorecards(home).cards)
    except ScorecardMissing:
        return kinds_that_count(())
