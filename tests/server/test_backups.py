"""Backups of HQ and of the office: whole under their name or not there, and used as a home."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from privacy.identity import PartyKind
from server.holder import backups
from server.holder.backups import BackupFailed, whole_folder
from server.holder.vault import SECRETS_FILE
from server.hq.main import app as hq_app
from server.office.main import app as office_app
from tests.server.test_holder import Parties

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from privacy.keyring import Keyring

APPS = {PartyKind.HQ: hq_app, PartyKind.OFFICE: office_app}
HOLDERS = list(APPS)


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        made = Parties(tmp_path, stack)
        for kind in HOLDERS:
            made.run(kind)  # backups are made while both serve
        yield made


def back_up(app: typer.Typer, ring: Keyring, folder: Path) -> str:
    result = CliRunner().invoke(app, ["backup", str(folder), "--home", str(ring.folder)])
    return f"{result.exit_code} {result.output} {result.stderr}"


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_backup_of_a_serving_holder_is_a_home(
    parties: Parties, tmp_path: Path, kind: PartyKind
) -> None:
    ring, folder = parties.holder(kind), tmp_path / "backups" / "one"
    ring.folder.joinpath(SECRETS_FILE).touch(mode=0o600)
    assert back_up(APPS[kind], ring, folder).startswith("0 ")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not (folder / SECRETS_FILE).exists()
    for file in folder.rglob("*.db"):
        assert file.stat().st_mode & 0o077 == 0
    listed = CliRunner().invoke(APPS[kind], ["outlets", "list", "--home", str(folder)])
    assert len(listed.output.splitlines()) == len(parties.outlets)
    status = CliRunner().invoke(APPS[kind], ["tokens", "status", "--home", str(folder)])
    assert status.exit_code == 0
    assert back_up(APPS[kind], ring, folder).startswith("1 ")
    assert "is there already; give the backup another name" in back_up(APPS[kind], ring, folder)


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_mistake_in_the_settings_stops_no_backup(
    parties: Parties, tmp_path: Path, kind: PartyKind
) -> None:
    """A timer makes them, while a holder goes on with the settings of before."""
    ring, folder = parties.holder(kind), tmp_path / "one"
    settings = ring.folder / f"{kind}.toml"
    settings.write_text("join_second = 3\n")
    assert back_up(APPS[kind], ring, folder).startswith("0 ")
    assert (folder / settings.name).read_text() == settings.read_text()
    settings.write_text("database = 3\n")
    assert back_up(APPS[kind], ring, tmp_path / "two").startswith("2 ")


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_backup_that_was_killed_is_not_there_and_the_next_is_whole(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: PartyKind
) -> None:
    ring, folder = parties.holder(kind), tmp_path / "one"
    with monkeypatch.context() as patched:
        patched.setattr("shutil.copytree", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            CliRunner().invoke(
                APPS[kind],
                ["backup", str(folder), "--home", str(ring.folder)],
                catch_exceptions=False,
            )
    assert not folder.exists()
    assert (tmp_path / "one.unfinished").exists()
    assert back_up(APPS[kind], ring, folder).startswith("0 ")
    assert (folder / "peers").is_dir()
    assert not (tmp_path / "one.unfinished").exists()


def test_a_copy_that_does_not_read_back_is_no_backup(tmp_path: Path) -> None:
    with (
        pytest.raises(BackupFailed, match=r"hq\.db: its copy is damaged"),
        whole_folder(tmp_path / "one") as place,
    ):
        (place / "hq.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert not (tmp_path / "one").exists()


def test_all_of_a_backup_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    folder = tmp_path / "one"
    monkeypatch.setattr(
        backups, "_sync", lambda place: synced.append((place.name, folder.exists()))
    )
    with whole_folder(folder) as place:
        (place / "peers").mkdir()
        (place / "peers" / "a.json").write_text("{}")
    assert synced == [
        ("peers", False), ("a.json", False), ("one.unfinished", False), (tmp_path.name, True),
    ]  # fmt: skip
