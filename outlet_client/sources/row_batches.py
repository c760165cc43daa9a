"""What every reader hands over: rows under canonical names, and what is no row.

Invariant: a record is in a batch's `rows`, in its `malformed` or in what is `apart`, and in one of
them only, whatever is wrong with it, and keeps its number.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from outlet_client.sources.row_conditions import condition_of, headings_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from outlet_client.sources.source import Source

ROWS_A_BATCH = 50_000

ROW = "row"

IDENTIFIERS = ("phone", "email")
"""Columns in which an undecodable cell is an empty one: the row's event is as good without."""

OWN = "own:"
"""Begins the name of a column that the rules for records need, before the outlet's own heading."""

_MALFORMED = {ROW: pl.Int64, "column": pl.String, "reason": pl.String}
_APART = {ROW: pl.Int64, "reason": pl.String}


def no_rows_apart() -> pl.DataFrame:
    """What is apart where nothing is."""
    return pl.DataFrame(schema=_APART)


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Some of a table's rows.

    Attributes:
        rows: Canonical names and `row` Int64, from 1 for the first of the file or query; text from
            CSV files, with null for an empty cell, native types from elsewhere.
        malformed: What is no row: `row` Int64, `column` String, "" where it is about the whole
            record, and `reason` String; one line a record.
        share: Which share of the file has been read with them, 0 to 1; None where nobody knows.
        apart: Records that are left out on purpose: `row` Int64 and `reason` String, such as
            "blank", "total" or "where".
    """

    rows: pl.DataFrame
    malformed: pl.DataFrame
    share: float | None = None
    apart: pl.DataFrame = field(default_factory=no_rows_apart)


def malformed(found: Sequence[tuple[int, str, str]] = ()) -> pl.DataFrame:
    """Records that are no rows: number, column and reason."""
    return pl.DataFrame(list(found), schema=_MALFORMED, orient="row")


def without_blanks(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The same rows, with null for each cell of some columns that holds nothing but blanks."""
    text = [name for name in names if rows[name].dtype == pl.String]
    blank = {name: rows[name].str.contains(r"^\s*$") for name in text}
    return rows.with_columns(
        pl.when(~mask).then(rows[name]).alias(name) for name, mask in blank.items() if mask.any()
    )


@dataclass(frozen=True, slots=True)
class Picked:
    """Which of a table's columns are read, and what stands for those that it has not.

    Attributes:
        own: The table's own column of each canonical one, and of each that begins with `OWN`; in
            the table's order,
        constants: or what stands in every row.
        spare: Names of which an undecodable cell is an empty one.
    """

    own: dict[str, str]
    constants: dict[str, str]
    spare: frozenset[str] = frozenset(IDENTIFIERS)

    def filled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the constants too."""
        return rows.with_columns(
            pl.lit(value, pl.String).alias(name) for name, value in self.constants.items()
        )


def pick(source: Source, header: list[str], names: Collection[str], where: str) -> Picked:
    """Finds the columns that are wanted, and those by which it is told which records are rows.

    Args:
        source: Whose mapping and constants these are.
        header: The table's own column names; those that stand several times are numbered.
        names: Canonical names; what is not mapped, no constant and not there is left out.
        where: The file's or table's name, for errors.

    Raises:
        LedgerError: If a mapped column is missing, one that is wanted is there twice, or one is
            mapped and a constant too.
    """
    own: dict[str, str] = {}
    constants: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name not in source.constants:
            own |= _own_column(source, header, name, where)
            continue
        if name in source.columns:
            reason = "both in `columns` and in `constants`; expected one of them"
            raise LedgerError(where, None, name, reason)
        constants[name] = source.constants[name]
    needed = _needed_headings(source, header, where)
    label = [name for name in header[:1] if not source.is_database and name not in own.values()]
    spare = {f"{OWN}{name}" for name in label if name not in needed}
    own |= {f"{OWN}{name}": name for name in (*label, *needed)}
    for column in own.values():
        if header.count(column) > 1 and column.strip():
            raise LedgerError(where, None, column, "there twice; expected one column of that name")
    in_order = sorted(own.items(), key=lambda one: header.index(one[1]))
    return Picked(dict(in_order), constants, frozenset({*IDENTIFIERS, *spare}))


def _own_column(source: Source, header: list[str], name: str, where: str) -> dict[str, str]:
    """The table's own column of a canonical one; none where it has none.

    Raises:
        LedgerError: If it is mapped and not there, or stands there several times.
    """
    column = source.columns.get(name, name)
    if column in header:
        return {name: column}
    if f"{column}#1" in header:
        raise LedgerError(where, None, column, _there_twice(column, header))
    if name in source.columns:
        raise LedgerError(where, None, column, missing(source, header))
    return {}


def _there_twice(column: str, header: list[str]) -> str:
    """What to say of a heading that stands several times."""
    places = [name for name in header if name.rpartition("#")[0] == column]
    told = " or ".join(f"'{name}' (column {header.index(name) + 1})" for name in places)
    return f"there {len(places)} times; expected which of them is meant, as {told}"


def _needed_headings(source: Source, header: list[str], where: str) -> list[str]:
    """The own columns that `where` and `fill_down` look at.

    Raises:
        LedgerError: If one is not there.
    """
    fill = source.fill_down
    asked = dict.fromkeys(headings_of(condition_of(source)), "where")
    asked |= {} if fill is None else dict.fromkeys((fill.key, *fill.columns), "fill_down")
    for name, setting in asked.items():
        if name not in header:
            twice = f"{name}#1" in header
            reason = _there_twice(name, header) if twice else missing(source, header)
            raise LedgerError(where, None, name, f"{reason} (in `{setting}`)")
    return list(asked)


def missing(source: Source, header: list[str]) -> str:
    """What to say of a column that is not there.

    Of a file's others only those that the settings name: without a header the first line is a row.
    """
    if source.is_database:
        return f"missing; got the columns {', '.join(header)}"
    known = [name for name in header if name in {*source.columns, *source.columns.values()}]
    return f"missing; got {len(header)} columns, of the named ones {', '.join(known) or 'none'}"


@contextmanager
def readable(where: str, what: str) -> Iterator[None]:
    """Turns what a reader trips over into one error that names the file, never a cell.

    Args:
        where: The file's or table's name.
        what: What it was to be, such as "Parquet".

    Raises:
        LedgerError: If it can't be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise LedgerError(where, None, None, "no such file") from error
    except (EOFError, zlib.error, UnicodeError, pl.exceptions.PolarsError) as error:
        raise LedgerError(where, None, None, f"not readable as {what}") from error
    except OSError as error:
        reason = f"not readable as {what}: {error.strerror or type(error).__name__}"
        raise LedgerError(where, None, None, reason) from error
    except pl.exceptions.PanicException as error:
        raise LedgerError(where, None, None, f"not readable as {what}") from error
