"""Whole nights in one process: who is in a sum, what a refusal ends, what a kill leaves."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from pydantic import ValidationError
from scipy import stats

from features.bands import SCHEMES, BandPolicy
from features.calibration import calibration_dimension, calibration_rows, fine_bins, middle
from features.events import DIMENSION, RATES
from features.learning import (
    Whitening,
    gradient_rows,
    moments_rows,
    read_usual,
    usual_rows,
)
from features.outcomes import Outcome
from features.scorecard import Scorecard, encode_scorecards
from outlet_client.contribution.contributions import Outlet
from privacy.budget import LedgerAct
from privacy.envelopes import SigningKey, digest
from privacy.errors import AnswerRefused
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import NightPlan, ReleasePlan
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, most_counted
from privacy.two_key_sum import Aggregate, MaskedShare, _statement
from sandbox.clear_sum import ClearSum
from sandbox.network import LocalOffice, MemoryLibrary, Settings, home_key
from server.hq.combine import Combiner
from server.hq.flower_link import FlowerLink, Replies
from server.hq.night import CUSTOMER_SCALE
from server.hq.settings import HqSettings
from server.hq.store import HqStore
from tests.builders import Clock
from tests.networks import (
    CUT_OFF,
    SECOND,
    TARGET,
    banded_settings,
    small_network,
    small_world,
)

if TYPE_CHECKING:
    from sandbox.network import Network
    from sandbox.world import World
    from server.hq.model_store import StandingModel
    from server.hq.report import NightReport
    from server.hq.seal_store import StoredSeal


def run(network: Network, name: str = "n1") -> NightReport:
    return network.night(name, str(CUT_OFF), TARGET)


def values_of(network: Network, release: str) -> np.ndarray:
    checkpoint = network.hq_store.checkpoint(release)
    assert checkpoint is not None
    assert checkpoint.values is not None
    return checkpoint.values


def plan_of(network: Network, release: str) -> ReleasePlan:
    checkpoint = network.hq_store.checkpoint(release)
    assert checkpoint is not None
    return ReleasePlan.decode(checkpoint.signed.payload)


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
    assert report.scorecards == again.scorecards


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
    checkpoint = network.hq_store.checkpoint("n1/001-usual")
    assert checkpoint is not None
    plan = ReleasePlan.decode(checkpoint.signed.payload)
    question = {"plan": checkpoint.signed.payload, "plan_signature": checkpoint.signed.signature}
    first, second = outlet.answer(question), outlet.answer(question)
    assert first.vector.tobytes() == second.vector.tobytes()
    assert first.envelope == second.envelope
    with pytest.raises(AnswerRefused, match="another set"):
        network.office.unlock(checkpoint.signed.digest, [first.envelope])
    assert plan.purpose is Purpose.USUAL


def test_a_night_resumed_for_another_outcome_or_with_other_settings_is_refused() -> None:
    network = small_network()
    assert run(network).ended == "complete"
    other = network.settings.hq.model_copy(update={"starting": {TARGET: Outcome.LOYAL}})
    changed = replace(network, settings=replace(network.settings, hq=other))
    # another start has another usual event where noise covers the network's own
    begun = ("AnotherNight: release n1/002-moments", "AnotherNight: release n1/003-training")
    assert run(changed).ended.startswith(begun)
    report = network.night("n1", str(CUT_OFF), SECOND)
    assert report.ended.startswith("AnotherNight: release n1/001-usual")
    assert not report.scorecards


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
    checkpoint = network.hq_store.checkpoint("n1/001-usual")
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


# --- two outcomes, calibration, bands -------------------------------------------------------


def banded(
    epsilon: float | None = None,
    clock: Clock | None = None,
    office: dict[str, object] | None = None,
    world: World | None = None,
    **hq: object,
) -> Network:
    """A network whose nights end with a book of two scores."""
    made = banded_settings(epsilon, 2)
    settings = replace(
        made,
        office=made.office.model_copy(update=office or {}),
        hq=made.hq.model_copy(update=hq),
    )
    return small_network(
        settings=settings, outcomes=(TARGET, SECOND), world=world,
        clock=Clock() if clock is None else clock,
    )  # fmt: skip


def night(network: Network, name: str = "n1", policy: BandPolicy | None = None) -> NightReport:
    return network.night(name, str(CUT_OFF), TARGET, SECOND, bands=True, policy=policy)


def with_hq(network: Network, **changes: object) -> Network:
    """The same network under other settings of HQ's."""
    hq = network.settings.hq.model_copy(update=changes)
    return replace(network, settings=replace(network.settings, hq=hq))


