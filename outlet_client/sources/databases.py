"""A database's tables, read as they stand and never changed.

Invariant: cells come as the driver gives them, moments on their own clock, and no error holds one.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from features.errors import LedgerError
from outlet_client.sources.row_batches import ROW, ROWS_A_BATCH, Batch, Picked, malformed, pick

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence

    from outlet_client.sources.source import Source

_SAFE = re.compile(r"no such|database is locked|permission denied|relation |column |syntax error")
_WHOLE = range(-(2**63), 2**63)

_NATIVE = {str: pl.String, bool: pl.Boolean, dt.date: pl.Date}


@contextmanager
def _opened(source: Source) -> Iterator[sa.Connection]:
    """A connection of which nothing but rows is asked.

    Raises:
        LedgerError: If there is none, or what is asked of it can't be answered.
    """
    name = source.name
    try:
        url = source.url()
        file = url.database if url.get_backend_name() == "sqlite" else None
        if file and not file.startswith("file:") and not Path(file).is_file():
            raise LedgerError(file, None, None, "no such file")
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
        connection = engine.connect()
    except (OSError, ImportError, UnicodeError, ValueError, SQLAlchemyError) as error:
        raise LedgerError(name, None, None, f"no connection: {_why(error)}") from error
    with connection:
        try:
            yield connection.execution_options(postgresql_readonly=True)
        except SQLAlchemyError as error:
            raise LedgerError(name, None, None, f"not readable: {_told(error)}") from error


def _why(error: Exception) -> str:
    """Why there is no connection: what the driver or the system says, in one line."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else type(error).__name__
    if isinstance(error, sa.exc.NoSuchModuleError | sa.exc.ArgumentError | ImportError):
        return (
            "no driver for this URL; expected such as sqlite:///pos.db or postgresql://user@host/db"
        )
    origin = getattr(error, "orig", None)
    return type(error).__name__ if origin is None else str(origin).strip().split("\n")[0]


def _told(error: SQLAlchemyError) -> str:
    """What the server says where that is about tables and columns; else its kind: it may quote."""
    said = str(getattr(error, "orig", "")).strip().split("\n")[0]
    return said if _SAFE.match(said) else type(error).__name__


def tables_of(source: Source) -> list[str]:
    """The names of a database's tables and views.

    Raises:
        LedgerError: If it can't be asked.
    """
    with _opened(source) as connection:
        found = sa.inspect(connection)
        return sorted([*found.get_table_names(), *found.get_view_names()])


def primary_key_of(source: Source) -> str | None:
    """A table's primary key, if that is one column; None of a view or a query.

    Raises:
        LedgerError: If there is no such table, or it can't be asked.
    """
    if source.query is not None:
        return None
    with _opened(source) as connection:
        inspector = sa.inspect(connection)
        schema, table = _placed(source, inspector)
        if table not in inspector.get_table_names(schema):
            return None
        columns = inspector.get_pk_constraint(table, schema)["constrained_columns"]
        return columns[0] if len(columns) == 1 else None


def database_header(source: Source) -> list[str]:
    """The columns of a table or query.

    Raises:
        LedgerError: If there is no such table, or it can't be asked.
    """
    with _opened(source) as connection:
        return _header(source, connection)


def _header(source: Source, connection: sa.Connection) -> list[str]:
    if source.query is not None:
        asked: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(
            sa.text(f"({_escaped(source.query)}) AS q")
        )
        return list(connection.execute(asked.where(sa.false())).keys())
    inspector = sa.inspect(connection)
    schema, table = _placed(source, inspector)
    try:
        return [str(column["name"]) for column in inspector.get_columns(table, schema)]
    except sa.exc.NoSuchTableError as error:
        there = sorted([*inspector.get_table_names(), *inspector.get_view_names()])
        reason = f"no such table; got {', '.join(there) or 'none'}"
        raise LedgerError(source.name, None, None, reason) from error


def _placed(source: Source, inspector: sa.Inspector) -> tuple[str | None, str]:
    """The schema, if one is named, and the table."""
    table = source.table
    if table is None:
        reason = "a database needs `table` or `query`; expected one of them"
        raise LedgerError(source.name, None, None, reason)
    schema, dot, name = table.partition(".")
    whole = not dot or inspector.has_table(table)
    return (None, table) if whole else (schema, name)


