"""Keys over years, with real programs: renewed, expired, lost, open to others, damaged."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from privacy.identity import CERTIFICATE_YEARS, PartyKind, Renewed
from privacy.keyring import Keyring
from sandbox.enrolment import address_of
from tests.federation.nights import (
    CUSTOMERS,
    charges,
    end_night,
    last_words,
    night,
    start_night,
)
from tests.networks import small_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.federation.forked import Done, Forked

pytestmark = pytest.mark.federation

YEARS, DAY = dt.timedelta(days=365 * CERTIFICATE_YEARS), dt.timedelta(days=1)
EVERYBODY = ("O1", "O2", "O3")
PROGRAMS = {
    PartyKind.HQ: "escapement-hq",
    PartyKind.OFFICE: "escapement-office",
    PartyKind.OUTLET: "escapement-outlet",
}


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Parties:
    """A network's keyrings and the programs of each."""

    def __init__(self, network: Forked) -> None:
        self.network = network
        folders = {"hq": PartyKind.HQ, "office": PartyKind.OFFICE}
        self.rings = {
            name: Keyring(network.folder / name, kind) for name, kind in folders.items()
        } | {name: Keyring(network.outlet(name), PartyKind.OUTLET) for name in EVERYBODY}

    def run(self, name: str, *words: str, code: int = 0) -> Done:
        ring = self.rings[name]
        done = self.network.command(PROGRAMS[ring.kind], *words, home=ring.folder)
        assert done.code == code, done.words
        return done

    def renew_at(self, name: str, at: dt.datetime) -> None:
        """Gives a party keys as if renewed at a moment; everybody has the card."""
        ring = self.rings[name]
        ring.keep(ring.identity().renewed(at, Renewed(overlap=0 * DAY)).finished())
        for other in self.others(name):
            self.rings[other].take_renewal(ring.public_file.read_bytes())

    def others(self, name: str) -> list[str]:
        """Who has a card of this party."""
        kind = self.rings[name].kind
        return [
            other for other, ring in self.rings.items() if ring.peers(kind).get(self.card(name))
        ]

    def card(self, name: str) -> str:
        return self.rings[name].own_card().name

    def replace(self, name: str, *others: str, fingerprint: bool = False) -> None:
        """Hands a party's public file to others, who run `replace`."""
        ring = self.rings[name]
        typed = ("--fingerprint", ring.own_card().fingerprint) if fingerprint else ()
        for other in others or self.others(name):
            here = self.rings[other].kind
            group = "peers" if here is PartyKind.OUTLET else str(ring.kind)
            group = "outlets" if ring.kind is PartyKind.OUTLET else group
            self.run(other, group, "replace", str(ring.public_file), *typed)

    def serve(self) -> None:
        """Starts the office and HQ's services anew, and waits until HQ has no night to take up."""
        self.network.stop()
        log, end = self.rings["hq"].folder / "serve.log", time.monotonic() + 60
        log.unlink(missing_ok=True)
        self.network.start_office()
        self.network.start_services()
        while not (log.exists() and "next night in" in log.read_text()):
            assert time.monotonic() < end, last_words(log.parent)
            time.sleep(0.02)

    def complete(self, name: str) -> None:
        """Runs a night that everybody is in."""
        if not self.network.running:
            self.serve()
        report = night(self.network, name)
        said = last_words(self.network.folder / "hq")
        assert report.ended == "complete", said
        assert report.cohort == EVERYBODY, said
        assert report.book is not None, said
        end_night(self.network)


@pytest.fixture
def parties(enrol: Callable[..., Forked]) -> Parties:
    return Parties(enrol(trainings=4))


def bands(parties: Parties) -> list[object]:
    """What an outlet's own look-ups say of two customers."""
    world = small_world(outlets=3, customers=CUSTOMERS)
    known = world.outlets["O1"].history["customer"].unique().sort()[:2]
    asked = ("lookup", "--json", "--purpose", "sale", "--by", "test", "--email")
    return [json.loads(parties.run("O1", *asked, address_of(one)).out)["bands"] for one in known]


# --- certificates that end ------------------------------------------------------------------------


