"""The commands that HQ and the privacy office have alike, and how they end."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.holder.errors import HolderNotConfigured
from server.holder.locks import NIGHT_LOCK, SERVE_LOCK, locked
from server.hq.main import app as hq_app
from server.hq.settings import HqFile
from server.office.main import app as office_app
from server.office.settings import OfficeFile

if TYPE_CHECKING:
    from pathlib import Path

    import typer

BOTH = pytest.mark.parametrize(("app", "file"), [(hq_app, "hq.toml"), (office_app, "office.toml")])


def run(app: typer.Typer, home: Path, *words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*map(str, words), "--home", str(home)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def home(tmp_path: Path, app: typer.Typer) -> Path:
    """A holder's folder, made by its own command."""
    services = ["--services", "h:2"] if app is hq_app else []
    run(app, tmp_path / "home", "init", "--name", "x", "--address", "h:1", *services)
    return tmp_path / "home"


@BOTH
def test_an_outlet_is_added_listed_and_removed(
    app: typer.Typer, file: str, home: Path, tmp_path: Path
) -> None:
    assert (home / file).exists()
    outlet = Keyring(tmp_path / "o1", PartyKind.OUTLET)
    fingerprint = outlet.create("o1", "", dt.datetime.now(dt.UTC)).card.fingerprint
    add = ("outlets", "add", outlet.public_file, "--fingerprint")
    assert "its fingerprint is" in run(app, home, *add, "beef", code=2).replace("│", "")
    assert "outlet o1 is on the list" in run(app, home, *add, fingerprint)
    (line,) = run(app, home, "outlets", "list").splitlines()
    assert line.startswith("outlet o1, serial 1, until 20")
    assert line.endswith(f", fingerprint {fingerprint}")
    status = json.loads(run(app, home, "tokens", "status", "--json"))
    assert status["outlets"] == {"o1": {"given": 0, "quota": 640}}
    assert "o1 is off the list" in run(app, home, "outlets", "remove", "o1")
    assert run(app, home, "outlets", "list") == ""


def contents(home: Path) -> dict[Path, bytes]:
    """Every file of a folder but its locks."""
    files = (one for one in home.rglob("*") if one.is_file() and one.suffix != ".lock")
    return {one: one.read_bytes() for one in files}


STOPPED = [
    ("tokens", "renew", "--yes"),
    ("keys", "anew", "--stolen", "--yes"),
    ("new-store", "--yes"),
]
"""What both holders do only while neither `serve` nor a night runs."""


@BOTH
@pytest.mark.parametrize("lock", [SERVE_LOCK, NIGHT_LOCK])
def test_what_needs_a_stopped_holder_is_refused_while_it_runs_and_changes_nothing(
    app: typer.Typer, file: str, home: Path, lock: str, tmp_path: Path
) -> None:
    other = Keyring(tmp_path / "other", PartyKind.OFFICE if app is hq_app else PartyKind.HQ)
    other.create("y", "127.0.0.1:1", dt.datetime.now(dt.UTC), service_address="127.0.0.1:1")
    group = "office" if app is hq_app else "hq"
    run(app, home, group, "add", other.public_file, "--fingerprint", other.own_card().fingerprint)
    (home / "meter.db").unlink()  # for `new-store`
    more = [("restored", "--yes")] if app is hq_app else [("ledger", "reconcile")]
    with locked(home / lock):
        before = contents(home)
        for words in (*STOPPED, *more):
            said = " ".join(run(app, home, *words, code=1).split())
            assert "its service, or a night runs there, expected none of them; stop it" in said
        assert contents(home) == before
    assert "meter.db: made, empty" in run(app, home, "new-store", "--yes")


def test_hqs_copy_of_the_ledger_is_not_forgotten_while_a_night_runs(tmp_path: Path) -> None:
    home, kept = tmp_path / "home", tmp_path / "kept.json"
    run(hq_app, home, "init", "--name", "x", "--address", "h:1", "--services", "h:2")
    with locked(home / NIGHT_LOCK):
        said = run(hq_app, home, "ledger", "accept", kept, "--yes", code=1)
    assert "another process of this folder runs one" in " ".join(said.split())
    assert not kept.exists()
    with locked(home / SERVE_LOCK):
        run(hq_app, home, "ledger", "accept", kept, "--yes")
    assert kept.exists()


@BOTH
def test_what_the_first_settings_have_commented_out_is_the_default(
    app: typer.Typer, file: str, home: Path
) -> None:
    read = HqFile.read if app is hq_app else OfficeFile.read
    before, text = read(home / file), (home / file).read_text()
    lines = [re.sub(r"^# (?!listen|services)(\w+ = )", r"\1", line) for line in text.splitlines()]
    assert sum(not line.startswith(("#", "[")) for line in lines if line) > 4
    (home / file).write_text("\n".join(lines))
    assert read(home / file) == before


@BOTH
def test_what_is_refused_is_one_line_and_an_exit_code(
    app: typer.Typer, file: str, home: Path
) -> None:
    (home / file).write_text("[tokens]\noutlet_a_dy = 1\n")
    said = run(app, home, "tokens", "status", code=2)
    assert said.startswith("error: ")
    assert "outlet_a_dy" in said
    (home / file).unlink()
    (home / "meter.db").write_text("no database, but long enough to be taken for one" * 99)
    assert "meter.db: file is not a database" in run(app, home, "tokens", "status", code=1)
    (home / "token-share.json").unlink()
    assert run(app, home, "tokens", "status", code=1).startswith("error: ")


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("promise", "event_noise = 0.5"),
        ("promise", "scorecards_a_year=14"),
        ("promise", "  points_a_year = 72  # so many"),
        ("promise.shares", "points = 1.0"),
        ("promise.shares", "demand = 0.04"),
    ],
)
def test_an_office_with_a_setting_of_release_0_1_says_which_line_has_to_go(
    tmp_path: Path, section: str, line: str
) -> None:
    file, key = tmp_path / "office.toml", line.split("=")[0].strip()
    kept = ["# points and demand are no shares any more", f"[{section}]", f"# {line}"]
    file.write_text("\n".join([*kept, line]))
    with pytest.raises(HolderNotConfigured) as caught:
        OfficeFile.read(file)
    expected = f"{file}, line 4: `{key}` of {section} means nothing any more; delete the line"
    assert str(caught.value) == expected
    said = run(office_app, tmp_path, "tokens", "status", code=2)
    assert "means nothing any more" in " ".join(said.split())
    file.write_text("\n".join(kept))
    assert OfficeFile.read(file).promise.epsilon == OfficeFile().promise.epsilon
