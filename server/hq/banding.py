"""From scores to a band book, and from private counts to where bands begin.

Scores are used here and nowhere else: nothing of a `ScoreTable` reaches a log, a report or a plot.
What people see is a `Judgement`, made of a `CustomerRelease`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from features.accuracy import Accuracy, ReliabilityRow, accuracy, auc_of_cells, reliability
from features.bands import UNKNOWN, BandPolicy, assign, pack, scheme_of
from features.calibration import Calibration, Counts, fine_bins
from privacy.books import Book, BookKind
from privacy.publications import PublicationKind, check_published
from privacy.published_books import PublishedBook, SignedBook, sign_book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from features.bands import Bands
    from features.events import Vector
    from privacy.directory import Slots
    from privacy.envelopes import SigningKey, VerifyKey
    from privacy.publications import Countersigned
    from privacy.two_key_sum import CustomerRelease, ScoreTable
    from server.hq.due import Tonight
    from server.hq.model_store import StandingModel


class Library(Protocol):
    """Where books are published."""

    def next_version(self) -> int:
        """A version that no book had before."""

    def drafted(self, directory: str) -> bytes | None:
        """The book that was signed last for a directory, under the office's last number of it."""

    def draft(self, version: int, directory: str, signed: bytes) -> None:
        """Stores a signed book until it is countersigned."""

    def add_book(self, version: int, encoded: bytes) -> None:
        """Publishes a countersigned book."""


