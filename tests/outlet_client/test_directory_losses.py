"""People whom directories take away: few are withdrawn here too, many wait for a person."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from outlet_client.bands.lookup import Answer, LookUp, Status
from outlet_client.commands import doctor
from outlet_client.database import create_databases
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.main import app
from outlet_client.people import directory_losses
from outlet_client.people.directory_files import keep_directory
from outlet_client.people.directory_losses import DAYS, HeldLosses
from outlet_client.people.people_store import People, State
from outlet_client.people.tables import CLIENTS, ENTRIES, mark_old
from outlet_client.records.access_log import LogAct, recent_entries
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.settings import OutletFile
from privacy.directory import Directory, DirectoryRefused
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.registrations import Registration
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.outlet_client.fake_registry import Slots
from tests.shelves import Press, band_codes, make_book, shelve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.people.directory_files import PublishedDirectory

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SHARE = TokenShare.generate()


class Outlet:
    """An outlet's folder, its people, and the directories that it is shown."""

    def __init__(self, place: Path) -> None:
        rings = {kind: Keyring(place / kind.value, kind) for kind in PartyKind}
        for kind, ring in rings.items():
            where = "" if kind is PartyKind.OUTLET else "127.0.0.1:9"
            ring.create(kind.value, where, NOON, service_address=where)
        create_databases(rings[PartyKind.OUTLET].folder)
        self.ring, self.home = rings[PartyKind.OUTLET], rings[PartyKind.OUTLET].folder
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            data = rings[kind].public_file.read_bytes()
            self.ring.trust(rings[kind].identity().card, data)
        (self.home / "escapement.toml").write_text('ledger = "ledger.csv"\n')
        hq, office = (rings[kind].identity() for kind in (PartyKind.HQ, PartyKind.OFFICE))
        assert hq.sealing is not None
        self.sealing, self.press = hq.sealing, Press(hq.signing, office.signing)
        self.now, self.batch, self.slots = NOON, 0, Slots()
        self.people = People.open(self.home, self.ring.identity())
        self.people._clock = lambda: self.now

    def lists(self, count: int) -> PublishedDirectory:
        """Consents, tokens, registrations and a directory of so many people."""
        for name in map(name_of, range(count)):
            key = self.people.local_key(name)
            self.people.record_consent(key, "n", "mei", self.now - dt.timedelta(days=9))
            self.people.keep_tokens({key: token(name, SHARE)})
        network = self.ring.token_key()
        sealed = self.people.submission(1, count, self.sealing.public, network)
        assert sealed is not None
        self.people.submitted(1)
        for one in sealed:
            self.slots.apply(Registration.opened(one, self.sealing, network, 1))
        return self.night()

    def night(self, *lost: int) -> PublishedDirectory:
        """A night later these withdrew elsewhere, and the directory is here and followed."""
        self.batch += 1
        for one in lost:
            self.slots.blank(SlotKey.of(token(name_of(one), SHARE).raw).public, self.batch)
        made = self.press.directory(self.slots.directory(self.batch), self.batch)
        keep_directory(self.home, made)
        self.people.follow(made.directory, made.number)
        self.now += dt.timedelta(days=1)
        return made

    def ended(self) -> int:
        """How many consents ended."""
        return int(self.people.consents()["withdrawn_at"].is_not_null().sum())

    def listed(self) -> int:
        return self.people.counts()[State.LISTED]

    def run(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--home", str(self.home)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, " ".join(done.output.split())

    def shown(self) -> dict[str, object]:
        code, said = self.run("directory", "show", "--json")
        assert code == 0, said
        found: dict[str, object] = json.loads(said)
        return found


def name_of(number: int) -> str:
    return f"tel:+65{81000000 + number}"


def day(days: int = 0) -> str:
    return (NOON + dt.timedelta(days=days)).date().isoformat()


@pytest.fixture
def outlet(tmp_path: Path) -> Iterator[Outlet]:
    made = Outlet(tmp_path)
    yield made
    made.people.close()


def test_four_of_ten_in_one_night_wait_and_nobodys_consent_ends(outlet: Outlet) -> None:
    outlet.lists(10)
    found = outlet.night(0, 3, 5, 9)
    assert outlet.people.held_losses() == HeldLosses(4, day(1))
    assert outlet.ended() == 0
    assert outlet.listed() == 10
    rows = outlet.people.listed(found.directory)
    assert sorted(rows["slot"]) == [1, 2, 4, 6, 7, 8]  # those lost are in no sum
    assert sorted(outlet.people.home_keys(found.directory)) == [1, 2, 4, 6, 7, 8]


def test_who_waits_has_no_band(outlet: Outlet) -> None:
    outlet.lists(10)
    found = outlet.night(0, 3, 5, 9)
    codes = band_codes([("priority", "low")] * 10)
    made_at = outlet.now.timestamp()
    version = found.number
    book = make_book(codes, found.directory, as_of=day(1), made_at=made_at, version=version)
    shelve(outlet.home, book, found.directory, outlet.press, outlet.now)
    publishers = outlet.press.publishers
    settings = OutletFile(ledger="ledger.csv")
    look = LookUp(outlet.home, outlet.people, publishers, settings, lambda: outlet.now)
    keys = [outlet.people.local_key(name_of(number)) for number in range(10)]
    with closing(look):
        answers = look.look_up_keys(keys, Actor("mei", LookupPurpose.SALE))
    found_of = {number: answers[key] for number, key in enumerate(keys)}
    lost = Answer(Status.NOT_IN_NETWORK)
    assert [number for number, answer in found_of.items() if answer == lost] == [0, 3, 5, 9]
    known = {answer for answer in found_of.values() if answer != lost}
    assert [answer.status for answer in known] == [Status.KNOWN]


@pytest.mark.parametrize(
    ("people", "lost", "waits"),
    [(10, 3, False), (10, 4, True), (79, 4, True), (80, 4, False), (80, 5, True)],
)
def test_three_may_go_in_a_month_or_one_in_twenty(
    outlet: Outlet, people: int, lost: int, *, waits: bool
) -> None:
    outlet.lists(people)
    outlet.night(*range(lost))
    assert (outlet.people.held_losses() is not None) is waits
    assert outlet.ended() == (0 if waits else lost)
    assert outlet.people.counts()[State.BURIED] == (0 if waits else lost)


def test_one_a_night_for_a_week_adds_up_and_waits_from_the_fourth_night_on(
    outlet: Outlet,
) -> None:
    outlet.lists(10)
    waiting = []
    for number in range(7):
        outlet.night(number)
        found = outlet.people.held_losses()
        waiting.append(0 if found is None else found.lost)
    assert waiting == [0, 0, 0, 1, 2, 3, 4]
    assert outlet.ended() == 3
    assert outlet.people.held_losses() == HeldLosses(4, day(4))
    outlet.night()  # what waits is counted again every night, not added
    assert outlet.people.held_losses() == HeldLosses(4, day(4))


@pytest.mark.parametrize(("later", "waits"), [(DAYS - 1, True), (DAYS, False)])
def test_what_went_a_month_ago_counts_no_more(outlet: Outlet, later: int, *, waits: bool) -> None:
    outlet.lists(10)
    outlet.night(0, 1, 2)
    outlet.now += dt.timedelta(days=later - 1)  # a night is a day
    outlet.night(3)
    assert (outlet.people.held_losses() is not None) is waits
    assert outlet.ended() == (3 if waits else 4)


def test_every_slot_exchanged_or_gone_ends_no_consent_also_where_the_office_was_fooled(
    outlet: Outlet,
) -> None:
    good = outlet.lists(10).directory
    random = np.random.default_rng(1).integers(0, 256, good.rows.shape).astype(np.uint8)
    for number, rows in enumerate((random, good.rows[:0], good.rows[::-1].copy()), 2):
        outlet.people.follow(replace(good, rows=rows), number)
        assert outlet.people.held_losses() == HeldLosses(10, day(1))
        assert outlet.ended() == 0
        assert outlet.people.listed(replace(good, rows=rows)).is_empty()
    outlet.people.follow(good, 9)
    assert outlet.people.held_losses() is None
    assert outlet.people.listed(good).height == 10


def test_who_of_those_that_wait_withdraws_here_is_not_counted_and_the_rest_waits_on(
    outlet: Outlet,
) -> None:
    outlet.lists(10)
    outlet.night(0, 1, 2, 3)
    outlet.people.withdraw(outlet.people.local_key(name_of(0)))
    assert outlet.ended() == 1
    outlet.night()
    found = outlet.people.held_losses()
    assert found is not None
    assert found.lost == 3
    assert outlet.ended() == 1


def test_what_waits_waits_on_where_the_outlet_grows(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlet.lists(10)
    outlet.night(0, 1, 2, 3)
    monkeypatch.setattr(directory_losses, "ALWAYS", 1_000)  # as if it had many more people
    outlet.night()
    found = outlet.people.held_losses()
    assert found is not None
    assert (found.lost, outlet.ended()) == (4, 0)


# --- what a person is told, and decides -----------------------------------------------------------


def test_status_doctor_and_show_say_how_many_wait_and_what_to_do(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "REACH_SECONDS", 0.1)
    fine = {
        "number": 1, "batch": 1, "slots": 10, "listed": 10, "in_no_directory": 0, "lost": 0,
        "lost_since": None, "again": 0, "again_since": None,
    }  # fmt: skip
    assert outlet.shown()["number"] is None
    assert "No directory yet" in outlet.run("directory", "show")[1]
    assert "✓ directory: takes nobody away" in outlet.run("doctor")[1]
    outlet.lists(10)
    assert outlet.shown() == fine
    assert "takes" not in outlet.run("status")[1]
    assert "away" not in outlet.run("directory", "show")[1]

    outlet.night(0, 1, 2, 3)
    lost = {"number": 2, "batch": 2, "lost": 4, "lost_since": day(1)}
    assert outlet.shown() == {**fine, **lost}
    said = outlet.run("directory", "show")[1]
    assert "Directory: number 2 of the privacy office, 10 slots, batch 2" in said
    assert f"It takes 4 of your people away, since {day(1)}: ask the privacy office why" in said
    assert "`escapement-outlet directory accept`" in said
    said = outlet.run("status")[1]
    assert "the directory takes 4 of your people away: `escapement-outlet directory show`" in said
    assert json.loads(outlet.run("status", "--json")[1])["lost"] == 4
    code, said = outlet.run("doctor")
    assert code == 1
    assert f"✗ directory: takes 4 of your people away, since {day(1)}: ask the privacy" in said


def test_a_person_accepts_and_then_the_next_single_loss_does_not_wait(outlet: Outlet) -> None:
    outlet.lists(10)
    outlet.night(0, 1, 2, 3)
    code, said = outlet.run("directory", "accept", "--by", "Mei Lin")
    assert code == 0
    assert "4 people are withdrawn here, as they are elsewhere" in said
    assert outlet.ended() == 4
    assert (outlet.listed(), outlet.people.counts()[State.BURIED]) == (6, 4)
    assert outlet.people.held_losses() is None
    with rights_of(outlet.home) as connection:
        last = recent_entries(connection, NOON, limit=1)[0]
    assert (last.act, last.by) == (LogAct.WITHDRAWAL, "Mei Lin")
    assert last.about == "4 people whom directory 2 takes away"
    outlet.night(4)
    assert outlet.people.held_losses() is None
    assert outlet.ended() == 5
    key = outlet.people.local_key(name_of(0))  # a new consent brings one back
    outlet.people.record_consent(key, "n", "mei", dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    person = outlet.people.person(key)
    assert person is not None
    assert person.state is State.EVALUATED


def test_what_was_accepted_counts_no_more_with_what_comes(outlet: Outlet) -> None:
    outlet.lists(10)
    outlet.night(0, 1, 2)
    outlet.night(3)
    assert outlet.people.held_losses() == HeldLosses(1, day(2))
    assert outlet.run("directory", "accept", "--by", "Mei Lin")[0] == 0
    outlet.night(4, 5, 6)
    assert outlet.people.held_losses() is None
    outlet.night(7)
    assert outlet.people.held_losses() == HeldLosses(1, day(4))
    assert outlet.ended() == 7


def test_where_nothing_waits_there_is_nothing_to_accept(outlet: Outlet) -> None:
    def refused() -> None:
        code, said = outlet.run("directory", "accept", "--by", "Mei Lin")
        assert (code, "nothing waits for a person" in said) == (6, True)

    refused()
    outlet.lists(3)
    refused()
    outlet.night(0)  # one is withdrawn without anybody's decision
    refused()
    assert outlet.ended() == 1
    with rights_of(outlet.home) as connection:
        assert not recent_entries(connection, NOON, limit=1)


@pytest.mark.parametrize("by", [[], ["--by", " "]])
def test_nobody_accepts_without_a_name(outlet: Outlet, by: list[str]) -> None:
    outlet.lists(10)
    outlet.night(0, 1, 2, 3)
    assert outlet.run("directory", "accept", *by)[0] != 0
    assert outlet.ended() == 0
    assert outlet.people.held_losses() == HeldLosses(4, day(1))


def test_who_is_in_no_directory_is_counted_and_not_lost(outlet: Outlet) -> None:
    outlet.lists(3)
    late = outlet.people.local_key(name_of(7))
    outlet.people.record_consent(late, "n", "mei", outlet.now)
    outlet.people.keep_tokens({late: token(name_of(7), SHARE)})
    outlet.people.submission(2, 4, outlet.sealing.public, outlet.ring.token_key())
    outlet.people.submitted(2)
    outlet.night()
    assert outlet.people.held_losses() is None
    assert outlet.shown()["in_no_directory"] == 1
    assert "1 people were handed in and are in none" in outlet.run("doctor")[1]
    assert "1 of them handed in and in no directory: sent again" in outlet.run("status")[1]


def test_only_what_was_looked_at_is_accepted(outlet: Outlet) -> None:
    outlet.lists(20)
    shown = outlet.night(0, 1, 2, 3)
    rows = shown.directory.rows.copy()
    rows[4:10] = 0
    later = outlet.press.directory(Directory(shown.directory.batch + 1, rows), 99)
    keep_directory(outlet.home, later)  # by a book, or a night that was killed
    with pytest.raises(DirectoryRefused, match="number 99 is not the one that was looked at"):
        outlet.people.follow(later.directory, 99, accepted=True)
    assert outlet.run("directory", "accept", "--by", "Mei Lin")[0] == 0
    assert outlet.ended() == 4
    assert outlet.people.followed_number() == shown.number


def test_what_one_blank_slot_would_end_by_a_shared_number_is_counted_as_a_whole(
    outlet: Outlet,
) -> None:
    outlet.lists(10)
    shared = outlet.people.local_key(name_of(0))
    with outlet.people.transaction() as connection:
        rows = [
            {"typed": f"row {number}", "origin": CLIENTS, "customer": f"c{number}", "former": False,
             "phone": shared, "email": outlet.people.local_key(name_of(number))}
            for number in range(1, 6)
        ]  # fmt: skip
        connection.execute(ENTRIES.insert(), rows)
        mark_old(connection)
    outlet.night(0)
    found = outlet.people.held_losses()
    assert found is not None
    assert found.lost == 6
    assert outlet.ended() == 0
