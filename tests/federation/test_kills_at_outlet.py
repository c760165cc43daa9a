"""An outlet's night, killed at one step after another: what is sent once is sent the same again."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import polars as pl
import pytest

from outlet_client.ledger.event_store import EventStore
from outlet_client.night.health_file import Condition, read_health
from outlet_client.night.night_log import NightLog, NightOutcome, NightStep
from outlet_client.people.people_store import People, State
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.log_audit import audit_log
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.federation.dying import KILLED
from tests.federation.nights import (
    CUSTOMERS,
    PATIENT,
    RELEASES,
    assert_sums_of_one_process,
    start_night,
)
from tests.networks import CUT_OFF, small_world

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.federation.forked import Forked

pytestmark = pytest.mark.federation

STEP, PEOPLE = (
    "outlet_client.night.night_journal:NightJournal.step",
    "outlet_client.people.people_store:People",
)
SERVICES = "outlet_client.services:Services"
ANSWERS = "outlet_client.contribution.answer_store:Answers"

# method, before or after it, which call
COMMITTED = ("outlet_client.ledger.event_store:EventStore._save", "after", 1)
BEFORE_HQ_ASKS = [
    (STEP, "before", 1),
    ("outlet_client.ledger.event_store:EventStore._save", "before", 1),
    COMMITTED,
    (STEP, "before", 2),
    (f"{SERVICES}.tokens", "after", 1),
    (f"{PEOPLE}.keep_tokens", "after", 1),
    (f"{PEOPLE}.submission", "after", 1),
    (f"{SERVICES}.submit", "after", 1),
    (f"{PEOPLE}.submitted", "after", 1),
    (STEP, "before", 3),
]
WHILE_HQ_ASKS = [
    (f"{PEOPLE}.follow", "after", 1),
    (f"{ANSWERS}.add", "after", 1),
    ("outlet_client.contribution.contributions:Outlet.answer", "after", 2),
    ("outlet_client.contribution.contributions:Outlet.answer", "after", 4),
]
AFTER_GOODNIGHT = [
    (STEP, "before", 4),
    ("outlet_client.night.night_steps:Nightly.fetch_book", "after", 1),
    (STEP, "before", 5),
    (f"{SERVICES}.countersign", "after", 1),  # the office has stored it, nothing here has
    (f"{SERVICES}.countersign", "after", 2),  # what was lost is kept, tonight's is not
    ("outlet_client.night.night_steps:Nightly.countersign", "after", 1),
    (STEP, "before", 6),
    ("outlet_client.night.night_steps:Nightly.report", "after", 1),
    (STEP, "before", 7),
    ("outlet_client.ledger.event_store:EventStore.purge", "after", 1),
    ("outlet_client.night.night_journal:NightJournal.end", "before", 1),
]

RECORD = """
import hashlib, json
from pathlib import Path
from outlet_client.contribution.contributions import Outlet
from outlet_client.services import Services

def record(kind, name, data):
    with Path({file!r}).open("a") as file:
        file.write(json.dumps([kind, name, hashlib.sha256(data).hexdigest()]) + "\\n")

answer, submit = Outlet.answer, Services.submit

def recorded_answer(self, question):
    share = answer(self, question)
    envelope = share.envelope
    data = share.vector.tobytes() + envelope.sealed_seed + envelope.signature
    record("answer", hashlib.sha256(question["plan"]).hexdigest(), data)
    return share

def recorded_submit(self, batch, sealed):
    record("submission", str(batch), b"".join(sealed))
    return submit(self, batch, sealed)

Outlet.answer, Services.submit = recorded_answer, recorded_submit
"""
DIE = "from tests.federation.dying import die\ndie({where!r}, {when!r}, {number})"


class Victim:
    """The outlet that is killed, and what left it."""

    def __init__(self, network: Forked) -> None:
        self.network = network
        self.home = network.outlet("O1")
        self.sent = network.folder / "sent.jsonl"
        self.starts = 0

    def start(self, *kill: str | int) -> subprocess.Popen[bytes]:
        """Starts its night, to be killed where one says so."""
        patch = RECORD.format(file=str(self.sent))
        if kill:
            patch += DIE.format(where=kill[0], when=kill[1], number=kill[2])
        self.starts += 1
        return self.network.start_patched(patch, "escapement-outlet", "nightly", home=self.home)

    def dies(self, *kill: str | int) -> None:
        """Starts its night and waits until it is killed."""
        assert self.start(*kill).wait(timeout=60) == KILLED, kill
        health = read_health(self.home)
        assert health is None or health.status is Condition.RUNNING, kill
        assert self.states() == [(1, None)] or self.starts == 1, kill

    def states(self) -> list[tuple[int, NightOutcome | None]]:
        with closing(NightLog.open(self.home)) as log:
            return [(night.number, night.outcome) for night in log.last(9)]

    @property
    def has_read(self) -> bool:
        """Whether its rows are committed."""
        return EventStore(self.home).is_filled

    def digests(self) -> dict[str, dict[str, set[str]]]:
        """What left, by kind and name."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for line in self.sent.read_text().splitlines():
            kind, name, digest = json.loads(line)
            found[kind][name].add(digest)
        return found


