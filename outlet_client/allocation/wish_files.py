"""Files of wishes: from rows of customer, reference and day to wishes of the outlet's own list.

Invariant: a phone or e-mail is turned into a key and forgotten; every record of a file is a wish,
there already, blank, or bad; and a bad cell is told by row, heading and reason, without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from features.cell_parsing import text_of
from outlet_client.allocation.interest_rows import customer_names
from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.allocation.reference_names import reference_list
from outlet_client.allocation.wish_store import NewWish, wish_rows
from outlet_client.errors import WishesRefused
from outlet_client.people.client_book import client_book
from outlet_client.people.consent_moments import read_moments
from outlet_client.people.identifiers import read_email
from outlet_client.people.phone_numbers import check_region, read_phone
from outlet_client.sources.row_batches import ROW
from outlet_client.sources.table_reader import batches_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    from outlet_client.allocation.reference_names import ReferenceList
    from outlet_client.customer_access import CustomerAccess
    from outlet_client.people.consent_moments import Moment
    from outlet_client.sources.source import Source

WHO = ("customer_id", "phone", "email")
"""The outlet's own id, or a phone or e-mail: one of them."""

NEEDED = ("reference", "since")
COLUMNS = (*WHO, *NEEDED)
"""Of a file of wishes."""


class WishFault(NamedTuple):
    """A bad cell.

    Attributes:
        row: Its record, from 1 without the header.
        column: The file's own heading; "" where it is about the whole record.
    """

    row: int
    column: str
    reason: str


@dataclass(slots=True, repr=False)
class WishFile:
    """A file of wishes as it was read.

    Attributes:
        wishes: What is to be added.
        bad: What must be put right, in order; then nothing is to be added.
        there: How many wait for their reference already, at the desk or earlier in the file.
        unknown: How many are of customers whom the client book does not know.
        blank: How many records are.
    """

    wishes: list[NewWish] = field(default_factory=list)
    bad: list[WishFault] = field(default_factory=list)
    there: int = 0
    unknown: int = 0
    blank: int = 0

    def check(self, name: str, lines: Mapping[int, int] | None = None) -> None:
        """Refuses a file with anything bad.

        Args:
            name: The file's.
            lines: The line of it that a row stands on, as far as it is known.

        Raises:
            WishesRefused: With all that is bad.
        """
        if self.bad:
            raise WishesRefused(name, self.bad, lines)


class _Row(NamedTuple):
    number: int
    cells: dict[str, str]
    moment: Moment


def read_wishes(source: Source, access: CustomerAccess, at: dt.datetime) -> WishFile:
    """Reads a file of wishes; nothing is recorded.

    Args:
        source: Where it is, with its own headings; `dates` as a table's, by default ISO 8601.
        access: Who is who, and the references.
        at: A wish that is younger is bad.

    Raises:
        LedgerError: If there is no such file, or a table cannot be read at all.
        NotConfigured: If the outlet has no references, or its region is unknown.
    """
    check_region(access.settings.region)
    listed = reference_list(access.settings)
    persons = _Persons(access)
    found = WishFile()
    read: list[tuple[int, NewWish]] = []
    for _, batch in batches_of(source, COLUMNS):
        found.bad += [WishFault(*one) for one in batch.malformed.iter_rows()]
        found.blank += len(batch.apart)
        for row in _rows_of(batch.rows, source, at):
            wish, faults = _judged(row, source, listed, access)
            found.bad += faults
            if wish is not None:
                read.append((row.number, wish))
    found.bad.sort(key=lambda fault: fault.row)
    persons.learn({one.key for _, one in read if one.key})
    for _, one in read:
        person = persons.of(one)
        if (person, one.reference) in persons.waiting:
            found.there += 1
            continue
        persons.waiting.add((person, one.reference))
        found.unknown += not persons.knows(one)
        found.wishes.append(one)
    return found


class _Persons:
    """Who is who: those who wait at the desk, and those of a file."""

    def __init__(self, access: CustomerAccess) -> None:
        self._people = access.people
        self._keys = dict(
            client_book(access.settings, access.people, by_day=True).customers.iter_rows()
        )
        self._known: dict[str, tuple[str, ...]] = {}
        told = wish_rows(access.home, only_open=True)
        self.learn({one.key for one in told if one.key})
        names = customer_names(told, access.people)
        self.waiting = {(self._person(names[one.number], one.key), one.reference) for one in told}

    def learn(self, keys: set[str]) -> None:
        """Asks the client book for the customers with some keys."""
        self._known |= self._people.customers_of_keys(keys)

    def of(self, one: NewWish) -> str:
        """A name of the person, the same however they are named."""
        return self._person(self._customer(one), one.key)

    def knows(self, one: NewWish) -> bool:
        """Whether the client book does."""
        return self._customer(one) in self._keys

    def _customer(self, one: NewWish) -> str:
        return one.customer or next(iter(self._known.get(one.key, ())), "")

    def _person(self, customer: str, key: str) -> str:
        return self._keys.get(customer) or key or f"customer {customer}"


def _rows_of(table: pl.DataFrame, source: Source, at: dt.datetime) -> Iterator[_Row]:
    texts = {name: _texts(table, name, source) for name in COLUMNS if name in table.columns}
    since = table["since"] if "since" in table.columns else pl.repeat(None, len(table), eager=True)
    moments = read_moments(since, source.name, source.dates, at)
    for place, number in enumerate(table[ROW]):
        yield _Row(number, {name: some[place] for name, some in texts.items()}, moments[place])


def _texts(table: pl.DataFrame, name: str, source: Source) -> list[str]:
    """A column as text without blanks around; "" where a cell is blank."""
    if name == "since":
        return [""] * len(table)
    return text_of(table[name], source.name).str.strip_chars().fill_null("").to_list()


def _judged(
    row: _Row, source: Source, listed: ReferenceList, access: CustomerAccess
) -> tuple[NewWish | None, list[WishFault]]:
    """The wish of a record, or what is bad in it."""
    bad: list[WishFault] = []

    def tell(name: str, reason: str) -> None:
        bad.append(WishFault(row.number, source.columns.get(name, name), reason))

    customer, key = row.cells.get("customer_id", ""), ""
    if not customer:
        key, name, reason = _key_of(row, access)
        if not key:
            tell(name, reason)
    reference = ""
    try:
        reference, _ = listed.named(row.cells.get("reference", ""))
    except AllocationRefused:
        tell("reference", "in no tier of the references, or written like two of them")
    if row.moment.at is None:
        tell("since", row.moment.reason)
    if bad or row.moment.at is None:
        return None, bad
    return NewWish(reference, row.moment.at.date(), key=key, customer=customer), []


def _key_of(row: _Row, access: CustomerAccess) -> tuple[str, str, str]:
    """The key of a record's phone or e-mail; or "", and which column says why there is none."""
    why = WHO[0], "empty, and no phone or e-mail; expected one of them"
    for name in ("phone", "email"):
        if not (cell := row.cells.get(name, "")):
            continue
        read = read_phone(cell, access.settings.region) if name == "phone" else read_email(cell)
        if read.identifier is not None:
            return access.people.local_key(read.identifier), "", ""
        if read.flaw is not None:
            why = name, str(read.flaw)
    return "", *why
