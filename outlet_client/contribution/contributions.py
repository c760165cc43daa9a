"""What an outlet contributes: from its own events to one masked share per signed plan.

Invariant: nothing about customers leaves but through `privacy.two_key_sum.mask_share`, for a plan
that the pinned office signed and that passes the outlet's own floors.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.calibration import calibration_dimension, calibration_rows
from features.events import CustomerSums, EventFeatures, Matrix, Vector
from features.learning import (
    MOMENTS_DIMENSION,
    USUAL_DIMENSION,
    Whitening,
    by_owner,
    counts_dimension,
    counts_rows,
    gradient_dimension,
    gradient_rows,
    moments_rows,
    usual_rows,
)
from features.points import outlet_parts
from features.scorecard import decode_scorecards
from outlet_client.contribution.ledger_history import check_goes_on
from outlet_client.contribution.scorecard_store import KeptScorecards, keep_scorecards
from outlet_client.errors import OutletError, QuestionRefused
from privacy.books import Book
from privacy.days import check_day
from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import ReleasePlan, Signed, open_night, open_release
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan, is_seal_plan, open_seal_plan
from privacy.two_key_sum import Contribution, MaskedShare, Parts, mask_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from features.scorecard import Scorecard
    from outlet_client.contribution.answer_store import Answers, AnswerStore
    from outlet_client.people.people_store import HomeKey
    from outlet_client.settings import OutletSettings
    from privacy.budget import LedgerEntry
    from privacy.directory import Slots
    from privacy.dither import Dither
    from privacy.plans import NightPlan

NO_BIN = 255
"""The bin of who has none: not sealed, or at too many outlets."""


def dimension(purpose: Purpose, scores: int) -> int | None:
    """The public layout of a customer sum that an outlet contributes to, by its dimension.

    None for a purpose that outlets do not know.
    """
    known = {
        Purpose.USUAL: USUAL_DIMENSION,
        Purpose.MOMENTS: MOMENTS_DIMENSION,
        Purpose.TRAINING: gradient_dimension(scores),
        Purpose.EVALUATION: counts_dimension(scores),
        Purpose.CALIBRATION: calibration_dimension(scores),
    }
    return known.get(purpose)


@dataclass(frozen=True, slots=True, repr=False)
class HomeCustomers:
    """The customers whose home is this outlet, one row each.

    Attributes:
        sums: What this outlet's own events add up to.
        y: By outcome, float64[n] of 0 and 1 as this outlet sees it.
        slots: int64[n], their slots in tonight's directory.
        owners: int64[n], whose row each is: one row a person but in a replay by purchase.
        keys: What reads their entries of a fine book, n of them.
    """

    sums: CustomerSums
    y: Mapping[str, Vector]
    slots: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    keys: tuple[HomeKey, ...]

    @classmethod
    def of(
        cls,
        events: EventFeatures,
        customers: pl.Series,
        y: Mapping[str, Vector],
        slots: npt.NDArray[np.int64],
        keys: Sequence[HomeKey],
        owners: npt.NDArray[np.int64] | None = None,
    ) -> HomeCustomers:
        """Adds up this outlet's events for its home customers.

        A home customer without events here adds nothing to any sum, not even an intercept or a
        label. So emptying a customer's records is the same as taking its row away, which moves a
        sum by at most one clipped row.

        Raises:
            OutletError: If a customer is named twice: it would count twice in every sum.
        """
        if customers.n_unique() != len(customers):
            raise OutletError("home customers: one is named twice; expected each once")
        known = customers.is_in(events.keys["customer"].implode()).to_numpy()
        kept = tuple(key for key, here in zip(keys, known, strict=True) if here)
        return cls(
            CustomerSums.of(events, customers.filter(known)),
            {outcome: values[known] for outcome, values in y.items()},
            slots[known],
            (slots if owners is None else owners)[known],
            kept,
        )


@dataclass(frozen=True, slots=True, repr=False)
class SlotSums:
    """What an outlet's events up to a day add up to, one row a slot that it has met.

    Attributes:
        sums: Of n slots.
        slots: int64[n], each once, ascending.
        at_home: bool[n], whose home this outlet is.
    """

    sums: CustomerSums
    slots: npt.NDArray[np.int64]
    at_home: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, events: EventFeatures, places: npt.NDArray[np.int64], homes: npt.NDArray[np.int64]
    ) -> SlotSums:
        """Adds this outlet's events up, slot by slot.

        Args:
            events: Up to a day.
            places: int64[events], the slot of each event's customer; -1 where there is none.
            homes: int64[any], the slots whose home is here, also of who has no events.
        """
        slots = np.unique(places[places >= 0])
        rows = np.where(places >= 0, np.searchsorted(slots, places), -1)
        return cls(CustomerSums.at(events, rows, len(slots)), slots, np.isin(slots, homes))


@dataclass(frozen=True, slots=True, repr=False)
class Outlet:
    """One outlet, ready to answer tonight's plans.

    Attributes:
        clock: Unix seconds.
        cut_off: Tonight's cut-off, ISO 8601; the last day in the features that train.
        views: Its events up to each day that may be sealed, by ISO 8601 date.
        keys: uint8[slots, KEY_BYTES], tonight's public slot keys.
        directory: Digest of tonight's directory.
        horizon_days: How long after a cut-off outcomes are watched.
        dither: What its parts are rounded by.
        ledger: Gives the entries of the office's ledger after the first so many.
    """

    name: str
    settings: OutletSettings
    key: SigningKey
    office: VerifyKey
    answers: AnswerStore
    clock: Callable[[], float]
    cut_off: str
    home: HomeCustomers
    views: Mapping[str, SlotSums]
    keys: Slots
    directory: str
    horizon_days: int
    dither: Dither
    ledger: Callable[[int], Sequence[LedgerEntry]]

    def answer(self, question: Mapping[str, bytes]) -> MaskedShare:
        """Answers a customer sum's plan, or a seal's, once.

        Args:
            question: Bytes of `night`, `night_signature`, `plan`, `plan_signature`, `scorecard` and
                `attachment`.

        Returns:
            The masked share; the same bytes for the same plan.

        Raises:
            PlanRefused: If a plan is unsigned, malformed, expired, or of a day that is far off.
            QuestionRefused: If the question does not fit its plan or is below a floor.
        """
        at = int(self.clock())
        signed = Signed(question["plan"], question["plan_signature"])
        opened = open_seal_plan if is_seal_plan(signed.payload) else open_release
        plan: ReleasePlan | SealPlan = opened(signed, self.office, at)
        with self.answers.transaction() as answers:
            stored = answers.answer(plan, signed.digest)
            seen = answers.ledger_positions()
        if stored is not None:
            return stored
        signed_night = Signed(question["night"], question["night_signature"])
        night = open_night(signed_night, self.office, at)
        gone = check_goes_on(night, seen, self.ledger, at)  # it asks: no transaction waits for that
        with self.answers.transaction() as answers:
            stored = answers.answer(plan, signed.digest)
            if stored is not None:  # another question was faster
                return stored
            self._check_question(plan, question, answers, at)
            answers.follow(night, gone)
            ours = signed.digest, self.name, self.key
            if isinstance(plan, SealPlan):
                share = mask_share(self._parts(plan, question), plan, *ours)
            else:
                share = mask_share(self._contribution(plan, question), plan, *ours)
            answers.add(plan, signed.digest, share, at)
            if isinstance(plan, SealPlan) and plan.kind is SealKind.BAND:
                cards = decode_scorecards(question["scorecard"])
                keep_scorecards(answers, KeptScorecards(plan.as_of, cards))
            elif isinstance(plan, SealPlan):
                answers.keep_fine_plan(signed.payload)
        return share

    def _check_question(
        self,
        plan: ReleasePlan | SealPlan,
        question: Mapping[str, bytes],
        answers: Answers,
        at: int,
    ) -> None:
        """Refuses what does not fit its plan, tonight's data, or this outlet's floors.

        Every refusal is a function of public values and of what was answered before, never of a
        customer's: HQ sees that an outlet refused, free of charge and without noise.
        """
        signed_night = Signed(question["night"], question["night_signature"])
        night = open_night(signed_night, self.office, at)
        if plan.night != signed_night.digest:
            raise QuestionRefused(f"release {plan.release}: belongs to another night")
        if _digest(question["scorecard"]) != plan.scorecard:
            raise QuestionRefused(f"release {plan.release}: scorecard is not the plan's")
        if plan.directory != self.directory:
            raise QuestionRefused(f"release {plan.release}: directory is not tonight's")
        if plan.quorum < self.settings.least_quorum:
            raise QuestionRefused(
                f"release {plan.release}: got quorum {plan.quorum}, "
                f"this outlet's least is {self.settings.least_quorum}"
            )
        if isinstance(plan, SealPlan):
            self._check_seal(plan, night, question)
            is_cut_off = plan.kind is SealKind.FINE
        else:
            self._check_sum(plan, night, question)
            if plan.purpose is Purpose.CALIBRATION:
                self._check_fine_book(plan, Book.decode(question["attachment"]), answers)
            self._check_noise(plan, answers, at)
            is_cut_off = True
        self._check_day(plan, answers, at, is_cut_off=is_cut_off)

    def _check_seal(self, plan: SealPlan, night: NightPlan, question: Mapping[str, bytes]) -> None:
        """Refuses a seal of a day, a directory or scorecards that this outlet is not ready for.

        The dither is one a slot and outcome: under made-up names one card would be rounded anew in
        every seal, and the mean of many bands tell what a part is before it is rounded.
        """
        cards = decode_scorecards(question["scorecard"])
        self._check_outcomes(plan, cards)
        is_fine = plan.kind is SealKind.FINE
        days = [self.cut_off] if is_fine else list(self.views)
        if plan.as_of not in days or (is_fine and night.cut_off != self.cut_off):
            raise QuestionRefused(
                f"release {plan.release}: asks for {plan.kind} codes as of {plan.as_of}, "
                f"this outlet is ready for {', '.join(days)}"
            )
        got = plan.slots, plan.scores
        expected = len(self.keys), len(cards)
        if got != expected:
            raise QuestionRefused(
                f"release {plan.release}: got slots and scores {got}, expected {expected}"
            )

    def _check_sum(
        self, plan: ReleasePlan, night: NightPlan, question: Mapping[str, bytes]
    ) -> None:
        """Refuses a customer sum at another day, outcome or layout than tonight's."""
        if _digest(question["attachment"]) != plan.attachment:
            raise QuestionRefused(f"release {plan.release}: attachment is not the plan's")
        cards = decode_scorecards(question["scorecard"])
        self._check_outcomes(plan, cards)
        if (night.cut_off, plan.as_of) != (self.cut_off, self.cut_off):
            raise QuestionRefused(
                f"release {plan.release}: asks for {plan.purpose} as of {plan.as_of}, "
                f"this outlet is ready for {self.cut_off}"
            )
        if plan.dimension != dimension(plan.purpose, len(cards)):
            raise QuestionRefused(f"release {plan.release}: no {plan.purpose} of this dimension")

    def _check_outcomes(self, plan: ReleasePlan | SealPlan, cards: Sequence[Scorecard]) -> None:
        """Refuses scorecards of an outcome that is not among tonight's; none is there twice."""
        asked = [card.outcome for card in cards]
        if not set(asked) <= set(self.home.y):
            raise QuestionRefused(
                f"release {plan.release}: asks for {', '.join(asked)}, "
                f"this outlet is ready for {', '.join(self.home.y)}"
            )

    def _check_fine_book(self, plan: ReleasePlan, book: Book, answers: Answers) -> None:
        """Refuses a fine book that is not of the seal of bins which this outlet answered last.

        Whoever drew the office's key of a book knows every pad in it, and writes any bin for
        anybody: with a key of its own in the office's place HQ would choose the cell in which a
        customer counts. So the keys are to be those of a plan that the office signed, and night
        and scorecards those of the question.

        An outlet that was away when bins were sealed has no plan to hold the book against, though
        its customers' bins are in it: it cannot check the book, and stays away from that one
        release.
        """
        payload = answers.fine_plan() or b""
        sealed = SealPlan.decode(payload) if payload else None
        asked = plan.night, plan.scorecard
        if sealed is None or (sealed.night, sealed.scorecard) != asked:
            raise QuestionRefused(
                f"release {plan.release}: this outlet was away when its bins were sealed, so it "
                "cannot check the fine book"
            )
        told, keys = book.seal, (sealed.hq_key, sealed.slot_key)
        if (told.plan, told.hq_key, told.office_key) != (digest(payload), *keys):
            raise QuestionRefused(f"release {plan.release}: the fine book is of another seal")
        got = (told.kind, told.scores, told.as_of, told.sealed, book.slots, book.directory)
        slots = sealed.slots, len(self.keys)
        if got != (SealKind.FINE, sealed.scores, sealed.as_of, *slots, self.directory):
            raise QuestionRefused(f"release {plan.release}: no fine book of tonight's directory")

    def _check_day(
        self, plan: ReleasePlan | SealPlan, answers: Answers, at: int, *, is_cut_off: bool
    ) -> None:
        """Refuses a day that is far from this outlet's own, or before one that it answered.

        HQ could else carry one outlet's answer and ask the others as of long ago.
        """
        today = dt.datetime.fromtimestamp(at, dt.UTC).date()
        expected = today - dt.timedelta(days=self.horizon_days) if is_cut_off else today
        check_day(f"release {plan.release}", plan.as_of, expected, self.settings.days_off)
        answers.follow_day("cut-off" if is_cut_off else "bands", plan.as_of)

    def _check_noise(self, plan: ReleasePlan, answers: Answers, at: int) -> None:
        """Refuses a customer sum of too little noise, or too much a year, for this outlet."""
        plan.check(outlets=plan.quorum)
        cost = plan.rho()
        if cost is None:
            if plan.purpose not in self.settings.noiseless:
                raise QuestionRefused(f"release {plan.release}: without noise")
            return
        if plan.noise_scale < self.settings.least_noise * plan.norm:
            raise QuestionRefused(
                f"release {plan.release}: got noise {plan.noise_scale / plan.norm:.3g} times the "
                f"clipping norm, this outlet's least is {self.settings.least_noise:g}"
            )
        most = EpsilonDelta(self.settings.most_epsilon, self.settings.delta).rho()
        if Rho(answers.spent(at) + cost) > most:
            raise QuestionRefused(
                f"release {plan.release}: this outlet's year is spent "
                f"(epsilon {self.settings.most_epsilon:g})"
            )

    def _parts(self, plan: SealPlan, question: Mapping[str, bytes]) -> Parts:
        """Whole points of everybody listed whom this outlet has met."""
        cards, met = decode_scorecards(question["scorecard"]), self.views[plan.as_of]
        keys = [key.tobytes() for key in self.keys[met.slots]]
        dither = self.dither.of_slots(keys, [card.outcome for card in cards])
        return Parts(outlet_parts(cards, met.sums, met.at_home, dither), met.slots)

    def _contribution(self, plan: ReleasePlan, question: Mapping[str, bytes]) -> Contribution:
        cards, sums = decode_scorecards(question["scorecard"]), self.home.sums
        y = [self.home.y[card.outcome] for card in cards]
        if plan.purpose is Purpose.USUAL:
            return self._people(usual_rows(sums))
        if plan.purpose is Purpose.MOMENTS:
            return self._people(moments_rows(cards[0].vectors(sums)))
        if plan.purpose is Purpose.TRAINING:
            matrix = Whitening.decode_matrix(question["attachment"])
            norm = plan.norm / plan.scale
            return self._people(gradient_rows(sums, y, cards, matrix, norm))
        if plan.purpose is Purpose.EVALUATION:
            return self._people(counts_rows(sums, y, cards))
        return self._calibration(y, Book.decode(question["attachment"]))

    def _calibration(self, y: Sequence[Vector], book: Book) -> Contribution:
        """A cell of (outcome, fine bin) a score and home customer, the bins from the fine book.

        Who has no entry, or may be at too many outlets, is in no cell.
        """
        bins = np.full((len(self.home.slots), len(y)), NO_BIN, dtype=np.uint8)
        for row, (slot, key) in enumerate(
            zip(self.home.slots.tolist(), self.home.keys, strict=True)
        ):
            entry = book.read(slot, key.slot_key, key.nonce)
            if entry is not None and not entry.many_outlets:
                bins[row] = entry.codes
        return self._people(calibration_rows(bins, np.stack(y, axis=1)))

    def _people(self, rows: Matrix) -> Contribution:
        return Contribution(by_owner(rows, self.home.owners))


def _digest(data: bytes) -> str:
    """A digest as plans carry it: "" for nothing."""
    return digest(data) if data else ""
