"""What people see of a scorecard: plots and figures, from noisy counts alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from features.bands import SCHEMES
from features.calibration import (
    Calibration,
    calibration_dimension,
    calibration_rows,
    fine_bins,
)
from features.outcomes import Outcome
from features.scorecard import POINTS_PER_LOGIT
from privacy.plans import Signed
from privacy.purposes import Purpose
from privacy.two_key_sum import Aggregate, CustomerRelease
from server.holder.database import create_stores
from server.hq.banding import Judgement
from server.hq.main import app
from server.hq.model_store import Calibrated
from server.hq.plots import plot_scorecard
from server.hq.store import HqStore
from server.hq.tables import HQ
from tests.builders import SCALE, store_at
from tests.server.test_banding import plan_of

if TYPE_CHECKING:
    from pathlib import Path

WHITE = 0.999


BASES = {Outcome.LOYAL: -14.5, Outcome.FLIPPED: -37.25}
MIDDLE = 4
"""Mean scores are near -10 and -33: about a third is loyal, about one in twenty flips."""
DIMENSION = calibration_dimension(len(BASES))


def place_of(outcome: Outcome) -> int:
    return list(BASES).index(outcome)


def release_of(customers: int, noise_sd: float) -> CustomerRelease:
    """Counts of customers whose scores mean what they say, both scores in one release."""
    random = np.random.default_rng(11)
    bins, y = [], []
    for base in BASES.values():
        sums = np.rint(MIDDLE + POINTS_PER_LOGIT * np.sinh(random.normal(0, 1, customers)))
        bins.append(fine_bins(sums.astype(np.int64), MIDDLE))
        true = Calibration(base + MIDDLE, 0.0, 1.0, 0.0).probability(base + sums)
        y.append((random.random(customers) < true).astype(float))
    rows = calibration_rows(np.stack(bins, axis=1), np.stack(y, axis=1))
    values = rows.sum(axis=0) + random.normal(0, noise_sd, DIMENSION)
    plan = plan_of(Purpose.CALIBRATION, DIMENSION, round(noise_sd * SCALE / 2**0.5))
    return CustomerRelease(plan, ("a", "b", "c"), values)


def judged_of(outcome: Outcome, release: CustomerRelease) -> Judgement:
    place, thresholds = place_of(outcome), SCHEMES[outcome].thresholds
    before = Judgement.of(release, place, 0.0, 0, (0.1, 0.5))
    return Judgement.of(release, place, BASES[outcome], MIDDLE, thresholds, before)


@pytest.mark.parametrize("outcome", list(SCHEMES))
@pytest.mark.parametrize(("customers", "noise_sd"), [(20_000, 15.0), (5_000, 0.0), (50, 30.0)])
def test_a_plot_shows_curve_and_counts_whatever_the_noise_left(
    outcome: Outcome, customers: int, noise_sd: float, tmp_path: Path
) -> None:
    release = release_of(customers, noise_sd)
    file = tmp_path / "plot.png"
    plot_scorecard(outcome, "n1", release, judged_of(outcome, release), file)
    picture = imread(file)[:, :, :3]
    assert picture.shape[0] > 800
    assert picture.shape[1] > 1200
    inked = picture.min(axis=2) < WHITE
    upper, lower = np.array_split(inked, [int(0.58 * picture.shape[0])])
    assert upper.mean() > 0.01  # curve, cuts and names
    assert lower.mean() > 0.1  # filled bins
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def folder_with(tmp_path: Path, *outcomes: Outcome, customers: int = 20_000) -> Path:
    """HQ's folder after a calibration."""
    store = HqStore(store_at(f"sqlite:///{tmp_path / 'hq.db'}", HQ))
    release = release_of(customers, 15.0)
    name, nothing = release.plan.release, np.zeros(DIMENSION, dtype=np.uint64)
    store.add_plan(name, "n1", Signed(release.plan.encode(), b""))
    store.add_sum(name, Aggregate(release.plan, (), nothing), nothing.astype(np.int64))
    store.add_values(name, release.values)
    for outcome in outcomes:
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
    for word in ("flipper_risk", "review", "false alarms", "new cuts", "standing", "look better"):
        assert word in said
    assert sorted(file.name for file in out.iterdir()) == [
        "eligibility.png", "flipper_risk.png", "report.json"
    ]  # fmt: skip
    body = json.loads((out / "report.json").read_text())
    assert list(body["scorecards"]) == ["y_loyal", "y_flipped"]
    for outcome, found in body["scorecards"].items():
        release = release_of(20_000, 15.0)
        judged = judged_of(Outcome(outcome), release)
        assert Judgement.from_json(found) == judged
        cells = [found["counts"]["without"], found["counts"]["with"]]
        np.testing.assert_allclose(cells, judged.counts(release).outcomes, atol=1e-3)
        for score in judged.scores:
            assert f" {score:.1f} " in said
        recall = judged.accuracy.recall
        assert recall is not None
        assert f"{recall.value:.1%} ± {recall.noise_sd:.1%}" in said


def test_where_noise_covers_the_counts_the_report_has_no_figures(tmp_path: Path) -> None:
    said = run("--home", str(folder_with(tmp_path, Outcome.LOYAL, customers=50)))
    assert "AUC -" in said
    assert "%" not in said


def test_a_report_of_one_scorecard_and_of_none_says_so(tmp_path: Path) -> None:
    create_stores(tmp_path, [HQ])
    assert "No calibration yet" in run("--home", str(tmp_path))
    assert "eligibility" not in run("--home", str(folder_with(tmp_path, Outcome.FLIPPED)))
    assert (tmp_path / "report" / "flipper_risk.png").stat().st_size > 20_000
