"""Copies that were brought back, and stores that were lost: the next night goes on, or says how."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import socket
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from outlet_client.people.people_store import State
from outlet_client.records.access_log import LogAct, record_act_in
from privacy.budget import LedgerAct
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.purposes import Purpose
from sandbox.enrolment import JOIN_SECONDS, address_of
from server.hq.registry import Registry
from tests.federation.nights import (
    CUSTOMERS,
    PATIENT,
    charges,
    end_night,
    last_words,
    night,
    record_of,
)
from tests.networks import small_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.budget import Ledger
    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation


A_YEAR_AHEAD = """
import time, types
import server.office.running as running
running.time = types.SimpleNamespace(time=lambda: time.time() + 400 * 86_400)
"""
"""The office's clock; that of its transport stays right."""


def refused(network: Forked, name: str) -> str:
    """Runs a night that is refused; gives what its record says."""
    with suppress(KeyError):  # it ended before there was anything to read but why
        night(network, name)
    ended = str(record_of(network, name)["ended"])
    assert ended != "complete"
    return ended


def wait_for_office(network: Forked) -> None:
    """Waits until the office listens, which was just started."""
    address = Keyring(network.folder / "office", PartyKind.OFFICE).identity().card.address
    host, _, port = address.rpartition(":")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)


def without_outlets(network: Forked, name: str) -> str:
    """What a night says that ends before an outlet is asked anything; all servers end."""
    home = network.folder / "hq"
    settings = (home / "hq.toml").read_text()
    (home / "hq.toml").write_text(settings.replace(f"join_seconds = {JOIN_SECONDS}",
                                                   "join_seconds = 0.1"))  # fmt: skip
    network.start_office()
    network.start_services()
    done = network.command("escapement-hq", "night", "--name", name, home=home)
    network.stop()
    (home / "hq.toml").write_text(settings)
    assert done.code == 1
    return done.words


def put_back(copy: Path, place: Path) -> None:
    shutil.rmtree(place)
    shutil.copytree(copy, place)


def ask(home: Path, query: str, *values: object) -> list[Any]:
    """Asks an outlet's store, or changes it."""
    with closing(sqlite3.connect(home / "outlet.db")) as database, database:
        return database.execute(query, values).fetchall()


def registry_of(network: Forked) -> Registry:
    return Registry(f"sqlite:///{network.folder / 'hq' / 'hq.db'}")


def comes(network: Forked, customer: str) -> None:
    """Somebody new consents at O1, and tokens are asked for once more today."""
    network.add_newcomer(customer)
    ask(network.outlet("O1"), "DELETE FROM days_asked")


def key_of(network: Forked, customer: str) -> bytes:
    """The public slot key of a customer."""
    return network.slot_keys(pl.Series([customer]))[0].public


def seen_in(ledger: Ledger) -> int:
    """How long the ledger was when its last night was planned, which outlets were told."""
    return max(e.sequence + 1 for e in ledger.entries if e.act is LedgerAct.RESERVE)


def state_of(network: Forked, customer: str) -> State:
    """Where somebody stands at O1."""
    key = key_of(network, customer)
    [(state,)] = ask(network.outlet("O1"), "SELECT state FROM people WHERE slot_key = ?", key)
    return State(state)


# --- the office -------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_office_from_yesterday_is_refused_for_good_until_its_ledger_is_brought_back(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=4, patience=PATIENT)
    office, copy = network.folder / "office", network.folder / "yesterday"
    export = network.folder / "ledger.json"
    night(network, "n1")
    made = network.command("escapement-office", "backup", str(copy), home=office)
    assert made.code == 0, made.words
    night(network, "n2")
    network.stop()
    truth = network.ledger()
    put_back(copy, office)
    yesterday = network.ledger()
    assert yesterday.length < truth.length
    home = network.folder / "hq"
    settings = (home / "hq.toml").read_text()
    quiet = re.sub(r"(train_days|band_days) = 0.0", r"\1 = 9.0", settings)
    assert quiet.count("_days = 9.0") == 2
    for name, due in (("n3", True), ("n4", False)):  # also on a night on which nothing is due
        (home / "hq.toml").write_text(settings if due else quiet)
        ended = refused(network, name)
        assert "LedgerForked" in ended
        assert "escapement-office ledger reconcile FILE" in ended
        (wrong,) = json.loads(network.command("escapement-hq", "status", "--json", home=home).out)[
            "wrong"
        ]
        assert wrong.startswith("ledger: the privacy office's does not go on from entry")
        assert f"found in night {name}" in wrong
    doctor = network.command("escapement-hq", "doctor", home=home)
    assert doctor.code == 1
    assert "✗ the office's ledger: ledger: the privacy office's does not go on" in doctor.words
    export_while_it_runs = network.command("escapement-hq", "ledger", "export", str(export),
                                           home=home)  # fmt: skip
    assert export_while_it_runs.code == 0
    running = network.command("escapement-office", "ledger", "reconcile", str(export), home=office)
    assert (running.code, "stop it and run this again" in running.words) == (1, True)
    (home / "hq.toml").write_text(settings)
    network.stop()
    assert network.ledger() == yesterday
    done = network.command("escapement-hq", "ledger", "export", str(export), home=home)
    assert done.code == 0, done.words
    done = network.command("escapement-office", "ledger", "reconcile", str(export), home=office)
    assert done.code == 0, done.words
    assert "`escapement-hq status` says from which day on" in done.words
    back = network.ledger()
    assert back.entries[: truth.length] == truth.entries
    at = back.not_before(int(time.time()))
    for purpose in (Purpose.TRAINING, Purpose.CALIBRATION):
        assert back.remaining(purpose, at) <= truth.remaining(purpose, at)
    report = night(network, "n5")
    status = json.loads(network.command("escapement-hq", "status", "--json", home=home).out)
    network.stop()
    assert report.ended == "complete", last_words(network.folder / "hq")
    assert status["wrong"] == []
    assert set(charges(network)) > {entry.release for entry in truth.entries if entry.release}