def test_an_outlet_killed_at_any_step_sends_nothing_twice_otherwise_and_loses_nothing(
    enrol: Callable[..., Forked],
) -> None:
    """One night of one network; the sums are the same as those of a night that nobody killed."""
    network = enrol(epsilon=None, patience=PATIENT)
    victim = Victim(network)
    network.start_office()
    network.start_services()
    for number, kill in enumerate(BEFORE_HQ_ASKS):
        victim.dies(*kill)
        assert victim.has_read == (number >= BEFORE_HQ_ASKS.index(COMMITTED)), kill

    for kill in WHILE_HQ_ASKS:
        hq = start_night(network, "O2", "O3")
        victim.dies(*kill)
        assert hq.poll() is None
        network.stop(servers=False)

    hq = start_night(network, "O2", "O3")
    victim.dies(*AFTER_GOODNIGHT[0])
    assert hq.wait(timeout=60) == 0
    for kill in AFTER_GOODNIGHT[1:]:
        if kill[0] == f"{SERVICES}.countersign":  # so that the lost answer is about another log
            record_act_in(victim.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
        victim.dies(*kill)
    assert victim.start().wait(timeout=60) == 0
    network.stop()

    report = network.read_night("n1")
    assert (report.ended, report.cohort) == ("complete", ("O1", "O2", "O3"))
    assert len(report.steps) == len(RELEASES)
    assert_sums_of_one_process(network, [step.release for step in report.steps])
    sent = victim.digests()
    assert len(sent["answer"]) == len(RELEASES)
    assert all(len(digests) == 1 for kind in sent.values() for digests in kind.values()), sent
    assert_nothing_is_lost(victim)


def assert_nothing_is_lost(victim: Victim) -> None:
    own = small_world(outlets=3, customers=CUSTOMERS).outlets["O1"].history
    customers = own["customer"].n_unique()
    people = People.open(victim.home, Keyring(victim.home, PartyKind.OUTLET).identity())
    with closing(people):
        assert people.counts()[State.LISTED] == customers == sum(people.counts().values())
    with closing(sqlite3.connect(victim.home / "outlet.db")) as database:
        [(answers,)] = database.execute("SELECT COUNT(*) FROM answers").fetchall()
        assert answers == len(RELEASES)
    with closing(NightLog.open(victim.home)) as log:
        [night] = log.last(9)
    assert (night.number, night.starts, night.outcome) == (1, victim.starts, NightOutcome.COMPLETE)
    assert night.step is NightStep.RETENTION
    assert night.answered  # by the start that heard goodnight
    health = read_health(victim.home)
    assert health is not None
    assert (health.status, health.book_as_of) == (Condition.OK, str(CUT_OFF))
    assert (victim.home / "report.html").exists()
    office = Keyring(victim.home, PartyKind.OUTLET).peer(PartyKind.OFFICE).verify_key
    log_of_it = audit_log(victim.home, office, "O1", dt.datetime.now(dt.UTC))
    assert (log_of_it.findings, log_of_it.covers) == ((), 2)
    assert log_of_it.last is not None
    assert log_of_it.last.number >= 2  # both were lost on the way, and given again
    whole = pl.read_parquet(victim.home / "ledger.parquet")
    assert len(EventStore(victim.home).rows()) == len(whole)
    assert [file.name for file in (victim.home / "events").iterdir()] == ["ledger.parquet"]
    said = (victim.home / "nightly.log").read_text()
    assert "Night complete, " in said
    assert "Traceback" not in said


def test_a_second_start_ends_at_once_and_says_so(enrol: Callable[..., Forked]) -> None:
    network = enrol()
    victim = Victim(network)
    hq = start_night(network, "O2", "O3")
    first = victim.start()
    while read_health(victim.home) is None:
        assert first.poll() is None
    done = network.at_outlet("O1", "nightly")
    assert (done.code, first.poll()) == (0, None)
    assert "A night is running here already" in done.out
    assert "Night complete" not in done.out
    assert hq.wait(timeout=60) == 0
    assert first.wait(timeout=30) == 0
    assert victim.states() == [(1, NightOutcome.COMPLETE)]


def test_the_night_after_an_old_kill_has_a_number_of_its_own(enrol: Callable[..., Forked]) -> None:
    """HQ's night is long over: what is due then is another night, not the rest of that one."""
    network = enrol()
    victim = Victim(network)
    network.start_office()
    network.start_services()
    victim.dies(STEP, "after", 3)
    with closing(sqlite3.connect(victim.home / "outlet.db")) as database:
        database.execute("UPDATE nights SET started = '2020-01-01T02:00:00.000000+00:00'")
        database.commit()
    hq = start_night(network, "O2", "O3")
    assert victim.start().wait(timeout=60) == 0
    assert hq.wait(timeout=60) == 0
    assert victim.states() == [(2, NightOutcome.COMPLETE), (1, NightOutcome.INTERRUPTED)]
    page = (victim.home / "report.html").read_text()
    assert "Counted from 2020-01-01 02:00 UTC on" in page  # the broken night had no report
    with closing(NightLog.open(victim.home)) as log:
        second, first = log.last(2)
    assert first.asked  # by the broken night, on this same day
    assert not second.asked
    assert f"<strong>{first.asked:,} evaluations</strong> were asked" in page
