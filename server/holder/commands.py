"""Commands that both holders have, and how any of their commands ends.

HQ and the privacy office are each a program of their own, with the same form: keys and lists of
peers in a folder, and one line instead of a traceback where something is refused.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import signal
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from privacy.errors import PrivacyError
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from server.holder import status
from server.holder.errors import HolderError, HolderNotConfigured
from server.holder.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.holder.settings import TokenSettings

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
Fingerprint = Annotated[
    str | None, typer.Option(help="What the owner read to you; asked for when not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

OUT = Console()
_ERR = Console(stderr=True)
OURS = (PrivacyError, HolderError, FeatureError, OSError)
"""Errors whose message says enough, and holds nothing that a log may not."""


@dataclass(frozen=True, slots=True)
class HolderProgram:
    """One holder's program.

    Attributes:
        kind: What it is: HQ or the privacy office.
        home: Its folder, where none is given.
        settings: The name of its settings file.
        tokens: Reads, from a settings file, how many evaluations outlets get a day.
    """

    kind: PartyKind
    home: Path
    settings: str
    tokens: Callable[[Path], TokenSettings]

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
        OUT.print(f"Settings: {settings}\nPublic file: {ring.public_file}", highlight=False)
        OUT.print(f"Fingerprint: {identity.card.fingerprint}", highlight=False)

    def add_peer_commands(self, app: typer.Typer, peer: PartyKind, whose: str) -> None:
        """Adds `add`: importing a peer's public file.

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

    def add_outlet_commands(self, app: typer.Typer, removed: str) -> None:
        """Adds `add`, `remove` and `list`, of the holder's own list of outlets.

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

        @app.command("list")
        def listed(home: Home = self.home) -> None:
            """Lists outlets and fingerprints."""
            with one_line_errors():
                for card in Keyring(home, self.kind).peers(PartyKind.OUTLET).values():
                    OUT.print(f"{card.name}  {card.fingerprint}", highlight=False)

    def add_token_commands(self, app: typer.Typer) -> None:
        """Adds `status`: what was evaluated under the share of the token key."""

        @app.command("status")
        def tokens_status(
            home: Home = self.home,
            as_json: AsJson = False,  # noqa: FBT002  (a flag on the command line)
        ) -> None:
            """Says what was evaluated today, against quotas, and who reached one in 30 days."""
            with one_line_errors():
                ring, quotas = Keyring(home, self.kind), self.tokens(home / self.settings)
                ring.token_share()
                with closing(Meter(f"sqlite:///{home / 'meter.db'}")) as meter:
                    if as_json:
                        sys.stdout.write(status.as_json(ring, meter, quotas, time.time()))
                    else:
                        status.show(OUT, ring, meter, quotas, time.time())


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line where one of our own errors says enough.

    The exit code is 2 where settings are wrong, as of wrong options, and 1 otherwise.
    """
    try:
        yield
    except (*OURS, SQLAlchemyError) as error:
        _ERR.print(f"[bold red]error:[/] {escape(_message(error))}", highlight=False)
        raise typer.Exit(2 if isinstance(error, HolderNotConfigured) else 1) from error


def print_json(body: object) -> None:
    """Prints what a program reads, as JSON."""
    sys.stdout.write(json.dumps(body, indent=2) + "\n")


def log_to_stderr() -> None:
    """Logs what a long-running program does; of libraries, only what went wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("flwr", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


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


def _message(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        cause = getattr(error, "orig", None)
        return f"database: {cause or type(error).__name__}; is the disk full?"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
