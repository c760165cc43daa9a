"""Where people stand: the states, the tables they are kept in, and the steps from one to the next.

Invariant: a person moves only along this table, within the transaction of whoever calls; and no
column holds a phone or an e-mail.

| state | what it means | what comes next |
|---|---|---|
| known | consent, no token yet | evaluated, when both holders answered |
| evaluated | token; with a secret while a submission may be under way | sent, when handed in |
| sent | registration handed to the relay for `batch` | listed or buried, once `batch` is applied |
| listed | has a slot in a directory that holds `batch` | buried, when that slot is gone |
| withdrawing | consent withdrawn, HQ is to hear of it | withdrawn, once that is in a directory |
| withdrawn | nothing of it is anywhere | evaluated (known without token), with a new consent |
| buried | withdrawn elsewhere, or HQ refused it | evaluated, with a new consent only |

A consent given while another is being withdrawn waits: the old registration goes first, everywhere.
A withdrawn slot is never used again, so who is back in another slot was withdrawn in between, and
the consent that somebody else has since is not ours: buried too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from outlet_client.consent import CONSENTS, METADATA, Consent, Recorded, record, rows_of
from privacy.registrations import TAG_BYTES, nonce_of, tag_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from privacy.directory import Directory


class State(StrEnum):
    """Where a person stands; see the module's table."""

    KNOWN = "known"
    EVALUATED = "evaluated"
    SENT = "sent"
    LISTED = "listed"
    WITHDRAWING = "withdrawing"
    WITHDRAWN = "withdrawn"
    BURIED = "buried"

    @property
    def stands(self) -> bool:
        """Whether a person in this state has a standing consent that counts."""
        return self in (State.KNOWN, State.EVALUATED, State.SENT, State.LISTED)


PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("token", sa.LargeBinary),
    sa.Column("fingerprint", sa.LargeBinary),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("batch", sa.BigInteger),
    sa.Column("withdrawal_batch", sa.BigInteger),
    sa.Column("slot", sa.BigInteger),
)
SUBMISSIONS = sa.Table(
    "submissions",
    METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
)
ASKED = sa.Table("days_asked", METADATA, sa.Column("day", sa.Text, primary_key=True))

BY_KEY = sa.select(PEOPLE.c.state, PEOPLE.c.token, PEOPLE.c.fingerprint).where(
    PEOPLE.c.key == sa.bindparam("key")
)
ROWID: sa.ColumnElement[int] = sa.literal_column("rowid")


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """The listed people of one directory, all in the same order.

    Attributes:
        keys: By `People.local_key`.
        tokens: 32 bytes each.
        secrets: What their registrations were made with.
        slots: `int64[people]`, theirs in the directory.
        home: `bool[people]`, whether the registration that the directory lists is this outlet's.
    """

    keys: list[str]
    tokens: list[bytes] = field(repr=False)
    secrets: list[bytes] = field(repr=False)
    slots: npt.NDArray[np.int64]
    home: npt.NDArray[np.bool_]


def keys_in(state: State) -> sa.Select[tuple[str]]:
    """Asks for the keys of the people in a state, the first known first."""
    return sa.select(PEOPLE.c.key).where(PEOPLE.c.state == state).order_by(ROWID)


def record_people(connection: sa.Connection, consents: Sequence[Consent]) -> list[Recorded]:
    """Adds consents to the history, and makes or revives the people whom they are new for.

    Returns:
        What became of each, in order.
    """
    outcomes = record(connection, consents)
    pairs = zip(consents, outcomes, strict=True)
    keys = list(dict.fromkeys(one.key for one, became in pairs if became is Recorded.NEW))
    if keys:
        people = [{"key": key, "state": State.KNOWN.value} for key in keys]
        connection.execute(PEOPLE.insert().prefix_with("OR IGNORE"), people)
    rows = rows_of(connection, keys, PEOPLE.c.key, PEOPLE.c.state)
    _afresh(connection, [key for key, state in rows if state in (State.WITHDRAWN, State.BURIED)])
    return outcomes


