"""Relays that lost their store, outlets and HQs that were restored: what is handed in again.

HQ knows which outlets handed in for which batch, and which slot keys were in it. So nothing that
is handed in again may go together.
"""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from outlet_client.people.people_store import People, State
from outlet_client.people.person_states import AGAIN_WITHIN
from outlet_client.people.registrations_again import A_BATCH, MOST_ALONE
from privacy.envelopes import SealKey, SigningKey
from privacy.registration_losses import LossRefused, RegistrationLoss, open_loss, sign_loss
from privacy.registrations import Registration, RegistrationAct, nonce_of
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
MESSAGES = 64
OLD, NEW = b"o" * 16, b"n" * 16
NAMES = [f"mailto:{number}@a.example" for number in range(40)]
FEW = NAMES[:8]
TOKENS = {name: token(name, SHARE) for name in NAMES}


class Outlet:
    """One outlet's people."""

    def __init__(self, url: str = "sqlite://", secret: bytes = b"s" * 32) -> None:
        self.today = NOW
        self.people = People(url, secret, lambda: self.today)

    def consents(self, names: list[str]) -> None:
        for name in names:
            self.people.record_consent(self.people.local_key(name), "n", "mei", NOW)
        self.people.keep_tokens({self.people.local_key(name): TOKENS[name] for name in names})

    def hands_in(self, batch: int, epoch: bytes = OLD, last: int = 0) -> list[Registration]:
        """What HQ opens of a batch's submission, dummies left out; the relay took it."""
        sealed = self.people.submission(batch, MESSAGES, HQ.public, NETWORK, epoch, last)
        assert sealed is not None
        assert len(sealed) == MESSAGES
        self.people.submitted(batch)
        made = [Registration.opened(one, HQ, NETWORK, batch) for one in sealed]
        return [one for one in made if one.act is not RegistrationAct.NOTHING]

    def states(self) -> dict[State, int]:
        return {state: count for state, count in self.people.counts().items() if count}


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    made = Outlet()
    yield made
    made.people.close()


def keys(messages: list[Registration]) -> set[bytes]:
    return {one.key for one in messages}


def key_of(name: str) -> bytes:
    return SlotKey.of(TOKENS[name].raw).public


# --- a relay that lost its store ---------------------------------------------------------------


def test_after_a_loss_another_submission_is_made_of_whom_was_in_none(outlet: Outlet) -> None:
    outlet.consents(NAMES[:20])
    first = outlet.hands_in(3)
    assert len(first) == 20
    assert outlet.people.submission(3, MESSAGES, HQ.public, NETWORK, OLD) is None
    outlet.consents(NAMES[20:])
    second = outlet.hands_in(3, NEW)  # the same number, another relay
    assert keys(second) == {key_of(name) for name in NAMES[20:]}
    assert outlet.people.submission(3, MESSAGES, HQ.public, NETWORK, NEW) is None
    slots = Slots()
    for one in second:
        slots.apply(one)
    outlet.people.follow(slots.directory(3), 1)  # HQ never had the first
    assert outlet.states() == {State.EVALUATED: 20, State.LISTED: 20}
    later = [outlet.hands_in(batch, NEW) for batch in range(4, 4 + AGAIN_WITHIN)]
    assert set.union(*map(keys, later)) == keys(first)
    assert max(map(len, later)) < 20


def test_what_the_lost_relay_may_have_seen_is_not_made_again(outlet: Outlet) -> None:
    outlet.consents(NAMES[:9])
    assert outlet.people.submission(3, MESSAGES, HQ.public, NETWORK, OLD) is not None
    assert outlet.hands_in(3, NEW) == []
    assert outlet.states() == {State.SENT: 9}


def test_a_withdrawal_that_a_relay_lost_is_handed_in_again(outlet: Outlet) -> None:
    outlet.consents(NAMES[:1])
    slots = Slots()
    for one in outlet.hands_in(1):
        slots.apply(one)
    outlet.people.follow(slots.directory(1), 1)
    outlet.people.withdraw(outlet.people.local_key(NAMES[0]))
    [lost] = outlet.hands_in(2)
    assert lost.act is RegistrationAct.WITHDRAW
    assert outlet.hands_in(2, NEW) == []
    outlet.people.follow(slots.directory(2), 2)
    later = [one for batch in range(3, 7) for one in outlet.hands_in(batch, NEW)]
    assert [one.act for one in later] == [RegistrationAct.WITHDRAW]


# --- an outlet that was restored from a copy ----------------------------------------------------


