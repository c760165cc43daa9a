"""Look-ups of a customer's bands, answered at the outlet itself, also when HQ is down.

Invariant: an answer holds bands and what they allow, or that a person looks; never points, outlets,
history or counts. No byte of a book is refused: whatever it says reads as bands; and before the
first book everybody who is listed is new. Who asked, when and why is stored before anybody reads
the answer; where it cannot be, there is none. Nor is there one beyond the day's quota of whoever
asks, whatever the program; what is refused for it is stored too.
"""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from features.bands import SCHEMES, named, newcomer
from outlet_client.bands.book_store import file_stamp, read_shelf, why_stale
from outlet_client.bands.lookup_quota import LookupQuotaReached, left_today
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

    import sqlalchemy as sa

    from outlet_client.bands.book_store import Shelf
    from outlet_client.people.people_store import People, Person
    from outlet_client.records.actor import Actor
    from outlet_client.services import Services
    from outlet_client.settings import OutletFile
    from privacy.books import Book
    from privacy.publications import Publishers
    from privacy.slot_keys import SlotKey

_AT_ONCE = 250
"""How many of a proposal's look-ups are stored together; others wait for no more than these."""

_READERS = 2
"""Threads that read a proposal's bands, while a third stores who asked."""

_SCHEMES = {scheme.name: scheme for scheme in SCHEMES.values()}

MANY_OUTLETS = "known at many outlets: a person looks"
"""Why there is no band of who is registered at so many outlets that a sum could have wrapped."""

A_PERSON_LOOKS = (
    "Known at so many outlets that no band can be made: a person looks. Show a manager before any "
    "offer; it says nothing against the customer."
)
"""What staff read of such a customer, in place of what a band allows."""

