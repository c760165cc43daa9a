"""Customers across outlets, over real processes: met at three, recognised at a fourth, forgotten.

One network for all tests here; each uses customers of its own, so their order does not matter.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import polars as pl
import pytest

from features.bands import BandPolicy, schemes
from features.outcomes import Outcome
from outlet_client.errors import QuotaSpent
from outlet_client.people.people_store import People
from outlet_client.services import HQ, OFFICE, Services
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.published_books import PublishedBook, open_book, sign_book
from privacy.tokens import TokenShare, blind
from sandbox.enrolment import NOTICE, address_of
from server.wire import outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import read_refusal
from tests.federation.forked import Forked
from tests.federation.nights import whole_nights
from tests.networks import CUT_OFF, SECOND, TARGET, made_up_flips, small_world
from tests.shelves import Press

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.hq.report import NightReport

pytestmark = [pytest.mark.federation, pytest.mark.xdist_group("town")]

CONSENT = ("--consent", NOTICE, "--by", "staff-7")
LOOK = ("lookup", "--purpose", "sale")
NEWCOMERS = ("newcomer-a", "newcomer-b", "newcomer-c")
SENTENCES = {
    scheme.name: dict(zip(scheme.bands, scheme.allows, strict=True))
    for scheme in schemes(BandPolicy()).values()
}
NOTHING: dict[str, Any] = {
    "as_of": "", "bands": [], "many_outlets": False, "note": "", "allocation": None
}  # fmt: skip
"""What the JSON of a look-up has besides the status where there is no band."""

SCORES = {schemes(BandPolicy())[Outcome.named(name)].name for name in (TARGET, SECOND)}


@dataclass(slots=True)
class Traveller:
    """A customer who bought at three of the four outlets."""

    email: str
    met: list[str]
    elsewhere: str


@dataclass(slots=True)
class Town:
    """A network after its first night, its office and HQ still serving."""

    network: Forked
    travellers: Iterator[Traveller]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    def night(self) -> NightReport:
        report = self.network.night(f"n{next(self.numbers)}", str(CUT_OFF))
        assert report.ended == "complete", report.ended
        assert report.book is not None
        return report

    def ask(self, outlet: str, email: str, *more: str, code: int = 0) -> dict[str, Any]:
        """A look-up by the outlet's own command."""
        done = self.network.at_outlet(outlet, *LOOK, "--email", email, "--json", *more)
        assert done.code == code, done.words
        return dict(json.loads(done.out))

    def refused(self, home: Path, email: str, *more: str) -> str:
        """What a look-up says that ends with an error."""
        done = self.network.command("escapement-outlet", *LOOK, "--email", email, *more, home=home)
        assert done.code == 1, done.words
        assert done.out == ""
        return done.words

    def serve(self) -> None:
        self.network.start_office()
        self.network.start_services()

    def status(self, role: str) -> dict[str, Any]:
        """What `tokens status --json` says at HQ or at the office."""
        done = self.network.command(
            f"escapement-{role}", "tokens", "status", "--json", home=self.network.folder / role
        )
        assert done.code == 0, done.words
        return dict(json.loads(done.out))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    world = small_world(outlets=4, customers=300)
    everybody = np.ones(len(world.customers), dtype=bool)
    made = whole_nights(epsilon=None)
    rarely = made.hq.model_copy(update={"train_days": 28.0, "band_days": 7.0})
    network = Forked.enrol(
        tmp_path_factory.mktemp("town") / "n",
        world,
        {TARGET: world.given[TARGET], SECOND: made_up_flips(world)},
        everybody,
        replace(made, hq=rarely),
    )
    met = world.snapshot.history.group_by("customer").agg(pl.col("outlet").unique().sort())
    three = met.filter(pl.col("outlet").list.len() == 3).sort("customer")
    travellers = (
        Traveller(address_of(who), where, next(iter({*world.outlets} - {*where})))
        for who, where in three.iter_rows()
    )
    try:
        for newcomer in NEWCOMERS:
            network.add_newcomer(newcomer)
        report = network.night("n1", str(CUT_OFF))
        assert report.ended == "complete", report.ended
        yield Town(network, travellers)
    finally:
        network.stop()