def models(network: Network) -> list[StandingModel]:
    found = network.hq_store.models((TARGET, SECOND))
    assert found
    return found


def standing(network: Network) -> StoredSeal:
    found = network.hq_store.standing_seal()
    assert found is not None
    return found


def stands(network: Network) -> list[object]:
    """All that stands after a night, and what it was charged."""
    said: list[object] = [(m.outcome, m.night, m.scorecard, m.cuts) for m in models(network)]
    entries = network.ledger().entries
    said.append([(e.release, e.purpose, e.rho) for e in entries if e.act is LedgerAct.CHARGE])
    judged = [network.hq_store.calibration(outcome) for outcome in (TARGET, SECOND)]
    said.extend((c.night, c.release, c.judgement) for c in judged if c is not None)
    seal = standing(network)
    said.append((seal.release, seal.outlets, seal.draft.cuts, seal.draft.as_of))
    return said


def read(network: Network, place: int = -1) -> list[dict[str, str]]:
    """Every customer's bands, read as an outlet reads them that can compute the token."""
    return network.bands(network.book(place))


def clear_sum(network: Network) -> ClearSum:
    """What all parts add up to, under the scorecards that stand and the outlets' own dithers."""
    cards = [Scorecard.decode(model.scorecard) for model in models(network)]
    keys = [home_key(customer).slot_key.public for customer in network.customers]
    dithers = {
        name: outlet.dither.of_slots(keys, [TARGET, SECOND])
        for name, outlet in network.outlets.items()
    }
    return ClearSum.of_world(cards, small_world(), dithers)


def clear_bands(network: Network) -> list[dict[str, str]]:
    """Every customer's bands as the clear sum has them."""
    clear, found = clear_sum(network), []
    for place, model in enumerate(models(network)):
        assert model.cuts is not None
        scheme = SCHEMES[Outcome.named(model.outcome)]
        places = clear.bands(place, model.cuts).tolist()
        found.append([(scheme.name, scheme.bands[band]) for band in places])
    return [dict(row) for row in zip(*found, strict=True)]


WHOLE = [
    Purpose.USUAL, Purpose.MOMENTS, Purpose.TRAINING, Purpose.TRAINING, Purpose.EVALUATION,
    Purpose.POINTS, Purpose.CALIBRATION, Purpose.POINTS,
]  # fmt: skip


@pytest.mark.parametrize("epsilon", [None, 2.0])
def test_a_night_of_two_outcomes_ends_with_a_book_of_the_clear_sums_bands(
    epsilon: float | None,
) -> None:
    network = banded(epsilon)
    report = night(network)
    assert (report.ended, report.skipped) == ("complete", [])
    assert [step.purpose for step in report.steps] == WHOLE
    names = [f"n1/{place:03d}-{purpose}" for place, purpose in enumerate(WHOLE, start=1)]
    assert [step.release for step in report.steps] == names
    assert all(step.outlets == 4 and not step.failures for step in report.steps)
    assert list(report.scorecards) == list(report.evaluations) == [TARGET, SECOND]
    assert list(report.calibrations) == [TARGET, SECOND]
    book = network.book()
    assert (book.version, book.slots, book.seal.sealed) == (report.book, 335, 335)
    assert (book.as_of, standing(network).release) == (str(CUT_OFF), names[-1])
    for model in models(network):
        assert model.cuts == report.calibrations[model.outcome].cuts
    assert read(network) == clear_bands(network)
    least = 3 if epsilon is None else 1  # noise may move a cut beyond everybody
    assert len({tuple(found.values()) for found in read(network)}) > least
    fine = network.hq_store.seal(names[5])
    assert fine is not None
    assert (fine.entries, fine.book) == (None, None)  # it was counted
    assert fine.book_digest == plan_of(network, names[6]).attachment