@pytest.mark.slow
def test_an_office_without_its_ledger_and_an_hq_without_its_copy_charge_a_year(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=4, patience=PATIENT)
    hq, office = network.folder / "hq", network.folder / "office"
    night(network, "n1")
    network.stop()
    (office / "office.db").unlink()
    missing = network.command("escapement-office", "serve", home=office)
    assert missing.code != 0
    assert "escapement-office new-store" in missing.words
    made = network.command("escapement-office", "new-store", "--yes", home=office)
    assert made.code == 0, made.words
    begun = network.command("escapement-office", "ledger", "reconcile", "--lost", "--yes",
                            home=office)  # fmt: skip
    assert begun.code == 0, begun.words
    assert "LedgerForked" in refused(network, "n2")  # HQ has a copy
    kept = str(network.folder / "kept.json")
    done = network.command("escapement-hq", "ledger", "accept", kept, "--yes", home=hq)
    assert done.code == 0, done.words
    report = night(network, "n3")
    network.stop()
    assert report.ended == "complete", last_words(hq)
    assert any("budget" in skipped for skipped in report.skipped)
    assert charges(network) == []
    assert network.ledger().remaining(Purpose.TRAINING, int(time.time())) == 0


@pytest.mark.slow
def test_outlets_refuse_for_good_what_hq_takes_and_say_what_they_saw(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=4, patience=PATIENT)
    hq, office = network.folder / "hq", network.folder / "office"
    night(network, "n1")
    network.stop()
    truth, kept = network.ledger(), network.folder / "kept.json"
    with closing(sqlite3.connect(office / "office.db")) as database, database:
        for trigger in ("ledger_no_delete", "ledger_no_update", "ledger_at_end"):
            database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        database.execute("DELETE FROM ledger")
    done = network.command("escapement-hq", "ledger", "accept", str(kept), "--yes", home=hq)
    assert done.code == 0, done.words
    for name in ("n2", "n3"):
        assert "QuorumNotMet" in refused(network, name)
    network.stop()
    log = (network.outlet("O1") / "nightly.log").read_text()
    assert f"the office's ledger went back: it does not go on from entry {seen_in(truth)}" in log
    seen = network.folder / "seen.json"
    done = network.at_outlet("O1", "ledger", "export", str(seen))
    assert done.code == 0, done.words
    failed = network.command("escapement-office", "ledger", "reconcile", str(seen), home=office)
    assert failed.code == 1
    assert "O1 has seen" in failed.words


@pytest.mark.slow
def test_with_an_office_clock_a_year_ahead_nothing_is_signed_and_both_times_are_said(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=4, patience=PATIENT)
    night(network, "n1")
    network.stop()
    before = network.ledger()
    office = network.folder / "office"
    network.start_patched(A_YEAR_AHEAD, "escapement-office", "serve", home=office)
    network.start_services()
    ended = refused(network, "n2")
    assert "ClocksApart: clock: the privacy office's says" in ended
    assert "HQ's says" in ended
    assert "400 days apart" in ended
    network.stop()
    assert network.ledger() == before
    assert night(network, "n3").ended == "complete"
    network.stop()
    assert all(entry.at <= time.time() for entry in network.ledger().entries)


# --- the relay --------------------------------------------------------------------------------


@pytest.mark.slow
def test_where_the_relays_store_is_lost_the_next_batch_opens_and_nothing_waits_for_ever(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=4, patience=PATIENT)
    night(network, "n1")
    comes(network, "C-NEW")
    network.start_outlets()  # they hand in for batch 2, and there is no night
    end = time.monotonic() + 60
    while not ask(network.outlet("O1"), "SELECT 1 FROM submissions WHERE batch = 2 AND delivered"):
        assert time.monotonic() < end, (network.outlet("O1") / "nightly.log").read_text()[-2000:]
        time.sleep(0.05)
    end_night(network)
    network.stop()
    assert state_of(network, "C-NEW") is State.SENT
    (network.folder / "office" / "relay.db").unlink()
    assert night(network, "n2").ended == "complete"
    with closing(registry_of(network)) as registry:
        assert registry.last_batch() == 2
    assert state_of(network, "C-NEW") is State.EVALUATED  # by the directory of batch 2
    ask(network.outlet("O1"), "UPDATE people SET not_before = 3 WHERE not_before > 3")
    assert night(network, "n3").ended == "complete"
    assert state_of(network, "C-NEW") is State.LISTED


