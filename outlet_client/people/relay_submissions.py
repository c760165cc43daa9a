"""Submissions to the relay: the registrations, withdrawals and dummies of a batch.

Invariant: a submission is stored before it leaves, and the same at every call for its batch. One
that the relay may have seen counts as handed in, whether its answer came or not: what is in it goes
into no other batch before a directory shows what became of it. Who sees two batches could else take
what is in both for one outlet's.

Where the relay lost its store, it has another epoch: what was handed in is gone, or HQ has it, and
nobody here can tell. It waits for its directory all the same; for the same number of batch another
submission is made, of whom was in none.

An outlet that was restored from a copy does not know what it handed in since. The relay tells it
the last batch that it handed in for: for that one it hands in nothing more, and whoever waits is
spread over the next batches, like what was sent in vain. Of a key that HQ then sees in two batches
nothing tells which other keys are of the same outlet.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.people.person_states import (
    AGAIN_WITHIN,
    ROWID,
    WITHDRAWN_AGAIN_WITHIN,
    State,
    move,
)
from outlet_client.people.tables import PEOPLE, SUBMISSIONS, WITHDRAWALS
from privacy.registrations import SEALED_BYTES, Registration, fresh_secret

if TYPE_CHECKING:
    from outlet_client.people.token_box import TokenBox
    from outlet_client.services import RelayBatch

_LOG = logging.getLogger(__name__)

MISSED_BATCHES = 2
"""What was drawn for one of so many batches before this one goes with this one."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """What messages to HQ are made with.

    Attributes:
        network: The network's token key, 32 bytes.
        hq: HQ's sealing key, 32 bytes.
        box: Opens the tokens of this store.
    """

    network: bytes
    hq: bytes
    box: TokenBox


def prepare_submission(
    connection: sa.Connection, opened: RelayBatch, sealer: Sealer
) -> list[bytes] | None:
    """Makes and stores a batch's submission, or finds the stored one; see `People.submission`."""
    batch, messages, epoch, last = opened
    last = min(last, batch)
    query = sa.select(SUBMISSIONS).where(SUBMISSIONS.c.batch == batch)
    row = connection.execute(query).one_or_none()
    if row is not None and row.epoch in (b"", epoch):
        return None if row.delivered else _cut(row.sealed)
    assume_delivered(connection)
    _draw_again(connection, batch)
    if last > _last_of_epoch(connection, epoch):
        _LOG.warning(
            "the relay has submissions of this outlet up to batch %d that are not known here: was "
            "its folder restored from a copy? What waits is spread over %d batches",
            last, AGAIN_WITHIN,
        )  # fmt: skip
        _spread_waiting(connection, max(batch, last + 1))
        _store(connection, last, epoch, [], delivered=True)
        if last == batch:
            return None
    acts = withdrawal_messages(connection, batch, messages, sealer)
    acts += registration_messages(connection, batch, messages - len(acts), sealer)
    acts += registrations_again(connection, batch, messages - len(acts), sealer)
    acts += [Registration.dummy(batch)] * (messages - len(acts))
    sealed = [act.sealed(sealer.hq) for act in acts]
    _store(connection, batch, epoch, sealed, delivered=False)
    return sealed


def _store(
    connection: sa.Connection, batch: int, epoch: bytes, sealed: list[bytes], *, delivered: bool
) -> None:
    """Stores a submission, in place of one for a batch of this number in an earlier epoch."""
    connection.execute(sa.delete(SUBMISSIONS).where(SUBMISSIONS.c.batch == batch))
    row = {"batch": batch, "sealed": b"".join(sealed), "delivered": delivered, "epoch": epoch}
    connection.execute(SUBMISSIONS.insert().values(**row))


def _last_of_epoch(connection: sa.Connection, epoch: bytes) -> int:
    """The last batch of an epoch that a submission was made for; also where none is known."""
    ours = SUBMISSIONS.c.epoch.in_((b"", epoch))
    return connection.scalar(sa.select(sa.func.max(SUBMISSIONS.c.batch)).where(ours)) or 0


def _spread_waiting(connection: sa.Connection, first: int) -> None:
    """Draws a batch for everybody who waits: they may be in one already, of which nobody knows."""
    waiting = PEOPLE.c.state.in_((State.EVALUATED, State.WITHDRAWING))
    for key, state in list(
        connection.execute(sa.select(PEOPLE.c.key, PEOPLE.c.state).where(waiting))
    ):
        within = AGAIN_WITHIN if state == State.EVALUATED else WITHDRAWN_AGAIN_WITHIN
        move(connection, [key], not_before=first + secrets.randbelow(within))


def _draw_again(connection: sa.Connection, batch: int) -> None:
    """Draws another batch for what is sent again and missed its own by more than a day or two.

    After some time away all of it would else be in one batch together.
    """
    missed = sa.and_(PEOPLE.c.not_before > 0, PEOPLE.c.not_before < batch - MISSED_BATCHES)
    for state, within in (
        (State.EVALUATED, AGAIN_WITHIN),
        (State.WITHDRAWING, WITHDRAWN_AGAIN_WITHIN),
    ):
        waiting = sa.select(PEOPLE.c.key).where(missed, PEOPLE.c.state == state)
        for key in list(connection.scalars(waiting)):
            move(connection, [key], not_before=batch + secrets.randbelow(within))
    late = PEOPLE.c.again < batch - MISSED_BATCHES
    for key in list(connection.scalars(sa.select(PEOPLE.c.key).where(late))):
        move(connection, [key], again=batch + secrets.randbelow(AGAIN_WITHIN))


