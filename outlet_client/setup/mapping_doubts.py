"""Doubts about columns that are mapped, told by their headings and a ledger's first rows.

Invariant: only the first rows are looked at, and of them counts and headings are told, no cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.setup.column_matching import fit
from outlet_client.setup.column_names import is_of_shop, is_of_staff, words_of
from outlet_client.setup.doubts import Doubt, counted
from outlet_client.setup.price_reach import (
    PriceReach,
    price_reach,
    read_columns,
    told_by_columns,
    told_by_references,
)
from outlet_client.setup.sample_columns import FITS, are_running_numbers, cells_of
from outlet_client.setup.settings_sections import LEDGER
from outlet_client.setup.tax_columns import net_beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from outlet_client.setup.sample_columns import SampleColumn
    from outlet_client.sources.source import Source

_PRICES = ("price", "unit_price")
_DISCOUNTS = {
    "discount", "discounts", "rabatt", "rabatte", "nachlass", "remise", "remises", "sconto",
    "sconti",
}  # fmt: skip
_DISCOUNT_MARKS = ("割引", "値引", "折扣", "优惠")
_NO_DISCOUNTS = {
    "code", "codes", "reason", "name", "type", "id", "before", "after", "vor", "nach", "avant",
    "apres", "price", "preis", "prix", "prezzo", "grund", "motif", "motivo", "art",
}  # fmt: skip
_AFTER_DISCOUNT = {"net", "netto", "paid", "charged", "final", "after", "nach", "apres", "paye"}
_NOTHING = r"^[\s$€£¥A-Za-z]*[-+]?0+[.,]?0*[\s$€£¥%]*$|^-$"
_NEARLY_ALL, _CENT = 0.9, 0.011


def mapping_doubts(source: Source, rows: pl.DataFrame) -> list[Doubt]:
    """What the headings and cells of mapped columns speak against.

    Args:
        source: The ledger.
        rows: Its first rows under the outlet's own names.
    """
    cells = cells_of(rows)
    own = {name: source.columns.get(name, name) for name in LEDGER}
    own = {name: heading for name, heading in own.items() if heading in cells}
    found = (
        _not_customers(own),
        _running_numbers(own, cells),
        _taxes(own, cells, source.decimal),
        _discounts(own, cells, source.decimal),
        _of_one(own, cells, source),
    )
    return [doubt for doubt in found if doubt is not None]


def _not_customers(own: Mapping[str, str]) -> Doubt | None:
    """A key, phone or mailbox is the shop's or its staff's, by its heading."""
    named = [own[name] for name in ("phone", "email") if name in own and is_of_shop(own[name])]
    if "customer_id" in own and is_of_staff(own["customer_id"]):
        named.insert(0, own["customer_id"])
    if not named:
        return None
    what = f"{', '.join(named)}: the shop's or its staff's by the heading, not a customer's"
    return Doubt("not-customers", "ledger", {"columns": len(named)}, what)


def _running_numbers(own: Mapping[str, str], cells: Mapping[str, SampleColumn]) -> Doubt | None:
    """Serials or customers' keys count the rows."""
    named = [
        own[name]
        for name in ("customer_id", "serial")
        if name in own and are_running_numbers(cells[own[name]])
    ]
    if not named:
        return None
    rows = max(len(cells[one].filled) for one in named)
    what = f"{', '.join(named)} counts the rows: is it only a row's number?"
    return Doubt("running-numbers", "ledger", {"rows": rows}, what)


def _taxes(own: Mapping[str, str], cells: Mapping[str, SampleColumn], sign: str) -> Doubt | None:
    """An amount with the tax is mapped, and the one without stands beside it."""
    for heading in (own[name] for name in _PRICES if name in own):
        net = net_beside(heading, cells, sign)
        if net is not None:
            what = f"{net} seems to be {heading} without the tax: the net amount is wanted"
            return Doubt("taxes", "ledger", {"rows": len(cells[net].filled)}, what)
    return None


