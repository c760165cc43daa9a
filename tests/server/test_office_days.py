"""Which directory and which days of customer sums the office signs; of seals see their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003  (pytest reads annotations)

import pytest

from privacy.errors import PlanRefused
from privacy.plans import PlannedReleases, ReleasePlan, Signed
from privacy.purposes import Purpose
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from tests.builders import Bench, store_at

pytestmark = pytest.mark.usefixtures("both_engines")


DAY = 86_400


@pytest.fixture
def bench() -> Bench:
    return Bench()


def answered(bench: Bench, signed: Signed) -> None:
    """Has a release unlocked for three outlets."""
    bench.office.unlock(signed.digest, [bench.share(signed, name).envelope for name in "abc"])


# --- the directory ----------------------------------------------------------------------------


@pytest.mark.parametrize(("countersigned", "expected"), [("e" * 64, "e" * 16), ("", "none yet")])
def test_a_nights_first_release_is_of_the_directory_that_was_countersigned_last(
    bench: Bench, countersigned: str, expected: str
) -> None:
    night, draft = bench.night(), bench.draft(bench.night())
    bench.directory = countersigned
    with pytest.raises(PlanRefused, match=f"got directory d, expected {expected}"):
        bench.office.sign_release(draft)
    bench.directory = "d"
    assert bench.office.sign_release(bench.draft(night)).payload


def test_a_night_goes_on_with_its_directory_when_a_later_one_was_countersigned(
    bench: Bench,
) -> None:
    night = bench.night()
    answered(bench, bench.office.sign_release(bench.draft(night)))
    bench.directory = "e"
    draft = bench.draft(night, "r2", parent="r1")
    with pytest.raises(PlanRefused, match="the night's directory is another one"):
        bench.office.sign_release(draft)
    assert bench.office.sign_release(replace(draft, directory="d")).payload


# --- days -------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-7, -1, 0, 1, 7])
def test_a_cut_off_near_the_horizon_before_today_is_signed(bench: Bench, off: int) -> None:
    cut_off = bench.day(off - 180)
    lines = [PlannedReleases(bench.purpose, 1, bench.rho)]
    night = bench.office.sign_night("n", cut_off, lines)
    signed = bench.office.sign_release(bench.draft(night, as_of=cut_off))
    assert ReleasePlan.decode(signed.payload).as_of == cut_off


@pytest.mark.parametrize("off", [-8, 8, 180, -37 * 365])
def test_a_night_whose_cut_off_is_not_the_horizon_before_today_is_not_signed(
    bench: Bench, off: int
) -> None:
    lines = [PlannedReleases(Purpose.MOMENTS, 1, bench.rho)]
    with pytest.raises(PlanRefused, match=r"night n, cut-off: got "):
        bench.office.sign_night("n", bench.day(off - 180), lines)
    assert bench.store.ledger().entries == ()


@pytest.mark.parametrize("off", [-8, 8, 180])
def test_customer_sums_are_as_of_near_the_cut_off_and_never_as_of_today(
    bench: Bench, off: int
) -> None:
    draft = bench.draft(bench.night(), as_of=bench.day(off - 180))
    with pytest.raises(PlanRefused, match=r"release r1, cut-off: got"):
        bench.office.sign_release(draft)


@pytest.mark.parametrize("day", ["", "today", "2026-02-30", "20260719", "9999999-01-01"])
def test_what_is_no_day_is_not_signed(bench: Bench, day: str) -> None:
    lines = [PlannedReleases(Purpose.MOMENTS, 1, bench.rho)]
    with pytest.raises(PlanRefused, match="a day that is none"):
        bench.office.sign_night("n", day, lines)
    with pytest.raises(PlanRefused, match="a day that is none"):
        bench.office.sign_release(bench.draft(bench.night(), as_of=day))


def test_a_cut_off_never_goes_back_neither_a_nights_nor_a_releases(bench: Bench) -> None:
    first, later = bench.night(), bench.day(2 - 180)
    lines = [PlannedReleases(bench.purpose, 1, bench.rho)]
    bench.office.sign_night("night-2", later, lines)
    with pytest.raises(PlanRefused, match=rf"night n, cut-off.*expected {later}, as signed before"):
        bench.office.sign_night("n", bench.cut_off, lines)
    with pytest.raises(PlanRefused, match=rf"release r1, cut-off.*expected {later}, as signed"):
        bench.office.sign_release(bench.draft(first))
    assert bench.office.sign_release(bench.draft(first, as_of=later)).payload
    assert bench.night() == first  # what was signed is given again


def test_a_releases_day_binds_the_next_release_of_its_night(bench: Bench) -> None:
    night = bench.night()
    answered(bench, bench.office.sign_release(bench.draft(night, as_of=bench.day(1 - 180))))
    with pytest.raises(PlanRefused, match=r"release r2, cut-off: .* as signed before, or later"):
        bench.office.sign_release(bench.draft(night, "r2", parent="r1"))


def test_a_release_that_was_refused_moves_no_day(bench: Bench) -> None:
    night = bench.night()
    bench.clock.at += DAY / 4
    with pytest.raises(PlanRefused, match="quorum 2"):
        bench.office.sign_release(bench.draft(night, quorum=2, as_of=bench.day(1 - 180)))
    assert bench.office.sign_release(bench.draft(night, as_of=bench.day(-180))).payload


def test_days_survive_a_restart(tmp_path: Path) -> None:
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    bench.night()
    bench.office = replace(
        bench.office, store=OfficeStore(store_at(bench.url, OFFICE), bench.settings.policy())
    )
    lines = [PlannedReleases(bench.purpose, 1, bench.rho)]
    with pytest.raises(PlanRefused, match="cut-off: got 2026-07-18, expected 2026-07-19, as sign"):
        bench.office.sign_night("n", bench.day(-181), lines)


def test_an_old_ledger_is_replayed_where_the_settings_say_so() -> None:
    bench = Bench(settings=OfficeSettings(days_off=36_500))
    night = bench.office.sign_night(
        "n", "1998-01-01", [PlannedReleases(Purpose.MOMENTS, 2, bench.rho)]
    )
    answered(bench, bench.office.sign_release(bench.draft(night, as_of="1998-01-01")))
    draft = bench.draft(night, "r2", parent="r1", as_of="1998-07-01")
    assert bench.office.sign_release(draft).payload
