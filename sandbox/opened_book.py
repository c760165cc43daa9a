"""The published book as all outlets together could read it, beside the bands of the clear sum.

Only the sandbox can do this: it has every outlet's folder and both shares of the token key. What
staff read has to be what the clear sum says, to the last customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from features.bands import SCHEMES, BandScheme, named, newcomer
from features.events import CustomerSums
from features.outcomes import Outcome
from sandbox.baselines import auc
from sandbox.clear_sum import ClearSum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from features.events import EventFeatures, Vector
    from features.scorecard import Scorecard
    from sandbox.processes import Processes

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenedBook:
    """What staff read of n customers, and what they should.

    Attributes:
        read: By scheme, int64[n], the place of each customer's band.
        clear: Likewise, of the clear sum of what outlets sent.
        many_outlets: How many entries ask for a person, since a sum could have wrapped.
    """

    read: Mapping[str, Places]
    clear: Mapping[str, Places]
    many_outlets: int

    @classmethod
    def of(
        cls,
        network: Processes,
        cards: Sequence[Scorecard],
        cuts: Sequence[tuple[int, ...]],
        events: Mapping[str, EventFeatures],
        customers: pl.Series,
    ) -> Self:
        """Reads every customer's entry, and adds up what their outlets sent.

        Args:
            network: After a night that published a book.
            cards: The k scorecards that stand.
            cuts: Of each, sums of parts at which bands begin.
            events: By outlet, as of the book's day.
            customers: String[n].
        """
        outcomes = [card.outcome for card in cards]
        held = network.held(customers, outcomes)
        entries = [
            held.book.read(int(slot), key) for slot, key in zip(held.slots, held.keys, strict=True)
        ]
        told = [
            newcomer() if entry is None else named(entry.codes, entry.evidence) for entry in entries
        ]
        schemes = [SCHEMES[Outcome.named(outcome)] for outcome in outcomes]
        sums = {name: CustomerSums.of(own, customers) for name, own in events.items()}
        clear = ClearSum.of(cards, sums, held.at_home, held.dithers)
        return cls(
            {scheme.name: _places(scheme, told) for scheme in schemes},
            {scheme.name: clear.bands(at, cuts[at]) for at, scheme in enumerate(schemes)},
            sum(entry is not None and entry.many_outlets for entry in entries),
        )

    @property
    def differing(self) -> int:
        """How many customers have a band that is not the clear sum's."""
        other = [self.read[name] != self.clear[name] for name in self.read]
        return int(np.any(other, axis=0).sum())

    def sentence(self) -> str:
        """What a person should know."""
        people = len(next(iter(self.read.values())))
        equal = "all of them the clear sum's" if not self.differing else f"{self.differing} differ"
        asked = f"; {self.many_outlets} ask for a person" if self.many_outlets else ""
        return f"The book, read with every customer's key: bands of {people:,}, {equal}{asked}."


@dataclass(frozen=True, slots=True)
class BandRanking:
    """How well bands rank who has one, beside a home's own view cut at the same shares.

    Attributes:
        bands: AUC of the places of bands; None where an outcome is missing.
        home: AUC of the home's view, cut so that as many are in each band.
    """

    bands: float | None
    home: float | None

    @classmethod
    def of(cls, bands: Places, home: Vector, y: Vector) -> Self:
        """Ranks customers who are not "new", which says nothing of anybody.

        Args:
            bands: int64[n], of customers who were in no training sum.
            home: float64[n], what each customer's home thinks by itself.
            y: float64[n] of 0 and 1.
        """
        known = bands > 0
        bands, home, y = bands[known], home[known], y[known]
        cut = np.empty_like(bands)
        cut[np.argsort(home, kind="stable")] = np.sort(bands)
        return cls(auc(y, bands.astype(np.float64)), auc(y, cut.astype(np.float64)))


def _places(scheme: BandScheme, told: Sequence[Mapping[str, str]]) -> Places:
    return np.array([scheme.bands.index(one[scheme.name]) for one in told], dtype=np.int64)
