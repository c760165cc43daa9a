"""A night, top to bottom, written once against Flower's Grid.

    roll call -> night plan -> [moments -> training rounds -> evaluation]
    -> [points as of the cut-off -> fine book -> calibration] -> [points as of today -> bands]
    -> band book -> goodnight

What is in brackets happens when it is due and when the ledger allows; the report says what was
skipped and why. A night that was killed is run again under its name: finished releases are read
from the store, an unfinished one is taken up where it stood.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.calibration import CALIBRATION_DIMENSION
from features.errors import FeatureError
from features.events import DIMENSION
from features.learning import (
    COUNTS_DIMENSION,
    GRADIENT_CLIP,
    GRADIENT_DIMENSION,
    MOMENTS_DIMENSION,
    ROW_CLIP,
)
from features.points import PointsCode
from features.scorecard import Scorecard
from privacy.errors import PrivacyError
from privacy.plans import NightPlan
from privacy.two_key_sum import CustomerRelease
from privacy.units import Purpose
from server.hq.banding import Judgement
from server.hq.combine import Ask, Combiner, PrivacyOffice
from server.hq.due import Due, Tonight
from server.hq.errors import HqError, OfficeUnreachable, QuorumNotMet
from server.hq.report import NightReport, Step
from server.hq.store import Calibrated, Model
from server.hq.training import Evaluation, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from features.events import Matrix
    from privacy.envelopes import VerifyKey
    from privacy.two_key_sum import ScoreTable
    from server.hq.banding import Banding
    from server.hq.flower_link import FlowerLink
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore

CUSTOMER_SCALE, MOST_CUSTOMERS = 2**20, 2**20
"""Customer sums: integer units per 1.0, and at how many customers an outlet's sum saturates."""


