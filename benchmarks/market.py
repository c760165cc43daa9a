"""How a network's scorecards rank a simulated watch market, and what the starting ones are worth.

python -m benchmarks.market [--outlets 20] [--customers 20000] [--repeats 3] [--seeds 10]

The market is our own simulation: these figures show that the machine works, not how real markets
are. Training is on what home outlets see, unless told otherwise; all are judged on what all outlets
together saw.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from features.events import customer_features, event_features
from features.outcomes import Outcome
from features.starting import starting_scorecard
from sandbox.baselines import auc
from sandbox.market import simulated_market
from sandbox.replay import CONTENDERS, ReplayReport, TrainOn, World, replay

OUTCOMES = (Outcome.LOYAL, Outcome.FLIPPED)
STARTING = {outcome.value: outcome for outcome in OUTCOMES}
SMALL, TIGHT = 2_000, 0.5
"""Customers and epsilon of a network's first training at its smallest."""


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outlets", type=int, default=20)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--train-on", type=TrainOn, default=TrainOn.HOME)
    options = parser.parse_args()
    world = world_of(1, options.outlets, options.customers)
    _print("target", "epsilon", *CONTENDERS, "starting card", "seconds")
    _print(*["---"] * (4 + len(CONTENDERS)))
    for epsilon in (1.0, None):
        repeats = 1 if epsilon is None else options.repeats
        for found in _replay(world, epsilon, repeats, options.train_on):
            figures = [f"{found.auc[one].mean:.4f} ± {found.auc[one].sd:.4f}" for one in CONTENDERS]
            start = f"{_alone(world, found.target):.4f}"
            spent = "none" if epsilon is None else f"{epsilon:g}"
            _print(found.target, spent, *figures, start, f"{found.seconds:.0f}")
    sys.stdout.write("\n")
    _print("seed", *(f"{outcome}: starting, trained" for outcome in STARTING))
    _print(*["---"] * (1 + len(STARTING)))
    gains: dict[str, list[float]] = {outcome: [] for outcome in STARTING}
    for seed in range(1, options.seeds + 1):
        small = world_of(seed, options.outlets, SMALL)
        cells = []
        for found in _replay(small, TIGHT, 1, options.train_on):
            alone, trained = _alone(small, found.target), found.auc["network"].mean
            gains[found.target].append(trained - alone)
            cells.append(f"{alone:.4f}, {trained:.4f}")
        _print(str(seed), *cells)
    _print("gain", *(f"{np.mean(found):+.4f} ± {np.std(found):.4f}" for found in gains.values()))


def world_of(seed: int, outlets: int, customers: int) -> World:
    """A market as its outlets hold it."""
    random = np.random.default_rng(seed)
    return World.of_market(simulated_market(random, outlets=outlets, customers=customers), random)


def _replay(
    world: World, epsilon: float | None, repeats: int, train_on: TrainOn
) -> list[ReplayReport]:
    return replay(
        world, targets=tuple(STARTING), epsilon=epsilon, starting=STARTING, repeats=repeats,
        train_on=train_on,
    )  # fmt: skip


def _alone(world: World, target: str) -> float:
    """Mean AUC over folds of the starting scorecard, on all outlets' sums without noise."""
    x = customer_features(event_features(world.snapshot), world.customers)
    score = starting_scorecard(STARTING[target]).score(x)
    folds = [world.fold == fold for fold in np.unique(world.fold)]
    figures = [auc(world.given[target][test], score[test]) for test in folds]
    return float(np.mean([figure for figure in figures if figure is not None]))


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