@pytest.mark.slow
def test_an_expired_certificate_is_named_at_both_ends_and_renewed_by_a_command(
    parties: Parties,
) -> None:
    parties.renew_at("O1", now() - YEARS - 10 * DAY)
    network = parties.network
    parties.serve()
    report = night(network)
    assert report.cohort == ("O2", "O3")
    said = (network.outlet("O1") / "nightly.log").read_text()
    assert "outlet O1: this folder's certificate ended on" in said
    assert "run `escapement-outlet keys renew`" in said
    assert "does not know its keys" not in said
    assert "outlet O1: its certificate ended on" in (network.folder / "hq/night.log").read_text()
    for name in ("hq", "office"):
        words = parties.run(name, "doctor", code=1).words
        assert "✗ keys: outlet O1: its certificate ended on" in words
        assert "outlet O1: its certificate ended on" in parties.run(name, "status").words
    assert "this folder's certificate ended" in parties.run("O1", "doctor", code=1).words
    assert "this folder's certificate ended" in parties.run("O1", "status").words
    end_night(network)

    renewed = parties.run("O1", "keys", "renew").words
    assert "taken by nobody who has the new card" in renewed  # no overlap of what is over
    parties.replace("O1", "hq", "office")
    parties.complete("n2")


@pytest.mark.parametrize("party", ["hq", "office"])
def test_a_holder_whose_certificate_is_over_serves_nobody_and_outlets_say_whose_it_is(
    parties: Parties, party: str
) -> None:
    parties.renew_at(party, now() - YEARS - DAY)
    said = parties.run(party, "serve", code=1).words
    assert f"{party}: this folder's certificate ended on" in said
    assert f"`escapement-{party} keys renew`" in said
    said = parties.run("O1", "doctor", code=1).words
    assert f"{party} {party}: its certificate ended on" in said
    assert f"(`escapement-{party} keys renew` there), import it by `replace`" in said
    parties.run(party, "keys", "renew")
    parties.replace(party)
    parties.complete("n1")


def test_certificates_are_named_90_days_before_their_end_and_nobody_is_refused_for_it(
    parties: Parties,
) -> None:
    for name in ("hq", "office", "O1"):
        parties.renew_at(name, now() - YEARS + 80 * DAY)
    for name, others in (("hq", "office O1"), ("office", "hq O1"), ("O1", "hq office")):
        words = parties.run(name, "status").words
        assert "own certificate ends on" in words, name
        assert "in 79 days" in words or "in 80 days" in words
        for other in others.split():
            kind = parties.rings[other].kind
            assert f"{kind} {parties.card(other)}: its certificate ends on" in words, name
        code = 0 if name == "office" else 1  # the others do not reach an office that is down
        found = json.loads(parties.run(name, "doctor", "--json", code=code).out)
        ends = [one for one in found if "certificate ends on" in one["text"]]
        assert {one["standing"] for one in ends} == {"note"}
    parties.complete("n1")


# --- two sets of keys at once ---------------------------------------------------------------------


@pytest.mark.slow
def test_nights_between_and_after_renewals_of_all_keys_lose_nobody_and_old_books_stay_readable(
    parties: Parties,
) -> None:
    """Every order of cards is there on the night between: both, one, or none of two imported."""
    parties.complete("n1")
    shown = bands(parties)
    assert any(one is not None for one in shown)
    before = {name: ring.identity() for name, ring in parties.rings.items()}
    share = parties.rings["hq"].token_share()

    parties.run("O1", "keys", "renew", "--signing", "--node")
    parties.run("hq", "keys", "renew", "--signing", "--sealing")
    parties.run("office", "keys", "renew", "--signing")
    parties.replace("O1", "hq")  # not the office
    parties.replace("hq", "office", "O1")  # not the others
    parties.replace("office", "O2")  # not HQ
    said = parties.run("O1", "doctor").words
    assert "renewed keys at HQ: taken" in said
    assert "it has to import this outlet's renewed public.json first" in said
    parties.complete("n2")
    assert bands(parties) == shown

    for name in ("O1", "hq", "office"):
        missing = [one for one in parties.others(name) if not knows(parties, one, name)]
        parties.replace(name, *missing)
    parties.run("hq", "tokens", "refresh")  # both cards go on: of a share of epoch 1
    for name in ("O1", "hq", "office"):
        words = parties.run(name, "keys", "finish", *["--yes"] * (name != "O1")).words
        assert "nobody takes the keys" in words
    parties.serve()
    assert bands(parties) == shown  # of the book that HQ and the office signed with keys of before
    parties.complete("n3")
    assert bands(parties) == shown
    for name, ring in parties.rings.items():
        own, old = ring.identity(), before[name]
        assert (own.card.certificate == old.card.certificate) == (name in ("O2", "O3"))
    assert parties.rings["O1"].identity().store_secret == before["O1"].signing.to_bytes()

    backup = parties.network.folder / "hq-before"  # one of before the refresh fits no more
    shutil.copytree(parties.rings["hq"].folder, backup)
    Keyring(backup, PartyKind.HQ).keep_token_share(share)
    done = parties.network.command("escapement-hq", "tokens", "refresh", home=backup)
    assert done.code == 1
    assert "restore the newest copies of both" in done.words


