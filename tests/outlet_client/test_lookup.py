"""Look-ups: what staff are told, and which book tells it."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from sqlalchemy.exc import SQLAlchemyError
from typer.testing import CliRunner

from features.bands import SCHEMES
from outlet_client.bands.book_store import fetch_book, read_shelf, store_book
from outlet_client.bands.lookup import (
    A_PERSON_LOOKS,
    MANY_OUTLETS,
    NO_BANDS_YET,
    Answer,
    Band,
    LookUp,
    Status,
)
from outlet_client.bands.lookup_quota import LookupQuotaReached
from outlet_client.database import create_databases
from outlet_client.desk.socket_service import DeskService, start_desk
from outlet_client.errors import BookBehind, BookMissing, NoIdentifier, StoreMissing
from outlet_client.log_tables.rights_store import RIGHTS_FILE, RightsGone, rights_of
from outlet_client.main import app
from outlet_client.people.directory_files import (
    fetch_directory,
    keep_directory,
    latest_directory,
)
from outlet_client.people.people_store import People, State
from outlet_client.records.access_log import (
    KEEP_DAYS,
    LogAct,
    LogEntry,
    entries,
    purge_log,
    recent_entries,
)
from outlet_client.records.actor import MOST_CHARACTERS, Actor, LookupPurpose, NotAsked, system_user
from outlet_client.records.customer_requests import NewRequest, RequestKind, answer, receive
from outlet_client.settings import DeskSettings, OutletFile
from privacy.books import Book, BookRefused
from privacy.directory import DirectoryRefused
from privacy.envelopes import SealKey, SigningKey
from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.publications import Publication, PublicationKind, PublicationRefused, countersign
from privacy.published_books import PublishedBook, sign_book
from privacy.registrations import Registration
from privacy.seal_plans import SealKind
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenRefused, TokenShare, token
from server.wire import outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import read_refusal
from tests.builders import outlet_at
from tests.outlet_client.fake_network import PHONES, network
from tests.outlet_client.fake_registry import Slots
from tests.shelves import NETWORK, Press, band_codes, make_book

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.outlet_client.fake_network import FakeNetwork

__all__ = ["network"]

NOW = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
ANNA, BEN, NEWCOMER, UNKNOWN = PHONES[:4]
ASKED = Actor("mei", LookupPurpose.SALE)


class Shop:
    """An outlet with Anna as its customer, in a network that knows Anna and Ben."""

    def __init__(self, network: FakeNetwork, home: Path) -> None:
        self.network, self.home, self.now = network, home, NOW
        self.people = People(outlet_at(home), b"s" * 32, lambda: self.now)
        self.look = self.another()
        network.elsewhere(f"tel:{BEN}", f"tel:{ANNA}")
        key = self.key(ANNA)
        self.people.record_consent(key, "n", "mei", NOW - dt.timedelta(days=9))
        self.people.keep_tokens({key: network.token(f"tel:{ANNA}")})
        self.hand_in(1)
        self.directory = network.shown(self.people, 1)

    def another(self, quota: int = 10**6) -> LookUp:
        publishers = self.network.press.publishers
        desk = DeskSettings(lookups_a_day=quota)
        settings = OutletFile(ledger="ledger.csv", region="SG", desk=desk)
        return LookUp(self.home, self.people, publishers, settings, lambda: self.now)

    def hand_in(self, batch: int) -> None:
        sealed = self.people.submission(batch, 4, self.network.sealing_key, self.network.pinned)
        assert sealed is not None
        self.people.submitted(batch)

    def key(self, phone: str) -> str:
        return self.people.local_key(f"tel:{phone}")

    def log(self, phone: str, days: int = KEEP_DAYS) -> list[tuple[str, str, str]]:
        """Who looked this customer up, why, and what came of it."""
        with rights_of(self.home) as connection:
            found = entries(connection, [self.key(phone)], self.now - dt.timedelta(days=days))
        return [(one.by, one.purpose or "", one.outcome) for one in found]

    def dispute(self, phone: str) -> int:
        taking = NewRequest(self.now.date(), 30, "mei", "I never resold it")
        with rights_of(self.home) as connection:
            return receive(connection, RequestKind.DISPUTE, self.key(phone), taking)

    def book(
        self, version: int = 1, priority: str = "priority", marked: tuple[int, ...] = (),
        as_of: str = "2026-03-01", sealed: int | None = None, **changes: object,
    ) -> Book:  # fmt: skip
        """Ben is eligible, Anna has priority, whoever comes after them is building."""
        others = self.directory.directory.slots - 2
        bands = [("eligible", "low"), (priority, "low"), *[("building", "elevated")] * others]
        made = make_book(
            band_codes(bands)[:sealed],
            self.directory.directory,
            as_of=as_of,
            made_at=NOW.timestamp() - 3600,
            version=version,
            marked=marked,
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    def fine_book(self, version: int) -> Book:
        slots = self.directory.directory.slots
        return make_book(
            np.zeros((slots, 2), np.uint8), self.directory.directory, as_of="2026-03-01",
            made_at=NOW.timestamp() - 3600, kind=SealKind.FINE, version=version,
            nonces=[bytes(32)] * slots,
        )  # fmt: skip

    def published(self, book: Book, press: Press | None = None) -> bytes:
        """As HQ publishes it; by somebody else's keys where they are given."""
        return (press or self.network.press).book(book)

    def store(self, data: bytes) -> bool:
        keep_directory(self.home, self.directory)
        publishers = self.network.press.publishers
        return store_book(self.home, data, self.directory.directory, publishers, self.now)

    def fetch(self) -> bool:
        """Fetches what HQ published last, as a night does."""
        publishers = self.network.press.publishers
        return fetch_book(self.home, self.network.services, publishers, self.now, 30)

    def first_time(self, phone: str) -> Answer:
        services, pinned = self.network.services, self.network.pinned
        return self.look.first_time(phone, None, "2026-03", services, pinned, ASKED)