def test_a_customer_of_three_outlets_is_recognised_at_a_fourth_once_they_agree(
    town: Town,
) -> None:
    who = next(town.travellers)
    known = town.ask(who.met[0], who.email)
    assert known["status"] == "known"
    assert known["as_of"] == str(CUT_OFF)
    assert {band["score"] for band in known["bands"]} == SCORES
    for band in known["bands"]:
        assert band["allows"] == SENTENCES[band["score"]][band["band"]]
    assert all(town.ask(outlet, who.email) == known for outlet in who.met[1:])

    asked = town.ask(who.elsewhere, who.email, code=2)
    assert asked == {**NOTHING, "status": "consent needed"}
    assert town.ask(who.elsewhere, who.email, *CONSENT) == known
    assert town.ask(who.elsewhere, f" {who.email.upper()} ") == known


def test_some_customers_have_history_and_a_newcomer_is_new_which_is_no_refusal(
    town: Town,
) -> None:
    for newcomer in NEWCOMERS:
        answer = town.ask("O1", address_of(newcomer))
        assert answer["status"] == "known"
        assert {band["band"] for band in answer["bands"]} == {"new"}
        assert {band["score"] for band in answer["bands"]} == SCORES
    events = small_world(outlets=4, customers=300).outlets["O1"].history.group_by("customer").len()
    busiest = events.sort("len", "customer", descending=True)["customer"][0]
    bands = town.ask("O1", address_of(busiest))["bands"]
    assert "new" not in {band["band"] for band in bands}


def test_somebody_whom_no_outlet_registered_is_not_in_the_network(town: Town) -> None:
    email = "norbert@customers.example"
    assert town.ask("O2", email, code=2)["status"] == "consent needed"
    for more in (CONSENT, ()):
        assert town.ask("O2", email, *more) == {**NOTHING, "status": "not in the network"}


def test_a_withdrawal_at_one_outlet_is_one_at_all_and_a_new_consent_brings_the_customer_back(
    town: Town,
) -> None:
    who = next(town.travellers)
    places = (*who.met, who.elsewhere)
    before = town.ask(who.elsewhere, who.email, *CONSENT)
    assert before["status"] == "known"
    done = town.network.at_outlet(who.met[0], "withdraw", "--email", who.email)
    assert done.code == 0
    assert "Withdrawn." in done.words
    assert town.ask(who.met[0], who.email)["status"] == "not in the network"
    assert town.ask(who.met[1], who.email) == before  # until tonight

    town.night()
    gone = {**NOTHING, "status": "not in the network"}
    assert [town.ask(outlet, who.email) for outlet in places] == [gone] * 4
    town.night()
    assert [town.ask(outlet, who.email) for outlet in places] == [gone] * 4

    for outlet in who.met[:2]:
        assert town.ask(outlet, who.email, *CONSENT) == gone
    town.night()
    for outlet in who.met[:2]:
        again = town.ask(outlet, who.email)
        assert again["status"] == "known"
        assert {band["band"] for band in again["bands"]} == {"new"}  # no history comes back
    assert town.ask(who.met[2], who.email) == gone  # nobody agreed to it there


def test_a_known_customer_is_looked_up_while_hq_and_the_office_are_down(town: Town) -> None:
    who = next(town.travellers)
    before = town.ask(who.met[0], who.email)
    town.network.stop()
    try:
        assert town.ask(who.met[0], who.email) == before
        assert town.ask(who.met[1], who.email)["status"] == "known"
    finally:
        town.serve()


