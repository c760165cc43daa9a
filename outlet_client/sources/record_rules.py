"""Which records of a table are rows: what every reader hands over goes through here.

Invariant: every record stays in one place: a row, malformed, or apart with a reason. What a record
is follows from it, the settings and, where they fill cells down, the records of its order before.

In this order: a record of nothing but blanks is apart, and so is one that adds others up; cells are
filled down; what the settings' `where` does not hold for is apart; and a customer's key that is a
mailbox is hashed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.sources.customer_keys import spared_of, without_mailboxes
from outlet_client.sources.order_lines import LOST, OrderLines
from outlet_client.sources.row_batches import (
    OWN,
    ROW,
    Batch,
    malformed,
    no_rows_apart,
    without_blanks,
)
from outlet_client.sources.row_conditions import condition_of, headings_of, holds
from outlet_client.sources.total_words import are_totals, begin_as_totals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from outlet_client.sources.source import Source

BLANK, TOTAL, WHERE = "blank", "total", "where"
"""Why a record is apart."""

_CUSTOMER, _DAY = "customer_id", "purchased_at"
_PIECES = ("reference", "serial", "basket_id")
_KEYS = (_CUSTOMER, _DAY, *_PIECES, "line_id")
_AMOUNTS = ("price", "unit_price")
_COUNTED = (*_AMOUNTS, "list_price", "quantity", "returned_quantity")
_APART = {ROW: pl.Int64, "reason": pl.String}


@dataclass(slots=True)
class RecordRules:
    """The rules for one file's records, batch by batch, in their order.

    Attributes:
        source: Whose settings these are.
        names: The canonical columns that are wanted.
        where: The file's or table's name, for errors.
    """

    source: Source
    names: Collection[str]
    where: str
    _orders: OrderLines | None = field(default=None, repr=False)

    def applied(self, batch: Batch) -> Batch:
        """A batch as it is handed over.

        Raises:
            LedgerError: If `where` cannot be asked of its cells.
        """
        headings = self._headings(batch.rows.columns)
        if not headings:
            return batch
        rows, apart = _without_blanks_and_totals(batch.rows, headings)
        parts, bad = [batch.apart, apart], [batch.malformed]
        if self.source.fill_down is not None:
            rows, lost = self._filled(rows, headings, batch.malformed[ROW])
            bad.append(malformed([(number, "", LOST) for number in lost]))
        rows, sums = _without_bare_sums(rows)
        parts.append(sums)
        condition = condition_of(self.source)
        if condition is not None:
            asked = rows.select(
                ROW, *(pl.col(f"{OWN}{one}").alias(one) for one in headings_of(condition))
            )
            kept = holds(condition, asked, self.where)
            parts.append(_apart(rows[ROW].filter(~kept), WHERE))
            rows = rows.filter(kept)
        if _CUSTOMER in rows.columns:
            spared = spared_of(self.source)
            keys = without_mailboxes(rows[_CUSTOMER], self.source.folder, spared)
            rows = rows.with_columns(keys)
        there = [name for name in dict.fromkeys(self.names) if name in rows.columns]
        return replace(
            batch,
            rows=rows[[ROW, *there]],  # `*` is a heading, too
            malformed=pl.concat(bad).sort(ROW) if len(bad) > 1 else bad[0],
            apart=pl.concat(parts).sort(ROW),
        )

    def _headings(self, columns: Sequence[str]) -> dict[str, str]:
        """The outlet's own heading of each column that is its own, in the table's order."""
        return {
            name: name.removeprefix(OWN)
            if name.startswith(OWN)
            else self.source.columns.get(name, name)
            for name in columns
            if name != ROW and name not in self.source.constants
        }

    def _filled(
        self, rows: pl.DataFrame, headings: Mapping[str, str], unreadable: pl.Series
    ) -> tuple[pl.DataFrame, pl.Series]:
        """The rows with their cells filled down, and the numbers of those of no known order."""
        fill = self.source.fill_down
        if fill is None:
            return rows, rows[ROW].clear()
        if self._orders is None:
            wanted = {fill.key, *fill.columns}
            columns = [name for name, heading in headings.items() if heading in wanted]
            said = [name for name in columns if headings[name] != fill.key]
            self._orders = OrderLines(f"{OWN}{fill.key}", columns, said)
        return self._orders.filled(rows, unreadable)


def _apart(numbers: pl.Series, reason: str) -> pl.DataFrame:
    return pl.DataFrame({ROW: numbers, "reason": [reason] * len(numbers)}, schema=_APART)


def _without_blanks_and_totals(
    rows: pl.DataFrame, headings: Mapping[str, str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without those that are blank or add others up, and these."""
    text = [name for name in headings if rows[name].dtype == pl.String]
    words = [name for name in text if name not in _COUNTED]
    label = _first_filled(rows, words)
    odd = label.is_null() | label.str.contains(r"^\s*$") | begin_as_totals(label)
    if _CUSTOMER in text:
        odd |= are_totals(rows[_CUSTOMER])
    if not odd.any():
        return rows, no_rows_apart()
    some = without_blanks(rows.filter(odd), text)
    blank = some.select(blank=pl.all_horizontal(pl.col(name).is_null() for name in headings))
    total = _are_sums(some, words, headings) & ~blank["blank"]
    apart = pl.concat(
        [_apart(some[ROW].filter(blank["blank"]), BLANK), _apart(some[ROW].filter(total), TOTAL)]
    )
    return rows.filter(~pl.col(ROW).is_in(apart[ROW].implode())), apart


