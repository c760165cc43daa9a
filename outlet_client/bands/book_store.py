"""The band book on disk: fetching it from HQ, storing it, reading it, and why it is stale.

Invariant: the book on disk was signed by HQ and countersigned by the privacy office, and is never
replaced by one that is older, stale or of a directory that is not here; whoever reads while a night
replaces both finds the old pair or the new one. Before the first book there is the directory alone.

book.bin    the last good band book, with both signatures; its directory is beside it
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outlet_client.errors import BookBehind, BookMissing
from outlet_client.people.directory_files import (
    directories_here,
    directory_of,
    fetch_directory,
    forget_directories,
    latest_directory,
)
from outlet_client.people.person_states import keys_as_array
from privacy.books import BookRefused
from privacy.errors import PrivacyError
from privacy.keyring import write_private
from privacy.publications import Countersigned, PublicationKind, open_publication
from privacy.published_books import PublishedBook, open_book
from privacy.seal_plans import SealKind

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.services import Services
    from outlet_client.settings import OutletFile
    from privacy.books import Book
    from privacy.directory import Directory
    from privacy.publications import Publishers

BOOK_FILE = "book.bin"

Stamp = tuple[int | str, ...]
"""What tells one book on disk from another, and from none, without reading it."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """An opened book with its directory; before the first book the latest directory alone.

    Attributes:
        book: Verified; None before the first.
        stamp: What `file_stamp` said when it was read.
        directory: The one that the book's slots are looked up in.
    """

    book: Book | None
    stamp: Stamp
    directory: Directory = field(repr=False)

    def slot(self, key: bytes, given: int | None = None) -> int | None:
        """The slot of a public key; None if the directory does not list it.

        It is searched for where it has not the slot that it was `given` by an earlier directory.
        """
        if given is not None and self.directory.keys[given : given + 1].tobytes() == key:
            return given
        [place] = self.directory.places(keys_as_array([key])).tolist()
        return None if place < 0 else int(place)


def store_book(
    home: Path,
    data: bytes,
    directory: Directory,
    publishers: Publishers,
    at: dt.datetime,
    book_days: int = 30,
) -> bool:
    """Keeps a published band book, if it is genuine and newer than the last one.

    Args:
        home: The outlet's folder.
        data: As HQ published it.
        directory: The book's, which is on disk already.
        publishers: Whose signatures it must have.
        at: Now.
        book_days: Older ones are stale.

    Returns:
        Whether it was new; False for the very book that is stored already.

    Raises:
        PrivacyError: If it is forged, malformed, not countersigned, of another directory, older or
            stale; the last good one stays.
    """
    place = home / BOOK_FILE
    last = place.read_bytes() if place.exists() else None
    if last == data:
        forget_directories(home, publishers.office, [directory.digest])  # of the nights since
        return False
    book = open_book(
        PublishedBook.decode(data),
        publishers,
        newer_than=None if last is None else _last_number(last, publishers),
        directory=directory.digest,
        not_before=_oldest(at, book_days),
        not_after=int(at.timestamp()) + 86_400,
        kind=SealKind.BAND,
    )
    if book.slots != directory.slots:
        raise BookRefused(f"book: got {book.slots} slots, its directory has {directory.slots}")
    write_private(place, data)
    forget_directories(home, publishers.office, [directory.digest])
    return True


def why_stale(book: Book, at: dt.datetime, settings: OutletFile) -> str:
    """Why a band book is too old to be shown; "" where it is not.

    It was made more than `book_days` days ago: HQ or this outlet's nights have stopped. Or the day
    that its data ends with is farther back, by `floors.days_off` more: HQ publishes the codes of an
    old seal every night.
    """
    if book.made_at < _oldest(at, settings.book_days):
        made = dt.datetime.fromtimestamp(book.made_at, dt.UTC)
        return (
            f"band book: made {made:%Y-%m-%d}, expected one not older than {settings.book_days} "
            "days; show no bands, and see why `escapement-outlet nightly` got no newer one"
        )
    days = settings.book_days + settings.floors.days_off
    if (at.astimezone(dt.UTC).date() - dt.date.fromisoformat(book.as_of)).days > days:
        return (
            f"band book: sealed as of {book.as_of}, expected a day not more than {days} days ago; "
            "show no bands, and ask HQ why nothing was sealed since"
        )
    return ""


def fetch_book(
    home: Path, services: Services, publishers: Publishers, at: dt.datetime, book_days: int
) -> bool:
    """Fetches and stores the latest book and its directory; returns whether there was a new one.

    Raises:
        BookBehind: If it is earlier than the one here, as after HQ was restored.
        PrivacyError: If it must not be used; the last good one stays.
        ServiceUnreachable: If HQ is.
        ServiceRefused: If HQ has no such directory any more.
    """
    data = services.book()
    if data is None:
        return False
    name = _opened(data, publishers).directory
    place = home / BOOK_FILE
    held = _last_number(place.read_bytes(), publishers) if place.exists() else None
    offered = _last_number(data, publishers)
    if held is not None and offered is not None and offered < held:
        raise BookBehind(offered, held)
    try:
        directory = directory_of(home, name, publishers.office).directory
    except (FileNotFoundError, PrivacyError):  # not here, or damaged
        found = fetch_directory(home, services, name, publishers.office, earlier=True)
        directory = found.directory
    return store_book(home, data, directory, publishers, at, book_days)


def not_shown(home: Path, publishers: Publishers, directory: bytes, book: bytes) -> list[str]:
    """What the office countersigned last and HQ did not show this outlet, as sentences.

    HQ cannot have two books of one directory countersigned; but it can withhold the new one.

    Args:
        home: The outlet's folder.
        publishers: The pinned keys.
        directory: What the office said last of a directory, `Countersigned.encode()` or nothing.
        book: The same of a book.

    Raises:
        PublicationRefused: If the office did not say so.
    """
    latest = latest_directory(home, publishers.office)
    here = {PublicationKind.DIRECTORY: "" if latest is None else latest.directory.digest}
    try:
        kept = PublishedBook.decode((home / BOOK_FILE).read_bytes())
        here[PublicationKind.BOOK] = kept.signed.digest
    except (FileNotFoundError, PrivacyError):
        here[PublicationKind.BOOK] = ""
    said = {PublicationKind.DIRECTORY: directory, PublicationKind.BOOK: book}
    found = []
    for kind, encoded in said.items():
        if not encoded:
            continue
        last = open_publication(Countersigned.cut_off(encoded)[0], publishers.office, kind)
        if last.digest != here[kind]:
            at = dt.datetime.fromtimestamp(last.at, dt.UTC)
            found.append(
                f"{kind}: the privacy office countersigned number {last.number} on "
                f"{at:%Y-%m-%d %H:%M} UTC, and HQ has not shown it here; if that stays so "
                "tomorrow, tell the office"
            )
    return found


def file_stamp(home: Path) -> Stamp:
    """The stamp of the book on disk; before the first, of the directories.

    Raises:
        BookMissing: If there are neither.
    """
    try:
        found = (home / BOOK_FILE).stat()
    except FileNotFoundError as error:
        directories = directories_here(home)
        if not directories:
            raise BookMissing(_NONE_YET) from error
        return directories
    return found.st_mtime_ns, found.st_ino


def read_shelf(home: Path, publishers: Publishers) -> Shelf:
    """Reads book and directory; once more where a night replaced both in between.

    Raises:
        BookMissing: If the directory is not there.
        PrivacyError: If book or directory are forged or malformed.
    """
    try:
        return _read_pair(home, publishers)
    except FileNotFoundError:
        pass
    try:
        return _read_pair(home, publishers)
    except FileNotFoundError as error:
        raise BookMissing(
            "band book: its directory is missing; remove book.bin and run "
            "`escapement-outlet nightly`"
        ) from error


_NONE_YET = (
    "band book: none yet, and no directory either; both are fetched by `escapement-outlet nightly`"
)


def _opened(data: bytes, publishers: Publishers) -> Book:
    published = PublishedBook.decode(data)
    return open_book(published, publishers, newer_than=None, directory=None, not_before=0)


def _oldest(at: dt.datetime, book_days: int) -> int:
    return int(at.timestamp()) - 86_400 * book_days


def _last_number(data: bytes, publishers: Publishers) -> int | None:
    """The office's number of the stored book; None where it is damaged, so that any replaces it."""
    try:
        _opened(data, publishers)
        signed = PublishedBook.decode(data).countersigned
        return open_publication(signed, publishers.office, PublicationKind.BOOK).number
    except PrivacyError:
        return None


def read_book(home: Path, publishers: Publishers) -> Book | None:
    """Reads the book; None before the first, when there need be no directory either.

    Raises:
        BookMissing: If its directory is not there.
        PrivacyError: If book or directory are forged or malformed.
    """
    return read_shelf(home, publishers).book if (home / BOOK_FILE).exists() else None


def _read_pair(home: Path, publishers: Publishers) -> Shelf:
    stamp = file_stamp(home)
    if not (home / BOOK_FILE).exists():
        latest = latest_directory(home, publishers.office)
        if latest is None:  # all damaged
            raise BookMissing(_NONE_YET)
        return Shelf(None, stamp, latest.directory)
    book = _opened((home / BOOK_FILE).read_bytes(), publishers)
    directory = directory_of(home, book.directory, publishers.office).directory
    if directory.slots != book.slots or directory.digest != book.directory:
        raise BookRefused("book: the directory on disk is another; remove book.bin, fetch it again")
    return Shelf(book, stamp, directory)
