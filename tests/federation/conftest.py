"""Networks of real processes for tests: a few outlets, one round, keys made afresh."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.units import Purpose
from sandbox.network import Settings
from tests.federation.forked import Forked
from tests.networks import TARGET, small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CUSTOMERS = 150
SHARES = {
    Purpose.USUAL: Fraction("0.02"),
    Purpose.MOMENTS: Fraction("0.13"),
    Purpose.TRAINING: Fraction("0.75"),
    Purpose.EVALUATION: Fraction("0.05"),
    Purpose.CALIBRATION: Fraction("0.05"),
    Purpose.POINTS: Fraction(1),
}


PATIENT = 25.0
"""For who is late by chance: a disk that syncs for seconds must not cost a night its quorum."""


def whole_nights(
    epsilon: float | None = 1.0,
    rounds: int = 1,
    trainings: int = 1,
    timeout: float = 30.0,
    patience: float = 3.0,
) -> Settings:
    """All of a budget in a few trainings, calibration included; points carry no noise."""
    made = Settings.one_training(epsilon, 1e-6, rounds)
    wants = {
        "shares": SHARES,
        "trainings_a_year": trainings,
        "timeout": timeout,
        "patience": patience,
        "train_days": 0.0,
        "band_days": 0.0,
    }
    return Settings(
        made.office.model_copy(update={"shares": SHARES}),
        made.hq.model_copy(update=wants),
        made.outlet,
    )


@pytest.fixture
def enrol(tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    """Makes a network; whatever the test leaves running is ended."""
    made: list[Forked] = []

    def build(
        outlets: int = 3,
        *,
        trainings: int = 1,
        rounds: int = 1,
        epsilon: float | None = 1.0,
        patience: float = 3.0,
    ) -> Forked:
        world = small_world(outlets=outlets, customers=CUSTOMERS)
        everybody = np.ones(len(world.customers), dtype=bool)
        settings = whole_nights(epsilon, rounds, trainings, patience=patience)
        folder = tmp_path / f"network{len(made)}"
        network = Forked.enrol(folder, world, {TARGET: world.given[TARGET]}, everybody, settings)
        made.append(network)
        return network

    yield build
    for network in made:
        network.stop()
