"""What an outlet contributes: from its own events to one masked share per signed plan.

Invariant: nothing about customers leaves but through `privacy.two_key_sum.mask_share`, for a plan
that the pinned office signed and that passes the outlet's own floors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.events import EventFeatures, Matrix, Vector, customer_features, positions
from features.learning import Preconditioner, counts_rows, gradient_rows, moments_rows
from features.scorecard import Scorecard
from outlet_client.errors import QuestionRefused
from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import ReleasePlan, Signed, open_night, open_release
from privacy.two_key_sum import Contribution, MaskedShare, mask_share
from privacy.units import Purpose, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from outlet_client.answers import AnswerStore
    from outlet_client.settings import OutletSettings


@dataclass(frozen=True, slots=True)
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

        Raises:
            QuestionRefused: If a customer is named twice: it would count twice in every sum.
        """
        if customers.n_unique() != len(customers):
            raise QuestionRefused("home customers: one is named twice; expected each once")
        return cls(customer_features(events, customers), y)


@dataclass(frozen=True, slots=True)
class Outlet:
    """One outlet, ready to answer tonight's plans.

    Attributes:
        name: The outlet's id.
        settings: Its own floors.
        key: Its signing key.
        office: The privacy office's pinned key.
        answers: What it answered so far.
        clock: Unix seconds.
        home: Its home customers.
        events: All its events.
        directory: The slots' customers, in order; what a points release is laid out by.
        directory_digest: Its digest, the same for the whole night.
    """

    name: str
    settings: OutletSettings
    key: SigningKey
    office: VerifyKey
    answers: AnswerStore
    clock: Callable[[], float]
    home: HomeCustomers
    events: EventFeatures
    directory: pl.Series
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
        stored = self.answers.answer(plan, signed.digest)
        if stored is not None:
            return stored
        signed_night = Signed(question["night"], question["night_signature"])
        night = open_night(signed_night, self.office, at)
        if plan.night != signed_night.digest:
            raise QuestionRefused(f"release {plan.release}: belongs to another night")
        for name in ("scorecard", "preconditioner"):
            if _digest(question[name]) != getattr(plan, name):
                raise QuestionRefused(f"release {plan.release}: {name} is not the plan's")
        if plan.directory != self.directory_digest:
            raise QuestionRefused(f"release {plan.release}: directory is not tonight's")
        self._check_floors(plan, at)
        self.answers.follow(night)
        share = mask_share(
            self._contribution(plan, question), plan, signed.digest, self.name, self.key
        )
        self.answers.add_answer(plan, signed.digest, share, at)
        return share

    def _check_floors(self, plan: ReleasePlan, at: int) -> None:
        """Refuses what this outlet finds too little noise, too few outlets or too much a year."""
        plan.check(outlets=plan.quorum)
        if plan.quorum < self.settings.least_quorum:
            raise QuestionRefused(
                f"release {plan.release}: got quorum {plan.quorum}, "
                f"this outlet's least is {self.settings.least_quorum}"
            )
        cost = plan.rho()
        if cost is None:
            if not self.settings.noiseless:
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
        if is_customer and Rho(self.answers.spent(unit, at) + cost) > most:
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
        if plan.purpose is Purpose.POINTS:
            return self._points(card)
        raise QuestionRefused(f"release {plan.release}: no contribution for {plan.purpose} here")

    def _points(self, card: Scorecard) -> Contribution:
        slots: npt.NDArray[np.int64] = positions(self.events.keys["customer"], self.directory)
        listed = slots >= 0
        rows = card.event_points(self.events)[listed]
        return Contribution(rows, slots[listed] * rows.shape[1])


def _digest(data: bytes) -> str:
    """A digest as plans carry it: "" for nothing."""
    return digest(data) if data else ""
