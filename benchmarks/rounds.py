"""How long a round takes over real TLS, at growing numbers of outlets.

    python -m benchmarks.rounds [--outlets 5 20 100] [--rounds 10]

Up to 20 outlets every outlet is a process of its own. Above, HQ and office still are, and the
outlets' ClientApps share two processes, whose threads take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from outlet_client.night import flower_node
from outlet_client.night.night_run import nightly
from sandbox.processes import Processes
from tests.networks import CUT_OFF, TARGET, banded_settings, small_world

if TYPE_CHECKING:
    from typing import Any

MOST_PROCESSES = 20
SHARED = 2


def main() -> None:
    """Runs one night a size and prints its rounds' times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outlets", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    for outlets in options.outlets:
        times, night = measure(outlets, options.rounds)
        sys.stdout.write(
            f"{outlets:4d} outlets: round median {statistics.median(times):.3f} s, "
            f"min {min(times):.3f}, max {max(times):.3f}; whole night {night:.1f} s\n"
        )
        sys.stdout.flush()


def measure(outlets: int, rounds: int) -> tuple[list[float], float]:
    """One night; seconds of each training round, and of the whole night."""
    world = small_world(outlets=outlets, customers=40 * outlets)
    everybody = np.ones(len(world.customers), dtype=bool)
    settings = banded_settings(1.0, rounds)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        network = Processes.enrol(
            Path(folder), world, {TARGET: world.given[TARGET]}, everybody, settings
        )
        if outlets > MOST_PROCESSES:
            network = Sharing(network.folder, network.settings)
        report = network.night("n1", str(CUT_OFF))
    if report.ended != "complete" or len(report.cohort) != outlets:
        raise SystemExit(f"{len(report.cohort)} of {outlets} outlets: {report.ended}")
    times = [step.seconds for step in report.steps if step.purpose.value == "training"]
    return times, time.monotonic() - began


class Sharing(Processes):
    """Processes in which the outlets share two."""

    @override
    def start_outlets(self) -> None:
        """Starts two processes, each with half of the outlets."""
        homes = sorted((self.folder / "outlets").iterdir())
        context = get_context("spawn")
        for part in range(SHARED):
            context.Process(target=share, args=(homes[part::SHARED],), daemon=True).start()


def share(homes: list[Path]) -> None:
    """Runs several outlets' nights in threads that take turns to answer."""
    turn = Lock()
    reply = flower_node._Session._reply  # noqa: SLF001  (a benchmark of the real node)

    def in_turn(*arguments: Any) -> None:
        with turn:  # Flower keeps one task's identity a process
            reply(*arguments)

    flower_node._Session._reply = in_turn  # type: ignore[method-assign,assignment]  # noqa: SLF001  (a benchmark of the real node)
    with ThreadPoolExecutor(len(homes)) as pool:
        list(pool.map(nightly, homes))


if __name__ == "__main__":
    main()