def begin_anew(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Lets those of the withdrawn be registered who consented while they were withdrawing."""
    standing = sa.select(CONSENTS.c.key).where(CONSENTS.c.withdrawn_at.is_(None))
    again = set(connection.scalars(standing)) if keys else set()
    _afresh(connection, [key for key in keys if key in again])


def _afresh(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Back to before a registration; the token stays, the secret does not."""
    has_token = PEOPLE.c.token.is_not(None)
    update = (
        sa.update(PEOPLE)
        .where(PEOPLE.c.key == sa.bindparam("b_key"))
        .values(
            state=sa.case((has_token, State.EVALUATED.value), else_=State.KNOWN.value),
            secret=None,
            batch=None,
            withdrawal_batch=None,
            slot=None,
        )
    )
    if keys:
        connection.execute(update, [{"b_key": key} for key in keys])


def move(connection: sa.Connection, keys: Sequence[str], state: State) -> None:
    """Puts some people into a state, whatever theirs was."""
    update = sa.update(PEOPLE).where(PEOPLE.c.key == sa.bindparam("b_key")).values(state=state)
    if keys:
        connection.execute(update, [{"b_key": key} for key in keys])


def _give_slots(connection: sa.Connection, slots: Mapping[str, int]) -> None:
    update = (
        sa.update(PEOPLE)
        .where(PEOPLE.c.key == sa.bindparam("b_key"))
        .values(slot=sa.bindparam("b_slot"))
    )
    if slots:
        connection.execute(update, [{"b_key": key, "b_slot": slots[key]} for key in slots])


def follow(connection: sa.Connection, directory: Directory) -> dict[State, list[str]]:
    """Moves people to the states that a directory shows.

    Returns:
        The keys of those who moved, by the state that they moved to.
    """
    watched = (State.SENT, State.LISTED, State.WITHDRAWING)
    query = sa.select(PEOPLE).where(PEOPLE.c.state.in_(watched))
    rows = connection.execute(query).all()
    places = directory.places(_fingerprints([row.fingerprint for row in rows]))
    undelivered = set(
        connection.scalars(sa.select(SUBMISSIONS.c.batch).where(~SUBMISSIONS.c.delivered))
    )
    moves: dict[State, list[str]] = {}
    slots: dict[str, int] = {}
    for row, place in zip(rows, places.tolist(), strict=True):
        state = _followed(row, directory.batch, place, undelivered)
        if state != row.state:
            moves.setdefault(state, []).append(row.key)
            slots[row.key] = place
    for state, keys in moves.items():
        move(connection, keys, state)
    _give_slots(connection, {key: slots[key] for key in moves.get(State.LISTED, [])})
    return moves


def _followed(row: sa.Row[Any], applied: int, place: int, lost: set[int]) -> State:
    """The state that a directory shows: all batches up to `applied`, this person at `place`."""
    state = State(row.state)
    if state is State.WITHDRAWING:
        told = row.withdrawal_batch is not None and row.withdrawal_batch not in lost
        return State.WITHDRAWN if told and row.withdrawal_batch <= applied else state
    if row.batch > applied:
        return state
    return State.LISTED if place >= 0 and row.slot in (None, place) else State.BURIED


def placed(rows: Sequence[sa.Row[Any]], directory: Directory) -> Placed:
    """Those of the listed whose slot in this directory is the one they were given."""
    slots = directory.places(_fingerprints([row.fingerprint for row in rows]))
    same = slots == np.array([row.slot for row in rows], dtype=np.int64)
    rows = [row for row, stays in zip(rows, same, strict=True) if stays]
    slots = slots[same]
    tags = b"".join(tag_of(nonce_of(row.secret)) for row in rows)
    ours = np.frombuffer(tags, dtype=np.uint8).reshape(len(rows), TAG_BYTES)
    home = (directory.home_tags[slots] == ours).all(axis=1)
    return Placed(
        [row.key for row in rows],
        [row.token for row in rows],
        [row.secret for row in rows],
        slots,
        home,
    )


def _fingerprints(raw: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    return np.frombuffer(b"".join(raw), dtype="<u8").astype(np.uint64)
