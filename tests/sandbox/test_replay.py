"""Real ledgers: the floors of quality, and what the commands print and write."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from features.bands import SCHEMES
from features.errors import FeatureError, LedgerError
from features.outcomes import Outcome, Thresholds, observe
from features.snapshot import CutOff, Snapshot
from sandbox.clear_sum import ClearSum
from sandbox.lookup_places import by_place
from sandbox.main import app
from sandbox.market import simulated_market
from sandbox.one_night import one_night
from sandbox.purchase_cases import CASE_DAY, MOST_CASES
from sandbox.replay import CONTENDERS, ReplayFailed, home_sums, replay
from sandbox.tables_and_plots import plot_auc_by_epsilon
from sandbox.world import FOLDS, HORIZON_DAYS, TrainOn, World, market_events
from tests.networks import CUT_OFF, TARGET, small_world, world_of

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.lookup_places import AtPlace, Place
    from sandbox.network import Member
    from sandbox.one_night import OneNight

RUNNER = CliRunner()
one_worker = pytest.mark.xdist_group("sandbox night")
"""For tests that look at one night of processes, which takes half a minute."""
OR = CutOff.parse("2011-08-31")
CDNOW = CutOff.parse("1997-09-30")

# The goals of three repeats, on one repeat, whose mean has a standard deviation of at most .002
# (docs/benchmarks.md). Home outcomes may cost .012.
FLOORS = [
    ("or", OR, "y_loyal", TrainOn.GIVEN, 0.838),
    ("or", OR, "y_lapsed", TrainOn.HOME, 0.734 - 0.012),
    ("cdnow", CDNOW, "y_loyal", TrainOn.HOME, 0.799 - 0.012),
    ("cdnow", CDNOW, "y_lapsed", TrainOn.GIVEN, 0.763),
]
ON_ONE_WORKER = {name: pytest.mark.xdist_group(name) for name in ("or", "cdnow")}
"""For tests of one ledger, whose customers are linked once a worker."""
pytestmark = pytest.mark.usefixtures("linked_once")


@pytest.mark.parametrize(
    ("name", "cut_off", "target", "train_on", "floor"),
    [
        pytest.param(*row, marks=[ON_ONE_WORKER[row[0]], pytest.mark.slow, *more])
        for row, more in zip(FLOORS, 2 * ([], [pytest.mark.long]), strict=True)
    ],
)
def test_a_network_at_epsilon_1_ranks_a_real_ledger_above_the_floor(
    shared_data: Path, name: str, cut_off: CutOff, target: str, train_on: TrainOn, floor: float
) -> None:
    world, linked = World.load(
        shared_data / f"{name}_ledger.parquet",
        shared_data / f"{name}_labels.csv.gz",
        cut_off,
        target,
    )
    [found] = replay(world, targets=(target,), epsilon=1.0, repeats=1, train_on=train_on)
    assert found.auc["network"].mean >= floor
    assert found.auc["network"].mean > found.auc["local_model"].mean + 0.02
    assert found.outlets == 12
    assert (linked.left_out, linked.false_links) == (0, 0)


def test_a_scarce_purchase_is_scored_by_its_buyer_a_day_before(shared_data: Path) -> None:
    """Every wallet's purchases are one person's; at epsilon 4 little is lost."""
    world, _ = World.load(
        shared_data / "punks_ledger.parquet",
        shared_data / "punks_labels.csv.gz",
        CASE_DAY,
        "y_flip7",
        per_purchase=True,
    )
    starting = {"y_flip7": Outcome.FLIPPED}
    found = {
        epsilon: replay(world, targets=("y_flip7",), epsilon=epsilon, starting=starting, repeats=1)[
            0
        ].auc
        for epsilon in (4.0, None)
    }
    assert found[4.0]["network"].mean >= found[None]["network"].mean - 0.03
    assert found[4.0]["network"].mean > found[4.0]["local_model"].mean + 0.03
    assert world.owners.value_counts()["count"].max() == MOST_CASES


def test_on_a_market_the_network_ranks_better_than_any_outlet_alone() -> None:
    random = np.random.default_rng(5)
    world = World.of_market(simulated_market(random, outlets=10, customers=6000), random)
    outcomes = {outcome.value: outcome for outcome in (Outcome.LOYAL, Outcome.FLIPPED)}
    for found in replay(
        world, targets=tuple(outcomes), epsilon=1.0, starting=outcomes, repeats=1,
        train_on=TrainOn.HOME,
    ):  # fmt: skip
        network = found.auc["network"].mean
        assert network > found.auc["shared_model_home_events"].mean + 0.02
        assert network > found.auc["local_model"].mean + 0.02
        assert network > found.auc["pooled_linked"].mean - 0.04


@ON_ONE_WORKER["or"]
def test_the_replay_command_writes_every_figure_and_prints_a_table(
    shared_data: Path, tmp_path: Path
) -> None:
    report, plot = tmp_path / "r.json", tmp_path / "auc.png"
    result = RUNNER.invoke(
        app,
        [
            "replay", "--ledger", str(shared_data / "or_ledger.parquet"),
            "--labels", str(shared_data / "or_labels.csv.gz"), "--cutoff", "2011-03-31",
            "--target", "y_loyal", "--epsilon", "inf", "--report", str(report),
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(report.read_text())
    assert set(found) >= {
        "target", "cutoff", "outlets", "customers", "events", "epsilon", "noise", "delta",
        "rho_spent", "rounds", "seconds", "peak_mib", "repeats", "auc", "judged_at",
    }  # fmt: skip
    assert (found["epsilon"], found["rho_spent"], found["repeats"]) == (None, None, 1)
    assert found["judged_at"] == found["cutoff"] == "2011-03-31"
    assert set(found["auc"]) == set(CONTENDERS)
    assert all(set(figure) == {"mean", "sd"} for figure in found["auc"].values())
    assert "12 outlets, 2132 customers" in result.output
    assert found["linkage"] == {
        "entries": 6214, "left_out": 0, "recall": 1.0, "false_links": 0
    }  # fmt: skip
    assert "Linked by token: 6214 client-book entries" in " ".join(result.output.split())
    assert not plot.exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cutoff", "2011-02-30"], "cut-off: got '2011-02-30'"),
        (["--cutoff", "2001-01-01"], "none is 2001-01-01; the file has 2011-03-31"),
        (["--target", "y_none"], "column y_none: missing"),
        (["--target", "future_spend"], "expected 0 or 1"),
        (["--ledger", "nowhere.parquet"], "no such file"),
        (["--epsilon", "-1"], "expected a positive number or inf"),
    ],
)
def test_a_wrong_option_is_one_clear_error(
    shared_data: Path, tmp_path: Path, options: list[str], reason: str
) -> None:
    given = {
        "--ledger": str(shared_data / "or_ledger.parquet"),
        "--labels": str(shared_data / "or_labels.csv.gz"),
        "--cutoff": "2011-03-31",
        "--target": "y_loyal",
        "--report": str(tmp_path / "r.json"),
    }
    given |= dict(zip(options[::2], options[1::2], strict=True))
    result = RUNNER.invoke(app, ["replay", *(part for pair in given.items() for part in pair)])
    assert result.exit_code != 0
    assert reason in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


# --- judged later ---------------------------------------------------------------------------------

EARLIER = CutOff(CUT_OFF.date - dt.timedelta(days=HORIZON_DAYS))


def market_at(cut_off: CutOff) -> World:
    """One market at a cut-off; a customer has the same fold at every one."""
    market = simulated_market(np.random.default_rng(3), outlets=4, customers=400)
    events, last = market_events(market), cut_off.date + dt.timedelta(days=HORIZON_DAYS)
    snapshot = Snapshot.take(events, cut_off, last)
    people = snapshot.history["customer"].unique().sort()
    seen = observe(Outcome.LOYAL, snapshot, people, Thresholds())
    fold = [int(customer[1:]) % FOLDS for customer in people]
    judged = pl.DataFrame({"customer_id": people, TARGET: seen, "fold": fold})
    return World.of(events, judged, cut_off, last)


def test_judged_later_nobody_is_judged_who_was_in_the_training_and_no_later_event_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, later = market_at(EARLIER), market_at(CUT_OFF)
    trained: list[tuple[World, set[str]]] = []
    judged: list[tuple[ClearSum, set[str]]] = []
    members, measure = World.members, by_place

    def training(self: World, *given: Any) -> dict[str, Member]:
        made = members(self, *given)
        slots = np.concatenate([member.home.slots for member in made.values()])
        trained.append((self, set(self.customers.gather(slots.tolist()))))
        assert all(member.cut_off == str(EARLIER) for member in made.values())
        return made

    def judging(clear: ClearSum, *given: Any) -> dict[Place, AtPlace]:
        judged.append((clear, set(later.customers.filter(pl.Series(given[-1])))))
        return measure(clear, *given)

    with monkeypatch.context() as patched:
        patched.setattr(World, "members", training)
        patched.setattr("sandbox.replay.by_place", judging)
        [found] = replay(world, targets=(TARGET,), epsilon=None, repeats=1, later=later)
    assert (found.cutoff, found.judged_at) == (str(EARLIER), str(CUT_OFF))
    assert found.customers == len(world.customers) < len(later.customers)
    assert len(trained) == len(judged) == FOLDS
    for (of_training, those), (clear, others) in zip(trained, judged, strict=True):
        assert of_training is world
        assert those
        assert others
        assert not those & others
        assert set(world.customers) - those == set(world.customers) & others
        assert len(clear.scores[0]) == len(later.customers)
        assert clear.scores[0].tolist() == ClearSum.of_world(clear.cards, later).scores[0].tolist()
    everybody = set().union(*(others for _, others in judged))
    assert everybody == set(later.customers)  # newcomers since, too
    [now] = replay(world, targets=(TARGET,), epsilon=None, repeats=1)
    assert (now.cutoff, now.judged_at) == (str(EARLIER), str(EARLIER))
    assert now.auc["network"].mean != found.auc["network"].mean


def test_a_customer_has_one_fold_at_every_cut_off_of_the_real_ledgers(shared_data: Path) -> None:
    """Else one judged later could have been in the training."""
    for name in ("or", "cdnow"):
        labels = pl.read_csv(shared_data / f"{name}_labels.csv.gz", infer_schema_length=None)
        assert labels["cutoff"].n_unique() > 1
        folds = labels.group_by("customer_id").agg(pl.col("fold").n_unique())
        assert folds["fold"].max() == 1


@ON_ONE_WORKER["or"]
def test_the_replay_command_judges_at_a_later_cut_off(shared_data: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    arguments = [
        "replay", "--ledger", str(shared_data / "or_ledger.parquet"),
        "--labels", str(shared_data / "or_labels.csv.gz"), "--cutoff", "2011-03-31",
        "--target", "y_loyal", "--epsilon", "inf", "--report", str(report),
        "--judged-at", "2011-08-31",
    ]  # fmt: skip
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(report.read_text())
    assert (found["cutoff"], found["judged_at"]) == ("2011-03-31", "2011-08-31")
    assert set(found["auc"]) == set(CONTENDERS)
    assert 0.6 < found["auc"]["network"]["mean"] < 1


def test_what_homes_know_of_everybody_is_each_homes_own_and_nothing_where_it_has_no_event() -> None:
    world = small_world()
    homes = [home if row else "elsewhere" for row, home in enumerate(world.homes)]
    nowhere = replace(world, homes=pl.Series(homes))
    first = home_sums(nowhere)
    assert (len(first), first.counts[0], first.points[0].any()) == (len(homes), 0, False)
    assert (first.counts[1:] > 0).all()
    found, own = home_sums(world), world.sums()
    assert len(found) == len(world.customers)
    for row, home in enumerate(world.homes):
        here = own[home]
        assert found.points[row].tolist() == here.points[row].tolist()
        assert found.rates[row].tolist() == here.rates[row].tolist()
        assert found.counts[row] == here.counts[row] > 0


def test_a_contender_that_no_fold_could_be_judged_by_has_no_figure() -> None:
    """Where nobody was met at a second outlet, nothing is said of others than the main one."""
    events = market_events(simulated_market(np.random.default_rng(3), outlets=4, customers=400))
    home = events.sort("date").group_by("customer", maintain_order=True).agg(
        pl.col("outlet").first().alias("home")
    )  # fmt: skip
    alone = events.join(home, on="customer").filter(pl.col("outlet") == pl.col("home")).drop("home")
    [found] = replay(world_of(alone), targets=(TARGET,), epsilon=None, repeats=1)
    assert set(CONTENDERS) - set(found.auc) == {"network_other", "own_view_other"}
    assert all(np.isfinite(spread.mean) for spread in found.auc.values())


# --- what goes wrong, and what is shown -----------------------------------------------------------


def test_a_replay_without_enough_outlets_says_why() -> None:
    with pytest.raises(ReplayFailed, match="2 outlets answered, expected at least 3"):
        replay(small_world(outlets=2), targets=(TARGET,), epsilon=1.0, repeats=1)


def test_home_outcomes_need_a_target_that_an_outlet_can_see() -> None:
    with pytest.raises(FeatureError, match="got 'y_flip7', an outlet's own ledger shows y_loyal"):
        small_world().outcomes(TrainOn.HOME, "y_flip7")


def test_a_plot_of_auc_by_epsilon_is_a_picture(tmp_path: Path) -> None:
    world = small_world()
    reports = [replay(world, targets=(TARGET,), epsilon=e, repeats=1)[0] for e in (1.0, None)]
    plot_auc_by_epsilon(reports, tmp_path / "auc.png")
    assert (tmp_path / "auc.png").read_bytes().startswith(b"\x89PNG")


def test_a_customers_home_is_the_outlet_of_the_first_event_ties_by_outlet() -> None:
    world = small_world()
    first = world.snapshot.history.sort("date", "outlet").group_by("customer").first()
    expected = dict(first.select("customer", "outlet").iter_rows())
    assert dict(zip(world.customers, world.homes, strict=True)) == {
        customer: expected[customer] for customer in world.customers
    }


@dataclass(frozen=True, slots=True)
class SandboxNight:
    """A night of the sandbox.

    Attributes:
        run: Its folder.
        printed: What the command printed.
        found: What it came to.
    """

    run: Path
    printed: str
    found: OneNight


@pytest.fixture(scope="module")
def sandbox_night(tmp_path_factory: pytest.TempPathFactory) -> SandboxNight:
    runs = tmp_path_factory.mktemp("runs")
    kept: list[OneNight] = []

    def keeping(*given: Any, **named: Any) -> OneNight:
        kept.append(one_night(*given, **named))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sandbox.main.one_night", keeping)
        result = RUNNER.invoke(app, ["night", "--runs", str(runs), "--customers", "600"])
    assert result.exit_code == 0, result.output
    (run,) = runs.iterdir()
    return SandboxNight(run, result.output, kept[0])


@pytest.mark.slow
@one_worker
def test_a_night_writes_its_report_and_state_and_no_customer_in_hqs_or_the_offices_files(
    sandbox_night: SandboxNight,
) -> None:
    run, printed = sandbox_night.run, sandbox_night.printed
    assert "6 training" in printed
    assert "Privacy ledger: rho 0.07466 of 0.31106 spent this year" in printed
    report = json.loads((run / "report.json").read_text())
    assert report["ended"] == "complete"
    for found in report["lookups"]:
        assert set(found) == {
            "case", "outlet", "known_locally", "status", "eligibility", "flipper_risk", "allows"
        }  # fmt: skip
    told = {found["case"]: found for found in report["lookups"]}
    assert told["newcomer"]["eligibility"] == told["newcomer"]["flipper_risk"] == "new"
    assert told["newcomer"]["allows"].startswith("manager decides: ")
    assert [found["known_locally"] for found in report["lookups"]] == [True, False, False, True]
    assert report["lookups"][-1]["status"] == "not in the network"
    assert set(report["auc"]) == {"y_loyal", "y_flipped"}
    assert set(report["review"]) == {"everybody", "newcomers", "regulars"}
    for picture in ("market.png", "flipper_risk.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")
    steps = Counter(step["purpose"] for step in report["steps"])
    assert steps == {
        "usual": 1, "moments": 1, "training": 6, "evaluation": 2, "points": 2, "calibration": 1,
    }  # fmt: skip
    assert sorted(path.name for path in (run / "outlets").iterdir()) == [
        "O1", "O2", "O3", "O4", "O5"
    ]  # fmt: skip
    written = b"".join(
        path.read_bytes()
        for role in ("hq", "office")
        for path in (run / role).rglob("*")
        if path.is_file()
    )
    assert len(written) > 10_000
    # customers are named C000000 and so on, which digests in hex now and then spell, in small
    assert not re.search(rb"C000\d{3}", written)
    assert not re.search(rb"c000\d{3}", re.sub(rb"[0-9a-f]{32,}", b"", written))
    assert b"customers.example" not in written
    assert CUT_OFF.date.isoformat() == report["cutoff"]


@pytest.mark.slow
@one_worker
def test_bands_as_staff_read_them_are_those_of_the_clear_sum(sandbox_night: SandboxNight) -> None:
    """To the last customer, with their own keys and the outlets' own dithers."""
    report = json.loads((sandbox_night.run / "report.json").read_text())
    opened = sandbox_night.found.opened
    assert opened is not None
    for scheme in SCHEMES.values():
        read, clear = opened.read[scheme.name], opened.clear[scheme.name]
        assert read.tolist() == clear.tolist()
        assert len(read) == report["customers"] > 400
        assert 100 < (read > 0).sum() < len(read)
    assert len(set(opened.read["eligibility"].tolist())) > 2  # not newcomers and one band
    assert (report["bands_differing"], opened.many_outlets) == (0, 0)
    assert "all of them the clear sum's" in sandbox_night.printed
    rows = [line.split() for line in sandbox_night.printed.splitlines() if " points " in line]
    assert [row[1] for row in rows] == ["points", "points"]
    assert all("sealed" in row for row in rows)  # no loss, and nothing less for the year


