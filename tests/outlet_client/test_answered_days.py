"""The days that an outlet answers for: near its own clock's, and never before one it answered.

Who may choose the day for some outlets, and carry another's last answer, takes the difference of
two sums: that one outlet's numbers.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.errors import QuestionRefused
from outlet_client.settings import OutletSettings
from privacy.errors import PlanRefused
from privacy.seal_plans import SealKind
from tests.builders import outlet_at
from tests.outlet_client.contributing import BOTH_CARDS, MOMENTS, OUTLETS, Stage, fresh, seal_of

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.contribution.contributions import Outlet
    from privacy.two_key_sum import MaskedShare

TODAY, HORIZON = dt.date(2026, 3, 1), 180
OFF = OutletSettings().days_off


def day(days: int = 0) -> str:
    """A day counted from today."""
    return (TODAY + dt.timedelta(days=days)).isoformat()


@dataclass
class Days:
    """An office that signs any day, and an outlet that is ready for any."""

    office: Stage
    outlet: Outlet

    def ready_for(self, *days: str, cut_off: str = day(-HORIZON)) -> Outlet:
        """What roll call makes of the outlet: it looks at no calendar there."""
        [view] = self.outlet.views.values()
        return replace(self.outlet, cut_off=cut_off, views=dict.fromkeys((*days, cut_off), view))

    def bands(
        self, as_of: str, release: str = "bands", cut_off: str = day(-HORIZON)
    ) -> MaskedShare:
        """Parts as of a day, of which bands are sealed."""
        plan = seal_of(self.outlet, release=release, as_of=as_of)
        asked_for = self.office.ask(plan, scorecard=BOTH_CARDS, cut_off=cut_off)
        return self.ready_for(as_of, cut_off=cut_off).answer(asked_for)

    def bins(self, cut_off: str, release: str = "bins") -> MaskedShare:
        """Parts as of a cut-off, of which bins are sealed."""
        plan = seal_of(self.outlet, SealKind.FINE, release=release, as_of=cut_off)
        asked_for = self.office.ask(plan, scorecard=BOTH_CARDS, cut_off=cut_off)
        return self.ready_for(cut_off=cut_off).answer(asked_for)

    def moments(self, cut_off: str, release: str = "moments", **changes: object) -> MaskedShare:
        """A sum of customers as of a cut-off."""
        values = {"release": release, "as_of": cut_off, **changes}
        plan = replace(MOMENTS, **values)  # type: ignore[arg-type]  # fields by name
        return self.ready_for(cut_off=cut_off).answer(self.office.ask(plan, cut_off=cut_off))


@pytest.fixture
def days() -> Days:
    noon = dt.datetime.combine(TODAY, dt.time(12), dt.UTC).timestamp()
    office = Stage(fresh(settings=OutletSettings(), clock=lambda: noon))
    return Days(office, office.outlet)


def bytes_of(share: MaskedShare) -> tuple[object, ...]:
    return share.vector.tobytes(), share.salt, share.envelope


FAR = ["1990-01-01", day(-OFF - 1), day(OFF + 1), "9999-12-31"]


@pytest.mark.parametrize("as_of", FAR)
def test_bands_as_of_long_ago_or_of_days_to_come_are_refused(days: Days, as_of: str) -> None:
    with pytest.raises(PlanRefused, match=f"got {as_of}, expected 2026-03-01, 7 days"):
        days.bands(as_of)
    assert days.bands(day(), "another").vector.any()  # nothing of what was refused is remembered


@pytest.mark.parametrize("far", [-1, 0, 1])
def test_a_cut_off_is_the_horizon_ago(days: Days, far: int) -> None:
    expected = day(-HORIZON)
    edge = (OFF + 1) * far or 1000
    with pytest.raises(PlanRefused, match=f"expected {expected}, 7 days earlier or later at most"):
        days.moments(day(-HORIZON + edge))
    assert days.moments(day(-HORIZON + OFF * far)).vector.any()


@pytest.mark.parametrize("as_of", ["1990-01-01", day(-HORIZON - OFF - 1), day()])
def test_fine_bins_are_held_against_the_day_of_the_cut_off(days: Days, as_of: str) -> None:
    """A night may name any cut-off."""
    with pytest.raises(PlanRefused, match="expected 2025-09-02, 7 days"):
        days.bins(as_of)
    assert days.bins(day(-HORIZON), "another").vector.any()


def test_bands_are_never_as_of_the_cut_off(days: Days) -> None:
    """Only bins are of the day that trains, and nobody but their home reads those."""
    with pytest.raises(PlanRefused, match="expected 2026-03-01, 7 days"):
        days.bands(day(-HORIZON))


def test_no_outlet_can_be_asked_as_of_1990_while_another_is_carried(days: Days) -> None:
    """HQ carries one outlet's answer of today, and asks the others as of a day without events.

    The sum would be that outlet's alone, once more with each such release.
    """
    for name, known in OUTLETS.items():
        outlet = fresh(known)
        days.outlet = replace(
            days.outlet, name=name, views=outlet.views, answers=outlet.answers, key=outlet.key
        )
        whole = days.bands(day(), "whole")
        assert whole.envelope.outlet == name
        for turn, as_of in enumerate(("1990-01-01", day(-31), day(-1))):
            with pytest.raises((PlanRefused, QuestionRefused)):
                days.bands(as_of, f"without {turn}")


def test_bands_are_never_as_of_a_day_before_one_that_was_answered(days: Days) -> None:
    days.bands(day(-3), "first")
    days.bands(day(-3), "same day")
    with pytest.raises(QuestionRefused, match=f"bands: got {day(-4)}, {day(-3)} was answered"):
        days.bands(day(-4), "before")
    days.bands(day(2), "later")
    with pytest.raises(QuestionRefused, match=f"bands: got {day(1)}, {day(2)} was answered"):
        days.bands(day(1), "before")
    assert days.bands(day(2), "same day again").vector.any()


def test_cut_offs_never_go_back_and_bands_do_not_count_for_them(days: Days) -> None:
    days.bands(day(5), "bands")
    days.moments(day(-HORIZON), "first")
    with pytest.raises(QuestionRefused, match=f"cut-off: got {day(-HORIZON - 1)}, "):
        days.moments(day(-HORIZON - 1), "before")
    assert days.moments(day(-HORIZON + 1), "after").vector.any()
    with pytest.raises(QuestionRefused, match="days only go on"):
        days.bins(day(-HORIZON), "bins before")
    assert days.bins(day(-HORIZON + 1)).vector.any()


def test_the_last_day_is_remembered_by_whichever_process_answers_next(
    days: Days, tmp_path: Path
) -> None:
    url = outlet_at(tmp_path)
    for as_of, name in ((day(1), "first"), (day(), "second")):
        store = AnswerStore(url)
        days.outlet = replace(days.outlet, answers=store)
        if name == "second":
            with pytest.raises(QuestionRefused, match="days only go on"):
                days.bands(as_of, name)
        else:
            days.bands(as_of, name)
        store.close()


def test_a_refused_question_moves_no_day(days: Days) -> None:
    """Else HQ could lock an outlet out for days with one plan that costs nothing."""
    days.moments(day(-HORIZON), "first")
    with pytest.raises(QuestionRefused, match="this outlet's least is 3"):
        days.moments(day(-HORIZON + 5), "too few", quorum=2)
    assert days.moments(day(-HORIZON + 1), "second").vector.any()


def test_a_plan_that_was_answered_is_answered_by_the_same_bytes_whatever_came_since(
    days: Days,
) -> None:
    first = days.bands(day(-2), "first")
    assert len(first.salt) == 32
    later = days.bands(day(), "later")
    assert later.salt != first.salt
    assert later.vector.tobytes() != first.vector.tobytes()
    days.moments(day(-HORIZON))
    assert bytes_of(days.bands(day(-2), "first")) == bytes_of(first)
    assert bytes_of(days.bands(day(), "later")) == bytes_of(later)
