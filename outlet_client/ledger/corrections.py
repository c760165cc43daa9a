"""Corrections of single events, as customers asked for them.

Invariant: the outlet's own ledger is never written to, and a correction changes one row of its own
customer only. What stands is the last correction of an event; a row that the outlet has mended
itself since has another id, so its correction matches nothing any more, and is counted.
Where the outlet removed some of several equal rows since one of them was struck, it removed those:
as many strikes fall away as rows are gone, the last first.

The id of an event is the first 12 hex digits of the SHA-256 of its canonical cells, and which of
the rows with the very same cells it is.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from features.ledger import judge
from outlet_client.errors import OutletError
from outlet_client.log_tables.rights_store import CORRECTIONS, rights_if_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

CELLS = (
    "customer", "outlet", "date", "kind", "price", "list_price", "basket", "serial", "reference",
)  # fmt: skip
"""The canonical columns that an event's id is made of."""

_LEDGER_NAMES = {
    "customer": "customer_id",
    "outlet": "outlet_id",
    "date": "purchased_at",
    "basket": "basket_id",
}
"""What a ledger calls them where it is not the same."""

MAY_BE_SET = tuple(name for name in CELLS if name != "customer")
"""What a correction may change; a row that is another customer's is struck."""

_ID_DIGITS = 12


class CorrectionRefused(OutletError):
    """A correction that cannot be made as asked; nothing was stored."""


@dataclass(frozen=True, slots=True, repr=False)
class Correction:
    """What stands of one event instead of what the ledger says.

    Attributes:
        number: Its own.
        event: The event's id.
        customer: The outlet's own id of whose it is.
        dated: The event's day in the ledger.
        changes: The new cells by canonical column, as JSON has them; empty where the ledger's
            stand again.
        struck: Whether the event does not count at all.
        alike: How many rows had the very same cells when this was taken down, with it.
        at: When, UTC.
        by: Who took it down.
    """

    number: int
    event: str
    customer: str
    dated: dt.date
    changes: Mapping[str, Any]
    struck: bool
    alike: int
    at: dt.datetime
    by: str


@dataclass(frozen=True, slots=True, repr=False)
class Applied:
    """Rows as corrected.

    Attributes:
        rows: In their order, without those that were struck.
        unmatched: The ids of events that are corrected and there no more.
    """

    rows: pl.DataFrame
    unmatched: tuple[str, ...] = ()


