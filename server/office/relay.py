"""The relay: registrations of several outlets go to HQ as one shuffled batch without origins.

HQ learns no origin, because at least `minimum_outlets` different outlets are in a batch, each with
whole submissions of one size; the office learns no key, because every message is sealed to HQ.

Nor can HQ intersect batches. It could leave a registration out of the directory, so that its outlet
sends it again: closed at HQ's will, batches of other outlets each time would soon have one outlet
in common. A day lies between two closings, in which every outlet hands in dummies at least, and
what was left out is sent again in a batch drawn at random later; so batches are of nearly the same
outlets, and few.

How many messages each closed batch had is kept for good: no directory has more new slots than that.

States of a batch, each step one durable transaction:

    open       submissions with their outlets       -> collected (by HQ, with enough outlets, and
                                                       hours after the last was closed)
    collected  messages shuffled, origins deleted   -> forgotten (HQ asks for the one after)

While a batch is open the office knows who handed in what, sealed; from then on nothing here does:
deleted rows are overwritten in the file.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.envelopes import digest
from privacy.registrations import SEALED_BYTES, RegistrationRefused
from server.holder.database import durable_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_SUBMISSIONS = 4
"""Of one outlet for one batch."""

MOST_AHEAD = 31
"""So many batches HQ may have applied since the directory that was countersigned last."""

MOST_AT_FIRST = 100_000
"""So many it may have applied where no directory is known: one a day for longer than anybody's."""

