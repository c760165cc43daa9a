"""`escapement-outlet`: what runs at an outlet, nightly, from a timer.

Exit codes of `nightly`: 0 the night was complete; 1 an error of our own, said in one line; 3 HQ was
not reached, or went away: tomorrow's night needs nothing from this one; 4 HQ does not know this
outlet; 5 this outlet's clock is wrong; 6 a setting, key or card is missing.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import shutil
import socket
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from outlet_client.errors import (
    ClockOff,
    HqUnreachable,
    NotConfigured,
    NotOnTheList,
    OutletError,
)
from outlet_client.flower_node import clock_difference
from outlet_client.nightly import nightly
from outlet_client.purchases import read_events
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import Card, Kind
from privacy.keyring import Keyring, KeyringError, write_private

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
HERE = Path()

EXIT_CODES: dict[type[Exception], int] = {
    HqUnreachable: 3,
    NotOnTheList: 4,
    ClockOff: 5,
    NotConfigured: 6,
    KeyringError: 6,
}
"""The one table from an error's type to an exit code; any other of our own is 1."""

LEAST_FREE_BYTES = 2**28
KEPT = ("identity.json", "public.json", "escapement.toml", "peers")
"""What a backup holds beside `outlet.db`, without which an outlet would answer a plan twice."""

_out = Console()
_err = Console(stderr=True)

SETTINGS_TEXT = """\
# This outlet's settings; what is commented out is the default.
ledger = "ledger.csv"        # Parquet or CSV, relative to this file
# directory = "directory.json"
# horizon_days = 180
# join_minutes = 30

[floors]                     # what this outlet refuses, whatever HQ and the office agree on
# least_quorum = 3
# least_noise = 4.0
# most_epsilon = 6.0
"""


@app.callback()
def private() -> None:
    """Whatever this program writes is for its own user only."""
    os.umask(0o077)


@app.command()
def enrol(
    name: Annotated[str, typer.Option(help="This outlet's name: letters, digits, hyphens.")],
    hq: Annotated[Path, typer.Option(help="HQ's public file.")],
    office: Annotated[Path, typer.Option(help="The privacy office's public file.")],
    home: Home = HERE,
    yes: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--yes", help="The fingerprints were compared already.")
    ] = False,
) -> None:
    """Makes this outlet's keys and one public file for HQ and the office to import."""
    with _failing():
        ring = Keyring(home, Kind.OUTLET)
        files = [(Kind.HQ, hq.read_bytes()), (Kind.OFFICE, office.read_bytes())]
        cards = [(Card.decode(data, kind), data) for kind, data in files]
        for card, _ in cards:
            _out.print(f"{card.kind} {card.name}, fingerprint {card.fingerprint}", highlight=False)
        if not yes:
            typer.confirm("Did both read you the same by another way?", abort=True)
        identity = ring.create(name, "", dt.datetime.now(dt.UTC))
        for card, data in cards:
            ring.trust(card, data)
        settings = home / "escapement.toml"
        if not settings.exists():
            settings.write_text(SETTINGS_TEXT)
        _out.print(
            f"Public file, for HQ and the office: {ring.public_file}\n"
            f"Fingerprint, to read to them: {identity.card.fingerprint}\n"
            f"Settings: {settings}\nBack up with `escapement-outlet backup FILE`.",
            highlight=False,
        )


@app.command("nightly")
def nightly_command(home: Home = HERE) -> None:
    """Joins tonight's night, answers, and leaves."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("flwr", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with _failing():
        answered = nightly(home)
        _out.print(f"Night complete, {answered} questions answered.", highlight=False)


@app.command()
def doctor(home: Home = HERE) -> None:
    """Checks keys, cards, settings, ledger, disk, HQ and clock, and says what to do."""
    healthy = True
    for check in _checks(home):
        try:
            found = check.look()
        except (OutletError, PrivacyError, FeatureError, OSError) as error:
            healthy = False
            _out.print(f"[red]✗[/] {check.name}: {error}", highlight=False, soft_wrap=True)
        else:
            _out.print(f"[green]✓[/] {check.name}: {found}", highlight=False, soft_wrap=True)
    if not healthy:
        raise typer.Exit(1)


@app.command()
def backup(file: Path, home: Home = HERE) -> None:
    """Writes keys, cards, settings and the memory of answers into one file. Keep it secret."""
    with _failing():
        Keyring(home, Kind.OUTLET).identity()
        write_private(file, b"")
        with tempfile.TemporaryDirectory() as folder, tarfile.open(file, "w:gz") as archive:
            for name in KEPT:
                if (home / name).exists():
                    archive.add(home / name, name)
            if (home / "outlet.db").exists():  # whole, also while a night is writing to it
                copy = Path(folder) / "outlet.db"
                with (
                    closing(sqlite3.connect(home / "outlet.db")) as source,
                    closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
                archive.add(copy, "outlet.db")
        _out.print(f"{file}: holds this outlet's secret keys; keep it where only you can read it.")


@app.command()
def restore(file: Path, home: Home = HERE) -> None:
    """Brings a backup back into an empty folder."""
    with _failing():
        if (home / "identity.json").exists():
            raise KeyringError(f"{home}: has keys already; restore into an empty folder")
        home.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file) as archive:
            archive.extractall(home, filter="data")
        _out.print(
            f"Restored to {home}. Plans answered after the backup are not remembered: tell HQ not "
            "to resume a night that began before now."
        )


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    look: Callable[[], str]


def _checks(home: Path) -> list[_Check]:
    ring = Keyring(home, Kind.OUTLET)

    def ledger() -> str:
        events = read_events(OutletFile.read(home / "escapement.toml").ledger)
        first, last = events.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
        return f"{len(events)} rows, {first} to {last}"

    def disk() -> str:
        free = shutil.disk_usage(home).free
        if free < LEAST_FREE_BYTES:
            raise NotConfigured(f"{free // 2**20} MiB free, expected 256; make room")
        return f"{free // 2**20} MiB free"

    def reach() -> str:
        host, _, port = ring.peer(Kind.HQ).address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise HqUnreachable(f"{host}:{port}", type(error).__name__) from error
        return f"{host}:{port} listens"

    def clock() -> str:
        off = clock_difference(ring.identity(), ring.peer(Kind.HQ))
        return f"{off:+.0f} s against HQ's"

    return [
        _Check("keys", lambda: f"outlet {ring.identity().card.name}"),
        _Check("HQ's card", lambda: ring.peer(Kind.HQ).fingerprint),
        _Check("office's card", lambda: ring.peer(Kind.OFFICE).fingerprint),
        _Check("ledger", ledger),
        _Check("disk", disk),
        _Check("HQ (listens during a night only)", reach),
        _Check("clock", clock),
    ]


class _failing:  # noqa: N801  (used as a word in a with statement)
    """Ends the program with one line and a documented code for an error of our own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SQLAlchemyError):
            cause = getattr(error, "orig", None)
            error = OSError(f"database: {cause or type(error).__name__}; is the disk full?")
        if isinstance(error, OutletError | PrivacyError | FeatureError | OSError):
            _err.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_CODES.get(type(error), 1)) from error
