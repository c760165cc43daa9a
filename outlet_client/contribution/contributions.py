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
from features.noisy_points import MOST_EVENTS, RING_BITS, SCALE, PointsCode
from features.scorecard import decode_scorecards
from outlet_client.contribution.scorecard_store import KeptScorecards, keep_scorecards
from outlet_client.errors import OutletError, QuestionRefused
from privacy.books import Book, BookKind
from privacy.days import check_day
from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.fixed_point import clipping_units
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import ReleasePlan, Signed, open_night, open_release
from privacy.two_key_sum import Contribution, MaskedShare, mask_share
from privacy.units import Purpose, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from outlet_client.contribution.answer_store import Answers, AnswerStore
    from outlet_client.people.people_store import HomeKey
    from outlet_client.settings import OutletSettings
    from privacy.plans import NightPlan


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
class SlotEvents:
    """All of an outlet's events up to a day.

    Attributes:
        events: As numbers.
        slots: int64[events], the slot of each event's customer; -1 where there is none.
    """

    events: EventFeatures
    slots: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class Outlet:
    """One outlet, ready to answer tonight's plans.

    Attributes:
        clock: Unix seconds.
        cut_off: Tonight's cut-off, ISO 8601; the last day in the features that train.
        views: Its events up to each day that points may be asked for, by ISO 8601 date.
        slots: How many slots the network has.
        directory: Digest of tonight's directory.
        horizon_days: How long after a cut-off outcomes are watched.
    """

    name: str
    settings: OutletSettings
    key: SigningKey
    office: VerifyKey
    answers: AnswerStore
    clock: Callable[[], float]
    cut_off: str
    home: HomeCustomers
    views: Mapping[str, SlotEvents]
    slots: int
    directory: str
    horizon_days: int

    def answer(self, question: Mapping[str, bytes]) -> MaskedShare:
        """Answers a release plan, once.

        Args:
            question: Bytes of `night`, `night_signature`, `plan`, `plan_signature`, `scorecard` and
                `attachment`.

        Returns:
            The masked share; the same bytes for the same plan.

        Raises:
            PlanRefused: If a plan is unsigned, malformed or expired.
            QuestionRefused: If the question does not fit its plan or is below a floor.
        """
        at = int(self.clock())
        signed = Signed(question["plan"], question["plan_signature"])
        plan = open_release(signed, self.office, at)
        with self.answers.transaction() as answers:
            stored = answers.answer(plan, signed.digest)
            if stored is not None:
                return stored
            self._check_question(plan, question, answers, at)
            contribution = self._contribution(plan, question)
            share = mask_share(contribution, plan, signed.digest, self.name, self.key)
            answers.add(plan, signed.digest, share, at)
            if plan.purpose is Purpose.POINTS:
                code = PointsCode.decode(question["scorecard"])
                keep_scorecards(answers, KeptScorecards(plan.as_of, code.cards))
        return share

    def _check_question(
        self, plan: ReleasePlan, question: Mapping[str, bytes], answers: Answers, at: int
    ) -> None:
        """Refuses what does not fit its plan, tonight's data, or this outlet's floors.

        Every refusal is a function of public values and of what was answered before, never of a
        customer's: HQ sees that an outlet refused, free of charge and without noise.
        """
        signed_night = Signed(question["night"], question["night_signature"])
        night = open_night(signed_night, self.office, at)
        if plan.night != signed_night.digest:
            raise QuestionRefused(f"release {plan.release}: belongs to another night")
        for name in ("scorecard", "attachment"):
            if _digest(question[name]) != getattr(plan, name):
                raise QuestionRefused(f"release {plan.release}: {name} is not the plan's")
        if plan.directory != self.directory:
            raise QuestionRefused(f"release {plan.release}: directory is not tonight's")
        if plan.purpose is Purpose.POINTS:
            self._check_points(plan, question)
        else:
            self._check_sum(plan, night, question)
        self._check_day(plan, night, answers, at)
        self._check_floors(plan, answers, at)
        answers.follow(night)

    def _check_points(self, plan: ReleasePlan, question: Mapping[str, bytes]) -> None:
        """Refuses points of a day or a layout that this outlet is not ready for."""
        code = PointsCode.decode(question["scorecard"])
        if plan.as_of not in self.views:
            raise QuestionRefused(
                f"release {plan.release}: asks for points as of {plan.as_of}, "
                f"this outlet is ready for {', '.join(self.views)}"
            )
        norm = clipping_units(1.0, SCALE)
        expected = (code.width * self.slots, RING_BITS, SCALE, norm, norm * MOST_EVENTS)
        got = (plan.dimension, plan.ring_bits, plan.scale, plan.norm, plan.outlet_bound)
        if got != expected:
            raise QuestionRefused(f"release {plan.release}: no points of this layout")

    def _check_sum(
        self, plan: ReleasePlan, night: NightPlan, question: Mapping[str, bytes]
    ) -> None:
        """Refuses a customer sum at another day, outcome or layout than tonight's."""
        asked = [card.outcome for card in decode_scorecards(question["scorecard"])]
        fits = (night.cut_off, plan.as_of) == (self.cut_off, self.cut_off)
        if not fits or not set(asked) <= set(self.home.y):
            raise QuestionRefused(
                f"release {plan.release}: asks for {', '.join(asked)} as of {plan.as_of}, "
                f"this outlet is ready for {', '.join(self.home.y)} as of {self.cut_off}"
            )
        if plan.dimension != dimension(plan.purpose, len(asked)):
            raise QuestionRefused(f"release {plan.release}: no {plan.purpose} of this dimension")

    def _check_day(self, plan: ReleasePlan, night: NightPlan, answers: Answers, at: int) -> None:
        """Refuses a day that is far from this outlet's own, or before one that it answered.

        HQ could else carry one outlet's answer and ask the others as of long ago.
        """
        today = dt.datetime.fromtimestamp(at, dt.UTC).date()
        is_cut_off = plan.as_of == night.cut_off
        what = "cut-off" if is_cut_off else "bands"
        expected = today - dt.timedelta(days=self.horizon_days) if is_cut_off else today
        check_day(f"release {plan.release}", plan.as_of, expected, self.settings.days_off)
        answers.follow_day(what, plan.as_of)

    def _check_floors(self, plan: ReleasePlan, answers: Answers, at: int) -> None:
        """Refuses what this outlet finds too little noise, too few outlets or too much a year."""
        plan.check(outlets=plan.quorum)
        if plan.quorum < self.settings.least_quorum:
            raise QuestionRefused(
                f"release {plan.release}: got quorum {plan.quorum}, "
                f"this outlet's least is {self.settings.least_quorum}"
            )
        cost = plan.rho()
        if cost is None:
            if plan.purpose not in self.settings.noiseless:
                raise QuestionRefused(f"release {plan.release}: without noise")
            return
        unit = plan.purpose.unit
        is_customer = unit is Unit.CUSTOMER
        least = self.settings.least_noise if is_customer else self.settings.least_event_noise
        if plan.noise_scale < least * plan.norm:
            raise QuestionRefused(
                f"release {plan.release}: got noise {plan.noise_scale / plan.norm:.3g} times the "
                f"clipping norm, this outlet's least is {least:g}"
            )
        most = EpsilonDelta(self.settings.most_epsilon, self.settings.delta).rho()
        if is_customer and Rho(answers.spent(unit, at) + cost) > most:
            raise QuestionRefused(
                f"release {plan.release}: this outlet's year is spent "
                f"(epsilon {self.settings.most_epsilon:g})"
            )

    def _contribution(self, plan: ReleasePlan, question: Mapping[str, bytes]) -> Contribution:
        if plan.purpose is Purpose.POINTS:
            return self._points(plan, PointsCode.decode(question["scorecard"]))
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

    def _points(self, plan: ReleasePlan, code: PointsCode) -> Contribution:
        view = self.views[plan.as_of]
        listed = view.slots >= 0
        return Contribution(code.rows(view.events)[listed], view.slots[listed] * code.width)

    def _calibration(self, y: Sequence[Vector], book: Book) -> Contribution:
        """A cell of (outcome, fine bin) a score and home customer, the bins from the fine book.

        An entry that reads as no bin, whatever HQ put there, adds nothing of that score.
        """
        if (book.kind, book.slots, book.width) != (BookKind.FINE, self.slots, len(y)):
            raise QuestionRefused(f"release {book.release}: no fine book of tonight's directory")
        entries = [
            list(book.read(slot, *key))
            for slot, key in zip(self.home.slots.tolist(), self.home.keys, strict=True)
        ]
        bins = np.array(entries, dtype=np.uint8).reshape(-1, len(y))
        return self._people(calibration_rows(bins, np.stack(y, axis=1)))

    def _people(self, rows: Matrix) -> Contribution:
        return Contribution(by_owner(rows, self.home.owners))


def _digest(data: bytes) -> str:
    """A digest as plans carry it: "" for nothing."""
    return digest(data) if data else ""