# --- HQ ---------------------------------------------------------------------------------------


class LostAtHq:
    """A network of which HQ's store is of yesterday, or gone: what it was, and what it is again."""

    def __init__(self, network: Forked) -> None:
        self.network, self.hq = network, network.folder / "hq"
        with closing(registry_of(network)) as registry:
            self.truth, self.nonces = registry.directory(), registry.home_nonces()
            self.counts = registry.registrations_of_slots().tolist()

    def restore(self) -> None:
        self.network.start_office()
        wait_for_office(self.network)
        done = self.network.command("escapement-hq", "restored", "--yes", home=self.hq)
        self.network.stop()
        assert done.code == 0, done.words

    def nights_bring_back_what_was_lost(self) -> None:
        """The next night is complete, and HQ has all again once outlets have handed it in again."""
        outlets = [self.network.outlet(name) for name in ("O1", "O2", "O3")]
        for home in outlets:  # else the office countersigned its log today already
            record_act_in(home, dt.datetime.now(dt.UTC), LogAct.EXPORT, "test")
        report = night(self.network, "n4")  # outlets hear of the loss at its end
        assert report.ended == "complete", last_words(self.hq)
        with closing(registry_of(self.network)) as registry:
            assert registry.home_nonces() != self.nonces
            open_batch = registry.last_batch() + 1
        for home in outlets:  # as if the week in which they go again were over
            ask(home, "UPDATE people SET again = ? WHERE again IS NOT NULL", open_batch)
        assert night(self.network, "n5").ended == "complete"
        self.network.stop()
        with closing(registry_of(self.network)) as registry:
            assert registry.directory().rows.tobytes() == self.truth.rows.tobytes()
            assert registry.home_nonces() == self.nonces
            assert registry.registrations_of_slots().tolist() == self.counts


@pytest.mark.slow
def test_an_hq_from_yesterday_goes_on_withdrawals_stand_and_it_gets_back_what_it_lost(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=8, patience=PATIENT)
    hq, copy = network.folder / "hq", network.folder / "yesterday.db"
    night(network, "n1")
    network.stop()
    shutil.copy(hq / "hq.db", copy)
    comes(network, "C-NEW")
    leaver = small_world(outlets=3, customers=CUSTOMERS).outlets["O1"].history["customer"][0]
    gone = network.at_outlet("O1", "withdraw", "--email", address_of(leaver))
    assert gone.code == 0, gone.words
    night(network, "n2")
    network.stop()
    lost = LostAtHq(network)
    assert lost.truth.blank.sum() == 1
    shutil.copy(copy, hq / "hq.db")
    assert "escapement-hq restored" in without_outlets(network, "n3")
    lost.restore()
    lost.nights_bring_back_what_was_lost()
    assert state_of(network, leaver) is State.WITHDRAWN


@pytest.mark.slow
def test_an_hq_whose_store_is_gone_and_whose_keys_are_kept_goes_on_with_the_offices_directory(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=8, patience=PATIENT)
    hq = network.folder / "hq"
    night(network, "n1")
    network.stop()
    lost = LostAtHq(network)
    (hq / "hq.db").unlink()
    missing = network.command("escapement-hq", "restored", "--yes", home=hq)
    assert "escapement-hq new-store" in missing.words
    done = network.command("escapement-hq", "new-store", "--yes", home=hq)
    assert done.code == 0, done.words
    lost.restore()
    lost.nights_bring_back_what_was_lost()


# --- an outlet --------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_outlet_from_yesterday_goes_on_and_its_people_go_together_in_no_second_batch(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(trainings=4, patience=PATIENT)
    home, copy = network.outlet("O1"), network.folder / "yesterday"
    night(network, "n1")
    network.stop()
    comes(network, "C-NEW")
    shutil.copytree(home, copy)
    night(network, "n2")
    network.stop()
    put_back(copy, home)
    assert night(network, "n3").ended == "complete"
    network.stop()
    log = (home / "nightly.log").read_text()
    assert "the relay has submissions of this outlet up to batch 2" in log
    [(waits,)] = ask(home, "SELECT not_before FROM people WHERE slot_key = ?",
                     key_of(network, "C-NEW"))  # fmt: skip
    assert 3 <= waits < 10
    answers = ask(home, "SELECT release FROM answers WHERE release LIKE 'n2/%'")
    assert answers == []  # lost; HQ has them, and no plan asks for them again
    assert len(ask(home, "SELECT release FROM answers WHERE release LIKE 'n3/%'")) > 0
