"""HQ's shelf: directories and books as outlets fetch them, each countersigned by the office.

Invariant: what is fetched was countersigned; and a book is stored before the office is asked about
it, so that a night that was killed in between publishes the very same bytes.

A draft is of the latest directory as the office numbered it last. States of it:

    drafted    the book as HQ signed it          -> published (countersigned), and kept
    published  the same bytes again, if asked    -> gone, with the office's next number
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from privacy.books import Book
from privacy.directory import Directory, DirectoryChanges
from privacy.publications import Countersigned
from privacy.published_books import PublishedBook
from server.holder.database import reading
from server.hq.slot_evidence import withdrawals
from server.hq.tables import BOOKS, DIRECTORIES, DRAFTS, PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

DIRECTORIES_KEPT = 3
ROWS_KEPT = 100
"""Of older directories than these not even their sizes: who holds one fetches the whole."""
_CHANGES_KEPT = 8


class KeptBytes:
    """The last large value that was read, by name: all who ask for it share one copy in memory.

    Whoever asks while it is being read waits for that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[Hashable, bytes] | None = None

    def get(self, name: Hashable, read: Callable[[], bytes]) -> bytes:
        """The value of a name, which never changes; read where another is held."""
        with self._lock:
            if self._held is None or self._held[0] != name:
                self._held = None  # two at a time would be twice the memory
                self._held = name, read()
            return self._held[1]


