"""Look-ups beside others: on the desk's socket, in threads, while other processes write."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from contextlib import closing

import grpc
import pytest

from outlet_client.bands.lookup import A_PERSON_LOOKS, Status
from outlet_client.desk.socket_service import DeskService, start_desk
from outlet_client.log_tables.rights_store import RIGHTS_FILE, rights_of
from outlet_client.records.customer_requests import NewRequest, RequestKind, receive
from server.wire import outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import read_refusal
from tests.outlet_client.fake_network import network
from tests.outlet_client.lookup_shop import (
    ANNA,
    ANNAS_SLOT,
    ASKED,
    BEN,
    NOW,
    PRIORITY,
    Shop,
    elsewhere,
    shop,
)

__all__ = ["network", "shop"]


def test_the_desk_answers_on_a_socket_for_its_owner_only(shop: Shop) -> None:
    network = shop.network
    server = start_desk(DeskService(shop.look, network.services, network.pinned), shop.home)
    socket = shop.home / "desk.sock"
    assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        desk = outlets_pb2_grpc.DeskStub(channel)
        who = {"by": "mei", "purpose": "sale"}
        known = desk.Lookup(outlets_pb2.LookupRequest(phone=ANNA, **who))
        assert (known.status, known.as_of) == ("known", "2026-03-01")
        assert known.bands[0].allows == PRIORITY
        asked = outlets_pb2.LookupRequest(phone=BEN, by="mei", purpose="service")
        assert desk.Lookup(asked).status == "consent needed"
        consent = outlets_pb2.LookupRequest(phone=BEN, consent_notice="n", **who)
        assert desk.Lookup(consent).bands[0].band == "eligible"
        shop.store(shop.published(shop.book(2, marked=(ANNAS_SLOT,))))
        assert not known.many_outlets
        marked = desk.Lookup(outlets_pb2.LookupRequest(phone=ANNA, **who))
        assert marked.many_outlets
        assert {(band.band, band.allows) for band in marked.bands} == {("new", A_PERSON_LOOKS)}
        with pytest.raises(grpc.RpcError) as caught:
            desk.Lookup(outlets_pb2.LookupRequest(email="nobody", **who))
        refusal = read_refusal(caught.value)
        assert refusal is not None
        assert refusal.type == "NoIdentifier"
        for missing in ({"by": "mei"}, {"purpose": "sale"}, {"by": "mei", "purpose": "fun"}):
            with pytest.raises(grpc.RpcError) as caught:
                desk.Lookup(outlets_pb2.LookupRequest(phone=ANNA, **missing))
            refusal = read_refusal(caught.value)
            assert refusal is not None
            assert refusal.type == "NotAsked"
    server.stop(None).wait()
    assert shop.log(ANNA) == [("mei", "sale", "known")] * 2
    assert shop.log(BEN) == [("mei", "service", "consent needed"), ("mei", "sale", "known")]
    consents = shop.people.consents().filter(key=shop.key(BEN))
    assert consents["recorded_by"].to_list() == ["mei"]


def test_a_look_up_waits_for_no_night_that_writes_the_outlets_database(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.home / "outlet.db", isolation_level=None)) as night:
        night.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert shop.another().look_up(ANNA, None, ASKED).status is Status.KNOWN
        assert time.monotonic() - began < 5


def test_what_another_process_writes_counts_from_the_next_look_up_on(shop: Shop) -> None:
    key = shop.key(ANNA)
    columns = "kind, key, received, due, taken_by, about"
    dispute = f"INSERT INTO requests ({columns}) VALUES ('dispute', ?, ?, ?, 'mei', '')"  # noqa: S608  (our own names)
    moved = "UPDATE people SET state = ? WHERE key = ?"
    found = [shop.look.look_up(ANNA, None, ASKED).status]
    for file, statement, cells in (
        (RIGHTS_FILE, dispute, (key, "2026-03-02", "2026-04-01")),
        (RIGHTS_FILE, "UPDATE requests SET answered = ?", (NOW.isoformat(),)),
        ("outlet.db", moved, ("withdrawing", key)),
        ("outlet.db", moved, ("listed", key)),
    ):
        elsewhere(shop.home / file, statement, *cells)
        found.append(shop.look.look_up(ANNA, None, ASKED).status)
    known, gone = Status.KNOWN, Status.NOT_IN_NETWORK
    assert found == [known, Status.UNDER_REVIEW, known, gone, known]


def test_a_dispute_under_a_key_that_another_process_typed_beside_is_one(shop: Shop) -> None:
    mail = shop.people.local_key("mailto:anna@example.com")
    taking = NewRequest(NOW.date(), 30, "mei")
    with rights_of(shop.home) as connection:
        receive(connection, RequestKind.DISPUTE, mail, taking)
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.KNOWN
    beside = "INSERT INTO consent_keys VALUES (?, ?)"
    elsewhere(shop.home / "outlet.db", beside, shop.key(ANNA), mail)
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.UNDER_REVIEW


def test_many_threads_may_look_up_while_books_change(shop: Shop) -> None:
    found: set[str] = set()

    def ask() -> None:
        for _ in range(30):
            found.add(shop.look.look_up(ANNA, None, ASKED).bands[0].band)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 6):
        shop.store(shop.published(shop.book(version)))
    for thread in threads:
        thread.join()
    assert found == {"priority"}