@pytest.fixture
def shop(network: FakeNetwork, tmp_path: Path) -> Shop:
    made = Shop(network, tmp_path)
    assert made.store(made.published(made.book()))
    return made


LOOK = ("lookup", "--purpose", "sale")
SETTINGS = 'ledger = "ledger.csv"\nclients = "clients.csv"\nregion = "SG"\n'
PRIORITY = next(iter(SCHEMES.values())).sentence("priority")


def test_a_known_customer_has_bands_and_what_they_allow(shop: Shop) -> None:
    answer = shop.look.look_up("8123 4500", None, ASKED)
    assert answer.status is Status.KNOWN
    assert answer.as_of == "2026-03-01"
    assert answer.bands[0] == Band("eligibility", "priority", PRIORITY)
    assert answer.bands[1].score == "flipper_risk"
    assert answer.bands[1].band == "low"


def test_an_answer_has_no_place_for_points_outlets_history_or_counts() -> None:
    assert [field.name for field in fields(Answer)] == ["status", "as_of", "bands", "many_outlets"]
    assert [field.name for field in fields(Band)] == ["score", "band", "allows"]


ANNAS_SLOT = 1
NEW = [(scheme.name, "new", scheme.sentence("new")) for scheme in SCHEMES.values()]


def told(answer: Answer) -> list[tuple[str, str, str]]:
    return [(band.score, band.band, band.allows) for band in answer.bands]


def test_a_slot_that_is_newer_than_the_seal_reads_new(shop: Shop) -> None:
    assert shop.store(shop.published(shop.book(2, sealed=ANNAS_SLOT)))
    answer = shop.look.look_up(ANNA, None, ASKED)
    assert (answer.status, answer.as_of, told(answer)) == (Status.KNOWN, "2026-03-01", NEW)
    assert not answer.many_outlets
    assert shop.first_time(BEN).bands[0].band == "eligible"


def test_of_whom_little_is_known_both_bands_read_new_whatever_the_codes(shop: Shop) -> None:
    codes = np.full((shop.directory.directory.slots, 3), 2, np.uint8)
    for evidence, expected in ((0, "new"), (1, "new"), (2, "priority"), (3, "priority")):
        codes[:, 2] = evidence
        book = make_book(
            codes, shop.directory.directory, as_of="2026-03-01", made_at=NOW.timestamp(),
            version=2 + evidence,
        )  # fmt: skip
        assert shop.store(shop.published(book))
        answer = shop.look.look_up(ANNA, None, ASKED)
        assert answer.bands[0].band == expected
        assert (told(answer) == NEW) == (expected == "new")


def test_who_is_known_at_too_many_outlets_has_no_band_and_a_person_looks(shop: Shop) -> None:
    assert shop.store(shop.published(shop.book(2, marked=(ANNAS_SLOT,))))
    answer = shop.look.look_up(ANNA, None, ASKED)
    assert (answer.status, answer.no_band) == (Status.KNOWN, MANY_OUTLETS)
    assert answer.many_outlets
    assert told(answer) == [(scheme.name, "new", A_PERSON_LOOKS) for scheme in SCHEMES.values()]
    assert "a person looks" in A_PERSON_LOOKS
    other = shop.first_time(BEN)
    assert (other.many_outlets, other.no_band, other.bands[0].band) == (False, "", "eligible")


def test_whatever_a_book_holds_of_a_customer_reads_as_bands_and_raises_nothing(
    shop: Shop,
) -> None:
    names = [scheme.bands for scheme in SCHEMES.values()]
    found = set()
    for byte in range(256):
        book = shop.book(2 + byte)
        body = bytearray(book.body)
        body[ANNAS_SLOT] = byte
        assert shop.store(shop.published(replace(book, body=bytes(body))))
        answer = shop.look.look_up(ANNA, None, ASKED)
        bands = tuple(band.band for band in answer.bands)
        assert all(band in known for band, known in zip(bands, names, strict=True))
        found.add((bands, answer.many_outlets))
    assert {"review", "new", "priority"} <= {band for bands, _ in found for band in bands}
    assert {many for _, many in found} == {True, False}
    assert shop.log(ANNA) == [("mei", "sale", "known")] * 256


