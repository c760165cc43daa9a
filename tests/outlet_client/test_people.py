"""Where people stand, what moves them, and what the store never holds."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from sqlalchemy.exc import SQLAlchemyError

from outlet_client.commands.consents import export_consents
from outlet_client.database import database_error_text
from outlet_client.errors import ConsentRefused
from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People, State
from outlet_client.people.person_states import (
    AGAIN_WITHIN,
    WITHDRAWN_AGAIN_WITHIN,
    keys_as_array,
)
from privacy.directory import DirectoryRefused
from privacy.envelopes import SealKey
from privacy.registrations import Registration, RegistrationAct, fresh_secret, nonce_of
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.builders import outlet_at
from tests.outlet_client.consent_imports import import_consents
from tests.outlet_client.fake_registry import Slots
from tests.shelves import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


def test_a_consent_a_token_a_registration_and_a_directory_make_a_person_listed(
    outlet: Outlet,
) -> None:
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.KNOWN
    outlet.people.keep_tokens({outlet.key(ANNA): outlet.tokens[ANNA]})
    assert outlet.state(ANNA) is State.EVALUATED
    acts = outlet.sends(1)
    assert outlet.state(ANNA) is State.SENT
    assert acts_of(acts) == [RegistrationAct.REGISTER, *[RegistrationAct.NOTHING] * 3]
    assert acts[0].key == outlet.slot_key(ANNA).public
    listing = outlet.sees(1, {ANNA: acts[0].shown})
    assert outlet.state(ANNA) is State.LISTED
    assert outlet.people.listed(listing).to_dicts() == [
        {"key": outlet.key(ANNA), "slot": 0, "home": True}
    ]
    home = outlet.people.home_keys(listing)
    assert list(home) == [0]
    assert home[0].nonce == acts[0].shown
    assert home[0].slot_key.public == outlet.slot_key(ANNA).public


def test_somebody_registered_elsewhere_first_is_listed_but_not_at_home(outlet: Outlet) -> None:
    outlet.evaluated(BEN, ANNA)
    outlet.sends(1)
    listing = outlet.sees(1, {ANNA: nonce_of(fresh_secret()), BEN: nonce_of(fresh_secret())})
    rows = outlet.people.listed(listing).sort("slot")
    assert rows["key"].to_list() == [outlet.key(ANNA), outlet.key(BEN)]
    assert not rows["home"].any()
    assert outlet.people.home_keys(listing) == {}


def test_a_person_whose_batch_is_not_yet_applied_stays_sent(outlet: Outlet) -> None:
    outlet.evaluated(ANNA)
    outlet.sends(5)
    outlet.sees(4, {})
    assert outlet.state(ANNA) is State.SENT
    # Another outlet's registration may be about to go: only batch 5 can tell.
    listing = outlet.sees(4, {ANNA: nonce_of(fresh_secret())})
    assert outlet.state(ANNA) is State.SENT
    assert outlet.people.listed(listing).is_empty()


def test_a_registration_that_no_directory_shows_is_sent_again_and_ends_no_consent(
    outlet: Outlet, caplog: pytest.LogCaptureFixture
) -> None:
    """HQ alone decides what a directory lacks: that is no withdrawal."""
    outlet.evaluated(ANNA)
    [first] = registered(outlet.sends(5))
    outlet.sees(5, {BEN: nonce_of(fresh_secret())})
    assert outlet.state(ANNA) is State.EVALUATED
    assert "1 registrations are in no directory; they are sent again within 7" in caplog.text
    assert outlet.key(ANNA) not in caplog.text
    assert outlet.people.in_no_directory() == 1
    sent = outlet.within(range(6, 6 + 5 * AGAIN_WITHIN), {})
    assert 5 <= len(sent) <= 5 * AGAIN_WITHIN
    assert {one.key for one in (first, *sent)} == {outlet.slot_key(ANNA).public}
    assert outlet.state(ANNA) in (State.EVALUATED, State.SENT)
    assert outlet.people.consents()["withdrawn_at"].null_count() == 1
    assert outlet.people.in_no_directory() == 1


def test_a_registration_in_a_lost_batch_heals_within_seven(outlet: Outlet) -> None:
    outlet.evaluated(ANNA)
    outlet.sends(1)
    outlet.sees(1, {})
    for batch in range(2, 2 + AGAIN_WITHIN):
        again = registered(outlet.sends(batch))
        outlet.sees(batch, {ANNA: again[0].shown} if again else {})
        if again:
            break
    assert outlet.state(ANNA) is State.LISTED


def test_who_was_withdrawn_elsewhere_is_buried_and_registered_again_with_a_new_consent_only(
    outlet: Outlet,
) -> None:
    first, _ = outlet.lists(ANNA)
    outlet.clock.later()
    listing = outlet.sees(2, {})
    assert listing.blank.tolist() == [True]
    assert outlet.state(ANNA) is State.BURIED
    assert outlet.people.listed(listing).is_empty()
    assert set(acts_of(outlet.sends(3))) == {RegistrationAct.NOTHING}
    outlet.sees(4, {ANNA: nonce_of(fresh_secret())})  # somebody else's new consent is not ours
    assert outlet.state(ANNA) is State.BURIED
    assert outlet.people.record_consent(outlet.key(ANNA), "old", "mei", NOON) is Recorded.TOO_OLD
    assert outlet.state(ANNA) is State.BURIED
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.EVALUATED
    [again] = registered(outlet.sends(5))
    assert again.shown != first


def test_who_withdrew_elsewhere_before_their_slot_was_seen_here_comes_back_with_a_new_consent(
    outlet: Outlet,
) -> None:
    """HQ takes no registration twice: the one that went blank with the slot brings nobody back."""
    outlet.evaluated(ANNA)
    [first] = registered(outlet.sends(1))
    outlet.another(1, {ANNA: first.shown})  # this outlet was down
    outlet.sees(2, {})
    assert outlet.consents(ANNA) is Recorded.NEW
    for batch in range(3, 3 + AGAIN_WITHIN):
        for act in outlet.sends(batch):
            outlet.slots.apply(act)
        outlet.people.follow(outlet.slots.directory(batch))
    assert outlet.state(ANNA) is State.LISTED


def test_who_is_back_in_another_slot_was_withdrawn_in_between_and_is_buried(
    outlet: Outlet,
) -> None:
    nonce, _ = outlet.lists(ANNA)
    ben = nonce_of(fresh_secret())
    outlet.sees(2, {ANNA: nonce, BEN: ben})
    assert outlet.state(ANNA) is State.LISTED
    # This outlet was down: elsewhere Anna withdrew and consented again, which gave her a new slot.
    later = outlet.sees(4, {BEN: ben, ANNA: nonce_of(fresh_secret())})
    assert later.places(keys_as_array([outlet.slot_key(ANNA).public])).tolist() == [2]
    assert outlet.people.listed(later).is_empty()
    assert outlet.state(ANNA) is State.BURIED


def test_an_older_batch_buries_nobody(outlet: Outlet) -> None:
    outlet.lists(ANNA, batch=3)
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.LISTED


def test_what_the_office_numbered_earlier_is_not_followed_later(outlet: Outlet) -> None:
    nonce, listing = outlet.lists(ANNA)
    outlet.people.follow(listing, 7)
    gone = outlet.another(2, {})
    with pytest.raises(DirectoryRefused, match="number 6, number 7 was followed before; tell HQ"):
        outlet.people.follow(gone, 6)
    assert outlet.state(ANNA) is State.LISTED
    outlet.people.follow(outlet.another(2, {ANNA: nonce}), 8)
    with pytest.raises(DirectoryRefused, match="number 7, number 8"):
        outlet.people.follow(listing, 7)


def test_a_withdrawal_shows_the_secret_once_and_ends_when_it_is_applied(outlet: Outlet) -> None:
    nonce, listing = outlet.lists(ANNA)
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWING
    assert outlet.people.listed(listing).is_empty()
    assert outlet.people.home_keys(listing) == {}
    act = outlet.sends(2)[0]
    assert (act.act, act.key) == (RegistrationAct.WITHDRAW, outlet.slot_key(ANNA).public)
    assert nonce_of(act.shown) == nonce
    assert set(acts_of(outlet.sends(3))) == {RegistrationAct.NOTHING}
    outlet.sees(1, {ANNA: nonce})
    assert outlet.state(ANNA) is State.WITHDRAWING
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWN
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWN


def test_who_withdraws_after_a_kill_counts_as_handed_in_and_is_withdrawn_in_the_next_batch(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA, BEN)
    killed = outlet.submission(1)  # it may have arrived or not
    first = {act.key: act.shown for act in registered(opened(killed, 1))}
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWING
    assert outlet.people.submission(1, 4, HQ.public, NETWORK) is None  # not without her
    assert outlet.state(BEN) is State.SENT
    acts = outlet.sends(2)
    assert acts_of(acts) == [RegistrationAct.WITHDRAW, *[RegistrationAct.NOTHING] * 3]
    assert nonce_of(acts[0].shown) == first[outlet.slot_key(ANNA).public]
    outlet.sees(2, {BEN: first[outlet.slot_key(BEN).public]})
    assert (outlet.state(ANNA), outlet.state(BEN)) == (State.WITHDRAWN, State.LISTED)


def test_a_withdrawal_of_somebody_without_a_token_needs_no_message(outlet: Outlet) -> None:
    outlet.consents(ANNA)
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWN
    assert set(acts_of(outlet.sends(1))) == {RegistrationAct.NOTHING}
    assert outlet.people.withdraw(outlet.key(BEN)) is None


def test_who_was_never_registered_here_is_registered_and_withdrawn_in_a_later_batch(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA)
    elsewhere = {ANNA: nonce_of(fresh_secret())}
    outlet.sees(3, elsewhere)
    assert outlet.people.withdraw(outlet.key(ANNA)) is State.WITHDRAWING
    first = outlet.sends(4)
    assert acts_of(first) == [RegistrationAct.REGISTER, *[RegistrationAct.NOTHING] * 3]
    assert first[0].since == 3
    assert outlet.people.waiting() == 1
    listing = outlet.sees(4, elsewhere)
    assert outlet.people.listed(listing).is_empty()
    second = outlet.sends(5)
    assert acts_of(second) == [RegistrationAct.WITHDRAW, *[RegistrationAct.NOTHING] * 3]
    assert nonce_of(second[0].shown) == first[0].shown
    outlet.sees(5, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_registration_that_was_lost_with_its_withdrawal_to_come_is_found_out_and_repeated(
    outlet: Outlet, at_once: None
) -> None:
    outlet.evaluated(ANNA)
    elsewhere = {ANNA: nonce_of(fresh_secret())}
    outlet.sees(3, elsewhere)
    outlet.people.withdraw(outlet.key(ANNA))
    [lost] = registered(opened(outlet.submission(4), 4))  # killed, and batch 4 closes
    for batch in (5, 6):  # HQ does not know what is withdrawn
        [act] = [one for one in outlet.sends(batch) if one.act is not RegistrationAct.NOTHING]
        assert act.act is RegistrationAct.WITHDRAW
        assert nonce_of(act.shown) == lost.shown
        outlet.sees(batch, elsewhere)
    [again] = registered(outlet.sends(7))
    assert (again.shown, again.since) == (lost.shown, 3)
    outlet.sees(7, elsewhere)
    assert outlet.sends(8)[0].act is RegistrationAct.WITHDRAW
    outlet.sees(8, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_withdrawal_that_hq_did_not_carry_out_is_sent_again_until_a_directory_shows_it(
    outlet: Outlet, at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {ANNA: nonce})  # the batch was lost on its way
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert "1 withdrawals were not carried out" in caplog.text
    assert outlet.key(ANNA) not in caplog.text
    again = outlet.sends(3)[0]
    assert again.act is RegistrationAct.WITHDRAW
    assert nonce_of(again.shown) == nonce
    outlet.sees(3, {ANNA: nonce})  # HQ may not know the registration either
    renewed = outlet.sends(4)
    assert acts_of(renewed) == [RegistrationAct.REGISTER, *[RegistrationAct.NOTHING] * 3]
    assert renewed[0].shown == nonce
    outlet.sees(4, {ANNA: nonce})
    last = outlet.sends(5)[0]
    assert (last.act, last.shown) == (again.act, again.shown)
    outlet.sees(5, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_who_consented_elsewhere_after_a_withdrawal_has_another_slot_and_stays_withdrawn(
    outlet: Outlet,
) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    back = outlet.sees(4, {ANNA: nonce_of(fresh_secret())})
    for _ in range(2):
        assert outlet.state(ANNA) is State.WITHDRAWN
        outlet.people.follow(back)
    assert set(acts_of(outlet.sends(5))) == {RegistrationAct.NOTHING}


def test_who_is_live_again_in_the_withdrawn_slot_is_withdrawn_again(
    outlet: Outlet, at_once: None
) -> None:
    _, before = outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    sent = outlet.sends(2)[0]
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWN
    outlet.people.follow(replace(before, batch=3))  # HQ and office were restored from old copies
    assert outlet.state(ANNA) is State.WITHDRAWING
    again = outlet.sends(4)[0]
    assert (again.act, again.shown) == (sent.act, sent.shown)
    outlet.sees(4, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_registration_says_which_batch_was_followed_only_where_a_withdrawal_may_have_come_before(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA)
    outlet.sees(6, {})
    outlet.evaluated(BEN)
    outlet.sees(7, {})
    first = {act.key: act.since for act in registered(outlet.sends(8))}
    assert first == {outlet.slot_key(who).public: 0 for who in (ANNA, BEN)}  # as at every outlet
    outlet.sees(8, {})
    again = outlet.within(range(9, 9 + AGAIN_WITHIN), {})
    when = {outlet.slot_key(who).public: since for who, since in ((ANNA, 0), (BEN, 6))}
    assert {act.key: act.since for act in again} == when  # and a repetition is no younger
    last = 9 + AGAIN_WITHIN
    outlet.consents(ANNA)  # she came back
    assert outlet.state(ANNA) in (State.EVALUATED, State.SENT)
    sent = outlet.within(range(last, last + 2 * AGAIN_WITHIN), {})
    young = {act.since for act in sent if act.key == outlet.slot_key(ANNA).public}
    assert young == {last - 1}


def test_an_old_consent_that_is_recorded_late_is_no_newer_than_the_day_it_was_given(
    outlet: Outlet,
) -> None:
    """Else an import would undo a withdrawal elsewhere that came after the consent."""
    outlet.sees(3, {})
    given = outlet.clock.later()
    outlet.clock.later()
    outlet.sees(6, {})
    anna, ben = outlet.key(ANNA), outlet.key(BEN)
    outlet.people.record_consent(anna, "n", "mei", given)
    outlet.people.record_consent(ben, "n", "mei", given - dt.timedelta(days=900))
    outlet.people.keep_tokens({outlet.key(one): outlet.tokens[one] for one in (ANNA, BEN)})
    outlet.sends(7)
    outlet.sees(7, {})
    again = outlet.within(range(8, 8 + AGAIN_WITHIN), {})
    assert {act.key: act.since for act in again} == {
        outlet.slot_key(ANNA).public: 3,
        outlet.slot_key(BEN).public: 0,
    }


def test_who_withdrew_here_says_at_once_since_when_they_are_back(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})
    outlet.sees(5, {})
    outlet.consents(ANNA)
    [back] = registered(outlet.sends(6))
    assert back.since == 5


def test_withdrawals_that_are_sent_again_are_spread_over_batches(tmp_path: Path) -> None:
    """Else who sees the batches of two nights takes what is in both for one outlet's."""
    drawn = set()
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        outlet = Outlet(folder)
        nonce, _ = outlet.lists(ANNA)
        outlet.people.withdraw(outlet.key(ANNA))
        outlet.sends(2)
        outlet.sees(2, {ANNA: nonce})
        for batch in range(3, 3 + WITHDRAWN_AGAIN_WITHIN):
            acts = outlet.sends(batch)
            outlet.sees(batch, {ANNA: nonce})
            if acts[0].act is RegistrationAct.WITHDRAW:
                drawn.add(batch)
                break
        outlet.people.close()
    assert drawn == set(range(3, 3 + WITHDRAWN_AGAIN_WITHIN))  # by chance one is missing: 3e-7


