"""Questions as HQ asks them, about plans that an office signs whatever they say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from privacy.envelopes import SealKey, digest
from privacy.fixed_point import clipping_units
from privacy.plans import NightPlan, PlannedReleases, ReleasePlan, sign
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan, sign_seal
from privacy.slot_keys import OneTimeKey

if TYPE_CHECKING:
    from privacy.envelopes import SigningKey

DIRECTORY = "d1" * 32
NEVER = 2**40
UNLOCK = SealKey.generate()
"""The office's one-time key of every plan here."""

POINT = OneTimeKey.generate().public.hex()
CUTS = ((-10, 4), (0, 4, 20))
MIDDLES = ((-12,), (4,))


def plan_of(
    purpose: Purpose, dimension: int, norm: float, as_of: str, **changes: object
) -> ReleasePlan:
    """A plan of a customer sum, with twice the noise that outlets ask for."""
    scale = 2**20
    units = clipping_units(norm, scale)
    plan = ReleasePlan(
        "r", "", "", purpose, dimension, 64, scale, units, 2**50, 8 * units, 3, "", DIRECTORY,
        as_of, "", UNLOCK.public.hex(), NEVER,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields by name


def seal_of(
    slots: int, as_of: str, kind: SealKind = SealKind.BAND, scores: int = 2, **changes: object
) -> SealPlan:
    """A plan of a seal."""
    cuts = (CUTS if kind is SealKind.BAND else MIDDLES)[:scores]
    plan = SealPlan(
        "seal", "", "", kind, slots, scores, cuts, 3, "", DIRECTORY, as_of, POINT, POINT,
        UNLOCK.public.hex(), POINT, NEVER,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields by name


def question(
    plan: ReleasePlan | SealPlan,
    office: SigningKey,
    *,
    cut_off: str,
    scorecard: bytes,
    attachment: bytes = b"",
    night: str = "n",
    length: int = 1,
    head: str = "h",
) -> dict[str, bytes]:
    """What an outlet is asked, of a night of its own: the plan is bound to all that comes with it.

    Args:
        plan: Of a sum or a seal.
        office: Who signs.
        cut_off: The night's.
        scorecard: With the plan.
        attachment: Likewise.
        night: The night's name.
        length: Of the office's ledger, with its head.
        head: Its last digest.
    """
    lines = tuple(PlannedReleases(purpose, 9, None) for purpose in Purpose)
    signed_night = sign(NightPlan(night, cut_off, lines, length, head, NEVER), office)
    bound: dict[str, Any] = {"night": signed_night.digest, "scorecard": _digest(scorecard)}
    if isinstance(plan, SealPlan):
        signed = sign_seal(replace(plan, **bound), office)
    else:
        signed = sign(replace(plan, **bound, attachment=_digest(attachment)), office)
    return {
        "night": signed_night.payload,
        "night_signature": signed_night.signature,
        "plan": signed.payload,
        "plan_signature": signed.signature,
        "scorecard": scorecard,
        "attachment": attachment,
    }


def _digest(data: bytes) -> str:
    """A digest as plans carry it."""
    return digest(data) if data else ""
