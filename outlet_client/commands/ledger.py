"""`escapement-outlet ledger`: what this outlet knows of the privacy office's ledger."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.contribution.answer_store import AnswerStore
from privacy.identity import PartyKind
from privacy.keyring import Keyring, write_private
from privacy.ledger_copies import LedgerCopy

ledger_app = typer.Typer(no_args_is_help=True, help="The privacy office's ledger of losses.")


@ledger_app.callback()
def group() -> None:
    """The privacy office's ledger of losses, as far as this outlet saw it."""


@ledger_app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Where to; a few lines, no secret in them.")],
    home: Home = HERE,
) -> None:
    """Writes how far the office's ledger was in the nights that this outlet answered in.

    For `escapement-office ledger reconcile`, where the office lost entries.
    """
    with failing():
        name = Keyring(home, PartyKind.OUTLET).identity().card.name
        store = AnswerStore(f"sqlite:///{home / 'outlet.db'}")
        with closing(store), store.transaction() as answers:
            seen = tuple(answers.ledger_positions())
        write_private(file, LedgerCopy(name, seen=seen).encode())
        entries = seen[-1].length if seen else 0
        say(f"{file}: the ledger had {entries} entries when this outlet last saw it.")
