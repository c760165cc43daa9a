"""What is due in a night, and what is not begun: trainings, calibrations and seals."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from privacy.errors import AnswerRefused
from privacy.purposes import Purpose
from sandbox.network import LocalOffice
from tests.builders import Clock
from tests.networks import (
    CUT_OFF,
    SECOND,
    TARGET,
    small_world,
)
from tests.server.banded_nights import (
    WHOLE,
    banded,
    charged,
    clear_bands,
    models,
    night,
    read,
    saved,
    sealed_plans,
    standing,
    stands,
    with_hq,
)

if TYPE_CHECKING:
    from flwr.app import Message


def test_the_next_night_makes_neither_scorecard_nor_seal_and_says_why_but_a_new_book() -> None:
    network = banded(2.0)
    night(network)
    before, entries = stands(network), len(network.ledger().entries)
    report = night(network, "n2")
    a_week_later = str(dt.date.fromisoformat(str(CUT_OFF)) + dt.timedelta(days=7))
    assert report.ended == "complete"
    assert report.skipped == [
        f"training: the last was less than {network.settings.hq.train_days:g} days ago",
        f"bands: they are sealed again from {a_week_later} on",
    ]
    assert report.next_seal == a_week_later
    assert report.steps == []
    assert stands(network) == before
    assert len(network.ledger().entries) == entries
    first, second = network.book(0), network.book(1)
    assert report.book == second.version > first.version
    assert (second.seal, second.as_of) == (first.seal, first.as_of)
    assert second.body == first.body  # the same entries, byte for byte: nobody left or came
    assert read(network, 0) == read(network, 1)


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
    assert network.hq_store.models((TARGET, SECOND)) == []
    assert [model.cuts for model in network.hq_store.newest_models((TARGET, SECOND))] == [None] * 2
    assert network.shelf.books == []
    report = night(network, "n2")
    assert report.ended == "complete"
    assert [step.release for step in report.steps] == [
        "n2/001-points", "n2/002-calibration", "n2/003-points"
    ]  # fmt: skip
    assert read(network) == clear_bands(network)


def test_until_new_scorecards_are_calibrated_bands_are_sealed_by_those_that_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whose calibration failed, and the night after too few are there to try it again."""
    limits: dict[str, object] = {"cut_days": 0, "seals_a_week": 3}
    network = banded(office=limits, band_days=0.0, world=small_world(8, 200))
    night(network)
    before, first, book = saved(models(network)), standing(network), read(network)
    often = with_hq(network, train_days=0.0)

    def failing(*_: object) -> object:
        raise AnswerRefused("office: not today")

    with monkeypatch.context() as patched:
        patched.setattr(LocalOffice, "store_set", failing)
        report = night(often, "n2")
    assert report.ended == "AnswerRefused: office: not today"
    assert (report.book, standing(network).release) == (network.book().version, first.release)
    assert [model.night for model in network.hq_store.newest_models((TARGET, SECOND))] == ["n2"] * 2
    assert saved(models(network)) == before
    network.grid._drop = lambda node, _message: node in (1005, 1006, 1007)
    report = night(network, "n3")
    assert report.ended == "complete"
    few = "5 of the 8 outlets that were in seals before could be in this one, expected 6"
    assert report.skipped[-1] == f"calibration: {few}; the scorecards that stand go on"
    assert [(step.release, step.outlets) for step in report.steps] == [("n3/001-points", 8)]
    sealed = standing(network)
    assert (sealed.draft.scorecard, sealed.draft.cuts) == (first.draft.scorecard, first.draft.cuts)
    assert (saved(models(network)), read(network)) == (before, book)
    network.grid._drop = lambda _node, _message: False
    report = night(network, "n4")
    assert report.ended == "complete"
    assert [step.purpose for step in report.steps] == WHOLE[-3:]
    assert [model.night for model in models(network)] == ["n2"] * 2
    assert standing(network).release == "n4/003-points"


def test_after_a_training_that_broke_off_bands_go_on_and_a_week_later_it_is_tried_again() -> None:
    clock = Clock()
    network = with_hq(banded(clock=clock, office={"seals_a_week": 9}), band_days=0.0)
    night(network)
    asked = 0

    def drop(node: int, message: Message) -> bool:
        nonlocal asked
        asked += node == 1001 and message.metadata.message_type == "query.release"
        return node == 1001 and 3 <= asked < 10

    network.grid._drop = drop
    clock.at += 31 * 86_400
    report = night(network, "n2")
    assert "without O2 their sum" in report.ended
    assert [step.purpose for step in report.steps] == WHOLE[:2]
    [said] = report.skipped
    assert said.startswith("training: that of night n2 broke off, and what it released is spent")
    asked, spent = 10, network.ledger().length
    clock.at += 86_400
    report = night(network, "n3")
    assert (report.ended, report.skipped) == ("complete", [said])
    assert [step.purpose for step in report.steps] == [Purpose.POINTS]
    assert read(network) == clear_bands(network)
    clock.at += 7 * 86_400
    assert [step.purpose for step in night(network, "n4").steps] == WHOLE
    assert network.ledger().length > spent


