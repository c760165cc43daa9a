"""The office's clock and ledger, held against HQ's: nothing is signed where they part."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa

from privacy.budget import Ledger, LedgerAct, LedgerAhead, LedgerForked, LedgerPosition
from privacy.errors import ClocksApart
from privacy.identity import PartyKind
from privacy.loss import Rho
from privacy.plans import NightPlan, PlannedReleases
from privacy.purposes import Purpose
from server.hq.ledger_witness import check_planned
from server.hq.office_client import OfficeClient
from server.hq.registry import Registry
from server.office.clock import MOST_AHEAD, MOST_APART
from server.office.ledger_store import OfficeStore
from server.office.reconciliation import reconcile
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import LEDGER_KEY, TIME_KEY
from tests.builders import Bench, Clock, store_at
from tests.server.test_holder import Parties, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY, YEAR = 86_400, 365 * 86_400
LINE = (PlannedReleases(Purpose.MOMENTS, 1, Rho(1, 1000)),)
POLICY = OfficeSettings().policy()


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


class Wire:
    """A running office, and HQ's way to it with a copy of the ledger and a clock of its own."""

    def __init__(self, parties: Parties) -> None:
        self.parties, self.off = parties, 0.0
        self.address = parties.run(PartyKind.OFFICE)
        self.channel = parties.channel(parties.hq, PartyKind.OFFICE, self.address)
        self.copy = Registry("sqlite://")
        self.hq = OfficeClient(self.channel, 20, self.copy, lambda: time.time() + self.off)

    @property
    def cut_off(self) -> str:
        at = time.time() - 180 * DAY
        return time.strftime("%Y-%m-%d", time.gmtime(at))

    def night(self, name: str) -> object:
        return self.hq.sign_night(name, self.cut_off, LINE)

    def ledger(self) -> Ledger:
        place = self.parties.office.folder / "office.db"
        store = OfficeStore(f"sqlite:///{place}", POLICY)
        found = store.ledger()
        store.close()
        return found


@pytest.fixture
def wire(parties: Parties) -> Wire:
    return Wire(parties)


# --- time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [MOST_APART + 5, -MOST_APART - 5, YEAR, -YEAR])
def test_beyond_five_minutes_nothing_is_signed_and_both_times_are_said(
    wire: Wire, off: float
) -> None:
    wire.off = off
    said = r"the privacy office's says 20\d\d-.*Z, HQ's says 20\d\d-.*Z, .* apart, expected at most"
    with pytest.raises(ClocksApart, match=said):
        wire.night("n1")
    assert wire.ledger().length == 0
    wire.off = (MOST_APART - 30) * (1 if off > 0 else -1)
    wire.night("n1")
    assert wire.ledger().length == 1


def test_whatever_is_signed_unlocked_or_closed_is_refused_by_a_clock_that_is_off(
    wire: Wire,
) -> None:
    stub, night = office_pb2_grpc.OfficeStub(wire.channel), wire.night("n1")
    assert night
    calls: dict[str, Callable[..., object]] = {
        "SignNight": lambda **how: stub.SignNight(office_pb2.SignNightRequest(night="n"), **how),
        "SignRelease": lambda **how: stub.SignRelease(office_pb2.SignReleaseRequest(), **how),
        "SignSeal": lambda **how: stub.SignSeal(office_pb2.SignReleaseRequest(), **how),
        "Unlock": lambda **how: list(stub.Unlock(office_pb2.UnlockRequest(), **how)),
        "StoreSet": lambda **how: stub.StoreSet(office_pb2.UnlockRequest(), **how),
        "SealChunk": lambda **how: list(stub.SealChunk(iter([]), **how)),
        "CloseSeal": lambda **how: stub.CloseSeal(office_pb2.CloseSealRequest(), **how),
        "CloseNight": lambda **how: stub.CloseNight(office_pb2.CloseNightRequest(), **how),
        "CountersignDirectory": lambda **how: stub.CountersignDirectory(iter([]), **how),
        "CountersignBook": lambda **how: stub.CountersignBook(
            office_pb2.CountersignBookRequest(), **how
        ),
    }
    before, late = wire.ledger(), str(int(time.time()) + YEAR)
    for name, call in calls.items():
        for metadata, why in (
            (((TIME_KEY, late),), "clock: the privacy office's says"),
            ((), "says no time"),
            (((TIME_KEY, "1" * 40),), "says no time"),
            (((TIME_KEY, "-5"),), "says no time"),
        ):
            _, message = refused(lambda: call(timeout=20, metadata=metadata))  # noqa: B023
            assert why in message, (name, message)
    assert wire.ledger() == before


