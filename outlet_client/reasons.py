"""`escapement-outlet reasons`: which of this outlet's own events give a customer how many points.

Invariant: what is printed follows from this outlet's own files and the scorecards that it last
answered points for: no band, no directory and no other outlet's event is read. Who reads it and
why is stored before anything is printed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer
from rich.markup import escape

from features.bands import LEAST_EVIDENCE, SCHEMES
from features.points import PART_BOUND
from features.reasons import Reasons
from features.reasons import reasons as reasons_of
from features.snapshot import CutOff, Snapshot
from outlet_client.allocation.proposal_notes import WHOSE_BAND
from outlet_client.bands.lookup import Status
from outlet_client.commands.command_errors import HERE, OUT, Home, failing
from outlet_client.contribution.scorecard_store import read_scorecards
from outlet_client.customer_access import now, people_of
from outlet_client.errors import NoIdentifier
from outlet_client.ledger.event_reader import read_events
from outlet_client.people.client_book import client_book
from outlet_client.people.client_entries import typed_keys
from outlet_client.people.identifiers import identifier
from outlet_client.records.access_log import note_in
from outlet_client.records.actor import Asked, Purpose

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
class Explained:
    """What this outlet's own events say about a customer.

    Attributes:
        as_of: The last day of this outlet's ledger, ISO 8601.
        scorecard_as_of: The last day of the points that the scorecards came with, ISO 8601.
        scores: The reasons under each score's name.
    """

    as_of: str
    scorecard_as_of: str
    scores: dict[str, Reasons]


def reasons(
    purpose: Annotated[
        Purpose, typer.Option(help="Why you look; kept, and shown to the customer.")
    ],
    phone: Annotated[str | None, typer.Option(help="As typed.")] = None,
    email: Annotated[
        str | None, typer.Option(help="As typed; used where the phone is not usable.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who looks; else this user.")] = None,
    most: Annotated[int, typer.Option(min=1, help="How many events a score.")] = 8,
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="For programs.")
    ] = False,
) -> None:
    """Says which events at this outlet give a customer how many points, the largest first."""
    with failing():
        asked = Asked.of(by, purpose)
        with people_of(home) as (people, settings):
            keys = typed_keys(phone, email, people.local_key, settings.region)
            if not keys:
                raise NoIdentifier
            try:
                found = explain(home, settings, people, phone, email)
            except Exception as error:
                note_in(home, now(), asked, keys[0], type(error).__name__)
                raise
            outcome = found.value if isinstance(found, Status) else "reasons"
            note_in(home, now(), asked, keys[0], outcome)
        if isinstance(found, Status):
            OUT.print_json(json.dumps({"status": found})) if as_json else OUT.print(found.value)
            if found is Status.CONSENT_NEEDED:
                raise typer.Exit(2)
        elif as_json:
            OUT.print_json(json.dumps(_as_dict(found, most)))
        else:
            _print(found, most)


def explain(
    home: Path, settings: OutletFile, people: People, phone: str | None, email: str | None
) -> Explained | Status:
    """Takes a customer's scores apart, as far as this outlet's own events go.

    Everybody in the client book with the customer's phone or e-mail is this customer.

    Returns:
        Why there is nothing to say, as a look-up says it, for who has no standing consent here.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable.
        ScorecardMissing: If this outlet has not answered points yet.
        FeatureError: If a file cannot be read: file, row, column, reason.
    """
    if (usable := identifier(phone, email, settings.region)) is None:
        raise NoIdentifier
    person = people.person(key := people.local_key(usable))
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
    scores = {
        _NAMES.get(card.outcome, card.outcome): reasons_of(snapshot, key, card)
        for card in kept.cards
    }
    return Explained(str(last), kept.as_of, scores)


def _as_dict(found: Explained, most: int) -> dict[str, Any]:
    return {
        "status": Status.KNOWN,
        "as_of": found.as_of,
        "scorecard_as_of": found.scorecard_as_of,
        "scores": {
            name: [{"text": text, "points": points} for text, points in lines(one, most)]
            for name, one in found.scores.items()
        },
        "parts": {name: one.part for name, one in found.scores.items()},
        "evidence": _evidence(found),
        "note": NOTE,
    }


def _print(found: Explained, most: int) -> None:
    _say(f"Events here as of {found.as_of}; scorecards of the points as of {found.scorecard_as_of}")
    for name, one in found.scores.items():
        _say(f"{name}: as a home this outlet gives {one.part:+d}")
        for text, points in lines(one, most):
            _say(f"  {text}: {points:+d}")
    _say(
        f"evidence: {_evidence(found)} events here; with fewer than {LEAST_EVIDENCE} at all "
        "outlets together both bands read 'new'"
    )
    _say(NOTE)


def _evidence(found: Explained) -> int:
    """The number of events here, as far as it is told; the same for every score."""
    return max((one.evidence for one in found.scores.values()), default=0)


def lines(found: Reasons, most: int) -> Iterator[tuple[str, int]]:
    """The largest events, and what is left: text and points, which add up to the part.

    Args:
        found: One score's reasons.
        most: How many events have a line of their own.
    """
    for one in found.events[:most]:
        yield one.text, one.points
    if others := found.events[most:]:
        yield f"other events here ({len(others)})", sum(one.points for one in others)
    yield f"number of events here ({len(found.events)})", found.count
    if found.over:
        yield f"one outlet gives {PART_BOUND} at most", found.over


def _say(text: str) -> None:
    OUT.print(escape(text), highlight=False, soft_wrap=True)
