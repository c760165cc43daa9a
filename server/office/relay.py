"""The relay: registrations of several outlets go to HQ as one shuffled batch without origins.

HQ learns no origin, because at least `minimum_outlets` different outlets are in a batch, each with
whole submissions of one size; the office learns no key, because every message is sealed to HQ.

Nor can HQ intersect batches. It could leave a registration out of the directory, so that its outlet
sends it again: closed at HQ's will, batches of other outlets each time would soon have one outlet
in common. A day lies between two closings, in which every outlet hands in dummies at least, and
what was left out is sent again in a batch drawn at random later; so batches are of nearly the same
outlets, and few.

How many messages each closed batch had is kept for good: no directory has more new slots than that.

A relay whose store was lost begins anew, under another random **epoch**, at the batch after the
last directory's, or where HQ says that it is. Whoever handed in under an earlier epoch hands in
another submission, also for a batch of a number that it handed in for before; what was in the first
waits, as ever, until a directory shows what became of it. So no message is in two batches for it.
Of each outlet the relay knows, by a hash, the last batch that it handed in for, and tells it: an
outlet that was restored from a copy sees by it that it handed in more than it knows of.

States of a batch, each step one durable transaction:

    open       submissions with their outlets       -> collected (by HQ, with enough outlets, and
                                                       hours after the last was closed)
    collected  messages shuffled, origins deleted   -> forgotten (HQ asks for the one after)

While a batch is open the office knows who handed in what, sealed; from then on nothing here does:
deleted rows are overwritten in the file. An HQ that was restored, and asks for a forgotten batch,
goes on with the next.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from privacy.envelopes import digest, frame
from privacy.registrations import SEALED_BYTES, RegistrationRefused
from server.holder.database import create_store, open_store
from server.holder.errors import StoreMissing
from server.office.tables import (
    BATCH_SIZES,
    COLLECTED,
    EPOCH,
    HANDED_IN,
    LAST_CLOSING,
    OPEN_BATCH,
    RELAY,
    SUBMISSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_SUBMISSIONS = 4
"""Of one outlet for one batch."""

MOST_AHEAD = 400
"""So many batches HQ may have applied since the directory that was countersigned last: an office
may be restored from a copy that is a year old. Outlets hold a batch against the directory that they
followed themselves."""

MOST_AT_FIRST = 100_000
"""So many it may have applied where no directory is known: one a day for longer than anybody's."""

EPOCH_BYTES = 16

_HANDED_IN_DOMAIN = b"escapement/v1/handed-in"
_MESSAGES_A_ROW = 2**20 // SEALED_BYTES


class OpenBatch(NamedTuple):
    """Which batch is open.

    Attributes:
        batch: Its number.
        messages: How many a submission must hold.
        epoch: Random, of this relay's store; EPOCH_BYTES bytes.
        last: The last batch that the asking outlet handed in for; 0 where there is none.
    """

    batch: int
    messages: int
    epoch: bytes
    last: int


class Collected(NamedTuple):
    """What HQ gets.

    Attributes:
        batch: Which batch; 0 where none is ready.
        sealed: Its messages, shuffled.
        forgotten: Batches up to this one HQ had before, and can have no more; 0 where there is
            none after the last that it has.
    """

    batch: int
    sealed: list[bytes]
    forgotten: int = 0


