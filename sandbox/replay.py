"""Replay: a real ledger as a network of its outlets, and how well the network's scores rank.

Everything is real but the processes: masks, the office and its ledger, noise, Flower's messages.
Each fold of each repeat is a training of its own, with a fresh network and the whole budget; the
customers of the fold are in no training sum. They are scored by the clear sum of all outlets: what
a network adds up and nobody opens. Its parts are rounded to the nearest point: outlets' dithers
move an AUC by .004 at most, either way.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.events import POINTS, RATES, CustomerSums
from features.learning import read_usual, usual_rows
from outlet_client.report.local_model import fit_and_score
from sandbox.baselines import auc, fit_and_score_linked, linked_features, past_spend
from sandbox.clear_sum import ClearSum
from sandbox.lookup_places import Place, by_place
from sandbox.network import Network, Settings
from sandbox.processes import Processes
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from features.events import Matrix, Vector
    from features.outcomes import Outcome
    from privacy.budget import Ledger
    from sandbox.linkage import LinkageQuality
    from server.hq.report import NightReport, ReleaseReport

CONTENDERS = (
    "network",
    "own_view",
    "network_other",
    "own_view_other",
    "shared_model_home_events",
    "local_model",
    "spend_rank",
    "pooled_linked",
)
"""What is measured: at the main outlet but for those named `other`."""


class ReplayFailed(Exception):
    """A night of the replay did not come to its end."""


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
    judged_at: str
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
    linkage: LinkageQuality | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return asdict(self)


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
    later: World | None = None,
    on_step: Callable[[ReleaseReport], None] = lambda _step: None,
) -> list[ReplayReport]:
    """Trains and scores once per fold and repeat.

    Args:
        world: From `World.load`; what is trained on.
        targets: The outcomes' names; one training is of all of them.
        epsilon: Of one whole training; None trains without noise.
        starting: The published starting scorecards that targets begin at; none by default, since
            those are of the watch trade.
        delta: Its failure probability.
        repeats: Trainings per fold; one is enough without noise.
        train_on: Where training's outcomes come from.
        processes: Whether every party is a process of its own, over TLS; slower.
        later: The same ledger at a later cut-off, to be judged at as production is: by scorecards
            of before. Where None, training and judging are at one cut-off.
        on_step: Called after every release; of processes, once a night for all.

    Returns:
        A report a target.

    Raises:
        ReplayFailed: If a night ended before its time; names why.
    """
    began = time.monotonic()
    settings = Settings.one_training(epsilon, delta, starting=starting)
    judged = world if later is None else later
    found: dict[str, dict[str, list[float]]] = {
        target: {name: [] for name in CONTENDERS} for target in targets
    }
    y = {target: world.outcomes(train_on, target) for target in targets}
    clipped: list[float] = []
    report, rho = None, 0.0
    for fold in np.unique(world.fold).tolist():
        test = judged.fold == fold
        for repeat in range(repeats):
            name = f"{'-'.join(targets).replace('_', '-')}-{fold}-{repeat}"
            run = _in_processes if processes else _in_one_process
            report, ledger = run(world, name, y, world.fold != fold, settings, on_step)
            rho = float(ledger.spent_in_year(int(time.time())))
            for target, name, figure in figures(report, judged, test):
                found[target][name].append(figure)
            clipped += [step.clipped for step in report.steps if step.clipped is not None]
        for target in targets:
            scores = baselines(world, target, y[target], world.fold != fold, judged)
            for name, score in scores.items():
                _note(found[target], name, judged.given[target][test], score[test])
    common = ReplayReport(
        target="",
        cutoff=str(world.snapshot.cut_off),
        judged_at=str(judged.snapshot.cut_off),
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
            auc={name: Spread.over(values) for name, values in found[target].items() if values},
        )
        for target in targets
    ]


def _in_one_process(
    world: World,
    name: str,
    y: Mapping[str, Vector],
    training: npt.NDArray[np.bool_],
    settings: Settings,
    on_step: Callable[[ReleaseReport], None],
) -> tuple[NightReport, Ledger]:
    """One training in this process."""
    network = Network.build(world.members(y, training), world.customers, settings)
    report = network.night(name, str(world.snapshot.cut_off), *y, on_step=on_step)
    ledger = network.ledger()
    network.close()
    return report, ledger


def _in_processes(
    world: World,
    name: str,
    y: Mapping[str, Vector],
    training: npt.NDArray[np.bool_],
    settings: Settings,
    on_step: Callable[[ReleaseReport], None],
) -> tuple[NightReport, Ledger]:
    """One training with every party a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        network = Processes.enrol(Path(folder), world, y, training, settings)
        report = network.night(name, str(world.snapshot.cut_off))
        for step in report.steps:
            on_step(step)
        return report, network.ledger()


