"""What a night is about, and what is due in it: when, and as far as the ledger allows.

A training is due a month after the last. Bands are sealed a week after the last time, and as soon
as there are other scorecards or cuts; scorecards that stand without cuts are calibrated first, and
until then nothing is sealed. Neither begins while the office would refuse the calibration's seal,
which is of those who are there. What is not done is said, with the reason. The plan that the office
signed is stored; a night that is taken up again does what it began with.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import KW_ONLY, dataclass
from math import ceil
from typing import TYPE_CHECKING

from privacy.envelopes import digest
from privacy.errors import BudgetExceeded
from privacy.plans import PlannedReleases
from privacy.purposes import Purpose
from privacy.seal_plans import LEAST_THERE
from server.hq.model_store import scorecards_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privacy.plans import Signed
    from server.hq.model_store import StandingModel
    from server.hq.privacy_office import PrivacyOffice
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore

DAY_SECONDS = 24 * 3600

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
        trains = self._training(skipped)
        if not self._is_banded():
            skipped.append("bands: nobody is in the directory, or switched off in hq.toml")
        while lines := self._lines(skipped, trains=trains):
            try:
                signed = self.office.sign_night(self.tonight.name, self.tonight.cut_off, lines)
            except BudgetExceeded as refusal:
                skipped.append(str(refusal))
                if not trains:
                    skipped.append("bands: no scorecard is calibrated; the last book stays")
                    return None
                trains = False
            else:
                directory = self.tonight.directory
                self.store.add_night(self.tonight.name, signed, directory, skipped)
                return signed
        return None

    def _lines(self, skipped: list[str], *, trains: bool) -> list[PlannedReleases]:
        """What the night plan holds: customer sums, and seals, which cost nothing."""
        costs, counts = self.settings.costs(), self.settings.counts()
        seals = self._seals(skipped, trains=trains)
        if trains:
            purposes = [one for one in counts if seals or one is not Purpose.CALIBRATION]
        else:
            purposes = [Purpose.CALIBRATION] if seals == _CALIBRATED else []
        lines = [PlannedReleases(purpose, counts[purpose], costs[purpose]) for purpose in purposes]
        return [*lines, PlannedReleases(Purpose.POINTS, seals, None)] if seals else lines

    def _training(self, skipped: list[str]) -> bool:
        if self.calibrates and not self.tonight.slots:
            skipped.append("training: nobody is in the directory yet")
            return False
        models = self.store.models(self.tonight.outcomes)
        days = self.settings.train_days
        if models and all(self.clock() - model.at < days * DAY_SECONDS for model in models):
            skipped.append(f"training: the last was less than {days:g} days ago")
            return False
        if self._is_banded() and (lacking := self._lacking()):
            skipped.append(f"training: {lacking}")
            return False
        return True

    def _lacking(self) -> str:
        """Why nothing can be calibrated tonight, as too few are there; "" where it can be."""
        last = self.store.standing_seal()
        before = self.there.keys() & set(() if last is None else last.outlets)
        least, here = ceil(LEAST_THERE * len(before)), sum(self.there[name] for name in before)
        if here >= least:
            return ""
        return f"{here} of the {len(before)} outlets of the last seal are there, expected {least}"

    def _seals(self, skipped: list[str], *, trains: bool) -> int:
        """How many seals are due: one of bands, and before it one that calibrates, or none."""
        if not self._is_banded():
            return 0
        models = self.store.models(self.tonight.outcomes)
        if trains or any(model.cuts is None for model in models):
            if lacking := self._lacking():
                skipped.append(f"calibration: {lacking}; the last book stays")
                return 0
            return _CALIBRATED
        if not models:
            skipped.append("bands: there is no scorecard yet")
            return 0
        if not self._is_due(models):
            days = self.settings.band_days
            skipped.append(f"bands: the last were sealed less than {days:g} days ago")
            return 0
        return 1

    def _is_banded(self) -> bool:
        return self.calibrates and self.tonight.slots > 0

    def _is_due(self, models: Sequence[StandingModel]) -> bool:
        """Whether bands were never sealed, long ago, or with other scorecards or cuts."""
        last = self.store.standing_seal()
        if last is None:
            return True
        as_of = dt.date.fromisoformat(last.draft.as_of)
        days = (dt.date.fromisoformat(self.tonight.as_of) - as_of).days
        sealed = last.draft.scorecard, last.draft.cuts
        stands = digest(scorecards_of(models)), tuple(model.cuts for model in models)
        return days >= self.settings.band_days or sealed != stands
