"""An outlet's ledger or client book as a section of `escapement.toml`, guessed from a sample.

Invariant: what is guessed is active and says why; what could not be guessed is commented out and
says what to do. Neither holds a cell, but for the codes of a row's kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import truths
from features.ledger import IS_RETURN, KIND, LEDGER_KINDS, LINE_ID, Kind
from outlet_client.setup.column_matching import (
    SURE_PHONE,
    Codes,
    SampleColumn,
    cells_of,
    codes_of,
    fit,
    may_be_shown,
    region_of,
)
from outlet_client.setup.column_names import likeness, normalised
from outlet_client.setup.format_guess import CURRENCY, Guess, dates_of, decimal_of
from outlet_client.setup.settings_sections import CLIENTS, LEDGER, WHAT, Line, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_GROSS = ("gross", "brutto", "ttc", "lordo")
_EACH = ("unit", "einzel", "stueck", "stuck", "unitaire", "unitario")
_MOST_OUTLETS = 50
_NAME = r"^[^\d_@]*\p{L}{2,},?\s+\p{L}[^\d_@]*$"


@dataclass(slots=True)
class _Draft:
    """A section while it is made."""

    sample: pl.DataFrame
    found: dict[str, Guess]
    section: Section

    def text(self, canonical: str) -> pl.Series | None:
        """The column found for a canonical one as text; None where there is none."""
        guess = self.found.get(canonical)
        return (
            None if guess is None else cells_of(self.sample.select(guess.value))[guess.value].text
        )

    def is_text(self, canonical: str) -> bool:
        """Whether that column is text, so that the settings must say how to read it."""
        guess = self.found.get(canonical)
        return guess is not None and self.sample[guess.value].dtype == pl.String

    def finished(self, wanted: tuple[str, ...], needed: tuple[str, ...]) -> Section:
        """The section, with the columns that are missing to be filled in."""
        section, found = self.section, self.found
        section.columns = [
            Line(name, found[name].value, found[name].why) for name in wanted if name in found
        ] + [
            Line(name, "...", f"your column of {WHAT[name]}", todo=True)
            for name in needed
            if name not in found
        ]
        section.doubts += [
            f"{name}: is it {guess.value}? {guess.why}"
            for name, guess in found.items()
            if not guess.sure
        ]
        named = {*found, IS_RETURN, *(line.key for line in section.constants)}
        section.doubts += [
            f"{name}: your column of that name is read as {WHAT[name]}, which it does not look like"
            for name in wanted
            if name in self.sample.columns and name not in named
        ]
        used = {guess.value for guess in found.values()}
        section.unused = tuple(own for own in self.sample.columns if own not in used)
        return section


def describe_ledger(sample: pl.DataFrame, line_key: str | None = None) -> Section:
    """Describes a ledger.

    Args:
        sample: Rows under the outlet's own names, as text or native types.
        line_key: The own column that a database calls the table's key; None where it calls none.
    """
    key = line_key if line_key in sample.columns else None
    found = fit(sample if key is None else sample.drop(key), LEDGER)
    if key is not None:
        found[LINE_ID] = Guess(key, "the table's primary key")
    draft = _Draft(sample, found, Section("ledger"))
    _customers(draft)
    _amounts(draft)
    _days(draft, "purchased_at")
    _kinds(draft)
    _outlets(draft)
    return draft.finished(LEDGER, ("customer_id", "purchased_at", "price"))


def describe_clients(sample: pl.DataFrame, customer: Guess | None) -> Section:
    """Describes a client book.

    Args:
        sample: As for `describe_ledger`.
        customer: The own column that holds the ledger's customers, where it is known.
    """
    found = fit(sample, CLIENTS)
    if customer is not None:
        found = {"customer_id": customer, **{n: g for n, g in found.items() if n != "customer_id"}}
    missing = () if {"phone", "email"} & set(found) else ("phone", "email")
    return _Draft(sample, found, Section("clients")).finished(CLIENTS, ("customer_id", *missing))


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


def _customers(draft: _Draft) -> None:
    """A name is no key: two people may have one, and it would be kept and shown as a key is."""
    text = draft.text("customer_id")
    if text is None:
        return
    cells = SampleColumn("", text, text.dtype)
    for what, pattern in (("names", _NAME), ("phones", SURE_PHONE)):
        if cells.share(pattern) > 0.5:  # noqa: PLR2004  (most)
            own = draft.found["customer_id"].value
            draft.section.doubts.append(
                f"customer_id: {own} holds {what}; use your number of a customer"
            )


def _amounts(draft: _Draft) -> None:
    """The decimal sign, and amounts that cannot be read as they are."""
    written = [draft.text(name) for name in ("price", "list_price") if draft.is_text(name)]
    columns = [text for text in written if text is not None]
    if columns:
        guess = decimal_of(columns) or Guess(".", "no amount of the sample has cents")
        draft.section.form.append(Line("decimal", guess.value, guess.why))
        if not guess.sure:
            draft.section.doubts.append(f"decimal: {guess.why}; is that so?")
        signs = sum(int(text.str.contains(CURRENCY).sum()) for text in columns)
        if signs:
            draft.section.doubts.append(
                f"price: {signs:,} amounts of the sample have a currency; export them without"
            )
    own = draft.found["price"].value if "price" in draft.found else ""
    if any(word in text for word in _GROSS for text in normalised(own)):
        draft.section.doubts.append(
            f"price: {own} sounds gross; use the net amount if you have one"
        )
    if any(word in text for word in _EACH for text in normalised(own)):
        draft.section.doubts.append(
            f"price: {own} sounds like the price of one; use the row's amount, price x quantity"
        )


def _days(draft: _Draft, canonical: str) -> None:
    text = draft.text(canonical)
    if text is None or draft.sample[draft.found[canonical].value].dtype.is_temporal():
        return
    guess = dates_of(text)
    if guess is not None:
        draft.section.form.append(Line("dates", guess.value, guess.why))
        if not guess.sure:
            draft.section.doubts.append(f"dates: {guess.why}; is {guess.value} right?")


def _kinds(draft: _Draft) -> None:
    """What tells a sale from a return: codes, a column of truths, or amounts below zero."""
    kinds, returned = draft.text(KIND), draft.text(IS_RETURN)
    codes = None if kinds is None else codes_of(kinds)
    if codes is not None and (codes.told > 0.5 or (returned is None and codes.known)):  # noqa: PLR2004  (most rows)
        draft.found.pop(IS_RETURN, None)
        _written(draft, codes)
        return
    draft.found.pop(KIND, None)
    if returned is None:
        _sales_only(draft)
    elif KIND in draft.sample.columns or truths(returned.drop_nulls(), "").values.null_count():
        if draft.sample[draft.found[IS_RETURN].value].dtype == pl.Boolean:
            return  # a column of codes is of text or whole numbers
        own = draft.found.pop(IS_RETURN)
        draft.found[KIND] = Guess(own.value, "says whether a row is a return")
        _written(draft, codes_of(returned, truths=True))


def _written(draft: _Draft, codes: Codes) -> None:
    for kind, words in codes.known.items():
        if words != (kind,):
            draft.section.codes.append(Line(kind, words, "by the word"))
    if codes.unknown:
        shown = tuple(code for code in codes.unknown if may_be_shown(code))
        kinds = ", ".join(kind.value for kind in LEDGER_KINDS)
        what = (
            f"what are these codes of {draft.found[KIND].value}, {sum(codes.unknown.values()):,} "
            f"rows of the sample? One or more of {kinds}; rows of any other go to quarantine"
        )
        draft.section.codes.append(Line("...", shown, what, todo=True))


def _sales_only(draft: _Draft) -> None:
    """Every row is a sale, but for amounts below zero."""
    why = "no column says what a row is; those below zero are returns"
    draft.section.constants.append(Line(KIND, Kind.PURCHASE.value, why))
    prices = draft.text("price")
    if prices is None or not prices.str.contains(r"^[-\u{2212}]|-$").any():
        draft.section.doubts.append(
            "kind: no column tells sales from returns, and no amount is below zero; if there are "
            "returns, name the column in [ledger.columns]"
        )


def _outlets(draft: _Draft) -> None:
    text = draft.text("outlet_id")
    if text is None:
        return
    outlets = text.drop_nulls().n_unique()
    if outlets > _MOST_OUTLETS:
        draft.found.pop("outlet_id")
    elif outlets > 1:
        draft.section.doubts.append(
            f"outlet_id: the sample holds {outlets} outlets; an outlet enrols with its own rows"
        )
