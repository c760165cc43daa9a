"""Publications: the office countersigns each directory and book that HQ publishes, and keeps which.

Invariant: what was countersigned of directories is one chain under growing numbers, in which slots
are only added and blanked; there is one book a number, of a seal that this office completed, and no
two numbers of one day; each statement is stored before it is given, and the same request again gets
the same bytes.

Why the chain only grows: the office does not take a directory's digest from HQ. It applies what HQ
says has changed to its own last directory, and such changes can name slots that become blank and
slots at the end, nothing else. So no slot gets another key or home, is gone, or returns
(`directory_rules`). A slot becomes blank by a proof that only the holder of its key's secret could
make, and only for a batch after the slot's own; so neither HQ nor a replay ends a consent. A key
that left comes back by a proof for a batch after that. Outlets take nothing that is not
countersigned, and no lower number, and the office itself tells each of them which is the last: no
two of them are shown two directories of one number. Nor of one night: whatever is in it, the next
number comes `hours` later, less SLACK as the night is not at the same second each day. So batches
that HQ saved up are one directory, not several. Before the first slot there is nothing to show.

Of a book the office is shown all but its entries. They are of bands, of one seal: what the header
says of it is what the office stored while it sealed, to the last digest, and books go back to no
seal before the last one's. What the entries are it cannot check.

What HQ can still do: leave out a registration or a withdrawal, which its outlet sees and sends
again; list keys of nobody, or of people that it made up, but no more of them than there were
messages in the new batches, where the relay knows them all (one that was lost, or began where HQ
said that it is, does not); publish late. What the office can do: lose statements by restoring an
old copy. HQ shows it the last one then, and numbers go on after that. An HQ whose operator says
that it was restored from one takes the office's directory over: of that moment the office could
list what nobody registered, and blank what nobody withdrew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from privacy.directory import Directory, DirectoryPosition, DirectoryRefused
from privacy.envelopes import digest, frame
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    PublicationRefused,
    PublicationTooSoon,
    countersign,
    open_publication,
)
from privacy.registration_losses import RegistrationLoss, sign_loss
from server.holder.database import open_store, reading
from server.holder.directory_copy import DirectoryCopy
from server.office.book_rules import check_book, check_same
from server.office.directory_rules import SlotHistory, check_network, check_points, followed_by
from server.office.tables import (
    COUNTERSIGNED,
    OFFICE,
    PUBLISHED_STATE,
    REGISTRATION_LOSSES,
    WITHDRAWN,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from privacy.directory import DirectoryChanges
    from privacy.envelopes import SigningKey
    from privacy.published_books import BookSummary
    from privacy.registrations import Evidence
    from server.office.seal_store import CompleteSeal

SLACK = 3600.0
"""Seconds that a new directory may come earlier than an unchanged one."""


@dataclass(frozen=True, slots=True)
class _Last:
    """The last statement of a kind."""

    said: Publication
    signed: Countersigned
    request: str
    sealed_at: int


class Publications:
    """What was countersigned, behind one SQLAlchemy URL."""

    def __init__(
        self,
        url: str,
        signing: SigningKey,
        hours: float,
        sealed: Callable[[str], CompleteSeal | None] = lambda _plan: None,
    ) -> None:
        """Opens the store.

        Args:
            url: Of the office's store, such as `sqlite:///office.db`, or `sqlite://` for memory.
            signing: The office's key.
            hours: After how long there may be another number, and with it another book; 0 in the
                sandbox only.
            sealed: Gives the complete seal of a plan, by its digest; without it there is no book.

        Raises:
            StoreRefused: If there is none, or it is another role's or release's.
        """
        self._engine = open_store(url, OFFICE)
        self._signing, self._seconds, self._sealed = signing, hours * 3600, sealed

    def last_directory(self) -> DirectoryPosition:
        """The directory that was countersigned last."""
        query = sa.select(
            PUBLISHED_STATE.c.batch, PUBLISHED_STATE.c.slots, PUBLISHED_STATE.c.digest
        )
        with reading(self._engine) as connection:
            return DirectoryPosition(*connection.execute(query).one())

    def latest_directory(self) -> str:
        """The digest of the directory that was countersigned last; "" before the first."""
        return self.last_directory().digest

    def directory(self) -> Directory:
        """The directory that was countersigned last, whole; an empty one before the first."""
        with reading(self._engine) as connection:
            return Directory.decode(
                connection.execute(sa.select(PUBLISHED_STATE.c.encoded)).scalar_one()
            )

    def latest(self) -> tuple[Countersigned | None, Countersigned | None]:
        """The last statements about a directory and about a book; None before the first."""
        with reading(self._engine) as connection:
            directory = _last(connection, PublicationKind.DIRECTORY)
            book = _last(connection, PublicationKind.BOOK)
        return (
            None if directory is None else directory.signed,
            None if book is None else book.signed,
        )

    def fetch_directory(self, network: bytes) -> DirectoryCopy:
        """The last directory whole, for an HQ that was restored from an older copy.

        Args:
            network: HQ's token key, 32 bytes.

        Raises:
            DirectoryRefused: If it is another network's, or nothing was countersigned yet.
        """
        with reading(self._engine) as connection:
            last = _last(connection, PublicationKind.DIRECTORY)
            if last is None:
                raise DirectoryRefused("directory: none was countersigned yet; show the first")
            history = _history(connection)
        check_network(history, network)
        directory = history.directory.encode()
        return DirectoryCopy(last.signed, directory, history.hash_key, history.withdrawn)

    def note_loss(self, after: int, at: float) -> None:
        """Signs that HQ lost the registrations after a batch, which outlets are told from now on.

        Once a loss: one that the last statement covers gets no other.

        Args:
            after: The last batch whose registrations HQ has.
            at: Unix seconds.
        """
        with self._engine.begin() as connection:
            upto = connection.execute(sa.select(PUBLISHED_STATE.c.batch)).scalar_one()
            before = _losses(connection)
            last = before[-1] if before else None
            if after >= upto or (last and last.after <= after and last.upto == upto):
                return
            number = len(before) + 1
            signed = sign_loss(RegistrationLoss(number, after, upto, int(at)), self._signing)
            row = {"payload": signed.payload, "signature": signed.signature}
            connection.execute(REGISTRATION_LOSSES.insert().values(number=number, **row))

    def losses(self) -> list[RegistrationLoss]:
        """Each loss of registrations that HQ stated, the first one first."""
        with self._engine.begin() as connection:
            return _losses(connection)

    def last_loss(self) -> Countersigned | None:
        """What was signed of the last; None where there was none."""
        query = (
            sa.select(REGISTRATION_LOSSES).order_by(REGISTRATION_LOSSES.c.number.desc()).limit(1)
        )
        with self._engine.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Countersigned(row.payload, row.signature)

    def countersign_directory(
        self,
        network: bytes,
        changes: DirectoryChanges,
        evidence: Mapping[int, Evidence],
        last: Countersigned | None,
        *,
        open_batch: int,
        sizes: Mapping[int, int],
        at: float,
    ) -> Countersigned:
        """Countersigns the directory that follows the last one, if it may.

        Of an unchanged directory the last statement is given again until `hours` have passed;
        another one has to wait for as long, less SLACK.

        Args:
            network: The network's token key, 32 bytes; the same as ever.
            changes: What it has more than `last_directory`.
            evidence: By slot, for those that become blank and for withdrawn keys that are back.
            last: What HQ was told last of a directory; None before the first.
            open_batch: The relay's.
            sizes: How many messages each batch had, of those that the relay closed.
            at: Unix seconds.

        Raises:
            DirectoryRefused: If it breaks a rule; nothing is changed then.
            PublicationTooSoon: If it is another one than the last, so few hours later.
            PublicationRefused: If `last` was not countersigned here.
        """
        shown = 0 if last is None else self._number(last)
        request = _digest_of_request(network, changes, last)
        # Before the transaction, which others wait for: a first million takes seconds.
        check_points(self.last_directory().slots, changes.added)
        with self._engine.begin() as connection:
            before = _last(connection, PublicationKind.DIRECTORY)
            if before is not None and before.request == request:
                return before.signed
            history = _history(connection)
            after = followed_by(history, network, changes, evidence, open_batch, sizes)
            name = after.directory.digest
            if before is None or before.said.digest != name:
                if before is not None and history.directory.slots:
                    self._check_not_too_soon(before.said, at)
                _write(connection, history, after)
            elif before.said.number >= shown and _passed(before.said, at) < self._seconds:
                return before.signed
            number = max(shown, 0 if before is None else before.said.number) + 1
            made = Publication(PublicationKind.DIRECTORY, number, name, name, int(at))
            return self._countersigned(connection, made, request)

    def countersign_book(self, directory: str, summary: BookSummary, *, at: float) -> Countersigned:
        """Countersigns the one book of the last directory's number.

        Args:
            directory: Digest of the directory.
            summary: The book, as HQ signed it, but its entries.
            at: Unix seconds.

        Raises:
            BookRefused: If the header is malformed.
            PublicationRefused: If there is another book already, or the directory is not the last;
                or the book is not one of bands, of this directory, and of a seal that is complete
                and no older than the last book's.
        """
        header = summary.read()
        sealed = self._sealed(header.seal.plan)  # before the transaction: it has one of its own
        with self._engine.begin() as connection:
            last = _last(connection, PublicationKind.DIRECTORY)
            if last is None or last.said.digest != directory:
                expected = "none yet" if last is None else last.said.digest[:16]
                raise PublicationRefused(
                    f"book: got one of directory {directory[:16]}, expected {expected}, the last "
                    "that was countersigned; make it anew"
                )
            before = _last(connection, PublicationKind.BOOK)
            if before is not None and before.said.number == last.said.number:
                check_same(before.said, summary.digest)
                return before.signed
            slots = connection.execute(sa.select(PUBLISHED_STATE.c.slots)).scalar_one()
            since = 0 if before is None else before.sealed_at
            sealed_at = check_book(header, directory, slots, sealed, since)
            made = Publication(
                PublicationKind.BOOK, last.said.number, summary.digest, directory, int(at)
            )
            return self._countersigned(connection, made, sealed_at=sealed_at)

    def sign_again(self) -> None:
        """Signs the last statements with this key, where an earlier one of the office had."""
        with self._engine.begin() as connection:
            for kind in PublicationKind:
                last = _last(connection, kind)
                if last is not None:
                    made = countersign(last.said, self._signing)
                    mine = COUNTERSIGNED.c.kind == kind.value
                    signature = {"signature": made.signature}
                    connection.execute(COUNTERSIGNED.update().where(mine).values(signature))

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _number(self, shown: Countersigned) -> int:
        return open_publication(shown, self._signing.public, PublicationKind.DIRECTORY).number

    def _check_not_too_soon(self, said: Publication, at: float) -> None:
        """Refuses another directory in the hours of the last: some outlets might see that one."""
        passed, least = _passed(said, at), self._seconds - SLACK
        if passed < least:
            raise PublicationTooSoon(
                f"directory: got another one {passed / 3600:.1f} hours after number {said.number}, "
                f"expected at least {least / 3600:.1f}; show it on the next night"
            )

    def _countersigned(
        self, connection: sa.Connection, made: Publication, request: str = "", sealed_at: int = 0
    ) -> Countersigned:
        """Signs a statement and stores it in place of the last of its kind."""
        signed = countersign(made, self._signing)
        connection.execute(COUNTERSIGNED.delete().where(COUNTERSIGNED.c.kind == made.kind.value))
        row = {"payload": signed.payload, "signature": signed.signature}
        connection.execute(
            COUNTERSIGNED.insert().values(
                kind=made.kind.value, request=request, sealed_at=sealed_at, **row
            )
        )
        return signed


def _passed(said: Publication, at: float) -> float:
    """Seconds since a statement; many as well where the clock was far ahead then."""
    return abs(at - said.at)


def _digest_of_request(
    network: bytes, changes: DirectoryChanges, last: Countersigned | None
) -> str:
    """Names a request: who was not answered asks again by the same one."""
    return digest(frame(network, changes.encode(), b"" if last is None else last.encode()))


def _last(connection: sa.Connection, kind: PublicationKind) -> _Last | None:
    query = sa.select(COUNTERSIGNED).where(COUNTERSIGNED.c.kind == kind.value)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    signed = Countersigned(row.payload, row.signature)
    return _Last(Publication.decode(row.payload), signed, row.request, row.sealed_at)


def _losses(connection: sa.Connection) -> list[RegistrationLoss]:
    query = sa.select(REGISTRATION_LOSSES.c.payload).order_by(REGISTRATION_LOSSES.c.number)
    return [RegistrationLoss.decode(payload) for payload in connection.scalars(query)]


def _history(connection: sa.Connection) -> SlotHistory:
    state = connection.execute(sa.select(PUBLISHED_STATE)).one()
    withdrawn = {bytes(row.key_hash): row.batch for row in connection.execute(sa.select(WITHDRAWN))}
    opened = np.frombuffer(state.opened, dtype="<u4").astype(np.uint32)
    directory = Directory.decode(state.encoded)
    return SlotHistory(state.network, directory, opened, withdrawn, state.hash_key)


def _write(connection: sa.Connection, before: SlotHistory, after: SlotHistory) -> None:
    """Stores what the office has seen now."""
    directory = after.directory
    connection.execute(
        PUBLISHED_STATE.update().values(
            network=after.network,
            batch=directory.batch,
            slots=directory.slots,
            digest=directory.digest,
            opened=after.opened.astype("<u4").tobytes(),
            encoded=directory.encode(),
        )
    )
    rows = [
        {"key_hash": name, "batch": batch}
        for name, batch in after.withdrawn.items()
        if before.withdrawn.get(name) != batch
    ]
    if rows:
        again = WITHDRAWN.delete().where(WITHDRAWN.c.key_hash == sa.bindparam("again"))
        connection.execute(again, [{"again": row["key_hash"]} for row in rows])
        connection.execute(WITHDRAWN.insert(), rows)
