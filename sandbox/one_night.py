"""A night of a small network of real processes, three look-ups, and a withdrawal by the next night.

Trained on home outcomes as a year's policy pays for it; the bands are as of the market's last day.
"""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from features.outcomes import Outcome
from privacy.units import Purpose, Unit
from sandbox.baselines import auc
from sandbox.network import Settings
from sandbox.processes import Processes, address_of
from sandbox.replay import Spread, TrainOn, World, baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from features.events import Vector
    from privacy.budget import Ledger
    from server.hq.report import NightReport

NEWCOMER = "newcomer"
MET_AT = 3
"""Outlets at which the customer who is looked up has bought."""

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
        lookups: What staff were told, one a case.
        seconds: How long it took.
    """

    night: NightReport
    ledger: Ledger
    at: int
    auc: dict[str, Spread]
    world: World
    lookups: list[Lookup]
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
        for outcome, judged in self.night.calibrations.items():
            if judged.auc is not None and judged.auc_noise_sd is not None:
                lines.append(
                    f"HQ's own view of {outcome}, from private counts: AUC {judged.auc:.2f}, noise "
                    f"alone may move it by {judged.auc_noise_sd:.2f}."
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
        event = self.ledger.policy.guarantee(Unit.EVENT)
        told = self.ledger.epsilon(Unit.EVENT, self.at)
        lines.append(
            f"Points, for one event: epsilon {told:.1f} tonight of {event.epsilon:.0f} a year."
            if told is not None
            else "Points had no noise, so that no epsilon holds for an event."
        )
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
            "lookups": [asdict(found) for found in self.lookups],
            "auc": {name: asdict(spread) for name, spread in self.auc.items()},
            "seconds": self.seconds,
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


@dataclass(frozen=True, slots=True)
class Lookup:
    """What staff were told of one customer.

    Attributes:
        case: Who the customer is to the outlet.
        outlet: Where the look-up was.
        status: "known" or "not in the network".
        bands: By score.
        allows: By score, in a sentence.
    """

    case: str
    outlet: str
    status: str
    bands: dict[str, str]
    allows: dict[str, str]

    @classmethod
    def of(cls, case: str, outlet: str, said: Mapping[str, Any]) -> Self:
        """Reads what `escapement-outlet lookup --json` printed."""
        bands = {band["score"]: band for band in said["bands"]}
        return cls(
            case,
            outlet,
            said["status"],
            {score: band["band"] for score, band in bands.items()},
            {score: band["allows"] for score, band in bands.items()},
        )


def one_night(
    world: World, folder: Path, on_release: Callable[[int], None] = lambda _count: None
) -> OneNight:
    """Runs a night, looks customers up, withdraws one, and runs the next night.

    Args:
        world: A ledger as its outlets hold it.
        folder: Where hq/, office/ and outlets/ keep their state.
        on_release: Called now and then with the number of releases made so far.
    """
    began = time.monotonic()
    outcomes = (Outcome.LOYAL.value, Outcome.LAPSED.value)
    test = world.fold == HELD_OUT
    y = {outcome: world.outcomes(TrainOn.HOME, outcome) for outcome in outcomes}
    cut_off, as_of = str(world.snapshot.cut_off), world.snapshot.horizon_end.isoformat()
    network = Processes.enrol(folder, world, y, ~test, Settings.of_a_year())
    try:
        network.add_newcomer(NEWCOMER)
        night = network.night(f"night-{cut_off}", cut_off, as_of, on_release)
        lookups = _look_up(network, world) if night.book is not None else []
    finally:
        network.stop()
    ledger = network.ledger()
    return OneNight(
        night,
        ledger,
        int(time.time()),
        _figures(network, world, night, y[Outcome.LOYAL.value], test),
        world,
        lookups,
        round(time.monotonic() - began, 2),
    )


def _look_up(network: Processes, world: World) -> list[Lookup]:
    """Somebody met at three outlets, at a fourth; a newcomer; and who withdrew, a night later."""
    events = world.snapshot.history
    met = events.group_by("customer").agg(pl.col("outlet").unique())
    most = met.filter(pl.col("outlet").list.len() >= MET_AT).sort("customer").row(0, named=True)
    traveller, places = address_of(most["customer"]), set(most["outlet"])
    elsewhere = next((name for name in world.outlets if name not in places), None)
    home = sorted(places)[0]
    found = [Lookup.of("bought here and elsewhere", home, network.look_up(home, traveller))]
    if elsewhere is not None:
        case = f"bought at {len(places)} other outlets, never seen here"
        said = network.look_up(elsewhere, traveller, consent=True)
        found.append(Lookup.of(case, elsewhere, said))
    newcomer = address_of(NEWCOMER)
    place = next(iter(world.outlets))
    found.append(Lookup.of("newcomer", place, network.look_up(place, newcomer)))
    network.withdraw(home, traveller)
    network.night("the-night-after", str(world.snapshot.cut_off), str(world.snapshot.horizon_end))
    for name in (home, elsewhere):
        if name is not None:
            case = f"withdrew at {home}, a night later"
            found.append(Lookup.of(case, name, network.look_up(name, traveller)))
    return found


def _figures(
    network: Processes,
    world: World,
    night: NightReport,
    y: Vector,
    test: npt.NDArray[np.bool_],
) -> dict[str, Spread]:
    """AUC of the network's scores, as of the cut-off, and of what they are held against."""
    if night.code is None or night.points is None:
        return {}
    estimate = night.code.estimate(night.points.values, night.points.noise_sd)
    slots = network.slots(world.customers)
    home_x = world.home_features()
    values = {
        "network": np.where(slots >= 0, night.code.scores(estimate)[0][slots], 0.0),
        "shared_model_home_events": night.code.cards[0].score(home_x),
        **baselines(world, home_x, y, test),
    }
    figures = {name: auc(world.y[test], score[test]) for name, score in values.items()}
    return {name: Spread.over([found]) for name, found in figures.items() if found is not None}
