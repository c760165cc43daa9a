"""The notary: countersigns the heads of outlets' logs, and keeps each outlet's last statement.

Invariant: an outlet's statements are numbered 1, 2, 3 and so on; each is stored before it is sent,
and no next one is made before the outlet has shown the last. So a lost answer is given again, on
whatever day it is asked for, and a number that an outlet does not have is one that it had.

What is shown is a digest that tells the office nothing, and one row an outlet is all that is kept.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.log_heads import (
    DIGEST_BYTES,
    HeadRefused,
    HeadStatement,
    SignedHead,
    open_head,
    sign_head,
)
from server.holder.database import copy_database, durable_engine

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.envelopes import SigningKey

MOST_A_DAY = 8
"""Statements that are made for one outlet on one day (UTC); a night needs one."""

_METADATA = sa.MetaData()
_LAST = sa.Table(
    "last_statements",
    _METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("given", sa.Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class _Last:
    """An outlet's last statement, and how many were made for it on that day."""

    statement: HeadStatement
    signed: SignedHead
    day: str
    given: int


class Notary:
    """The last statements behind one SQLAlchemy URL."""

    def __init__(self, url: str, signing: SigningKey) -> None:
        """Opens the store.

        Args:
            url: Such as `sqlite:///notary.db`, or `sqlite://` for memory.
            signing: The office's key.
        """
        self._engine = durable_engine(url, _METADATA)
        self._signing = signing

    def countersign(
        self, outlet: str, digest: bytes, held: SignedHead | None, at: float
    ) -> SignedHead:
        """Makes an outlet's next statement, or gives the last again where it has not shown it.

        A store that was restored goes on after the number that the outlet shows.

        Args:
            outlet: Whose log it is.
            digest: What the statement is over.
            held: The last statement that the outlet has; None before the first.
            at: Unix seconds.

        Returns:
            The statement, which is over another digest where it is the last one again.

        Raises:
            HeadRefused: If the digest is none, `held` is no statement of this office about this
                outlet, or the day's statements are used up.
        """
        if len(digest) != DIGEST_BYTES:
            raise HeadRefused(f"digest: got {len(digest)} bytes, expected {DIGEST_BYTES}")
        shown = 0 if held is None else open_head(held, self._signing.public, outlet).number
        with self._engine.begin() as connection:
            last = self._last(connection, outlet)
            if last is not None:
                statement = last.statement
                if shown < statement.number or statement.digest == digest.hex():
                    return last.signed
            day = dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()
            given = last.given if last is not None and last.day == day else 0
            if given >= MOST_A_DAY:
                raise HeadRefused(
                    f"statement: {outlet} had {given} today, the most there may be; ask tomorrow"
                )
            made = sign_head(HeadStatement(outlet, shown + 1, int(at), digest.hex()), self._signing)
            _write(connection, outlet, made, day, given + 1)
            return made

    def last(self) -> list[HeadStatement]:
        """Each outlet's last statement, by name."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(_LAST.c.payload).order_by(_LAST.c.outlet))
            return [HeadStatement.decode(row.payload) for row in rows]

    def copy(self, place: Path) -> None:
        """Copies the statements into a new file, for a backup."""
        copy_database(self._engine, place)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _last(self, connection: sa.Connection, outlet: str) -> _Last | None:
        """An outlet's last statement; one under a key that the office had before is none."""
        row = connection.execute(sa.select(_LAST).where(_LAST.c.outlet == outlet)).one_or_none()
        if row is None:
            return None
        signed = SignedHead(row.payload, row.signature)
        try:
            statement = open_head(signed, self._signing.public, outlet)
        except HeadRefused:
            return None
        return _Last(statement, signed, row.day, row.given)


def _write(
    connection: sa.Connection, outlet: str, signed: SignedHead, day: str, given: int
) -> None:
    connection.execute(_LAST.delete().where(_LAST.c.outlet == outlet))
    connection.execute(
        _LAST.insert().values(
            outlet=outlet,
            payload=signed.payload,
            signature=signed.signature,
            day=day,
            given=given,
        )
    )
