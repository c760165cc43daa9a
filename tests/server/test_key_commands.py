"""`keys`, `replace` and `doctor` of HQ and the privacy office, as a person types them."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from privacy.identity import CERTIFICATE_YEARS, Identity, PartyKind, Renewed
from privacy.keyring import Keyring
from server.holder.key_commands import peers_without_card
from server.hq.main import app as hq_app
from server.office.main import app as office_app
from tests.server.test_holder import Parties

if TYPE_CHECKING:
    from pathlib import Path

    import typer

APPS = {PartyKind.HQ: hq_app, PartyKind.OFFICE: office_app}
BOTH = pytest.mark.parametrize("kind", list(APPS))
DAY = dt.timedelta(days=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def run_app(
    app: typer.Typer, ring: Keyring, *words: object, code: int = 0, typed: str | None = None
) -> str:
    given = [*map(str, words), "--home", str(ring.folder)]
    done = CliRunner().invoke(app, given, input=typed)
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


class Holder:
    """A holder's folder, made by its own command, with one outlet on its list."""

    def __init__(self, kind: PartyKind, folder: Path) -> None:
        self.app: typer.Typer = APPS[kind]
        self.ring = Keyring(folder / "home", kind)
        services = ["--services", "127.0.0.1:2"] if kind is PartyKind.HQ else []
        self.run("init", "--name", "x", "--address", "127.0.0.1:1", *services)
        self.outlet = Keyring(folder / "a", PartyKind.OUTLET)
        card = self.outlet.create("a", "", now()).card
        self.run("outlets", "add", self.outlet.public_file, "--fingerprint", card.fingerprint)

    def run(self, *words: object, code: int = 0, typed: str | None = None) -> str:
        return run_app(self.app, self.ring, *words, code=code, typed=typed)


@pytest.fixture
def holder(kind: PartyKind, tmp_path: Path) -> Holder:
    return Holder(kind, tmp_path)


@BOTH
def test_keys_are_shown_renewed_and_finished(kind: PartyKind, holder: Holder) -> None:
    ring = holder.ring
    first = ring.identity()
    assert first.card.fingerprint in holder.run("keys", "show")
    said = holder.run("keys", "renew", "--signing", "--overlap-days", "30")
    assert "serial 2" in said
    assert f"taken until {now() + 30 * DAY:%Y-%m-%d}" in said
    assert ring.identity().card == first.card
    assert ring.own_card().signing_key != first.card.signing_key
    assert "not finished" in holder.run("keys", "renew", code=1)
    ring.public_file.write_text("{")
    assert ring.identity().newest.card.fingerprint in holder.run("keys", "show")
    assert ring.own_card() == ring.identity().newest.card
    assert "restart `serve`. Back the folder up now" in holder.run("keys", "finish", "--yes")
    assert ring.identity().card == ring.own_card()
    assert "none were renewed" in holder.run("keys", "finish", code=1)
    said = holder.run("keys", "renew", "--overlap-days", "0")
    assert "taken by nobody who has the new card" in said
    assert ring.identity().next is None
    if kind is PartyKind.OFFICE:
        assert "only HQ has a key" in holder.run("keys", "renew", "--sealing", code=2).replace(
            "│ ", ""
        )


@BOTH
def test_who_is_not_known_to_have_the_renewed_card_is_named_before_the_old_keys_go(
    kind: PartyKind, holder: Holder
) -> None:
    """Of an office HQ asks; of whoever only calls nobody knows."""
    ring, other = holder.ring, next(one for one in APPS if one is not kind)
    peer = Keyring(ring.folder.parent / "other", other)
    peer.create("y", "127.0.0.1:1", now(), "127.0.0.1:1")
    ring.trust(peer.own_card(), peer.public_file.read_bytes())
    holder.run("keys", "renew")
    said = holder.run("keys", "finish", code=1, typed="n\n")
    lacks = "not known to have the card of serial 2"
    assert f"outlet a: {lacks}; `escapement-outlet peers list` shows it there" in said
    how = "; `escapement-hq office list`" if kind is PartyKind.OFFICE else ": 127.0.0.1:1: "
    assert f"{other} y: {lacks}{how}" in said
    assert "Has each of them imported it?" in said
    assert ring.identity().card.serial == 1
    holder.run("keys", "finish", typed="y\n")
    assert ring.identity().card.serial == 2


def test_an_office_that_takes_hqs_renewed_certificate_is_not_asked_about(tmp_path: Path) -> None:
    with ExitStack() as stack:
        parties = Parties(tmp_path, stack)
        parties.run(PartyKind.OFFICE)
        hq = parties.hq
        for name in parties.outlets:
            hq.distrust(PartyKind.OUTLET, name)
        hq.renew(now(), Renewed())
        (line,) = peers_without_card(hq, hq.identity())
        assert line.startswith("office dpo: not known to have the card of serial 2: ")
        parties.office.take_renewal(hq.public_file.read_bytes())
        assert peers_without_card(hq, hq.identity()) == []
        assert "Has each of them" not in run_app(hq_app, hq, "keys", "finish")
        assert peers_without_card(hq, hq.identity()) == []


