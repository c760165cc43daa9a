"""What the privacy officer is shown as unusual, and that a quiet day is not."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.bands.lookup import Status
from outlet_client.bands.lookup_quota import day_start
from outlet_client.desk.lookup_usage import (
    LEAST_MANY,
    MOST_OF_ONE,
    MOST_STRANGERS,
    TIMES_USUAL,
    Flag,
    FlagReason,
    unusual,
)
from outlet_client.records.access_log import PROPOSAL, LogAct, LogEntry
from outlet_client.records.actor import LookupPurpose
from outlet_client.settings import DeskSettings
from tests.outlet_client.desk_site import (
    ANNA,
    MEI,
    NOON,
    OKAFOR,
    RAFAEL,
    Desk,
    desk,
    home,
    opened,
    outlet,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["desk", "home", "outlet"]

DESK = DeskSettings()
QUOTA = DESK.lookups_a_day


@pytest.fixture(autouse=True, scope="module")
def greenwich() -> Iterator[None]:
    """Where this machine is, unless a test says otherwise: the hours are its own."""
    with pytest.MonkeyPatch.context() as patch:
        stand(patch, "UTC")
        yield
    time.tzset()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test say where this machine is."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def stand(zone: pytest.MonkeyPatch, where: str) -> None:
    zone.setenv("TZ", where)
    time.tzset()


def entry(
    at: dt.datetime = NOON,
    by: str = MEI,
    key: str = "k",
    outcome: Status = Status.KNOWN,
    purpose: LookupPurpose = LookupPurpose.SALE,
    act: LogAct = LogAct.LOOK_UP,
    about: str = "",
) -> LogEntry:
    return LogEntry(1, at, act, by, purpose, key, about, outcome.value)


def day(count: int, ago: int = 0, **cells: object) -> list[LogEntry]:
    """So many look-ups, each of another customer."""
    at = NOON - dt.timedelta(days=ago)
    return [entry(at, key=f"{ago}-{n}", **cells) for n in range(count)]  # type: ignore[arg-type]


def found(entries: Iterable[LogEntry], desk: DeskSettings = DESK) -> list[tuple[FlagReason, int]]:
    return [(one.why, one.count) for one in unusual(entries, desk)]


QUIET = st.lists(
    st.integers(0, 20).map(lambda ago: entry(NOON - dt.timedelta(days=ago))), max_size=4
)


@given(some=QUIET)
def test_quiet_days_raise_no_flag(some: list[LogEntry]) -> None:
    assert unusual(some, DESK) == []


@pytest.mark.parametrize("count", [LEAST_MANY, 20, 44])
def test_steady_days_raise_no_flag_however_busy(count: int) -> None:
    assert found(one for ago in range(10) for one in day(count, ago)) == []


def test_the_quota_is_flagged_at_its_number_and_not_one_below() -> None:
    assert found(day(QUOTA - 1)) == []
    assert found(day(QUOTA)) == [(FlagReason.QUOTA, QUOTA)]
    assert found(day(QUOTA + 7)) == [(FlagReason.QUOTA, QUOTA + 7)]


def test_a_busy_day_is_flagged_at_three_times_the_usual_one_and_not_one_below() -> None:
    usual = [one for ago in (1, 2, 3) for one in day(8, ago)]
    assert found(usual + day(TIMES_USUAL * 8 - 1)) == []
    assert found(usual + day(TIMES_USUAL * 8)) == [(FlagReason.MANY, TIMES_USUAL * 8)]


def test_whoever_looks_up_little_is_flagged_from_a_number_on_that_is_worth_a_look() -> None:
    assert found(day(1, 1) + day(LEAST_MANY - 1)) == []
    assert found(day(1, 1) + day(LEAST_MANY)) == [(FlagReason.MANY, LEAST_MANY)]


def test_a_first_day_is_not_held_against_anybody() -> None:
    assert found(day(QUOTA - 1)) == []


def test_one_persons_usual_day_is_not_anothers() -> None:
    others = [one for ago in (1, 2, 3) for one in day(1, ago, by=RAFAEL)]
    assert found(others + day(30)) == []


def test_strangers_are_flagged_at_their_number_and_not_one_below() -> None:
    strangers = day(MOST_STRANGERS, outcome=Status.CONSENT_NEEDED)
    assert found(strangers[1:] + day(20)) == []
    assert found(strangers + day(20)) == [(FlagReason.STRANGERS, MOST_STRANGERS)]


def test_one_customer_is_flagged_at_its_number_and_not_one_below() -> None:
    same = [entry(NOON + dt.timedelta(minutes=n)) for n in range(MOST_OF_ONE)]
    assert found(same[1:]) == []
    assert found(same) == [(FlagReason.ONE_CUSTOMER, MOST_OF_ONE)]
    assert found([*same[1:], entry(by=RAFAEL)]) == []
    assert found([*same[1:], entry(NOON - dt.timedelta(days=1))]) == []


def test_a_customer_who_asks_for_their_file_counts_once_for_both_of_its_look_ups() -> None:
    own = [entry(purpose=LookupPurpose.CUSTOMER) for _ in range(2 * MOST_OF_ONE)]
    assert found(own[1:]) == []
    assert found(own) == [
        (FlagReason.ONE_CUSTOMER, MOST_OF_ONE)
    ]  # nobody hides behind that purpose


def test_look_ups_outside_opening_hours_are_flagged_from_the_first_on(
    zone: pytest.MonkeyPatch,
) -> None:
    stand(zone, "Asia/Singapore")

    def at(hour: int, minute: int = 0) -> LogEntry:
        moment = dt.datetime(2026, 3, 2, hour, minute, tzinfo=dt.timezone(dt.timedelta(hours=8)))
        return entry(moment.astimezone(dt.UTC))

    assert found([at(7), at(21, 59)]) == []
    assert found([at(6, 59), at(12)]) == [(FlagReason.HOURS, 1)]
    assert found([at(22), at(12)]) == [(FlagReason.HOURS, 1)]


def test_lock_outs_are_counted_a_day() -> None:
    locked = [entry(act=LogAct.LOCK_OUT) for _ in range(3)]
    assert found(locked) == [(FlagReason.LOCK_OUT, 3)]


@pytest.mark.parametrize(
    "act",
    [one for one in LogAct if one not in (LogAct.LOOK_UP, LogAct.LOCK_OUT, LogAct.SEARCH)],
)
def test_other_acts_raise_no_flag(act: LogAct) -> None:
    assert unusual([entry(act=act) for _ in range(QUOTA)], DESK) == []


def test_what_a_proposal_looked_up_is_nobodys_busy_day() -> None:
    waiting = [
        entry(key=str(n), about=PROPOSAL, outcome=Status.CONSENT_NEEDED) for n in range(QUOTA)
    ]
    usual = day(5, 1, by=MEI)
    assert found(waiting * MOST_OF_ONE + usual) == []
    late = NOON.replace(hour=23, minute=30)
    assert found([entry(late, about=PROPOSAL)]) == [(FlagReason.HOURS, 1)]


MOMENTS = st.integers(0, 40 * 24 * 60).map(lambda minutes: NOON - dt.timedelta(minutes=minutes))
ENTRIES = st.builds(
    entry,
    at=MOMENTS,
    by=st.sampled_from([MEI, RAFAEL]),
    key=st.sampled_from("ab"),
    outcome=st.sampled_from(Status),
    purpose=st.sampled_from(LookupPurpose),
    act=st.sampled_from([LogAct.LOOK_UP, LogAct.LOCK_OUT, LogAct.CONSENT]),
    about=st.sampled_from(["", PROPOSAL]),
)
SMALL = DESK.model_copy(update={"lookups_a_day": 4})


@given(entries=st.lists(ENTRIES, max_size=60), shuffled=st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(entries: list[LogEntry], shuffled: object) -> None:
    other = list(entries)
    shuffled.shuffle(other)  # type: ignore[attr-defined]
    assert unusual(entries, SMALL) == unusual(other, SMALL)


@given(entries=st.lists(ENTRIES, max_size=60))
def test_a_flag_counts_entries_of_its_day_and_person_and_each_reason_comes_once(
    entries: list[LogEntry],
) -> None:
    flags = unusual(entries, SMALL)
    assert len({(one.day, one.by, one.why) for one in flags}) == len(flags)
    assert [one.day for one in flags] == sorted((one.day for one in flags), reverse=True)
    for flag in flags:
        act = LogAct.LOCK_OUT if flag.why is FlagReason.LOCK_OUT else LogAct.LOOK_UP
        theirs = [
            one
            for one in entries
            if (one.at.astimezone().date(), one.by, one.act) == (flag.day, flag.by, act)
        ]
        assert 1 <= flag.count <= len(theirs)
        if flag.why is FlagReason.LOCK_OUT:
            assert flag.count == len(theirs)


@given(entries=st.lists(ENTRIES, max_size=40), more=ENTRIES)
def test_another_look_up_takes_no_flag_away_but_where_it_makes_a_day_more_usual(
    entries: list[LogEntry], more: LogEntry
) -> None:
    def kept(some: list[LogEntry]) -> set[tuple[dt.date, str, FlagReason]]:
        flags = unusual(some, SMALL)
        return {(one.day, one.by, one.why) for one in flags if one.why is not FlagReason.MANY}

    assert kept(entries) <= kept([*entries, more])


def test_a_flag_that_grows_is_another_flag() -> None:
    one, other = (Flag(NOON.date(), MEI, FlagReason.QUOTA, count) for count in (60, 61))
    assert one.name != other.name


@pytest.mark.parametrize(
    ("where", "moment", "began"),
    [
        ("UTC", "2026-03-02T12:00+00:00", "2026-03-02T00:00+00:00"),
        ("Asia/Singapore", "2026-03-02T15:59+00:00", "2026-03-01T16:00+00:00"),
        ("Asia/Singapore", "2026-03-02T16:00+00:00", "2026-03-02T16:00+00:00"),
        ("Asia/Kathmandu", "2026-03-02T12:00+00:00", "2026-03-01T18:15+00:00"),
        # Clocks go forward that day: its midnight was on winter time.
        ("Europe/Zurich", "2026-03-29T12:00+00:00", "2026-03-28T23:00+00:00"),
        ("Europe/Zurich", "2026-03-28T23:30+00:00", "2026-03-28T23:00+00:00"),
        # And back: its midnight was on summer time.
        ("Europe/Zurich", "2026-10-25T12:00+00:00", "2026-10-24T22:00+00:00"),
        ("America/New_York", "2026-11-01T18:00+00:00", "2026-11-01T04:00+00:00"),
    ],
)
def test_a_day_begins_at_midnight_by_this_machines_clock(
    zone: pytest.MonkeyPatch, where: str, moment: str, began: str
) -> None:
    stand(zone, where)
    assert day_start(dt.datetime.fromisoformat(moment)) == dt.datetime.fromisoformat(began)


def test_a_quota_is_of_the_day_on_which_clocks_change(home: Path, zone: pytest.MonkeyPatch) -> None:
    stand(zone, "Europe/Zurich")
    with (home / "escapement.toml").open("a") as file:
        file.write("lookups_a_day = 1\n")
    with opened(home) as desk:
        desk.clock.at = dt.datetime(2026, 3, 28, 22, 30, tzinfo=dt.UTC)  # 23:30, the day before
        assert desk.signed_in(MEI).look_up(ANNA).status_code == 200
        desk.clock.at = dt.datetime(2026, 3, 29, 10, tzinfo=dt.UTC)
        mei = desk.signed_in(MEI)
        assert mei.look_up(ANNA).status_code == 200
        assert mei.look_up(ANNA).status_code == 429


def test_the_privacy_officer_sees_a_flag_until_they_looked_at_it_and_again_once_it_grew(
    desk: Desk,
) -> None:
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    for _ in range(MOST_OF_ONE):
        mei.look_up(ANNA)
    words = f"{FlagReason.ONE_CUSTOMER} ({MOST_OF_ONE})"
    assert words in said(okafor.get("/log"))
    flag = Flag(NOON.astimezone().date(), MEI, FlagReason.ONE_CUSTOMER, MOST_OF_ONE)
    assert okafor.fill("/log/reviewed", {"flag": "another"}).status_code == 303
    assert desk.log(LogAct.REVIEW) == []
    okafor.fill("/log/reviewed", {"flag": flag.name, "outcome": "follow"})
    [review] = desk.log(LogAct.REVIEW)
    assert (review.by, review.about, review.outcome) == (OKAFOR, flag.name, "followed up")
    assert words not in said(okafor.get("/log")).partition("Entries")[0]
    mei.look_up(ANNA)
    assert f"({MOST_OF_ONE + 1})" in said(okafor.get("/log")).partition("Entries")[0]
