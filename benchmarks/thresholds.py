"""How many people the default thresholds name, of whom, and how often wrongly: docs/allocation.md.

python -m benchmarks.thresholds [--seeds 20] [--trainings 4]

Each seed is a market of its own as `make night` simulates it, trained once as a year's policy pays
for it, in one process; the clear sum is calibrated with noise as the night's. Truth is the
market's: who resells for profit. The market is our own simulation.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from features.bands import LEAST_EVIDENCE
from privacy.units import Purpose
from sandbox.market import simulated_market
from sandbox.network import Network, Settings
from sandbox.verdicts import FLIPPED, OUTCOMES, Judged, cuts_of
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    import numpy.typing as npt

    from features.events import Vector

    Flags = npt.NDArray[np.bool_]

OUTLETS, CUSTOMERS = 5, 9_000
GROUPS = 20
"""Of customers, by predicted probability, in the calibration error."""


class Found(NamedTuple):
    """One market's figures; shares within 0 and 1.

    Attributes:
        error_loyal: Expected calibration error of loyalty at home,
        error_flipped: and of resale.
        eligible: Share of all customers from the first cut of eligibility on,
        priority: and from the second; with enough evidence.
        priority_flips: Share of `priority` that resells for profit.
        elevated: Share of all customers from the first cut of risk on,
        precision_elevated: the share of them that resells for profit,
        honest_elevated: and the share of honest regulars among whom they are.
        review: Share of all customers in `review`,
        precision: the share of them that resells for profit,
        honest: the share of honest regulars in it,
        recall: and the share in it of all who resell for profit.
    """

    error_loyal: float
    error_flipped: float
    eligible: float
    priority: float
    priority_flips: float
    elevated: float
    precision_elevated: float
    honest_elevated: float
    review: float
    precision: float
    honest: float
    recall: float


def main() -> None:
    """Prints a Markdown row a seed, and means and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=4, help="over how many a year is spread")
    options = parser.parse_args()
    _print("seed", "cuts", *Found._fields)
    _print(*["---"] * (2 + len(Found._fields)))
    rows = []
    for seed in range(1, options.seeds + 1):
        judged, found = measure(seed, options.trainings)
        rows.append(found)
        cuts = " ".join(str(cuts_of(judged.calibrations, place)) for place in range(len(OUTCOMES)))
        _print(str(seed), cuts, *(f"{figure:.3f}" for figure in found))
    table = np.array(rows)
    _print("mean", "", *(f"{mean:.3f}" for mean in np.nanmean(table, axis=0)))
    for quantile in (0.05, 0.95):
        spread = np.nanquantile(table, quantile, axis=0)
        _print(f"{quantile:.0%}", "", *(f"{figure:.3f}" for figure in spread))


def measure(seed: int, trainings: int) -> tuple[Judged, Found]:
    """Simulates a market, trains once, and judges the clear sum."""
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
    judged = Judged.of(cards, model.second, cost, world, market, y, everybody)
    return judged, _figures(judged, [y[outcome] for outcome in OUTCOMES])


def _figures(judged: Judged, y: list[Vector]) -> Found:
    clear = judged.clear
    errors = [
        calibration_error(calibration.probability(score), truth)
        for calibration, score, truth in zip(judged.calibrations, clear.scores, y, strict=True)
    ]
    loyal = clear.bands(1 - FLIPPED, cuts_of(judged.calibrations, 1 - FLIPPED))
    risk = clear.bands(FLIPPED, judged.cuts)
    seen = np.asarray(sum(own.counts for own in clear.sums.values()))
    flips, honest = judged.flips, ~judged.flips & (seen >= LEAST_EVIDENCE)

    def share(part: Flags, whole: Flags) -> float:
        return float(part[whole].mean()) if whole.any() else float("nan")

    elevated, review = risk >= 2, risk == 3  # noqa: PLR2004  (places of bands)
    [loyal_error, flipped_error] = errors
    return Found(
        loyal_error,
        flipped_error,
        float((loyal >= 2).mean()),  # noqa: PLR2004
        float((loyal == 3).mean()),  # noqa: PLR2004
        share(flips, loyal == 3),  # noqa: PLR2004
        float(elevated.mean()),
        share(flips, elevated),
        share(elevated, honest),
        float(review.mean()),
        share(flips, review),
        share(review, honest),
        share(review, flips),
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
