"""The waitlist of a reference: open interests, who they are of, and their bands.

Invariant: nobody is asked over the network; and who has no band here counts as "new", for whatever
reason, never as refused. Only of who is known at many outlets a person decides, as at "review".
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.bands import SCHEMES
from features.errors import LedgerError
from features.ledger import Kind, days_of, text_of
from features.outcomes import Outcome
from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.allocation.ranking import Candidate, read_policy
from outlet_client.bands.book_store import file_stamp, read_shelf
from outlet_client.errors import BookMissing, NotConfigured
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.side_tables import present, read_references
from outlet_client.records.access_log import PROPOSAL
from outlet_client.sources.table_reader import read_all

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from features.allocation import Decision
    from features.ledger import Tier
    from outlet_client.bands.lookup import Answer, LookUp
    from outlet_client.people.client_book import ClientBook
    from outlet_client.people.people_store import People
    from outlet_client.records.actor import Actor
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source
    from privacy.publications import Publishers

NO_IDENTIFIER = "no usable phone or e-mail in the client book"
NO_BOOK = "no band book, or only an old one"
NO_BOOK_YET = "band book: none yet, so everybody is decided as a newcomer"

_CLOSED = "closed_at"
_LISTED = ("customer_id", "reference", "since")
_IN_LEDGER = ("kind", "reference", "basket_id")
"""Without a basket no answer would end an interest."""

_SCORES = tuple(SCHEMES[outcome].name for outcome in (Outcome.LOYAL, Outcome.FLIPPED))


@dataclass(frozen=True, slots=True)
class CandidateBands:
    """The candidates of a reference with their bands, and the version of the book they are from.

    Attributes:
        candidates: In no order.
        version: The book's; None without one that may be shown.
        as_of: The day that its data ends with, ISO 8601; "" without one.
        no_book: Why there is none that may be shown, or that none came yet; "" where there is.
    """

    candidates: tuple[Candidate, ...]
    version: int | None
    as_of: str
    no_book: str


@dataclass(frozen=True, slots=True)
class Allocatable:
    """A reference that can be allocated.

    Attributes:
        waiting: How many open interests in it are listed; of these several may be one person's.
    """

    reference: str
    tier: Tier
    waiting: int


def tier_of(settings: OutletFile, reference: str) -> Tier:
    """The tier of a reference.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they cannot be read.
        AllocationRefused: If the reference is not in them.
    """
    source = _references(settings)
    tiers = read_references(source)
    if reference not in tiers:
        raise AllocationRefused(
            f"reference {reference}: in no tier of {source.name}; add a row with its tier there, "
            "or correct the reference"
        )
    return tiers[reference]


def allocatable(
    home: Path, settings: OutletFile, at: dt.datetime, people: People | None = None
) -> tuple[Allocatable, ...]:
    """The references that can be allocated, in order.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they or the interests cannot be read.
    """
    tiers = read_references(_references(settings))
    rows = _open(home, settings, at, people)
    waiting = dict(rows.group_by("reference").len().iter_rows())
    return tuple(Allocatable(one, tiers[one], waiting.get(one, 0)) for one in sorted(tiers))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the policy allows one customer of one reference."""

    reference: str
    tier: Tier
    decision: Decision
    say: str


def allowance(settings: OutletFile, reference: str, answer: Answer) -> Allowance:
    """Applies the outlet's policy to one customer and one reference.

    Without bands the customer counts as "new" in both; at many outlets a person decides.

    Raises:
        NotConfigured: If the outlet has no references file, or its policy is missing.
        PolicyRefused: If the policy cannot be read or breaks a law.
        LedgerError: If the references file cannot be read.
        AllocationRefused: If the reference is in no tier.
    """
    tier = tier_of(settings, reference)
    one = _candidate("", dt.date.min, (), _bands(answer))
    ruling = read_policy(settings.policy).decide(*one.decided_as, tier)
    return Allowance(reference, tier, ruling.decision, ruling.say)


def open_interests(
    home: Path,
    settings: OutletFile,
    reference: str,
    at: dt.datetime,
    people: People | None = None,
) -> list[tuple[str, dt.date]]:
    """The open interests in a reference: customer and since when, as often as they are listed.

    Raises:
        LedgerError: If the table cannot be read: file, row, column, reason.
        AllocationRefused: If there are none.
    """
    source = settings.interests or settings.ledger
    rows = _open(home, settings, at, people).filter(pl.col("reference") == reference)
    _refuse(rows, "since", "since", f"not readable; expected a date as {source.dates}")
    if rows.is_empty():
        raise AllocationRefused(
            f"reference {reference}: no open interest in {source.name}; add those who asked for "
            "it, or correct the reference"
        )
    return list(zip(rows["customer"], rows["since"], strict=True))


