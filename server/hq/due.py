"""What a night is about, and what is due in it: when, and as far as the ledger allows.

A training is due a month after the last, bands a week after the last and with every new scorecard.
What is not done is said, with the reason. The plan that the office signed is stored; a night that
is taken up again does what it began with.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from privacy.errors import BudgetExceeded
from privacy.plans import PlannedReleases
from privacy.units import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.plans import Signed
    from server.hq.combine import PrivacyOffice
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore

DAY_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Tonight:
    """What a night is about; all of it public.

    Attributes:
        name: The night's name, used once.
        cut_off: The last day in the features that train, ISO 8601.
        as_of: The last day that bands are made from, ISO 8601.
        outcomes: What is predicted, in the order of a book's bits.
        directory: The digest of tonight's directory.
        slots: How many slots it has; 0 where no points are released.
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
    """

    tonight: Tonight
    settings: HqSettings
    store: HqStore
    office: PrivacyOffice
    clock: Callable[[], float]
    _: KW_ONLY
    calibrates: bool

    def plan(self, skipped: list[str]) -> Signed | None:
        """The office's plan of what is due and what the ledger allows; of a resumed night, its own.

        Where the ledger does not hold a training, bands go on if they are due by themselves. Where
        it holds no points, there is no training either: nothing could calibrate its scorecards.

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
        bands = self._bands(skipped, trains=trains)
        while trains or bands:
            lines = self._lines(trains=trains, bands=bands)
            try:
                signed = self.office.sign_night(self.tonight.name, self.tonight.cut_off, lines)
            except BudgetExceeded as refusal:
                skipped.append(str(refusal))
                if Purpose(refusal.purpose) is Purpose.POINTS:
                    trains, bands = trains and not self.calibrates, False
                else:
                    trains, bands = False, bands and self._bands(skipped, trains=False)
            else:
                directory = self.tonight.directory
                self.store.add_night(self.tonight.name, signed, directory, skipped)
                return signed
        return None

    def _lines(self, *, trains: bool, bands: bool) -> list[PlannedReleases]:
        """What the night plan holds."""
        lines: list[PlannedReleases] = []
        if trains:
            costs = self.settings.costs()
            lines += [
                PlannedReleases(purpose, count, costs[purpose])
                for purpose, count in self.settings.counts().items()
                if purpose is not Purpose.CALIBRATION or bands
            ]
        if bands:
            count = 2 if trains else 1
            lines.append(PlannedReleases(Purpose.POINTS, count, self.settings.points_cost()))
        return lines

    def _training(self, skipped: list[str]) -> bool:
        if self.calibrates and not self.tonight.slots:
            skipped.append("training: nobody is in the directory yet")
            return False
        models = self.store.models(self.tonight.outcomes)
        days = self.settings.train_days
        if models and all(self.clock() - model.at < days * DAY_SECONDS for model in models):
            skipped.append(f"training: the last was less than {days:g} days ago")
            return False
        return True

    def _bands(self, skipped: list[str], *, trains: bool) -> bool:
        if not self.calibrates or not self.tonight.slots:
            skipped.append("points: nobody is in the directory, or switched off in hq.toml")
            return False
        if trains:
            return True
        if not self.store.models(self.tonight.outcomes):
            skipped.append("bands: there is no scorecard yet")
            return False
        if self._banded_days_ago() < self.settings.band_days:
            days = self.settings.band_days
            skipped.append(f"bands: the last were made less than {days:g} days ago")
            return False
        return True

    def _banded_days_ago(self) -> float:
        """How many days ago bands were made; infinite before the first time, and of this night."""
        models = self.store.models(self.tonight.outcomes)
        by = {model.banded_by.rpartition("/")[0] for model in models}
        if not models or by <= {"", self.tonight.name}:
            return math.inf
        as_of = dt.date.fromisoformat(min(model.banded_as_of for model in models))
        return (dt.date.fromisoformat(self.tonight.as_of) - as_of).days
