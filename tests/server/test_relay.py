"""What the relay takes, when it hands a batch to HQ, and what it keeps of who sent what."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa

from privacy.envelopes import SealKey
from privacy.identity import PartyKind
from privacy.registrations import SEALED_BYTES, Registration, RegistrationRefused
from server.hq.office_client import OfficeClient
from server.office.relay import MOST_SUBMISSIONS, Relay
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc
from tests.server.test_holder import Parties, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES = 4


def submission(count: int = MESSAGES) -> list[bytes]:
    """What sealed messages look like to the office: random bytes."""
    return [secrets.token_bytes(SEALED_BYTES) for _ in range(count)]


@pytest.fixture
def relay() -> Relay:
    return Relay("sqlite://", MESSAGES, 3)


def fill(relay: Relay, names: str = "abc") -> dict[str, list[bytes]]:
    """A submission of each outlet for the open batch."""
    batch, _ = relay.open_batch()
    handed = {name: submission() for name in names}
    for name, sealed in handed.items():
        relay.submit(name, batch, sealed)
    return handed


def test_two_outlets_are_not_enough_and_three_are(relay: Relay) -> None:
    handed = fill(relay, "ab")
    relay.submit("a", 1, submission())  # a second submission of one outlet is no third outlet
    assert relay.collect(0) == (0, [])
    assert relay.open_batch() == (1, MESSAGES)
    handed |= fill(relay, "c")
    batch, sealed = relay.collect(0)
    assert batch == 1
    assert len(sealed) == 4 * MESSAGES
    assert relay.open_batch() == (2, MESSAGES)
    assert {one for some in handed.values() for one in some} <= set(sealed)


def test_a_batch_holds_exactly_what_was_submitted_in_another_order() -> None:
    relay = Relay("sqlite://", 200, 3)
    handed = [submission(200) for _ in range(3)]
    for name, sealed in zip("abc", handed, strict=True):
        relay.submit(name, 1, sealed)
    flat = [one for sealed in handed for one in sealed]
    _, collected = relay.collect(0)
    assert Counter(collected) == Counter(flat)
    kept = sum(first == second for first, second in zip(flat, collected, strict=True))
    assert kept < 12  # of a random order one on average, 12 at less than 1 in 10^8
    third = collected[:200]
    assert all(len(set(third) & set(own)) > 20 for own in handed)  # 67 on average, sd 5.5


def test_a_repeated_collection_gives_the_same_bytes_until_the_next_is_asked_for(
    relay: Relay,
) -> None:
    fill(relay)
    first = relay.collect(0)
    assert relay.collect(0) == first
    fill(relay)  # for batch 2: it does not disturb batch 1
    assert relay.collect(0) == first
    second = relay.collect(1)
    assert second[0] == 2
    assert not set(second[1]) & set(first[1])
    assert relay.collect(2) == (0, [])
    with pytest.raises(RegistrationRefused, match="batch 2: collected and forgotten"):
        relay.collect(1)


def test_a_message_for_another_batch_is_refused_and_told_which_is_open(relay: Relay) -> None:
    for batch in (0, 2):
        with pytest.raises(RegistrationRefused, match="batch 1 is open"):
            relay.submit("a", batch, submission())
    fill(relay)
    relay.collect(0)
    with pytest.raises(RegistrationRefused, match="got one for batch 1, batch 2 is open"):
        relay.submit("a", 1, submission())


@pytest.mark.parametrize(
    "sealed",
    [
        [],
        submission(MESSAGES - 1),
        submission(MESSAGES + 1),
        [*submission(MESSAGES - 1), bytes(SEALED_BYTES - 1)],
        [*submission(MESSAGES - 1), bytes(SEALED_BYTES + 1)],
        [*submission(MESSAGES - 2), bytes(SEALED_BYTES - 1), bytes(SEALED_BYTES + 1)],
    ],
    ids=["none", "too few", "too many", "too short", "too long", "the same in all"],
)
def test_a_wrong_number_or_size_of_messages_is_refused(relay: Relay, sealed: list[bytes]) -> None:
    with pytest.raises(RegistrationRefused, match=f"expected {MESSAGES} of {SEALED_BYTES} bytes"):
        relay.submit("a", 1, sealed)


def test_the_same_submission_again_is_accepted_and_changes_nothing(relay: Relay) -> None:
    handed = fill(relay)
    relay.submit("a", 1, handed["a"])
    assert len(relay.collect(0)[1]) == 3 * MESSAGES


def test_an_outlet_may_hand_in_four_submissions_for_a_batch(relay: Relay) -> None:
    for _ in range(MOST_SUBMISSIONS - 1):
        relay.submit("a", 1, submission())
    last = submission()
    relay.submit("a", 1, last)
    relay.submit("a", 1, last)
    with pytest.raises(RegistrationRefused, match="has 4 in batch 1"):
        relay.submit("a", 1, submission())
    relay.submit("b", 1, submission())


def test_after_a_collection_nothing_of_the_office_links_an_outlet_to_a_message(
    tmp_path: Path,
) -> None:
    file = tmp_path / "relay.db"
    relay = Relay(f"sqlite:///{file}", MESSAGES, 3)
    handed = {f"outlet-{number}": submission() for number in range(3)}
    for name, sealed in handed.items():
        relay.submit(name, 1, sealed)
    assert b"outlet-1" in file.read_bytes()
    assert b"".join(handed["outlet-1"]) in file.read_bytes()
    relay.collect(0)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    engine = sa.create_engine(f"sqlite:///{file}")
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = {name: connection.execute(sa.select(t)).all() for name, t in tables.tables.items()}
    assert rows.pop("submissions") == []
    for name, sealed in handed.items():
        assert name.encode() not in held
        assert b"".join(sealed) not in held  # nor are an outlet's messages side by side
        assert name not in str(rows)
        assert all(one in held for one in sealed)
    relay.collect(1)
    held = file.read_bytes()
    for sealed in handed.values():
        assert not any(one in held for one in sealed)


def test_a_relay_survives_a_restart_in_every_state(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'relay.db'}"

    def reborn() -> Relay:
        return Relay(url, MESSAGES, 3)

    fill(reborn(), "ab")
    assert reborn().collect(0) == (0, [])
    fill(reborn(), "c")
    first = reborn().collect(0)
    assert reborn().open_batch()[0] == 2
    assert reborn().collect(0) == first


def test_a_restored_office_that_never_closed_a_batch_begins_where_hq_is(relay: Relay) -> None:
    fill(relay)
    assert relay.collect(7) == (0, [])
    assert relay.open_batch()[0] == 8
    fill(relay)
    assert relay.collect(7)[0] == 8


def test_hq_cannot_erase_submissions_or_move_the_batch_by_naming_one_that_was_never_closed(
    relay: Relay,
) -> None:
    fill(relay)
    first = relay.collect(0)
    handed = fill(relay, "ab")
    for after in (2, 3, 2**40):
        with pytest.raises(RegistrationRefused, match=f"batch {after}: never closed here"):
            relay.collect(after)
    assert relay.open_batch()[0] == 2
    assert relay.collect(0) == first
    handed |= fill(relay, "c")
    assert {one for some in handed.values() for one in some} == set(relay.collect(1)[1])


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack, messages=3100)


def test_registrations_reach_hq_over_the_wire_in_pieces(parties: Parties) -> None:
    address, key = parties.run(PartyKind.OFFICE), SealKey.generate()
    hq_channel = parties.channel(parties.hq, PartyKind.OFFICE, address)
    hq = OfficeClient(hq_channel, 20)
    real = Registration.register(secrets.token_bytes(32), secrets.token_bytes(32))
    for ring in parties.outlets.values():
        assert hq.collect_batch(0) == (0, [])  # of two outlets neither: the office's own minimum
        stub = outlets_pb2_grpc.RelayStub(parties.channel(ring, PartyKind.OFFICE, address))
        opened = stub.OpenBatch(outlets_pb2.OpenBatchRequest(), timeout=20)
        assert (opened.batch, opened.messages) == (1, 3100)
        sealed = [real.sealed(key.public, 1), *submission(opened.messages - 1)]
        request = outlets_pb2.SubmitRequest(batch=opened.batch, sealed=sealed)
        stub.Submit(request, timeout=20)
        wrong = outlets_pb2.SubmitRequest(batch=9, sealed=sealed)
        status, message = refused(lambda: stub.Submit(wrong, timeout=20))  # noqa: B023
        assert status is grpc.StatusCode.FAILED_PRECONDITION
        assert "batch 1 is open" in message
    office = office_pb2_grpc.OfficeStub(hq_channel)
    pieces = list(office.CollectBatch(office_pb2.CollectBatchRequest(after=0), timeout=20))
    assert len(pieces) == 2
    assert {piece.batch for piece in pieces} == {1}
    assert all(piece.ByteSize() <= 2**20 for piece in pieces)
    batch, collected = hq.collect_batch(0)
    assert (batch, len(collected)) == (1, 9300)
    found = 0
    for one in collected:
        try:
            found += Registration.opened(one, key, 1) == real
        except RegistrationRefused:
            continue
    assert found == 3
    assert hq.collect_batch(1) == (0, [])
    with pytest.raises(RegistrationRefused, match="forgotten"):
        hq.collect_batch(0)