class BookOffice(Protocol):
    """The privacy office, as books need it."""

    def countersign_book(self, directory: str, digest: str) -> Countersigned:
        """Countersigns the one book of the directory that was countersigned last."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What private counts say of a scorecard; for reports and plots.

    Attributes:
        auc: Of the network's scores; None where noise covers the counts.
        auc_noise_sd: How far noise alone may have moved it.
        place: Which of the release's scores it is, counted from 0.
        centre: The mean score that the bins were made around, in points.
        cuts: Points at which bands begin, ascending.
        bands: One row a band, lowest first.
        accuracy: How right the highest band is. Judged on the counts that its cut was made of, so
            it looks better than it is.
        standing: The same with the cuts that stood until now, which these counts had no part in;
            None where none stood.
    """

    auc: float | None
    auc_noise_sd: float | None
    place: int
    centre: float
    cuts: tuple[int, ...]
    bands: tuple[ReliabilityRow, ...]
    accuracy: Accuracy
    standing: Accuracy | None

    @classmethod
    def of(
        cls,
        release: CustomerRelease,
        place: int,
        centre: float,
        thresholds: Sequence[float],
        standing: Sequence[float] | None = None,
    ) -> Self:
        """Reads one score's part of a calibration release.

        Args:
            release: The release; a score table is none.
            place: Which of its scores, counted from 0.
            centre: The mean score that its bins were made around, in points.
            thresholds: Calibrated probabilities at which bands begin.
            standing: The cuts that stood until now, as `cuts`; None where none did.
        """
        counts = Counts.of(release.values, release.noise_sd, place, centre)
        found = Calibration.of(counts)
        cuts = found.cuts(thresholds)
        auc = auc_of_cells(counts.values, counts.noise_sd)
        return cls(
            None if auc is None else auc.value,
            None if auc is None else auc.noise_sd,
            place,
            centre,
            cuts,
            tuple(reliability(found, cuts, counts)),
            accuracy(counts, cuts[-1]),
            None if standing is None else accuracy(counts, standing[-1]),
        )

    def counts(self, release: CustomerRelease) -> Counts:
        """The score's counts in the release that was judged."""
        return Counts.of(release.values, release.noise_sd, self.place, self.centre)

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return {
            "auc": self.auc,
            "auc_noise_sd": self.auc_noise_sd,
            "place": self.place,
            "centre": self.centre,
            "cuts": list(self.cuts),
            "bands": [row._asdict() for row in self.bands],
            "accuracy": self.accuracy.as_json(),
            "standing": None if self.standing is None else self.standing.as_json(),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self | None:
        """Reads what `as_json` gave; None for what an earlier release kept, of another layout."""
        if "centre" not in raw:
            return None
        standing = raw["standing"]
        return cls(
            raw["auc"],
            raw["auc_noise_sd"],
            raw["place"],
            raw["centre"],
            tuple(raw["cuts"]),
            tuple(ReliabilityRow(**row) for row in raw["bands"]),
            Accuracy.from_json(raw["accuracy"]),
            None if standing is None else Accuracy.from_json(standing),
        )


@dataclass(frozen=True, slots=True)
class Banding:
    """Makes books.

    Attributes:
        keys: uint8[slots, KEY_BYTES], public slot keys; zeros where the customer has withdrawn.
        nonces: Of each home's registration; anything where withdrawn.
        library: Where books are published.
        signing: HQ's signing key.
        office: The privacy office's key, without whose word no book is published.
        policy: Thresholds and hysteresis.
        clock: Unix seconds.
    """

    keys: Slots = field(repr=False)
    nonces: Sequence[bytes] = field(repr=False)
    library: Library
    signing: SigningKey
    office: VerifyKey
    policy: BandPolicy
    clock: Callable[[], float]

    def thresholds(self, outcome: str) -> tuple[float, ...]:
        """Calibrated probabilities at which an outcome's bands begin."""
        return scheme_of(outcome, self.policy).thresholds

    def fine_book(
        self,
        table: ScoreTable,
        scores: Sequence[Vector],
        centres: Sequence[float],
        tonight: Tonight,
    ) -> bytes:
        """Each slot's scores in fixed bins, one byte a score, for its home outlet alone.

        Args:
            table: What the scores are made of.
            scores: float64[slots] a score, each slot's of its own sums alone.
            centres: The mean of each score, in points.
            tonight: The night.
        """
        return Book.masked(
            np.stack([fine_bins(*each) for each in zip(scores, centres, strict=True)], axis=1),
            self.keys,
            kind=BookKind.FINE,
            release=table.plan.release,
            version=self.library.next_version(),
            as_of=tonight.cut_off,
            made_at=int(self.clock()),
            directory=tonight.directory,
            nonces=self.nonces,
        ).encode()

    @staticmethod
    def translated(cuts: Sequence[float], alone: Vector, estimated: Vector) -> tuple[float, ...]:
        """Cuts of scores made of each slot alone, for scores made in the light of all slots.

        As many slots are above a cut as were: so a book's bands begin where the counts said. Where
        none was, none is, and the cut stays as far above the highest.

        Args:
            cuts: Of each slot's own sums.
            alone: float64[slots], scores of those sums.
            estimated: float64[slots], the other ones, of the same sums.
        """
        if not len(alone):
            return tuple(cuts)

        def translate(cut: float) -> float:
            below = float((alone < cut).mean())
            if below < 1:
                return float(np.quantile(estimated, below))
            return float(estimated.max() + (cut - alone.max()))

        return tuple(translate(cut) for cut in cuts)

    def assign(
        self, models: Sequence[StandingModel], scores: Sequence[Vector], counts: Vector
    ) -> list[Bands]:
        """The bands of every slot, uint8[slots] a score, with hysteresis.

        Before the first calibration everybody is "new": the lowest band would tell customers apart
        from newcomers by nothing, and a policy may refuse it.

        Args:
            models: Cuts and latest bands of each outcome.
            scores: float64[slots] a score.
            counts: float64[slots], noisy numbers of events.
        """
        found = []
        for model, score in zip(models, scores, strict=True):
            before = _extended(model.bands, len(score), UNKNOWN)
            if model.cuts is None:
                found.append(np.zeros(len(score), dtype=np.uint8))
                continue
            margin, least = self.policy.margin, self.policy.least_events
            found.append(assign(score, counts, model.cuts, before, margin, least))
        return found

    def publish(self, models: Sequence[StandingModel], tonight: Tonight, office: BookOffice) -> int:
        """Masks, signs and publishes the book of tonight's directory.

        There is one every night, though bands are made less often: a customer who withdrew is gone
        from it, and one who came has the band of who has no history. It is stored before the office
        is asked, which countersigns one a directory: a night that was killed asks for the same.

        Args:
            models: What stands, banded.
            tonight: The night.
            office: Countersigns it.

        Returns:
            The book's version.

        Raises:
            PublicationRefused: If the office countersigned another for this directory, or does not
                sign with the pinned key.
            HqError: If it does not answer.
        """
        signed, version = self._drafted(models, tonight) or self._draft(models, tonight)
        said = office.countersign_book(tonight.directory, signed.digest)
        check_published(said, self.office, PublicationKind.BOOK, signed.encode())
        self.library.add_book(version, PublishedBook(signed, said).encode())
        return version

    def _drafted(
        self, models: Sequence[StandingModel], tonight: Tonight
    ) -> tuple[SignedBook, int] | None:
        """The book that a night before drafted for this directory, of the bands that stand."""
        kept = self.library.drafted(tonight.directory)
        if kept is None:
            return None
        signed = SignedBook.decode(kept)
        book = Book.decode(signed.book)
        return (signed, book.version) if book.release == models[0].banded_by else None

    def _draft(self, models: Sequence[StandingModel], tonight: Tonight) -> tuple[SignedBook, int]:
        """Makes, signs and stores the book of the bands that stand."""
        named = {
            scheme_of(model.outcome, self.policy).name: _extended(
                model.bands, tonight.slots, 0
            ).astype(np.uint8)
            for model in models
        }
        version = self.library.next_version()
        book = Book.masked(
            pack(named),
            self.keys,
            kind=BookKind.BAND,
            release=models[0].banded_by,
            version=version,
            as_of=models[0].banded_as_of,
            made_at=int(self.clock()),
            directory=tonight.directory,
        )
        signed = sign_book(book, self.signing)
        self.library.draft(version, tonight.directory, signed.encode())
        return signed, version


def _extended(bands: npt.NDArray[np.int8] | None, slots: int, fill: int) -> npt.NDArray[np.int8]:
    """Bands of every slot: slots are only ever added at the end, and begin with `fill`."""
    extended = np.full(slots, fill, dtype=np.int8)
    if bands is not None:
        extended[: len(bands)] = bands[:slots]
    return extended
