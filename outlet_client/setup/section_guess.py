"""An outlet's ledger or client book as a section of `escapement.toml`, guessed from a sample.

Invariant: what is guessed is active and says why; what could not be guessed is commented out and
says what to do. Neither holds a cell, but for codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.ledger import LINE_ID
from outlet_client.setup.amount_guess import choose_price, guess_decimal
from outlet_client.setup.code_guess import region_of
from outlet_client.setup.column_matching import fit
from outlet_client.setup.column_names import likeness
from outlet_client.setup.format_guess import Guess
from outlet_client.setup.order_layout import (
    ORDER_COLUMNS,
    first_row_columns,
    has_blank_keys,
    repeated_columns,
)
from outlet_client.setup.row_kind_guess import guess_kinds, guess_statuses, guess_walk_ins
from outlet_client.setup.sample_columns import (
    FITS,
    SURE_PHONE,
    SampleColumn,
    are_keys,
    are_mailboxes,
    are_running_numbers,
    are_running_texts,
    cells_of,
)
from outlet_client.setup.section_draft import Draft
from outlet_client.setup.settings_sections import CLIENTS, LEDGER, Line, Section
from outlet_client.sources.total_words import are_totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.setup.export_presets import ExportPreset

NAME = r"^[^\d_@]*\p{L}{2,},?\s+\p{L}[^\d_@]*$"
"""What looks like a person's name."""

_MOST_OUTLETS = 50
_NEARLY_ALL = 0.9
_OF_A_ROW = ("price", "unit_price", "quantity", "returned_quantity", "list_price")
_AMOUNTS = ("price", "unit_price")


def describe_ledger(
    sample: pl.DataFrame, line_key: str | None = None, preset: ExportPreset | None = None
) -> Section:
    """Describes a ledger.

    Args:
        sample: Rows under the outlet's own names, as text or native types, in order.
        line_key: The own column that a database calls the table's key; None where it calls none.
        preset: Which system wrote the export; None where nothing is known of it.
    """
    rows = _without_blanks_and_totals(sample)
    cells = cells_of(rows)
    found = _columns(rows, cells, line_key) if preset is None else preset.found(cells)
    draft = Draft(rows, cells, found, Section("ledger"))
    _customers(draft)
    guess_decimal(draft)
    _days(draft, "purchased_at")
    if preset is None:
        choose_price(draft)
        guess_statuses(draft)
        guess_kinds(draft)
        _outlets(draft)
        _fill_down(draft)
    else:
        _as_preset(draft, preset)
    guess_walk_ins(draft)
    amount = ("price",) if "quantity" not in found or "price" in found else ("unit_price",)
    return draft.finished(LEDGER, ("customer_id", "purchased_at", *amount))


def _without_blanks_and_totals(sample: pl.DataFrame) -> pl.DataFrame:
    """A sample without rows of nothing but delimiters, and without totals."""
    texts = [cells.text for cells in cells_of(sample).values()]
    if not texts:
        return sample
    first = pl.select(pl.coalesce(texts)).to_series()
    return sample.filter(first.is_not_null() & ~are_totals(first))


def _columns(
    sample: pl.DataFrame, cells: Mapping[str, SampleColumn], line_key: str | None
) -> dict[str, Guess]:
    """The ledger's columns; what stands in an order's first row only is no line's."""
    key = line_key if line_key in sample.columns else None
    others = {own: column for own, column in cells.items() if own != key}
    found = _line_columns(sample[list(others)], others)
    if key is not None:
        found[LINE_ID] = Guess(key, "the table's primary key")
    if "customer_id" not in found and "email" in found:
        why = "no other column is a customer's key; a mailbox is hashed before it is kept"
        found["customer_id"] = Guess(found["email"].value, why, sure=False)
    return found


def _line_columns(rows: pl.DataFrame, cells: Mapping[str, SampleColumn]) -> dict[str, Guess]:
    """The columns by name and cells, without amounts that rows show to be the whole order's."""
    counting = _counting(cells)
    found = fit(cells, LEDGER, refused=counting)
    if "basket_id" not in found:
        return found
    basket = found["basket_id"].value
    of_orders = first_row_columns(rows, basket)
    lines = counting | dict.fromkeys(_OF_A_ROW, of_orders)
    if of_orders:
        found = fit(cells, LEDGER, refused=lines)
    for totals in (repeated_columns(rows, basket), _seldom_filled(cells)):
        if {found[name].value for name in _AMOUNTS if name in found} & totals:
            refused = {name: lines[name] | totals for name in _AMOUNTS}
            other = fit(cells, LEDGER, refused=lines | refused)
            if set(_AMOUNTS) & set(other):
                lines, found = lines | refused, other
    return found


def _counting(cells: Mapping[str, SampleColumn]) -> dict[str, frozenset[str]]:
    """Columns that count rows or receipts, and so are no key of a piece or customer."""
    rows = frozenset(own for own in cells if are_running_numbers(cells[own]))
    named = [own for own in cells if likeness(own, "reference") > 0 and are_keys(cells[own])]
    receipts = frozenset(own for own in named if are_running_texts(cells[own]))
    others = [own for own in named if own not in receipts and len(cells[own].filled)]
    found = {"customer_id": rows, "serial": rows}
    return found | ({"reference": receipts} if others else {})


def _seldom_filled(cells: Mapping[str, SampleColumn]) -> frozenset[str]:
    """Columns with fewer amounts than another one that sounds like a row's: payments, say."""
    named = [own for own in cells if max(likeness(own, name) for name in _AMOUNTS) > 0]
    filled = {own: len(cells[own].filled) for own in named if FITS["price"][0](cells[own])}
    most = max(filled.values(), default=0)
    return frozenset(own for own, count in filled.items() if count < most * _NEARLY_ALL)


