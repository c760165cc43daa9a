"""The office's store: the append-only ledger, signed plans, one-time keys, answers, seals.

Every method that writes is one transaction, durable when it returns. The ledger's rows can be
added to but neither changed nor deleted: triggers refuse it, and the hash chain would show it.

The ledger is read and verified whole when the store is opened. From then on its length, head and
balance are kept, and a transaction reads the last entry that was verified and those added since,
by whatever process. So these are refused at once:

    a ledger that is shorter than it was, or whose last verified entry is another one
    an added entry that does not follow from the one before

An entry before the last verified one that is altered later, past the triggers, changes nothing of
what the program counts with. It is noticed when the store is next opened, as by `serve` and
`escapement-office ledger`.

States of a release whose sum is opened, each step durable before the next; of seals see
`seal_store`:

    signed    plan stored with its one-time key         -> charged | expired (key deleted)
    charged   ledger entry and the set's digest stored  -> answered (the same set only), or lost
                                                           with its key when the night expires
    answered  answer stored, key deleted                -> the same request gets it again, until
                                                           its night is over (`retention`)

A one-time key is stored wrapped, under a key of its own in a file of the folder that is overwritten
once the key is deleted, and that no backup has (`vault`): nothing that a database, its log or a
copy of it still holds opens a release that is over.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.at_rest import SecretUnreadable
from privacy.budget import Ledger, LedgerAct, LedgerBroken, LedgerEntry, Policy
from privacy.envelopes import SealKey
from privacy.errors import InvalidParameter
from privacy.loss import Rho
from privacy.plans import Signed
from privacy.purposes import Purpose
from server.holder.database import keep_network, open_store
from server.holder.vault import KeyFile
from server.office.retention import blank_over, check_kept
from server.office.seal_store import SealState, SealStore
from server.office.seed_store import SeedStore
from server.office.sum_set_store import SumSetStore
from server.office.tables import (
    LATEST_DAYS,
    LEDGER,
    NIGHTS,
    OFFICE,
    PUBLISHED,
    RELEASES,
    begin_publications,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from server.office.seal_store import CompleteSeal
    from server.office.vault import Vault


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

    def __init__(self, url: str, policy: Policy, keys: KeyFile | None = None) -> None:
        """Opens the store, and verifies the ledger.

        Args:
            url: Such as `sqlite:///office.db`, or `sqlite://` for memory.
            policy: The year's division of rho, under which the ledger is read.
            keys: Of one-time keys and kept seeds; beside a SQLite store where None.

        Raises:
            StoreRefused: If there is none, or it is another role's or release's.
            LedgerBroken: If the ledger was cut, reordered or rewritten.
        """
        self._keys = keys or KeyFile.beside(url)
        self._engine = open_store(url, OFFICE)
        self._alone = Lock()
        self._verified = Ledger(policy)
        try:
            with self.transaction() as transaction:
                transaction.ledger()
                transaction.delete_unreadable()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Opens one durable, serialised transaction; an exception undoes all of it."""
        with self._alone:  # what is kept as verified is as of the last transaction that ended
            with self._engine.begin() as connection:
                transaction = Transaction(connection, self._verified, self._keys)
                yield transaction
            self._verified = transaction.verified
            self._keys.erase(transaction.dead)

    def ledger(self) -> Ledger:
        """The ledger as it is now, what was added since the last transaction verified."""
        with self.transaction() as transaction:
            return transaction.ledger()

    def complete_seal(self, plan_digest: str) -> CompleteSeal | None:
        """A seal that a book may be made of, by its plan's digest; None if there is none such."""
        with self.transaction() as transaction:
            return transaction.seals.complete(plan_digest)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


def end_network(url: str, vault: Vault, keys: KeyFile) -> None:
    """Begins a new network in a store: without publications, kept seeds, or a seal that is open.

    Args:
        url: Of the office's store.
        vault: Of the open seal.
        keys: Of the kept seeds.
    """
    dead: list[bytes] = []
    engine = open_store(url, OFFICE)
    try:
        with engine.begin() as connection:
            SeedStore(connection, keys, dead).delete_all()
            seals = SealStore(connection)
            seal = seals.find_open()
            if seal is not None:
                seals.end(seal.signed.digest, SealState.EXPIRED)
            for table in PUBLISHED:
                connection.execute(table.delete())
            begin_publications(connection)
            keep_network(connection, None)
            vault.renew()
        keys.erase(dead)
    finally:
        engine.dispose()


