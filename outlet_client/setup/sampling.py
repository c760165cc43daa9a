"""A first look at a file or database that nothing is known of yet: how it is written, and a sample.

Invariant: looking changes nothing. A sample is the outlet's own rows under its own names; only
guesses about it leave this module's callers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.ledger import ROW
from outlet_client.setup.encoding_guess import encoding_of
from outlet_client.setup.guess import Guess
from outlet_client.setup.layout_guess import (
    NO_HEADER,
    begins_with_data,
    layout_of,
    rows_above,
)
from outlet_client.setup.sheet_guess import header_row, sheet_of
from outlet_client.sources.packed_files import unpacked
from outlet_client.sources.row_batches import readable
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import (
    files_of,
    header_of,
    read_database,
    read_file,
    tables_of,
)
from outlet_client.sources.workbooks import SUFFIXES, is_workbook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SAMPLE_ROWS = 20_000
"""How many rows a guess is made from."""

_CHUNK = 2**20
_FIRST_LINES = 500
_MARKUP = ("<html", "<!doctype", "<?xml", "<table", "<meta")


@dataclass(frozen=True, slots=True, repr=False)
class Seen:
    """A table as it was found.

    Attributes:
        source: Where it is and how its text is written, as far as that is known.
        sample: Its first rows, under the outlet's own names.
        guesses: Delimiter, encoding and lines before the header of a text file; sheet and rows
            before the header of a workbook.
        doubts: What a person should look at; each a sentence.
    """

    source: Source
    sample: pl.DataFrame
    guesses: dict[str, Guess]
    doubts: tuple[str, ...] = ()


def look_at_files(pattern: str) -> Seen:
    """Looks at a Parquet or text file or a workbook, or at all files of a pattern.

    Raises:
        LedgerError: If there is no such file, it is none that can be read, or it has no header.
    """
    source = Source(source=pattern)
    if Path(pattern).is_dir():
        raise LedgerError(pattern, None, None, "a folder; name a file, or a pattern such as *.csv")
    files = files_of(source)
    if files[0].suffix == ".parquet":
        return Seen(source, _sample(source, files), {})
    if is_workbook(files[0]):
        place = sheet_of(files[0])
        source = source.model_copy(update={"sheet": place.sheet, "skip_rows": place.skip_rows})
        return _seen(source, files, place.guesses, place.doubts)
    return _look_at_text(source, files)


def rows_before_header(source: Source) -> int:
    """How many lines, or rows of a sheet, seem to stand before the header of a source's first file.

    Raises:
        LedgerError: If there is no such file, or it cannot be read.
    """
    path = files_of(source)[0]
    if path.suffix == ".parquet":
        return 0
    if is_workbook(path):
        return header_row(path, source.sheet)
    text, newline = _first_text(path, source.encoding)
    return rows_above(text, newline, source.delimiter)


def _look_at_text(source: Source, files: Sequence[Path]) -> Seen:
    """Looks at files of text: how they are encoded, and where their tables are.

    Raises:
        LedgerError: If they hold no table.
    """
    name = files[0].name
    encoding = encoding_of(chunk for file in files for chunk in _chunks(file))
    text, newline = _first_text(files[0], encoding.value)
    if text.lstrip("\ufeff \t\r\n")[:9].lower().startswith(_MARKUP):
        reason = "holds a web page or XML; open it in a spreadsheet, and save it as .xlsx or CSV"
        raise LedgerError(name, None, None, reason)
    layout = layout_of(text, newline)
    if layout is None:
        reason = "no rows of two cells or more, with a comma, semicolon, tab or bar between them"
        raise LedgerError(name, None, None, reason)
    guesses = {"delimiter": layout.delimiter, "encoding": encoding}
    if layout.skip_rows:
        why = "so many lines stand before the header"
        guesses["skip_rows"] = Guess(str(layout.skip_rows), why)
    found = {
        "delimiter": layout.delimiter.value,
        "encoding": encoding.value,
        "skip_rows": layout.skip_rows,
    }
    return _seen(source.model_copy(update=found), files, guesses)


def _seen(
    source: Source, files: Sequence[Path], guesses: dict[str, Guess], doubts: Sequence[str] = ()
) -> Seen:
    """A table as it is read by what was guessed of it.

    Raises:
        LedgerError: If its header is a row.
    """
    if begins_with_data(header_of(source, files[0])):
        raise LedgerError(files[0].name, 1, None, NO_HEADER)
    unsure = [
        f"{key}: {guess.why}; is that so?" for key, guess in guesses.items() if not guess.sure
    ]
    return Seen(source, _sample(source, files), guesses, (*unsure, *doubts))


def _chunks(path: Path) -> Iterator[bytes]:
    """A text file's bytes, unpacked.

    Raises:
        LedgerError: If it cannot be read, or is no text.
    """
    with readable(path.name, "text"), unpacked(path) as file:
        if (kind := file.kind()) is not None:
            known = ", ".join(sorted(SUFFIXES))
            reason = f"holds {kind}; expected text, or a name that says so, such as {known} or .gz"
            raise LedgerError(path.name, None, None, reason)
        while chunk := file.data.read(_CHUNK):
            yield chunk


def _first_text(path: Path, encoding: str) -> tuple[str, str]:
    """The first lines, the last of them whole, and what ends a line."""
    start = next(_chunks(path), b"")
    text = start.decode(encoding, errors="replace")
    newline = "\r" if "\r" in text and "\n" not in text else "\n"
    whole = text if len(start) < _CHUNK else text[: text.rfind(newline) + 1]
    return "".join(whole.splitlines(keepends=True)[:_FIRST_LINES]), newline


def _sample(source: Source, files: Sequence[Path]) -> pl.DataFrame:
    """Rows of the first file and, where there are several, of the last."""
    ends = list(dict.fromkeys((files[0], files[-1])))
    most = SAMPLE_ROWS // len(ends)
    parts = []
    for path in ends:
        names = _names(header_of(source, path))
        parts.append(_first_rows((b.rows for b in read_file(source, path, names)), most))
    sample = _together(parts)
    if sample.is_empty():
        raise LedgerError(files[0].name, None, None, "no rows; expected at least one")
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
    return _together(found).head(most) if found else pl.DataFrame()


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of several parts; a column of which one has days and another text is text."""
    kinds: dict[str, set[pl.DataType]] = {}
    for column in (column for part in parts for column in part):
        kinds.setdefault(column.name, set()).add(column.dtype)
    mixed = [name for name, some in kinds.items() if pl.String in some and len(some) > 1]
    return pl.concat(
        [
            part.with_columns(pl.col(c).cast(pl.String) for c in mixed if c in part)
            for part in parts
        ],
        how="diagonal_relaxed",
    )


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
        raise LedgerError(source.name, None, None, "no rows; expected at least one")
    return Seen(source, sample, {})
