"""An outlet's open interests in a reference, and who they are: from its files and its band book.

Invariant: nobody is asked over the network; and who has no band here counts as "new", for whatever
reason, never as refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.bands import NEW, SCHEMES, BandRefused
from features.errors import LedgerError
from features.ledger import Kind, days_of, text_of
from features.outcomes import Outcome
from outlet_client.allocation import AllocationRefused, Candidate, read_policy
from outlet_client.bookshelf import read_shelf, stamp_of
from outlet_client.errors import BookMissing, NotConfigured
from outlet_client.lookup import Status
from outlet_client.purchases import read_references, read_table

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from features.allocation import Ruling
    from features.ledger import Tier
    from outlet_client.introduce import ClientBook
    from outlet_client.lookup import Answer, LookUp
    from outlet_client.settings import OutletFile
    from privacy.envelopes import VerifyKey

NO_IDENTIFIER = "no usable phone or e-mail in the client book"
NO_BOOK = "no band book, or only an old one"
UNREADABLE = "the book's entry cannot be read"

_CLOSED = "closed_at"
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


def tier_of(settings: OutletFile, reference: str) -> Tier:
    """The tier of a reference.

    Raises:
        NotConfigured: If the outlet has no references file.
        LedgerError: If it cannot be read.
        AllocationRefused: If the reference is not in it.
    """
    path = settings.references
    if path is None:
        raise NotConfigured(
            "references: not set, expected a file with the columns reference and tier; set "
            "`references` in escapement.toml"
        )
    tiers = read_references(path)
    if reference not in tiers:
        raise AllocationRefused(
            f"reference {reference}: in no tier of {path.name}; add a row with its tier there, or "
            "correct --reference"
        )
    return tiers[reference]


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


def open_interests(settings: OutletFile, reference: str) -> list[tuple[str, dt.date]]:
    """The open interests in a reference: customer and since when, as often as they are listed.

    Raises:
        LedgerError: If the file cannot be read: file, row, column, reason.
        AllocationRefused: If there are none.
    """
    path = settings.interests or settings.ledger
    table = read_table(path)
    rows = _listed(table, path) if settings.interests else _of_ledger(table, path)
    for name in ("customer_id", "reference"):
        _refuse(rows, pl.col(name).is_null(), path, name, "empty; expected a value")
    rows = rows.filter((pl.col("reference") == reference) & ~pl.col("closed"))
    when = days_of(rows["since"], path.name)
    name = "since" if settings.interests else "purchased_at"
    _refuse(rows, when.is_null(), path, name, "not readable; expected a date as YYYY-MM-DD")
    if rows.is_empty():
        raise AllocationRefused(
            f"reference {reference}: no open interest in {path.name}; add those who asked for it, "
            "or correct --reference"
        )
    return list(zip(rows["customer_id"], when, strict=True))


def banded(
    interests: list[tuple[str, dt.date]],
    book: ClientBook,
    look_up: LookUp,
    home: Path,
    hq_key: VerifyKey,
) -> Banded:
    """Finds out who the interests are of, and their bands, in this outlet's own folder.

    Customers with one phone or e-mail are one person, who counts once, since the earliest interest.

    Args:
        interests: Of `open_interests`.
        book: Who the customers are.
        look_up: Reads the band book.
        home: The outlet's folder.
        hq_key: HQ's pinned key.

    Raises:
        BookRefused: If the band book is damaged or forged.
    """
    people = _people(interests, book)
    while True:
        try:
            shelf = read_shelf(home, hq_key)
            candidates = _candidates(people, book, lambda who: _bands(look_up, who))
            same = stamp_of(home) == shelf.stamp
        except BookMissing as error:
            return Banded(_candidates(people, book, lambda _: NO_BOOK), None, "", str(error))
        if same:  # else a night replaced the book meanwhile
            return Banded(candidates, shelf.book.version, shelf.book.as_of, "")


def _bands(look_up: LookUp, who: str) -> dict[str, str] | str:
    """The bands of the person with an identifier, or why there are none."""
    tag, _, one = who.partition(":")
    try:
        answer = look_up.look_up(one if tag == "tel" else None, one if tag == "mailto" else None)
    except BandRefused:
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
    people: dict[str, list[tuple[dt.date, str]]],
    book: ClientBook,
    bands: Callable[[str], dict[str, str] | str],
) -> tuple[Candidate, ...]:
    made = []
    for key, entries in people.items():
        since, customer = entries[0]
        also = tuple(sorted({one for _, one in entries} - {customer}))
        who = book.identifiers.get(key)
        found = NO_IDENTIFIER if who is None else bands(who)
        if isinstance(found, str):
            made.append(Candidate(customer, since, no_band=found, also=also))
        else:
            eligibility, flipper_risk = (found[name] for name in _SCORES)
            made.append(Candidate(customer, since, eligibility, flipper_risk, also=also))
    return tuple(made)


def _listed(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The interest list: an entry with anything in closed_at is over."""
    _present(table, path, ("customer_id", "reference", "since"))
    closed = pl.lit(value=False)
    if _CLOSED in table.columns:
        closed = pl.col(_CLOSED).cast(pl.String).str.strip_chars().fill_null("") != ""
    keys = [text_of(table[name], path.name) for name in ("customer_id", "reference")]
    return table.select(*keys, "since", closed.alias("closed")).with_row_index("row", 1)


def _of_ledger(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The ledger's rows of kind interest: its customer's answer in the same basket ends one."""
    keys = ("customer_id", "reference", "kind", "basket_id")
    _present(table, path, (*keys, "purchased_at"))
    texts = [text_of(table[name], path.name) for name in keys]
    rows = table.select(*texts, since="purchased_at").with_row_index("row", 1)
    answer = pl.col("kind").is_in([Kind.ACCEPTED.value, Kind.DECLINED.value])
    both = ["customer_id", "basket_id"]
    answered = rows.filter(answer).select(both).unique().with_columns(closed=pl.lit(value=True))
    interests = rows.filter(pl.col("kind") == Kind.INTEREST.value)
    found = interests.join(answered, on=both, how="left", maintain_order="left")
    return found.with_columns(pl.col("closed").is_not_null())


def _present(table: pl.DataFrame, path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in table.columns:
            reason = "missing; add it, or set `interests` to a file with customer_id, reference "
            raise LedgerError(path.name, None, name, f"{reason}and since")


def _refuse(
    rows: pl.DataFrame, bad: pl.Expr | pl.Series, path: Path, column: str, reason: str
) -> None:
    found = rows.filter(bad)["row"]
    if len(found):
        raise LedgerError(path.name, int(found[0]), column, reason)
