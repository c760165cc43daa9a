"""What release 0.1 kept of files that are gone: read once, so that an upgrade loses no row.

Invariant: only rows of files that are no longer there are taken over; of all others the ledger
itself is read anew. Nothing here is written.

Release 0.1 kept rows in numbered Parquet parts under `events/`; `outlet.db` named the parts, the
source files, and the places of rows that counted no more.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from outlet_client.errors import OutletError
from outlet_client.ledger.intake import EVENT_CELLS, ROW_SCHEMA, with_fates
from outlet_client.ledger.ledger_reading import SourceFile

if TYPE_CHECKING:
    from collections.abc import Collection

    from outlet_client.ledger.ledger_reading import ReadLedger

_LOG = logging.getLogger(__name__)


class OldPartDamaged(OutletError):
    """A part of release 0.1 cannot be read, and may hold rows of files that are gone."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"events/{name}: damaged, and it may hold rows of files that are gone; bring it back "
            "from a backup, or delete it to go on without them"
        )


def with_vanished_files(ledger: ReadLedger, home: Path) -> ReadLedger:
    """Adds the rows that release 0.1 kept of files that are gone.

    Args:
        ledger: As it was just read, for the first time by this release.
        home: The outlet's folder.

    Returns:
        The same ledger where there are none.

    Raises:
        OldPartDamaged: If a part cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"file:{home / 'outlet.db'}?mode=ro", uri=True)) as database:
            files = database.execute("SELECT number, name, about FROM intake_files").fetchall()
            parts = database.execute("SELECT number, dead FROM intake_parts").fetchall()
    except sqlite3.OperationalError:  # a folder of this release only
        return ledger
    known = {file.sha256 for file in ledger.files.values()}
    gone = {
        number: SourceFile(
            name=os.path.relpath(name, home.resolve()),
            label=Path(name).name,
            kept_from=about["kept_from"],
            columns=tuple(about["columns"]),
        )
        for number, name, text in files
        for about in [json.loads(text)]
        if name and not Path(name).exists() and _sha256_of(about) not in known
    }
    rows = pl.concat([_live(home, number, dead, gone) for number, dead in parts] or [_NO_ROWS])
    for number, file in gone.items():
        theirs = rows.filter(pl.col("file") == number).drop("file")
        if not theirs.is_empty():
            told = theirs.with_columns(since=pl.lit(ledger.readings + 1, pl.Int32))
            ledger = ledger.with_file(replace(file, number=ledger.next_number), told)
            _LOG.info("%s: gone; %d rows that were read of it are kept", file.label, len(told))
    return replace(ledger, rows=with_fates(ledger.rows))


_NAMES = ("file", "row", "line", *EVENT_CELLS)
_LATER = ("refund", "bad", "apart")
_NO_ROWS = pl.DataFrame(schema={name: ROW_SCHEMA[name] for name in (*_NAMES, *_LATER)})


def _sha256_of(about: dict[str, str]) -> str | None:
    """Of a file's bytes; None where 0.1 did not know it."""
    mark = json.loads(about["mark"] or "{}")
    return mark.get("sha256") or None


def _live(home: Path, number: int, dead: bytes, files: Collection[int]) -> pl.DataFrame:
    """The rows of one part that count and are of some files."""
    place = home / "events" / f"part-{number}.parquet"
    if not files or not place.exists():
        return _NO_ROWS
    try:
        rows = pl.read_parquet(place, columns=[*_NAMES], glob=False)
    except pl.exceptions.PolarsError as error:
        raise OldPartDamaged(place.name) from error
    alive = rows.with_row_index("place").filter(
        ~pl.col("place").is_in(np.frombuffer(dead, np.int64).tolist())
    )
    theirs = alive.filter(pl.col("file").is_in(list(files)))
    none = (pl.lit(None, ROW_SCHEMA[name]).alias(name) for name in _LATER)
    return theirs.with_columns(none).select(_NO_ROWS.columns)
