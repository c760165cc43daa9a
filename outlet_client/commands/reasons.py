"""`escapement-outlet reasons`: which of this outlet's own events give a customer how many points.

Invariant: who reads it and why is stored before anything is printed.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from features.bands import LEAST_EVIDENCE
from outlet_client.bands.lookup import Status
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, OUT, Home, say
from outlet_client.customer_access import people_of
from outlet_client.errors import NoIdentifier
from outlet_client.moments import now
from outlet_client.people.client_entries import typed_keys
from outlet_client.reasons import NOTE, Explained, evidence, explain, lines
from outlet_client.records.access_log import note_in
from outlet_client.records.actor import Asked, Purpose


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
        "evidence": evidence(found),
        "note": NOTE,
    }


def _print(found: Explained, most: int) -> None:
    say(f"Events here as of {found.as_of}; scorecards of the points as of {found.scorecard_as_of}")
    for name, one in found.scores.items():
        say(f"{name}: as a home this outlet gives {one.part:+d}")
        for text, points in lines(one, most):
            say(f"  {text}: {points:+d}")
    say(
        f"evidence: {evidence(found)} events here; with fewer than {LEAST_EVIDENCE} at all "
        "outlets together both bands read 'new'"
    )
    say(NOTE)
