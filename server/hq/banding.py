"""From scores to a band book, and from private counts to where bands begin.

Scores are used here and nowhere else: nothing of a `ScoreTable` reaches a log, a report or a plot.
What people see is a `Judgement`, made of a `CustomerRelease`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from features.bands import UNKNOWN, BandPolicy, assign, pack, schemes
from features.calibration import Calibration, ReliabilityRow, fine_bins
from features.outcomes import Outcome
from privacy.books import Book, Kind, fine_key, sign_book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from features.bands import Bands
    from features.events import Vector
    from privacy.envelopes import SigningKey
    from privacy.two_key_sum import CustomerRelease, ScoreTable
    from server.hq.directory import SlotKey
    from server.hq.due import Tonight
    from server.hq.store import Model


class Library(Protocol):
    """Where books are published."""

    def next_version(self) -> int:
        """A version that no book had before."""

    def add_book(self, version: int, encoded: bytes) -> None:
        """Publishes a signed book."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What private counts say of a scorecard; for reports and plots.

    Attributes:
        auc: Of the network's scores; None where noise covers the counts.
        auc_noise_sd: How far noise alone may have moved it.
        cuts: Scores at which bands begin, in points; infinite where nobody reaches one.
        bands: One row a band, lowest first.
    """

    auc: float | None
    auc_noise_sd: float | None
    cuts: tuple[float, ...]
    bands: tuple[ReliabilityRow, ...]

    @classmethod
    def of(cls, counts: CustomerRelease, thresholds: Sequence[float]) -> Self:
        """Reads a calibration release.

        Args:
            counts: The release; a score table is none.
            thresholds: Calibrated probabilities at which bands begin.
        """
        found = Calibration.of(counts.values, counts.noise_sd)
        cuts = tuple(found.cut(threshold) for threshold in thresholds)
        auc = found.auc()
        rows = tuple(found.reliability(cuts))
        if auc is None:
            return cls(None, None, cuts, rows)
        return cls(auc.value, auc.noise_sd, cuts, rows)

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        cuts = [cut if math.isfinite(cut) else str(cut) for cut in self.cuts]
        return {**asdict(self), "cuts": cuts, "bands": [row._asdict() for row in self.bands]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Reads what `as_json` gave."""
        bands = tuple(ReliabilityRow(**row) for row in raw["bands"])
        return cls(raw["auc"], raw["auc_noise_sd"], tuple(map(float, raw["cuts"])), bands)


@dataclass(frozen=True, slots=True)
class Banding:
    """Makes books.

    Attributes:
        keys: Token and home nonce of each slot; None where the customer has withdrawn.
        library: Where books are published.
        signing: HQ's signing key.
        policy: Thresholds and hysteresis.
        clock: Unix seconds.
    """

    keys: Sequence[SlotKey | None]
    library: Library
    signing: SigningKey
    policy: BandPolicy
    clock: Callable[[], float]

    def thresholds(self, outcome: str) -> tuple[float, ...]:
        """Calibrated probabilities at which an outcome's bands begin."""
        return schemes(self.policy)[Outcome.named(outcome)].thresholds

    def fine_book(self, table: ScoreTable, scores: Sequence[Vector], tonight: Tonight) -> bytes:
        """Each slot's scores in fixed bins, one byte a score, for its home outlet alone.

        Args:
            table: What the scores are made of.
            scores: float64[slots] a score.
            tonight: The night.
        """
        keys = [None if key is None else fine_key(key.token, key.home_nonce) for key in self.keys]
        return Book.masked(
            np.stack([fine_bins(score) for score in scores], axis=1),
            keys,
            kind=Kind.FINE,
            release=table.plan.release,
            version=self.library.next_version(),
            as_of=tonight.cut_off,
            made_at=int(self.clock()),
            directory=tonight.directory,
        ).encode()

    def assign(
        self, models: Sequence[Model], scores: Sequence[Vector], counts: Vector
    ) -> list[Bands]:
        """The bands of every slot, uint8[slots] a score, with hysteresis.

        Args:
            models: Cuts and latest bands of each outcome.
            scores: float64[slots] a score.
            counts: float64[slots], noisy numbers of events.
        """
        found = []
        for model, score in zip(models, scores, strict=True):
            before = _extended(model.bands, len(score), UNKNOWN)
            closed = (np.inf,) * len(self.thresholds(model.outcome))
            cuts = closed if model.cuts is None else model.cuts
            policy = self.policy
            found.append(assign(score, counts, cuts, before, policy.margin, policy.least_events))
        return found

    def publish(self, models: Sequence[Model], tonight: Tonight) -> int:
        """Masks, signs and publishes the book of tonight's directory.

        There is one every night, though bands are made less often: a customer who withdrew is gone
        from it, and one who came has the band of who has no history.

        Args:
            models: What stands, banded.
            tonight: The night.

        Returns:
            The book's version.
        """
        all_schemes = schemes(self.policy)
        named = {
            all_schemes[Outcome.named(model.outcome)].name: _extended(
                model.bands, tonight.slots, 0
            ).astype(np.uint8)
            for model in models
        }
        version = self.library.next_version()
        book = Book.masked(
            pack(named),
            [None if key is None else key.token for key in self.keys],
            kind=Kind.BAND,
            release=models[0].banded_by,
            version=version,
            as_of=models[0].banded_as_of,
            made_at=int(self.clock()),
            directory=tonight.directory,
        )
        self.library.add_book(version, sign_book(book, self.signing).encode())
        return version


def _extended(bands: npt.NDArray[np.int8] | None, slots: int, fill: int) -> npt.NDArray[np.int8]:
    """Bands of every slot: slots are only ever added at the end, and begin with `fill`."""
    extended = np.full(slots, fill, dtype=np.int8)
    if bands is not None:
        extended[: len(bands)] = bands[:slots]
    return extended