def knows(parties: Parties, one: str, name: str) -> bool:
    """Whether somebody has a party's newest card."""
    ring = parties.rings[name]
    return parties.rings[one].peers(ring.kind)[parties.card(name)] == ring.own_card()


# --- lost keys ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("party", ["office", "hq"])
def test_a_holder_that_lost_its_keys_goes_on_with_its_databases(
    parties: Parties, party: str
) -> None:
    parties.complete("n1")
    shown, charged = bands(parties), charges(parties.network)
    parties.network.stop()
    ring = parties.rings[party]
    (ring.folder / "identity.json").unlink()
    said = parties.run(party, "serve", code=1).words
    assert f"`escapement-{party} keys anew` makes others and keeps the rest" in said
    said = parties.run(party, "keys", "anew", "--yes").words
    assert "tokens, slots and bands stay" in said
    assert "stay readable: the new card names the key that signed them" in said
    other = "hq" if party == "office" else "office"
    group = str(ring.kind)
    refused = parties.network.command(
        PROGRAMS[parties.rings[other].kind], group, "replace", str(ring.public_file),
        "--fingerprint", "beef", home=parties.rings[other].folder,
    )  # fmt: skip
    assert refused.code != 0
    parties.replace(party, fingerprint=True)
    assert bands(parties) == shown
    parties.serve()
    parties.complete("n2")
    assert bands(parties) == shown
    assert charges(parties.network)[: len(charged)] == charged
    assert len(charges(parties.network)) > len(charged)
    verified = parties.run("O1", "log", "verify")
    assert "cannot be used" not in verified.words


# --- damaged files, open modes --------------------------------------------------------------------


def test_a_truncated_card_refuses_its_outlet_alone_and_is_named_with_its_file(
    enrol: Callable[..., Forked],
) -> None:
    network = enrol(outlets=4)
    parties = Parties(network)
    parties.serve()
    whole = {}
    for role in ("hq", "office"):  # while both serve
        place = network.folder / role / "peers" / "outlet-O4.json"
        whole[place] = place.read_bytes()
        place.write_bytes(whole[place][:300])
    assert start_night(network, *EVERYBODY).wait(60) == 0, last_words(network.folder / "hq")
    report = network.read_night("n1")
    assert report.ended == "complete"
    assert report.cohort == EVERYBODY
    end_night(network)
    for place in whole:
        home = place.parents[1]
        log = (home / "serve.log").read_text()
        assert log.count(str(place)) == 1, "once, however many call"
        for words in (["status"], ["outlets", "list"], ["doctor"]):
            said = parties.run(home.name, *words, code=1 if words == ["doctor"] else 0).out
            assert place.name in "".join(said.split()), words
    parties.serve()  # a start does not fail for it either
    public = str(network.outlet("O4") / "public.json")
    fingerprint = Keyring(network.outlet("O4"), PartyKind.OUTLET).own_card().fingerprint
    for role in ("hq", "office"):
        parties.run(role, "outlets", "add", public, "--fingerprint", fingerprint)
    report = night(network, "n2")
    assert report.cohort == (*EVERYBODY, "O4")


@pytest.mark.parametrize("party", ["hq", "office", "O1"])
def test_keys_that_others_can_read_are_refused_with_the_command_to_run(
    parties: Parties, party: str
) -> None:
    ring = parties.rings[party]
    place = ring.folder / "identity.json"
    place.chmod(0o666)
    words = "nightly" if party == "O1" else "serve"
    said = parties.run(party, words, code=6 if party == "O1" else 1).words
    assert (
        "identity.json: mode 666, others on this machine can read or change it; run `chmod 600"
        in said
    )
    assert "mode 666" in parties.run(party, "doctor", code=1).words
    place.chmod(0o600)
    parties.run(party, "keys", "show")
    ring.folder.chmod(0o755)
    assert (
        "run `chmod 700" in parties.run(party, "keys", "show", code=6 if party == "O1" else 1).words
    )
