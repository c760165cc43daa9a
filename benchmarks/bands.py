"""What noise in the points costs in AUC, against its price for one event.

    python -m benchmarks.bands ../shared/data

Scorecards are trained by whole networks at epsilon 1 (masks, office and ledger included), customers
linked by token; then points as of each of the last weeks before the cut-off are released with both
servers' noise, and read as HQ reads them. "1 book" is a first release, "12 books" the twelfth of
weekly ones: HQ guesses each from the one before. Rows "2 a score" are what points, centred rate
points
and count give at the same price, each capped at the data's own 75th percentile.
"""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.events import (
    COUNT_SCALE,
    N0,
    POINT_FEATURES,
    RATE_FEATURES,
    event_features,
    positions,
)
from features.points import PointsCode
from features.scorecard import POINTS_PER_LOGIT
from features.snapshot import CutOff, Snapshot
from privacy.loss import Rho, epsilon_of
from privacy.noise import DiscreteGaussian
from sandbox.baselines import auc
from sandbox.network import Network, Settings
from sandbox.replay import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.events import EventFeatures, Matrix, Vector

NOISES = (0.25, 0.5, 1.0)
BOOKS = 12
DRAWS = 3
"""Of noise, a fold; one where twelve books are drawn each time."""
DELTA = 1e-6
PARTS = np.cumsum([len(POINT_FEATURES), len(RATE_FEATURES)])
"""Where rates, and the count, begin in a scorecard's weights after the intercept."""
A_YEAR = {"weekly": 72, "monthly": 24}
"""Points releases: bands, made anew with each month's training, and a calibration a training."""

CASES = (
    ("or_ledger.parquet", "or_labels.csv.gz", "2011-08-31", "y_loyal"),
    ("or_ledger.parquet", "or_labels.csv.gz", "2011-08-31", "y_lapsed"),
    ("cdnow_ledger.parquet", "cdnow_labels.csv.gz", "1997-09-30", "y_loyal"),
    ("cdnow_ledger.parquet", "cdnow_labels.csv.gz", "1997-09-30", "y_lapsed"),
)


@dataclass(frozen=True, slots=True)
class Trained:
    """One fold's scorecard, and who is judged by it.

    Attributes:
        exact: The code without noise.
        code: The code for noisy sums.
        test: bool[n].
    """

    exact: PointsCode
    code: PointsCode
    test: Vector


def main(folder: Path) -> None:
    """Prints the tables as Markdown."""
    sys.stdout.write(_prices())
    header = "| data, target | numbers | books | 0, uncapped | 0 |"
    sys.stdout.write(f"{header}{''.join(f' {noise:g} |' for noise in NOISES)}\n")
    sys.stdout.write(f"|{'---|' * (5 + len(NOISES))}\n")
    for ledger, labels, cutoff, target in CASES:
        cut = CutOff.parse(cutoff)
        world, _ = World.load(folder / ledger, folder / labels, cut, target)
        weeks = [cut.date - dt.timedelta(weeks=back) for back in reversed(range(BOOKS))]
        views = [_events(world, CutOff(day)) for day in weeks]
        trained = _train(world, target)
        name = f"{ledger.partition('_')[0]} {target}"
        exact = _mean(
            world.given[target], trained, partial(_read, world, views[-1:], 0.0, exact=True), 1
        )
        for books in (1, BOOKS):
            draws = DRAWS if books == 1 else 1
            row = [
                _mean(
                    world.given[target],
                    trained,
                    partial(_read, world, views[-books:], noise),
                    draws,
                )
                for noise in (0.0, *NOISES)
            ]
            _print(name, "1 a score + count", books, exact, row)
        row = [
            _mean(world.given[target], trained, partial(_three, world, views[-1], noise), DRAWS)
            for noise in (0.0, *NOISES)
        ]
        _print(name, "2 a score + count", 1, exact, row)


def _prices() -> str:
    lines = ["| noise / longest row | rho a release | books | releases a year | epsilon a year |"]
    lines.append("|---|---|---|---|---|")
    for noise in NOISES:
        rho = 1 / (2 * noise**2)
        for books, count in A_YEAR.items():
            year = epsilon_of(Rho(count * rho), DELTA)
            lines.append(f"| {noise:g} | {rho:g} | {books} | {count} | {year:.0f} |")
    return "\n".join(lines) + "\n\n"


