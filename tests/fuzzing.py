"""Altered bytes for whatever a party reads of another: plans, cards, books, directories, messages.

A reader takes bytes and gives what it made of them, or raises an error of our own. Of altered bytes
a reader of what is *signed* takes none. A reader of what is not signed may take them as something
else; then they are the one way to write that down, so that nothing has two digests.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import FeatureError
from features.events import DIMENSION
from features.learning import Whitening
from features.outcomes import Outcome
from features.scorecard import Scorecard, decode_scorecards, encode_scorecards
from features.starting import starting_scorecard
from outlet_client.errors import OutletError
from privacy.base_transfers import TRANSFERS
from privacy.books import Book, BookHeader
from privacy.budget import LedgerEntry
from privacy.cards import Card, PartyKind
from privacy.directory import Directory, DirectoryChanges
from privacy.envelopes import SealKey
from privacy.errors import PrivacyError
from privacy.identity import Identity
from privacy.ledger_copies import LedgerCopy
from privacy.log_heads import HeadStatement
from privacy.oblivious_transfer import CHECK_BYTES, Choices, padded
from privacy.plans import NightPlan, ReleaseDraft, ReleasePlan, Signed, open_release, read_night
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    countersign,
    open_publication,
)
from privacy.published_books import PublishedBook, open_book
from privacy.registration_losses import RegistrationLoss
from privacy.registrations import Registration
from privacy.seal_plans import SealDraft, SealKind, SealPlan
from privacy.slot_keys import SlotKey
from server.holder.directory_copy import DirectoryCopy
from server.holder.errors import HolderError
from tests.builders import Bench
from tests.privacy.seals import plan_of
from tests.privacy.slots import directory_of
from tests.shelves import NETWORK, Press, make_book

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

OURS = (PrivacyError, FeatureError, HolderError, OutletError)
"""Errors with which a reader may refuse."""

AT = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Reader:
    """One kind of bytes that a party reads.

    Attributes:
        name: Of the kind.
        examples: Sound bytes.
        read: Reads them, or raises one of OURS.
        written: Writes down again what was read; None where what is signed is read, of which no
            altered bytes are taken.
    """

    name: str
    examples: tuple[bytes, ...] = field(repr=False)
    read: Callable[[bytes], Any]
    written: Callable[[Any], bytes] | None = lambda made: made.encode()


class Misread(AssertionError):
    """A reader took altered bytes, or ended with an error that is not ours."""


def try_altered(reader: Reader, chance: random.Random) -> bool:
    """Has a reader read bytes that differ from a sound example.

    Returns:
        Whether it took them.

    Raises:
        Misread: If it took what is signed, took bytes that are not how it writes them, or ended
            otherwise than with an error of our own.
    """
    data = altered(reader, chance)
    try:
        made = reader.read(data)
    except OURS:
        return False
    except Exception as error:
        raise Misread(f"{reader.name}: {type(error).__name__} of {data!r}") from error
    if reader.written is None:
        raise Misread(f"{reader.name}: took {data!r}")
    if reader.written(made) != data:
        raise Misread(f"{reader.name}: took {data!r} for {reader.written(made)!r}")
    return True


def altered(reader: Reader, chance: random.Random) -> bytes:
    """Bytes that are none of a reader's examples."""
    for _ in range(100):
        data = chance.choice(reader.examples)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            data = chance.choice(_ALTERATIONS)(data, chance)
        if data not in reader.examples:
            return data
    return b""


# --- alterations ----------------------------------------------------------------------------------


def _flipped(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) or 1)
    return data[:place] + bytes(b ^ 1 << chance.randrange(8) for b in data[place:][:1]) + data[
        place + 1 :
    ]  # fmt: skip


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _part_gone(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.randrange(1, 40) :]


def _part_twice(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = start + chance.randrange(1, 40)
    return data[:end] + data[start:]


def _with_noise(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.randbytes(chance.randrange(1, 20)) + data[start:]


def _with_number(data: bytes, chance: random.Random) -> bytes:
    """A number at an edge in the place of some bytes."""
    size = chance.choice((1, 2, 4, 8))
    number = chance.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1)))
    start = chance.randrange(len(data) + 1)
    written = number.to_bytes(size, chance.choice(("big", "little")))
    return data[:start] + written + data[start + size :]


def _as_json(data: bytes, chance: random.Random) -> bytes:
    """Another value, type or key somewhere in JSON; bytes that are none are cut."""
    start, end = data.find(b"{"), data.rfind(b"}") + 1
    try:
        body = json.loads(data[start:end])
    except ValueError:
        return _cut(data, chance)
    name = chance.choice([*body, "other"])
    change = chance.choice(_VALUES)
    kept = body.get(name)
    if chance.random() < 0.2 and name in body:
        del body[name]
    elif isinstance(kept, list) and kept and chance.random() < 0.5:
        kept[chance.randrange(len(kept))] = change
    else:
        body[name] = change
    compact = (",", ":") if chance.random() < 0.9 else (", ", ": ")
    written = json.dumps(body, sort_keys=True, separators=compact).encode()
    return data[:start] + written + data[end:]


_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), 0.5, "", "x",
    "\ud800", "\x00", "é" * 40, "00" * 32, "f" * 64, "1/0", "1e9", [], [[]], {}, [1, [2]],
    "2026-02-30", "9999-12-31", "points", "-1",
)  # fmt: skip

_ALTERATIONS = (
    _flipped, _flipped, _cut, _part_gone, _part_twice, _with_noise, _with_number, _as_json,
    _as_json,
)  # fmt: skip


# --- readers --------------------------------------------------------------------------------------


