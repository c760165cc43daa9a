"""Seals in the office's store: how far each is, what must die with it, and what was chosen.

States of a seal, each step durable before the next:

    signed    plan, the transfers' second message, keys and secrets, wrapped  -> stored, or over
    stored    the set's digest and its seeds, wrapped; the HPKE key deleted   -> chunk by chunk
              a chunk: the digest of its choices; then that their check was
              passed. One at a time, in order, each of one vector of choices
              for good
    closed    by HQ         } over: secrets and seeds deleted, the vault's key
    failed    a check did   } renewed within the same transaction. It failed too where its key is
    expired   its plan did  } gone, or another directory was countersigned since

A seal is **open** until it is over, and one is at a time. It is **complete** if it was closed, or
expired, with every chunk passed: only then is there a book of it, and only then is it the parent of
its night's next release. A seal counts from when its set was stored.

Why one chunk at a time: a cheating choice passes its check where HQ guessed a bit of the transfers'
secret, and one that fails ends the seal. Were chunks, or two choices for one, checked beside each
other, HQ would learn a bit from each before the first failure is stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.books import Seal
from privacy.errors import PlanRefused
from privacy.plans import Signed
from privacy.seal_plans import SealKind, SealPlan
from server.office.retention import check_kept
from server.office.tables import (
    BAND_TERMS,
    FINE_TERMS,
    RELEASES,
    SEAL_CHUNKS,
    SEALED_OUTLETS,
    SEALS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class SealState(StrEnum):
    """How far a seal is."""

    SIGNED = "signed"
    STORED = "stored"
    CLOSED = "closed"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A seal as the office knows it; see the module's table of states.

    Attributes:
        signed: Its plan.
        plan: The same, read.
        state: How far it is.
        transfers: The second message of the base transfers.
        set_digest: Of the set that was stored; None before.
        secrets: What is wrapped of `key`, `secrets` and `seeds`, by name.
    """

    signed: Signed
    plan: SealPlan
    state: SealState
    transfers: bytes
    set_digest: str | None
    secrets: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CompleteSeal:
    """A seal that a book may be made of.

    Attributes:
        seal: What the book's header has to say of it.
        at: When its set was stored, in Unix seconds.
    """

    seal: Seal
    at: int


@dataclass(frozen=True, slots=True)
class BandTerms:
    """What parts are computed with, and where bands begin.

    Attributes:
        scorecard: Digest of the scorecards.
        cuts: Of each score.
        since: When they were stored first, in Unix seconds.
        calibrated: Whether a calibration was answered since.
    """

    scorecard: str
    cuts: tuple[tuple[int, ...], ...]
    since: int
    calibrated: bool


@dataclass(frozen=True, slots=True)
class FineTerms:
    """What is calibrated.

    Attributes:
        scorecard: Digest of the scorecards.
        since: When a set for them was stored first, in Unix seconds.
    """

    scorecard: str
    since: int


_WITH_RELEASE = sa.join(SEALS, RELEASES, SEALS.c.plan == RELEASES.c.digest)
_OPEN = SEALS.c.secrets.is_not(None)


