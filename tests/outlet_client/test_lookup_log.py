"""Look-ups in the log: each has an entry, without one there is no answer, and old ones go."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import SQLAlchemyError

from outlet_client.bands.lookup import Status
from outlet_client.database import create_databases
from outlet_client.errors import BookMissing, StoreMissing
from outlet_client.log_tables.rights_store import RIGHTS_FILE, RightsGone, rights_of
from outlet_client.records.access_log import (
    KEEP_DAYS,
    LogAct,
    LogEntry,
    entries,
    purge_log,
    recent_entries,
)
from outlet_client.records.actor import Actor, LookupPurpose
from privacy.tokens import TokenRefused, TokenShare
from tests.outlet_client.fake_network import network
from tests.outlet_client.lookup_shop import ANNA, ASKED, BEN, NOW, Shop, shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.outlet_client.fake_network import FakeNetwork

__all__ = ["network", "shop"]


def test_a_consent_at_the_desk_is_in_the_log_with_who_recorded_it(shop: Shop) -> None:
    shop.first_time(BEN)
    with rights_of(shop.home) as connection:
        consent, look = reversed(recent_entries(connection, NOW, limit=9))
    assert (consent.act, consent.by, consent.purpose) == (LogAct.CONSENT, "mei", LookupPurpose.SALE)
    assert consent.key == look.key == shop.key(BEN)
    assert look.act is LogAct.LOOK_UP


def test_every_look_up_is_in_the_log_whatever_came_of_it(shop: Shop) -> None:
    shop.look.look_up(ANNA, None, ASKED)
    shop.look.look_up(BEN, None, Actor("noor", LookupPurpose.SERVICE))
    shop.now += dt.timedelta(days=31)
    with pytest.raises(BookMissing):
        shop.look.look_up(ANNA, None, Actor("noor", LookupPurpose.CUSTOMER))
    assert shop.log(ANNA) == [("mei", "sale", "known"), ("noor", "customer", "BookMissing")]
    assert shop.log(BEN) == [("noor", "service", "consent needed")]


def test_a_first_time_that_no_holder_answers_is_in_the_log_too(
    shop: Shop, network: FakeNetwork
) -> None:
    pinned = network.pinned
    network.at_office.share = TokenShare.generate()
    with pytest.raises(TokenRefused):
        shop.look.first_time(BEN, None, "n", network.services, pinned, ASKED)
    assert shop.log(BEN) == [("mei", "sale", "TokenRefused")]


def test_nothing_is_answered_into_a_log_that_was_removed_until_there_is_one_again(
    shop: Shop,
) -> None:
    look = shop.another()
    look.look_up(ANNA, None, ASKED)
    for file in shop.home.glob(f"{RIGHTS_FILE}*"):
        file.unlink()
    for _ in range(2):
        with pytest.raises(RightsGone, match="removed while this program runs"):
            look.look_up(ANNA, None, ASKED)
    assert not (shop.home / RIGHTS_FILE).exists()
    with pytest.raises(StoreMissing, match=r"rights\.db: not there.*new-store"):
        shop.log(ANNA)
    create_databases(shop.home)
    assert look.look_up(ANNA, None, ASKED).status is Status.KNOWN
    assert shop.log(ANNA) == [("mei", "sale", "known")]


def test_where_the_log_cannot_be_written_there_is_no_answer(shop: Shop) -> None:
    shop.look.look_up(ANNA, None, ASKED)
    with closing(sqlite3.connect(shop.home / RIGHTS_FILE)) as store:
        store.execute(
            "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        store.commit()
    with pytest.raises(SQLAlchemyError):
        shop.look.look_up(ANNA, None, ASKED)
    assert shop.log(ANNA) == [("mei", "sale", "known")]


def test_entries_go_after_a_year_and_their_numbers_are_never_used_again(shop: Shop) -> None:
    shop.look.look_up(BEN, None, ASKED)
    shop.now += dt.timedelta(days=KEEP_DAYS + 1)
    shop.look.look_up(BEN, None, ASKED)
    before = shop.now - dt.timedelta(days=KEEP_DAYS)
    assert purge_log(shop.home, before) == 1
    assert purge_log(shop.home, before) == 0
    assert purge_log(shop.home, shop.now + dt.timedelta(days=1)) == 1
    shop.look.look_up(BEN, None, ASKED)
    with rights_of(shop.home) as connection:
        [entry] = entries(connection, [shop.key(BEN)], NOW)
    key, sale = shop.key(BEN), LookupPurpose.SALE
    assert entry == LogEntry(3, shop.now, LogAct.LOOK_UP, "mei", sale, key, "", "consent needed")


def test_where_nothing_was_asked_there_is_no_log_and_nothing_to_purge(tmp_path: Path) -> None:
    assert purge_log(tmp_path, NOW) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_log_holds_no_phone_and_its_file_names_nobody(shop: Shop) -> None:
    shop.look.look_up(ANNA, "anna@x.example", ASKED)
    shop.look.look_up(None, "ben@x.example", ASKED)
    data = b"".join(file.read_bytes() for file in shop.home.glob(f"{RIGHTS_FILE}*"))
    for one in (ANNA, ANNA[3:], "anna@", "ben@"):
        assert one.encode() not in data
    assert shop.key(ANNA).encode() in data
