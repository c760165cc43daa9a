"""Commands that both holders have, and how any of their commands ends.

HQ and the privacy office are each a program of their own, with the same form: keys and lists of
peers in a folder, and one line instead of a traceback where something is refused.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from server.holder import status
from server.holder.console import (
    OURS,
    OUT,
    AsJson,
    Fingerprint,
    Home,
    one_line_errors,
    print_json,
    say,
)
from server.holder.database import create_store, create_stores, is_missing, shown
from server.holder.key_commands import replace_card
from server.holder.locks import stopped
from server.holder.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.holder.database import StoreSchema
    from server.holder.settings import HolderSettings

__all__ = [
    "OURS",
    "OUT",
    "AsJson",
    "HolderProgram",
    "Home",
    "log_to_stderr",
    "one_line_errors",
    "print_json",
    "say",
    "settle_keys",
    "stop_signal",
]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HolderProgram:
    """One holder's program.

    Attributes:
        kind: What it is: HQ or the privacy office.
        home: Its folder, where none is given.
        settings: The name of its settings file.
        read: Reads a settings file.
        stores: What its folder holds, the one first that may be on a server.
        upgrade: Upgrades a folder, given a way to say what is done.
    """

    kind: PartyKind
    home: Path
    settings: str
    read: Callable[[Path], HolderSettings]
    stores: Sequence[StoreSchema]
    upgrade: Callable[[Path, Callable[[str], None]], None]

    def app(self, about: str | None) -> typer.Typer:
        """The command line, still without a command."""
        app = typer.Typer(
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
            help=about,
        )

        @app.callback()
        def private() -> None:
            """Whatever this program writes is for its own user only."""
            os.umask(0o077)

        return app

    def create(self, home: Path, name: str, address: str, services: str, text: str) -> None:
        """Makes keys and settings in a folder, and the public file for the others.

        Args:
            home: The folder.
            name: The holder's name.
            address: `host:port` at which it is reached.
            services: `host:port` of what it serves outlets.
            text: The settings, as TOML.
        """
        ring = Keyring(home, self.kind)
        identity = ring.create(name, address, dt.datetime.now(dt.UTC), service_address=services)
        settings = home / self.settings
        settings.write_text(text)
        create_stores(home, self.stores)
        OUT.print(f"Settings: {settings}\nPublic file: {ring.public_file}", highlight=False)
        OUT.print(f"Fingerprint: {identity.card.fingerprint}", highlight=False)

    def add_peer_commands(self, app: typer.Typer, peer: PartyKind, whose: str) -> None:
        """Adds `add`, `replace` and `list`: importing cards, renewed ones too, and what is here.

        Args:
            app: The group of commands.
            peer: What the peer is.
            whose: The same in the words of the help, such as "HQ's".
        """
        about = f"Imports {whose} public file, after comparing its fingerprint by another way."

        @app.command("add", help=about)
        def add(file: Path, fingerprint: Fingerprint = None, home: Home = self.home) -> None:
            with one_line_errors():
                _trust(Keyring(home, self.kind), file, peer, fingerprint)

        renewed = (
            f"Imports {whose} renewed public file in place of the last one. Where its keys were "
            "lost and made anew, its fingerprint is compared."
        )

        @app.command("replace", help=renewed)
        def replace(file: Path, fingerprint: Fingerprint = None, home: Home = self.home) -> None:
            with one_line_errors():
                say(replace_card(Keyring(home, self.kind), file, peer, fingerprint))

        listed = f"Lists {whose} card: serial, end, fingerprint; and files that are no card."

        @app.command("list", help=listed)
        def list_cards(home: Home = self.home) -> None:
            with one_line_errors():
                ring = Keyring(home, self.kind)
                for card in ring.peers(peer).values():
                    say(
                        f"{card.kind} {card.name}, serial {card.serial}, until "
                        f"{card.ends:%Y-%m-%d}, fingerprint {card.fingerprint}"
                    )
                for unreadable in ring.unreadable(peer):
                    say(str(unreadable))

    def add_outlet_commands(self, app: typer.Typer, removed: str) -> None:
        """Adds `remove` to the same, of the holder's own list of outlets.

        Args:
            app: The group of commands.
            removed: What taking an outlet off the list means here.
        """
        self.add_peer_commands(app, PartyKind.OUTLET, "an outlet's")

        @app.command("remove", help=f"Takes an outlet off the list: {removed}.")
        def remove(name: str, home: Home = self.home) -> None:
            with one_line_errors():
                Keyring(home, self.kind).distrust(PartyKind.OUTLET, name)
                OUT.print(f"{name} is off the list.")

    def add_token_commands(self, app: typer.Typer) -> None:
        """Adds `status`: what was evaluated under the share of the token key."""

        @app.command("status")
        def tokens_status(
            home: Home = self.home,
            as_json: AsJson = False,  # noqa: FBT002  (a flag on the command line)
        ) -> None:
            """Says what was evaluated today, against quotas, and who reached one in 30 days."""
            with one_line_errors():
                ring, quotas = Keyring(home, self.kind), self.read(home / self.settings).tokens
                ring.token_share()
                schema = self.stores[-1]
                with closing(Meter(schema.url(home), schema)) as meter:
                    if as_json:
                        sys.stdout.write(status.as_json(ring, meter, quotas, time.time()))
                    else:
                        status.show(OUT, ring, meter, quotas, time.time())

    def add_store_commands(self, app: typer.Typer) -> None:
        """Adds `upgrade` and `new-store`."""

        @app.command("upgrade")
        def upgrade(home: Home = self.home) -> None:
            """Brings the folder to this release: settings and stores, after a backup of all of it.

            Stop `serve` before. Where `database` of the settings names an empty database on a
            server, the folder's own file is moved there. Safe to run again.
            """
            with one_line_errors():
                Keyring(home, self.kind).identity()
                self.upgrade(home, lambda said: OUT.print(said, highlight=False, soft_wrap=True))

        @app.command("new-store")
        def new_store(
            home: Home = self.home,
            yes: Annotated[  # noqa: FBT002  (a flag on the command line)
                bool, typer.Option("--yes", help="Does not ask.")
            ] = False,
        ) -> None:
            """Makes each store that is missing, empty: where it is lost, and there is no backup.

            Also in an empty database on a server, once the settings name it as `database`.
            """
            with one_line_errors():
                Keyring(home, self.kind).identity()
                database = self.read(home / self.settings).database
                missing = [
                    (url, schema)
                    for schema in self.stores
                    if is_missing(
                        url := schema.url(home, database if schema is self.stores[0] else ""),
                        schema,
                    )
                ]
                for url, schema in missing:
                    asked = f"{shown(url)}: is all of it lost for good, also in backups?"
                    if not yes:
                        typer.confirm(asked, abort=True)
                    with stopped(home, schema.program):
                        create_store(url, schema)
                    OUT.print(f"{shown(url)}: made, empty", highlight=False, soft_wrap=True)
                if not missing:
                    OUT.print("No store is missing.")


def log_to_stderr() -> None:
    """Logs what a long-running program does; of libraries, only what went wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("flwr", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def settle_keys(ring: Keyring) -> None:
    """Before a holder serves: takes up renewed keys where nobody takes the old ones any more.

    Raises:
        CertificateEnded: If its certificate is over: nobody would take it.
        PrivacyError: If there are no keys.
    """
    at = dt.datetime.now(dt.UTC)
    if ring.finish_where_over(at):
        _LOG.warning("the renewed keys are taken up: the old certificate's time is over")
    ring.identity().card.check_dates(at, own=True)


def stop_signal() -> threading.Event:
    """An event that is set once somebody ends the program."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _trust(ring: Keyring, file: Path, kind: PartyKind, fingerprint: str | None) -> None:
    """Puts a card on the list, once somebody said that its fingerprint is the owner's."""
    data = file.read_bytes()
    card = Card.decode(data, kind)
    if fingerprint is None:
        OUT.print(f"{kind} {card.name}, fingerprint {card.fingerprint}", highlight=False)
        typer.confirm("Did its owner read you the same by another way?", abort=True)
    elif fingerprint.split() != card.fingerprint.split():
        raise typer.BadParameter(f"{file}: its fingerprint is {card.fingerprint}")
    ring.trust(card, data)
    OUT.print(f"{kind} {card.name} is on the list.", highlight=False)