_FIRST_BATCH = 1
_MESSAGES_A_ROW = 2**20 // SEALED_BYTES
_METADATA = sa.MetaData()
_OPEN = sa.Table(
    "open_batch",
    _METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
)
_LAST_CLOSING = sa.Table(
    "last_closing",
    _METADATA,
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
)
_SUBMISSIONS = sa.Table(
    "submissions",
    _METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
_COLLECTED = sa.Table(
    "collected",
    _METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
_BATCH_SIZES = sa.Table(
    "batch_sizes",
    _METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
)


class Relay:
    """Batches behind one SQLAlchemy URL, apart from the ledger: no backup holds them."""

    def __init__(
        self,
        url: str,
        messages: int,
        minimum_outlets: int,
        hours: float,
        clock: Callable[[], float],
    ) -> None:
        """Opens the relay; the first batch is open in a new one.

        Args:
            url: Such as `sqlite:///relay.db`, or `sqlite://` for memory.
            messages: How many one submission must hold.
            minimum_outlets: How many different outlets a batch needs.
            hours: How many must lie between two closings; 0 in the sandbox only.
            clock: Unix seconds.
        """
        self._messages, self._minimum_outlets = messages, minimum_outlets
        self._seconds, self._clock = hours * 3600, clock
        self._engine = durable_engine(url, _METADATA)
        with self._engine.begin() as connection:
            if connection.scalar(sa.select(_OPEN.c.batch)) is None:
                connection.execute(_OPEN.insert().values(batch=_FIRST_BATCH))

    def open_batch(self) -> tuple[int, int]:
        """Which batch is open, and how many messages a submission must hold."""
        with self._engine.begin() as connection:
            return _open(connection), self._messages

    def sizes(self) -> dict[int, int]:
        """How many messages each batch had that was closed here, dummies included."""
        with self._engine.begin() as connection:
            return {row.batch: row.messages for row in connection.execute(sa.select(_BATCH_SIZES))}

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
            mine = sa.select(_SUBMISSIONS.c.digest).where(_SUBMISSIONS.c.outlet == outlet)
            known = set(connection.scalars(mine))
            if name in known:
                return
            if len(known) >= MOST_SUBMISSIONS:
                raise RegistrationRefused(
                    f"submission: {outlet} has {len(known)} in batch {batch}, the most there may "
                    "be; hand the rest in for the next"
                )
            row = {"outlet": outlet, "digest": name, "sealed": blob}
            connection.execute(_SUBMISSIONS.insert().values(**row))

    def collect(self, after: int, directory: int | None = None) -> tuple[int, list[bytes]]:
        """HQ's next batch: closed if it may be, the same bytes whenever asked again.

        Args:
            after: The last batch that HQ has applied; it and those before are forgotten.
            directory: The batch of the directory that was countersigned last; None before any.

        Returns:
            The batch and its messages, shuffled; (0, []) where none is ready.

        Raises:
            RegistrationRefused: If that batch was forgotten: HQ went back. If `after` was never
                closed here, in which case nothing changes; only a relay that never closed any
                batch, such as a restored office's, begins where HQ is, and no further than
                MOST_AHEAD batches after the directory: outlets would wait for the number for ever.
        """
        with self._engine.begin() as connection:
            current = _open(connection)
            if current <= after:
                if current != _FIRST_BATCH:
                    raise RegistrationRefused(
                        f"batch {after}: never closed here, the last closed is {current - 1}; if "
                        "the office was restored from an old copy, remove its relay.db and start it"
                    )
                _check_not_far(after, directory)
                # What is in here is sealed for a batch that HQ would not open.
                self._next(connection, after + 1)
                return 0, []
            connection.execute(_COLLECTED.delete().where(_COLLECTED.c.batch <= after))
            if current == after + 1:
                if not self._close(connection, current):
                    return 0, []
                self._next(connection, current + 1)
            return after + 1, _collected(connection, after + 1)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _close(self, connection: sa.Connection, batch: int) -> bool:
        """Stores the open batch's messages in random order, if outlets and hours are enough."""
        outlets = sa.select(sa.func.count(sa.distinct(_SUBMISSIONS.c.outlet)))
        last, now = connection.scalar(sa.select(_LAST_CLOSING.c.at)), int(self._clock())
        # Not so if the clock was far ahead then: that would stop the relay until it is there again.
        too_soon = last is not None and abs(now - last) < self._seconds
        if too_soon or (connection.scalar(outlets) or 0) < self._minimum_outlets:
            return False
        blobs = connection.scalars(sa.select(_SUBMISSIONS.c.sealed))
        messages = [one for blob in blobs for one in _split(blob)]
        secrets.SystemRandom().shuffle(messages)
        for part, start in enumerate(range(0, len(messages), _MESSAGES_A_ROW)):
            sealed = b"".join(messages[start : start + _MESSAGES_A_ROW])
            connection.execute(_COLLECTED.insert().values(batch=batch, part=part, sealed=sealed))
        connection.execute(_BATCH_SIZES.insert().values(batch=batch, messages=len(messages)))
        connection.execute(_LAST_CLOSING.delete())
        connection.execute(_LAST_CLOSING.insert().values(at=now))
        return True

    def _next(self, connection: sa.Connection, batch: int) -> None:
        """Opens a batch; submissions for another one, and whose they were, are deleted."""
        connection.execute(_SUBMISSIONS.delete())
        connection.execute(_OPEN.update().values(batch=batch))


def _check_not_far(after: int, directory: int | None) -> None:
    """Refuses a batch that HQ cannot have applied by now."""
    most = MOST_AT_FIRST if directory is None else directory + MOST_AHEAD
    if after > most:
        raise RegistrationRefused(
            f"batch {after}: got it as the last that HQ applied, expected at most {most} by the "
            "directory that was countersigned last; if the office was restored from an older copy "
            "than that, stop it and remove its publications.db too: HQ shows it all again"
        )


def _open(connection: sa.Connection) -> int:
    return int(connection.scalars(sa.select(_OPEN.c.batch)).one())


def _collected(connection: sa.Connection, batch: int) -> list[bytes]:
    query = sa.select(_COLLECTED.c.sealed).where(_COLLECTED.c.batch == batch)
    messages = [
        one
        for blob in connection.scalars(query.order_by(_COLLECTED.c.part))
        for one in _split(blob)
    ]
    if not messages:
        raise RegistrationRefused(
            f"batch {batch}: collected and forgotten here, expected a later one; restore the "
            "newest copy of HQ's folder, or, where there is none, remove the office's relay.db"
        )
    return messages


def _split(blob: bytes) -> list[bytes]:
    return [blob[start : start + SEALED_BYTES] for start in range(0, len(blob), SEALED_BYTES)]
