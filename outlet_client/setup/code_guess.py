"""What an outlet's codes mean: kinds of rows, statuses, currencies, keys of nobody.

Invariant: a code is known by its word alone; what sounds like nothing stays for a person.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import phonenumbers

from features.ledger import Kind
from outlet_client.setup.column_names import (
    IGNORE,
    STATUS_CODES,
    is_nobody,
    kind_of,
    normalised,
    status_of,
    truth_of,
)
from outlet_client.setup.format_guess import Guess

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

PARTIAL = "partial"
"""What `status_of` says of an order that was paid back in part."""

_MOST_SHOWN = 24
_COMPLETE = {"complete", "completed"}


@dataclass(frozen=True, slots=True)
class Codes:
    """What an outlet writes for each kind of row, or for what became of an order.

    Attributes:
        known: For each kind or fate, its codes.
        unknown: Codes that sound like none, and how many rows have each.
        told: The share of rows whose code is known.
    """

    known: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, int]
    told: float


def codes_of(kinds: pl.Series, *, truths: bool = False) -> Codes:
    """Guesses which code is which kind, by the word.

    Where nothing sounds like a sale and there are payments, a payment is one: some tills call the
    sale of a piece so.

    Args:
        kinds: Codes as text, null where blank.
        truths: Whether the codes say yes or no to "is this a return?".
    """
    counts = Counter(sorted(kinds.drop_nulls()))
    meant = {code: _truth_kind(code) if truths else kind_of(code) for code in counts}
    if Kind.PURCHASE not in meant.values():
        paid = [code for code, what in meant.items() if what == IGNORE and _is_payment(code)]
        meant |= dict.fromkeys(paid, Kind.PURCHASE.value)
    return _codes(counts, meant, [*Kind, IGNORE])


def statuses_of(statuses: pl.Series) -> Codes:
    """Guesses what became of orders, by the word: `counts`, `void` and `returned`.

    An order that was paid back in part counts; which of its lines came back, nobody can tell. One
    that is closed beside others that are complete may have come back: that is left for a person.
    """
    counts = Counter(sorted(statuses.drop_nulls()))
    meant = {code: status_of(code) for code in counts}
    if any(normalised(code) & _COMPLETE for code in counts):
        meant = {code: None if "closed" in normalised(code) else meant[code] for code in counts}
    meant = {code: "counts" if what == PARTIAL else what for code, what in meant.items()}
    return _codes(counts, meant, [what for what in STATUS_CODES if what != PARTIAL])


def _codes(counts: Counter[str], meant: Mapping[str, str | None], names: list[str]) -> Codes:
    known = {
        str(name): tuple(code for code, what in meant.items() if what == name)
        for name in names
        if name in meant.values()
    }
    unknown = {code: counts[code] for code, what in meant.items() if what is None}
    return Codes(known, unknown, 1 - sum(unknown.values()) / max(counts.total(), 1))


def _truth_kind(code: str) -> str | None:
    returned = truth_of(code)
    return None if returned is None else (Kind.RETURN if returned else Kind.PURCHASE).value


def _is_payment(code: str) -> bool:
    return bool(re.search(r"(?i)(payment|zahlung|paiement|pagamento)", code))


def may_be_shown(code: str) -> bool:
    """Whether a cell is short and like a code: no phone, address or sentence."""
    digits = sum(character.isdigit() for character in code)
    return len(code) <= _MOST_SHOWN and "@" not in code and digits < 7  # noqa: PLR2004  (a phone's)


def nobodies_in(customers: pl.Series) -> tuple[str, ...]:
    """Keys of a column of customers that say that there is none, such as "WALK-IN"."""
    return tuple(sorted(key for key in customers.drop_nulls().unique() if is_nobody(key)))


def region_of(phones: pl.Series) -> Guess | None:
    """Guesses an outlet's country from phones that are written with one.

    Returns:
        None if hardly any is written with a country, or no country has a clear majority.
    """
    numbers = phones.drop_nulls().str.replace_all(r"[^\d+]", "").str.replace(r"^00", "+")
    abroad = numbers.filter(numbers.str.starts_with("+")).unique()
    codes: Counter[int] = Counter()
    for number in abroad.head(2000):
        try:
            codes[phonenumbers.parse(number, None).country_code or 0] += 1
        except phonenumbers.NumberParseException:
            continue
    if not codes:
        return None
    code, count = codes.most_common(1)[0]
    region = phonenumbers.region_code_for_country_code(code)
    share = count / sum(codes.values())
    if share < 0.6 or not re.fullmatch("[A-Z]{2}", region):  # noqa: PLR2004  (a clear majority)
        return None
    why = f"{share:.0%} of the phones with a country begin with +{code}"
    return Guess(region, why, len(abroad) >= 10)  # noqa: PLR2004  (a few could be tourists)
