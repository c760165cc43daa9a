"""Books of 2,048 slots and of a few, for the tests of this folder."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np

from privacy.books import Book, Seal, SealedEntries
from privacy.envelopes import SigningKey, digest
from privacy.pads import pads
from privacy.publications import Publication, PublicationKind, Publishers, countersign
from privacy.published_books import PublishedBook, SignedBook, open_book, sign_book
from privacy.seal_plans import CHUNK_SLOTS, SealContext, SealKind
from privacy.slot_keys import OneTimeKey, SlotKey
from tests.privacy.seals import keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from privacy.directory import Slots
    from privacy.sealed_tables import Codes


SLOTS = 2048
KEYS = [SlotKey.of(secrets.token_bytes(32)) for _ in range(SLOTS)]
DIRECTORY, PLAN, SET = digest(b"tonight"), digest(b"plan"), digest(b"set")
MADE_AT = 1_800_000_000
HQ_KEY = OneTimeKey.from_bytes((11).to_bytes(32, "little"))
OFFICE_KEY = OneTimeKey.from_bytes((12).to_bytes(32, "little"))
HQ, OFFICE = SigningKey.from_bytes(bytes(range(32))), SigningKey.from_bytes(bytes(range(1, 33)))
PUBLISHERS = Publishers(HQ.public, OFFICE.public)
BANDS = np.stack([np.arange(SLOTS) % 4, np.arange(SLOTS) // 4 % 4, np.arange(SLOTS) // 16 % 4],
                 axis=1).astype(np.uint8)  # fmt: skip
MARKED = np.arange(SLOTS) % 5 == 0


def seal_of(
    slots: int, kind: SealKind = SealKind.BAND, hq_key: OneTimeKey = HQ_KEY, **changes: object
) -> Seal:
    values = {
        "kind": kind,
        "scores": 2,
        "sealed": slots,
        "as_of": "2026-03-01",
        "plan": PLAN,
        "set": SET,
        "choices": tuple(digest(b"%d" % chunk) for chunk in range(-(-slots // CHUNK_SLOTS))),
        "hq_key": hq_key.public.hex(),
        "office_key": OFFICE_KEY.public.hex(),
        **changes,
    }
    return Seal(**values)  # type: ignore[arg-type]  # fields by name


def under_pads(seal: Seal, codes: Codes, keys: Slots, office_key: OneTimeKey = OFFICE_KEY) -> Codes:
    """Codes as HQ picks them, of a seal of one chunk."""
    width, bits = codes.shape[1], 2 if seal.kind is SealKind.BAND else 4
    over = pads(
        office_key, keys, 0, width, hq_key=bytes.fromhex(seal.hq_key), plan=seal.plan,
        context=SealContext(seal.plan, seal.set, 0).encode(), choices=seal.choices[0],
    )  # fmt: skip
    return codes ^ over & np.uint8((1 << bits) - 1)


def entries_of(
    codes: Codes = BANDS,
    keys: Sequence[SlotKey | None] = KEYS,
    kind: SealKind = SealKind.BAND,
    nonces: Sequence[bytes] | None = None,
    marked: npt.NDArray[np.bool_] = MARKED,
    hq_key: OneTimeKey = HQ_KEY,
) -> SealedEntries:
    seal, slots = seal_of(len(codes), kind, hq_key), keys_of(*keys)
    padded = under_pads(seal, codes, slots)
    return seal.masked(padded, marked[: len(codes)], slots, hq_key, nonces)


def book_of(
    entries: SealedEntries, version: int = 5, made_at: int = MADE_AT, added: int = 0,
    blank: Sequence[int] = (),
) -> Book:  # fmt: skip
    gone = np.zeros(entries.seal.sealed + added, bool)
    gone[list(blank)] = True
    return entries.book(version=version, made_at=made_at, directory=DIRECTORY, blank=gone)


def published(
    signed: SignedBook, office: SigningKey = OFFICE, directory: str = DIRECTORY
) -> PublishedBook:
    said = Publication(PublicationKind.BOOK, 4, signed.digest, directory, MADE_AT + 5)
    return PublishedBook(signed, countersign(said, office))


def take(book: PublishedBook, publishers: Publishers = PUBLISHERS, not_before: int = 0) -> Book:
    """Opens a book that may be of any version and directory."""
    return open_book(book, publishers, newer_than=None, directory=None, not_before=not_before)


ENTRIES = entries_of()
BOOK = book_of(ENTRIES)
FEW = entries_of(BANDS[:5], KEYS[:5])
SMALL = book_of(FEW, added=2)
FINE_FEW = entries_of(BANDS[:5, :2] + np.uint8(3), KEYS[:5], SealKind.FINE, [b"home"] * 5)
SIGNED = sign_book(SMALL, HQ)
PUBLISHED = published(SIGNED)
OTHER = OneTimeKey.generate()