def restored(folder: Path, outlet: Outlet) -> Outlet:
    outlet.people.close()
    shutil.copy(folder / "copy.db", folder / "outlet.db")
    return Outlet(outlet_at(folder))


def before_a_copy(folder: Path) -> Outlet:
    """An outlet that handed in for batch 1, and has more people since."""
    outlet = Outlet(outlet_at(folder))
    outlet.hands_in(1)
    outlet.consents(NAMES)
    shutil.copy(folder / "outlet.db", folder / "copy.db")
    return outlet


def test_a_restored_outlet_hands_in_nothing_more_for_a_batch_that_has_its_submission(
    tmp_path: Path,
) -> None:
    outlet = before_a_copy(tmp_path)
    assert len(outlet.hands_in(2)) == len(NAMES)
    again = restored(tmp_path, outlet)
    assert again.people.submission(2, MESSAGES, HQ.public, NETWORK, OLD, 2) is None
    assert again.people.submission(2, MESSAGES, HQ.public, NETWORK, OLD, 2) is None
    again.people.close()


@pytest.mark.parametrize("batch", [2, 3, 9])
def test_what_a_restored_outlet_perhaps_handed_in_goes_together_in_no_other_batch(
    tmp_path: Path, batch: int
) -> None:
    outlet = before_a_copy(tmp_path)
    lost = keys(outlet.hands_in(2))
    again = restored(tmp_path, outlet)
    if batch == 2:
        assert again.people.submission(2, MESSAGES, HQ.public, NETWORK, OLD, 2) is None
    first = max(batch, 3)
    later = [again.hands_in(one, OLD, last=2) for one in range(first, first + AGAIN_WITHIN)]
    assert set.union(*map(keys, later)) == lost
    assert max(map(len, later)) < len(NAMES)
    again.people.close()


def test_an_outlet_that_was_only_away_hands_in_what_it_has_at_once(outlet: Outlet) -> None:
    outlet.hands_in(1)
    outlet.consents(NAMES)
    assert len(outlet.hands_in(9, OLD, last=1)) == len(NAMES)


def test_a_relay_that_names_a_batch_to_come_holds_nothing_back_for_ever(outlet: Outlet) -> None:
    outlet.hands_in(1)
    outlet.consents(NAMES)
    assert outlet.people.submission(2, MESSAGES, HQ.public, NETWORK, OLD, 2**62) is None
    later = [outlet.hands_in(batch, OLD, last=2) for batch in range(3, 3 + AGAIN_WITHIN)]
    assert sum(map(len, later)) == len(NAMES)


def test_withdrawals_that_a_restored_outlet_forgot_come_back_by_the_directory(
    tmp_path: Path,
) -> None:
    outlet, slots = Outlet(outlet_at(tmp_path)), Slots()
    outlet.consents(NAMES)
    for one in outlet.hands_in(1):
        slots.apply(one)
    outlet.people.follow(slots.directory(1), 1)
    shutil.copy(tmp_path / "outlet.db", tmp_path / "copy.db")
    outlet.people.withdraw(outlet.people.local_key(NAMES[0]))
    for one in outlet.hands_in(2):
        slots.apply(one)
    again = restored(tmp_path, outlet)
    again.people.follow(slots.directory(2), 2)
    assert again.states() == {State.LISTED: len(NAMES) - 1, State.BURIED: 1}
    again.people.close()


# --- an HQ that lost registrations --------------------------------------------------------------


def listed(outlet: Outlet, names: list[str] = NAMES, batch: int = 5) -> dict[bytes, Registration]:
    """Has people registered in a batch and listed; gives the registrations by key."""
    outlet.consents(names)
    slots, made = Slots(), {one.key: one for one in outlet.hands_in(batch)}
    for one in made.values():
        slots.apply(one)
    outlet.people.follow(slots.directory(batch), batch)
    return made


def test_what_hq_lost_is_handed_in_again_with_the_same_nonce_over_a_week(outlet: Outlet) -> None:
    made = listed(outlet)
    for _ in range(3):  # told every night
        outlet.people.hear_of_loss(RegistrationLoss(1, 4, 5, 9))
    assert outlet.states() == {State.LISTED: len(NAMES)}  # their bands stand
    later = [outlet.hands_in(batch) for batch in range(6, 6 + AGAIN_WITHIN)]
    again = [one for some in later for one in some]
    assert sorted(one.key for one in again) == sorted(made)
    assert max(map(len, later)) < len(NAMES)
    for one in again:
        assert (one.act, one.since) == (RegistrationAct.REGISTER, 0)
        assert one.shown == made[one.key].shown
    assert outlet.states() == {State.LISTED: len(NAMES)}
    assert outlet.hands_in(13) == []


