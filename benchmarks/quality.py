"""How well a network's scorecard ranks two real ledgers: the tables of docs/benchmarks.md.

python -m benchmarks.quality ../shared/data [--repeats 3] [--plot FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from features.snapshot import CutOff
from sandbox.replay import CONTENDERS, ReplayReport, TrainOn, World, replay
from sandbox.show import plot_auc_by_epsilon

LEDGERS = (("or", "2011-08-31"), ("cdnow", "1997-09-30"))
TARGETS = ("y_loyal", "y_lapsed")
RUNS: tuple[tuple[float | None, TrainOn], ...] = (
    (1.0, TrainOn.GIVEN),
    (1.0, TrainOn.HOME),
    (None, TrainOn.GIVEN),
    (0.5, TrainOn.GIVEN),
    (4.0, TrainOn.GIVEN),
)


def main() -> None:
    """Prints one Markdown row a replay, as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the real ledgers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="folder for PNGs of AUC by epsilon")
    options = parser.parse_args()
    _print("ledger", "target", "epsilon", "outcomes", *CONTENDERS, "seconds", "peak MiB")
    _print(*["---"] * (6 + len(CONTENDERS)))
    for name, cut_off in LEDGERS:
        for target in TARGETS:
            world, _ = World.load(
                options.data / f"{name}_ledger.parquet",
                options.data / f"{name}_labels.csv.gz",
                CutOff.parse(cut_off),
                target,
            )
            reports = []
            for epsilon, train_on in RUNS:
                repeats = 1 if epsilon is None else options.repeats
                [found] = replay(
                    world, targets=(target,), epsilon=epsilon, repeats=repeats, train_on=train_on
                )
                _row(name, found)
                if train_on is TrainOn.GIVEN:
                    reports.append(found)
            if options.plot is not None:
                reports.sort(key=lambda report: report.epsilon or float("inf"))
                plot_auc_by_epsilon(reports, options.plot / f"auc-{name}-{target}.png")


def _row(name: str, found: ReplayReport) -> None:
    figures = [f"{found.auc[one].mean:.4f} ± {found.auc[one].sd:.4f}" for one in CONTENDERS]
    epsilon = "none" if found.epsilon is None else f"{found.epsilon:g}"
    place = (name, found.target, epsilon, found.train_on)
    _print(*place, *figures, f"{found.seconds:.0f}", f"{found.peak_mib:.0f}")


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
