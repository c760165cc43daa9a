"""What a night shows: steps, and what they came to; nothing of a score table is written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.points import PointsCode
    from features.scorecard import Scorecard
    from privacy.loss import Rho
    from privacy.two_key_sum import ScoreTable
    from privacy.units import Purpose
    from server.hq.banding import Judgement
    from server.hq.training import Evaluation


@dataclass(frozen=True, slots=True)
class Step:
    """What one release of a night showed, all from the release itself.

    Attributes:
        release: Its id.
        purpose: What it was for.
        outlets: How many were in the sum.
        failures: Answers that were errors or did not verify, by reason.
        signal_to_noise: From the released values; None without noise or for points.
        rho: What it cost one unit; None without noise.
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
        code: How the points of tonight's score tables are read; None without any.
        points: The score table as of the cut-off, where one was released.
        calibrations: By outcome, what the calibration counts say.
        book: Version of the band book that was published; None if none was.
        skipped: What was not done tonight, and why.
        ended: "complete", or why it ended before.
    """

    night: str
    cohort: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    scorecards: dict[str, Scorecard] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    code: PointsCode | None = None
    points: ScoreTable | None = None
    calibrations: dict[str, Judgement] = field(default_factory=dict)
    book: int | None = None
    skipped: list[str] = field(default_factory=list)
    ended: str = "not begun"

    def as_json(self) -> dict[str, object]:
        """What may be kept and shown: everything but the score table."""
        return {
            "night": self.night,
            "ended": self.ended,
            "cohort": list(self.cohort),
            "outcomes": list(self.outcomes),
            "steps": [step.as_json() for step in self.steps],
            "skipped": self.skipped,
            "evaluations": {name: asdict(found) for name, found in self.evaluations.items()},
            "calibrations": {name: found.as_json() for name, found in self.calibrations.items()},
            "book": self.book,
        }
