"""Nights that are killed at any step, in one process, and run again under their name."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from features.outcomes import Outcome
from privacy.budget import LedgerAct
from privacy.errors import AnswerRefused
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from server.hq.store import HqStore
from tests.networks import (
    CUT_OFF,
    SECOND,
    TARGET,
    small_network,
)
from tests.server.banded_nights import (
    WHOLE,
    Killed,
    banded,
    killed_at,
    night,
    read,
    run,
    stands,
)

if TYPE_CHECKING:
    import numpy as np

    from privacy.two_key_sum import Aggregate
    from sandbox.network import Network
    from server.hq.report import NightReport


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


KILLS = [
    *[("add_night", 1), ("add_plan", 1), ("add_plan", 6), ("add_sum", 1), ("add_sum", 6)],
    *[("add_values", 1), ("add_values", 2), ("add_values", 6)],
    *[("save_scorecard", 1), ("save_scorecard", 4)],
    *[("save_uncalibrated", 1), ("save_models", 1)],
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
    [
        ("add_night", 1),
        ("add_sum", 6),
        ("add_fine_book", 1),
        ("save_models", 1),
        ("add_entries", 2),
    ],
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
