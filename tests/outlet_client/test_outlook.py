"""What waits for what after consents, until when, and what is asked for by day."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from outlet_client.errors import QuotaSpent
from outlet_client.night.outlook import first_seal, outlook
from outlet_client.night.tokens_by_day import AskedByDay, ask_by_day
from outlet_client.people.person_states import State
from outlet_client.people.tables import CONTESTED, ENTRIES
from outlet_client.people.waiting_people import WaitingPeople, waiting_people
from outlet_client.settings import OutletFile
from tests.outlet_client.fake_network import PHONES, FakeNetwork, network
from tests.outlet_client.test_introduce import EVALUATIONS, Nights

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["network"]

MORNING = dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
BY_DAY = 4


@pytest.fixture
def nights(network: FakeNetwork, tmp_path: Path) -> Nights:
    return Nights(network, tmp_path)


def by_day(nights: Nights, number: int = BY_DAY) -> AskedByDay:
    settings = OutletFile(ledger="l.csv", evaluations_by_day=number)
    known = {nights.key(phone): f"tel:{phone}" for phone in PHONES}
    return ask_by_day(
        nights.people, nights.network.services, known, settings, nights.network.pinned
    )


def test_who_consented_since_the_night_is_asked_for_by_day_once_and_in_a_fixed_number(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.introduce()
    nights.consent(*PHONES[:6])
    assert by_day(nights) == AskedByDay(BY_DAY, 2)
    assert by_day(nights).kept == 0
    assert network.at_hq.asked == network.at_office.asked == [EVALUATIONS, BY_DAY]
    nights.now += dt.timedelta(days=1)
    assert by_day(nights) == AskedByDay(2, 0)  # dummies among them: how many consented is not told
    assert network.at_hq.asked == [EVALUATIONS, BY_DAY, BY_DAY]


def test_by_day_nothing_is_asked_for_where_nobody_waits_or_the_setting_is_0(
    nights: Nights, network: FakeNetwork
) -> None:
    assert by_day(nights) == AskedByDay(0, 0)
    nights.consent(PHONES[0])
    assert by_day(nights, 0).waiting == 1
    assert network.at_hq.asked == []


def test_what_was_asked_for_by_day_counts_against_no_night_and_waits_for_its_batch(
    nights: Nights,
) -> None:
    nights.consent(*PHONES[:3])
    assert by_day(nights).kept == 3
    assert waiting_people(nights.people).batch == 3
    done = nights.introduce()
    assert (done.asked, done.evaluated, done.registered) == (EVALUATIONS, 0, 3)
    assert waiting_people(nights.people) == WaitingPeople(directory=3)


def test_a_quota_that_is_spent_by_day_leaves_all_to_the_night(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    network.at_office.quota = 0
    with pytest.raises(QuotaSpent):
        by_day(nights)
    network.at_office.quota = 10**6
    assert nights.introduce().evaluated == 1


def test_people_are_counted_by_what_they_wait_for(nights: Nights) -> None:
    nights.consent(*PHONES[:4])
    assert waiting_people(nights.people).token == 4  # the client book was not read yet
    with nights.people.transaction() as connection:
        connection.execute(CONTESTED.insert().values(key=nights.key(PHONES[1])))
        for number, phone in enumerate(PHONES[:3]):
            row = {"number": number, "typed": f"t{number}", "origin": "o", "former": False}
            connection.execute(
                ENTRIES.insert().values(**row, customer=f"c{number}", phone=nights.key(phone))
            )
    assert waiting_people(nights.people) == WaitingPeople(token=2, decision=1, book=1)
    assert nights.people.counts()[State.KNOWN] == 4


def test_the_outlook_names_nights_and_the_day_of_the_first_seal_after_the_batch() -> None:
    said = outlook(WaitingPeople(token=60), 512, "2026-02-27", MORNING)
    seal = "bands other than `new` from 2026-03-06 at the earliest, the first seal after they are"
    assert said == ["60 wait for tokens: the night of 2026-03-03", f"{seal} listed"]
    many = outlook(WaitingPeople(token=1200, batch=3, directory=2), 512, None, MORNING)
    assert "1,200 wait for tokens, 512 a night, the last on 2026-03-05" in many[0]
    assert "3 have a token and are handed in by the night of 2026-03-03" in many
    assert "from 2026-03-05 at the earliest, the network's first seal" in many[-1]
    assert outlook(WaitingPeople(), 512, None, MORNING) == []
    [decide, book] = outlook(WaitingPeople(decision=2, book=1), 512, None, MORNING)
    assert "2 share a phone or e-mail" in decide
    assert "1 consented under" in book


def test_before_its_time_tonights_night_is_the_next() -> None:
    early = MORNING.replace(hour=1)
    [tokens, _] = outlook(WaitingPeople(token=1), 512, None, early)
    assert tokens == "1 wait for tokens: the night of 2026-03-02"


@pytest.mark.parametrize(
    ("listed", "seal"),
    [("2026-03-03", "2026-03-06"), ("2026-03-06", "2026-03-06"), ("2026-03-07", "2026-03-13")],
)
def test_the_first_seal_is_on_the_day_of_the_last_ones_week(listed: str, seal: str) -> None:
    assert first_seal(dt.date.fromisoformat(listed), "2026-02-27").isoformat() == seal
    assert first_seal(dt.date.fromisoformat(listed), None).isoformat() == listed
