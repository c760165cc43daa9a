"""Doubts about columns that nothing reads: some of them say that a sale is none.

Invariant: only the first rows are looked at, and of them counts and headings are told, no cell.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import IS_RETURN, KIND, Kind
from features.ledger_format import normal
from outlet_client.setup.code_guess import PARTIAL, codes_of
from outlet_client.setup.column_names import IGNORE, likeness, normalised, status_of
from outlet_client.setup.doubts import Doubt, counted
from outlet_client.setup.sample_columns import are_codes, cells_of
from outlet_client.setup.settings_sections import LEDGER

if TYPE_CHECKING:
    from outlet_client.sources.source import Source

_REFUNDS = re.compile(
    "refund|return|retour|rueckgabe|ruckgabe|storno|gutschrift|rembours|rimbors|resotot|dareso"
)
_NO_REFUNDS = re.compile("returnable|policy|address|adresse|label|retourniertnicht|eligible")
_FOREIGN = ("退款", "返品", "退货", "退貨", "返金")
_NOTHING = r"^[\s$€£¥A-Za-z]*[-+]?0+[.,]?0*[\s$€£¥]*$|^(?i:no|n|false|none|nein|non|-)$"
_SIDES = ({"s", "h"}, {"soll", "haben"}, {"debit", "credit"}, {"dr", "cr"}, {"d", "c"})
_BELOW = r"^\D{0,4}[-\u{2212}(]|-$"


def unused_doubts(source: Source, rows: pl.DataFrame) -> list[Doubt]:
    """What columns that the settings do not name speak against.

    Args:
        source: The ledger.
        rows: Its first rows under the outlet's own names.
    """
    used = {*source.columns.values(), *_own(source, rows).values()}
    unused = [own for own in rows.columns if own not in used]
    found = [_refunds(source, rows, unused), _kinds(source, rows, unused)]
    return [doubt for doubt in found if doubt is not None]


def is_always_sale(source: Source) -> bool:
    """Whether no column says what a row is, nor what became of it."""
    told = {IS_RETURN, "status", "returned_quantity"} & set(source.columns)
    return source.constants.get(KIND) == Kind.PURCHASE and not told


def _own(source: Source, rows: pl.DataFrame) -> dict[str, str]:
    """The own column of each canonical one that is there."""
    own = {name: source.columns.get(name, name) for name in LEDGER}
    return {name: heading for name, heading in own.items() if heading in rows.columns}


def _refunds(source: Source, rows: pl.DataFrame, unused: list[str]) -> Doubt | None:
    """A column of refunds is filled where a row is read as a sale that counts."""
    if "returned_quantity" in source.columns:
        return None
    named = [own for own in unused if _speaks_of_refunds(own)]
    sales = rows.filter(_are_plain_sales(source, rows))
    counts = {}
    for own, cells in cells_of(sales[named]).items():
        number = int((~cells.filled.str.contains(_NOTHING)).sum())
        if number:
            counts[own] = number
    if not counts:
        return None
    said = ", ".join(f"{own} in {counted(number, 'row')}" for own, number in counts.items())
    what = f"no setting names {said} that are read as sales: did they come back?"
    return Doubt("refund-column", "ledger", {"rows": max(counts.values())}, what)


def _speaks_of_refunds(heading: str) -> bool:
    words = normalised(heading)
    return any(sign in heading for sign in _FOREIGN) or any(
        _REFUNDS.search(text) and not _NO_REFUNDS.search(text) for text in words
    )


def _are_plain_sales(source: Source, rows: pl.DataFrame) -> pl.Series:
    """Which rows the settings read as sales that count, as far as codes and signs tell."""
    plain = pl.repeat(value=True, n=len(rows), eager=True)
    own = _own(source, rows)
    cells = cells_of(rows[list(dict.fromkeys(own.values()))])
    if "status" in own and source.statuses:
        others = {
            normal(word) for what in ("void", "returned") for word in source.statuses.get(what, ())
        }
        words = {
            word
            for word in cells[own["status"]].filled.unique()
            if normal(word) in others or status_of(word) == PARTIAL
        }
        plain &= ~cells[own["status"]].text.is_in(list(words)).fill_null(value=False)
    if KIND in own:
        purchases = [*source.codes.get(Kind.PURCHASE.value, ()), Kind.PURCHASE.value]
        plain &= cells[own[KIND]].text.is_in(purchases).fill_null(value=False)
    for name in ("price", "unit_price", "quantity"):
        if name in own:
            plain &= ~cells[own[name]].text.str.contains(_BELOW).fill_null(value=False)
    return plain


def _kinds(source: Source, rows: pl.DataFrame, unused: list[str]) -> Doubt | None:
    """A column of codes seems to say what rows are, and every row is read as a sale."""
    if source.constants.get(KIND) != Kind.PURCHASE or IS_RETURN in source.columns:
        return None
    for own, cells in cells_of(rows[unused]).items():
        if not are_codes(cells) or cells.filled.n_unique() < 2:  # noqa: PLR2004  (tells nothing)
            continue
        sounds = likeness(own, KIND) > 0
        words = {text for code in cells.some() for text in normalised(code)}
        known = set(codes_of(cells.text).known)
        is_flag = words <= {"0", "1"} and bool(normalised(own) & {"sold", "sale", "verkauft"})
        if (
            sounds
            or words in _SIDES
            or is_flag
            or (known & {IGNORE, Kind.RETURN} and len(known) > 1)
        ):
            what = f"every row is read as a sale, and the codes of {own} seem to say what rows are"
            return Doubt("all-purchases", "ledger", {"rows": len(cells.filled)}, what)
    return None
