"""A night of a small watch network of real processes, look-ups, and a withdrawal by the next night.

Trained on home outcomes as a year's policy pays for it. Figures are of the clear sum
(`sandbox.clear_sum`), which only the sandbox can make: AUC as of the cut-off, `review` as of the
market's last day. The published book is opened for every customer and held against the clear sum:
the two are equal. Look-ups are of that book. The market's truth is used to choose whom to look up
and to judge, and nowhere else.
"""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from features.events import pieces
from features.ledger import Tier
from privacy.purposes import Purpose
from sandbox.baselines import auc
from sandbox.clear_sum import ClearSum
from sandbox.enrolment import address_of
from sandbox.network import Settings
from sandbox.opened_book import BandRanking, OpenedBook
from sandbox.processes import Processes
from sandbox.replay import Spread, baselines, figures, home_sums
from sandbox.review_verdicts import FLIPPED, OUTCOMES, ClearSumVerdicts, consented_today
from sandbox.server_stores import move_to_server
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from features.events import Vector
    from privacy.budget import Ledger
    from sandbox.market import Market
    from server.hq.report import NightReport

NEWCOMER = "newcomer"
HELD_OUT = 0
"""The fold that is in no training sum."""

TRAININGS_A_YEAR = 4
"""Quarterly: a network this small cannot tell a rare outcome apart from a month's noise."""

MET_AT = 2
"""Outlets at which the collector who is looked up has bought."""


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
        judged: What the clear sum says; None where the night did not calibrate.
        opened: What staff read of every customer, and what they should; None without a book.
        world: What it ran on.
        lookups: What staff were told, one a case.
        seconds: How long it took.
    """

    night: NightReport
    ledger: Ledger
    at: int
    auc: dict[str, dict[str, Spread]]
    judged: ClearSumVerdicts | None
    opened: OpenedBook | None
    world: World
    lookups: list[Lookup]
    seconds: float

    @property
    def rho_before(self) -> float:
        """The year's rho for customers before this night, in a ledger that began empty."""
        return float(self.ledger.policy.customer.rho())

    def sentences(self) -> list[str]:
        """What a person should know, in words."""
        lines = []
        if self.night.ended != "complete":
            lines.append(f"The night ended early. {self.night.ended}")
        guarantee = self.ledger.policy.customer
        spent = self.ledger.epsilon(self.at)
        rho = float(self.ledger.spent_in_year(self.at))
        left = float(self.ledger.remaining(Purpose.TRAINING, self.at))
        lines.append(
            f"Privacy ledger: rho {rho:.5f} of {float(guarantee.rho()):.5f} spent this year, "
            f"epsilon {spent:.2f} of {guarantee.epsilon:g} at delta {guarantee.delta:g}; left for "
            f"training: rho {left:.5f}."
            if spent is not None
            else "Privacy ledger: a customer sum had no noise, so that no epsilon holds."
        )
        if self.opened is not None:
            lines.append(self.opened.sentence())
        return lines

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        guarantee = self.ledger.policy.customer
        return {
            **self.night.as_json(),
            "cutoff": str(self.world.snapshot.cut_off),
            "outlets": len(self.world.outlets),
            "customers": len(self.world.customers),
            "events": sum(len(events.keys) for events in self.world.events.values()),
            "rows_left_out": self.world.snapshot.left_out,
            "epsilon_year": guarantee.epsilon,
            "delta": guarantee.delta,
            "epsilon_spent": self.ledger.epsilon(self.at),
            "rho_year": float(guarantee.rho()),
            "rho_spent": float(self.ledger.spent_in_year(self.at)),
            "rho_left": {
                purpose.value: float(self.ledger.remaining(purpose, self.at))
                for purpose in Purpose
                if purpose is not Purpose.POINTS
            },
            "lookups": [asdict(found) for found in self.lookups],
            "review": {} if self.judged is None else self.judged.review_as_json(),
            "bands_differing": None if self.opened is None else self.opened.differing,
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
    server: str = "",
) -> OneNight:
    """Runs a night, looks customers up, withdraws one, and runs the next night.

    Args:
        market: With the truth.
        world: The market as its outlets hold it.
        folder: Where hq/, office/ and outlets/ keep their state.
        on_release: Called now and then with the number of releases made so far.
        server: URL of a PostgreSQL server for HQ's and the office's stores; "" for files.
    """
    began = time.monotonic()
    test = world.fold == HELD_OUT
    y = {outcome: world.outcomes(TrainOn.HOME, outcome) for outcome in OUTCOMES}
    cut_off, as_of = str(world.snapshot.cut_off), world.snapshot.horizon_end.isoformat()
    network = Processes.enrol(folder, world, y, ~test, Settings.of_a_year(TRAININGS_A_YEAR))
    if server:
        move_to_server(folder, server)
    try:
        network.add_newcomer(NEWCOMER)
        night = network.night(f"night-{cut_off}", cut_off, as_of, on_release)
        opened = _opened(network, night, world)
        with ThreadPoolExecutor() as beside:  # a look-up is one process, and leaves a core idle
            judging = beside.submit(_judged, network, night, world, market)
            ranking = beside.submit(_figures, world, night, y, test)
            lookups = _look_up(network, market, world) if night.book is not None else []
        judged, ranked = judging.result(), ranking.result()
    finally:
        network.stop()
    return OneNight(
        night,
        network.ledger(),
        int(time.time()),
        ranked,
        judged,
        opened,
        world,
        lookups,
        round(time.monotonic() - began, 2),
    )