class Relay:
    """Batches behind one SQLAlchemy URL, apart from the ledger: no backup holds them."""

    def __init__(
        self,
        url: str,
        messages: int,
        minimum_outlets: int,
        hours: float,
        clock: Callable[[], float],
        after: Callable[[], int] = lambda: 0,
    ) -> None:
        """Opens the relay. In a new one the batch after the last directory's is open.

        Args:
            url: Such as `sqlite:///relay.db`, or `sqlite://` for memory.
            messages: How many one submission must hold.
            minimum_outlets: How many different outlets a batch needs.
            hours: How many must lie between two closings; 0 in the sandbox only.
            clock: Unix seconds.
            after: The batch of the directory that was countersigned last; 0 before any.
        """
        self._messages, self._minimum_outlets = messages, minimum_outlets
        self._seconds, self._clock = hours * 3600, clock
        self._engine = _opened(url)
        with self._engine.begin() as connection:
            if connection.scalar(sa.select(OPEN_BATCH.c.batch)) is None:
                connection.execute(OPEN_BATCH.insert().values(batch=after() + 1))
            if connection.scalar(sa.select(EPOCH.c.epoch)) is None:
                fresh = secrets.token_bytes(EPOCH_BYTES)
                connection.execute(EPOCH.insert().values(epoch=fresh))

    def open_batch(self, outlet: str = "") -> OpenBatch:
        """Which batch is open, in which epoch, and what the asking outlet handed in last."""
        with self._engine.begin() as connection:
            epoch = _epoch(connection)
            mine = HANDED_IN.c.outlet_hash == _outlet_hash(epoch, outlet)
            last = connection.scalar(sa.select(HANDED_IN.c.batch).where(mine)) or 0
            return OpenBatch(_open(connection), self._messages, epoch, last)

    def sizes(self) -> dict[int, int]:
        """How many messages each batch had that was closed here, dummies included."""
        with self._engine.begin() as connection:
            return {row.batch: row.messages for row in connection.execute(sa.select(BATCH_SIZES))}

    def submit(self, outlet: str, batch: int, sealed: Sequence[bytes]) -> None:
        """Takes a submission. The same one again is accepted and changes nothing.

        Args:
            outlet: Who hands it in.
            batch: The open one.
            sealed: Exactly as many messages as `open_batch` says, SEALED_BYTES bytes each.

        Raises:
            RegistrationRefused: If it is for another batch, of another size, or one too many.
        """
        if len(sealed) != self._messages or {len(one) for one in sealed} != {SEALED_BYTES}:
            raise RegistrationRefused(
                f"submission: got {len(sealed)} messages, expected {self._messages} of "
                f"{SEALED_BYTES} bytes each"
            )
        blob = b"".join(sealed)
        name = digest(blob)
        with self._engine.begin() as connection:
            current = _open(connection)
            if batch != current:
                raise RegistrationRefused(
                    f"submission: got one for batch {batch}, batch {current} is open; seal for it"
                )
            mine = sa.select(SUBMISSIONS.c.digest).where(SUBMISSIONS.c.outlet == outlet)
            known = set(connection.scalars(mine))
            if name in known:
                return
            if len(known) >= MOST_SUBMISSIONS:
                raise RegistrationRefused(
                    f"submission: {outlet} has {len(known)} in batch {batch}, the most there may "
                    "be; hand the rest in for the next"
                )
            row = {"outlet": outlet, "digest": name, "sealed": blob}
            connection.execute(SUBMISSIONS.insert().values(**row))
            last = {"outlet_hash": _outlet_hash(_epoch(connection), outlet), "batch": batch}
            connection.execute(HANDED_IN.insert().prefix_with("OR REPLACE").values(**last))

    def collect(self, after: int, directory: int | None = None) -> Collected:
        """HQ's next batch: closed if it may be, the same bytes whenever asked again.

        Args:
            after: The last batch that HQ has applied; it and those before are forgotten.
            directory: The batch of the directory that was countersigned last; None before any.

        Returns:
            The batch and its messages, shuffled; none where none is ready. Of an HQ that went back,
            and asks for one that it had collected before, how far it lost them: outlets hand in
            again what no directory shows.

        Raises:
            RegistrationRefused: If `after` was never closed here, in which case nothing changes;
                only a relay that never closed any batch, as its store was lost, begins where HQ is,
                and no further than MOST_AHEAD batches after the directory: outlets would wait for
                the number for ever.
        """
        with self._engine.begin() as connection:
            current = _open(connection)
            if current <= after:
                if connection.scalar(sa.select(BATCH_SIZES.c.batch).limit(1)) is not None:
                    raise RegistrationRefused(
                        f"batch {after}: never closed here, the last closed is {current - 1}; if "
                        "the office was restored from an old copy, remove its relay.db and start it"
                    )
                _check_not_far(after, directory)
                # What is in here is sealed for a batch that HQ would not open.
                self._next(connection, after + 1)
                return Collected(0, [])
            connection.execute(COLLECTED.delete().where(COLLECTED.c.batch <= after))
            if current == after + 1:
                if not self._close(connection, current):
                    return Collected(0, [])
                self._next(connection, current + 1)
            messages = _collected(connection, after + 1)
            if messages:
                return Collected(after + 1, messages)
            held = sa.select(sa.func.min(COLLECTED.c.batch))
            return Collected(0, [], (connection.scalar(held) or current) - 1)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _close(self, connection: sa.Connection, batch: int) -> bool:
        """Stores the open batch's messages in random order, if outlets and hours are enough."""
        outlets = sa.select(sa.func.count(sa.distinct(SUBMISSIONS.c.outlet)))
        last, now = connection.scalar(sa.select(LAST_CLOSING.c.at)), int(self._clock())
        # Not so if the clock was far ahead then: that would stop the relay until it is there again.
        too_soon = last is not None and abs(now - last) < self._seconds
        if too_soon or (connection.scalar(outlets) or 0) < self._minimum_outlets:
            return False
        blobs = connection.scalars(sa.select(SUBMISSIONS.c.sealed))
        messages = [one for blob in blobs for one in _split(blob)]
        secrets.SystemRandom().shuffle(messages)
        for part, start in enumerate(range(0, len(messages), _MESSAGES_A_ROW)):
            sealed = b"".join(messages[start : start + _MESSAGES_A_ROW])
            connection.execute(COLLECTED.insert().values(batch=batch, part=part, sealed=sealed))
        connection.execute(BATCH_SIZES.insert().values(batch=batch, messages=len(messages)))
        connection.execute(LAST_CLOSING.delete())
        connection.execute(LAST_CLOSING.insert().values(at=now))
        return True

    def _next(self, connection: sa.Connection, batch: int) -> None:
        """Opens a batch; submissions for another one, and whose they were, are deleted."""
        connection.execute(SUBMISSIONS.delete())
        connection.execute(OPEN_BATCH.update().values(batch=batch))


