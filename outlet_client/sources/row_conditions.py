"""The condition `where` of a table: which of its rows are read.

Invariant: a condition looks at one row alone, under the outlet's own headings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError

if TYPE_CHECKING:
    from outlet_client.sources.source import Source

_NUMBER = "expected such as TRY_CAST(\"Qty\" AS DOUBLE) > 0, or Qty = '1'"
_EXAMPLE = """expected such as "Line Type" = 'Sale Line' AND Status <> 'VOID'"""
_QUOTED = re.compile(r"""'(?:[^']|'')*'|["](?:[^"]|"")*["]""")
_CALLED = re.compile(r"(\w+)\s*\(")
_OF_ONE_CELL = frozenset(
    """
    abs and between btrim case cast ceil char_length coalesce concat date date_part else ends_with
    extract floor ifnull ilike in is left length like lower ltrim not nullif octet_length on or
    regexp_like replace reverse right rlike round rtrim starts_with strpos strptime substr substring
    then trim try_cast upper when
    """.split()  # noqa: SIM905  (a list that people read)
)
"""Words that may stand before a parenthesis: what others would say of a row hangs on the rows that
happen to be read with it."""


def condition_of(source: Source) -> pl.Expr | None:
    """A table's condition; None where all of its rows are read.

    Raises:
        LedgerError: If it is none, or looks at more than one row.
    """
    if source.where is None:
        return None
    for called in _CALLED.findall(_QUOTED.sub("", source.where)):
        if called.lower() not in _OF_ONE_CELL:
            reason = f"where: {called}( is not of one row; {_EXAMPLE}"
            raise LedgerError(source.name, None, None, reason)
    try:
        found = pl.sql_expr(source.where)
        several = found.meta.has_multiple_outputs()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise LedgerError(source.name, None, None, f"where: no condition; {_EXAMPLE}") from error
    if several:
        raise LedgerError(source.name, None, None, f"where: of several columns; {_EXAMPLE}")
    return found


def headings_of(condition: pl.Expr | None) -> tuple[str, ...]:
    """The outlet's own headings that a condition looks at."""
    return () if condition is None else tuple(dict.fromkeys(condition.meta.root_names()))


def holds(condition: pl.Expr, rows: pl.DataFrame, where: str) -> pl.Series:
    """For which rows a condition holds, Boolean; where it says neither, it does not.

    Args:
        condition: Of `condition_of`.
        rows: Under the outlet's own headings.
        where: The file's or table's name, for errors.

    Raises:
        LedgerError: If it cannot be asked of these cells.
    """
    try:
        found = rows.with_columns(holds=condition)["holds"]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        reason = f"where: text compared with a number; {_NUMBER}"
        raise LedgerError(where, None, None, reason) from None  # polars may quote a cell
    if found.dtype != pl.Boolean:
        raise LedgerError(where, None, None, f"where: not true or false; {_EXAMPLE}")
    return found.fill_null(value=False)
