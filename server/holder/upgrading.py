"""The upgrade of a holder's folder: settings, stores, and what lies beside them, backup first.

Invariant: before anything is changed there is a copy of all of it, but of keys that die; and each
step is whole or not at all, so that who was interrupted runs it again. Nothing is upgraded while
the holder serves, or while a release or seal is open: its keys are in no copy.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from server.holder.database import (
    WAIT_SECONDS,
    closing_engine,
    copy_store,
    create_store,
    file_of,
    open_store,
    place_of,
    reading,
)
from server.holder.errors import StoreMissing, StoreOutdated, StoreRefused
from server.holder.locks import NIGHT_LOCK, SERVE_LOCK, locked
from server.holder.migrating import upgrade_tables
from server.holder.retired_settings import without_retired
from server.holder.vault import SECRETS_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from server.holder.database import StoreSchema

_DYING = frozenset({SECRETS_FILE, "release.key"})
"""Keys that die: in no copy."""

_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class FolderUpgrade:
    """What a holder's upgrade does besides what every holder's does.

    Attributes:
        program: The command line.
        settings: Name of the settings file.
        retired: Its retired settings, and by which one each is replaced, if any.
        store: The store that may be on a server.
        others: SQLite files of the folder; one that is missing is made.
        open_work: Names a release or seal that is open in a store of whatever revision; "".
        within: Does what no script can, in the transaction of the store's upgrade.
        merged: Files of earlier releases whose rows are in the store then.
    """

    program: str
    settings: str
    retired: frozenset[str]
    store: StoreSchema
    others: Sequence[StoreSchema]
    open_work: Callable[[sa.Connection], str]
    within: Callable[[sa.Connection, str], None] = field(repr=False)
    merged: Sequence[str] = ()

    def run(self, home: Path, database: str, say: Callable[[str], None]) -> None:
        """Upgrades a folder; what is of this release stays as it is.

        Args:
            home: The folder.
            database: The setting of that name; "" for a file.
            say: Is told each step.

        Raises:
            StoreRefused: If the holder serves, a release is open, or a store is missing, of a
                later release or none of ours; nothing is changed then.
        """
        with locked(home / SERVE_LOCK) as idle, locked(home / NIGHT_LOCK) as asleep:
            if not (idle and asleep):
                raise StoreRefused(
                    f"{home}: `{self.program} serve` or a night runs there, expected neither; stop "
                    "it and run the upgrade again"
                )
            self._run(home, self.store.url(home, database), say)

    def _run(self, home: Path, url: str, say: Callable[[str], None]) -> None:
        moves = self._moves(home, url)
        source = self.store.url(home) if moves else url
        stores = [(source, self.store), *((one.url(home), one) for one in self.others)]
        text, removed = without_retired(home / self.settings, self.retired)
        old = [(at, schema) for at, schema in stores if self._is_old(at, schema)]
        if not (old or removed or moves or self._leftovers(home)):
            say("All of it is of this release already.")
            return
        self._refuse_open(source)
        self._back_up(home, source, say)
        if removed:
            _replace(home / self.settings, text)
            for line in removed:
                say(f"{home / self.settings}: took out {line}")
        for at, schema in old:
            self._upgrade(at, schema, say)
        for name in self._leftovers(home):
            (home / name).unlink()
        if moves:
            self._move(home, url, say)
        for at, schema in stores[1:] if moves else stores:
            open_store(at, schema).dispose()
        say("Done: every store opens. Start it, and run the next night as ever.")

    def _upgrade(self, url: str, schema: StoreSchema, say: Callable[[str], None]) -> None:
        with closing_engine(url, schema) as engine:
            file = file_of(engine)
            if file is not None and not file.exists():
                create_store(url, schema)
                say(f"{file}: made, empty")
                return
            then = self.within if schema is self.store else _nothing
            upgrade_tables(engine, schema, say, then)

    def _is_old(self, url: str, schema: StoreSchema) -> bool:
        """Whether a store has to be upgraded, or made."""
        try:
            open_store(url, schema).dispose()
        except StoreOutdated:
            return True
        except StoreMissing:
            if schema is self.store:
                raise
            return True
        return False

    def _moves(self, home: Path, url: str) -> bool:
        """Whether the settings name an empty database on a server, and a file is to be moved."""
        file = home / self.store.file
        with closing_engine(url, self.store) as engine:
            if file_of(engine) is not None or not file.exists():
                return False
            try:
                open_store(url, self.store).dispose()
            except StoreMissing:
                return True
            except StoreOutdated:
                return False
        raise StoreRefused(
            f"{file}: got a file beside {place_of(engine)}, expected one of both; move away what "
            "is not to be used"
        )

    def _move(self, home: Path, url: str, say: Callable[[str], None]) -> None:
        """Moves the store from its file to the server."""
        source = open_store(self.store.url(home), self.store)
        try:
            copy_store(source, url, self.store)
        finally:
            source.dispose()
        with closing_engine(url, self.store) as engine:
            say(f"{home / self.store.file}: moved to {place_of(engine)}")
        (home / self.store.file).unlink()

    def _leftovers(self, home: Path) -> list[str]:
        """Files whose rows are in the store; they are removed once it is upgraded."""
        return [name for name in self.merged if (home / name).exists()]

    def _refuse_open(self, url: str) -> None:
        with closing_engine(url, self.store) as engine, reading(engine) as connection:
            if engine.dialect.name == "postgresql":
                others = (
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if connection.exec_driver_sql(others).scalar():
                    raise StoreRefused(
                        f"{place_of(engine)}: somebody else is connected, expected nobody; stop "
                        f"`{self.program}` and whoever reads there"
                    )
            name = self.open_work(connection)
        if name:
            raise StoreRefused(
                f"release {name} is open, expected none: its keys are in no backup. Run its night "
                "to its end with the release that began it, or wait until its plan has expired"
            )

    def _back_up(self, home: Path, url: str, say: Callable[[str], None]) -> None:
        """Copies the folder into one of its own, but for keys that die; once a revision."""
        place = home / f"before-{self.store.revision}"
        if place.exists():
            say(f"Backup: {place}, made before.")
            return
        unfinished = home / f"{place.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        for found in sorted(home.iterdir()):
            if _is_copied(found):
                _copy(found, unfinished / found.name)
        with closing_engine(url, self.store) as engine:
            if file_of(engine) is None:
                _copy_server(engine, unfinished / self.store.file)
        unfinished.rename(place)
        say(
            f"Backup: {place}. It holds secret keys: keep it where only you can read it, and "
            "delete it when all is well. To go back, use it as --home with the release before."
        )


def _nothing(_connection: sa.Connection, _before: str) -> None:
    """Nothing is to be done besides the scripts."""


def _is_copied(found: Path) -> bool:
    """Whether a backup has a file or folder; not keys that die, nor an earlier backup."""
    return found.name not in _DYING and not found.name.startswith("before-")


def _copy(found: Path, place: Path) -> None:
    if found.is_dir():
        shutil.copytree(found, place)
    elif found.suffix == ".db":
        with (
            closing(sqlite3.connect(found, timeout=WAIT_SECONDS)) as source,
            closing(sqlite3.connect(place)) as copy,
        ):
            source.backup(copy)
    elif found.is_file() and not found.name.endswith((".db-journal", ".lock")):
        shutil.copy2(found, place)


def _copy_server(engine: sa.Engine, place: Path) -> None:
    """Copies all tables of a database on a server, of whatever revision, into a SQLite file."""
    tables = sa.MetaData()
    copy = sa.create_engine(f"sqlite:///{place}", hide_parameters=True)
    with reading(engine) as old, copy.begin() as new:
        tables.reflect(old)
        for table in tables.sorted_tables:
            for column in table.columns:
                column.server_default = None
                column.type = column.type.as_generic()  # SQLite has no BYTEA
            table.indexes.clear()
        tables.create_all(new)
        for table in tables.sorted_tables:
            rows = old.execute(sa.select(table).order_by(*table.primary_key.columns))
            for some in rows.mappings().partitions(_ROWS):
                new.execute(table.insert(), [dict(row) for row in some])
    copy.dispose()


def _replace(file: Path, text: str) -> None:
    """Writes a settings file anew, whole or not at all."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    shutil.copymode(file, unfinished)
    unfinished.replace(file)