def test_on_a_night_between_seals_bands_and_their_day_stay_and_who_withdrew_reads_nothing(
    shop: Shop, network: FakeNetwork
) -> None:
    sealed = shop.book(2)
    assert shop.store(shop.published(sealed))
    before = shop.look.look_up(ANNA, None, ASKED)
    network.elsewhere(f"tel:{NEWCOMER}")
    network.withdrawn_elsewhere(f"tel:{BEN}")
    shop.directory = network.publish(2)
    now = shop.directory.directory
    shop.now += dt.timedelta(days=3)
    tonight = replace(
        sealed, version=3, made_at=int(shop.now.timestamp()), slots=now.slots,
        directory=now.digest, body=b"\xff" + sealed.body[1:] + b"\xff" * (now.slots - sealed.slots),
    )  # fmt: skip
    assert shop.store(shop.published(tonight))
    assert shop.look.look_up(ANNA, None, ASKED) == before
    assert before.as_of == "2026-03-01"
    assert told(shop.first_time(NEWCOMER)) == NEW
    assert shop.first_time(BEN) == Answer(Status.NOT_IN_NETWORK)


def test_who_never_consented_here_is_not_looked_up(shop: Shop, network: FakeNetwork) -> None:
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.CONSENT_NEEDED)
    assert network.at_hq.asked == []
    with pytest.raises(NoIdentifier) as caught:
        shop.look.look_up("12", "nobody", ASKED)
    assert "nobody" not in str(caught.value)


def test_a_newcomer_who_is_known_elsewhere_has_bands_at_once_for_one_evaluation(
    shop: Shop, network: FakeNetwork
) -> None:
    answer = shop.first_time(BEN)
    assert answer.status is Status.KNOWN
    assert answer.bands[0].band == "eligible"
    assert network.at_hq.asked == network.at_office.asked == [1]
    person = shop.people.person(shop.key(BEN))
    assert person is not None
    assert person.state is State.EVALUATED
    assert shop.look.look_up(BEN, None, ASKED) == answer
    assert shop.first_time(BEN) == answer
    assert network.at_hq.asked == [1]
    assert shop.people.consents().filter(key=shop.key(BEN))["notice"].to_list() == ["2026-03"]


def test_a_consent_at_the_desk_is_in_the_log_with_who_recorded_it(shop: Shop) -> None:
    shop.first_time(BEN)
    with rights_of(shop.home) as connection:
        consent, look = reversed(recent_entries(connection, NOW, limit=9))
    assert (consent.act, consent.by, consent.purpose) == (LogAct.CONSENT, "mei", LookupPurpose.SALE)
    assert consent.key == look.key == shop.key(BEN)
    assert look.act is LogAct.LOOK_UP