@BOTH
def test_a_renewed_card_takes_the_place_of_the_one_before_and_an_old_one_never(
    kind: PartyKind, holder: Holder
) -> None:
    outlet, before = holder.outlet, holder.outlet.public_file.read_bytes()
    outlet.renew(now(), Renewed(signing=True))
    said = holder.run("outlets", "replace", outlet.public_file)
    assert "its card of serial 2 took the place of serial 1" in said
    old = outlet.folder / "old.json"
    old.write_bytes(before)
    assert "one of serial 2 is trusted already" in holder.run("outlets", "replace", old, code=1)
    holder.run("outlets", "remove", "a")
    for word in ("replace",):
        said = holder.run("outlets", word, outlet.public_file, code=1)
        assert "none of its cards is trusted here" in said
    assert holder.ring.peers(PartyKind.OUTLET) == {}
    assert kind in APPS


@BOTH
def test_a_card_of_lost_keys_asks_for_its_fingerprint(kind: PartyKind, holder: Holder) -> None:
    anew = Identity.anew(holder.outlet.identity().card, now())
    holder.outlet.public_file.write_bytes(anew.public_file())
    replace = ("outlets", "replace", holder.outlet.public_file)
    said = holder.run(*replace, code=1, typed="n\n")
    assert "not signed by the key that is trusted here" in said
    assert anew.card.fingerprint in said
    assert "its fingerprint is" in holder.run(*replace, "--fingerprint", "beef", code=2)
    assert holder.ring.peers(PartyKind.OUTLET)["a"] != anew.card
    assert "has other keys from now on" in holder.run(*replace, typed="y\n")
    assert holder.ring.peers(PartyKind.OUTLET)["a"] == anew.card
    assert kind in APPS


@BOTH
def test_lost_keys_are_made_anew_and_the_command_says_what_becomes_of_the_rest(
    kind: PartyKind, holder: Holder
) -> None:
    ring = holder.ring
    before = ring.own_card()
    assert "keys are there" in holder.run("keys", "anew", "--yes", code=1)
    (ring.folder / "identity.json").unlink()
    card = ring.public_file.rename(ring.folder.parent / "card.json")
    assert "give it" in holder.run("keys", "anew", "--yes", code=1)
    said = holder.run("keys", "anew", "--card", card, typed="y\n")
    bound = "kept answers and an open seal go on" if kind is PartyKind.HQ else "The ledger goes on"
    assert bound in said
    assert "tokens, slots and bands stay" in said
    assert "compares the fingerprint" in said
    assert ring.own_card().serial == before.serial + 1
    said = holder.run("keys", "anew", "--stolen", "--yes")
    assert "by the stolen key are refused" in said
    (ring.folder / "identity.json").write_text("{")
    (ring.folder / "token-share.json").unlink()
    said = holder.run("keys", "anew", "--yes")
    assert "run `escapement-hq tokens renew` and `escapement-office tokens renew`" in said


@BOTH
def test_doctor_names_every_fault_and_ends_with_1(kind: PartyKind, holder: Holder) -> None:
    ring = holder.ring
    other = Keyring(ring.folder.parent / "other", next(one for one in APPS if one is not kind))
    other.create("y", "127.0.0.1:1", now(), "127.0.0.1:1")
    ring.trust(other.own_card(), other.public_file.read_bytes())

    def found(code: int) -> dict[str, str]:
        done = CliRunner().invoke(holder.app, ["doctor", "--json", "--home", str(ring.folder)])
        assert done.exit_code == code, done.output
        return {one["text"]: one["standing"] for one in json.loads(done.stdout)}

    reach = 1 if kind is PartyKind.HQ else 0  # HQ has to reach the office
    assert list(found(reach).values()).count("fault") == reach
    (ring.folder / "peers" / "outlet-a.json").write_text("{")
    (ring.folder / "meter.db").write_bytes(b"x" * 4096)
    (ring.folder / f"{kind}.toml").write_text("no_such = 1\n")
    past = now() - 365 * CERTIFICATE_YEARS * DAY
    ring.keep(ring.identity().renewed(past, Renewed(overlap=0 * DAY)).finished())
    faults = [text for text, standing in found(1).items() if standing == "fault"]
    for words in ("outlet-a.json: card: malformed", "meter.db", "no_such", "certificate ended"):
        assert any(words in text for text in faults), (words, faults)


@pytest.mark.parametrize("lost", ["office.db", "meter.db", "relay.db"])
def test_the_offices_status_names_a_database_that_is_gone(tmp_path: Path, lost: str) -> None:
    office = Holder(PartyKind.OFFICE, tmp_path)
    assert json.loads(office.run("status", "--json"))["wrong"] == []
    (office.ring.folder / lost).unlink()
    (wrong,) = json.loads(office.run("status", "--json", code=1))["wrong"]
    assert f"{lost}: no store there" in wrong
    assert f"{lost}: no store there" in office.run("status", code=1)
