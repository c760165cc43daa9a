"""What the starting scorecards are worth by themselves, and what training adds in a small network.

python -m benchmarks.market [--outlets 20] [--customers 2000] [--epsilon 0.5] [--seeds 10]

Each seed is a simulated market of its own, trained on what home outlets see and judged on what all
outlets together saw, by the clear sum at main outlets. The market is our own simulation: these
figures show that the machine works, not how real markets are.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from features.learning import read_usual, usual_rows
from features.outcomes import Outcome
from features.starting import starting_scorecard
from sandbox.baselines import auc
from sandbox.clear_sum import ClearSum
from sandbox.market import simulated_market
from sandbox.replay import home_sums, replay
from sandbox.world import TrainOn, World

STARTING = {outcome.value: outcome for outcome in (Outcome.LOYAL, Outcome.FLIPPED)}


def main() -> None:
    """Prints a Markdown table, a row a seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--outlets", type=int, default=20)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument(
        "--epsilon", type=float, default=0.5, help="of the network's first training"
    )
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    _print("seed", *(f"{outcome}: starting, trained" for outcome in STARTING))
    _print(*["---"] * (1 + len(STARTING)))
    gains: dict[str, list[float]] = {outcome: [] for outcome in STARTING}
    for seed in range(1, options.seeds + 1):
        random = np.random.default_rng(seed)
        market = simulated_market(random, outlets=options.outlets, customers=options.customers)
        world = World.of_market(market, random)
        cells = []
        for found in replay(
            world, targets=tuple(STARTING), epsilon=options.epsilon, starting=STARTING,
            repeats=1, train_on=TrainOn.HOME,
        ):  # fmt: skip
            alone, trained = starting_alone(world, found.target), found.auc["network"].mean
            gains[found.target].append(trained - alone)
            cells.append(f"{alone:.4f}, {trained:.4f}")
        _print(str(seed), *cells)
    _print("gain", *(f"{np.mean(found):+.4f} ± {np.std(found):.4f}" for found in gains.values()))


def starting_alone(world: World, target: str) -> float:
    """Mean AUC over folds of the starting scorecard, at the network's usual event without noise."""
    usual = read_usual(usual_rows(home_sums(world)).sum(axis=0), 0.0)
    [score] = ClearSum.of_world([starting_scorecard(STARTING[target], usual)], world).scores
    folds = [world.fold == fold for fold in np.unique(world.fold)]
    figures = [auc(world.given[target][test], score[test]) for test in folds]
    return float(np.mean([figure for figure in figures if figure is not None]))


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
