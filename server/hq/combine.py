"""Combining: one release, from a signed plan to a value, each step checkpointed.

Invariant: HQ's noise is stored before the office is asked; a release that was begun is finished
with the same set of answers and the same noise, or not at all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from privacy.envelopes import VerifyKey, digest
from privacy.errors import AnswerRefused, PrivacyError
from privacy.fixed_point import Integers, clipping_units
from privacy.noise import DiscreteGaussian, scale_for
from privacy.plans import PlannedReleases, ReleaseDraft, ReleasePlan, Signed
from privacy.two_key_sum import (
    Aggregate,
    CustomerRelease,
    Envelope,
    MaskedShare,
    ScoreTable,
    check_share,
)
from privacy.units import Purpose
from server.hq.errors import AnotherNight, QuorumNotMet
from server.hq.release_store import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from privacy.loss import Rho
    from privacy.publications import Countersigned
    from privacy.two_key_sum import Carried
    from server.hq.flower_link import FlowerLink
    from server.hq.store import HqStore

Made = TypeVar("Made", CustomerRelease, ScoreTable)


class PrivacyOffice(Protocol):
    """The office as HQ sees it."""

    def sign_night(self, night: str, cut_off: str, lines: Sequence[PlannedReleases]) -> Signed:
        """Signs a night plan and reserves its cost."""

    def sign_release(self, draft: ReleaseDraft) -> Signed:
        """Signs a release plan."""

    def unlock(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
    ) -> bytes:
        """Answers with the sum of masks less the office's noise."""

    def close_night(self, night: str) -> None:
        """Gives back what the night reserved and did not charge."""

    def countersign_book(self, directory: str, digest: str) -> Countersigned:
        """Countersigns the one book of the directory that was countersigned last."""


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
        ring_bits: The ring is modulo 2^ring_bits.
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
    ring_bits: int = 64


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
    failures: Mapping[str, int] = field(default_factory=dict, init=False)
    seconds: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)
    _parent: str = field(default="", init=False)

    def customer_release(self, ask: Ask) -> CustomerRelease:
        """Makes a release over customers.

        Raises:
            QuorumNotMet: If fewer outlets than the quorum gave an answer that verifies.
            PrivacyError: If the office refuses.
        """
        return self._made(ask, Aggregate.customer_release, CustomerRelease)

    def score_table(self, ask: Ask) -> ScoreTable:
        """Makes a points release.

        Raises:
            QuorumNotMet: If fewer outlets than the quorum gave an answer that verifies.
            PrivacyError: If the office refuses.
        """
        self._finish_points()
        return self._made(ask, Aggregate.score_table, ScoreTable)

    def _made(
        self,
        ask: Ask,
        finish: Callable[[Aggregate, bytes, Integers], Made],
        restore: type[Made],
    ) -> Made:
        """Makes a release, or reads a finished one from the store."""
        began = time.monotonic()
        release = self._begin(ask)
        known = self._checkpoint(release, ask)
        plan = ReleasePlan.decode(known.signed.payload)
        if known.values is not None:
            made = restore(plan, known.outlets, known.values)
        else:
            aggregate, noise, answer = self._unlocked(release, plan, known, ask)
            made = finish(aggregate, answer, noise)
            if plan.purpose is Purpose.POINTS:
                self.store.points_released(known.signed.digest, aggregate.outlets)
            self.store.add_values(release, made.values)
        self._parent = release
        self.seconds = round(time.monotonic() - began, 4)
        return made

    def _begin(self, ask: Ask) -> str:
        """Names the next release; the same name when a killed night runs again."""
        self._count += 1
        self.failures = {}
        return f"{self.name}/{self._count:03d}-{ask.purpose}"

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
            parent=self._parent,
            purpose=ask.purpose,
            dimension=ask.dimension,
            ring_bits=ask.ring_bits,
            scale=ask.scale,
            norm=norm,
            outlet_bound=norm * ask.most_rows,
            noise_scale=0 if ask.cost is None else scale_for(ask.cost, norm),
            quorum=self.quorum,
            scorecard=digest(ask.scorecard),
            directory=self.directory,
            as_of=ask.as_of,
            attachment=digest(ask.attachment) if ask.attachment else "",
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
            aggregate = self._aggregate(plan, known.signed, ask, ())
            noise = _draw(plan)
            self.store.add_sum(release, aggregate, noise)
        at_fault: set[str] = set()
        while True:
            try:
                answer = self.office.unlock(
                    known.signed.digest, aggregate.envelopes, aggregate.carried
                )
            except AnswerRefused as refusal:
                if refusal.outlet is None or refusal.outlet in at_fault:
                    raise
                at_fault.add(refusal.outlet)
                aggregate = self._aggregate(plan, known.signed, ask, at_fault)
                self.store.replace_sum(release, aggregate)
            else:
                return aggregate, noise, answer

    def _aggregate(
        self, plan: ReleasePlan, signed: Signed, ask: Ask, at_fault: Collection[str]
    ) -> Aggregate:
        """The masked sum of who answers; of points, absent outlets with their last answers too."""
        shares = self._collect(plan, signed, ask, at_fault)
        if plan.purpose is not Purpose.POINTS:
            return Aggregate.of(plan, shares)
        there = {share.envelope.outlet for share in shares}
        before = self.store.points_set(plan.scorecard)
        at = self.clock()
        carried = self.store.points_of(plan, before - there, at)
        if before and len(there - before) < self.quorum:
            # Too few to come in unseen: they wait for more, or for the next scorecard.
            shares = [share for share in shares if share.envelope.outlet in before]
        self.store.keep_points(plan, signed.digest, shares, at)
        return Aggregate.of(plan, shares, carried)

    def _finish_points(self) -> None:
        """Ends points releases that a night left between the office's answer and HQ's store.

        The office may hold their seeds as the last ones; the same request gets the same answer.
        """
        for release in self.store.unfinished_points(self.name):
            known = self.store.checkpoint(release)
            if known is None or known.aggregate is None or known.noise is None:
                continue
            aggregate, digest_asked = known.aggregate, known.signed.digest
            try:
                answer = self.office.unlock(digest_asked, aggregate.envelopes, aggregate.carried)
            except PrivacyError:  # never answered, and now it never will be
                continue
            table = aggregate.score_table(answer, known.noise)
            self.store.points_released(digest_asked, aggregate.outlets)
            self.store.add_values(release, table.values)

    def _collect(
        self,
        plan: ReleasePlan,
        signed: Signed,
        ask: Ask,
        at_fault: Collection[str] = (),
    ) -> list[MaskedShare]:
        """Asks everyone at roll call; keeps the answers that verify.

        Outlets repeat the bytes of an answer they gave, so asking again changes nothing.
        """
        question = {
            "night": self.night.payload,
            "night_signature": self.night.signature,
            "plan": signed.payload,
            "plan_signature": signed.signature,
            "scorecard": ask.scorecard,
            "attachment": ask.attachment,
        }
        replies = self.link.release(list(self.nodes), question)
        failures = dict(replies.failures)
        if replies.silent:
            failures["no answer"] = len(replies.silent)
            self.nodes = {n: o for n, o in self.nodes.items() if n not in replies.silent}
        shares = []
        for node, share in replies.shares.items():
            name = self.nodes[node]
            try:
                check_share(share, plan, signed.digest, {name: self.outlets[name]})
            except AnswerRefused:
                failures["does not verify"] = failures.get("does not verify", 0) + 1
            else:
                shares.append(share)
        shares = [share for share in shares if share.envelope.outlet not in at_fault]
        if at_fault:
            failures["seed at fault"] = len(at_fault)
        self.failures = failures
        if len(shares) < self.quorum:
            raise QuorumNotMet(f"release {plan.release}", len(shares), self.quorum)
        return shares


def _draw(plan: ReleasePlan) -> Integers:
    """HQ's own noise, int64[d]; zeros only for a plan that carries none."""
    if plan.noise_scale == 0:
        return np.zeros(plan.dimension, dtype=np.int64)
    return DiscreteGaussian(plan.noise_scale).draw(plan.dimension)
