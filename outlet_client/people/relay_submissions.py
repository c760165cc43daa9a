"""Submissions to the relay: the registrations, withdrawals and dummies of a batch.

Invariant: a submission is stored before it leaves, and the same at every call for its batch; what
the relay may never have seen is freed before a person in it is withdrawn, or put into another.
"""

from __future__ import annotations

import sqlalchemy as sa

from outlet_client.people.person_states import ROWID, State, move
from outlet_client.people.tables import PEOPLE, SUBMISSIONS
from privacy.registrations import SEALED_BYTES, Registration, fresh_secret


def prepare_submission(
    connection: sa.Connection, batch: int, messages: int, sealing_key: bytes
) -> list[bytes] | None:
    """Makes and stores a batch's submission, or finds the stored one; see `People.submission`."""
    query = sa.select(SUBMISSIONS).where(SUBMISSIONS.c.batch == batch)
    row = connection.execute(query).one_or_none()
    if row is not None:
        return None if row.delivered else _cut(row.sealed)
    forget_undelivered(connection)
    acts = withdrawal_messages(connection, batch, messages)
    acts += registration_messages(connection, batch, messages - len(acts))
    acts += [Registration.dummy()] * (messages - len(acts))
    sealed = [act.sealed(sealing_key, batch) for act in acts]
    connection.execute(
        SUBMISSIONS.insert().values(batch=batch, sealed=b"".join(sealed), delivered=False)
    )
    return sealed


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


def forget_undelivered(connection: sa.Connection) -> None:
    """Frees what a submission held that the relay may never have seen."""
    lost = sa.select(SUBMISSIONS.c.batch).where(~SUBMISSIONS.c.delivered)
    waits = sa.update(PEOPLE).where(PEOPLE.c.withdrawal_batch.in_(lost))
    connection.execute(waits.values(withdrawal_batch=None))
    leaving = sa.update(PEOPLE).where(PEOPLE.c.state == State.WITHDRAWING, PEOPLE.c.batch.in_(lost))
    connection.execute(leaving.values(batch=None))
    connection.execute(sa.delete(SUBMISSIONS).where(~SUBMISSIONS.c.delivered))


def withdrawal_messages(connection: sa.Connection, batch: int, most: int) -> list[Registration]:
    """What this batch tells HQ to withdraw; notes who is in it.

    A withdrawal in its registration's own batch could be applied first, and be lost.
    """
    rows = connection.execute(
        sa.select(PEOPLE.c.key, PEOPLE.c.token, PEOPLE.c.secret)
        .where(
            PEOPLE.c.state == State.WITHDRAWING,
            PEOPLE.c.withdrawal_batch.is_(None),
            PEOPLE.c.batch < batch,
        )
        .order_by(ROWID)
        .limit(most)
    ).all()
    move(connection, [row.key for row in rows], withdrawal_batch=batch)
    return [Registration.withdraw(row.token, row.secret) for row in rows]


def registration_messages(connection: sa.Connection, batch: int, most: int) -> list[Registration]:
    """What this batch registers; notes who is in it.

    HQ withdraws only what we registered: first who is to be withdrawn in a later batch.
    """
    unknown = sa.and_(PEOPLE.c.state == State.WITHDRAWING, PEOPLE.c.batch.is_(None))
    rows = connection.execute(
        sa.select(PEOPLE.c.key, PEOPLE.c.token, PEOPLE.c.secret, PEOPLE.c.since)
        .where(sa.or_(PEOPLE.c.state == State.EVALUATED, unknown))
        .order_by(PEOPLE.c.state.desc(), ROWID)
        .limit(most)
    ).all()
    acts = []
    for row in rows:
        secret = row.secret or fresh_secret()
        move(connection, [row.key], secret=secret, batch=batch)
        acts.append(Registration.register(row.token, secret, row.since))
    return acts


def _cut(sealed: bytes) -> list[bytes]:
    return [sealed[i : i + SEALED_BYTES] for i in range(0, len(sealed), SEALED_BYTES)]
