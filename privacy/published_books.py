"""Published books: signed by HQ, countersigned by the privacy office, opened by outlets.

Invariant: what `open_book` returns has both signatures, and is of the kind, directory and age that
were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from privacy.books import TAG, Book, BookHeader, BookRefused
from privacy.envelopes import digest, frame
from privacy.publications import Countersigned, PublicationKind, check_published

if TYPE_CHECKING:
    from privacy.envelopes import SigningKey
    from privacy.publications import Publishers
    from privacy.seal_plans import SealKind

SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class SignedBook:
    """A book's bytes and HQ's signature over them."""

    book: bytes = field(repr=False)
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise BookRefused(
                f"book: got a signature of {len(self.signature)} bytes, expected {SIGNATURE_BYTES}"
            )

    def encode(self) -> bytes:
        """The signature, then the book."""
        return self.signature + self.book

    @property
    def summary(self) -> BookSummary:
        """What the office is shown: all of it but the entries."""
        book = Book.decode(self.book)
        return BookSummary(self.signature, book.encode_header(), digest(book.body))

    @property
    def digest(self) -> str:
        """What the office countersigns."""
        return self.summary.digest

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes. Nothing is verified yet: `open_book` does that.

        Raises:
            BookRefused: If they are too short for a signature.
        """
        return cls(data[SIGNATURE_BYTES:], data[:SIGNATURE_BYTES])


@dataclass(frozen=True, slots=True)
class BookSummary:
    """A signed book with a digest in place of its entries.

    Attributes:
        signature: HQ's.
        header: `BookHeader.encode_header()`.
        body: Digest of the entries, in hex.
    """

    signature: bytes
    header: bytes
    body: str

    @property
    def digest(self) -> str:
        """What the office countersigns, in hex."""
        return digest(self.encode())

    def encode(self) -> bytes:
        """Signature, header and digest, framed."""
        return frame(self.signature, self.header, self.body.encode())

    def read(self) -> BookHeader:
        """The header.

        Raises:
            BookRefused: If it is malformed.
        """
        return BookHeader.decode_header(self.header)


@dataclass(frozen=True, slots=True)
class PublishedBook:
    """A book that HQ signed, and what the privacy office says of it."""

    signed: SignedBook
    countersigned: Countersigned

    def encode(self) -> bytes:
        """The bytes that are published."""
        return self.countersigned.encode() + self.signed.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes. Nothing is verified yet: `open_book` does that.

        Raises:
            PublicationRefused: If they are too short for what the office said.
            BookRefused: If they are too short for a signature.
        """
        countersigned, rest = Countersigned.cut_off(data)
        return cls(SignedBook.decode(rest), countersigned)


def sign_book(book: Book, key: SigningKey) -> SignedBook:
    """Signs a book; HQ only."""
    data = book.encode()
    return SignedBook(data, key.sign(TAG, data))


def open_book(
    published: PublishedBook,
    publishers: Publishers,
    *,
    newer_than: int | None,
    directory: str | None,
    not_before: int,
    not_after: int | None = None,
    kind: SealKind | None = None,
) -> Book:
    """Reads a book that HQ signed and the office countersigned, if it is the one to use now.

    Args:
        published: What was downloaded.
        publishers: The pinned keys.
        newer_than: The office's number of the last book that was accepted; None for the first.
            HQ chooses versions, the office numbers.
        directory: Digest of the directory that slots are looked up in; None to leave it open.
        not_before: Books made earlier are stale, in Unix seconds.
        not_after: Books made later are from a clock that is wrong, or never to grow stale.
        kind: The kind that is expected; None for any.

    Raises:
        BookRefused: If it is forged, malformed, of another kind or directory, not newer, or stale.
        PublicationRefused: If the office did not countersign it.
    """
    signed = published.signed
    if not publishers.hq.verify(signed.signature, TAG, signed.book):
        raise BookRefused("book: not signed by the pinned HQ; keep the last book and tell HQ")
    countersigned = check_published(
        published.countersigned, publishers.office, PublicationKind.BOOK, signed.summary.encode()
    )
    book = Book.decode(signed.book)
    if countersigned.directory != book.directory:
        raise BookRefused("book: of another directory than the privacy office was told; tell it")
    if kind is not None and book.kind is not kind:
        raise BookRefused(f"book: got a {book.kind} book, expected a {kind} book; fetch that one")
    if directory is not None and book.directory != directory:
        raise BookRefused(
            f"book: got one of directory {book.directory[:16]}, expected {directory[:16]}; "
            "fetch directory and book again"
        )
    if newer_than is not None and countersigned.number <= newer_than:
        raise BookRefused(
            f"book: got the privacy office's number {countersigned.number}, expected one above "
            f"{newer_than}; keep the book you have and fetch again later"
        )
    if book.made_at < not_before:
        raise BookRefused(
            f"book: stale, made {not_before - book.made_at} s before the oldest moment accepted; "
            "show no bands and ask HQ for a new book"
        )
    if not_after is not None and book.made_at > not_after:
        raise BookRefused(
            f"book: made {book.made_at - not_after} s after the latest moment accepted; keep the "
            "book you have and tell HQ that its clock is wrong"
        )
    return book
