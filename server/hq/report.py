"""What a night shows: steps, and what they came to; of a seal nothing but who was in it.

And what scorecards look like on the counts of their latest calibration, for `escapement-hq report`.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rich.table import Table

from features.bands import BandPolicy, scheme_of
from privacy.budget import LedgerForked
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from privacy.two_key_sum import CustomerRelease
from server.hq.banding import Judgement
from server.hq.errors import HqError
from server.hq.plots import plot_scorecard
from server.hq.store import HqStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from features.accuracy import Accuracy, Estimate
    from features.scorecard import Scorecard
    from privacy.loss import Rho
    from server.hq.settings import HqFile
    from server.hq.training import ScorecardEvaluation

CAVEATS = """\
Precision: of those in the band, for how many it came true. Recall: of those for whom it came true,
how many were in the band. False alarms: of those for whom it did not, how many were in the band.
Bands begin where a curve of three numbers, fitted to the counts, reaches their thresholds; where
noise covers the counts, it is the scorecard's own, and bands begin where its training put them.
Cuts judged on the counts that they were made of look better than they are. Standing cuts, of the
calibration before, are judged on counts that they had no part in, with the new scorecard.
± is the standard deviation of the noise; chance in who was counted comes on top. A dash: noise
covers the customers whom the figure is about.
A cut divides its bin as usual scores are spread: numbers in a band are mostly within a tenth.
Who reads "new", or is marked for a person, counts where the score is.
"""

_NOBODY = 0.5
"""A band of so few customers is empty: its cut is beyond the last bin's usual scores."""


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What one release of a night showed, all from the release itself.

    Attributes:
        release: Its id.
        purpose: What it was for.
        outlets: How many were in the sum.
        failures: Answers that were errors or did not verify, by reason.
        signal_to_noise: From the released values; None without noise, and of a seal.
        rho: What it cost one customer; None without noise, and of a seal, which opens nothing.
        seconds: From the question to the value.
        clipped: The share of rows clipped, where the release says so.
    """

    release: str
    purpose: Purpose
    outlets: int
    failures: Mapping[str, int]
    signal_to_noise: float | None
    rho: Rho | None
    seconds: float
    clipped: float | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return {
            "release": self.release,
            "purpose": self.purpose.value,
            "outlets": self.outlets,
            "failures": dict(self.failures),
            "clipped_share": self.clipped,
            "signal_to_noise": self.signal_to_noise,
            "rho": None if self.rho is None else float(self.rho),
            "seconds": self.seconds,
        }


@dataclass(slots=True)
class NightReport:
    """What a night came to.

    Attributes:
        night: Its name.
        cohort: Outlets at roll call.
        outcomes: What was to be predicted.
        steps: One per release, in order.
        scorecards: By outcome, those trained tonight.
        evaluations: By outcome, what the evaluation counts say.
        calibrations: By outcome, what the calibration counts say.
        book: Version of the band book that was published; None if none was, as before the first
            seal.
        skipped: What was not done tonight, and why.
        ledger: What is wrong with the office's ledger; "" where it goes on from HQ's copy, None
            where the office was not asked.
        next_seal: The day from which on bands are due again, ISO 8601; "" before the first.
        ended: "complete", or why it ended before.
        resumable: Whether it only broke off, and can be taken up under its name.
        again: Whether it was over before it was asked for: nothing was done.
    """

    night: str
    cohort: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    steps: list[ReleaseReport] = field(default_factory=list)
    scorecards: dict[str, Scorecard] = field(default_factory=dict)
    evaluations: dict[str, ScorecardEvaluation] = field(default_factory=dict)
    calibrations: dict[str, Judgement] = field(default_factory=dict)
    book: int | None = None
    skipped: list[str] = field(default_factory=list)
    ledger: str | None = None
    next_seal: str = ""
    ended: str = "not begun"
    resumable: bool = False
    again: bool = False

    def note_refusal(self, refusal: Exception, *, resumable: bool) -> None:
        """Notes what ended the night, or broke it off."""
        self.ended = f"{type(refusal).__name__}: {refusal}"
        self.resumable = resumable
        if isinstance(refusal, LedgerForked):
            self.ledger = str(refusal)

    def as_json(self) -> dict[str, object]:
        """What may be kept and shown."""
        return {
            "night": self.night,
            "ended": self.ended,
            "cohort": list(self.cohort),
            "outcomes": list(self.outcomes),
            "steps": [step.as_json() for step in self.steps],
            "skipped": self.skipped,
            "ledger": self.ledger,
            "next_seal": self.next_seal,
            "evaluations": {name: asdict(found) for name, found in self.evaluations.items()},
            "calibrations": {name: found.as_json() for name, found in self.calibrations.items()},
            "book": self.book,
        }


@dataclass(frozen=True, slots=True)
class JudgedScorecard:
    """A scorecard's latest calibration.

    Attributes:
        outcome: What it predicts.
        night: The night that counted.
        release: The counts.
        judged: What they say.
    """

    outcome: str
    night: str
    release: CustomerRelease
    judged: Judgement

    @classmethod
    def latest(cls, store: HqStore, outcome: str) -> Self | None:
        """Reads the latest calibration of an outcome; None before the first.

        Raises:
            HqError: If the counts are not in the store.
        """
        last = store.calibration(outcome)
        if last is None:
            return None
        known = store.checkpoint(last.release)
        plan = None if known is None else ReleasePlan.decode(known.signed.payload)
        counted = plan is not None and plan.purpose is Purpose.CALIBRATION
        if known is None or plan is None or known.values is None or not counted:
            raise HqError(f"report: {last.release} is not in the store as a calibration")
        release = CustomerRelease(plan, known.outlets, known.values)
        judged = Judgement.from_json(last.judgement)
        return None if judged is None else cls(outcome, last.night, release, judged)

    @property
    def scheme(self) -> str:
        """The name of its bands' scheme."""
        return scheme_of(self.outcome, BandPolicy()).name

    def as_json(self) -> dict[str, Any]:
        """Plain values, counts included, for `json.dumps`."""
        without, having = np.round(self.judged.counts(self.release).outcomes, 3).tolist()
        return {
            "scheme": self.scheme,
            "night": self.night,
            "release": self.release.plan.release,
            "outlets": len(self.release.outlets),
            "noise_sd_of_a_cell": self.release.noise_sd,
            **self.judged.as_json(),
            "counts": {"without": without, "with": having},
        }

    def show(self, console: Console) -> None:
        """Prints what people should know of it."""
        judged, bands = self.judged, scheme_of(self.outcome, BandPolicy()).bands
        auc = _figure(judged.auc, judged.auc_noise_sd, percent=False)
        console.print(f"{self.scheme} ({self.outcome}), counted in {self.night}: AUC {auc}")
        table = Table("band", "begins at points", "customers", "promised", "came true")
        begins = ["", *(f"{score:.1f}" for score in judged.scores)]
        for row, begin in zip(judged.bands, begins, strict=True):
            promised = "-" if row.predicted is None else f"{row.predicted:.1%}"
            came_true = _figure(row.observed, row.noise_sd)
            table.add_row(bands[row.band], begin, f"{row.customers:.0f}", promised, came_true)
        console.print(table)
        table = Table(f"in {bands[-1]} by", "precision", "recall", "false alarms")
        table.add_row("new cuts", *_shares(judged.accuracy))
        if judged.standing is not None:
            table.add_row("standing cuts", *_shares(judged.standing))
        console.print(table)


