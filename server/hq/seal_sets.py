"""Sets of seals: whose answers a seal is made of.

The set is not HQ's choice: it is everybody who answers, and of a seal for bands everybody else
whose last answer can be carried. Of which ones that is so the office decides; HQ shows it all that
there are and leaves out those that it refuses by name.

Invariant: what HQ takes for an outlet's last answer is what the office does, after a kill between
the two as well: a set is shown again until it is known whether it was taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.errors import AnswerRefused
from privacy.oblivious_transfer import TransferFailed
from privacy.seal_plans import SealKind, SealPlan
from privacy.two_key_sum import Aggregate, MaskedShare, digest_of_set

if TYPE_CHECKING:
    from privacy.plans import Signed
    from server.hq.combine import Combiner


@dataclass(frozen=True, slots=True)
class OpenSeal:
    """A seal that the office signed.

    Attributes:
        plan: What it signed.
        signed: The plan's bytes.
        transfers: The office's answer to the first message of the base transfers.
    """

    plan: SealPlan
    signed: Signed
    transfers: bytes


@dataclass(frozen=True, slots=True)
class SealSets:
    """Finds the set of a seal.

    Attributes:
        combiner: Asks outlets, and has the store and the office.
    """

    combiner: Combiner

    def taken(self, opened: OpenSeal, aggregate: Aggregate | None, scorecards: bytes) -> str:
        """Has the office take the set; gives its digest.

        Whose answer the office refuses is left out, and counts with the last one where there is
        one; whose last answer it refuses is left out altogether. Where it refused a whole set
        before the night was taken up again, outlets are asked anew: more may be there.

        Args:
            opened: The seal.
            aggregate: The masked sum, where outlets answered before.
            scorecards: Encoded.

        Raises:
            QuorumNotMet: If fewer outlets than the quorum gave an answer that verifies.
            AnswerRefused: If the office refuses the set, and not for one outlet in it.
            TransferFailed: If it takes another set.
        """
        store, release = self.combiner.store, opened.plan.release
        asks = aggregate is not None
        if aggregate is None:
            aggregate = self._asked(opened, scorecards)
            store.add_seal_sum(release, aggregate)
        while True:
            try:
                return self.show(opened.signed.digest, aggregate)
            except AnswerRefused as refusal:
                if refusal.outlet is not None and refusal.outlet in aggregate.outlets:
                    aggregate = self._without(refusal.outlet, aggregate, opened)
                elif asks:
                    asks, aggregate = False, self._asked(opened, scorecards)
                else:
                    raise
                store.replace_seal_sum(release, aggregate)

    def show(self, plan_digest: str, aggregate: Aggregate) -> str:
        """Shows the office a set and notes that it took it; gives its digest.

        Raises:
            TransferFailed: If the office names it by another digest than this set has.
        """
        combiner, fresh, carried = self.combiner, aggregate.envelopes, aggregate.carried
        set_digest = digest_of_set(fresh, carried)
        if combiner.office.store_set(plan_digest, fresh, carried) != set_digest:
            raise TransferFailed(
                f"release {aggregate.plan.release}: the office took another set than it was shown; "
                "it is over for good"
            )
        combiner.store.add_set(aggregate, plan_digest, set_digest, combiner.clock())
        return set_digest

    def _asked(self, opened: OpenSeal, scorecards: bytes) -> Aggregate:
        """Asks everybody who is there and keeps their answers, beside those given before."""
        store, plan, digest = self.combiner.store, opened.plan, opened.signed.digest
        shares = self.combiner.collect(plan, opened.signed, scorecards)
        names = {share.envelope.outlet for share in shares}
        shares += [share for share in self._kept(opened) if share.envelope.outlet not in names]
        store.add_answers(plan, digest, shares, self.combiner.clock())
        fresh = {share.envelope.outlet for share in shares}
        return self._aggregate(opened, fresh, store.carryable() - fresh)

    def _kept(self, opened: OpenSeal) -> list[MaskedShare]:
        """The answers to this plan that were kept."""
        answers = self.combiner.store.answers_to(opened.plan, opened.signed.digest)
        return [MaskedShare(vector, b"", envelope) for envelope, vector in answers]

    def _without(self, outlet: str, aggregate: Aggregate, opened: OpenSeal) -> Aggregate:
        """The sum without an outlet's answer to this plan, or else without its last one."""
        fresh = {envelope.outlet for envelope in aggregate.envelopes}
        carried = {last.envelope.outlet for last in aggregate.carried}
        if outlet in fresh:
            self.combiner.note_failure("seed at fault")
            return self._aggregate(opened, fresh - {outlet}, carried | {outlet})
        self.combiner.note_failure("last answer refused")
        return self._aggregate(opened, fresh, carried - {outlet})

    def _aggregate(self, opened: OpenSeal, fresh: set[str], absent: set[str]) -> Aggregate:
        """The masked sum of answers to this plan and, of bands, of others' last ones."""
        store, plan = self.combiner.store, opened.plan
        carries = plan.kind is SealKind.BAND
        if not carries:
            fresh = set(self.combiner.told_together(plan, fresh))
        shares = [share for share in self._kept(opened) if share.envelope.outlet in fresh]
        carried = store.last_answers(plan, absent, self.combiner.clock()) if carries else []
        return Aggregate.of(plan, shares, carried)
