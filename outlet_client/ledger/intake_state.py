"""What an outlet remembers of reading its ledger: files, parts, marks and counts, in `outlet.db`.

Invariant: of every file, `rows == live + left out + superseded + quarantined`; rows that were
replaced by a later reading of their file are in none of these.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source

METADATA = sa.MetaData()
_FILES = sa.Table(
    "intake_files",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("about", sa.Text, nullable=False),
)
_PARTS = sa.Table(
    "intake_parts",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("dead", sa.LargeBinary, nullable=False),
)
_ALL = sa.Table(
    "intake",
    METADATA,
    sa.Column("only", sa.Integer, primary_key=True),
    sa.Column("mapping", sa.Text, nullable=False),
    sa.Column("keep_days", sa.Integer, nullable=False),
    sa.Column("last_number", sa.Integer, nullable=False),
    sa.Column("quarantine", sa.Text, nullable=False),
)

_READING = "1"
"""Grows when this program reads the same cells differently: everything is then read anew."""


@dataclass(slots=True)
class Held:
    """One file, or the database, as far as it was read.

    Attributes:
        number: Its own, in the parts' column `file`.
        name: Its path; "" of a database.
        mark: Where its reading ended, as its reader wrote it; None where it is to be read whole.
        columns: The canonical names it has, and phone and email.
        noted: Whether its client entries were.
        whole_at: When it was last read whole, unix seconds.
        kept_from: The first day of the rows that were kept of it, ISO 8601; of several the last.
        last_row: The largest row number.
        rows: Its rows, of every fate.
        left_out: Those that were too old.
        superseded: Those whose line was corrected by a later row.
    """

    number: int
    name: str
    mark: str | None = None
    columns: frozenset[str] = frozenset()
    noted: bool = False
    whole_at: int = 0
    kept_from: str = ""
    last_row: int = 0
    rows: int = 0
    left_out: int = 0
    superseded: int = 0

    def restart(self) -> None:
        """Nothing of it was read."""
        self.mark, self.columns, self.noted = None, frozenset(), False
        self.last_row = self.rows = self.left_out = self.superseded = 0


@dataclass(slots=True)
class Part:
    """One part.

    Attributes:
        number: Part of its name; also the order in which rows were read.
        rows: How many are in the file.
        first_day: Of all rows in it, ISO 8601.
        files: Whose rows.
        has_lines: Whether any row has a line id.
        dead: Ascending positions of rows that count no more.
    """

    number: int
    rows: int
    first_day: str
    files: frozenset[int]
    has_lines: bool
    dead: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def name(self) -> str:
        """Of its file."""
        return f"part-{self.number}.parquet"

    @property
    def live(self) -> int:
        """How many rows count."""
        return self.rows - len(self.dead)

    def kill(self, positions: Iterable[int] | npt.NDArray[np.int64]) -> None:
        """Rows at these positions count no more."""
        self.dead = np.union1d(self.dead, np.asarray(positions, np.int64))


@dataclass(slots=True)
class State:
    """All of it.

    Attributes:
        mapping: Digest of how cells are read.
        keep_days: For how long rows were kept when they were read.
        last_number: The last that a file, part or quarantine was given.
        quarantine: Name of the quarantine's file; "" without one.
        files: By name.
        parts: By number.
    """

    mapping: str = ""
    keep_days: int = 0
    last_number: int = 0
    quarantine: str = ""
    files: dict[str, Held] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)

    def next_number(self) -> int:
        """A fresh number."""
        self.last_number += 1
        return self.last_number

    def held(self, name: str) -> Held:
        """What is known of a file; begun where nothing is."""
        if name not in self.files:
            self.files[name] = Held(self.next_number(), name)
        return self.files[name]

    def of(self, number: int) -> Held:
        """The file with a number."""
        return next(held for held in self.files.values() if held.number == number)

    def named(self) -> set[str]:
        """The files in `events/` that count."""
        return {part.name for part in self.parts.values()} | {self.quarantine}

    def forget(self) -> None:
        """Everything is to be read anew; numbers are not given twice."""
        self.files, self.parts, self.quarantine = {}, {}, ""

    @property
    def live(self) -> int:
        """How many rows count."""
        return sum(part.live for part in self.parts.values())


def load(connection: sa.Connection) -> State:
    """Reads the last committed state."""
    row = connection.execute(sa.select(_ALL)).one_or_none()
    if row is None:
        return State()
    state = State(row.mapping, row.keep_days, row.last_number, row.quarantine)
    for number, name, about in connection.execute(sa.select(_FILES)):
        found: dict[str, Any] = json.loads(about)
        columns = frozenset(found.pop("columns"))
        state.files[name] = Held(number, name, columns=columns, **found)
    for number, about, dead in connection.execute(sa.select(_PARTS).order_by(_PARTS.c.number)):
        found = json.loads(about)
        files = frozenset(found.pop("files"))
        positions = np.frombuffer(dead, np.int64)
        state.parts[number] = Part(number, files=files, dead=positions, **found)
    return state


def save(connection: sa.Connection, state: State) -> None:
    """Puts a state in the place of the last one."""
    for table in (_FILES, _PARTS, _ALL):
        connection.execute(sa.delete(table))
    files = [
        {"number": held.number, "name": held.name, "about": json.dumps(_about_file(held))}
        for held in state.files.values()
    ]
    parts = [
        {"number": part.number, "about": json.dumps(_about_part(part)), "dead": part.dead.tobytes()}
        for part in state.parts.values()
    ]
    if files:
        connection.execute(sa.insert(_FILES), files)
    if parts:
        connection.execute(sa.insert(_PARTS), parts)
    connection.execute(
        sa.insert(_ALL).values(
            only=1,
            mapping=state.mapping,
            keep_days=state.keep_days,
            last_number=state.last_number,
            quarantine=state.quarantine,
        )
    )


def mapping_of(settings: OutletFile) -> str:
    """A digest of how an outlet's cells are read: another one means to read all of them anew."""
    said = settings.ledger.model_dump(mode="json", exclude={"password_file"})
    noted = settings.region if settings.clients is None else ""  # client entries depend on it
    text = json.dumps([_READING, said, noted], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def label_of(held: Held, source: Source) -> str:
    """A file's name for people; a database's table."""
    return Path(held.name).name if held.name else source.name


def _about_file(held: Held) -> dict[str, object]:
    return {
        "mark": held.mark,
        "columns": sorted(held.columns),
        "noted": held.noted,
        "whole_at": held.whole_at,
        "kept_from": held.kept_from,
        "last_row": held.last_row,
        "rows": held.rows,
        "left_out": held.left_out,
        "superseded": held.superseded,
    }


def _about_part(part: Part) -> dict[str, object]:
    return {
        "rows": part.rows,
        "first_day": part.first_day,
        "files": sorted(part.files),
        "has_lines": part.has_lines,
    }
