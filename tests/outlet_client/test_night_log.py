"""What a night leaves of itself: its row, the health file, lines of a log."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import multiprocessing as mp
import sqlite3
import subprocess
import sys
import threading
import warnings
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError

from outlet_client.errors import HqUnreachable, NotConfigured
from outlet_client.logs import logging_to, set_log_position, showing_progress
from outlet_client.night.health_file import (
    HEALTH_FILE,
    Condition,
    Health,
    read_health,
    write_health,
)
from outlet_client.night.night_journal import mark_not_begun, open_journal
from outlet_client.night.night_log import (
    LOCK_FILE,
    NightLog,
    NightOutcome,
    NightRow,
    NightStep,
    one_night_at_a_time,
)
from outlet_client.people.registration import Introduced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("databases")

AT = dt.datetime(2026, 3, 1, 1, 55, tzinfo=dt.UTC)
LONGEST = dt.timedelta(hours=4, minutes=30)
SECRET = "+65 8123 4567"  # noqa: S105  (a made-up phone)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[NightLog]:
    with closing(NightLog.open(tmp_path)) as made:
        yield made


# --- rows -----------------------------------------------------------------------------------------


def test_a_night_after_one_that_ended_has_a_number_of_its_own(log: NightLog) -> None:
    first = log.begin(AT, LONGEST)
    log.write(replace(first, ended=AT, outcome=NightOutcome.FAILED, error="HqUnreachable"))
    second = log.begin(AT, LONGEST)
    assert (first.number, second.number, second.starts) == (1, 2, 1)
    assert [(one.number, one.outcome) for one in log.last(5)] == [
        (2, None),
        (1, NightOutcome.FAILED),
    ]


def test_a_night_that_was_killed_goes_on_under_its_number_and_keeps_what_it_did(
    log: NightLog,
) -> None:
    begun = log.begin(AT, LONGEST)
    told = {"cut_off": "2026-01-31", "directory": "ab"}
    log.write(replace(begun, step=NightStep.BOOK, tonight=told, answered=7, rows=12, quarantined=1))
    again = log.begin(AT + LONGEST, LONGEST)
    assert again == replace(
        begun, starts=2, step=NightStep.BOOK, tonight=told, answered=7, rows=12, quarantined=1
    )
    assert log.last(9) == [again]


@pytest.mark.parametrize("later", [LONGEST + dt.timedelta(seconds=1), -dt.timedelta(seconds=1)])
def test_a_night_that_was_killed_long_ago_is_interrupted_and_another_begins(
    log: NightLog, later: dt.timedelta
) -> None:
    """Likewise where a clock went back: who knows how long ago it was."""
    log.write(replace(log.begin(AT, LONGEST), step=NightStep.REPORT, answered=7))
    again = log.begin(AT + later, LONGEST)
    assert (again.number, again.starts, again.answered) == (2, 1, None)
    old = log.last(2)[1]
    assert (old.outcome, old.ended, old.step) == (
        NightOutcome.INTERRUPTED,
        AT + later,
        NightStep.REPORT,
    )


def test_what_left_in_nights_that_were_broken_off_is_in_the_next_report(tmp_path: Path) -> None:
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    with closing(NightLog.open(tmp_path)) as log:
        began = [now - day * days for days in (6, 5, 4, 3)]
        steps = (NightStep.PEOPLE, NightStep.RETENTION, NightStep.ANSWERS, NightStep.REPORT)
        for at, step in zip(began, steps, strict=True):
            night = replace(log.begin(at, LONGEST), step=step).with_sent(Introduced(16, 1, 8, 1, 0))
            log.write(night)
            if at == began[0]:  # it had its report, also of what is before it
                log.write(replace(night, ended=at, outcome=NightOutcome.FAILED))
    with open_journal(tmp_path, LONGEST) as account:
        account.note_sent(Introduced(16, 2, 8, 3, 1))
        # the one that was killed in its last step had its report
        assert account.unreported() == (began[2], Introduced(48, 4, 24, 5, 1))
        account.end(None)
    with open_journal(tmp_path, LONGEST) as account:
        assert account.unreported() == (account.night.started, Introduced())


def test_what_several_starts_did_for_the_people_adds_up() -> None:
    night = NightRow(1, AT).with_sent(Introduced(16, 3, 8, 2, 1, waiting=9))
    assert night.with_sent(Introduced(0, 0, 8, 4, 0, waiting=5)).sent == Introduced(16, 3, 16, 6, 1)


def test_rows_are_purged_by_the_day_that_they_ended(log: NightLog) -> None:
    for days in range(3):
        at = AT + dt.timedelta(days=days)
        log.write(replace(log.begin(at, LONGEST), ended=at, outcome=NightOutcome.COMPLETE))
    running = log.begin(AT + dt.timedelta(days=3), LONGEST)
    assert log.purge(AT + dt.timedelta(days=2)) == 2
    assert [one.number for one in log.last(9)] == [running.number, 3]


# --- one at a time --------------------------------------------------------------------------------


def hold(home: Path, ready: Any, end: Any) -> None:
    with one_night_at_a_time(home) as free:
        ready.put(free)
        end.get()


def test_one_night_runs_at_a_time_and_a_kill_gives_the_folder_back(tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    ready, end = context.Queue(), context.Queue()
    other = context.Process(target=hold, args=(tmp_path, ready, end), daemon=True)
    other.start()
    assert ready.get(timeout=60)
    with one_night_at_a_time(tmp_path) as free:
        assert not free
    other.kill()
    other.join()
    with one_night_at_a_time(tmp_path) as free:
        assert free
    assert (tmp_path / LOCK_FILE).stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(NotConfigured, match="none: no such file or folder"),
        one_night_at_a_time(tmp_path / "none"),
    ):
        pass


# --- the health file ------------------------------------------------------------------------------


def test_health_follows_the_night_and_keeps_when_one_was_complete(tmp_path: Path) -> None:
    with open_journal(tmp_path, LONGEST) as account:
        account.step(NightStep.LEDGER)
        account.note(rows=12, quarantined=2)
        running = read_health(tmp_path)
        assert running is not None
        assert (running.status, running.step, running.rows) == (Condition.RUNNING, "ledger", None)
        account.note_health(book_as_of="2026-02-28")
        account.step(NightStep.RETENTION)
        account.end(None)
    good = read_health(tmp_path)
    assert good is not None
    assert (good.status, good.night, good.rows, good.quarantined) == (Condition.OK, 1, 12, 2)
    assert good.last_complete == good.ended is not None
    with open_journal(tmp_path, LONGEST) as account:
        account.step(NightStep.ANSWERS)
        account.end(HqUnreachable("hq:1", "ConnectError"))
    bad = read_health(tmp_path)
    assert bad is not None
    assert (bad.status, bad.night, bad.step) == (Condition.FAILED, 2, "answers")
    assert "hq:1: ConnectError" in str(bad.error)
    assert (bad.last_complete, bad.book_as_of, bad.rows) == (good.ended, "2026-02-28", 12)
    assert (tmp_path / HEALTH_FILE).stat().st_mode & 0o077 == 0


def test_health_never_holds_the_text_of_an_error_that_is_not_ours(tmp_path: Path) -> None:
    mark_not_begun(tmp_path, KeyError(SECRET))
    found = read_health(tmp_path)
    assert found is not None
    assert (found.status, found.error, found.night) == (Condition.FAILED, "KeyError", None)


def test_health_says_that_the_nights_row_could_not_be_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_health(tmp_path, Health(Condition.OK, night=1))
    with closing(NightLog.open(tmp_path)):
        pass
    monkeypatch.setattr("outlet_client.database._WAIT_SECONDS", 0)
    with closing(sqlite3.connect(tmp_path / "outlet.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError), open_journal(tmp_path, LONGEST):
            pass
    found = read_health(tmp_path)
    assert found is not None
    assert (found.status, found.night) == (Condition.FAILED, None)
    assert "a night or another command is writing" in str(found.error)
    assert "disk" not in str(found.error)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "fine"}', '{"status": "ok", "a": 1}'])
def test_a_health_file_that_is_not_ours_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / HEALTH_FILE).write_text(text)
    assert read_health(tmp_path) is None
    write_health(tmp_path, Health(Condition.OK))
    assert read_health(tmp_path) == Health(Condition.OK)


# --- the log --------------------------------------------------------------------------------------


def fail() -> None:
    raise KeyError(SECRET)


def speak() -> None:
    """What a night may come across: our own lines, a library's, a warning, a defect."""
    set_log_position(3, "people")
    own = logging.getLogger("outlet_client.people.registration")
    own.info("introduced: %d new tokens", 5)
    logging.getLogger("flwr").info("hello")
    logging.getLogger("flwr").warning("got %s", SECRET)
    logging.getLogger("outlet_clients").warning(SECRET)
    warnings.warn(SECRET, stacklevel=1)
    try:
        fail()
    except KeyError:
        own.exception("a step failed")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def test_a_log_is_one_json_object_a_line_and_says_nothing_that_is_not_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with showing_progress(Console(stderr=True)):
        speak()
    said = capsys.readouterr().err
    assert SECRET not in said
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["level"] for line in lines] == ["info", *["warning"] * 3, "error", "warning"]
    first, last, thread = lines[0], lines[-2], lines[-1]
    assert set(first) == {"at", "level", "logger", "message", "night", "step"}
    assert first["message"] == "introduced: 5 new tokens"
    assert dt.datetime.fromisoformat(first["at"]).tzinfo is not None
    assert {(line["night"], line["step"]) for line in lines[:-1]} == {(3, "people")}
    assert lines[1]["message"].startswith("test_night_log.py, line ")
    assert lines[3]["logger"] == "py.warnings"
    assert last["error"] == "KeyError"
    assert [place.rpartition(" ")[2] for place in last["where"]] == ["speak", "fail"]
    assert thread["message"] == "a thread ended with an error"
    assert (thread["error"], thread["where"][-1].rpartition(" ")[2]) == ("KeyError", "fail")


