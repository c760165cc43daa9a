"""Commands about one customer: look up, consent, withdraw, and what they say and need."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from outlet_client.main import app
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.registrations import Registration
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.outlet_client.fake_registry import Slots
from tests.outlet_client.lookup_shop import ANNA, BEN, LOOK, NOW, Folder, folder
from tests.shelves import NETWORK

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from privacy.envelopes import SealKey

__all__ = ["folder"]


def test_the_commands_say_what_happened_and_what_follows(folder: Folder, tmp_path: Path) -> None:
    code, said = folder.run(*LOOK, "--phone", ANNA, "--json")
    assert code == 2
    assert json.loads(said) == {
        "status": "consent needed",
        "as_of": "",
        "bands": [],
        "many_outlets": False,
        "note": "",
        "allocation": None,
    }
    assert folder.run(*LOOK, "--phone", "12")[0] == 1
    assert folder.run("lookup", "--phone", ANNA)[0] == 2
    assert folder.run("lookup", "--phone", ANNA, "--purpose", "fun")[0] == 2
    assert folder.run(*LOOK, "--phone", ANNA, "--by", " ")[0] == 1
    file = tmp_path / "consents.csv"
    file.write_text(
        f"phone,email,notice,recorded_at,recorded_by\n{ANNA},,2026-03,2026-03-01T10:00:00Z,mei\n"
    )
    assert "1 recorded;" in folder.run("consent", "import", str(file))[1]
    assert "consent, a file of consents, 1 recorded" in folder.run("log", "show")[1]
    code, said = folder.run(*LOOK, "--phone", ANNA)
    assert (code, said.partition(" From")[0]) == (0, "not in the network")
    assert "decide as without a band" in said
    assert "2026-03: 1 standing, 0 ended" in folder.run("consent", "show")[1]
    assert "1 known" in folder.run("status")[1]
    (folder.folder / "clients.csv").write_text(f"customer_id,phone,email\na,{ANNA},\n")
    assert folder.run("consent", "export", str(tmp_path / "out.csv"))[1].startswith("1 written")
    assert "export, the consents, file" in folder.run("log", "show")[1]
    for _ in range(2):
        code, said = folder.run("withdraw", "--phone", ANNA)
        assert code == 0
        for truth in ("Nothing of this customer ever left", "other outlets were not told"):
            assert truth in said
    assert "never consented" in folder.run("withdraw", "--phone", BEN)[1]
    assert "2026-03: 0 standing, 1 ended" in folder.run("consent", "show")[1]


def test_a_restore_says_that_later_withdrawals_must_be_made_again(
    folder: Folder, tmp_path: Path
) -> None:
    assert folder.run("backup", str(tmp_path / "b.tar.gz"))[0] == 0
    assert "export, a backup" in folder.run("log", "show")[1]
    folder.folder = tmp_path / "again"
    code, said = folder.run("restore", str(tmp_path / "b.tar.gz"))
    assert code == 0
    assert "export, a backup" in folder.run("log", "show")[1]
    assert "Withdrawals made since the backup" in said
    assert "make them again" in said


def test_a_withdrawal_says_whom_it_reaches_and_promises_no_more(folder: Folder) -> None:
    ring = Keyring(folder.folder, PartyKind.OUTLET)
    people = People.open(folder.folder, ring.identity())
    made = token(f"tel:{ANNA}", TokenShare.generate())
    key, sealing = people.local_key(f"tel:{ANNA}"), folder.hq.sealing
    assert sealing is not None
    people.record_consent(key, "n", "mei", NOW)
    people.keep_tokens({key: made})
    code, said = folder.run("withdraw", "--phone", ANNA)
    assert code == 0
    for promise in ("Nothing of this customer is used", "tell HQ", "band book", "new consent"):
        assert promise in said
    slots = Slots()
    for batch in (1, 2):
        hand_in(people, slots, sealing, batch)
    people.follow(slots.directory(2))
    code, said = folder.run("withdraw", "--phone", ANNA)
    assert code == 0
    assert "Withdrawn before" in said
    assert "nobody was told anything now" in said

    people.record_consent(key, "n", "mei", dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    hand_in(people, slots, sealing, 3)
    people.follow(slots.directory(3))
    slots.blank(SlotKey.of(made.raw).public, 4)
    people.follow(slots.directory(4))
    code, said = folder.run("withdraw", "--phone", ANNA)
    assert code == 0
    assert "Withdrawn before, at another outlet" in said
    assert "nobody was told anything now" in said
    people.close()


def hand_in(people: People, slots: Slots, sealing: SealKey, batch: int) -> None:
    """Hands in a batch's only submission, which HQ applies."""
    sealed = people.submission(batch, 1, sealing.public, NETWORK)
    assert sealed is not None
    people.submitted(batch)
    for one in sealed:
        slots.apply(Registration.opened(one, sealing, NETWORK, batch))


def test_a_first_time_without_a_network_keeps_the_consent_and_says_who_is_missing(
    folder: Folder,
) -> None:
    words = (*LOOK, "--phone", ANNA, "--consent", "n", "--by", "mei")
    done = CliRunner().invoke(app, [*words, "--home", str(folder.folder)])
    assert done.exit_code == 3
    assert "HQ: UNAVAILABLE" in done.output
    assert ANNA not in done.output
    assert "1 known" in folder.run("status")[1]


def test_doctor_looks_for_both_services(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlet_client.commands.doctor.REACH_SECONDS", 0.1)
    said = folder.run("doctor")[1]
    assert "✗ HQ's services: HQ: no answer" in said
    assert "✗ office's services: the privacy office: no answer" in said


def test_settings_of_the_client_book_are_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text('ledger = "l.csv"\nclients = "c.csv"\n')
    read = OutletFile.read(tmp_path / "e.toml")
    assert read.clients is not None
    assert read.clients.source == str(tmp_path / "c.csv")
    assert (read.region, read.evaluations_a_night, read.book_days) == (None, 512, 30)
