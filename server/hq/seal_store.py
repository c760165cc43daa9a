"""Seals as HQ stores them: what is durable before the office or an outlet is asked the next thing.

States of a seal, each step durable before the next:

    drafted    the draft, the seed of the transfers and HQ's one-time key    -> planned
    planned    the office's plan, and its answer to the first message        -> summed
    summed     the masked sum, and whose answers are in it                   -> set
    set        the set's digest, once the office took the set; of bands its
               answers can be carried from now on, of others they are gone   -> picked
    chunk i    the digest of HQ's choices, then the codes that they picked
    picked     after the last chunk: seed and masked sum are deleted         -> sealed
    sealed     the masked entries; codes and one-time key are deleted        -> booked (fine only)
    booked     the fine book; its entries are deleted                        -> counted
    counted    the book's digest
    over       why it ended for good; all that was secret is deleted

A band seal's entries stand until the next seal's take their place: each night's book is made of
them. A fine seal's book is deleted as soon as it was counted against outcomes. Whatever another
night left in another state is ended and forgotten when a seal is begun; and once that night is
over, without its seed, one-time key and codes, of which nothing can be made any more.

Invariant: of one chunk only one vector of choices is ever sent. Two would show the office in which
bits they differ. And seed and one-time key are stored wrapped, each under a key that is overwritten
once the store has forgotten it (`vault`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from privacy.at_rest import SecretUnreadable
from privacy.books import SealedEntries
from privacy.envelopes import digest
from privacy.oblivious_transfer import TransferFailed
from privacy.plans import Signed
from privacy.seal_plans import SealDraft, SealKind, SealPlan
from privacy.slot_keys import OneTimeKey
from server.hq.errors import NightTwice
from server.hq.kept_answers import forget_answers, let_carry, read_sum, summed
from server.hq.sealed_outlets import keep_outlets
from server.hq.tables import SEAL_CHUNKS, SEALS

if TYPE_CHECKING:
    from privacy.sealed_tables import Codes
    from privacy.two_key_sum import Aggregate
    from server.holder.vault import KeyFile
    from server.hq.release_store import NightsLeft

_NO_SECRETS: dict[str, None] = dict.fromkeys(["seed", "masked_sum", "envelopes", "one_time"])


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A seal as HQ knows it; see the module's table of states."""

    release: str
    draft: SealDraft
    seed: bytes | None = field(repr=False)
    one_time: OneTimeKey | None = field(repr=False)
    signed: Signed | None
    transfers: bytes | None
    aggregate: Aggregate | None = field(repr=False)
    outlets: tuple[str, ...]
    set_digest: str | None
    entries: SealedEntries | None
    book: bytes | None = field(repr=False)
    book_digest: str
    over: str

    @property
    def is_sealed(self) -> bool:
        """Whether it came to its end."""
        return self.entries is not None or bool(self.book_digest)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk whose choices were made.

    Attributes:
        choices: Their digest.
        codes: uint8[n, tables], what they picked; None until the office answered.
    """

    choices: str
    codes: Codes | None


class SealStore:
    """Seals, in one database with HQ's other releases."""

    def __init__(self, engine: sa.Engine, keys: KeyFile) -> None:
        """Reads and writes one database.

        Args:
            engine: Of HQ's store.
            keys: Of what dies with a seal.
        """
        self._engine, self._keys = engine, keys

    def seal(self, release: str) -> StoredSeal | None:
        """What is known of a seal; None if it was never drafted, or another took its place."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(SEALS).where(_is(release))).one_or_none()
        return None if row is None else self._stored(row)

    def standing_seal(self) -> StoredSeal | None:
        """The band seal that books are made of; None before the first."""
        bands = (SEALS.c.kind == SealKind.BAND.value) & SEALS.c.entries.is_not(None)
        query = sa.select(SEALS).where(bands).order_by(SEALS.c.number.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._stored(row)

    def leftover_seals(self, night: str) -> list[StoredSeal]:
        """Seals of other nights, but the one that books are made of: of no use any more."""
        stands = (SEALS.c.kind == SealKind.BAND.value) & SEALS.c.entries.is_not(None)
        query = sa.select(SEALS).where((SEALS.c.night != night) & ~stands)
        with self._engine.connect() as connection:
            return [self._stored(row) for row in connection.execute(query)]

    def chunks(self, release: str, tables: int) -> list[StoredChunk]:
        """The chunks of a seal whose choices were made, in order.

        Args:
            release: Which seal.
            tables: How many codes a slot has.
        """
        query = sa.select(SEAL_CHUNKS).where(SEAL_CHUNKS.c.release == release)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(SEAL_CHUNKS.c.chunk)).all()
        codes = [None if row.codes is None else np.frombuffer(row.codes, np.uint8) for row in rows]
        return [
            StoredChunk(row.choices, None if picked is None else picked.reshape(-1, tables))
            for row, picked in zip(rows, codes, strict=True)
        ]

    def add_draft(self, night: str, draft: SealDraft, seed: bytes, one_time: OneTimeKey) -> None:
        """Stores a draft with the secrets that it was made with, before it is sent.

        Raises:
            NightTwice: If there is one of this name: another process runs this night.
        """
        row: dict[str, object] = {
            "release": draft.release,
            "night": night,
            "kind": draft.kind.value,
            "draft": draft.encode(),
        }
        secrets = [
            (seed, _place("seed", draft.release)),
            (one_time.to_bytes(), _place("one_time", draft.release)),
        ]
        try:
            with self._engine.begin() as connection:
                row["seed"], row["one_time"] = self._keys.all_wrapped(secrets)
                connection.execute(SEALS.insert().values(**row))
        except IntegrityError as error:
            raise NightTwice(draft.release) from error

    def add_seal_plan(self, release: str, signed: Signed, transfers: bytes) -> None:
        """Stores the office's plan, and its answer to the first message."""
        self._update_seal(
            release, payload=signed.payload, signature=signed.signature, transfers=transfers
        )

    def add_seal_sum(self, release: str, aggregate: Aggregate) -> None:
        """Stores the masked sum, before the office is shown the set.

        Raises:
            NightTwice: If a sum is stored already: another process runs this night.
        """
        with self._engine.begin() as connection:
            unsummed = SEALS.update().where(_is(release) & SEALS.c.masked_sum.is_(None))
            if connection.execute(unsummed.values(**summed(aggregate))).rowcount != 1:
                raise NightTwice(release)

    def replace_seal_sum(self, release: str, aggregate: Aggregate) -> None:
        """Replaces a masked sum whose set the office refused."""
        self._update_seal(release, **summed(aggregate))

    def add_set(self, seal: Aggregate, plan_digest: str, set_digest: str, at: float) -> None:
        """Notes that the office took a set: of bands, its fresh answers can be carried now.

        Args:
            seal: The masked sum of the set.
            plan_digest: The digest of its signed plan.
            set_digest: `digest_of_set` of it.
            at: Unix seconds.
        """
        fresh = [envelope.outlet for envelope in seal.envelopes]
        taken = SEALS.update().where(_is(seal.plan.release)).values(set_digest=set_digest)
        with self._engine.begin() as connection:
            connection.execute(taken)
            keep_outlets(connection, seal.outlets)
            if isinstance(seal.plan, SealPlan) and seal.plan.kind is SealKind.BAND:
                let_carry(connection, plan_digest, fresh, int(at))
            else:
                forget_answers(connection, plan_digest)

    def add_choices(self, release: str, chunk: int, choices: str) -> None:
        """Stores the digest of a chunk's choices, before they are sent; the same again is fine.

        Raises:
            TransferFailed: If others were made of this chunk before.
        """
        mine = (SEAL_CHUNKS.c.release == release) & (SEAL_CHUNKS.c.chunk == chunk)
        with self._engine.begin() as connection:
            known = connection.scalar(sa.select(SEAL_CHUNKS.c.choices).where(mine))
            if known is None:
                row = {"release": release, "chunk": chunk, "choices": choices}
                connection.execute(SEAL_CHUNKS.insert().values(**row))
            elif known != choices:
                raise TransferFailed(
                    f"release {release}: other choices of chunk {chunk} were made before; it is "
                    "over for good"
                )

    def add_codes(self, release: str, chunk: int, codes: Codes, *, last: bool) -> None:
        """Stores what was picked of a chunk; after the last, seed and masked sum are deleted."""
        mine = (SEAL_CHUNKS.c.release == release) & (SEAL_CHUNKS.c.chunk == chunk)
        with self._engine.begin() as connection:
            picked = SEAL_CHUNKS.update().where(mine).values(codes=codes.tobytes())
            connection.execute(picked)
            dead = _secrets(connection, _is(release), "seed") if last else []
            if last:
                gone = {"seed": None, "masked_sum": None}
                connection.execute(SEALS.update().where(_is(release)).values(**gone))
        self._keys.erase(dead)

    def add_entries(self, release: str, entries: SealedEntries) -> None:
        """Stores the masked entries, and deletes all that they were made of.

        They take the place of every other seal of their kind.
        """
        made = {**_NO_SECRETS, "entries": entries.encode()}
        with self._engine.begin() as connection:
            others = (SEALS.c.kind == entries.seal.kind.value) & ~_is(release)
            dead = _secrets(connection, others | _is(release))
            connection.execute(SEALS.delete().where(others))
            connection.execute(SEALS.update().where(_is(release)).values(**made))
            connection.execute(SEAL_CHUNKS.delete().where(SEAL_CHUNKS.c.release == release))
        self._keys.erase(dead)

    def add_fine_book(self, release: str, book: bytes) -> None:
        """Stores a fine seal's book in place of its entries."""
        self._update_seal(release, entries=None, book=book, book_digest=digest(book))

    def forget_fine_book(self, release: str) -> None:
        """Deletes a fine book that was counted; its digest stays, for a night that is run again."""
        self._update_seal(release, book=None)

    def end_seal(self, release: str, why: str) -> None:
        """Notes that a seal is over for good, and deletes all that was secret of it."""
        with self._engine.begin() as connection:
            dead = end_within(connection, release, why)
        self._keys.erase(dead)

    def end_unreadable(self) -> None:
        """Erases keys of secrets that are not stored, and ends seals whose secrets lost theirs.

        Those are of a store that was copied back without its folder.
        """
        with self._engine.begin() as connection:
            query = sa.select(SEALS.c.release, SEALS.c.seed, SEALS.c.one_time)
            secret = SEALS.c.seed.is_not(None) | SEALS.c.one_time.is_not(None)
            found = connection.execute(query.where(secret)).all()
            for row in found:
                if not all(self._keys.holds(one for one in row[1:] if one is not None)):
                    end_within(
                        connection, row.release, "its secrets are gone: the store was copied back"
                    )
            self._keys.erase_others(_secrets(connection, sa.true()))

    def forget_seal(self, seal: StoredSeal) -> None:
        """Deletes a seal of an earlier night, and answers to it that the office never took."""
        with self._engine.begin() as connection:
            dead = _secrets(connection, _is(seal.release))
            connection.execute(SEALS.delete().where(_is(seal.release)))
            connection.execute(SEAL_CHUNKS.delete().where(SEAL_CHUNKS.c.release == seal.release))
            if seal.signed is not None:
                forget_answers(connection, seal.signed.digest)
        self._keys.erase(dead)

    def forget_seals(self, nights: NightsLeft) -> None:
        """Deletes what was secret of seals that nights left unfinished which are over.

        The masked sum of one for bands stays for as long as its answers could be carried: until the
        office was asked whether it took them.
        """
        no_bands = SEALS.c.entries.is_(None) | (SEALS.c.kind != SealKind.BAND.value)
        unfinished = sa.select(SEALS).where(SEALS.c.night.not_in(nights.open) & no_bands)
        with self._engine.connect() as connection:
            found = [(row.night, self._stored(row)) for row in connection.execute(unfinished)]
        for night, seal in found:
            is_counted = bool(seal.book_digest) and seal.book is None
            if seal.draft.kind is SealKind.FINE and not is_counted:
                self.forget_seal(seal)
            elif not (seal.over or seal.is_sealed):
                self._forget_transfer(seal.release)
                if night not in nights.kept:
                    self.end_seal(seal.release, "its night ended long ago")

    def _forget_transfer(self, release: str) -> None:
        """Deletes all that codes are made with, and those that were picked."""
        with self._engine.begin() as connection:
            dead = _secrets(connection, _is(release))
            gone = {"seed": None, "one_time": None}
            connection.execute(SEALS.update().where(_is(release)).values(**gone))
            connection.execute(SEAL_CHUNKS.delete().where(SEAL_CHUNKS.c.release == release))
        self._keys.erase(dead)

    def _update_seal(self, release: str, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(SEALS.update().where(_is(release)).values(**values))

    def _stored(self, row: sa.Row[tuple[object, ...]]) -> StoredSeal:
        signed = aggregate = None
        if row.payload is not None:
            signed = Signed(row.payload, row.signature)
            aggregate = read_sum(SealPlan.decode(row.payload), row)
        one_time = self._opened(row, "one_time")
        return StoredSeal(
            row.release,
            SealDraft.decode(row.draft),
            self._opened(row, "seed"),
            None if one_time is None else OneTimeKey.from_bytes(one_time),
            signed,
            row.transfers,
            aggregate,
            tuple(json.loads(row.outlets)) if row.outlets else (),
            row.set_digest,
            None if row.entries is None else SealedEntries.decode(row.entries),
            row.book,
            row.book_digest or "",
            row.over or "",
        )

    def _opened(self, row: sa.Row[tuple[object, ...]], name: str) -> bytes | None:
        """A secret of a seal; None once it is dead, also where another process ends it now."""
        wrapped = row._mapping[name]  # noqa: SLF001  (SQLAlchemy's name for it)
        if wrapped is None:
            return None
        try:
            return self._keys.opened(wrapped, _place(name, row.release))
        except SecretUnreadable:
            return None


def _place(name: str, release: str) -> str:
    return f"{name} {release}"


def _secrets(connection: sa.Connection, wanted: sa.ColumnElement[bool], *names: str) -> list[bytes]:
    """The wrapped secrets of some seals: all, or those of some names."""
    columns = [SEALS.c[name] for name in names or ("seed", "one_time")]
    rows = connection.execute(sa.select(*columns).where(wanted))
    return [secret for row in rows for secret in row if secret is not None]


def end_within(connection: sa.Connection, release: str, why: str) -> list[bytes]:
    """Ends a seal within a transaction; what was wrapped of it is dead once that has ended."""
    dead = _secrets(connection, _is(release))
    connection.execute(SEALS.update().where(_is(release)).values(**_NO_SECRETS, over=why))
    connection.execute(SEAL_CHUNKS.delete().where(SEAL_CHUNKS.c.release == release))
    return dead


def _is(release: str) -> sa.ColumnElement[bool]:
    return SEALS.c.release == release