def test_without_noise_calibration_counts_every_home_customer_by_its_own_scores() -> None:
    network = banded()
    night(network)
    clear = clear_sum(network)
    bins = np.stack(
        [
            fine_bins(clear.parts[:, place], middle(card, model.second))
            for place, (card, model) in enumerate(zip(clear.cards, models(network), strict=True))
        ],
        axis=1,
    )
    assert all(len(set(column)) > 2 for column in bins.T.tolist())
    exact = np.zeros(calibration_dimension(2))
    for outlet in network.outlets.values():
        home = outlet.home
        y = np.stack([home.y[TARGET], home.y[SECOND]], axis=1)
        exact += calibration_rows(bins[home.slots], y).sum(axis=0)
    np.testing.assert_allclose(values_of(network, "n1/007-calibration"), exact, atol=1e-3)
    assert exact.sum() == 2 * network.directory.slots


def test_both_outcomes_share_every_release() -> None:
    network = banded()
    night(network)
    usual = read_usual(values_of(network, "n1/001-usual"), 0.0)
    first, second = (plan_of(network, f"n1/{place:03d}-training") for place in (3, 4))
    assert first.attachment == second.attachment != ""
    begun = [Scorecard.of(outcome, np.zeros(DIMENSION), usual) for outcome in (TARGET, SECOND)]
    assert first.scorecard == digest(encode_scorecards(begun))
    assert second.scorecard != first.scorecard
    trained = [Scorecard.decode(model.scorecard) for model in models(network)]
    for release in ("n1/005-evaluation", "n1/007-calibration"):
        assert plan_of(network, release).scorecard == digest(encode_scorecards(trained))
    for release in ("n1/006-points", "n1/008-points"):
        seal = network.hq_store.seal(release)
        assert seal is not None
        assert (seal.draft.scorecard, seal.draft.scores) == (digest(encode_scorecards(trained)), 2)
    made = [len(charged(network, purpose)) for purpose in dict.fromkeys(WHOLE)]
    assert made == [1, 1, 2, 1, 0, 1]  # seals cost nothing


@pytest.mark.parametrize("outcomes", [(TARGET,), (TARGET, SECOND)])
@pytest.mark.parametrize("trainings", [12, 4])
def test_a_training_night_makes_twelve_releases_and_costs_a_customer_its_part_of_the_year(
    outcomes: tuple[str, ...], trainings: int
) -> None:
    """However many outcomes are trained; in exact fractions, as the ledger counts."""
    settings = Settings.of_a_year(trainings)
    network = small_network(settings=settings, outcomes=outcomes)
    report = network.night("n1", str(CUT_OFF), *outcomes, bands=True)
    assert (report.ended, report.skipped) == ("complete", [])
    assert len(report.steps) == 12
    year = EpsilonDelta(settings.hq.epsilon, settings.hq.delta).rho()
    ledger, at = network.ledger(), int(network.office.clock())
    known = network.hq_store.night("n1")
    assert known is not None
    planned = {line.purpose: line for line in NightPlan.decode(known[0].payload).releases}
    shares = settings.hq.shares
    for purpose, share in shares.items():
        line, spent = planned[purpose], ledger.spent(purpose, at)
        assert line.rho is not None
        assert line.count * line.rho == year * share / trainings
        assert 0.999 * float(line.count * line.rho) < float(spent)
        assert spent <= line.count * line.rho
        assert settings.office.shares[purpose] == share
    promised = Rho(year * sum(shares.values()) / trainings)
    spent = ledger.spent_in_year(at)
    assert 0.999 * float(promised) < float(spent)
    assert spent <= promised
    assert trainings * spent <= year
    assert set(planned) == {*shares, Purpose.POINTS}
    assert (planned[Purpose.POINTS].count, planned[Purpose.POINTS].rho) == (2, None)


def charged(network: Network, purpose: Purpose) -> list[str]:
    entries = network.ledger().entries
    return [e.release for e in entries if e.act is LedgerAct.CHARGE and e.purpose is purpose]


def test_the_next_night_makes_neither_scorecard_nor_seal_and_says_why_but_a_new_book() -> None:
    network = banded(2.0)
    night(network)
    before, entries = stands(network), len(network.ledger().entries)
    report = night(network, "n2")
    assert report.ended == "complete"
    assert report.skipped == [
        f"training: the last was less than {network.settings.hq.train_days:g} days ago",
        f"bands: the last were sealed less than {network.settings.hq.band_days:g} days ago",
    ]
    assert report.steps == []
    assert stands(network) == before
    assert len(network.ledger().entries) == entries
    first, second = network.book(0), network.book(1)
    assert report.book == second.version > first.version
    assert (second.seal, second.as_of) == (first.seal, first.as_of)
    assert second.body == first.body  # the same entries, byte for byte: nobody left or came
    assert read(network, 0) == read(network, 1)


