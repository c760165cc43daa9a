"""Look-ups of a customer's bands, answered at the outlet itself, also when HQ is down.

Invariant: an answer holds bands and what they allow; never points, outlets, history or counts. Who
asked, when and why is stored before anybody reads the answer; where it cannot be, there is none.
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from features.bands import SCHEMES, BandRefused, unpack
from outlet_client.bands.book_store import file_stamp, is_stale, read_shelf
from outlet_client.errors import BookMissing, NoIdentifier
from outlet_client.log_tables.rights_store import RightsStore
from outlet_client.people.identifiers import identifiers
from outlet_client.people.people_store import State
from outlet_client.records.access_log import LogAct, note_lookups, record_act
from outlet_client.records.actor import NotAsked
from outlet_client.records.customer_requests import disputed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from outlet_client.bands.book_store import Shelf
    from outlet_client.people.people_store import People
    from outlet_client.records.actor import Actor
    from outlet_client.services import Services
    from privacy.publications import Publishers

_SCHEMES = {scheme.name: scheme for scheme in SCHEMES.values()}

WHOSE_BAND = (
    "A band may reflect the whole network; which outlets, which pieces and when is not known here."
)


class Status(StrEnum):
    """What a look-up found."""

    KNOWN = "known"
    NOT_IN_NETWORK = "not in the network"
    CONSENT_NEEDED = "consent needed"
    UNDER_REVIEW = "under review"
    """The customer disputes what is held of them, and nobody has decided yet."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band, and what staff may say.

    Attributes:
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
        publishers: Publishers,
        region: str,
        book_days: int,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Prepares; the book is read at the first look-up.

        A book that HQ made more than `book_days` days ago is not shown.
        """
        self._home = home
        self._people = people
        self._publishers = publishers
        self._region = region
        self._book_days = book_days
        self._clock = clock
        self._alone = threading.Lock()
        self._shelf: Shelf | None = None
        self._rights = RightsStore(home)

    def close(self) -> None:
        """Closes the log."""
        self._rights.close()

    def look_up(self, phone: str | None, email: str | None, asked: Actor) -> Answer:
        """Answers for one customer, without asking anybody.

        The e-mail is used where nobody stands here by the phone.

        Raises:
            NoIdentifier: If neither phone nor e-mail is usable.
            BookMissing: If there is no book, or only a stale one.
            BandRefused: If the book's entry stands for no bands.
        """
        key, _ = self._known_as(phone, email)
        found = self.look_up_keys([key], asked)[key]
        if isinstance(found, BandRefused):
            raise found
        return found

    def look_up_keys(
        self, keys: Sequence[str], asked: Actor, about: str = ""
    ) -> dict[str, Answer | BandRefused]:
        """Answers for several people at once, by `People.local_key`.

        Each is one entry in the log; `about` says what they are looked up for together.

        Returns:
            For each key the answer, or why the book's entry stands for no bands.

        Raises:
            BookMissing: If there is no book, or only a stale one.
        """
        answers: dict[str, Answer | BandRefused] = {}
        failed: Exception | None = None
        with self._rights.transaction() as connection:
            outcomes: list[tuple[str, str]] = []
            under_review = disputed(connection)
            for key in dict.fromkeys(keys):
                try:
                    answer = answers[key] = self._answer(key, under_review)
                    outcomes.append((key, answer.status.value))
                except BandRefused as error:
                    answers[key] = error
                    outcomes.append((key, type(error).__name__))
                except Exception as error:  # noqa: BLE001  (stored first, then raised)
                    failed = error
                    outcomes.append((key, type(error).__name__))
                    break
            note_lookups(connection, self._clock(), asked, outcomes, about)
        if failed is not None:
            raise failed
        return answers

    def first_time(
        self,
        phone: str | None,
        email: str | None,
        notice: str,
        services: Services,
        pinned_total: bytes,
        asked: Actor,
    ) -> Answer:
        """Records a consent, asks both holders for the token if it is not known, and answers.

        The registration leaves with the next night; where other outlets registered the customer
        before, the book has an answer now.

        One evaluation of each holder is spent.

        Raises:
            NotAsked: If the notice is blank; nothing was recorded.
            NoIdentifier: If neither phone nor e-mail is usable.
            QuotaSpent: If a holder gives no more today; the consent stays recorded.
            ServiceUnreachable: If one of them is; likewise.
            TokenRefused: If an answer does not verify; likewise.
            BookMissing: If there is no book, or only a stale one.
        """
        if not (notice := notice.strip()):
            raise NotAsked("consent: expected the notice that the customer agreed to, got a blank")
        key, *also = self._typed(phone, email)
        at = self._clock()
        self._people.record_consent(key, notice, asked.by, at, also)
        with self._rights.transaction() as connection:
            record_act(connection, at, LogAct.CONSENT, asked.by, purpose=asked.purpose, key=key)
        key, usable = self._known_as(phone, email)
        person = self._people.person(key)
        if person is not None and person.state is State.KNOWN and person.key == key:
            try:
                [token] = services.tokens([usable], pinned_total, 1)
            except Exception as error:
                self._note(key, asked, type(error).__name__)
                raise
            self._people.keep_tokens({key: token})
        return self.look_up(phone, email, asked)

    def _note(self, key: str, asked: Actor, outcome: str) -> None:
        with self._rights.transaction() as connection:
            note_lookups(connection, self._clock(), asked, [(key, outcome)])

    def _typed(self, phone: str | None, email: str | None) -> dict[str, str]:
        """The usable identifiers by their keys, the phone's first."""
        found = {
            self._people.local_key(one): one for one in identifiers(phone, email, self._region)
        }
        if not found:
            raise NoIdentifier
        return found

    def _known_as(self, phone: str | None, email: str | None) -> tuple[str, str]:
        """The first key that was typed under which somebody stands here, else the first."""
        typed = self._typed(phone, email)
        for key, who in typed.items():
            person = self._people.person(key)
            if person is not None and person.state.stands:
                return key, who
        return next(iter(typed.items()))

    def _answer(self, key: str, under_review: Mapping[str, int]) -> Answer:
        person = self._people.person(key)
        if person is None:
            return Answer(Status.CONSENT_NEEDED)
        if not person.state.stands:
            return Answer(Status.NOT_IN_NETWORK)
        if under_review and not under_review.keys().isdisjoint(self._people.reached(key)):
            return Answer(Status.UNDER_REVIEW)
        if person.slot_key is None:
            return Answer(Status.NOT_IN_NETWORK)
        shelf = self._fresh_shelf()
        slot = shelf.slot(person.slot_key.public)
        if slot is None:
            return Answer(Status.NOT_IN_NETWORK)
        names = unpack(shelf.book.read(slot, person.slot_key))
        bands = (Band(score, band, _SCHEMES[score].sentence(band)) for score, band in names.items())
        return Answer(Status.KNOWN, shelf.book.as_of, tuple(bands))

    def _fresh_shelf(self) -> Shelf:
        shelf = self._shelf
        stamp = file_stamp(self._home)
        if shelf is None or shelf.stamp != stamp:
            with self._alone:  # the first reads, the others find what it read
                shelf = self._shelf
                if shelf is None or shelf.stamp != stamp:
                    shelf = self._shelf = read_shelf(self._home, self._publishers)
        if is_stale(shelf.book, self._clock(), self._book_days):
            made = dt.datetime.fromtimestamp(shelf.book.made_at, dt.UTC)
            raise BookMissing(
                f"band book: made {made:%Y-%m-%d}, expected one not older than {self._book_days} "
                "days; show no bands, and see why `escapement-outlet nightly` got no newer one"
            )
        return shelf
