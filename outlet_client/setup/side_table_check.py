"""The tables beside the ledger: references, sightings, interests, and the client book.

Invariant: each cell is read by the rule by which the night reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.cells import days, keys
from features.errors import LedgerError
from features.ledger import SIGHTINGS, Tier
from outlet_client.people.identifiers import identifier
from outlet_client.setup.findings import Table, add_bad, batches_of, tally_of
from outlet_client.sources.table_reader import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from features.cells import Cells
    from outlet_client.setup.findings import Found
    from outlet_client.sources.source import Source

IDENTIFIERS = ("phone", "email")

_MOST_READ = 20_000


def _key(column: pl.Series, source: Source) -> Cells:
    return keys(column, source.name)


def _day(column: pl.Series, source: Source) -> Cells:
    return days(column, source.name, source.dates)


def _word(words: Sequence[str]) -> Callable[[pl.Series, Source], Cells]:
    def read(column: pl.Series, source: Source) -> Cells:
        found = keys(decoded(column, source.codes), source.name)
        known = found.values.is_in(list(words)).fill_null(value=True)
        why = f"expected one of {', '.join(words)}"
        return type(found)(found.values, (*found.wrong, (~known, why)))

    return read


_RULES: Mapping[str, Mapping[str, Callable[[pl.Series, Source], Cells] | None]] = {
    "references": {"reference": _key, "tier": _word([tier.value for tier in Tier])},
    "sightings": {
        "serial": _key,
        "seen_at": _day,
        "status": _word([kind.value for kind in SIGHTINGS]),
    },
    "interests": {"customer_id": _key, "reference": _key, "since": _day, "closed_at": None},
    "clients": {"customer_id": _key, "phone": None, "email": None},
}
"""How each column of a small table is read; None where any cell will do."""

_OPTIONAL = frozenset({"closed_at", *IDENTIFIERS})


def check_small(found: Found, name: str, source: Source, typed: Typed | None) -> None:
    """Reads one of the tables beside the ledger.

    Args:
        found: Where the table goes.
        name: The section's.
        source: Where it is.
        typed: Takes phones and e-mails; None where there are none.

    Raises:
        LedgerError: If it cannot be read, or a column is missing.
    """
    table = found.tables.setdefault(name, Table(name, source.name))
    for _, file, batch, _ in batches_of(source, _RULES[name]):
        rows = batch.rows
        table.rows += len(rows) + batch.malformed["row"].n_unique()
        add_bad(table, file, batch, batch.malformed)
        for column, rule in _RULES[name].items():
            if column not in rows.columns:
                if column in _OPTIONAL:
                    continue
                got = ", ".join(rows.drop("row").columns)
                raise LedgerError(file, None, column, f"missing; got of the known ones {got}")
            tally = tally_of(table, source, column)
            tally.add(rows[column])
            if rule is None:
                continue
            cells = rule(rows[column], source)
            bad = cells.bad()
            numbered = bad.select(rows["row"].gather(bad["at"]).alias("row"), "reason")
            add_bad(table, file, batch, numbered.with_columns(column=pl.lit(column)))
            if rule is _day:
                tally.add_range(cells.values)
        if typed is not None:
            typed.add(rows)


class Typed:
    """The different phones and e-mails of a table, in memory until they are counted."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pl.Series]] = {name: [] for name in IDENTIFIERS}

    def add(self, rows: pl.DataFrame) -> None:
        """Takes a batch's."""
        for name, parts in self._parts.items():
            if name in rows.columns:
                parts.append(rows[name].cast(pl.String).drop_nulls().unique())

    def settle(self, table: Table, region: str) -> None:
        """Counts how many of them can be used, of 20,000 at most.

        Raises:
            NotConfigured: If the region is unknown.
        """
        for name, parts in self._parts.items():
            if parts:
                typed = pl.concat(parts).unique().head(_MOST_READ)
                usable = sum(_usable(name, one, region) for one in typed)
                table.columns[name].usable = usable, len(typed)


def _usable(name: str, typed: str, region: str) -> bool:
    phone, email = (typed, None) if name == "phone" else (None, typed)
    return identifier(phone, email, region) is not None
