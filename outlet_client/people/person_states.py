"""The states of a person between consent and withdrawal, and the steps between them.

Invariant: a person moves only along this table, within the transaction of whoever calls; and no
column holds a phone or an e-mail.

| state | what it means | what comes next |
|---|---|---|
| known | consent, no token yet | evaluated, when both holders answered; withdrawn |
| evaluated | token; with a secret while a submission may be under way | sent, when handed in |
| sent | registration handed in for `batch` | once that is applied listed, evaluated or buried |
| listed | has a slot in a directory that holds `batch` | buried, when that slot is gone |
| withdrawing | consent withdrawn, HQ is to hear of it | withdrawn, once a directory shows it |
| withdrawn | gone from the directory, or never left | evaluated or known; withdrawing |
| buried | withdrawn elsewhere, or HQ refused it | evaluated, with a new consent only |

A withdrawal leads from evaluated, sent and listed to withdrawing, from known to withdrawn. HQ
buries a token only for who registered it, so who was never registered here, or in vain, is
registered to be withdrawn in a later batch. From withdrawn a new consent leads to evaluated, or
known without a token.

What HQ did not do is sent again, as a batch may be lost, and HQ or the office restored from an old
copy: who is sent and in no directory is evaluated once more before they count as buried, and a
withdrawn slot that is live again makes its person withdrawing again.

A consent given while another is being withdrawn waits: the old registration goes first, everywhere.
A withdrawn slot is never used again, so who is back in another slot was withdrawn in between, and
the consent that somebody else has since is not ours: buried too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from outlet_client.people.consents import Consent, Recorded, add_consents
from outlet_client.people.tables import CONSENTS, FOLLOWED, PEOPLE, SUBMISSIONS, rows_of
from privacy.registrations import TAG_BYTES, nonce_of, tag_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from privacy.directory import Directory

_LOG = logging.getLogger(__name__)

MOST_TRIES = 2
"""How often a registration is handed in that no directory shows, before it counts as refused."""


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


BY_KEY = sa.select(PEOPLE.c.key, PEOPLE.c.state, PEOPLE.c.token, PEOPLE.c.fingerprint).where(
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


def record_people(
    connection: sa.Connection, consents: Sequence[Consent], withdrawn: Mapping[str, str]
) -> list[Recorded]:
    """Adds consents to the history, and makes or revives the people whom they are new for."""
    outcomes = add_consents(connection, consents, withdrawn)
    pairs = zip(consents, outcomes, strict=True)
    keys = list(dict.fromkeys(one.key for one, became in pairs if became is Recorded.NEW))
    if keys:
        people = [{"key": key, "state": State.KNOWN.value} for key in keys]
        connection.execute(PEOPLE.insert().prefix_with("OR IGNORE"), people)
    move(connection, keys, since=followed_batch(connection))
    rows = rows_of(connection, keys, PEOPLE.c.key, PEOPLE.c.state)
    _afresh(connection, [key for key, state in rows if state in (State.WITHDRAWN, State.BURIED)])
    return outcomes


def begin_anew(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Lets those of the withdrawn be registered who consented while they were withdrawing."""
    standing = sa.select(CONSENTS.c.key).where(CONSENTS.c.withdrawn_at.is_(None))
    again = set(connection.scalars(standing)) if keys else set()
    _afresh(connection, [key for key in keys if key in again])


def followed_batch(connection: sa.Connection) -> int:
    """The batch of the last directory that was followed; 0 before any."""
    return connection.scalar(sa.select(FOLLOWED.c.batch)) or 0


def _afresh(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Back to before a registration; the token stays, the secret does not.

    A consent given while a withdrawal of ours was under way is newer than that withdrawal, in
    whichever batch it was.
    """
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
            tries=0,
            since=sa.func.max(PEOPLE.c.since, sa.func.coalesce(PEOPLE.c.withdrawal_batch, 0)),
        )
    )
    if keys:
        connection.execute(update, [{"b_key": key} for key in keys])


def move(connection: sa.Connection, keys: Sequence[str], **values: object) -> None:
    """Puts values, such as a state, into some people's rows, whatever was there."""
    update = sa.update(PEOPLE).where(PEOPLE.c.key == sa.bindparam("b_key")).values(**values)
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
    connection.execute(FOLLOWED.delete())
    connection.execute(FOLLOWED.insert().values(batch=directory.batch))
    watched = PEOPLE.c.state.in_((State.SENT, State.LISTED, State.WITHDRAWING))
    gone = sa.and_(PEOPLE.c.state == State.WITHDRAWN, PEOPLE.c.slot.is_not(None))
    rows = connection.execute(sa.select(PEOPLE).where(sa.or_(watched, gone))).all()
    places = directory.places(_fingerprints([row.fingerprint for row in rows]))
    undelivered = set(
        connection.scalars(sa.select(SUBMISSIONS.c.batch).where(~SUBMISSIONS.c.delivered))
    )
    moves: dict[State, list[str]] = {}
    slots: dict[str, int] = {}
    vain: list[str] = []
    for row, place in zip(rows, places.tolist(), strict=True):
        applied = row.batch is not None and row.batch <= directory.batch
        if row.slot is None and applied and place >= 0:
            slots[row.key] = place
        told = row.withdrawal_batch is not None and row.withdrawal_batch not in undelivered
        done = told and row.withdrawal_batch <= directory.batch
        state = _followed(row, place, applied=applied, withdrawn=done)
        if state != row.state:
            moves.setdefault(state, []).append(row.key)
        elif state is State.WITHDRAWING and done:
            vain.append(row.key)
    for state, keys in moves.items():
        move(connection, keys, state=state)
    _give_slots(connection, slots)
    _again(connection, vain, moves)
    return moves


def _followed(row: sa.Row[Any], place: int, *, applied: bool, withdrawn: bool) -> State:
    """The state that a directory shows.

    The place is the person's slot in the directory, -1 where there is none; `applied` and
    `withdrawn` say whether it holds the batch of the registration, and that of the withdrawal.
    """
    state = State(row.state)
    if state is State.WITHDRAWING:
        elsewhere = place < 0 or row.slot not in (None, place)
        return State.WITHDRAWN if withdrawn and elsewhere else state
    if state is State.WITHDRAWN:
        return State.WITHDRAWING if place == row.slot else state
    if not applied:
        return state
    if place >= 0 and row.slot in (None, place):
        return State.LISTED
    lost = state is State.SENT and row.tries + 1 < MOST_TRIES
    return State.EVALUATED if lost else State.BURIED


def _again(
    connection: sa.Connection, vain: Sequence[str], moves: Mapping[State, Sequence[str]]
) -> None:
    """Sees to it that what HQ did not do is sent again. Logs counts and nothing else."""
    back, once_more = moves.get(State.WITHDRAWING, []), moves.get(State.EVALUATED, [])
    # HQ may not know the registration: the second time it goes first, with the same secret.
    batch = sa.case((PEOPLE.c.tries > 0, None), else_=PEOPLE.c.batch)
    for keys in (vain, back):
        move(connection, keys, withdrawal_batch=None, batch=batch, tries=PEOPLE.c.tries + 1)
    move(connection, once_more, tries=PEOPLE.c.tries + 1)
    if vain or back:
        _LOG.warning(
            "%d withdrawals were not carried out and %d undone; they are sent again",
            len(vain), len(back),
        )  # fmt: skip
    if once_more:
        _LOG.warning("%d registrations are in no directory; they are sent again", len(once_more))


def place_people(rows: Sequence[sa.Row[Any]], directory: Directory) -> Placed:
    """The listed people whose slot in this directory is the one that they were given."""
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
