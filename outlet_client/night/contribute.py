"""What an outlet contributes: from its own events to one masked share per signed plan.

Invariant: nothing about customers leaves but through `privacy.two_key_sum.mask_share`, for a plan
that the pinned office signed and that passes the outlet's own floors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.calibration import CALIBRATION_DIMENSION, calibration_rows, is_regular
from features.events import EventFeatures, Matrix, Vector, customer_features
from features.learning import (
    COUNTS_DIMENSION,
    GRADIENT_DIMENSION,
    MOMENTS_DIMENSION,
    Preconditioner,
    by_owner,
    counts_rows,
    gradient_rows,
    moments_rows,
)
from features.points import PointsCode
from features.scorecard import Scorecard
from outlet_client.errors import OutletError, QuestionRefused
from outlet_client.night.scorecards import KeptScorecards, keep
from privacy.books import Book, read_entry
from privacy.books import Kind as BookKind
from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.fixed_point import clipping_units
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import ReleasePlan, Signed, open_night, open_release
from privacy.two_key_sum import Contribution, MaskedShare, mask_share
from privacy.units import Purpose, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from outlet_client.night.answers import Answers, AnswerStore
    from outlet_client.settings import OutletSettings
    from privacy.plans import NightPlan

DIMENSIONS: dict[Purpose, int] = {
    Purpose.MOMENTS: MOMENTS_DIMENSION,
    Purpose.TRAINING: GRADIENT_DIMENSION,
    Purpose.EVALUATION: COUNTS_DIMENSION,
    Purpose.CALIBRATION: CALIBRATION_DIMENSION,
}
"""The public layout of each customer sum that an outlet contributes to."""


@dataclass(frozen=True, slots=True, repr=False)
class HomeCustomers:
    """The customers whose home is this outlet, one row each.

    Attributes:
        x: float64[n, DIMENSION], from this outlet's own events.
        y: By outcome, float64[n] of 0 and 1 as this outlet sees it.
        slots: int64[n], their slots in tonight's directory.
        owners: int64[n], whose row each is: one row a person but in a replay by purchase.
        keys: n keys that read their entries of a fine book.
    """

    x: Matrix
    y: Mapping[str, Vector]
    slots: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    keys: tuple[bytes, ...]

    @classmethod
    def of(
        cls,
        events: EventFeatures,
        customers: pl.Series,
        y: Mapping[str, Vector],
        slots: npt.NDArray[np.int64],
        keys: Sequence[bytes],
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
            customer_features(events, customers.filter(known)),
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
        name: The outlet's id.
        settings: Its own floors.
        key: Its signing key.
        office: The privacy office's pinned key.
        answers: What it answered so far.
        clock: Unix seconds.
        cut_off: Tonight's cut-off, ISO 8601; the last day in the features that train.
        home: Its home customers, as of the cut-off.
        views: Its events up to each day that points may be asked for, by ISO 8601 date.
        slots: How many slots the network has.
        directory: The directory's digest, the same for the whole night.
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
                keep(answers, KeptScorecards(plan.as_of, code.cards))
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
        norm = clipping_units(code.norm, code.scale)
        expected = (code.width * self.slots, code.ring_bits, code.scale, norm)
        got = (plan.dimension, plan.ring_bits, plan.scale, plan.norm)
        if got != expected or plan.outlet_bound != norm * code.most_events:
            raise QuestionRefused(f"release {plan.release}: no points of this layout")

    def _check_sum(
        self, plan: ReleasePlan, night: NightPlan, question: Mapping[str, bytes]
    ) -> None:
        """Refuses a customer sum at another day, outcome or layout than tonight's."""
        outcome = Scorecard.decode(question["scorecard"]).outcome
        fits = (night.cut_off, plan.as_of) == (self.cut_off, self.cut_off)
        if not fits or outcome not in self.home.y:
            raise QuestionRefused(
                f"release {plan.release}: asks for {outcome} as of {plan.as_of}, "
                f"this outlet is ready for {', '.join(self.home.y)} as of {self.cut_off}"
            )
        if plan.dimension != DIMENSIONS.get(plan.purpose):
            raise QuestionRefused(f"release {plan.release}: no {plan.purpose} of this dimension")

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
        """One row a unit, for what the plan's purpose asks."""
        if plan.purpose is Purpose.MOMENTS:
            return self._people(moments_rows(self.home.x))
        if plan.purpose is Purpose.POINTS:
            return self._points(plan, PointsCode.decode(question["scorecard"]))
        card = Scorecard.decode(question["scorecard"])
        weights, y = np.asarray(card.weights), self.home.y[card.outcome]
        if plan.purpose is Purpose.TRAINING:
            matrix = Preconditioner.decode_matrix(question["attachment"])
            return self._people(gradient_rows(self.home.x, y, weights, matrix))
        if plan.purpose is Purpose.EVALUATION:
            return self._people(counts_rows(self.home.x, y, weights))
        return self._calibration(card.outcome, Book.decode(question["attachment"]))

    def _points(self, plan: ReleasePlan, code: PointsCode) -> Contribution:
        """One row an event, at its customer's slot."""
        view = self.views[plan.as_of]
        listed = view.slots >= 0
        return Contribution(code.rows(view.events)[listed], view.slots[listed] * code.width)

    def _calibration(self, outcome: str, book: Book) -> Contribution:
        """One cell of (group, outcome, fine bin) a home customer, its bin from the fine book.

        An entry that reads as no bin, whatever HQ put there, makes a row of zeros.
        """
        if (book.kind, book.slots) != (BookKind.FINE, self.slots) or book.width != len(self.home.y):
            raise QuestionRefused(f"release {book.release}: no fine book of tonight's directory")
        place = list(self.home.y).index(outcome)
        entries = [
            read_entry(book, slot, key)[place]
            for slot, key in zip(self.home.slots.tolist(), self.home.keys, strict=True)
        ]
        bins = np.array(entries, dtype=np.uint8)
        regular = is_regular(self.home.x)
        return self._people(calibration_rows(bins, self.home.y[outcome], regular))

    def _people(self, rows: Matrix) -> Contribution:
        """One row a person of the home customers."""
        return Contribution(by_owner(rows, self.home.owners))


def _digest(data: bytes) -> str:
    """A digest as plans carry it: "" for nothing."""
    return digest(data) if data else ""
