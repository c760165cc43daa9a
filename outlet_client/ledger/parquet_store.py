"""Parquet parts: where the rows lie that an outlet read from its own ledger.

Invariant: a part's name stands for the same bytes for ever. It is written under another name,
synced and renamed, so a kill leaves no half part; one that `outlet.db` does not name is rubbish.
Whoever reads or writes parts holds `events.lock`, so none vanishes under a reader.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import KINDS
from outlet_client.errors import OutletError
from privacy.keyring import write_private

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

PART_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.Int32(),
    "row": pl.Int64(),
    "line": pl.String(),
    "customer": pl.String(),
    "outlet": pl.String(),
    "date": pl.Date(),
    "kind": KINDS,
    "price": pl.Float64(),
    "list_price": pl.Float64(),
    "basket": pl.String(),
    "serial": pl.String(),
    "reference": pl.String(),
}
QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.Int32(),
    "row": pl.Int64(),
    "line": pl.String(),
    "column": pl.String(),
    "reason": pl.String(),
}
"""One row a bad cell; never the cell."""

_FOLDER, _LOCK = "events", "events.lock"


class PartMissing(OutletError):
    """A part that was read before is gone or damaged."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{_FOLDER}/{name}: missing or damaged; bring the outlet's folder back from a backup, "
            f"or delete `{_FOLDER}` whole: the ledger is then read anew"
        )


class Parts:
    """The parts in one outlet's folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / _FOLDER

    @property
    def are_there(self) -> bool:
        """Whether there is a folder of parts; an operator may have deleted it."""
        return self._folder.is_dir()

    @contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """Waits for the turn of a reader, or of the one writer."""
        descriptor = os.open(self._home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def write(self, name: str, rows: pl.DataFrame) -> None:
        """Writes a part, readable by its owner only; after this it outlives a power cut.

        Raises:
            OSError: If the disk is full.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place = self._folder / f"{name}.new"
        write_private(place, b"")
        try:
            rows.write_parquet(place, compression="lz4")
        except pl.exceptions.PolarsError as error:
            raise OSError(f"{place.name}: not written; is the disk full?") from error
        _sync(place)
        place.replace(self._folder / name)
        _sync(self._folder)

    def read(self, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Reads a part, or some of its columns.

        Raises:
            PartMissing: If it is gone or damaged.
        """
        try:
            return pl.read_parquet(self._folder / name, columns=columns, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise PartMissing(name) from error

    def tidy(self, named: Collection[str]) -> None:
        """Removes what nobody names: what a kill left, and what was replaced."""
        for place in self._folder.glob("*") if self.are_there else ():
            if place.name not in named:
                place.unlink()


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