def test_by_a_clock_that_nobody_confirmed_nothing_is_entered(tmp_path: Path) -> None:
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    bench.night()
    before = bench.store.ledger()
    bench.clock.at += 400 * DAY  # the plan has expired by it
    bench.office.tidy()
    assert bench.store.ledger() == before
    bench.clock.at -= 400 * DAY
    bench.night("night-2")


def test_a_ledger_that_is_ahead_gets_nothing_signed_until_an_operator_says_so() -> None:
    bench = Bench()
    bench.night()
    bench.clock.at += 400 * DAY
    bench.office.close_night("night-1")  # HQ's clock was as wrong
    bench.clock.at -= 400 * DAY
    for _ in range(2):
        with pytest.raises(LedgerAhead, match="escapement-office ledger set-clock"):
            bench.night("night-2")
    wrong, noted = bench.store.ledger(), list[str]()
    office = bench.office
    bench.office = replace(
        office, clock_was_ahead=lambda: True, clock_is_set=lambda: noted.append("set")
    )
    bench.night("night-2")
    after = bench.store.ledger()
    assert after.entries[wrong.length].act is LedgerAct.CLOCK
    assert after.entries[wrong.length].at == int(bench.clock.at)
    assert noted == ["set"]
    bench.office = office
    bench.night("night-3")


def test_what_a_clock_that_was_ahead_kept_stops_no_later_night() -> None:
    bench = Bench()
    bench.clock.at += 400 * DAY
    bench.night()  # of a cut-off in a year
    bench.clock.at -= 400 * DAY
    office = bench.office
    bench.office = replace(office, clock_was_ahead=lambda: True)
    night = bench.night("night-2")
    assert bench.office.sign_release(bench.draft(night)).payload


def test_a_clock_that_was_set_right_by_minutes_stops_nothing() -> None:
    bench = Bench()
    bench.night()
    bench.clock.at -= MOST_AHEAD
    bench.night("night-2")
    bench.clock.at -= 1
    with pytest.raises(LedgerAhead):
        bench.night("night-3")


# --- history ----------------------------------------------------------------------------------


