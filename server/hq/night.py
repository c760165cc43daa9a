"""A night, top to bottom, written once against Flower's Grid.

    roll call -> night plan -> [usual event -> moments -> training rounds -> evaluation]
    -> [fine seal as of the cut-off -> fine book -> calibration -> cuts]
    -> [band seal as of today] -> band book -> (recorded) -> goodnight

What is in brackets happens when it is due and when the ledger allows; the report says what was
skipped and why. There is a book every night: between two seals it has the last one's entries. A
night that was killed is run again under its name: finished releases are read from the store, an
unfinished one is taken up where it stood.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.calibration import calibration_dimension, calibration_norm, middle
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
from features.points import base_points
from features.scorecard import Scorecard, encode_scorecards
from privacy.budget import LedgerForked
from privacy.envelopes import digest
from privacy.errors import ClocksApart, PrivacyError
from privacy.plans import NightPlan
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind
from server.holder.errors import HolderError
from server.hq.banding import Judgement
from server.hq.combine import Ask, Combiner
from server.hq.due import Due, Tonight, broken_training, next_seal
from server.hq.errors import AnotherNight, HqError, OfficeUnreachable, QuorumNotMet
from server.hq.holding import HoldingBack
from server.hq.holds import HeldKind
from server.hq.model_store import Calibrated, StandingModel, scorecards_of
from server.hq.report import NightReport, ReleaseReport
from server.hq.sealing import SealAsk, Sealing
from server.hq.training import ScorecardEvaluation, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from features.events import Matrix
    from privacy.envelopes import VerifyKey
    from privacy.loss import Rho
    from privacy.two_key_sum import CustomerRelease
    from server.hq.banding import Banding
    from server.hq.flower_link import FlowerLink
    from server.hq.privacy_office import PrivacyOffice
    from server.hq.seal_store import StoredSeal
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore

CUSTOMER_SCALE, MOST_CUSTOMERS = 2**20, 2**20
"""Customer sums: integer units per 1.0, and at how many customers an outlet's sum saturates where
nobody knows how many slots there are, as in a replay."""


_RESUMABLE = (OfficeUnreachable, AnotherNight, ClocksApart)
"""What may be mended while the night's plan lives: the office, HQ's settings, a clock."""


def end_night(night: str, office: PrivacyOffice, link: FlowerLink) -> list[str]:
    """Says goodnight and closes a night at the office; gives what could not be done.

    Nothing of the night is asked of an outlet or the office after it.
    """
    link.goodnight()
    try:
        office.close_night(night)
    except HqError as unreachable:
        return [f"closing: {unreachable}; the office closes a night when its plan expires"]
    return []


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
        on_plan: Called with the Unix seconds at which the night's plan expires.
        on_end: Called when all is done but to say goodnight and to close the night at the office.
        follow_ledger: Takes what the office's ledger has more into HQ's copy of it, and refuses one
            that does not go on from there; None where HQ keeps no copy.
        stays: Whether outlets are kept, without a goodnight, where the night is to be taken up.
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
    on_plan: Callable[[int], None] = lambda _expires: None
    on_end: Callable[[NightReport], None] = lambda _report: None
    follow_ledger: Callable[[], None] | None = None
    stays: bool = False

    def run(self) -> NightReport:
        """Runs the night to its end, or to the first refusal, which the report names.

        What only breaks it off, as an office that does not answer, leaves it resumable: no book is
        published then, since the office countersigns but one of tonight's directory.
        """
        report = NightReport(self.tonight.name, outcomes=self.tonight.outcomes)
        nodes = self._roll_call()
        report.cohort = tuple(sorted(nodes.values()))
        try:
            self._releases(nodes, report)
        except (PrivacyError, HqError, FeatureError) as refusal:
            report.note_refusal(refusal, resumable=isinstance(refusal, _RESUMABLE))
            self._say_what_broke_off(report)
        else:
            report.ended = "complete"
        if not report.resumable:
            self._publish(report)  # whatever ended the night: who withdrew is gone from it
        if report.resumable:
            if not self.stays:
                self.link.goodnight()
            return report
        self.on_end(report)
        report.skipped += end_night(self.tonight.name, self.office, self.link)
        return report

    def _say_what_broke_off(self, report: NightReport) -> None:
        """Says when a training that broke off tonight is tried again."""
        broken = broken_training(self.store, self.tonight.outcomes, self.settings.train_days)
        if broken is not None and not report.resumable and broken[1] not in report.skipped:
            report.skipped.append(broken[1])

    def _roll_call(self) -> dict[int, str]:
        """Who is there, of the outlets on HQ's list."""
        present = self.link.roll_call(self.tonight.roll_call())
        return {node: name for node, name in present.items() if name in self.outlets}

    def _releases(self, nodes: Mapping[int, str], report: NightReport) -> None:
        if self.follow_ledger is not None:
            self.follow_ledger()  # also where nothing is due: a lost ledger is found the same night
            report.ledger = ""
        if len(nodes) < self.settings.quorum:
            raise QuorumNotMet("roll call", len(nodes), self.settings.quorum)
        due = Due(
            self.tonight, self.settings, self.store, self.office, self.clock,
            calibrates=self.banding is not None,
            there={name: name in nodes.values() for name in self.outlets},
        )  # fmt: skip
        signed = due.plan(report.skipped)
        if signed is None:
            return
        plan = NightPlan.decode(signed.payload)
        self.on_plan(plan.expires)
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
        planned = {line.purpose for line in plan.releases}
        if Purpose.TRAINING in planned:
            self._train(combiner, report, plan)
        if Purpose.POINTS not in planned or self.banding is None:
            return
        sealing = Sealing(combiner, self.banding.slots)
        held = self.store.was_held(self.tonight.name, HeldKind.SCORECARD)
        if Purpose.CALIBRATION in planned and not held:  # the same where the night is taken up
            self._calibrate(sealing, report, self.banding)
        if self._is_held(report) and not due.seals(report.skipped):
            return
        models = self.store.models(self.tonight.outcomes)
        cuts = [model.cuts for model in models if model.cuts is not None]
        self._sealed(sealing, report, SealKind.BAND, models, cuts)

    # --- training -----------------------------------------------------------------------------

    def _train(self, combiner: Combiner, report: NightReport, plan: NightPlan) -> None:
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
        line = plan.line(Purpose.EVALUATION)
        evaluations = self._evaluate(combiner, report, cards, line.rho)
        report.evaluations |= dict(zip(outcomes, evaluations, strict=True))
        if line.count > 1:
            self._evaluate(combiner, report, self.settings.starting_scorecards(cards), line.rho)
        self._keep(cards, space.second)

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
        self,
        combiner: Combiner,
        report: NightReport,
        cards: Sequence[Scorecard],
        cost: Rho | None,
    ) -> list[ScorecardEvaluation]:
        norm = math.sqrt(len(cards))
        ask = self._ask(Purpose.EVALUATION, counts_dimension(len(cards)), norm, cards)
        ask = replace(ask, cost=cost)
        counts = self._noted(report, combiner, combiner.customer_release(ask))
        return ScorecardEvaluation.of(counts, len(cards))

    def _keep(self, cards: Sequence[Scorecard], second: Matrix) -> None:
        """Keeps new scorecards, to be calibrated; what stands goes on until they are.

        Where no bands are made nobody calibrates, and they stand at once. What ranks worse than
        before is held back first: no kill leaves it waiting for calibration alone.
        """
        known = self.store.newest_models(self.tonight.outcomes)
        if known and all(model.night == self.tonight.name for model in known):
            return  # a night that is run again: they may be calibrated already
        night, at = self.tonight.name, int(self.clock())
        made = [
            StandingModel(card.outcome, night, at, card.encode(), second, None) for card in cards
        ]
        if self.banding is None:
            self.store.save_models(made)
        else:
            self._holding.scorecards(cards)
            self.store.save_uncalibrated(made)

    @property
    def _holding(self) -> HoldingBack:
        tonight, at = self.tonight, int(self.clock())
        return HoldingBack(tonight.name, at, self.settings, self.store, tonight.outcomes)

    def _is_held(self, report: NightReport) -> bool:
        """Whether a person has to accept what was trained before it can stand; said once."""
        held = self.store.held()
        if held is None:
            return False
        if (said := f"calibration: {held.said}") not in report.skipped:
            report.skipped.append(said)
        return True

    # --- seals, calibration, books -------------------------------------------------------------

    def _sealed(
        self,
        sealing: Sealing,
        report: NightReport,
        kind: SealKind,
        models: Sequence[StandingModel],
        cuts: Sequence[tuple[int, ...]],
    ) -> StoredSeal:
        """Makes a seal of every customer's parts, of bands as of today, else of the cut-off."""
        as_of = self.tonight.as_of if kind is SealKind.BAND else self.tonight.cut_off
        seal = sealing.seal(SealAsk(kind, scorecards_of(models), tuple(cuts), as_of))
        self._note(report, sealing.combiner, seal.release, Purpose.POINTS, len(seal.outlets))
        return seal

    def _calibrate(self, sealing: Sealing, report: NightReport, banding: Banding) -> None:
        """Scores go out in sealed bins, for homes only; private counts of outcomes come back."""
        models = self.store.newest_models(self.tonight.outcomes)
        cards = [Scorecard.decode(model.scorecard) for model in models]
        middles = [middle(card, model.second) for card, model in zip(cards, models, strict=True)]
        cuts = [(one,) for one in middles]
        seal = self._sealed(sealing, report, SealKind.FINE, models, cuts)
        book, attached = self._fine_book(seal, banding)
        scores = len(cards)
        ask = self._ask(
            Purpose.CALIBRATION, calibration_dimension(scores), calibration_norm(scores), cards,
            book, attached,
        )  # fmt: skip
        counts = self._noted(report, sealing.combiner, sealing.combiner.customer_release(ask))
        self.store.forget_fine_book(seal.release)
        judged = [self._judge(counts, place, model, banding) for place, model in enumerate(models)]
        held = self._holding.calibration(models, counts)
        for model, one in zip(models, judged, strict=True):
            self._keep_calibration(model.outcome, counts, one)
        if not held:
            self.store.save_models(
                [replace(model, cuts=one.cuts) for model, one in zip(models, judged, strict=True)]
            )
        report.calibrations |= {
            model.outcome: one for model, one in zip(models, judged, strict=True)
        }

    def _fine_book(self, seal: StoredSeal, banding: Banding) -> tuple[bytes, str]:
        """The fine book of a seal and its digest; b"" where it was counted."""
        if seal.entries is None:
            return seal.book or b"", seal.book_digest
        book = banding.book(seal.entries, self.tonight.directory).encode()
        self.store.add_fine_book(seal.release, book)
        return book, digest(book)

    def _judge(
        self, counts: CustomerRelease, place: int, model: StandingModel, banding: Banding
    ) -> Judgement:
        """Judges the cuts that these counts make, and those that stood until now."""
        outcome, card = model.outcome, Scorecard.decode(model.scorecard)
        last = self.store.calibration(outcome, before=self.tonight.name)
        standing = None if last is None else Judgement.from_json(last.judgement)
        base, around = base_points(card), middle(card, model.second)
        return Judgement.of(counts, place, base, around, banding.thresholds(outcome), standing)

    def _keep_calibration(self, outcome: str, counts: CustomerRelease, judged: Judgement) -> None:
        night, at, release = self.tonight.name, int(self.clock()), counts.plan.release
        self.store.save_calibration(Calibrated(outcome, night, at, release, judged.as_json()))

    def _publish(self, report: NightReport) -> None:
        """Publishes a book for tonight's directory, once bands were sealed.

        Without the office's word outlets would take none: then the last one stays.
        """
        seal = self.store.standing_seal()
        if self.banding is None or seal is None or seal.entries is None:
            return
        report.next_seal = next_seal(seal.draft.as_of, self.settings.band_days)
        try:
            report.book = self.banding.publish(seal.entries, self.tonight, self.office)
        except (OfficeUnreachable, LedgerForked) as refusal:
            if report.ended == "complete":  # but for the book
                resumable = isinstance(refusal, OfficeUnreachable)  # it is made when taken up
                report.note_refusal(refusal, resumable=resumable)
            else:
                report.skipped.append(f"book: {refusal}; the last book stays")
        except (PrivacyError, HolderError) as refusal:
            report.skipped.append(
                f"book: {refusal}; the last book stays; bands are sealed again from "
                f"{report.next_seal} on"
            )

    # --- asking and noting --------------------------------------------------------------------

    def _ask(
        self,
        purpose: Purpose,
        dimension: int,
        norm: float,
        cards: Sequence[Scorecard],
        attachment: bytes = b"",
        attached: str = "",
    ) -> Ask:
        return Ask(
            purpose,
            dimension,
            norm,
            CUSTOMER_SCALE,
            self.tonight.slots or MOST_CUSTOMERS,  # no outlet is home to more
            self.settings.costs()[purpose],
            encode_scorecards(cards),
            self.tonight.cut_off,
            attachment,
            attached or (digest(attachment) if attachment else ""),
        )

    def _noted(
        self,
        report: NightReport,
        combiner: Combiner,
        release: CustomerRelease,
        clipped: float | None = None,
    ) -> CustomerRelease:
        """Notes a customer sum."""
        self._note(
            report, combiner, release.plan.release, release.plan.purpose, len(release.outlets),
            release.signal_to_noise, release.plan.rho(), clipped,
        )  # fmt: skip
        return release

    def _note(
        self,
        report: NightReport,
        combiner: Combiner,
        release: str,
        purpose: Purpose,
        outlets: int,
        signal_to_noise: float | None = None,
        rho: Rho | None = None,
        clipped: float | None = None,
    ) -> None:
        """Notes a release; of a seal there is nothing that depends on values."""
        step = ReleaseReport(
            release, purpose, outlets, combiner.failures, signal_to_noise, rho, combiner.seconds,
            clipped,
        )  # fmt: skip
        report.steps.append(step)
        self.on_step(step)
