"""The commands that keep an outlet running: doctor, backup, restore.

Invariant: a check changes nothing; a backup is whole also while a night writes; and a restore never
touches a folder that has keys.
"""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from outlet_client.bands.book_store import read_book, why_stale
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import OUT, say
from outlet_client.errors import OWN_ERRORS, BookMissing, HqUnreachable, NotConfigured
from outlet_client.ledger.event_store import EventStore
from outlet_client.moments import now
from outlet_client.night.flower_node import clock_difference
from outlet_client.night.night_journal import error_text
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import system_user
from outlet_client.services import HQ, OFFICE, services_of
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import DryRun, dry_run
from privacy.identity import PartyKind
from privacy.keyring import Keyring, KeyringError, write_private

if TYPE_CHECKING:
    from collections.abc import Callable

_Check = tuple[str, "Callable[[], str]"]
"""A name, and what looks and says how it stands."""

LEAST_FREE_BYTES = 2**28
REACH_SECONDS = 5.0
KEPT = (
    "identity.json", "public.json", "escapement.toml", "policy.toml", "ledger.password", "peers",
    "events",
)  # fmt: skip
"""What a backup holds beside the databases; `events` is the ledger as far as it was read."""

TABLES = ("ledger", "references", "sightings", "interests", "clients", "policy")
"""What the settings may name."""

DATABASES = ("outlet.db", "rights.db", "staff.db")
"""Without the first an outlet would answer a plan twice; the second has the log of look-ups, the
third who may use the desk."""


def doctor(home: Home = HERE) -> None:
    """Checks keys, cards, settings and their files, disk, HQ, clock, and says what to do."""
    healthy = True
    for name, look in _checks(home):
        try:
            found = look()
        except HqUnreachable as error:  # by day that is as it should be
            _print_check("[yellow]?[/]", name, str(error))
        except (*OWN_ERRORS, OSError, SQLAlchemyError) as error:
            healthy = False
            _print_check("[red]✗[/]", name, error_text(error))
        else:
            _print_check("[green]✓[/]", name, found)
    if not healthy:
        raise typer.Exit(1)


def backup(file: Path, home: Home = HERE) -> None:
    """Writes keys, cards, settings, databases and `events` into one file. Keep it secret."""
    with failing():
        write_backup(home, file)
        say(f"{file}: holds this outlet's secret keys; keep it where only you can read it.")


def write_backup(home: Path, file: Path) -> None:
    """Writes a backup, and the act into the log.

    Raises:
        KeyringError: If the folder has no keys.
    """
    Keyring(home, PartyKind.OUTLET).identity()
    write_private(file, b"")
    record_act_in(home, dt.datetime.now(dt.UTC), LogAct.EXPORT, system_user(), about="a backup")
    with tarfile.open(file, "w:gz") as archive, EventStore(home).locked():
        for name in KEPT:
            if (home / name).exists():
                archive.add(home / name, name)
        for name in DATABASES:
            if (home / name).exists():
                _copy_whole(home / name, archive)