NO_BANDS_YET = "No bands yet: the network has sealed none, so everybody reads as a newcomer."
"""What stands beside the bands where no book came yet."""

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
        as_of: The day that the sealed data ends with, ISO 8601; "" without bands, and where none
            were sealed yet. Books of later nights without a new seal have the same.
        bands: One a score; none unless known.
        many_outlets: Whether a person looks instead: both bands read "new" and say nothing.
    """

    status: Status
    as_of: str = ""
    bands: tuple[Band, ...] = ()
    many_outlets: bool = False

    @property
    def no_band(self) -> str:
        """Why there is no band to go by; "" where there is."""
        if self.many_outlets:
            return MANY_OUTLETS
        return "" if self.status is Status.KNOWN else self.status.value

    @property
    def note(self) -> str:
        """What is to be said beside the bands; "" where there is nothing."""
        return NO_BANDS_YET if self.status is Status.KNOWN and not self.as_of else ""


@dataclass(slots=True, repr=False)
class _Read:
    """What was read of some people, and where that ended with an error."""

    persons: Mapping[str, Person | None]
    answers: dict[str, Answer] = field(default_factory=dict)
    failed: Exception | None = None
    failed_key: str = ""


class _Reading:
    """The shelf that some look-ups are answered from together; read when the first needs it."""

    def __init__(self, read: Callable[[], Shelf]) -> None:
        self._read = read
        self._shelf: Shelf | None = None

    def shelf(self) -> Shelf:
        """The shelf.

        Raises:
            BookMissing: If the book is stale or without its directory, or no night came yet.
        """
        if self._shelf is None:
            self._shelf = self._read()
        return self._shelf


class LookUp:
    """Answers look-ups from an outlet's own folder; one a process, for any number of threads."""

    def __init__(
        self,
        home: Path,
        people: People,
        publishers: Publishers,
        settings: OutletFile,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Prepares; the book is read at the first look-up.

        The settings say the region of phones, and from which age on a book is not shown.
        """
        self._home = home
        self._people = people
        self._publishers = publishers
        self._settings = settings
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
            LookupQuotaReached: If who asks has made as many today as one person may.
            BookMissing: If the book is stale or without its directory, or no night came yet.
        """
        key, _, person = self._known_as(phone, email)
        return self._look_up({key: person}, asked)[key]

    def look_up_keys(self, keys: Sequence[str], asked: Actor, about: str = "") -> dict[str, Answer]:
        """Answers for several people at once, by `People.local_key`.

        Each is one entry in the log; `about` says what they are looked up for together, such as a
        proposal, for which there is no quota.

        Raises:
            LookupQuotaReached: If who asks has made as many today as one person may.
            BookMissing: If the book is stale or without its directory, or no night came yet.
        """
        answers: dict[str, Answer] = {}
        some = list(dict.fromkeys(keys))
        chunks = [some[place : place + _AT_ONCE] for place in range(0, len(some), _AT_ONCE)]
        with ThreadPoolExecutor(_READERS) as pool:
            for read in pool.map(lambda chunk: self._read(self._people.persons(chunk)), chunks):
                answers |= self._noted(read, asked, about)
        return answers

    def _look_up(self, persons: Mapping[str, Person | None], asked: Actor) -> dict[str, Answer]:
        """Answers for the people with these keys."""
        return self._noted(self._read(persons), asked, "")

    def _read(self, persons: Mapping[str, Person | None]) -> _Read:
        """Reads what the book says of some people; nobody may see it before it is noted."""
        made, reading = _Read(persons), _Reading(self._fresh_shelf)
        for key, person in persons.items():
            try:
                made.answers[key] = self._answer(person, reading)
            except Exception as error:  # noqa: BLE001  (stored first, then raised)
                made.failed, made.failed_key = error, key
                break
        return made

    def _noted(self, read: _Read, asked: Actor, about: str) -> dict[str, Answer]:
        """Stores who asked, and gives out what was read; nobody waits for the reading itself."""
        answers, persons, failed = read.answers, read.persons, read.failed
        outcomes = [] if failed is None else [(read.failed_key, type(failed).__name__)]
        with self._rights.transaction() as connection:
            refused = None if about else self._refused(connection, list(persons), asked)
            self._hide_disputed(answers, persons, disputed(connection))
            if answers.keys() == persons.keys():  # who is under review needs no book
                failed, outcomes = None, []
            if refused is None:
                done = [(key, answer.status.value) for key, answer in answers.items()]
                note_lookups(connection, self._clock(), asked, done + outcomes, about)
        if refused is not None:
            raise refused
        if failed is not None:
            raise failed
        return answers

    def _refused(
        self, connection: sa.Connection, keys: Sequence[str], asked: Actor
    ) -> LookupQuotaReached | None:
        """Why there is no answer today, which is stored; None where the quota has room."""
        at, quota = self._clock(), self._settings.desk.lookups_a_day
        try:
            left_today(connection, asked.by, at, quota, len(keys))
        except LookupQuotaReached as refused:
            note_lookups(connection, at, asked, [(key, type(refused).__name__) for key in keys])
            return refused
        return None

    def _hide_disputed(
        self,
        answers: dict[str, Answer],
        persons: Mapping[str, Person | None],
        under_review: Mapping[str, int],
    ) -> None:
        """Takes back what was read of whoever disputes it."""
        if not under_review:
            return
        for key in self._people.linked_closely(under_review) & persons.keys():
            person = persons[key]
            if person is None or not person.state.stands:
                continue
            if not under_review.keys().isdisjoint(self._people.reached(key)):
                answers[key] = Answer(Status.UNDER_REVIEW)

    def shelf(self) -> Shelf:
        """Book and directory as they are on disk now, however old.

        Raises:
            BookMissing: If the directory is not there, or no night came yet.
            PrivacyError: If book or directory are forged or malformed.
        """
        shelf = self._shelf
        stamp = file_stamp(self._home)
        if shelf is None or shelf.stamp != stamp:
            with self._alone:  # the first reads, the others find what it read
                shelf = self._shelf
                if shelf is None or shelf.stamp != stamp:
                    shelf = self._shelf = read_shelf(self._home, self._publishers)
        return shelf

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
            LookupQuotaReached: If who asks has made as many look-ups today as one person may;
                nothing was recorded but that.
            QuotaSpent: If a holder gives no more today; the consent stays recorded.
            ServiceUnreachable: If one of them is; likewise.
            TokenRefused: If an answer does not verify; likewise.
            BookMissing: If the book is stale or without its directory, or no night came yet.
        """
        if not (notice := notice.strip()):
            raise NotAsked("consent: expected the notice that the customer agreed to, got a blank")
        key, *also = self._typed(phone, email)
        at = self._clock()
        with self._rights.transaction() as connection:
            refused = self._refused(connection, [key], asked)
        if refused is not None:
            raise refused
        self._people.record_consent(key, notice, asked.by, at, also)
        with self._rights.transaction() as connection:
            record_act(connection, at, LogAct.CONSENT, asked.by, purpose=asked.purpose, key=key)
        key, usable, person = self._known_as(phone, email)
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
            self._people.local_key(one): one
            for one in identifiers(phone, email, self._settings.region)
        }
        if not found:
            raise NoIdentifier
        return found

    def _known_as(self, phone: str | None, email: str | None) -> tuple[str, str, Person | None]:
        """The first key that was typed under which somebody stands here, else the first; who."""
        found: list[tuple[str, str, Person | None]] = []
        for key, who in self._typed(phone, email).items():
            person = self._people.person(key)
            if person is not None and person.state.stands:
                return key, who, person
            found.append((key, who, person))
        return found[0]

    def _answer(self, person: Person | None, reading: _Reading) -> Answer:
        if person is None:
            return Answer(Status.CONSENT_NEEDED)
        if not person.state.stands or person.slot_key is None:
            return Answer(Status.NOT_IN_NETWORK)
        shelf = reading.shelf()
        slot = shelf.slot(person.slot_key.public, person.slot)
        if slot is None:
            return Answer(Status.NOT_IN_NETWORK)
        return _entry(shelf.book, slot, person.slot_key)

    def _fresh_shelf(self) -> Shelf:
        shelf = self.shelf()
        if shelf.book is not None and (why := why_stale(shelf.book, self._clock(), self._settings)):
            raise BookMissing(why)
        return shelf


def _entry(book: Book | None, slot: int, key: SlotKey) -> Answer:
    """What a book says of a slot; without a book, or where the slot is newer than its seal, new."""
    as_of, entry = ("", None) if book is None else (book.as_of, book.read(slot, key))
    if entry is not None and entry.many_outlets:
        bands = tuple(Band(score, band, A_PERSON_LOOKS) for score, band in newcomer().items())
        return Answer(Status.KNOWN, as_of, bands, many_outlets=True)
    names = newcomer() if entry is None else named(entry.codes, entry.evidence)
    bands = tuple(Band(name, band, _SCHEMES[name].sentence(band)) for name, band in names.items())
    return Answer(Status.KNOWN, as_of, bands)
