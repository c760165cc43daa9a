"""Reasons: which of this outlet's own events give a customer how many points.

Invariant: what is printed follows from this outlet's own files and the scorecards that bands were
last sealed with: no band, no directory and no other outlet's event is read. Who reads it and why is
stored before anything is printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.bands import SCHEMES
from features.points import NEAREST, PART_BOUND
from features.reasons import Reasons
from features.reasons import reasons as reasons_of
from features.snapshot import CutOff, Snapshot
from outlet_client.bands.lookup import WHOSE_BAND, Status
from outlet_client.contribution.scorecard_store import read_scorecards
from outlet_client.errors import NoIdentifier
from outlet_client.ledger.event_reader import read_events
from outlet_client.moments import now
from outlet_client.people.client_book import client_book
from outlet_client.people.identifiers import identifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile

NOTE = (
    f"{WHOSE_BAND} Points here are of this outlet's own events alone; 7 double the odds. An event "
    "as most are counts 0 by what kind it is. Other outlets add what they know: nobody is shown "
    "the sum. Where a customer came first, the number of events counts in full, elsewhere half; "
    "it is shown in full here wherever that was."
)

_NAMES = {outcome.value: scheme.name for outcome, scheme in SCHEMES.items()}


@dataclass(frozen=True, slots=True, repr=False)
class ExplainedScores:
    """What this outlet's own events say about a customer.

    Attributes:
        as_of: The last day of this outlet's ledger, ISO 8601.
        scorecard_as_of: The last day of the parts that the scorecards were sent for, ISO 8601.
        scores: The reasons under each score's name.
    """

    as_of: str
    scorecard_as_of: str
    scores: dict[str, Reasons]


def explain(
    home: Path, settings: OutletFile, people: People, phone: str | None, email: str | None
) -> ExplainedScores | Status:
    """Takes a customer's scores apart, as far as this outlet's own events go.

    Points are rounded as those of the sealed part are, once the customer's token is known.

    Everybody in the client book with the customer's phone or e-mail is this customer.

    Returns:
        Why there is nothing to say, as a look-up says it, for who has no standing consent here.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable.
        ScorecardMissing: If this outlet has given no parts to a seal of bands yet.
        FeatureError: If a file cannot be read: file, row, column, reason.
    """
    if (usable := identifier(phone, email, settings.region)) is None:
        raise NoIdentifier
    return explain_key(home, settings, people, people.local_key(usable))


def explain_key(
    home: Path, settings: OutletFile, people: People, key: str
) -> ExplainedScores | Status:
    """Takes the scores of the customer of a key apart, as `explain` does.

    Raises:
        ScorecardMissing: If this outlet has given no parts to a seal of bands yet.
        FeatureError: If a file cannot be read: file, row, column, reason.
    """
    person = people.person(key)
    if person is None:
        return Status.CONSENT_NEEDED
    if not person.state.stands:
        return Status.NOT_IN_NETWORK
    kept, at = read_scorecards(home), now()
    events = read_events(home, settings, at, people=people, by_day=True).attached.events
    # A day in the future is a mistake in somebody's row, and no other customer's as-of.
    last = CutOff(min(events.select(pl.col("date").max()).item(), at.date()))
    client_book(settings, people, by_day=True)  # whoever came into it today is known
    own = events.filter(pl.col("customer").is_in(people.customers_of(key)))
    snapshot = Snapshot.take(own.with_columns(customer=pl.lit(key)), last, last.date)
    dither = [NEAREST] * len(kept.cards)
    if person.slot_key is not None:
        outcomes = [card.outcome for card in kept.cards]
        [dither] = people.dither.of_slots([person.slot_key.public], outcomes).tolist()
    scores = {
        _NAMES.get(card.outcome, card.outcome): reasons_of(snapshot, key, card, own)
        for card, own in zip(kept.cards, dither, strict=True)
    }
    return ExplainedScores(str(last), kept.as_of, scores)


def events_here(found: ExplainedScores) -> int:
    """The number of events here, as far as it is told; the same for every score."""
    return max((one.evidence for one in found.scores.values()), default=0)


def reason_lines(found: Reasons, most: int) -> Iterator[tuple[str, int]]:
    """The largest events, and what is left: text and points, which add up to the part."""
    for one in found.events[:most]:
        yield one.text, one.points
    if others := found.events[most:]:
        yield f"other events here ({len(others)})", sum(one.points for one in others)
    yield f"number of events here ({len(found.events)})", found.count
    if found.over:
        yield f"one outlet gives {PART_BOUND} at most", found.over