@dataclass(frozen=True, slots=True)
class SealStore:
    """The seals within one transaction of the office's store."""

    connection: sa.Connection

    def find(self, *, name: str = "", digest: str = "") -> StoredSeal | None:
        """A seal by its release's name or its plan's digest; None if there is none.

        Raises:
            PlanRefused: If it was over for so long that its plan was deleted.
        """
        mine = RELEASES.c.release == name if name else RELEASES.c.digest == digest
        return self._one(mine)

    def find_open(self) -> StoredSeal | None:
        """The seal that is open."""
        return self._one(_OPEN)

    def add(self, plan: SealPlan, signed: Signed, transfers: bytes, **secrets: bytes) -> None:
        """Stores a signed plan, beside its row among releases, with its key and secrets wrapped."""
        row = {"plan": signed.digest, "kind": plan.kind.value, "state": SealState.SIGNED.value}
        self.connection.execute(SEALS.insert().values(**row, transfers=transfers, **secrets))

    def store_set(self, digest: str, set_digest: str, seeds: bytes, at: int) -> None:
        """Binds a seal to its set for good, and deletes the key that opened its seeds."""
        self.connection.execute(
            RELEASES.update().where(RELEASES.c.digest == digest).values(set_digest=set_digest)
        )
        self._update(digest, state=SealState.STORED.value, key=None, seeds=seeds, set_at=at)

    def take_choices(self, digest: str, chunk: int, choices: str) -> None:
        """Stores the digest of a chunk's choices, before anything is checked or made of them.

        Raises:
            PlanRefused: If others were stored for it, or one before it was not passed yet.
        """
        mine = (SEAL_CHUNKS.c.plan == digest) & (SEAL_CHUNKS.c.chunk == chunk)
        before = self.connection.scalar(sa.select(SEAL_CHUNKS.c.choices).where(mine))
        if before not in (None, choices):
            raise PlanRefused(f"chunk {chunk}: got other choices than before; send those again")
        passed = len(self._passed(digest))
        if before is None and chunk != passed:
            raise PlanRefused(f"chunk {chunk}: expected {passed}; each after the one before")
        if before is None:
            row = {"plan": digest, "chunk": chunk, "choices": choices}
            self.connection.execute(SEAL_CHUNKS.insert().values(**row, verified=False))

    def pass_chunk(self, digest: str, chunk: int) -> None:
        """Stores that the check of a chunk's choices was passed."""
        mine = (SEAL_CHUNKS.c.plan == digest) & (SEAL_CHUNKS.c.chunk == chunk)
        self.connection.execute(SEAL_CHUNKS.update().where(mine).values(verified=True))

    def end(self, digest: str, state: SealState) -> bool:
        """Ends a seal that is open: deletes its secrets; tells whether it was."""
        seal = self._one((SEALS.c.plan == digest) & _OPEN)
        if seal is None:
            return False
        self._update(digest, state=state.value, key=None, secrets=None, seeds=None)
        if state is not SealState.FAILED and len(self._passed(digest)) == seal.plan.chunks:
            mine = RELEASES.c.digest == digest
            self.connection.execute(RELEASES.update().where(mine).values(answer=b""))
        return True

    def complete(self, digest: str) -> CompleteSeal | None:
        """A seal that is complete; None if there is none such."""
        kept = sa.func.length(RELEASES.c.payload) > 0
        seal = self._one((RELEASES.c.digest == digest) & RELEASES.c.answer.is_not(None) & kept)
        if seal is None or seal.set_digest is None:
            return None
        at = self.connection.scalar(sa.select(SEALS.c.set_at).where(SEALS.c.plan == digest)) or 0
        made = Seal.of(seal.plan, digest, seal.set_digest, self._passed(digest))
        return CompleteSeal(made, at)

    def count(self, kind: SealKind, since: int) -> int:
        """How many seals of a kind had their set stored after a moment."""
        mine = (SEALS.c.kind == kind.value) & (SEALS.c.set_at > since)
        return int(self.connection.scalar(sa.select(sa.func.count()).where(mine)) or 0)

    def terms(self) -> BandTerms | None:
        """The terms of seals for bands; None before the first set for bands was stored."""
        row = self.connection.execute(sa.select(BAND_TERMS)).one_or_none()
        if row is None:
            return None
        cuts = tuple(map(tuple, json.loads(row.cuts)))
        return BandTerms(row.scorecard, cuts, row.since, row.calibrated)

    def fine_terms(self) -> FineTerms | None:
        """The terms of seals for calibration; None before the first set for one was stored."""
        row = self.connection.execute(sa.select(FINE_TERMS)).one_or_none()
        return None if row is None else FineTerms(row.scorecard, row.since)

    def keep_terms(self, plan: SealPlan, at: int) -> None:
        """Remembers the terms of a seal, if they are others than before."""
        if plan.kind is SealKind.FINE:
            fine = self.fine_terms()
            if fine is None or fine.scorecard != plan.scorecard:
                self.connection.execute(FINE_TERMS.delete())
                row = {"scorecard": plan.scorecard, "since": at}
                self.connection.execute(FINE_TERMS.insert().values(**row))
            return
        before = self.terms()
        if before is not None and (before.scorecard, before.cuts) == (plan.scorecard, plan.cuts):
            return
        self.connection.execute(BAND_TERMS.delete())
        row = {"cuts": json.dumps(plan.cuts), "since": at, "calibrated": False}
        self.connection.execute(BAND_TERMS.insert().values(**row, scorecard=plan.scorecard))

    def note_calibration(self) -> None:
        """Remembers that a calibration was answered."""
        self.connection.execute(BAND_TERMS.update().values(calibrated=True))

    def outlets(self) -> frozenset[str]:
        """Who was ever in the set of a seal."""
        return frozenset(self.connection.scalars(sa.select(SEALED_OUTLETS.c.outlet)))

    def keep_outlets(self, names: Collection[str]) -> None:
        """Remembers for good who is in the set of a seal."""
        rows = [{"outlet": name} for name in set(names) - self.outlets()]
        if rows:
            self.connection.execute(SEALED_OUTLETS.insert(), rows)

    def _one(self, wanted: sa.ColumnElement[bool]) -> StoredSeal | None:
        query = sa.select(RELEASES, SEALS).select_from(_WITH_RELEASE).where(wanted)
        row = self.connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        check_kept(row[RELEASES.c.payload], f"release {row[RELEASES.c.release]}")
        wrapped = {name: row[SEALS.c[name]] for name in ("key", "secrets", "seeds")}
        return StoredSeal(
            Signed(row[RELEASES.c.payload], row[RELEASES.c.signature]),
            SealPlan.decode(row[RELEASES.c.payload]),
            SealState(row[SEALS.c.state]),
            row[SEALS.c.transfers],
            row[RELEASES.c.set_digest],
            {name: secret for name, secret in wrapped.items() if secret is not None},
        )

    def _passed(self, digest: str) -> list[str]:
        """The digests of the choices of a seal's chunks that passed, in order."""
        mine = (SEAL_CHUNKS.c.plan == digest) & SEAL_CHUNKS.c.verified
        query = sa.select(SEAL_CHUNKS.c.choices).where(mine).order_by(SEAL_CHUNKS.c.chunk)
        return list(self.connection.scalars(query))

    def _update(self, digest: str, **values: object) -> None:
        self.connection.execute(SEALS.update().where(SEALS.c.plan == digest).values(**values))
