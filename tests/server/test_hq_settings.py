"""hq.toml: a wrong setting is named, and while HQ serves the last good ones hold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from server.holder.errors import HolderNotConfigured
from server.hq.settings import HqFile, WatchedSettings
from server.office.settings import OfficeFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("join_second = 3\n", "join_second: got an unknown key, expected perhaps join_seconds"),
        ("[training]\nrouns = 3\n", "training.rouns: got an unknown key, expected perhaps rounds"),
        ("[tokens]\nxyz = 3\n", "tokens.xyz: got an unknown key, expected one of network_a_day, "),
        ("[training]\nquorum = 1\n", "training.quorum: got 1, expected greater than or equal to 2"),
        ('night_at = "25:00"\n', "night_at: got '25:00', expected"),
        ('outcomes = ["y_x"]\n', "y_x"),
        ("join_seconds = \n", "line 1, column 16); expected TOML"),
        (b"join_seconds = 3 # \xff\n", "expected TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_what_it_got_and_what_was_expected(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    file = tmp_path / "hq.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(HolderNotConfigured) as refused:
        HqFile.read(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)
    assert "pydantic" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("read", [HqFile.read, OfficeFile.read])
@pytest.mark.parametrize("value", ['["{}"]', '{{url = "{}"}}', '"{}'])
def test_a_wrong_database_setting_never_shows_a_password(
    tmp_path: Path, read: Callable[[Path], object], value: str
) -> None:
    file = tmp_path / "its.toml"
    file.write_text(f"database = {value.format('postgresql+psycopg://u:geheim@h/d')}\n")
    with pytest.raises(HolderNotConfigured) as refused:
        read(file)
    assert "geheim" not in str(refused.value)
    assert str(refused.value).startswith(f"{file}: ")


def test_while_hq_serves_the_last_good_settings_hold_and_what_is_wrong_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "hq.toml"
    file.write_text("join_seconds = 3\n")
    watched = WatchedSettings(file)
    caplog.set_level(logging.INFO)
    for wrong, said in (
        ("join_second = 4\n", "perhaps join_seconds"),
        ("join_seconds", "expected TOML"),
        (None, "is gone"),
    ):
        if wrong is None:
            file.unlink()
        else:
            file.write_text(wrong)
        caplog.clear()
        assert [watched.now().join_seconds for _ in range(3)] == [3, 3, 3]
        assert len(caplog.records) == 1
        assert said in caplog.text
    file.write_text("join_seconds = 5\n")
    caplog.clear()
    assert watched.now().join_seconds == 5
    assert "good again" in caplog.text


def test_at_its_start_hq_needs_no_file_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    assert WatchedSettings(tmp_path / "hq.toml").now() == HqFile()
    (tmp_path / "hq.toml").write_text("join_second = 4\n")
    with pytest.raises(HolderNotConfigured):
        WatchedSettings(tmp_path / "hq.toml")