class Transaction:
    """What can be read and written within one transaction.

    Attributes:
        verified: The ledger as far as it is verified, with what this transaction added.
        seeds: The kept seeds.
        seals: The seals.
        sum_sets: Over which outlets sums were opened.
        dead: Wrapped secrets that it deletes; their keys are erased once it has ended.
    """

    def __init__(self, connection: sa.Connection, verified: Ledger, keys: KeyFile) -> None:
        self._connection = connection
        self._is_current = False
        self._keys, self.dead = keys, list[bytes]()
        self.seeds, self.seals = SeedStore(connection, keys, self.dead), SealStore(connection)
        self.sum_sets = SumSetStore(connection)
        self.verified = verified

    def ledger(self) -> Ledger:
        """The ledger as of this transaction.

        Raises:
            LedgerBroken: If it does not go on from what was verified before.
        """
        if not self._is_current:
            self.verified = self._read_since(self.verified)
            self._is_current = True
        return self.verified

    def _read_since(self, verified: Ledger) -> Ledger:
        """Checks that the last verified entry is where it was, and follows those after it."""
        since = LEDGER.c.sequence >= verified.length - 1
        query = sa.select(LEDGER).where(since).order_by(LEDGER.c.sequence)
        entries = [_entry(row) for row in self._connection.execute(query).mappings()]
        if verified.length:
            last = entries.pop(0) if entries else None
            if last is None or not verified.head == last.digest == last.compute_digest():
                raise LedgerBroken(
                    f"ledger: entry {verified.length - 1} is not the one that was verified before"
                )
        for entry in entries:
            verified = verified.followed_by(entry)
        return verified

    def append(self, after: Ledger) -> None:
        """Adds the entries that `after`, made of this transaction's ledger, has more."""
        for entry in after.since(self.ledger().length):
            self._connection.execute(
                LEDGER.insert().values(
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
        self.verified = after

    def night(self, *, name: str = "", digest: str = "") -> tuple[Signed, int] | None:
        """A night plan by name or digest, with its expiry; None if there is none.

        Raises:
            PlanRefused: If it was over for so long that its plan was deleted.
        """
        wanted = NIGHTS.c.night == name if name else NIGHTS.c.digest == digest
        row = self._connection.execute(sa.select(NIGHTS).where(wanted)).one_or_none()
        if row is None:
            return None
        check_kept(row.payload, f"night {row.night}")
        return Signed(row.payload, row.signature), row.expires

    def add_night(self, night: str, signed: Signed, expires: int) -> None:
        """Stores a signed night plan."""
        self._connection.execute(
            NIGHTS.insert().values(
                night=night,
                digest=signed.digest,
                payload=signed.payload,
                signature=signed.signature,
                expires=expires,
            )
        )

    def close_night(self, night: str, at: int) -> None:
        """Lets a night's plan be over at once, and deletes what nights that are over leave."""
        mine = (NIGHTS.c.night == night) & (NIGHTS.c.expires > at)
        self._connection.execute(NIGHTS.update().where(mine).values(expires=at))
        blank_over(self._connection, at)

    def expired_nights(self, names: Sequence[str], at: int) -> list[str]:
        """Those of some nights whose plan is over, in their order."""
        over = NIGHTS.c.night.in_(names) & (NIGHTS.c.expires <= at)
        found = set(self._connection.scalars(sa.select(NIGHTS.c.night).where(over)))
        return [name for name in names if name in found]

    def release(self, *, name: str = "", digest: str = "") -> StoredRelease | None:
        """A release by name or plan digest; None if there is none. Its answer dies with its night.

        Raises:
            PlanRefused: If it was over for so long that its plan was deleted.
        """
        wanted = RELEASES.c.release == name if name else RELEASES.c.digest == digest
        row = self._connection.execute(sa.select(RELEASES).where(wanted)).one_or_none()
        if row is None:
            return None
        check_kept(row.payload, f"release {row.release}")
        key, signed = self._opened(row.key, row.release), Signed(row.payload, row.signature)
        answer = row.answer or None  # of a night that is over it is empty, and so is a seal's
        return StoredRelease(row.release, signed, row.expires, key, row.set_digest, answer)

    def signed_count(self, night: str, purpose: Purpose) -> int:
        """How many releases of a night were signed for a purpose."""
        mine = (RELEASES.c.night == night) & (RELEASES.c.purpose == purpose.value)
        count = sa.select(sa.func.count()).select_from(RELEASES).where(mine)
        return int(self._connection.scalar(count) or 0)

    def last_answered(self, night: str) -> str:
        """The night's last release that was answered, or seal that is complete, or ""."""
        mine = (RELEASES.c.night == night) & RELEASES.c.answer.is_not(None)
        last = sa.select(RELEASES.c.release).where(mine).order_by(RELEASES.c.number.desc())
        return self._connection.scalar(last.limit(1)) or ""

    def directory(self, night: str) -> str | None:
        """The directory digest that a night's releases are bound to, if one was signed."""
        mine = sa.select(RELEASES.c.directory).where(RELEASES.c.night == night)
        return self._connection.scalar(mine.limit(1))

    def add_release(
        self, *, release: str, night: str, purpose: Purpose, directory: str,
        signed: Signed, expires: int, key: SealKey | None,
    ) -> None:  # fmt: skip
        """Stores a signed release plan and its one-time key; a seal's is with its secrets."""
        self._connection.execute(
            RELEASES.insert().values(
                release=release,
                digest=signed.digest,
                night=night,
                purpose=purpose.value,
                directory=directory,
                payload=signed.payload,
                signature=signed.signature,
                expires=expires,
                key=None if key is None else self._keys.wrapped(key.to_bytes(), f"key {release}"),
            )
        )

    def mark_charged(self, release: str, set_digest: str) -> None:
        """Binds a release to the set it was charged for."""
        self._update(release, set_digest=set_digest)

    def mark_answered(self, release: str, answer: bytes) -> None:
        """Stores a release's answer and deletes its one-time key."""
        self._kill(RELEASES.c.release == release)
        self._update(release, answer=answer, key=None)

    def delete_expired_keys(self, at: int) -> None:
        """Deletes the one-time keys of what expired: releases uncharged, and nights altogether."""
        uncharged = (RELEASES.c.expires <= at) & RELEASES.c.set_digest.is_(None)
        its_night = (NIGHTS.c.digest == RELEASES.c.night) & (NIGHTS.c.expires <= at)
        over = (uncharged | sa.exists().where(its_night)) & RELEASES.c.key.is_not(None)
        if self._kill(over):
            self._connection.execute(RELEASES.update().where(over).values(key=None))

    def delete_unreadable(self) -> None:
        """Deletes secrets whose keys are gone, as of a store that was copied back.

        And erases the keys of secrets that are not stored.
        """
        query = sa.select(RELEASES.c.key).where(RELEASES.c.key.is_not(None))
        keys, seeds = list(self._connection.scalars(query)), self.seeds.wrapped()
        for key, held in zip(keys, self._keys.holds(keys), strict=True):
            if not held:
                mine = RELEASES.c.key == key
                self._connection.execute(RELEASES.update().where(mine).values(key=None))
        for seed, held in zip(seeds, self._keys.holds(seeds), strict=True):
            if not held:
                self.seeds.delete(seed)
        self._keys.erase_others([*keys, *seeds])

    def _opened(self, wrapped: bytes | None, release: str) -> SealKey | None:
        """A release's one-time key; None once it is dead."""
        if wrapped is None:
            return None
        try:
            return SealKey.from_bytes(self._keys.opened(wrapped, f"key {release}"))
        except SecretUnreadable:
            return None

    def _kill(self, wanted: sa.ColumnElement[bool]) -> bool:
        """Notes the keys of releases that are about to be deleted; tells whether there are any."""
        query = sa.select(RELEASES.c.key).where(wanted & RELEASES.c.key.is_not(None))
        found = list(self._connection.scalars(query))
        self.dead.extend(found)
        return bool(found)

    def latest_day(self, kind: str) -> str | None:
        """The latest day of a kind that was signed, ISO 8601; None before the first."""
        query = sa.select(LATEST_DAYS.c.day).where(LATEST_DAYS.c.kind == kind)
        return self._connection.scalar(query)

    def keep_day(self, kind: str, day: str) -> None:
        """Remembers a day that is signed, the latest of its kind."""
        self._connection.execute(LATEST_DAYS.delete().where(LATEST_DAYS.c.kind == kind))
        self._connection.execute(LATEST_DAYS.insert().values(kind=kind, day=day))

    def outstanding(self, night: str) -> str:
        """A release of the night that may still be answered, or a seal that is open, or ""."""
        mine = (RELEASES.c.night == night) & RELEASES.c.key.is_not(None)
        name = self._connection.scalar(sa.select(RELEASES.c.release).where(mine).limit(1))
        seal = self.seals.find_open()
        if name is None and seal is not None and seal.plan.night == night:
            return seal.plan.release
        return name or ""

    def _update(self, release: str, **values: object) -> None:
        self._connection.execute(
            RELEASES.update().where(RELEASES.c.release == release).values(**values)
        )


def _entry(row: sa.RowMapping) -> LedgerEntry:
    """An entry as it was stored.

    Raises:
        LedgerBroken: If it holds what no entry holds.
    """
    try:
        return LedgerEntry(
            **{
                **row,
                "act": LedgerAct(row["act"]),
                "purpose": None if row["purpose"] is None else Purpose(row["purpose"]),
                "rho": Rho(Fraction(row["rho"])),
            }
        )
    except (TypeError, ValueError, ZeroDivisionError, InvalidParameter) as error:
        raise LedgerBroken(f"ledger: entry {row['sequence']} holds what no entry holds") from error
