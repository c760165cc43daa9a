"""Rules of signing: which releases the office refuses, whatever HQ's plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.errors import PlanRefused
from privacy.loss import Rho
from privacy.plans import NightPlan
from privacy.units import Purpose

if TYPE_CHECKING:
    from privacy.plans import PlannedReleases, ReleaseDraft
    from server.office.ledger_store import Transaction
    from server.office.settings import OfficeSettings


def check_draft(
    transaction: Transaction, settings: OfficeSettings, outlets: int, draft: ReleaseDraft, at: int
) -> None:
    """Refuses a release that its night did not plan, or that is outside the office's floors.

    Args:
        transaction: In which the release is signed.
        settings: The floors.
        outlets: How many are on the office's list.
        draft: What HQ asks for.
        at: Unix seconds.

    Raises:
        PlanRefused: If it is outside its night plan, the night's chain of releases, its directory,
            or the floors.
    """
    draft.check(outlets)
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
    _check_cost(settings, draft, line)
    _check_points(transaction, settings, draft, at)
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
    if draft.quorum < settings.minimum_outlets:
        raise PlanRefused(
            f"release {draft.release}: got quorum {draft.quorum}, "
            f"expected at least {settings.minimum_outlets}"
        )


def _check_cost(settings: OfficeSettings, draft: ReleaseDraft, line: PlannedReleases) -> None:
    """Refuses a release that costs more than its night plans for one of its purpose."""
    cost = draft.rho()
    if cost is None:
        if line.rho is not None or draft.purpose not in settings.noiseless:
            raise PlanRefused(f"release {draft.release}: no noise where noise was planned")
    elif cost > (line.rho or Rho(0)):
        raise PlanRefused(f"release {draft.release}: costs more than the night plans for it")


def _check_points(
    transaction: Transaction, settings: OfficeSettings, draft: ReleaseDraft, at: int
) -> None:
    """Refuses points with less noise, or more often in a year, than the policy says."""
    if draft.purpose is not Purpose.POINTS:
        return
    least = settings.event_noise * draft.norm
    if draft.noise_scale < least and draft.purpose not in settings.noiseless:
        raise PlanRefused(
            f"release {draft.release}: got noise {draft.noise_scale / draft.norm:.3g} times an "
            f"event's longest row, expected at least {settings.event_noise:g}"
        )
    check_year(transaction, settings, draft, at)


def check_year(
    transaction: Transaction, settings: OfficeSettings, draft: ReleaseDraft, at: int
) -> None:
    """Refuses more points releases than a rolling year may have.

    Raises:
        PlanRefused: If one more is too many.
    """
    made = transaction.ledger().charges(draft.purpose, at)
    if made >= settings.points_a_year:
        raise PlanRefused(
            f"release {draft.release}: {made} points releases within a year, expected at most "
            f"{settings.points_a_year}; wait, or let the privacy office change its policy"
        )
