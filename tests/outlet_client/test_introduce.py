"""A night's introductions, against HQ and an office in this process, over real mutual TLS."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest

from outlet_client.errors import CardsApart, QuotaSpent, ServiceRefused, ServiceUnreachable
from outlet_client.people.people_store import People, State
from outlet_client.people.person_states import AGAIN_WITHIN
from outlet_client.people.registration import MOST_AHEAD, Introduced, introduce
from outlet_client.services import HQ, OFFICE, Services
from outlet_client.settings import OutletFile
from privacy.directory import Directory, DirectoryChanges
from privacy.errors import InvalidParameter
from privacy.identity import Identity, PartyKind
from privacy.publications import Countersigned
from privacy.registrations import RegistrationAct
from privacy.tokens import TokenRefused, TokenShare
from tests.builders import outlet_at
from tests.outlet_client.fake_network import MESSAGES, PHONES, network

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.registrations import Registration
    from tests.outlet_client.fake_network import FakeNetwork

__all__ = ["network"]

NOW = dt.datetime(2026, 3, 1, 2, tzinfo=dt.UTC)
EVALUATIONS = 16


class Nights:
    """An outlet's nights."""

    def __init__(self, network: FakeNetwork, home: Path) -> None:
        self.network = network
        self.now = NOW
        self.people = People(outlet_at(home), b"s" * 32, lambda: self.now)
        self.settings = OutletFile(ledger=home / "l.csv", evaluations_a_night=EVALUATIONS)

    def consent(self, *phones: str) -> None:
        for phone in phones:
            self.people.record_consent(self.key(phone), "n", "mei", self.now)
            self.now += dt.timedelta(seconds=1)

    def key(self, phone: str) -> str:
        return self.people.local_key(f"tel:{phone}")

    def introduce(self, pinned: bytes | None = None) -> Introduced:
        return introduce(
            self.people,
            self.network.services,
            {self.key(phone): f"tel:{phone}" for phone in PHONES},
            self.settings,
            self.network.hq_card,
            pinned or self.network.pinned,
        )

    def run(self) -> tuple[int, int, int, int]:
        done = self.introduce()
        assert done.failed is None
        return done.evaluated, done.registered, done.withdrawn, done.waiting

    def night(self) -> tuple[int, int, int, int]:
        """Runs a night: introduces, and follows the directory that comes of it."""
        done = self.run()
        self.network.shown(self.people)
        self.now += dt.timedelta(days=1)
        return done

    def state(self, phone: str) -> State:
        person = self.people.person(self.key(phone))
        assert person is not None
        return person.state


@pytest.fixture
def nights(network: FakeNetwork, tmp_path: Path) -> Nights:
    return Nights(network, tmp_path)


