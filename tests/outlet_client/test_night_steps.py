"""What stops a night and what does not, from step to step, and what its log says."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from typing_extensions import override

from features.errors import FeatureError, LedgerError
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
)
from outlet_client.errors import (
    HqUnreachable,
    QuestionRefused,
    Unforeseen,
)
from outlet_client.ledger.event_reader import TooManyBad
from outlet_client.ledger.event_store import EventStore
from outlet_client.log_tables.rights_store import RIGHTS_FILE
from outlet_client.logs import JsonLines, NightProgress
from outlet_client.night.health_file import Condition, Health, read_health
from outlet_client.night.night_log import NightLog, NightStep
from outlet_client.night.night_run import Nightly
from outlet_client.people.people_store import People, State
from outlet_client.people.registration import Introduced
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.log_audit import LogContradicted
from outlet_client.services import Services
from outlet_client.settings import OutletSettings
from privacy.envelopes import SigningKey
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.log_heads import HeadRefused
from privacy.purposes import Purpose
from privacy.tokens import TokenRefused, TokenShare
from server.office.notary import Notary
from tests.outlet_client.nightly_outlet import (
    AS_OF,
    CUT_OFF,
    EVENTS,
    IDENTIFIERS,
    SECRET,
    UNSPOKEN,
    OneOutlet,
    ask,
    hurried,
    one,
    plan_of,
    run,
    write_settings,
)
from tests.shelves import band_codes, make_book

if TYPE_CHECKING:
    import polars as pl

    from privacy.directory import Directory

__all__ = ["one"]


# --- what stops a night, and what does not --------------------------------------------------------


def test_services_that_are_down_do_not_stop_the_night(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Keyring(one.home, PartyKind.OUTLET).identity()
    nowhere = replace(one.network.hq_card, service_address="127.0.0.1:9")
    down = Services.connect(identity, nowhere, nowhere, timeout=0.2)
    night = one.anew(services=down)
    with caplog.at_level(logging.WARNING):
        night.introduce()
    assert "new customers wait for tomorrow" in caplog.text
    down.close()
    night.services = one.network.services
    assert len(night.prepare(one.tonight()).home.sums) == 2


def test_what_was_asked_before_the_relay_failed_is_in_the_report_with_the_time_of_writing(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.people._clock = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1)  # a new day's quota
    one.network.relay.refuses = True
    hurried(one)
    night = one.anew()
    night.at -= dt.timedelta(days=3)  # it was opened a while ago
    assert isinstance(run(night), HqUnreachable)
    assert "new customers wait for tomorrow: the privacy office: no" in caplog.text
    page = (one.home / "report.html").read_text()
    assert "<strong>16 evaluations</strong> were asked" in page
    assert "<strong>0 sealed messages</strong>" in page
    assert "1 brought a new customer's token" in page
    assert f"the night of {dt.datetime.now(dt.UTC):%Y-%m-%d}" in page
    with closing(NightLog.open(one.home)) as log:
        [night_row] = log.last(1)
    assert night_row.sent == Introduced(asked=16, evaluated=1)


def test_a_days_second_night_says_why_nobody_gets_a_token(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.night.introduce()
    assert one.people.counts()[State.KNOWN] == 1  # the late one
    assert "asked for already today, in UTC; people who wait for tomorrow's: 1" in caplog.text


def test_a_spent_quota_does_not_stop_the_night(one: OneOutlet) -> None:
    one.network.at_hq.quota = 0
    one.night.introduce()
    assert len(one.prepare(one.tonight()).home.sums) == 2


def test_a_holder_with_another_key_does_not_stop_the_night_and_the_operator_hears_of_it(
    one: OneOutlet,
) -> None:
    one.people._clock = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1)  # a new day's quota
    one.network.at_office.share = TokenShare.generate()
    one.night.introduce()
    assert [type(refusal) for refusal in one.night.refusals] == [TokenRefused]
    assert one.people.counts()[State.KNOWN] == 1  # the late one has no token
    assert len(one.prepare(one.tonight()).home.sums) == 2


def test_a_missing_client_book_is_named_and_withdrawals_leave_all_the_same(
    one: OneOutlet,
) -> None:
    (one.home / "clients.csv").unlink()
    one.withdraw("anna")
    night = one.anew()
    night.introduce()
    [error] = night.refusals
    assert isinstance(error, LedgerError)
    assert "no such file" in str(error)
    assert night.introduced is not None
    assert night.introduced.withdrawn == 2  # anna, and who withdrew before
    with pytest.raises(LedgerError, match="no such file"):
        night.prepare(one.tonight())


def test_what_is_handed_in_leaves_where_hq_does_not_answer(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    """Else HQ, by answering some outlets only, could choose who is in a batch."""
    one.withdraw("anna")
    with closing(grpc.insecure_channel("127.0.0.1:1")) as nobody:
        night = one.anew(services=replace(one.network.services, hq=nobody, timeout=2.0))
        night.introduce()
    assert night.introduced is not None
    assert night.introduced.withdrawn == 2
    assert "no tokens tonight: HQ: " in caplog.text


def test_a_night_says_where_hq_withholds_what_the_office_countersigned(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.prepare(one.tonight())
    press, here = one.network.press, one.published
    one.notaries.directory = here.countersigned.encode()
    one.night.countersign()
    assert "has not shown it here" not in caplog.text
    later = replace(one.directory, batch=one.directory.batch + 1)
    one.notaries.directory = press.countersigned(later, here.number + 1).encode()
    # One entry more, or nobody is asked.
    record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    one.anew().countersign()
    assert f"countersigned number {here.number + 1} on " in caplog.text


def test_an_outcome_that_no_outlet_can_judge_is_refused(one: OneOutlet) -> None:
    with pytest.raises(FeatureError, match="y_flip7"):
        one.prepare(one.tonight(outcomes="y_flip7"))
    with pytest.raises(FeatureError, match="cut-off"):
        one.prepare(one.tonight(cut_off="2026-02-30"))


class Desk(People):
    """Somebody withdraws at the desk while the night reads its ledger."""

    @override
    def listed(self, directory: Directory) -> pl.DataFrame:
        found = super().listed(directory)
        self.withdraw(self.local_key(IDENTIFIERS["anna"]))
        return found


def test_a_withdrawal_while_the_ledger_is_read_does_not_stop_the_night(one: OneOutlet) -> None:
    desk = Desk(f"sqlite:///{one.home / 'outlet.db'}", one.people._secret)
    outlet = one.anew(desk).prepare(one.tonight())
    assert len(outlet.home.keys) == len(outlet.home.sums) == len(outlet.home.slots)
    assert one.slot("ben") in outlet.home.slots.tolist()
    desk.close()


def test_an_outlet_keeps_the_floors_of_its_file(one: OneOutlet) -> None:
    write_settings(one.home)
    toml = one.home / "escapement.toml"
    toml.write_text(toml.read_text() + "[floors]\nleast_quorum = 7\n")
    outlet = one.prepare(one.tonight())
    assert outlet.settings == OutletSettings(least_quorum=7)
    with pytest.raises(QuestionRefused, match="least is 7"):
        outlet.answer(ask(one, plan_of(one, Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2)))


# --- from step to step ----------------------------------------------------------------------------


def events_of(one: OneOutlet) -> int:
    return len(EventStore(one.home).rows())


def test_without_hq_the_report_and_retention_run_and_the_error_decides(one: OneOutlet) -> None:
    at = dt.datetime.now(dt.UTC)
    old = (at.date() - dt.timedelta(days=100)).isoformat()
    one.write_ledger(("anna", old, 1.0, "b1"), ("anna", at.date().isoformat(), 2.0, "b2"))
    hurried(one)
    assert one.anew().take_in().intake.used == 2
    hurried(one, keep_days=50)
    error = run(one.anew())
    assert isinstance(error, HqUnreachable)
    health = read_health(one.home)
    assert health is not None
    assert (health.status, health.step) == (Condition.FAILED, NightStep.RETENTION)
    assert health.error == str(error)
    assert (health.rows, health.quarantined, health.last_complete) == (2, 0, None)
    assert (one.home / "report.html").exists()
    assert events_of(one) == 2  # HQ has never seen this clock: too old counts no more, and stays
    intake = one.anew().take_in().intake
    assert (intake.used, intake.left_out) == (1, 1)


def test_too_many_bad_rows_join_no_night_and_withdrawals_leave(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    one.write_ledger(*EVENTS, ("anna", "2026-13-01", 1.0, "b"))
    hurried(one, most_quarantined=0.1)
    one.withdraw("anna")
    night = one.anew()
    assert isinstance(run(night), TooManyBad)
    assert night.introduced is not None
    assert night.introduced.withdrawn == 2
    assert "no answers tonight" in caplog.text
    assert "HqUnreachable" not in caplog.text
    assert "2026-13-01" not in caplog.text
    health = read_health(one.home)
    assert health is not None
    assert (health.rows, health.quarantined) == (len(EVENTS) + 1, 1)
    assert "escapement-outlet check" in str(health.error)


class Broken(Nightly):
    """A step with a defect."""

    @override
    def fetch_book(self) -> str | None:
        raise KeyError(SECRET)


def test_a_defect_in_a_step_is_said_by_its_type_and_the_other_steps_go_on(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    hurried(one)
    night = Broken(one.home, one.people, one.network.services, [])
    night.refusals.append(Unforeseen("before", KeyError()))
    first = run(night)
    assert isinstance(first, Unforeseen)
    assert first.what == "before"
    of_book = [error for error in night.refusals if isinstance(error, Unforeseen)][-1]
    assert (of_book.what, "KeyError" in str(of_book)) == ("step book", True)
    lines = [record for record in caplog.records if record.getMessage() == str(of_book)]
    assert [JsonLines().format(line).count(SECRET) for line in lines] == [0]
    assert json.loads(JsonLines().format(lines[0]))["where"][-1].endswith(" fetch_book")
    assert (one.home / "report.html").exists()
    with closing(NightLog.open(one.home)) as log:
        assert log.last(1)[0].error == "Unforeseen"


def test_the_ledger_is_read_once_a_night_and_progress_hears_of_its_rows(one: OneOutlet) -> None:
    night = one.anew()
    night.shown = Counted()
    night.take_in()
    one.write_ledger(*EVENTS[:1])
    assert night.prepare(one.tonight()).views[CUT_OFF].sums.counts.sum() == 5
    assert night.shown.count == len(EVENTS) + len(UNSPOKEN)


class Counted(NightProgress):
    """Counts rows."""

    count = 0

    @override
    def rows(self, count: int) -> None:
        self.count += count


def test_events_older_than_the_policy_leave_that_nights_features(one: OneOutlet) -> None:
    hurried(one)
    assert one.prepare(one.tonight()).views[CUT_OFF].sums.counts.sum() == 5
    today = dt.datetime.now(dt.UTC).date()
    hurried(one, keep_days=(today - dt.date(2026, 1, 1)).days)
    assert one.prepare(one.tonight()).views[CUT_OFF].sums.counts.sum() == 3


def test_the_book_comes_also_where_no_night_was_joined(one: OneOutlet) -> None:
    hurried(one)
    codes = band_codes([("building", "low")] * one.directory.slots)
    book = make_book(codes, one.directory, as_of=AS_OF, made_at=time.time())
    one.network.library.latest = one.network.press.book(book, one.published.number)
    assert isinstance(run(one.anew()), HqUnreachable)
    health = read_health(one.home)
    assert health is not None
    assert health.book_as_of == AS_OF


# --- the log --------------------------------------------------------------------------------------


def health_of(one: OneOutlet) -> Health:
    found = read_health(one.home)
    assert found is not None
    return found


def page_of(one: OneOutlet) -> str:
    return (one.home / "report.html").read_text()


def test_a_night_has_the_log_countersigned_once_a_day_and_says_so(one: OneOutlet) -> None:
    hurried(one)
    record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    run(one.anew())
    at = health_of(one).log_countersigned
    assert at is not None
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(at) < dt.timedelta(minutes=2)
    assert health_of(one).log_findings == 0
    assert f"countersigned the log of look-ups, decisions and changes on {at[:10]}" in page_of(one)
    run(one.anew())
    assert len(one.notaries.shown) == 1
    assert health_of(one).log_countersigned == at
    record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    run(one.anew())
    assert len(one.notaries.shown) == 2


def test_a_log_that_nothing_was_added_to_is_countersigned_too(one: OneOutlet) -> None:
    hurried(one)
    run(one.anew())
    assert [statement.number for statement in one.notaries.notary.last()] == [1]


def test_without_a_notary_the_night_says_so_and_goes_on(
    one: OneOutlet, caplog: pytest.LogCaptureFixture
) -> None:
    hurried(one)
    one.notaries.before = lambda context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
    night = one.anew()
    run(night)
    assert {type(error) for error in night.refusals} == {HqUnreachable}
    assert "the log is not countersigned tonight: the privacy office: UNIMPLEMENTED" in caplog.text
    assert (health_of(one).step, health_of(one).log_countersigned) == (NightStep.RETENTION, None)
    assert "has not countersigned the log" in page_of(one)


def test_a_log_that_contradicts_itself_is_not_countersigned_and_stops_nothing_else(
    one: OneOutlet,
) -> None:
    hurried(one)
    for _ in range(3):
        record_act_in(one.home, dt.datetime.now(dt.UTC), LogAct.SIGN_IN, "mei")
    run(one.anew())
    with closing(sqlite3.connect(one.home / RIGHTS_FILE)) as store:
        store.execute("DELETE FROM log WHERE number = 2")
        store.commit()
    night = one.anew()
    run(night)
    assert [type(error) for error in night.refusals] == [HqUnreachable, LogContradicted]
    assert "entry 2 is missing; keep a copy of rights.db" in str(night.refusals[1])
    assert len(one.notaries.shown) == 1
    assert (health_of(one).step, health_of(one).log_findings) == (NightStep.RETENTION, 1)
    assert page_of(one).count("entry 2 is missing") == 1


def test_a_statement_that_is_not_the_offices_is_an_error_of_the_night(one: OneOutlet) -> None:
    hurried(one)
    one.notaries.notary = Notary("sqlite://", SigningKey.generate())
    night = one.anew()
    run(night)
    assert [type(error) for error in night.refusals] == [HqUnreachable, HeadRefused]
