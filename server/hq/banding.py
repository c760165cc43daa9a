"""From private counts to where bands begin, and from masked entries to a night's book.

Nobody at HQ sees a score: bands begin at sums of parts, which the office's tables compare for it.
What people see is a `Judgement`, made of a `CustomerRelease`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from features.accuracy import Accuracy, ReliabilityRow, accuracy, auc_of_cells, reliability
from features.bands import BandPolicy, scheme_of
from features.calibration import Calibration, Counts
from privacy.books import Book
from privacy.publications import PublicationKind, check_published
from privacy.published_books import PublishedBook, SignedBook, sign_book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privacy.books import SealedEntries
    from privacy.envelopes import SigningKey, VerifyKey
    from privacy.two_key_sum import CustomerRelease
    from server.hq.due import Tonight
    from server.hq.known_slots import KnownSlots
    from server.hq.privacy_office import BookOffice


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


@dataclass(frozen=True, slots=True)
class Judgement:
    """What private counts say of a scorecard; for reports and plots.

    Attributes:
        auc: Of the network's scores; None where noise covers the counts.
        auc_noise_sd: How far noise alone may have moved it.
        place: Which of the release's scores it is, counted from 0.
        base: What everybody has of the score, in points.
        middle: The sum of parts that the bins were made around.
        cuts: Sums of parts at which bands begin, ascending.
        bands: One row a band, lowest first.
        accuracy: How right the highest band is. Judged on the counts that its cut was made of, so
            it looks better than it is.
        standing: The same with the cuts that stood until now, which these counts had no part in;
            None where none stood.
    """

    auc: float | None
    auc_noise_sd: float | None
    place: int
    base: float
    middle: int
    cuts: tuple[int, ...]
    bands: tuple[ReliabilityRow, ...]
    accuracy: Accuracy
    standing: Accuracy | None

    @classmethod
    def of(
        cls,
        release: CustomerRelease,
        place: int,
        base: float,
        middle: int,
        thresholds: Sequence[float],
        standing: Judgement | None = None,
    ) -> Self:
        """Reads one score's part of a calibration release.

        Args:
            release: The release.
            place: Which of its scores, counted from 0.
            base: What everybody has of the score, in points.
            middle: The sum of parts that its bins were made around.
            thresholds: Calibrated probabilities at which bands begin.
            standing: The calibration before, whose cuts stood until now; None where none did.
        """
        counts = Counts.of(release.values, release.noise_sd, place, base + middle)
        found = Calibration.of(counts)
        cuts = found.cuts(thresholds, base)
        scores = [base + cut for cut in cuts]
        auc = auc_of_cells(counts.values, counts.noise_sd)
        return cls(
            None if auc is None else auc.value,
            None if auc is None else auc.noise_sd,
            place,
            base,
            middle,
            cuts,
            tuple(reliability(found, scores, counts)),
            accuracy(counts, scores[-1]),
            None if standing is None else accuracy(counts, standing.scores[-1]),
        )

    @property
    def scores(self) -> tuple[float, ...]:
        """Scores at which bands begin, in points, ascending."""
        return tuple(self.base + cut for cut in self.cuts)

    def counts(self, release: CustomerRelease) -> Counts:
        """The score's counts in the release that was judged."""
        return Counts.of(release.values, release.noise_sd, self.place, self.base + self.middle)

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return {
            "auc": self.auc,
            "auc_noise_sd": self.auc_noise_sd,
            "place": self.place,
            "base": self.base,
            "middle": self.middle,
            "cuts": list(self.cuts),
            "bands": [row._asdict() for row in self.bands],
            "accuracy": self.accuracy.as_json(),
            "standing": None if self.standing is None else self.standing.as_json(),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self | None:
        """Reads what `as_json` gave; None for what an earlier release kept, of another layout."""
        if "base" not in raw:
            return None
        standing = raw["standing"]
        return cls(
            raw["auc"],
            raw["auc_noise_sd"],
            raw["place"],
            raw["base"],
            raw["middle"],
            tuple(raw["cuts"]),
            tuple(ReliabilityRow(**row) for row in raw["bands"]),
            Accuracy.from_json(raw["accuracy"]),
            None if standing is None else Accuracy.from_json(standing),
        )


@dataclass(frozen=True, slots=True)
class Banding:
    """Makes books of sealed entries.

    Attributes:
        slots: What HQ knows of tonight's slots.
        library: Where books are published.
        signing: HQ's signing key.
        office: The privacy office's key, without whose word no book is published.
        policy: The thresholds of bands.
        clock: Unix seconds.
    """

    slots: KnownSlots
    library: Library
    signing: SigningKey
    office: VerifyKey
    policy: BandPolicy
    clock: Callable[[], float]

    def thresholds(self, outcome: str) -> tuple[float, ...]:
        """Calibrated probabilities at which an outcome's bands begin."""
        return scheme_of(outcome, self.policy).thresholds

    def book(self, entries: SealedEntries, directory: str) -> Book:
        """The book of a night: blank slots, and those that came since the seal, say nothing.

        Args:
            entries: Of a seal of either kind.
            directory: Digest of tonight's directory.
        """
        version, made_at = self.library.next_version(), int(self.clock())
        blank = self.slots.blank
        return entries.book(version=version, made_at=made_at, directory=directory, blank=blank)

    def publish(self, entries: SealedEntries, tonight: Tonight, office: BookOffice) -> int:
        """Makes, signs and publishes the book of tonight's directory.

        There is one every night, though seals are made less often: a customer who withdrew is gone
        from it. It is stored before the office is asked, which countersigns one a directory: a
        night that was killed asks for the same.

        Args:
            entries: Of the band seal that stands.
            tonight: The night.
            office: Countersigns it.

        Returns:
            The book's version.

        Raises:
            BookRefused: If slots are gone that were sealed.
            PublicationRefused: If the office countersigned another for this directory, or does not
                sign with the pinned key.
            HqError: If it does not answer.
        """
        directory = tonight.directory
        signed = self._drafted(entries, directory) or self._draft(entries, directory)
        said = office.countersign_book(directory, signed.summary)
        check_published(said, self.office, PublicationKind.BOOK, signed.summary.encode())
        version = Book.decode(signed.book).version
        self.library.add_book(version, PublishedBook(signed, said).encode())
        return version

    def _drafted(self, entries: SealedEntries, directory: str) -> SignedBook | None:
        """The book that a night before drafted for this directory, of the seal that stands."""
        kept = self.library.drafted(directory)
        if kept is None:
            return None
        signed = SignedBook.decode(kept)
        return signed if Book.decode(signed.book).seal == entries.seal else None

    def _draft(self, entries: SealedEntries, directory: str) -> SignedBook:
        """Makes, signs and stores the book of the seal that stands."""
        book = self.book(entries, directory)
        signed = sign_book(book, self.signing)
        self.library.draft(book.version, directory, signed.encode())
        return signed
