"""The states of a person between consent and withdrawal, and the steps between them.

Invariant: a person moves only along this table, within the transaction of whoever calls; and no
column holds a phone or an e-mail.

| state | what it means | what comes next |
|---|---|---|
| known | consent, no token yet | evaluated, when both holders answered; withdrawn |
| evaluated | token; with a secret while a submission may be under way | sent, when handed in |
| sent | registration handed in for `batch` | once that is applied listed, or evaluated again |
| listed | has a slot in a directory that holds `batch` | buried, when that slot is blank |
| withdrawing | consent withdrawn, HQ is to hear of it | withdrawn, once a directory shows it |
| withdrawn | gone from the directory, or never left | evaluated or known; withdrawing |
| buried | withdrawn elsewhere | evaluated, with a new consent only |

A withdrawal leads from evaluated, sent and listed to withdrawing, from known to withdrawn. HQ
buries a key only for who registered it, so who was never registered here, or in vain, is
registered to be withdrawn in a later batch. From withdrawn a new consent leads to evaluated, or
known without a token.

What HQ did not do is sent again, as a batch may be lost, and HQ or the office restored from an old
copy: a withdrawn slot that is live again makes its person withdrawing again, and who is sent and in
no directory is evaluated once more, for a batch that is drawn at random: sent again at once, by the
outlets of one batch in another, they would tell which outlet's they are. That a directory lacks
somebody ends no consent: HQ alone could do it. A blank slot does, since the privacy office saw a
proof of the withdrawal by who holds the customer's token; but not of many at once, see `follow`.

A consent given while another is being withdrawn waits: the old registration goes first, everywhere.
A withdrawn slot is never used again, so who is back in another slot was withdrawn in between, and
the consent that somebody else has since is not ours: buried too.
"""

from __future__ import annotations

import logging
import secrets
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from outlet_client.moments import text_of_moment
from outlet_client.people.consents import Consent, Recorded, add_consents
from outlet_client.people.tables import (
    CONSENTS,
    FOLLOWED,
    FOLLOWED_FROM,
    PEOPLE,
    SUBMISSIONS,
    rows_of,
)
from privacy.registrations import TAG_BYTES, nonce_of, tag_of
from privacy.slot_keys import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from privacy.directory import Directory, Slots

_LOG = logging.getLogger(__name__)

AGAIN_WITHIN, WITHDRAWN_AGAIN_WITHIN = 7, 3
"""Batches over which registrations that no directory shows are spread, to be handed in again, and
withdrawals that HQ did not carry out: these in fewer, for the customer's sake."""


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


ROWID: sa.ColumnElement[int] = sa.literal_column("rowid")


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """The listed people of one directory, all in the same order.

    Attributes:
        keys: By `People.local_key`.
        tokens: As they are stored, encrypted.
        secrets: What their registrations were made with.
        slots: `int64[people]`, theirs in the directory.
        home: `bool[people]`, whether the registration that the directory lists is this outlet's.
    """

    keys: list[str]
    tokens: list[bytes] = field(repr=False)
    secrets: list[bytes] = field(repr=False)
    slots: npt.NDArray[np.int64]
    home: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Moves:
    """What a directory shows of the people.

    Attributes:
        states: The keys of those who move, by the state that they move to.
        slots: Slots of those who had none.
        vain: The keys of those whose withdrawal was applied and did nothing.
    """

    states: dict[State, list[str]]
    slots: dict[str, int]
    vain: list[str]


def keys_in(state: State) -> sa.Select[tuple[str]]:
    """Asks for the keys of the people in a state, the first known first."""
    return sa.select(PEOPLE.c.key).where(PEOPLE.c.state == state).order_by(ROWID)


def record_people(
    connection: sa.Connection, consents: Sequence[Consent], withdrawn: Mapping[str, str]
) -> list[Recorded]:
    """Adds consents to the history, and makes or revives the people whom they are new for."""
    outcomes = add_consents(connection, consents, withdrawn)
    pairs = list(zip(consents, outcomes, strict=True))
    keys = list(dict.fromkeys(one.key for one, became in pairs if became is Recorded.NEW))
    if keys:
        people = [{"key": key, "state": State.KNOWN.value} for key in keys]
        connection.execute(PEOPLE.insert().prefix_with("OR IGNORE"), people)
    _note_since(connection, [one for one, became in pairs if became is Recorded.NEW])
    rows = rows_of(connection, keys, PEOPLE.c.key, PEOPLE.c.state)
    _afresh(connection, [key for key, state in rows if state in (State.WITHDRAWN, State.BURIED)])
    return outcomes


