"""Networks of real processes for tests: a few outlets, one round, keys made afresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.federation.forked import Forked
from tests.federation.nights import CUSTOMERS, whole_nights
from tests.networks import TARGET, small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
