"""Columns of an amount with a tax and without it, told by their headings and cells.

Invariant: a column is taken for another one's net amount only if its heading says so and no amount
of it is larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.setup.column_names import words_of
from outlet_client.setup.price_reach import is_price_of_one, read_columns
from outlet_client.setup.sample_columns import FITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.setup.sample_columns import SampleColumn

_TAXES = {"tax", "taxes", "gst", "vat", "mwst", "ust", "mwstr", "tva", "iva", "taxe", "tasse"}
_GROSS = {
    "incl", "including", "included", "inclusive", "inkl", "inklusive", "ttc", "tvac", "brutto",
    "gross", "lordo", "compris", "comprise", "compresa", "inclusa", "brut",
}  # fmt: skip
_NET = {
    "excl", "excluding", "excluded", "exclusive", "exkl", "exklusive", "ht", "htva", "netto", "net",
    "nett", "zzgl", "hors", "esclusa", "imponibile",
}  # fmt: skip
_GROSS_OF_TAX = {"inc", "with", "mit", "after", "nach", "avec", "con", "plus"}
_NET_OF_TAX = {"exc", "ex", "without", "ohne", "before", "vor", "pre", "sans", "senza", "w"}
_GROSS_MARKS = ("税込", "含税", "含稅")
_NET_MARKS = ("税抜", "税別", "未税", "未稅", "不含税", "不含稅")
_OTHERS = {
    "cost", "costs", "einkauf", "ek", "discount", "discounts", "rabatt", "remise", "sconto",
    "shipping", "versand", "weight", "gewicht", "poids", "rate", "fee", "fees",
}  # fmt: skip
_FEES = {"fee", "fees", "gebuehr", "gebuhr", "gebuehren", "frais", "commission", "commissione"}
_LEAST_NET, _NEARLY_ALL, _CENT = 0.7, 0.95, 0.005


@dataclass(frozen=True, slots=True)
class _Tax:
    """What a heading says of taxes, and what it says besides."""

    rest: frozenset[str]
    is_gross: bool
    is_net: bool


def net_beside(own: str, cells: Mapping[str, SampleColumn], sign: str) -> str | None:
    """The column with the net amounts of one that is gross, or that does not say.

    Args:
        own: The outlet's name of a column of amounts.
        cells: All columns.
        sign: What stands before cents.

    Returns:
        None where it is net itself, or no other column is its net amount.
    """
    tax = _tax_in(own)
    if tax.is_net or own not in cells:
        return None
    has_fees = any(_FEES & words_of(name) for name in cells)
    others = []
    for name in cells:
        other = _tax_in(name)
        same = other.rest == tax.rest and not (has_fees and not other.rest)
        if (
            name != own
            and other.is_net
            and not other.is_gross
            and (same or (tax.is_gross and other.rest and not has_fees))
            and is_price_of_one(name) == is_price_of_one(own)
            and not words_of(name) & _OTHERS
        ):
            others.append((not same, name))
    for _, name in sorted(others):
        if FITS["price"][0](cells[name]) and _is_net_of(own, name, cells, sign):
            return name
    return None


def _is_net_of(own: str, name: str, cells: Mapping[str, SampleColumn], sign: str) -> bool:
    """Whether no amount is larger than the gross one, and some are somewhat smaller."""
    read = read_columns({one: cells[one].text for one in (own, name)}, sign)
    if len(read) < 2:  # noqa: PLR2004  (both)
        return False
    rows = pl.DataFrame({"gross": read[own].abs(), "net": read[name].abs()}).drop_nulls()
    rows = rows.filter(pl.col("gross") > 0)
    within = pl.col("net").is_between(pl.col("gross") * _LEAST_NET, pl.col("gross") + _CENT)
    less = pl.col("net") < pl.col("gross") - _CENT
    told, smaller = rows.select(within.sum(), less=less.sum()).row(0)
    return bool(smaller) and told >= rows.height * _NEARLY_ALL


def _tax_in(heading: str) -> _Tax:
    words = set[str]()
    for word in words_of(heading.replace("MwSt", "mwst").replace("USt", "ust")):
        parts = next((part for part in ("brutto", "netto", "gross") if part in word), None)
        words |= {word} if parts is None else {parts, word.replace(parts, "")} - {""}
    of_tax = bool(words & _TAXES)
    net = bool(words & _NET) or any(mark in heading for mark in _NET_MARKS)
    net = net or (of_tax and bool(words & _NET_OF_TAX))
    gross = bool(words & _GROSS) or any(mark in heading for mark in _GROSS_MARKS)
    gross = gross or (of_tax and bool(words & _GROSS_OF_TAX))
    said = _TAXES | _GROSS | _NET | (_GROSS_OF_TAX | _NET_OF_TAX if of_tax else set())
    return _Tax(frozenset(words - said), gross and not net, net)
