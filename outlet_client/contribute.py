"""What an outlet contributes: from its own events to one masked share per signed plan.

Invariant: nothing about customers leaves but through `privacy.two_key_sum.mask_share`, for a plan
that the pinned office signed and that passes the outlet's own floors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.events import EventFeatures, Matrix, Vector, customer_features
from features.learning import (
    COUNTS_DIMENSION,
    GRADIENT_DIMENSION,
    MOMENTS_DIMENSION,
    Preconditioner,
    counts_rows,
    gradient_rows,
    moments_rows,
)
from features.scorecard import POINTS_WIDTH, Scorecard
from outlet_client.errors import OutletError, QuestionRefused
from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import ReleasePlan, Signed, open_night, open_release
from privacy.two_key_sum import Contribution, MaskedShare, mask_share
from privacy.units import Purpose, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from outlet_client.answers import Answers, AnswerStore
    from outlet_client.settings import OutletSettings


@dataclass(frozen=True, slots=True, repr=False)
class HomeCustomers:
    """The customers whose home is this outlet, one row each.

    Attributes:
        x: float64[n, DIMENSION], from this outlet's own events.
        y: float64[n] of 0 and 1, the outcome as this outlet sees it.
    """

    x: Matrix
    y: Vector

    @classmethod
    def of(cls, events: EventFeatures, customers: pl.Series, y: Vector) -> HomeCustomers:
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
        return cls(customer_features(events, customers.filter(known)), y[known])


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
        cut_off: Tonight's cut-off, ISO 8601; the last day in its features.
        outcome: The outcome that `home` was judged for.
        home: Its home customers.
        events: All its events.
        slots: How many customers the network has; what a points release is laid out by.
        event_slots: int64[events], the slot of each event's customer; -1 where there is none.
        directory_digest: The directory's digest, the same for the whole night.
    """

    name: str
    settings: OutletSettings
    key: SigningKey
    office: VerifyKey
    answers: AnswerStore
    clock: Callable[[], float]
    cut_off: str
    outcome: str
    home: HomeCustomers
    events: EventFeatures
    slots: int
    event_slots: npt.NDArray[np.int64]
    directory_digest: str

    def answer(self, question: Mapping[str, bytes]) -> MaskedShare:
        """Answers a release plan, once.

        Args:
            question: Bytes of `night`, `night_signature`, `plan`, `plan_signature`, `scorecard` and
                `preconditioner`.

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
        for name in ("scorecard", "preconditioner"):
            if _digest(question[name]) != getattr(plan, name):
                raise QuestionRefused(f"release {plan.release}: {name} is not the plan's")
        if plan.directory != self.directory_digest:
            raise QuestionRefused(f"release {plan.release}: directory is not tonight's")
        card = Scorecard.decode(question["scorecard"])
        if (night.cut_off, card.outcome) != (self.cut_off, self.outcome):
            raise QuestionRefused(
                f"release {plan.release}: asks for {card.outcome} as of {night.cut_off}, "
                f"this outlet is ready for {self.outcome} as of {self.cut_off}"
            )
        if plan.dimension != self._dimensions().get(plan.purpose):
            raise QuestionRefused(f"release {plan.release}: no {plan.purpose} of this dimension")
        self._check_floors(plan, answers, at)
        answers.follow(night)

    def _dimensions(self) -> dict[Purpose, int]:
        """The public layout of each sum that this outlet contributes to."""
        return {
            Purpose.MOMENTS: MOMENTS_DIMENSION,
            Purpose.TRAINING: GRADIENT_DIMENSION,
            Purpose.EVALUATION: COUNTS_DIMENSION,
            Purpose.POINTS: POINTS_WIDTH * self.slots,
        }

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
            return Contribution(moments_rows(self.home.x))
        card = Scorecard.decode(question["scorecard"])
        weights = np.asarray(card.weights)
        if plan.purpose is Purpose.TRAINING:
            matrix = Preconditioner.decode_matrix(question["preconditioner"])
            return Contribution(gradient_rows(self.home.x, self.home.y, weights, matrix))
        if plan.purpose is Purpose.EVALUATION:
            return Contribution(counts_rows(self.home.x, self.home.y, weights))
        return self._points(card)

    def _points(self, card: Scorecard) -> Contribution:
        listed = self.event_slots >= 0
        rows = card.event_points(self.events)[listed]
        return Contribution(rows, self.event_slots[listed] * POINTS_WIDTH)


def _digest(data: bytes) -> str:
    """A digest as plans carry it: "" for nothing."""
    return digest(data) if data else ""
