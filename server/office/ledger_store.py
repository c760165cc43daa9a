"""The office's store: the append-only ledger, signed plans, one-time keys, given answers.

Every method that writes is one transaction, durable when it returns. The ledger's rows can be
added to but neither changed nor deleted: triggers refuse it, and the hash chain would show it.

States of a release, each step durable before the next:

    signed    plan stored with its one-time key         -> charged | expired (key deleted)
    charged   ledger entry and the set's digest stored  -> answered (the same set only), or lost
                                                           with its key when the night expires
    answered  answer stored, key deleted                -> for ever; the same request gets it again

A deleted key is overwritten in the database file, and no journal keeps it. What a file system or
a copy of the file keeps is beyond this program: a copy taken while a release is open can open it
again.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from privacy.budget import Act, Entry, Ledger, Policy
from privacy.envelopes import SealKey
from privacy.loss import Rho
from privacy.masks import Seed
from privacy.plans import Signed
from privacy.two_key_sum import KeptSeed
from privacy.units import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from privacy.plans import ReleasePlan
    from privacy.two_key_sum import Carried, Envelope

_METADATA = sa.MetaData()

_LEDGER = sa.Table(
    "ledger",
    _METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text),
    sa.Column("rho", sa.Text, nullable=False),
    sa.Column("noiseless", sa.Boolean, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
)
_NIGHTS = sa.Table(
    "nights",
    _METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
)
_RELEASES = sa.Table(
    "releases",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("set_digest", sa.Text),
    sa.Column("answer", sa.LargeBinary),
)

_POINTS_SEEDS = sa.Table(
    "points_seeds",
    _METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("vector_digest", sa.Text, nullable=False),
    sa.Column("dimension", sa.BigInteger, nullable=False),
    sa.Column("ring_bits", sa.Integer, nullable=False),
    sa.Column("scale", sa.BigInteger, nullable=False),
    sa.Column("norm", sa.BigInteger, nullable=False),
    sa.Column("outlet_bound", sa.BigInteger, nullable=False),
    sa.Column("seed", sa.LargeBinary, nullable=False),
)
"""Each outlet's last points seed: with it, an absent outlet counts with its last answer."""

