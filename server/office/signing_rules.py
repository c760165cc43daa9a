"""Rules of signing: which releases the office refuses, whatever HQ's plan says."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING

from privacy.days import check_day
from privacy.errors import PlanRefused
from privacy.loss import Rho
from privacy.plans import NightPlan
from privacy.units import Purpose

if TYPE_CHECKING:
    from privacy.plans import PlannedReleases, ReleaseDraft
    from server.office.ledger_store import Transaction
    from server.office.settings import OfficeSettings


class DayKind(StrEnum):
    """What the last day of a release is."""

    CUT_OFF = "cut-off"
    """The last day in features whose outcomes were watched since."""
    BANDS = "bands"
    """The day that bands are of."""


def check_draft(
    transaction: Transaction,
    settings: OfficeSettings,
    outlets: int,
    directory: str,
    draft: ReleaseDraft,
    at: int,
) -> DayKind:
    """Refuses a release that its night did not plan, or that is outside the office's floors.

    Args:
        transaction: In which the release is signed.
        settings: The floors.
        outlets: How many are on the office's list.
        directory: Digest of the directory that was countersigned last, which a night's first
            release has to be of.
        draft: What HQ asks for.
        at: Unix seconds.

    Returns:
        What its last day is, of which the latest is to be kept.

    Raises:
        PlanRefused: If it is outside its night plan, the night's chain of releases, its directory,
            its days, or the floors.
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
    _check_directory(transaction, directory, draft)
    kind = _kind(draft, night)
    check_days(transaction, settings, f"release {draft.release}", kind, draft.as_of, at)
    if draft.quorum < settings.minimum_outlets:
        raise PlanRefused(
            f"release {draft.release}: got quorum {draft.quorum}, "
            f"expected at least {settings.minimum_outlets}"
        )
    return kind


def check_days(
    transaction: Transaction,
    settings: OfficeSettings,
    what: str,
    kind: DayKind,
    day: str,
    at: int,
) -> None:
    """Refuses a last day that is far from what it should be, or before an earlier one of its kind.

    Without it HQ could carry one outlet's answer and ask the others as of a day long gone, when
    they had none: what remains is that one's.

    Args:
        transaction: In which it is signed.
        settings: How far off a day may be.
        what: Whose day, for the message.
        kind: Of bands it should be today, a cut-off lies as long before as outcomes are watched.
        day: ISO 8601.
        at: Unix seconds.

    Raises:
        PlanRefused: If so.
    """
    expected = dt.datetime.fromtimestamp(at, dt.UTC).date()
    if kind is DayKind.CUT_OFF:
        expected -= dt.timedelta(settings.horizon_days)
    check_day(f"{what}, {kind}", day, expected, settings.days_off)
    before = transaction.latest_day(kind)
    if before is not None and day < before:  # in the form that was checked, days sort as text
        raise PlanRefused(
            f"{what}, {kind}: got {day}, expected {before}, as signed before, or later"
        )


def _kind(draft: ReleaseDraft, night: NightPlan) -> DayKind:
    """What a draft's last day is: of points, as of the night's cut-off or as of today."""
    of_bands = draft.purpose is Purpose.POINTS and draft.as_of != night.cut_off
    return DayKind.BANDS if of_bands else DayKind.CUT_OFF


def _check_directory(transaction: Transaction, countersigned: str, draft: ReleaseDraft) -> None:
    """Refuses a first release of another directory than the last, and later ones of another yet."""
    first = transaction.directory(draft.night)
    if first is None and draft.directory != countersigned:
        raise PlanRefused(
            f"release {draft.release}: got directory {draft.directory[:16]}, expected "
            f"{countersigned[:16] or 'none yet'}, the last that was countersigned; countersign it "
            "first"
        )
    if first not in (None, draft.directory):
        raise PlanRefused(f"release {draft.release}: the night's directory is another one")


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
