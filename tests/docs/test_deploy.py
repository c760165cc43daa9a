"""What deploy/ promises: images without keys, and units that may do little."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
IGNORES = (".dockerignore", ".containerignore")
MOST_EXPOSED = 3.0


def matcher(pattern: str) -> re.Pattern[str]:
    """A line of an ignore file, as Docker and Podman read it."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.strip("/"))
    made = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(made.get(piece, re.escape(piece)) for piece in pieces))


def is_in_context(path: str, lines: list[str]) -> bool:
    """Whether a file goes to who builds: the last line that matches it, or its folder, counts."""
    parts = path.split("/")
    places = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    sent = True
    for line in lines:
        pattern = matcher(line.removeprefix("!"))
        if any(pattern.fullmatch(place) for place in places):
            sent = line.startswith("!")
    return sent


@pytest.fixture(scope="module")
def lines() -> list[str]:
    texts = [(ROOT / name).read_text() for name in IGNORES]
    assert texts[0] == texts[1]
    return [line for line in texts[0].splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(
    "path",
    [
        "runs/2027-01-15/hq/identity.json",
        "runs/2027-01-15/outlets/a/outlet.db",
        "hq/token-share.json",
        "office/office.db",
        "my-outlet/escapement.toml",
        "before-upgrade.tar.gz",
        "server/hq/identity.json",
        "server/hq/hq.db",
        "outlet_client/outlet/ledger.password",
        "features/nights/night-2027-01-15.json",
        "privacy/release.key",
        "sandbox/copy/ledger.csv",
        ".git/config",
        ".venv/bin/python",
        "tests/stores/0.1/outlet.sql",
        "deploy/README.md",
    ],
)
def test_no_key_ledger_or_store_is_sent_to_who_builds_an_image(path: str, lines: list[str]) -> None:
    assert not is_in_context(path, lines)


@pytest.mark.parametrize(
    "path",
    [
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "LICENSE",
        "server/hq/main.py",
        "server/wire/office_pb2.pyi",
        "sandbox/references.csv",
        "features/py.typed",
    ],
)
def test_what_an_installation_needs_is_sent(path: str, lines: list[str]) -> None:
    assert is_in_context(path, lines)


def test_every_file_of_the_packages_that_git_keeps_is_sent_and_nothing_else_of_the_checkout(
    lines: list[str],
) -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    listed = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others"]
    command = [*listed, "--exclude-standard"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  (our own arguments)
    kept = {name for name in out.split("\0") if name}
    packages = ("server/", "outlet_client/", "features/", "privacy/", "sandbox/")
    assert {n for n in kept if n.startswith(packages) and not is_in_context(n, lines)} == set()
    found = (str(p.relative_to(ROOT)) for p in ROOT.glob("*") if p.is_file())
    alone = {name for name in found if is_in_context(name, lines)}
    assert alone == {"pyproject.toml", "requirements.lock", "README.md", "LICENSE"}


def test_images_copy_from_the_context_alone() -> None:
    for file in (ROOT / "deploy/containers").iterdir():
        copies = re.findall(r"^(?:COPY|ADD) (.*)$", file.read_text(), re.MULTILINE)
        assert copies == ["requirements.lock ./", ". ./"]


def read_unit(file: Path) -> dict[str, list[str]]:
    """The settings of a unit, each with all its lines."""
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_a_unit_runs_as_nobody_special_and_can_load_what_it_unpacks(file: Path) -> None:
    unit = read_unit(file)
    assert unit["User"] == ["escapement"]
    assert unit["PrivateTmp"] == ["yes"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    # libsodium is loaded from /tmp, and polars writes code of its own: see deploy/README.md.
    assert not {"NoExecPaths", "MemoryDenyWriteExecute"} & set(unit)


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_systemd_calls_a_unit_little_exposed(file: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    command = [analyze, "security", "--offline=true", "--no-pager", str(file)]
    out = subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603  (our own arguments)
    level = re.search(r"exposure level for \S+: ([\d.]+)", out)
    if level is None:
        pytest.skip("this systemd-analyze rates no unit files")
    assert float(level[1]) < MOST_EXPOSED


def test_every_role_has_a_backup_each_day_of_which_seven_stay() -> None:
    timers = {file.stem for file in (ROOT / "deploy/systemd").glob("*.timer")}
    assert timers == {
        "escapement-outlet", "escapement-hq-backup", "escapement-office-backup",
        "escapement-outlet-backup",
    }  # fmt: skip
    for role in ("hq", "office", "outlet"):
        timer = ConfigParser(strict=False, interpolation=None)
        timer.read(ROOT / f"deploy/systemd/escapement-{role}-backup.timer")
        assert timer["Timer"]["OnCalendar"].startswith("*-*-*")
        unit = read_unit(ROOT / f"deploy/systemd/escapement-{role}-backup.service")
        assert (
            f"escapement-{role} backup --home /var/lib/escapement/{role} " in unit["ExecStart"][0]
        )
        assert f"{role}-* | tail -n +8 |" in unit["ExecStartPost"][0]
