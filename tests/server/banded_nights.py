"""Whole nights in one process, with a book of two scores, and what is read of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from features.bands import SCHEMES, BandPolicy
from features.outcomes import Outcome
from features.scorecard import Scorecard
from privacy.budget import LedgerAct
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from sandbox.clear_sum import ClearSum
from sandbox.network import LocalOffice, MemoryLibrary, home_key
from server.hq.store import HqStore
from server.office.tables import SEALS
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
    import numpy as np

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


class Killed(BaseException):
    """Stands for a power cut."""


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


def saved(found: list[StandingModel]) -> list[object]:
    """Models as values that can be compared."""
    return [(m.outcome, m.night, m.at, m.scorecard, m.cuts) for m in found]


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


def sealed_plans(network: Network) -> set[str]:
    """The seals whose sets the office took, by their plans' digests."""
    with network.office.store.transaction() as transaction:
        return set(transaction.seals.connection.scalars(sa.select(SEALS.c.plan)))


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


def charged(network: Network, purpose: Purpose) -> list[str]:
    entries = network.ledger().entries
    return [e.release for e in entries if e.act is LedgerAct.CHARGE and e.purpose is purpose]


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