def test_before_the_first_seal_there_is_no_book() -> None:
    network = banded()
    network.grid._drop = lambda node, _message: node in (1001, 1002)
    report = night(network)
    assert report.ended.startswith("QuorumNotMet")
    assert (report.book, report.skipped, network.shelf.books) == (None, [], [])


@pytest.mark.parametrize(("days", "releases"), [(6, []), (7, ["n2/001-points"])])
def test_bands_are_sealed_a_week_after_the_last_seal(days: int, releases: list[str]) -> None:
    clock = Clock()
    network = banded(clock=clock)
    reports = []
    for name, day in (("n1", "2026-01-20"), ("n2", f"2026-01-{20 + days}")):
        asked = name, str(CUT_OFF), TARGET, SECOND
        reports.append(network.night(*asked, bands=True, as_of=day))
        clock.at += days * 86_400
    assert [report.ended for report in reports] == ["complete"] * 2
    assert [step.release for step in reports[1].steps] == releases
    assert network.book().as_of == f"2026-01-{20 + (days if releases else 0)}"
    assert read(network) == clear_bands(network)


def test_an_outlet_that_is_away_for_a_night_still_counts_in_its_book() -> None:
    network = with_hq(banded(), band_days=0.0)
    assert night(network).ended == "complete"
    network.grid._drop = lambda node, message: (
        node == 1001 and message.metadata.message_type == "query.release"
    )
    report = night(network, "n2")
    assert report.ended == "complete"
    assert [(step.release, step.outlets) for step in report.steps] == [("n2/001-points", 4)]
    assert report.steps[0].failures == {"no answer": 1}
    assert read(network) == clear_bands(network)


def test_an_outlet_that_comes_after_the_first_seal_is_in_the_next() -> None:
    network = with_hq(banded(), band_days=0.0)
    network.grid._drop = lambda node, _message: node == 1001
    assert night(network).steps[-1].outlets == 3
    network.grid._drop = lambda _node, _message: False
    assert night(network, "n2").steps[-1].outlets == 4
    assert read(network) == clear_bands(network)


