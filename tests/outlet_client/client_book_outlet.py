"""An outlet with a client book whose entries may be one person."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl
import pytest

from outlet_client.people.client_book import ClientBook, client_book
from outlet_client.people.client_entries import forget_ledger, note_entries
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from privacy.tokens import TokenShare, token

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.people.consents import Recorded

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ONE, TWO, THREE = "+6581110001", "+6581110002", "+6581110003"
X, Y, Z = "x@example.com", "y@example.com", "z@example.com"
SHARE = TokenShare.generate()
Row = tuple[str, str | None, str | None]


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now

    def later(self) -> dt.datetime:
        self.now += dt.timedelta(hours=1)
        return self.now


class Boutique:
    """An outlet with a client book that tests rewrite."""

    def __init__(self, url: str = "sqlite://", folder: Path | None = None) -> None:
        self.clock = Clock()
        self.people = People(url, b"s" * 32, self.clock)
        self.folder = folder

    def key(self, who: str) -> str:
        return self.people.local_key(f"mailto:{who}" if "@" in who else f"tel:{who}")

    def has(self, *rows: Row) -> None:
        """Makes these rows all that was ever noted."""
        frame = pl.DataFrame(
            list(rows), dict.fromkeys(["customer_id", "phone", "email"], pl.String), orient="row"
        )
        with self.people.transaction() as connection:
            forget_ledger(connection)
            note_entries(connection, frame, self.people.local_key, "SG")

    def book(self) -> ClientBook:
        return client_book(OutletFile(ledger="ledger.csv"), self.people)

    def keys(self) -> dict[str, str]:
        return dict(self.book().customers.iter_rows())

    def joined(self, one: str, other: str) -> bool:
        keys = self.keys()
        return one in keys and keys.get(one) == keys.get(other)

    def consents(self, *typed: str) -> Recorded:
        key, *also = [self.key(who) for who in typed]
        return self.people.record_consent(key, "2026-03", "mei", self.clock.later(), also)

    def withdraws(self, *typed: str) -> None:
        self.clock.later()
        self.people.withdraw_all([self.key(who) for who in typed])

    def evaluated(self, who: str) -> None:
        tag = "mailto" if "@" in who else "tel"
        self.people.keep_tokens({self.key(who): token(f"{tag}:{who}", SHARE)})

    def stands(self, who: str) -> bool:
        person = self.people.person(self.key(who))
        return person is not None and person.state.stands


@pytest.fixture
def boutique() -> Boutique:
    return Boutique()