def test_a_night_introduces_those_who_consented_and_nobody_else(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(*PHONES[:3])
    assert nights.night() == (3, 3, 0, 0)
    assert set(network.slots.homes) == {network.key(f"tel:{phone}") for phone in PHONES[:3]}
    assert nights.people.counts()[State.LISTED] == 3


@pytest.mark.parametrize("new", [0, 1, MESSAGES, EVALUATIONS, 40])
def test_the_numbers_that_others_see_are_the_same_whatever_happened(
    nights: Nights, network: FakeNetwork, new: int
) -> None:
    nights.consent(*PHONES[:new])
    for _ in range(2):
        nights.night()
    for holder in (network.at_hq, network.at_office):
        assert holder.asked == [EVALUATIONS, EVALUATIONS]
        assert all(len(set(points)) == EVALUATIONS for points in holder.points)
    assert [len(one) for ones in network.relay.taken.values() for one in ones] == [MESSAGES] * 2


def test_what_does_not_fit_waits_for_the_next_nights(nights: Nights) -> None:
    nights.consent(*PHONES)
    assert nights.night() == (EVALUATIONS, MESSAGES, 0, 32)
    assert nights.night() == (EVALUATIONS, MESSAGES, 0, 24)
    assert nights.night() == (8, MESSAGES, 0, 16)
    assert nights.night() == (0, MESSAGES, 0, 8)
    assert nights.night() == (0, MESSAGES, 0, 0)
    assert nights.night() == (0, 0, 0, 0)
    assert nights.people.counts()[State.LISTED] == 40


def test_a_second_run_in_a_night_asks_for_nothing(nights: Nights, network: FakeNetwork) -> None:
    nights.consent(*PHONES[:2])
    assert nights.run() == (2, 2, 0, 0)
    nights.consent(PHONES[5])
    assert nights.run() == (0, 0, 0, 1)
    assert network.at_hq.asked == [EVALUATIONS]
    assert len(network.relay.taken[1]) == 1


def registrations(acts: list[Registration]) -> list[Registration]:
    return [act for act in acts if act.act is RegistrationAct.REGISTER]


def test_a_kill_after_the_submission_arrived_repeats_the_same_bytes(
    nights: Nights, network: FakeNetwork
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    nights.consent(PHONES[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(People, "submitted", lambda _self, _batch: killed())
        with pytest.raises(KeyboardInterrupt):
            nights.run()
    assert nights.state(PHONES[0]) is State.EVALUATED
    assert nights.run() == (0, 1, 0, 0)
    assert len(network.relay.taken[1]) == 1
    assert nights.state(PHONES[0]) is State.SENT


def test_a_submission_whose_answer_was_lost_is_in_the_directory_all_the_same(
    nights: Nights, network: FakeNetwork
) -> None:
    network.relay.after = lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "")
    nights.consent(PHONES[0])
    assert isinstance(nights.introduce().failed, ServiceUnreachable)
    assert nights.state(PHONES[0]) is State.EVALUATED
    network.shown(nights.people)
    assert nights.state(PHONES[0]) is State.LISTED


def test_a_kill_before_the_submission_arrived_registers_in_one_of_the_next_seven_batches(
    nights: Nights, network: FakeNetwork
) -> None:
    """The relay may have seen it: only the directory of its batch tells that it did not."""
    nights.consent(PHONES[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Services, "submit", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            nights.run()
    network.shown(nights.people)
    assert nights.state(PHONES[0]) is State.EVALUATED
    nights.now += dt.timedelta(days=1)
    for _ in range(AGAIN_WITHIN):
        nights.night()
    sent = [registrations(network.opened(batch)) for batch in range(2, 2 + AGAIN_WITHIN)]
    [again] = [one for batch in sent for one in batch]
    assert again.key == network.key(f"tel:{PHONES[0]}")
    assert nights.state(PHONES[0]) is State.LISTED


def test_a_batch_that_closes_in_between_gets_the_same_secrets_in_the_next(
    nights: Nights, network: FakeNetwork
) -> None:
    def close_once() -> None:
        network.relay.before = lambda: None
        network.relay.batch += 1

    network.relay.before = close_once
    nights.consent(PHONES[0])
    assert nights.run() == (1, 1, 0, 0)
    assert list(network.relay.taken) == [2]
    network.shown(nights.people)
    assert nights.state(PHONES[0]) is State.LISTED


def test_what_the_relay_may_have_seen_before_it_refused_goes_into_no_other_batch(
    nights: Nights, network: FakeNetwork
) -> None:
    """The answer was lost, and the batch closes while the same bytes are on their way again."""

    def close_once() -> None:
        network.relay.before = lambda: None
        network.relay.batch += 1

    nights.consent(PHONES[0])
    network.relay.after = lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "")
    assert isinstance(nights.introduce().failed, ServiceUnreachable)
    network.relay.after = lambda _: None
    network.relay.before = close_once
    assert nights.run() == (0, 0, 0, 0)
    assert [len(registrations(network.opened(batch))) for batch in (1, 2)] == [1, 0]
    assert nights.state(PHONES[0]) is State.SENT


def test_a_relay_that_refuses_the_open_batch_ends_the_attempt(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    network.relay.refuses = True
    done = nights.introduce()
    assert isinstance(done.failed, ServiceRefused)
    assert "the privacy office: no" in str(done.failed)
    # what was asked before that is counted
    assert done == Introduced(asked=EVALUATIONS, evaluated=1, waiting=1, failed=done.failed)
    network.relay.refuses = False
    assert nights.run() == (0, 1, 0, 0)


def test_a_withdrawal_leaves_the_network_and_a_new_consent_comes_back(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    nights.night()
    [first] = network.slots.homes.values()
    nights.people.withdraw(nights.key(PHONES[0]))
    assert nights.night() == (0, 0, 1, 0)
    assert network.slots.homes == {}
    assert nights.state(PHONES[0]) is State.WITHDRAWN
    nights.consent(PHONES[0])
    assert nights.night() == (0, 1, 0, 0)
    assert list(network.slots.homes.values()) != [first]
    assert network.slots.rows[0] is None  # a slot is never used again
    assert nights.state(PHONES[0]) is State.LISTED


def test_a_spent_quota_does_not_hold_withdrawals_back(nights: Nights, network: FakeNetwork) -> None:
    nights.consent(PHONES[0])
    nights.night()
    nights.people.withdraw(nights.key(PHONES[0]))
    nights.consent(PHONES[1])
    network.at_office.quota = EVALUATIONS
    done = nights.introduce()
    assert (done.asked, done.messages, done.withdrawn) == (EVALUATIONS, MESSAGES, 1)
    assert done.waiting == 1
    assert isinstance(done.quota, QuotaSpent)
    assert done.quota.which == OFFICE
    assert done.quota.until.time() == dt.time()
    assert "quota begins" in str(done.quota)
    assert not nights.people.asked_today()


def test_a_holder_with_another_share_is_noticed_and_no_token_is_kept(
    nights: Nights, network: FakeNetwork
) -> None:
    nights.consent(PHONES[0])
    pinned = network.pinned
    network.at_office.share = TokenShare.generate()
    done = nights.introduce(pinned)
    assert isinstance(done.failed, TokenRefused)
    assert "pinned total" in str(done.failed)
    assert (done.asked, done.evaluated, done.messages) == (EVALUATIONS, 0, MESSAGES)
    assert nights.state(PHONES[0]) is State.KNOWN
    assert len(network.relay.taken[1]) == 1


def test_tokens_are_those_of_their_identifiers_in_order_and_over_several_requests(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outlet_client.services.POINTS_A_REQUEST", 6)
    asked = [f"tel:{phone}" for phone in PHONES[:9]]
    found = network.services.tokens(asked, network.pinned, 20)
    assert found == [network.token(one) for one in asked]
    assert network.at_hq.asked == [6, 6, 6, 2]
    with pytest.raises(InvalidParameter, match="9 identifiers"):
        network.services.tokens(asked, network.pinned, 8)


def test_another_certificate_than_the_cards_is_not_spoken_to(network: FakeNetwork) -> None:
    stranger = Identity.generate(
        PartyKind.HQ, "hq", "", dt.datetime.now(dt.UTC), token_key=b"k" * 32
    )
    card = replace(stranger.card, service_address=network.hq_card.service_address)
    wrong = Services.connect(network.outlet, card, network.office_card, timeout=1)
    told = "another certificate than its card here: `escapement-outlet peers replace FILE`"
    for call in (lambda: wrong.reach(HQ), wrong.book):
        with pytest.raises(CardsApart, match=told):
            call()
    wrong.reach(OFFICE)
    wrong.close()


def test_a_directory_comes_whole_or_as_what_changed_since_the_one_that_is_here(
    network: FakeNetwork,
) -> None:
    network.elsewhere("tel:+6598000001")
    first = network.publish(6)
    network.elsewhere("tel:+6598000002")
    second = network.publish(7)
    name = second.directory.digest
    signed, whole = Countersigned.cut_off(network.services.directory(name, ""))
    assert signed == second.countersigned
    assert Directory.decode(whole).digest == name
    _, body = Countersigned.cut_off(network.services.directory(name, first.directory.digest))
    assert not DirectoryChanges.are_in(whole)
    assert DirectoryChanges.decode(body).applied(first.directory).digest == name
    with pytest.raises(ServiceRefused, match="none of this digest"):
        network.services.directory("cd" * 32, "")
    assert network.services.book() is None


def test_nothing_is_handed_in_for_a_batch_far_from_the_directory_that_was_followed(
    nights: Nights, network: FakeNetwork
) -> None:
    """It would wait for that batch, and nothing in it would be sent again meanwhile."""
    nights.consent(PHONES[0])
    network.relay.batch = 2**40
    failed = nights.introduce().failed
    assert isinstance(failed, ServiceRefused)
    assert "the directory that was followed last holds batch 0" in str(failed)
    assert network.relay.taken == {}
    assert nights.state(PHONES[0]) is State.EVALUATED
    network.relay.batch = MOST_AHEAD
    assert nights.introduce().registered == 1


def test_for_a_batch_that_a_directory_holds_already_nothing_is_handed_in(
    nights: Nights, network: FakeNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay lost its store, and HQ has not asked yet: nobody would open it."""
    nights.consent(PHONES[0])
    network.shown(nights.people, 5)
    network.relay.batch = 5
    done = nights.introduce()
    assert (done.messages, done.failed) == (0, None)
    assert network.relay.taken == {}
    assert "the relay was lost" in caplog.text
    network.relay.batch = 6
    assert nights.introduce().registered == 1
