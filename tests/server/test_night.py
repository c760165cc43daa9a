"""Whole nights in one process: who is in a sum, what a refusal ends, what a kill leaves."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from pydantic import ValidationError
from scipy import stats

from features.bands import SCHEMES, BandPolicy, BandRefused, unpack
from features.calibration import calibration_dimension, calibration_rows, fine_bins
from features.events import DIMENSION, RATES, CustomerSums, event_features
from features.learning import (
    Whitening,
    gradient_rows,
    moments_rows,
    read_usual,
    usual_rows,
)
from features.noisy_points import COUNT_SHARE, SCALE
from features.outcomes import Outcome
from features.points import base_points, count_points, event_points
from features.scorecard import Scorecard, encode_scorecards
from outlet_client.contribution.contributions import Outlet
from privacy.books import Book, BookKind
from privacy.budget import LedgerAct
from privacy.envelopes import SigningKey, digest
from privacy.errors import AnswerRefused
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import NightPlan, ReleasePlan
from privacy.publications import Publishers
from privacy.published_books import PublishedBook, open_book
from privacy.two_key_sum import Aggregate, MaskedShare, _statement
from privacy.units import Purpose, Unit
from sandbox.network import Settings, home_key
from server.hq.combine import Combiner
from server.hq.flower_link import FlowerLink, Replies
from server.hq.night import CUSTOMER_SCALE, points_code
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
    from server.hq.model_store import StandingModel
    from server.hq.report import NightReport


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
    spent = ledger.epsilon(Unit.CUSTOMER, int(network.office.clock()))
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

    def once_lost(self: object, digest: str, envelopes: object, carried: object) -> object:
        answer = unlock(self, digest, envelopes, carried)  # type: ignore[arg-type]
        asked.append((digest, envelopes, carried, answer))
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
    noise: float = 0.0,
    clock: Clock | None = None,
    office: dict[str, object] | None = None,
    **hq: object,
) -> Network:
    """A network whose nights end with a book of two scores."""
    made = banded_settings(epsilon, 2, noise)
    settings = replace(
        made,
        office=made.office.model_copy(update=office or {}),
        hq=made.hq.model_copy(update=hq),
    )
    return small_network(
        settings=settings, outcomes=(TARGET, SECOND), clock=Clock() if clock is None else clock
    )


def night(network: Network, name: str = "n1", policy: BandPolicy | None = None) -> NightReport:
    return network.night(name, str(CUT_OFF), TARGET, SECOND, bands=True, policy=policy)


def with_hq(network: Network, **changes: object) -> Network:
    """The same network under other settings of HQ's."""
    hq = network.settings.hq.model_copy(update=changes)
    return replace(network, settings=replace(network.settings, hq=hq))


def models(network: Network) -> list[StandingModel]:
    found = [network.hq_store.model(outcome) for outcome in (TARGET, SECOND)]
    assert all(found)
    return [model for model in found if model is not None]


def stands(network: Network) -> list[object]:
    """All that stands after a night, and what it was charged."""
    said: list[object] = [
        (m.outcome, m.night, m.scorecard, m.cuts, m.banded_as_of, m.banded_by,
         None if m.bands is None else m.bands.tolist())
        for m in models(network)
    ]  # fmt: skip
    entries = network.ledger().entries
    said.append([(e.release, e.purpose, e.rho) for e in entries if e.act is LedgerAct.CHARGE])
    judged = [network.hq_store.calibration(outcome) for outcome in (TARGET, SECOND)]
    said.extend((c.night, c.release, c.judgement) for c in judged if c is not None)
    estimate = network.hq_store.estimate_before("another night")
    said.append(None if estimate is None else estimate.tolist())
    return said


def book_of(network: Network, place: int = -1) -> Book:
    """A book of the shelf, its signature checked."""
    return open_book(
        PublishedBook.decode(network.shelf.books[place]),
        Publishers(network.hq_key.public, network.office.key.public),
        newer_than=None,
        directory=network.directory_digest,
        not_before=int(network.office.clock()),
        kind=BookKind.BAND,
    )


