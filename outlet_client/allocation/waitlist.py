"""An outlet's open interests in a reference, and who they are: from its files and its band book.

Invariant: nobody is asked over the network; and who has no band here counts as "new", for whatever
reason, never as refused.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.bands import NEW, SCHEMES, BandRefused
from features.errors import LedgerError
from features.ledger import Kind, days_of, text_of
from features.outcomes import Outcome
from outlet_client.allocation.ranking import AllocationRefused, Candidate, read_policy
from outlet_client.bands.book_store import read_shelf, stamp_of
from outlet_client.bands.lookup import Status
from outlet_client.errors import BookMissing, NotConfigured
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.side_tables import present, read_references, read_whole
from outlet_client.records.access_log import PROPOSAL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path

    from features.allocation import Ruling
    from features.ledger import Tier
    from outlet_client.bands.lookup import Answer, LookUp
    from outlet_client.people.client_book import ClientBook
    from outlet_client.people.people_store import People
    from outlet_client.records.actor import Asked
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source
    from privacy.envelopes import VerifyKey

NO_IDENTIFIER = "no usable phone or e-mail in the client book"
NO_BOOK = "no band book, or only an old one"
UNREADABLE = "the book's entry cannot be read"

_CLOSED = "closed_at"
_LISTED = ("customer_id", "reference", "since")
_IN_LEDGER = ("kind", "reference", "basket_id")
"""Without a basket no answer would end an interest."""

_SCORES = tuple(SCHEMES[outcome].name for outcome in (Outcome.LOYAL, Outcome.FLIPPED))


@dataclass(frozen=True, slots=True)
class Banded:
    """What the band book says of the candidates.

    Attributes:
        candidates: In no order.
        version: The book's; None without one that may be shown.
        as_of: The day that its data ends with, ISO 8601; "" without one.
        no_book: Why there is none that may be shown; "" where there is.
    """

    candidates: tuple[Candidate, ...]
    version: int | None
    as_of: str
    no_book: str


@dataclass(frozen=True, slots=True)
class Allocatable:
    """A reference that can be allocated.

    Attributes:
        reference: The reference,
        tier: and its tier.
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

    Args:
        home: The outlet's folder.
        settings: The outlet's.
        at: When this is.
        people: As `read_events` takes them.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they or the interests cannot be read.
    """
    tiers = read_references(_references(settings))
    rows = _open(home, settings, at, people)
    waiting = dict(rows.group_by("reference").len().iter_rows())
    return tuple(Allocatable(one, tiers[one], waiting.get(one, 0)) for one in sorted(tiers))


def ruling_of(settings: OutletFile, reference: str, answer: Answer) -> tuple[Tier, Ruling]:
    """What the outlet's policy says of one customer and one reference.

    Args:
        settings: The outlet's.
        reference: What is asked for.
        answer: Of the look-up; without bands the customer counts as "new" in both.

    Raises:
        NotConfigured: If the outlet has no references file, or its policy is missing.
        PolicyRefused: If the policy cannot be read or breaks a law.
        LedgerError: If the references file cannot be read.
        AllocationRefused: If the reference is in no tier.
    """
    tier = tier_of(settings, reference)
    bands = {band.score: band.band for band in answer.bands}
    eligibility, flipper_risk = (bands.get(score, NEW) for score in _SCORES)
    return tier, read_policy(settings.policy).decide(eligibility, flipper_risk, tier)


def open_interests(
    home: Path,
    settings: OutletFile,
    reference: str,
    at: dt.datetime,
    people: People | None = None,
) -> list[tuple[str, dt.date]]:
    """The open interests in a reference: customer and since when, as often as they are listed.

    Args:
        home: The outlet's folder.
        settings: The outlet's.
        reference: What is asked for.
        at: When this is.
        people: As `read_events` takes them.

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


def banded(
    interests: list[tuple[str, dt.date]],
    book: ClientBook,
    look_up: LookUp,
    home: Path,
    hq_key: VerifyKey,
    asked: Asked,
) -> Banded:
    """Finds out who the interests are of, and their bands, in this outlet's own folder.

    Customers with one phone or e-mail are one person, who counts once, since the earliest interest.

    Args:
        interests: Of `open_interests`.
        book: Who the customers are.
        look_up: Reads the band book, and logs each of them.
        home: The outlet's folder.
        hq_key: HQ's pinned key.
        asked: Who asks, and why.

    Raises:
        BookRefused: If the band book is damaged or forged.
    """
    people = _people(interests, book)
    known = set(book.customers["key"])
    keys = [key for key in people if key in known]
    while True:
        try:
            shelf = read_shelf(home, hq_key)
            found = look_up.look_up_keys(keys, asked, PROPOSAL)
            same = stamp_of(home) == shelf.stamp
        except BookMissing as error:
            return Banded(_candidates(people, dict.fromkeys(keys, NO_BOOK)), None, "", str(error))
        if same:  # else a night replaced the book meanwhile
            bands = {key: _bands(answer) for key, answer in found.items()}
            return Banded(_candidates(people, bands), shelf.book.version, shelf.book.as_of, "")


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
        rows = _listed(settings.interests)
    return rows.filter(~pl.col("closed"))


def _bands(answer: Answer | BandRefused) -> dict[str, str] | str:
    """The bands of an answer, or why there are none."""
    if isinstance(answer, BandRefused):
        return UNREADABLE
    if answer.status is not Status.KNOWN:
        return answer.status.value
    return {band.score: band.band for band in answer.bands}


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
        found = bands.get(key, NO_IDENTIFIER)
        if isinstance(found, str):
            made.append(Candidate(customer, since, no_band=found, also=also))
        else:
            eligibility, flipper_risk = (found[name] for name in _SCORES)
            made.append(Candidate(customer, since, eligibility, flipper_risk, also=also))
    return tuple(made)


def _listed(source: Source) -> pl.DataFrame:
    """The interest list: an entry with anything in closed_at is over."""
    table = present(read_whole(source, (*_LISTED, _CLOSED)), source, _LISTED)
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
    with closing(EventStore.open(home)) as store:
        missing = [name for name in _IN_LEDGER if name not in store.columns()]
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