@pytest.mark.parametrize(("after", "upto"), [(0, 4), (5, 9)])
def test_what_hq_still_has_is_not_handed_in_again(outlet: Outlet, after: int, upto: int) -> None:
    listed(outlet)
    outlet.people.hear_of_loss(RegistrationLoss(1, after, upto, 9))
    assert [one for batch in range(6, 20) for one in outlet.hands_in(batch)] == []


def test_who_withdraws_meanwhile_is_withdrawn_and_not_registered(outlet: Outlet) -> None:
    listed(outlet, NAMES[:1])
    outlet.people.hear_of_loss(RegistrationLoss(1, 0, 5, 9))
    outlet.people.withdraw(outlet.people.local_key(NAMES[0]))
    acts = [one.act for batch in range(6, 15) for one in outlet.hands_in(batch)]
    assert acts == [RegistrationAct.WITHDRAW]


def test_an_hq_that_says_it_often_gets_few_of_them_without_a_person(outlet: Outlet) -> None:
    listed(outlet, FEW)
    batch, again = 6, 0
    for number in range(1, 8):
        outlet.people.hear_of_loss(RegistrationLoss(number, 4, 5, number))
        for _ in range(AGAIN_WITHIN + 3):
            again += len(outlet.hands_in(batch))
            batch += 1
    assert again == MOST_ALONE * len(FEW)
    held = outlet.people.held_resync()
    assert held is not None
    assert (held.people, held.since) == (len(FEW), NOW.date().isoformat())
    assert outlet.people.accept_resync("mei") == len(FEW)
    assert outlet.people.held_resync() is None
    assert sum(len(outlet.hands_in(one)) for one in range(batch, batch + 10)) == len(FEW)
    outlet.people.hear_of_loss(RegistrationLoss(9, 4, 5, 99))
    assert outlet.people.held_resync() is not None  # also after a person let one happen
    outlet.today += dt.timedelta(days=400)
    outlet.people.hear_of_loss(RegistrationLoss(10, 4, 5, 999))
    assert sum(len(outlet.hands_in(one)) for one in range(batch + 10, batch + 20)) == len(FEW)


def test_many_are_spread_over_more_batches(tmp_path: Path) -> None:
    outlet = Outlet(outlet_at(tmp_path))
    outlet.people.close()
    many = 10 * A_BATCH
    with closing(sqlite3.connect(tmp_path / "outlet.db")) as database, database:
        rows = [(f"{number:064x}", State.LISTED.value, 5) for number in range(many)]
        database.executemany("INSERT INTO people (key, state, batch) VALUES (?, ?, ?)", rows)
    outlet = Outlet(outlet_at(tmp_path))
    outlet.people.hear_of_loss(RegistrationLoss(1, 0, 5, 9))
    outlet.people.close()
    with closing(sqlite3.connect(tmp_path / "outlet.db")) as database:
        drawn = Counter(one for (one,) in database.execute("SELECT again FROM people"))
    assert sorted(drawn) == list(range(6, 16))
    assert max(drawn.values()) < 2 * A_BATCH


def test_only_the_pinned_office_says_what_hq_lost() -> None:
    office, loss = SigningKey.generate(), RegistrationLoss(1, 2, 3, 4)
    signed = sign_loss(loss, office)
    assert open_loss(signed, office.public) == loss
    with pytest.raises(LossRefused, match="not signed by the pinned"):
        open_loss(signed, SigningKey.generate().public)
    for after, upto in ((3, 3), (4, 3), (-1, 3)):
        with pytest.raises(LossRefused):
            RegistrationLoss(1, after, upto, 4)
    for data in (b"", b"{}", b"null", loss.encode() + b" ", loss.encode().replace(b"3", b'"3"')):
        with pytest.raises(LossRefused):
            RegistrationLoss.decode(data)


def test_the_nonce_that_is_shown_again_is_the_registrations_own(outlet: Outlet) -> None:
    made = listed(outlet, NAMES[:2])
    outlet.people.hear_of_loss(RegistrationLoss(1, 0, 5, 9))
    shown = {one.key: one.shown for batch in range(6, 15) for one in outlet.hands_in(batch)}
    assert shown == {key: one.shown for key, one in made.items()}
    assert all(nonce != nonce_of(nonce) for nonce in shown.values())
