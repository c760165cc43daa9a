"""Which column a row's amount is, how amounts are written, and in which currency.

Invariant: a row's amount is one column, or quantity times one: never both. Where a price could be
of one piece or of the whole row, and it matters, it is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import amounts
from outlet_client.setup.column_names import normalised
from outlet_client.setup.format_guess import Guess, decimal_of, sides_of
from outlet_client.setup.price_reach import (
    PriceReach,
    price_reach,
    read_columns,
    told_by_columns,
    told_by_references,
)
from outlet_client.setup.sample_columns import FITS
from outlet_client.setup.settings_sections import Line
from outlet_client.setup.tax_columns import net_beside

if TYPE_CHECKING:
    from outlet_client.setup.section_draft import Draft

AMOUNTS = ("price", "unit_price", "list_price")

_GROSS = ("gross", "brutto", "ttc", "lordo")
_OF_ORDERS = ("order", "cart", "basket", "bestell", "auftrag", "commande", "panier", "ordine")
_GROSS_ONLY = {"gross", "grossamount", "brutto", "bruttobetrag", "brut", "lordo"}
_FEES = {"fee", "fees", "processingfee", "gebuehr", "gebuhr", "frais", "commission", "commissione"}
_CENT = 0.005


def read_amounts(draft: Draft, canonical: str) -> pl.Series | None:
    """A column's amounts, Float64, as far as they can be read; None where there is none."""
    guess = draft.found.get(canonical)
    if guess is None:
        return None
    column = draft.sample[guess.value]
    text = column if column.dtype.is_numeric() else column.cast(pl.String)
    return amounts(text, "", draft.form("decimal") or ".").values


def guess_decimal(draft: Draft) -> None:
    """Writes how amounts are written."""
    written = [draft.text(name) for name in AMOUNTS if draft.is_text(name)]
    columns = [text for text in written if text is not None]
    if not columns:
        return
    guess = decimal_of(columns) or Guess(".", "no amount of the sample has cents")
    draft.section.form.append(Line("decimal", guess.value, guess.why))
    if not guess.sure:
        draft.section.doubts.append(f"decimal: {guess.why}; is that so?")
    side = sides_of(columns)
    if side is not None:
        draft.section.form.append(Line("sales_side", side.value, side.why))
        if not side.sure:
            draft.section.doubts.append(f"sales_side: {side.why}; is a sale a {side.value}?")


def choose_price(draft: Draft) -> None:
    """Keeps one way to a row's amount: its own column, or the price of one times the quantity."""
    found = draft.found
    if "unit_price" in found and "quantity" not in found:
        each = found.pop("unit_price")
        if "price" not in found:
            found["price"] = each
            draft.section.doubts.append(
                f"price: {each.value} sounds like the price of one, and no column is a quantity; "
                "map `quantity` and `unit_price` if there is one"
            )
    if "price" in found and "unit_price" in found:
        words = normalised(found["price"].value)
        is_orders = any(word in text for word in _OF_ORDERS for text in words)
        found.pop("price" if is_orders else "unit_price")
    if "price" in found:
        _before_fees(draft)
    _net_amounts(draft)
    if "price" in found and "quantity" in found:
        _each_or_all(draft)
    if not {"price", "unit_price"} & set(found):
        found.pop("quantity", None)
    own = found["price"].value if "price" in found else ""
    if any(word in text for word in _GROSS for text in normalised(own)):
        draft.section.doubts.append(
            f"price: {own} sounds gross; use the net amount if you have one"
        )


def _before_fees(draft: Draft) -> None:
    """What a customer paid, where the amount that was taken is what is left after fees."""
    names = {own: normalised(own) for own in draft.cells}
    gross = next((own for own in names if names[own] & _GROSS_ONLY), None)
    fee = next((own for own in names if names[own] & _FEES), None)
    net = draft.found["price"].value
    if gross is None or fee is None or gross == net:
        return
    sign = draft.form("decimal") or "."
    read = read_columns({own: draft.cells[own].text for own in (gross, fee, net)}, sign)
    if len(read) < 3:  # noqa: PLR2004  (all of them)
        return
    paid, cost, left = (read[own].abs() for own in (gross, fee, net))
    after = ((paid - cost.abs() - left).abs() < _CENT) & (cost != 0)
    if bool(after.any()) and bool(((paid - cost.abs() - left).abs() < _CENT).all()):
        draft.found["price"] = Guess(gross, f"{net} is what is left of it after {fee}")


def _each_or_all(draft: Draft) -> None:
    """Whether `price` is of one piece, told by rows of several."""
    own, sign = draft.found["price"].value, draft.form("decimal") or "."
    quantity = read_amounts(draft, "quantity")
    price = read_columns({own: draft.cells[own].text}, sign).get(own)
    if quantity is None or price is None or not bool((quantity.abs() > 1).any()):
        return
    used = {own, draft.found["quantity"].value}
    others = {
        name: cells.text
        for name, cells in draft.cells.items()
        if name not in used and FITS["price"][0](cells)
    }
    read = read_columns(others, sign)
    told = told_by_columns(price, quantity, read) or told_by_references(
        draft.text("reference"), quantity, price
    )
    reach = price_reach(own, told)
    if reach == PriceReach.UNKNOWN:
        draft.section.doubts.append(
            f"price: is {own} what the whole row cost? If it is of one piece, map it as "
            "`unit_price`: some rows have several"
        )
    elif reach == PriceReach.EACH:
        draft.found["unit_price"] = Guess(draft.found.pop("price").value, "the price of one piece")


def _net_amounts(draft: Draft) -> None:
    """Takes the net amount where one stands beside the gross one."""
    for name in ("price", "unit_price"):
        guess = draft.found.get(name)
        if guess is None:
            continue
        net = net_beside(guess.value, draft.cells, draft.form("decimal") or ".")
        if net is not None and net not in {one.value for one in draft.found.values()}:
            draft.found[name] = Guess(net, f"{guess.value} without the tax")