def test_a_forged_book_a_damaged_one_and_a_stale_one_are_refused(
    town: Town, tmp_path: Path
) -> None:
    home = tmp_path / "copy"
    shutil.copytree(town.network.outlet("O1"), home)
    email, place = address_of(NEWCOMERS[0]), home / "book.bin"
    genuine = place.read_bytes()
    for byte in (len(genuine) // 2, len(genuine) - 70, len(genuine) - 1):
        place.write_bytes(genuine[:byte] + bytes([genuine[byte] ^ 1]) + genuine[byte + 1 :])
        assert "error: book: " in town.refused(home, email)
    place.write_bytes(genuine[:-1])
    assert "error: book: " in town.refused(home, email)

    ring = Keyring(home, PartyKind.OUTLET)
    published = PublishedBook.decode(genuine)
    book = open_book(published, ring.publishers(), newer_than=None, directory=None, not_before=0)
    hq = Keyring(town.network.folder / "hq", PartyKind.HQ).identity().signing
    office = Keyring(town.network.folder / "office", PartyKind.OFFICE).identity().signing
    stranger = Keyring(town.network.outlet("O2"), PartyKind.OUTLET).identity().signing
    for press in (Press(stranger, office), Press(hq, stranger)):
        place.write_bytes(press.book(book))
        assert "error: book: " in town.refused(home, email)
    other = replace(book, body=bytes(len(book.body)))  # of HQ's own, which the office never saw
    place.write_bytes(PublishedBook(sign_book(other, hq), published.countersigned).encode())
    assert "error: book: got digest" in town.refused(home, email)
    old = replace(book, made_at=int(time.time()) - 31 * 86_400)
    place.write_bytes(Press(hq, office).book(old))
    said = town.refused(home, email)
    assert "expected one not older than 30 days; show no bands" in said

    place.write_bytes(genuine)
    done = town.network.command("escapement-outlet", *LOOK, "--email", email, home=home)
    assert done.code == 0
    assert "known" in done.words


def test_the_desks_socket_answers_as_the_command_does_and_is_its_owners_only(town: Town) -> None:
    who = next(town.travellers)
    home = town.network.outlet(who.elsewhere)
    place = home / "desk.sock"
    desk = town.network.start("escapement-outlet", "serve", home=home)
    end = time.monotonic() + 30
    while not place.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert place.stat().st_mode & 0o777 == 0o600

    with grpc.insecure_channel(f"unix:{place}") as channel:
        stub = outlets_pb2_grpc.DeskStub(channel)

        def ask(email: str, **more: str) -> dict[str, Any]:
            request = outlets_pb2.LookupRequest(email=email, by="staff-7", purpose="sale", **more)
            found = stub.Lookup(request, wait_for_ready=True, timeout=30)
            bands = [{"score": b.score, "band": b.band, "allows": b.allows} for b in found.bands]
            told = {"status": found.status, "as_of": found.as_of, "bands": bands}
            return {**told, "many_outlets": found.many_outlets}

        def commanded(outlet: str, email: str, *, code: int = 0) -> dict[str, Any]:
            said = town.ask(outlet, email, code=code)
            assert said.pop("allocation") is None  # which the socket does not speak of,
            assert said.pop("note") == ""  # nor of why there is no band
            return said

        assert ask(who.email) == commanded(who.elsewhere, who.email, code=2)
        agreed = ask(who.email, consent_notice=NOTICE)
        assert agreed["status"] == "known"
        assert agreed == ask(who.email) == commanded(who.elsewhere, who.email)
        assert agreed == commanded(who.met[0], who.email)
        stranger = ask("desk@x.example", consent_notice=NOTICE)
        assert stranger == commanded(who.elsewhere, "desk@x.example")
        with pytest.raises(grpc.RpcError) as caught:
            ask("no address")
        refusal = read_refusal(caught.value)
        assert refusal is not None
        assert refusal.type == "NoIdentifier"
        assert "no address" not in refusal.message
    desk.terminate()
    desk.wait(timeout=10)


def test_a_holder_that_uses_another_key_is_noticed_and_makes_no_token(town: Town) -> None:
    office = Keyring(town.network.folder / "office", PartyKind.OFFICE)
    own, email = office.token_share(), "late@customers.example"
    home = town.network.outlet("O3")
    office.keep_token_share(TokenShare.from_bytes(TokenShare.generate().to_bytes(), own.epoch))
    try:
        said = town.refused(home, email, *CONSENT)
        assert "do not add up to the pinned total" in said
        people = People.open(home, Keyring(home, PartyKind.OUTLET).identity())
        person = people.person(people.local_key(f"mailto:{email}"))
        people.close()
        assert person is not None
        assert person.slot_key is None
        assert town.ask("O3", email)["status"] == "not in the network"
    finally:
        office.keep_token_share(own)
    assert town.ask("O3", email, *CONSENT)["status"] == "not in the network"
    people = People.open(home, Keyring(home, PartyKind.OUTLET).identity())
    person = people.person(people.local_key(f"mailto:{email}"))
    people.close()
    assert person is not None
    assert person.slot_key is not None


def test_a_refresh_of_the_shares_keeps_every_token_and_the_next_night_works(town: Town) -> None:
    who, network = next(town.travellers), town.network
    customers = small_world(outlets=4, customers=300).customers
    hq, office = (
        Keyring(network.folder / role, kind)
        for role, kind in (("hq", PartyKind.HQ), ("office", PartyKind.OFFICE))
    )
    slots = network.held(customers, [TARGET]).slots
    shares = hq.token_share(), office.token_share()
    done = network.command("escapement-hq", "tokens", "refresh", home=hq.folder)
    assert done.code == 0, done.words
    assert f"Both shares are of epoch {shares[0].epoch + 1}" in done.words
    for ring, before in zip((hq, office), shares, strict=True):
        assert ring.token_share().epoch == before.epoch + 1
        assert ring.token_share().public != before.public
    assert network.held(customers, [TARGET]).slots.tolist() == slots.tolist()
    # A token made from the new shares is found in the directory of the old ones.
    known = town.ask(who.met[0], who.email)
    assert town.ask(who.elsewhere, who.email, *CONSENT) == known
    assert known["status"] == "known"
    report = town.night()
    assert report.cohort == ("O1", "O2", "O3", "O4")
    assert town.ask(who.elsewhere, who.email) == known
    assert {town.status(role)["epoch"] for role in ("hq", "office")} == {shares[0].epoch + 1}


def test_a_thousand_guessed_phones_stop_at_the_quota_and_alert_both_holders(town: Town) -> None:
    """By a client that keeps no rule of ours: it asks each holder on its own, until refused."""
    ring = Keyring(town.network.outlet("O4"), PartyKind.OUTLET)
    services = Services.connect(
        ring.identity(), ring.peer(PartyKind.HQ), ring.peer(PartyKind.OFFICE)
    )
    quota = town.status("hq")["outlets"]["O4"]["quota"]
    assert quota < 1_000
    guesses = [f"tel:+6581{number:06d}" for number in range(1_000)]
    for which, role in ((HQ, "hq"), (OFFICE, "office")):
        given = town.status(role)["outlets"]["O4"]["given"]
        assert given < quota
        assert given + answered(services, which, guesses) == quota
        status = town.status(role)
        assert status["outlets"]["O4"] == {"given": quota, "quota": quota}
        assert [alert["who"] for alert in status["alerts"]] == ["O4"]
        assert status["alerts"][0]["quota"] == quota
    services.close()
    known = address_of(NEWCOMERS[1])
    late = town.network.at_outlet("O4", *LOOK, "--email", known, *CONSENT)
    assert late.code == 7  # nobody new today
    assert f"O4: its quota of {quota} evaluations a day is reached" in late.words
    assert town.ask("O1", known)["status"] == "known"  # and nobody else is held up


def answered(services: Services, which: str, guesses: list[str]) -> int:
    """How many guesses a holder answers before it refuses: by the twenty, then one by one."""
    count = 0
    for size in (20, 1):
        try:
            while count < len(guesses):
                some = blind(guesses[count : count + size])
                count += len(services._evaluate(which, some).elements)
        except QuotaSpent:
            continue
    return count