def latest_calibrations(home: Path, settings: HqFile) -> list[JudgedScorecard]:
    """The latest calibration of each outcome that has one.

    Args:
        home: HQ's folder.
        settings: HQ's.

    Raises:
        HqError: If the counts of one are not in the store.
    """
    with closing(HqStore.of(home, settings.database)) as store:
        latest = [JudgedScorecard.latest(store, outcome) for outcome in settings.outcomes]
    return [judged for judged in latest if judged is not None]


def write_report(found: Sequence[JudgedScorecard], folder: Path) -> None:
    """Writes a picture a scorecard, and all of them as `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in found:
        picture = folder / f"{each.scheme}.png"
        plot_scorecard(each.outcome, each.night, each.release, each.judged, picture)
    body = {
        "caveats": " ".join(CAVEATS.split()),
        "scorecards": {each.outcome: each.as_json() for each in found},
    }
    (folder / "report.json").write_text(json.dumps(body, indent=2) + "\n")


def _shares(accuracy: Accuracy) -> list[str]:
    def shown(estimate: Estimate | None) -> str:
        return "-" if estimate is None else _figure(*estimate)

    if abs(accuracy.customers) < _NOBODY:
        return ["nobody reaches it"]
    return [shown(estimate) for _, estimate in accuracy.shares()]


def _figure(value: float | None, noise_sd: float | None, *, percent: bool = True) -> str:
    if value is None or noise_sd is None:
        return "-"
    return f"{value:.1%} ± {noise_sd:.1%}" if percent else f"{value:.3f} ± {noise_sd:.3f}"
