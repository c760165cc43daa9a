"""Rules of books: what the office reads in a book's header before it countersigns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.publications import PublicationRefused
from privacy.seal_plans import SealKind

if TYPE_CHECKING:
    from privacy.books import BookHeader
    from privacy.publications import Publication
    from server.office.seal_store import CompleteSeal


def check_same(said: Publication, name: str) -> None:
    """Refuses a second book of one number.

    Args:
        said: What was said of the number's book.
        name: The digest of the book that is asked for.

    Raises:
        PublicationRefused: If it is another one.
    """
    if said.digest != name:
        raise PublicationRefused(
            f"book: got {name[:16]}, expected {said.digest[:16]}, which was countersigned for "
            f"directory number {said.number}; publish that one, or wait for the next number"
        )


def check_book(
    header: BookHeader, directory: str, slots: int, sealed: CompleteSeal | None, since: int
) -> int:
    """Refuses a book that is not of bands, of this directory, and of a seal of this office.

    Args:
        header: The book's.
        directory: Digest of the directory that was countersigned last.
        slots: How many it has.
        sealed: The complete seal of the plan that the header names; None of none.
        since: When the last book's seal had its set stored, in Unix seconds.

    Returns:
        When this one's had.

    Raises:
        PublicationRefused: If it is another one.
    """
    if header.kind is not SealKind.BAND:
        raise PublicationRefused(f"book: got a {header.kind} book, expected one of bands")
    if (header.directory, header.slots) != (directory, slots):
        raise PublicationRefused(
            f"book: its header is of another directory, expected {directory[:16]} of {slots} slots"
        )
    if sealed is None or header.seal != sealed.seal:
        raise PublicationRefused(
            f"book: its seal {header.seal.plan[:16]} is not one that this office completed, or has "
            "another set, other choices, keys, slots or another day than that has"
        )
    if sealed.at < since:
        raise PublicationRefused("book: its seal is older than the last book's")
    return sealed.at
