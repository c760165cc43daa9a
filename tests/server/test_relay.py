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
from privacy.registrations import SEALED_BYTES, Registration, RegistrationRefused, fresh_secret
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare
from server.hq.office_client import OfficeClient
from server.office.relay import MOST_SUBMISSIONS, Relay
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc
from tests.builders import Clock
from tests.server.test_holder import Parties, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES = 4
NOTHING: tuple[int, list[bytes], int] = (0, [], 0)


def submission(count: int = MESSAGES) -> list[bytes]:
    """What sealed messages look like to the office: random bytes."""
    return [secrets.token_bytes(SEALED_BYTES) for _ in range(count)]


def opened(
    url: str = "sqlite://", messages: int = MESSAGES, hours: float = 0, clock: Clock | None = None
) -> Relay:
    return Relay(url, messages, 3, hours, clock or Clock())


@pytest.fixture
def relay() -> Relay:
    return opened()


def fill(relay: Relay, names: str = "abc") -> dict[str, list[bytes]]:
    """A submission of each outlet for the open batch."""
    batch = relay.open_batch().batch
    handed = {name: submission() for name in names}
    for name, sealed in handed.items():
        relay.submit(name, batch, sealed)
    return handed


def test_two_outlets_are_not_enough_and_three_are(relay: Relay) -> None:
    handed = fill(relay, "ab")
    relay.submit("a", 1, submission())  # a second submission of one outlet is no third outlet
    assert relay.collect(0) == NOTHING
    assert relay.open_batch()[:2] == (1, MESSAGES)
    handed |= fill(relay, "c")
    batch, sealed, _ = relay.collect(0)
    assert batch == 1
    assert len(sealed) == 4 * MESSAGES
    assert relay.open_batch()[:2] == (2, MESSAGES)
    assert {one for some in handed.values() for one in some} <= set(sealed)


def test_a_batch_holds_exactly_what_was_submitted_in_another_order() -> None:
    relay = opened(messages=200)
    handed = [submission(200) for _ in range(3)]
    for name, sealed in zip("abc", handed, strict=True):
        relay.submit(name, 1, sealed)
    flat = [one for sealed in handed for one in sealed]
    collected = relay.collect(0).sealed
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
    assert relay.collect(2) == NOTHING


def test_an_hq_that_went_back_is_told_how_far_batches_are_gone_and_goes_on_after_them(
    relay: Relay,
) -> None:
    for after in range(3):
        fill(relay)
        relay.collect(after)
    relay.collect(3)  # batches 1 to 3 were applied
    assert [relay.collect(after) for after in (0, 1, 2)] == [(0, [], 3)] * 3
    fill(relay)
    assert relay.collect(1) == (0, [], 3)  # and it closes no batch for an HQ that went back
    assert relay.collect(3).batch == 4
    assert relay.collect(2) == (0, [], 3)  # batch 4 is held, until HQ asks for the one after
    assert relay.collect(3).batch == 4


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
    relay = opened(f"sqlite:///{file}")
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
        return opened(url)

    fill(reborn(), "ab")
    assert reborn().collect(0) == NOTHING
    fill(reborn(), "c")
    first = reborn().collect(0)
    assert reborn().open_batch()[0] == 2
    assert reborn().collect(0) == first


def test_a_restored_office_that_never_closed_a_batch_begins_where_hq_is(relay: Relay) -> None:
    fill(relay)
    assert relay.collect(7) == NOTHING
    assert relay.open_batch()[0] == 8
    fill(relay)
    assert relay.collect(7)[0] == 8


@pytest.mark.parametrize(
    ("directory", "most"), [(None, 100_000), (0, 400), (7, 407), (2**32 - 1, 2**32 + 399)]
)
def test_hq_does_not_move_the_number_of_the_batch_to_where_nobody_comes(
    relay: Relay, directory: int | None, most: int
) -> None:
    """Outlets would wait for that batch for ever, and beyond 2**32 - 1 there is no directory."""
    for after in (most + 1, 2**40, 2**63 - 1, 2**64 - 1):
        with pytest.raises(RegistrationRefused, match=f"expected at most {most} by the directory"):
            relay.collect(after, directory)
        assert relay.open_batch()[0] == 1
    assert relay.collect(most, directory) == NOTHING
    assert relay.open_batch()[0] == most + 1


