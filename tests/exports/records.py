"""Exports of tests/exports as Python's own reader has them."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tests.exports.till import EXPORTS

if TYPE_CHECKING:
    from tests.exports.till import Event


def records(file: str) -> list[dict[str, str]]:
    """An export's records, as Python's own reader has them."""
    with (EXPORTS / file).open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def filled_down(file: str, key: str, *columns: str) -> list[dict[str, str]]:
    """The same, each order's cells on all of its rows."""
    found: list[dict[str, str]] = []
    for one in records(file):
        before = found[-1] if found else one
        order = before if one[key] in ("", before[key]) else one
        found.append({**one, **{name: one[name] or order[name] for name in (key, *columns)}})
    return found


def of_customers(events: list[tuple[str, Event]]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for customer, event in events:
        found.setdefault(customer, []).append(event)
    return found
