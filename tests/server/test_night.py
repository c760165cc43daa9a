"""Whole nights in one process, without bands: who is in a sum, and what a refusal ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from pydantic import ValidationError

from features.events import DIMENSION, RATES
from features.learning import (
    Whitening,
    gradient_rows,
    moments_rows,
    read_usual,
    usual_rows,
)
from features.scorecard import Scorecard
from outlet_client.contribution.contributions import Outlet
from privacy.envelopes import SigningKey, digest
from privacy.purposes import Purpose
from privacy.two_key_sum import MaskedShare, _statement
from server.hq.flower_link import FlowerLink, Replies
from server.hq.night import CUSTOMER_SCALE
from server.hq.settings import HqSettings
from tests.networks import (
    CUT_OFF,
    SECOND,
    TARGET,
    small_network,
    small_world,
)
from tests.server.banded_nights import (
    plan_of,
    run,
    values_of,
)


def test_a_night_without_bands_ends_with_a_scorecard_and_an_evaluation() -> None:
    network = small_network()
    report = run(network)
    assert report.ended == "complete"
    assert [step.purpose for step in report.steps] == [
        Purpose.USUAL, Purpose.MOMENTS, Purpose.TRAINING, Purpose.TRAINING, Purpose.EVALUATION
    ]  # fmt: skip
    assert list(report.scorecards) == list(report.evaluations) == [TARGET]
    assert (report.calibrations, report.book) == ({}, None)
    assert all(step.outlets == 4 and not step.failures for step in report.steps)
    stored = network.hq_store.scorecard("n1", TARGET)
    assert stored == report.scorecards[TARGET].encode()


def test_a_training_costs_its_epsilon_and_no_more() -> None:
    network = small_network(epsilon=1.0)
    run(network)
    ledger = network.ledger()
    assert ledger.open_nights() == ()
    spent = ledger.epsilon(int(network.office.clock()))
    assert spent is not None
    assert 0.999 <= spent <= 1.0


def test_without_noise_the_released_sums_are_exact() -> None:
    network = small_network(epsilon=None, outcomes=(TARGET, SECOND))
    assert network.night("n1", str(CUT_OFF), TARGET, SECOND).ended == "complete"
    homes = [outlet.home for outlet in network.outlets.values()]
    close = len(small_world().customers) * 2**-19
    released = values_of(network, "n1/001-usual")
    exact = sum(usual_rows(home.sums).sum(axis=0) for home in homes)
    np.testing.assert_allclose(released, exact, atol=close)
    usual = read_usual(released, 0.0)
    assert (usual > 0).any()
    released = values_of(network, "n1/002-moments")
    exact = sum(moments_rows(home.sums.vectors(usual)).sum(axis=0) for home in homes)
    np.testing.assert_allclose(released, exact, atol=close)
    space = Whitening.of(released, 0.0)
    norm = plan_of(network, "n1/003-training").norm / CUSTOMER_SCALE
    assert norm == pytest.approx(space.gradient_norm * 2**0.5, abs=1 / CUSTOMER_SCALE)
    begun = [Scorecard.of(outcome, np.zeros(DIMENSION), usual) for outcome in (TARGET, SECOND)]
    exact = sum(
        gradient_rows(home.sums, [home.y[TARGET], home.y[SECOND]], begun, space.matrix, norm).sum(
            axis=0
        )
        for home in homes
    )
    np.testing.assert_allclose(values_of(network, "n1/003-training"), exact, atol=close)
    assert (read_usual(values_of(network, "n1/001-usual"), 1e6) == np.zeros(RATES)).all()


def test_a_scorecard_says_what_the_usual_event_of_its_network_is() -> None:
    network = small_network(epsilon=None)
    report = run(network)
    usual = read_usual(values_of(network, "n1/001-usual"), 0.0)
    assert report.scorecards[TARGET].usual == tuple(usual.tolist())


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
    daily = network.settings.hq.model_copy(update={"train_days": 0.0})
    network = replace(network, settings=replace(network.settings, hq=daily))
    report = run(network, "n2")
    assert report.ended == "complete"
    cost = network.settings.hq.costs()[Purpose.USUAL]
    assert cost is not None
    asked = f"budget for usual: requested rho {float(cost):g}, remaining "
    assert any(why.startswith(asked) for why in report.skipped)
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
    alone = {"left out with others that are away": 1}  # no later sum may tell its part either
    assert [step.failures for step in report.steps] == [{"seed at fault": 1}, *[alone] * 4]


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


def test_the_offices_floor_stands_against_hqs_quorum() -> None:
    network = small_network()
    strict = replace(
        network.office,
        settings=network.office.settings.model_copy(update={"minimum_outlets": 5}),
    )
    report = run(replace(network, office=strict))
    assert report.ended == "QuorumNotMet: sums: 4 outlets answered, expected at least 5"


def test_shares_without_one_of_their_uses_are_refused_by_name() -> None:
    shares = {"moments": "0.2", "training": "0.5", "evaluation": "0.05", "calibration": "0.2"}
    with pytest.raises(ValidationError, match="expected one of usual too, 0 for none"):
        HqSettings.model_validate({"shares": shares})
