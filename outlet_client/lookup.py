"""Look-ups: what a customer's band allows, read at the outlet itself, also when HQ is down.

Invariant: an answer holds bands and what they allow; never points, outlets, history or counts.
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from features.bands import SCHEMES, unpack
from outlet_client.bookshelf import read_shelf, stamp_of
from outlet_client.errors import BookMissing, NoIdentifier
from outlet_client.identifiers import identifier
from outlet_client.people import State
from privacy.books import read_entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outlet_client.bookshelf import Shelf
    from outlet_client.people import People, Person
    from outlet_client.services import Services
    from privacy.envelopes import VerifyKey

_SCHEMES = {scheme.name: scheme for scheme in SCHEMES.values()}


class Status(StrEnum):
    """What a look-up found."""

    KNOWN = "known"
    NOT_IN_NETWORK = "not in the network"
    CONSENT_NEEDED = "consent needed"


@dataclass(frozen=True, slots=True)
class Band:
    """One band, and what staff may say.

    Attributes:
        score: Such as "eligibility".
        band: Such as "priority".
        allows: A sentence that may be read aloud.
    """

    score: str
    band: str
    allows: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a look-up answers.

    Attributes:
        status: Whether there are bands, and if not, why.
        as_of: The day that the book's data ends with, ISO 8601; "" without bands.
        bands: One a score; none unless known.
    """

    status: Status
    as_of: str = ""
    bands: tuple[Band, ...] = ()


class LookUp:
    """Answers look-ups from an outlet's own folder; one a process, for any number of threads."""

    def __init__(
        self,
        home: Path,
        people: People,
        hq_key: VerifyKey,
        region: str,
        book_days: int,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Prepares; the book is read at the first look-up.

        Args:
            home: The outlet's folder.
            people: Who may be spoken of.
            hq_key: HQ's pinned key.
            region: The outlet's region for phones without a country.
            book_days: A book made longer ago is not shown.
            clock: Says how old a book is, and when a consent was given.
        """
        self._home = home
        self._people = people
        self._hq_key = hq_key
        self._region = region
        self._book_days = book_days
        self._clock = clock
        self._alone = threading.Lock()
        self._shelf: Shelf | None = None

    def look_up(self, phone: str | None, email: str | None) -> Answer:
        """Answers for one customer, without asking anybody.

        Raises:
            NoIdentifier: If neither phone nor e-mail is usable.
            BookMissing: If there is no book, or only a stale one.
            BandRefused: If the book's entry stands for no bands.
        """
        return self._answer(self._people.person(self._people.local_key(self._of(phone, email))))

    def first_time(
        self,
        phone: str | None,
        email: str | None,
        notice: str,
        by: str,
        services: Services,
        pinned_total: bytes,
    ) -> Answer:
        """Records a consent, asks both holders for the token if it is not known, and answers.

        The registration leaves with the next night; where other outlets registered the customer
        before, the book has an answer now.

        Args:
            phone: As typed.
            email: As typed; used only where the phone is not usable.
            notice: Which text the customer agreed to.
            by: Who recorded it.
            services: HQ and the privacy office; one evaluation of each is spent.
            pinned_total: The network's token key.

        Raises:
            NoIdentifier: If neither phone nor e-mail is usable.
            QuotaSpent: If a holder gives no more today; the consent stays recorded.
            ServiceUnreachable: If one of them is; likewise.
            TokenRefused: If an answer does not verify; likewise.
            BookMissing: If there is no book, or only a stale one.
        """
        usable = self._of(phone, email)
        key = self._people.local_key(usable)
        self._people.record_consent(key, notice, by, self._clock())
        person = self._people.person(key)
        if person is not None and person.state is State.KNOWN:
            [token] = services.tokens([usable], pinned_total, 1)
            self._people.keep_tokens({key: token})
            person = self._people.person(key)
        return self._answer(person)

    def _of(self, phone: str | None, email: str | None) -> str:
        usable = identifier(phone, email, self._region)
        if usable is None:
            raise NoIdentifier
        return usable

    def _answer(self, person: Person | None) -> Answer:
        if person is None:
            return Answer(Status.CONSENT_NEEDED)
        if not person.state.stands or person.token is None or person.fingerprint is None:
            return Answer(Status.NOT_IN_NETWORK)
        shelf = self._fresh_shelf()
        slot = shelf.slot(person.fingerprint)
        if slot is None:
            return Answer(Status.NOT_IN_NETWORK)
        names = unpack(read_entry(shelf.book, slot, person.token))
        bands = (Band(score, band, _SCHEMES[score].sentence(band)) for score, band in names.items())
        return Answer(Status.KNOWN, shelf.book.as_of, tuple(bands))

    def _fresh_shelf(self) -> Shelf:
        shelf = self._shelf
        stamp = stamp_of(self._home)
        if shelf is None or shelf.stamp != stamp:
            with self._alone:  # the first reads, the others find what it read
                shelf = self._shelf
                if shelf is None or shelf.stamp != stamp:
                    shelf = self._shelf = read_shelf(self._home, self._hq_key)
        oldest = self._clock().timestamp() - 86_400 * self._book_days
        if shelf.book.made_at < oldest:
            made = dt.datetime.fromtimestamp(shelf.book.made_at, dt.UTC)
            raise BookMissing(
                f"band book: made {made:%Y-%m-%d}, expected one not older than {self._book_days} "
                "days; show no bands, and see why `escapement-outlet nightly` got no newer one"
            )
        return shelf
