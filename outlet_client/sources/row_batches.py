"""What every reader hands over: rows under canonical names, and what is no row.

Invariant: a record is either in a batch's `rows` or in its `malformed`, whatever is wrong with it,
and keeps its number.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from outlet_client.sources.source import Source

ROWS_A_BATCH = 50_000

ROW = "row"

IDENTIFIERS = ("phone", "email")
"""Columns in which an undecodable cell is an empty one: the row's event is as good without."""

_MALFORMED = {ROW: pl.Int64, "column": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Some of a table's rows.

    Attributes:
        rows: Canonical names and `row` Int64, from 1 for the first of the file or query; text from
            CSV files, with null for an empty cell, native types from elsewhere.
        malformed: What is no row: `row` Int64, `column` String, "" where it is about the whole
            record, and `reason` String; one line a record.
        share: Which share of the file has been read with them, 0 to 1; None where nobody knows.
    """

    rows: pl.DataFrame
    malformed: pl.DataFrame
    share: float | None = None


def malformed(found: Sequence[tuple[int, str, str]] = ()) -> pl.DataFrame:
    """Records that are no rows: number, column and reason."""
    return pl.DataFrame(list(found), schema=_MALFORMED, orient="row")


@dataclass(frozen=True, slots=True)
class Picked:
    """Which of a table's columns are read, and what stands for those that it has not.

    Attributes:
        own: The table's own column of each canonical one,
        constants: or what stands in every row.
    """

    own: dict[str, str]
    constants: dict[str, str]

    def filled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the constants too."""
        return rows.with_columns(
            pl.lit(value, pl.String).alias(name) for name, value in self.constants.items()
        )


def pick(source: Source, header: list[str], names: Collection[str], where: str) -> Picked:
    """Finds the columns that are wanted.

    Args:
        source: Whose mapping and constants these are.
        header: The table's own column names.
        names: Canonical names; what is not mapped, no constant and not there is left out.
        where: The file's or table's name, for errors.

    Raises:
        LedgerError: If a mapped column is missing, one that is wanted is there twice, or one is
            mapped and a constant too.
    """
    own: dict[str, str] = {}
    constants: dict[str, str] = {}
    for name in dict.fromkeys(names):
        column = source.columns.get(name, name)
        if name in source.constants:
            if name in source.columns:
                reason = "both in `columns` and in `constants`; expected one of them"
                raise LedgerError(where, None, name, reason)
            constants[name] = source.constants[name]
        elif column in header:
            own[name] = column
        elif name in source.columns:
            raise LedgerError(where, None, column, missing(source, header))
    for column in own.values():
        if header.count(column) > 1:
            raise LedgerError(where, None, column, "there twice; expected one column of that name")
    return Picked(own, constants)


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