def mark_delivered(connection: sa.Connection, batch: int) -> tuple[int, int]:
    """Notes that the relay took a batch's submission.

    Returns:
        How many registrations it held, less those that are to be withdrawn, and how many
        withdrawals.
    """
    ours = SUBMISSIONS.c.batch == batch
    connection.execute(sa.update(SUBMISSIONS).where(ours).values(delivered=True, sealed=b""))
    registered = connection.execute(
        sa.update(PEOPLE)
        .where(
            PEOPLE.c.state == State.EVALUATED,
            PEOPLE.c.batch == batch,
            PEOPLE.c.secret.is_not(None),
        )
        .values(state=State.SENT.value)
    )
    leaving = sa.select(sa.func.count()).where(PEOPLE.c.withdrawal_batch == batch)
    return registered.rowcount, connection.scalar(leaving) or 0


def assume_delivered(connection: sa.Connection, applied: int | None = None) -> None:
    """Counts as handed in what the relay may have seen, though it never said so.

    Of all batches, or of those up to one that a directory holds.
    """
    unanswered = sa.select(SUBMISSIONS.c.batch).where(~SUBMISSIONS.c.delivered)
    if applied is not None:
        unanswered = unanswered.where(SUBMISSIONS.c.batch <= applied)
    for batch in list(connection.scalars(unanswered)):
        mark_delivered(connection, batch)


def forget_refused(connection: sa.Connection, batch: int) -> None:
    """Frees what a submission held that the relay was shown once and did not take."""
    waits = sa.update(PEOPLE).where(PEOPLE.c.withdrawal_batch == batch)
    connection.execute(waits.values(withdrawal_batch=None))
    leaving = sa.update(PEOPLE).where(PEOPLE.c.state == State.WITHDRAWING, PEOPLE.c.batch == batch)
    connection.execute(leaving.values(batch=None))
    ours = SUBMISSIONS.c.batch == batch
    connection.execute(sa.delete(SUBMISSIONS).where(ours, ~SUBMISSIONS.c.delivered))


def withdrawal_messages(
    connection: sa.Connection, batch: int, most: int, sealer: Sealer
) -> list[Registration]:
    """What this batch tells HQ to withdraw; notes who is in it.

    A withdrawal in its registration's own batch could be applied first, and be lost.
    """
    rows = connection.execute(
        sa.select(PEOPLE.c.key, PEOPLE.c.token, PEOPLE.c.secret)
        .where(
            PEOPLE.c.state == State.WITHDRAWING,
            PEOPLE.c.withdrawal_batch.is_(None),
            PEOPLE.c.batch < batch,
            PEOPLE.c.not_before <= batch,
        )
        .order_by(ROWID)
        .limit(most)
    ).all()
    move(connection, [row.key for row in rows], withdrawal_batch=batch)
    return [
        Registration.withdraw(
            sealer.network, sealer.box.slot_key(row.key, row.token), row.secret, batch
        )
        for row in rows
    ]


def registration_messages(
    connection: sa.Connection, batch: int, most: int, sealer: Sealer
) -> list[Registration]:
    """What this batch registers; notes who is in it.

    HQ withdraws only what we registered: first who is to be withdrawn in a later batch. What was
    sent in vain waits for the batch that was drawn for it.
    """
    unknown = sa.and_(PEOPLE.c.state == State.WITHDRAWING, PEOPLE.c.batch.is_(None))
    waiting = sa.or_(PEOPLE.c.state == State.EVALUATED, unknown)
    rows = connection.execute(
        sa.select(PEOPLE.c.key, PEOPLE.c.token, PEOPLE.c.secret, _shown_since())
        .where(waiting, PEOPLE.c.not_before <= batch)
        .order_by(PEOPLE.c.state.desc(), ROWID)
        .limit(most)
    ).all()
    acts = []
    for row in rows:
        secret = row.secret or fresh_secret()
        move(connection, [row.key], secret=secret, batch=batch)
        key = sealer.box.slot_key(row.key, row.token)
        acts.append(Registration.register(sealer.network, key, secret, batch, row.since))
    return acts


def registrations_again(
    connection: sa.Connection, batch: int, most: int, sealer: Sealer
) -> list[Registration]:
    """Registrations of listed people that HQ lost, as they were: they change no state."""
    rows = connection.execute(
        sa.select(PEOPLE.c.key, PEOPLE.c.token, PEOPLE.c.secret, _shown_since())
        .where(PEOPLE.c.state == State.LISTED, PEOPLE.c.again <= batch)
        .order_by(PEOPLE.c.again, PEOPLE.c.key)
        .limit(most)
    ).all()
    move(connection, [row.key for row in rows], again=None)
    keys = (sealer.box.slot_key(row.key, row.token) for row in rows)
    return [
        Registration.register(sealer.network, key, row.secret, batch, row.since)
        for key, row in zip(keys, rows, strict=True)
    ]


def _shown_since() -> sa.ColumnElement[int]:
    """The `since` of a registration: 0 but for who may have been withdrawn before.

    It is the batch of the directory that this outlet followed, and outlets that were away, or are
    new, have one of their own: HQ could tell by it whose a registration is. It matters only where
    a withdrawal came before, here or, as a first try in vain suggests, elsewhere.
    """
    withdrawn = PEOPLE.c.key.in_(sa.select(WITHDRAWALS.c.key))
    may_return = sa.or_(PEOPLE.c.tries > 0, withdrawn)
    return sa.case((may_return, PEOPLE.c.since), else_=0).label("since")


def _cut(sealed: bytes) -> list[bytes]:
    return [sealed[i : i + SEALED_BYTES] for i in range(0, len(sealed), SEALED_BYTES)]
