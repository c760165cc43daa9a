"""What HQ learns of outlets from two batches: never which registrations are of one outlet.

HQ knows which outlets handed in for which batch, and which slot keys were in it. It chooses what
its directories list. Whoever it leaves out is handed in again; were all of an outlet's handed in
again together, what is in both batches would be that outlet's customers.
"""

from __future__ import annotations

import datetime as dt
import secrets
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from outlet_client.people.people_store import People, State
from outlet_client.people.person_states import AGAIN_WITHIN
from privacy.envelopes import SealKey
from privacy.registrations import Registration, RegistrationAct
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.builders import outlet_at
from tests.outlet_client.fake_registry import Slots
from tests.shelves import NETWORK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
SHARE, HQ = TokenShare.generate(), SealKey.generate()
CUSTOMERS, MESSAGES = 90, 128


class Outlet:
    """One outlet's people, none of whom another outlet knows."""

    def __init__(self, name: str, url: str = "sqlite://", customers: int = CUSTOMERS) -> None:
        self.people = People(url, secrets.token_bytes(32), lambda: NOW)
        names = [f"mailto:{number}@{name}.example" for number in range(customers)]
        made = {one: token(one, SHARE) for one in names}
        for one in names:
            self.people.record_consent(self.people.local_key(one), "n", "mei", NOW)
        self.people.keep_tokens({self.people.local_key(one): made[one] for one in names})
        self.keys = {SlotKey.of(one.raw).public for one in made.values()}

    def submission(self, batch: int, messages: int = MESSAGES) -> list[bytes]:
        sealed = self.people.submission(batch, messages, HQ.public, NETWORK)
        assert sealed is not None
        return sealed


class Hq:
    """An HQ that lists nobody, and remembers which keys were in which batch."""

    def __init__(self) -> None:
        self.outlets = {name: Outlet(name) for name in "abcde"}
        self.seen: dict[int, set[bytes]] = {}

    def takes(self, batch: int, sealed: list[bytes]) -> None:
        acts = [Registration.opened(one, HQ, NETWORK, batch) for one in sealed]
        keys = {act.key for act in acts if act.act is RegistrationAct.REGISTER}
        self.seen[batch] = self.seen.get(batch, set()) | keys

    def batch(self, batch: int, names: str) -> None:
        """These hand in for a batch."""
        for name in names:
            self.takes(batch, self.outlets[name].submission(batch))
            self.outlets[name].people.submitted(batch)

    def shows(self, batch: int) -> None:
        """All follow a directory that lists nobody."""
        for outlet in self.outlets.values():
            outlet.people.follow(Slots().directory(batch))

    def go_on(self, first: int, last: int) -> None:
        """More batches, of each of which one of a, b and c is, and a directory after each."""
        for batch in range(first, last + 1):
            self.batch(batch, "de" + "abc"[batch % 3])
            self.shows(batch)

    def learned(self) -> dict[str, int]:
        """The most keys of an outlet that two batches have in common."""
        return {
            name: max(
                len(self.seen[one] & self.seen[other] & outlet.keys)
                for one, other in combinations(self.seen, 2)
            )
            for name, outlet in self.outlets.items()
        }

    def check(self, names: str) -> None:
        """Refuses what tells whose these are; by chance once in many millions.

        An outlet is in every third batch, so that 3 of 7 draws come together, and with those that
        were sent in vain before up to three in four people (tried: 17 of 20 at most); all 90 of
        them do with a chance below .8^90 = 2e-9.
        """
        learned = self.learned()
        for name in names:
            assert learned[name] < CUSTOMERS, learned


@pytest.fixture
def hq() -> Iterator[Hq]:
    made = Hq()
    yield made
    for outlet in made.outlets.values():
        outlet.people.close()


def test_what_hq_leaves_out_of_its_directory_comes_again_in_batches_that_tell_nobodys(
    hq: Hq,
) -> None:
    hq.batch(1, "abc")
    assert hq.seen[1] == set.union(*(hq.outlets[name].keys for name in "abc"))
    hq.shows(1)
    hq.go_on(2, 10)
    hq.check("abc")
    again = set.union(*(hq.seen[batch] for batch in range(2, 11)))
    assert again >= hq.outlets["a"].keys  # all the same everybody is handed in again


def test_a_directory_that_hq_holds_back_tells_no_more(hq: Hq) -> None:
    """It shows that of batch 1 when nine more have closed: all that was drawn by then is due."""
    hq.batch(1, "abc")
    for batch in range(2, 11):
        hq.batch(batch, "abcde")
    hq.shows(1)
    hq.go_on(11, 20)
    hq.check("abc")


def test_an_outlet_that_was_away_for_weeks_hands_in_no_more_at_once(hq: Hq) -> None:
    hq.batch(1, "abc")
    hq.shows(1)
    hq.batch(30, "ade")  # long after whatever was drawn
    assert hq.learned()["a"] < CUSTOMERS
    hq.shows(30)
    hq.go_on(31, 50)
    hq.check("abc")


def test_a_submission_whose_answer_was_lost_tells_no_more(hq: Hq) -> None:
    for name in "abc":
        hq.takes(1, hq.outlets[name].submission(1))  # the relay's answer never came
    hq.go_on(2, 10)
    assert not hq.seen[2] & hq.seen[1]  # nobody was told yet what became of batch 1
    hq.check("abc")


def test_an_outlet_that_was_killed_before_it_handed_in_tells_no_more(hq: Hq) -> None:
    """HQ and relay have not seen it, which the outlet cannot know."""
    lost = hq.outlets["a"].submission(1)
    hq.batch(1, "bc")
    assert hq.outlets["a"].submission(1) == lost
    hq.batch(2, "ade")
    assert not hq.seen[2] & hq.outlets["a"].keys
    hq.shows(2)
    hq.go_on(3, 11)
    hq.check("abc")
    assert max(len(keys & hq.outlets["a"].keys) for keys in hq.seen.values()) < CUSTOMERS


def test_a_withdrawal_between_a_lost_answer_and_the_next_batch_tells_no_more(hq: Hq) -> None:
    outlet = hq.outlets["a"]
    hq.takes(1, outlet.submission(1))
    outlet.people.withdraw(outlet.people.local_key("mailto:0@a.example"))
    assert outlet.people.submission(1, MESSAGES, HQ.public, NETWORK) is None
    hq.batch(2, "ade")
    assert not hq.seen[2] & hq.seen[1]
    assert outlet.people.counts()[State.SENT] == CUSTOMERS - 1


@pytest.mark.statistical
def test_an_outlets_registrations_are_spread_over_seven_batches_alike(tmp_path: Path) -> None:
    """Of 700 people about 100 each; 50 too few or too many come by chance once in a million."""
    outlet = Outlet("a", outlet_at(tmp_path), customers=700)
    outlet.submission(4, 700)
    outlet.people.submitted(4)
    outlet.people.follow(Slots().directory(4))
    outlet.people.close()
    with closing(sqlite3.connect(tmp_path / "outlet.db")) as database:
        drawn = Counter(one for (one,) in database.execute("SELECT not_before FROM people"))
    assert sorted(drawn) == list(range(5, 5 + AGAIN_WITHIN))
    assert all(50 < count < 150 for count in drawn.values()), drawn
