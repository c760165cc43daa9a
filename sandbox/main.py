"""`escapement-sandbox`: a whole network on one machine."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from features.errors import FeatureError
from features.outcomes import Outcome  # noqa: TC001  (typer reads it in annotations)
from features.snapshot import CutOff
from outlet_client.errors import OutletError
from privacy.errors import PrivacyError
from sandbox.market import simulated_market
from sandbox.market_plots import plot_marginals
from sandbox.network import Settings
from sandbox.one_night import one_night
from sandbox.processes import ProcessFailed
from sandbox.purchase_cases import CASE_DAY
from sandbox.replay import ReplayFailed, ReplayReport, replay
from sandbox.tables_and_plots import (
    auc_table,
    lookups_table,
    plot_auc_by_epsilon,
    plot_flipper_scores,
    review_table,
    steps_table,
)
from sandbox.world import TrainOn, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.linkage import LinkageQuality
    from sandbox.market import Market
    from sandbox.one_night import OneNight

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)
WIDTH = 118
"""Of tables where there is no terminal."""

_out = Console(width=None if sys.stdout.isatty() else WIDTH)
_err = Console(stderr=True)

PLOTTED = (0.25, 0.5, 1.0, 2.0, 4.0)


def _epsilon(text: str) -> float | None:
    """Reads an epsilon; None for `inf`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value == float("inf"):
        return None
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"got '{text}', expected a positive number or inf")
    return value


