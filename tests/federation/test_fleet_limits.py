"""One outlet at the outlets' port cannot take what others need: real TLS, real sockets."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node

from features.protocol import app_digest
from privacy.identity import Identity, PartyKind
from server.hq import fleet_limits
from server.hq.fleet_limits import (
    CALLS_AN_OUTLET,
    CONNECTIONS_A_CERTIFICATE,
    OBJECTS_AN_OUTLET,
)
from server.hq.superlink import SuperLink
from tests.federation import fleet_calls
from tests.federation.fleet_calls import begun, connected, status_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

pytestmark = pytest.mark.federation

NOW = dt.datetime.now(dt.UTC)
HQ = Identity.generate(PartyKind.HQ, "hq", "127.0.0.1:0", NOW)
HOG, OTHER = (Identity.generate(PartyKind.OUTLET, name, "", NOW) for name in ("hog", "other"))
ANSWER = 200_000
"""Bytes of the night's largest masked vector."""

SERVED = 200
"""An answer that reached Flower, whatever Flower makes of it."""


class Port:
    """A night's port, and who calls there."""

    def __init__(self, stack: ExitStack) -> None:
        cards = {one.card.name: one.card for one in (HOG, OTHER)}
        self.link = SuperLink(cards, app_digest(), 1.0, ANSWER)
        stack.callback(self.link.close)
        self._stack, self._port = stack, self.link.listen(HQ, "127.0.0.1", 0)
        numbers = {name: number for number, name in self.link.names.items()}
        self.nodes = {one.card.name: numbers[one.card.name] for one in (HOG, OTHER)}

    def connect(self, identity: Identity) -> ssl.SSLSocket:
        return self._stack.enter_context(connected(self._port, identity, HQ.card))

    def begin(
        self, identity: Identity, path: str = "push-object", of: int = ANSWER
    ) -> ssl.SSLSocket:
        connection = self.connect(identity)
        begun(connection, identity, path, of)
        return connection

    def answered(self, identity: Identity) -> int:
        """The status of a whole answer."""
        node = Node(node_id=self.nodes[identity.card.name])
        run = self.link.grid.run.run_id
        body = PushObjectRequest(node=node, run_id=run, object_content=bytes(ANSWER // 2))
        connection = self.begin(identity, of=body.ByteSize())
        connection.sendall(body.SerializeToString())
        return status_of(connection)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_answers_that_stall_are_refused_and_others_are_served_meanwhile(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fleet_limits, "STALL_SECONDS", 1.0)
    port, began = Port(stack), time.monotonic()
    stalled = [port.begin(HOG) for _ in range(OBJECTS_AN_OUTLET)]
    for connection in stalled:
        connection.sendall(bytes(100))
    time.sleep(0.2)
    assert status_of(port.begin(HOG)) == 429  # one more than it may
    assert port.answered(OTHER) == SERVED
    assert time.monotonic() - began < 1.0
    assert [status_of(connection) for connection in stalled] == [408, 408]
    assert time.monotonic() - began > 1.0
    assert "outlet hog: asks for one more while 2 answers are in flight; refused" in caplog.text
    assert port.answered(HOG) == SERVED  # its places are free again


def test_an_answer_that_trickles_is_refused_though_it_never_stalls(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_limits, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(fleet_limits, "SLOWEST_BYTES", ANSWER)  # so all of it within 1.5 s
    trickle = Port(stack).begin(HOG)
    trickle.settimeout(0.2)
    began = time.monotonic()
    while True:
        trickle.sendall(b"x")
        try:
            status = status_of(trickle)
        except TimeoutError:
            assert time.monotonic() - began < 5
            continue
        break
    assert status == 408
    assert 1.4 < time.monotonic() - began < 2.5


def test_bodies_in_flight_never_have_more_bytes_than_there_are_and_each_gets_its_turn(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_limits, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(fleet_limits, "ANSWERS_AT_ONCE", 1)
    monkeypatch.setattr(fleet_limits, "LEAST_BYTES", ANSWER)
    port = Port(stack)
    stalled = port.begin(HOG, of=ANSWER + 2**16)  # all the room there is
    time.sleep(0.2)
    began = time.monotonic()
    assert port.answered(OTHER) == SERVED  # after it has waited for its turn
    assert 0.5 < time.monotonic() - began < 3
    assert status_of(stalled) == 408


def test_who_waits_in_vain_for_room_is_told_so(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_limits, "TURN_SECONDS", 0.3)
    monkeypatch.setattr(fleet_limits, "ANSWERS_AT_ONCE", 1)
    monkeypatch.setattr(fleet_limits, "LEAST_BYTES", ANSWER)
    port = Port(stack)
    held = port.begin(HOG, of=ANSWER + 2**16)
    time.sleep(0.2)
    assert status_of(port.begin(OTHER)) == 503
    held.close()
    assert port.answered(OTHER) == SERVED  # nothing stays promised to who is gone, or gave up


def test_many_calls_of_one_outlet_keep_no_other_out(stack: ExitStack) -> None:
    port = Port(stack)
    calls = [port.begin(HOG, "pull-messages", 100) for _ in range(CALLS_AN_OUTLET - 1)]
    calls += [port.begin(HOG)]
    time.sleep(0.3)
    assert port.answered(OTHER) == SERVED
    more = connected_too_many(port)
    assert port.answered(OTHER) == SERVED
    assert more == 0


def connected_too_many(port: Port) -> int:
    """What one connection more than a certificate may have answers."""
    one = port.connect(HOG)
    try:
        begun(one, HOG, "pull-messages", 0)
    except ConnectionError:
        return 0
    return status_of(one)


def test_a_place_is_free_again_once_its_connection_is_gone(stack: ExitStack) -> None:
    port = Port(stack)
    for _ in range(2 * CONNECTIONS_A_CERTIFICATE):
        port.begin(HOG).close()
    time.sleep(0.3)
    assert port.answered(HOG) == SERVED


def test_a_body_that_says_it_is_too_large_is_refused_before_a_byte_of_it_came(
    stack: ExitStack,
) -> None:
    port = Port(stack)
    assert [status_of(port.begin(HOG, of=size)) for size in (ANSWER + 2**17, 2**40)] == [413, 413]


@pytest.mark.parametrize("forgery", ["another's key", "a stranger's key", "an old call's headers"])
def test_who_does_not_prove_its_node_key_is_refused_before_its_body_is_read(
    stack: ExitStack, forgery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the certificate of an outlet that is on the list."""
    port, claims = Port(stack), HOG
    if forgery == "another's key":
        claims = replace(HOG, card=OTHER.card)
    elif forgery == "a stranger's key":
        claims = Identity.generate(PartyKind.OUTLET, "hog", "", NOW)
    else:
        monkeypatch.setattr(fleet_calls, "now", lambda: NOW - dt.timedelta(hours=1))
    connection = port.connect(HOG)
    begun(connection, claims, "push-object", ANSWER)
    assert status_of(connection) == 401
