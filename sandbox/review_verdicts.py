"""Verdicts: how right the bands of a clear sum are, by a simulated market's truth.

The clear sum is banded by a night's own cuts, as its book is. The market's truth, who resells for
profit, is used to judge and nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from features.bands import LEAST_EVIDENCE, BandPolicy, scheme_of
from features.events import event_features
from features.outcomes import Outcome
from features.points import base_points
from features.snapshot import CutOff, Snapshot
from sandbox.clear_sum import ClearSum

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from features.calibration import Calibration
    from features.events import EventFeatures, Matrix
    from features.scorecard import Scorecard
    from sandbox.market import Market
    from sandbox.world import World

    DithersOf = Callable[[pl.Series], Mapping[str, Matrix]]
    """Of customers, String[n]: by outlet, float64[n, k]."""

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
        cuts: Where the bands of flipper risk begin, in sums of parts.
        flips: bool[n], the market's truth: who resells for profit.
        verdicts: How right `review` is as of the market's last day, by group.
    """

    clear: ClearSum
    cuts: tuple[int, ...]
    flips: npt.NDArray[np.bool_]
    verdicts: dict[str, Verdict]

    @classmethod
    def of(
        cls,
        cards: Sequence[Scorecard],
        cuts: Sequence[int],
        world: World,
        market: Market,
        dithers: DithersOf | None = None,
    ) -> Self:
        """Bands the clear sum as of the market's last day.

        Args:
            cards: One for each of OUTCOMES.
            cuts: Where the bands of flipper risk begin, in sums of parts.
            world: The market at the cut-off.
            market: With the truth.
            dithers: The outlets' own; None rounds every part to the nearest point.
        """
        own = None if dithers is None else dithers(world.customers)
        today, people = clear_today(cards, world, dithers)
        review = today.bands(FLIPPED, cuts) == _place_of_review()
        truth = who_flips(market, people)
        seen = np.asarray(sum(known.counts for known in today.sums.values()))
        regular = seen >= LEAST_EVIDENCE
        verdicts = {
            "everybody": Verdict.of(review, truth),
            "newcomers": Verdict.of(review[~regular], truth[~regular]),
            "regulars": Verdict.of(review[regular], truth[regular]),
        }
        clear = ClearSum.of_world(cards, world, own)
        return cls(clear, tuple(cuts), who_flips(market, world.customers), verdicts)

    def review_as_json(self) -> dict[str, Any]:
        """Plain values of the verdicts, for `json.dumps`."""
        return {group: asdict(found) for group, found in self.verdicts.items()}


def cuts_of(calibration: Calibration, card: Scorecard) -> tuple[int, ...]:
    """Where a score's bands begin under the default policy, in sums of parts."""
    return calibration.cuts(scheme_of(card.outcome, BandPolicy()).thresholds, base_points(card))


def clear_today(
    cards: Sequence[Scorecard], world: World, dithers: DithersOf | None = None
) -> tuple[ClearSum, pl.Series]:
    """Adds up what all outlets know as of the market's last day, and of whom: String[n]."""
    events, homes = events_today(world)
    people = homes["customer"]
    own = None if dithers is None else dithers(people)
    return ClearSum.of_events(cards, events, people, homes["outlet"], own), people


def events_today(world: World) -> tuple[dict[str, EventFeatures], pl.DataFrame]:
    """What outlets know as of the market's last day, and each customer's first outlet."""
    whole = pl.concat([world.snapshot.history, world.snapshot.future])
    first = whole.sort("date", "outlet").group_by("customer", maintain_order=True)
    homes = first.agg(pl.col("outlet").first()).sort("customer")
    return _by_outlet(whole, world.snapshot.horizon_end), homes


def consented_today(world: World) -> dict[str, EventFeatures]:
    """The same of whom each outlet had met by the cut-off, as enrolment recorded consents."""
    whole = pl.concat([world.snapshot.history, world.snapshot.future])
    met = world.snapshot.history.select("outlet", "customer").unique()
    known = whole.join(met, on=["outlet", "customer"], how="semi")
    return _by_outlet(known, world.snapshot.horizon_end)


def _by_outlet(rows: pl.DataFrame, last: dt.date) -> dict[str, EventFeatures]:
    return {
        str(name): event_features(Snapshot.take(own, CutOff(last), last))
        for (name,), own in sorted(rows.partition_by("outlet", as_dict=True).items())
    }


def who_flips(market: Market, customers: pl.Series) -> npt.NDArray[np.bool_]:
    """Who resells for profit, bool[n]: the market's truth."""
    truth = market.people.filter("flips")["customer_id"]
    return customers.is_in(truth.implode()).to_numpy()


def _place_of_review() -> int:
    return scheme_of(Outcome.FLIPPED, BandPolicy()).bands.index(REVIEW)
