"""A database that is not there was lost: it is refused, named, and begun anew by a person only."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from outlet_client.database import DATABASES, create_databases
from outlet_client.folder_locks import alone, in_use
from outlet_client.main import app
from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, record_act_in
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.outlet_client.test_key_commands import Outlet

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC)
LATER, EARLIER = NOW + dt.timedelta(days=1), NOW - dt.timedelta(days=90)
ANNA = "tel:+6581110001"

READS = {
    "outlet.db": (["status"], ["nightly"], ["consent", "show"], ["directory", "show"]),
    "rights.db": (["nightly"], ["customer", "requests"]),
    "staff.db": (["nightly"], ["staff", "list"]),
}
"""Commands that need a database."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An outlet's folder as `enrol` makes it."""
    folder = Outlet(tmp_path).ring.folder
    (folder / "escapement.toml").write_text('ledger = "ledger.csv"\nregion = "SG"\n')
    (folder / "ledger.csv").write_text("customer_id,purchased_at,price,kind\n")
    return folder


def run(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words, "--home", str(home)])
    return done.exit_code, " ".join(done.output.split())


def people(home: Path) -> People:
    return People.open(home, Keyring(home, PartyKind.OUTLET).identity())


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
@pytest.mark.parametrize("name", DATABASES)
def test_who_needs_a_lost_database_refuses_and_makes_none(home: Path, name: str, left: str) -> None:
    (home / name).unlink()
    if left == "an empty file":  # as a full disk leaves it
        (home / name).touch()
    before = {file.name for file in home.glob("*.db")}
    for words in READS[name]:
        code, said = run(home, *words)
        assert code == 1, (words, said)
        assert f"{name}: not there, expected in the folder with this outlet's keys" in said
        assert "escapement-outlet new-store" in said
    assert f"✗ {name}: {name}: not there" in run(home, "doctor")[1]
    assert {file.name for file in home.glob("*.db")} == before
    assert not (home / name).exists() or not (home / name).stat().st_size


def test_a_new_store_is_made_when_a_person_says_that_the_old_one_is_lost(home: Path) -> None:
    assert run(home, "new-store")[1] == "No database is missing."
    (home / "outlet.db").unlink()
    assert run(home, "new-store")[0] == 1  # nobody said so
    assert not (home / "outlet.db").exists()
    code, said = run(home, "new-store", "--yes")
    assert code == 0
    assert "outlet.db: made, empty. Gone: consents, tokens" in said
    assert run(home, "status")[0] == 0
    assert "new store, outlet.db" in run(home, "log", "show")[1]


def test_who_withdrew_before_the_loss_does_not_come_back_with_an_old_consent(home: Path) -> None:
    """As far as the log goes; a new consent brings them back."""
    with closing(people(home)) as store:
        key = store.local_key(ANNA)
        store.record_consent(key, "n", "mei", EARLIER)
        store.withdraw(key)
    record_act_in(home, NOW, LogAct.WITHDRAWAL, "mei", key=key)
    (home / "outlet.db").unlink()
    assert "the log brought 1 withdrawals" in run(home, "new-store", "--yes")[1]
    with closing(people(home)) as store:
        assert store.record_consent(key, "n", "mei", EARLIER) is Recorded.TOO_OLD
        assert not any(store.counts().values())
        assert store.record_consent(key, "n", "mei", LATER) is Recorded.NEW


def test_an_upgrade_and_a_new_store_refuse_beside_whoever_uses_the_folder(home: Path) -> None:
    (home / "staff.db").unlink()
    with in_use(home), in_use(home):  # a desk and a night
        for words in (["upgrade"], ["new-store", "--yes"]):
            code, said = run(home, *words)
            assert code == 1
            assert "a desk, `escapement-outlet serve` or a night runs in it" in said
    assert not (home / "staff.db").exists()
    assert run(home, "new-store", "--yes")[0] == 0
    assert run(home, "upgrade")[0] == 0


@pytest.mark.parametrize("words", [["desk"], ["serve"], ["nightly"]])
def test_who_would_use_a_folder_while_it_is_upgraded_is_told_so(
    home: Path, words: list[str]
) -> None:
    create_databases(home)
    with alone(home):
        code, said = run(home, *words)
    assert code == 1
    assert "an upgrade runs in it" in said