def test_scorecards_without_a_calibration_are_calibrated_before_anything_is_sealed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a night whose seal for calibration failed."""
    network = banded()

    def failing(*_: object) -> object:
        raise AnswerRefused("office: not today")

    with monkeypatch.context() as patched:
        patched.setattr(LocalOffice, "store_set", failing)
        report = night(network)
    assert report.ended == "AnswerRefused: office: not today"
    assert [step.purpose for step in report.steps] == WHOLE[:5]
    assert {model.cuts for model in models(network)} == {None}
    assert network.shelf.books == []
    report = night(network, "n2")
    assert report.ended == "complete"
    assert [step.release for step in report.steps] == [
        "n2/001-points", "n2/002-calibration", "n2/003-points"
    ]  # fmt: skip
    assert read(network) == clear_bands(network)


def test_new_scorecards_wait_for_their_calibration_and_until_then_the_last_book_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = banded(office={"cut_days": 0})
    night(network)
    first = network.book()
    often = with_hq(network, train_days=0.0)

    def failing(*_: object) -> object:
        raise AnswerRefused("office: not today")

    with monkeypatch.context() as patched:
        patched.setattr(LocalOffice, "store_set", failing)
        report = night(often, "n2")
    assert report.ended == "AnswerRefused: office: not today"
    assert {model.night for model in models(network)} == {"n2"}
    second = network.book()
    assert (report.book, second.seal) == (second.version, first.seal)
    assert read(network) == read(network, 0)


def test_nothing_is_trained_or_calibrated_while_the_office_would_refuse_its_seal() -> None:
    """Five of eight are there: nothing is charged, and bands go on by carrying the others."""
    limits: dict[str, object] = {"cut_days": 0, "seals_a_week": 3}
    network = banded(office=limits, band_days=0.0, world=small_world(8, 200))
    assert night(network).steps[-1].outlets == 8
    away = {1005, 1006, 1007}
    network.grid._drop = lambda node, _message: node in away
    before, entries = models(network), network.ledger().entries
    report = night(with_hq(network, train_days=0.0), "n2")
    assert (report.ended, len(report.cohort)) == ("complete", 5)
    few = "5 of the 8 outlets of the last seal are there, expected 6"
    assert report.skipped == [f"training: {few}"]
    assert [(step.release, step.outlets) for step in report.steps] == [("n2/001-points", 8)]
    assert [model.cuts for model in models(network)] == [model.cuts for model in before]
    for model in before:
        network.hq_store.save_model(replace(model, cuts=None))
    report = night(network, "n3")
    assert report.ended == "complete"
    assert report.skipped[1:] == [f"calibration: {few}; the last book stays"]
    assert report.steps == []
    assert network.book().seal == network.book(-2).seal
    assert network.ledger().entries == entries
    away.remove(1005)
    report = night(with_hq(network, train_days=0.0), "n4")
    assert (report.ended, report.skipped) == ("complete", [])
    assert [step.purpose for step in report.steps] == WHOLE
    assert {step.outlets for step in report.steps} == {6}
    assert len(network.ledger().entries) > len(entries)


def test_a_ledger_that_holds_no_calibration_seals_nothing_and_the_report_says_so() -> None:
    network = banded(2.0)
    night(network)
    for model in models(network):
        network.hq_store.save_model(replace(model, cuts=None))
    report = night(with_hq(network, band_days=0.0), "n2")
    assert report.ended == "complete"
    assert report.skipped[1].startswith("budget for calibration: requested rho")
    assert report.skipped[2] == "bands: no scorecard is calibrated; the last book stays"
    assert report.steps == []
    assert network.book().seal == network.book(0).seal


def test_other_cuts_are_sealed_at_once_and_refused_by_the_office_too_soon_or_uncalibrated() -> None:
    network = banded()
    night(network)
    before = read(network)
    for model in models(network):
        network.hq_store.save_model(replace(model, cuts=(-40, 40)))
    report = night(network, "n2")
    assert "cuts 0.0 days after the last change" in report.ended
    assert report.book == network.book().version
    assert read(network) == before


def test_a_seal_that_failed_is_told_by_the_night_and_the_last_book_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    network = banded(clock=clock, band_days=0.0)
    night(network)
    with monkeypatch.context() as patched:
        patched.setattr(LocalOffice, "seal_chunk", lambda *_: iter([b"no tables"]))
        report = night(network, "n2")
    assert report.ended.startswith("TransferFailed: release n2/001-points: got 9 bytes of tables")
    assert report.steps == []
    assert (report.book, network.book().seal) == (network.book().version, network.book(0).seal)
    assert "2 band seals within 7 days" in night(network, "n3").ended  # also one that failed
    clock.at += 7 * 86_400
    assert night(network, "n4").ended == "complete"
    assert network.book().seal != network.book(0).seal


def test_slots_of_too_many_outlets_are_marked_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    network = banded()
    most = most_counted(335)
    many = np.where(np.arange(335) % 5 == 0, most + 1, most)
    slots = replace(network.known_slots(), registrations=many)
    monkeypatch.setattr(type(network), "known_slots", lambda _self: slots)
    assert night(network).ended == "complete"
    entries = network.entries(network.book())
    assert [entry is not None and entry.many_outlets for entry in entries] == (many > most).tolist()
    counted = values_of(network, "n1/007-calibration").sum()
    known = 2 * (many <= most).sum()  # the bins of the others count as nothing
    assert counted == pytest.approx(known, abs=0.1)


KILLS = [
    *[("add_night", 1), ("add_plan", 1), ("add_plan", 6), ("add_sum", 1), ("add_sum", 6)],
    *[("add_values", 1), ("add_values", 2), ("add_values", 6)],
    *[("save_scorecard", 1), ("save_scorecard", 4)],
    *[("save_model", occurrence) for occurrence in range(1, 5)],
    *[("add_entries", 1), ("add_fine_book", 1), ("forget_fine_book", 1)],
    *[("save_calibration", 1), ("save_calibration", 2), ("add_entries", 2)],
    *[("draft", 1), ("countersign_book", 1), ("add_book", 1)],
]
"""Steps of a whole night: of HQ's store, its shelf, and the office's last one."""


@cache
def undisturbed() -> list[object]:
    network = banded()
    assert night(network).ended == "complete"
    return [*stands(network), read(network)]


def killed_at(
    monkeypatch: pytest.MonkeyPatch, network: Network, name: str, step: str, occurrence: int
) -> None:
    """Runs a banded night that dies after a step."""
    owner = next(one for one in (HqStore, MemoryLibrary, LocalOffice) if hasattr(one, step))
    original, seen = getattr(owner, step), 0

    def dying(self: object, *args: object) -> None:
        nonlocal seen
        seen += 1
        original(self, *args)
        if seen == occurrence:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dying)
        with pytest.raises(Killed):
            night(network, name)


@pytest.mark.parametrize(("step", "occurrence"), KILLS)
def test_a_killed_night_resumes_to_the_cuts_bands_and_charges_it_would_have_had(
    monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int
) -> None:
    network = banded()
    killed_at(monkeypatch, network, "n1", step, occurrence)
    drafted = network.shelf.drafted(network.directory.digest)
    assert night(network).ended == "complete"
    assert [*stands(network), read(network)] == undisturbed()
    if drafted is not None:  # the very book that was drafted
        assert network.shelf.drafted(network.directory.digest) == drafted
        assert network.shelf.books[-1].endswith(drafted)
    assert len(network.shelf.books) == 1


@pytest.mark.parametrize(
    ("step", "occurrence"),
    [("add_night", 1), ("add_sum", 6), ("add_fine_book", 1), ("save_model", 3), ("save_model", 4)],
)
def test_with_noise_too_a_resumed_night_stands_as_it_is_however_often_it_is_run(
    monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int
) -> None:
    network = banded(2.0)
    killed_at(monkeypatch, network, "n1", step, occurrence)
    assert night(network).ended == "complete"
    before, books = stands(network), list(network.shelf.books)
    releases = [e.release for e in network.ledger().entries if e.act is LedgerAct.CHARGE]
    assert len(releases) == len(set(releases)) == len(WHOLE) - 2
    assert night(network).ended == "complete"
    assert stands(network) == before
    assert network.shelf.books == books


def test_a_resumed_night_says_what_it_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    network = banded(band_days=0.0)
    night(network)
    killed_at(monkeypatch, network, "n2", "add_seal_sum", 1)
    report = night(network, "n2")
    assert report.ended == "complete"
    assert len(report.skipped) == 1
    assert report.skipped[0].startswith("training: the last was less than")


def test_a_ledger_that_holds_no_training_still_seals_bands_and_the_report_says_so() -> None:
    network = banded(2.0)
    night(network)
    before = {m.outcome: m for m in models(network)}
    report = night(with_hq(network, train_days=0.0, band_days=0.0), "n2")
    assert report.ended == "complete"
    assert len(report.skipped) == 1
    assert report.skipped[0].startswith("budget for usual: requested rho")
    assert [step.release for step in report.steps] == ["n2/001-points"]
    assert (report.scorecards, report.book) == ({}, network.book().version)
    for model in models(network):
        assert model.scorecard == before[model.outcome].scorecard
        assert model.cuts == before[model.outcome].cuts
    assert standing(network).release == "n2/001-points"
    assert read(network) == clear_bands(network)
    assert charged(network, Purpose.TRAINING) == [f"n1/{n:03d}-training" for n in (3, 4)]


def test_a_training_that_the_ledger_refuses_does_not_seal_bands_more_often() -> None:
    network = banded(2.0)
    night(network)
    report = night(with_hq(network, train_days=0.0), "n2")
    assert report.ended == "complete"
    assert report.steps == []
    assert report.book == network.book().version
    assert standing(network).release == "n1/008-points"


def test_a_night_of_too_few_outlets_still_publishes_a_book() -> None:
    network = banded()
    night(network)
    network.grid._drop = lambda node, _message: node in (1001, 1002)
    report = night(network, "n2")
    assert report.steps == []
    assert report.book == network.book().version  # a customer who withdrew since is gone from it


def test_what_is_reported_and_logged_of_seals_is_who_was_in_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    network = banded(2.0)
    report = night(network)
    seals = [step for step in report.as_json()["steps"] if step["purpose"] == "points"]  # type: ignore[attr-defined]
    assert [sorted(step) for step in seals] == [
        ["clipped_share", "failures", "outlets", "purpose", "release", "rho", "seconds",
         "signal_to_noise"]
    ] * 2  # fmt: skip
    for step in seals:
        assert (step["clipped_share"], step["rho"], step["signal_to_noise"]) == (None, None, None)
        assert (step["outlets"], step["failures"]) == (4, {})
    said = [one.getMessage() for one in caplog.records if one.name.startswith("server")]
    chunks = [f"n1/{place}-points: chunk 1 of 1" for place in ("006", "008")]
    assert [one for one in said if "points" in one] == chunks
    text = json.dumps(report.as_json()) + "\n".join(said)
    clear = clear_sum(network)
    for column in clear.parts.T.tolist():
        for place in range(0, len(column), 8):
            assert str(column[place : place + 4])[1:-1] not in text
    assert not any(customer in text for customer in network.customers)


@pytest.mark.statistical
def test_what_hq_records_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chi-squared over bytes of every masked vector HQ receives, of their sums, and of codes.

    About 40,000 bytes of vectors, 6,000 of sums in 256 cells, 1,000 codes in 4 and 670 in 16;
    false alarms 1 in 10^6 each.
    """
    vectors: list[bytes] = []
    sums: list[bytes] = []
    codes: dict[SealKind, list[np.ndarray]] = {kind: [] for kind in SealKind}
    collect, add_sum = Combiner.collect, HqStore.add_sum
    add_seal_sum, add_codes = HqStore.add_seal_sum, HqStore.add_codes

    def record(self: Combiner, *args: object) -> object:
        shares = collect(self, *args)  # type: ignore[arg-type]
        vectors.extend(share.vector.tobytes() for share in shares)
        return shares

    def record_sum(self: HqStore, release: str, aggregate: object, noise: object) -> None:
        sums.append(aggregate.masked_sum.tobytes())  # type: ignore[attr-defined]
        add_sum(self, release, aggregate, noise)  # type: ignore[arg-type]

    def record_seal(self: HqStore, release: str, aggregate: Aggregate) -> None:
        sums.append(aggregate.masked_sum.tobytes())
        add_seal_sum(self, release, aggregate)

    def record_codes(
        self: HqStore, release: str, chunk: int, picked: np.ndarray, *, last: bool
    ) -> None:
        seal = self.seal(release)
        assert seal is not None
        codes[seal.draft.kind].append(picked)
        add_codes(self, release, chunk, picked, last=last)

    monkeypatch.setattr(Combiner, "collect", record)
    monkeypatch.setattr(HqStore, "add_sum", record_sum)
    monkeypatch.setattr(HqStore, "add_seal_sum", record_seal)
    monkeypatch.setattr(HqStore, "add_codes", record_codes)
    network = banded()
    night(network)
    for kind, bits in ((SealKind.BAND, 2), (SealKind.FINE, 4)):
        picked = np.concatenate(codes[kind]).ravel()
        assert stats.chisquare(np.bincount(picked, minlength=1 << bits)).pvalue > 1e-6
    bare = np.array([e.codes for e in network.entries(network.book()) if e is not None]).ravel()
    assert stats.chisquare(np.bincount(bare, minlength=4)).pvalue < 1e-6  # it would notice
    for recorded in (b"".join(vectors), b"".join(sums)):
        counts = np.bincount(np.frombuffer(recorded, dtype=np.uint8), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-6
    home = small_network(epsilon=None).outlets["O1"].home
    plain = home.sums.vectors(np.zeros(RATES)).astype("<i8").tobytes()
    unmasked = np.bincount(np.frombuffer(plain, dtype=np.uint8), minlength=256)
    assert stats.chisquare(unmasked).pvalue < 1e-6  # the test would notice


def test_the_offices_floor_stands_against_hqs_quorum() -> None:
    network = small_network()
    strict = replace(
        network.office,
        settings=network.office.settings.model_copy(update={"minimum_outlets": 5}),
    )
    report = run(replace(network, office=strict))
    assert report.ended.startswith("PlanRefused")
    assert "expected at least 5" in report.ended


def test_shares_without_one_of_their_uses_are_refused_by_name() -> None:
    shares = {"moments": "0.2", "training": "0.5", "evaluation": "0.05", "calibration": "0.2"}
    with pytest.raises(ValidationError, match="expected one of usual too, 0 for none"):
        HqSettings.model_validate({"shares": shares})
