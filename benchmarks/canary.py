"""An audit by a canary: how much a training night really tells of one customer, from below.

python -m benchmarks.canary [--trials 450] [--fault none]

The strongest adversary there can be against gradients: HQ, which knows its own noise, every other
customer's rows, and the canary's, and only has to say whether the canary was there. Rows, clip,
integers, masks and the office's noise are the real code's. A lower bound of the loss that is above
the claim is a fault; in so many nights each planted one shows:

    half       the office draws half of the noise
    double     the canary counts at two outlets
    unclipped  a column is added after the clip
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from features.events import POINTS, RATE_BOUNDS, RATE_FEATURES, RATES, CustomerSums
from features.learning import (
    MOMENTS_DIMENSION,
    ROW_CLIP,
    Whitening,
    gradient_dimension,
    gradient_rows,
    moments_rows,
)
from features.starting import starting_scorecard
from privacy.fixed_point import clipping_units, ring_type, to_ring
from privacy.loss import Rho, epsilon_of
from privacy.masks import Seed, mask
from privacy.noise import DiscreteGaussian, scale_for
from privacy.plans import ReleasePlan
from privacy.purposes import Purpose
from privacy.two_key_sum import Aggregate, Contribution, CustomerRelease
from sandbox.review_verdicts import OUTCOMES
from server.hq.night import CUSTOMER_SCALE, MOST_CUSTOMERS
from server.hq.settings import HqSettings
from server.hq.training import Training
from tests.networks import small_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.events import Matrix, Vector
    from outlet_client.contribution.contributions import HomeCustomers

CLAIMED = Rho(2)
"""Of all gradients of a night: large enough to be seen in few trials."""

FAULTS = ("none", "half", "double", "unclipped")
DELTA, CONFIDENCE = 1e-6, 0.95

_EVENTS = 400.0
"""Of the canary."""

_DRAWS = cache(DiscreteGaussian)


class CanaryAudit(NamedTuple):
    """What trials came to, as mu: the distance of two Gaussians of standard deviation 1.

    Attributes:
        claimed: sqrt(2 rho).
        measured: The best guess.
        at_least: With CONFIDENCE it is no less.
    """

    claimed: float
    measured: float
    at_least: float

    @property
    def consistent(self) -> bool:
        """Whether the claim stands."""
        return self.at_least <= self.claimed


@dataclass(frozen=True, slots=True)
class Canary:
    """A customer whose row is as long as a row may be, in every round.

    All returns and no purchase: no scorecard thinks that either outcome comes true for such a
    customer, and both do. So the gradients are nearly as long as the whitened vector, which the
    clip cuts.

    Attributes:
        sums: One row.
        y: float64[1] an outcome.
    """

    sums: CustomerSums
    y: Sequence[Vector]


def main() -> None:
    """Runs the audit and prints one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=450, help="nights with, and without")
    parser.add_argument("--fault", choices=FAULTS, default="none")
    options = parser.parse_args()
    found = audit(options.trials, options.fault)
    epsilon = epsilon_of(Rho(round(max(found.at_least, 1e-3) ** 2 / 2, 9)), DELTA)
    sys.stdout.write(
        f"fault {options.fault}, {options.trials} nights each way: claimed mu {found.claimed:.3f}, "
        f"measured {found.measured:.3f}, at least {found.at_least:.3f} (epsilon {epsilon:.2f}): "
        f"{'consistent' if found.consistent else 'VIOLATION'}\n"
    )