def test_somebody_whom_nobody_registered_is_not_in_the_network(shop: Shop) -> None:
    assert shop.first_time(UNKNOWN) == Answer(Status.NOT_IN_NETWORK)
    assert shop.look.look_up(UNKNOWN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


def test_a_consent_without_a_token_yet_is_not_in_the_network(shop: Shop) -> None:
    shop.people.record_consent(shop.key(NEWCOMER), "n", "mei", NOW)
    assert shop.look.look_up(NEWCOMER, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


def test_the_withdrawn_and_the_buried_have_no_bands_until_a_new_consent(shop: Shop) -> None:
    shop.people.withdraw(shop.key(ANNA))
    assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
    shop.first_time(BEN)
    shop.hand_in(2)
    shop.network.shown(shop.people, 2)
    shop.network.withdrawn_elsewhere(f"tel:{BEN}")
    assert shop.look.look_up(BEN, None, ASKED).status is Status.KNOWN
    shop.network.shown(shop.people, 3)
    person = shop.people.person(shop.key(BEN))
    assert person is not None
    assert person.state is State.BURIED
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
    shop.now += dt.timedelta(hours=1)
    assert shop.first_time(BEN).status is Status.KNOWN  # the old book still has the entry


def test_another_key_holder_is_noticed_at_a_first_time(shop: Shop, network: FakeNetwork) -> None:
    pinned = network.pinned
    network.at_office.share = TokenShare.generate()
    with pytest.raises(TokenRefused, match="pinned total"):
        shop.look.first_time(BEN, None, "n", network.services, pinned, ASKED)
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


def refused_books(shop: Shop) -> Iterator[tuple[bytes, str]]:
    stale = int((NOW - dt.timedelta(days=31)).timestamp())
    press, book = shop.network.press, shop.book(2)
    yield shop.published(book, replace(press, hq=SigningKey.generate())), "not signed by the pinned"
    yield shop.published(book, replace(press, office=SigningKey.generate())), "not countersigned"
    told = press.countersigned(shop.directory.directory, 9).encode()
    yield told + sign_book(book, press.hq).encode(), "what the office said of a directory"
    other = PublishedBook.decode(shop.published(shop.book(3)))
    yield replace(other, signed=sign_book(book, press.hq)).encode(), "countersigned [0-9a-f]{16};"
    yield press.book(shop.book(9), 1), "number 1, expected one above 1"  # whatever HQ says
    yield shop.published(shop.book(1, as_of="2026-02-02")), "number 1, expected one above 1"
    yield shop.published(shop.book(2, made_at=stale)), "stale"
    yield shop.published(shop.book(2, directory="ab" * 32)), "directory"
    yield shop.published(shop.fine_book(2)), "fine"
    less = shop.book(2, sealed=1)
    yield shop.published(replace(less, slots=1, body=less.body[:1])), "1 slots"
    yield b"", "cut off"
    yield b"\0" * 80, "signature of 12 bytes"


def test_a_stale_forged_older_or_foreign_book_is_refused_and_the_good_one_stays(
    shop: Shop,
) -> None:
    good = shop.look.look_up(ANNA, None, ASKED)
    files = {file.name: file.read_bytes() for file in shop.home.glob("*.bin")}
    for data, reason in refused_books(shop):
        with pytest.raises(PrivacyError, match=reason):
            shop.store(data)
        assert {file.name: file.read_bytes() for file in shop.home.glob("*.bin")} == files
        assert shop.another().look_up(ANNA, None, ASKED) == good
    assert not shop.store((shop.home / "book.bin").read_bytes())  # the same one is nothing new


def test_a_book_of_another_directory_than_the_office_was_told_is_refused(shop: Shop) -> None:
    signed = sign_book(shop.book(2), shop.network.hq.signing)
    said = Publication(PublicationKind.BOOK, 1, signed.digest, "ab" * 32, 1)
    told = countersign(said, shop.network.office.signing)
    with pytest.raises(BookRefused, match="of another directory than the privacy office was told"):
        shop.store(PublishedBook(signed, told).encode())


def test_a_newer_book_is_used_at_once_with_its_own_directory(
    shop: Shop, network: FakeNetwork
) -> None:
    assert shop.look.look_up(ANNA, None, ASKED).bands[0].band == "priority"
    assert shop.first_time(NEWCOMER).status is Status.NOT_IN_NETWORK
    network.elsewhere(f"tel:{NEWCOMER}")
    shop.directory = network.publish(2)
    assert shop.store(shop.published(shop.book(2, "eligible")))
    assert shop.look.look_up(ANNA, None, ASKED).bands[0].band == "eligible"
    assert shop.look.look_up(NEWCOMER, None, ASKED).bands[0].band == "building"
    assert len(list(shop.home.glob("directory-*.bin"))) == 1


def test_a_kill_between_directory_and_book_leaves_the_old_pair(
    shop: Shop, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = shop.look.look_up(ANNA, None, ASKED)
    shop.directory = network.publish(2)
    network.library.latest = shop.published(shop.book(2, "eligible"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("outlet_client.bands.book_store.write_private", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.fetch()
    assert len(list(shop.home.glob("directory-*.bin"))) == 2
    assert shop.another().look_up(ANNA, None, ASKED) == good
    assert shop.fetch()
    assert shop.another().look_up(ANNA, None, ASKED).bands[0].band == "eligible"
    assert len(list(shop.home.glob("directory-*.bin"))) == 1


def test_an_hq_that_was_restored_hands_out_an_earlier_book_and_the_one_here_stays(
    shop: Shop, network: FakeNetwork
) -> None:
    early = shop.published(shop.book(2))
    shop.directory = network.publish(2)
    network.library.latest = shop.published(shop.book(3, "eligible"))
    assert shop.fetch()
    network.library.latest = early
    with pytest.raises(BookBehind, match=r"HQ hands out book 2 .* book 3 is here and stays"):
        shop.fetch()
    assert shop.another().look_up(ANNA, None, ASKED).bands[0].band == "eligible"


def test_a_book_of_an_earlier_night_comes_with_its_own_directory(
    shop: Shop, network: FakeNetwork
) -> None:
    """This outlet was down on the night of the book."""
    shop.directory = network.publish(2)
    network.library.latest = shop.published(shop.book(2, "eligible"))
    network.elsewhere(f"tel:{NEWCOMER}")
    tonight = network.publish(3)
    office = network.office.signing.public
    fetch_directory(shop.home, network.services, tonight.directory.digest, office)
    assert shop.fetch()
    assert not shop.fetch()
    assert shop.look.look_up(ANNA, None, ASKED).bands[0].band == "eligible"
    latest = latest_directory(shop.home, office)
    assert latest is not None
    assert latest.number == tonight.number  # the next night goes on from it
    network.library.latest = None
    assert not shop.fetch()


def test_directories_of_nights_without_a_new_book_do_not_pile_up(
    shop: Shop, network: FakeNetwork
) -> None:
    network.library.latest = (shop.home / "book.bin").read_bytes()
    office = network.office.signing.public
    made = shop.directory
    for batch in range(2, 6):
        made = network.publish(batch)
        fetch_directory(shop.home, network.services, made.directory.digest, office)
        assert not shop.fetch()
    kept = {file.name[10:42] for file in shop.home.glob("directory-*.bin")}
    assert kept == {one.directory.digest[:32] for one in (shop.directory, made)}
    assert shop.another().look_up(ANNA, None, ASKED).status is Status.KNOWN


def test_a_book_that_grew_too_old_is_not_shown(shop: Shop) -> None:
    shop.look.look_up(ANNA, None, ASKED)
    shop.now += dt.timedelta(days=31)
    with pytest.raises(BookMissing, match="made 2026-03-02, expected one not older than 30 days"):
        shop.look.look_up(ANNA, None, ASKED)
    assert shop.look.look_up(UNKNOWN, None, ASKED).status is Status.CONSENT_NEEDED


def test_codes_of_an_old_seal_are_not_shown_though_they_are_published_every_night(
    shop: Shop,
) -> None:
    """30 days, and the 7 by which the day of a seal may lie off."""
    sealed = shop.book(2)
    for days, is_shown in ((36, True), (37, False), (38, False)):  # of 2026-03-01
        shop.now = NOW + dt.timedelta(days=days)
        tonight = replace(sealed, version=days, made_at=int(shop.now.timestamp()))
        assert shop.store(shop.published(tonight))
        if is_shown:
            assert shop.look.look_up(ANNA, None, ASKED).as_of == "2026-03-01"
            continue
        with pytest.raises(BookMissing, match=r"sealed as of 2026-03-01, .* than 37 days ago"):
            shop.look.look_up(ANNA, None, ASKED)
    made_at = int(shop.now.timestamp())
    assert shop.store(shop.published(shop.book(99, as_of="2026-03-03", made_at=made_at)))
    assert shop.look.look_up(ANNA, None, ASKED).as_of == "2026-03-03"


@pytest.fixture
def new_shop(network: FakeNetwork, tmp_path: Path) -> Shop:
    """A shop that follows a directory, in a network that has sealed no bands yet."""
    made = Shop(network, tmp_path)
    keep_directory(made.home, made.directory)
    return made


def test_before_the_first_book_everybody_who_is_listed_reads_new(
    new_shop: Shop, network: FakeNetwork
) -> None:
    answer = new_shop.look.look_up(ANNA, None, ASKED)
    assert (answer.status, answer.as_of, told(answer)) == (Status.KNOWN, "", NEW)
    assert (answer.no_band, answer.many_outlets, answer.note) == ("", False, NO_BANDS_YET)
    assert new_shop.look.look_up(BEN, None, ASKED) == Answer(Status.CONSENT_NEEDED)
    assert new_shop.first_time(BEN) == answer
    assert new_shop.first_time(NEWCOMER) == Answer(Status.NOT_IN_NETWORK)
    network.elsewhere(f"tel:{NEWCOMER}")
    network.withdrawn_elsewhere(f"tel:{BEN}")
    new_shop.directory = network.publish(2)
    keep_directory(new_shop.home, new_shop.directory)
    assert new_shop.look.look_up(NEWCOMER, None, ASKED) == answer
    assert new_shop.look.look_up(BEN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
    assert [outcome for *_, outcome in new_shop.log(ANNA)] == ["known"]


def test_the_first_book_is_read_as_soon_as_it_is_here(new_shop: Shop) -> None:
    assert new_shop.look.look_up(ANNA, None, ASKED).bands[0].band == "new"
    assert new_shop.store(new_shop.published(new_shop.book()))
    answer = new_shop.look.look_up(ANNA, None, ASKED)
    assert (answer.bands[0].band, answer.as_of, answer.note) == ("priority", "2026-03-01", "")


def test_without_a_directory_that_can_be_read_nobody_is_new_but_there_is_no_book(
    new_shop: Shop,
) -> None:
    [place] = new_shop.home.glob("directory-*.bin")
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(BookMissing, match="none yet, and no directory"):
        new_shop.look.look_up(ANNA, None, ASKED)
    place.unlink()
    with pytest.raises(BookMissing, match="none yet, and no directory"):
        new_shop.look.look_up(ANNA, None, ASKED)
    assert new_shop.look.look_up(BEN, None, ASKED).status is Status.CONSENT_NEEDED


def test_a_book_that_cannot_be_read_is_never_taken_for_none(new_shop: Shop) -> None:
    for data in (b"", b"x", new_shop.published(new_shop.book())[:-1]):
        (new_shop.home / "book.bin").write_bytes(data)
        with pytest.raises(PrivacyError):
            new_shop.look.look_up(ANNA, None, ASKED)


def test_a_lost_or_exchanged_directory_is_noticed(shop: Shop) -> None:
    [place] = shop.home.glob("directory-*.bin")
    good = place.read_bytes()
    other = shop.network.publish(9)
    keep_directory(shop.home, other)
    (shop.home / f"directory-{other.directory.digest[:32]}.bin").replace(place)
    with pytest.raises(BookRefused, match="the directory on disk is another"):
        shop.another().look_up(ANNA, None, ASKED)
    place.write_bytes(good[:-1] + b"?")
    with pytest.raises(PublicationRefused, match="the privacy office countersigned"):
        shop.another().look_up(ANNA, None, ASKED)
    place.write_bytes(good[:-1])
    with pytest.raises(DirectoryRefused, match="malformed"):
        shop.another().look_up(ANNA, None, ASKED)
    place.unlink()
    with pytest.raises(BookMissing, match="its directory is missing"):
        shop.another().look_up(ANNA, None, ASKED)
    shop.network.library.latest = (shop.home / "book.bin").read_bytes()
    assert not shop.fetch()  # it is the same book, and its directory is back
    assert shop.another().look_up(ANNA, None, ASKED).status is Status.KNOWN


def test_a_damaged_book_is_noticed_and_any_good_one_replaces_it(shop: Shop) -> None:
    place = shop.home / "book.bin"
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    with pytest.raises(BookRefused, match="not signed"):
        shop.look.look_up(ANNA, None, ASKED)
    assert shop.store(shop.published(shop.book()))
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.KNOWN


def test_the_desk_answers_on_a_socket_for_its_owner_only(shop: Shop) -> None:
    network = shop.network
    server = start_desk(DeskService(shop.look, network.services, network.pinned), shop.home)
    socket = shop.home / "desk.sock"
    assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        desk = outlets_pb2_grpc.DeskStub(channel)
        who = {"by": "mei", "purpose": "sale"}
        known = desk.Lookup(outlets_pb2.LookupRequest(phone=ANNA, **who))
        assert (known.status, known.as_of) == ("known", "2026-03-01")
        assert known.bands[0].allows == PRIORITY
        asked = outlets_pb2.LookupRequest(phone=BEN, by="mei", purpose="service")
        assert desk.Lookup(asked).status == "consent needed"
        consent = outlets_pb2.LookupRequest(phone=BEN, consent_notice="n", **who)
        assert desk.Lookup(consent).bands[0].band == "eligible"
        shop.store(shop.published(shop.book(2, marked=(ANNAS_SLOT,))))
        assert not known.many_outlets
        marked = desk.Lookup(outlets_pb2.LookupRequest(phone=ANNA, **who))
        assert marked.many_outlets
        assert {(band.band, band.allows) for band in marked.bands} == {("new", A_PERSON_LOOKS)}
        with pytest.raises(grpc.RpcError) as caught:
            desk.Lookup(outlets_pb2.LookupRequest(email="nobody", **who))
        refusal = read_refusal(caught.value)
        assert refusal is not None
        assert refusal.type == "NoIdentifier"
        for missing in ({"by": "mei"}, {"purpose": "sale"}, {"by": "mei", "purpose": "fun"}):
            with pytest.raises(grpc.RpcError) as caught:
                desk.Lookup(outlets_pb2.LookupRequest(phone=ANNA, **missing))
            refusal = read_refusal(caught.value)
            assert refusal is not None
            assert refusal.type == "NotAsked"
    server.stop(None).wait()
    assert shop.log(ANNA) == [("mei", "sale", "known")] * 2
    assert shop.log(BEN) == [("mei", "service", "consent needed"), ("mei", "sale", "known")]
    consents = shop.people.consents().filter(key=shop.key(BEN))
    assert consents["recorded_by"].to_list() == ["mei"]


# --- how many in a day ----------------------------------------------------------------------------


def test_by_however_many_programs_at_once_nobody_gets_more_than_the_days_quota(shop: Shop) -> None:
    programs = [shop.another(quota=3) for _ in range(4)]
    answered, refused = list[Status](), list[str]()

    def ask(look: LookUp) -> None:
        for name in ("mei", " MEI"):
            try:
                answered.append(look.look_up(ANNA, None, Actor.of(name, LookupPurpose.SALE)).status)
            except LookupQuotaReached as refusal:
                refused.append(str(refusal))

    threads = [threading.Thread(target=ask, args=(look,)) for look in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answered, len(refused)) == ([Status.KNOWN] * 3, 5)
    shop.look = shop.another(quota=3)  # as after a restart
    with pytest.raises(LookupQuotaReached) as caught:
        shop.look.first_time(BEN, None, "n", shop.network.services, shop.network.pinned, ASKED)
    assert "You have made 3 look-ups today" in str(caught.value)
    assert f"from {caught.value.free.astimezone():%Y-%m-%d} 00:00 on" in str(caught.value)
    assert shop.people.consents().filter(key=shop.key(BEN)).is_empty()
    assert shop.log(BEN) == [("mei", "sale", "LookupQuotaReached")]
    assert shop.look.look_up(ANNA, None, Actor("noor", LookupPurpose.SALE)).status is Status.KNOWN
    shop.now = caught.value.free - dt.timedelta(seconds=1)
    with pytest.raises(LookupQuotaReached):
        shop.look.look_up(ANNA, None, ASKED)
    shop.now = caught.value.free
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.KNOWN
    for look in (*programs, shop.look):
        look.close()


def test_commands_that_answer_a_band_have_the_desks_quota(folder: Folder, tmp_path: Path) -> None:
    with (folder.folder / "escapement.toml").open("a") as settings:
        settings.write("[desk]\nlookups_a_day = 2\n")
    file = tmp_path / "consents.csv"
    file.write_text(
        f"phone,email,notice,recorded_at,recorded_by\n{ANNA},,2026-03,2026-03-01T10:00:00Z,mei\n"
    )
    folder.run("consent", "import", str(file))
    who = ("--phone", ANNA, "--by", "Mei Tan")
    for _ in range(2):
        assert folder.run(*LOOK, *who)[0] == 0
    free = (dt.datetime.now() + dt.timedelta(days=1)).date()  # noqa: DTZ005  (this machine's day)
    code, said = folder.run(*LOOK, *who)
    assert code == 1
    (folder.folder / "ledger.csv").write_text("customer_id,purchased_at,price,kind\n")
    (folder.folder / "clients.csv").write_text(f"customer_id,phone,email\na,{ANNA},\n")
    refusal = "You have made 2 look-ups today, which is as many as one person may."
    assert f"{refusal} The next is answered from {free} 00:00 on." in said
    assert refusal in folder.run("customer", "show", *who)[1]  # all else is the customer's right
    assert folder.run(*LOOK, *who, "--consent", "n")[0] == 1
    assert "1 standing" in folder.run("consent", "show")[1]
    assert folder.run(*LOOK, "--phone", ANNA, "--by", "Noor Aziz")[0] == 0
    assert "LookupQuotaReached" in folder.run("log", "show")[1]


# --- the log --------------------------------------------------------------------------------------


def test_every_look_up_is_in_the_log_whatever_came_of_it(shop: Shop) -> None:
    shop.look.look_up(ANNA, None, ASKED)
    shop.look.look_up(BEN, None, Actor("noor", LookupPurpose.SERVICE))
    shop.now += dt.timedelta(days=31)
    with pytest.raises(BookMissing):
        shop.look.look_up(ANNA, None, Actor("noor", LookupPurpose.CUSTOMER))
    assert shop.log(ANNA) == [("mei", "sale", "known"), ("noor", "customer", "BookMissing")]
    assert shop.log(BEN) == [("noor", "service", "consent needed")]


def test_a_first_time_that_no_holder_answers_is_in_the_log_too(
    shop: Shop, network: FakeNetwork
) -> None:
    pinned = network.pinned
    network.at_office.share = TokenShare.generate()
    with pytest.raises(TokenRefused):
        shop.look.first_time(BEN, None, "n", network.services, pinned, ASKED)
    assert shop.log(BEN) == [("mei", "sale", "TokenRefused")]


@pytest.mark.parametrize("notice", ["", " \t"])
def test_a_consent_to_no_text_is_none_and_nothing_is_recorded(
    shop: Shop, network: FakeNetwork, notice: str
) -> None:
    asked = (network.services, network.pinned, ASKED)
    with pytest.raises(NotAsked, match="expected the notice"):
        shop.look.first_time(BEN, None, notice, *asked)
    assert shop.people.person(shop.key(BEN)) is None
    assert network.at_hq.asked == []
    assert shop.log(BEN) == []


def test_nothing_is_answered_into_a_log_that_was_removed_until_there_is_one_again(
    shop: Shop,
) -> None:
    look = shop.another()
    look.look_up(ANNA, None, ASKED)
    for file in shop.home.glob(f"{RIGHTS_FILE}*"):
        file.unlink()
    for _ in range(2):
        with pytest.raises(RightsGone, match="removed while this program runs"):
            look.look_up(ANNA, None, ASKED)
    assert not (shop.home / RIGHTS_FILE).exists()
    with pytest.raises(StoreMissing, match=r"rights\.db: not there.*new-store"):
        shop.log(ANNA)
    create_databases(shop.home)
    assert look.look_up(ANNA, None, ASKED).status is Status.KNOWN
    assert shop.log(ANNA) == [("mei", "sale", "known")]


def test_where_the_log_cannot_be_written_there_is_no_answer(shop: Shop) -> None:
    shop.look.look_up(ANNA, None, ASKED)
    with closing(sqlite3.connect(shop.home / RIGHTS_FILE)) as store:
        store.execute(
            "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        store.commit()
    with pytest.raises(SQLAlchemyError):
        shop.look.look_up(ANNA, None, ASKED)
    assert shop.log(ANNA) == [("mei", "sale", "known")]


def test_a_look_up_waits_for_no_night_that_writes_the_outlets_database(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.home / "outlet.db", isolation_level=None)) as night:
        night.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert shop.another().look_up(ANNA, None, ASKED).status is Status.KNOWN
        assert time.monotonic() - began < 5


def test_several_people_are_looked_up_at_once_with_one_entry_each(shop: Shop) -> None:
    asked = Actor("mei", LookupPurpose.ALLOCATION)
    keys = [shop.key(phone) for phone in (ANNA, BEN, ANNA)]
    found = shop.look.look_up_keys(keys, asked)
    assert list(found) == [shop.key(ANNA), shop.key(BEN)]
    assert found[shop.key(ANNA)] == shop.look.look_up(ANNA, None, ASKED)
    assert shop.log(ANNA) == [("mei", "allocation", "known"), ("mei", "sale", "known")]
    assert shop.log(BEN) == [("mei", "allocation", "consent needed")]


def test_entries_go_after_a_year_and_their_numbers_are_never_used_again(shop: Shop) -> None:
    shop.look.look_up(BEN, None, ASKED)
    shop.now += dt.timedelta(days=KEEP_DAYS + 1)
    shop.look.look_up(BEN, None, ASKED)
    before = shop.now - dt.timedelta(days=KEEP_DAYS)
    assert purge_log(shop.home, before) == 1
    assert purge_log(shop.home, before) == 0
    assert purge_log(shop.home, shop.now + dt.timedelta(days=1)) == 1
    shop.look.look_up(BEN, None, ASKED)
    with rights_of(shop.home) as connection:
        [entry] = entries(connection, [shop.key(BEN)], NOW)
    key, sale = shop.key(BEN), LookupPurpose.SALE
    assert entry == LogEntry(3, shop.now, LogAct.LOOK_UP, "mei", sale, key, "", "consent needed")


def test_where_nothing_was_asked_there_is_no_log_and_nothing_to_purge(tmp_path: Path) -> None:
    assert purge_log(tmp_path, NOW) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_log_holds_no_phone_and_its_file_names_nobody(shop: Shop) -> None:
    shop.look.look_up(ANNA, "anna@x.example", ASKED)
    shop.look.look_up(None, "ben@x.example", ASKED)
    data = b"".join(file.read_bytes() for file in shop.home.glob(f"{RIGHTS_FILE}*"))
    for one in (ANNA, ANNA[3:], "anna@", "ben@"):
        assert one.encode() not in data
    assert shop.key(ANNA).encode() in data


@pytest.mark.parametrize("by", ["", "  ", "m" * (MOST_CHARACTERS + 1), "me\x00i"])
def test_nobody_is_asked_about_without_a_name(by: str) -> None:
    with pytest.raises(NotAsked, match="expected the name"):
        Actor.of(by, "sale")


def test_a_purpose_is_one_of_four_and_a_name_is_the_users_where_none_is_given() -> None:
    assert Actor.of(None, "customer") == Actor(system_user(), LookupPurpose.CUSTOMER)
    assert Actor.of("  Mei   Lin ", "sale") == Actor("Mei Lin", LookupPurpose.SALE)
    with pytest.raises(NotAsked, match="expected one of sale, allocation, service, customer"):
        Actor.of("mei", "curious")


def test_a_disputed_band_is_under_review_until_somebody_decides(shop: Shop) -> None:
    good = shop.look.look_up(ANNA, None, ASKED)
    first, second = shop.dispute(ANNA), shop.dispute(ANNA)
    assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.UNDER_REVIEW)
    for number in (first, second):
        assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.UNDER_REVIEW)
        with rights_of(shop.home) as connection:
            answer(connection, number, "Noor", "it was another piece", shop.now)
    assert shop.look.look_up(ANNA, None, ASKED) == good
    assert [outcome for *_, outcome in shop.log(ANNA)] == [
        "known", "under review", "under review", "under review", "known"
    ]  # fmt: skip


def test_a_dispute_says_nothing_of_who_never_agreed_or_withdrew(shop: Shop) -> None:
    shop.dispute(BEN)
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.CONSENT_NEEDED)
    shop.dispute(ANNA)
    shop.people.withdraw(shop.key(ANNA))
    assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


WRITE = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
store.execute(sys.argv[2], sys.argv[3:])
store.commit()
"""


def elsewhere(file: Path, statement: str, *cells: str) -> None:
    """Changes a database in another process."""
    subprocess.run([sys.executable, "-c", WRITE, file, statement, *cells], check=True)  # noqa: S603


def test_what_another_process_writes_counts_from_the_next_look_up_on(shop: Shop) -> None:
    key = shop.key(ANNA)
    columns = "kind, key, received, due, taken_by, about"
    dispute = f"INSERT INTO requests ({columns}) VALUES ('dispute', ?, ?, ?, 'mei', '')"  # noqa: S608
    moved = "UPDATE people SET state = ? WHERE key = ?"
    found = [shop.look.look_up(ANNA, None, ASKED).status]
    for file, statement, cells in (
        (RIGHTS_FILE, dispute, (key, "2026-03-02", "2026-04-01")),
        (RIGHTS_FILE, "UPDATE requests SET answered = ?", (NOW.isoformat(),)),
        ("outlet.db", moved, ("withdrawing", key)),
        ("outlet.db", moved, ("listed", key)),
    ):
        elsewhere(shop.home / file, statement, *cells)
        found.append(shop.look.look_up(ANNA, None, ASKED).status)
    known, gone = Status.KNOWN, Status.NOT_IN_NETWORK
    assert found == [known, Status.UNDER_REVIEW, known, gone, known]


def test_a_dispute_under_a_key_that_another_process_typed_beside_is_one(shop: Shop) -> None:
    mail = shop.people.local_key("mailto:anna@example.com")
    taking = NewRequest(NOW.date(), 30, "mei")
    with rights_of(shop.home) as connection:
        receive(connection, RequestKind.DISPUTE, mail, taking)
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.KNOWN
    beside = "INSERT INTO consent_keys VALUES (?, ?)"
    elsewhere(shop.home / "outlet.db", beside, shop.key(ANNA), mail)
    assert shop.look.look_up(ANNA, None, ASKED).status is Status.UNDER_REVIEW


def test_a_slot_that_an_earlier_directory_gave_is_held_against_the_books_own(shop: Shop) -> None:
    shelf = read_shelf(shop.home, shop.network.press.publishers)
    key = SlotKey.of(shop.network.token(f"tel:{ANNA}").raw).public
    for given in (None, 0, ANNAS_SLOT, shelf.directory.slots, 10**9, -1):
        assert shelf.slot(key, given) == ANNAS_SLOT
        assert shelf.slot(bytes(31) + b"\1", given) is None
    good = shop.look.look_up(ANNA, None, ASKED)
    elsewhere(shop.home / "outlet.db", "UPDATE people SET slot = 0")
    assert shop.look.look_up(ANNA, None, ASKED) == good


# --- threads and commands -------------------------------------------------------------------------


def test_many_threads_may_look_up_while_books_change(shop: Shop) -> None:
    found: set[str] = set()

    def ask() -> None:
        for _ in range(30):
            found.add(shop.look.look_up(ANNA, None, ASKED).bands[0].band)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 6):
        shop.store(shop.published(shop.book(version)))
    for thread in threads:
        thread.join()
    assert found == {"priority"}


class Folder:
    """A folder as `enrol` makes it, for the commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        now = dt.datetime.now(dt.UTC)
        rings = {kind: Keyring(home / kind.value, kind) for kind in PartyKind}
        for kind, ring in rings.items():
            where = "" if kind is PartyKind.OUTLET else "127.0.0.1:9"
            ring.create(kind.value, where, now, service_address=where)
        create_databases(rings[PartyKind.OUTLET].folder)
        self.folder = home / "outlet"
        self.hq = rings[PartyKind.HQ].identity()
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            data = rings[kind].public_file.read_bytes()
            rings[PartyKind.OUTLET].trust(rings[kind].identity().card, data)
        (self.folder / "escapement.toml").write_text(SETTINGS)

    def run(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--home", str(self.folder)])
        return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


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
