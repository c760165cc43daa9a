"""Small networks on a simulated market, for tests of whole nights."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.events import pieces, positions, scarcity
from features.outcomes import Outcome, Thresholds, observe
from features.snapshot import CutOff, Snapshot
from privacy.purposes import Purpose
from sandbox.market import DAYS, FIRST_DAY, simulated_market
from sandbox.network import ONE_TRAINING_SHARES, Network, Settings
from sandbox.world import FOLDS, HORIZON_DAYS, World, market_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from features.events import Vector
    from sandbox.local_grid import Drop

LAST = FIRST_DAY + dt.timedelta(days=DAYS - 1)
CUT_OFF = CutOff(LAST - dt.timedelta(days=HORIZON_DAYS))
TARGET, SECOND = Outcome.LOYAL.value, Outcome.FLIPPED.value


def world_of(events: pl.DataFrame) -> World:
    """A world in which every customer known at the cut-off is labelled."""
    snapshot = Snapshot.take(events, CUT_OFF, LAST)
    people = snapshot.history["customer"].unique().sort()
    judged = pl.DataFrame(
        {
            "customer_id": people,
            **{
                outcome: observe(Outcome.named(outcome), snapshot, people, Thresholds())
                for outcome in (TARGET, SECOND)
            },
            "fold": np.arange(len(people)) % FOLDS,
        }
    )
    return World.of(events, judged, CUT_OFF, LAST)


@cache
def small_world(outlets: int = 4, customers: int = 400) -> World:
    """A simulated market, the same at every call."""
    random = np.random.default_rng(3)
    return world_of(market_events(simulated_market(random, outlets=outlets, customers=customers)))


def made_up_flips(world: World) -> Vector:
    """A second outcome of about one customer in five: mostly of those who bought a scarce piece.

    What a market of 400 shows of flips is ten customers, too few to tell two scorecards apart.
    """
    scarce = pieces(world.snapshot).filter("bought", scarcity() > 0)["customer"].unique()
    likely = np.where(positions(world.customers, scarce) >= 0, 0.7, 0.02)
    return (np.random.default_rng(5).random(len(likely)) < likely).astype(np.float64)


def banded_settings(epsilon: float | None, rounds: int = 2) -> Settings:
    """One training whose budget has a part for calibration."""
    made = Settings.one_training(epsilon, 1e-6, rounds)
    shares = {
        **ONE_TRAINING_SHARES,
        Purpose.TRAINING: Fraction("0.61"),
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
    """A network on `small_world`, everybody in training; the flips are made up."""
    world = world or small_world()
    everybody = np.ones(len(world.customers), dtype=bool)
    y = {TARGET: world.given[TARGET], SECOND: made_up_flips(world)}
    return Network.build(
        world.members({outcome: y[outcome] for outcome in outcomes}, everybody),
        world.customers,
        settings or Settings.one_training(epsilon, 1e-6, rounds),
        drop=drop,
        clock=clock,
    )
