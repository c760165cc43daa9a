"""HQ's calls to the office about directories and books, over the wire."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy import voprf
from privacy.books import BookHeader, BookRefused
from privacy.directory import (
    SLOT_BYTES,
    Directory,
    DirectoryChanges,
    DirectoryPosition,
    DirectoryRefused,
)
from privacy.errors import AnswerRefused, InvalidParameter, PlanRefused, ReleaseClosed
from privacy.identity import PartyKind
from privacy.plans import PlannedReleases
from privacy.publications import (
    Publication,
    PublicationKind,
    PublicationRefused,
    PublicationTooSoon,
    check_published,
    countersign,
)
from privacy.published_books import BookSummary, sign_book
from privacy.purposes import Purpose
from privacy.registrations import (
    TAG_BYTES,
    Evidence,
    RegistrationAct,
)
from privacy.tokens import TokenShare
from server.hq.errors import OfficeUnreachable
from server.hq.office_client import OfficeClient
from server.hq.office_messages import choice_parts, directory_parts
from server.hq.registry import Registry
from server.office.directory_parts import read_directory
from tests.builders import Clock
from tests.privacy.slots import rows_of
from tests.server.hq_sealing import HqBench
from tests.server.registrations import NETWORK, Hq, Register, Withdraw
from tests.server.seal_benches import SealBench
from tests.server.slot_histories import SEAL
from tests.server.test_holder import Parties

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 25_000
"""Slots whose rows are more than one part."""


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


@pytest.fixture
def client(parties: Parties) -> OfficeClient:
    """A client of an office whose relay begins after batch 2, of which it knows no size."""
    address = parties.run(PartyKind.OFFICE)
    made = OfficeClient(parties.channel(parties.hq, PartyKind.OFFICE, address), 60)
    assert made.collect_batch(2) == (0, [], 0)
    return made


def rows(count: int) -> np.ndarray:
    """Slots of keys that nobody has: any points of the curve."""
    keys = (voprf.hash_to_group(b"%d" % number) for number in range(count))
    return np.frombuffer(b"".join(key + bytes(TAG_BYTES) for key in keys), np.uint8).reshape(
        -1, SLOT_BYTES
    )


def first(directory: Directory) -> DirectoryChanges:
    return DirectoryChanges.between(Directory.empty(), directory)


def test_a_directory_of_many_parts_is_countersigned(parties: Parties, client: OfficeClient) -> None:
    key = parties.office.identity().card.verify_key
    assert client.last_directory() == DirectoryPosition()
    directory = Directory(1, rows(MANY))
    said = client.countersign_directory(NETWORK, first(directory), {}, None)
    check_published(said, key, PublicationKind.DIRECTORY, directory.encode())
    assert client.last_directory() == DirectoryPosition(1, MANY, directory.digest)
    copy = client.fetch_directory(NETWORK, 0)  # of two pieces
    assert (copy.said, copy.directory) == (said, directory.encode())
    again = DirectoryChanges.between(directory, directory)
    assert client.countersign_directory(NETWORK, again, {}, said) == said


def test_what_the_office_refuses_is_raised_as_what_it_is(
    parties: Parties, client: OfficeClient
) -> None:
    summary = summary_of("00" * 32)
    with pytest.raises(PublicationRefused, match="expected none yet"):
        client.countersign_book("00" * 32, summary)
    with pytest.raises(BookRefused, match="not JSON"):
        client.countersign_book("00" * 32, replace(summary, header=b"{"))
    directory = Directory(1, rows(2))
    with pytest.raises(DirectoryRefused, match="got batch 3, expected 0"):  # it is open still
        client.countersign_directory(NETWORK, first(Directory(3, rows(2))), {}, None)
    with pytest.raises(DirectoryRefused, match="no token key"):
        client.countersign_directory(bytes(32), first(directory), {}, None)
    said = client.countersign_directory(NETWORK, first(directory), {}, None)
    same, other = DirectoryChanges.between(directory, directory), TokenShare.generate().public
    with pytest.raises(DirectoryRefused, match="another network"):
        client.countersign_directory(other, same, {}, said)
    with pytest.raises(
        PublicationTooSoon, match=r"0\.0 hours after number 1, expected at least 19"
    ):
        client.countersign_directory(NETWORK, replace(same, batch=2), {}, said)
    forged = replace(said, signature=bytes(64))
    with pytest.raises(PublicationRefused, match="not countersigned"):
        client.countersign_directory(NETWORK, same, {}, forged)
    parties.paused = True
    for call in (
        client.last_directory,
        lambda: client.countersign_book("00" * 32, summary),
        lambda: client.close_seal("00" * 32),
        lambda: list(client.seal_chunk("00" * 32, 0, b"choices")),
    ):
        with pytest.raises(OfficeUnreachable, match="paused"):
            call()


def test_a_withdrawal_and_a_return_are_shown_with_their_evidence(client: OfficeClient) -> None:
    hq = Hq(Registry("sqlite://"))
    hq.apply(Register(0, 0))
    changes, evidence = hq.registry.changes_since(client.last_directory())
    said = client.countersign_directory(NETWORK, changes, evidence, None)
    hq.apply(Withdraw(0, 0))
    hq.apply(Register(0, 1, since=2))
    changes, evidence = hq.registry.changes_since(client.last_directory())
    sent = directory_parts(NETWORK, changes, evidence, said)
    network, read, shown, last = read_directory(sent)
    assert (network, read.encode(), last) == (NETWORK, changes.encode(), said)
    assert dict(shown) == evidence
    assert {slot: one.act for slot, one in evidence.items()} == {
        0: RegistrationAct.WITHDRAW,
        1: RegistrationAct.REGISTER,
    }


def test_no_part_is_more_than_a_mebibyte_and_slots_are_never_cut() -> None:
    some = rows(3)
    added = np.tile(some, (20_000, 1))
    changes = DirectoryChanges("00" * 32, 2**40, np.arange(9, dtype=np.uint32), added)
    evidence = {
        2**27 + slot: Evidence(RegistrationAct.WITHDRAW, 2**40, 2**40, bytes(32), bytes(64))
        for slot in range(9000)
    }
    parts = list(directory_parts(NETWORK, changes, evidence, None))
    assert len(parts) > 4
    assert max(part.ByteSize() for part in parts) <= 2**20
    assert all(len(part.added) % SLOT_BYTES == 0 for part in parts)
    assert b"".join(part.added for part in parts) == added.tobytes()
    assert [one.slot for part in parts for one in part.evidence] == list(evidence)
    assert [part.HasField("head") for part in parts] == [True, *[False] * (len(parts) - 1)]
    assert not parts[0].head.HasField("last")


# --- seals -------------------------------------------------------------------------------------


def summary_of(directory: str) -> BookSummary:
    """A book of a seal that the office never made."""
    header = BookHeader(seal=SEAL, version=1, made_at=1, slots=0, directory=directory)
    return BookSummary(bytes(64), header.encode_header(), "00" * 32)


def over_the_wire(parties: Parties, client: OfficeClient, slots: int) -> HqBench:
    """HQ and a directory of a few customers and many keys of nobody, at an office behind gRPC."""
    customers = tuple(range(5))
    few = rows_of(*customers)
    directory = Directory(1, np.concatenate([few, rows(slots - len(few))]))
    client.countersign_directory(NETWORK, first(directory), {}, None)
    at = SealBench(customers=(*customers, *[None] * (slots - len(few))), names=tuple("abc"))
    at.bench.keys = {name: ring.identity().signing for name, ring in parties.outlets.items()}
    at.bench.clock = Clock(time.time())
    at.bench.listed, at.bench.directory = directory, directory.digest
    made = HqBench(at)
    made.office = client  # type: ignore[assignment]
    lines = [PlannedReleases(Purpose.POINTS, 2, None)]
    cut_off = at.bench.cut_off
    at.night = lambda name="n1", count=2: client.sign_night(name, cut_off, lines)  # type: ignore[method-assign]
    return made


def test_a_seal_goes_over_the_wire_in_parts_and_then_its_book_is_countersigned(
    parties: Parties, client: OfficeClient
) -> None:
    hq = over_the_wire(parties, client, 2500)
    seal = hq.seal()
    assert hq.codes(seal)[:5] == hq.clear(seal, "abc")[:5]
    listed, signing = hq.at.bench.listed, parties.hq.identity().signing
    made = hq.entries(seal).book(version=1, made_at=1, directory=listed.digest, blank=listed.blank)
    signed = sign_book(made, signing)
    said = client.countersign_book(listed.digest, signed.summary)
    key = parties.office.identity().card.verify_key
    check_published(said, key, PublicationKind.BOOK, signed.summary.encode())
    assert client.countersign_book(listed.digest, signed.summary) == said
    other = replace(made, made_at=2)
    with pytest.raises(PublicationRefused, match="which was countersigned for directory number 1"):
        client.countersign_book(listed.digest, sign_book(other, signing).summary)


def test_what_the_office_refuses_of_a_seal_is_raised_as_what_it_is(
    parties: Parties, client: OfficeClient
) -> None:
    hq = over_the_wire(parties, client, 6)
    with pytest.raises(PlanRefused, match="expected 2 or 3 multiples of 2"):
        hq.seal("n0", cuts=((1, 3), (5, 7)))
    for call in (
        lambda: client.close_seal("00" * 32),
        lambda: client.store_set("00" * 32, []),
        lambda: list(client.seal_chunk("00" * 32, 0, b"choices")),
    ):
        with pytest.raises(PlanRefused, match="was not signed here"):
            call()
    seal = hq.seal("n1")
    assert seal.signed is not None
    envelopes = [share.envelope for share in hq.given.values()]
    with pytest.raises(AnswerRefused, match="another set") as refused:
        client.store_set(seal.signed.digest, envelopes[1:])
    assert refused.value.outlet is None
    with pytest.raises(ReleaseClosed, match="closed; it is over"):
        list(client.seal_chunk(seal.signed.digest, 0, b"choices"))
    assert client.store_set(seal.signed.digest, envelopes) == seal.set_digest


def test_choices_that_were_cut_off_on_the_wire_are_sent_again_and_end_nothing(
    parties: Parties, client: OfficeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hq = over_the_wire(parties, client, 6)
    with monkeypatch.context() as patched:
        cut = "server.hq.office_client.choice_parts"
        patched.setattr(cut, lambda plan, chunk, _all: choice_parts(plan, chunk, b"too short"))
        with pytest.raises(InvalidParameter, match="got 9 bytes, expected"):
            hq.seal()
    assert hq.codes(seal := hq.seal()) == hq.clear(seal, "".join(seal.outlets))


def test_choices_travel_in_parts_below_a_mebibyte_and_the_first_says_of_which_chunk() -> None:
    choices = bytes(range(256)) * 12_000
    parts = list(choice_parts("ab" * 32, 7, choices))
    assert len(parts) == 3
    assert max(part.ByteSize() for part in parts) <= 2**20
    assert b"".join(part.data for part in parts) == choices
    assert [(part.plan_digest, part.chunk) for part in parts] == [("ab" * 32, 7), ("", 0), ("", 0)]


def test_a_client_shows_the_last_statement_that_hq_has(
    parties: Parties, client: OfficeClient
) -> None:
    directory = Directory(1, rows(1))
    said = client.countersign_directory(NETWORK, first(directory), {}, None)
    ahead = Publication(PublicationKind.DIRECTORY, 41, directory.digest, directory.digest, 1)
    lost = countersign(ahead, parties.office.identity().signing)
    same = DirectoryChanges.between(directory, directory)
    again = client.countersign_directory(NETWORK, same, {}, lost)
    assert Publication.decode(said.payload).number == 1
    assert Publication.decode(again.payload).number == 42