def _opened(network: Processes, night: NightReport, world: World) -> OpenedBook | None:
    """Opens the night's book for everybody; None where there is none."""
    if night.book is None or not night.calibrations:
        return None
    cards = [night.scorecards[outcome] for outcome in OUTCOMES]
    cuts = [night.calibrations[outcome].cuts for outcome in OUTCOMES]
    return OpenedBook.of(network, cards, cuts, consented_today(world), world.customers)


def _judged(
    network: Processes, night: NightReport, world: World, market: Market
) -> ClearSumVerdicts | None:
    """How right `review` is; None where the night did not calibrate."""
    if not night.calibrations:
        return None
    cards = [night.scorecards[outcome] for outcome in OUTCOMES]
    cuts = night.calibrations[OUTCOMES[FLIPPED]].cuts
    return ClearSumVerdicts.of(
        cards, cuts, world, market, lambda people: network.dithers(people, OUTCOMES)
    )


def _rankings(
    night: NightReport, world: World, test: npt.NDArray[np.bool_]
) -> Iterator[tuple[str, str, float]]:
    """How well the night's bands rank as of the cut-off, whose outcomes are known."""
    if not night.calibrations:
        return
    cards = [night.scorecards[outcome] for outcome in OUTCOMES]
    clear, alone = ClearSum.of_world(cards, world), home_sums(world)
    for place, card in enumerate(cards):
        ranking = BandRanking.of(
            clear.bands(place, night.calibrations[card.outcome].cuts)[test],
            card.score(alone)[test],
            world.given[card.outcome][test],
        )
        for name, figure in (("bands_known", ranking.bands), ("home_known", ranking.home)):
            if figure is not None:
                yield card.outcome, name, figure


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


def _figures(
    world: World, night: NightReport, y: Mapping[str, Vector], test: npt.NDArray[np.bool_]
) -> dict[str, dict[str, Spread]]:
    """AUC by place, as of the cut-off, of the clear sum and of what it is held against."""
    if night.ended != "complete" or not night.scorecards:
        return {}
    found: dict[str, dict[str, Spread]] = {outcome: {} for outcome in night.scorecards}
    for outcome, name, figure in figures(night, world, test):
        found[outcome][name] = Spread.over([figure])
    for outcome, name, ranking in _rankings(night, world, test):
        found[outcome][name] = Spread.over([ranking])
    for outcome in found:
        scores = baselines(world, outcome, y[outcome], ~test, world)
        for name, score in scores.items():
            ranked = auc(world.given[outcome][test], score[test])
            if ranked is not None:
                found[outcome][name] = Spread.over([ranked])
    return found