@pytest.mark.slow
@one_worker
def test_json_on_request_is_the_report(
    sandbox_night: SandboxNight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same night: what is printed is asked here, not what it came to."""
    monkeypatch.setattr("sandbox.main.one_night", lambda *_, **__: sandbox_night.found)
    arguments = ["night", "--runs", str(tmp_path), "--customers", "600", "--json"]
    result = RUNNER.invoke(app, arguments)
    (run,) = tmp_path.iterdir()
    assert json.loads(result.stdout) == json.loads((run / "report.json").read_text())
    ours, theirs = (
        json.loads(result.stdout),
        json.loads((sandbox_night.run / "report.json").read_text()),
    )
    assert ours.pop("peak_mib") >= theirs.pop("peak_mib") > 0  # as of when it is printed
    assert ours == theirs


def test_labels_that_name_a_customer_twice_are_refused(tmp_path: Path) -> None:
    row = {
        "customer_id": "a",
        "cutoff": "2026-01-01",
        "horizon_end": "2026-02-01",
        "y": 1,
        "fold": 0,
    }
    pl.DataFrame([row, row]).write_csv(tmp_path / "labels.csv")
    ledger = {
        "customer_id": "a", "outlet_id": "o", "purchased_at": "2026-01-01", "price": 1.0,
        "list_price": 1.0, "is_return": False, "basket_id": "b",
    }  # fmt: skip
    pl.DataFrame([ledger]).write_csv(tmp_path / "ledger.csv")
    with pytest.raises(LedgerError, match="each customer once"):
        World.load(
            tmp_path / "ledger.csv", tmp_path / "labels.csv", CutOff.parse("2026-01-01"), "y"
        )
