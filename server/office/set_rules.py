"""Rules for the set of outlets in a sum: how many, which, and how sets may follow each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.budget import YEAR_SECONDS
from privacy.envelopes import digest, frame
from privacy.errors import AnswerRefused, PlanRefused
from privacy.two_key_sum import CARRY_DAYS
from privacy.units import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from privacy.envelopes import VerifyKey
    from privacy.plans import ReleasePlan
    from privacy.two_key_sum import Carried, Envelope, KeptSeed
    from server.office.ledger_store import Transaction


def check_set(
    plan: ReleasePlan,
    plan_digest: str,
    minimum_outlets: int,
    outlets: Mapping[str, VerifyKey],
    envelopes: Sequence[Envelope],
    carried: Sequence[Carried],
) -> None:
    """Refuses a set that is too small, repeats an outlet, or holds one not of the list.

    Only fresh answers count towards the quorum: a sum in which fewer than a quorum moved would
    show, against the one before, how those few moved. What is carried was on the list when it was
    answered; its kept seed says so.

    Args:
        plan: The release.
        plan_digest: What fresh answers are signed for.
        minimum_outlets: The office's own floor, whatever quorum the plan names.
        outlets: The office's list, with their keys.
        envelopes: Of the outlets that answered.
        carried: Last answers of outlets that are absent.

    Raises:
        AnswerRefused: If one of these holds, or a signature does not verify.
    """
    names = [e.outlet for e in (*envelopes, *(last.envelope for last in carried))]
    if len(set(names)) != len(names):
        raise AnswerRefused(f"release {plan.release}: an outlet is named twice")
    least = max(plan.quorum, minimum_outlets)
    if len(envelopes) < least:
        raise AnswerRefused(
            f"release {plan.release}: got {len(envelopes)} outlets, expected at least {least}"
        )
    for envelope in envelopes:
        if envelope.outlet not in outlets:
            raise AnswerRefused(
                f"outlet {envelope.outlet}: not on the office's list", envelope.outlet
            )
    answered = [(envelope, plan_digest) for envelope in envelopes]
    answered += [(last.envelope, last.plan_digest) for last in carried]
    for envelope, digest_answered in answered:
        key = outlets.get(envelope.outlet)
        if key is not None and not envelope.signed_by(key, digest_answered):
            raise AnswerRefused(
                f"outlet {envelope.outlet}: signature does not verify", envelope.outlet
            )


def check_growth(
    transaction: Transaction, plan: ReleasePlan, minimum_outlets: int, names: set[str]
) -> None:
    """Refuses a set of outlets from which HQ could take a few outlets' points out.

    Sums over sets that overlap can be added and subtracted, any number of them. So a scorecard's
    set only grows, by a quorum at once: no combination holds what fewer have. By how much one
    outlet's points changed since its last answer can be told, with the noise: HQ may carry it in
    one release and not in the next.

    Raises:
        AnswerRefused: If the set lacks an outlet of the last one, or adds fewer than a quorum.
    """
    least = max(plan.quorum, minimum_outlets)
    before = transaction.points_set(plan.scorecard)
    if before is None or names == before:
        return
    if not names > before or len(names - before) < least:
        raise AnswerRefused(
            f"release {plan.release}: its set lacks {len(before - names)} outlets of the last "
            f"one and adds {len(names - before)}, expected 0, and none or at least {least}; "
            "carry the absent ones, leave the new ones for later"
        )


def check_scorecard(
    transaction: Transaction, plan: ReleasePlan, scorecards_a_year: int, at: int
) -> None:
    """Refuses more scorecards in a year than trainings make: each begins a new set.

    Raises:
        PlanRefused: If a new scorecard is one too many.
    """
    if transaction.points_set(plan.scorecard) is not None:
        return
    made = transaction.points_scorecards(at - YEAR_SECONDS)
    if made >= scorecards_a_year:
        raise PlanRefused(
            f"release {plan.release}: {made} scorecards had points within a year, expected at "
            f"most {scorecards_a_year}"
        )


def kept_seeds(
    transaction: Transaction, plan: ReleasePlan, carried: Sequence[Carried], at: int
) -> list[KeptSeed]:
    """The seeds of the outlets that are carried.

    Raises:
        AnswerRefused: If the release is not of points, or what is carried is not an outlet's last
            answer, for this very scorecard, ring and norm, or was given or is of a day more than
            `CARRY_DAYS` away.
    """
    if carried and plan.purpose is not Purpose.POINTS:
        raise AnswerRefused(f"release {plan.release}: only points carry absent outlets")
    kept = []
    for last in carried:
        seed = transaction.seeds.find(plan, last, at)
        if seed is None:
            raise AnswerRefused(
                f"outlet {last.envelope.outlet}: not its last answer for this scorecard and norm, "
                f"or of more than {CARRY_DAYS} days ago; leave it out",
                last.envelope.outlet,
            )
        kept.append(seed)
    return kept


def digest_of_set(envelopes: Sequence[Envelope], carried: Sequence[Carried]) -> str:
    """Names a set of answers down to the last byte, in whatever order they came."""
    answered = [(envelope, "") for envelope in envelopes]
    answered += [(last.envelope, last.plan_digest) for last in carried]
    parts = sorted(
        frame(e.outlet.encode(), e.sealed_seed, e.commitment.encode(), e.signature, plan.encode())
        for e, plan in answered
    )
    return digest(frame(*parts))
