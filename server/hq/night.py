"""A night, top to bottom, written once against Flower's Grid.

    roll call -> night plan -> [usual event -> moments -> training rounds -> evaluation]
    -> [points as of the cut-off -> fine book -> calibration] -> [points as of today -> bands]
    -> band book -> goodnight

What is in brackets happens when it is due and when the ledger allows; the report says what was
skipped and why. A night that was killed is run again under its name: finished releases are read
from the store, an unfinished one is taken up where it stood.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.calibration import calibration_dimension, calibration_norm
from features.errors import FeatureError
from features.events import DIMENSION
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
    USUAL_CLIP,
    USUAL_DIMENSION,
    Whitening,
    counts_dimension,
    gradient_dimension,
    read_gradients,
    read_usual,
)
from features.noisy_points import MOST_EVENTS, RING_BITS, SCALE, PointsCode
from features.scorecard import Scorecard, encode_scorecards
from privacy.errors import PrivacyError
from privacy.plans import NightPlan
from privacy.two_key_sum import CustomerRelease
from privacy.units import Purpose
from server.holder.errors import HolderError
from server.hq.banding import Judgement
from server.hq.combine import Ask, Combiner, Made, PrivacyOffice
from server.hq.due import Due, Tonight
from server.hq.errors import HqError, OfficeUnreachable, QuorumNotMet
from server.hq.model_store import Calibrated, StandingModel
from server.hq.report import NightReport, ReleaseReport
from server.hq.training import ScorecardEvaluation, Training

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
class HqNight:
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
    on_step: Callable[[ReleaseReport], None] = lambda _step: None

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
            self.clock,
        )
        planned = {line.purpose for line in NightPlan.decode(signed.payload).releases}
        if Purpose.TRAINING in planned:
            self._train(combiner, report)
        models = self.store.models(self.tonight.outcomes)
        if Purpose.POINTS not in planned or not models or self.banding is None:
            return
        code = points_code(models)
        as_of_cut = None
        if Purpose.TRAINING in planned:
            as_of_cut = self._points(combiner, report, code, self.tonight.cut_off)
        if Purpose.CALIBRATION in planned and as_of_cut is not None:
            self._calibrate(combiner, report, code, as_of_cut, self.banding)
        self._bands(combiner, code, report, as_of_cut, self.banding)

    # --- training -----------------------------------------------------------------------------

    def _train(self, combiner: Combiner, report: NightReport) -> None:
        """The usual event, moments, rounds and counts, each one release for all outcomes."""
        outcomes = self.tonight.outcomes
        nothing = [Scorecard.of(outcome, np.zeros(DIMENSION)) for outcome in outcomes]
        ask = self._ask(Purpose.USUAL, USUAL_DIMENSION, USUAL_CLIP, nothing)
        released = self._noted(report, combiner, combiner.customer_release(ask))
        usual = read_usual(released.values, released.noise_sd, self.settings.starting_usual())
        nothing = [Scorecard.of(outcome, np.zeros(DIMENSION), usual) for outcome in outcomes]
        ask = self._ask(Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2, nothing)
        moments = self._noted(report, combiner, combiner.customer_release(ask))
        space = Whitening.of(moments.values, moments.noise_sd)
        trainings = [
            Training.begin(outcome, usual, space, self.settings.starting_scorecard(outcome, usual))
            for outcome in outcomes
        ]
        for _ in range(self.settings.rounds):
            trainings = self._round(combiner, report, trainings)
        cards = [training.card for training in trainings]
        report.scorecards |= {card.outcome: card for card in cards}
        evaluations = self._evaluate(combiner, report, cards)
        report.evaluations |= dict(zip(outcomes, evaluations, strict=True))
        for card in cards:
            self._stands(card, space.second)

    def _round(
        self, combiner: Combiner, report: NightReport, trainings: Sequence[Training]
    ) -> list[Training]:
        """One gradient step of every outcome's training; the scorecards are stored after it."""
        scores, space = len(trainings), trainings[0].space
        norm = space.gradient_norm * math.sqrt(scores)
        ask = self._ask(
            Purpose.TRAINING, gradient_dimension(scores), norm,
            [training.card for training in trainings], space.encode(),
        )  # fmt: skip
        released = combiner.customer_release(ask)
        gradients, scaled = read_gradients(released.values, space.customers, scores, norm)
        self._noted(report, combiner, released, scaled)
        moved = [
            training.after_round(gradient, released.noise_sd)
            for training, gradient in zip(trainings, gradients, strict=True)
        ]
        for training in moved:
            encoded = training.card.encode()
            self.store.save_scorecard(self.tonight.name, training.outcome, encoded)
        return moved

    def _evaluate(
        self, combiner: Combiner, report: NightReport, cards: Sequence[Scorecard]
    ) -> list[ScorecardEvaluation]:
        norm = math.sqrt(len(cards))
        ask = self._ask(Purpose.EVALUATION, counts_dimension(len(cards)), norm, cards)
        counts = self._noted(report, combiner, combiner.customer_release(ask))
        return ScorecardEvaluation.of(counts, len(cards))

    def _stands(self, card: Scorecard, second: Matrix) -> None:
        """Lets a new scorecard stand; bands keep their history, cuts wait for its calibration."""
        before = self.store.model(card.outcome)
        if before is not None and before.night == self.tonight.name:
            return
        made = StandingModel(
            card.outcome, self.tonight.name, int(self.clock()), card.encode(), second, None, None,
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
                1.0,
                SCALE,
                MOST_EVENTS,
                self.settings.points_cost(),
                code.encode(),
                as_of,
                ring_bits=RING_BITS,
            )
        )
        return self._noted(report, combiner, table)

    def _calibrate(
        self,
        combiner: Combiner,
        report: NightReport,
        code: PointsCode,
        table: ScoreTable,
        banding: Banding,
    ) -> None:
        """Scores go out in fine bins, for homes only; private counts of outcomes come back."""
        models = self.store.models(self.tonight.outcomes)
        cards = [Scorecard.decode(model.scorecard) for model in models]
        centres = [card.centre(model.second) for card, model in zip(cards, models, strict=True)]
        alone = code.scores(table.values.reshape(-1, code.width))  # each of its own slot's sums
        book = self.store.fine_book(self.tonight.name)
        if book is None:
            book = banding.fine_book(table, alone, centres, self.tonight)
            self.store.save_fine_book(self.tonight.name, book)
        scores = len(cards)
        ask = self._ask(
            Purpose.CALIBRATION, calibration_dimension(scores), calibration_norm(scores), cards,
            book,
        )  # fmt: skip
        counts = self._noted(report, combiner, combiner.customer_release(ask))
        estimated = code.scores(code.estimate(table.values, table.noise_sd))
        for place, model in enumerate(models):
            judged = self._judge(counts, place, centres[place], model.outcome, banding)
            cuts = banding.translated(judged.cuts, alone[place], estimated[place])
            self.store.save_model(replace(model, cuts=cuts))
            report.calibrations[model.outcome] = judged

    def _judge(
        self, counts: CustomerRelease, place: int, centre: float, outcome: str, banding: Banding
    ) -> Judgement:
        """Judges the cuts that these counts make, and those that stood until now."""
        last = self.store.calibration(outcome, before=self.tonight.name)
        kept = None if last is None else Judgement.from_json(last.judgement)
        standing = None if kept is None else kept.cuts
        judged = Judgement.of(counts, place, centre, banding.thresholds(outcome), standing)
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
        self,
        combiner: Combiner,
        code: PointsCode,
        report: NightReport,
        as_of_cut: ScoreTable | None,
        banding: Banding,
    ) -> None:
        """Points as of today become every slot's bands."""
        table = self._points(combiner, report, code, self.tonight.as_of)
        estimate = self._estimate(code, table, as_of_cut)
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
        """Publishes a book for tonight's directory, once there are bands.

        Without the office's word outlets would take none: then the last one stays.
        """
        models = self.store.models(self.tonight.outcomes)
        if self.banding is None or not models or not all(model.banded_by for model in models):
            return
        try:
            report.book = self.banding.publish(models, self.tonight, self.office)
        except (PrivacyError, HolderError) as refusal:
            report.skipped.append(f"book: {refusal}; the last book stays")

    # --- asking and noting --------------------------------------------------------------------

    def _ask(
        self,
        purpose: Purpose,
        dimension: int,
        norm: float,
        cards: Sequence[Scorecard],
        attachment: bytes = b"",
    ) -> Ask:
        return Ask(
            purpose,
            dimension,
            norm,
            CUSTOMER_SCALE,
            MOST_CUSTOMERS,
            self.settings.costs()[purpose],
            encode_scorecards(cards),
            self.tonight.cut_off,
            attachment,
        )

    def _noted(
        self,
        report: NightReport,
        combiner: Combiner,
        release: Made,
        clipped: float | None = None,
    ) -> Made:
        """Notes a release; of a score table nothing that depends on its values."""
        step = ReleaseReport(
            release.plan.release,
            release.plan.purpose,
            len(release.outlets),
            combiner.failures,
            _signal_to_noise(release),
            release.plan.rho(),
            combiner.seconds,
            clipped,
        )
        report.steps.append(step)
        self.on_step(step)
        return release


def _signal_to_noise(release: CustomerRelease | ScoreTable) -> float | None:
    return release.signal_to_noise if isinstance(release, CustomerRelease) else None


def points_code(models: Sequence[StandingModel]) -> PointsCode:
    """How points travel: as few noisy numbers a slot as may be."""
    cards = tuple(Scorecard.decode(model.scorecard) for model in models)
    return PointsCode.of(cards, models[0].second)
