"""Sealing: one seal top to bottom, from HQ's draft to the masked entries of a book.

    draft, seed and one-time key -> plan -> answers -> masked sum -> set -> chunk by chunk: choices,
    tables, codes -> closed at the office -> entries

What is durable before which step says `seal_store`. A seal that was interrupted is taken up where
it stood, with the same bytes to the office and no question to an outlet that answered.

Invariant: nothing of a sum or code is logged; and once a seal came to its end, or is over, HQ has
neither its masked sum nor its seed, codes and one-time key.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from privacy.books import Seal
from privacy.envelopes import digest
from privacy.errors import PrivacyError, ReleaseClosed
from privacy.oblivious_transfer import TransferFailed
from privacy.purposes import Purpose
from privacy.seal_plans import SealDraft, SealKind, SealPlan
from privacy.sealing import Receiver, fresh_seed
from privacy.slot_keys import OneTimeKey
from server.hq.errors import AnotherNight
from server.hq.seal_sets import OpenSeal, SealSets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.books import SealedEntries
    from privacy.sealed_tables import Codes
    from privacy.sealing import Shares
    from server.hq.combine import Combiner
    from server.hq.known_slots import KnownSlots
    from server.hq.privacy_office import PrivacyOffice
    from server.hq.seal_store import StoredChunk, StoredSeal
    from server.hq.store import HqStore

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SealAsk:
    """What is to be sealed.

    Attributes:
        kind: For bands, or for calibration.
        scorecards: Encoded; what parts are computed with.
        cuts: Of bands where each score's begin; of fine bins each score's middle alone.
        as_of: The last day that parts may see, ISO 8601.
    """

    kind: SealKind
    scorecards: bytes
    cuts: tuple[tuple[int, ...], ...]
    as_of: str


@dataclass(frozen=True, slots=True)
class Sealing:
    """Makes a night's seals.

    Attributes:
        combiner: Asks outlets, names releases, and has the store and the office.
        slots: What HQ knows of tonight's slots.
    """

    combiner: Combiner
    slots: KnownSlots

    def seal(self, ask: SealAsk) -> StoredSeal:
        """Makes a seal, or reads one that came to its end.

        Raises:
            QuorumNotMet: If fewer outlets than the quorum gave an answer that verifies.
            TransferFailed: If the office's part does not verify: it is over for good.
            ReleaseClosed: If it is over.
            PrivacyError: If the office refuses.
        """
        began = time.monotonic()
        release = self.combiner.begin(Purpose.POINTS)
        stored = self._drafted(release, ask)
        if not stored.is_sealed:
            try:
                self._finish(stored, ask)
            except (TransferFailed, ReleaseClosed) as refusal:
                self._store.end_seal(release, str(refusal))
                raise
        self.combiner.end(release, began)
        return self._stored(release)

    def _finish(self, stored: StoredSeal, ask: SealAsk) -> None:
        """Goes on from where the seal stands, to its entries."""
        opened = self._planned(stored)
        set_digest = stored.set_digest or self._sets.taken(opened, stored.aggregate, ask.scorecards)
        chunks = self._picked(opened, set_digest)
        self._office.close_seal(opened.signed.digest)
        self._store.add_entries(stored.release, self._masked(opened, set_digest, chunks))

    # --- draft and plan ------------------------------------------------------------------------

    def _drafted(self, release: str, ask: SealAsk) -> StoredSeal:
        """The seal as it is stored; drafted first, with fresh secrets, where it is not.

        Raises:
            AnotherNight: If what is stored was asked with other parameters.
            ReleaseClosed: If it is over.
        """
        stored = self._store.seal(release)
        if stored is None:
            self._settle_others()
            seed, one_time = fresh_seed(), OneTimeKey.generate()
            keys = one_time.public.hex(), Receiver.first_message(seed).hex()
            draft = self._draft(release, ask, *keys)
            self._store.add_draft(self.combiner.name, draft, seed, one_time)
            stored = self._stored(release)
        before = stored.draft
        if not before.same_draft(self._draft(release, ask, before.hq_key, before.transfer_key)):
            raise AnotherNight(release)
        if stored.over:
            raise ReleaseClosed(stored.over)
        return stored

    def _draft(self, release: str, ask: SealAsk, hq_key: str, transfer_key: str) -> SealDraft:
        return SealDraft(
            release=release,
            night=self.combiner.night.digest,
            parent=self.combiner.parent,
            kind=ask.kind,
            slots=len(self.slots.keys),
            scores=len(ask.cuts),
            cuts=ask.cuts,
            quorum=self.combiner.quorum,
            scorecard=digest(ask.scorecards),
            directory=self.combiner.directory,
            as_of=ask.as_of,
            hq_key=hq_key,
            transfer_key=transfer_key,
        )

    def _settle_others(self) -> None:
        """Ends what other nights left unfinished, and learns whether the office took their sets.

        Closed first, so that no set is taken now that was not before.
        """
        for seal in self._store.leftover_seals(self.combiner.name):
            try:
                if not seal.is_sealed:
                    self._settle(seal)
            except PrivacyError as refusal:  # the office took no set, and now it never will
                _LOG.info("%s: left unfinished (%s)", seal.release, type(refusal).__name__)
            self._store.forget_seal(seal)
        self._store.forget_old_answers(self.combiner.clock())

    def _settle(self, seal: StoredSeal) -> None:
        signed = seal.signed or self._office.sign_seal(seal.draft)[0]
        self._office.close_seal(signed.digest)
        if seal.aggregate is not None and seal.set_digest is None:
            self._sets.show(signed.digest, seal.aggregate)

    def _planned(self, stored: StoredSeal) -> OpenSeal:
        """The seal with the office's plan.

        Raises:
            AnotherNight: If the office signed another draft.
        """
        signed, transfers = stored.signed, stored.transfers
        if signed is None or transfers is None:
            signed, transfers = self._office.sign_seal(stored.draft)
            if not stored.draft.same_draft(SealPlan.decode(signed.payload)):
                raise AnotherNight(stored.release)
            self._store.add_seal_plan(stored.release, signed, transfers)
        return OpenSeal(SealPlan.decode(signed.payload), signed, transfers)

    # --- codes and entries ---------------------------------------------------------------------

    def _picked(self, opened: OpenSeal, set_digest: str) -> list[StoredChunk]:
        """All chunks with their codes, the missing ones picked now."""
        plan, release = opened.plan, opened.plan.release
        done = [chunk for chunk in self._chunks(plan) if chunk.codes is not None]
        if len(done) == plan.chunks:
            return done
        stored = self._stored(release)
        if stored.seed is None or stored.aggregate is None:
            raise ReleaseClosed(f"release {release}: what it is made of is gone; it is over")
        shares = stored.aggregate.shares()
        receiver = Receiver.of(
            plan, opened.signed.digest, set_digest, stored.seed, opened.transfers
        )
        for chunk in range(len(done), plan.chunks):
            places = plan.places(chunk)
            codes = self._codes(receiver, chunk, shares[places.start : places.stop])
            self._store.add_codes(release, chunk, codes, last=chunk + 1 == plan.chunks)
            _LOG.info("%s: chunk %d of %d", release, chunk + 1, plan.chunks)
        return self._chunks(plan)

    def _codes(self, receiver: Receiver, chunk: int, sums: Shares) -> Codes:
        """Picks one chunk's codes; the digest of the choices is stored before they are sent."""
        choices, rows = receiver.choose(chunk, sums)
        self._store.add_choices(receiver.plan.release, chunk, choices.digest)
        hidden = bytearray()
        for part in self._office.seal_chunk(receiver.digest, chunk, choices.encode()):
            hidden += part
            if len(hidden) > receiver.hidden_bytes(len(sums)):
                raise TransferFailed(
                    f"release {receiver.plan.release}: the office sends more tables than there "
                    "are; it is over for good"
                )
        return receiver.pick(rows, sums, bytes(hidden))

    def _masked(
        self, opened: OpenSeal, set_digest: str, chunks: Sequence[StoredChunk]
    ) -> SealedEntries:
        """The entries: HQ's masks over the codes, which are under the office's pads."""
        plan, one_time = opened.plan, self._stored(opened.plan.release).one_time
        if one_time is None:
            raise ReleaseClosed(f"release {plan.release}: HQ's key of it is gone; it is over")
        made = Seal.of(plan, opened.signed.digest, set_digest, [one.choices for one in chunks])
        codes = np.concatenate([one.codes for one in chunks if one.codes is not None])
        slots = self.slots
        nonces = slots.nonces if plan.kind is SealKind.FINE else None
        return made.masked(codes, slots.marked, slots.keys, one_time, nonces)

    def _chunks(self, plan: SealPlan) -> list[StoredChunk]:
        return self._store.chunks(plan.release, len(plan.tables()))

    def _stored(self, release: str) -> StoredSeal:
        found = self._store.seal(release)
        if found is None:
            raise AnotherNight(release)
        return found

    @property
    def _sets(self) -> SealSets:
        return SealSets(self.combiner)

    @property
    def _store(self) -> HqStore:
        return self.combiner.store

    @property
    def _office(self) -> PrivacyOffice:
        return self.combiner.office
