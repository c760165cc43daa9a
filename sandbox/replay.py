"""Replay: a real ledger as a network of its outlets, and how well the network's scores rank.

Everything is real but the processes: masks, the office and its ledger, noise, Flower's messages.
Each fold of each repeat is a training of its own, with a fresh network and the whole budget; the
customers of the fold are in no training sum, and are scored from the points of all outlets.
"""

from __future__ import annotations

import datetime as dt
import resource
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from features.errors import LedgerError
from features.events import (
    EventFeatures,
    Matrix,
    Vector,
    customer_features,
    event_features,
)
from features.ledger import Tier, canonical_events
from features.outcomes import Outcome, Thresholds, observe
from features.sightings import attach, canonical_sightings
from features.snapshot import CutOff, Snapshot
from outlet_client.night.contribute import HomeCustomers
from outlet_client.report.local_model import fit_and_score
from outlet_client.sources.plain import read_table
from privacy.books import fine_key
from privacy.units import Unit
from sandbox.baselines import auc, fit_and_score_linked, linked_features, past_spend
from sandbox.cases import CASE_DAY, cases
from sandbox.linkage import Quality, client_books, link, typed_books
from sandbox.market import DAYS, FIRST_DAY
from sandbox.network import Member, Network, Settings, slot_keys
from sandbox.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privacy.budget import Ledger
    from sandbox.market import Market
    from server.hq.report import NightReport, Step


HORIZON_DAYS, FOLDS = 180, 5
"""Of a simulated market."""

_NO_OUTCOMES = ("customer_id", "fold", "owner", "home")

CONTENDERS = (
    "network",
    "shared_model_home_events",
    "local_model",
    "spend_rank",
    "pooled_linked",
)


class TrainOn(StrEnum):
    """Where a training's outcomes come from."""

    GIVEN = "given"
    """The labels file's column."""

    HOME = "home"
    """What the home outlet's own ledger shows, against the public thresholds."""


class ReplayFailed(Exception):
    """A night of the replay did not come to its end."""


