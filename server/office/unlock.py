"""The office: signs what a night may ask, and takes the masks off sums it has charged for.

Invariant: nothing is unlocked that was not planned, signed, and charged; each release is charged
at most once and answered for one set of outlets only. The order is charge, draw, store, send, each
durable, so that a kill between any two neither loses nor repeats a charge.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from privacy.envelopes import SealKey
from privacy.errors import AnswerRefused, PlanRefused
from privacy.fixed_point import Residues, ring_type
from privacy.noise import DiscreteGaussian
from privacy.plans import NightPlan, ReleasePlan, sign
from privacy.two_key_sum import KeptSeed, open_seed, sum_of_masks
from privacy.units import Purpose
from server.office.set_rules import (
    check_growth,
    check_scorecard,
    check_set,
    digest_of_set,
    kept_seeds,
)
from server.office.signing_rules import DayKind, check_days, check_draft, check_year

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privacy.envelopes import SigningKey, VerifyKey
    from privacy.masks import Seed
    from privacy.plans import PlannedReleases, ReleaseDraft, Signed
    from privacy.two_key_sum import Carried, Envelope
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
        directory: Gives the digest of the directory that was countersigned last; "" before any.
    """

    settings: OfficeSettings
    store: OfficeStore
    key: SigningKey
    outlets: Mapping[str, VerifyKey]
    clock: Callable[[], float]
    directory: Callable[[], str]

    def sign_night(self, night: str, cut_off: str, lines: Sequence[PlannedReleases]) -> Signed:
        """Signs a night plan and reserves its cost. The same request again gets the same plan.

        Args:
            night: The night's name, used once.
            cut_off: ISO 8601 date.
            lines: What the night may release.

        Raises:
            BudgetExceeded: If a line costs more than what remains for its purpose.
            PlanRefused: If the night was signed with another content, plans without noise, or has
                a cut-off that is not near its day.
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
            check_days(transaction, self.settings, f"night {night}", DayKind.CUT_OFF, cut_off, at)
            costs = {line.purpose: line.total for line in lines}
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
            kind = check_draft(
                transaction, self.settings, len(self.outlets), countersigned, draft, at
            )
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
            transaction.keep_day(kind, draft.as_of)
            return signed

    def unlock(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
    ) -> bytes:
        """Answers with the sum of masks of a set of outlets, less the office's own noise.

        Args:
            plan_digest: Names the release plan.
            envelopes: One per outlet that answered it.
            carried: Of points, outlets that are absent and count with their last answer.

        Returns:
            Little-endian residues[d], the same bytes whenever the same request is made.

        Raises:
            PlanRefused: If the plan is not the office's own or has expired.
            AnswerRefused: If the set is too small, names an outlet twice or one that is not on the
                list, does not verify, or differs from the set that was charged.
            BudgetExceeded: If the ledger does not hold the cost.
        """
        at = self._begin()
        set_digest = digest_of_set(envelopes, carried)
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
        check_set(
            plan, plan_digest, self.settings.minimum_outlets, self.outlets, envelopes, carried
        )
        seeds = {envelope: open_seed(envelope, plan_digest, stored.key) for envelope in envelopes}
        fresh = (KeptSeed(seed, plan.dimension) for seed in seeds.values())
        with self.store.transaction() as transaction:
            kept = kept_seeds(transaction, plan, carried, at)
        masks = sum_of_masks(plan, [*fresh, *kept])

        names = {e.outlet for e in envelopes} | {last.envelope.outlet for last in carried}
        self._charge(plan, set_digest, names, at)
        answer = masks - self._draw(plan)
        return self._store_answer(plan, plan_digest, answer.tobytes(), seeds, at)

    def close_night(self, night: str) -> None:
        """Ends a night: what it reserved and did not charge becomes available again."""
        at = self._begin()
        with self.store.transaction() as transaction:
            transaction.append(transaction.ledger().close(night, at))

    def _charge(self, plan: ReleasePlan, set_digest: str, names: set[str], at: int) -> None:
        """Charges a release to its night, once, and binds it to its set.

        Of points, what may not be is checked in the same transaction: two calls at once cannot
        each find room for themselves.
        """
        with self.store.transaction() as transaction:
            stored = transaction.release(name=plan.release)
            if stored is not None and stored.set_digest is not None:
                if stored.set_digest != set_digest:
                    raise AnswerRefused(
                        f"release {plan.release}: charged before for another set of answers"
                    )
                return
            if plan.purpose is Purpose.POINTS:
                check_year(transaction, self.settings, plan, at)
                check_scorecard(transaction, plan, self.settings.scorecards_a_year, at)
                check_growth(transaction, plan, self.settings.minimum_outlets, names)
                transaction.keep_points_set(plan.scorecard, names, at)
            night = _night_name(transaction, plan)
            after = transaction.ledger().charge(night, plan.release, plan.purpose, plan.rho(), at)
            transaction.append(after)
            transaction.mark_charged(plan.release, set_digest)

    def _draw(self, plan: ReleasePlan) -> Residues:
        """The office's own noise, as residues; zeros only for a plan that carries none."""
        if plan.noise_scale == 0:
            return np.zeros(plan.dimension, dtype=ring_type(plan.ring_bits))
        noise = DiscreteGaussian(plan.noise_scale).draw(plan.dimension)
        return noise.astype(ring_type(plan.ring_bits))

    def _store_answer(
        self,
        plan: ReleasePlan,
        plan_digest: str,
        answer: bytes,
        seeds: Mapping[Envelope, Seed],
        at: int,
    ) -> bytes:
        """Stores an answer; where another call was faster, its answer is the one that counts."""
        with self.store.transaction() as transaction:
            stored = transaction.release(name=plan.release)
            if stored is not None and stored.answer is not None:
                return stored.answer
            transaction.mark_answered(plan.release, answer)
            if plan.purpose is Purpose.POINTS:
                transaction.seeds.keep(plan, plan_digest, seeds, at)
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
        """Closes nights that are over and deletes keys and seeds that must not be used any more."""
        transaction.delete_expired_keys(at)
        transaction.seeds.delete_old(at)
        ledger = transaction.ledger()
        for night in transaction.expired_nights(ledger.open_nights(), at):
            ledger = ledger.close(night, at)
        transaction.append(ledger)

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