def test_the_size_of_each_batch_that_was_closed_here_stays_known(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'relay.db'}"
    relay = opened(url)
    assert relay.sizes() == {}
    relay.collect(7)
    fill(relay)
    relay.collect(7)
    fill(relay, "abcd")
    relay.submit("a", 9, submission())
    relay.collect(8)
    relay.collect(9)  # forgets what was in both
    assert opened(url).sizes() == {8: 3 * MESSAGES, 9: 5 * MESSAGES}


def test_hq_cannot_erase_submissions_or_move_the_batch_by_naming_one_that_was_never_closed(
    relay: Relay,
) -> None:
    fill(relay)
    first = relay.collect(0)
    handed = fill(relay, "ab")
    for after in (2, 3, 2**40, 2**64 - 1):
        with pytest.raises(RegistrationRefused, match=f"batch {after}: never closed here"):
            relay.collect(after)
    assert relay.open_batch()[0] == 2
    assert relay.collect(0) == first
    handed |= fill(relay, "c")
    assert {one for some in handed.values() for one in some} == set(relay.collect(1)[1])


# --- hours between closings -------------------------------------------------------------------


def test_a_batch_is_closed_so_many_hours_after_the_last_and_not_before(tmp_path: Path) -> None:
    clock, url = Clock(), f"sqlite:///{tmp_path / 'relay.db'}"
    relay = opened(url, hours=20, clock=clock)
    fill(relay)
    first = relay.collect(0)  # there was none before it
    assert first[0] == 1
    assert relay.collect(0) == first
    handed = fill(relay)
    for hours in (0, 19.99):
        clock.at = Clock().at + hours * 3600
        reborn = opened(url, hours=20, clock=clock)  # when the last was closed survives a restart
        assert reborn.collect(1) == NOTHING
        assert reborn.open_batch()[:2] == (2, MESSAGES)
        handed |= fill(reborn, "ab")
    clock.at = Clock().at + 20 * 3600
    batch, sealed, _ = opened(url, hours=20, clock=clock).collect(1)
    assert batch == 2
    assert {one for some in handed.values() for one in some} <= set(sealed)


def test_hours_alone_close_no_batch() -> None:
    clock = Clock()
    relay = opened(hours=20, clock=clock)
    fill(relay)
    relay.collect(0)
    fill(relay, "ab")
    clock.at += 200 * 3600
    assert relay.collect(1) == NOTHING
    fill(relay, "c")
    assert relay.collect(1)[0] == 2


def test_hours_are_counted_from_the_last_closing_and_not_from_the_first() -> None:
    clock = Clock()
    relay = opened(hours=20, clock=clock)
    for batch in range(3):
        fill(relay)
        assert relay.collect(batch)[0] == batch + 1
        clock.at += 20 * 3600
    clock.at -= 1
    fill(relay)
    assert relay.collect(3) == NOTHING


def test_a_clock_that_was_far_ahead_does_not_stop_the_relay() -> None:
    clock = Clock()
    relay = opened(hours=20, clock=clock)
    clock.at += 365 * 86400
    fill(relay)
    relay.collect(0)
    clock.at -= 365 * 86400
    fill(relay)
    assert relay.collect(1)[0] == 2


# --- over the wire ----------------------------------------------------------------------------


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack, messages=3100)


def test_registrations_reach_hq_over_the_wire_in_pieces(parties: Parties) -> None:
    address, key = parties.run(PartyKind.OFFICE), SealKey.generate()
    hq_channel = parties.channel(parties.hq, PartyKind.OFFICE, address)
    hq = OfficeClient(hq_channel, 20)
    network, slot_key = TokenShare.generate().public, SlotKey.of(secrets.token_bytes(32))
    real = Registration.register(network, slot_key, fresh_secret(), 1)
    for ring in parties.outlets.values():
        assert hq.collect_batch(0) == NOTHING  # of two outlets neither: the office's own minimum
        stub = outlets_pb2_grpc.RelayStub(parties.channel(ring, PartyKind.OFFICE, address))
        opened = stub.OpenBatch(outlets_pb2.OpenBatchRequest(), timeout=20)
        assert (opened.batch, opened.messages) == (1, 3100)
        sealed = [real.sealed(key.public), *submission(opened.messages - 1)]
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
    batch, collected, _ = hq.collect_batch(0)
    assert (batch, len(collected)) == (1, 9300)
    found = 0
    for one in collected:
        try:
            found += Registration.opened(one, key, network, 1) == real
        except RegistrationRefused:
            continue
    assert found == 3
    assert hq.collect_batch(1) == NOTHING
    assert hq.collect_batch(0) == (0, [], 1)
