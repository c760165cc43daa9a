"""An outlet that looks its customers up, as an object and as a folder for the commands."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from features.bands import SCHEMES
from outlet_client.bands.book_store import fetch_book, store_book
from outlet_client.bands.lookup import Answer, LookUp
from outlet_client.database import create_databases
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.main import app
from outlet_client.people.directory_files import keep_directory
from outlet_client.people.people_store import People
from outlet_client.records.access_log import KEEP_DAYS, entries
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.records.customer_requests import NewRequest, RequestKind, receive
from outlet_client.settings import DeskSettings, OutletFile
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.seal_plans import SealKind
from tests.builders import outlet_at
from tests.outlet_client.fake_network import PHONES
from tests.shelves import Press, band_codes, make_book

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.books import Book
    from tests.outlet_client.fake_network import FakeNetwork

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
        return replace(made, **changes)  # type: ignore[arg-type]  # fields by name

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

ANNAS_SLOT = 1
NEW = [(scheme.name, "new", scheme.sentence("new")) for scheme in SCHEMES.values()]


def told(answer: Answer) -> list[tuple[str, str, str]]:
    return [(band.score, band.band, band.allows) for band in answer.bands]


@pytest.fixture
def new_shop(network: FakeNetwork, tmp_path: Path) -> Shop:
    """A shop that follows a directory, in a network that has sealed no bands yet."""
    made = Shop(network, tmp_path)
    keep_directory(made.home, made.directory)
    return made


WRITE = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
store.execute(sys.argv[2], sys.argv[3:])
store.commit()
"""


def elsewhere(file: Path, statement: str, *cells: str) -> None:
    """Changes a database in another process."""
    subprocess.run([sys.executable, "-c", WRITE, file, statement, *cells], check=True)  # noqa: S603  (ourselves)


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
