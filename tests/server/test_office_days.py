"""Which directory, which days and how old answers the office signs and unlocks for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from privacy.errors import AnswerRefused, PlanRefused
from privacy.plans import PlannedReleases, ReleasePlan, Signed
from privacy.two_key_sum import CARRY_DAYS, Carried, MaskedShare
from privacy.units import Purpose
from server.office.ledger_store import OfficeStore, forget_seeds
from server.office.seed_store import SeedStore
from server.office.settings import OfficeSettings
from tests.builders import Bench, Clock

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
SILENT = OfficeSettings(noiseless=frozenset({Purpose.POINTS}))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def points_bench(url: str = "sqlite://", settings: OfficeSettings = SILENT) -> Bench:
    """An office that signs points without noise."""
    return Bench(url=url, settings=settings, rho=None, count=8, purpose=Purpose.POINTS)


def answered(bench: Bench, signed: Signed, names: str = "abc") -> dict[str, MaskedShare]:
    """A release that some outlets answered and the office unlocked."""
    shares = {name: bench.share(signed, name) for name in names}
    bench.office.unlock(signed.digest, [share.envelope for share in shares.values()])
    return shares


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


def sign(bench: Bench, night: Signed, **changes: object) -> Signed:
    """Signs the next release of a night and has it answered."""
    with bench.store.transaction() as transaction:
        parent = transaction.last_answered(night.digest)
    release = f"{night.digest[:4]}/{int(parent.rpartition('/')[2] or 0) + 1}"
    changes = {"parent": parent, **changes}
    signed = bench.office.sign_release(bench.draft(night, release, **changes))
    answered(bench, signed)
    return signed


@pytest.mark.parametrize("off", [-7, -1, 0, 1, 7])
def test_bands_near_today_and_cut_offs_near_the_horizon_before_it_are_signed(off: int) -> None:
    bench = points_bench()
    lines = [PlannedReleases(Purpose.POINTS, 2, None)]
    cut_off = bench.day(off - 180)
    night = bench.office.sign_night("n", cut_off, lines)
    sign(bench, night, as_of=cut_off)
    signed = sign(bench, night, as_of=bench.day(off))
    assert ReleasePlan.decode(signed.payload).as_of == bench.day(off)


@pytest.mark.parametrize("off", [-8, 8, 180, -37 * 365])
def test_a_night_whose_cut_off_is_not_the_horizon_before_today_is_not_signed(
    bench: Bench, off: int
) -> None:
    lines = [PlannedReleases(Purpose.MOMENTS, 1, bench.rho)]
    with pytest.raises(PlanRefused, match=r"night n, cut-off: got "):
        bench.office.sign_night("n", bench.day(off - 180), lines)
    assert bench.store.ledger().entries == ()


@pytest.mark.parametrize("off", [-8, 8, 400, -37 * 365])
def test_bands_as_of_a_day_that_is_long_gone_or_to_come_are_not_signed(off: int) -> None:
    bench = points_bench()
    draft = bench.draft(bench.night(), as_of=bench.day(off))
    with pytest.raises(PlanRefused, match=f"release r1, bands: got {bench.day(off)}, expected"):
        bench.office.sign_release(draft)


def test_as_of_1990_is_not_signed() -> None:
    """With it, whoever is carried would have the only points in the sum."""
    bench = points_bench()
    for settings in (bench.settings, bench.settings.model_copy(update={"days_off": 60})):
        office = replace(bench.office, settings=settings)
        with pytest.raises(PlanRefused, match="bands: got 1990-01-01, expected 2027-01-15"):
            office.sign_release(bench.draft(bench.night(), as_of="1990-01-01"))


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


def test_bands_never_go_back_to_an_earlier_day_whatever_the_night() -> None:
    bench = points_bench()
    sign(bench, bench.night(), as_of=bench.day(-1))
    night = bench.night("night-2")
    for _ in range(2):
        with pytest.raises(
            PlanRefused, match=f"bands: got {bench.day(-2)}, expected {bench.day(-1)}, as signed"
        ):
            sign(bench, night, as_of=bench.day(-2))
    sign(bench, night, as_of=bench.day(-1))
    sign(bench, night, as_of=bench.today)


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


def test_a_release_that_was_refused_moves_no_day(bench: Bench) -> None:
    night = bench.night()
    bench.clock.at += DAY / 4
    with pytest.raises(PlanRefused, match="quorum 2"):
        bench.office.sign_release(bench.draft(night, quorum=2, as_of=bench.day(1 - 180)))
    assert bench.office.sign_release(bench.draft(night, as_of=bench.day(-180))).payload


def test_bands_and_cut_offs_are_two_kinds_of_days() -> None:
    """Bands of today do not make a cut-off of half a year ago go back."""
    bench = points_bench()
    night = bench.night()
    sign(bench, night, as_of=bench.today)
    sign(bench, night, as_of=bench.cut_off)
    sign(bench, night, as_of=bench.today)


def test_days_survive_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'office.db'}"
    bench = points_bench(url)
    sign(bench, bench.night(), as_of=bench.today)
    bench.office = replace(bench.office, store=OfficeStore(url, bench.settings.policy()))
    with pytest.raises(PlanRefused, match="bands: got 2027-01-14, expected 2027-01-15, as signed"):
        sign(bench, bench.night("night-2"), as_of=bench.day(-1))


def test_an_old_ledger_is_replayed_where_the_settings_say_so() -> None:
    settings = SILENT.model_copy(update={"days_off": 36_500})
    bench = points_bench(settings=settings)
    night = bench.office.sign_night("n", "1998-01-01", [PlannedReleases(bench.purpose, 2, None)])
    sign(bench, night, as_of="1998-01-01")
    sign(bench, night, as_of="1998-07-01")


# --- what is carried --------------------------------------------------------------------------


def carried_after(bench: Bench, days: float) -> tuple[Signed, list[Carried]]:
    """A second release so many days after the first, for which d did not answer."""
    first = sign_points(bench, bench.night())
    shares = answered(bench, first, "abcd")
    bench.clock.at += days * DAY
    second = sign_points(bench, bench.night("night-2"), "r2")
    return second, [Carried(shares["d"].envelope, first.digest)]


def sign_points(bench: Bench, night: Signed, release: str = "r1") -> Signed:
    return bench.office.sign_release(bench.draft(night, release))


def unlock(bench: Bench, signed: Signed, carried: list[Carried]) -> bytes:
    fresh = [bench.share(signed, name).envelope for name in "abc"]
    return bench.office.unlock(signed.digest, fresh, carried)


def test_an_answer_of_31_days_ago_is_carried() -> None:
    bench = points_bench()
    assert unlock(bench, *carried_after(bench, CARRY_DAYS))


def test_an_answer_that_is_older_than_31_days_is_not_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = points_bench()
    monkeypatch.setattr(SeedStore, "delete_old", lambda *_: None)  # even where it is still there
    signed, carried = carried_after(bench, CARRY_DAYS + 1 / 24)
    with pytest.raises(AnswerRefused, match=r"outlet d: .*or of more than 31 days ago") as caught:
        unlock(bench, signed, carried)
    assert caught.value.outlet == "d"


def kept(file: Path) -> list[bytes]:
    with closing(sqlite3.connect(file)) as connection:
        return [bytes(row[0]) for row in connection.execute("SELECT seed FROM kept_seeds")]


def test_seeds_older_than_31_days_are_deleted_at_whatever_call_comes_next(tmp_path: Path) -> None:
    file = tmp_path / "office.db"
    bench = points_bench(f"sqlite:///{file}")
    answered(bench, sign_points(bench, bench.night()), "abcd")
    seeds = kept(file)
    assert len(seeds) == 4
    bench.clock.at += CARRY_DAYS * DAY
    bench.night("night-2")
    assert kept(file) == seeds
    bench.clock.at += 1
    bench.night("night-3")
    assert kept(file) == []
    assert not any(seed in file.read_bytes() for seed in seeds)


def test_a_carried_answer_grows_older_however_often_it_is_carried() -> None:
    bench = points_bench()
    first = sign_points(bench, bench.night())
    shares = answered(bench, first, "abcd")
    carried = [Carried(shares["d"].envelope, first.digest)]
    for number in range(2, 6):
        bench.clock.at += 10 * DAY
        signed = sign_points(bench, bench.night(f"night-{number}"), f"r{number}")
        if number < 5:
            assert unlock(bench, signed, carried)
        else:
            with pytest.raises(AnswerRefused, match=r"outlet d: .*more than 31 days ago"):
                unlock(bench, signed, carried)


@pytest.mark.parametrize(("then", "now"), [(-180, 0), (0, -180), (-8, 24), (24, -8)])
def test_an_answer_for_a_day_more_than_31_days_away_is_not_carried(then: int, now: int) -> None:
    """All as of the cut-off, but one as of today: what it has more than then is that one's."""
    bench = points_bench(settings=SILENT.model_copy(update={"days_off": 200}))
    first = bench.office.sign_release(bench.draft(bench.night(), as_of=bench.day(then)))
    shares = answered(bench, first, "abcd")
    carried = [Carried(shares["d"].envelope, first.digest)]
    with bench.store.transaction() as transaction:
        transaction.keep_day("bands", "2000-01-01")  # as if days might go back
    night = bench.night("night-2")
    signed = bench.office.sign_release(bench.draft(night, "r2", as_of=bench.day(now)))
    with pytest.raises(AnswerRefused, match=r"outlet d: .*more than 31 days ago"):
        unlock(bench, signed, carried)