def test_who_withdrew_before_a_slot_was_seen_is_withdrawn_again_where_hq_lists_them_late(
    outlet: Outlet, at_once: None
) -> None:
    outlet.evaluated(ANNA)
    [sent] = registered(outlet.sends(1))
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})  # HQ hides the registration until the withdrawal counts as done
    assert outlet.state(ANNA) is State.WITHDRAWN
    outlet.sees(3, {ANNA: nonce_of(fresh_secret())})  # another outlet's: a consent of its own
    assert outlet.state(ANNA) is State.WITHDRAWN
    outlet.sees(4, {ANNA: sent.shown})
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert outlet.sends(5)[0].act is RegistrationAct.WITHDRAW


def test_a_consent_given_while_a_withdrawal_is_under_way_is_newer_than_it_and_no_more(
    outlet: Outlet,
) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.clock.later()
    outlet.consents(ANNA)
    outlet.sends(2)
    outlet.sees(4, {})
    again = outlet.sends(5)[0]
    assert (again.act, again.since) == (RegistrationAct.REGISTER, 2)


def test_consent_after_a_withdrawal_gives_a_fresh_secret(outlet: Outlet) -> None:
    first, _ = outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})
    assert outlet.consents(ANNA) is Recorded.NEW
    [act] = registered(outlet.sends(3))
    assert act.shown != first


