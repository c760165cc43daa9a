"""Whole nights in one process: who is in a sum, what a refusal ends, what a kill leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from scipy import stats

from features.learning import moments_rows
from outlet_client.contribute import Outlet
from privacy.envelopes import SigningKey, digest
from privacy.errors import AnswerRefused
from privacy.plans import ReleasePlan
from privacy.two_key_sum import Aggregate, MaskedShare, _statement
from privacy.units import Purpose, Unit
from server.hq.combine import Combiner
from server.hq.flower_link import FlowerLink, Replies
from server.hq.store import HqStore
from server.office.settings import OfficeSettings
from tests.networks import CUT_OFF, TARGET, small_network, small_world

if TYPE_CHECKING:
    from sandbox.network import Network
    from server.hq.night import NightReport


def run(network: Network, name: str = "n1", *, points: bool = True) -> NightReport:
    return network.night(name, str(CUT_OFF), TARGET, points=points)


def test_a_night_ends_with_a_scorecard_an_evaluation_and_points() -> None:
    network = small_network()
    report = run(network)
    assert report.ended == "complete"
    assert [step.purpose for step in report.steps] == [
        Purpose.MOMENTS, Purpose.TRAINING, Purpose.TRAINING, Purpose.EVALUATION, Purpose.POINTS
    ]  # fmt: skip
    assert report.scorecard is not None
    assert report.evaluation is not None
    assert all(step.outlets == 4 and not step.failures for step in report.steps)
    stored = network.hq_store.scorecard("n1", TARGET)
    assert stored == report.scorecard.encode()


def test_a_training_costs_its_epsilon_and_no_more() -> None:
    network = small_network(epsilon=1.0)
    run(network)
    ledger = network.ledger()
    assert ledger.open_nights() == ()
    spent = ledger.epsilon(Unit.CUSTOMER, int(network.office.clock()))
    assert spent is not None
    assert 0.999 <= spent <= 1.0


def test_without_noise_the_released_sums_are_exact() -> None:
    network = small_network(epsilon=None)
    run(network)
    checkpoint = network.hq_store.checkpoint(f"n1/{TARGET}/001-moments")
    assert checkpoint is not None
    assert checkpoint.values is not None
    rows = [moments_rows(outlet.home.x) for outlet in network.outlets.values()]
    exact = sum(part.sum(axis=0) for part in rows)
    np.testing.assert_allclose(checkpoint.values, exact, atol=len(small_world().customers) * 2**-19)


def test_the_points_of_all_outlets_are_the_scores_of_all_records() -> None:
    network = small_network(epsilon=None)
    report = run(network)
    assert report.points is not None
    assert report.scorecard is not None
    expected = np.zeros((len(network.directory), 3))
    position = {customer: index for index, customer in enumerate(network.directory)}
    for outlet in network.outlets.values():
        points = report.scorecard.event_points(outlet.events)
        for customer, row in zip(outlet.events.keys["customer"], points, strict=True):
            if customer in position:
                expected[position[customer]] += row
    np.testing.assert_allclose(report.points.values.reshape(-1, 3), expected, atol=0.1)


def test_an_outlet_that_is_down_is_simply_not_in_the_sum() -> None:
    silent = 1001

    def drop(node: int, message: object) -> bool:
        kind = message.metadata.message_type  # type: ignore[attr-defined]
        return node == silent and kind == "query.release"

    report = run(small_network(drop=drop))
    assert report.ended == "complete"
    assert len(report.cohort) == 4
    assert {step.outlets for step in report.steps} == {3}
    first, *rest = [step.failures for step in report.steps]
    assert first == {"no answer": 1}
    assert not any(rest)  # who fell silent is not asked, nor waited for, again tonight


def test_fewer_outlets_than_the_quorum_end_the_night_and_cost_nothing() -> None:
    network = small_network(drop=lambda node, _message: node in (1001, 1002))
    report = run(network)
    assert report.ended == "QuorumNotMet: roll call: 2 outlets answered, expected at least 3"
    assert network.ledger().entries == ()


def test_a_night_that_would_overspend_is_not_begun_and_says_so() -> None:
    network = small_network()
    assert run(network, "n1").ended == "complete"
    charged = network.ledger().entries
    report = run(network, "n2")
    assert report.ended.startswith("BudgetExceeded: budget for moments: requested rho 0.0036")
    assert report.steps == []
    assert network.ledger().entries == charged


def test_an_outlet_with_another_key_than_hqs_list_is_left_out() -> None:
    network = small_network()
    name, outlet = next(iter(network.outlets.items()))
    impostor = replace(outlet, key=SigningKey.generate())
    network = replace(network, outlets={**network.outlets, name: impostor})
    report = run(network)  # HQ's list has the new key, the app signs with the old one
    assert report.ended == "complete"
    assert report.steps[0].failures == {"does not verify": 1}
    assert report.steps[0].outlets == 3


def test_a_vector_tampered_with_on_the_way_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    release = FlowerLink.release

    def tamper(self: FlowerLink, nodes: list[int], question: dict[str, bytes]) -> Replies:
        replies = release(self, nodes, question)
        shares = dict(replies.shares)
        share = shares[nodes[0]]
        shares[nodes[0]] = replace(share, vector=share.vector + np.uint64(1))
        return replace(replies, shares=shares)

    monkeypatch.setattr(FlowerLink, "release", tamper)
    report = run(small_network())
    assert {step.outlets for step in report.steps} == {3}


class Killed(BaseException):
    """Stands for a power cut."""


@pytest.mark.parametrize("step", ["add_plan", "add_sum", "add_values", "save_scorecard"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("occurrence", [1, 2])
def test_a_night_killed_at_any_step_ends_under_its_name_with_the_same_charges(
    monkeypatch: pytest.MonkeyPatch, step: str, when: str, occurrence: int
) -> None:
    network = small_network()
    original = getattr(HqStore, step)
    seen = 0

    def dying(self: HqStore, *args: object) -> None:
        nonlocal seen
        seen += 1
        if seen == occurrence and when == "before":
            raise Killed
        original(self, *args)
        if seen == occurrence:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(HqStore, step, dying)
        with pytest.raises(Killed):
            run(network)
    report = run(network)
    assert report.ended == "complete"
    charged = [e.release for e in network.ledger().entries if e.release]
    assert len(charged) == len(set(charged)) == 5
    again = run_again_is_the_same(network)
    assert report.scorecard == again.scorecard


def run_again_is_the_same(network: Network) -> NightReport:
    """A finished night run once more reads its releases from the store."""
    charged = network.ledger().entries
    report = run(network)
    assert network.ledger().entries == charged
    return report


def test_a_kill_while_the_office_is_asked_repeats_the_same_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_network()
    unlock = type(network.office).unlock
    asked = []

    def once_lost(self: object, digest: str, envelopes: object) -> object:
        answer = unlock(self, digest, envelopes)  # type: ignore[arg-type]
        asked.append((digest, envelopes, answer))
        if len(asked) == 1:
            raise Killed
        return answer

    monkeypatch.setattr(type(network.office), "unlock", once_lost)
    with pytest.raises(Killed):
        run(network)
    assert run(network).ended == "complete"
    assert asked[0] == asked[1]


def test_hq_asks_no_second_answer_from_an_outlet_that_answered() -> None:
    network = small_network()
    run(network)
    outlet = network.outlets["O1"]
    checkpoint = network.hq_store.checkpoint(f"n1/{TARGET}/001-moments")
    assert checkpoint is not None
    plan = ReleasePlan.decode(checkpoint.signed.payload)
    question = {"plan": checkpoint.signed.payload, "plan_signature": checkpoint.signed.signature}
    first, second = outlet.answer(question), outlet.answer(question)
    assert first.vector.tobytes() == second.vector.tobytes()
    assert first.envelope == second.envelope
    with pytest.raises(AnswerRefused, match="another set"):
        network.office.unlock(checkpoint.signed.digest, [first.envelope])
    assert plan.purpose is Purpose.MOMENTS


def test_a_night_resumed_for_another_outcome_or_with_other_settings_is_refused() -> None:
    network = small_network()
    assert run(network).ended == "complete"
    other = network.settings.hq.model_copy(update={"step": 1.0})
    changed = replace(network, settings=replace(network.settings, hq=other))
    assert run(changed).ended.startswith("AnotherNight: release n1/y_loyal/003-training")
    report = network.night("n1", str(CUT_OFF), "y_lapsed", points=True)
    assert report.ended.startswith("PlanRefused")
    assert report.scorecard is None


def test_two_processes_on_one_night_cannot_draw_hqs_noise_twice() -> None:
    network = small_network()
    stored = []
    add_sum = HqStore.add_sum

    def twice(self: HqStore, release: str, aggregate: Aggregate, noise: np.ndarray) -> None:
        add_sum(self, release, aggregate, noise)
        stored.append(noise)
        add_sum(self, release, aggregate, noise + 1)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(HqStore, "add_sum", twice)
        report = run(network)
    assert report.ended.startswith("NightTwice")
    checkpoint = network.hq_store.checkpoint(f"n1/{TARGET}/001-moments")
    assert checkpoint is not None
    assert checkpoint.noise is not None
    assert checkpoint.noise.tolist() == stored[0].tolist()


def test_an_outlet_whose_seed_does_not_open_is_left_out_and_the_night_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_network()
    bad = network.outlets["O2"]
    answer = Outlet.answer

    def sabotage(self: Outlet, question: dict[str, bytes]) -> MaskedShare:
        share = answer(self, question)
        if self.name != bad.name:
            return share
        unsigned = replace(share.envelope, sealed_seed=bytes(80))
        plan_digest = digest(question["plan"])
        signature = self.key.sign(*_statement(plan_digest, unsigned))
        return replace(share, envelope=replace(unsigned, signature=signature))

    monkeypatch.setattr(Outlet, "answer", sabotage)
    report = run(network)
    assert report.ended == "complete"
    assert {step.outlets for step in report.steps} == {3}
    assert all(step.failures == {"seed at fault": 1} for step in report.steps)


def test_what_an_outlet_says_in_an_error_is_its_type_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = small_network()
    answer = Outlet.answer

    def fail(self: Outlet, question: dict[str, bytes]) -> MaskedShare:
        if self.name == "O2":
            raise KeyError("+65 9123 4567")
        return answer(self, question)

    monkeypatch.setattr(Outlet, "answer", fail)
    report = run(network)
    assert report.ended == "complete"
    assert {tuple(step.failures.items()) for step in report.steps} == {(("KeyError", 1),)}
    assert "9123" not in caplog.text


def test_a_reply_without_a_record_is_a_failure_and_not_a_crash() -> None:
    network = small_network()
    mute = ClientApp()

    @mute.query("roll_call")
    def roll_call(message: Message, _context: Context) -> Message:
        return Message(RecordDict({"answer": ConfigRecord({"outlet": "O1"})}), reply_to=message)

    @mute.query("release")
    def release(message: Message, _context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    @mute.query("goodnight")
    def goodnight(message: Message, _context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    network.grid._apps = {**network.grid._apps, 1000: mute}
    report = run(network)
    assert report.ended == "complete"
    assert report.steps[0].failures == {"malformed": 1}


@pytest.mark.statistical
def test_what_hq_records_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chi-squared over bytes of every masked vector HQ receives, and of their sums.

    About 40,000 bytes in 256 cells; false alarms 1 in 10^6 each for vectors and sums.
    """
    vectors: list[bytes] = []
    sums: list[bytes] = []
    collect, add_sum = Combiner._collect, HqStore.add_sum

    def record(self: Combiner, *args: object) -> object:
        shares = collect(self, *args)  # type: ignore[arg-type]
        vectors.extend(share.vector.tobytes() for share in shares)
        return shares

    def record_sum(self: HqStore, release: str, aggregate: object, noise: object) -> None:
        sums.append(aggregate.masked_sum.tobytes())  # type: ignore[attr-defined]
        add_sum(self, release, aggregate, noise)  # type: ignore[arg-type]

    monkeypatch.setattr(Combiner, "_collect", record)
    monkeypatch.setattr(HqStore, "add_sum", record_sum)
    run(small_network(epsilon=None))
    for recorded in (b"".join(vectors), b"".join(sums)):
        counts = np.bincount(np.frombuffer(recorded, dtype=np.uint8), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-6
    plain = small_network(epsilon=None).outlets["O1"].home.x.astype("<i8").tobytes()
    unmasked = np.bincount(np.frombuffer(plain, dtype=np.uint8), minlength=256)
    assert stats.chisquare(unmasked).pvalue < 1e-6  # the test would notice


def test_the_offices_floor_stands_against_hqs_quorum() -> None:
    network = small_network()
    strict = replace(
        network.office,
        settings=OfficeSettings(minimum_outlets=5, noiseless=frozenset({Purpose.POINTS})),
    )
    report = run(replace(network, office=strict))
    assert report.ended.startswith("PlanRefused")
    assert "expected at least 5" in report.ended