def _as_preset(draft: Draft, preset: ExportPreset) -> None:
    """Writes what a preset knows; what the export has not is left away."""
    why = f"as {preset.title} has it"
    section, found = draft.section, draft.found
    for constant, value in preset.constants.items():
        section.constants.append(Line(constant, value, why))
    if "kind" in found:
        section.codes = [Line(kind, codes, why) for kind, codes in preset.codes.items()]
    if "status" in found:
        section.statuses = [Line(what, codes, why) for what, codes in preset.statuses.items()]
    where = preset.where(draft.sample)
    if where is not None:
        section.form.append(Line("where", where, "gift cards and the like are no events"))
    _write_fill_down(draft, [name for name in preset.fill_down if name in found], why)
    customers = draft.text("customer_id")
    hashed = customers is not None and are_mailboxes(SampleColumn("", customers, customers.dtype))
    accepted = {
        doubt: reason
        for doubt, reason in preset.accept.items()
        if doubt != "mailbox-keys" or hashed
    }
    if accepted:
        section.form.append(Line("accept", tuple(accepted), "; ".join(accepted.values())))


def _fill_down(draft: Draft) -> None:
    """Writes which columns only an order's first row fills."""
    basket = draft.found.get("basket_id")
    if basket is None:
        return
    first_only = first_row_columns(draft.sample, basket.value)
    names = [
        name for name in ORDER_COLUMNS if name in draft.found
        and draft.found[name].value in first_only
    ]  # fmt: skip
    why = "an order's first row says it for its further rows, which are blank there"
    if names or has_blank_keys(draft.sample, basket.value):
        _write_fill_down(draft, names, why)


def _write_fill_down(draft: Draft, names: list[str], why: str) -> None:
    basket = draft.found.get("basket_id")
    own = [draft.found[name].value for name in names]
    columns = tuple(dict.fromkeys(one for one in own if basket and one != basket.value))
    if basket is not None and columns:
        draft.section.fill_down = [
            Line("key", basket.value, "tells orders apart"),
            Line("columns", columns, why),
        ]


def describe_clients(sample: pl.DataFrame, customer: Guess | None) -> Section:
    """Describes a client book.

    Args:
        sample: As for `describe_ledger`.
        customer: The own column that holds the ledger's customers, where it is known.
    """
    cells = cells_of(sample)
    found = fit(cells, CLIENTS)
    if customer is not None:
        found = {"customer_id": customer, **{n: g for n, g in found.items() if n != "customer_id"}}
    missing = () if {"phone", "email"} & set(found) else ("phone", "email")
    return Draft(sample, cells, found, Section("clients")).finished(
        CLIENTS, ("customer_id", *missing)
    )


def customer_among(sample: pl.DataFrame, customers: pl.Series) -> Guess | None:
    """The column of a client book that holds the ledger's customers.

    Args:
        sample: Of the client book.
        customers: Of a sample of the ledger, as text.

    Returns:
        None if no column has three in ten of them.
    """
    wanted = set(customers.drop_nulls())
    best: tuple[float, str] | None = None
    for own, cells in cells_of(sample).items():
        here = set(cells.filled)
        share = len(wanted & here) / max(min(len(wanted), len(here)), 1)
        if best is None or (share, likeness(own, "customer_id")) > (
            best[0],
            likeness(best[1], "customer_id"),
        ):
            best = share, own
    if best is None or best[0] < 0.3:  # noqa: PLR2004  (samples of both tables overlap in part)
        return None
    return Guess(best[1], "holds the customers of the ledger")


def region_among(sections: Mapping[str, pl.DataFrame]) -> Guess | None:
    """The outlet's country, from the phones of the first of some tables that has any.

    Args:
        sections: The sample of each table that may hold phones.
    """
    for sample in sections.values():
        phone = fit(sample, CLIENTS).get("phone")
        if phone is not None:
            return region_of(cells_of(sample.select(phone.value))[phone.value].text)
    return None


def _customers(draft: Draft) -> None:
    """A name is no key: two people may have one, and it would be kept and shown as a key is."""
    text = draft.text("customer_id")
    if text is None:
        return
    cells = SampleColumn("", text, text.dtype)
    for what, pattern in (("names", NAME), ("phones", SURE_PHONE)):
        if cells.share(pattern) > 0.5:  # noqa: PLR2004  (most)
            own = draft.found["customer_id"].value
            draft.section.doubts.append(
                f"customer_id: {own} holds {what}; use your number of a customer"
            )


def _days(draft: Draft, canonical: str) -> None:
    text = draft.text(canonical)
    if text is None or draft.sample[draft.found[canonical].value].dtype.is_temporal():
        return
    guess = draft.cells[draft.found[canonical].value].days()
    if guess is not None:
        draft.section.form.append(Line("dates", guess.value, guess.why))
        if not guess.sure:
            draft.section.doubts.append(f"dates: {guess.why}; is {guess.value} right?")


def _outlets(draft: Draft) -> None:
    text = draft.text("outlet_id")
    if text is None:
        return
    outlets = text.drop_nulls().n_unique()
    if outlets > _MOST_OUTLETS or text.null_count():
        draft.found.pop("outlet_id")
    elif outlets > 1:
        draft.section.doubts.append(
            f"outlet_id: the sample holds {outlets} outlets; an outlet enrols with its own rows"
        )