def test_consent_while_a_withdrawal_is_under_way_waits_for_it(outlet: Outlet) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert nonce_of(outlet.sends(2)[0].shown) == nonce
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.EVALUATED
    assert outlet.sends(3)[0].act is RegistrationAct.REGISTER


def test_a_withdrawal_of_a_renewed_consent_under_way_ends_it_too(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.consents(ANNA)
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.sends(2)
    outlet.sees(2, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_a_second_consent_is_history_and_moves_nobody(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    assert outlet.consents(ANNA) is Recorded.NEW
    assert outlet.state(ANNA) is State.LISTED
    assert len(outlet.people.consents()) == 2
    outlet.clock.later()
    outlet.people.withdraw(outlet.key(ANNA))
    assert outlet.people.consents()["withdrawn_at"].null_count() == 0


def test_a_killed_submission_is_repeated_byte_by_byte_and_goes_into_no_other_batch(
    outlet: Outlet,
) -> None:
    outlet.evaluated(ANNA)
    sealed = outlet.submission(1)
    again = Outlet(outlet.folder)  # another process
    assert again.submission(1) == sealed
    assert again.state(ANNA) is State.EVALUATED
    assert set(acts_of(opened(again.submission(2), 2))) == {RegistrationAct.NOTHING}
    assert again.state(ANNA) is State.SENT
    assert again.people.submission(1, 4, HQ.public, NETWORK) is None
    again.people.submitted(2)
    assert again.people.submission(2, 4, HQ.public, NETWORK) is None
    again.sees(2, {ANNA: opened(sealed, 1)[0].shown})  # it had arrived
    assert again.state(ANNA) is State.LISTED


def test_what_the_relay_was_shown_once_and_refused_is_free_for_the_next_batch(
    outlet: Outlet,
) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.evaluated(BEN)
    refused = opened(outlet.submission(2), 2)
    outlet.people.refused(2)
    acts = outlet.sends(3)
    assert acts_of(acts) == acts_of(refused)
    assert acts_of(acts)[:2] == [RegistrationAct.WITHDRAW, RegistrationAct.REGISTER]
    assert [act.shown for act in acts] == [act.shown for act in refused]
    assert nonce_of(acts[0].shown) == nonce


def test_a_withdrawal_in_a_submission_that_was_lost_is_sent_again(
    outlet: Outlet, at_once: None
) -> None:
    nonce, _ = outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.submission(2)  # killed, and it never arrived
    outlet.sees(2, {ANNA: nonce})
    assert outlet.state(ANNA) is State.WITHDRAWING
    assert outlet.sends(3)[0].act is RegistrationAct.WITHDRAW
    outlet.sees(3, {})
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_withdrawals_leave_before_registrations_and_the_rest_waits(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.evaluated(BEN)
    assert outlet.people.waiting() == 2
    assert acts_of(outlet.sends(2, messages=1)) == [RegistrationAct.WITHDRAW]
    assert outlet.people.waiting() == 1
    assert acts_of(outlet.sends(3, messages=1)) == [RegistrationAct.REGISTER]
    assert outlet.people.waiting() == 0


def test_a_consent_that_is_imported_again_does_not_undo_a_withdrawal(
    outlet: Outlet, tmp_path: Path
) -> None:
    file = tmp_path / "consents.csv"
    row = {"phone": "8123 4567", "email": "", "notice": "n", "recorded_at": "2026-03-01T10:00:00Z"}
    pl.DataFrame([{**row, "recorded_by": "mei"}]).write_csv(file)
    counts = [import_consents(file, outlet.people, "SG", NOON) for _ in range(2)]
    assert counts[0][Recorded.NEW] == 1
    assert counts[1] == {Recorded.NEW: 0, Recorded.ALREADY: 1, Recorded.TOO_OLD: 0}
    outlet.people.withdraw(outlet.key(ANNA))
    import_consents(file, outlet.people, "SG", NOON)
    assert outlet.state(ANNA) is State.WITHDRAWN
    file.write_text(file.read_text().replace("T10:00", "T09:00"))
    assert import_consents(file, outlet.people, "SG", NOON)[Recorded.TOO_OLD] == 1
    assert outlet.state(ANNA) is State.WITHDRAWN


def test_consents_from_a_spreadsheet_are_read_as_it_wrote_them(
    outlet: Outlet, tmp_path: Path
) -> None:
    file = tmp_path / "einwilligungen.csv"
    text = "phone;email;notice;recorded_at;recorded_by\r\n"
    text += "".join(
        f"+65 9123 45{n:02d};;Datenschutz für Kunden;2026-03-01;Zoë\r\n" for n in range(20)
    )
    file.write_bytes(text.encode("cp1252"))
    assert import_consents(file, outlet.people, "SG", NOON)[Recorded.NEW] == 20
    assert set(outlet.people.consents()["recorded_by"]) == {"Zoë"}


def test_exported_consents_are_what_can_be_imported(outlet: Outlet, tmp_path: Path) -> None:
    outlet.consents(ANNA)
    outlet.consents(BEN)
    identifiers = {outlet.key(ANNA): ANNA}
    assert export_consents(tmp_path / "out.csv", outlet.people, identifiers) == (1, 1)
    assert (tmp_path / "out.csv").stat().st_mode & 0o077 == 0
    other = People("sqlite://", b"t" * 32)
    counts = import_consents(tmp_path / "out.csv", other, "SG", outlet.clock.later())
    assert counts[Recorded.NEW] == 1
    assert other.without_token() == [other.local_key(ANNA)]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"phone": "4567", "email": "ben@"}, "row 2, phone"),
        ({"notice": " "}, "row 2, notice"),
        ({"recorded_at": "1 March"}, "row 2, recorded_at"),
        ({"recorded_at": "2026-03-02"}, "row 2, recorded_at: in the future"),
        ({"recorded_by": ""}, "row 2, recorded_by"),
    ],
)
def test_a_bad_row_is_named_without_its_contents_and_nothing_is_recorded(
    outlet: Outlet, tmp_path: Path, change: dict[str, str], place: str
) -> None:
    good = {
        "phone": "+6581234567",
        "email": "",
        "notice": "n",
        "recorded_at": "2026-03-01",
        "recorded_by": "mei",
    }
    pl.DataFrame([good, {**good, **change}]).write_csv(tmp_path / "bad.csv")
    with pytest.raises(ConsentRefused, match=place) as caught:
        import_consents(tmp_path / "bad.csv", outlet.people, "SG", NOON)
    assert "4567" not in str(caught.value)
    assert "March" not in str(caught.value)
    assert outlet.people.consents().is_empty()
    pl.DataFrame([good]).drop("notice").write_csv(tmp_path / "bad.csv")
    with pytest.raises(ConsentRefused, match="column notice: missing"):
        import_consents(tmp_path / "bad.csv", outlet.people, "SG", NOON)


