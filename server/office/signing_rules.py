"""Rules of signing: which releases and seals the office refuses, whatever HQ's plan says."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING

from privacy.days import check_day
from privacy.errors import PlanRefused
from privacy.loss import Rho
from privacy.plans import NightPlan
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.directory import Directory
    from privacy.plans import PlannedReleases, ReleaseDraft
    from privacy.seal_plans import SealDraft
    from server.office.ledger_store import Transaction
    from server.office.settings import OfficeSettings

_DAY_SECONDS = 24 * 3600


class DayKind(StrEnum):
    """What the last day of a release is."""

    CUT_OFF = "cut-off"
    """The last day in features whose outcomes were watched since."""
    BANDS = "bands"
    """The day that bands are of."""


def check_lines(settings: OfficeSettings, night: str, lines: Sequence[PlannedReleases]) -> None:
    """Refuses a night that plans sums without noise, or seals with some.

    Raises:
        PlanRefused: If so.
    """
    for line in lines:
        if line.purpose is Purpose.POINTS:
            if line.rho is not None:
                raise PlanRefused(f"night {night}: seals open nothing; expected no rho for points")
        elif line.rho is None and line.purpose not in settings.noiseless:
            raise PlanRefused(f"night {night}: releases without noise exist in the sandbox only")


def check_draft(
    transaction: Transaction,
    settings: OfficeSettings,
    outlets: int,
    directory: str,
    draft: ReleaseDraft,
    at: int,
) -> None:
    """Refuses a release that its night did not plan, or that is outside the office's floors.

    Args:
        transaction: In which the release is signed.
        settings: The floors.
        outlets: How many are on the office's list.
        directory: Digest of the directory that was countersigned last, which a night's first
            release has to be of.
        draft: What HQ asks for.
        at: Unix seconds.

    Raises:
        PlanRefused: If it is outside its night plan, the night's chain of releases, its directory,
            its days, or the floors.
    """
    draft.check(outlets)
    if draft.purpose is Purpose.POINTS:
        raise PlanRefused(f"release {draft.release}: points are sealed, never opened")
    _check_cost(settings, draft, _check_place(transaction, settings, draft, at))
    _check_directory(draft, directory, transaction.directory(draft.night))
    check_days(transaction, settings, f"release {draft.release}", DayKind.CUT_OFF, draft.as_of, at)


def check_seal(
    transaction: Transaction,
    settings: OfficeSettings,
    directory: Directory,
    draft: SealDraft,
    at: int,
) -> DayKind:
    """Refuses a seal that its night did not plan, or that is outside the office's limits.

    That its terms are within the protocol's constants is checked before, by `SealDraft.check`.

    Args:
        transaction: In which the seal is signed.
        settings: The limits.
        directory: The one that was countersigned last, which every seal has to be of.
        draft: What HQ asks for.
        at: Unix seconds.

    Returns:
        What its last day is, of which the latest is to be kept.

    Raises:
        PlanRefused: If it is outside its night plan, the night's chain of releases, its directory,
            its days, or the limits; or while another one is open.
    """
    what = f"release {draft.release}"
    other = transaction.seals.find_open()
    if other is not None:
        raise PlanRefused(f"{what}: {other.plan.release} is open; close it, or let it expire")
    _check_place(transaction, settings, draft, at)
    _check_directory(draft, directory.digest, None)
    _check_directory(draft, directory.digest, transaction.directory(draft.night))
    if draft.slots != directory.slots:
        raise PlanRefused(f"{what}: got {draft.slots} slots, expected {directory.slots}")
    kind = DayKind.BANDS if draft.kind is SealKind.BAND else DayKind.CUT_OFF
    check_days(transaction, settings, what, kind, draft.as_of, at)
    _check_number(transaction, settings, draft, at)
    _check_terms(transaction, settings, draft, at)
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


def _check_place(
    transaction: Transaction, settings: OfficeSettings, draft: ReleaseDraft | SealDraft, at: int
) -> PlannedReleases:
    """The line of its night that a release is of, if it is the next one there, of a quorum."""
    known = transaction.night(digest=draft.night)
    if known is None:
        raise PlanRefused(f"release {draft.release}: its night was not planned here")
    night, expires = NightPlan.decode(known[0].payload), known[1]
    if at >= expires:
        raise PlanRefused(f"release {draft.release}: its night is over")
    line = night.line(draft.purpose)
    if transaction.signed_count(draft.night, draft.purpose) >= line.count:
        raise PlanRefused(
            f"release {draft.release}: the night plans {line.count} for {line.purpose}"
        )
    waiting = transaction.outstanding(draft.night)
    if waiting:
        raise PlanRefused(f"release {draft.release}: {waiting} is not answered yet")
    parent = transaction.last_answered(draft.night)
    if draft.parent != parent:
        raise PlanRefused(
            f"release {draft.release}: got parent '{draft.parent}', expected '{parent}'"
        )
    if draft.quorum < settings.minimum_outlets:
        raise PlanRefused(
            f"release {draft.release}: got quorum {draft.quorum}, "
            f"expected at least {settings.minimum_outlets}"
        )
    return line


def _check_directory(
    draft: ReleaseDraft | SealDraft, countersigned: str, tonights: str | None
) -> None:
    """Refuses a first release of another directory than the last, and later ones of another yet."""
    if tonights is None and draft.directory != countersigned:
        raise PlanRefused(
            f"release {draft.release}: got directory {draft.directory[:16]}, expected "
            f"{countersigned[:16] or 'none yet'}, the last that was countersigned; countersign it "
            "first"
        )
    if tonights not in (None, draft.directory):
        raise PlanRefused(f"release {draft.release}: the night's directory is another one")


def _check_cost(settings: OfficeSettings, draft: ReleaseDraft, line: PlannedReleases) -> None:
    """Refuses a release that costs more than its night plans for one of its purpose."""
    cost = draft.rho()
    if cost is None:
        if line.rho is not None or draft.purpose not in settings.noiseless:
            raise PlanRefused(f"release {draft.release}: no noise where noise was planned")
    elif cost > (line.rho or Rho(0)):
        raise PlanRefused(f"release {draft.release}: costs more than the night plans for it")


def _check_number(
    transaction: Transaction, settings: OfficeSettings, draft: SealDraft, at: int
) -> None:
    """Refuses more seals of a kind than a week or a rolling year may have."""
    a_year = {
        SealKind.BAND: settings.seals_a_year,
        SealKind.FINE: settings.calibrations_a_year,
    }[draft.kind]
    for most, within, days in [(settings.seals_a_week, "7 days", 7), (a_year, "a year", 365)]:
        made = transaction.seals.count(draft.kind, at - days * _DAY_SECONDS)
        if made >= most:
            raise PlanRefused(
                f"release {draft.release}: {made} {draft.kind} seals within {within}, expected at "
                f"most {most}; wait, or let the privacy office change its limits"
            )


def _check_terms(
    transaction: Transaction, settings: OfficeSettings, draft: SealDraft, at: int
) -> None:
    """Refuses other scorecards or cuts than before, too soon or without a calibration.

    Cuts that HQ moved as it likes would tell each slot's sum, a seal at a time; and other weights
    move a sum over cuts that stay, or over bins. So scorecards and cuts of bands change together,
    those that are calibrated as seldom, and bands are by those that were calibrated last, or go on
    with what they have.
    """
    before, fine = transaction.seals.terms(), transaction.seals.fine_terms()
    if draft.kind is SealKind.FINE:
        if fine is None or fine.scorecard == draft.scorecard:
            return
        days = (at - fine.since) / _DAY_SECONDS
        if days < settings.cut_days:
            raise PlanRefused(
                f"release {draft.release}: got other scorecards {days:.1f} days after the last "
                f"change, expected those of before, or at least {settings.cut_days} days"
            )
        return
    if before is not None and (before.scorecard, before.cuts) == (draft.scorecard, draft.cuts):
        return
    if fine is not None and fine.scorecard != draft.scorecard:
        raise PlanRefused(
            f"release {draft.release}: got scorecards that are not those calibrated last; "
            "calibrate them first, or go on with the scorecards and cuts of before"
        )
    if before is None:
        return
    days = (at - before.since) / _DAY_SECONDS
    if days < settings.cut_days or not before.calibrated:
        raise PlanRefused(
            f"release {draft.release}: got other scorecards or cuts {days:.1f} days after the last "
            "change, expected those of before, or a calibration since and at least "
            f"{settings.cut_days} days"
        )