def read(network: Network, book: Book) -> list[dict[str, str]]:
    """Every customer's bands, read as an outlet reads them that can compute the token."""
    keys = [home_key(customer).slot_key for customer in network.directory]
    return [unpack(book.read(slot, key)) for slot, key in enumerate(keys)]


def as_read(network: Network) -> list[dict[str, str]]:
    """The same from what HQ has stored."""
    names = ("eligibility", "flipper_risk")
    schemes = [SCHEMES[Outcome.named(model.outcome)] for model in models(network)]
    columns = [m.bands for m in models(network) if m.bands is not None]
    return [
        {name: scheme.bands[band] for name, scheme, band in zip(names, schemes, row, strict=True)}
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]


WHOLE = [
    Purpose.USUAL, Purpose.MOMENTS, Purpose.TRAINING, Purpose.TRAINING, Purpose.EVALUATION,
    Purpose.POINTS, Purpose.CALIBRATION, Purpose.POINTS,
]  # fmt: skip
AS_OF_CUT = "n1/006-points"


def assert_cuts_name_as_many_as_the_counts_said(network: Network, report: NightReport) -> None:
    """A book's bands begin where as many slots are above as calibration's cuts have above."""
    code, plan = points_code(models(network)), plan_of(network, AS_OF_CUT)
    values, noise_sd = values_of(network, AS_OF_CUT), 2**0.5 * plan.noise_scale / plan.scale
    alone = code.scores(values.reshape(-1, code.width))
    estimated = code.scores(code.estimate(values, noise_sd))
    for model, *scores in zip(models(network), alone, estimated, strict=True):
        stands, judged = model.cuts, report.calibrations[model.outcome].cuts
        assert stands is not None
        above = [
            [(score >= cut).sum() for cut in cuts]
            for score, cuts in zip(scores, (judged, stands), strict=True)
        ]
        assert above[0] == above[1]
        if not noise_sd:  # else they are anywhere
            assert 0 < above[0][-1] < above[0][0] < len(network.directory)


@pytest.mark.parametrize(("epsilon", "noise"), [(None, 0.0), (2.0, 0.5)])
def test_a_night_of_two_outcomes_ends_with_a_calibrated_book(
    epsilon: float | None, noise: float
) -> None:
    network = banded(epsilon, noise)
    report = night(network)
    assert (report.ended, report.skipped, report.book) == ("complete", [], 1)
    assert [step.purpose for step in report.steps] == WHOLE
    names = [f"n1/{place:03d}-{purpose}" for place, purpose in enumerate(WHOLE, start=1)]
    assert [step.release for step in report.steps] == names
    assert all(step.outlets == 4 and not step.failures for step in report.steps)
    assert list(report.scorecards) == list(report.evaluations) == [TARGET, SECOND]
    assert list(report.calibrations) == [TARGET, SECOND]
    assert_cuts_name_as_many_as_the_counts_said(network, report)
    book = book_of(network)
    assert (book.release, book.as_of, book.slots) == (
        names[-1],
        str(CUT_OFF),
        len(network.directory),
    )
    assert read(network, book) == as_read(network)
    assert all(model.banded_by == names[-1] for model in models(network))


