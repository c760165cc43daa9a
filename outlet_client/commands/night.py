"""`escapement-outlet enrol` and `nightly`: an outlet's keys, and its night from a timer."""

from __future__ import annotations

import datetime as dt
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import ERR, say
from outlet_client.database import create_databases
from outlet_client.logs import showing_progress
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring


def enrol(
    name: Annotated[str, typer.Option(help="This outlet's name: letters, digits, hyphens.")],
    hq: Annotated[Path, typer.Option(help="HQ's public file.")],
    office: Annotated[Path, typer.Option(help="The privacy office's public file.")],
    home: Home = HERE,
    yes: Annotated[
        bool, typer.Option("--yes", help="The fingerprints were compared already.")
    ] = False,
) -> None:
    """Makes this outlet's keys and one public file for HQ and the office to import."""
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        files = [(PartyKind.HQ, hq.read_bytes()), (PartyKind.OFFICE, office.read_bytes())]
        cards = [(Card.decode(data, kind), data) for kind, data in files]
        for card, _ in cards:
            say(f"{card.kind} {card.name}, fingerprint {card.fingerprint}")
        if not yes:
            typer.confirm("Did both read you the same by another way?", abort=True)
        identity = ring.create(name, "", dt.datetime.now(dt.UTC))
        for card, data in cards:
            ring.trust(card, data)
        create_databases(home)
        say(
            f"Public file, for HQ and the office: {ring.public_file}\n"
            f"Fingerprint, to read to them: {identity.card.fingerprint}\n"
            "Next: `escapement-outlet init FILE-or-URL` writes the settings from your ledger, "
            "`escapement-outlet check` tries them. Back up with `escapement-outlet backup FILE`."
        )


def nightly_command(home: Home = HERE) -> None:
    """Reads what is new, joins tonight's night, answers, and leaves. Safe to start at any time."""
    # Loaded here: every command would pay for Flower otherwise.
    from outlet_client.night.night_run import nightly

    with showing_progress(ERR) as progress, failing(progress.error):
        answered = nightly(home, progress)
        say(
            "A night is running here already."
            if answered is None
            else f"Night complete, {answered} questions answered."
        )
