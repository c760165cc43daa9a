"""The commands that copy an outlet and bring it back: backup, restore.

Invariant: a backup is whole also while a night writes; and a restore never touches a folder that
has keys.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.database import DATABASES
from outlet_client.errors import OutletError
from outlet_client.ledger.event_store import EventStore
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import system_user
from outlet_client.sources.customer_keys import SECRET_FILE
from privacy.identity import PartyKind
from privacy.keyring import Keyring, KeyringError, write_private

KEPT = (
    "identity.json", "public.json", "escapement.toml", "policy.toml", "ledger.password",
    "mail.password", "peers", "events", SECRET_FILE,
)  # fmt: skip
"""What a backup holds beside the databases; `events` is the ledger as far as it was read."""


class BackupFailed(OutletError):
    """A backup whose copy of a database does not read back."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: its copy is damaged, and so may it be; run `escapement-outlet doctor`, and "
            "keep the last backup"
        )


def backup(file: Path, home: Home = HERE) -> None:
    """Writes keys, cards, settings, databases and `events` into one file. Keep it secret."""
    with failing():
        write_backup(home, file)
        say(f"{file}: holds this outlet's secret keys; keep it where only you can read it.")


def write_backup(home: Path, file: Path) -> None:
    """Writes a backup, and the act into the log; a kill leaves FILE.unfinished, and no FILE.

    Raises:
        KeyringError: If the folder has no keys.
        BackupFailed: If the copy of a database is damaged.
    """
    Keyring(home, PartyKind.OUTLET).identity()
    record_act_in(home, dt.datetime.now(dt.UTC), LogAct.EXPORT, system_user(), about="a backup")
    copy_folder(home, file)


def copy_folder(home: Path, file: Path) -> None:
    """Writes keys, cards, settings, databases and `events` into one file, whole or not at all.

    Raises:
        BackupFailed: If the copy of a database is damaged.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    write_private(unfinished, b"")
    with tarfile.open(unfinished, "w:gz") as archive, EventStore(home).locked():
        for name in KEPT:
            if (home / name).exists():
                archive.add(home / name, name)
        for name in DATABASES:
            if (home / name).exists():
                _copy_whole(home / name, archive)
    with unfinished.open("rb+") as written:
        os.fsync(written.fileno())
    unfinished.replace(file)


def _copy_whole(database: Path, archive: tarfile.TarFile) -> None:
    """Puts a database into an archive whole, also while a night is writing to it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / database.name
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            found = target.execute("PRAGMA quick_check(1)").fetchall()
        if found != [("ok",)]:
            raise BackupFailed(database.name)
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
