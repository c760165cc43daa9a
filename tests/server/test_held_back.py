"""What private counts find worse than before is held back until a person accepts it.

One outlet's outcomes are wrong, as of a till that swapped two columns: the rest is a real office,
real outlets and a real HQ in one process. Without noise the spread is of who was counted.
"""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner
from typing_extensions import override

from features.outcomes import Outcome
from outlet_client.contribution.contributions import Outlet
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.purposes import Purpose
from privacy.two_key_sum import Contribution
from server.holder.database import create_stores
from server.holder.doctor import Standing, look_at
from server.holder.locks import NIGHT_LOCK, locked
from server.hq.errors import NothingHeld
from server.hq.health import hq_checks
from server.hq.holds import Acceptance, HeldKind, Hold
from server.hq.main import app
from server.hq.model_store import Calibrated, StandingModel
from server.hq.night_record import NightRecords, NightState
from server.hq.store import HqStore
from server.hq.tables import STORES
from tests.builders import Clock
from tests.networks import CUT_OFF, SECOND, TARGET
from tests.server.banded_nights import (
    Killed,
    banded,
    clear_bands,
    killed_at,
    models,
    night,
    plan_of,
    read,
    saved,
    standing,
    with_hq,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from privacy.fixed_point import Integers
    from privacy.plans import ReleasePlan
    from sandbox.network import Network
    from server.hq.report import NightReport, ReleaseReport

MONTH = 31 * 86_400
SAID = Acceptance(1_800_000_000, "M. Keller", "a new till at O1 records returns")


def monthly() -> tuple[Network, Clock]:
    """A network whose nights are a month apart, and its clock."""
    clock = Clock()
    return with_hq(banded(clock=clock), band_days=0.0), clock


def swap_outcomes(network: Network, *outlets: str) -> None:
    """Has outlets see each outcome where it did not come true; a second time they are right."""
    for name in outlets:
        for y in network.outlets[name].home.y.values():
            y[:] = 1 - y


def next_month(network: Network, clock: Clock, name: str) -> NightReport:
    clock.at += MONTH
    return night(network, name)


def held(report: NightReport) -> list[str]:
    return [one for one in report.skipped if "held back" in one]


def test_an_outlets_wrong_outcomes_are_held_back_and_bands_go_on_by_what_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, clock = monthly()
    night(network)
    before, seal = saved(models(network)), standing(network)
    swap_outcomes(network, "O1")
    clock.at += MONTH
    killed_at(monkeypatch, network, "n2", "save_uncalibrated", 1)
    report = night(network, "n2")
    assert report.ended == "complete"
    [said] = held(report)
    assert said.startswith("calibration: scorecard of night n2 held back: y_loyal: AUC ")
    assert "the scorecard that stands, n1/005-evaluation" in said
    assert "standard deviations worse, expected at most 3" in said
    assert [step.purpose for step in report.steps][-2:] == [Purpose.EVALUATION, Purpose.POINTS]
    assert saved(models(network)) == before
    assert standing(network).draft.cuts == seal.draft.cuts
    assert standing(network).release != seal.release
    assert read(network) == clear_bands(network)
    again = night(network, "n3")  # nobody said anything: it is neither trained nor calibrated
    assert (again.steps[-1].purpose, len(again.steps)) == (Purpose.POINTS, 1)
    assert held(again) == [said]
    swap_outcomes(network, "O1")
    assert held(next_month(network, clock, "n4")) == []  # another training takes its place
    assert {model.night for model in models(network)} == {"n4"}
    assert network.hq_store.held() is None
    assert [one.night for one in network.hq_store.holds()] == ["n2"]


def test_an_honest_training_is_not_held_back() -> None:
    network, clock = monthly()
    night(network)
    report = next_month(network, clock, "n2")
    assert (report.ended, report.skipped) == ("complete", [])
    assert {model.night for model in models(network)} == {"n2"}
    assert network.hq_store.holds() == []


def test_what_a_person_accepts_goes_live_by_the_next_nights() -> None:
    network, clock = monthly()
    night(network)
    swap_outcomes(network, "O1")
    next_month(network, clock, "n2")
    with pytest.raises(NothingHeld, match="got night 'n1', expected n2"):
        network.hq_store.accept("n1", SAID)
    done = network.hq_store.accept("n2", SAID)
    assert (done.kind, done.accepted) == (HeldKind.SCORECARD, SAID)
    clock.at += 86_400
    report = night(network, "n3")
    purposes = [step.purpose for step in report.steps]
    assert purposes == [Purpose.POINTS, Purpose.CALIBRATION, Purpose.POINTS]
    [said] = held(report)  # its counts are as wrong: a word each
    assert "calibration of night n3" in said
    assert {model.night for model in models(network)} == {"n1"}
    network.hq_store.accept("n3", SAID)
    assert {model.night for model in models(network)} == {"n2"}
    clock.at += 7 * 86_400
    report = night(network, "n4")
    assert (report.ended, held(report)) == ("complete", [])
    assert standing(network).draft.cuts == tuple(model.cuts for model in models(network))
    assert read(network) == clear_bands(network)
    with pytest.raises(NothingHeld, match="nothing is held back"):
        network.hq_store.accept("n3", SAID)
    said_of = [(one.night, one.kind, one.accepted) for one in network.hq_store.holds()]
    assert said_of == [("n2", HeldKind.SCORECARD, SAID), ("n3", HeldKind.CALIBRATION, SAID)]


def test_the_command_line_lists_accepts_and_names_what_waits(tmp_path: Path) -> None:
    """Each command opens the store anew, as after a restart."""
    ring = Keyring(tmp_path, PartyKind.HQ)
    ring.create("hq", "h:1", dt.datetime.now(dt.UTC), "h:2")
    create_stores(tmp_path, STORES)
    cards = [
        StandingModel(outcome, "n2", 1, b"{}", np.eye(2), None) for outcome in (TARGET, SECOND)
    ]
    with closing(HqStore.of(tmp_path, "")) as store:
        store.hold_back(Hold("n2", HeldKind.CALIBRATION, "n2", 1, ("y_loyal: AUC fell",)))
        for card in cards:
            judgement = {"cuts": [2, 6]}
            store.save_calibration(Calibrated(card.outcome, "n2", 1, "n2/7", judgement))
        store.save_uncalibrated(cards)

    def run(*words: str) -> str:
        said = CliRunner().invoke(app, [*words, "--home", str(tmp_path)])
        assert said.exit_code in {0, 1}, said.output
        return said.output

    for command in ("held", "status", "report"):
        assert "calibration of night n2 held back: y_loyal: AUC fell" in run(command)
    found = {one.name: one for one in look_at(hq_checks(tmp_path))}
    assert found["scorecards"].standing is Standing.NOTE
    assert "escapement-hq held accept n2" in found["scorecards"].text
    assert json.loads(run("status", "--json"))["held"]

    wanted = ["held", "accept", "n2", "--by", " ", "--reason", "returns"]
    said = CliRunner().invoke(app, [*wanted, "--home", str(tmp_path)])
    assert said.exit_code == 2
    assert "--by: got 0 characters" in said.output
    with locked(tmp_path / NIGHT_LOCK):
        assert "runs one" in run("held", "accept", "n2", "--by", "M. Keller", "--reason", "why")
    record = NightRecords(tmp_path).begin("n3", "2025-07-04", "2026-01-01", dt.datetime.now(dt.UTC))
    assert "night n3 was interrupted" in run(
        "held", "accept", "n2", "--by", "M. Keller", "--reason", "why"
    )
    NightRecords(tmp_path).keep(record.model_copy(update={"state": NightState.OVER}))
    said_of = run("held", "accept", "n2", "--by", "M. Keller", "--reason", "a new till")
    assert "is accepted by M. Keller. Its cuts stand" in said_of
    with closing(HqStore.of(tmp_path, "")) as store:
        assert [model.cuts for model in store.models((TARGET, SECOND))] == [(2, 6)] * 2
        assert store.uncalibrated((TARGET, SECOND)) == []
    assert "accepted by M. Keller on" in run("held")
    assert "a new till" in run("held")
    assert json.loads(run("status", "--json"))["held"] is None
    again = run("held", "accept", "n2", "--by", "M. Keller", "--reason", "why")
    assert "expected none: nothing is held back" in again


@pytest.mark.parametrize("step", ["hold_back", "save_calibration", "add_codes"])
def test_a_calibration_that_is_worse_waits_though_its_scorecards_were_not_also_after_a_kill(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    network, clock = monthly()
    night(network)
    clock.at += MONTH

    def run() -> NightReport:
        return network.night("n2", str(CUT_OFF), TARGET, SECOND, bands=True, on_step=swap)

    def swap(done: ReleaseReport) -> None:
        if done.purpose is Purpose.EVALUATION and network.hq_store.uncalibrated((TARGET,)) == []:
            swap_outcomes(network, "O1")

    original = getattr(HqStore, step)

    def dying(self: HqStore, *args: object, **named: object) -> None:
        original(self, *args, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(HqStore, step, dying)
        with pytest.raises(Killed):
            run()
    report = run()
    [said] = held(report)
    assert "calibration of night n2 held back" in said
    assert "the calibration before, n1/007-calibration" in said
    assert report.ended == "complete"
    assert {model.night for model in models(network)} == {"n1"}
    assert read(network) == clear_bands(network)
    last = network.hq_store.calibration(TARGET)
    assert last is not None
    assert last.night == "n1"  # what is held back is no measure for the next
    again = night(network, "n3")
    assert held(again) == [said]
    assert [one.purpose for one in again.steps] == [Purpose.POINTS]  # nor is it counted once more


class Backwards(Contribution):
    """Gradients that are the other way round, and as long as the ring takes them."""

    @override
    def sums(self, plan: ReleasePlan) -> Integers:
        made = super().sums(plan)
        return np.where(np.arange(len(made)) < len(made) - 1, -np.sign(made) * 3000 * plan.norm, 0)


def test_a_first_training_is_held_against_the_starting_scorecard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starting = {TARGET: Outcome.LOYAL, SECOND: Outcome.FLIPPED}
    network = banded(starting=starting)
    real = Outlet._contribution

    def lying(self: Outlet, plan: ReleasePlan, question: Mapping[str, bytes]) -> Contribution:
        made = real(self, plan, question)
        lies = self.name == "O1" and plan.purpose is Purpose.TRAINING
        return Backwards(made.rows) if lies else made

    with monkeypatch.context() as patched:
        patched.setattr(Outlet, "_contribution", lying)
        report = night(network)
    assert report.ended == "complete"
    [said] = held(report)
    assert "the starting scorecard, n1/006-evaluation" in said
    assert "bands: no scorecard is calibrated yet" in report.skipped
    assert (network.shelf.books, report.book) == ([], None)
    report = night(with_hq(network, train_days=0.0), "n2")
    assert (report.ended, held(report)) == ("complete", [])  # honest, and held against it too
    assert [step.purpose for step in report.steps].count(Purpose.EVALUATION) == 2
    assert network.book().version == report.book


def test_no_outlets_sum_is_beyond_what_all_customers_of_the_directory_could_add() -> None:
    network = banded()
    night(network)
    for step in ("001-usual", "003-training", "007-calibration"):
        plan = plan_of(network, f"n1/{step}")
        assert plan.outlet_bound == plan.norm * network.directory.slots
