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
from server.holder.database import open_store, reading
from server.office.tables import LAST_STATEMENTS, OFFICE

if TYPE_CHECKING:
    from privacy.envelopes import SigningKey

MOST_A_DAY = 8
"""Statements that are made for one outlet on one day (UTC); a night needs one."""


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
            url: Of the office's store, such as `sqlite:///office.db`, or `sqlite://` for memory.
            signing: The office's key.

        Raises:
            StoreRefused: If there is none, or it is another role's or release's.
        """
        self._engine = open_store(url, OFFICE)
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
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(LAST_STATEMENTS.c.payload).order_by(LAST_STATEMENTS.c.outlet)
            )
            return [HeadStatement.decode(row.payload) for row in rows]

    def sign_again(self) -> None:
        """Signs every last statement with this key, where an earlier one of the office had."""
        for statement in self.last():
            made = sign_head(statement, self._signing)
            with self._engine.begin() as connection:
                mine = LAST_STATEMENTS.c.outlet == statement.outlet
                again = LAST_STATEMENTS.update().where(mine)
                connection.execute(again.values(signature=made.signature))

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _last(self, connection: sa.Connection, outlet: str) -> _Last | None:
        """An outlet's last statement; one under a key that the office had before is none."""
        row = connection.execute(
            sa.select(LAST_STATEMENTS).where(LAST_STATEMENTS.c.outlet == outlet)
        ).one_or_none()
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
    connection.execute(LAST_STATEMENTS.delete().where(LAST_STATEMENTS.c.outlet == outlet))
    connection.execute(
        LAST_STATEMENTS.insert().values(
            outlet=outlet,
            payload=signed.payload,
            signature=signed.signature,
            day=day,
            given=given,
        )
    )
