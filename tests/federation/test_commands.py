"""The commands as a person uses them: enrolment, lists, doctor, ledger, backup."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner

from outlet_client.commands import doctor
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.main import app as outlet_app
from outlet_client.services import Services
from privacy.errors import AnswerRefused, PlanRefused
from privacy.identity import Card, CardRefused, Identity, PartyKind
from privacy.keyring import Keyring
from sandbox.main import app as sandbox_app
from server.hq.main import app as hq_app
from server.office.ledger_store import OfficeStore
from server.office.main import app as office_app
from tests.builders import Bench

if TYPE_CHECKING:
    from pathlib import Path

    import typer

RUNNER = CliRunner()


def run(app: typer.Typer, *arguments: object, code: int = 0, typed: str = "") -> str:
    result = RUNNER.invoke(app, [str(part) for part in arguments], input=typed)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def parties(tmp_path: Path) -> Path:
    """HQ, office and one outlet, enrolled with one another by their commands."""
    hq, office, outlet = (tmp_path / name for name in ("hq", "office", "o1"))
    run(
        hq_app, "init", "--name", "hq", "--address", "127.0.0.1:1", "--services", "127.0.0.1:3",
        "--home", hq,
    )  # fmt: skip
    run(office_app, "init", "--name", "dpo", "--address", "127.0.0.1:2", "--home", office)
    run(hq_app, "office", "add", office / "public.json", "--home", hq, typed="y\n")
    run(office_app, "hq", "add", hq / "public.json", "--home", office, typed="y\n")
    said = run(
        outlet_app, "enrol", "--name", "o1", "--hq", hq / "public.json",
        "--office", office / "public.json", "--home", outlet, typed="y\n",
    )  # fmt: skip
    card = Card.decode((outlet / "public.json").read_bytes(), PartyKind.OUTLET)
    assert card.fingerprint in said
    for app, home in ((hq_app, hq), (office_app, office)):
        added = run(
            app, "outlets", "add", outlet / "public.json", "--fingerprint", card.fingerprint,
            "--home", home,
        )  # fmt: skip
        assert "outlet o1 is on the list" in added
    return tmp_path


def test_cards_are_exchanged_after_fingerprints_were_compared(parties: Path) -> None:
    assert "o1" in run(office_app, "outlets", "list", "--home", parties / "office")
    wrong = run(
        hq_app, "outlets", "add", parties / "o1" / "public.json", "--fingerprint", "beef",
        "--home", parties / "hq", code=2,
    )  # fmt: skip
    assert "its fingerprint is" in wrong.replace("│", "")
    refused = RUNNER.invoke(
        hq_app,
        ["outlets", "add", str(parties / "o1/public.json"), "--home", str(parties / "new")],
        input="n\n",
    )
    assert refused.exit_code == 1
    assert Keyring(parties / "new", PartyKind.HQ).peers(PartyKind.OUTLET) == {}


def test_secrets_are_readable_by_their_owner_only_and_never_overwritten(parties: Path) -> None:
    for name in ("hq", "office", "o1"):
        assert (parties / name / "identity.json").stat().st_mode & 0o077 == 0
    again = run(
        hq_app, "init", "--name", "x", "--address", "h:1", "--services", "h:2",
        "--home", parties / "hq", code=1,
    )  # fmt: skip
    assert "keys exist already" in again


def test_a_card_of_another_kind_a_forged_one_and_another_under_its_name_are_refused(
    parties: Path,
) -> None:
    data = (parties / "o1" / "public.json").read_bytes()
    with pytest.raises(CardRefused, match="got one of outlet, expected one of hq"):
        Card.decode(data, PartyKind.HQ)
    with pytest.raises(CardRefused, match="not signed"):
        Card.decode(data.replace(b'"name": "o1"', b'"name": "o2"'), PartyKind.OUTLET)
    for malformed in (b"{}", b"[]", b"\xff"):
        with pytest.raises(CardRefused):
            Card.decode(malformed, PartyKind.OUTLET)
    other = Keyring(parties / "other", PartyKind.OUTLET)
    other.create("o1", "", dt.datetime.now(dt.UTC))
    said = run(
        hq_app, "outlets", "add", other.public_file, "--home", parties / "hq", code=1, typed="y\n"
    )
    assert "another card is trusted; `replace` it" in said
    run(hq_app, "outlets", "remove", "o1", "--home", parties / "hq")
    run(hq_app, "outlets", "add", other.public_file, "--home", parties / "hq", typed="y\n")


def test_a_fingerprint_that_was_not_confirmed_leaves_nothing_trusted(
    parties: Path, tmp_path: Path
) -> None:
    home = tmp_path / "o2"
    run(
        outlet_app, "enrol", "--name", "o2", "--hq", parties / "hq/public.json",
        "--office", parties / "office/public.json", "--home", home, code=1, typed="n\n",
    )  # fmt: skip
    ring = Keyring(home, PartyKind.OUTLET)
    assert (ring.peers(PartyKind.HQ), ring.peers(PartyKind.OFFICE)) == ({}, {})
    assert not (home / "identity.json").exists()


def test_a_card_with_another_outlets_keys_or_a_broken_one_is_refused(parties: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    first = Card.decode((parties / "o1" / "public.json").read_bytes(), PartyKind.OUTLET)
    thief = Identity.generate(PartyKind.OUTLET, "o3", "", now)
    file = parties / "thief.json"
    file.write_bytes(replace(thief.card, node_key=first.node_key).encode(thief.signing))
    said = run(hq_app, "outlets", "add", file, "--home", parties / "hq", code=1, typed="y\n")
    assert "has a key of o1's" in said
    for changes in (
        {"node_key": ""},
        {"node_key": "ssh-ed25519 AAAA"},
        {"name": "../x"},
        {"name": "\u0430"},
        {"certificate": thief.card.certificate + first.certificate},
        {"certificate": ""},
    ):
        card = replace(thief.card, **changes)  # type: ignore[arg-type]
        forged = card.encode(thief.signing)
        with pytest.raises(CardRefused):
            Card.decode(forged, PartyKind.OUTLET)
    assert "expected 1 to 40 ASCII" in run(
        hq_app, "init", "--name", "caf\u00e9", "--address", "h:1", "--services", "h:2",
        "--home", parties / "x", code=1,
    )  # fmt: skip


def test_a_pause_in_the_wrong_folder_says_so_and_a_backup_stays_paused(parties: Path) -> None:
    said = run(office_app, "pause", "--home", parties / "typo", code=1)
    assert "no keys" in said
    assert not (parties / "typo").exists()
    assert "dpo is paused" in run(office_app, "pause", "--home", parties / "office")
    run(office_app, "backup", parties / "paused-copy", "--home", parties / "office")
    assert (parties / "paused-copy" / "paused").exists()


def test_databases_are_for_their_own_user_only(parties: Path) -> None:
    run(office_app, "ledger", "--home", parties / "office")
    for name in ("hq", "office", "o1"):
        for file in (parties / name).rglob("*"):
            assert file.stat().st_mode & 0o077 == 0, file


def test_doctor_names_what_is_wrong_and_what_to_do(
    parties: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "REACH_SECONDS", 0.2)
    home = parties / "o1"
    assert "`escapement-outlet init" in run(outlet_app, "doctor", "--home", home, code=1)
    (home / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    said = run(outlet_app, "doctor", "--home", home, code=1)
    assert "✓ keys: outlet o1" in said
    assert "✗ ledger:" in said
    assert "no such file" in said
    assert "127.0.0.1:1: not known by day: HQ listens there while its night runs" in said
    assert "✗ HQ's services: HQ: no answer in 0.2 s from its services" in said
    assert "✗ office's services: the privacy office: no answer in 0.2 s" in said
    row = {
        "customer_id": "a", "outlet_id": "o1", "purchased_at": "2026-01-01", "price": "1.0",
        "list_price": "1.0", "is_return": "false", "basket_id": "b",
    }  # fmt: skip
    pl.DataFrame([row]).write_csv(home / "ledger.csv")
    assert "✓ ledger: 1 rows, 2026-01-01 to 2026-01-01" in run(
        outlet_app, "doctor", "--home", home, code=1
    )


def test_exit_codes_tell_a_timer_what_happened(
    parties: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Services.connect
    hurried = lambda own, hq, office, _timeout: connect(own, hq, office, timeout=0.2)  # noqa: E731
    monkeypatch.setattr(Services, "connect", hurried)
    settings = parties / "o1" / "escapement.toml"
    (parties / "o1" / "ledger.csv").write_text(
        "customer_id,purchased_at,price,kind,phone,email\na,2026-01-01,1.0,purchase,+6581234567,\n"
    )
    settings.write_text('ledger = "ledger.csv"\njoin_minutes = 0.001\n')
    assert "ConnectError" in run(outlet_app, "nightly", "--home", parties / "o1", code=3)
    settings.write_text('ledger = "ledger.csv"\nledgr = 1\n')
    assert "ledgr" in run(outlet_app, "nightly", "--home", parties / "o1", code=6)
    assert "no such file" in run(outlet_app, "nightly", "--home", tmp_path / "none", code=6)


def test_an_outlets_backup_brings_back_its_keys_and_what_it_answered(parties: Path) -> None:
    home, file = parties / "o1", parties / "backup.tar.gz"
    (home / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    AnswerStore(f"sqlite:///{home / 'outlet.db'}").close()
    run(outlet_app, "backup", file, "--home", home)
    assert file.stat().st_mode & 0o077 == 0
    run(outlet_app, "restore", file, "--home", home, code=6)
    run(outlet_app, "restore", file, "--home", parties / "o1-again")
    for name in ("identity.json", "escapement.toml", "peers/hq-hq.json"):
        assert (parties / "o1-again" / name).read_bytes() == (home / name).read_bytes()
    with AnswerStore(f"sqlite:///{parties / 'o1-again' / 'outlet.db'}").transaction() as answers:
        assert answers.spent(0) == 0


def test_a_restored_office_opens_no_release_that_was_open(parties: Path) -> None:
    home = parties / "office"
    bench = Bench(url=f"sqlite:///{home / 'office.db'}")
    signed = bench.office.sign_release(bench.draft(bench.night()))
    envelopes = [bench.share(signed, name).envelope for name in "abcd"]
    run(office_app, "backup", parties / "copy", "--home", home)
    bench.office.unlock(signed.digest, envelopes)
    store = OfficeStore(f"sqlite:///{parties / 'copy' / 'office.db'}", bench.settings.policy())
    restored = replace(bench.office, store=store)
    for some in (envelopes, envelopes[:3]):
        with pytest.raises((PlanRefused, AnswerRefused), match="its key is deleted"):
            restored.unlock(signed.digest, some)


def test_the_ledger_is_readable_and_json_on_request(parties: Path) -> None:
    home = parties / "office"
    Bench(url=f"sqlite:///{home / 'office.db'}").night()
    said = run(office_app, "ledger", "--home", home)
    assert "moments" in said
    assert "epsilon 0.000 of 4 at delta 1e-06" in said
    (entry,) = json.loads(
        RUNNER.invoke(office_app, ["ledger", "--home", str(home), "--json"]).stdout
    )
    assert entry["act"] == "reserve"
    (home / "office.toml").write_text("[promise]\nepsilonn = 1\n")
    assert "epsilonn" in run(office_app, "ledger", "--home", home, code=2)


@pytest.mark.parametrize("app", [hq_app, office_app, outlet_app, sandbox_app])
def test_an_unforeseen_error_never_prints_local_variables(app: typer.Typer) -> None:
    assert not app.pretty_exceptions_enable


def test_status_before_any_night_says_what_to_do(parties: Path) -> None:
    assert "escapement-hq night" in run(hq_app, "status", "--home", parties / "hq")
    (parties / "hq" / "nights").mkdir()
    night = {
        "night": "n1", "ended": "complete", "cohort": ["a"], "missing": ["b"],
        "skipped": ["points: no directory"],
        "steps": [{"release": "n1/y/001-moments", "outlets": 1, "failures": {"no answer": 1},
                   "seconds": 0.1}],
    }  # fmt: skip
    (parties / "hq" / "nights" / "n1.json").write_text(json.dumps(night))
    said = run(hq_app, "status", "--home", parties / "hq")
    for words in ("n1: complete", "There: a", "Missing: b", "no answer: 1", "Skipped: points"):
        assert words in said
