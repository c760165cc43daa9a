"""A backup as a folder: whole under its name, or not there.

Invariant: a folder of the name that was asked for holds all of a backup, durable, its databases
read through once. A kill leaves NAME.unfinished, which the next one replaces.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from server.holder.errors import HolderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BackupFailed(HolderError):
    """A backup whose own copy of a database does not read back."""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder, whole or not at all.

    Args:
        folder: Must not exist.

    Yields:
        Where its files are to be put.

    Raises:
        OSError: If the folder exists, or cannot be written.
        BackupFailed: If a database in it is damaged.
    """
    if folder.exists():
        raise OSError(f"{folder}: is there already; give the backup another name")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    yield unfinished
    for found in sorted(unfinished.rglob("*")):
        if found.suffix == ".db":
            _check(found)
        _sync(found)
    _sync(unfinished)
    unfinished.rename(folder)
    _sync(folder.parent)


def _check(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        found = [(type(error).__name__,)]
    if found != [("ok",)]:
        raise BackupFailed(
            f"{database.name}: its copy is damaged, and so may it be; run this program's `doctor`, "
            "and keep the last backup"
        )


def _sync(place: Path) -> None:
    """Lets a file or folder outlive a power cut."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
