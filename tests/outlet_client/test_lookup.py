"""Look-ups: what staff are told of a customer, known here or for the first time."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from features.bands import SCHEMES
from outlet_client.bands.lookup import A_PERSON_LOOKS, MANY_OUTLETS, Answer, Band, Status
from outlet_client.errors import NoIdentifier
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.people.people_store import State
from outlet_client.records.actor import MOST_CHARACTERS, Actor, LookupPurpose, NotAsked, system_user
from outlet_client.records.customer_requests import answer
from privacy.tokens import TokenRefused, TokenShare
from tests.outlet_client.fake_network import network
from tests.outlet_client.lookup_shop import (
    ANNA,
    ANNAS_SLOT,
    ASKED,
    BEN,
    NEW,
    NEWCOMER,
    NOW,
    PRIORITY,
    UNKNOWN,
    Shop,
    shop,
    told,
)
from tests.shelves import make_book

if TYPE_CHECKING:
    from tests.outlet_client.fake_network import FakeNetwork

__all__ = ["network", "shop"]


def test_a_known_customer_has_bands_and_what_they_allow(shop: Shop) -> None:
    answer = shop.look.look_up("8123 4500", None, ASKED)
    assert answer.status is Status.KNOWN
    assert answer.as_of == "2026-03-01"
    assert answer.bands[0] == Band("eligibility", "priority", PRIORITY)
    assert answer.bands[1].score == "flipper_risk"
    assert answer.bands[1].band == "low"


def test_an_answer_has_no_place_for_points_outlets_history_or_counts() -> None:
    assert [field.name for field in fields(Answer)] == ["status", "as_of", "bands", "many_outlets"]
    assert [field.name for field in fields(Band)] == ["score", "band", "allows"]


def test_a_slot_that_is_newer_than_the_seal_reads_new(shop: Shop) -> None:
    assert shop.store(shop.published(shop.book(2, sealed=ANNAS_SLOT)))
    answer = shop.look.look_up(ANNA, None, ASKED)
    assert (answer.status, answer.as_of, told(answer)) == (Status.KNOWN, "2026-03-01", NEW)
    assert not answer.many_outlets
    assert shop.first_time(BEN).bands[0].band == "eligible"


def test_of_whom_little_is_known_both_bands_read_new_whatever_the_codes(shop: Shop) -> None:
    codes = np.full((shop.directory.directory.slots, 3), 2, np.uint8)
    for evidence, expected in ((0, "new"), (1, "new"), (2, "priority"), (3, "priority")):
        codes[:, 2] = evidence
        book = make_book(
            codes, shop.directory.directory, as_of="2026-03-01", made_at=NOW.timestamp(),
            version=2 + evidence,
        )  # fmt: skip
        assert shop.store(shop.published(book))
        answer = shop.look.look_up(ANNA, None, ASKED)
        assert answer.bands[0].band == expected
        assert (told(answer) == NEW) == (expected == "new")


def test_who_is_known_at_too_many_outlets_has_no_band_and_a_person_looks(shop: Shop) -> None:
    assert shop.store(shop.published(shop.book(2, marked=(ANNAS_SLOT,))))
    answer = shop.look.look_up(ANNA, None, ASKED)
    assert (answer.status, answer.no_band) == (Status.KNOWN, MANY_OUTLETS)
    assert answer.many_outlets
    assert told(answer) == [(scheme.name, "new", A_PERSON_LOOKS) for scheme in SCHEMES.values()]
    assert "a person looks" in A_PERSON_LOOKS
    other = shop.first_time(BEN)
    assert (other.many_outlets, other.no_band, other.bands[0].band) == (False, "", "eligible")


def test_whatever_a_book_holds_of_a_customer_reads_as_bands_and_raises_nothing(
    shop: Shop,
) -> None:
    names = [scheme.bands for scheme in SCHEMES.values()]
    found = set()
    for byte in range(256):
        book = shop.book(2 + byte)
        body = bytearray(book.body)
        body[ANNAS_SLOT] = byte
        assert shop.store(shop.published(replace(book, body=bytes(body))))
        answer = shop.look.look_up(ANNA, None, ASKED)
        bands = tuple(band.band for band in answer.bands)
        assert all(band in known for band, known in zip(bands, names, strict=True))
        found.add((bands, answer.many_outlets))
    assert {"review", "new", "priority"} <= {band for bands, _ in found for band in bands}
    assert {many for _, many in found} == {True, False}
    assert shop.log(ANNA) == [("mei", "sale", "known")] * 256


def test_on_a_night_between_seals_bands_and_their_day_stay_and_who_withdrew_reads_nothing(
    shop: Shop, network: FakeNetwork
) -> None:
    sealed = shop.book(2)
    assert shop.store(shop.published(sealed))
    before = shop.look.look_up(ANNA, None, ASKED)
    network.elsewhere(f"tel:{NEWCOMER}")
    network.withdrawn_elsewhere(f"tel:{BEN}")
    shop.directory = network.publish(2)
    now = shop.directory.directory
    shop.now += dt.timedelta(days=3)
    tonight = replace(
        sealed, version=3, made_at=int(shop.now.timestamp()), slots=now.slots,
        directory=now.digest, body=b"\xff" + sealed.body[1:] + b"\xff" * (now.slots - sealed.slots),
    )  # fmt: skip
    assert shop.store(shop.published(tonight))
    assert shop.look.look_up(ANNA, None, ASKED) == before
    assert before.as_of == "2026-03-01"
    assert told(shop.first_time(NEWCOMER)) == NEW
    assert shop.first_time(BEN) == Answer(Status.NOT_IN_NETWORK)


def test_who_never_consented_here_is_not_looked_up(shop: Shop, network: FakeNetwork) -> None:
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.CONSENT_NEEDED)
    assert network.at_hq.asked == []
    with pytest.raises(NoIdentifier) as caught:
        shop.look.look_up("12", "nobody", ASKED)
    assert "nobody" not in str(caught.value)


def test_a_newcomer_who_is_known_elsewhere_has_bands_at_once_for_one_evaluation(
    shop: Shop, network: FakeNetwork
) -> None:
    answer = shop.first_time(BEN)
    assert answer.status is Status.KNOWN
    assert answer.bands[0].band == "eligible"
    assert network.at_hq.asked == network.at_office.asked == [1]
    person = shop.people.person(shop.key(BEN))
    assert person is not None
    assert person.state is State.EVALUATED
    assert shop.look.look_up(BEN, None, ASKED) == answer
    assert shop.first_time(BEN) == answer
    assert network.at_hq.asked == [1]
    assert shop.people.consents().filter(key=shop.key(BEN))["notice"].to_list() == ["2026-03"]


def test_somebody_whom_nobody_registered_is_not_in_the_network(shop: Shop) -> None:
    assert shop.first_time(UNKNOWN) == Answer(Status.NOT_IN_NETWORK)
    assert shop.look.look_up(UNKNOWN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


def test_a_consent_without_a_token_yet_is_not_in_the_network(shop: Shop) -> None:
    shop.people.record_consent(shop.key(NEWCOMER), "n", "mei", NOW)
    assert shop.look.look_up(NEWCOMER, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


def test_the_withdrawn_and_the_buried_have_no_bands_until_a_new_consent(shop: Shop) -> None:
    shop.people.withdraw(shop.key(ANNA))
    assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
    shop.first_time(BEN)
    shop.hand_in(2)
    shop.network.shown(shop.people, 2)
    shop.network.withdrawn_elsewhere(f"tel:{BEN}")
    assert shop.look.look_up(BEN, None, ASKED).status is Status.KNOWN
    shop.network.shown(shop.people, 3)
    person = shop.people.person(shop.key(BEN))
    assert person is not None
    assert person.state is State.BURIED
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
    shop.now += dt.timedelta(hours=1)
    assert shop.first_time(BEN).status is Status.KNOWN  # the old book still has the entry


def test_another_key_holder_is_noticed_at_a_first_time(shop: Shop, network: FakeNetwork) -> None:
    pinned = network.pinned
    network.at_office.share = TokenShare.generate()
    with pytest.raises(TokenRefused, match="pinned total"):
        shop.look.first_time(BEN, None, "n", network.services, pinned, ASKED)
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.NOT_IN_NETWORK)


@pytest.mark.parametrize("notice", ["", " \t"])
def test_a_consent_to_no_text_is_none_and_nothing_is_recorded(
    shop: Shop, network: FakeNetwork, notice: str
) -> None:
    asked = (network.services, network.pinned, ASKED)
    with pytest.raises(NotAsked, match="expected the notice"):
        shop.look.first_time(BEN, None, notice, *asked)
    assert shop.people.person(shop.key(BEN)) is None
    assert network.at_hq.asked == []
    assert shop.log(BEN) == []


def test_several_people_are_looked_up_at_once_with_one_entry_each(shop: Shop) -> None:
    asked = Actor("mei", LookupPurpose.ALLOCATION)
    keys = [shop.key(phone) for phone in (ANNA, BEN, ANNA)]
    found = shop.look.look_up_keys(keys, asked)
    assert list(found) == [shop.key(ANNA), shop.key(BEN)]
    assert found[shop.key(ANNA)] == shop.look.look_up(ANNA, None, ASKED)
    assert shop.log(ANNA) == [("mei", "allocation", "known"), ("mei", "sale", "known")]
    assert shop.log(BEN) == [("mei", "allocation", "consent needed")]


@pytest.mark.parametrize("by", ["", "  ", "m" * (MOST_CHARACTERS + 1), "me\x00i"])
def test_nobody_is_asked_about_without_a_name(by: str) -> None:
    with pytest.raises(NotAsked, match="expected the name"):
        Actor.of(by, "sale")


def test_a_purpose_is_one_of_four_and_a_name_is_the_users_where_none_is_given() -> None:
    assert Actor.of(None, "customer") == Actor(system_user(), LookupPurpose.CUSTOMER)
    assert Actor.of("  Mei   Lin ", "sale") == Actor("Mei Lin", LookupPurpose.SALE)
    with pytest.raises(NotAsked, match="expected one of sale, allocation, service, customer"):
        Actor.of("mei", "curious")


def test_a_disputed_band_is_under_review_until_somebody_decides(shop: Shop) -> None:
    good = shop.look.look_up(ANNA, None, ASKED)
    first, second = shop.dispute(ANNA), shop.dispute(ANNA)
    assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.UNDER_REVIEW)
    for number in (first, second):
        assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.UNDER_REVIEW)
        with rights_of(shop.home) as connection:
            answer(connection, number, "Noor", "it was another piece", shop.now)
    assert shop.look.look_up(ANNA, None, ASKED) == good
    assert [outcome for *_, outcome in shop.log(ANNA)] == [
        "known", "under review", "under review", "under review", "known"
    ]  # fmt: skip


def test_a_dispute_says_nothing_of_who_never_agreed_or_withdrew(shop: Shop) -> None:
    shop.dispute(BEN)
    assert shop.look.look_up(BEN, None, ASKED) == Answer(Status.CONSENT_NEEDED)
    shop.dispute(ANNA)
    shop.people.withdraw(shop.key(ANNA))
    assert shop.look.look_up(ANNA, None, ASKED) == Answer(Status.NOT_IN_NETWORK)
