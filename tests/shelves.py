"""Directories and books as HQ publishes and the office countersigns them, for tests of outlets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.bands import SCHEMES, pack
from outlet_client.bands.book_store import store_book
from outlet_client.people.directory_files import PublishedDirectory, keep_directory
from outlet_client.people.person_states import keys_as_array
from privacy.books import Book, BookKind
from privacy.directory import Directory
from privacy.envelopes import SigningKey
from privacy.publications import Publication, PublicationKind, Publishers, countersign
from privacy.published_books import PublishedBook, sign_book
from privacy.registrations import TAG_BYTES
from privacy.slot_keys import SlotKey

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from privacy.directory import Slots
    from privacy.publications import Countersigned
    from privacy.tokens import Token

NETWORK = bytes(range(32))
"""The token key of a network in tests: proofs are bound to it, and nothing is computed with it."""


@dataclass(frozen=True, slots=True)
class Press:
    """Who publishes: HQ's signing key and the office's.

    Attributes:
        hq: Signs books.
        office: Countersigns directories and books.
    """

    hq: SigningKey = field(default_factory=SigningKey.generate)
    office: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def publishers(self) -> Publishers:
        """What outlets are pinned to."""
        return Publishers(self.hq.public, self.office.public)

    def countersigned(self, directory: Directory, number: int = 1) -> Countersigned:
        """What the office says of a directory."""
        said = (PublicationKind.DIRECTORY, number, directory.digest, directory.digest, 1)
        return countersign(Publication(*said), self.office)

    def directory(self, directory: Directory, number: int = 1) -> PublishedDirectory:
        """A directory as an outlet keeps it."""
        countersigned = self.countersigned(directory, number)
        return PublishedDirectory.of(directory, countersigned, self.office.public)

    def book(self, book: Book, number: int | None = None) -> bytes:
        """A book as HQ publishes it; the office numbers it as its version where not told."""
        signed = sign_book(book, self.hq)
        said = (
            PublicationKind.BOOK,
            book.version if number is None else number,
            signed.digest,
            book.directory,
            1,
        )
        return PublishedBook(signed, countersign(Publication(*said), self.office)).encode()


def public_keys(tokens: Iterable[Token]) -> Slots:
    """The public slot keys of tokens, uint8[n, KEY_BYTES]."""
    return keys_as_array([SlotKey.of(one.raw).public for one in tokens])


def make_directory(
    tokens: Iterable[Token], *, batch: int = 1, tags: Sequence[bytes] | None = None
) -> Directory:
    """Lists the slot keys of tokens in this order.

    Args:
        tokens: One a slot.
        batch: The batch of registrations that it holds.
        tags: Of each slot's home; nobody is at home where None.
    """
    keys = public_keys(tokens)
    homes = bytes(TAG_BYTES * len(keys)) if tags is None else b"".join(tags)
    return Directory(
        batch, np.hstack([keys, np.frombuffer(homes, np.uint8).reshape(-1, TAG_BYTES)])
    )


def band_entries(bands: Iterable[Sequence[str]]) -> npt.NDArray[np.uint8]:
    """Packs bands by their names, a customer's in the order of the schemes; uint8[n, 1]."""
    columns = zip(SCHEMES.values(), zip(*bands, strict=True), strict=True)
    return pack(
        {
            scheme.name: np.array([scheme.bands.index(name) for name in names], np.uint8)
            for scheme, names in columns
        }
    )


def make_book(
    entries: npt.NDArray[np.uint8],
    directory: Directory,
    *,
    as_of: str,
    made_at: float = 1,
    kind: BookKind = BookKind.BAND,
    version: int = 1,
    nonces: Sequence[bytes] | None = None,
) -> Book:
    """Makes a book of entries in the clear, of a release that is named after its version.

    Args:
        entries: uint8[n, width].
        directory: Whose keys it is masked for.
        as_of: ISO 8601 date.
        made_at: Unix seconds.
        kind: What the book is for.
        version: A version that no book had before.
        nonces: Of the homes of a fine book.
    """
    return Book.masked(
        entries,
        directory.keys,
        kind=kind,
        release=f"points-{version}",
        version=version,
        as_of=as_of,
        made_at=int(made_at),
        directory=directory.digest,
        nonces=nonces,
    )


def shelve(home: Path, book: Book, directory: Directory, press: Press, at: dt.datetime) -> bool:
    """Stores a band book and its directory at an outlet as a night does; whether it was new."""
    keep_directory(home, press.directory(directory, book.version))
    return store_book(home, press.book(book), directory, press.publishers, at)