def test_no_phone_and_no_mail_is_in_the_store_and_another_outlets_keys_differ(
    outlet: Outlet,
) -> None:
    for who in (ANNA, BEN):
        outlet.lists(who, batch=1 if who == ANNA else 2)
    outlet.people.close()
    data = b"".join(file.read_bytes() for file in outlet.folder.glob("outlet.db*"))
    for piece in (b"81234567", b"ben@", b"example", b"tel:", b"mailto"):
        assert piece not in data
    assert outlet.key(ANNA).encode() in data
    assert People("sqlite://", b"o" * 32).local_key(ANNA) != outlet.key(ANNA)


def test_a_look_up_does_not_wait_for_a_night_that_writes(outlet: Outlet) -> None:
    outlet.consents(ANNA)
    writer = sqlite3.connect(outlet.folder / "outlet.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert outlet.state(ANNA) is State.KNOWN
    writer.close()


def test_what_the_database_refuses_is_said_as_such_and_names_nobody(outlet: Outlet) -> None:
    outlet.consents(ANNA)
    key = outlet.key(ANNA)
    with closing(sqlite3.connect(outlet.folder / "outlet.db")) as store:
        store.execute("ALTER TABLE people RENAME TO gone")
    with pytest.raises(SQLAlchemyError) as caught:
        outlet.people.person(key)
    assert database_error_text(caught.value).startswith("database: no such table: people")
    assert key not in str(caught.value)


def test_many_people_are_followed_at_once(outlet: Outlet) -> None:
    names = [f"tel:+65{81000000 + i}" for i in range(300)]
    outlet.tokens = {name: token(name, SHARE) for name in names}
    outlet.evaluated(*names)
    acts = registered(outlet.sends(1, messages=301))
    keys = {act.key: act.shown for act in acts}
    nonces = {name: keys[outlet.slot_key(name).public] for name in names}
    rows = outlet.people.listed(outlet.sees(1, nonces))
    assert rows["home"].all()
    assert sorted(rows["slot"]) == list(range(300))
    outlet.sees(2, {name: nonces[name] for name in names[:285]})
    counts = outlet.people.counts()
    assert (counts[State.LISTED], counts[State.BURIED]) == (285, 15)


def test_a_store_made_before_withdrawals_had_a_table_keeps_them(tmp_path: Path) -> None:
    """And opening one that has all its tables writes nothing: it would wait for a night."""
    url, place = outlet_at(tmp_path), tmp_path / "outlet.db"
    with closing(People(url, b"s" * 32, lambda: NOON)) as people:
        people.record_consent("key", "n", "mei", NOON - dt.timedelta(days=1))
        people.withdraw("key")
    with closing(sqlite3.connect(place)) as database:
        database.execute("DROP TABLE withdrawals")
    for _ in range(2):
        People(url, b"s" * 32).close()
        with closing(sqlite3.connect(place)) as database:
            rows = database.execute("SELECT key, at FROM withdrawals").fetchall()
        assert rows == [("key", "2026-03-01T12:00:00.000000+00:00")]
    before = place.read_bytes()
    People(url, b"s" * 32).close()
    assert place.read_bytes() == before
