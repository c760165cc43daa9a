"""The people this outlet may speak of, by keys that only this outlet can make.

Invariant: no phone and no e-mail is stored, and nothing of a person without a standing consent
leaves or counts.

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

The key of a person is HMAC-SHA256 of the identifier under a secret made from this outlet's signing
key. A copy of `outlet.db` alone therefore lists no phone, not even to who tries every number; who
has the whole folder has the signing key too and can test numbers one by one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from outlet_client.consent import (
    CONSENTS,
    METADATA,
    Consent,
    Recorded,
    end,
    history,
    record,
    rows_of,
)
from privacy.books import fine_key
from privacy.envelopes import frame
from privacy.registrations import (
    SEALED_BYTES,
    TAG_BYTES,
    Registration,
    fresh_secret,
    nonce_of,
    tag_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from privacy.directory import Directory
    from privacy.identity import Identity
    from privacy.tokens import Token

_KEY_DOMAIN = b"escapement/v1/people"


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


_PEOPLE = sa.Table(
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
_SUBMISSIONS = sa.Table(
    "submissions",
    METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
)
_ASKED = sa.Table("days_asked", METADATA, sa.Column("day", sa.Text, primary_key=True))


@dataclass(frozen=True, slots=True)
class Person:
    """One person.

    Attributes:
        state: Where the person stands.
        token: The 32 bytes of the token; None until known.
        fingerprint: What a directory lists of it; None likewise.
    """

    state: State
    token: bytes | None = field(repr=False)
    fingerprint: int | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one submission held.

    Attributes:
        registered: Registrations in it.
        withdrawn: Withdrawals in it.
    """

    registered: int
    withdrawn: int


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    keys: list[str]
    tokens: list[bytes] = field(repr=False)
    secrets: list[bytes] = field(repr=False)
    slots: npt.NDArray[np.int64]
    home: npt.NDArray[np.bool_]