def test_an_answer_for_a_day_up_to_31_days_away_is_carried() -> None:
    bench = points_bench(settings=SILENT.model_copy(update={"days_off": 40}))
    first = bench.office.sign_release(bench.draft(bench.night(), as_of=bench.day(-31)))
    shares = answered(bench, first, "abcd")
    second = bench.draft(bench.night("night-2"), "r2", as_of=bench.today)
    signed = bench.office.sign_release(second)
    assert unlock(bench, signed, [Carried(shares["d"].envelope, first.digest)])


def test_seeds_that_were_kept_before_their_age_was_die_when_the_store_is_opened(
    tmp_path: Path,
) -> None:
    file, seed = tmp_path / "office.db", b"a seed of release 0.1, 32 bytes."
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE points_seeds (outlet TEXT PRIMARY KEY, seed BLOB)")
        connection.execute("INSERT INTO points_seeds VALUES ('a', ?)", (seed,))
        connection.commit()
    assert seed in file.read_bytes()
    points_bench(f"sqlite:///{file}")
    assert not any(seed in path.read_bytes() for path in tmp_path.iterdir())
    with closing(sqlite3.connect(file)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "points_seeds" not in names


def test_whoever_forgets_its_seeds_carries_nobody(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'office.db'}"
    bench = points_bench(url)
    signed, carried = carried_after(bench, 1)
    forget_seeds(url)
    assert kept(tmp_path / "office.db") == []
    with pytest.raises(AnswerRefused, match="outlet d: not its last answer"):
        unlock(bench, signed, carried)
    assert Clock().at < bench.clock.at
