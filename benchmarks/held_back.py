"""How often a wrong outlet's training is held back, and an honest one's: docs/decisions/0028.

python -m benchmarks.held_back [--seeds 20] [--customers 9000] [--trainings 12]

Each seed is a market of its own as `make night` simulates it. It is trained as of a day, and once
more as of a month later: as it is, and with one of five outlets whose outcomes are all swapped. The
later nights' counts are held against those of the first, as HQ does, in one process with the noise
of a year's policy.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.outcomes import Outcome, Thresholds, observe
from features.snapshot import CutOff, Snapshot
from privacy.purposes import Purpose
from sandbox.market import DAYS, FIRST_DAY, simulated_market
from sandbox.network import Network, Settings
from sandbox.world import FOLDS, HORIZON_DAYS, World, market_events
from server.hq.comparison import MOST_SD, Fall, Ranking

if TYPE_CHECKING:
    from collections.abc import Mapping

    Rankings = Mapping[tuple[Purpose, str], Ranking | None]

OUTLETS, MONTH = 5, dt.timedelta(days=31)
OUTCOMES = (Outcome.LOYAL.value, Outcome.FLIPPED.value)
LAST = FIRST_DAY + dt.timedelta(days=DAYS - 1)
COMPARED = (Purpose.EVALUATION, Purpose.CALIBRATION)


def world_of(events: pl.DataFrame, last: dt.date) -> World:
    """A market whose outcomes are watched up to a day; everybody known at the cut-off is in it."""
    cut_off = CutOff(last - dt.timedelta(days=HORIZON_DAYS))
    snapshot = Snapshot.take(events, cut_off, last)
    people = snapshot.history["customer"].unique().sort()
    judged = {
        outcome: observe(Outcome.named(outcome), snapshot, people, Thresholds())
        for outcome in OUTCOMES
    }
    folds = np.arange(len(people)) % FOLDS
    labels = pl.DataFrame({"customer_id": people, **judged, "fold": folds})
    return World.of(events, labels, cut_off, last)


def trained(world: World, trainings: int, *, wrong: bool) -> Rankings:
    """What a night's evaluation and calibration counted, one outlet's outcomes wrong or none's."""
    everybody = np.ones(len(world.customers), dtype=bool)
    members = dict(world.members({name: world.given[name] for name in OUTCOMES}, everybody))
    if wrong:
        name, member = list(members.items())[-1]
        swapped = {outcome: 1 - y for outcome, y in member.home.y.items()}
        members[name] = replace(member, home=replace(member.home, y=swapped))
    network = Network.build(members, world.customers, Settings.of_a_year(trainings))
    report = network.night("n", str(world.snapshot.cut_off), *OUTCOMES, bands=True)
    found: dict[tuple[Purpose, str], Ranking | None] = {}
    for step in report.steps:
        release = network.hq_store.customer_release(step.release)
        if release is not None and step.purpose in COMPARED:
            cells = release.values.reshape(len(OUTCOMES), -1)
            for outcome, values in zip(OUTCOMES, cells, strict=True):
                made = Ranking.of(step.release, values, release.noise_sd)
                found.setdefault((step.purpose, outcome), made)  # not the starting scorecard's
    network.close()
    return found


def falls(now: Rankings, before: Rankings) -> dict[tuple[Purpose, str], float]:
    """By how many standard deviations each ranking fell that noise does not cover."""
    return {
        (purpose, outcome): Fall(outcome, new, old).in_sd
        for (purpose, outcome), new in now.items()
        if new is not None and (old := before[purpose, outcome]) is not None
    }


def main() -> None:
    """Prints, of honest months and of wrong ones, how many are held back and by which counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--customers", type=int, default=9000)
    parser.add_argument("--trainings", type=int, default=12)
    options = parser.parse_args()
    seen: dict[tuple[str, Purpose, str], list[float]] = defaultdict(list)
    held: dict[str, int] = defaultdict(int)
    for seed in range(options.seeds):
        random = np.random.default_rng(seed)
        market = simulated_market(random, outlets=OUTLETS, customers=options.customers)
        events = market_events(market)
        before = trained(world_of(events, LAST - MONTH), options.trainings, wrong=False)
        for name, wrong in (("honest", False), ("wrong", True)):
            now = trained(world_of(events, LAST), options.trainings, wrong=wrong)
            found = falls(now, before)
            held[name] += any(fall > MOST_SD for fall in found.values())
            for (purpose, outcome), fall in found.items():
                seen[name, purpose, outcome].append(fall)
    for name in ("honest", "wrong"):
        sys.stdout.write(f"{name}: {held[name]} of {options.seeds} held back\n")
    for (name, purpose, outcome), some in sorted(seen.items()):
        low, middle, high = np.quantile(some, [0, 0.5, 1])
        sys.stdout.write(
            f"{name}, {purpose}, {outcome}: {len(some)} compared, fell by {low:.1f} to {high:.1f} "
            f"sd, half by {middle:.1f}; {sum(fall > MOST_SD for fall in some)} held back\n"
        )


if __name__ == "__main__":
    main()