def look_up_bands(
    interests: list[tuple[str, dt.date]],
    book: ClientBook,
    look_up: LookUp,
    home: Path,
    publishers: Publishers,
    asked: Actor,
) -> CandidateBands:
    """Looks up the bands of everybody on a waitlist, in this outlet's own folder.

    Customers with one phone or e-mail are one person, who counts once, since the earliest interest.

    Raises:
        BookRefused: If the band book is damaged or forged.
    """
    people = _people(interests, book)
    known = set(book.customers["key"])
    keys = [key for key in people if key in known]
    while True:
        try:
            shelf = read_shelf(home, publishers)
            found = look_up.look_up_keys(keys, asked, PROPOSAL)
            same = file_stamp(home) == shelf.stamp
        except BookMissing as error:
            return CandidateBands(
                _candidates(people, dict.fromkeys(keys, NO_BOOK)), None, "", str(error)
            )
        if same:  # else a night replaced the book meanwhile
            candidates = _candidates(people, {key: _bands(one) for key, one in found.items()})
            if shelf.book is None:
                return CandidateBands(candidates, None, "", NO_BOOK_YET)
            return CandidateBands(candidates, shelf.book.version, shelf.book.as_of, "")


def _references(settings: OutletFile) -> Source:
    """Where the tiers are.

    Raises:
        NotConfigured: If nowhere.
    """
    if settings.references is None:
        raise NotConfigured(
            "references: not set, expected a table with the columns reference and tier; set "
            "`references` in escapement.toml"
        )
    return settings.references


def _open(home: Path, settings: OutletFile, at: dt.datetime, people: People | None) -> pl.DataFrame:
    """The entries of the waitlist that are not over."""
    if settings.interests is None:
        rows = _of_ledger(home, settings, at, people)
    else:
        rows = read_interests(settings.interests)
    return rows.filter(~pl.col("closed"))


def _bands(answer: Answer) -> dict[str, str] | str:
    return answer.no_band or {band.score: band.band for band in answer.bands}


def _people(
    interests: list[tuple[str, dt.date]], book: ClientBook
) -> dict[str, list[tuple[dt.date, str]]]:
    """The interests of each person, the earliest first; those without a key by customer id."""
    keys = dict(book.customers.iter_rows())
    people: dict[str, list[tuple[dt.date, str]]] = {}
    for customer, since in interests:
        people.setdefault(keys.get(customer, f"customer {customer}"), []).append((since, customer))
    return {key: sorted(entries) for key, entries in people.items()}


def _candidates(
    people: dict[str, list[tuple[dt.date, str]]], bands: Mapping[str, dict[str, str] | str]
) -> tuple[Candidate, ...]:
    made = []
    for key, entries in people.items():
        since, customer = entries[0]
        also = tuple(sorted({one for _, one in entries} - {customer}))
        made.append(_candidate(customer, since, also, bands.get(key, NO_IDENTIFIER)))
    return tuple(made)


def _candidate(
    customer: str, since: dt.date, also: tuple[str, ...], found: dict[str, str] | str
) -> Candidate:
    """A candidate with their bands, or with why there are none."""
    if isinstance(found, str):
        return Candidate(customer, since, no_band=found, also=also)
    eligibility, flipper_risk = (found[name] for name in _SCORES)
    return Candidate(customer, since, eligibility, flipper_risk, also=also)


def read_interests(source: Source) -> pl.DataFrame:
    """Reads a table of interests; an entry with anything in closed_at is over.

    Args:
        source: customer_id, reference, since, and perhaps closed_at.

    Returns:
        file, row, customer, reference, since (null where it is no day) and closed.

    Raises:
        LedgerError: If it cannot be read, a column is missing, or a customer or reference empty.
    """
    table = present(read_all(source, (*_LISTED, _CLOSED)), source, _LISTED)
    closed = pl.lit(value=False)
    if _CLOSED in table.columns:
        closed = pl.col(_CLOSED).cast(pl.String).str.strip_chars().fill_null("") != ""
    rows = table.select(
        "file",
        "row",
        text_of(table["customer_id"], source.name).alias("customer"),
        text_of(table["reference"], source.name),
        days_of(table["since"], source.name, source.dates).alias("since"),
        closed.alias("closed"),
    )
    for name, column in (("customer_id", "customer"), ("reference", "reference")):
        _refuse(rows, column, name, "empty; expected a value")
    return rows


def _of_ledger(
    home: Path, settings: OutletFile, at: dt.datetime, people: People | None
) -> pl.DataFrame:
    """The ledger's rows of kind interest: its customer's answer in the same basket ends one."""
    events = read_events(home, settings, at, people=people, by_day=True).attached.events
    columns = EventStore(home).columns()
    missing = [name for name in _IN_LEDGER if name not in columns]
    for name in missing:
        reason = "missing; add it, or set `interests` to a table with customer_id, reference "
        raise LedgerError(settings.ledger.name, None, name, f"{reason}and since")
    answer = pl.col("kind").is_in([Kind.ACCEPTED.value, Kind.DECLINED.value])
    both = ["customer", "basket"]
    answered = events.filter(answer).select(both).unique().with_columns(closed=pl.lit(value=True))
    interests = events.filter(pl.col("kind") == Kind.INTEREST.value)
    found = interests.join(answered, on=both, how="left", maintain_order="left")
    return found.with_columns(pl.col("closed").is_not_null(), since=pl.col("date"))


def _refuse(rows: pl.DataFrame, column: str, name: str, reason: str) -> None:
    bad = rows.filter(pl.col(column).is_null())
    if len(bad):
        raise LedgerError(bad["file"][0], bad["row"][0], name, reason)
