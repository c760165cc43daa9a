"""What people see of a scorecard: plots and figures, from noisy counts alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from features.bands import SCHEMES
from features.calibration import CALIBRATION_DIMENSION, calibration_rows, fine_bins
from features.outcomes import Outcome
from features.scorecard import POINTS_PER_LOGIT, probability
from privacy.plans import Signed
from privacy.two_key_sum import Aggregate, CustomerRelease
from privacy.units import Purpose
from server.hq.banding import Judgement
from server.hq.main import app
from server.hq.plots import plot_scorecard
from server.hq.store import Calibrated, HqStore
from tests.builders import SCALE
from tests.server.test_banding import plan_of

if TYPE_CHECKING:
    from pathlib import Path

WHITE = 0.999


def release_of(outcome: Outcome, customers: int, noise_sd: float) -> CustomerRelease:
    """Counts of customers whose scores mean what they say; a tenth flips, a third is loyal."""
    random = np.random.default_rng(11)
    mean = -3.0 if outcome is Outcome.FLIPPED else -0.8
    scores = random.normal(mean, 1.3, customers) * POINTS_PER_LOGIT
    y = (random.random(customers) < probability(scores)).astype(float)
    rows = calibration_rows(fine_bins(scores), y, random.random(customers) < 0.5)
    values = rows.sum(axis=0) + random.normal(0, noise_sd, CALIBRATION_DIMENSION)
    plan = plan_of(Purpose.CALIBRATION, len(values), round(noise_sd * SCALE / 2**0.5))
    return CustomerRelease(plan, ("a", "b", "c"), values)


def judged_of(outcome: Outcome, release: CustomerRelease) -> Judgement:
    return Judgement.of(release, SCHEMES[outcome].thresholds, (0.0, 20.0))


@pytest.mark.parametrize("outcome", list(SCHEMES))
@pytest.mark.parametrize(("customers", "noise_sd"), [(20_000, 15.0), (5_000, 0.0), (50, 30.0)])
def test_a_plot_shows_both_panels_whatever_the_noise_left(
    outcome: Outcome, customers: int, noise_sd: float, tmp_path: Path
) -> None:
    release = release_of(outcome, customers, noise_sd)
    file = tmp_path / "plot.png"
    plot_scorecard(outcome, "n1", release, judged_of(outcome, release), file)
    picture = imread(file)[:, :, :3]
    assert picture.shape[0] > 600
    assert picture.shape[1] > 1200
    inked = picture.min(axis=2) < WHITE
    left, right = np.array_split(inked, [int(0.55 * picture.shape[1])], axis=1)
    assert left.mean() > 0.05  # filled bins
    assert right.mean() > 0.003  # axes, and text or points
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def folder_with(tmp_path: Path, *outcomes: Outcome, customers: int = 20_000) -> Path:
    """HQ's folder after a calibration."""
    store = HqStore(f"sqlite:///{tmp_path / 'hq.db'}")
    for outcome in outcomes:
        release = release_of(outcome, customers, 15.0)
        name = release.plan.release + outcome
        nothing = np.zeros(CALIBRATION_DIMENSION, dtype=np.uint64)
        store.add_plan(name, "n1", Signed(release.plan.encode(), b""))
        store.add_sum(name, Aggregate(release.plan, (), nothing), nothing.astype(np.int64))
        store.add_values(name, release.values)
        judgement = judged_of(outcome, release).as_json()
        store.save_calibration(Calibrated(outcome, "n1", 5, name, judgement))
    store.close()
    return tmp_path


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["report", *words], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_report_prints_figures_and_writes_plots_and_json(tmp_path: Path) -> None:
    home, out = folder_with(tmp_path, *SCHEMES), tmp_path / "shown"
    said = run("--home", str(home), "--out", str(out))
    for word in ("flipper_risk", "review", "false alarms", "newcomers", "standing", "look better"):
        assert word in said
    assert sorted(file.name for file in out.iterdir()) == [
        "eligibility.png", "flipper_risk.png", "report.json"
    ]  # fmt: skip
    body = json.loads((out / "report.json").read_text())
    assert list(body["scorecards"]) == ["y_loyal", "y_flipped"]
    for outcome, found in body["scorecards"].items():
        release = release_of(Outcome(outcome), 20_000, 15.0)
        judged = judged_of(Outcome(outcome), release)
        assert Judgement.from_json(found) == judged
        counts = [found["counts"][group] for group in ("newcomers", "regulars")]
        cells = [group[key] for group in counts for key in ("without", "with")]
        np.testing.assert_allclose(np.ravel(cells), release.values, atol=1e-3)
        priority = judged.accuracy[next(iter(judged.accuracy))]
        assert priority.recall is not None
        assert f"{priority.recall.value:.1%} ± {priority.recall.noise_sd:.1%}" in said


def test_where_noise_covers_the_counts_the_report_has_no_figures(tmp_path: Path) -> None:
    said = run("--home", str(folder_with(tmp_path, Outcome.LOYAL, customers=50)))
    assert "AUC -" in said
    assert "nobody reaches it" in said
    assert "%" not in said


def test_a_report_of_one_scorecard_and_of_none_says_so(tmp_path: Path) -> None:
    assert "No calibration yet" in run("--home", str(tmp_path))
    assert "eligibility" not in run("--home", str(folder_with(tmp_path, Outcome.FLIPPED)))
    assert (tmp_path / "report" / "flipper_risk.png").stat().st_size > 20_000
