"""The timer of the nights: what is written, for whom, and that systemd takes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outlet_client.main import app
from outlet_client.setup.night_timer import SERVICE, TIMER, unit_text, units_of_machine
from tests.outlet_client.test_key_commands import Outlet

PROGRAM = Path(sys.executable).parent / "escapement-outlet"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return Outlet(tmp_path).ring.folder


def run(home: Path, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["install-timer", *words, "--home", str(home)])
    assert done.exit_code == code, done.output
    return done.output


def test_the_units_that_are_deployed_are_the_programs_own() -> None:
    for name in (SERVICE, TIMER):
        assert (ROOT / "deploy" / "systemd" / name).read_text() == unit_text(name)
    program, home = (
        Path("/opt/escapement/bin/escapement-outlet"),
        Path("/var/lib/escapement/outlet"),
    )
    service = units_of_machine(program, home, "escapement")[SERVICE]
    own = unit_text(SERVICE).replace(
        "WorkingDirectory=/var/lib/escapement", f"WorkingDirectory={home}"
    )
    assert service == own


def test_a_users_timer_starts_this_program_on_this_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    said = run(home)
    place = tmp_path / "config" / "systemd" / "user"
    assert "systemctl --user enable --now escapement-outlet.timer" in said
    assert "loginctl enable-linger" in said
    assert "3 one that HQ was" in said
    service = (place / SERVICE).read_text()
    assert f"ExecStart={PROGRAM} nightly --home {home}" in service
    assert "SuccessExitStatus=3" in service
    for setting in ("User=", "PrivateUsers", "CapabilityBoundingSet", "StateDirectory"):
        assert setting not in service  # a user's systemd has no right to them
    assert (place / TIMER).read_text() == unit_text(TIMER)


def test_a_machines_timer_runs_as_the_folders_owner_who_may_write_it(home: Path) -> None:
    folder = home.parent / "units"
    said = run(home, "--system", "--folder", str(folder))
    assert "systemctl enable --now escapement-outlet.timer" in said
    service = (folder / SERVICE).read_text()
    assert f"User={home.owner()}" in service
    assert f"ReadWritePaths={home}" in service
    assert "StateDirectory" not in service
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        command = [analyze, "verify", "--man=no", str(folder / SERVICE), str(folder / TIMER)]
        told = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  (our own arguments)
        assert "Unknown" not in told.stderr
        assert "Failed to parse" not in told.stderr


def test_on_windows_what_to_type_is_printed_and_nothing_is_written(home: Path) -> None:
    before = set(home.parent.rglob("*"))
    said = run(home, "--windows")
    assert f"""-Argument 'nightly --home "{home}"'""" in said
    assert "$daily.StartBoundary = '2026-01-01T01:55:00Z'" in said  # UTC; no sum for the reader
    assert "schtasks" not in said
    assert set(home.parent.rglob("*")) == before


def test_a_folder_without_keys_gets_no_timer(tmp_path: Path) -> None:
    assert "no keys" in " ".join(run(tmp_path, "--folder", str(tmp_path / "u"), code=6).split())
    assert not (tmp_path / "u").exists()