@dataclass(frozen=True, slots=True)
class Night:
    """One night of HQ.

    Attributes:
        tonight: What it is about.
        settings: HQ's.
        office: The privacy office.
        link: The outlets, through Flower.
        store: HQ's checkpoints and what stands.
        outlets: HQ's list of outlets and their signing keys.
        banding: Makes books; None where scores are all that is wanted, as in a replay.
        clock: Unix seconds.
        on_step: Called after each release, for progress.
    """

    tonight: Tonight
    settings: HqSettings
    office: PrivacyOffice
    link: FlowerLink
    store: HqStore
    outlets: Mapping[str, VerifyKey]
    banding: Banding | None = None
    clock: Callable[[], float] = time.time
    on_step: Callable[[Step], None] = lambda _step: None

    def run(self) -> NightReport:
        """Runs the night to its end, or to the first refusal, which the report names."""
        report = NightReport(self.tonight.name, outcomes=self.tonight.outcomes)
        nodes = self._roll_call()
        report.cohort = tuple(sorted(nodes.values()))
        try:
            self._releases(nodes, report)
        except (PrivacyError, HqError, FeatureError) as refusal:
            report.ended = f"{type(refusal).__name__}: {refusal}"
        else:
            report.ended = "complete"
        self._publish(report)  # whatever ended the night: who withdrew is gone from it
        self.link.goodnight()
        if report.ended.startswith(OfficeUnreachable.__name__):
            return report  # not closed: it can be taken up by its name
        try:
            self.office.close_night(self.tonight.name)
        except HqError as unreachable:
            report.skipped.append(
                f"closing: {unreachable}; the office closes a night when its plan expires"
            )
        return report

    def _roll_call(self) -> dict[int, str]:
        """Who is there, of the outlets on HQ's list."""
        present = self.link.roll_call(self.tonight.roll_call())
        return {node: name for node, name in present.items() if name in self.outlets}

    def _releases(self, nodes: Mapping[int, str], report: NightReport) -> None:
        if len(nodes) < self.settings.quorum:
            raise QuorumNotMet("roll call", len(nodes), self.settings.quorum)
        due = Due(
            self.tonight, self.settings, self.store, self.office, self.clock,
            calibrates=self.banding is not None,
        )  # fmt: skip
        signed = due.plan(report.skipped)
        if signed is None:
            return
        combiner = Combiner(
            self.tonight.name,
            signed,
            nodes,
            self.office,
            self.link,
            self.store,
            self.outlets,
            self.tonight.directory,
            self.settings.quorum,
        )
        planned = {line.purpose for line in NightPlan.decode(signed.payload).releases}
        if Purpose.TRAINING in planned:
            self._train(combiner, report)
        models = self.store.models(self.tonight.outcomes)
        if Purpose.POINTS in planned and models:
            code = report.code = points_code(models, self.settings.band_noise)
            if Purpose.TRAINING in planned:
                report.points = self._points(combiner, report, code, self.tonight.cut_off)
            if Purpose.CALIBRATION in planned and report.points is not None:
                self._calibrate(combiner, report, code, report.points)
            if self.banding is not None:
                self._bands(combiner, code, report, self.banding)

    # --- training -----------------------------------------------------------------------------

    def _train(self, combiner: Combiner, report: NightReport) -> None:
        """One moments release for all outcomes, then rounds and counts for each."""
        at = Scorecard.of(self.tonight.outcomes[0], np.zeros(DIMENSION))
        ask = self._ask(Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2, at)
        moments = combiner.customer_release(ask)
        self._note(report, combiner, moments)
        for outcome in self.tonight.outcomes:
            training = Training.begin(
                moments, self.settings.starting_scorecard(outcome), self.settings.rounds
            )
            for _ in range(self.settings.rounds):
                training = self._round(combiner, report, outcome, training)
            card = Scorecard.of(outcome, training.averaged)
            report.scorecards[outcome] = card
            report.evaluations[outcome] = self._evaluate(combiner, report, card)
            self._stands(card, training)

    def _round(
        self, combiner: Combiner, report: NightReport, outcome: str, training: Training
    ) -> Training:
        """One gradient step; the scorecard is stored after it."""
        at = Scorecard.of(outcome, training.weights)
        attachment = training.preconditioner.encode()
        ask = self._ask(Purpose.TRAINING, GRADIENT_DIMENSION, GRADIENT_CLIP, at, attachment)
        gradient = combiner.customer_release(ask)
        training = training.after_round(gradient, self.settings.step)
        self._note(report, combiner, gradient, training.clipped[-1])
        card = Scorecard.of(outcome, training.averaged)
        self.store.save_scorecard(self.tonight.name, outcome, card.encode())
        return training

    def _evaluate(self, combiner: Combiner, report: NightReport, card: Scorecard) -> Evaluation:
        ask = self._ask(Purpose.EVALUATION, COUNTS_DIMENSION, 1.0, card)
        counts = combiner.customer_release(ask)
        self._note(report, combiner, counts)
        return Evaluation.of(counts)

    def _stands(self, card: Scorecard, training: Training) -> None:
        """Lets a new scorecard stand; bands keep their history, cuts wait for its calibration."""
        before = self.store.model(card.outcome)
        if before is not None and before.night == self.tonight.name:
            return
        made = Model(
            card.outcome, self.tonight.name, int(self.clock()), card.encode(),
            training.preconditioner.second, None, None,
        )  # fmt: skip
        if before is not None:
            made = replace(
                made, bands=before.bands, banded_as_of=before.banded_as_of,
                banded_by=before.banded_by,
            )  # fmt: skip
        self.store.save_model(made)

    # --- points, calibration, bands -----------------------------------------------------------

    def _points(
        self, combiner: Combiner, report: NightReport, code: PointsCode, as_of: str
    ) -> ScoreTable:
        table = combiner.score_table(
            Ask(
                Purpose.POINTS,
                code.width * self.tonight.slots,
                code.norm,
                code.scale,
                code.most_events,
                self.settings.points_cost(),
                code.encode(),
                as_of,
                ring_bits=code.ring_bits,
            )
        )
        self._note(report, combiner, table)
        return table

    def _calibrate(
        self, combiner: Combiner, report: NightReport, code: PointsCode, table: ScoreTable
    ) -> None:
        """Scores go out in fine bins, for homes only; private counts of outcomes come back."""
        if self.banding is None:
            return
        models = self.store.models(self.tonight.outcomes)
        alone = code.scores_alone(table.values, table.noise_sd, models[0].second)
        book = self.store.fine_book(self.tonight.name)
        if book is None:
            book = self.banding.fine_book(table, alone, self.tonight)
            self.store.save_fine_book(self.tonight.name, book)
        estimated = code.scores(code.estimate(table.values, table.noise_sd))
        for model, own, whole in zip(models, alone, estimated, strict=True):
            card = Scorecard.decode(model.scorecard)
            ask = self._ask(Purpose.CALIBRATION, CALIBRATION_DIMENSION, 1.0, card, book)
            counts = combiner.customer_release(ask)
            self._note(report, combiner, counts)
            judged = self._judge(counts, card.outcome, self.banding)
            cuts = (
                self.banding.translated(judged.cuts, own, whole) if table.noise_sd else judged.cuts
            )
            self.store.save_model(replace(model, cuts=cuts))
            report.calibrations[card.outcome] = judged

    def _judge(self, counts: CustomerRelease, outcome: str, banding: Banding) -> Judgement:
        """Judges the cuts that these counts make, and those that stood until now."""
        last = self.store.calibration(outcome, before=self.tonight.name)
        standing = None if last is None else Judgement.from_json(last.judgement).cuts
        judged = Judgement.of(counts, banding.thresholds(outcome), standing)
        self.store.save_calibration(
            Calibrated(
                outcome, self.tonight.name, int(self.clock()), counts.plan.release, judged.as_json()
            )
        )
        return judged

    def _estimate(
        self, code: PointsCode, table: ScoreTable, as_of_cut: ScoreTable | None
    ) -> Matrix:
        """What tonight's sums say with those of earlier books, or of the cut-off at first."""
        before = self.store.estimate_before(self.tonight.name)
        if before is None and as_of_cut is not None:
            before = code.estimate(as_of_cut.values, as_of_cut.noise_sd)
        return code.estimate(table.values, table.noise_sd, before)

    def _bands(
        self, combiner: Combiner, code: PointsCode, report: NightReport, banding: Banding
    ) -> None:
        """Points as of today become every slot's bands."""
        table = self._points(combiner, report, code, self.tonight.as_of)
        estimate = self._estimate(code, table, report.points)
        self.store.save_estimate(self.tonight.name, int(self.clock()), estimate)
        models = self.store.models(self.tonight.outcomes)
        bands = banding.assign(models, code.scores(estimate), code.counts(estimate))
        for model, now in zip(models, bands, strict=True):
            self.store.save_model(
                replace(
                    model,
                    bands=now.astype(np.int8),
                    banded_as_of=self.tonight.as_of,
                    banded_by=table.plan.release,
                )
            )

    def _publish(self, report: NightReport) -> None:
        """Publishes a book for tonight's directory, once there are bands."""
        models = self.store.models(self.tonight.outcomes)
        if self.banding is not None and models and all(model.banded_by for model in models):
            report.book = self.banding.publish(models, self.tonight)

    # --- asking and noting --------------------------------------------------------------------

    def _ask(
        self,
        purpose: Purpose,
        dimension: int,
        norm: float,
        card: Scorecard,
        attachment: bytes = b"",
    ) -> Ask:
        return Ask(
            purpose,
            dimension,
            norm,
            CUSTOMER_SCALE,
            MOST_CUSTOMERS,
            self.settings.costs(len(self.tonight.outcomes))[purpose],
            card.encode(),
            self.tonight.cut_off,
            attachment,
        )

    def _note(
        self,
        report: NightReport,
        combiner: Combiner,
        release: CustomerRelease | ScoreTable,
        clipped: float | None = None,
    ) -> None:
        """Notes a release; of a score table nothing that depends on its values."""
        step = Step(
            release.plan.release,
            release.plan.purpose,
            len(release.outlets),
            combiner.failures,
            release.signal_to_noise if isinstance(release, CustomerRelease) else None,
            release.plan.rho(),
            combiner.seconds,
            clipped,
        )
        report.steps.append(step)
        self.on_step(step)


def points_code(models: Sequence[Model], band_noise: float) -> PointsCode:
    """How points travel: without loss where there is no noise, else as few numbers as may be."""
    cards = tuple(Scorecard.decode(model.scorecard) for model in models)
    if band_noise == 0:
        return PointsCode.lossless(cards)
    return PointsCode.tangent(cards, models[0].second)
