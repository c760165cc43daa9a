"""`escapement-outlet keys` and `peers`, and what `status` says of both."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from outlet_client.main import app
from outlet_client.people.people_store import People
from privacy.identity import CERTIFICATE_YEARS, Card, PartyKind, Renewed
from privacy.keyring import Keyring
from privacy.tokens import TokenShare, token

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.timedelta(days=1)
EMAIL = "mailto:a@b.example"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Outlet:
    """An enrolled outlet's folder beside HQ's and the office's."""

    def __init__(self, folder: Path) -> None:
        self.holders = {
            kind: Keyring(folder / str(kind), kind) for kind in (PartyKind.HQ, PartyKind.OFFICE)
        }
        for kind, holder in self.holders.items():
            holder.create(str(kind), "127.0.0.1:1", now(), "127.0.0.1:1")
        self.ring = Keyring(folder / "a", PartyKind.OUTLET)
        self.ring.folder.mkdir(mode=0o755)  # as somebody's `mkdir` makes it
        hq, office = (holder.public_file for holder in self.holders.values())
        self.run("enrol", "--name", "a", "--hq", hq, "--office", office, "--yes")

    def run(self, *words: object, code: int = 0, typed: str | None = None) -> str:
        given = [*map(str, words), "--home", str(self.ring.folder)]
        done = CliRunner().invoke(app, given, input=typed)
        assert done.exit_code == code, done.output
        return " ".join(done.output.split())


@pytest.fixture
def outlet(tmp_path: Path) -> Outlet:
    return Outlet(tmp_path)


def test_enrolment_closes_a_folder_that_others_could_read(outlet: Outlet) -> None:
    assert outlet.ring.folder.stat().st_mode & 0o777 == 0o700
    outlet.ring.folder.chmod(0o755)
    assert "run `chmod 700" in outlet.run("keys", "show", code=6)


def test_renewed_keys_leave_consents_and_tokens_readable(outlet: Outlet) -> None:
    first = outlet.ring.identity()
    share = TokenShare.generate()
    people = People.open(outlet.ring.folder, first)
    key = people.local_key(EMAIL)
    people.record_consent(key, "n1", "test", now())
    people.keep_tokens({key: token(EMAIL, share)})
    kept = people.person(key)
    people.close()
    outlet.run("keys", "renew", "--signing", "--node")
    outlet.run("keys", "finish")
    said = outlet.run("keys", "anew", "--stolen")
    new = outlet.ring.identity()
    assert new.card.fingerprint in said
    assert new.card.signing_key != first.card.signing_key
    people = People.open(outlet.ring.folder, new)
    assert people.local_key(EMAIL) == key
    found = people.person(key)
    assert found is not None
    assert kept is not None
    assert found.slot_key is not None
    assert kept.slot_key is not None
    assert (found.state, found.slot_key.public) == (kept.state, kept.slot_key.public)
    people.close()
    assert "keys are there" in outlet.run("keys", "anew", code=6)


@pytest.mark.parametrize("kind", [PartyKind.HQ, PartyKind.OFFICE])
def test_a_holders_renewed_card_comes_in_without_a_question_and_one_of_lost_keys_with_one(
    outlet: Outlet, kind: PartyKind
) -> None:
    holder = outlet.holders[kind]
    holder.renew(now(), Renewed(signing=True))
    said = outlet.run("peers", "replace", holder.public_file)
    assert "its card of serial 2 took the place of serial 1" in said
    assert "serial 2, until" in outlet.run("peers", "list")
    assert "trusted already" in outlet.run("peers", "replace", holder.public_file, code=1)
    (holder.folder / "identity.json").unlink()
    card = holder.make_anew(None, now()).card
    assert "fingerprint" in outlet.run("peers", "replace", holder.public_file, code=1, typed="n\n")
    outlet.run("peers", "replace", holder.public_file, "--fingerprint", card.fingerprint)
    assert outlet.ring.peer(kind) == card
    damaged = outlet.ring.folder / "peers" / f"{kind}-{kind}.json"
    damaged.write_text("{")
    assert damaged.name in outlet.run("peers", "list")
    assert f"{damaged.name}: card: malformed" in outlet.run("nightly", code=6)
    outlet.run("peers", "add", holder.public_file, "--fingerprint", card.fingerprint)
    assert outlet.ring.peer(kind) == card
    own = Keyring(outlet.ring.folder.parent / "b", PartyKind.OUTLET)
    own.create("b", "", now())
    assert "expected HQ's" in outlet.run("peers", "add", own.public_file, code=6)


def test_a_night_and_a_look_at_the_clock_name_a_certificate_that_is_over_before_they_connect(
    outlet: Outlet,
) -> None:
    past = now() - (365 * CERTIFICATE_YEARS + 1) * DAY
    ring = outlet.ring
    ring.keep(ring.identity().renewed(past, Renewed(overlap=0 * DAY)).finished())
    assert "this folder's certificate ended on" in outlet.run("doctor", code=1)
    hq = outlet.holders[PartyKind.HQ]
    hq.keep(hq.identity().renewed(past, Renewed(overlap=0 * DAY)).finished())
    ring.take_renewal(hq.public_file.read_bytes())
    assert "hq hq: its certificate ended on" in outlet.run("doctor", code=1)
    assert Card.decode(hq.public_file.read_bytes(), PartyKind.HQ).ends < now()
