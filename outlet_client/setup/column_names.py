"""How much an outlet's own names and codes sound like the canonical ones of `vocabulary.toml`.

Invariant: names are compared without case, accents and signs between letters; the first name of a
column there is the likelier one. A canonical name always stands for itself, and a heading that
stands twice (`Total#1`, `Total#2`) for what it says without its number.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_name("vocabulary.toml").read_text(encoding="utf-8")
)

COLUMN_NAMES = {canonical: tuple(names.split()) for canonical, names in _WORDS["columns"].items()}
"""What outlets call each canonical column, normalised, the likeliest first."""

_ALONE = {word: kind for kind, words in _WORDS["kinds_alone"].items() for word in words.split()}

IGNORE = "ignore"
"""The codes of rows that are no events."""

KIND_CODES = {word: kind for kind, words in _WORDS["kinds"].items() for word in words.split()}
"""What outlets write for a kind of row, normalised, and for rows that are no events."""

STATUS_CODES = {what: frozenset(words.split()) for what, words in _WORDS["statuses"].items()}
"""What outlets write for what became of an order: counts, void, returned, or partial."""

_NOBODY = frozenset(_WORDS["walk_ins"]["words"].split())

TRUTHS = {word: says == "yes" for says, words in _WORDS["truths"].items() for word in words.split()}
"""What outlets write for true and false, normalised."""

_NEVER = {name: frozenset(words.split()) for name, words in _WORDS["never"].items()}
"""Words beside which a name means something else: a day of birth is no day of a sale."""

_STAFF, _SHOP = (frozenset(_WORDS["not_customers"][what].split()) for what in ("staff", "shop"))
"""Words of headings that speak of who sells, and of where."""

_WITHOUT_TAX = re.compile(
    r"[(]?\b(excl?\.?|excluding|ex|exkl\.?|ohne|zzgl\.?|hors|before|without|sans|senza|w/o)\s+"
    r"(sales\s+)?(tax(es)?|vat|gst|mwst|ust|tva|iva|taxes?)\b\.?[)]?",
    re.IGNORECASE,
)
_UMLAUTS = {ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"}
_EXACT, _WITHIN = 100.0, 60.0


def normalised(name: str) -> set[str]:
    """A name without case, accents and signs, with umlauts as both "a" and "ae"."""
    lower = name.casefold()
    expanded = lower.translate(_UMLAUTS)
    return {re.sub(r"[^a-z0-9]", "", _plain(text)) for text in (lower, expanded)}


def likeness(name: str, canonical: str) -> float:
    """How much an outlet's column name sounds like a canonical column: 0 to 100.

    100 stands for the canonical name itself; a name that holds a known one among others, such as
    "T_DATUM", is worth less than the known one.
    """
    name = without_number(name)
    if name == canonical:
        return _EXACT
    if canonical in ("price", "unit_price"):
        name = _WITHOUT_TAX.sub("", name).strip()
    if (canonical == "customer_id" and is_of_staff(name)) or (
        canonical in ("phone", "email", "name", "given_name") and is_of_shop(name)
    ):
        return 0.0
    ranks = {alias: rank for rank, alias in enumerate(COLUMN_NAMES[canonical])}
    exact = [ranks[text] for text in normalised(name) if text in ranks]
    if exact:
        return _EXACT - 1 - min(exact) * 0.1
    if any(set(words) & _NEVER.get(canonical, frozenset()) for words in _spellings(name)):
        return 0.0
    within = [
        _WITHIN - ranks[text] * 0.1 - left * 5
        for words in _spellings(name)
        for text, left in _runs(words)
        if text in ranks and len(text) > 2  # noqa: PLR2004  ("no", "ca" and the like mean anything)
    ]
    return max(within, default=0.0)


def without_number(heading: str) -> str:
    """A heading that stands twice, as it stands in the file."""
    return re.sub(r"#\d+$", "", heading)


def kind_of(code: str) -> str | None:
    """The kind of row that a code sounds like, or `IGNORE`; None where it sounds like none."""
    for text in normalised(code):
        if text in KIND_CODES or text in _ALONE:
            return KIND_CODES.get(text) or _ALONE[text]
    found = {
        KIND_CODES[text]
        for words in _spellings(code)
        for text, _ in _runs(words)
        if text in KIND_CODES and len(text) > 2  # noqa: PLR2004  (of one letter: alone only)
    }
    if len(found) > 1 and "payment" in "".join(normalised(code)):
        found.discard(IGNORE)  # "Payment Refund" is a refund
    return found.pop() if len(found) == 1 else None


def status_of(code: str) -> str | None:
    """What a status says: "counts", "void", "returned", "partial"; None where it says none.

    Only the status as a whole counts: "not paid" is not "paid".
    """
    forms = normalised(code)
    return next((what for what, words in STATUS_CODES.items() if forms & words), None)


def is_nobody(key: str) -> bool:
    """Whether a customer's key says that there is no customer, such as "WALK-IN"."""
    return bool(normalised(key) & _NOBODY)


def truth_of(code: str) -> bool | None:
    """Whether a cell says yes or no; None where it says neither."""
    return next((TRUTHS[text] for text in normalised(code) if text in TRUTHS), None)


def words_of(heading: str) -> set[str]:
    """The words of a heading, normalised: "Net Amount" is net and amount."""
    return {word for words in _spellings(without_number(heading)) for word in words}


def is_of_staff(heading: str) -> bool:
    """Whether a heading speaks of who serves customers, such as "Client Advisor"."""
    return bool(words_of(heading) & _STAFF) or "servedby" in next(iter(normalised(heading)))


def is_of_shop(heading: str) -> bool:
    """Whether a heading speaks of the shop or its staff, such as "Store Phone"."""
    return bool(words_of(heading) & _SHOP) or is_of_staff(heading)


def _plain(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text)
    return "".join(character for character in parts if not unicodedata.combining(character))


def _spellings(name: str) -> list[list[str]]:
    """The words of a name, with umlauts as both "a" and "ae"."""
    broken = re.sub(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Ý])", " ", name)
    words = [word for word in re.split(r"[^A-Za-zÀ-ÿ0-9]+", broken) if word]
    forms = [sorted(normalised(word), key=len) for word in words]
    return [[form[place] for form in forms] for place in (0, -1)]


def _runs(words: list[str]) -> Iterator[tuple[str, int]]:
    """Every run of neighbouring words as one, and how many words are left over."""
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            yield "".join(words[start:end]), len(words) - (end - start)
