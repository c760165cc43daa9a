"""Customers by name, in the outlet's own client book.

Invariant: a name is read from the client book each time it is asked for, and is in what is returned
and nowhere else: no store, log, error or address of this program holds one.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from features.ledger import text_of
from outlet_client.errors import NotConfigured, OutletError
from outlet_client.people.client_book import nobodys_keys
from outlet_client.sources.table_reader import batches_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from outlet_client.settings import OutletFile

NAMES = ("given_name", "name")
"""The columns of a client book, in the order in which a name is read."""

LEAST_LETTERS = 3
"""Of one typed word at least; a Chinese, Japanese or Korean sign counts as two."""

_SIGNS = ("CJK ", "HIRAGANA ", "KATAKANA ", "HANGUL SYLLABLE ")
"""How the names of such signs begin in Unicode."""

MOST_HITS = 20
"""So many customers one search shows at most."""


class NameTooShort(OutletError):
    """What was typed is too little to search for."""

    def __init__(self) -> None:
        super().__init__(
            f"name: too short; expected at least {LEAST_LETTERS} letters of one of its words"
        )


@dataclass(frozen=True, slots=True)
class NamedCustomer:
    """A customer with the name that the client book has."""

    customer: str
    name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NameHits:
    """What a search found.

    Attributes:
        customers: At most `MOST_HITS`, by name.
        more: Whether there are others, who are not told.
    """

    customers: tuple[NamedCustomer, ...]
    more: bool


def search_names(settings: OutletFile, typed: str) -> NameHits:
    """Finds customers by the beginnings of the words of their names, in any order.

    Case and accents do not matter.

    Raises:
        NameTooShort: If no word has `LEAST_LETTERS` letters.
        NotConfigured: If there is no client book, or none with names.
        LedgerError: If it cannot be read.
    """
    wanted = _words(typed)
    if max(map(_letters, wanted), default=0) < LEAST_LETTERS:
        raise NameTooShort
    found: dict[str, str] = {}
    for customer, name in _named(settings):
        if customer in found or not _fits(wanted, name):
            continue
        if len(found) == MOST_HITS:
            return NameHits(_in_order(found), more=True)
        found[customer] = name
    return NameHits(_in_order(found), more=False)


def names_of(settings: OutletFile, customers: Collection[str]) -> dict[str, str]:
    """The names of some customers, of those who have one.

    Raises:
        NotConfigured: If there is no client book, or none with names.
        LedgerError: If it cannot be read.
    """
    wanted = set(customers)
    found: dict[str, str] = {}
    for customer, name in _named(settings) if wanted else ():
        if customer in wanted:
            found.setdefault(customer, name)
            if len(found) == len(wanted):
                break
    return found


def _named(settings: OutletFile) -> Iterator[tuple[str, str]]:
    """Each row of the client book that has a customer and a name."""
    source = settings.clients
    if source is None:
        raise NotConfigured(
            "clients: no client book is set, expected one with names; name it as `clients` in "
            "escapement.toml, or search by phone or e-mail"
        )
    nobody, has_names = nobodys_keys(settings), False
    for _, batch in batches_of(source, ("customer_id", *NAMES)):
        columns = [name for name in NAMES if name in batch.rows.columns]
        if not columns or "customer_id" not in batch.rows.columns:
            continue
        has_names = True
        customers = text_of(batch.rows["customer_id"], source.name)
        parts = [text_of(batch.rows[name], source.name).fill_null("") for name in columns]
        for customer, *words in zip(customers, *parts, strict=True):
            name = " ".join(" ".join(words).split())
            if customer and name and customer.casefold() not in nobody:
                yield customer, name
    if not has_names:
        raise NotConfigured(
            f"{source.name}: no column of names; set `columns.name` of `[clients]` in "
            "escapement.toml to the column that holds them, or search by phone or e-mail"
        )


def _words(text: str) -> list[str]:
    """The words of a name without case, accents and signs."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(one for one in parts if not unicodedata.combining(one))
    return "".join(one if _is_of_word(one) else " " for one in plain).split()


def _is_of_word(one: str) -> bool:
    """Whether a sign is part of a word; signs of vowels are, as in Hindi and Thai."""
    return one.isalnum() or unicodedata.category(one).startswith("M")


def _letters(word: str) -> int:
    """How many letters a word has; a sign that is taken apart in `_words` is one again."""
    signs = unicodedata.normalize("NFC", word)
    return sum(2 if unicodedata.name(one, "").startswith(_SIGNS) else 1 for one in signs)


def _fits(wanted: list[str], name: str) -> bool:
    words = _words(name)
    return all(any(word.startswith(one) for word in words) for one in wanted)


def _in_order(found: dict[str, str]) -> tuple[NamedCustomer, ...]:
    hits = (NamedCustomer(customer, name) for customer, name in found.items())
    return tuple(sorted(hits, key=lambda one: (_words(one.name), one.customer)))
