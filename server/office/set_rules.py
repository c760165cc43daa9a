"""Rules for the set of outlets in a sum or seal: how many, which, and who may not be left out."""

from __future__ import annotations

import datetime as dt
from math import ceil
from typing import TYPE_CHECKING

from privacy.errors import AnswerRefused
from privacy.outlet_blocks import largest_set
from privacy.seal_plans import LEAST_THERE, SealKind
from privacy.two_key_sum import CARRY_DAYS, KeptSeed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from privacy.envelopes import VerifyKey
    from privacy.plans import ReleasePlan
    from privacy.seal_plans import SealPlan
    from privacy.two_key_sum import Carried, Envelope
    from server.office.ledger_store import Transaction


def check_set(
    plan: ReleasePlan | SealPlan,
    plan_digest: str,
    minimum_outlets: int,
    outlets: Mapping[str, VerifyKey],
    envelopes: Sequence[Envelope],
    carried: Sequence[Carried] = (),
) -> None:
    """Refuses a set that is too small, repeats an outlet, or holds one not of the list.

    Only fresh answers count towards the quorum: the masks of a few, over those of an earlier seal,
    would hide nobody but them.

    Args:
        plan: The release.
        plan_digest: What fresh answers are signed for.
        minimum_outlets: The office's own floor, whatever quorum the plan names.
        outlets: The office's list, with their keys.
        envelopes: Of the outlets that answered.
        carried: Of a seal, last answers of outlets that are absent.

    Raises:
        AnswerRefused: If one of these holds, or a signature does not verify.
    """
    answered = [(envelope, plan_digest) for envelope in envelopes]
    answered += [(last.envelope, last.plan_digest) for last in carried]
    names = [envelope.outlet for envelope, _ in answered]
    if len(set(names)) != len(names):
        raise AnswerRefused(f"release {plan.release}: an outlet is named twice")
    least = max(plan.quorum, minimum_outlets)
    if len(envelopes) < least:
        raise AnswerRefused(
            f"release {plan.release}: got {len(envelopes)} outlets, expected at least {least}"
        )
    for envelope, digest_answered in answered:
        name = envelope.outlet
        if name not in outlets:
            raise AnswerRefused(f"outlet {name}: not on the office's list", name)
        if not envelope.signed_by(outlets[name], digest_answered):
            raise AnswerRefused(f"outlet {name}: signature does not verify", name)


def check_blocks(
    transaction: Transaction,
    plan: ReleasePlan | SealPlan,
    names: Set[str],
    listed: Set[str],
    minimum_outlets: int,
    at: int,
) -> None:
    """Refuses a set whose sum, with those of the year before, would tell a few outlets' part.

    So it does of a seal of fine bins: a calibration counts them, and they are of the seal's set.

    Args:
        transaction: In which the set is kept.
        plan: The release, or the seal.
        names: Who is in the set.
        listed: Outlets on the office's list.
        minimum_outlets: The office's own floor, whatever quorum the plan names.
        at: Unix seconds.

    Raises:
        AnswerRefused: If some block would have fewer outlets than the quorum; nobody is at fault.
    """
    least = max(plan.quorum, minimum_outlets)
    sets = transaction.sum_sets
    allowed = largest_set(sets.blocks(listed, at), names, least, sets.admitted(at))
    if allowed != names:
        raise AnswerRefused(
            f"release {plan.release}: its sum, with those of the last year, would tell the part of "
            f"fewer than {least} outlets; got {len(names)} outlets, of which {len(allowed)} may be "
            "in a sum together"
        )


def check_complete(
    transaction: Transaction,
    plan: SealPlan,
    outlets: Mapping[str, VerifyKey],
    names: Set[str],
    at: int,
) -> None:
    """Refuses a seal that leaves out an outlet which it could carry, or too many others.

    Else HQ could show, by the same bands with an outlet and without, what that one's part is. And
    where nobody can be carried, in seals for calibration, under scorecards that are new, and after
    `CARRY_DAYS` in which HQ says that others are away, a quorum of HQ's choice would be one outlet
    among HQ's own. So three quarters of all who were ever in a seal have to be there, fresh or
    carried, but for those whom a person took off the list; a quarter may be absent, of HQ's choice
    or not. The first seal, of whatever kind, is of whom it has. Of slots that only some of the set
    answered about see `reached_slots`.

    Args:
        transaction: In which the set is stored.
        plan: The seal.
        outlets: The office's list, with their keys.
        names: Who is in the set.
        at: Unix seconds.

    Raises:
        AnswerRefused: If so; no outlet is at fault.
    """
    if plan.kind is SealKind.BAND:
        usable = transaction.seeds.usable(plan, outlets, at)
        left_out = sorted(usable.keys() - names)
        if left_out:
            over = max(usable[name] for name in left_out) + dt.timedelta(CARRY_DAYS)
            raise AnswerRefused(
                f"release {plan.release}: its set lacks {len(left_out)} outlets that answered "
                f"within {CARRY_DAYS} days, of which {left_out[0]} is one; carry its last answer, "
                f"or, where HQ has lost it, seal when it is there, or after {over:%Y-%m-%d}"
            )
    before = transaction.seals.outlets() & outlets.keys()
    least = ceil(LEAST_THERE * len(before))
    if len(before & names) < least:
        raise AnswerRefused(
            f"release {plan.release}: got {len(before & names)} of the {len(before)} outlets that "
            f"were in seals before, expected at least {least}; seal on a night when more are "
            "there, or have the privacy office take off its list who left"
        )


def reached_slots(plan: SealPlan, seeds: Sequence[KeptSeed]) -> int:
    """How many slots of a seal, from the first on, three quarters of its set answered about.

    An answer that is carried is of the slots that there were when it was given. Of those listed
    since the sum is that of the fresh answers alone, a quorum of HQ's choice: so nothing is told of
    them, and they read "new", until enough outlets answered about them.

    Args:
        plan: The seal.
        seeds: Of its set, each with the length of its mask.
    """
    longest = sorted((kept.dimension for kept in seeds), reverse=True)
    return longest[ceil(LEAST_THERE * len(longest)) - 1] // plan.width


def kept_seeds(
    transaction: Transaction, plan: SealPlan, carried: Sequence[Carried], at: int
) -> list[KeptSeed]:
    """The seeds of the outlets that are carried.

    Raises:
        AnswerRefused: If the seal is not for bands, or what is carried is not an outlet's last
            answer, for this very scorecard, or was given or is of a day more than `CARRY_DAYS`
            away.
    """
    if carried and plan.kind is not SealKind.BAND:
        raise AnswerRefused(f"release {plan.release}: only seals for bands carry absent outlets")
    kept = []
    for last in carried:
        seed = transaction.seeds.find(plan, last, at)
        if seed is None:
            raise AnswerRefused(
                f"outlet {last.envelope.outlet}: not its last answer for this scorecard, or of "
                f"more than {CARRY_DAYS} days ago; leave it out",
                last.envelope.outlet,
            )
        kept.append(seed)
    return kept
