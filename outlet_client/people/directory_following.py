"""Following a directory: each person moves to the state that it shows.

Invariant: a directory is followed in one transaction, and none that the privacy office numbered
earlier is followed after it.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.moments import text_of_moment
from outlet_client.people.directory_losses import (
    accept_losses,
    are_too_many,
    held,
    hold,
    note_losses,
)
from outlet_client.people.person_states import State, apply_moves, begin_anew, find_moves
from outlet_client.people.relay_submissions import assume_delivered
from outlet_client.people.tables import FOLLOWED, FOLLOWED_FROM, PEOPLE
from outlet_client.people.withdrawals import withdraw, would_end
from privacy.directory import DirectoryRefused

if TYPE_CHECKING:
    from privacy.directory import Directory

_LOG = logging.getLogger(__name__)


def follow(
    connection: sa.Connection, directory: Directory, number: int, at: dt.datetime, *, accepted: bool
) -> None:
    """Follows a directory; see `People.follow`."""
    today = at.astimezone(dt.UTC).date()
    _note_followed(connection, directory.batch, number, at, accepted=accepted)
    moves = find_moves(connection, directory)
    buried = moves.states.get(State.BURIED, [])
    # Whom one of them shares a phone with goes with them: all of that is counted.
    lost = would_end(connection, buried) if buried else 0
    waiting = held(connection)
    if accepted:
        _accept(connection, lost)
    elif lost and (waiting or are_too_many(connection, lost, _listed(connection), today)):
        hold(connection, lost, today)
        del moves.states[State.BURIED]
        _LOG.warning("the directory takes %d people away: it waits for a person to look", lost)
    else:
        note_losses(connection, lost, today)
    apply_moves(connection, moves, directory.batch)
    if State.BURIED in moves.states:
        withdraw(connection, buried, at)
    begin_anew(connection, moves.states.get(State.WITHDRAWN, []))


def _accept(connection: sa.Connection, lost: int) -> None:
    """Lets losses happen that a person has looked at: those, and no others."""
    waiting = held(connection)
    if waiting is None or waiting.lost != lost:
        raise DirectoryRefused(
            f"directory: takes {lost} people away, {waiting.lost if waiting else 0} were shown; "
            "look again with `escapement-outlet directory show`"
        )
    accept_losses(connection)


def _note_followed(
    connection: sa.Connection, batch: int, number: int, at: dt.datetime, *, accepted: bool
) -> None:
    """Notes which directory is followed; what it holds of a submission was handed in."""
    last = connection.execute(sa.select(FOLLOWED)).one_or_none()
    if accepted and (last is None or number != last.number):
        raise DirectoryRefused(
            f"directory: number {number} is not the one that was looked at; run a night, then look "
            "again with `escapement-outlet directory show`"
        )
    if last is not None and number < last.number:
        raise DirectoryRefused(
            f"directory: got the privacy office's number {number}, number {last.number} was "
            "followed before; tell HQ"
        )
    if last is None or batch != last.batch:
        insert = FOLLOWED_FROM.insert().prefix_with("OR REPLACE")
        connection.execute(insert.values(at=text_of_moment(at), batch=batch))
    connection.execute(FOLLOWED.delete())
    connection.execute(FOLLOWED.insert().values(batch=batch, number=number))
    assume_delivered(connection, batch)


def _listed(connection: sa.Connection) -> int:
    """How many people are listed."""
    query = sa.select(sa.func.count()).where(PEOPLE.c.state == State.LISTED)
    return connection.scalar(query) or 0