def test_the_points_of_all_outlets_are_the_scores_of_all_records_but_for_events_over_the_cap() -> (
    None
):
    network = banded()
    assert night(network).ended == "complete"
    code = points_code(models(network))
    expected = np.zeros((len(network.directory), code.width))
    whole = np.ones(len(network.directory), dtype=bool)
    for outlet in network.outlets.values():
        view = outlet.views[str(CUT_OFF)]
        listed = view.slots >= 0
        rows, slots = code.rows(view.events)[listed], view.slots[listed]
        np.add.at(expected, slots, rows)
        shortened = np.linalg.norm(rows[:, :-1], axis=1) > (1 - COUNT_SHARE**2) ** 0.5 - 1e-9
        whole[slots[shortened]] = False
    sums = values_of(network, AS_OF_CUT).reshape(expected.shape)
    pooled = CustomerSums.of(event_features(small_world().snapshot), network.directory)
    assert (np.abs(sums - expected) <= pooled.counts[:, None] / SCALE + 1e-9).all()
    np.testing.assert_allclose(code.counts(expected), pooled.counts)
    assert 100 < whole.sum() < len(whole)
    at_home = np.ones(len(pooled), dtype=bool)
    for card, scores in zip(code.cards, code.scores(expected), strict=True):
        exact = event_points(card, pooled) + count_points(card, pooled.counts, at_home)
        np.testing.assert_allclose(scores[whole], base_points(card) + exact[whole], atol=1e-9)


