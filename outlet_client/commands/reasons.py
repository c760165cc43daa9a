"""`escapement-outlet reasons`: which of this outlet's own events give a customer how many points.

Invariant: who reads it and why is stored before anything is printed.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from features.bands import LEAST_EVIDENCE
from outlet_client.bands.lookup import Status
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Email, Home, Json, Phone, Purpose
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_people
from outlet_client.errors import NoIdentifier
from outlet_client.moments import now
from outlet_client.people.identifiers import typed_keys
from outlet_client.reasons import NOTE, ExplainedScores, events_here, explain, reason_lines
from outlet_client.records.access_log import note_lookup_in
from outlet_client.records.actor import Actor


def reasons(
    purpose: Purpose,
    phone: Phone = None,
    email: Email = None,
    by: By = None,
    most: Annotated[int, typer.Option(min=1, help="How many events a score.")] = 8,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Says which events at this outlet give a customer how many points, the largest first."""
    with failing():
        asked = Actor.of(by, purpose)
        with open_people(home) as (people, settings):
            keys = typed_keys(phone, email, people.local_key, settings.region)
            if not keys:
                raise NoIdentifier
            try:
                found = explain(home, settings, people, phone, email)
            except Exception as error:
                note_lookup_in(home, now(), asked, keys[0], type(error).__name__)
                raise
            outcome = found.value if isinstance(found, Status) else "reasons"
            note_lookup_in(home, now(), asked, keys[0], outcome)
        if isinstance(found, Status):
            say_json({"status": found}) if as_json else say(found.value)
            if found is Status.CONSENT_NEEDED:
                raise typer.Exit(2)
        elif as_json:
            say_json(_as_dict(found, most))
        else:
            _print(found, most)


def _as_dict(found: ExplainedScores, most: int) -> dict[str, Any]:
    return {
        "status": Status.KNOWN,
        "as_of": found.as_of,
        "scorecard_as_of": found.scorecard_as_of,
        "scores": {
            name: [{"text": text, "points": points} for text, points in reason_lines(one, most)]
            for name, one in found.scores.items()
        },
        "parts": {name: one.part for name, one in found.scores.items()},
        "evidence": events_here(found),
        "note": NOTE,
    }


def _print(found: ExplainedScores, most: int) -> None:
    say(f"Events here as of {found.as_of}; scorecards of the bands as of {found.scorecard_as_of}")
    for name, one in found.scores.items():
        say(f"{name}: as a home this outlet gives {one.part:+d}")
        for text, points in reason_lines(one, most):
            say(f"  {text}: {points:+d}")
    say(
        f"evidence: {events_here(found)} events here; with fewer than {LEAST_EVIDENCE} at all "
        "outlets together both bands read 'new'"
    )
    say(NOTE)
