"""A night, top to bottom, written once against Flower's Grid.

    roll call -> night plan -> moments -> training rounds -> evaluation -> [points] -> goodnight

A night that was killed is run again under its name: finished releases are read from the store, an
unfinished one is taken up where it stood.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.events import DIMENSION
from features.learning import (
    COUNTS_DIMENSION,
    GRADIENT_CLIP,
    GRADIENT_DIMENSION,
    MOMENTS_DIMENSION,
    ROW_CLIP,
)
from features.scorecard import POINTS_WIDTH, Scorecard
from privacy.errors import AnswerRefused, BudgetExceeded, PlanRefused
from privacy.plans import PlannedReleases
from privacy.units import Purpose
from server.hq.combine import Ask, Combiner, PrivacyOffice
from server.hq.errors import HqError, OfficeUnreachable, QuorumNotMet
from server.hq.training import Evaluation, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from privacy.envelopes import VerifyKey
    from privacy.loss import Rho
    from privacy.two_key_sum import CustomerRelease, ScoreTable
    from server.hq.flower_link import FlowerLink
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore

CUSTOMER_SCALE, MOST_CUSTOMERS = 2**20, 2**20
"""Customer sums: integer units per 1.0, and at how many customers an outlet's sum saturates."""

POINTS_SCALE, MOST_EVENTS = 2**10, 2**16
"""Points sums: integer units per point, and at how many events a slot's sum saturates."""


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
        steps: One per release, in order.
        scorecard: The trained one; None if training did not end.
        evaluation: What the evaluation counts say; None if they were not released.
        points: The score table, where points were asked for.
        skipped: What was not done tonight, and why.
        ended: "complete", or why it ended before.
    """

    night: str
    cohort: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    scorecard: Scorecard | None = None
    evaluation: Evaluation | None = None
    points: ScoreTable | None = None
    skipped: list[str] = field(default_factory=list)
    ended: str = "not begun"

    def as_json(self) -> dict[str, object]:
        """What may be kept and shown: everything but the score table."""
        return {
            "night": self.night,
            "ended": self.ended,
            "cohort": list(self.cohort),
            "steps": [step.as_json() for step in self.steps],
            "skipped": self.skipped,
            "evaluation": None if self.evaluation is None else asdict(self.evaluation),
        }


@dataclass(frozen=True, slots=True)
class Night:
    """One night of HQ.

    Attributes:
        name: The night's name, used once.
        cut_off: ISO 8601 date.
        outcome: What the scorecard predicts.
        settings: HQ's.
        office: The privacy office.
        link: The outlets, through Flower.
        store: HQ's checkpoints.
        outlets: HQ's list of outlets and their signing keys.
        directory: The digest of tonight's directory.
        slots: How many slots it has, for points; 0 where no points are released.
        on_step: Called after each release, for progress.
    """

    name: str
    cut_off: str
    outcome: str
    settings: HqSettings
    office: PrivacyOffice
    link: FlowerLink
    store: HqStore
    outlets: Mapping[str, VerifyKey]
    directory: str
    slots: int = 0
    on_step: Callable[[Step], None] = lambda _step: None

    def run(self) -> NightReport:
        """Runs the night to its end, or to the first refusal, which the report names."""
        report = NightReport(self.name)
        nodes = self._roll_call()
        report.cohort = tuple(sorted(nodes.values()))
        try:
            self._releases(nodes, report)
        except OfficeUnreachable as unreachable:  # not closed: it can be taken up by its name
            report.ended = f"OfficeUnreachable: {unreachable}"
            self.link.goodnight()
            return report
        except (BudgetExceeded, PlanRefused, AnswerRefused, HqError) as refusal:
            report.ended = f"{type(refusal).__name__}: {refusal}"
        else:
            report.ended = "complete"
        self.link.goodnight()
        try:
            self.office.close_night(self.name)
        except HqError as unreachable:
            report.skipped.append(
                f"closing: {unreachable}; the office closes a night when its plan expires"
            )
        return report

    def _roll_call(self) -> dict[int, str]:
        """Who is there, of the outlets on HQ's list."""
        present = self.link.roll_call(self.cut_off, self.outcome)
        return {node: name for node, name in present.items() if name in self.outlets}

    def _releases(self, nodes: Mapping[int, str], report: NightReport) -> None:
        if len(nodes) < self.settings.quorum:
            raise QuorumNotMet("roll call", len(nodes), self.settings.quorum)
        combiner = Combiner(
            self.name,
            self.outcome,
            self.office.sign_night(self.name, self.cut_off, self._lines()),
            nodes,
            self.office,
            self.link,
            self.store,
            self.outlets,
            self.directory,
            self.settings.quorum,
        )
        training = self._train(combiner, report)
        card = Scorecard.uncapped(self.outcome, training.averaged)
        report.scorecard = card
        report.evaluation = self._evaluate(combiner, report, card)
        if self.slots:
            report.points = self._points(combiner, report, card)
        else:
            report.skipped.append("points: no directory of customers, or switched off in hq.toml")

    def _lines(self) -> list[PlannedReleases]:
        """What the night plan holds."""
        costs = self.settings.costs()
        lines = [
            PlannedReleases(purpose, count, costs[purpose])
            for purpose, count in self.settings.counts().items()
        ]
        if self.slots:
            lines.append(PlannedReleases(Purpose.POINTS, 1, None))
        return lines

    def _train(self, combiner: Combiner, report: NightReport) -> Training:
        """Moments, then rounds; the scorecard is stored after each."""
        at = Scorecard.uncapped(self.outcome, np.zeros(DIMENSION))
        ask = self._ask(Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2, at)
        moments = combiner.customer_release(ask)
        self._note(report, combiner, moments)
        training = Training.start(moments)
        for _ in range(self.settings.rounds):
            at = Scorecard.uncapped(self.outcome, training.weights)
            ask = self._ask(
                Purpose.TRAINING,
                GRADIENT_DIMENSION,
                GRADIENT_CLIP,
                at,
                training.preconditioner.encode(),
            )
            gradient = combiner.customer_release(ask)
            training = training.after_round(gradient, self.settings.step)
            self._note(report, combiner, gradient, training.clipped[-1])
            card = Scorecard.uncapped(self.outcome, training.averaged)
            self.store.save_scorecard(self.name, self.outcome, card.encode())
        return training

    def _evaluate(self, combiner: Combiner, report: NightReport, card: Scorecard) -> Evaluation:
        ask = self._ask(Purpose.EVALUATION, COUNTS_DIMENSION, 1.0, card)
        counts = combiner.customer_release(ask)
        self._note(report, combiner, counts)
        return Evaluation.of(counts)

    def _points(self, combiner: Combiner, report: NightReport, card: Scorecard) -> ScoreTable:
        """Points, rate points and events per slot; without noise until slots have tokens."""
        table = combiner.score_table(
            Ask(
                Purpose.POINTS,
                POINTS_WIDTH * self.slots,
                math.sqrt(2 * card.event_cap**2 + 1) + 1 / POINTS_SCALE,
                POINTS_SCALE,
                MOST_EVENTS,
                None,
                card.encode(),
            )
        )
        step = Step(
            table.plan.release,
            Purpose.POINTS,
            len(table.outlets),
            combiner.failures,
            None,
            None,
            combiner.seconds,
        )
        report.steps.append(step)
        self.on_step(step)
        return table

    def _ask(
        self,
        purpose: Purpose,
        dimension: int,
        norm: float,
        card: Scorecard,
        preconditioner: bytes = b"",
    ) -> Ask:
        cost = self.settings.costs()[purpose]
        return Ask(
            purpose,
            dimension,
            norm,
            CUSTOMER_SCALE,
            MOST_CUSTOMERS,
            cost,
            card.encode(),
            preconditioner,
        )

    def _note(
        self,
        report: NightReport,
        combiner: Combiner,
        release: CustomerRelease,
        clipped: float | None = None,
    ) -> None:
        step = Step(
            release.plan.release,
            release.plan.purpose,
            len(release.outlets),
            combiner.failures,
            release.signal_to_noise,
            release.plan.rho(),
            combiner.seconds,
            clipped,
        )
        report.steps.append(step)
        self.on_step(step)