def test_without_noise_calibration_counts_every_home_customer_by_its_own_scores() -> None:
    network = banded()
    night(network)
    found = models(network)
    code = points_code(found)
    scores = code.scores(values_of(network, AS_OF_CUT).reshape(-1, code.width))
    bins = np.stack(
        [
            fine_bins(score, card.centre(model.second))
            for score, card, model in zip(scores, code.cards, found, strict=True)
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
    assert exact.sum() == 2 * len(network.directory)


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
    made = [len(charged(network, purpose)) for purpose in dict.fromkeys(WHOLE)]
    assert made == [1, 1, 2, 1, 2, 1]


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
    spent = ledger.spent_in_unit(Unit.CUSTOMER, at)
    assert 0.999 * float(promised) < float(spent)
    assert spent <= promised
    assert trainings * spent <= year
    assert set(planned) == {*shares, Purpose.POINTS}


def charged(network: Network, purpose: Purpose) -> list[str]:
    entries = network.ledger().entries
    return [e.release for e in entries if e.act is LedgerAct.CHARGE and e.purpose is purpose]


def test_a_book_reads_as_bands_with_no_other_key() -> None:
    network = banded()
    night(network)
    book = book_of(network)
    keys = [home_key(customer).slot_key for customer in network.directory]
    wrong = 0
    for slot in range(book.slots):
        try:
            unpack(book.read(slot, keys[slot - 1]))
        except BandRefused:
            wrong += 1
    assert wrong > 0.8 * book.slots  # 15 in 16 of uniform bytes are refused


def test_the_next_night_makes_neither_scorecard_nor_bands_and_says_why_but_a_new_book() -> None:
    network = banded(2.0, 0.5)
    night(network)
    before, entries = stands(network), len(network.ledger().entries)
    report = night(network, "n2")
    assert report.ended == "complete"
    assert report.skipped == [
        f"training: the last was less than {network.settings.hq.train_days:g} days ago",
        f"bands: the last were made less than {network.settings.hq.band_days:g} days ago",
    ]
    assert (report.steps, report.book) == ([], 2)
    assert stands(network) == before
    assert len(network.ledger().entries) == entries
    first, second = book_of(network, 0), book_of(network, 1)
    assert (first.version, second.version) == (1, 2)
    assert (second.release, second.as_of) == (first.release, first.as_of)
    same = sum(a == b for a, b in zip(first.body, second.body, strict=True))
    assert same < 0.05 * first.slots  # 1 in 256 by chance
    assert read(network, first) == read(network, second)


def test_a_band_moves_only_when_a_score_passes_a_cut_by_more_than_the_margin() -> None:
    network = banded(band_days=0.0)
    policy = BandPolicy(
        eligible=0.3, priority=0.4, elevated=0.35, review=0.5, least_events=1.5
    )  # where many scores are
    night(network, policy=policy)
    code = points_code(models(network))
    estimate = values_of(network, "n1/008-points").reshape(-1, code.width)
    known = code.counts(estimate) >= 2
    margin = BandPolicy().margin
    near, far = {}, {}
    for model, score in zip(models(network), code.scores(estimate), strict=True):
        assert model.cuts is not None
        assert model.bands is not None
        cut, index = model.cuts[0], 1  # the band just below that cut
        tampered = model.bands.copy()
        close = known & (np.abs(score - cut) < 0.9 * margin)
        wide = known & (np.abs(score - cut) > 1.1 * margin) & np.isin(tampered, [index, index + 1])
        flipped = 2 * index + 1 - tampered
        at_cut = np.isin(tampered, [index, index + 1])
        near[model.outcome], far[model.outcome] = close & at_cut, wide
        tampered[at_cut] = flipped[at_cut]
        network.hq_store.save_model(replace(model, bands=tampered))
    tampered_models = {m.outcome: m for m in models(network)}
    second = night(network, "n2", policy=policy)
    assert [step.purpose for step in second.steps] == [Purpose.POINTS]
    for model in models(network):
        stood = tampered_models[model.outcome].bands
        assert stood is not None
        assert model.bands is not None
        kept, moved = near[model.outcome], far[model.outcome]
        assert kept.sum() > 5
        assert moved.sum() > 5
        np.testing.assert_array_equal(model.bands[kept], stood[kept])
        assert (model.bands[moved] != stood[moved]).all()


KILLS = [
    *[("add_night", 1), ("add_plan", 1), ("add_plan", 6), ("add_plan", 8), ("add_sum", 1)],
    *[("add_sum", 6), ("add_sum", 8), ("add_values", 1), ("add_values", 2), ("add_values", 6)],
    *[("add_values", 7), ("add_values", 8), ("save_scorecard", 1), ("save_scorecard", 4)],
    ("save_estimate", 1),
    *[("save_model", occurrence) for occurrence in range(1, 7)],
    *[("keep_points", 1), ("keep_points", 2), ("points_released", 1), ("points_released", 2)],
    *[("save_fine_book", 1), ("save_calibration", 1), ("save_calibration", 2)],
]


@cache
def undisturbed() -> list[object]:
    network = banded()
    assert night(network).ended == "complete"
    return [*stands(network), read(network, book_of(network))]


def killed_at(
    monkeypatch: pytest.MonkeyPatch,
    network: Network,
    name: str,
    step: str,
    occurrence: int,
    when: str,
) -> None:
    """Runs a banded night that dies before or after a step of HQ's store."""
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
            night(network, name)


@pytest.mark.parametrize(("step", "occurrence"), KILLS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_night_resumes_to_the_cuts_bands_and_charges_it_would_have_had(
    monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, when: str
) -> None:
    network = banded()
    killed_at(monkeypatch, network, "n1", step, occurrence, when)
    assert night(network).ended == "complete"
    assert [*stands(network), read(network, book_of(network))] == undisturbed()


@pytest.mark.parametrize(
    ("step", "occurrence"),
    [("add_night", 1), ("add_sum", 6), ("points_released", 2), ("save_fine_book", 1),
     ("save_estimate", 1), ("save_model", 3), ("save_model", 5), ("save_model", 6)],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before", "after"])
def test_with_noise_too_a_resumed_night_stands_as_it_is_however_often_it_is_run(
    monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, when: str
) -> None:
    network = banded(2.0, 0.5)
    killed_at(monkeypatch, network, "n1", step, occurrence, when)
    assert night(network).ended == "complete"
    before = stands(network)
    releases = [e.release for e in network.ledger().entries if e.act is LedgerAct.CHARGE]
    assert len(releases) == len(set(releases)) == len(WHOLE)
    assert night(network).ended == "complete"
    assert stands(network) == before


@pytest.mark.parametrize("occurrence", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_hysteresis_is_not_counted_twice_by_a_night_killed_while_it_makes_bands(
    monkeypatch: pytest.MonkeyPatch, occurrence: int, when: str
) -> None:
    ended = []
    for kill in (False, True):
        network = banded(band_days=0.0)
        night(network)
        for model in models(network):  # everybody stood elsewhere before
            assert model.bands is not None
            network.hq_store.save_model(replace(model, bands=(model.bands + 1) % 4))
        if kill:
            killed_at(monkeypatch, network, "n2", "save_model", occurrence, when)
        night(network, "n2")
        ended.append(stands(network))
    assert ended[0] == ended[1]


def test_a_resumed_night_says_what_it_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    network = banded(band_days=0.0)
    night(network)
    killed_at(monkeypatch, network, "n2", "save_estimate", 1, "after")
    report = night(network, "n2")
    assert report.ended == "complete"
    assert len(report.skipped) == 1
    assert report.skipped[0].startswith("training: the last was less than")


def test_a_ledger_that_holds_no_training_still_makes_bands_and_the_report_says_so() -> None:
    network = banded(2.0, 0.5)
    night(network)
    before = {m.outcome: m for m in models(network)}
    report = night(with_hq(network, train_days=0.0, band_days=0.0), "n2")
    assert report.ended == "complete"
    assert len(report.skipped) == 1
    assert report.skipped[0].startswith("budget for usual: requested rho")
    assert [step.purpose for step in report.steps] == [Purpose.POINTS]
    assert (report.scorecards, report.book) == ({}, 2)
    for model in models(network):
        assert model.scorecard == before[model.outcome].scorecard
        assert model.cuts == before[model.outcome].cuts
        assert model.banded_by == "n2/001-points"
    assert read(network, book_of(network)) == as_read(network)
    assert charged(network, Purpose.TRAINING) == [f"n1/{n:03d}-training" for n in (3, 4)]


def test_a_ledger_that_holds_no_points_trains_nothing_that_nobody_could_calibrate() -> None:
    network = banded(2.0, 0.5, office={"points_a_year": 2}, trainings_a_year=2)
    assert night(network).ended == "complete"
    before = {m.outcome: m for m in models(network)}
    report = night(with_hq(network, train_days=0.0, band_days=0.0), "n2")
    assert report.ended == "complete"
    assert len(report.skipped) == 1
    assert report.skipped[0].startswith("budget for points: requested rho")
    assert (report.steps, report.scorecards, report.calibrations, report.book) == ([], {}, {}, 2)
    assert [(m.night, m.scorecard, m.cuts, m.banded_by) for m in models(network)] == [
        (m.night, m.scorecard, m.cuts, m.banded_by) for m in before.values()
    ]
    assert charged(network, Purpose.POINTS) == ["n1/006-points", "n1/008-points"]
    assert len(charged(network, Purpose.CALIBRATION)) == 1
    assert network.ledger().open_nights() == ()


def test_a_training_that_the_ledger_refuses_does_not_make_bands_more_often() -> None:
    network = banded(2.0, 0.5)
    night(network)
    report = night(with_hq(network, train_days=0.0), "n2")
    assert report.ended == "complete"
    assert report.steps == []
    assert charged(network, Purpose.POINTS) == ["n1/006-points", "n1/008-points"]
    assert report.book == 2


def test_a_night_that_the_ledger_refuses_altogether_still_publishes_a_book() -> None:
    network = banded(2.0, 0.5, office={"points_a_year": 2})
    night(network)
    report = night(with_hq(network, train_days=0.0, band_days=0.0), "n2")
    assert report.steps == []
    assert len(report.skipped) >= 2
    assert report.book == 2  # a customer who withdrew since is gone from it


def test_a_night_of_too_few_outlets_still_publishes_a_book() -> None:
    network = banded()
    night(network)
    network.grid._drop = lambda node, _message: node in (1001, 1002)
    report = night(network, "n2")
    assert report.steps == []
    assert report.book == 2  # a customer who withdrew since is gone from it


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
    night(banded())
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
