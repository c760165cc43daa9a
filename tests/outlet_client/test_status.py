"""How an outlet stands, for a person: what is said, and what to do next."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typer import Exit

from outlet_client.commands.command_errors import failing
from outlet_client.commands.status import status
from outlet_client.database import create_databases
from outlet_client.errors import ClockOff, HqUnreachable, NotConfigured
from outlet_client.night.health_file import Condition, Health, write_health
from outlet_client.night.night_journal import mark_not_begun, open_journal
from outlet_client.night.night_log import NightLog, NightOutcome, NightRow, NightStep
from outlet_client.night.outlet_standing import LATE, Standing, next_steps, standing
from outlet_client.people.people_store import People, State
from outlet_client.settings import OutletFile
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from tests.shelves import Press, band_codes, make_book, make_directory, shelve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
SETTINGS = OutletFile(ledger="ledger.csv")
GOOD = NightRow(
    3, AT - dt.timedelta(hours=7), ended=AT - dt.timedelta(hours=6), outcome=NightOutcome.COMPLETE,
    step=NightStep.RETENTION, answered=8,
)  # fmt: skip
FINE = Standing(
    outlet="O1", nights=(GOOD,), error=None, begun=True, book_as_of="2026-02-27", book_days=1,
    book_problem="",
    people={State.LISTED: 5}, rows=100, quarantined=0, requests=2, overdue=0, ambiguous=0,
    log_countersigned="2026-03-01T02:10:00+00:00", log_findings=0, in_no_directory=0, lost=0,
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    at = dt.datetime.now(dt.UTC)
    rings = {kind: Keyring(tmp_path / kind.value, kind) for kind in PartyKind}
    for kind, ring in rings.items():
        ring.create(kind.value, "127.0.0.1:1", at)
    create_databases(rings[PartyKind.OUTLET].folder)
    for kind in (PartyKind.HQ, PartyKind.OFFICE):
        data = rings[kind].public_file.read_bytes()
        rings[PartyKind.OUTLET].trust(Card.decode(data, kind), data)
    folder = rings[PartyKind.OUTLET].folder
    (folder / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    return folder


def test_an_outlet_where_all_is_well_has_nothing_to_do() -> None:
    assert next_steps(FINE, AT) == ["nothing"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nights": ()}, "no night yet: `escapement-outlet nightly`"),
        ({"overdue": 2}, "2 of your customers' requests are overdue"),
        ({"people": {State.KNOWN: 0}}, "escapement-outlet consent import"),
        ({"book_problem": "band book: made long ago"}, "no bands are shown: band book: made lo"),
        ({"quarantined": 7}, "7 rows of the ledger are in quarantine"),
        ({"log_findings": 1}, "1 finding about the log: `escapement-outlet log verify`"),
        ({"log_countersigned": "2026-02-20T02:10:00+00:00"}, "not countersigned for 9 days"),
        ({"log_countersigned": None}, "the log was never countersigned"),
        ({"lost": 4}, "the directory takes 4 of your people away: `escapement-outlet directory"),
        ({"ambiguous": 4}, "4 pairs of customers may be one person each"),
        (
            {"error": "settings: none", "begun": False},
            "no night could begin: settings: none",
        ),
    ],
)
def test_what_is_amiss_is_what_to_do_next(changes: dict[str, object], words: str) -> None:
    [said] = next_steps(replace(FINE, **changes), AT)  # type: ignore[arg-type]  # fields by name
    assert words in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("HqUnreachable", "escapement-outlet doctor"),
        ("TooManyBad", "escapement-outlet check"),
        ("NeverHeardOf", "the log of that night"),
    ],
)
def test_after_a_failed_night_the_next_step_fits_the_error(error: str, words: str) -> None:
    failed = replace(GOOD, outcome=NightOutcome.FAILED, error=error)
    [said] = next_steps(replace(FINE, nights=(failed,), error="why"), AT)
    assert said.startswith("the last night failed: why; ")
    assert words in said


def test_a_night_that_never_came_is_noticed_also_where_the_last_was_killed() -> None:
    late = AT + LATE
    killed = replace(GOOD, ended=None, outcome=None)
    for night in (GOOD, killed):
        assert "is the timer on" in next_steps(replace(FINE, nights=(night,)), late)[0]
    assert next_steps(replace(FINE, nights=(killed,)), AT) == ["nothing"]


def test_a_new_outlet_is_told_where_to_begin(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status(home, as_json=False)
    said = capsys.readouterr().out
    assert "Nights:\n  none yet" in said
    assert "Band book: none yet; everybody who is listed reads as a newcomer" in said
    assert "no bands are shown" not in said
    assert "Next:\n  no night yet" in said


def test_a_book_that_is_not_shown_is_said_to_be_with_the_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rings = {kind: Keyring(home.parent / kind.value, kind) for kind in PartyKind}
    press = Press(*(rings[kind].identity().signing for kind in (PartyKind.HQ, PartyKind.OFFICE)))
    directory, now = make_directory([]), dt.datetime.now(dt.UTC)
    ages = {1: "", 35: "sealed as of .*, expected a day not more than 37 days ago", 60: "made 2"}
    for version, (days, why) in enumerate(ages.items(), 1):
        made = now - dt.timedelta(days=days if days == 60 else 0)
        as_of = now.date() - dt.timedelta(days=days + 3)
        book = make_book(
            band_codes([]), directory, as_of=str(as_of), made_at=made.timestamp(), version=version
        )
        assert shelve(home, book, directory, press, made)
        status(home, as_json=False)
        said = capsys.readouterr().out
        assert f"Band book: as of {as_of}, made" in said
        assert bool(re.search(f"no bands are shown: band book: {why}", said)) == bool(why)
    (home / "book.bin").write_bytes(b"no book")
    status(home, as_json=False)
    said = capsys.readouterr().out
    assert "Band book: none that can be used" in said
    assert "no bands are shown: " in said


def test_nights_are_shown_with_how_they_ended(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_journal(home, dt.timedelta(hours=4)) as account:
        account.step(NightStep.ANSWERS)
        account.note(answered=1, rows=1200, quarantined=3)
        account.end(HqUnreachable("[hq]:1", "ConnectError"))
    with closing(NightLog.open(home)) as log:
        log.begin(dt.datetime.now(dt.UTC), dt.timedelta(hours=4))
    status(home, as_json=False)
    said = capsys.readouterr().out
    assert "UTC: failed (HQ was not reached, or broke off), 1 question answered" in said
    assert "UTC: running or killed before its first step; the next start goes on with it" in said
    assert "Ledger: 1,200 rows, 3 in quarantine" in said
    status(home, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [night["number"] for night in found["nights"]] == [2, 1]
    assert found["nights"][1]["outcome"] == "failed"
    assert found["error"].startswith("[hq]:1: ConnectError")
    assert found["people"] == {state.value: 0 for state in State}


def test_a_night_that_could_not_begin_is_told_with_the_error(home: Path) -> None:
    write_health(home, Health(Condition.OK))
    mark_not_begun(home, NotConfigured("office's card: none"))
    found = standing(home, SETTINGS, AT)
    assert next_steps(found, AT)[0] == "no night could begin: office's card: none"


def test_a_start_that_failed_at_once_is_not_given_the_advice_of_the_night_before(
    home: Path,
) -> None:
    with open_journal(home, dt.timedelta(hours=4)) as account:
        account.end(ClockOff(10_800))
    assert next_steps(standing(home, SETTINGS, AT), AT)[0].endswith("time, best by NTP")
    mark_not_begun(home, NotConfigured("office's card: none"))
    assert next_steps(standing(home, SETTINGS, AT), AT)[0] == (
        "no night could begin: office's card: none"
    )


def test_status_look_ups_and_requests_do_not_wait_for_a_night_that_writes(home: Path) -> None:
    """Real programs, while another process holds the database and has written much of it."""
    with closing(People.open(home, Keyring(home, PartyKind.OUTLET).identity())) as people:
        people.record_consent(people.local_key("tel:+6581234567"), "n", "mei", AT)
    NightLog.open(home).close()
    with writing(home):
        began = time.monotonic()
        for command in (
            ["status"],
            ["lookup", "--phone", "+6581234567", "--purpose", "sale", "--by", "mei"],
            ["customer", "requests"],
        ):
            done = ask(home, *command)
            assert done.returncode == 0, (command, done.stderr)
        assert time.monotonic() - began < 50  # each would wait for a minute
    assert "1 known" in ask(home, "status").stdout


def ask(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    run = "from outlet_client.main import app; app()"
    return subprocess.run(  # noqa: S603  (our own)
        [sys.executable, "-c", run, *command, "--home", str(home)],
        capture_output=True, text=True, check=False, timeout=55,
    )  # fmt: skip


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Another process in the midst of a transaction that is larger than SQLite's cache."""
    engine = "import sys; from outlet_client.database import engine_of; "
    write = (
        "c = engine_of(f'sqlite:///{sys.argv[1]}/outlet.db').connect(); "
        "c.exec_driver_sql('CREATE TABLE large (cell BLOB)'); "
        "[c.exec_driver_sql('INSERT INTO large VALUES (randomblob(100000))') for _ in range(80)]; "
        "print('writing', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(  # noqa: S603  (our own)
        [sys.executable, "-c", engine + write, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        yield
        assert other.poll() is None
        other.kill()


def test_a_command_that_has_to_write_says_who_is_writing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("outlet_client.database._WAIT_SECONDS", 0)
    identity = Keyring(home, PartyKind.OUTLET).identity()
    with (
        closing(People.open(home, identity)) as people,
        writing(home),
        pytest.raises(Exit) as ended,
        failing(),
    ):
        people.record_consent(people.local_key("tel:+6581234567"), "n", "mei", AT)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert "database is locked" in said
    assert "a night or another command is writing" in said
    assert "disk" not in said


def test_status_counts_people_and_names_nobody(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(People.open(home, Keyring(home, PartyKind.OUTLET).identity())) as people:
        key = people.local_key("tel:+6581234567")
        people.record_consent(key, "n", "mei", AT - dt.timedelta(days=400))
    status(home, as_json=False)
    read = capsys.readouterr().out
    status(home, as_json=True)
    given = capsys.readouterr().out
    assert json.loads(given)["people"]["known"] == 1
    assert "       1 known\n" in read
    for said in (read, given):
        assert key not in said
        assert "mei" not in said