def audit(trials: int, fault: str = "none") -> CanaryAudit:
    """Runs nights with and without the canary and tells them apart.

    Args:
        trials: Nights each way; a third of them choose where to draw the line.
        fault: One of FAULTS.
    """
    homes = [outlet.home for outlet in small_network(outcomes=OUTCOMES).outlets.values()]
    ratios = np.array(
        [[_night(homes, inside, fault) for inside in (False, True)] for _ in range(trials)]
    )
    fit, test = ratios[: trials // 3], ratios[trials // 3 :]

    def told(rows: Matrix, cut: float) -> float:
        alarms, misses = (rows[:, 0] >= cut).mean(), (rows[:, 1] < cut).mean()
        clipped = np.clip([alarms, misses], 0.005, 0.995)
        return -float(stats.norm.ppf(clipped).sum())

    cut = max(np.quantile(fit, np.linspace(0.05, 0.95, 91)), key=lambda at: told(fit, at))
    count = len(test)
    errors = int((test[:, 0] >= cut).sum()), int((test[:, 1] < cut).sum())
    most = [stats.beta.ppf((1 + CONFIDENCE) / 2, wrong + 1, count - wrong) for wrong in errors]
    spread = math.sqrt((ratios[:, 0].var() + ratios[:, 1].var()) / 2)
    measured = float(ratios[:, 1].mean() - ratios[:, 0].mean()) / spread
    return CanaryAudit(math.sqrt(2 * CLAIMED), measured, -float(stats.norm.ppf(most).sum()))


@cache
def _canary() -> Canary:
    rates = np.zeros((1, RATES))
    returned = [rate.__name__ for rate in RATE_FEATURES].index("returned")
    rates[0, returned] = _EVENTS * RATE_BOUNDS[returned]
    sums = CustomerSums(np.zeros((1, POINTS)), rates, np.array([_EVENTS]))
    return Canary(sums, [np.ones(1) for _ in OUTCOMES])


def _night(homes: Sequence[HomeCustomers], inside: bool, fault: str) -> float:  # noqa: FBT001  (with or without)
    """One training; the log likelihood ratio of 'the canary was there'."""
    settings, canary = HqSettings(), _canary()
    usual = np.zeros(RATES)
    moments = _plan(Purpose.MOMENTS, MOMENTS_DIMENSION, ROW_CLIP**2, CLAIMED)
    cards = [starting_scorecard(settings.starting[name], usual) for name in OUTCOMES]
    rows = [moments_rows(cards[0].vectors(home.sums)) for home in homes]
    made = _release(moments, [_sums(moments, own, fault) for own in rows], "none")
    space = Whitening.of(made.values, made.noise_sd)
    trainings = [
        Training.begin(name, usual, space, card) for name, card in zip(OUTCOMES, cards, strict=True)
    ]
    scores, norm, ratio = len(OUTCOMES), space.gradient_norm * math.sqrt(len(OUTCOMES)), 0.0
    each = Rho(CLAIMED / settings.rounds)
    plan = _plan(Purpose.TRAINING, gradient_dimension(scores), norm, each)
    for _ in range(settings.rounds):
        at = [training.card for training in trainings]

        def gradient(sums: CustomerSums, y: Sequence[Vector]) -> Matrix:
            return gradient_rows(sums, y, at, space.matrix, norm)  # noqa: B023  (called within the round)

        others = [gradient(home.sums, [home.y[name] for name in OUTCOMES]) for home in homes]
        mine = gradient(canary.sums, canary.y)
        without = [_sums(plan, rows, fault) for rows in others]
        sent = [
            _sums(plan, np.vstack([rows, mine]), fault)
            if inside and place < 1 + (fault == "double")
            else without[place]
            for place, rows in enumerate(others)
        ]
        made = _release(plan, sent, fault)
        known = sum(without) / plan.scale
        told = _sums(plan, mine, fault) / plan.scale
        variance = (plan.noise_scale / plan.scale) ** 2
        ratio += float((made.values - known) @ told - told @ told / 2) / variance
        trainings = [
            training.after_round(one, made.noise_sd)
            for training, one in zip(trainings, made.values[:-1].reshape(scores, -1), strict=True)
        ]
    return ratio


def _plan(purpose: Purpose, dimension: int, norm: float, cost: Rho) -> ReleasePlan:
    units = clipping_units(norm, CUSTOMER_SCALE)
    return ReleasePlan(
        "r", "n", "", purpose, dimension, 64, CUSTOMER_SCALE, units, units * MOST_CUSTOMERS,
        scale_for(cost, units), 3, "s", "d", "2026-01-31", "", "00", 1,
    )  # fmt: skip


def _sums(plan: ReleasePlan, rows: Matrix, fault: str) -> Vector:
    """An outlet's sums through the real clip, float64[d], in integer units."""
    if fault == "unclipped" and plan.purpose is Purpose.TRAINING:
        clipped = Contribution(np.hstack([rows[:, :-1], np.zeros((len(rows), 1))])).sums(plan)
        clipped[-1] = plan.norm * int((rows[:, -1] > 0).sum())
        return clipped.astype(np.float64)
    return Contribution(rows).sums(plan).astype(np.float64)


def _release(plan: ReleasePlan, sums: Sequence[Vector], fault: str) -> CustomerRelease:
    """The real path of outlets' sums; HQ's own noise is known to it, so it draws none."""
    total = np.zeros(plan.dimension, dtype=ring_type(plan.ring_bits))
    masks = total.copy()
    for own in sums:
        covered = mask(Seed.fresh(), plan.dimension, plan.ring_bits)
        total += to_ring(own.astype(np.int64), plan.outlet_bound, plan.ring_bits) + covered
        masks += covered
    scale = plan.noise_scale if fault != "half" else plan.noise_scale // 2
    answer = masks - _DRAWS(scale).draw(plan.dimension).astype(total.dtype)
    nothing = np.zeros(plan.dimension, dtype=np.int64)
    return Aggregate(plan, (), total).customer_release(answer.tobytes(), nothing)


if __name__ == "__main__":
    main()
