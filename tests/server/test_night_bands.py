"""Whole nights of two outcomes in one process: calibration, seals, and the book."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from features.calibration import calibration_dimension, calibration_rows, fine_bins, middle
from features.events import DIMENSION, RATES
from features.learning import (
    read_usual,
)
from features.scorecard import Scorecard, encode_scorecards
from privacy.envelopes import digest
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import NightPlan
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, most_counted
from sandbox.network import LocalOffice, Settings
from server.hq.combine import Combiner
from server.hq.store import HqStore
from tests.builders import Clock
from tests.networks import (
    CUT_OFF,
    SECOND,
    TARGET,
    small_network,
)
from tests.server.banded_nights import (
    WHOLE,
    banded,
    charged,
    clear_bands,
    clear_sum,
    models,
    night,
    plan_of,
    read,
    standing,
    values_of,
    with_hq,
)

if TYPE_CHECKING:
    from privacy.two_key_sum import Aggregate


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
def test_a_first_training_makes_thirteen_releases_and_costs_a_customer_its_part_of_the_year(
    outcomes: tuple[str, ...], trainings: int
) -> None:
    """However many outcomes are trained; in exact fractions, as the ledger counts.

    One of them is of the starting scorecards, for half of what evaluation costs.
    """
    settings = Settings.of_a_year(trainings)
    network = small_network(settings=settings, outcomes=outcomes)
    report = network.night("n1", str(CUT_OFF), *outcomes, bands=True)
    assert (report.ended, report.skipped) == ("complete", [])
    assert len(report.steps) == 13
    assert [step.purpose for step in report.steps].count(Purpose.EVALUATION) == 2
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


def test_before_the_first_seal_there_is_no_book() -> None:
    network = banded()
    network.grid._drop = lambda node, _message: node in (1001, 1002)
    report = night(network)
    assert report.ended.startswith("QuorumNotMet")
    assert (report.book, report.skipped, network.shelf.books) == (None, [], [])


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