def _plans() -> Iterator[Reader]:
    bench = Bench()
    night = bench.night()
    draft = bench.draft(night)
    signed = bench.office.sign_release(draft)
    yield Reader("night plan", (night.payload,), NightPlan.decode)
    yield Reader("release plan", (signed.payload,), ReleasePlan.decode)
    yield Reader("release draft", (draft.encode(),), ReleaseDraft.decode)
    seals = tuple(plan_of(3, kind).encode() for kind in SealKind)
    yield Reader("seal plan", seals, SealPlan.decode)
    drafts = tuple(_draft_of(SealPlan.decode(one)).encode() for one in seals)
    yield Reader("seal draft", drafts, SealDraft.decode)
    key = bench.office_key.public
    length = len(signed.signature)
    night_bytes, release_bytes = (one.signature + one.payload for one in (night, signed))

    def cut(data: bytes) -> Signed:
        return Signed(data[length:], data[:length])

    yield Reader("signed night plan", (night_bytes,), lambda data: read_night(cut(data), key), None)
    yield Reader(
        "signed release plan",
        (release_bytes,),
        lambda data: open_release(cut(data), key, 0),
        None,
    )
    entries = bench.store.ledger().entries
    yield Reader("ledger entry", tuple(one.encode() for one in entries), LedgerEntry.decode)
    copy = LedgerCopy("hq", tuple(entries), (), night)

    def read_copy(data: bytes) -> LedgerCopy:
        made = LedgerCopy.decode(data)
        # Line ends may be others, and none behind the last; a copy may also be a shorter one.
        if data != made.encode() and data.splitlines() == made.encode().splitlines():
            raise PrivacyError
        return made

    yield Reader("ledger copy", (copy.encode(),), read_copy)


def _draft_of(plan: SealPlan) -> SealDraft:
    return SealDraft(**{name: getattr(plan, name) for name in SealDraft.__dataclass_fields__})


def _cards() -> Iterator[Reader]:
    outlet = Identity.generate(PartyKind.OUTLET, "o1", "", AT)
    hq = Identity.generate(
        PartyKind.HQ, "hq", "h:1", AT, service_address="h:2", token_key=SlotKey.of(b"").public
    )
    files = (outlet.public_file(), hq.public_file())
    known = {Card.decode_any(one) for one in files}

    def read(data: bytes) -> Card | None:
        card = Card.decode_any(data)
        if card in known:  # the same card, its file laid out otherwise
            raise PrivacyError
        return card

    yield Reader("card", files, read, None)


def _publications() -> Iterator[Reader]:
    press = Press()
    directory = directory_of(1, 1, 2, None, 4)
    earlier = directory_of(1, 1, 2)
    later = DirectoryChanges.between(earlier, directory)
    codes = np.zeros((directory.slots, 3), dtype=np.uint8)
    book = make_book(codes, directory, as_of="2026-03-01")
    published = press.book(book)
    said = Publication(PublicationKind.DIRECTORY, 1, directory.digest, directory.digest, 1)
    signed = countersign(said, press.office)
    yield Reader("directory", (directory.encode(),), Directory.decode)
    yield Reader("directory changes", (later.encode(),), DirectoryChanges.decode)
    yield Reader("book", (book.encode(),), Book.decode)
    yield Reader(
        "book header", (book.encode_header(),), BookHeader.decode_header, BookHeader.encode_header
    )
    yield Reader("publication", (said.encode(),), Publication.decode)
    yield Reader(
        "countersigned publication",
        (signed.encode(),),
        lambda data: open_publication(
            read_countersigned(data), press.office.public, PublicationKind.DIRECTORY
        ),
        None,
    )

    def opened(data: bytes) -> Any:
        made = PublishedBook.decode(data)
        return open_book(made, press.publishers, newer_than=None, directory=None, not_before=0)

    yield Reader("published book", (published,), opened, None)
    copy = DirectoryCopy(signed, directory.encode(), secrets.token_bytes(32), {bytes(32): 1})
    yield Reader("copy of a directory", (copy.encode(),), DirectoryCopy.decode)


def read_countersigned(data: bytes) -> Countersigned:
    """What the office said, by itself: what follows is another reader's."""
    made, rest = Countersigned.cut_off(data)
    if rest:
        raise PrivacyError
    return made


def _messages() -> Iterator[Reader]:
    hq, key = SealKey.generate(), SlotKey.of(secrets.token_bytes(32))
    message = Registration.register(NETWORK, key, secrets.token_bytes(32), 1)
    yield Reader(
        "registration",
        (message.sealed(hq.public),),
        lambda data: Registration.opened(data, hq, NETWORK, 1),
        None,
    )
    loss = RegistrationLoss(1, 2, 3, 4)
    yield Reader("loss of registrations", (loss.encode(),), RegistrationLoss.decode)
    head = HeadStatement("o1", 1, 1, "00" * 32)
    yield Reader("statement about a log", (head.encode(),), HeadStatement.decode)
    choices = secrets.token_bytes(CHECK_BYTES + TRANSFERS * padded(8) // 8)
    yield Reader("choices", (choices,), lambda data: Choices.decode(data, 8))


def _scorecards() -> Iterator[Reader]:
    cards = [starting_scorecard(outcome) for outcome in (Outcome.LOYAL, Outcome.FLIPPED)]
    yield Reader("scorecard", (cards[0].encode(),), Scorecard.decode)
    yield Reader("scorecards", (encode_scorecards(cards),), decode_scorecards, encode_scorecards)
    matrix = np.eye(DIMENSION).astype("<f8").tobytes()
    yield Reader("whitening", (matrix,), Whitening.decode_matrix, lambda made: made.tobytes())


@cache
def readers() -> dict[str, Reader]:
    """Every kind of bytes, by name."""
    kinds = (_plans, _cards, _publications, _messages, _scorecards)
    return {reader.name: reader for kind in kinds for reader in kind()}
