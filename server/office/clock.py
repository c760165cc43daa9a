"""The office's clock: held against HQ's, and set back in the ledger where it was wrong.

The year's budget is counted by the office's clock: one that is a year ahead lets all charges leave
the year. So HQ says its own time with whatever it has signed, unlocked or closed, and where the two
are more than MOST_APART seconds apart the office does nothing. An HQ that lies gains nothing: by
its time alone nothing is counted.

What was entered all the same (by an earlier release, or while both clocks were wrong) is of a
moment to come. Then nothing is signed until an operator has said `ledger set-clock`; with HQ's next
call, so where both clocks agree, the ledger notes that its clock is set back, and what it let leave
the year counts again.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.budget import LedgerAhead, LedgerPosition
from privacy.envelopes import is_digest
from privacy.errors import ClocksApart, InvalidParameter
from server.office.tables import ADMITTED, BAND_TERMS, LATEST_DAYS, SEALS, SUM_SETS
from server.wire.refusals import LEDGER_KEY, TIME_KEY

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

    from server.office.ledger_store import Transaction

MOST_APART = 300
"""Seconds between HQ's clock and the office's."""

MOST_AHEAD = 2 * MOST_APART
"""Seconds that the ledger's last entry may be ahead: the office's clock was set right since."""

_MOST_DIGITS = 16

SET_CLOCK_FILE = "set-clock"
"""Is there where an operator said that the ledger's clock is to be set back."""


def check_time(context: grpc.ServicerContext, ours: float) -> None:
    """Refuses a call of an HQ whose clock is far from the office's.

    Raises:
        ClocksApart: If so; it says both.
        InvalidParameter: If the call says no time.
    """
    said = [value for key, value in context.invocation_metadata() or () if key == TIME_KEY]
    if len(said) != 1 or not str(said[0]).isdecimal() or len(said[0]) > _MOST_DIGITS:
        raise InvalidParameter("clock: HQ's call says no time; both need the same release")
    theirs = int(said[0])
    apart = abs(theirs - ours)
    if apart > MOST_APART:
        raise ClocksApart(
            f"clock: the privacy office's says {_text(ours)}, HQ's says {_text(theirs)}, "
            f"{_length(apart)} apart, expected at most {MOST_APART // 60} minutes; nothing was "
            "signed or charged. Set the one that is wrong (`timedatectl` shows a machine's), then "
            "run the night again"
        )


def said_position(context: grpc.ServicerContext) -> LedgerPosition:
    """How far HQ's copy of the ledger is, by its call; the beginning where it has none.

    Raises:
        InvalidParameter: If it is malformed.
    """
    said = [value for key, value in context.invocation_metadata() or () if key == LEDGER_KEY]
    if not said:
        return LedgerPosition()
    length, _, head = str(said[0]).partition(" ")
    if not (length.isdecimal() and len(length) < _MOST_DIGITS and is_digest(head)):
        raise InvalidParameter("ledger: HQ's call says a malformed position of it")
    return LedgerPosition(int(length), head)


def seconds_ahead(transaction: Transaction, at: int) -> int:
    """How long after `at` the ledger's last entry, or the last seal's set, was stored."""
    newest = transaction.seals.connection.scalar(sa.select(sa.func.max(SEALS.c.set_at)))
    return max(transaction.ledger().seconds_ahead(at), (newest or 0) - at)


def set_right(transaction: Transaction, at: int, *, confirmed: bool) -> None:
    """Sets the ledger's clock back, if it is ahead and an operator confirmed that it was wrong.

    What else was kept of moments to come is of now: nothing is forgotten by it but seeds that were
    kept for carrying.

    Args:
        transaction: Within which it is done.
        at: Now, in Unix seconds.
        confirmed: Whether an operator said so.

    Raises:
        LedgerAhead: If it is ahead, and nobody did.
    """
    ledger = transaction.ledger()
    ahead = seconds_ahead(transaction, at)
    if ahead <= MOST_AHEAD:
        return
    if not confirmed:
        raise LedgerAhead(
            f"ledger: its last entry, or seal, is of {_text(at + ahead)}, the privacy office's "
            f"clock says {_text(at)}; if the clock was ahead when that was entered, run "
            "`escapement-office ledger set-clock` at the office; if it is wrong now, set it"
        )
    transaction.append(ledger.set_clock(at))
    connection = transaction.seals.connection
    today = dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()
    connection.execute(LATEST_DAYS.delete().where(LATEST_DAYS.c.day > today))
    connection.execute(BAND_TERMS.update().where(BAND_TERMS.c.since > at).values(since=at))
    connection.execute(SEALS.update().where(SEALS.c.set_at > at).values(set_at=at))
    connection.execute(SUM_SETS.update().where(SUM_SETS.c.at > at).values(at=at))
    connection.execute(ADMITTED.update().where(ADMITTED.c.at > at).values(at=at))
    transaction.seeds.delete_all()


def confirmed_by(folder: Path) -> bool:
    """Whether an operator said that the clock of the ledger in a folder was ahead."""
    return (folder / SET_CLOCK_FILE).exists()


def _text(at: float) -> str:
    return dt.datetime.fromtimestamp(min(at, 253_402_300_799), dt.UTC).isoformat()[:19] + "Z"


def _length(seconds: float) -> str:
    """A length of time in words, in the largest unit of which there are two."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
