"""From scores to a band book, and from private counts to where bands begin.

Scores are used here and nowhere else: nothing of a `ScoreTable` reaches a log, a report or a plot.
What people see is a `Judgement`, made of a `CustomerRelease`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from features.accuracy import Accuracy, ReliabilityRow, accuracy, auc_of_cells, reliability
from features.bands import UNKNOWN, BandPolicy, assign, pack, scheme_of
from features.calibration import Calibration, Counts, Group, fine_bins
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
        cuts: Standard scores at which bands begin (`PointsCode.scores_alone`); infinite where
            nobody reaches one.
        bands: One row a band, lowest first.
        accuracy: How right the highest band is, by group. Judged on the counts that its cut was
            made of, so it looks better than it is.
        standing: The same with the cuts that stood until now, which these counts had no part in;
            empty where none stood.
    """

    auc: float | None
    auc_noise_sd: float | None
    cuts: tuple[float, ...]
    bands: tuple[ReliabilityRow, ...]
    accuracy: Mapping[Group, Accuracy]
    standing: Mapping[Group, Accuracy]

    @classmethod
    def of(
        cls,
        release: CustomerRelease,
        thresholds: Sequence[float],
        standing: Sequence[float] | None = None,
    ) -> Self:
        """Reads a calibration release.

        Args:
            release: The release; a score table is none.
            thresholds: Calibrated probabilities at which bands begin.
            standing: The cuts that stood until now, as `cuts`; None where none did.
        """
        groups = {group: Counts.of(release.values, release.noise_sd, group) for group in Group}
        everybody = groups[Group.EVERYBODY]
        found = Calibration.of(everybody)
        cuts = tuple(found.cut(threshold) for threshold in thresholds)
        auc = auc_of_cells(everybody.values, everybody.noise_sd)

        def judged(top: float) -> dict[Group, Accuracy]:
            return {group: accuracy(counts, top) for group, counts in groups.items()}

        return cls(
            None if auc is None else auc.value,
            None if auc is None else auc.noise_sd,
            cuts,
            tuple(reliability(found, cuts, everybody)),
            judged(cuts[-1]),
            {} if standing is None else judged(standing[-1]),
        )

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return {
            "auc": self.auc,
            "auc_noise_sd": self.auc_noise_sd,
            "cuts": [cut if math.isfinite(cut) else str(cut) for cut in self.cuts],
            "bands": [row._asdict() for row in self.bands],
            "accuracy": {group: found.as_json() for group, found in self.accuracy.items()},
            "standing": {group: found.as_json() for group, found in self.standing.items()},
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Reads what `as_json` gave."""
        accuracies = (
            {Group(group): Accuracy.from_json(found) for group, found in raw[name].items()}
            for name in ("accuracy", "standing")
        )
        bands = tuple(ReliabilityRow(**row) for row in raw["bands"])
        cuts = tuple(map(float, raw["cuts"]))
        return cls(raw["auc"], raw["auc_noise_sd"], cuts, bands, *accuracies)


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
        return scheme_of(outcome, self.policy).thresholds

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

    @staticmethod
    def translated(cuts: Sequence[float], alone: Vector, estimated: Vector) -> tuple[float, ...]:
        """Cuts of scores made of each slot alone, for scores made in the light of all slots.

        As many slots are above a cut as were: so a book's bands begin where the counts said. Where
        none was, none is.

        Args:
            cuts: Of `PointsCode.scores_alone`.
            alone: float64[slots], those scores.
            estimated: float64[slots], the other ones, of the same sums.
        """
        if not len(alone):
            return tuple(cuts)

        def translate(cut: float) -> float:
            if not math.isfinite(cut):
                return cut
            below = float((alone < cut).mean())
            return float(np.quantile(estimated, below)) if below < 1 else math.inf

        return tuple(translate(cut) for cut in cuts)

    def assign(
        self, models: Sequence[Model], scores: Sequence[Vector], counts: Vector
    ) -> list[Bands]:
        """The bands of every slot, uint8[slots] a score, with hysteresis.

        Where no calibration found a first cut, everybody is "new": the lowest band would tell
        customers apart from newcomers by nothing, and a policy may refuse it.

        Args:
            models: Cuts and latest bands of each outcome.
            scores: float64[slots] a score.
            counts: float64[slots], noisy numbers of events.
        """
        found = []
        for model, score in zip(models, scores, strict=True):
            before = _extended(model.bands, len(score), UNKNOWN)
            cuts, policy = model.cuts, self.policy
            if cuts is None or cuts[0] == np.inf:  # noise covered everything: nobody is known
                found.append(np.zeros(len(score), dtype=np.uint8))
                continue
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
        named = {
            scheme_of(model.outcome, self.policy).name: _extended(
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