@dataclass(frozen=True, slots=True)
class World:
    """A ledger and its labels, as outlets hold them at a cut-off.

    Attributes:
        snapshot: All outlets' events; only baselines and the sandbox itself see them together.
        customers: String[n], who is labelled and known at the cut-off, in order.
        given: By outcome, float64[n] to be judged against.
        fold: int64[n], the cross-validation fold.
        owners: String[n], the person whose row it is: as a rule the customer.
        homes: String[n], the outlet of the first event; ties by outlet id.
        outlets: Each outlet's own snapshot.
        events: Each outlet's own event features.
    """

    snapshot: Snapshot
    customers: pl.Series
    given: Mapping[str, Vector]
    fold: npt.NDArray[np.int64]
    owners: pl.Series
    homes: pl.Series
    outlets: Mapping[str, Snapshot]
    events: Mapping[str, EventFeatures]

    @classmethod
    def load(
        cls,
        ledger: Path,
        labels: Path,
        cut_off: CutOff,
        target: str,
        *,
        registrations: Path | None = None,
        region: str = "US",
        per_purchase: bool = False,
    ) -> tuple[World, Quality]:
        """Reads and validates the files, and links customers over outlets by token.

        Args:
            ledger: All outlets' events.
            labels: Outcomes and folds.
            cut_off: The last day that a feature may see.
            target: The labels' column.
            registrations: Client books as typed; where None, phone and email are the ledger's.
            region: For phones without a country.
            per_purchase: Whether labels are of purchases, and a purchase is scored by its buyer as
                of the day before; see `sandbox.cases`.

        Raises:
            LedgerError: At the first thing that is wrong with one of them.
        """
        raw = read_table(ledger)
        if per_purchase:
            events, judged = cases(raw, ledger.name, read_table(labels), labels.name, target)
            entries = raw.select("outlet_id", "customer_id").n_unique()
            return cls.of(events, judged, CASE_DAY, CASE_DAY.date), Quality.certain(entries)
        events = canonical_events(raw, ledger.name)
        judged = _read_labels(labels, cut_off, target)
        horizon_end = dt.date.fromisoformat(judged["horizon_end"][0])
        judged = judged.drop("horizon_end")
        books = client_books(raw) if registrations is None else typed_books(registrations)
        tokens, quality = link(books, region)
        return cls.of(*_by_token(events, judged, tokens), cut_off, horizon_end), quality

    @classmethod
    def of(
        cls, events: pl.DataFrame, judged: pl.DataFrame, cut_off: CutOff, horizon_end: dt.date
    ) -> World:
        """Splits events by outlet.

        Args:
            events: All outlets'.
            judged: customer_id, fold and a column an outcome; owner and home where they are not the
                customer and the outlet of the first event.
            cut_off: The last day that a feature may see.
            horizon_end: The last day that an outcome may see.
        """
        snapshot = Snapshot.take(events, cut_off, horizon_end)
        first = (
            snapshot.history.sort("date", "outlet")
            .group_by("customer")
            .agg(pl.col("outlet").first().alias("home"))
        )
        known = judged.sort("customer_id")
        if "home" not in known.columns:
            known = known.join(
                first, left_on="customer_id", right_on="customer", maintain_order="left"
            )
        owners = known["owner" if "owner" in known.columns else "customer_id"]
        outcomes = [name for name in known.columns if name not in _NO_OUTCOMES]
        outlets = {
            str(name): Snapshot.take(rows, cut_off, horizon_end)
            for (name,), rows in sorted(events.partition_by("outlet", as_dict=True).items())
        }
        outlets = {name: own for name, own in outlets.items() if not own.history.is_empty()}
        return cls(
            snapshot,
            known["customer_id"],
            {name: known[name].to_numpy().astype(np.float64) for name in outcomes},
            known["fold"].to_numpy().astype(np.int64),
            owners,
            known["home"],
            outlets,
            {name: event_features(own) for name, own in outlets.items()},
        )

    @classmethod
    def of_market(cls, market: Market, random: np.random.Generator) -> World:
        """A simulated market, with what all its outlets together see as given outcomes.

        Args:
            market: From `simulated_market`.
            random: Draws the folds.
        """
        events = market_events(market)
        last = FIRST_DAY + dt.timedelta(days=DAYS - 1)
        cut_off = CutOff(last - dt.timedelta(days=HORIZON_DAYS))
        snapshot = Snapshot.take(events, cut_off, last)
        people = snapshot.history["customer"].unique().sort()
        seen = {
            outcome.value: observe(outcome, snapshot, people, Thresholds())
            for outcome in (Outcome.LOYAL, Outcome.FLIPPED)
        }
        folds = random.integers(0, FOLDS, len(people))
        judged = pl.DataFrame({"customer_id": people, "fold": folds, **seen})
        return cls.of(events, judged, cut_off, last)

    def outcomes(self, train_on: TrainOn, target: str) -> Vector:
        """The outcomes that training sees, float64[n]."""
        if train_on is TrainOn.GIVEN:
            return self.given[target]
        y = np.zeros(len(self.customers))
        for name, own in self.outlets.items():
            here = (self.homes == name).to_numpy()
            y[here] = observe(Outcome.named(target), own, self.customers.filter(here), Thresholds())
        return y

    def home_features(self) -> Matrix:
        """Every customer's vector from home events alone, float64[n, DIMENSION]."""
        rows = [
            (
                np.flatnonzero(here),
                customer_features(self.events[name], self.customers.filter(here)),
            )
            for name in self.outlets
            if (here := (self.homes == name).to_numpy()).any()
        ]
        order = np.argsort(np.concatenate([index for index, _ in rows]))
        return np.concatenate([x for _, x in rows])[order]

    def members(
        self, outcomes: Mapping[str, Vector], training: npt.NDArray[np.bool_]
    ) -> dict[str, Member]:
        """The outlets, each with its own home customers among `training`.

        Args:
            outcomes: By name, float64[n] as training sees them.
            training: bool[n].
        """
        members = {}
        keys = [fine_key(key.token, key.home_nonce) for key in slot_keys(self.customers)]
        owners = self.owners.rank("dense").to_numpy().astype(np.int64)
        for name, events in self.events.items():
            mine = (self.homes == name).to_numpy() & training
            slots = np.flatnonzero(mine)
            home = HomeCustomers.of(
                events,
                self.customers.filter(mine),
                {outcome: y[mine] for outcome, y in outcomes.items()},
                slots,
                [keys[slot] for slot in slots],
                owners[mine],
            )
            members[name] = Member(str(self.snapshot.cut_off), events, home)
        return members


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over folds and repeats."""

    mean: float
    sd: float

    @classmethod
    def over(cls, values: list[float]) -> Spread:
        """Summarises figures; sd is 0 for one."""
        return cls(
            float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        )


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found; `as_json` is R.json."""

    target: str
    cutoff: str
    train_on: str
    outlets: int
    customers: int
    events: int
    rows_left_out: int
    epsilon: float | None
    delta: float
    noise: dict[str, float]
    rho_spent: float | None
    rounds: int
    clipped_share: float
    repeats: int
    seconds: float
    peak_mib: float
    auc: dict[str, Spread]
    linkage: Quality | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return asdict(self)


