"""Look-ups: what a customer's band allows, read at the outlet itself, also when HQ is down.

Invariant: an answer holds bands and what they allow; never points, outlets, history or counts. The
book on disk was signed by HQ, and is never replaced by one that is older, stale or of another
directory.

book.bin                  the last good band book, with HQ's signature
directory-<digest>.bin    the directory that the book's slots are looked up in
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import grpc
import numpy as np
from typing_extensions import override

from features.bands import SCHEMES, unpack
from features.errors import FeatureError
from outlet_client.errors import BookMissing, NoIdentifier, OutletError
from outlet_client.identifiers import identifier
from outlet_client.people import State
from privacy.books import BookRefused, Kind, SignedBook, open_book, read_entry
from privacy.directory import Directory
from privacy.errors import PrivacyError
from privacy.keyring import write_private
from server.wire import office_pb2, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from outlet_client.people import People, Person
    from outlet_client.services import Services
    from privacy.books import Book
    from privacy.envelopes import VerifyKey

BOOK_FILE = "book.bin"
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


@dataclass(frozen=True, slots=True, eq=False)
class _Shelf:
    """An opened book with its directory's fingerprints, sorted."""

    book: Book
    stamp: tuple[int, int]
    fingerprints: npt.NDArray[np.uint64] = field(repr=False)
    slots: npt.NDArray[np.int64] = field(repr=False)

    def slot(self, fingerprint: int) -> int | None:
        place = int(np.searchsorted(self.fingerprints, np.uint64(fingerprint)))
        there = place < len(self.slots) and int(self.fingerprints[place]) == fingerprint
        return int(self.slots[place]) if there else None


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
        self._shelf: _Shelf | None = None

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

    def _fresh_shelf(self) -> _Shelf:
        shelf = self._shelf
        stamp = _stamp(self._home)
        if shelf is None or shelf.stamp != stamp:
            with self._alone:  # the first reads, the others find what it read
                shelf = self._shelf
                if shelf is None or shelf.stamp != stamp:
                    shelf = self._shelf = _read_shelf(self._home, self._hq_key)
        oldest = self._clock().timestamp() - 86_400 * self._book_days
        if shelf.book.made_at < oldest:
            made = dt.datetime.fromtimestamp(shelf.book.made_at, dt.UTC)
            raise BookMissing(
                f"band book: made {made:%Y-%m-%d}, expected one not older than {self._book_days} "
                "days; show no bands, and see why `escapement-outlet nightly` got no newer one"
            )
        return shelf


def store_book(
    home: Path,
    signed_bytes: bytes,
    directory: Directory,
    hq_key: VerifyKey,
    at: dt.datetime,
    book_days: int = 30,
) -> bool:
    """Keeps a band book with its directory, if it is genuine and newer than the last one.

    Args:
        home: The outlet's folder.
        signed_bytes: What `Services.book` gave: `SignedBook.encode`'s.
        directory: The one that the book names; see `directory_of`.
        hq_key: HQ's pinned key.
        at: When.
        book_days: A book made longer ago is refused.

    Returns:
        Whether it was new; False for the very book that is stored already.

    Raises:
        BookRefused: If it is forged, malformed, of another directory, older or stale; the last
            good one stays.
    """
    place = home / BOOK_FILE
    last = place.read_bytes() if place.exists() else None
    if last == signed_bytes:
        return False
    name = directory.digest
    book = open_book(
        _signed(signed_bytes),
        hq_key,
        newer_than=None if last is None else _last_version(last, hq_key),
        directory=name,
        not_before=int(at.timestamp()) - 86_400 * book_days,
        kind=Kind.BAND,
    )
    if book.slots != directory.slots:
        raise BookRefused(f"book: got {book.slots} slots, its directory has {directory.slots}")
    # The book names its directory: whoever reads in between finds the old pair or the new one.
    write_private(_directory_file(home, name), directory.encode())
    write_private(place, signed_bytes)
    for old in home.glob("directory-*.bin"):
        if old != _directory_file(home, name):
            old.unlink(missing_ok=True)
    return True


