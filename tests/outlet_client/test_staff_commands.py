"""`escapement-outlet staff`: who may use the desk, on record; and a backup brings them back."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from outlet_client.database import create_databases
from outlet_client.main import app
from outlet_client.records.access_log import LogAct
from outlet_client.records.actor import system_user
from outlet_client.staff.accounts import Accounts, Role, SignInRefused, secret_of
from outlet_client.staff.passkeys import Passkeys
from outlet_client.staff.sign_in_throttle import FREE_TRIES
from outlet_client.staff.staff_store import StaffStore
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.outlet_client.authenticator import Device
from tests.outlet_client.desk_site import (
    CHEAP,
    MEI,
    NOON,
    OKAFOR,
    PASSWORD,
    RAFAEL,
    URL,
    Desk,
    desk,
    home,
    kept,
    opened,
    outlet,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["desk", "home", "outlet"]


def run(home: Path, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def listed(home: Path) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(home, "staff", "list", "--json"))
    return {one.pop("name"): one for one in found}


def acts(desk: Desk) -> list[tuple[str, str, str]]:
    return [(one.by, one.about, one.outcome) for one in desk.log(LogAct.STAFF)]


def test_an_account_is_made_on_record_and_its_password_is_shown_once(desk: Desk) -> None:
    said = run(desk.home, "staff", "add", " Ida  Meyer", "--role", "manager", "--by", "The owner")
    assert said.startswith("Ida Meyer: ")
    assert said.endswith("It is not shown again.")
    password = said.split()[2]
    assert acts(desk) == [("The owner", "Ida Meyer", "added as manager")]
    found = listed(desk.home)["Ida Meyer"]
    assert found == {
        "role": "manager", "undertook": None, "undertook_at": None, "temporary_password": True,
        "locked_out": False,
    }  # fmt: skip
    [row] = [row for row in kept(desk.home)["staff.db: staff"] if row[0] == "Ida Meyer"]
    assert str(row[2]).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PasswordHasher().verify(str(row[2]), password)
    for file in desk.home.iterdir():
        assert file.is_dir() or password.encode() not in file.read_bytes()


def test_without_a_name_it_was_the_operating_systems_user(desk: Desk) -> None:
    run(desk.home, "staff", "role", MEI, "--role", "manager")
    assert acts(desk) == [(system_user(), MEI, "now manager")]


@pytest.mark.parametrize("name", ["mei lin", "MEI  LIN", MEI])
def test_a_name_is_taken_however_it_is_written_and_nothing_is_logged(desk: Desk, name: str) -> None:
    before = kept(desk.home)
    said = run(desk.home, "staff", "add", name, "--role", "manager", code=1)
    assert f"there is an account {MEI}" in said
    assert kept(desk.home) == before


@pytest.mark.parametrize(
    "words", [("reset",), ("remove",), ("role", "--role", "manager")], ids=lambda words: words[0]
)
def test_what_is_asked_of_nobody_is_neither_done_nor_logged(
    desk: Desk, words: tuple[str, ...]
) -> None:
    before = kept(desk.home)
    said = run(desk.home, "staff", words[0], "Nobody\nHere", *words[1:], code=1)
    assert "no account Nobody Here" in said
    assert "staff list" in said
    assert kept(desk.home) == before


@pytest.mark.parametrize("name", ["", "a\x1b[31m", "x" * 81])
def test_what_is_no_name_is_refused(desk: Desk, name: str) -> None:
    before = kept(desk.home)
    assert "expected the name" in run(desk.home, "staff", "add", name, "--role", "manager", code=1)
    run(desk.home, "staff", "add", "Ida", "--role", "owner", code=2)
    run(desk.home, "staff", "remove", MEI, "--by", name, code=1)
    assert kept(desk.home) == before


def test_a_role_a_new_password_and_a_removal_end_what_is_open_and_are_on_record(
    desk: Desk,
) -> None:
    for words, said in (
        (("role", "mei lin", "--role", "manager"), f"{MEI}: manager from now on; signed out"),
        (("remove", "MEI LIN"), f"{MEI}: removed, and signed out."),
    ):
        browser = desk.signed_in(MEI)
        assert said in run(desk.home, "staff", *words, "--by", "The owner")
        assert browser.get("/look-up").headers["location"] == "/sign-in"
    rafael = desk.signed_in(RAFAEL)
    for _ in range(FREE_TRIES):
        desk.browser().sign_in(RAFAEL, "wrong, wrong, wrong")
    said = run(desk.home, "staff", "reset", RAFAEL, "--by", "The owner")
    assert rafael.get("/look-up").headers["location"] == "/sign-in"
    assert desk.browser().sign_in(RAFAEL).status_code == 401
    again = desk.signed_in(RAFAEL, said.split(f"{RAFAEL}: ")[1].split()[0])
    assert again.get("/look-up").headers["location"] == "/account"
    assert acts(desk) == [
        ("The owner", MEI, "now manager"),
        ("The owner", MEI, "removed"),
        ("The owner", RAFAEL, "new password"),
    ]
    assert list(listed(desk.home)) == [OKAFOR, RAFAEL]


def test_the_list_says_what_each_undertook_and_who_is_locked_out(desk: Desk) -> None:
    secret = secret_of(Keyring(desk.home, PartyKind.OUTLET).identity())
    for _ in range(FREE_TRIES):
        with pytest.raises(SignInRefused):
            Accounts(desk.store, secret, CHEAP).sign_in(MEI, "wrong", _now())
    desk.accounts.reset(OKAFOR)
    found = listed(desk.home)
    version = desk.site.undertaking.version
    assert [(name, one["role"]) for name, one in found.items()] == [
        (OKAFOR, "privacy"), (MEI, "associate"), (RAFAEL, "manager")
    ]  # fmt: skip
    assert {one["undertook"] for one in found.values()} == {version}
    assert found[MEI]["undertook_at"].startswith("2026-03-02T12:00")
    assert [name for name, one in found.items() if one["locked_out"]] == [MEI]
    assert [name for name, one in found.items() if one["temporary_password"]] == [OKAFOR]
    said = run(desk.home, "staff", "list")
    assert "locked out" in said
    assert "temporary password" in said
    assert f"{version}, 2026-03-02" in said


def _now() -> Any:
    from outlet_client.moments import now

    return now()


def test_before_anybody_is_there_the_list_says_what_to_do(tmp_path: Path) -> None:
    Keyring(tmp_path, PartyKind.OUTLET).create("o", "", NOON)
    create_databases(tmp_path)
    assert "staff add NAME --role ROLE" in run(tmp_path, "staff", "list")
    assert json.loads(run(tmp_path, "staff", "list", "--json")) == []


def test_a_name_in_brackets_is_shown_as_it_is(desk: Desk) -> None:
    name = "[red]Eve[/] [bold]"
    desk.accounts.add(name, Role.ASSOCIATE, NOON)
    assert name in run(desk.home, "staff", "list")
    assert name in listed(desk.home)
    assert f"{name}: removed" in run(desk.home, "staff", "remove", name)


def test_without_keys_there_is_no_desk_to_have_staff(tmp_path: Path) -> None:
    assert "error" in run(tmp_path, "staff", "list", code=6)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_brings_accounts_back_while_the_desk_is_open(desk: Desk, tmp_path: Path) -> None:
    device, passkeys = Device(URL), desk.site.passkeys
    account = desk.accounts.named(MEI)
    asked, challenge = passkeys.registration(account, "localhost")
    passkeys.register(account, device.create(asked), challenge, URL, "Tablet", NOON)
    for _ in range(FREE_TRIES):
        desk.browser().sign_in(RAFAEL, "wrong, wrong, wrong")
    before = {name: rows for name, rows in kept(desk.home).items() if name.startswith("staff.db")}
    assert all(
        before[f"staff.db: {name}"] for name in ("staff", "passkeys", "tries", "undertakings")
    )
    run(desk.home, "backup", str(tmp_path / "b.tar.gz"))
    desk.accounts.remove(MEI)
    again = tmp_path / "again"
    said = run(again, "restore", str(tmp_path / "b.tar.gz"))
    assert "Who was removed since may use the desk again" in said
    after = {name: rows for name, rows in kept(again).items() if name.startswith("staff.db")}
    assert after == before
    for file in again.glob("staff.db*"):
        assert file.stat().st_mode & 0o077 == 0
    for name in ("ledger.csv", "clients.csv", "references.csv", "interests.csv", "sightings.csv"):
        (again / name).write_bytes((desk.home / name).read_bytes())
    with opened(again) as back, closing(StaffStore(again)) as store:
        assert back.signed_in(MEI, PASSWORD).get("/look-up").status_code == 200
        assert back.browser().sign_in(RAFAEL).status_code == 429
        options, challenge = Passkeys(store).authentication("localhost")
        signed = device.get(options)
        credential = device.credential.hex()
        assert Passkeys(store).authenticate(credential, signed, challenge, URL) == MEI
