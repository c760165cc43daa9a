"""Doubts that a ledger's rows raise by what became of them: walk-ins, totals, unknown codes.

Invariant: pure functions of the counts and the kept rows; a doubt holds no cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from outlet_client.ledger.intake import RowFate, bad_cells
from outlet_client.setup.doubts import Doubt, counted
from outlet_client.sources.total_words import are_totals

if TYPE_CHECKING:
    from outlet_client.ledger.intake import Intake

_LEAST = 5
_MOST_WALK_INS = 0.7
_LEAST_UNKNOWN, _SHARE_UNKNOWN = 3, 0.01
_CENT = 0.005


def intake_doubts(intake: Intake, rows: pl.DataFrame) -> list[Doubt]:
    """What the fates of rows speak against.

    Args:
        intake: Their counts.
        rows: As they are kept, in the files' order.
    """
    found = [walk_ins(intake), kinds_unknown(rows), totals(rows)]
    return [doubt for doubt in found if doubt is not None]


def walk_ins(intake: Intake) -> Doubt | None:
    """Seven in ten events are of nobody."""
    events = intake.used + intake.left_out + intake.walk_ins
    if events < _LEAST or intake.walk_ins <= events * _MOST_WALK_INS:
        return None
    share = f"{intake.walk_ins:,} of {events:,} events have no customer"
    what = f"{share}: is customer_id the right column?"
    return Doubt("walk-ins", "ledger", {"walk_ins": intake.walk_ins, "events": events}, what)


def kinds_unknown(rows: pl.DataFrame) -> Doubt | None:
    """Several rows have a code that is of no kind."""
    bad = bad_cells(rows.select("row", "bad"))
    unknown = len(bad.filter(pl.col("reason").str.starts_with("no kind of row")))
    if not unknown or (unknown < _LEAST_UNKNOWN and unknown < len(rows) * _SHARE_UNKNOWN):
        return None
    what = f"{counted(unknown, 'row')} of an unknown kind: events, or none? Name their codes"
    return Doubt("kinds-unknown", "ledger", {"rows": unknown}, what)


def totals(rows: pl.DataFrame) -> Doubt | None:
    """Rows that may add others up: under a customer called "Total", or at a file's end."""
    used = rows.filter(pl.col("fate") == RowFate.USED.value)
    named = used["customer"].unique()
    words = named.filter(are_totals(named))
    by_word = int(used["customer"].is_in(words.implode()).sum())
    ends = used.group_by("file", maintain_order=True).agg(
        pieces=pl.len(), last=pl.col("price").last(), sum=pl.col("price").sum()
    )
    ends = ends.filter(pl.col("pieces") > 2)  # noqa: PLR2004  (two alike may be two pieces)
    at_end = int(((ends["sum"] - ends["last"] * 2).abs() <= _CENT).sum())
    if not by_word + at_end:
        return None
    what = (
        f"{counted(by_word, 'row')} of a customer called total, {at_end:,} at a file's end that "
        "are the sum of the others: leave them out with where"
    )
    return Doubt("totals", "ledger", {"by word": by_word, "at the end": at_end}, what)
