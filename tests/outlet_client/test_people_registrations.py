"""Registrations that an outlet hands in: lost, repeated, and since which batch they count."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from outlet_client.people.people_store import State
from outlet_client.people.person_states import AGAIN_WITHIN
from privacy.registrations import RegistrationAct, fresh_secret, nonce_of
from tests.outlet_client.registering_outlet import (
    ANNA,
    BEN,
    HQ,
    Outlet,
    acts_of,
    opened,
    outlet,
    registered,
)
from tests.shelves import NETWORK

if TYPE_CHECKING:
    import pytest

__all__ = ["outlet"]


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


def test_withdrawals_leave_before_registrations_and_the_rest_waits(outlet: Outlet) -> None:
    outlet.lists(ANNA)
    outlet.people.withdraw(outlet.key(ANNA))
    outlet.evaluated(BEN)
    assert outlet.people.waiting() == 2
    assert acts_of(outlet.sends(2, messages=1)) == [RegistrationAct.WITHDRAW]
    assert outlet.people.waiting() == 1
    assert acts_of(outlet.sends(3, messages=1)) == [RegistrationAct.REGISTER]
    assert outlet.people.waiting() == 0