def _note_since(connection: sa.Connection, consents: Sequence[Consent]) -> None:
    """Notes how new consents are: as the directory that was followed at their moment.

    Not as the one followed when they are recorded: an old consent that is imported today would undo
    a withdrawal elsewhere that came between.
    """
    query = sa.select(FOLLOWED_FROM.c.at, FOLLOWED_FROM.c.batch).order_by(FOLLOWED_FROM.c.at)
    followed = connection.execute(query).all()
    moments = [row.at for row in followed]
    rows = [
        {"b_key": one.key, "b_since": followed[place - 1].batch}
        for one in consents
        if (place := bisect_right(moments, text_of_moment(one.at)))
    ]
    update = (
        sa.update(PEOPLE)
        .where(PEOPLE.c.key == sa.bindparam("b_key"))
        .values(since=sa.func.max(PEOPLE.c.since, sa.bindparam("b_since")))
    )
    if rows:
        connection.execute(update, rows)


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
            not_before=0,
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


def find_moves(connection: sa.Connection, directory: Directory) -> Moves:
    """Says to which states a directory moves people, and which slots it gives them."""
    watched = PEOPLE.c.state.in_((State.SENT, State.LISTED, State.WITHDRAWING))
    sent = PEOPLE.c.slot.is_not(None) | PEOPLE.c.secret.is_not(None)
    gone = sa.and_(PEOPLE.c.state == State.WITHDRAWN, sent)
    rows = connection.execute(sa.select(PEOPLE).where(sa.or_(watched, gone))).all()
    places = directory.places(keys_as_array([row.slot_key for row in rows]))
    found = Moves({}, {}, [])
    for row, place in zip(rows, places.tolist(), strict=True):
        applied = row.batch is not None and row.batch <= directory.batch
        told = row.withdrawal_batch is not None
        done = told and row.withdrawal_batch <= directory.batch
        if row.state == State.WITHDRAWN and row.slot is None:
            # Never seen here; whether what HQ lists after the withdrawal is ours, our tag tells.
            listed = _is_ours(directory, place, row.secret)
            state = State.WITHDRAWING if listed else State.WITHDRAWN
        else:
            listed = row.slot is None and applied and place >= 0
            state = _followed(row, place, applied=applied, withdrawn=done)
        if listed:
            found.slots[row.key] = place
        if state != row.state:
            found.states.setdefault(state, []).append(row.key)
        elif state is State.WITHDRAWING and done:
            found.vain.append(row.key)
    return found


def _is_ours(directory: Directory, place: int, secret: bytes) -> bool:
    """Whether a slot's home is the registration that was made with a secret."""
    return place >= 0 and directory.home_tags[place].tobytes() == tag_of(nonce_of(secret))


def apply_moves(connection: sa.Connection, moves: Moves, batch: int) -> None:
    """Moves people to the states that a directory shows, which holds so many batches."""
    for state, keys in moves.states.items():
        move(connection, keys, state=state)
    _give_slots(connection, moves.slots)
    _again(connection, moves, batch)


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
    if state is State.SENT:
        return State.LISTED if place >= 0 else State.EVALUATED
    return State.LISTED if place == row.slot else State.BURIED


def _again(connection: sa.Connection, moves: Moves, batch: int) -> None:
    """Sees to it that what HQ did not do is sent again. Logs counts and nothing else."""
    vain, back = moves.vain, moves.states.get(State.WITHDRAWING, [])
    once_more = moves.states.get(State.EVALUATED, [])
    # HQ may not know the registration: the second time it goes first, with the same secret.
    registered = sa.case((PEOPLE.c.tries > 0, None), else_=PEOPLE.c.batch)
    # The next batch is later where HQ held this directory back: then too they are spread.
    last = max(batch, connection.scalar(sa.select(sa.func.max(SUBMISSIONS.c.batch))) or 0)
    for key in (*vain, *back):
        drawn = last + 1 + secrets.randbelow(WITHDRAWN_AGAIN_WITHIN)
        anew = {"withdrawal_batch": None, "batch": registered, "not_before": drawn}
        move(connection, [key], tries=PEOPLE.c.tries + 1, **anew)
    for key in once_more:
        drawn = last + 1 + secrets.randbelow(AGAIN_WITHIN)
        # HQ takes no registration twice; that one may have gone blank before it was seen here.
        anew = {"secret": None, "batch": None, "not_before": drawn}
        move(connection, [key], tries=PEOPLE.c.tries + 1, **anew)
    if vain or back:
        _LOG.warning(
            "%d withdrawals were not carried out and %d undone; they are sent again within %d "
            "batches",
            len(vain), len(back), WITHDRAWN_AGAIN_WITHIN,
        )  # fmt: skip
    if once_more:
        _LOG.warning(
            "%d registrations are in no directory; they are sent again within %d batches",
            len(once_more), AGAIN_WITHIN,
        )  # fmt: skip


def place_people(rows: Sequence[sa.Row[Any]], directory: Directory) -> Placed:
    """The listed people whose slot in this directory is the one that they were given."""
    slots = directory.places(keys_as_array([row.slot_key for row in rows]))
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


def keys_as_array(keys: Sequence[bytes]) -> Slots:
    """Public slot keys as uint8[n, KEY_BYTES]."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