_POINTS_SETS = sa.Table(
    "points_sets",
    _METADATA,
    sa.Column("scorecard", sa.Text, primary_key=True),
    sa.Column("outlets", sa.Text, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
)
"""Who was in a scorecard's latest points release, and when its first was charged."""

for _verb in ("UPDATE", "DELETE"):
    sa.event.listen(
        _LEDGER,
        "after_create",
        sa.DDL(  # type: ignore[no-untyped-call]  # the ledger is append-only, for whoever holds a connection too
            f"CREATE TRIGGER ledger_no_{_verb.lower()} BEFORE {_verb} ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )


sa.event.listen(
    _LEDGER,
    "after_create",
    sa.DDL(  # type: ignore[no-untyped-call]  # nor can a row be put in another's place
        "CREATE TRIGGER ledger_in_order BEFORE INSERT ON ledger "
        "WHEN NEW.sequence <> (SELECT COUNT(*) FROM ledger) "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ).execute_if(dialect="sqlite"),
)


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release as the office knows it; see the module's table of states."""

    release: str
    signed: Signed
    expires: int
    key: SealKey | None
    set_digest: str | None
    answer: bytes | None


class OfficeStore:
    """The office's state behind one SQLAlchemy URL."""

    def __init__(self, url: str, policy: Policy) -> None:
        """Opens the store, making its tables where they are missing.

        Args:
            url: Such as `sqlite:///office.db`, or `sqlite://` for memory.
            policy: The year's division of rho, under which the ledger is read.
        """
        if not url.startswith("sqlite"):
            raise ValueError(f"office store: got {url.partition(':')[0]}, expected a sqlite URL")
        in_memory = url == "sqlite://"
        self._engine = sa.create_engine(
            url,
            poolclass=StaticPool if in_memory else None,
            connect_args={"check_same_thread": False} if in_memory else {"timeout": 30},
        )
        self._policy = policy
        sa.event.listen(self._engine, "connect", _durable)
        sa.event.listen(self._engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        with self._engine.begin() as connection:
            _METADATA.create_all(connection)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Opens one durable, serialised transaction; an exception undoes all of it."""
        with self._engine.begin() as connection:
            yield Transaction(connection, self._policy)

    def ledger(self) -> Ledger:
        """Reads the whole ledger and checks its chain."""
        with self.transaction() as transaction:
            return transaction.ledger()

    def copy_without_keys(self, place: Path) -> None:
        """Copies the store into a new file, less every one-time key and kept seed.

        So a restored copy can open no release that was open when it was made: it would otherwise
        answer that release for another set of outlets.
        """
        with self._engine.connect() as connection, closing(sqlite3.connect(place)) as copy:
            connection.connection.driver_connection.backup(copy)  # type: ignore[union-attr]
            copy.execute("UPDATE releases SET key = NULL")
            copy.execute("DELETE FROM points_seeds")
            copy.commit()
            copy.execute("VACUUM")

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


class Transaction:
    """What can be read and written within one transaction."""

    def __init__(self, connection: sa.Connection, policy: Policy) -> None:
        self._connection = connection
        self._policy = policy

    def ledger(self) -> Ledger:
        """Reads the whole ledger and checks its chain."""
        rows = self._connection.execute(sa.select(_LEDGER).order_by(_LEDGER.c.sequence)).mappings()
        ledger = Ledger(
            self._policy,
            tuple(
                Entry(
                    **{
                        **row,
                        "act": Act(row["act"]),
                        "purpose": None if row["purpose"] is None else Purpose(row["purpose"]),
                        "rho": Rho(Fraction(row["rho"])),
                    }
                )
                for row in rows
            ),
        )
        ledger.verify()
        return ledger

    def append(self, before: Ledger, after: Ledger) -> None:
        """Adds the entries that `after` has and `before`, read in this transaction, has not."""
        for entry in after.entries[len(before.entries) :]:
            self._connection.execute(
                _LEDGER.insert().values(
                    sequence=entry.sequence,
                    at=entry.at,
                    act=entry.act.value,
                    night=entry.night,
                    release=entry.release,
                    purpose=None if entry.purpose is None else entry.purpose.value,
                    rho=entry.rho.encode(),
                    noiseless=entry.noiseless,
                    previous=entry.previous,
                    digest=entry.digest,
                )
            )

    def night(self, *, name: str = "", digest: str = "") -> tuple[Signed, int] | None:
        """A night plan by name or digest, with its expiry; None if there is none."""
        wanted = _NIGHTS.c.night == name if name else _NIGHTS.c.digest == digest
        row = self._connection.execute(sa.select(_NIGHTS).where(wanted)).one_or_none()
        return None if row is None else (Signed(row.payload, row.signature), row.expires)

    def add_night(self, night: str, signed: Signed, expires: int) -> None:
        """Stores a signed night plan."""
        self._connection.execute(
            _NIGHTS.insert().values(
                night=night,
                digest=signed.digest,
                payload=signed.payload,
                signature=signed.signature,
                expires=expires,
            )
        )

    def expired_nights(self, at: int) -> list[str]:
        """The names of nights whose plan is over."""
        return list(
            self._connection.scalars(sa.select(_NIGHTS.c.night).where(_NIGHTS.c.expires <= at))
        )

    def release(self, *, name: str = "", digest: str = "") -> StoredRelease | None:
        """A release by name or plan digest; None if there is none."""
        wanted = _RELEASES.c.release == name if name else _RELEASES.c.digest == digest
        row = self._connection.execute(sa.select(_RELEASES).where(wanted)).one_or_none()
        if row is None:
            return None
        key = None if row.key is None else SealKey.from_bytes(row.key)
        signed = Signed(row.payload, row.signature)
        return StoredRelease(row.release, signed, row.expires, key, row.set_digest, row.answer)

    def signed_count(self, night: str, purpose: Purpose) -> int:
        """How many releases of a night were signed for a purpose."""
        mine = (_RELEASES.c.night == night) & (_RELEASES.c.purpose == purpose.value)
        count = sa.select(sa.func.count()).select_from(_RELEASES).where(mine)
        return int(self._connection.scalar(count) or 0)

    def last_answered(self, night: str) -> str:
        """The night's last release that was answered, or ""."""
        mine = (_RELEASES.c.night == night) & _RELEASES.c.answer.is_not(None)
        last = sa.select(_RELEASES.c.release).where(mine).order_by(_RELEASES.c.number.desc())
        return self._connection.scalar(last.limit(1)) or ""

    def directory(self, night: str) -> str | None:
        """The directory digest that the night's releases are bound to, if one was signed."""
        mine = sa.select(_RELEASES.c.directory).where(_RELEASES.c.night == night)
        return self._connection.scalar(mine.limit(1))

    def add_release(
        self, *, release: str, night: str, purpose: Purpose, directory: str,
        signed: Signed, expires: int, key: SealKey,
    ) -> None:  # fmt: skip
        """Stores a signed release plan and its one-time key."""
        self._connection.execute(
            _RELEASES.insert().values(
                release=release,
                digest=signed.digest,
                night=night,
                purpose=purpose.value,
                directory=directory,
                payload=signed.payload,
                signature=signed.signature,
                expires=expires,
                key=key.to_bytes(),
            )
        )

    def mark_charged(self, release: str, set_digest: str) -> None:
        """Binds a release to the set it was charged for."""
        self._update(release, set_digest=set_digest)

    def mark_answered(self, release: str, answer: bytes) -> None:
        """Stores a release's answer and deletes its one-time key."""
        self._update(release, answer=answer, key=None)

    def delete_expired_keys(self, at: int) -> None:
        """Deletes the one-time keys of what expired: releases uncharged, and nights altogether."""
        uncharged = (_RELEASES.c.expires <= at) & _RELEASES.c.set_digest.is_(None)
        nights = sa.select(_NIGHTS.c.digest).where(_NIGHTS.c.expires <= at)
        over = (uncharged | _RELEASES.c.night.in_(nights)) & _RELEASES.c.key.is_not(None)
        self._connection.execute(_RELEASES.update().where(over).values(key=None))

    def points_set(self, scorecard: str) -> frozenset[str] | None:
        """Who was in the latest points release of a scorecard; None before the first."""
        query = sa.select(_POINTS_SETS.c.outlets).where(_POINTS_SETS.c.scorecard == scorecard)
        found = self._connection.scalar(query)
        return None if found is None else frozenset(json.loads(found))

    def points_scorecards(self, since: int) -> int:
        """How many scorecards had their first points release after a moment."""
        query = sa.select(sa.func.count()).where(_POINTS_SETS.c.first_at > since)
        return int(self._connection.scalar(query) or 0)

    def keep_points_set(self, scorecard: str, outlets: Iterable[str], at: int) -> None:
        """Remembers who is in a scorecard's latest points release."""
        names = json.dumps(sorted(outlets))
        mine = _POINTS_SETS.c.scorecard == scorecard
        if self.points_set(scorecard) is None:
            self._connection.execute(
                _POINTS_SETS.insert().values(scorecard=scorecard, outlets=names, first_at=at)
            )
        self._connection.execute(_POINTS_SETS.update().where(mine).values(outlets=names))

    def kept_seed(self, plan: ReleasePlan, carried: Carried) -> KeptSeed | None:
        """The seed behind an outlet's last points answer, if this is that answer.

        It is of use to plans of the same ring, scale, norm and bound only: in another ring its mask
        would be another one and show the outlet's vector, under another norm its price.
        """
        query = sa.select(_POINTS_SEEDS).where(
            (_POINTS_SEEDS.c.outlet == carried.envelope.outlet)
            & (_POINTS_SEEDS.c.scorecard == plan.scorecard)
            & (_POINTS_SEEDS.c.plan == carried.plan_digest)
            & (_POINTS_SEEDS.c.vector_digest == carried.envelope.vector_digest)
            & (_POINTS_SEEDS.c.ring_bits == plan.ring_bits)
            & (_POINTS_SEEDS.c.scale == plan.scale)
            & (_POINTS_SEEDS.c.norm == plan.norm)
            & (_POINTS_SEEDS.c.outlet_bound == plan.outlet_bound)
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else KeptSeed(Seed.of(row.seed), row.dimension)

    def keep_points(
        self, plan: ReleasePlan, plan_digest: str, seeds: Mapping[Envelope, Seed]
    ) -> None:
        """Remembers the seeds of those who answered a points release."""
        for envelope, seed in seeds.items():
            self._connection.execute(
                _POINTS_SEEDS.delete().where(_POINTS_SEEDS.c.outlet == envelope.outlet)
            )
            self._connection.execute(
                _POINTS_SEEDS.insert().values(
                    outlet=envelope.outlet,
                    scorecard=plan.scorecard,
                    plan=plan_digest,
                    vector_digest=envelope.vector_digest,
                    dimension=plan.dimension,
                    ring_bits=plan.ring_bits,
                    scale=plan.scale,
                    norm=plan.norm,
                    outlet_bound=plan.outlet_bound,
                    seed=bytes(seed),
                )
            )

    def outstanding(self, night: str) -> str:
        """A release of the night that may still be answered, or ""."""
        mine = (_RELEASES.c.night == night) & _RELEASES.c.key.is_not(None)
        return self._connection.scalar(sa.select(_RELEASES.c.release).where(mine).limit(1)) or ""

    def _update(self, release: str, **values: object) -> None:
        self._connection.execute(
            _RELEASES.update().where(_RELEASES.c.release == release).values(**values)
        )


def _durable(connection: object, _record: object) -> None:
    """SQLite: durable at commit, deleted keys overwritten, transactions begun by us."""
    connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's own attribute
    for pragma in (
        "journal_mode=DELETE",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]
