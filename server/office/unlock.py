"""The office: signs what a night may ask, and takes the masks off sums it has charged for.

Invariant: nothing is unlocked that was not planned, signed, and charged; each release is charged
at most once and answered for one set of outlets only. The order is charge, draw, store, send, each
durable, so that a kill between any two neither loses nor repeats a charge. The masks of a seal are
never taken off: see `sealing`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from privacy.budget import LedgerForked
from privacy.envelopes import SealKey
from privacy.errors import AnswerRefused, PlanRefused
from privacy.fixed_point import Residues, ring_type
from privacy.ledger_copies import went_back
from privacy.noise import DiscreteGaussian
from privacy.outlet_blocks import SumBlocks
from privacy.plans import NightPlan, ReleasePlan, sign
from privacy.purposes import Purpose
from privacy.seal_plans import is_seal_plan
from privacy.two_key_sum import KeptSeed, digest_of_set, open_seed, sum_of_masks
from server.office.clock import seconds_ahead, set_right
from server.office.seal_store import SealState
from server.office.sealing import Sealing
from server.office.set_rules import check_blocks, check_set
from server.office.signing_rules import DayKind, check_days, check_draft, check_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Set

    from privacy.budget import LedgerEntry, LedgerPosition
    from privacy.directory import Directory
    from privacy.envelopes import SigningKey, VerifyKey
    from privacy.plans import PlannedReleases, ReleaseDraft, Signed
    from privacy.seal_plans import SealDraft
    from privacy.two_key_sum import Carried, Envelope
    from server.office.ledger_store import OfficeStore, StoredRelease, Transaction
    from server.office.settings import OfficeSettings
    from server.office.vault import Vault


@dataclass(frozen=True, slots=True)
class Office:
    """The privacy office, as a library.

    Attributes:
        settings: What the data-protection officer decided.
        store: Ledger, plans, keys, answers.
        key: Signs plans; outlets and HQ pin its public half.
        outlets: The office's *own* list of outlets and their signing keys.
        clock: Unix seconds.
        directory: Gives the digest of the directory that was countersigned last; "" before any.
        listed: Gives that directory whole; an empty one before any.
        vault: Wraps what must die with a seal.
        clock_was_ahead: Whether an operator said that the ledger's last moments are wrong.
        clock_is_set: Called once the ledger's clock is set back.
    """

    settings: OfficeSettings
    store: OfficeStore
    key: SigningKey
    outlets: Mapping[str, VerifyKey]
    clock: Callable[[], float]
    directory: Callable[[], str]
    listed: Callable[[], Directory]
    vault: Vault
    clock_was_ahead: Callable[[], bool] = lambda: False
    clock_is_set: Callable[[], None] = lambda: None

    def sign_night(self, night: str, cut_off: str, lines: Sequence[PlannedReleases]) -> Signed:
        """Signs a night plan and reserves its cost. The same request again gets the same plan.

        Args:
            night: The night's name, used once.
            cut_off: ISO 8601 date.
            lines: What the night may release.

        Raises:
            BudgetExceeded: If a line costs more than what remains for its purpose.
            PlanRefused: If the night was signed with another content, plans sums without noise, or
                has a cut-off that is not near its day.
        """
        at = self._begin()
        with self.store.transaction() as transaction:
            known = transaction.night(name=night)
            if known is not None:
                plan = NightPlan.decode(known[0].payload)
                if (plan.cut_off, plan.releases) != (cut_off, tuple(lines)):
                    raise PlanRefused(f"night {night}: signed before with another content")
                return known[0]
            check_lines(self.settings, night, lines)
            check_days(transaction, self.settings, f"night {night}", DayKind.CUT_OFF, cut_off, at)
            opened = (line for line in lines if line.purpose is not Purpose.POINTS)
            costs = {line.purpose: line.total for line in opened}
            after = transaction.ledger().reserve(night, costs, at)
            expires = at + self.settings.night_hours * 3600
            plan = NightPlan(night, cut_off, tuple(lines), after.length, after.head, expires)
            signed = sign(plan, self.key)
            transaction.append(after)
            transaction.add_night(night, signed, expires)
            transaction.keep_day(DayKind.CUT_OFF, cut_off)
            return signed

    def sign_release(self, draft: ReleaseDraft) -> Signed:
        """Signs a release plan with a fresh one-time key. The same draft again gets the same plan.

        Raises:
            PlanRefused: If the draft is outside its night plan, the night's chain of releases, its
                directory, its days, or the office's floors.
        """
        at = self._begin()
        with self.store.transaction() as transaction:
            known = transaction.release(name=draft.release)
            if known is not None:
                return self._known_plan(known, draft)
            countersigned = self.directory()
            check_draft(transaction, self.settings, len(self.outlets), countersigned, draft, at)
            key = SealKey.generate()
            expires = at + self.settings.release_minutes * 60
            plan = ReleasePlan(**asdict(draft), key=key.public.hex(), expires=expires)
            signed = sign(plan, self.key)
            transaction.add_release(
                release=draft.release,
                night=draft.night,
                purpose=draft.purpose,
                directory=draft.directory,
                signed=signed,
                expires=expires,
                key=key,
            )
            transaction.keep_day(DayKind.CUT_OFF, draft.as_of)
            return signed

    def unlock(self, plan_digest: str, envelopes: Sequence[Envelope]) -> bytes:
        """Answers with the sum of masks of a set of outlets, less the office's own noise.

        Args:
            plan_digest: Names the release plan.
            envelopes: One per outlet that answered it.

        Returns:
            Little-endian residues[d], the same bytes whenever the same request is made.

        Raises:
            PlanRefused: If the plan is not the office's own, is a seal's, or has expired.
            AnswerRefused: If the set is too small, names an outlet twice or one that is not on the
                list, does not verify, differs from the set that was charged, or would with other
                sets of the year tell fewer outlets apart than the quorum.
            BudgetExceeded: If the ledger does not hold the cost.
        """
        at = self._begin()
        set_digest = digest_of_set(envelopes, ())
        with self.store.transaction() as transaction:
            stored = self._find(transaction, plan_digest)
        if is_seal_plan(stored.signed.payload):
            raise PlanRefused(f"release {stored.release}: a seal; its sums are opened for nobody")
        plan = ReleasePlan.decode(stored.signed.payload)
        if stored.set_digest not in (None, set_digest):
            raise AnswerRefused(
                f"release {plan.release}: charged before for another set of answers"
            )
        if stored.answer is not None:
            return stored.answer
        if stored.key is None or (stored.set_digest is None and at >= plan.expires):
            raise PlanRefused(f"release {plan.release}: expired; its key is deleted")
        check_set(plan, plan_digest, self.settings.minimum_outlets, self.outlets, envelopes)
        seeds = [open_seed(envelope, plan_digest, stored.key) for envelope in envelopes]
        masks = sum_of_masks(plan, (KeptSeed(seed, plan.dimension) for seed in seeds))

        self._charge(plan, set_digest, {one.outlet for one in envelopes}, at)
        answer = masks - self._draw(plan)
        return self._store_answer(plan, answer.tobytes())

    def sum_blocks(self) -> SumBlocks:
        """Which outlets sums tell together only, of those that were opened in the last year."""
        at = self._begin()
        with self.store.transaction() as transaction:
            sets = transaction.sum_sets
            blocks, admitted = sets.blocks(self.outlets.keys(), at), sets.admitted(at)
        return SumBlocks(self.settings.minimum_outlets, tuple(blocks), admitted)

    def sign_seal(self, draft: SealDraft) -> tuple[Signed, bytes]:
        """Signs a seal plan with fresh keys. The same draft again gets the same bytes.

        Returns:
            The plan, and the office's answer to the first message of the base transfers.

        Raises:
            PlanRefused: If the draft is outside the protocol's constants, its night plan, the
                night's chain of releases, the last directory, its days, or the office's limits, or
                another seal is open.
            ReleaseClosed: If it was signed before and can become no book any more.
        """
        return self._sealing.sign(draft, self._begin())

    def store_set(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
    ) -> str:
        """Takes the one set of answers that a seal is made of, and counts the seal.

        Args:
            plan_digest: Names the seal plan.
            envelopes: One per outlet that answered it.
            carried: Of a seal for bands, outlets that are absent and count with their last answer:
                all that are on the office's list and can be carried.

        Returns:
            The set's digest; the same set gets it again, also when the seal is over.

        Raises:
            PlanRefused: If the plan is not the office's own.
            ReleaseClosed: If the seal is over without a set.
            AnswerRefused: If the set is too small, leaves out an outlet that can be carried or more
                than a quarter of those of earlier seals, names one twice or one that is not on the
                list, does not verify, or differs from the set that was stored. It names who is at
                fault, and nothing is stored.
        """
        return self._sealing.store_set(plan_digest, envelopes, carried, self._begin())

    def seal_chunk(self, plan_digest: str, chunk: int, choices: bytes) -> Iterator[bytes]:
        """Checks HQ's choices of the next chunk, and makes its hidden tables.

        Args:
            plan_digest: Names the seal plan.
            chunk: Which; each after the one before.
            choices: `Choices.encode()`; the same again get the same bytes.

        Returns:
            The tables, one kind after another, a piece at a time; zeros of blank slots.

        Raises:
            PlanRefused: If the plan is not the office's own, has no such chunk, or its set is not
                stored; or the chunk is not the next, or had other choices.
            ReleaseClosed: If the seal is over, or another directory was countersigned since.
            AnswerRefused: If it had other choices before the store was copied back.
            InvalidParameter: If the choices are of another length than the chunk's.
            TransferFailed: If they are not one vector; the seal is over then, for good.
        """
        self._begin()
        return self._sealing.chunk(plan_digest, chunk, choices)

    def close_seal(self, plan_digest: str) -> None:
        """Ends a seal: its keys and secrets are deleted. One that is over stays as it is.

        Raises:
            PlanRefused: If the plan is not the office's own.
        """
        self._begin()
        self._sealing.end(plan_digest, SealState.CLOSED)

    def tidy(self) -> None:
        """Deletes keys and seeds of what is over; so that nothing waits for a call.

        The ledger stays as it is: by a clock that nobody else confirmed nothing is entered.
        """
        with self.store.transaction() as transaction:
            self._delete_expired(transaction, int(self.clock()))

    def check_history(self, known: LedgerPosition) -> None:
        """Refuses to go on with a ledger that does not go on from HQ's copy; nothing is entered.

        Raises:
            LedgerForked: If it does not.
        """
        ledger = self.store.ledger()
        if known.length == 0:
            return
        entries = ledger.since(known.length - 1)
        if not entries or entries[0].digest != known.head:
            raise LedgerForked(went_back(known))

    def entries(self, after: int) -> Sequence[LedgerEntry]:
        """The ledger's entries after the first so many; none where there are no more."""
        return self.store.ledger().since(after)

    def close_night(self, night: str) -> None:
        """Ends a night: what it reserved and did not charge becomes available again."""
        at = self._begin()
        with self.store.transaction() as transaction:
            transaction.append(transaction.ledger().close(night, at))
            transaction.close_night(night, at)

    @property
    def _sealing(self) -> Sealing:
        return Sealing(
            self.settings,
            self.store,
            self.key,
            self.outlets,
            self.directory,
            self.listed,
            self.vault,
        )

    def _charge(self, plan: ReleasePlan, set_digest: str, outlets: Set[str], at: int) -> None:
        """Charges a release to its night, once, and binds it to its set."""
        with self.store.transaction() as transaction:
            stored = transaction.release(name=plan.release)
            if stored is not None and stored.set_digest is not None:
                if stored.set_digest != set_digest:
                    raise AnswerRefused(
                        f"release {plan.release}: charged before for another set of answers"
                    )
                return
            minimum = self.settings.minimum_outlets
            check_blocks(transaction, plan, outlets, self.outlets.keys(), minimum, at)
            night = _night_name(transaction, plan)
            after = transaction.ledger().charge(night, plan.release, plan.purpose, plan.rho(), at)
            transaction.append(after)
            transaction.mark_charged(plan.release, set_digest)
            transaction.sum_sets.keep(outlets, at)

    def _draw(self, plan: ReleasePlan) -> Residues:
        """The office's own noise, as residues; zeros only for a plan that carries none."""
        if plan.noise_scale == 0:
            return np.zeros(plan.dimension, dtype=ring_type(plan.ring_bits))
        noise = DiscreteGaussian(plan.noise_scale).draw(plan.dimension)
        return noise.astype(ring_type(plan.ring_bits))

    def _store_answer(self, plan: ReleasePlan, answer: bytes) -> bytes:
        """Stores an answer; where another call was faster, its answer is the one that counts."""
        with self.store.transaction() as transaction:
            stored = transaction.release(name=plan.release)
            if stored is not None and stored.answer is not None:
                return stored.answer
            transaction.mark_answered(plan.release, answer)
            if plan.purpose is Purpose.CALIBRATION:
                transaction.seals.note_calibration()
        return answer

    def _known_plan(self, known: StoredRelease, draft: ReleaseDraft) -> Signed:
        plan = ReleasePlan.decode(known.signed.payload)
        if not draft.same_draft(plan):
            raise PlanRefused(f"release {draft.release}: signed before with another content")
        return known.signed

    def _find(self, transaction: Transaction, plan_digest: str) -> StoredRelease:
        stored = transaction.release(digest=plan_digest)
        if stored is None:
            raise PlanRefused("unlock: this plan was not signed here")
        return stored

    def _tidy(self, transaction: Transaction, at: int) -> None:
        """Closes what is over, and deletes keys and seeds that must not be used any more."""
        self._delete_expired(transaction, at)
        ledger = transaction.ledger()
        for night in transaction.expired_nights(ledger.open_nights(), at):
            ledger = ledger.close(night, at)
        transaction.append(ledger)

    def _begin(self) -> int:
        """Now, after what is over was tidied away; never before the ledger's last entry or seal.

        Raises:
            LedgerAhead: If that entry is of a moment that is yet to come.
        """
        now = int(self.clock())
        with self.store.transaction() as transaction:
            confirmed = self.clock_was_ahead()
            set_right(transaction, now, confirmed=confirmed)
            at = now + seconds_ahead(transaction, now)
            self._tidy(transaction, at)
        if confirmed:
            self.clock_is_set()
        return at

    def _delete_expired(self, transaction: Transaction, at: int) -> None:
        transaction.delete_expired_keys(at)
        transaction.seeds.delete_old(at)
        self._sealing.tidy(transaction, at)


def _night_name(transaction: Transaction, plan: ReleasePlan) -> str:
    known = transaction.night(digest=plan.night)
    if known is None:
        raise PlanRefused(f"release {plan.release}: its night was not planned here")
    return NightPlan.decode(known[0].payload).night