def _events(world: World, cut: CutOff) -> EventFeatures:
    """All outlets' events as of a day, as the sum over outlets sees them."""
    rows = world.snapshot.history
    return event_features(Snapshot.take(rows, cut, cut.date))


def _train(world: World, target: str) -> list[Trained]:
    trained = []
    for fold in np.unique(world.fold).tolist():
        test = world.fold == fold
        members = world.members({target: world.given[target]}, ~test)
        network = Network.build(members, world.customers, Settings.one_training(1.0, DELTA))
        report = network.night(f"fold-{fold}", str(world.snapshot.cut_off), target, points=True)
        model = network.hq_store.model(target)
        if model is None or report.code is None:
            raise SystemExit(f"night ended early: {report.ended}")
        network.close()
        code = PointsCode.tangent(report.code.cards, model.second)
        trained.append(Trained(report.code, code, test))
    return trained


def _read(
    world: World, views: list[EventFeatures], noise: float, one: Trained, *, exact: bool = False
) -> Vector:
    """Scores after a series of releases, read as HQ reads them."""
    code = one.exact if exact else one.code
    estimate: Matrix | None = None
    for events in views:
        slots = positions(events.keys["customer"], world.customers)
        rows, listed = code.rows(events), slots >= 0
        sums = np.zeros((len(world.customers), code.width))
        np.add.at(sums, slots[listed], np.trunc(rows[listed] * code.scale) / code.scale)
        estimate = code.estimate(*_noisy(sums, noise * code.norm, code.scale), estimate)
    return code.scores(estimate)[0] if estimate is not None else np.zeros(0)


def _noisy(sums: Matrix, sigma: float, scale: int) -> tuple[Vector, float]:
    """Sums with both servers' noise, and its standard deviation."""
    if sigma == 0:
        return sums.ravel(), 0.0
    noise = DiscreteGaussian(max(1, round(sigma * scale)))
    both = noise.draw(sums.size) + noise.draw(sums.size)
    return sums.ravel() + both / scale, 2**0.5 * noise.scale / scale


def _three(world: World, events: EventFeatures, noise: float, one: Trained) -> Vector:
    """The encoding that this one replaced: caps and centre are the data's own percentiles."""
    weights = np.asarray(one.exact.cards[0].weights) * POINTS_PER_LOGIT
    of_points, of_rates, of_count = np.split(weights[1:], PARTS)
    points, rates = events.points @ of_points, events.rates @ of_rates
    centre = rates.mean()
    caps = np.quantile(np.abs(np.stack([points, rates - centre])), 0.75, axis=1)
    caps = np.maximum(caps, 1e-9)
    rows = np.stack([points / caps[0], (rates - centre) / caps[1], np.ones(len(points))], axis=1)
    rows = np.clip(rows, -1, 1)
    slots = positions(events.keys["customer"], world.customers)
    sums = np.zeros((len(world.customers), 3))
    np.add.at(sums, slots[slots >= 0], rows[slots >= 0])
    values, _ = _noisy(sums, noise * 3**0.5, 2**8)
    noisy = values.reshape(-1, 3)
    count = np.maximum(noisy[:, 2], 0.0)
    rate = (noisy[:, 1] * caps[1] + centre * count) / (N0 + count)
    return np.asarray(noisy[:, 0] * caps[0] + rate + of_count[0] * COUNT_SCALE * np.log1p(count))


def _mean(
    y: Vector, trained: list[Trained], read: Callable[[Trained], Vector], draws: int
) -> float:
    """Mean AUC over folds and draws of noise."""
    found = [auc(y[one.test], read(one)[one.test]) for one in trained for _ in range(draws)]
    return float(np.mean([figure for figure in found if figure is not None]))


def _print(name: str, numbers: str, books: int, exact: float, row: list[float]) -> None:
    cells = "".join(f" {figure:.3f} |" for figure in row)
    sys.stdout.write(f"| {name} | {numbers} | {books} | {exact:.3f} |{cells}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