def test_hq_has_every_entry_once_the_office_has_answered(wire: Wire) -> None:
    for number in range(3):
        wire.night(f"n{number}")
        assert wire.copy.ledger_copy().entries == wire.ledger().entries
        wire.hq.close_night(f"n{number}")
        assert wire.copy.ledger_copy().entries == wire.ledger().entries
    assert wire.copy.ledger_copy().plan is not None
    assert wire.copy.ledger_position() == wire.ledger().position


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_ledger_from_yesterday_is_refused_at_every_call_and_nothing_is_entered(
    parties: Parties, wire: Wire, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number in range(3):
        wire.night(f"n{number}")
        wire.hq.close_night(f"n{number}")
    truth = wire.ledger()
    other = Wire(parties_of(parties, "restored", truth, kept))
    other.copy.keep_entries(truth.entries)
    for night in range(3):
        with pytest.raises(LedgerForked, match="escapement-office ledger reconcile FILE"):
            other.night(f"later-{night}")
        other.hq.close_night(f"later-{night}")  # the night's end changes nothing either
        assert other.ledger().entries == truth.entries[:kept]
    stub = office_pb2_grpc.OfficeStub(other.channel)
    known = (LEDGER_KEY, f"{truth.length} {truth.head}")
    metadata = ((TIME_KEY, str(int(time.time()))), known)
    request = office_pb2.UnlockRequest(plan_digest="a")
    _, message = refused(lambda: list(stub.Unlock(request, timeout=20, metadata=metadata)))
    assert "does not go on from entry 6" in message
    place = other.parties.office.folder / "office.db"
    store = OfficeStore(f"sqlite:///{place}", POLICY)
    office = other.parties.office.identity().card.verify_key
    copies = [wire.copy.ledger_copy()]
    # The plan is the first office's: in this test they are two, so it proves nothing here.
    copies = [type(copies[0])("HQ", copies[0].entries)]
    done = reconcile(store, copies, office, ["a", "b"], int(time.time()))
    store.close()
    assert (done.before, done.lost) == (kept, False)
    assert other.ledger().entries[:6] == truth.entries
    other.night("after")
    assert other.copy.ledger_copy().entries == other.ledger().entries


def parties_of(parties: Parties, name: str, truth: Ledger, kept: int) -> Parties:
    """Another network whose office has the first entries of a ledger."""
    folder = parties.folder / name
    folder.mkdir()
    made = Parties(folder, parties.stack)
    store = OfficeStore(f"sqlite:///{made.office.folder / 'office.db'}", POLICY)
    with store.transaction() as transaction:
        transaction.append(Ledger.of(POLICY, truth.entries[:kept]))
    store.close()
    return made


def test_a_ledger_begun_anew_is_refused_however_long_it_grows(wire: Wire) -> None:
    own = Ledger(POLICY).reserve("x", {Purpose.MOMENTS: Rho(1, 1000)}, int(time.time()))
    wire.copy.keep_entries(own.entries)
    with pytest.raises(LedgerForked):
        wire.night("n1")
    assert wire.ledger().length == 0
    wire.copy.forget_ledger()
    wire.night("n1")


def test_hq_follows_no_ledger_that_does_not_go_on_and_no_plan_of_another(wire: Wire) -> None:
    """By itself: an office of an earlier state does not know that it went back."""
    wire.night("n1")
    own = Ledger(POLICY).reserve("x", {Purpose.MOMENTS: Rho(1, 1000)}, int(time.time()))
    longer = wire.ledger().reserve("n2", {Purpose.MOMENTS: Rho(1, 1000)}, int(time.time()))
    for entries in (own.entries, longer.entries):
        wire.copy.forget_ledger()
        wire.copy.keep_entries(entries)
        with pytest.raises(LedgerForked, match="escapement-hq ledger export"):
            wire.hq.follow_ledger()
        assert wire.copy.ledger_position().length == len(entries)
    wire.copy.forget_ledger()
    wire.hq.follow_ledger()
    plan = NightPlan("n", "2026-01-01", LINE, 1, wire.ledger().head, 2**40)
    check_planned(plan, wire.copy)
    for wrong in (replace(plan, ledger_head="a" * 64), replace(plan, ledger_length=2)):
        with pytest.raises(LedgerForked, match="names another ledger"):
            check_planned(wrong, wire.copy)


def test_what_outlets_get_of_the_ledger_is_what_hq_gets(wire: Wire) -> None:
    wire.night("n1")
    wire.hq.close_night("n1")
    channel = wire.parties.channel(wire.parties.outlets["a"], PartyKind.OFFICE, wire.address)
    stub, request = outlets_pb2_grpc.NotaryStub(channel), outlets_pb2.LedgerRequest(after=1)
    [part] = list(stub.Ledger(request, timeout=20))
    assert list(part.entries) == [entry.encode() for entry in wire.ledger().since(1)]
    assert list(stub.Ledger(outlets_pb2.LedgerRequest(after=99), timeout=20)) == []
    hq = office_pb2_grpc.OfficeStub(channel)
    status, _ = refused(lambda: list(hq.FetchLedger(office_pb2.FetchLedgerRequest(), timeout=20)))
    assert status is grpc.StatusCode.PERMISSION_DENIED


# --- bringing back ----------------------------------------------------------------------------


def test_everybody_counts_as_sealed_once_a_ledger_was_brought_back(tmp_path: Path) -> None:
    store = OfficeStore(store_at(f"sqlite:///{tmp_path / 'office.db'}", OFFICE), POLICY)
    bench = Bench()
    bench.night()
    copies = [Registry("sqlite://").ledger_copy()]
    copies = [type(copies[0])("HQ", bench.store.ledger().entries)]
    done = reconcile(store, copies, bench.office_key.public, ["a", "b"], int(Clock().at))
    assert done.charged == {Purpose.MOMENTS: Rho(3, 1000)}
    with store.transaction() as transaction:
        assert transaction.seals.outlets() == {"a", "b"}
    again = reconcile(store, copies, bench.office_key.public, [], int(Clock().at))
    assert (again.before, again.after) == (done.after, done.after)


def test_a_ledger_that_is_lost_everywhere_charges_a_year(tmp_path: Path) -> None:
    store = OfficeStore(store_at(f"sqlite:///{tmp_path / 'office.db'}", OFFICE), POLICY)
    office = Bench().office_key.public
    done = reconcile(store, [], office, [], int(Clock().at), lost=True)
    assert done.lost
    ledger = store.ledger()
    assert [entry.act for entry in ledger.entries] == [LedgerAct.RECONCILE, LedgerAct.LOST]
    assert ledger.remaining(Purpose.MOMENTS, int(Clock().at) + YEAR - 1) == 0
    with store.transaction() as transaction, pytest.raises(sa.exc.IntegrityError):
        transaction.seals.connection.exec_driver_sql("DELETE FROM ledger")
    assert ledger.position == LedgerPosition(2, ledger.head)
