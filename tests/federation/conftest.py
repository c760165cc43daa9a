"""Networks of real processes for tests: three outlets, one round, keys made afresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sandbox.network import Settings
from sandbox.processes import Processes
from tests.networks import TARGET, small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def enrol(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    """Makes a network; whatever the test leaves running is ended."""
    made: list[Processes] = []

    def build(
        outlets: int = 4, *, trainings: int = 1, rounds: int = 1, epsilon: float | None = 1.0
    ) -> Processes:
        world = small_world(outlets=outlets, customers=300)
        everybody = np.ones(len(world.customers), dtype=bool)
        settings = Settings.one_training(epsilon, 1e-6, rounds)
        hq = settings.hq.model_copy(
            update={"trainings_a_year": trainings, "timeout": 30.0, "patience": 3.0}
        )
        settings = Settings(settings.office, hq, settings.outlet)
        made.append(
            Processes.enrol(
                tmp_path / f"network{len(made)}", world, TARGET, world.y, everybody, settings
            )
        )
        return made[-1]

    yield build
    for network in made:
        network.stop()