def _first_filled(rows: pl.DataFrame, text: Sequence[str]) -> pl.Series:
    """The first cell of each row that holds text."""
    label = pl.Series([None] * len(rows), dtype=pl.String)
    for name in text:
        if label.null_count() == 0:
            break
        label = rows[name] if label.null_count() == len(label) else label.fill_null(rows[name])
    return label


def _are_sums(some: pl.DataFrame, text: Sequence[str], headings: Mapping[str, str]) -> pl.Series:
    """Which rows say that they are a total, and name no piece, basket or customer besides."""
    if not text:
        return pl.repeat(False, len(some), dtype=pl.Boolean, eager=True)  # noqa: FBT003  (no flag)
    label = _first_filled(some, text)
    if _DAY not in headings:  # no table of events: a name may be such a word
        alone = pl.sum_horizontal(pl.col(name).is_not_null() for name in text) == 1
        return are_totals(label) & some.select(alone).to_series()
    place = pl.coalesce(
        pl.lit(None, pl.String),
        *(pl.when(pl.col(name).is_not_null()).then(pl.lit(headings[name])) for name in text),
    )

    def says(name: str) -> pl.Expr:
        """Whether a column has a cell of its own, which is not the label."""
        if name not in headings:
            return pl.lit(value=False)
        return pl.col(name).is_not_null() & (place != headings[name]).fill_null(value=True)

    piece = pl.any_horizontal(says(name) for name in _PIECES)
    sale = some.select(no_piece=~piece, no_day=~says(_DAY), nobody=~says(_CUSTOMER))
    # Without a day it is no sale, whatever its name.
    labelled = begin_as_totals(label) & sale["no_day"] & sale["no_piece"]
    labelled |= are_totals(label) & sale["no_piece"] & (sale["no_day"] | sale["nobody"])
    if _CUSTOMER not in text:
        return labelled
    there = [name for name in _PIECES if name in headings]
    bare = some.select(bare=pl.all_horizontal(pl.lit(value=True), *map(_is_null, there)))["bare"]
    return labelled | (are_totals(some[_CUSTOMER]) & bare)


def _is_null(name: str) -> pl.Expr:
    return pl.col(name).is_null()


def _without_bare_sums(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without those that hold an amount and nothing that it could be of, and these.

    Such a row can be no event: it is of no day and nobody, and names no piece, basket or line.
    """
    amounts = [name for name in _AMOUNTS if name in rows.columns]
    if not amounts or not {_CUSTOMER, _DAY} <= set(rows.columns):
        return rows, no_rows_apart()
    bare = rows[_CUSTOMER].is_null() & rows[_DAY].is_null()
    if not bare.any():
        return rows, no_rows_apart()
    keys = [name for name in _KEYS if name in rows.columns]
    some = without_blanks(rows.filter(bare), keys)
    nothing = pl.all_horizontal(pl.col(name).is_null() for name in keys)
    apart = _apart(
        some.filter(nothing, pl.any_horizontal(pl.col(amounts).is_not_null()))[ROW], TOTAL
    )
    return rows.filter(~pl.col(ROW).is_in(apart[ROW].implode())), apart
