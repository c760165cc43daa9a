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
from features.outcomes import Outcome
from outlet_client.allocation.interest_rows import open_entries, refuse_empty
from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.allocation.ranking import Candidate, read_policy
from outlet_client.allocation.reference_names import named_reference, reference_list
from outlet_client.bands.book_store import file_stamp
from outlet_client.errors import BookMissing
from outlet_client.people.client_book import update_people
from outlet_client.records.access_log import PROPOSAL

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

NO_IDENTIFIER = "no usable phone or e-mail in the client book"
NO_BOOK = "no band book, or only an old one"
NO_BOOK_YET = "band book: none yet, so everybody is decided as a newcomer"

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


def allocatable(
    home: Path, settings: OutletFile, at: dt.datetime, people: People | None = None
) -> tuple[Allocatable, ...]:
    """The references that can be allocated, in order.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they or the interests cannot be read.
    """
    tiers = reference_list(settings).tiers
    rows = open_entries(home, settings, at, people)
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
    name, tier = named_reference(settings, reference)
    one = _candidate("", dt.date.min, (), _bands(answer))
    ruling = read_policy(settings.policy).decide(*one.decided_as, tier)
    return Allowance(name, tier, ruling.decision, ruling.say)


def open_interests(
    home: Path,
    settings: OutletFile,
    reference: str,
    at: dt.datetime,
    people: People | None = None,
) -> list[tuple[str, dt.date]]:
    """The open interests in a reference: customer and since when, as often as they are listed.

    With them are the wishes told at the desk.

    Raises:
        LedgerError: If the table cannot be read: file, row, column, reason.
        AllocationRefused: If there are none.
    """
    source = settings.interests or settings.ledger
    if people is not None:
        update_people(settings, people)  # whose wish it is may be new in the client book
    rows = open_entries(home, settings, at, people).filter(pl.col("reference") == reference)
    refuse_empty(rows, "since", "since", f"not readable; expected a date as {source.dates}")
    if rows.is_empty():
        raise AllocationRefused(
            f"reference {reference}: no open interest in {source.name} or at the desk; add those "
            "who asked for it, or correct the reference"
        )
    return list(zip(rows["customer"], rows["since"], strict=True))


def look_up_bands(
    interests: list[tuple[str, dt.date]],
    book: ClientBook,
    look_up: LookUp,
    home: Path,
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
            before = file_stamp(home)
            found = look_up.look_up_keys(keys, asked, PROPOSAL)
            shelf = look_up.shelf()
        except BookMissing as error:
            return CandidateBands(
                _candidates(people, dict.fromkeys(keys, NO_BOOK)), None, "", str(error)
            )
        if shelf.stamp == before:  # else a night replaced the book meanwhile
            candidates = _candidates(people, {key: _bands(one) for key, one in found.items()})
            if shelf.book is None:
                return CandidateBands(candidates, None, "", NO_BOOK_YET)
            return CandidateBands(candidates, shelf.book.version, shelf.book.as_of, "")


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
