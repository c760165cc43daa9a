"""A night of a small watch network of real processes, look-ups, and a withdrawal by the next night.

Trained on home outcomes as a year's policy pays for it; the bands are as of the market's last day.
The market's truth is used to choose whom to look up and to judge the bands, and nowhere else.
"""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from features.bands import BandPolicy, scheme_of
from features.calibration import NEWCOMER_EVENTS
from features.events import pieces
from features.ledger import Tier
from features.outcomes import Outcome
from features.snapshot import Snapshot
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
    from sandbox.market import Market
    from server.hq.report import NightReport

NEWCOMER = "newcomer"
OUTCOMES = (Outcome.LOYAL.value, Outcome.FLIPPED.value)
HELD_OUT = 0
"""The fold that is in no training sum."""

TRAININGS_A_YEAR = 4
"""Quarterly: a network this small cannot tell a rare outcome apart from a month's noise."""

REVIEW = "review"
MET_AT = 2
"""Outlets at which the collector who is looked up has bought."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How right `review` was of some customers, by the market's truth: who resells for profit.

    Attributes:
        customers: How many they are.
        flippers: How many of them resell for profit.
        review: How many are in the band.
        precision: Share of the band that does resell for profit; None of an empty band.
        recall: Share of those who do that is in the band; None where nobody does.
        falsely_accused: Share of those who do not that is in the band; None likewise.
    """

    customers: int
    flippers: int
    review: int
    precision: float | None
    recall: float | None
    falsely_accused: float | None

    @classmethod
    def of(cls, review: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Self:
        """Counts.

        Args:
            review: bool[n], who is in the band.
            truth: bool[n], who resells for profit.
        """

        def share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float | None:
            return float(part[whole].mean()) if whole.any() else None

        return cls(
            len(truth), int(truth.sum()), int(review.sum()),
            share(truth, review), share(review, truth), share(review, ~truth),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lookup:
    """What staff were told of one customer.

    Attributes:
        case: Who the customer is to the outlet.
        outlet: Where the look-up was.
        known_locally: Whether the outlet has a row of the customer.
        status: "known" or "not in the network".
        eligibility: The band; "" where there is none.
        flipper_risk: Likewise.
        allows: What the outlet's policy says to a piece by allocation only, and what staff may say.
    """

    case: str
    outlet: str
    known_locally: bool
    status: str
    eligibility: str
    flipper_risk: str
    allows: str

    @classmethod
    def of(cls, case: str, outlet: str, said: Mapping[str, Any], *, known_locally: bool) -> Self:
        """Reads what `escapement-outlet lookup --json` printed."""
        bands = {band["score"]: band["band"] for band in said["bands"]}
        return cls(
            case,
            outlet,
            known_locally,
            said["status"],
            bands.get("eligibility", ""),
            bands.get("flipper_risk", ""),
            "{decision}: {say}".format(**said["allocation"]),
        )


@dataclass(frozen=True, slots=True)
class OneNight:
    """What a sandbox night came to.

    Attributes:
        night: HQ's own report.
        ledger: The office's ledger afterwards.
        at: When, in Unix seconds.
        auc: By outcome, against what all outlets saw; empty where the night did not end.
        verdicts: How right `review` was: everybody, newcomers, regulars.
        plotted: Of flipper risk, for a plot: scores as of the cut-off, float64[n]; who resells for
            profit, bool[n]; where bands begin.
        world: What it ran on.
        lookups: What staff were told, one a case.
        seconds: How long it took.
    """

    night: NightReport
    ledger: Ledger
    at: int
    auc: dict[str, dict[str, Spread]]
    verdicts: dict[str, Verdict]
    plotted: tuple[Vector, npt.NDArray[np.bool_], tuple[float, ...]] | None
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
            if judged.cuts[0] == np.inf:
                lines.append(
                    f"Too few customers for this noise: no band of {outcome} can be told, so all "
                    "read 'new'."
                )
        guarantee = self.ledger.policy.guarantee(Unit.CUSTOMER)
        spent = self.ledger.epsilon(Unit.CUSTOMER, self.at)
        rho = float(self.ledger.spent_in_unit(Unit.CUSTOMER, self.at))
        left = float(self.ledger.remaining(Purpose.TRAINING, self.at))
        lines.append(
            f"Privacy ledger: rho {rho:.5f} of {float(guarantee.rho()):.5f} spent this year, "
            f"epsilon {spent:.2f} of {guarantee.epsilon:g} at delta {guarantee.delta:g}; left for "
            f"training: rho {left:.5f}."
            if spent is not None
            else "Privacy ledger: a customer sum had no noise, so that no epsilon holds."
        )
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
            "review": {group: asdict(found) for group, found in self.verdicts.items()},
            "auc": {
                outcome: {name: asdict(spread) for name, spread in figures.items()}
                for outcome, figures in self.auc.items()
            },
            "seconds": self.seconds,
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def one_night(
    market: Market,
    world: World,
    folder: Path,
    on_release: Callable[[int], None] = lambda _count: None,
) -> OneNight:
    """Runs a night, looks customers up, withdraws one, and runs the next night.

    Args:
        market: With the truth.
        world: The market as its outlets hold it.
        folder: Where hq/, office/ and outlets/ keep their state.
        on_release: Called now and then with the number of releases made so far.
    """
    began = time.monotonic()
    test = world.fold == HELD_OUT
    y = {outcome: world.outcomes(TrainOn.HOME, outcome) for outcome in OUTCOMES}
    cut_off, as_of = str(world.snapshot.cut_off), world.snapshot.horizon_end.isoformat()
    network = Processes.enrol(folder, world, y, ~test, Settings.of_a_year(TRAININGS_A_YEAR))
    try:
        network.add_newcomer(NEWCOMER)
        night = network.night(f"night-{cut_off}", cut_off, as_of, on_release)
        verdicts = _verdicts(network, market, world)
        lookups = _look_up(network, market, world) if night.book is not None else []
    finally:
        network.stop()
    scores = _scores(network, world, night)
    model = network.standing(Outcome.FLIPPED)
    cuts = None if model is None else model.cuts
    flipper = scores[OUTCOMES.index(Outcome.FLIPPED)] if scores else None
    return OneNight(
        night,
        network.ledger(),
        int(time.time()),
        _figures(world, night, scores, y, test),
        verdicts,
        None
        if flipper is None or cuts is None
        else (flipper, _flips(market, world.customers), cuts),
        world,
        lookups,
        round(time.monotonic() - began, 2),
    )


def _look_up(network: Processes, market: Market, world: World) -> list[Lookup]:
    """A collector, a flipper known elsewhere, a newcomer; and who withdrew, a night later."""
    scarce = market.references.filter(pl.col("tier") == Tier.ALLOCATION.value)["reference"][0]
    places = (
        pieces(world.snapshot)
        .group_by("customer")
        .agg(pl.col("outlet").unique(), pl.col("bought").sum(), resold=pl.col("confirmed").sum())
    )
    known = places.join(market.people, left_on="customer", right_on="customer_id")
    met_at, outlets = pl.col("outlet").list.len(), len(world.outlets)
    found: list[Lookup] = []

    def ask(case: str, outlet: str, customer: str, *, here: bool, consent: bool = False) -> None:
        said = network.look_up(outlet, address_of(customer), scarce, consent=consent)
        found.append(Lookup.of(case, outlet, said, known_locally=here))

    collector = known.filter(
        (pl.col("persona") == "collector") & (met_at == MET_AT) & (pl.col("resold") == 0)
    ).sort("bought", "customer")
    flipper = known.filter(pl.col("flips") & (met_at < outlets)).sort(
        "resold", "customer", descending=[True, False]
    )
    usual = collector.row(len(collector) // 2, named=True) if len(collector) else None
    if usual is not None:
        ask(
            "collector, buys here and at another",
            min(usual["outlet"]),
            usual["customer"],
            here=True,
        )
    if len(flipper):
        most = flipper.row(0, named=True)
        case = f"{most['resold']} confirmed resales, all elsewhere"
        abroad = min(set(world.outlets) - set(most["outlet"]))
        ask(case, abroad, most["customer"], here=False, consent=True)
    ask("newcomer", next(iter(world.outlets)), NEWCOMER, here=False)
    if usual is not None:
        home, customer = min(usual["outlet"]), usual["customer"]
        network.withdraw(home, address_of(customer))
        cut_off, as_of = world.snapshot.cut_off, world.snapshot.horizon_end
        network.night("the-night-after", str(cut_off), as_of.isoformat())
        ask("the collector, who withdrew: a night later", home, customer, here=True)
    return found


def _today(world: World) -> pl.DataFrame:
    """All outlets' pieces as of the market's last day."""
    last = world.snapshot.horizon_end
    whole = pl.concat([world.snapshot.history, world.snapshot.future])
    return pieces(Snapshot.take(whole, type(world.snapshot.cut_off)(last), last))


def _flips(market: Market, customers: pl.Series) -> npt.NDArray[np.bool_]:
    """Who resells for profit, bool[n]: the market's truth."""
    truth = market.people.filter("flips")["customer_id"]
    return customers.is_in(truth.implode()).to_numpy()


def _verdicts(network: Processes, market: Market, world: World) -> dict[str, Verdict]:
    """How right the published bands are; by groups of who has been seen how often, anywhere."""
    everybody = pl.concat([world.snapshot.history, world.snapshot.future])["customer"].unique()
    customers = everybody.sort()
    slots, model = network.slots(customers), network.standing(Outcome.FLIPPED)
    if model is None or model.bands is None:
        return {}
    bands = model.bands
    listed = (slots >= 0) & (slots < len(bands))
    review = bands[slots[listed]] == scheme_of(Outcome.FLIPPED, BandPolicy()).bands.index(REVIEW)
    truth = _flips(market, customers.filter(listed))
    seen = _today(world).group_by("customer").len()
    count = customers.filter(listed).alias("customer").to_frame()
    count = count.join(seen, on="customer", how="left", maintain_order="left").fill_null(0)
    regular = (count["len"] >= NEWCOMER_EVENTS).to_numpy()
    return {
        "everybody": Verdict.of(review, truth),
        "newcomers": Verdict.of(review[~regular], truth[~regular]),
        "regulars": Verdict.of(review[regular], truth[regular]),
    }


def _scores(network: Processes, world: World, night: NightReport) -> list[Vector]:
    """The network's scores as of the cut-off, float64[n] an outcome; none if it ended early."""
    if night.code is None or night.points is None:
        return []
    estimate = night.code.estimate(night.points.values, night.points.noise_sd)
    slots = network.slots(world.customers)
    return [np.where(slots >= 0, score[slots], 0.0) for score in night.code.scores(estimate)]


def _figures(
    world: World,
    night: NightReport,
    scores: list[Vector],
    y: Mapping[str, Vector],
    test: npt.NDArray[np.bool_],
) -> dict[str, dict[str, Spread]]:
    """AUC of the network's scores, as of the cut-off, and of what they are held against."""
    if night.code is None or not scores:
        return {}
    home_x = world.home_features()
    found: dict[str, dict[str, Spread]] = {}
    for outcome, score, card in zip(OUTCOMES, scores, night.code.cards, strict=True):
        values = {
            "network": score,
            "shared_model_home_events": card.score(home_x),
            **baselines(world, outcome, home_x, y[outcome], test),
        }
        truth = world.given[outcome][test]
        figures = {name: auc(truth, value[test]) for name, value in values.items()}
        found[outcome] = {
            name: Spread.over([figure]) for name, figure in figures.items() if figure is not None
        }
    return found