def fetch_book(
    home: Path,
    services: Services,
    directory: Directory,
    hq_key: VerifyKey,
    at: dt.datetime,
    book_days: int,
) -> bool:
    """Fetches the latest book, and its directory where that is not tonight's, and keeps both.

    Returns:
        Whether there was a new one.

    Raises:
        BookRefused: If it must not be used; the last good one stays.
        ServiceUnreachable: If HQ is.
        ServiceRefused: If HQ has no such directory any more.
    """
    data = services.book()
    if data is None:
        return False
    name = directory_of(data, hq_key)
    return store_book(
        home,
        data,
        directory if name == directory.digest else services.directory(name),
        hq_key,
        at,
        book_days,
    )


def directory_of(signed_bytes: bytes, hq_key: VerifyKey) -> str:
    """The digest of the directory that a signed book goes with.

    Raises:
        BookRefused: If it is forged or malformed.
    """
    return _opened(signed_bytes, hq_key).directory


class DeskService(outlets_pb2_grpc.DeskServicer):
    """Look-ups for the desk page, on this machine only; decides nothing."""

    def __init__(
        self,
        look_up: LookUp,
        services: Services,
        pinned_total: bytes,
    ) -> None:
        """Serves look-ups; `services` and `pinned_total` are for first times."""
        self._look_up = look_up
        self._services = services
        self._pinned_total = pinned_total

    @override
    def Lookup(
        self, request: outlets_pb2.LookupRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.LookupResponse:
        try:
            found = self._found(request)
        except (OutletError, PrivacyError, FeatureError) as error:
            refusal = office_pb2.Refusal(type=type(error).__name__, message=str(error))
            context.set_trailing_metadata(((METADATA_KEY, refusal.SerializeToString()),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, type(error).__name__)
        except Exception as error:  # noqa: BLE001  (its text may hold a customer's data)
            context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
        bands = [outlets_pb2.Band(score=b.score, band=b.band, allows=b.allows) for b in found.bands]
        return outlets_pb2.LookupResponse(status=found.status, as_of=found.as_of, bands=bands)

    def _found(self, request: outlets_pb2.LookupRequest) -> Answer:
        if request.consent_notice and request.consent_by:
            return self._look_up.first_time(
                request.phone,
                request.email,
                request.consent_notice,
                request.consent_by,
                self._services,
                self._pinned_total,
            )
        return self._look_up.look_up(request.phone, request.email)


def _signed(data: bytes) -> SignedBook:
    return SignedBook.decode(data)


def _opened(data: bytes, hq_key: VerifyKey) -> Book:
    return open_book(_signed(data), hq_key, newer_than=None, directory=None, not_before=0)


def _last_version(data: bytes, hq_key: VerifyKey) -> int | None:
    """The stored book's version; None where the file was damaged, and anything good replaces it."""
    try:
        return _opened(data, hq_key).version
    except BookRefused:
        return None


def _directory_file(home: Path, name: str) -> Path:
    return home / f"directory-{name[:32]}.bin"


def _stamp(home: Path) -> tuple[int, int]:
    """What tells one book on disk from another without reading it."""
    try:
        found = (home / BOOK_FILE).stat()
    except FileNotFoundError as error:
        raise BookMissing(
            "band book: none yet; the first comes with the network's first bands, fetched by "
            "`escapement-outlet nightly`"
        ) from error
    return found.st_mtime_ns, found.st_ino


def _read_shelf(home: Path, hq_key: VerifyKey) -> _Shelf:
    """Reads book and directory; once more where a night replaced both in between."""
    try:
        return _read_pair(home, hq_key)
    except FileNotFoundError:
        pass
    try:
        return _read_pair(home, hq_key)
    except FileNotFoundError as error:
        raise BookMissing(
            "band book: its directory is missing; remove book.bin and run "
            "`escapement-outlet nightly`"
        ) from error


def _read_pair(home: Path, hq_key: VerifyKey) -> _Shelf:
    stamp = _stamp(home)
    book = _opened((home / BOOK_FILE).read_bytes(), hq_key)
    directory = Directory.decode(_directory_file(home, book.directory).read_bytes())
    if directory.digest != book.directory or directory.slots != book.slots:
        raise BookRefused("book: the directory on disk is another; remove book.bin, fetch it again")
    order = np.argsort(directory.fingerprints)
    return _Shelf(book, stamp, directory.fingerprints[order], order)
