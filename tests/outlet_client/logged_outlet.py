"""An outlet's log of look-ups, decisions and changes, with the office that countersigns it."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from outlet_client.database import create_databases
from outlet_client.errors import ServiceUnreachable
from outlet_client.log_tables.hash_chain import Link, next_link
from outlet_client.log_tables.rights_store import RIGHTS_FILE, rights_of
from outlet_client.records.access_log import (
    LogAct,
    log_head,
    record_act,
)
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.records.countersigning import LogStanding, countersign
from outlet_client.records.log_audit import Fault, Finding, audit_log
from outlet_client.records.signed_heads import read_heads
from privacy.envelopes import SigningKey
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from server.office.notary import Notary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.log_heads import SignedHead


OFFICE = SigningKey.generate()


NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


DAY = dt.timedelta(days=1)


ASKED = Actor("mei", LookupPurpose.SALE)


CELLS = ("at", "act", "by", "purpose", "key", "about", "outcome")


class Lost(ServiceUnreachable):
    """The answer did not arrive."""

    def __init__(self) -> None:
        super().__init__("the privacy office", "UNAVAILABLE")


@dataclass
class Book:
    """An outlet's log, an office, and a clock."""

    home: Path
    notary: Notary = field(default_factory=lambda: Notary("sqlite://", OFFICE))
    now: dt.datetime = NOON

    def add(self, count: int = 1, by: str = "mei") -> None:
        with rights_of(self.home) as connection:
            for number in range(count):
                record_act(
                    connection, self.now, LogAct.LOOK_UP, by,
                    purpose=LookupPurpose.SALE, key=f"k{number % 3}", outcome="known",
                )  # fmt: skip

    def ask(self, digest: bytes, held: SignedHead | None) -> SignedHead:
        return self.notary.countersign("O1", digest, held, self.now.timestamp())

    def night(
        self, ask: Callable[[bytes, SignedHead | None], SignedHead] | None = None
    ) -> LogStanding:
        with rights_of(self.home):
            pass
        found = audit_log(self.home, OFFICE.public, "O1", self.now)
        return countersign(self.home, found, ask or self.ask, OFFICE.public, self.now)

    def findings(self) -> list[Finding]:
        return list(audit_log(self.home, OFFICE.public, "O1", self.now).findings)

    def faults(self) -> list[Fault]:
        return [one.fault for one in self.findings()]

    def run(self, *statements: str, **values: object) -> None:
        """Changes the file as somebody does who can write it."""
        with closing(sqlite3.connect(self.home / RIGHTS_FILE)) as store:
            for one in statements:
                store.execute(one, {name: v for name, v in values.items() if f":{name}" in one})
            store.commit()

    def forge(self) -> None:
        """Computes every hash anew, as who knows how would."""
        with closing(sqlite3.connect(self.home / RIGHTS_FILE)) as store:
            link = Link(*store.execute("SELECT number, hash FROM log_anchor").fetchone())
            for number, *cells in store.execute(
                'SELECT number, at, act, "by", purpose, "key", about, outcome FROM log ORDER BY 1'
            ).fetchall():
                link = next_link(link, cells)
                assert link.number == number
                store.execute("UPDATE log SET hash = ? WHERE number = ?", (link.hash, number))
            store.commit()

    @property
    def numbers(self) -> list[tuple[int, int | None]]:
        """Number and length of each statement that is kept."""
        with rights_of(self.home) as connection:
            return [(one.number, one.length) for one in read_heads(connection)]

    @property
    def length(self) -> int:
        with rights_of(self.home) as connection:
            return log_head(connection).number


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


cells = st.lists(st.text(max_size=6), max_size=8)


def never_asked(_digest: bytes, _held: SignedHead | None) -> SignedHead:
    raise AssertionError("the office was asked about a log that contradicts itself")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rings = {kind: Keyring(tmp_path / kind.value, kind) for kind in PartyKind}
    for kind, ring in rings.items():
        ring.create("O1" if kind is PartyKind.OUTLET else kind.value, "127.0.0.1:1", NOON)
    create_databases(rings[PartyKind.OUTLET].folder)
    for kind in (PartyKind.HQ, PartyKind.OFFICE):
        data = rings[kind].public_file.read_bytes()
        rings[PartyKind.OUTLET].trust(Card.decode(data, kind), data)
    folder = rings[PartyKind.OUTLET].folder
    (folder / "escapement.toml").write_text('ledger = "ledger.csv"\n')
    return folder
