"""Combining: one customer sum, from a signed plan to a value, each step checkpointed.

What seals need of it, `sealing` shares: names of releases, and outlets' answers as they verify.

Invariant: HQ's noise is stored before the office is asked; a release that was begun is finished
with the same set of answers and the same noise, or not at all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from privacy.envelopes import digest
from privacy.errors import AnswerRefused
from privacy.fixed_point import clipping_units
from privacy.noise import DiscreteGaussian, scale_for
from privacy.outlet_blocks import largest_set
from privacy.plans import ReleaseDraft, ReleasePlan
from privacy.two_key_sum import Aggregate, CustomerRelease, check_share
from server.hq.errors import AnotherNight, QuorumNotMet
from server.hq.release_store import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence, Set

    from privacy.envelopes import VerifyKey
    from privacy.fixed_point import Integers
    from privacy.loss import Rho
    from privacy.plans import Signed
    from privacy.purposes import Purpose
    from privacy.seal_plans import SealPlan
    from privacy.two_key_sum import MaskedShare
    from server.hq.flower_link import FlowerLink
    from server.hq.privacy_office import PrivacyOffice
    from server.hq.store import HqStore

RING_BITS = 64
"""Of a customer sum."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a release is asked for.

    Attributes:
        purpose: What it is for.
        dimension: d.
        norm: The clipping norm, in the rows' own units.
        scale: Integer units per 1.0.
        most_rows: An outlet's sum saturates at this many rows, all at the clipping norm.
        cost: Its rho; None without noise.
        scorecard: The encoded scorecard, or scorecards, that it is taken at.
        as_of: The last day that its rows may see, ISO 8601.
        attachment: What rows are computed with besides: a linear map, a fine book, or nothing.
        attached: Its digest, "" for nothing: a fine book that was counted is gone.
    """

    purpose: Purpose
    dimension: int
    norm: float
    scale: int
    most_rows: int
    cost: Rho | None
    scorecard: bytes
    as_of: str
    attachment: bytes = b""
    attached: str = ""


@dataclass(slots=True)
class Combiner:
    """Makes a night's releases, one after another.

    Attributes:
        name: The night's name.
        night: Its signed plan.
        nodes: Outlet id of each Flower node at roll call; who falls silent is not asked again
            tonight.
        office: The privacy office.
        link: The outlets, through Flower.
        store: HQ's checkpoints.
        outlets: HQ's list of outlets and their signing keys.
        directory: The digest of tonight's directory.
        quorum: The least number of outlets in a sum.
        clock: Unix seconds.
        parent: The release before, in the same night; "" at first.
        failures: Answers to the latest release that were errors or did not verify, by reason.
        seconds: How long the latest release took.
    """

    name: str
    night: Signed
    nodes: Mapping[int, str]
    office: PrivacyOffice
    link: FlowerLink
    store: HqStore
    outlets: Mapping[str, VerifyKey]
    directory: str
    quorum: int
    clock: Callable[[], float]
    parent: str = field(default="", init=False)
    failures: dict[str, int] = field(default_factory=dict, init=False)
    seconds: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)

    def customer_release(self, ask: Ask) -> CustomerRelease:
        """Makes a release over customers, or reads a finished one from the store.

        Raises:
            QuorumNotMet: If fewer outlets than the quorum gave an answer that verifies.
            PrivacyError: If the office refuses.
        """
        began = time.monotonic()
        release = self.begin(ask.purpose)
        known = self._checkpoint(release, ask)
        plan = ReleasePlan.decode(known.signed.payload)
        if known.values is not None:
            made = CustomerRelease(plan, known.outlets, known.values)
        else:
            aggregate, noise, answer = self._unlocked(release, plan, known, ask)
            made = aggregate.customer_release(answer, noise)
            self.store.add_values(release, made.values)
        self.end(release, began)
        return made

    def begin(self, purpose: Purpose) -> str:
        """Names the next release; the same name when a killed night runs again."""
        self._count += 1
        self.failures = {}
        return f"{self.name}/{self._count:03d}-{purpose}"

    def end(self, release: str, began: float) -> None:
        """Notes that a release came to its end, and how long it took."""
        self.parent = release
        self.seconds = round(time.monotonic() - began, 4)

    def note_failure(self, reason: str) -> None:
        """Counts an answer to the latest release that was left out."""
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def collect(
        self,
        plan: ReleasePlan | SealPlan,
        signed: Signed,
        scorecard: bytes,
        attachment: bytes = b"",
        at_fault: Collection[str] = (),
    ) -> list[MaskedShare]:
        """Asks everyone at roll call; keeps the answers that verify.

        Outlets repeat the bytes of an answer they gave, so asking again changes nothing.

        Args:
            plan: What is asked.
            signed: Its bytes.
            scorecard: What goes with it; its digest is in the plan.
            attachment: Likewise; nothing with a seal's.
            at_fault: Whose answers are left out.

        Raises:
            QuorumNotMet: If fewer than the quorum gave one.
        """
        question = {
            "night": self.night.payload,
            "night_signature": self.night.signature,
            "plan": signed.payload,
            "plan_signature": signed.signature,
            "scorecard": scorecard,
            "attachment": attachment,
        }
        replies = self.link.release(list(self.nodes), question)
        self.failures = dict(replies.failures)
        if replies.silent:
            self.failures["no answer"] = len(replies.silent)
            self.nodes = {n: o for n, o in self.nodes.items() if n not in replies.silent}
        shares = []
        for node, share in replies.shares.items():
            name = self.nodes[node]
            try:
                check_share(share, plan, signed.digest, {name: self.outlets[name]})
            except AnswerRefused:
                self.note_failure("does not verify")
            else:
                shares.append(share)
        shares = [share for share in shares if share.envelope.outlet not in at_fault]
        if at_fault:
            self.failures["seed at fault"] = len(at_fault)
        if len(shares) < self.quorum:
            raise QuorumNotMet(f"release {plan.release}", len(shares), self.quorum)
        return shares

    def _checkpoint(self, release: str, ask: Ask) -> Checkpoint:
        """What is stored of a release; its plan is asked for first where nothing is.

        Raises:
            AnotherNight: If what is stored was asked with other parameters.
        """
        draft = self._draft(release, ask)
        known = self.store.checkpoint(release)
        if known is None:
            signed = self.office.sign_release(draft)
            self.store.add_plan(release, self.name, signed)
            known = Checkpoint(signed, None, None, (), None)
        if not draft.same_draft(ReleasePlan.decode(known.signed.payload)):
            raise AnotherNight(release)
        return known

    def _draft(self, release: str, ask: Ask) -> ReleaseDraft:
        norm = clipping_units(ask.norm, ask.scale)
        return ReleaseDraft(
            release=release,
            night=self.night.digest,
            parent=self.parent,
            purpose=ask.purpose,
            dimension=ask.dimension,
            ring_bits=RING_BITS,
            scale=ask.scale,
            norm=norm,
            outlet_bound=norm * ask.most_rows,
            noise_scale=0 if ask.cost is None else scale_for(ask.cost, norm),
            quorum=self.quorum,
            scorecard=digest(ask.scorecard),
            directory=self.directory,
            as_of=ask.as_of,
            attachment=ask.attached,
        )

    def _unlocked(
        self, release: str, plan: ReleasePlan, known: Checkpoint, ask: Ask
    ) -> tuple[Aggregate, Integers, bytes]:
        """The masked sum, HQ's noise and the office's answer; the first two durable before it.

        Where the office finds one outlet's seed at fault, before it charges, that outlet is left
        out and the office is asked again, with the same noise of HQ's.
        """
        if known.aggregate is not None and known.noise is not None:
            aggregate, noise = known.aggregate, known.noise
        else:
            aggregate = self._aggregate(plan, known.signed, ask)
            noise = _draw(plan)
            self.store.add_sum(release, aggregate, noise)
        at_fault: set[str] = set()
        while True:
            try:
                answer = self.office.unlock(known.signed.digest, aggregate.envelopes)
            except AnswerRefused as refusal:
                if refusal.outlet is None or refusal.outlet in at_fault:
                    raise
                at_fault.add(refusal.outlet)
                aggregate = self._aggregate(plan, known.signed, ask, at_fault)
                self.store.replace_sum(release, aggregate)
            else:
                return aggregate, noise, answer

    def _aggregate(
        self, plan: ReleasePlan, signed: Signed, ask: Ask, at_fault: Collection[str] = ()
    ) -> Aggregate:
        shares = self.collect(plan, signed, ask.scorecard, ask.attachment, at_fault)
        return Aggregate.of(plan, self._told_together(plan, shares))

    def _told_together(
        self, plan: ReleasePlan, shares: Sequence[MaskedShare]
    ) -> Sequence[MaskedShare]:
        """The answers over whom a sum may be opened, beside the sums of the last year.

        Raises:
            QuorumNotMet: If they are fewer than the quorum.
        """
        allowed = self.told_together(plan, {share.envelope.outlet for share in shares})
        return [share for share in shares if share.envelope.outlet in allowed]

    def told_together(self, plan: ReleasePlan | SealPlan, answered: Set[str]) -> Set[str]:
        """Those of whom a sum may be opened, or fine bins sealed, beside the last year's sums.

        Raises:
            QuorumNotMet: If they are fewer than the quorum.
        """
        known = self.office.sum_blocks()
        quorum = max(known.quorum, plan.quorum)
        allowed = largest_set(known.blocks, answered, quorum, known.admitted)
        if left_out := len(answered) - len(allowed):
            self.failures["left out with others that are away"] = left_out
        if not allowed:
            missing = frozenset[str]().union(*known.blocks) - answered
            raise QuorumNotMet(f"release {plan.release}", len(answered), quorum, missing)
        return allowed


def _draw(plan: ReleasePlan) -> Integers:
    """HQ's own noise, int64[d]; zeros only for a plan that carries none."""
    if plan.noise_scale == 0:
        return np.zeros(plan.dimension, dtype=np.int64)
    return DiscreteGaussian(plan.noise_scale).draw(plan.dimension)