def test_what_runs_for_long_logs_likewise_and_plain_lines_in_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_to(Console(stderr=True)):
        logging.getLogger("outlet_client.desk").info("one look-up")
        logging.getLogger("grpc._server").error("Exception iterating: %s", SECRET)
    own, other = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (own["message"], own["step"]) == ("one look-up", None)
    assert SECRET not in str(other)
    screen = io.StringIO()
    with logging_to(Console(file=screen, force_terminal=True, width=100, legacy_windows=False)):
        logging.getLogger("outlet_client.desk").info("one look-up")
        logging.getLogger("grpc._server").error("Exception iterating: %s", SECRET)
    assert " info one look-up" in screen.getvalue()
    assert SECRET not in screen.getvalue()


def test_serve_says_in_its_log_why_it_ends(tmp_path: Path) -> None:
    run = "from outlet_client.main import app; app()"
    command = [sys.executable, "-c", run, "serve", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own)
    assert done.returncode == 6
    [line] = done.stderr.splitlines()
    said = json.loads(line)
    assert (said["level"], said["logger"]) == ("error", "outlet_client.commands.lookup")
    assert "expected" in said["message"] or "no such file" in said["message"]


def test_a_terminal_shows_steps_rows_and_plain_lines() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, legacy_windows=False)
    with showing_progress(console) as progress:
        progress.begin("ledger")
        progress.rows(50_000)
        progress.rows(1_234)
        progress.begin("people")
        progress.failed()
        speak()
        progress.error("ledger.csv: [bad]")
    said = screen.getvalue()
    assert "51,234 rows" in said
    assert "✓" in said
    assert "failed" in said
    assert "error:\x1b[0m ledger.csv: [bad]" in said
    assert " info introduced: 5 new tokens" in said
    assert " error a step failed (KeyError: " in said
    assert SECRET not in said
    assert "{" not in said


def test_logging_is_as_before_once_a_night_is_over() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with showing_progress(Console(file=io.StringIO())):
        assert root.handlers != before[0]
    assert (root.handlers, root.level) == before
