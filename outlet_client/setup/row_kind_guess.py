"""What tells a sale from a return, and from rows that are no events: codes, statuses, signs.

Invariant: a code that sounds like nothing is left for a person, and what it is said of is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import truths
from features.ledger import IS_RETURN, KIND, LEDGER_KINDS, Kind
from outlet_client.setup.amount_guess import read_amounts
from outlet_client.setup.code_guess import (
    Codes,
    codes_of,
    may_be_shown,
    nobodies_in,
    statuses_of,
)
from outlet_client.setup.column_names import IGNORE
from outlet_client.setup.format_guess import Guess
from outlet_client.setup.order_layout import header_codes, orders_of
from outlet_client.setup.sample_columns import are_codes
from outlet_client.setup.settings_sections import Line

if TYPE_CHECKING:
    from collections.abc import Collection

    from outlet_client.setup.section_draft import Draft

_BELOW_ZERO = r"^\D{0,4}[-\u{2212}]|-$|^\(.*\)$"
_STATUS_WORDS = {
    "counts": "an event, by the word",
    "void": "no event, by the word",
    "returned": "a purchase and its return, by the word",
}


def guess_kinds(draft: Draft) -> None:
    """Writes what tells a sale from a return: codes, a column of truths, or amounts below zero."""
    kinds, returned = draft.text(KIND), draft.text(IS_RETURN)
    codes = None if kinds is None else codes_of(kinds)
    events = {} if codes is None else {k: v for k, v in codes.known.items() if k != IGNORE}
    if codes is not None and events and (codes.told > 0.5 or returned is None):  # noqa: PLR2004  (most rows)
        draft.found.pop(IS_RETURN, None)
        _write_codes(draft, codes, _headers(draft, events))
        return
    named = draft.found.pop(KIND, None)
    if returned is None:
        if named is not None:
            draft.section.doubts.append(
                f"kind: {named.value} sounds like what a row is, and none of its codes is known"
            )
        if not _kinds_elsewhere(draft):
            _sales_only(draft)
    elif KIND in draft.sample.columns or truths(returned.drop_nulls(), "").values.null_count():
        if draft.sample[draft.found[IS_RETURN].value].dtype == pl.Boolean:
            return  # a column of codes is of text or whole numbers
        own = draft.found.pop(IS_RETURN)
        draft.found[KIND] = Guess(own.value, "says whether a row is a return")
        _write_codes(draft, codes_of(returned, truths=True), ())


def _headers(draft: Draft, events: dict[str, tuple[str, ...]]) -> frozenset[str]:
    """Codes of rows that sum up their order's other rows."""
    kinds, prices = draft.text(KIND), read_amounts(draft, "price")
    basket = draft.found.get("basket_id")
    if kinds is None or prices is None or basket is None:
        return frozenset()
    sales = [code for kind in (Kind.PURCHASE, Kind.RETURN) for code in events.get(kind.value, ())]
    return header_codes(orders_of(draft.sample, basket.value), kinds, prices, sales)


def _write_codes(draft: Draft, codes: Codes, headers: Collection[str]) -> None:
    known = {
        kind: tuple(w for w in words if w not in headers) for kind, words in codes.known.items()
    }
    ignored = known.pop(IGNORE, ())
    for kind, words in known.items():
        if words and words != (kind,):
            draft.section.codes.append(Line(kind, words, "by the word"))
    if ignored or headers:
        why = "no events: " + ", ".join(
            [
                *(["by the word"] if ignored else []),
                *(["rows that sum up their order's others"] if headers else []),
            ]
        )
        draft.section.codes.append(Line(IGNORE, (*ignored, *sorted(headers)), why))
    if codes.unknown:
        shown = tuple(code for code in codes.unknown if may_be_shown(code))
        kinds = ", ".join((*(kind.value for kind in LEDGER_KINDS), IGNORE))
        what = (
            f"what are these codes of {draft.found[KIND].value}, {sum(codes.unknown.values()):,} "
            f"rows of the sample? One or more of {kinds}; rows of any other go to quarantine"
        )
        draft.section.codes.append(Line("...", shown, what, todo=True))


def _kinds_elsewhere(draft: Draft) -> bool:
    """Takes a column whose codes all say what a row is, whatever its name; whether there is one."""
    used = {guess.value for guess in draft.found.values()}
    for own, cells in draft.cells.items():
        if own in used or not are_codes(cells):
            continue
        codes = codes_of(cells.text)
        if not codes.unknown and {Kind.PURCHASE.value} < set(codes.known):
            draft.found[KIND] = Guess(own, "its codes say what a row is", sure=False)
            events = {kind: words for kind, words in codes.known.items() if kind != IGNORE}
            _write_codes(draft, codes, _headers(draft, events))
            return True
    return False


def _sales_only(draft: Draft) -> None:
    """Every row is a sale, but for amounts and quantities below zero, or by its status."""
    why = "no column says what a row is; those below zero are returns"
    draft.section.constants.append(Line(KIND, Kind.PURCHASE.value, why))
    told = {"returned_quantity"} & set(draft.found) or any(
        line.key == "returned" for line in draft.section.statuses
    )
    below = [draft.text(name) for name in ("price", "unit_price", "quantity")]
    if told or any(text is not None and text.str.contains(_BELOW_ZERO).any() for text in below):
        return
    draft.section.doubts.append(
        "kind: no column tells sales from returns, and no amount is below zero; if there are "
        "returns, name the column in [ledger.columns]"
    )


def guess_statuses(draft: Draft) -> None:
    """Writes what became of orders; a column whose words say nothing of it is not taken."""
    statuses = draft.text("status")
    if statuses is None:
        return
    codes = statuses_of(statuses)
    if codes.told <= 0.5 or not codes.known:  # noqa: PLR2004  (most rows)
        draft.found.pop("status")
        return
    draft.section.statuses = [
        Line(what, words, _STATUS_WORDS[what]) for what, words in codes.known.items()
    ]
    if codes.unknown:
        shown = tuple(code for code in codes.unknown if may_be_shown(code))
        what = (
            f"what are these of {draft.found['status'].value}, {sum(codes.unknown.values()):,} "
            "rows of the sample? counts, void or returned; rows of any other go to quarantine"
        )
        draft.section.statuses.append(Line("...", shown, what, todo=True))


def guess_walk_ins(draft: Draft) -> None:
    """Writes which keys of customers stand for nobody."""
    customers = draft.text("customer_id")
    found = () if customers is None else nobodies_in(customers)
    if found:
        why = "stand for nobody, by the word; so does a blank"
        draft.section.form.append(Line("walk_ins", found, why))
