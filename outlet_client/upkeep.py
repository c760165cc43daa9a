"""The commands that keep an outlet running: doctor, backup, restore.

Invariant: a check changes nothing; a backup is whole also while a night writes; and a restore never
touches a folder that has keys.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import typer
from rich.markup import escape

from features.errors import FeatureError
from features.ledger import SIGHTINGS
from features.sightings import canonical_sightings
from outlet_client.allocation import read_policy
from outlet_client.commands import HERE, OUT, Home, failing, services_of
from outlet_client.errors import HqUnreachable, NotConfigured, OutletError
from outlet_client.flower_node import clock_difference
from outlet_client.purchases import read_events, read_references, read_table
from outlet_client.services import HQ, OFFICE
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import Kind
from privacy.keyring import Keyring, KeyringError, write_private

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_FREE_BYTES = 2**28
REACH_SECONDS = 5.0
KEPT = ("identity.json", "public.json", "escapement.toml", "policy.toml", "peers")
"""What a backup holds beside `outlet.db`, without which an outlet would answer a plan twice."""


def doctor(home: Home = HERE) -> None:
    """Checks keys, cards, settings and their files, disk, HQ, clock, and says what to do."""
    healthy = True
    for check in _checks(home):
        try:
            found = check.look()
        except (OutletError, PrivacyError, FeatureError, OSError) as error:
            healthy = False
            said = escape(str(error))
            OUT.print(f"[red]✗[/] {check.name}: {said}", highlight=False, soft_wrap=True)
        else:
            OUT.print(f"[green]✓[/] {check.name}: {escape(found)}", highlight=False, soft_wrap=True)
    if not healthy:
        raise typer.Exit(1)


def backup(file: Path, home: Home = HERE) -> None:
    """Writes keys, cards, settings, policy.toml and `outlet.db` into one file. Keep it secret."""
    with failing():
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
        OUT.print(f"{file}: holds this outlet's secret keys; keep it where only you can read it.")


def restore(file: Path, home: Home = HERE) -> None:
    """Brings a backup back into an empty folder."""
    with failing():
        if (home / "identity.json").exists():
            raise KeyringError(f"{home}: has keys already; restore into an empty folder")
        home.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file) as archive:
            archive.extractall(home, filter="data")
        OUT.print(
            f"Restored to {home}. Plans answered after the backup are not remembered: tell HQ not "
            "to resume a night that began before now. Withdrawals made since the backup are not "
            "remembered either: make them again with `escapement-outlet withdraw`."
        )


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    look: Callable[[], str]


def _checks(home: Path) -> list[_Check]:
    ring = Keyring(home, Kind.OUTLET)

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

    def services(which: str) -> str:
        with closing(services_of(ring, REACH_SECONDS)) as both:
            both.reach(which)
        return "answer under the card's certificate"

    def clock() -> str:
        off = clock_difference(ring.identity(), ring.peer(Kind.HQ))
        return f"{off:+.0f} s against HQ's"

    return [
        _Check("keys", lambda: f"outlet {ring.identity().card.name}"),
        _Check("HQ's card", lambda: ring.peer(Kind.HQ).fingerprint),
        _Check("office's card", lambda: ring.peer(Kind.OFFICE).fingerprint),
        *_files(home / "escapement.toml"),
        _Check("disk", disk),
        _Check("HQ (listens during a night only)", reach),
        _Check("HQ's services", lambda: services(HQ)),
        _Check("office's services", lambda: services(OFFICE)),
        _Check("clock", clock),
    ]


def _files(path: Path) -> list[_Check]:
    """Reads the files that the settings name."""
    try:
        settings = OutletFile.read(path)
    except NotConfigured:
        return [_Check("settings", lambda: str(OutletFile.read(path)))]  # says what is wrong
    references, seen, policy = settings.references, settings.sightings, settings.policy

    def ledger() -> str:
        events = read_events(settings).events.filter(~pl.col("kind").is_in(list(SIGHTINGS)))
        first, last = events.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
        return f"{len(events)} rows, {first} to {last}"

    def sightings(file: Path) -> str:
        found = len(canonical_sightings(read_table(file), file.name))
        return f"{found} rows, {len(read_events(settings).apart)} of them of no customer here"

    checks = [_Check("ledger", ledger)]
    if references is not None:
        checks.append(_Check("references", lambda: f"{len(read_references(references))} rows"))
    if seen is not None:
        checks.append(_Check("sightings", lambda: sightings(seen)))
    if policy is not None:
        checks.append(_Check("policy", lambda: f"{len(read_policy(policy).rules)} rules"))
    return checks
