"""Whether the office's ledger goes on from what this outlet saw of it.

Invariant: once an outlet answered under a ledger, it answers under none that lacks an entry of that
one, whatever night it is. The one exception is a ledger that its office said was lost: it has an
entry by which the whole year's budget is charged, so nothing is gained by it.

An outlet keeps length and head, and asks the office for the entries between: each carries the
digest of the one before, and the last is the one that the signed night plan names.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from outlet_client.errors import QuestionRefused
from privacy.budget import YEAR_SECONDS, LedgerAct, LedgerBroken, LedgerPosition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privacy.budget import LedgerEntry
    from privacy.plans import NightPlan

    Entries = Callable[[int], Sequence[LedgerEntry]]

_LOG = logging.getLogger(__name__)


def position_of(night: NightPlan) -> LedgerPosition:
    """How far the ledger was when a night was planned."""
    return LedgerPosition(night.ledger_length, night.ledger_head)


def check_goes_on(
    night: NightPlan, seen: Sequence[LedgerPosition], entries: Entries, at: int
) -> list[LedgerPosition]:
    """Refuses a night under a ledger that does not go on from what was seen.

    Args:
        night: Its plan, signed by the office.
        seen: How far the ledger was in earlier nights, ascending.
        entries: Gives the office's entries after the first so many.
        at: Unix seconds.

    Returns:
        What was seen and is in that ledger no more: nothing, but after a loss that it charged.

    Raises:
        QuestionRefused: If it does not go on.
        OutletError: If the office does not give its entries.
    """
    now = position_of(night)
    if not seen or seen[-1] == now:
        return []
    last = seen[-1]
    if now.length > last.length and _leads(last, entries(last.length), now):
        return []
    whole = list(entries(0))[: now.length]
    if _leads(LedgerPosition(), whole, now):
        held = [one for one in seen if _has(whole, one)]
        since = held[-1].length if held else 0
        if any(_charges_a_year(entry, at) for entry in whole[since:]):
            _LOG.warning(
                "the privacy office lost its ledger, and has charged a whole year for it: %d "
                "entries that were seen here are gone",
                last.length - since,
            )
            return [one for one in seen if one not in held]
    raise QuestionRefused(
        f"night {night.night}: the office's ledger went back: it does not go on from entry "
        f"{last.length}, which was seen here. No night is answered until the office brings its "
        "entries back (`escapement-office ledger reconcile`); `escapement-outlet ledger export` "
        "writes what this outlet knows. Ask the privacy office why"
    )


def _leads(since: LedgerPosition, entries: Sequence[LedgerEntry], to: LedgerPosition) -> bool:
    """Whether these entries lead from one position to another."""
    try:
        return since.followed_by(entries[: to.length - since.length]) == to
    except LedgerBroken:
        return False


def _has(entries: Sequence[LedgerEntry], position: LedgerPosition) -> bool:
    return position.length <= len(entries) and (
        entries[position.length - 1].digest == position.head
    )


def _charges_a_year(entry: LedgerEntry, at: int) -> bool:
    """Whether it says that entries were lost, and what it charged for them counts still."""
    return entry.act is LedgerAct.LOST and entry.at > at - YEAR_SECONDS
