"""A first look at a file or database that nothing is known of yet: how it is written, and a sample.

Invariant: looking changes nothing. A sample is the outlet's own rows under its own names; only
guesses about it leave this module's callers.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.ledger import ROW
from outlet_client.setup.format_guess import NO_HEADER, begins_with_data, delimiter_of, encoding_of
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import (
    files_of,
    header_of,
    read_database,
    read_file,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from outlet_client.setup.format_guess import Guess

SAMPLE_ROWS = 20_000
"""How many rows a guess is made from."""

_CHUNK = 2**20
_FIRST_LINES = 500
_WORKBOOKS = {b"PK\x03\x04": "an Excel or zip file", b"\xd0\xcf\x11\xe0": "an old Excel file"}


@dataclass(frozen=True, slots=True, repr=False)
class Seen:
    """A table as it was found.

    Attributes:
        source: Where it is and how its text is written, as far as that is known.
        sample: Its first rows, under the outlet's own names.
        guesses: Delimiter and encoding of a CSV file.
        doubts: What a person should look at; each a sentence.
    """

    source: Source
    sample: pl.DataFrame
    guesses: dict[str, Guess]
    doubts: tuple[str, ...] = ()


def look_at_files(pattern: str) -> Seen:
    """Looks at a Parquet or CSV file, or at all files of a pattern.

    Raises:
        LedgerError: If there is no such file, it is none that can be read, or it has no header.
    """
    source = Source(source=pattern)
    if Path(pattern).is_dir():
        raise LedgerError(pattern, None, None, "a folder; name a file, or a pattern such as *.csv")
    files = files_of(source)
    if files[0].suffix == ".parquet":
        return Seen(source, _sample(source, files), {})
    with _readable(files[0]) as file:
        start = file.read(4)
    if start in _WORKBOOKS:
        reason = f"{_WORKBOOKS[start]}; export it as CSV (UTF-8)"
        raise LedgerError(files[0].name, None, None, reason)
    encoding = encoding_of(chunk for file in files for chunk in _chunks(file))
    lines = _first_lines(files[0], encoding.value)
    if lines and re.fullmatch(r"\ufeff?sep=.\s*", lines[0]):
        reason = "names a delimiter; expected the columns' names: take this line away"
        raise LedgerError(files[0].name, 1, None, reason)
    delimiter = delimiter_of(lines)
    if delimiter is None:
        reason = "no rows of two cells or more, with a comma, semicolon, tab or bar between them"
        raise LedgerError(files[0].name, None, None, reason)
    source = Source(source=pattern, delimiter=delimiter.value, encoding=encoding.value)
    if begins_with_data(header_of(source, files[0])):
        raise LedgerError(files[0].name, 1, None, NO_HEADER)
    guesses = {"delimiter": delimiter, "encoding": encoding}
    doubts = tuple(
        f"{name}: {guess.why}; is that so?" for name, guess in guesses.items() if not guess.sure
    )
    return Seen(source, _sample(source, files), guesses, doubts)


@contextmanager
def _readable(path: Path) -> Iterator[gzip.GzipFile]:
    """A file's bytes, unpacked; errors become our own."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]  # both read bytes alike
    except (OSError, EOFError) as error:
        raise LedgerError(path.name, None, None, f"not readable: {type(error).__name__}") from error


def _chunks(path: Path) -> Iterator[bytes]:
    with _readable(path) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _first_lines(path: Path, encoding: str) -> list[str]:
    """The first lines with their ends; the last of them whole."""
    start = next(_chunks(path), b"")
    lines = start.decode(encoding, errors="replace").splitlines(keepends=True)
    whole = lines if len(start) < _CHUNK else lines[:-1]
    return whole[:_FIRST_LINES]


def _sample(source: Source, files: Sequence[Path]) -> pl.DataFrame:
    """Rows of the first file and, where there are several, of the last."""
    ends = list(dict.fromkeys((files[0], files[-1])))
    most = SAMPLE_ROWS // len(ends)
    parts = []
    for path in ends:
        names = _names(header_of(source, path))
        parts.append(_first_rows((b.rows for b in read_file(source, path, names)), most))
    sample = pl.concat(parts, how="diagonal_relaxed")
    if sample.is_empty():
        raise LedgerError(files[0].name, None, None, "no rows; expected at least one event")
    return sample


def _names(header: Sequence[str]) -> list[str]:
    """The columns that a mapping can name: each once, and called something."""
    counts = Counter(header)
    return [name for name in header if name.strip() and name != ROW and counts[name] == 1]


def _first_rows(batches: Iterable[pl.DataFrame], most: int) -> pl.DataFrame:
    found: list[pl.DataFrame] = []
    for rows in batches:
        found.append(rows.drop(ROW, strict=False))
        if sum(map(len, found)) >= most:
            break
    return pl.concat(found, how="diagonal_relaxed").head(most) if found else pl.DataFrame()


def look_at_table(source: Source) -> Seen:
    """Looks at a table, view or query of a database.

    Raises:
        LedgerError: If none is named, or it cannot be reached or read.
    """
    if source.table is None and source.query is None:
        there = ", ".join(tables_of(source)) or "none"
        reason = f"name a table with --table, or a SELECT with --query; there are: {there}"
        raise LedgerError("database", None, None, reason)
    names = _names(header_of(source))
    sample = _first_rows((batch.rows for batch in read_database(source, names)), SAMPLE_ROWS)
    if sample.is_empty():
        raise LedgerError(source.name, None, None, "no rows; expected at least one event")
    return Seen(source, sample, {})
