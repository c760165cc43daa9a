"""The office: signs what a night may ask, and takes the masks off sums it has charged for.

Invariant: nothing is unlocked that was not planned, signed, and charged; each release is charged
at most once and answered for one set of outlets only. The order is charge, draw, store, send, each
durable, so that a kill between any two neither loses nor repeats a charge.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from privacy.budget import YEAR_SECONDS
from privacy.envelopes import SealKey, digest, frame
from privacy.errors import AnswerRefused, PlanRefused
from privacy.fixed_point import Residues, ring_type
from privacy.loss import Rho
from privacy.noise import DiscreteGaussian
from privacy.plans import NightPlan, PlannedReleases, ReleaseDraft, ReleasePlan, Signed, sign
from privacy.two_key_sum import Carried, Envelope, KeptSeed, open_seed, sum_of_masks
from privacy.units import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privacy.envelopes import SigningKey, VerifyKey
    from privacy.masks import Seed
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
        set_digest = _digest_of_set(envelopes, carried)
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
        self._check_set(plan, plan_digest, envelopes, carried)
        seeds = {envelope: open_seed(envelope, plan_digest, stored.key) for envelope in envelopes}
        fresh = (KeptSeed(seed, plan.dimension) for seed in seeds.values())
        with self.store.transaction() as transaction:
            kept = _kept(transaction, plan, carried)
        masks = sum_of_masks(plan, [*fresh, *kept])

        names = {e.outlet for e in envelopes} | {last.envelope.outlet for last in carried}
        self._charge(plan, set_digest, names, at)
        answer = masks - self._draw(plan)
        return self._store_answer(plan, plan_digest, answer.tobytes(), seeds)

    def close_night(self, night: str) -> None:
        """Ends a night: what it reserved and did not charge becomes available again."""
        at = self._begin()
        with self.store.transaction() as transaction:
            before = transaction.ledger()
            transaction.append(before, before.close(night, at))

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
                self._check_year(transaction, plan, at)
                self._check_scorecard(transaction, plan, at)
                self._check_sets(transaction, plan, names)
                transaction.keep_points_set(plan.scorecard, names, at)
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

    def _store_answer(
        self, plan: ReleasePlan, plan_digest: str, answer: bytes, seeds: Mapping[Envelope, Seed]
    ) -> bytes:
        """Stores an answer; where another call was faster, its answer is the one that counts."""
        with self.store.transaction() as transaction:
            stored = transaction.release(name=plan.release)
            if stored is not None and stored.answer is not None:
                return stored.answer
            transaction.mark_answered(plan.release, answer)
            if plan.purpose is Purpose.POINTS:
                transaction.keep_points(plan, plan_digest, seeds)
        return answer

    def _check_sets(self, transaction: Transaction, plan: ReleasePlan, names: set[str]) -> None:
        """Refuses a set of outlets from which HQ could take a few outlets' points out.

        Sums over sets that overlap can be added and subtracted, any number of them. So a
        scorecard's set only grows, by a quorum at once: no combination holds what fewer have.
        By how much one outlet's points changed since its last answer can be told, with the noise:
        HQ may carry it in one release and not in the next.
        """
        least = max(plan.quorum, self.settings.minimum_outlets)
        before = transaction.points_set(plan.scorecard)
        if before is None or names == before:
            return
        if not names > before or len(names - before) < least:
            raise AnswerRefused(
                f"release {plan.release}: its set lacks {len(before - names)} outlets of the last "
                f"one and adds {len(names - before)}, expected 0, and none or at least {least}; "
                "carry the absent ones, leave the new ones for later"
            )

    def _check_scorecard(self, transaction: Transaction, plan: ReleasePlan, at: int) -> None:
        """Refuses more scorecards in a year than trainings make: each begins a new set."""
        if transaction.points_set(plan.scorecard) is not None:
            return
        made = transaction.points_scorecards(at - YEAR_SECONDS)
        if made >= self.settings.scorecards_a_year:
            raise PlanRefused(
                f"release {plan.release}: {made} scorecards had points within a year, expected at "
                f"most {self.settings.scorecards_a_year}"
            )

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
        self._check_points(transaction, draft, at)
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

    def _check_points(self, transaction: Transaction, draft: ReleaseDraft, at: int) -> None:
        """Refuses points with less noise, or more often in a year, than the policy says."""
        if draft.purpose is not Purpose.POINTS:
            return
        least = self.settings.event_noise * draft.norm
        if draft.noise_scale < least and draft.purpose not in self.settings.noiseless:
            raise PlanRefused(
                f"release {draft.release}: got noise {draft.noise_scale / draft.norm:.3g} times an "
                f"event's longest row, expected at least {self.settings.event_noise:g}"
            )
        self._check_year(transaction, draft, at)

    def _check_year(self, transaction: Transaction, draft: ReleaseDraft, at: int) -> None:
        """Refuses more points releases than a rolling year may have."""
        made = transaction.ledger().charges(draft.purpose, at)
        if made >= self.settings.points_a_year:
            raise PlanRefused(
                f"release {draft.release}: {made} points releases within a year, expected at most "
                f"{self.settings.points_a_year}; wait, or let the privacy office change its policy"
            )

    def _known_plan(self, known: StoredRelease, draft: ReleaseDraft) -> Signed:
        plan = ReleasePlan.decode(known.signed.payload)
        if not draft.same_draft(plan):
            raise PlanRefused(f"release {draft.release}: signed before with another content")
        return known.signed

    def _check_set(
        self,
        plan: ReleasePlan,
        plan_digest: str,
        envelopes: Sequence[Envelope],
        carried: Sequence[Carried],
    ) -> None:
        """Refuses a set that is too small, repeats an outlet, or holds one not of the list.

        Only fresh answers count towards the quorum: a sum in which fewer than a quorum moved
        would show, against the one before, how those few moved. What is carried was on the list
        when it was answered; its kept seed says so.
        """
        names = [e.outlet for e in (*envelopes, *(last.envelope for last in carried))]
        if len(set(names)) != len(names):
            raise AnswerRefused(f"release {plan.release}: an outlet is named twice")
        least = max(plan.quorum, self.settings.minimum_outlets)
        if len(envelopes) < least:
            raise AnswerRefused(
                f"release {plan.release}: got {len(envelopes)} outlets, expected at least {least}"
            )
        for envelope in envelopes:
            if envelope.outlet not in self.outlets:
                raise AnswerRefused(
                    f"outlet {envelope.outlet}: not on the office's list", envelope.outlet
                )
        answered = [(envelope, plan_digest) for envelope in envelopes]
        answered += [(last.envelope, last.plan_digest) for last in carried]
        for envelope, digest_answered in answered:
            key = self.outlets.get(envelope.outlet)
            if key is not None and not envelope.signed_by(key, digest_answered):
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


def _kept(
    transaction: Transaction, plan: ReleasePlan, carried: Sequence[Carried]
) -> list[KeptSeed]:
    """The seeds of the outlets that are carried.

    Raises:
        AnswerRefused: If the release is not of points, or what is carried is not an outlet's last
            answer, for this very scorecard, ring and norm.
    """
    if carried and plan.purpose is not Purpose.POINTS:
        raise AnswerRefused(f"release {plan.release}: only points carry absent outlets")
    kept = []
    for last in carried:
        seed = transaction.kept_seed(plan, last)
        if seed is None:
            raise AnswerRefused(
                f"outlet {last.envelope.outlet}: not its last answer for this scorecard and norm",
                last.envelope.outlet,
            )
        kept.append(seed)
    return kept


def _night_name(transaction: Transaction, plan: ReleasePlan) -> str:
    known = transaction.night(digest=plan.night)
    if known is None:
        raise PlanRefused(f"release {plan.release}: its night was not planned here")
    return NightPlan.decode(known[0].payload).night


def _digest_of_set(envelopes: Sequence[Envelope], carried: Sequence[Carried]) -> str:
    """Names a set of answers down to the last byte, in whatever order they came."""
    answered = [(envelope, "") for envelope in envelopes]
    answered += [(last.envelope, last.plan_digest) for last in carried]
    parts = sorted(
        frame(
            e.outlet.encode(), e.sealed_seed, e.vector_digest.encode(), e.signature, plan.encode()
        )
        for e, plan in answered
    )
    return digest(frame(*parts))
