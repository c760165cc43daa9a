"""How many people the default thresholds name, of whom, and how often wrongly: docs/allocation.md.

python -m benchmarks.thresholds [--seeds 20] [--trainings 4] [--draws 1]

Each seed is a market of its own as `make night` simulates it, trained once as a year's policy pays
for it, in one process; the clear sum is calibrated with noise as the night's. Truth is the
market's: who resells for profit. The market is our own simulation.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from features.calibration import HALF_POINT
from privacy.purposes import Purpose
from sandbox.clear_sum import ClearSum
from sandbox.market import simulated_market
from sandbox.network import Network, Settings
from sandbox.review_verdicts import FLIPPED, OUTCOMES, cuts_of, who_flips
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    import numpy.typing as npt

    from features.events import Vector

    Flags = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int64]

OUTLETS, CUSTOMERS = 5, 9_000
GROUPS = 20
"""Of customers, by predicted probability, in the calibration error."""

SECOND = 2
"""The place of the band above the lowest in a scheme; one more is the highest."""


class MarketFigures(NamedTuple):
    """One market's figures, all shares within 0 and 1.

    Known are customers with evidence enough for a band; honest ones are known and resell nothing
    for profit. A band is taken with those that are better, or worse, than it.

    Attributes:
        error_loyal: Expected calibration error of loyalty at home,
        error_flipped: and of resale.
        eligible: Of the known, how many are eligible or better,
        eligible_true: of those, how many come back and buy,
        eligible_finds: and how many it finds of the known who do.
        priority: Likewise.
        priority_true: Likewise.
        priority_finds: Likewise.
        priority_flips: Of those in priority, how many resell for profit,
        gated: how many are elevated or in review, so that a manager looks,
        ungated_flips: and of the others, how many resell for profit.
        elevated: Of the known, how many are elevated or in review,
        elevated_true: of those, how many resell for profit,
        elevated_finds: how many it finds of the known who do,
        elevated_honest: and of the honest, how many are in it.
        review: Likewise.
        review_true: Likewise.
        review_finds: Likewise.
        review_honest: Likewise.
    """

    error_loyal: float
    error_flipped: float
    eligible: float
    eligible_true: float
    eligible_finds: float
    priority: float
    priority_true: float
    priority_finds: float
    priority_flips: float
    gated: float
    ungated_flips: float
    elevated: float
    elevated_true: float
    elevated_finds: float
    elevated_honest: float
    review: float
    review_true: float
    review_finds: float
    review_honest: float


def main() -> None:
    """Prints a Markdown row a seed, and means and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=4, help="over how many a year is spread")
    parser.add_argument(
        "--draws", type=int, default=1, help="nights of each market, each with fresh noise"
    )
    options = parser.parse_args()
    _print("seed", "cuts", *MarketFigures._fields)
    _print(*["---"] * (2 + len(MarketFigures._fields)))
    rows = []
    for seed in np.repeat(np.arange(options.seeds) + 1, options.draws).tolist():
        cuts, found = measure(seed, options.trainings)
        rows.append(found)
        _print(str(seed), " ".join(map(str, cuts)), *(f"{figure:.3f}" for figure in found))
    table = np.array(rows)
    _print("mean", "", *(f"{mean:.3f}" for mean in np.nanmean(table, axis=0)))
    for quantile in (0.05, 0.95):
        spread = np.nanquantile(table, quantile, axis=0)
        _print(f"{quantile:.0%}", "", *(f"{figure:.3f}" for figure in spread))


def measure(seed: int, trainings: int) -> tuple[list[tuple[int, ...]], MarketFigures]:
    """Simulates a market, trains once, and judges the clear sum.

    Returns:
        Where each score's bands begin, in sums of parts; and the figures.
    """
    random = np.random.default_rng(seed)
    market = simulated_market(random, outlets=OUTLETS, customers=CUSTOMERS)
    world = World.of_market(market, random)
    settings = Settings.of_a_year(trainings)
    y = {outcome: world.outcomes(TrainOn.HOME, outcome) for outcome in OUTCOMES}
    everybody = np.ones(len(world.customers), dtype=bool)
    network = Network.build(world.members(y, everybody), world.customers, settings)
    report = network.night("n1", str(world.snapshot.cut_off), *OUTCOMES)
    model = network.hq_store.model(OUTCOMES[0])
    network.close()
    if report.ended != "complete" or model is None:
        raise SystemExit(f"seed {seed}: {report.ended}")
    cards = [report.scorecards[outcome] for outcome in OUTCOMES]
    cost = settings.hq.costs()[Purpose.CALIBRATION]
    clear = ClearSum.of_world(cards, world)
    truths = [y[outcome] for outcome in OUTCOMES]
    calibrated = clear.calibrations(truths, everybody, model.second, cost)
    errors = [
        calibration_error(calibration.probability(score + HALF_POINT), truth)
        for calibration, score, truth in zip(calibrated, clear.scores, truths, strict=True)
    ]
    cuts = [cuts_of(*each) for each in zip(calibrated, cards, strict=True)]
    loyal, risk = (clear.bands(place, cuts[place]) for place in (1 - FLIPPED, FLIPPED))
    came_back = world.given[OUTCOMES[1 - FLIPPED]] > 0
    return cuts, _figures(errors, loyal, risk, came_back, who_flips(market, world.customers))


def _figures(
    errors: list[float], loyal: Places, risk: Places, came_back: Flags, flips: Flags
) -> MarketFigures:
    known = risk > 0

    def share(part: Flags, whole: Flags) -> float:
        return float(part[whole].mean()) if whole.any() else float("nan")

    def named(band: Flags, truth: Flags) -> tuple[float, float, float]:
        return share(band, known), share(truth, band), share(band, known & truth)

    [loyal_error, flipped_error] = errors
    eligible, priority = loyal >= SECOND, loyal > SECOND
    elevated, review = risk >= SECOND, risk > SECOND
    honest = known & ~flips
    return MarketFigures(
        loyal_error,
        flipped_error,
        *named(eligible, came_back),
        *named(priority, came_back),
        share(flips, priority),
        share(elevated, priority),
        share(flips, priority & ~elevated),
        *named(elevated, flips),
        share(elevated, honest),
        *named(review, flips),
        share(review, honest),
    )


def calibration_error(probability: Vector, y: Vector) -> float:
    """Mean distance of promised and observed shares over GROUPS of customers by probability."""
    order = np.argsort(probability, kind="stable")
    gaps = [
        abs(float(probability[group].sum() - y[group].sum()))
        for group in np.array_split(order, GROUPS)
    ]
    return sum(gaps) / len(y)


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
