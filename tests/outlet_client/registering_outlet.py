"""An outlet's people, what it hands in for them, and the directories that it is shown."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from outlet_client.people.people_store import People, State
from privacy.envelopes import SealKey
from privacy.registrations import Registration, RegistrationAct
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.builders import outlet_at
from tests.outlet_client.fake_registry import Slots
from tests.shelves import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from outlet_client.people.consents import Recorded
    from privacy.directory import Directory

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SHARE = TokenShare.generate()
HQ = SealKey.generate()
ANNA, BEN = "tel:+6581234567", "mailto:ben@example.com"


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now

    def later(self, hours: float = 1) -> dt.datetime:
        self.now += dt.timedelta(hours=hours)
        return self.now


class Outlet:
    """An outlet's people, what it would send, and the directory that it is shown.

    The directory grows as HQ's does: who is not in it any more leaves a blank slot.
    """

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.folder = folder
        self.people = People(outlet_at(folder), b"s" * 32, self.clock)
        self.tokens = {who: token(who, SHARE) for who in (ANNA, BEN)}
        self.slots = Slots()

    def key(self, who: str) -> str:
        return self.people.local_key(who)

    def slot_key(self, who: str) -> SlotKey:
        return SlotKey.of(self.tokens[who].raw)

    def consents(self, who: str) -> Recorded:
        return self.people.record_consent(self.key(who), "2026-03", "mei", self.clock.later())

    def evaluated(self, *who: str) -> None:
        for one in who:
            self.consents(one)
        self.people.keep_tokens({self.key(one): self.tokens[one] for one in who})

    def submission(self, batch: int, messages: int = 4) -> list[bytes]:
        sealed = self.people.submission(batch, messages, HQ.public, NETWORK)
        assert sealed is not None
        return sealed

    def sends(self, batch: int, messages: int = 4) -> list[Registration]:
        sealed = self.submission(batch, messages)
        self.people.submitted(batch)
        return opened(sealed, batch)

    def within(self, batches: range, listing: Mapping[str, bytes]) -> list[Registration]:
        """What is registered in these batches, while no directory shows any more of it."""
        sent = []
        for batch in batches:
            sent += registered(self.sends(batch))
            self.sees(batch, listing)
        return sent

    def another(self, batch: int, nonces: Mapping[str, bytes]) -> Directory:
        """The next directory: of these, with the nonces of their homes."""
        listed = {self.slot_key(who).public: nonce for who, nonce in nonces.items()}
        for key, nonce in self.slots.homes.items():
            if listed.get(key) != nonce:
                self.slots.blank(key, batch)
        for key, nonce in listed.items():
            self.slots.register(key, nonce)
        return self.slots.directory(batch)

    def sees(self, batch: int, nonces: Mapping[str, bytes]) -> Directory:
        """Follows the next directory."""
        listing = self.another(batch, nonces)
        self.people.follow(listing)
        return listing

    def lists(self, who: str, batch: int = 1) -> tuple[bytes, Directory]:
        """Registers somebody with this outlet as home."""
        self.evaluated(who)
        [sent] = registered(self.sends(batch))
        return sent.shown, self.sees(batch, {who: sent.shown})

    def state(self, who: str) -> State:
        person = self.people.person(self.key(who))
        assert person is not None
        return person.state


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent again is drawn into the very next batch."""
    monkeypatch.setattr("outlet_client.people.person_states.secrets.randbelow", lambda _most: 0)


def opened(sealed: list[bytes], batch: int) -> list[Registration]:
    return [Registration.opened(one, HQ, NETWORK, batch) for one in sealed]


def registered(acts: list[Registration]) -> list[Registration]:
    return [act for act in acts if act.act is RegistrationAct.REGISTER]


def acts_of(acts: list[Registration]) -> list[RegistrationAct]:
    return [act.act for act in acts]


@pytest.fixture
def outlet(tmp_path: Path) -> Outlet:
    return Outlet(tmp_path)
