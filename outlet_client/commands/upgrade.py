"""`escapement-outlet upgrade`: into a network in which tokens stay at outlets."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import Annotated

import typer

from outlet_client.bands.book_store import BOOK_FILE
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.commands.upkeep import write_backup
from outlet_client.people.network_change import (
    is_of_old_network,
    move_people,
    overwrite_deleted,
)
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring

BACKUP, _UNFINISHED = "before-upgrade.tar.gz", "before-upgrade.unfinished"


def upgrade(
    hq: Annotated[Path, typer.Option(help="HQ's public file after `tokens renew`.")],
    office: Annotated[Path, typer.Option(help="The privacy office's, likewise.")],
    home: Home = HERE,
) -> None:
    """Moves this outlet into its network's new token key: consents, log, staff, events stay.

    For networks of release 0.1, in which HQ held tokens. Everybody with a standing consent is
    introduced again, so many a day as the holders' quotas allow; `status` says how far it is. Safe
    to run again.
    """
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        cards = [
            (Card.decode(file.read_bytes(), kind), file.read_bytes())
            for kind, file in ((PartyKind.HQ, hq), (PartyKind.OFFICE, office))
        ]
        database, copy = home / "outlet.db", home / BACKUP
        if not copy.exists():
            unfinished = home / _UNFINISHED  # by a kill
            write_backup(home, unfinished)
            unfinished.replace(copy)
            say(f"Backup: {copy}. It holds old tokens and secret keys: delete it when all is well.")
        for card, data in cards:
            ring.trust(card, data)
        if not is_of_old_network(database):
            overwrite_deleted(database)  # a kill may have left it undone
            say("outlet.db is of this network already.")
            return
        for place in (home / BOOK_FILE, *home.glob("directory-*.bin")):  # opened by nobody any more
            place.unlink(missing_ok=True)
        moved = move_people(database)
        overwrite_deleted(database)
        say(
            f"{moved.waiting:,} people with a standing consent wait for a token, {moved.ended:,} "
            "without one stay away. Next: `escapement-outlet nightly` as ever; `escapement-outlet "
            "status` says how many are listed again."
        )