def _escaped(query: str) -> str:
    """A query as it stands: nothing in it is a parameter."""
    return query.strip().removesuffix(";").replace(":", "\\:")


def read_database(source: Source, names: Collection[str]) -> Generator[Batch]:
    """Reads a table or query, batch by batch, as one consistent view of it.

    Args:
        source: Where it is; with `changed` its rows come in that column's order.
        names: The canonical columns that are wanted.

    Raises:
        LedgerError: If there is no connection, table or column.
    """
    with _opened(source) as connection:
        header = _header(source, connection)
        picked = pick(source, header, names, source.name)
        if source.changed is not None and source.changed not in header:
            reason = f"missing; got the columns {', '.join(header)}"
            raise LedgerError(source.name, None, source.changed, reason)
        query = _query(source, sa.inspect(connection), header, list(picked.own.values()))
        number = 0
        streamed = connection.execution_options(yield_per=ROWS_A_BATCH)
        for rows in streamed.execute(query).partitions():
            yield _batch(rows, number, source, picked)
            number += len(rows)
        if not number:
            yield _batch([], 0, source, picked)


def _batch(rows: Sequence[Sequence[Any]], before: int, source: Source, picked: Picked) -> Batch:
    columns = list(zip(*rows, strict=True))[1:] if rows else [()] * len(picked.own)
    numbers = pl.Series(ROW, range(before + 1, before + len(rows) + 1), pl.Int64)
    series = [
        series_of(name, values, source.decimal)
        for name, values in zip(picked.own, columns, strict=True)
    ]
    return Batch(picked.filled(pl.DataFrame([numbers, *series])), malformed())


def _query(
    source: Source, inspector: sa.Inspector, header: list[str], wanted: list[str]
) -> sa.Select[Any]:
    """What is asked; a null first, since the outlet may want no column. Types are the driver's."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in dict.fromkeys(header)]
    table: sa.FromClause
    if source.query is not None:
        table = sa.text(_escaped(source.query)).columns(*columns).subquery("q")
    else:
        schema, name = _placed(source, inspector)
        table = sa.table(name, *columns, schema=schema)
    own = [table.c[name].label(f"c{place}") for place, name in enumerate(wanted)]
    query = sa.select(sa.null(), *own)
    if source.changed is None:
        return query
    changed = table.c[source.changed]  # a row that says no time comes first, in every database
    return query.order_by(sa.case((changed.is_(None), 0), else_=1), changed)


def series_of(name: str, values: Sequence[Any], decimal: str = ".") -> pl.Series:
    """A column of what a driver gives, of one native type where it has one, else text.

    Text as the source writes it: what a cell means must not hang on the other rows of its batch.
    """
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pl.Series(name, values, pl.Null)
    if len(kinds) == 1 and (kind := _NATIVE.get(next(iter(kinds)))) is not None:
        return pl.Series(name, values, kind)
    if kinds == {dt.datetime}:
        wall = [None if value is None else value.replace(tzinfo=None) for value in values]
        return pl.Series(name, wall, pl.Datetime("us"))
    if kinds <= {int, float, Decimal}:
        return _numbers(name, values)
    return pl.Series(name, [_text(value, decimal) for value in values], pl.String)


def _numbers(name: str, values: Sequence[int | float | Decimal | None]) -> pl.Series:
    """Whole numbers where all are; keys may be numbers too, so none is rounded unseen."""
    there = [value for value in values if value is not None]
    if all(isinstance(value, int) or _is_whole(value) for value in there):
        whole = [None if value is None else int(value) for value in values]
        if all(value is None or value in _WHOLE for value in whole):
            return pl.Series(name, whole, pl.Int64)
        return pl.Series(name, [_text(value) for value in whole], pl.String)
    return pl.Series(
        name, [None if value is None else float(value) for value in values], pl.Float64
    )


def _is_whole(value: float | Decimal) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value()


def _fixed(value: float | Decimal) -> str:
    """Without an exponent; of a fraction so long that three digits are not thousands."""
    text = f"{Decimal(str(value)):f}"
    return f"{text}0" if "." in text else text


def _text(value: object, decimal: str = ".") -> str | None:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, float | Decimal):
        whole = value == value // 1 if isinstance(value, float) else _is_whole(value)
        return (
            str(int(value)) if whole else _fixed(value).replace(".", "," if decimal == "," else ".")
        )
    return None if value is None else str(value)