def _discounts(
    own: Mapping[str, str], cells: Mapping[str, SampleColumn], sign: str
) -> Doubt | None:
    """A column of discounts that nothing reads, and no column shows that they were taken off."""
    heading = next((own[name] for name in _PRICES if name in own), None)
    if heading is None or words_of(heading) & _AFTER_DISCOUNT:
        return None
    amounts = read_columns(
        {name: one.text for name, one in cells.items() if FITS["price"][0](one)}, sign
    )
    for name in cells:
        given = _is_discount(name) and name not in own.values()
        some = cells[name].text.is_not_null() & ~cells[name].text.str.contains(_NOTHING)
        some = some.fill_null(value=False)
        if not given or not some.any():
            continue
        if heading in amounts and name in amounts and _is_taken_off(heading, name, amounts, some):
            continue
        what = (
            f"{name} is filled in {counted(int(some.sum()), 'row')}, and no column shows that "
            f"{heading} is what was paid after it"
        )
        return Doubt("discounts", "ledger", {"rows": int(some.sum())}, what)
    return None


def _is_discount(heading: str) -> bool:
    words = words_of(heading)
    is_named = bool(words & _DISCOUNTS) or any(mark in heading for mark in _DISCOUNT_MARKS)
    return is_named and not words & _NO_DISCOUNTS


def _is_taken_off(
    heading: str, discount: str, amounts: Mapping[str, pl.Series], some: pl.Series
) -> bool:
    """Whether an amount of another column, or of it times a third, less the discount is the price.

    A discount below zero is one too.
    """
    price, off = amounts[heading].filter(some).abs(), amounts[discount].filter(some).abs()
    others = [
        amounts[name].filter(some).abs() for name in amounts if name not in (heading, discount)
    ]
    products = [one * other for at, one in enumerate(others) for other in others[at + 1 :]]
    for before in (*others, *products):
        after = ((before - off - price).abs() <= _CENT).drop_nulls()
        if len(after) and int(after.sum()) >= len(after) * _NEARLY_ALL:
            return True
    return False


def _of_one(
    own: Mapping[str, str], cells: Mapping[str, SampleColumn], source: Source
) -> Doubt | None:
    """Rows have several pieces, and nothing tells that their price is what the settings say."""
    used = next((name for name in _PRICES if name in own), None)
    counts = own.get("quantity") or _quantity(own, cells)
    if used is None or counts is None:
        return None
    heading = own[used]
    columns = {name: one.text for name, one in cells.items() if FITS["price"][0](one)}
    read = read_columns({**columns, heading: cells[heading].text}, source.decimal)
    sign = source.quantity_decimal or ("." if source.decimal == "cents" else source.decimal)
    quantity = read_columns({counts: cells[counts].text}, sign).get(counts)
    several = 0 if quantity is None else int((quantity.abs() > 1).sum())
    if quantity is None or heading not in read or not several:
        return None
    others = {name: one for name, one in read.items() if name not in (heading, counts)}
    reference = cells[own["reference"]].text if "reference" in own else None
    told = told_by_columns(read[heading], quantity, others) or told_by_references(
        reference, quantity, read[heading]
    )
    reach = price_reach(heading, told)
    if PriceReach.ROW in (reach, told) and used == "unit_price":
        of, name = "seems to be of the whole row", "price"
    elif reach != PriceReach.ROW and used == "price":
        of = f"{'seems to' if reach == PriceReach.EACH else 'may'} be the price of one"
        name = "unit_price"
    else:
        return None
    what = f"{counted(several, 'row')} of several pieces by {counts}: {heading} {of}; then map it"
    return Doubt("unit-price", "ledger", {"rows": several}, f"{what} as `{name}`")


def _quantity(own: Mapping[str, str], cells: Mapping[str, SampleColumn]) -> str | None:
    """A column of quantities that the settings do not name."""
    others = {name: one for name, one in cells.items() if name not in own.values()}
    guess = fit(others, ("quantity",)).get("quantity")
    return None if guess is None else guess.value
