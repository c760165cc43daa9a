"""The one door to an outlet's tables: files and databases under canonical names.

Invariant: what a source holds comes as rows, as malformed records or as records apart, each counted
once, in one batch at least, so that its columns are known; and what cannot be read at all is one
`LedgerError` that names the file or table, never a cell.
"""

from __future__ import annotations

import glob
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import polars as pl
import polars.selectors as cs

from features.cell_parsing import without_fraction
from features.errors import LedgerError
from features.kinds import LEDGER_KINDS
from features.ledger_format import LedgerFormat, Standing, normal
from outlet_client.sources import databases
from outlet_client.sources.csv_files import csv_header, read_csv
from outlet_client.sources.databases import database_header, primary_key_of, tables_of
from outlet_client.sources.record_rules import RecordRules
from outlet_client.sources.row_batches import (
    ROW,
    ROWS_A_BATCH,
    Batch,
    malformed,
    pick,
    readable,
)
from outlet_client.sources.workbooks import is_workbook, read_workbook, workbook_header

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import (
        Callable,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from outlet_client.sources.source import Source

__all__ = [
    "Batch",
    "batches_of",
    "decoded",
    "files_of",
    "format_of",
    "header_of",
    "primary_key_of",
    "read_all",
    "read_database",
    "read_file",
    "tables_of",
]

FILE = "file"
"""The column of `read_all` that names the file or table of a row."""


def files_of(source: Source) -> list[Path]:
    """A source's files, sorted by name.

    Raises:
        LedgerError: If there are none.
    """
    path = Path(source.source)
    with readable(path.name, "a file"):
        if path.is_file():
            return [path]
        found = sorted(Path(name) for name in glob.glob(source.source, recursive=True))  # noqa: PTH207  (the pattern may be absolute, which Path.glob refuses)
        files = _different(one for one in found if one.is_file())
    if not files:
        reason = "a folder; expected a file" if path.is_dir() else "no such file"
        raise LedgerError(source.source, None, None, reason)
    return files


def _different(paths: Iterable[Path]) -> list[Path]:
    """Each file once, under its own name: a link beside it, such as `latest.csv`, is no other."""
    named = {path.resolve(): path for path in sorted(paths, key=Path.is_symlink, reverse=True)}
    return sorted(named.values())


def read_file(source: Source, path: Path, names: Collection[str]) -> Generator[Batch]:
    """Reads one of a source's files, batch by batch.

    Args:
        source: How it is written.
        path: Of `files_of`.
        names: The canonical columns that are wanted. Mapped ones must be there; others that are
            neither there nor constants are left out.

    Raises:
        LedgerError: If there is no such file or column, or it is not of its format.
    """
    read: Callable[[Source, Path, Collection[str]], Iterator[Batch]] = read_csv
    if path.suffix == ".parquet":
        read = _read_parquet
    elif is_workbook(path):
        read = read_workbook
    return _ruled(read(source, path, names), source, names, path.name)


def read_database(source: Source, names: Collection[str]) -> Generator[Batch]:
    """Reads a source's table or query, batch by batch.

    Args:
        source: Where it is.
        names: The canonical columns that are wanted, as `read_file` has them.

    Raises:
        LedgerError: If there is no connection, table or column.
    """
    if source.fill_down is not None and source.changed is None:
        reason = "the rows of a database are in no order; set `changed`, or fill in the query"
        raise LedgerError(source.name, None, None, f"fill_down: {reason}")
    return _ruled(databases.read_database(source, names), source, names, source.name)


def _ruled(
    batches: Iterator[Batch], source: Source, names: Collection[str], where: str
) -> Generator[Batch]:
    """Batches by the rules of `record_rules`; who stops early closes the file or connection."""
    rules = RecordRules(source, names, where)
    with closing(cast("Generator[Batch]", batches)):
        for batch in batches:
            yield rules.applied(batch)


def _read_parquet(source: Source, path: Path, names: Collection[str]) -> Generator[Batch]:
    with readable(path.name, "Parquet"):
        picked = pick(source, list(pl.read_parquet_schema(path)), names, path.name)
        columns = [cs.by_name(own).alias(name) for name, own in picked.own.items()]
        total = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        found = pl.scan_parquet(path, glob=False).select(columns)
        for start in range(0, max(total, 1), ROWS_A_BATCH):
            end = min(start + ROWS_A_BATCH, total)
            some = found.slice(start, ROWS_A_BATCH).collect()
            numbers = pl.int_range(start + 1, end + 1, dtype=pl.Int64, eager=True).alias(ROW)
            frame = pl.DataFrame([numbers, *some.get_columns()])
            yield Batch(picked.filled(frame), malformed(), end / max(total, 1))


def header_of(source: Source, path: Path | None = None) -> list[str]:
    """The outlet's own column names.

    Args:
        source: A source.
        path: Of its files; the first one where None.

    Raises:
        LedgerError: If there is no such file or table, or no header.
    """
    if source.is_database:
        return database_header(source)
    file = files_of(source)[0] if path is None else path
    if file.suffix == ".parquet":
        with readable(file.name, "Parquet"):
            return list(pl.read_parquet_schema(file))
    return workbook_header(source, file) if is_workbook(file) else csv_header(source, file)


def batches_of(source: Source, names: Collection[str]) -> Iterator[tuple[str, Batch]]:
    """Reads all of a source, batch by batch.

    Args:
        source: Where it is.
        names: The canonical columns that are wanted.

    Returns:
        Each batch, after the name of its file or table.

    Raises:
        LedgerError: If a file or table cannot be read.
    """
    if source.is_database:
        yield from ((source.name, batch) for batch in read_database(source, names))
        return
    for path in files_of(source):
        yield from ((path.name, batch) for batch in read_file(source, path, names))


def read_all(source: Source, names: Collection[str]) -> pl.DataFrame:
    """Reads a small table whole, of which no record may be malformed.

    Args:
        source: Where it is.
        names: The canonical columns that are wanted.

    Returns:
        The columns that are there, `row` Int64 and `file` String: the file's or table's name.

    Raises:
        LedgerError: At the first thing that is wrong.
    """
    parts = [_sound(batch, where) for where, batch in batches_of(source, names)]
    with readable(source.name, "one table"):
        return pl.concat(parts, how="diagonal_relaxed")


def _sound(batch: Batch, where: str) -> pl.DataFrame:
    if not batch.malformed.is_empty():
        row, column, reason = batch.malformed.row(0)
        raise LedgerError(where, row, column or None, reason)
    return batch.rows.with_columns(pl.lit(where).alias(FILE))


def format_of(
    source: Source, dated: Mapping[str, Sequence[tuple[dt.date, float]]] | None = None
) -> LedgerFormat:
    """How a ledger's rows are to be read.

    Args:
        source: The ledger.
        dated: Rates of other currencies by day, of `exchange_rates.by_day`; the table's own
            `rates` go before them.

    Raises:
        LedgerError: If a code is of no kind, or of two, a status means two things, or a price is
            mapped twice.
    """
    by_day = {code: days for code, days in (dated or {}).items() if code not in source.rates}
    _refuse_prices(source)
    return LedgerFormat(
        source.dates,
        source.decimal,
        _kinds_of(source),
        currency=source.currency,
        rates={**{code: days[-1][1] for code, days in by_day.items()}, **source.rates},
        sales_side=source.sales_side,
        ignored=frozenset(without_fraction(one.strip()) for one in source.codes.get(IGNORE, ())),
        statuses=_statuses_of(source),
        walk_ins=frozenset(normal(without_fraction(one.strip())) for one in source.walk_ins),
        sales_are_negative=source.sales_are_negative,
        quantity_decimal=source.quantity_decimal,
        dated=by_day,
    )


IGNORE = "ignore"
"""The word for codes of rows that are no events."""


def _refuse_prices(source: Source) -> None:
    names = {*source.columns, *source.constants}
    if {"price", "unit_price"} <= names:
        reason = (
            "mapped beside price; take one of the two away: price is the row's own amount, "
            "unit_price that of one piece, times quantity"
        )
        raise LedgerError(source.name, None, "unit_price", reason)


def _kinds_of(source: Source) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for kind, codes in source.codes.items():
        if kind not in (*LEDGER_KINDS, IGNORE):
            expected = ", ".join((*LEDGER_KINDS, IGNORE))
            reason = f"codes of '{kind}'; expected of one of {expected}"
            raise LedgerError(source.name, None, "kind", reason)
        for code in (one.strip() for one in codes):
            canonical = kind != IGNORE and code in set(LEDGER_KINDS) - {kind}
            if kinds.setdefault(code, kind) != kind or canonical:
                reason = f"the code '{code}' is of two kinds; expected one"
                raise LedgerError(source.name, None, "kind", reason)
    return {code: kind for code, kind in kinds.items() if kind != IGNORE}


def _statuses_of(source: Source) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    for standing, words in source.statuses.items():
        for word in map(normal, words):
            if found.setdefault(word, Standing(standing)) != standing:
                reason = f"the status '{word}' means two things; expected one"
                raise LedgerError(source.name, None, "status", reason)
    return found


def decoded(column: pl.Series, codes: Mapping[str, list[str]]) -> pl.Series:
    """A column of words: the outlet's own codes become canonical, others stay as they are.

    Args:
        column: Text, or what can be written as text.
        codes: The codes of each canonical word, as a source has them.
    """
    words = {code.strip(): word for word, some in codes.items() for code in some}
    text = column.cast(pl.String).str.strip_chars().fill_null("")
    return text.replace(words).replace("", None).alias(column.name)