def test_nothing_is_trained_or_calibrated_while_the_office_would_refuse_its_seal() -> None:
    """Five of eight are there: nothing is charged, and bands go on by carrying the others."""
    limits: dict[str, object] = {"cut_days": 0, "seals_a_week": 9}
    network = banded(office=limits, band_days=0.0, world=small_world(8, 200))
    assert night(network).steps[-1].outlets == 8
    away = {1005, 1006, 1007}
    network.grid._drop = lambda node, _message: node in away
    before, entries = saved(models(network)), network.ledger().entries
    report = night(with_hq(network, train_days=0.0), "n2")
    assert (report.ended, len(report.cohort)) == ("complete", 5)
    few = "5 of the 8 outlets that were in seals before could be in this one, expected 6"
    assert report.skipped == [f"training: {few}; the scorecards that stand go on"]
    assert [(step.release, step.outlets) for step in report.steps] == [("n2/001-points", 8)]
    assert saved(models(network)) == before
    assert network.ledger().entries == entries
    away.remove(1005)  # with two that are away a third would stay out, and five be in the seal
    report = night(with_hq(network, train_days=0.0), "n3")
    assert report.skipped == [f"training: {few}; the scorecards that stand go on"]
    assert network.ledger().entries == entries
    away.clear()
    report = night(with_hq(network, train_days=0.0), "n4")
    assert (report.ended, report.skipped) == ("complete", [])
    assert [step.purpose for step in report.steps] == WHOLE
    assert {step.outlets for step in report.steps} == {8}
    assert len(network.ledger().entries) > len(entries)


def test_a_calibration_counts_bins_of_outlets_that_are_told_together_only() -> None:
    """Three of twelve are away: fine bins are of the nine that are in the sums, too."""
    limits: dict[str, object] = {"cut_days": 0, "seals_a_week": 9}
    network = banded(office=limits, band_days=0.0, train_days=0.0, world=small_world(12, 200))
    assert night(network).steps[-1].outlets == 12
    network.grid._drop = lambda node, _message: node in (1009, 1010)
    report = night(network, "n2")
    assert report.ended == "complete"
    assert [step.outlets for step in report.steps] == [9] * (len(WHOLE) - 1) + [10]
    blocks = network.office.sum_blocks().blocks
    assert sorted(map(len, blocks)) == [3, 9]


def test_who_was_in_any_seal_before_counts_as_the_office_counts_them() -> None:
    """The last seal was of nine of twelve; eight of those are enough of nine, and not of twelve."""
    limits: dict[str, object] = {"cut_days": 0, "seals_a_week": 9}
    network = banded(office=limits, band_days=0.0, train_days=0.0, world=small_world(12, 200))
    away: set[int] = set()
    network.grid._drop = lambda node, _message: node in away
    assert night(network).steps[-1].outlets == 12
    away.update({1009, 1010, 1011})
    assert night(network, "n2").steps[-1].outlets == 9
    with network.office.store.transaction() as transaction:
        assert network.hq_store.sealed_outlets() == transaction.seals.outlets()
    away.add(1005)
    entries, seals = network.ledger().entries, sealed_plans(network)
    report = night(network, "n3")
    assert report.ended == "complete"
    few = "6 of the 12 outlets that were in seals before could be in this one, expected 9"
    assert report.skipped[0] == f"training: {few}; the scorecards that stand go on"
    assert network.ledger().entries == entries
    assert len(sealed_plans(network) - seals) == 1  # bands, by carrying who was in the last


def test_bands_are_not_sealed_where_too_few_are_there_or_can_be_carried() -> None:
    network = banded(office={"seals_a_week": 9}, band_days=0.0, world=small_world(8, 200))
    night(network)
    seals = sealed_plans(network)
    network.office.clock.at += 32 * 86_400  # type: ignore[attr-defined]
    network.hq_store.forget_old_answers(network.office.clock())
    network.grid._drop = lambda node, _message: node in (1005, 1006, 1007)
    report = night(with_hq(network, train_days=99.0), "n2")
    few = "5 of the 8 outlets that were in seals before could be in this one, expected 6"
    assert (report.ended, report.steps) == ("complete", [])
    assert report.skipped[-1] == f"bands: {few}; the last book stays"
    assert sealed_plans(network) == seals


def test_where_the_ledger_holds_no_calibration_bands_go_on_by_what_stands() -> None:
    network = banded(2.0, band_days=0.0)
    night(network)
    before = saved(models(network))
    waits = [replace(model, cuts=None) for model in models(network)]
    network.hq_store.save_uncalibrated(waits)
    report = night(network, "n2")
    assert report.ended == "complete"
    assert report.skipped[1].startswith("budget for calibration: requested rho")
    assert [step.release for step in report.steps] == ["n2/001-points"]
    assert (saved(models(network)), standing(network).release) == (before, "n2/001-points")


def test_other_cuts_are_sealed_at_once_and_refused_by_the_office_too_soon_or_uncalibrated() -> None:
    network = banded()
    night(network)
    before = read(network)
    network.hq_store.save_models([replace(one, cuts=(-40, 40)) for one in models(network)])
    report = night(network, "n2")
    assert "cuts 0.0 days after the last change" in report.ended
    assert report.book == network.book().version
    assert read(network) == before


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
