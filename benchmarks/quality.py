"""How well a network's scorecards rank customers, by where they are looked up: docs/benchmarks.md.

python -m benchmarks.quality ../shared/data [--tables real later market small epsilon]
    [--repeats 3] [--plot FOLDER]

Each row is a ledger and an outcome: AUC of the network's clear sum and of an outlet's own view, at
a customer's main outlet and at others that have met them, beside what one outlet can do with its
own data, and what can be done with all records in one place. `make peers` makes the environment of
the last two columns; without it they are dashes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.ledgers import (
    Case,
    later_cases,
    market_case,
    real_cases,
    small_cases,
)
from benchmarks.peers import HeldOutCustomers, Peer, environment_ready, peer_scores
from sandbox.baselines import auc, linked_features
from sandbox.replay import CONTENDERS, ReplayReport, replay
from sandbox.tables_and_plots import plot_auc_by_epsilon

if TYPE_CHECKING:
    from collections.abc import Iterator

EPSILONS = (0.5, 1.0, 4.0, None)
TABLES = ("real", "later", "market", "small", "epsilon")
_TITLES = {
    "real": "Trained and judged at one cut-off, customers in folds",
    "later": "Trained at an earlier cut-off, judged at a later one on customers of other folds",
    "market": "A simulated market, trained on what homes see",
    "small": "Stand-ins for a small network: 2,000 customers, each outlet split in thirty",
    "epsilon": "The network by epsilon of one training: main, other",
}


def main() -> None:
    """Prints Markdown tables, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the real ledgers")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--repeats", type=int, default=3, help="trainings a fold")
    parser.add_argument("--plot", type=Path, help="folder for PNGs of AUC by epsilon")
    options = parser.parse_args()
    for table in options.tables:
        sys.stdout.write(f"\n{_TITLES[table]}\n\n")
        if table == "epsilon":
            _by_epsilon(options.data, options.repeats, options.plot)
            continue
        _print("ledger", "outcome", "true for", "epsilon", *CONTENDERS, *Peer, "s")
        _print(*["---"] * (5 + len(CONTENDERS) + len(Peer)))
        for case in _cases(table, options.data):
            for found in _replayed(case, case.epsilon, options.repeats):
                _row(case, found, options.repeats)


def _cases(table: str, data: Path) -> Iterator[Case]:
    if table == "market":
        return iter([market_case(), market_case(20, 20_000, 12)])
    cases = {"real": real_cases, "later": later_cases, "small": small_cases}
    return cases[table](data)


def _replayed(case: Case, epsilon: float | None, repeats: int) -> list[ReplayReport]:
    return replay(
        case.world, targets=case.targets, epsilon=epsilon, starting=case.starting,
        repeats=1 if epsilon is None else repeats, train_on=case.train_on, later=case.later,
    )  # fmt: skip


def _row(case: Case, found: ReplayReport, repeats: int) -> None:
    judged = case.later or case.world
    true_for = f"{judged.given[found.target].mean():.1%}"
    figures = [_figure(found, name) for name in CONTENDERS]
    peers = [_peer(case, found.target, peer, repeats) for peer in Peer]
    place = (case.name, found.target, true_for, f"{case.epsilon:g}")
    _print(*place, *figures, *peers, f"{found.seconds:.0f}")


def _figure(found: ReplayReport, name: str) -> str:
    """A contender's AUC; a dash where there is none."""
    return f"{found.auc[name].mean:.4f}" if name in found.auc else "-"


def _peer(case: Case, target: str, peer: Peer, repeats: int) -> str:
    """A peer's AUC over folds and repeats; a dash where it cannot be had."""
    if not environment_ready() or case.name == "punks":  # a wallet's cases are no customers
        return "-"
    world, judged = case.world, case.later or case.world
    private = peer is Peer.DP_EBM
    scores = peer_scores(
        linked_features(world.snapshot, world.customers),
        world.given[target],
        world.fold,
        model=peer,
        epsilon=case.epsilon if private else None,
        repeats=repeats if private else 1,
        judged=HeldOutCustomers(linked_features(judged.snapshot, judged.customers), judged.fold),
    )
    figures = [
        auc(judged.given[target][test], score[test])
        for score in scores
        for fold in np.unique(judged.fold)
        for test in [judged.fold == fold]
    ]
    return f"{np.mean([figure for figure in figures if figure is not None]):.4f}"


def _by_epsilon(data: Path, repeats: int, plot: Path | None) -> None:
    names = ["no noise" if epsilon is None else f"{epsilon:g}" for epsilon in EPSILONS]
    _print("ledger", "outcome", *names)
    _print(*["---"] * (2 + len(names)))
    for case in (*real_cases(data), market_case()):
        by_target: dict[str, list[ReplayReport]] = {target: [] for target in case.targets}
        for epsilon in EPSILONS:
            for found in _replayed(case, epsilon, repeats):
                by_target[found.target].append(found)
        for target, reports in by_target.items():
            cells = [
                ", ".join(_figure(found, name) for name in ("network", "network_other"))
                for found in reports
            ]
            _print(case.name, target, *cells)
            if plot is not None:
                name = f"auc-{case.name.partition(',')[0]}-{target}.png"
                plot_auc_by_epsilon(reports, plot / name)


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