def apply(home: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Puts this outlet's corrections in place of what its ledger says.

    Args:
        home: The outlet's folder.
        rows: The canonical columns but `tier`; further ones are kept.

    Returns:
        The rows in their order; the same object where there is nothing to correct.
    """
    return applied(rows, _all(home)).rows


def unmatched(home: Path, rows: pl.DataFrame) -> int:
    """How many corrections are of a row that is there no more.

    Args:
        home: The outlet's folder.
        rows: Before `apply`.
    """
    return len(applied(rows, _all(home)).unmatched)


def applied(rows: pl.DataFrame, corrections: Sequence[Correction]) -> Applied:
    """The same for given corrections; looks at the rows of their customers only."""
    if not corrections:
        return Applied(rows)
    whose = list({one.customer for one in corrections})
    numbered = rows.with_row_index("_place")
    theirs = numbered.filter(pl.col("customer").is_in(whose))
    ids = event_ids(theirs)
    by_event = effective(corrections, ids)
    touched = [
        (row, by_event[event])
        for row, event in zip(theirs.iter_rows(named=True), ids, strict=True)
        if event in by_event
    ]
    left = tuple(sorted({one.event for one in corrections} - (by_event.keys() & ids)))
    if not touched:
        return Applied(rows, left)
    made = [{**row, **_cells(one.changes)} for row, one in touched if not one.struck]
    changed = pl.DataFrame(made, schema=numbered.schema)
    others = numbered.filter(~pl.col("_place").is_in([row["_place"] for row, _ in touched]))
    return Applied(pl.concat([others, changed]).sort("_place").drop("_place"), left)


def effective(corrections: Iterable[Correction], ids: Iterable[str]) -> dict[str, Correction]:
    """The corrections by event, without strikes of equal rows that the outlet removed itself.

    Args:
        corrections: Standing ones.
        ids: Of all rows of their customers.
    """
    found = {one.event: one for one in corrections}
    there = Counter(map(_digest, ids))
    strikes: dict[str, list[Correction]] = {}
    for one in found.values():
        if one.struck:
            strikes.setdefault(_digest(one.event), []).append(one)
    for digest, some in strikes.items():
        gone = max(one.alike for one in some) - there[digest]
        last_first = sorted(some, key=lambda one: int(one.event.rpartition("-")[2]), reverse=True)
        for one in last_first[: max(gone, 0)]:
            del found[one.event]
    return found


def event_ids(rows: pl.DataFrame) -> list[str]:
    """The id of each row, such as `3f0c91d2ab45-1`."""
    seen: Counter[str] = Counter()
    ids = []
    for cells in rows.select(CELLS).iter_rows():
        text = json.dumps([_plain(cell) for cell in cells], ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]
        seen[digest] += 1
        ids.append(f"{digest}-{seen[digest]}")
    return ids


def standing(
    connection: sa.Connection, customers: Iterable[str] | None = None
) -> tuple[Correction, ...]:
    """The last correction of each event, of some customers or of all."""
    query = sa.select(CORRECTIONS).order_by(CORRECTIONS.c.number)
    if customers is not None:
        query = query.where(CORRECTIONS.c.customer.in_(list(customers)))
    last = {row["event"]: row for row in connection.execute(query).mappings()}
    return tuple(Correction(**row) for row in last.values())


def strike(
    connection: sa.Connection, rows: pl.DataFrame, event: str, by: str, at: dt.datetime
) -> None:
    """Takes an event out: it happened to somebody else, or not at all.

    Args:
        connection: Of `rights.db`.
        rows: The customer's own, as the ledger has them.
        event: Its id.
        by: Who takes it down.
        at: When.

    Raises:
        CorrectionRefused: If no row has this id.
    """
    row, alike = _row(rows, event)
    _store(connection, row, event, {}, (by, at), alike, struck=True)


def correct(
    connection: sa.Connection,
    rows: pl.DataFrame,
    event: str,
    values: Mapping[str, str],
    by: str,
    at: dt.datetime,
    first_day: dt.date = dt.date.min,
) -> dict[str, Any]:
    """Changes cells of an event, beside those that were changed before; one struck is back.

    Args:
        connection: Of `rights.db`.
        rows: The customer's own, as the ledger has them.
        event: Its id.
        values: New cells as text by canonical column: dates as YYYY-MM-DD, a point before cents,
            "" where a serial or a reference is none.
        by: Who takes it down.
        at: When.
        first_day: The first day whose events are kept.

    Returns:
        The cells that are now other than in the ledger.

    Raises:
        CorrectionRefused: If no row has this id, a column may not be set, a value is not readable,
            or nothing would change.
    """
    for name in values:
        if name not in MAY_BE_SET:
            raise CorrectionRefused(
                f"got a column that is none of {', '.join(MAY_BE_SET)}; an event of another "
                "customer is struck"
            )
    row, alike = _row(rows, event)
    before = {one.event: one for one in standing(connection, [row["customer"]])}.get(event)
    earlier = {} if before is None else before.changes
    good = _judged({**_basket_set({**row, **earlier}), **values})  # a made basket is made anew
    if "date" in values:
        _refuse_day(good["date"], first_day, at)
    changes = {name: _plain(good[name]) for name in MAY_BE_SET if good[name] != row[name]}
    if changes == earlier and not (before is not None and before.struck):
        raise CorrectionRefused(f"event {event}: has these values already; nothing was stored")
    _store(connection, row, event, changes, (by, at), alike, struck=False)
    return changes


def _all(home: Path) -> tuple[Correction, ...]:
    with rights_if_any(home) as connection:
        return () if connection is None else standing(connection)


def _refuse_day(day: dt.date, first_day: dt.date, at: dt.datetime) -> None:
    if day > at.date() + dt.timedelta(days=1):  # wherever they are
        raise CorrectionRefused("date: in the future; expected today or earlier")
    if day < first_day:
        raise CorrectionRefused(
            f"date: older than events are kept here, expected {first_day} or later; what is "
            "older does not count: strike the event, or raise keep_days in escapement.toml"
        )


def _row(rows: pl.DataFrame, event: str) -> tuple[dict[str, Any], int]:
    """An event's cells, and how many rows have the very same ones."""
    ids = event_ids(rows)
    if event not in ids:
        raise CorrectionRefused(
            f"event {event}: this customer has none of this id; `escapement-outlet customer show` "
            "lists them"
        )
    alike = Counter(map(_digest, ids))[_digest(event)]
    return rows.select(CELLS).row(ids.index(event), named=True), alike


def _digest(event: str) -> str:
    """An event's id without which of the equal rows it is."""
    return event.rpartition("-")[0]


def _basket_set(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells without the basket where it is one that was made of customer, day and kind."""
    rest = {name: cell for name, cell in cells.items() if name != "basket"}
    return rest if _judged(rest)["basket"] == cells["basket"] else cells


def _judged(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Cells as the ledger's own rules read them.

    Raises:
        CorrectionRefused: If they don't.
    """
    text = {
        _LEDGER_NAMES.get(name, name): None if cell is None else str(_plain(cell))
        for name, cell in cells.items()
    }
    found = judge(pl.DataFrame(text, schema=dict.fromkeys(text, pl.String)), "--set")
    if len(found.bad):
        column, reason = found.bad.select("column", "reason").row(0)
        names = {ledger: name for name, ledger in _LEDGER_NAMES.items()}
        raise CorrectionRefused(f"{names.get(column, column)}: {reason}")
    return found.events.select(CELLS).row(0, named=True)


def _store(
    connection: sa.Connection,
    row: Mapping[str, Any],
    event: str,
    changes: Mapping[str, Any],
    taken: tuple[str, dt.datetime],
    alike: int,
    *,
    struck: bool,
) -> None:
    values = {
        "event": event,
        "customer": row["customer"],
        "dated": row["date"],
        "changes": dict(changes),
        "struck": struck,
        "alike": alike,
        "by": taken[0],
        "at": taken[1],
    }
    connection.execute(CORRECTIONS.insert(), values)


def _plain(cell: Any) -> Any:
    """A cell as JSON has it."""
    return cell.isoformat() if isinstance(cell, dt.date) else cell


def _cells(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes as a row has them."""
    found = dict(changes)
    if "date" in found:
        found["date"] = dt.date.fromisoformat(found["date"])
    return found
