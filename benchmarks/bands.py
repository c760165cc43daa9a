"""How the clear sum and the sealed bands rank over simulated markets, and whether they are equal.

    python -m benchmarks.bands [--seeds 20]

Each seed is a market of its own as `make night` simulates it, its night run in one process: masks,
the office's ledger, noise, both seals, the book read with every customer's key. Judged on customers
who were in no training sum. The market is our own simulation.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np

from features.bands import SCHEMES
from features.outcomes import Outcome
from sandbox.baselines import auc
from sandbox.clear_sum import ClearSum
from sandbox.market import simulated_market
from sandbox.network import Network, Settings
from sandbox.opened_book import BandRanking
from sandbox.replay import baselines, figures, home_sums
from sandbox.review_verdicts import FLIPPED, OUTCOMES, ClearSumVerdicts
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.scorecard import Scorecard

OUTLETS, CUSTOMERS, TRAININGS = 5, 9_000, 4
COLUMNS = (
    "network", "own_view", "network_other", "own_view_other", "shared_model_home_events",
    "local_model", "pooled_linked", "bands_known", "home_known",
)  # fmt: skip
REVIEW = "review, precision", "honest regulars in it"


def main() -> None:
    """Prints a Markdown table of means, and how many bands were not the clear sum's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    found: dict[tuple[str, str], list[float]] = {}
    people, differing = 0, 0
    for seed in range(1, parser.parse_args().seeds + 1):
        customers, other = _market(seed, found)
        people, differing = people + customers, differing + other
        sys.stderr.write(f"seed {seed}\n")
    _print("", *OUTCOMES)
    _print(*["---"] * 3)
    for name in (*COLUMNS, *REVIEW):
        _print(name, *(_cell(found.get((outcome, name), [])) for outcome in OUTCOMES))
    sys.stdout.write(f"\n{people:,} customers, {differing} bands that are not the clear sum's\n")


def _market(seed: int, found: dict[tuple[str, str], list[float]]) -> tuple[int, int]:
    """Runs one market's night and notes its figures; how many customers, and how many differ."""
    random = np.random.default_rng(seed)
    market = simulated_market(random, outlets=OUTLETS, customers=CUSTOMERS)
    world = World.of_market(market, random)
    test, y = world.fold == 0, {name: world.outcomes(TrainOn.HOME, name) for name in OUTCOMES}
    members, settings = world.members(y, ~test), Settings.of_a_year(TRAININGS)
    network = Network.build(members, world.customers, settings)
    night = network.night("n", str(world.snapshot.cut_off), *OUTCOMES, bands=True)
    cards = [night.scorecards[name] for name in OUTCOMES]
    cuts = [night.calibrations[name].cuts for name in OUTCOMES]

    def note(outcome: str, name: str, figure: float | None) -> None:
        if figure is not None:
            found.setdefault((outcome, name), []).append(figure)

    for outcome, name, figure in figures(night, world, test):
        note(outcome, name, figure)
    clear, alone = ClearSum.of_world(cards, world), home_sums(world)
    for place, outcome in enumerate(OUTCOMES):
        truth = world.given[outcome][test]
        for name, score in baselines(world, outcome, y[outcome], ~test, world).items():
            note(outcome, name, auc(truth, score[test]))
        bands = clear.bands(place, cuts[place])[test]
        ranked = BandRanking.of(bands, cards[place].score(alone)[test], truth)
        note(outcome, "bands_known", ranked.bands)
        note(outcome, "home_known", ranked.home)
    regulars = ClearSumVerdicts.of(cards, cuts[FLIPPED], world, market).verdicts["regulars"]
    note(OUTCOMES[FLIPPED], REVIEW[0], regulars.precision)
    note(OUTCOMES[FLIPPED], REVIEW[1], regulars.falsely_accused)
    differing = _differing(network, world, cards, cuts)
    network.close()
    return len(world.customers), differing


def _differing(
    network: Network, world: World, cards: Sequence[Scorecard], cuts: Sequence[tuple[int, ...]]
) -> int:
    """How many bands as staff read them are not those of what the outlets sent."""
    keys = [key.tobytes() for key in network.directory.keys]
    dithers = {name: own.dither.of_slots(keys, OUTCOMES) for name, own in network.outlets.items()}
    slots = np.arange(len(keys))
    homes = {name: np.isin(slots, own.home.slots) for name, own in network.outlets.items()}
    clear = ClearSum.of(cards, world.sums(), homes, dithers)
    read = network.bands(network.book())
    other = np.zeros(len(keys), dtype=bool)
    for place, outcome in enumerate(OUTCOMES):
        scheme = SCHEMES[Outcome.named(outcome)]
        places = np.array([scheme.bands.index(one[scheme.name]) for one in read])
        other |= places != clear.bands(place, cuts[place])
    return int(other.sum())


def _cell(figures_found: list[float]) -> str:
    if not figures_found:
        return ""
    return f"{np.mean(figures_found):.4f} ± {np.std(figures_found):.4f}"


def _print(*cells: str) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
