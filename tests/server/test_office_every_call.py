"""Each call to the office begins with its own moment: what is over is over before it answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privacy.errors import PlanRefused, ReleaseClosed
from privacy.plans import NightPlan, ReleasePlan
from server.office.clock import MOST_AHEAD
from server.office.seal_store import SealState
from tests.builders import Bench
from tests.server.seal_benches import HonestSeal, SealBench


def expired() -> HonestSeal:
    """A seal with its set, of which nobody asked anything since it expired."""
    bench = SealBench()
    seal = bench.seal()
    seal.sign()
    seal.store("abc")
    bench.bench.clock.at += bench.settings.release_minutes * 60
    return seal


def state_of(seal: HonestSeal) -> SealState:
    with seal.at.bench.store.transaction() as transaction:
        found = transaction.seals.find(digest=seal.signed.digest)
    assert found is not None
    return found.state


def test_no_chunk_is_made_of_a_seal_that_expired_since_the_last_call() -> None:
    seal = expired()
    with pytest.raises(ReleaseClosed, match="expired; it is over"):
        seal.take()
    assert state_of(seal) is SealState.EXPIRED


def test_a_seal_that_expired_is_not_closed_afterwards() -> None:
    """What is said of it stays what it was: HQ's close came too late to make it a whole one."""
    seal = expired()
    seal.close()
    assert state_of(seal) is SealState.EXPIRED


@pytest.mark.parametrize("back", [1, MOST_AHEAD])
def test_by_a_clock_that_went_back_a_little_plans_last_from_the_ledgers_last_moment(
    back: int,
) -> None:
    """Never from before it: nothing is counted twice, and nothing is of an earlier moment."""
    bench = Bench()
    first = NightPlan.decode(bench.night("n1").payload)
    bench.clock.at -= back
    second = NightPlan.decode(bench.night("n2").payload)
    assert second.expires == first.expires
    assert [entry.at for entry in bench.store.ledger().entries] == [1_800_000_000] * 2


def test_a_release_of_a_night_that_was_not_planned_here_is_charged_to_none() -> None:
    bench = Bench()
    signed = bench.office.sign_release(bench.draft(bench.night()))
    plan = replace(ReleasePlan.decode(signed.payload), night="ab" * 32)
    with pytest.raises(PlanRefused, match="release r1: its night was not planned here"):
        bench.office._charge(plan, "8" * 64, frozenset("abc"), int(bench.clock.at))
    assert [entry.release for entry in bench.store.ledger().entries] == [""]