class People:
    """The people and their consents behind one SQLAlchemy URL."""

    def __init__(
        self,
        url: str,
        secret: bytes,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Opens the store, making its tables where they are missing.

        Args:
            url: Of the outlet's own database.
            secret: 32 bytes that turn identifiers into keys; see `open`.
            clock: Says when a consent ended.
        """
        in_memory = url == "sqlite://"
        self._engine = sa.create_engine(
            url,
            poolclass=StaticPool if in_memory else None,
            connect_args={"check_same_thread": False} if in_memory else {"timeout": 60},
        )
        sa.event.listen(self._engine, "connect", _begin_ourselves)
        sa.event.listen(self._engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        # Look-ups must not wait for a night that writes.
        self._reader = (
            self._engine if in_memory else sa.create_engine(url, connect_args={"timeout": 60})
        )
        self._alone = threading.Lock()
        self._secret = secret
        self._clock = clock
        with self._engine.begin() as connection:
            METADATA.create_all(connection)

    @classmethod
    def open(cls, home: Path, identity: Identity) -> People:
        """Opens the store in an outlet's folder, with the secret made from its signing key."""
        secret = hashlib.sha256(frame(_KEY_DOMAIN, identity.signing.to_bytes())).digest()
        return cls(f"sqlite:///{home / 'outlet.db'}", secret)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()
        self._reader.dispose()

    def local_key(self, identifier: str) -> str:
        """The key of the person with this identifier: 64 hex digits, of this outlet only."""
        return hmac.new(self._secret, identifier.encode(), hashlib.sha256).hexdigest()

    def record_consent(self, key: str, notice: str, by: str, at: dt.datetime) -> Recorded:
        """Adds a consent; one on a buried or withdrawn person lets it be registered afresh.

        A consent that is not younger than the person's last withdrawal does not undo it.
        """
        return self.record_consents([Consent(key, notice, at, by)])[0]

    def record_consents(self, consents: Iterable[Consent]) -> list[Recorded]:
        """Adds consents, all or none; see `record_consent`."""
        with self._transaction() as connection:
            return _record(connection, list(consents))

    def consents(self) -> pl.DataFrame:
        """The history: key, notice, recorded_at, recorded_by, withdrawn_at; all String."""
        with self._reader.connect() as connection:
            return history(connection)

    def withdraw(self, key: str) -> State | None:
        """Ends a person's consents; nothing of the person leaves or counts from now on.

        Returns:
            Where the person stands now; None if nobody has this key.
        """
        with self._transaction() as connection:
            row = connection.execute(sa.select(_PEOPLE).where(_PEOPLE.c.key == key)).one_or_none()
            if row is None:
                return None
            end(connection, [key], self._clock())
            state = State(row.state)
            if state.stands:
                if state is State.EVALUATED:  # what was stored to be repeated may hold this person
                    _forget_undelivered(connection)
                # With a secret, HQ may have a registration that only we can take back.
                state = State.WITHDRAWN if row.secret is None else State.WITHDRAWING
                _move(connection, [key], state)
            return state

    def person(self, key: str) -> Person | None:
        """Looks one person up; None if nobody has this key."""
        with self._reader.connect() as connection:
            row = connection.execute(_BY_KEY, {"key": key}).one_or_none()
        if row is None:
            return None
        fingerprint = None if row[2] is None else int.from_bytes(row[2], "little")
        return Person(State(row[0]), row[1], fingerprint)

    def without_token(self) -> list[str]:
        """Keys of the people whose token is to be asked for, the first known first."""
        with self._reader.connect() as connection:
            return list(connection.scalars(_keys_in(State.KNOWN)))

    def keep_tokens(self, tokens: Mapping[str, Token]) -> int:
        """Stores the tokens of known people; those in another state by now are left alone."""
        rows = [
            {"b_key": key, "b_token": token.raw, "b_print": token.fingerprint.to_bytes(8, "little")}
            for key, token in tokens.items()
        ]
        update = (
            sa.update(_PEOPLE)
            .where(_PEOPLE.c.key == sa.bindparam("b_key"), _PEOPLE.c.state == State.KNOWN)
            .values(
                token=sa.bindparam("b_token"),
                fingerprint=sa.bindparam("b_print"),
                state=State.EVALUATED.value,
            )
        )
        with self._transaction() as connection:
            return connection.execute(update, rows).rowcount if rows else 0

    def asked_today(self) -> bool:
        """Whether this UTC day's evaluations were asked for already."""
        query = sa.select(_ASKED).where(_ASKED.c.day == self._today())
        with self._reader.connect() as connection:
            return connection.execute(query).one_or_none() is not None

    def mark_asked(self) -> None:
        """Remembers that this UTC day's evaluations were asked for."""
        with self._transaction() as connection:
            insert = _ASKED.insert().prefix_with("OR IGNORE")
            connection.execute(insert.values(day=self._today()))

    def counts(self) -> dict[State, int]:
        """How many people stand where."""
        query = sa.select(_PEOPLE.c.state, sa.func.count()).group_by(_PEOPLE.c.state)
        with self._reader.connect() as connection:
            found = {State(state): int(count) for state, count in connection.execute(query).all()}
        return {state: found.get(state, 0) for state in State}

    def waiting(self) -> int:
        """How many wait for a token, for their registration to leave, or their withdrawal."""
        unsent = sa.and_(_PEOPLE.c.state == State.WITHDRAWING, _PEOPLE.c.withdrawal_batch.is_(None))
        inside = _PEOPLE.c.state.in_((State.KNOWN, State.EVALUATED))
        query = sa.select(sa.func.count()).where(sa.or_(inside, unsent))
        with self._reader.connect() as connection:
            return connection.scalar(query) or 0

    def submission(self, batch: int, messages: int, sealing_key: bytes) -> list[bytes] | None:
        """What to hand in for a batch; stored before it is returned, the same at every call.

        Withdrawals go first, then registrations, then dummies. What an earlier batch did not
        surely take is in it again, with the same secrets.

        Args:
            batch: The open one.
            messages: How many the relay expects.
            sealing_key: HQ's, 32 bytes.

        Returns:
            `messages` sealed messages; None if this batch has ours already.
        """
        with self._transaction() as connection:
            query = sa.select(_SUBMISSIONS).where(_SUBMISSIONS.c.batch == batch)
            row = connection.execute(query).one_or_none()
            if row is not None:
                return None if row.delivered else _cut(row.sealed)
            _forget_undelivered(connection)
            acts = _compose(connection, batch, messages)
            acts += [Registration.dummy()] * (messages - len(acts))
            sealed = [act.sealed(sealing_key, batch) for act in acts]
            connection.execute(
                _SUBMISSIONS.insert().values(batch=batch, sealed=b"".join(sealed), delivered=False)
            )
        return sealed

    def submitted(self, batch: int) -> Submitted:
        """Notes that the relay took the submission for a batch."""
        with self._transaction() as connection:
            ours = _SUBMISSIONS.c.batch == batch
            connection.execute(
                sa.update(_SUBMISSIONS).where(ours).values(delivered=True, sealed=b"")
            )
            registered = connection.execute(
                sa.update(_PEOPLE)
                .where(
                    _PEOPLE.c.state == State.EVALUATED,
                    _PEOPLE.c.batch == batch,
                    _PEOPLE.c.secret.is_not(None),
                )
                .values(state=State.SENT.value)
            )
            leaving = sa.select(sa.func.count()).where(_PEOPLE.c.withdrawal_batch == batch)
            return Submitted(registered.rowcount, connection.scalar(leaving) or 0)

    def follow(self, directory: Directory) -> None:
        """Moves people to the states that a directory shows."""
        watched = (State.SENT, State.LISTED, State.WITHDRAWING)
        with self._transaction() as connection:
            query = sa.select(_PEOPLE).where(_PEOPLE.c.state.in_(watched))
            rows = connection.execute(query).all()
            places = directory.places(_fingerprints([row.fingerprint for row in rows]))
            undelivered = set(
                connection.scalars(sa.select(_SUBMISSIONS.c.batch).where(~_SUBMISSIONS.c.delivered))
            )
            moves: dict[State, list[str]] = {}
            slots: dict[str, int] = {}
            for row, place in zip(rows, places.tolist(), strict=True):
                state = _followed(row, directory.batch, place, undelivered)
                if state != row.state:
                    moves.setdefault(state, []).append(row.key)
                    slots[row.key] = place
            for state, keys in moves.items():
                _move(connection, keys, state)
            _give_slots(connection, {key: slots[key] for key in moves.get(State.LISTED, [])})
            end(connection, moves.get(State.BURIED, []), self._clock())
            _begin_anew(connection, moves.get(State.WITHDRAWN, []))

    def listed(self, directory: Directory) -> pl.DataFrame:
        """The people with a standing consent and a slot: key, slot (Int64), home (Boolean)."""
        placed = self._placed(directory)
        return pl.DataFrame(
            {"key": placed.keys, "slot": placed.slots, "home": placed.home},
            schema={"key": pl.String, "slot": pl.Int64, "home": pl.Boolean},
        )

    def home_keys(self, directory: Directory) -> dict[int, bytes]:
        """What reads the fine book: for each home slot, `privacy.books.fine_key`."""
        placed = self._placed(directory)
        return {
            int(placed.slots[i]): fine_key(placed.tokens[i], nonce_of(placed.secrets[i]))
            for i in np.flatnonzero(placed.home)
        }

    def _placed(self, directory: Directory) -> _Placed:
        query = sa.select(_PEOPLE).where(_PEOPLE.c.state == State.LISTED).order_by(_PEOPLE.c.key)
        with self._reader.connect() as connection:
            rows = connection.execute(query).all()
        slots = directory.places(_fingerprints([row.fingerprint for row in rows]))
        same = slots == np.array([row.slot for row in rows], dtype=np.int64)
        rows = [row for row, stays in zip(rows, same, strict=True) if stays]
        slots = slots[same]
        tags = b"".join(tag_of(nonce_of(row.secret)) for row in rows)
        ours = np.frombuffer(tags, dtype=np.uint8).reshape(len(rows), TAG_BYTES)
        home = (directory.home_tags[slots] == ours).all(axis=1)
        return _Placed(
            [row.key for row in rows],
            [row.token for row in rows],
            [row.secret for row in rows],
            slots,
            home,
        )

    def _today(self) -> str:
        return self._clock().astimezone(dt.UTC).date().isoformat()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """One writer at a time, over threads and processes; an exception undoes all of it."""
        with self._alone, self._engine.begin() as connection:
            yield connection


_BY_KEY = sa.select(_PEOPLE.c.state, _PEOPLE.c.token, _PEOPLE.c.fingerprint).where(
    _PEOPLE.c.key == sa.bindparam("key")
)
_ROWID: sa.ColumnElement[int] = sa.literal_column("rowid")


def _keys_in(state: State) -> sa.Select[tuple[str]]:
    return sa.select(_PEOPLE.c.key).where(_PEOPLE.c.state == state).order_by(_ROWID)


def _record(connection: sa.Connection, consents: Sequence[Consent]) -> list[Recorded]:
    outcomes = record(connection, consents)
    pairs = zip(consents, outcomes, strict=True)
    keys = list(dict.fromkeys(one.key for one, became in pairs if became is Recorded.NEW))
    if keys:
        people = [{"key": key, "state": State.KNOWN.value} for key in keys]
        connection.execute(_PEOPLE.insert().prefix_with("OR IGNORE"), people)
    rows = rows_of(connection, keys, _PEOPLE.c.key, _PEOPLE.c.state)
    _afresh(connection, [key for key, state in rows if state in (State.WITHDRAWN, State.BURIED)])
    return outcomes


def _begin_anew(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Lets those of the withdrawn be registered who consented while they were withdrawing."""
    standing = sa.select(CONSENTS.c.key).where(CONSENTS.c.withdrawn_at.is_(None))
    again = set(connection.scalars(standing)) if keys else set()
    _afresh(connection, [key for key in keys if key in again])


def _afresh(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Back to before a registration; the token stays, the secret does not."""
    has_token = _PEOPLE.c.token.is_not(None)
    update = (
        sa.update(_PEOPLE)
        .where(_PEOPLE.c.key == sa.bindparam("b_key"))
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


def _move(connection: sa.Connection, keys: Sequence[str], state: State) -> None:
    update = sa.update(_PEOPLE).where(_PEOPLE.c.key == sa.bindparam("b_key")).values(state=state)
    if keys:
        connection.execute(update, [{"b_key": key} for key in keys])


def _give_slots(connection: sa.Connection, slots: Mapping[str, int]) -> None:
    update = (
        sa.update(_PEOPLE)
        .where(_PEOPLE.c.key == sa.bindparam("b_key"))
        .values(slot=sa.bindparam("b_slot"))
    )
    if slots:
        connection.execute(update, [{"b_key": key, "b_slot": slots[key]} for key in slots])


def _forget_undelivered(connection: sa.Connection) -> None:
    """Frees what a submission held that the relay may never have seen."""
    lost = sa.select(_SUBMISSIONS.c.batch).where(~_SUBMISSIONS.c.delivered)
    waits = sa.update(_PEOPLE).where(_PEOPLE.c.withdrawal_batch.in_(lost))
    connection.execute(waits.values(withdrawal_batch=None))
    connection.execute(sa.delete(_SUBMISSIONS).where(~_SUBMISSIONS.c.delivered))


def _compose(connection: sa.Connection, batch: int, messages: int) -> list[Registration]:
    """Takes what fits into a batch, and notes who is in it."""
    people = sa.select(_PEOPLE.c.key, _PEOPLE.c.token, _PEOPLE.c.secret).order_by(_ROWID)
    # A withdrawal in its registration's own batch could be applied first, and be lost.
    leaving = connection.execute(
        people.where(
            _PEOPLE.c.state == State.WITHDRAWING,
            _PEOPLE.c.withdrawal_batch.is_(None),
            _PEOPLE.c.batch < batch,
        ).limit(messages)
    ).all()
    coming = connection.execute(
        people.where(_PEOPLE.c.state == State.EVALUATED).limit(messages - len(leaving))
    ).all()
    for row in leaving:
        note = sa.update(_PEOPLE).where(_PEOPLE.c.key == row.key)
        connection.execute(note.values(withdrawal_batch=batch))
    acts = [Registration.withdraw(row.token, row.secret) for row in leaving]
    for row in coming:
        secret = row.secret or fresh_secret()
        note = sa.update(_PEOPLE).where(_PEOPLE.c.key == row.key)
        connection.execute(note.values(secret=secret, batch=batch))
        acts.append(Registration.register(row.token, secret))
    return acts


def _followed(row: sa.Row[Any], applied: int, place: int, lost: set[int]) -> State:
    """The state that a directory shows: all batches up to `applied`, this person at `place`."""
    state = State(row.state)
    if state is State.WITHDRAWING:
        told = row.withdrawal_batch is not None and row.withdrawal_batch not in lost
        return State.WITHDRAWN if told and row.withdrawal_batch <= applied else state
    if row.batch > applied:
        return state
    return State.LISTED if place >= 0 and row.slot in (None, place) else State.BURIED


def _fingerprints(raw: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    return np.frombuffer(b"".join(raw), dtype="<u8").astype(np.uint64)


def _cut(sealed: bytes) -> list[bytes]:
    return [sealed[i : i + SEALED_BYTES] for i in range(0, len(sealed), SEALED_BYTES)]


def _begin_ourselves(connection: sqlite3.Connection, _record: object) -> None:
    """Lets SQLAlchemy's `begin` event say how a transaction begins."""
    connection.isolation_level = None
