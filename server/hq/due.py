"""What a night is about, and what is due in it: when, and as far as the ledger allows.

A training is due a month after the last; one that broke off is tried again a week later, so that
bands go on meanwhile. Bands are sealed a week after the last time, and as soon as there are other
scorecards or cuts. Scorecards that were trained are calibrated before they stand; where that cannot
be done tonight, or a person has to accept them first, bands go on by those that stand. Nothing is
begun that the office would refuse for who is missing: a calibration's seal is of those who are
there, one of bands also of whose last answer can be carried. Days are counted whole, by date. What
is not done is said, with the reason. The plan that the office signed is stored; a night that is
taken up again does what it began with.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import KW_ONLY, dataclass
from math import ceil
from typing import TYPE_CHECKING

from privacy.envelopes import digest
from privacy.errors import BudgetExceeded
from privacy.outlet_blocks import largest_set
from privacy.plans import PlannedReleases
from privacy.purposes import Purpose
from privacy.seal_plans import LEAST_THERE
from server.hq.errors import QuorumNotMet
from server.hq.model_store import scorecards_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Set

    from privacy.plans import Signed
    from server.hq.model_store import StandingModel
    from server.hq.privacy_office import PrivacyOffice
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore

DAY_SECONDS = 24 * 3600


RETRY_DAYS = 7
"""A training that broke off is tried again after so many days, while bands go on by scorecards that
stand: what it released is charged, and about twelve such nights use up a year."""

_CALIBRATED = 2
"""Seals where bands are sealed with cuts that are made tonight."""


@dataclass(frozen=True, slots=True)
class Tonight:
    """What a night is about; all of it public.

    Attributes:
        name: The night's name, used once.
        cut_off: The last day in the features that train, ISO 8601.
        as_of: The last day that bands are made from, ISO 8601.
        outcomes: What is predicted, in the order of a book's codes.
        directory: The digest of tonight's directory.
        slots: How many slots it has; 0 where nothing is sealed.
    """

    name: str
    cut_off: str
    as_of: str
    outcomes: tuple[str, ...]
    directory: str
    slots: int

    def roll_call(self) -> dict[str, str]:
        """What outlets get ready for."""
        return {
            "cut_off": self.cut_off,
            "as_of": self.as_of,
            "outcomes": ",".join(self.outcomes),
            "directory": self.directory,
        }


@dataclass(frozen=True, slots=True)
class Due:
    """Finds out what is due and has the office sign it.

    Attributes:
        tonight: What the night is about.
        settings: HQ's.
        store: What stands, and the plans of earlier nights.
        office: The privacy office.
        clock: Unix seconds.
        calibrates: Whether bands are made; in a replay scores are all that is wanted.
        there: The listed outlets, and of each whether it is there.
    """

    tonight: Tonight
    settings: HqSettings
    store: HqStore
    office: PrivacyOffice
    clock: Callable[[], float]
    _: KW_ONLY
    calibrates: bool
    there: Mapping[str, bool]

    def plan(self, skipped: list[str]) -> Signed | None:
        """The office's plan of what is due and what the ledger allows; of a resumed night, its own.

        Where the ledger does not hold a training, bands go on if they are due by themselves.

        Args:
            skipped: What is not done, and why, is added here.

        Returns:
            The signed plan; None where nothing is due.

        Raises:
            PrivacyError: If the office refuses for another reason than its ledger.
        """
        known = self.store.night(self.tonight.name)
        if known is not None:
            skipped += known[1]
            return known[0]
        trains, calibrates = self._wanted(skipped)
        if not self._is_banded():
            skipped.append("bands: nobody is in the directory, or switched off in hq.toml")
        for training, calibration in self._less_and_less(trains=trains, calibrates=calibrates):
            lines = self._lines(skipped, trains=training, calibrates=calibration)
            if not lines:
                return None
            try:
                signed = self.office.sign_night(self.tonight.name, self.tonight.cut_off, lines)
            except BudgetExceeded as refusal:
                skipped.append(str(refusal))
            else:
                directory = self.tonight.directory
                self.store.add_night(self.tonight.name, signed, directory, skipped)
                return signed
        return None

    def _lines(
        self, skipped: list[str], *, trains: bool, calibrates: bool
    ) -> list[PlannedReleases]:
        """What the night plan holds: customer sums, and seals, which cost nothing."""
        first = self._begins_at_the_start()
        costs = self.settings.costs(from_start=first)
        counts = self.settings.counts(from_start=first)
        purposes = [one for one in counts if (calibrates if one is Purpose.CALIBRATION else trains)]
        seals = _CALIBRATED if calibrates else int(self.seals(skipped))
        lines = [PlannedReleases(purpose, counts[purpose], costs[purpose]) for purpose in purposes]
        return [*lines, PlannedReleases(Purpose.POINTS, seals, None)] if seals else lines

    def _begins_at_the_start(self) -> bool:
        """Whether starting scorecards are what a training is held against, as nothing stands."""
        outcomes = self.tonight.outcomes
        published = all(outcome in self.settings.starting for outcome in outcomes)
        return self._is_banded() and published and not self.store.models(outcomes)

    def _less_and_less(self, *, trains: bool, calibrates: bool) -> Iterator[tuple[bool, bool]]:
        """What is asked for, and then less, where the ledger does not hold it."""
        yield trains, calibrates
        if trains and calibrates and self._uncalibrated():
            yield False, True
        if trains or calibrates:
            yield False, False

    def _wanted(self, skipped: list[str]) -> tuple[bool, bool]:
        """Whether a training is due, and whether scorecards are to be calibrated."""
        trains = self._is_training_due(skipped)
        held = self.store.held()
        if held is not None and not trains:  # else another training takes its place
            skipped.append(f"calibration: {held.said}")
        waits = trains or self._uncalibrated()
        what = "training" if trains else "calibration"
        together = self._told_together() if waits else frozenset()
        if waits and not together:
            skipped.append(f"{what}: {self._told_apart()}; the scorecards that stand go on")
            return False, False
        if not (waits and self._is_banded()):
            return trains, False
        if lacking := self._lacking(together):
            skipped.append(f"{what}: {lacking}; the scorecards that stand go on")
            return False, False
        return trains, True

    def _uncalibrated(self) -> bool:
        """Whether scorecards wait for their calibration, and not for a person."""
        return bool(self.store.uncalibrated(self.tonight.outcomes)) and self.store.held() is None

    def _is_training_due(self, skipped: list[str]) -> bool:
        if self.calibrates and not self.tonight.slots:
            skipped.append("training: nobody is in the directory yet")
            return False
        models = self.store.newest_models(self.tonight.outcomes)
        today = _day(self.clock())
        ages = [(today - _day(model.at)).days for model in models]
        if models and max(ages) < self.settings.train_days:
            skipped.append(
                f"training: the last was less than {self.settings.train_days:g} days ago"
            )
            return False
        if broken := broken_training(self.store, self.tonight.outcomes, self.settings.train_days):
            until, said = broken
            if today < until:
                skipped.append(said)
                return False
        return True

    def _here(self) -> frozenset[str]:
        return frozenset(name for name, is_there in self.there.items() if is_there)

    def _told_together(self) -> frozenset[str]:
        """Over whom of those who are there a sum may be opened, beside the last year's.

        Of a block all are in a sum, or a quorum is left out.

        Raises:
            QuorumNotMet: If fewer are there than the office's floor or HQ's quorum.
        """
        known, here = self.office.sum_blocks(), self._here()
        quorum = max(known.quorum, self.settings.quorum)
        if len(here) < quorum:
            raise QuorumNotMet("sums", len(here), quorum)
        return largest_set(known.blocks, here, quorum, known.admitted)

    def _told_apart(self) -> str:
        """Why no sum over those who are there may be opened."""
        known, here = self.office.sum_blocks(), self._here()
        quorum = max(known.quorum, self.settings.quorum)
        away = ", ".join(sorted(frozenset[str]().union(*known.blocks) - here))
        return (
            f"{away} were in the last year's sums and are not there: a sum without them would tell "
            f"the part of fewer than {quorum} outlets"
        )

    def _lacking(self, counted: Set[str]) -> str:
        """Why the office would refuse a seal tonight, as too few are in it; "" where it would not.

        Args:
            counted: Who would be in it.
        """
        before = self.there.keys() & self.store.sealed_outlets()
        here = len(before & counted)
        least = ceil(LEAST_THERE * len(before))
        if here >= least:
            return ""
        return (
            f"{here} of the {len(before)} outlets that were in seals before could be in this one, "
            f"expected {least}"
        )

    def seals(self, skipped: list[str]) -> bool:
        """Whether bands are sealed by the scorecards that stand.

        Args:
            skipped: Why not, is added here.
        """
        if not self._is_banded():
            return False
        models = self.store.models(self.tonight.outcomes)
        if not models:
            skipped.append("bands: no scorecard is calibrated yet")
            return False
        if until := self._not_due_until(models):
            skipped.append(f"bands: they are sealed again from {until} on")
            return False
        carried = self.store.carryable(digest(scorecards_of(models)))
        if lacking := self._lacking(self._here() | carried):
            skipped.append(f"bands: {lacking}; the last book stays")
            return False
        return True

    def _is_banded(self) -> bool:
        return self.calibrates and self.tonight.slots > 0

    def _not_due_until(self, models: Sequence[StandingModel]) -> str:
        """On which day bands are due again, ISO 8601; "" where they are due.

        They are where they were never sealed, long ago, or with other scorecards or cuts.
        """
        last = self.store.standing_seal()
        if last is None:
            return ""
        sealed = last.draft.scorecard, last.draft.cuts
        stands = digest(scorecards_of(models)), tuple(model.cuts for model in models)
        until = next_seal(last.draft.as_of, self.settings.band_days)
        return until if sealed == stands and self.tonight.as_of < until else ""


def broken_training(
    store: HqStore, outcomes: Sequence[str], train_days: float
) -> tuple[dt.date, str] | None:
    """The day on which a training is tried again whose last night broke off, and what to do.

    Args:
        store: HQ's.
        outcomes: What is predicted.
        train_days: The setting.

    Returns:
        The day and a sentence; None where the last training came to its end, or nothing stands.
    """
    begun = store.last_training()
    trained = {model.night for model in store.newest_models(outcomes)}
    if begun is None or begun.night in trained or not store.models(outcomes):
        return None
    until = _day(begun.expires) + dt.timedelta(days=ceil(min(RETRY_DAYS, train_days)))
    return until, (
        f"training: that of night {begun.night} broke off, and what it released is spent; it is "
        f"tried again from {until} on, and bands go on by the scorecards that stand. Find out why "
        "with the outlets that fell silent; one that stays away is taken off HQ's and the "
        "office's lists"
    )


def next_seal(as_of: str, band_days: float) -> str:
    """The day on which bands are due again, where scorecards and cuts stay; ISO 8601.

    Args:
        as_of: The last day that the last ones were made from, ISO 8601.
        band_days: The setting; part of a day counts as a whole one.
    """
    return (dt.date.fromisoformat(as_of) + dt.timedelta(days=ceil(band_days))).isoformat()


def _day(at: float) -> dt.date:
    return dt.datetime.fromtimestamp(at, dt.UTC).date()
