"""Records of nights, and how `serve` goes on with nights that broke off."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import TYPE_CHECKING, NoReturn

import pytest
from typer.testing import CliRunner

from server.hq import daily_nights
from server.hq.daily_nights import _finish
from server.hq.errors import NightRuns, NightUnnamed, RecordUnreadable
from server.hq.main import app as hq_app
from server.hq.night_assembly import run_night
from server.hq.night_record import (
    KEEP_DAYS,
    UNPLANNED,
    NightJournal,
    NightRecords,
    NightState,
)
from server.hq.report import NightReport
from server.hq.settings import WatchedSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = dt.datetime(2026, 3, 1, 2, tzinfo=dt.UTC)


@pytest.fixture
def records(tmp_path: Path) -> NightRecords:
    return NightRecords(tmp_path)


def begun(records: NightRecords, name: str = "n1", at: dt.datetime = NOW) -> NightJournal:
    return NightJournal(records, records.begin(name, "2025-09-01", "2026-03-01", at))


def ended(records: NightRecords, name: str) -> None:
    report = NightReport(name, ("O1",), ended="complete")
    begun(records, name).over(report)


def test_a_night_that_is_taken_up_has_the_days_and_the_plan_that_it_began_with(
    records: NightRecords,
) -> None:
    begun(records).planned(int(NOW.timestamp()) + 3600)
    again = records.begin("n1", "2025-09-02", "2026-03-02", NOW + dt.timedelta(minutes=30))
    assert (again.cut_off, again.as_of, again.starts) == ("2025-09-01", "2026-03-01", 2)
    assert again.until == NOW + dt.timedelta(hours=1)
    assert records.unfinished(NOW + dt.timedelta(minutes=59)) == again
    assert records.unfinished(NOW + dt.timedelta(minutes=61)) is None


def test_a_night_of_an_earlier_release_is_taken_up_with_its_files_days(
    records: NightRecords, tmp_path: Path
) -> None:
    (tmp_path / "nights").mkdir()
    (tmp_path / "nights" / "n1.cut-off").write_text("2025-08-01")
    (tmp_path / "nights" / "n1.as-of").write_text("2026-02-01")
    record = begun(records).record
    assert (record.cut_off, record.as_of) == ("2025-08-01", "2026-02-01")
    (tmp_path / "nights" / "n2.as-of").write_text("2026-0")
    with pytest.raises(RecordUnreadable, match=r"nights/n2\.as-of: got b'2026-0', expected a day"):
        begun(records, "n2")


def test_a_record_that_is_cut_off_anywhere_is_named_and_hides_no_other(
    records: NightRecords, tmp_path: Path
) -> None:
    ended(records, "n1")
    ended(records, "n2")
    whole = (tmp_path / "nights" / "n2.json").read_bytes()
    for length in range(len(whole) - 1):  # the last byte ends the line
        (tmp_path / "nights" / "n2.json").write_bytes(whole[:length])
        found, wrong = records.read()
        assert [record.night for record in found] == ["n1"]
        assert [text.partition(":")[0] for text in wrong] == ["nights/n2.json"]
    (tmp_path / "nights" / "n2.json").write_bytes(b"\xff\x00")
    (tmp_path / "nights" / "n3.json").write_bytes(whole)
    assert [text.partition(":")[0] for text in records.read()[1]] == [
        "nights/n2.json",
        "nights/n3.json",
    ]


def test_a_record_is_replaced_whole_or_not_at_all(
    records: NightRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = begun(records)
    before = (tmp_path / "nights" / "n1.json").read_bytes()

    def full(_descriptor: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    night.fault(ValueError("+65 9123 4567"))
    with pytest.raises(OSError, match="No space"):
        night.over()
    assert (tmp_path / "nights" / "n1.json").read_bytes() == before


def test_a_fault_is_recorded_without_the_text_of_what_nobody_wrote(records: NightRecords) -> None:
    night = begun(records)
    night.fault(ValueError("+65 9123 4567"))
    found = records.find("n1")
    assert found is not None
    assert (found.ended, found.state) == ("ValueError", NightState.RUNNING)


def test_a_night_has_a_name_of_its_own_and_no_other_folder(records: NightRecords) -> None:
    ended(records, "night-2026-03-01")
    begun(records, "night-2026-03-01-2")
    assert records.free_name(NOW.date()) == "night-2026-03-01-3"
    for name in ("../n1", ".n1", "", "a/b", "x" * 81):
        with pytest.raises(NightUnnamed, match="expected up to 80"):
            begun(records, name)


def test_records_are_forgotten_after_their_days(records: NightRecords, tmp_path: Path) -> None:
    for name, days in (("n1", KEEP_DAYS + 1), ("n2", KEEP_DAYS - 1)):
        ended(records, name)
        at = (NOW - dt.timedelta(days=days)).timestamp()
        os.utime(tmp_path / "nights" / f"{name}.json", (at, at))
    begun(records, "n3")
    assert sorted(record.night for record in records.read()[0]) == ["n2", "n3"]


def test_serve_runs_no_night_again_that_ended_meanwhile(
    records: NightRecords, tmp_path: Path
) -> None:
    """Without keys a night that was run would fail."""
    ended(records, "n1")
    before = records.find("n1")
    assert run_night(tmp_path, "n1", None, daily=True).ended == "complete"
    assert records.find("n1") == before


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only waiting moves; how long each wait was."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    monkeypatch.setattr(daily_nights, "_now", lambda: NOW + dt.timedelta(seconds=sum(made)))
    return made


def tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attempt: Callable[[int], NightReport]
) -> list[int]:
    """Has `serve` end night n1; gives its attempts."""
    attempts: list[int] = []

    def run(*_: object, **__: object) -> NightReport:
        attempts.append(len(attempts) + 1)
        return attempt(len(attempts))

    monkeypatch.setattr(daily_nights, "run_night", run)
    _finish(tmp_path, WatchedSettings(tmp_path / "hq.toml"), "n1")
    return attempts


def test_a_night_that_breaks_off_is_tried_again_with_growing_waits_until_it_expires(
    records: NightRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    begun(records)

    def fails(_number: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    attempts = tried(monkeypatch, tmp_path, fails)
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == daily_nights.LONGEST_WAIT
    assert sum(waits) == UNPLANNED.total_seconds()
    assert len(attempts) == len(waits) + 1 < 100


def test_a_night_that_could_not_even_be_recorded_is_tried_again_until_it_would_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    def fails(_number: int) -> NoReturn:
        raise OSError(30, "Read-only file system")

    tried(monkeypatch, tmp_path, fails)
    assert sum(waits) == UNPLANNED.total_seconds()


def test_a_night_of_another_process_is_waited_for_and_not_run_twice(
    records: NightRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    night = begun(records)

    def runs(number: int) -> NoReturn:
        if number == 3:
            night.over(NightReport("n1", ended="complete"))
        raise NightRuns

    assert tried(monkeypatch, tmp_path, runs) == [1, 2, 3]
    assert waits == [daily_nights.LOOK_SECONDS] * 2


# --- names --------------------------------------------------------------------------------------


def test_without_a_name_todays_unfinished_night_is_taken_up_and_else_a_new_one_begins(
    records: NightRecords,
) -> None:
    day = NOW.date()
    assert records.name_of(day, NOW) == "night-2026-03-01"
    begun(records, "night-2026-03-01")
    begun(records, "my-own")
    begun(records, "night-2026-02-28")
    assert records.name_of(day, NOW) == "night-2026-03-01"
    ended(records, "night-2026-03-01")
    assert records.name_of(day, NOW) == "night-2026-03-01-2"
    begun(records, "night-2026-03-01-2")
    assert records.name_of(day, NOW) == "night-2026-03-01-2"
    assert records.name_of(day, NOW + UNPLANNED) == "night-2026-03-01-3"


def test_a_night_that_is_complete_is_not_run_again_by_its_name(
    records: NightRecords, tmp_path: Path
) -> None:
    """Nobody is asked anything: there is not even a key in the folder."""
    ended(records, "n1")
    file = tmp_path / "nights" / "n1.json"
    before = file.read_bytes()
    done = CliRunner().invoke(hq_app, ["night", "--name", "n1", "--home", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "nobody was asked anything, and nothing was charged" in " ".join(done.output.split())
    assert file.read_bytes() == before
    begun(records, "n2").over(NightReport("n2", ended="QuorumNotMet"))
    done = CliRunner().invoke(hq_app, ["night", "--name", "n2", "--home", str(tmp_path)])
    assert done.exit_code == 1  # it begins, and finds no keys
    found = records.find("n2")
    assert found is not None
    assert found.starts == 2
