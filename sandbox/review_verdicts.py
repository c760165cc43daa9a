"""Verdicts: how right the bands of a clear sum are, by a simulated market's truth.

The clear sum is calibrated with noise as a night's, and banded as a sealed network would. The
market's truth, who resells for profit, is used to judge and nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from features.bands import LEAST_EVIDENCE, BandPolicy, scheme_of
from features.events import event_features
from features.outcomes import Outcome
from features.snapshot import CutOff, Snapshot
from sandbox.clear_sum import ClearSum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from features.calibration import Calibration
    from features.events import Matrix, Vector
    from features.scorecard import Scorecard
    from privacy.loss import Rho
    from sandbox.market import Market
    from sandbox.world import World

OUTCOMES = (Outcome.LOYAL.value, Outcome.FLIPPED.value)
FLIPPED = OUTCOMES.index(Outcome.FLIPPED)
REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How right `review` was of some customers, by the market's truth: who resells for profit.

    Attributes:
        customers: How many they are.
        flippers: How many of them resell for profit.
        review: How many are in the band.
        precision: Share of the band that does resell for profit; None of an empty band.
        recall: Share of those who do that is in the band; None where nobody does.
        falsely_accused: Share of those who do not that is in the band; None likewise.
    """

    customers: int
    flippers: int
    review: int
    precision: float | None
    recall: float | None
    falsely_accused: float | None

    @classmethod
    def of(cls, review: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Self:
        """Counts.

        Args:
            review: bool[n], who is in the band.
            truth: bool[n], who resells for profit.
        """

        def share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float | None:
            return float(part[whole].mean()) if whole.any() else None

        return cls(
            len(truth), int(truth.sum()), int(review.sum()),
            share(truth, review), share(review, truth), share(review, ~truth),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClearSumVerdicts:
    """What the clear sum of a night's scorecards comes to.

    Attributes:
        clear: As of the cut-off.
        calibrations: One a scorecard, of private counts.
        flips: bool[n], the market's truth: who resells for profit.
        verdicts: How right `review` is as of the market's last day, by group.
    """

    clear: ClearSum
    calibrations: tuple[Calibration, ...]
    flips: npt.NDArray[np.bool_]
    verdicts: dict[str, Verdict]

    @classmethod
    def of(
        cls,
        cards: Sequence[Scorecard],
        second: Matrix,
        cost: Rho | None,
        world: World,
        market: Market,
        y: Mapping[str, Vector],
        counted: npt.NDArray[np.bool_],
    ) -> Self:
        """Calibrates the clear sum and bands it as of the market's last day.

        Args:
            cards: One for each of OUTCOMES.
            second: float64[DIMENSION, DIMENSION], from the night's moments.
            cost: Of the calibration's counts; None without noise.
            world: The market at the cut-off.
            market: With the truth.
            y: By outcome, float64[n] as homes see it.
            counted: bool[n], who is in the calibration's counts.
        """
        clear = ClearSum.of_world(cards, world)
        calibrated = clear.calibrations([y[name] for name in OUTCOMES], counted, second, cost)
        today, people = clear_today(cards, world)
        review = today.bands(FLIPPED, cuts_of(calibrated, FLIPPED)) == _place_of_review()
        truth = who_flips(market, people)
        seen = np.asarray(sum(own.counts for own in today.sums.values()))
        regular = seen >= LEAST_EVIDENCE
        verdicts = {
            "everybody": Verdict.of(review, truth),
            "newcomers": Verdict.of(review[~regular], truth[~regular]),
            "regulars": Verdict.of(review[regular], truth[regular]),
        }
        return cls(clear, tuple(calibrated), who_flips(market, world.customers), verdicts)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where the bands of flipper risk begin, in points."""
        return cuts_of(self.calibrations, FLIPPED)

    def review_as_json(self) -> dict[str, Any]:
        """Plain values of the verdicts, for `json.dumps`."""
        return {group: asdict(found) for group, found in self.verdicts.items()}


def cuts_of(calibrations: Sequence[Calibration], place: int) -> tuple[int, ...]:
    """Where bands begin under the default policy, in points."""
    return calibrations[place].cuts(scheme_of(OUTCOMES[place], BandPolicy()).thresholds)


def clear_today(cards: Sequence[Scorecard], world: World) -> tuple[ClearSum, pl.Series]:
    """Adds up what all outlets know as of the market's last day, and of whom: String[n]."""
    last = world.snapshot.horizon_end
    whole = pl.concat([world.snapshot.history, world.snapshot.future])
    first = whole.sort("date", "outlet").group_by("customer", maintain_order=True)
    homes = first.agg(pl.col("outlet").first()).sort("customer")
    events = {
        str(name): event_features(Snapshot.take(rows, CutOff(last), last))
        for (name,), rows in sorted(whole.partition_by("outlet", as_dict=True).items())
    }
    people = homes["customer"]
    return ClearSum.of_events(cards, events, people, homes["outlet"]), people


def who_flips(market: Market, customers: pl.Series) -> npt.NDArray[np.bool_]:
    """Who resells for profit, bool[n]: the market's truth."""
    truth = market.people.filter("flips")["customer_id"]
    return customers.is_in(truth.implode()).to_numpy()


def _place_of_review() -> int:
    return scheme_of(Outcome.FLIPPED, BandPolicy()).bands.index(REVIEW)