def market_events(market: Market) -> pl.DataFrame:
    """All outlets' canonical events, each sighting at the outlet that holds it."""
    tiers = {name: Tier(tier) for name, tier in market.references["reference", "tier"].iter_rows()}
    events = canonical_events(market.ledger, "market", tiers)
    seen = market.sightings.partition_by("outlet_id", as_dict=True)
    none = market.sightings.clear()
    return pl.concat(
        attach(own, canonical_sightings(seen.get(name, none), "market")).events
        for name, own in events.partition_by("outlet", as_dict=True).items()
    )


def replay(
    world: World,
    *,
    targets: Sequence[str],
    epsilon: float | None,
    starting: Mapping[str, Outcome] = MappingProxyType({}),
    delta: float = 1e-6,
    repeats: int = 3,
    train_on: TrainOn = TrainOn.GIVEN,
    processes: bool = False,
    band_noise: float = 0.0,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> list[ReplayReport]:
    """Trains and scores once per fold and repeat.

    Args:
        world: From `World.load`.
        targets: The outcomes' names; one training is of all of them.
        epsilon: Of one whole training; None trains without noise.
        starting: The published starting scorecards that targets begin at; none by default, since
            those are of the watch trade.
        delta: Its failure probability.
        repeats: Trainings per fold; one is enough without noise.
        train_on: Where training's outcomes come from.
        processes: Whether every party is a process of its own, over TLS; slower.
        band_noise: Of the points release, as a multiple of an event's longest row; 0 for none.
        on_step: Called after every release; of processes, once a night for all.

    Returns:
        A report a target.

    Raises:
        ReplayFailed: If a night ended before its time; names why.
    """
    began = time.monotonic()
    settings = Settings.one_training(epsilon, delta, band_noise=band_noise, starting=starting)
    found: dict[str, dict[str, list[float]]] = {
        target: {name: [] for name in CONTENDERS} for target in targets
    }
    y = {target: world.outcomes(train_on, target) for target in targets}
    home_x = world.home_features()
    clipped: list[float] = []
    report, rho = None, 0.0
    for fold in np.unique(world.fold).tolist():
        test = world.fold == fold
        for repeat in range(repeats):
            name = f"{'-'.join(targets).replace('_', '-')}-{fold}-{repeat}"
            run = _in_processes if processes else _in_one_process
            report, ledger = run(world, name, y, ~test, settings, on_step)
            rho = float(ledger.spent_in_unit(Unit.CUSTOMER, int(time.time())))
            for target, (network_scores, home_scores) in zip(
                targets, scores(report, home_x), strict=True
            ):
                truth = world.given[target][test]
                _note(found[target], "network", truth, network_scores[test])
                _note(found[target], "shared_model_home_events", truth, home_scores[test])
            clipped += [step.clipped for step in report.steps if step.clipped is not None]
        for target in targets:
            for name, score in baselines(world, target, home_x, y[target], test).items():
                _note(found[target], name, world.given[target][test], score[test])
    common = ReplayReport(
        target="",
        cutoff=str(world.snapshot.cut_off),
        train_on=train_on.value,
        outlets=len(world.outlets),
        customers=len(world.customers),
        events=sum(len(events.keys) for events in world.events.values()),
        rows_left_out=world.snapshot.left_out,
        epsilon=epsilon,
        delta=delta,
        noise=_noise(report),
        rho_spent=None if epsilon is None else rho,
        rounds=settings.hq.rounds,
        clipped_share=float(np.mean(clipped)),
        repeats=repeats,
        seconds=round(time.monotonic() - began, 2),
        peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        auc={},
    )
    return [
        replace(
            common,
            target=target,
            auc={name: Spread.over(values) for name, values in found[target].items()},
        )
        for target in targets
    ]


def _in_one_process(
    world: World,
    name: str,
    y: Mapping[str, Vector],
    training: npt.NDArray[np.bool_],
    settings: Settings,
    on_step: Callable[[Step], None],
) -> tuple[NightReport, Ledger]:
    """One training in this process."""
    network = Network.build(world.members(y, training), world.customers, settings)
    cut_off = str(world.snapshot.cut_off)
    report = network.night(name, cut_off, *y, points=True, on_step=on_step)
    ledger = network.ledger()
    network.close()
    return report, ledger


def _in_processes(
    world: World,
    name: str,
    y: Mapping[str, Vector],
    training: npt.NDArray[np.bool_],
    settings: Settings,
    on_step: Callable[[Step], None],
) -> tuple[NightReport, Ledger]:
    """One training with every party a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        network = Processes.enrol(Path(folder), world, y, training, settings)
        report = network.night(name, str(world.snapshot.cut_off))
        for step in report.steps:
            on_step(step)
        return report, network.ledger()


def scores(report: NightReport, home_x: Matrix) -> list[tuple[Vector, Vector]]:
    """Scores from all outlets' points, and by the same scorecard from home events alone.

    Returns:
        float64[n] of each, a scorecard.

    Raises:
        ReplayFailed: If the night ended before its time; names why.
    """
    if report.ended != "complete" or report.code is None or report.points is None:
        raise ReplayFailed(f"night {report.night} ended early: {report.ended}")
    estimate = report.code.estimate(report.points.values, report.points.noise_sd)
    summed = report.code.scores(estimate)
    return [
        (score, card.score(home_x)) for score, card in zip(summed, report.code.cards, strict=True)
    ]


def baselines(
    world: World, target: str, home_x: Matrix, y: Vector, test: npt.NDArray[np.bool_]
) -> dict[str, Vector]:
    """Scores of everybody by what the network is held against, float64[n] each.

    Args:
        world: Everything.
        target: The outcome.
        home_x: Every customer's vector from home events alone.
        y: The outcomes that training sees.
        test: bool[n], the customers who are in no training.
    """
    local = np.zeros(len(world.customers))
    for name in world.outlets:
        here = (world.homes == name).to_numpy()
        train = here & ~test
        local[here] = fit_and_score(home_x[train], y[train], home_x[here])
    linked = linked_features(world.snapshot, world.customers)
    truth = world.given[target][~test]
    pooled = fit_and_score_linked(linked[~test], truth, linked)
    spend = past_spend(world.snapshot, world.customers)
    # Past spend ranks both ways; it is read the way that helps on the training customers.
    helps = auc(truth, spend[~test])
    sign = -1.0 if helps is not None and helps < 0.5 else 1.0  # noqa: PLR2004  (chance)
    return {"local_model": local, "spend_rank": sign * spend, "pooled_linked": pooled}


def _note(found: dict[str, list[float]], name: str, y: Vector, score: Vector) -> None:
    figure = auc(y, score)
    if figure is not None:
        found[name].append(figure)


def _noise(report: NightReport | None) -> dict[str, float]:
    """Noise multiplier of each server, by purpose, from the plans that were signed."""
    if report is None:
        return {}
    return {
        step.purpose.value: 0.0 if step.rho is None else round((2 * float(step.rho)) ** -0.5, 4)
        for step in report.steps
    }


def _by_token(
    events: pl.DataFrame, judged: pl.DataFrame, tokens: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and labels under tokens instead of the ledger's ids.

    A customer is judged under the token that their first outlet knows, as staff there would look
    them up. Where two customers share a token, the first by id is judged.
    """
    known = events.with_columns(pl.col("outlet", "customer").cast(pl.String)).join(
        tokens, on=["outlet", "customer"], how="inner", maintain_order="left"
    )
    first = known.sort("date", "outlet").group_by("customer").agg(pl.col("token").first())
    labels = (
        judged.join(first, left_on="customer_id", right_on="customer")
        .sort("customer_id")
        .unique("token", keep="first", maintain_order=True)
        .with_columns(customer_id=pl.col("token"))
        .drop("token")
    )
    return known.with_columns(customer=pl.col("token")).drop("token"), labels


def _read_labels(path: Path, cut_off: CutOff, target: str) -> pl.DataFrame:
    """Labels at a cut-off: customer_id, y, fold, horizon_end, each customer once."""
    table = read_table(path)
    for name in ("customer_id", "cutoff", "horizon_end", "fold", target):
        if name not in table.columns:
            raise LedgerError(path.name, None, name, f"missing; got {', '.join(table.columns)}")
    here = table.filter(pl.col("cutoff").cast(pl.String) == str(cut_off))
    if here.is_empty():
        offered = ", ".join(sorted(table["cutoff"].cast(pl.String).unique().to_list()))
        raise LedgerError(path.name, None, "cutoff", f"none is {cut_off}; the file has {offered}")
    judged = here.select(
        pl.col("customer_id").cast(pl.String),
        pl.col("horizon_end").cast(pl.String),
        pl.col(target).cast(pl.Float64, strict=False),
        pl.col("fold").cast(pl.Int64, strict=False),
    )
    if judged[target].is_in([0.0, 1.0]).not_().any() or judged[target].null_count():
        raise LedgerError(path.name, None, target, "expected 0 or 1 in every row of the cut-off")
    if judged["customer_id"].n_unique() != len(judged) or judged["fold"].null_count():
        raise LedgerError(
            path.name, None, "customer_id", "expected each customer once, with a fold"
        )
    return judged
