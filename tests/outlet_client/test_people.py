"""Where people stand: what moves them to listed or buried, and what their store never holds."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import SQLAlchemyError

from outlet_client.database import database_error_text
from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People, State
from outlet_client.people.person_states import AGAIN_WITHIN, keys_as_array
from privacy.directory import DirectoryRefused
from privacy.registrations import RegistrationAct, fresh_secret, nonce_of
from privacy.tokens import token
from tests.builders import outlet_at
from tests.outlet_client.registering_outlet import (
    ANNA,
    BEN,
    NOON,
    SHARE,
    Outlet,
    acts_of,
    outlet,
    registered,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["outlet"]


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