def figures(
    report: NightReport,
    judged: World,
    test: npt.NDArray[np.bool_],
    dithers: Mapping[str, Matrix] | None = None,
) -> Iterator[tuple[str, str, float]]:
    """How a night's scorecards rank customers, by place: target, contender and AUC.

    Args:
        report: Of a night that trained.
        judged: Whom it is held against.
        test: bool[n], its customers who were in no training sum.
        dithers: By outlet, float64[n, scorecards]; None rounds every part to the nearest point.

    Raises:
        ReplayFailed: If the night ended before its time; names why.
    """
    if report.ended != "complete":
        raise ReplayFailed(f"night {report.night} ended early: {report.ended}")
    clear = ClearSum.of_world(tuple(report.scorecards.values()), judged, dithers)
    for place, (target, card) in enumerate(report.scorecards.items()):
        truth = judged.given[target]
        measured = by_place(clear, place, truth, test)
        named = {
            "network": measured[Place.MAIN].network,
            "own_view": measured[Place.MAIN].own_view,
            "network_other": measured[Place.OTHER].network,
            "own_view_other": measured[Place.OTHER].own_view,
            "shared_model_home_events": auc(truth[test], card.score(home_sums(judged))[test]),
        }
        for name, figure in named.items():
            if figure is not None:
                yield target, name, figure


def home_sums(world: World) -> CustomerSums:
    """What every customer's home knows of them by itself; n rows, zeros where it has no event."""
    customers = len(world.customers)
    points, rates = np.zeros((customers, POINTS)), np.zeros((customers, RATES))
    counts = np.zeros(customers)
    for name, own in world.sums().items():
        here = world.at_home(name)
        points[here], rates[here] = own.points[here], own.rates[here]
        counts[here] = own.counts[here]
    return CustomerSums(points, rates, counts)


def baselines(
    world: World,
    target: str,
    y: Vector,
    training: npt.NDArray[np.bool_],
    judged: World,
) -> dict[str, Vector]:
    """Scores of everybody by what the network is held against, float64[n of judged] each.

    Args:
        world: What is trained on.
        target: The outcome.
        y: The outcomes that training sees.
        training: bool[n of world], who is trained on.
        judged: Who is scored; `world` itself, or the same ledger later.
    """
    here, there = home_sums(world), home_sums(judged)
    local = np.zeros(len(judged.customers))
    for name in judged.outlets:
        train, among = world.at_home(name) & training, judged.at_home(name)
        # An outlet knows its own usual event without asking anybody.
        usual = read_usual(usual_rows(here.where(train)).sum(axis=0), 0.0)
        x, others = here.where(train).vectors(usual), there.where(among).vectors(usual)
        local[among] = fit_and_score(x, y[train], others)
    truth = world.given[target][training]
    linked = linked_features(world.snapshot, world.customers)[training]
    pooled = fit_and_score_linked(linked, truth, linked_features(judged.snapshot, judged.customers))
    # Past spend ranks both ways; it is read the way that helps on the training customers.
    helps = auc(truth, past_spend(world.snapshot, world.customers)[training])
    sign = -1.0 if helps is not None and helps < 0.5 else 1.0  # noqa: PLR2004  (chance)
    spend = sign * past_spend(judged.snapshot, judged.customers)
    return {"local_model": local, "spend_rank": spend, "pooled_linked": pooled}


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
