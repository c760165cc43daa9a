"""Whether an office's ledger goes on from what an outlet saw of it, position by position."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from outlet_client.contribution.ledger_history import check_goes_on
from outlet_client.errors import QuestionRefused
from privacy.budget import YEAR_SECONDS, Ledger, LedgerPosition, Policy
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import NightPlan
from privacy.purposes import Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.budget import LedgerEntry

POLICY = Policy(EpsilonDelta(4.0, 1e-6), {Purpose.TRAINING: Fraction(1)})
NOW = 1_800_000_000


def nights(ledger: Ledger, *names: str) -> Ledger:
    for name in names:
        ledger = ledger.reserve(name, {Purpose.TRAINING: Rho(0)}, NOW).close(name, NOW)
    return ledger


FIRST = nights(Ledger(POLICY), "a")
SECOND = nights(FIRST, "b")
LOST = nights(nights(Ledger(POLICY), "x").lose(NOW), "y")
SEEN = [FIRST.position, SECOND.position]


def gone(
    ledger: Ledger, seen: Sequence[LedgerPosition] = SEEN, at: int = NOW
) -> list[LedgerPosition]:
    """What of the positions is in a ledger no more."""
    night = NightPlan("n", "2026-01-01", (), ledger.length, ledger.head, NOW)
    return check_goes_on(night, seen, ledger.since, at)


def test_a_night_under_the_ledger_that_was_seen_last_asks_for_no_entries() -> None:
    def never(_after: int) -> Sequence[LedgerEntry]:
        raise AssertionError

    night = NightPlan("n", "2026-01-01", (), SECOND.length, SECOND.head, NOW)
    assert check_goes_on(night, SEEN, never, NOW) == []
    assert check_goes_on(night, [], never, NOW) == []


def test_a_ledger_as_it_was_when_it_was_seen_before_the_last_time_went_back() -> None:
    """An office that was restored from a copy charges for the same year once more."""
    assert gone(nights(SECOND, "c")) == []
    with pytest.raises(QuestionRefused, match="does not go on from entry 4"):
        gone(FIRST)


def test_after_a_loss_that_charged_a_year_all_that_is_gone_is_told_and_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Wherever the loss is among entries that nobody here saw."""
    with caplog.at_level(logging.WARNING):
        assert gone(LOST) == SEEN
        assert gone(nights(FIRST.lose(NOW), "c")) == SEEN[1:]
    told = [message.partition(" for it: ")[2] for message in caplog.messages]
    assert told == [f"{number} entries that were seen here are gone" for number in (4, 2)]


@pytest.mark.parametrize("head", ["0" * 64, "f" * 64])
def test_another_entry_in_the_place_of_one_that_was_seen_is_not_that_one(head: str) -> None:
    seen = [LedgerPosition(2, head)]
    assert gone(LOST, seen) == seen
    with pytest.raises(QuestionRefused, match="does not go on"):
        gone(SECOND, seen)


def test_a_loss_counts_for_the_year_that_it_charged_to_the_second() -> None:
    assert gone(LOST, at=NOW + YEAR_SECONDS - 1) == SEEN
    with pytest.raises(QuestionRefused, match="does not go on"):
        gone(LOST, at=NOW + YEAR_SECONDS)
