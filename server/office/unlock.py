"""The office: signs what a night may ask, and takes the masks off sums it has charged for.

Invariant: nothing is unlocked that was not planned, signed, and charged; each release is charged
at most once and answered for one set of outlets only. The order is charge, draw, store, send, each
durable, so that a kill between any two neither loses nor repeats a charge.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from privacy.envelopes import OneTimeKey, SigningKey, VerifyKey, digest, frame
from privacy.errors import AnswerRefused, PlanRefused
from privacy.fixed_point import Residues, ring_type
from privacy.loss import Rho
from privacy.noise import DiscreteGaussian
from privacy.plans import NightPlan, PlannedReleases, ReleaseDraft, ReleasePlan, Signed, sign
from privacy.two_key_sum import Envelope, sum_of_masks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.office.ledger_store import OfficeStore, StoredRelease, Transaction
    from server.office.settings import OfficeSettings


@dataclass(frozen=True, slots=True)
class Office:
    """The privacy office, as a library.

    Attributes:
        settings: What the data-protection officer decided.
        store: Ledger, plans, keys, answers.
        key: Signs plans; outlets and HQ pin its public half.
        outlets: The office's *own* list of outlets and their signing keys.
        clock: Unix seconds.
    """

    settings: OfficeSettings
    store: OfficeStore
    key: SigningKey
    outlets: Mapping[str, VerifyKey]
    clock: Callable[[], float]

    def sign_night(self, night: str, cut_off: str, lines: Sequence[PlannedReleases]) -> Signed:
        """Signs a night plan and reserves its cost. The same request again gets the same plan.

        Args:
            night: The night's name, used once.
            cut_off: ISO 8601 date.
            lines: What the night may release.

        Raises:
            BudgetExceeded: If a line costs more than what remains for its purpose.
            PlanRefused: If the night was signed with another content, or plans without noise.
        """
        at = self._begin()
        with self.store.transaction() as transaction:
            known = transaction.night(name=night)
            if known is not None:
                plan = NightPlan.decode(known[0].payload)
                if (plan.cut_off, plan.releases) != (cut_off, tuple(lines)):
                    raise PlanRefused(f"night {night}: signed before with another content")
                return known[0]
            for line in lines:
                if line.rho is None and line.purpose not in self.settings.noiseless:
                    raise PlanRefused(
                        f"night {night}: releases without noise exist in the sandbox only"
                    )
            before = transaction.ledger()
            after = before.reserve(night, {line.purpose: line.total for line in lines}, at)
            expires = at + self.settings.night_hours * 3600
            length = len(after.entries)
            plan = NightPlan(night, cut_off, tuple(lines), length, after.head, expires)
            signed = sign(plan, self.key)
            transaction.append(before, after)
            transaction.add_night(night, signed, expires)
            return signed

    def sign_release(self, draft: ReleaseDraft) -> Signed:
        """Signs a release plan with a fresh one-time key. The same draft again gets the same plan.

        Raises:
            PlanRefused: If the draft is outside its night plan, the night's chain of releases, its
                directory, or the office's floors.
        """
        at = self._begin()
        with self.store.transaction() as transaction:
            known = transaction.release(name=draft.release)
            if known is not None:
                return self._known_plan(known, draft)
            self._check_draft(transaction, draft, at)
            key = OneTimeKey.generate()
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
            return signed

    def unlock(self, plan_digest: str, envelopes: Sequence[Envelope]) -> bytes:
        """Answers with the sum of masks of a set of outlets, less the office's own noise.

        Args:
            plan_digest: Names the release plan.
            envelopes: One per outlet in HQ's sum.

        Returns:
            Little-endian residues[d], the same bytes whenever the same request is made.

        Raises:
            PlanRefused: If the plan is not the office's own or has expired.
            AnswerRefused: If the set is too small, names an outlet twice or one that is not on the
                list, does not verify, or differs from the set that was charged.
            BudgetExceeded: If the ledger does not hold the cost.
        """
        at = self._begin()
        set_digest = _digest_of_set(envelopes)
        with self.store.transaction() as transaction:
            stored = self._find(transaction, plan_digest)
        plan = ReleasePlan.decode(stored.signed.payload)
        if stored.set_digest not in (None, set_digest):
            raise AnswerRefused(
                f"release {plan.release}: charged before for another set of answers"
            )
        if stored.answer is not None:
            return stored.answer
        if stored.key is None or (stored.set_digest is None and at >= plan.expires):
            raise PlanRefused(f"release {plan.release}: expired; its key is deleted")
        self._check_set(plan, plan_digest, envelopes)
        masks = sum_of_masks(envelopes, plan, plan_digest, stored.key)

        self._charge(plan, set_digest, at)
        answer = masks - self._draw(plan)
        return self._store_answer(plan, answer.tobytes())

    def close_night(self, night: str) -> None:
        """Ends a night: what it reserved and did not charge becomes available again."""
        at = self._begin()
        with self.store.transaction() as transaction:
            before = transaction.ledger()
            transaction.append(before, before.close(night, at))

    def _charge(self, plan: ReleasePlan, set_digest: str, at: int) -> None:
        """Charges a release to its night, once, and binds it to its set."""
        with self.store.transaction() as transaction:
            stored = transaction.release(name=plan.release)
            if stored is not None and stored.set_digest is not None:
                if stored.set_digest != set_digest:
                    raise AnswerRefused(
                        f"release {plan.release}: charged before for another set of answers"
                    )
                return
            before = transaction.ledger()
            night = _night_name(transaction, plan)
            after = before.charge(night, plan.release, plan.purpose, plan.rho(), at)
            transaction.append(before, after)
            transaction.mark_charged(plan.release, set_digest)

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
        return answer

    def _check_draft(self, transaction: Transaction, draft: ReleaseDraft, at: int) -> None:
        draft.check(len(self.outlets))
        known = transaction.night(digest=draft.night)
        if known is None:
            raise PlanRefused(f"release {draft.release}: its night was not planned here")
        night, expires = NightPlan.decode(known[0].payload), known[1]
        if at >= expires or night.night not in transaction.ledger().open_nights():
            raise PlanRefused(f"release {draft.release}: its night is over")
        line = night.line(draft.purpose)
        if transaction.signed_count(draft.night, draft.purpose) >= line.count:
            raise PlanRefused(
                f"release {draft.release}: the night plans {line.count} for {line.purpose}"
            )
        self._check_cost(draft, line)
        waiting = transaction.outstanding(draft.night)
        if waiting:
            raise PlanRefused(f"release {draft.release}: {waiting} is not answered yet")
        parent = transaction.last_answered(draft.night)
        if draft.parent != parent:
            raise PlanRefused(
                f"release {draft.release}: got parent '{draft.parent}', expected '{parent}'"
            )
        if transaction.directory(draft.night) not in (None, draft.directory):
            raise PlanRefused(f"release {draft.release}: the night's directory is another one")
        if draft.quorum < self.settings.minimum_outlets:
            raise PlanRefused(
                f"release {draft.release}: got quorum {draft.quorum}, "
                f"expected at least {self.settings.minimum_outlets}"
            )

    def _check_cost(self, draft: ReleaseDraft, line: PlannedReleases) -> None:
        cost = draft.rho()
        if cost is None:
            if line.rho is not None or draft.purpose not in self.settings.noiseless:
                raise PlanRefused(f"release {draft.release}: no noise where noise was planned")
        elif cost > (line.rho or Rho(0)):
            raise PlanRefused(f"release {draft.release}: costs more than the night plans for it")

    def _known_plan(self, known: StoredRelease, draft: ReleaseDraft) -> Signed:
        plan = ReleasePlan.decode(known.signed.payload)
        if not draft.same_draft(plan):
            raise PlanRefused(f"release {draft.release}: signed before with another content")
        return known.signed

    def _check_set(
        self, plan: ReleasePlan, plan_digest: str, envelopes: Sequence[Envelope]
    ) -> None:
        names = [envelope.outlet for envelope in envelopes]
        if len(set(names)) != len(names):
            raise AnswerRefused(f"release {plan.release}: an outlet is named twice")
        least = max(plan.quorum, self.settings.minimum_outlets)
        if len(names) < least:
            raise AnswerRefused(
                f"release {plan.release}: got {len(names)} outlets, expected at least {least}"
            )
        for envelope in envelopes:
            key = self.outlets.get(envelope.outlet)
            if key is None:
                raise AnswerRefused(
                    f"outlet {envelope.outlet}: not on the office's list", envelope.outlet
                )
            if not envelope.signed_by(key, plan_digest):
                raise AnswerRefused(
                    f"outlet {envelope.outlet}: signature does not verify", envelope.outlet
                )

    def _find(self, transaction: Transaction, plan_digest: str) -> StoredRelease:
        stored = transaction.release(digest=plan_digest)
        if stored is None:
            raise PlanRefused("unlock: this plan was not signed here")
        return stored

    def _tidy(self, transaction: Transaction, at: int) -> None:
        """Closes nights that are over and deletes keys that must not be used any more."""
        transaction.delete_expired_keys(at)
        before = after = transaction.ledger()
        for night in transaction.expired_nights(at):
            after = after.close(night, at)
        transaction.append(before, after)

    def _begin(self) -> int:
        """Now, after what is over was tidied away; never before the ledger's last entry."""
        with self.store.transaction() as transaction:
            at = transaction.ledger().not_before(int(self.clock()))
            self._tidy(transaction, at)
        return at


def _night_name(transaction: Transaction, plan: ReleasePlan) -> str:
    known = transaction.night(digest=plan.night)
    if known is None:
        raise PlanRefused(f"release {plan.release}: its night was not planned here")
    return NightPlan.decode(known[0].payload).night


def _digest_of_set(envelopes: Sequence[Envelope]) -> str:
    """Names a set of answers down to the last byte, in whatever order they came."""
    parts = sorted(
        frame(e.outlet.encode(), e.sealed_seed, e.vector_digest.encode(), e.signature)
        for e in envelopes
    )
    return digest(frame(*parts))