@app.command("replay")
def replay_command(  # noqa: PLR0913, PLR0917  (an argument is an option)
    ledger: Annotated[Path, typer.Option(help="Ledger, Parquet or CSV.")],
    labels: Annotated[Path, typer.Option(help="Labels with folds, CSV.")],
    target: Annotated[str, typer.Option(help="Column of the labels to predict.")],
    report: Annotated[Path, typer.Option(help="Where the figures go, JSON.")],
    cutoff: Annotated[
        str | None, typer.Option(help="Last day that a feature may see, YYYY-MM-DD.")
    ] = None,
    per_purchase: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool,
        typer.Option(
            "--per-purchase", help="Labels are of purchases: score each by its buyer, a day before."
        ),
    ] = False,
    epsilon: Annotated[str, typer.Option(help="Cost of one whole training, or inf.")] = "1",
    repeats: Annotated[int, typer.Option(min=1, help="Trainings per fold.")] = 3,
    train_on: Annotated[TrainOn, typer.Option(help="Whose outcomes train.")] = TrainOn.GIVEN,
    processes: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--processes", help="Every party a process of its own, over TLS.")
    ] = False,
    registrations: Annotated[
        Path | None, typer.Option(help="Client books as typed, CSV, to link customers by.")
    ] = None,
    region: Annotated[str, typer.Option(help="Of phones without a country.")] = "US",
    starting: Annotated[
        Outcome | None,
        typer.Option("--starting-scorecard", help="Begin at this outcome's published scorecard."),
    ] = None,
    judged_at: Annotated[
        str | None,
        typer.Option(help="A later cut-off to judge at, as production does; the same where none."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of AUC by epsilon; takes longer.")] = None,
) -> None:
    """Replays a real ledger as a network of its outlets and measures how its scores rank."""
    chosen = _epsilon(epsilon)
    if per_purchase == (cutoff is not None):
        raise typer.BadParameter("got both or neither of --cutoff and --per-purchase, expected one")
    if per_purchase and processes:
        raise typer.BadParameter("--processes: a purchase is no customer there; leave one out")
    if per_purchase and judged_at is not None:
        raise typer.BadParameter("--judged-at: purchases have their own days; leave one out")
    try:
        world, quality = World.load(
            ledger,
            labels,
            CASE_DAY if cutoff is None else CutOff.parse(cutoff),
            target,
            registrations=registrations,
            region=region,
            per_purchase=per_purchase,
        )
        later = None
        if judged_at is not None:
            later, _ = World.load(
                ledger, labels, CutOff.parse(judged_at), target, registrations=registrations,
                region=region,
            )  # fmt: skip
        replayed = partial(
            _replay,
            world,
            target,
            later=later,
            linkage=quality,
            starting={} if starting is None else {target: starting},
        )
        found = replayed(chosen, repeats, train_on, processes=processes)
        report.write_text(json.dumps(found.as_json(), indent=2) + "\n")
        if plot is not None:
            others = [replayed(e, 1, train_on) for e in (*PLOTTED, None)]
            plot_auc_by_epsilon(others, plot)
    except (FeatureError, OutletError, PrivacyError, ReplayFailed, ProcessFailed) as error:
        _err.print(f"[bold red]error:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    _out.print(auc_table({target: found.auc}))
    recall = "" if quality.recall is None else f", recall {quality.recall:.1%} over outlets"
    _out.print(
        f"Linked by token: {quality.entries} client-book entries, {quality.left_out} without a "
        f"usable phone or e-mail{recall}, {quality.false_links} tokens for two customers or more",
        highlight=False,
    )
    cost = "no noise" if found.rho_spent is None else f"rho {found.rho_spent:.6f}"
    _out.print(
        f"{found.outlets} outlets, {found.customers} customers, {found.events} events "
        f"({found.rows_left_out} rows after the cut-off left out); {found.rounds} rounds, {cost}, "
        f"{found.seconds:.0f} s, {found.peak_mib:.0f} MiB",
        highlight=False,
    )


def _replay(
    world: World,
    target: str,
    epsilon: float | None,
    repeats: int,
    train_on: TrainOn,
    *,
    later: World | None,
    linkage: LinkageQuality,
    starting: Mapping[str, Outcome],
    processes: bool = False,
) -> ReplayReport:
    """Runs a replay behind a progress bar; without noise, once is enough."""
    repeats = 1 if epsilon is None else repeats
    releases = Settings.one_training(epsilon, 1e-6).hq.releases
    total = len(np.unique(world.fold)) * repeats * releases
    name = "without noise" if epsilon is None else f"epsilon {epsilon:g}"
    with _progress() as progress:
        task = progress.add_task(f"{target}, {name}", total=total)
        [found] = replay(
            world,
            targets=(target,),
            epsilon=epsilon,
            repeats=repeats,
            train_on=train_on,
            processes=processes,
            later=later,
            starting=starting,
            on_step=lambda _step: progress.advance(task),
        )
    return replace(found, linkage=linkage)


@app.command()
def night(
    runs: Annotated[Path, typer.Option(help="Where the run's folder goes.")] = Path("runs"),
    customers: Annotated[int, typer.Option(min=100, help="How many people to simulate.")] = 9_000,
    outlets: Annotated[int, typer.Option(min=3, help="How many outlets.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the simulated ledger; noise has none.")] = 1,
    store: Annotated[
        str, typer.Option(help="URL of a PostgreSQL server; HQ and the office get a database each.")
    ] = "",
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="Print the report as JSON.")
    ] = False,
) -> None:
    """Runs one night of a small watch network on a market that the sandbox simulates."""
    folder = runs / dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    market = simulated_market(random, outlets=outlets, customers=customers)
    world = World.of_market(market, random)
    with _progress() as progress:
        task = progress.add_task("night", total=Settings.of_a_year().hq.releases + 4)
        found = one_night(
            market,
            world,
            folder,
            on_release=lambda done: progress.update(task, completed=done),
            server=store,
        )
    body = found.as_json()
    (folder / "report.json").write_text(json.dumps(body, indent=2) + "\n")
    pictures = _pictures(market, found, folder)
    if as_json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        _out.print(steps_table(found.night.steps, found.rho_before))
        if found.auc:
            _out.print(auc_table(found.auc))
        if found.judged is not None:
            _out.print(review_table(found.judged.verdicts))
        if found.lookups:
            _out.print(lookups_table(found.lookups))
        for line in (*found.sentences(), f"Report: {folder / 'report.json'}", *pictures):
            _out.print(line, highlight=False, soft_wrap=True)
    if found.night.ended != "complete":
        raise typer.Exit(1)


def _pictures(market: Market, found: OneNight, folder: Path) -> list[str]:
    """Draws the market and the flipper scores; says where."""
    plot_marginals(market, folder / "market.png")
    said = [f"The market: {folder / 'market.png'}"]
    if found.judged is not None:
        plot_flipper_scores(found.judged, folder / "flipper_risk.png")
        said.append(f"Scores against the truth: {folder / 'flipper_risk.png'}")
        said.append(f"What HQ may know of it: escapement-hq report --home {folder / 'hq'}")
    return said


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("releases"),
        TimeElapsedColumn(),
        console=_err,
        transient=True,
    )
