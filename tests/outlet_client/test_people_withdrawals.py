"""Withdrawals at an outlet: shown once, sent again until a directory shows them, and then over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from outlet_client.people.people_store import State
from outlet_client.people.person_states import WITHDRAWN_AGAIN_WITHIN
from privacy.registrations import RegistrationAct, fresh_secret, nonce_of
from tests.outlet_client.registering_outlet import (
    ANNA,
    BEN,
    HQ,
    Outlet,
    acts_of,
    at_once,
    opened,
    outlet,
    registered,
)
from tests.shelves import NETWORK

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["at_once", "outlet"]


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
