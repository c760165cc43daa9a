"""Finds whether a night's scorecards or calibration are to be held back, from what was released.

A scorecard's evaluation is held against that of the scorecards that stand; a calibration against
the calibration before. Where nothing stands yet, both are held against the starting scorecard's
evaluation, for which a first training has a release of its own. No release is made for it besides
(decision 28).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.scorecard import Scorecard, encode_scorecards
from privacy.envelopes import digest
from privacy.purposes import Purpose
from server.hq.banding import Judgement
from server.hq.comparison import Fall, Ranking
from server.hq.holds import HeldKind, Hold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from privacy.two_key_sum import CustomerRelease
    from server.hq.model_store import StandingModel
    from server.hq.settings import HqSettings
    from server.hq.store import HqStore


@dataclass(frozen=True, slots=True)
class HoldingBack:
    """Compares a night's counts with earlier ones, and stores what is held back.

    Attributes:
        night: The night's name.
        at: Unix seconds.
        settings: HQ's.
        store: What stands, and what was released.
        outcomes: What is predicted, in order.
    """

    night: str
    at: int
    settings: HqSettings
    store: HqStore
    outcomes: tuple[str, ...]

    def scorecards(self, cards: Sequence[Scorecard]) -> bool:
        """Whether tonight's scorecards are held back; stored before they wait for anything.

        Args:
            cards: As they were evaluated tonight.
        """
        now = self._evaluated("tonight", self.night, cards)
        return self._held(HeldKind.SCORECARD, self.night, now, self._evaluated_before(cards))

    def calibration(self, models: Sequence[StandingModel], counts: CustomerRelease) -> bool:
        """Whether a calibration is held back; stored before it counts as the last one.

        Args:
            models: That are calibrated.
            counts: Of outcomes by bin.
        """
        now = self._rankings("tonight", counts)
        before = {outcome: self._calibrated_before(outcome) for outcome in self.outcomes}
        started = self._started([Scorecard.decode(model.scorecard) for model in models])
        against = before if any(before.values()) else started
        return self._held(HeldKind.CALIBRATION, models[0].night, now, against)

    def _held(
        self,
        kind: HeldKind,
        trained: str,
        now: Mapping[str, Ranking | None],
        before: Mapping[str, Ranking | None],
    ) -> bool:
        falls = [
            Fall(outcome, new, old)
            for outcome in self.outcomes
            if (new := now.get(outcome)) is not None and (old := before.get(outcome)) is not None
        ]
        reasons = tuple(fall.reason for fall in falls if fall.is_held)
        if not reasons:
            return False
        return self.store.hold_back(Hold(self.night, kind, trained, self.at, reasons))

    def _evaluated_before(self, cards: Sequence[Scorecard]) -> Mapping[str, Ranking | None]:
        """What the scorecards that stand were evaluated as; else the starting ones."""
        models = self.store.models(self.outcomes)
        if not models:
            return self._started(cards)
        standing = [Scorecard.decode(model.scorecard) for model in models]
        return self._evaluated("the scorecard that stands", models[0].night, standing)

    def _started(self, cards: Sequence[Scorecard]) -> Mapping[str, Ranking | None]:
        """What starting scorecards were evaluated as, in the night that trained these."""
        starting = self.settings.starting_scorecards(cards)
        found = self.store.newest_models(self.outcomes)
        trained = found[0].night if found else self.night
        for night in dict.fromkeys((self.night, trained)):
            if rankings := self._evaluated("the starting scorecard", night, starting):
                return rankings
        return {}

    def _evaluated(
        self, what: str, night: str, cards: Sequence[Scorecard]
    ) -> Mapping[str, Ranking | None]:
        """What scorecards were evaluated as in a night; nothing where they were not."""
        if not cards:
            return {}
        asked = digest(encode_scorecards(cards))
        release = self.store.released(night, Purpose.EVALUATION, asked)
        return {} if release is None else self._rankings(what, release)

    def _rankings(self, what: str, release: CustomerRelease) -> dict[str, Ranking | None]:
        told = f"{what}, {release.plan.release}"
        cells = release.values.reshape(len(self.outcomes), -1)
        return {
            outcome: Ranking.of(told, values, release.noise_sd)
            for outcome, values in zip(self.outcomes, cells, strict=True)
        }

    def _calibrated_before(self, outcome: str) -> Ranking | None:
        """What the calibration before counted of an outcome; None where there is none."""
        last = self.store.calibration(outcome, before=self.night)
        judged = None if last is None else Judgement.from_json(last.judgement)
        if last is None or judged is None:
            return None
        release = self.store.customer_release(last.release)
        if release is None:
            return None
        told = f"the calibration before, {last.release}"
        return Ranking.of(told, judged.counts(release).values, release.noise_sd)
