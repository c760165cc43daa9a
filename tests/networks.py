"""Small networks on a simulated ledger, for tests of whole nights."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.ledger import canonical_events
from features.outcomes import Outcome, Thresholds, observe
from features.snapshot import CutOff, Snapshot
from privacy.units import Purpose
from sandbox.market import DAYS, FIRST_DAY, simulated_ledger
from sandbox.network import ONE_TRAINING_SHARES, Network, Settings
from sandbox.replay import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox.local_grid import Drop

LAST = FIRST_DAY + dt.timedelta(days=DAYS)
CUT_OFF = CutOff(LAST - dt.timedelta(days=180))
TARGET, SECOND = Outcome.LOYAL.value, Outcome.LAPSED.value


def world_of(events: pl.DataFrame) -> World:
    """A world in which every customer known at the cut-off is labelled."""
    snapshot = Snapshot.take(events, CUT_OFF, LAST)
    people = snapshot.history["customer"].unique().sort()
    judged = pl.DataFrame(
        {
            "customer_id": people,
            "y": observe(Outcome.LOYAL, snapshot, people, Thresholds()),
            "fold": np.arange(len(people)) % 5,
        }
    )
    return World.of(events, judged, CUT_OFF, LAST)


@cache
def small_world(outlets: int = 4, customers: int = 400) -> World:
    """A simulated market, the same at every call."""
    ledger = simulated_ledger(np.random.default_rng(3), outlets=outlets, customers=customers)
    return world_of(canonical_events(ledger, "simulated"))


def banded_settings(epsilon: float | None, rounds: int = 2, band_noise: float = 0.0) -> Settings:
    """One training whose budget has a part for calibration, and bands from noisy points."""
    made = Settings.one_training(epsilon, 1e-6, rounds, band_noise)
    shares = {
        **ONE_TRAINING_SHARES,
        Purpose.TRAINING: Fraction("0.7"),
        Purpose.CALIBRATION: Fraction("0.1"),
    }
    return replace(
        made,
        office=made.office.model_copy(update={"shares": shares}),
        hq=made.hq.model_copy(update={"shares": shares}),
    )


def small_network(
    epsilon: float | None = 1.0,
    rounds: int = 2,
    drop: Drop = lambda _node, _message: False,
    world: World | None = None,
    settings: Settings | None = None,
    clock: Callable[[], float] = time.time,
    outcomes: Sequence[str] = (TARGET,),
) -> Network:
    """A network on `small_world`, everybody in training; lapsed is who is not loyal."""
    world = world or small_world()
    everybody = np.ones(len(world.customers), dtype=bool)
    y = {TARGET: world.y, SECOND: 1 - world.y}
    return Network.build(
        world.members({outcome: y[outcome] for outcome in outcomes}, everybody),
        world.customers,
        settings or Settings.one_training(epsilon, 1e-6, rounds),
        drop=drop,
        clock=clock,
    )
