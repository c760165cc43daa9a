"""One night of a small network of real processes, as a year's policy pays for it."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from features.outcomes import Outcome
from privacy.units import Purpose, Unit
from sandbox.baselines import auc
from sandbox.network import Settings
from sandbox.processes import Processes
from sandbox.replay import Spread, TrainOn, World, baselines, scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.budget import Ledger
    from server.hq.night import NightReport

HELD_OUT = 0
"""The fold that is in no training sum."""


@dataclass(frozen=True, slots=True)
class OneNight:
    """What a sandbox night came to.

    Attributes:
        night: HQ's own report.
        ledger: The office's ledger afterwards.
        at: When, in Unix seconds.
        auc: Against the sandbox's truth; empty where the night did not end.
        world: What it ran on.
        seconds: How long it took.
    """

    night: NightReport
    ledger: Ledger
    at: int
    auc: dict[str, Spread]
    world: World
    seconds: float

    @property
    def rho_before(self) -> float:
        """The year's rho for customers before this night, in a ledger that began empty."""
        return float(self.ledger.policy.guarantee(Unit.CUSTOMER).rho())

    def sentences(self) -> list[str]:
        """What a person should know, in words."""
        lines = []
        if self.night.ended != "complete":
            lines.append(f"The night ended early. {self.night.ended}")
        judged = self.night.evaluation
        if judged is not None and judged.auc is not None:
            lines.append(
                f"HQ's own view, from private counts of home events: AUC {judged.auc:.2f}, "
                f"noise alone may move it by {judged.noise_sd:.2f}."
            )
        guarantee = self.ledger.policy.guarantee(Unit.CUSTOMER)
        spent = self.ledger.epsilon(Unit.CUSTOMER, self.at)
        rho = float(self.ledger.spent_in_unit(Unit.CUSTOMER, self.at))
        lines.append(
            f"Privacy ledger: rho {rho:.5f} of {float(guarantee.rho()):.5f} spent this year, "
            f"epsilon {spent:.2f} of "
            f"{guarantee.epsilon:g} at delta {guarantee.delta:g}."
            if spent is not None
            else "Privacy ledger: a customer sum had no noise, so that no epsilon holds."
        )
        left = self.ledger.remaining(Purpose.TRAINING, self.at)
        lines.append(f"Left for training this year: rho {float(left):.5f}.")
        lines.append("Points sums had no noise: the sandbox only, until slots have tokens.")
        return lines

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        guarantee = self.ledger.policy.guarantee(Unit.CUSTOMER)
        return {
            **self.night.as_json(),
            "target": Outcome.LOYAL.value,
            "cutoff": str(self.world.snapshot.cut_off),
            "outlets": len(self.world.outlets),
            "customers": len(self.world.customers),
            "events": sum(len(events.keys) for events in self.world.events.values()),
            "rows_left_out": self.world.snapshot.left_out,
            "epsilon_year": guarantee.epsilon,
            "delta": guarantee.delta,
            "epsilon_spent": self.ledger.epsilon(Unit.CUSTOMER, self.at),
            "rho_year": float(guarantee.rho()),
            "rho_spent": float(self.ledger.spent_in_unit(Unit.CUSTOMER, self.at)),
            "rho_left": {
                purpose.value: float(self.ledger.remaining(purpose, self.at))
                for purpose in Purpose
                if purpose.unit is Unit.CUSTOMER
            },
            "auc": {name: asdict(spread) for name, spread in self.auc.items()},
            "seconds": self.seconds,
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def one_night(
    world: World, folder: Path, on_release: Callable[[int], None] = lambda _count: None
) -> OneNight:
    """Trains on home outcomes under the default year's policy and scores a held-out fold.

    Args:
        world: A ledger as its outlets hold it.
        folder: Where hq/, office/ and outlets/ keep their state.
        on_release: Called now and then with the number of releases made so far.
    """
    began = time.monotonic()
    target = Outcome.LOYAL.value
    test = world.fold == HELD_OUT
    y = world.outcomes(TrainOn.HOME, target)
    cut_off = str(world.snapshot.cut_off)
    network = Processes.enrol(folder, world, target, y, ~test, Settings.of_a_year())
    night = network.night(f"night-{cut_off}", cut_off, target, on_release)
    ledger = network.ledger()
    found: dict[str, Spread] = {}
    if night.scorecard is not None and night.points is not None:
        home_x = world.home_features()
        network_scores, home_scores = scores(night, home_x)
        values = {
            "network": network_scores,
            "shared_model_home_events": home_scores,
            **baselines(world, home_x, y, test),
        }
        for name, score in values.items():
            figure = auc(world.y[test], score[test])
            if figure is not None:
                found[name] = Spread.over([figure])
    return OneNight(
        night, ledger, int(time.time()), found, world, round(time.monotonic() - began, 2)
    )