class Shelf:
    """What is published, in one database with the slots that it is about."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float]) -> None:
        """Publishes from a database.

        Args:
            engine: Of HQ's registry.
            clock: Unix seconds, the least version of a new book.
        """
        self._engine, self._clock = engine, clock
        self._changes: dict[tuple[str, str], bytes] = {}
        self._book, self._directory = KeptBytes(), KeptBytes()

    # --- directories --------------------------------------------------------------------------

    def publish(self, directory: Directory, countersigned: Countersigned) -> None:
        """Keeps a directory for outlets to fetch, with the two before it, and the book's.

        Of older ones it keeps how far they were: who holds one gets what changed since.

        Args:
            directory: All of it.
            countersigned: What the office says of it; `check_published` accepted it.
        """
        with self._engine.begin() as connection:
            put_on_shelf(connection, directory, countersigned)

    def published(self, digest: str, held: str = "") -> bytes | None:
        """A published directory, behind what the office says of it.

        Args:
            digest: Which.
            held: Digest of the one that the asker has: then what changed since, where that is
                known. "" for the whole.

        Returns:
            `Countersigned.encode()` and `DirectoryChanges.encode()` or `Directory.encode()`; None
            where it is not among the latest.
        """
        wanted = DIRECTORIES.c.digest == digest
        there = sa.select(DIRECTORIES.c.batch, DIRECTORIES.c.countersigned).where(
            wanted, DIRECTORIES.c.encoded.is_not(None)
        )
        base = sa.select(DIRECTORIES.c.batch, DIRECTORIES.c.slots).where(
            DIRECTORIES.c.digest == held
        )
        with reading(self._engine) as connection:
            found = connection.execute(there).one_or_none()
            if found is None:
                return None

            def encoded() -> bytes:
                query = sa.select(DIRECTORIES.c.encoded).where(wanted)
                return bytes(connection.scalars(query).one())

            known = connection.execute(base).one_or_none()
            if known is None or known.batch > found.batch:
                name = digest, found.countersigned
                return self._directory.get(name, lambda: bytes(found.countersigned + encoded()))
            changes = self._changes.get((held, digest))
            if changes is None:
                blanked = withdrawals(connection, known.slots, known.batch, found.batch)
                whole = Directory.decode(encoded())
                changes = _changes(held, known.slots, list(blanked), whole)
                self._keep_changes(held, digest, changes)
            return bytes(found.countersigned + changes)

    def latest_directory(self) -> bytes | None:
        """The whole directory that was published last, as `published`; None before the first."""
        digest = sa.select(DIRECTORIES.c.digest).order_by(DIRECTORIES.c.number.desc()).limit(1)
        with reading(self._engine) as connection:
            last = connection.scalar(digest)
        return None if last is None else self.published(last)

    def last_statement(self) -> Countersigned | None:
        """What the office said last of a directory; None before the first."""
        said = sa.select(DIRECTORIES.c.countersigned).order_by(DIRECTORIES.c.number.desc()).limit(1)
        with reading(self._engine) as connection:
            last = connection.scalar(said)
        return None if last is None else Countersigned.cut_off(last)[0]

    def _keep_changes(self, held: str, digest: str, changes: bytes) -> None:
        """Keeps the last few answers: all outlets ask the same of one night."""
        self._changes[held, digest] = changes
        while len(self._changes) > _CHANGES_KEPT:
            self._changes.pop(next(iter(self._changes)))

    # --- books --------------------------------------------------------------------------------

    def next_version(self) -> int:
        """A version that no book has had or will have again, even if its book is never added.

        It is at least the time in seconds, so that an HQ restored from an old copy goes on above
        what it gave after that copy.
        """
        with self._engine.begin() as connection:
            last = int(connection.scalars(sa.select(PROGRESS.c.last_version)).one())
            version = max(last + 1, int(self._clock()))
            connection.execute(PROGRESS.update().values(last_version=version))
            return version

    def drafted(self, directory: str) -> bytes | None:
        """The book that was signed last for a directory, under the office's last number of it.

        Args:
            directory: Digest of the directory.

        Returns:
            `SignedBook.encode()`; None where there is none.
        """
        query = sa.select(DRAFTS.c.signed).where(DRAFTS.c.directory == directory)
        with self._engine.begin() as connection:
            return connection.scalar(query)

    def draft(self, version: int, directory: str, signed: bytes) -> None:
        """Stores a signed book, in place of the draft before it, until it is countersigned.

        Args:
            version: From `next_version`.
            directory: Digest of its directory.
            signed: `SignedBook.encode()`.
        """
        row = {"version": version, "directory": directory, "signed": signed}
        with self._engine.begin() as connection:
            connection.execute(DRAFTS.delete())
            connection.execute(DRAFTS.insert().values(**row))

    def add_book(self, version: int, encoded: bytes) -> None:
        """Publishes a countersigned book in place of the one before.

        Args:
            version: From `next_version`.
            encoded: `PublishedBook.encode()`.

        Raises:
            ValueError: If another book of this version, or a later one, was published.
        """
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(BOOKS)).one_or_none()
            if row is not None and (row.version, row.encoded) == (version, encoded):
                return
            given = int(connection.scalars(sa.select(PROGRESS.c.last_version)).one())
            least = 0 if row is None else row.version
            if not least < version <= given:
                raise ValueError(f"book: got version {version}, expected {least + 1} to {given}")
            connection.execute(BOOKS.delete())
            connection.execute(BOOKS.insert().values(version=version, encoded=encoded))

    def latest_book(self) -> bytes | None:
        """The published bytes of the book that stands; None where there is none yet.

        Read once a version, however many outlets fetch it.
        """
        with reading(self._engine) as connection:
            version = connection.scalar(sa.select(BOOKS.c.version))
            if version is None:
                return None
            query = sa.select(BOOKS.c.encoded).where(BOOKS.c.version == version)
            return self._book.get(version, lambda: bytes(connection.scalars(query).one()))


def put_on_shelf(
    connection: sa.Connection, directory: Directory, countersigned: Countersigned
) -> None:
    """Publishes a directory within a transaction; see `Shelf.publish`."""
    row = {
        "digest": directory.digest,
        "batch": directory.batch,
        "slots": directory.slots,
        "countersigned": countersigned.encode(),
        "encoded": directory.encode(),
    }
    newest = sa.select(DIRECTORIES).order_by(DIRECTORIES.c.number.desc())
    last = connection.execute(newest.limit(1)).one_or_none()
    if last is not None and last.countersigned == row["countersigned"]:
        return
    number = 1 if last is None else last.number + 1
    connection.execute(DRAFTS.delete())  # of another number of the office's
    mine = DIRECTORIES.c.digest == directory.digest
    connection.execute(DIRECTORIES.delete().where(mine))
    connection.execute(DIRECTORIES.insert().values(number=number, **row))
    kept = sa.select(DIRECTORIES.c.number).order_by(DIRECTORIES.c.number.desc())
    older = DIRECTORIES.c.number.not_in(kept.limit(DIRECTORIES_KEPT))
    books = DIRECTORIES.c.digest != _books_directory(connection)
    connection.execute(DIRECTORIES.update().where(older, books).values(encoded=None))
    long_gone = DIRECTORIES.c.number <= number - ROWS_KEPT
    connection.execute(DIRECTORIES.delete().where(long_gone, books))


def _books_directory(connection: sa.Connection) -> str:
    """Digest of the directory of the book that stands; "" where none does."""
    encoded = connection.scalar(sa.select(BOOKS.c.encoded))
    if encoded is None:
        return ""
    return Book.decode(PublishedBook.decode(encoded).signed.book).directory


def _changes(held: str, slots: int, blanked: list[int], directory: Directory) -> bytes:
    """What a directory has more than one of so many slots that is held."""
    gone = np.array(blanked, dtype=np.uint32)
    return DirectoryChanges(held, directory.batch, gone, directory.rows[slots:]).encode()
