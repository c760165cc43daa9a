"""The band book on disk: fetching it from HQ, storing it, reading it, and whether it is stale.

Invariant: the book on disk was signed by HQ, and is never replaced by one that is older, stale or
of another directory; whoever reads while a night replaces both finds the old pair or the new one.

book.bin                  the last good band book, with HQ's signature
directory-<digest>.bin    the directory that the book's slots are looked up in
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from outlet_client.errors import BookMissing
from privacy.books import BookKind, BookRefused, SignedBook, open_book
from privacy.directory import Directory
from privacy.keyring import write_private

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    import numpy.typing as npt

    from outlet_client.services import Services
    from privacy.books import Book
    from privacy.envelopes import VerifyKey

BOOK_FILE = "book.bin"


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """An opened book with its directory's fingerprints, sorted.

    Attributes:
        book: Verified.
        stamp: What `file_stamp` said when it was read.
        fingerprints: `uint64[slots]`, ascending.
        slots: `int64[slots]`, the slot of each fingerprint.
    """

    book: Book
    stamp: tuple[int, int]
    fingerprints: npt.NDArray[np.uint64] = field(repr=False)
    slots: npt.NDArray[np.int64] = field(repr=False)

    def slot(self, fingerprint: int) -> int | None:
        """The slot of a token with this fingerprint; None if the directory does not list it."""
        place = int(np.searchsorted(self.fingerprints, np.uint64(fingerprint)))
        there = place < len(self.slots) and int(self.fingerprints[place]) == fingerprint
        return int(self.slots[place]) if there else None


def store_book(
    home: Path,
    signed_bytes: bytes,
    directory: Directory,
    hq_key: VerifyKey,
    at: dt.datetime,
    book_days: int = 30,
) -> bool:
    """Keeps a band book with its directory, if it is genuine and newer than the last one.

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
        SignedBook.decode(signed_bytes),
        hq_key,
        newer_than=None if last is None else _last_version(last, hq_key),
        directory=name,
        not_before=_oldest(at, book_days),
        not_after=int(at.timestamp()) + 86_400,
        kind=BookKind.BAND,
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


def is_stale(book: Book, at: dt.datetime, book_days: int) -> bool:
    """Whether a band book is too old to be shown: HQ made it more than `book_days` days ago."""
    return book.made_at < _oldest(at, book_days)


def fetch_book(
    home: Path,
    services: Services,
    directory: Directory | None,
    hq_key: VerifyKey,
    at: dt.datetime,
    book_days: int,
) -> bool:
    """Fetches and stores the latest book and its directory; returns whether there was a new one.

    Without a directory of tonight it is fetched.

    Raises:
        BookRefused: If it must not be used; the last good one stays.
        ServiceUnreachable: If HQ is.
        ServiceRefused: If HQ has no such directory any more.
    """
    data = services.book()
    if data is None:
        return False
    name = directory_of(data, hq_key)
    if directory is None or name != directory.digest:
        directory = services.directory(name)
    return store_book(home, data, directory, hq_key, at, book_days)


def directory_of(signed_bytes: bytes, hq_key: VerifyKey) -> str:
    """The digest of the directory that a signed book goes with.

    Raises:
        BookRefused: If it is forged or malformed.
    """
    return _opened(signed_bytes, hq_key).directory


def file_stamp(home: Path) -> tuple[int, int]:
    """What tells one book on disk from another without reading it.

    Raises:
        BookMissing: If there is none.
    """
    try:
        found = (home / BOOK_FILE).stat()
    except FileNotFoundError as error:
        raise BookMissing(
            "band book: none yet; the first comes with the network's first bands, fetched by "
            "`escapement-outlet nightly`"
        ) from error
    return found.st_mtime_ns, found.st_ino


def read_shelf(home: Path, hq_key: VerifyKey) -> Shelf:
    """Reads book and directory; once more where a night replaced both in between.

    Raises:
        BookMissing: If one of them is not there.
        BookRefused: If the book is forged or malformed, or the directory another one's.
    """
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


def _opened(data: bytes, hq_key: VerifyKey) -> Book:
    signed = SignedBook.decode(data)
    return open_book(signed, hq_key, newer_than=None, directory=None, not_before=0)


def _oldest(at: dt.datetime, book_days: int) -> int:
    return int(at.timestamp()) - 86_400 * book_days


def _last_version(data: bytes, hq_key: VerifyKey) -> int | None:
    """The stored book's version; None where the file was damaged, and anything good replaces it."""
    try:
        return _opened(data, hq_key).version
    except BookRefused:
        return None


def _directory_file(home: Path, name: str) -> Path:
    return home / f"directory-{name[:32]}.bin"


def _read_pair(home: Path, hq_key: VerifyKey) -> Shelf:
    stamp = file_stamp(home)
    book = _opened((home / BOOK_FILE).read_bytes(), hq_key)
    directory = Directory.decode(_directory_file(home, book.directory).read_bytes())
    if directory.digest != book.directory or directory.slots != book.slots:
        raise BookRefused("book: the directory on disk is another; remove book.bin, fetch it again")
    order = np.argsort(directory.fingerprints)
    return Shelf(book, stamp, directory.fingerprints[order], order)
