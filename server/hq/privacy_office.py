"""The privacy office as HQ sees it, whether in the same process or over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privacy.outlet_blocks import SumBlocks
    from privacy.plans import PlannedReleases, ReleaseDraft, Signed
    from privacy.publications import Countersigned
    from privacy.published_books import BookSummary
    from privacy.seal_plans import SealDraft
    from privacy.two_key_sum import Carried, Envelope


class CollectedBatch(NamedTuple):
    """What the office's relay gives of the batches after the last that HQ applied.

    Attributes:
        batch: Which batch; 0 where none is ready.
        sealed: Its messages.
        forgotten: Batches up to this one HQ had before, and the office has no more; 0 where there
            is none.
    """

    batch: int
    sealed: list[bytes]
    forgotten: int = 0


class BookOffice(Protocol):
    """The privacy office, as books need it."""

    def countersign_book(self, directory: str, summary: BookSummary) -> Countersigned:
        """Countersigns the one book of the directory that was countersigned last."""


class PrivacyOffice(BookOffice, Protocol):
    """The privacy office, as nights need it."""

    def sign_night(self, night: str, cut_off: str, lines: Sequence[PlannedReleases]) -> Signed:
        """Signs a night plan and reserves its cost."""

    def sign_release(self, draft: ReleaseDraft) -> Signed:
        """Signs a release plan."""

    def unlock(self, plan_digest: str, envelopes: Sequence[Envelope]) -> bytes:
        """Answers with the sum of masks less the office's noise."""

    def sum_blocks(self) -> SumBlocks:
        """Which outlets the sums of the last year tell together only."""

    def sign_seal(self, draft: SealDraft) -> tuple[Signed, bytes]:
        """Signs a seal plan, and answers the first message of the transfers."""

    def store_set(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
    ) -> str:
        """Takes a seal's set of answers, for good; gives its digest."""

    def seal_chunk(self, plan_digest: str, chunk: int, choices: bytes) -> Iterator[bytes]:
        """Checks HQ's choices of a chunk, and gives its hidden tables."""

    def close_seal(self, plan_digest: str) -> None:
        """Ends a seal."""

    def close_night(self, night: str) -> None:
        """Gives back what the night reserved and did not charge."""