def _copy_whole(database: Path, archive: tarfile.TarFile) -> None:
    """Puts a database into an archive whole, also while a night is writing to it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / database.name
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        archive.add(copy, database.name)


def restore(file: Path, home: Home = HERE) -> None:
    """Brings a backup back into an empty folder."""
    with failing():
        if (home / "identity.json").exists():
            raise KeyringError(f"{home}: has keys already; restore into an empty folder")
        home.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file) as archive:
            archive.extractall(home, filter="data")
        say(
            f"Restored to {home}. Plans answered after the backup are not remembered: tell HQ not "
            "to resume a night that began before now. Withdrawals made since the backup are not "
            "remembered either: make them again with `escapement-outlet withdraw`. Disputes and "
            "other requests, corrections, sightings and look-ups since the backup are gone too: "
            "take disputes and corrections down again with `escapement-outlet customer`, and "
            "decide sightings with `escapement-outlet sightings`, before a band is shown. Where "
            "a night came after the backup, the next one finds that the log went back, and says so "
            "from then on: tell the privacy office why. Who was removed since may use the desk "
            "again, and passwords are those of then: see `escapement-outlet staff list`."
        )


def _print_check(mark: str, name: str, said: str) -> None:
    OUT.print(f"{mark} {name}: {escape(said)}", highlight=False, soft_wrap=True)


def _checks(home: Path) -> list[_Check]:
    ring = Keyring(home, PartyKind.OUTLET)

    def disk() -> str:
        free = shutil.disk_usage(home).free
        if free < LEAST_FREE_BYTES:
            raise NotConfigured(f"{free // 2**20} MiB free, expected 256; make room")
        return f"{free // 2**20} MiB free"

    def reach() -> str:
        host, _, port = ring.peer(PartyKind.HQ).address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise HqUnreachable(f"{host}:{port}", type(error).__name__) from error
        return f"{host}:{port} listens"

    def services(which: str) -> str:
        with closing(services_of(ring, REACH_SECONDS)) as both:
            both.reach(which)
        return "answer under the card's certificate"

    def clock() -> str:
        off = clock_difference(ring.identity(), ring.peer(PartyKind.HQ))
        return f"{off:+.0f} s against HQ's"

    return [
        ("keys", lambda: f"outlet {ring.identity().card.name}"),
        ("HQ's card", lambda: ring.peer(PartyKind.HQ).fingerprint),
        ("office's card", lambda: ring.peer(PartyKind.OFFICE).fingerprint),
        *_files(home),
        ("disk", disk),
        ("HQ (listens during a night only)", reach),
        ("HQ's services", lambda: services(HQ)),
        ("office's services", lambda: services(OFFICE)),
        ("clock", clock),
        ("directory", lambda: _losses(home, ring)),
        ("band book", lambda: _book(home, ring)),
    ]


def _losses(home: Path, ring: Keyring) -> str:
    """Whether a directory takes many of this outlet's people away.

    Raises:
        NotConfigured: If so.
    """
    if not (home / "outlet.db").exists():  # a check makes none
        return "nobody was handed in yet"
    with closing(People.open(home, ring.identity())) as people:
        lost, nowhere = people.held_losses(), people.in_no_directory()
    if lost is not None:
        raise NotConfigured(
            f"takes {lost.lost} of your people away, since {lost.since}: ask the privacy office "
            "why; if they withdrew elsewhere, `escapement-outlet directory accept`"
        )
    return f"{nowhere} people were handed in and are in none" if nowhere else "takes nobody away"


def _book(home: Path, ring: Keyring) -> str:
    """Which band book is shown.

    Raises:
        BookMissing: If it is stale, or its directory is missing.
        PrivacyError: If book or directory are forged or malformed.
    """
    book = read_book(home, ring.publishers())
    if book is None:
        return "none yet; it comes with the network's first bands"
    if why := why_stale(book, now(), OutletFile.read(home / "escapement.toml")):
        raise BookMissing(why)
    return f"as of {book.as_of}"


def _files(home: Path) -> list[_Check]:
    path = home / "escapement.toml"
    try:
        settings = OutletFile.read(path)
    except NotConfigured:
        return [("settings", lambda: str(OutletFile.read(path)))]  # says what is wrong
    found = dry_run(settings, now(), home=home)
    problems = dict(problem.split(": ", 1) for problem in reversed(found.problems))  # the first
    names = [name for name in TABLES if getattr(settings, name) is not None]
    names += ["sightings"] if found.apart is not None else []  # staff reported some
    return [
        (name, partial(_said, settings, found, name, problems.get(name)))
        for name in dict.fromkeys([*names, *problems])
    ]


def _said(settings: OutletFile, found: DryRun, name: str, problem: str | None) -> str:
    """How a table stands, as `check` would find it.

    Raises:
        NotConfigured: If it has a problem, or the ledger too many bad rows for a night.
    """
    if problem is not None:
        raise NotConfigured(problem)
    if name == "sightings" and found.apart is not None:
        return f"{sum(found.apart.values())} of no customer here"
    if name != "ledger":
        return "can be read"
    rows, bad = found.intake.rows, f"{found.intake.quarantined} of {found.intake.rows} rows"
    if found.intake.share > settings.most_quarantined:
        raise NotConfigured(
            f"{bad} cannot be used, expected at most {settings.most_quarantined:.1%}; "
            "`escapement-outlet check` lists them"
        )
    first, last = found.columns["purchased_at"].range or ("", "")
    left = f"; {bad} cannot be used" if found.intake.quarantined else ""
    return f"{rows} rows, {first} to {last}{left}"
