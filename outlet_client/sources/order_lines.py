"""Orders of several rows, of which the first says what holds for all: cells are filled down.

Invariant: a cell is filled from its own order only. A row that may belong to a record that cannot
be read is bad itself, for it would take its customer from another order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.sources.row_batches import ROW, without_blanks

if TYPE_CHECKING:
    from collections.abc import Sequence

LOST = "goes on with a record that cannot be read"

_KEY, _ORDER, _CUT = "_key", "_order", "_cut"


@dataclass(slots=True)
class OrderLines:
    """Fills rows down, batch by batch; what an order said holds behind a batch's end.

    Attributes:
        key: The column that tells orders apart.
        columns: Those that are filled, with the key, under every name that it is read by.
        said: Those that an order's first row says of it, without the key.
    """

    key: str
    columns: Sequence[str]
    said: Sequence[str]
    _last: pl.DataFrame | None = field(default=None, repr=False)
    _is_cut: bool = False
    _is_lost: bool = False

    def filled(self, rows: pl.DataFrame, unreadable: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
        """Fills the cells that an order's first rows say for the others.

        Args:
            rows: With `row`, in its order.
            unreadable: The numbers of records between them that are no rows.

        Returns:
            The rows that are of a known order, and the numbers of the others.
        """
        if rows.is_empty():
            self._is_cut |= len(unreadable) > 0
            return rows, rows[ROW]
        bare = without_blanks(rows, self.columns)
        before = unreadable.sort().search_sorted(bare[ROW]) if len(unreadable) else None
        cut = _is_cut(before, len(bare), first=self._is_cut)
        lines = bare.select(*self.columns, pl.col(self.key).cast(pl.String).alias(_KEY), cut)
        if self._last is not None:
            lines = pl.concat([self._last, lines], how="vertical_relaxed")
        begun = _beginnings(lines, self.said)
        if self._last is not None and self._is_lost:
            begun = begun.with_columns(lost=pl.col("lost") | (pl.col(_ORDER) == begun[_ORDER][0]))
        full = begun.with_columns(
            pl.col(name).forward_fill().over(_ORDER) for name in (*self.columns, _KEY)
        )
        self._last = full.tail(1).select(*self.columns, _KEY, pl.lit(value=False).alias(_CUT))
        self._is_lost = bool(full["lost"][-1])
        self._is_cut = before is not None and bool(before[-1] < len(unreadable))
        full = full.tail(len(rows))
        whole = bare.with_columns(full.select(self.columns))
        return whole.filter(~full["lost"]), rows[ROW].filter(full["lost"])


def _is_cut(before: pl.Series | None, rows: int, *, first: bool) -> pl.Series:
    """Which rows stand right behind a record that cannot be read."""
    if before is None:
        return pl.Series(_CUT, [first] + [False] * (rows - 1))
    cut = (before != before.shift(1)).fill_null(value=False)
    return cut.scatter(0, first or bool(before[0] > 0)).alias(_CUT)


def _beginnings(lines: pl.DataFrame, others: Sequence[str]) -> pl.DataFrame:
    """Gives each row the number of its order, and whether that order's beginning is lost.

    Behind a record that cannot be read, a row without a key may go on with it; so may a row of
    another key than before that says nothing of what an order's first row says. A row that says the
    same key, and something else than its order said, begins an order of the same number.
    """
    key = pl.col(_KEY)
    known = key.forward_fill().shift(1)
    new = key.is_not_null() & ((key != known) | known.is_null())
    bare = pl.all_horizontal(pl.lit(value=True), *(pl.col(name).is_null() for name in others))
    lost = pl.col(_CUT) & (key.is_null() | (new & bare if others else pl.lit(value=False)))
    numbered = lines.with_columns((new | lost).cum_sum().alias(_ORDER), lost=lost)
    said = [pl.col(name).forward_fill().shift(1).over(_ORDER) for name in others]
    other = pl.any_horizontal(
        pl.lit(value=False),
        *(
            (pl.col(name) != before) & key.is_not_null()
            for name, before in zip(others, said, strict=True)
        ),
    ).fill_null(value=False)
    again = numbered.with_columns(other=other)
    order = (pl.col(_ORDER).diff().fill_null(1) > 0) | pl.col("other")
    return (
        again.with_columns(order.cum_sum().alias(_ORDER))
        .with_columns(pl.col("lost").first().over(_ORDER))
        .drop("other")
    )