def _opened(url: str) -> sa.Engine:
    """Opens the relay's store; the one store that begins anew where it is lost."""
    try:
        return open_store(url, RELAY)
    except StoreMissing:
        create_store(url, RELAY)
        return open_store(url, RELAY)


def _check_not_far(after: int, directory: int | None) -> None:
    """Refuses a batch that HQ cannot have applied by now."""
    most = MOST_AT_FIRST if directory is None else directory + MOST_AHEAD
    if after > most:
        raise RegistrationRefused(
            f"batch {after}: got it as the last that HQ applied, expected at most {most} by the "
            "directory that was countersigned last; if the office was restored from a copy that is "
            "older still, begin a new token key: `escapement-office tokens renew`"
        )


def _open(connection: sa.Connection) -> int:
    return int(connection.scalars(sa.select(OPEN_BATCH.c.batch)).one())


def _collected(connection: sa.Connection, batch: int) -> list[bytes]:
    query = sa.select(COLLECTED.c.sealed).where(COLLECTED.c.batch == batch)
    return [
        one for blob in connection.scalars(query.order_by(COLLECTED.c.part)) for one in _split(blob)
    ]


def _epoch(connection: sa.Connection) -> bytes:
    return bytes(connection.scalars(sa.select(EPOCH.c.epoch)).one())


def _outlet_hash(epoch: bytes, outlet: str) -> bytes:
    return hashlib.sha256(frame(_HANDED_IN_DOMAIN, epoch, outlet.encode())).digest()


def _split(blob: bytes) -> list[bytes]:
    return [blob[start : start + SEALED_BYTES] for start in range(0, len(blob), SEALED_BYTES)]
