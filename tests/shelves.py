"""Directories and books as HQ publishes them, for every outlet in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.bands import SCHEMES, pack
from outlet_client.bands.book_store import store_book
from privacy.books import Book, BookKind, sign_book
from privacy.directory import Directory
from privacy.registrations import TAG_BYTES

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from privacy.envelopes import SigningKey
    from privacy.tokens import Token


def make_directory(
    tokens: Iterable[Token], *, batch: int = 1, tags: Sequence[bytes] | None = None
) -> Directory:
    """Lists tokens in this order.

    Args:
        tokens: One a slot.
        batch: The batch of registrations that it holds.
        tags: Of each slot's home; nobody is at home where None.
    """
    prints = np.array([one.fingerprint for one in tokens], np.uint64)
    homes = bytes(TAG_BYTES * len(prints)) if tags is None else b"".join(tags)
    return Directory(batch, prints, np.frombuffer(homes, np.uint8).reshape(-1, TAG_BYTES))


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
    keys: Sequence[bytes],
    directory: str,
    *,
    as_of: str,
    made_at: float = 1,
    kind: BookKind = BookKind.BAND,
    version: int = 1,
) -> Book:
    """Makes a book of entries in the clear, of a release that is named after its version.

    Args:
        entries: uint8[n, width].
        keys: One a slot: tokens of a band book, keys of homes of a fine one.
        directory: Digest of the directory.
        as_of: ISO 8601 date.
        made_at: Unix seconds.
        kind: What the book is for.
        version: A version that no book had before.
    """
    return Book.masked(
        entries,
        keys,
        kind=kind,
        release=f"points-{version}",
        version=version,
        as_of=as_of,
        made_at=int(made_at),
        directory=directory,
    )


def shelve(home: Path, book: Book, directory: Directory, hq: SigningKey, at: dt.datetime) -> bool:
    """Stores a band book at an outlet as a night does, signed by HQ; whether it was new."""
    return store_book(home, sign_book(book, hq).encode(), directory, hq.public, at)
