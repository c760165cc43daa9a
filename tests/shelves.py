"""Directories and books as HQ publishes and the office countersigns them, for tests of outlets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.bands import KNOWN_EVIDENCE_CODE, NEW, SCHEMES
from outlet_client.bands.book_store import store_book
from outlet_client.people.directory_files import PublishedDirectory, keep_directory
from outlet_client.people.person_states import keys_as_array
from privacy.books import Book, Seal
from privacy.directory import Directory
from privacy.envelopes import SigningKey
from privacy.pads import pads
from privacy.publications import Publication, PublicationKind, Publishers, countersign
from privacy.published_books import PublishedBook, sign_book
from privacy.registrations import TAG_BYTES
from privacy.seal_plans import CHUNK_SLOTS, SealContext, SealKind
from privacy.slot_keys import OneTimeKey, SlotKey

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from privacy.directory import Slots
    from privacy.publications import Countersigned
    from privacy.sealed_tables import Codes
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
    return directory_of(public_keys(tokens), batch=batch, tags=tags)


def directory_of(keys: Slots, *, batch: int = 1, tags: Sequence[bytes] | None = None) -> Directory:
    """Lists slot keys, uint8[n, KEY_BYTES], as `make_directory` does."""
    homes = bytes(TAG_BYTES * len(keys)) if tags is None else b"".join(tags)
    return Directory(
        batch, np.hstack([keys, np.frombuffer(homes, np.uint8).reshape(-1, TAG_BYTES)])
    )


def band_codes(bands: Iterable[Sequence[str]]) -> Codes:
    """The codes that read as bands, a customer's in the order of the schemes: uint8[n, 3].

    Where a customer's are "new" the codes are the highest, which stand for nothing.
    """
    rows = []
    for names in bands:
        known = set(names) != {NEW}
        assert not known or NEW not in names, "one band is never 'new' without the other"
        codes = [
            scheme.bands.index(name if known else scheme.bands[-1]) - 1
            for scheme, name in zip(SCHEMES.values(), names, strict=True)
        ]
        rows.append([*codes, KNOWN_EVIDENCE_CODE if known else KNOWN_EVIDENCE_CODE - 1])
    return np.array(rows, dtype=np.uint8).reshape(-1, len(SCHEMES) + 1)


@dataclass(frozen=True, slots=True)
class SealKeys:
    """The one-time keys of a seal, and the digest of its plan.

    Attributes:
        hq: HQ's.
        office: The office's.
        plan: Any, where nobody looks at the plan.
    """

    hq: OneTimeKey = field(default_factory=OneTimeKey.generate)
    office: OneTimeKey = field(default_factory=OneTimeKey.generate)
    plan: str = field(default_factory=lambda: secrets.token_hex(32))


def make_book(
    codes: npt.NDArray[np.uint8],
    directory: Directory,
    *,
    as_of: str,
    made_at: float = 1,
    kind: SealKind = SealKind.BAND,
    version: int = 1,
    nonces: Sequence[bytes] | None = None,
    marked: Sequence[int] = (),
    sealed: SealKeys | None = None,
) -> Book:
    """Makes a book of codes in the clear, as if a seal had picked them.

    Args:
        codes: uint8[sealed, tables]; slots beyond are newer than the seal.
        directory: Whose keys it is made for.
        as_of: ISO 8601 date.
        made_at: Unix seconds.
        kind: What the book is for.
        version: A version that no book had before.
        nonces: Of the homes of a fine book.
        marked: Slots of too many outlets.
        sealed: Of which seal; of one of its own where None.
    """
    with_keys = sealed or SealKeys()
    hq, office = with_keys.hq, with_keys.office
    slots, tables = codes.shape
    firsts = range(0, slots, CHUNK_SLOTS)
    seal = Seal(
        kind, tables - (kind is SealKind.BAND), slots, as_of, with_keys.plan,
        secrets.token_hex(32), tuple(secrets.token_hex(32) for _ in firsts), hq.public.hex(),
        office.public.hex(),
    )  # fmt: skip
    keys = directory.keys[:slots]
    under = [
        pads(
            office, keys[first : first + CHUNK_SLOTS], first, tables, hq_key=hq.public,
            plan=seal.plan, context=SealContext(seal.plan, seal.set, chunk).encode(),
            choices=seal.choices[chunk],
        )
        for chunk, first in enumerate(firsts)
    ]  # fmt: skip
    whole = np.uint8(3 if kind is SealKind.BAND else 15)  # of a code's bits
    picked = (codes ^ np.concatenate([*under, codes[:0]])) & whole
    marks = np.isin(np.arange(slots), marked)
    entries = seal.masked(picked, marks, keys, hq, nonces)
    return entries.book(
        version=version, made_at=int(made_at), directory=directory.digest, blank=directory.blank
    )


def shelve(home: Path, book: Book, directory: Directory, press: Press, at: dt.datetime) -> bool:
    """Stores a band book and its directory at an outlet as a night does; whether it was new."""
    keep_directory(home, press.directory(directory, book.version))
    return store_book(home, press.book(book), directory, press.publishers, at)
