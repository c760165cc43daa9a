"""Which seals the office signs: their place in a night, their directory, days, numbers and cuts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from privacy.errors import PlanRefused, ReleaseClosed
from privacy.loss import Rho
from privacy.oblivious_transfer import TransferFailed
from privacy.plans import PlannedReleases, Signed
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind, SealPlan, open_seal_plan
from server.office.settings import OfficeSettings
from tests.server.seal_benches import CUTS, DAY, MANY, HonestSeal, SealBench

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("both_engines")

BAND, FINE = SealKind.BAND, SealKind.FINE
KINDS = pytest.mark.parametrize("kind", [BAND, FINE])


@pytest.fixture
def bench() -> SealBench:
    return SealBench()


def refuse(seal: HonestSeal, why: str) -> None:
    """Expects that a seal is not signed, and that nothing is stored of it."""
    store = seal.at.bench.store
    with store.transaction() as transaction:
        before = transaction.seals.find_open()
    with pytest.raises(PlanRefused, match=why):
        seal.sign()
    with store.transaction() as transaction:
        assert transaction.seals.find(name=seal.release) is None
        assert transaction.seals.find_open() in (None, before)


# --- what is signed ----------------------------------------------------------------------------


@KINDS
def test_a_seal_is_signed_with_fresh_keys_and_again_by_the_same_bytes(
    tmp_path: Path, kind: SealKind
) -> None:
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    seal = bench.seal(kind=kind)
    signed, at = seal.sign(), int(bench.bench.clock.at)
    plan = open_seal_plan(signed, bench.bench.office_key.public, at)
    assert plan.same_draft(seal.drafted)
    assert plan.expires == at + bench.settings.release_minutes * 60
    bench.restart()
    assert bench.office.sign_seal(seal.drafted) == (signed, seal.transfers)
    with pytest.raises(PlanRefused, match="s1: signed before with another content"):
        bench.office.sign_seal(replace(seal.drafted, quorum=4))
    bench.office.close_seal(signed.digest)
    other = bench.seal("s2", kind=kind)
    other.sign()
    keys = {"key", "slot_key"}
    assert all(getattr(plan, name) != getattr(other.plan, name) for name in keys)
    assert seal.transfers != other.transfers


def test_a_seal_costs_nothing_and_is_in_no_ledger(bench: SealBench) -> None:
    bench.whole()
    assert bench.bench.store.ledger().entries == ()
    bench.office.close_night("night-1")
    assert bench.bench.store.ledger().entries == ()


def test_a_night_of_sums_and_seals_reserves_the_sums_alone(bench: SealBench) -> None:
    sums = PlannedReleases(Purpose.MOMENTS, 1, Rho(1, 1000))
    lines = [sums, PlannedReleases(Purpose.POINTS, 1, None)]
    bench.office.sign_night("n", bench.bench.cut_off, lines)
    [reserved] = bench.bench.store.ledger().entries
    assert (reserved.purpose, reserved.rho) == (Purpose.MOMENTS, Rho(1, 1000))


def test_a_night_that_charges_for_points_is_not_signed(bench: SealBench) -> None:
    lines = [PlannedReleases(Purpose.POINTS, 1, Rho(1, 1000))]
    with pytest.raises(PlanRefused, match="seals open nothing; expected no rho"):
        bench.office.sign_night("n", bench.bench.cut_off, lines)


def test_points_are_never_asked_for_as_a_sum_that_is_opened(bench: SealBench) -> None:
    """Not even where the sandbox lets sums without noise be signed."""
    silent = MANY.model_copy(update={"noiseless": frozenset(Purpose)})
    bench = SealBench(settings=silent)
    bench.bench.purpose, bench.bench.rho = Purpose.POINTS, None
    draft = bench.bench.draft(bench.night(), directory=bench.bench.directory)
    with pytest.raises(PlanRefused, match="points are sealed, never opened"):
        bench.office.sign_release(draft)


def test_the_masks_of_a_seal_are_given_to_nobody(bench: SealBench) -> None:
    seal = bench.seal()
    seal.sign()
    envelopes = [seal.share(name).envelope for name in "abc"]
    for step in (lambda: None, lambda: seal.store("abc"), seal.take, seal.close):
        step()
        with pytest.raises(PlanRefused, match="s1: a seal; its sums are opened for nobody"):
            bench.office.unlock(seal.signed.digest, envelopes)


def test_a_name_is_used_for_a_sum_or_for_a_seal(bench: SealBench) -> None:
    sums = [PlannedReleases(p, 2, None if p is Purpose.POINTS else Rho(1, 1000)) for p in (
        Purpose.MOMENTS, Purpose.POINTS)]  # fmt: skip
    night = bench.office.sign_night("n", bench.bench.cut_off, sums)
    draft = bench.bench.draft(night, "r1")
    signed = bench.office.sign_release(draft)
    refuse(bench.seal("r1", night), "r1: signed before with another content")
    answer(bench, signed)
    bench.parents[night.digest] = "r1"
    bench.seal("s1", night).sign()
    with pytest.raises(PlanRefused):
        bench.office.sign_release(replace(draft, release="s1"))


def answer(bench: SealBench, signed: Signed) -> None:
    """Has a customer sum unlocked."""
    shares = [bench.bench.share(signed, name) for name in "abc"]
    bench.office.unlock(signed.digest, [share.envelope for share in shares])


# --- its place in a night -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"night": "00" * 32}, "its night was not planned here"),
        ({"parent": "r0"}, "got parent 'r0', expected ''"),
        (
            {"directory": "e" * 64},
            f"got directory {'e' * 16}, expected .*, the last that was count",
        ),
        ({"slots": 5}, "got 5 slots, expected 6"),
        ({"slots": 7}, "got 7 slots, expected 6"),
        ({"quorum": 2}, "got quorum 2, expected at least 3"),
        ({"quorum": 0}, "quorum is not within"),
        ({"scores": 1}, "got cuts of 2 scores, expected 1"),
        ({"cuts": ((-8, 8, 24), (10, 12))}, r"got cuts \[10, 12\]"),
        ({"cuts": ((-8, 8, 24), (10, 15))}, r"got cuts \[10, 15\]"),
        ({"cuts": ((-8, 0, 8, 24), (10, 20))}, "got cuts"),
        ({"kind": FINE, "cuts": ((3,), (8,))}, r"got cuts \[3\], .* a multiple of 4"),
        ({"kind": FINE, "cuts": ((4,), (-10,))}, r"got cuts \[-10\], .* a multiple of 4"),
        ({"hq_key": "00" * 32}, "a key is no point"),
        ({"transfer_key": "ff" * 32}, "a key is no point"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_seal_outside_its_night_its_directory_or_the_constants_is_not_signed(
    bench: SealBench, changes: dict[str, object], why: str
) -> None:
    seal = bench.seal()
    refuse(replace(seal, changes=changes), why)
    seal.sign()


def test_a_seal_needs_a_line_with_room_in_a_night_that_is_open(bench: SealBench) -> None:
    other = bench.office.sign_night(
        "sums", bench.bench.cut_off, [PlannedReleases(Purpose.MOMENTS, 1, Rho(1, 1000))]
    )
    refuse(bench.seal(night=other), "plans no release for points")
    small = bench.night("small", count=1)
    bench.whole("s1", night=small)
    refuse(bench.seal("s2", small), "the night plans 1 for points")


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_a_seal_of_a_night_that_is_over_is_not_signed(bench: SealBench, end: str) -> None:
    night = bench.night()
    if end == "closed":
        bench.office.close_night("night-1")
        bench.office.close_night("no such night")
    else:
        bench.bench.clock.at += bench.settings.night_hours * 3600
    refuse(bench.seal(night=night), "s1: its night is over")


def test_sums_and_complete_seals_are_one_chain(bench: SealBench) -> None:
    lines = [PlannedReleases(p, 3, None if p is Purpose.POINTS else Rho(1, 1000)) for p in (
        Purpose.MOMENTS, Purpose.POINTS)]  # fmt: skip
    night = bench.office.sign_night("n", bench.bench.cut_off, lines)
    first = bench.office.sign_release(bench.bench.draft(night, "r1"))
    refuse(bench.seal("s1", night), "r1 is not answered yet")
    answer(bench, first)
    refuse(bench.seal("s1", night), "got parent '', expected 'r1'")
    bench.parents[night.digest] = "r1"
    seal = bench.seal("s1", night)
    seal.sign()
    with pytest.raises(PlanRefused, match="s1 is not answered yet"):
        bench.office.sign_release(bench.bench.draft(night, "r2", parent="r1"))
    seal.store()
    seal.take_all()
    seal.close()
    with pytest.raises(PlanRefused, match="got parent 'r1', expected 's1'"):
        bench.office.sign_release(bench.bench.draft(night, "r2", parent="r1"))
    assert bench.office.sign_release(bench.bench.draft(night, "r2", parent="s1")).payload


def test_a_seal_is_of_its_nights_directory_and_of_the_last_one(bench: SealBench) -> None:
    night, before = bench.night(), bench.bench.directory
    bench.whole(night=night)
    bench.list(0, None, 2, 3, 4, 5, batch=2)
    refuse(bench.seal("s2", night), "the night's directory is another one")
    refuse(bench.seal("s2", night, directory=before), f"got directory {before[:16]}, expected")
    bench.whole("s2", night=bench.night("night-2"))


def test_one_seal_is_open_at_a_time_whatever_its_night(bench: SealBench) -> None:
    first, two = bench.night(), bench.night("night-2")
    open_one = bench.seal("s1", first)
    open_one.sign()
    for night in (first, two):
        refuse(bench.seal("s2", night), "s2: s1 is open")
    open_one.store()
    refuse(bench.seal("s2", two), "s2: s1 is open")
    open_one.take()
    refuse(bench.seal("s2", two, FINE), "s2: s1 is open")
    open_one.close()
    bench.seal("s2", two).sign()


@pytest.mark.parametrize("stored", [False, True])
def test_an_open_seal_that_expired_stands_in_nobodys_way_and_is_no_parent(
    bench: SealBench, *, stored: bool
) -> None:
    night = bench.night()
    seal = bench.seal("s1", night)
    seal.sign()
    if stored:
        seal.store()
    bench.bench.clock.at += bench.settings.release_minutes * 60
    refuse(bench.seal("s2", night, parent="s1"), "got parent 's1', expected ''")
    bench.seal("s2", night).sign()
    with pytest.raises(ReleaseClosed, match="s1: expired; it is over"):
        bench.office.sign_seal(seal.drafted)


def test_a_seal_that_was_given_up_is_no_parent_of_the_next(bench: SealBench) -> None:
    night = bench.night()
    seal = bench.seal("s1", night)
    seal.sign()
    seal.store()
    bench.office.close_seal(seal.signed.digest)
    refuse(bench.seal("s2", night, parent="s1"), "got parent 's1', expected ''")
    with pytest.raises(ReleaseClosed, match="s1: closed; it is over"):
        bench.office.sign_seal(seal.drafted)
    bench.seal("s2", night).sign()


def test_a_seal_that_expired_with_all_its_chunks_is_complete(bench: SealBench) -> None:
    night = bench.night()
    seal = bench.seal("s1", night)
    signed = seal.sign()
    seal.store()
    seal.take_all()
    bench.bench.clock.at += bench.settings.release_minutes * 60
    assert bench.office.sign_seal(seal.drafted) == (signed, seal.transfers)
    complete = bench.bench.store.complete_seal(signed.digest)
    assert complete is not None
    assert complete.seal == seal.seal()
    bench.seal("s2", night, parent="s1").sign()


# --- days ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-7, 0, 7])
@KINDS
def test_bands_near_today_and_bins_near_the_horizon_before_it_are_signed(
    bench: SealBench, kind: SealKind, off: int
) -> None:
    cut_off = bench.bench.day(off - bench.settings.horizon_days)
    night = bench.office.sign_night("n", cut_off, [PlannedReleases(Purpose.POINTS, 1, None)])
    as_of = bench.bench.day(off) if kind is BAND else cut_off
    bench.seal(night=night, kind=kind, as_of=as_of).sign()


@pytest.mark.parametrize("off", [-8, 8, 180, -180, -37 * 365])
@KINDS
def test_a_seal_of_a_day_that_is_off_is_not_signed(
    bench: SealBench, kind: SealKind, off: int
) -> None:
    expected = 0 if kind is BAND else -bench.settings.horizon_days
    name = "bands" if kind is BAND else "cut-off"
    refuse(bench.seal(kind=kind, as_of=bench.bench.day(expected + off)), f"s1, {name}: got ")


def test_as_of_1990_is_not_signed(bench: SealBench) -> None:
    """With it, whoever is carried would have the only points in the sum."""
    bench.bench.office = replace(bench.office, settings=MANY.model_copy(update={"days_off": 60}))
    refuse(bench.seal(as_of="1990-01-01"), "bands: got 1990-01-01, expected 2027-01-15")


@KINDS
def test_bands_never_go_back_to_an_earlier_day_whatever_the_night(
    bench: SealBench, kind: SealKind
) -> None:
    expected = 0 if kind is BAND else -bench.settings.horizon_days
    day, earlier = (bench.bench.day(expected + off) for off in (0, -1))
    bench.whole(kind=kind, as_of=day)
    later = bench.night("night-2")
    refuse(bench.seal("s2", later, kind, as_of=earlier), f"got {earlier}, expected {day}, as sign")
    bench.whole("s2", night=later, kind=kind, as_of=day)


def test_bands_of_today_make_no_cut_off_go_back(bench: SealBench) -> None:
    for number, kind in enumerate([BAND, FINE, BAND, FINE]):
        bench.whole(f"s{number}", kind=kind)


# --- how many -----------------------------------------------------------------------------------


def limited(**changes: int) -> SealBench:
    return SealBench(settings=MANY.model_copy(update=changes))


def on_a_day(bench: SealBench, name: str, kind: SealKind) -> HonestSeal:
    """A seal in a night of its own, of whatever day it is."""
    return bench.seal(f"{name}/1", bench.night(name), kind)


def run(seal: HonestSeal, until: str = "closed") -> None:
    """A seal up to some step."""
    seal.sign()
    if until != "signed":
        seal.store()
    if until == "closed":
        seal.take_all()
    if until in ("closed", "signed", "stored"):
        seal.at.office.close_seal(seal.signed.digest)
    elif until == "expired":
        seal.at.bench.clock.at += seal.at.settings.release_minutes * 60
    elif until == "failed":
        with pytest.raises(TransferFailed):
            seal.at.office.seal_chunk(seal.signed.digest, 0, seal.cheating())


@KINDS
def test_seven_days_have_two_seals_of_a_kind(kind: SealKind) -> None:
    bench = limited(seals_a_week=OfficeSettings().seals_a_week)
    assert bench.settings.seals_a_week == 2
    run(on_a_day(bench, "n1", kind))
    bench.bench.clock.at += DAY
    run(on_a_day(bench, "n2", kind))
    refuse(on_a_day(bench, "n3", kind), "2 .* seals within 7 days, expected at most 2")
    run(on_a_day(bench, "n4", FINE if kind is BAND else BAND))
    bench.bench.clock.at += 6 * DAY - 1
    refuse(on_a_day(bench, "n5", kind), "within 7 days")
    bench.bench.clock.at += 1
    run(on_a_day(bench, "n6", kind))
    refuse(on_a_day(bench, "n7", kind), "within 7 days")


@pytest.mark.parametrize(("kind", "limit"), [(BAND, "seals_a_year"), (FINE, "calibrations_a_year")])
def test_a_rolling_year_has_so_many_seals_of_a_kind(kind: SealKind, limit: str) -> None:
    bench = limited(**{limit: 2})
    run(on_a_day(bench, "n1", kind))
    bench.bench.clock.at += 100 * DAY
    run(on_a_day(bench, "n2", kind))
    refuse(on_a_day(bench, "n3", kind), "2 .* seals within a year, expected at most 2")
    run(on_a_day(bench, "n4", FINE if kind is BAND else BAND))
    bench.bench.clock.at += 265 * DAY - 1
    refuse(on_a_day(bench, "n5", kind), "within a year")
    bench.bench.clock.at += 1
    run(on_a_day(bench, "n6", kind))


@pytest.mark.parametrize("until", ["closed", "stored", "expired", "failed"])
@KINDS
def test_a_seal_counts_once_its_set_is_stored_however_it_ends(kind: SealKind, until: str) -> None:
    bench = limited(seals_a_week=1)
    run(on_a_day(bench, "n1", kind), until)
    refuse(on_a_day(bench, "n2", kind), "1 .* seals within 7 days")


def test_a_seal_without_a_set_does_not_count() -> None:
    bench = limited(seals_a_week=1, seals_a_year=1)
    run(on_a_day(bench, "n1", BAND), "signed")
    run(on_a_day(bench, "n2", BAND))


# --- where bands begin --------------------------------------------------------------------------

OTHER = ((-8, 8, 26), (10, 20))


def calibrate(bench: SealBench, name: str) -> None:
    """Has a calibration answered."""
    lines = [PlannedReleases(Purpose.CALIBRATION, 1, Rho(1, 100_000))]
    night = bench.office.sign_night(name, bench.bench.cut_off, lines)
    bench.bench.purpose, bench.bench.rho = Purpose.CALIBRATION, Rho(1, 100_000)
    draft = bench.bench.draft(night, f"{name}/1", directory=bench.bench.directory)
    answer(bench, bench.office.sign_release(draft))


def moved(bench: SealBench, name: str, cuts: object = OTHER) -> HonestSeal:
    return bench.seal(f"{name}/1", bench.night(name), cuts=cuts)


def test_cuts_change_after_a_calibration_and_28_days_after_the_last_change(
    bench: SealBench,
) -> None:
    assert bench.settings.cut_days == OfficeSettings().cut_days == 28
    bench.whole("s0", cuts=OTHER)  # the first ones are as HQ likes
    refuse(bench.seal("s1"), "got other scorecards or cuts 0.0 days after the last change")
    bench.bench.clock.at += 28 * DAY
    refuse(moved(bench, "n1", CUTS), r"28\.0 days after .* expected those of before, or a calibr")
    bench.whole("n2/1", night=bench.night("n2"), cuts=OTHER)
    calibrate(bench, "n3")
    run(moved(bench, "n4", CUTS))
    refuse(moved(bench, "n5"), "got other scorecards or cuts 0.0 days")
    bench.bench.clock.at += DAY
    calibrate(bench, "n6")
    bench.bench.clock.at += 27 * DAY - 1
    refuse(moved(bench, "n7"), "got other scorecards or cuts 28.0 days")
    bench.bench.clock.at += 1
    run(moved(bench, "n8"))


@pytest.mark.parametrize("until", ["stored", "expired", "failed"])
def test_cuts_are_the_last_ones_once_their_set_is_stored_however_the_seal_ends(
    bench: SealBench, until: str
) -> None:
    run(moved(bench, "n1"), until)
    refuse(moved(bench, "n2", CUTS), "got other scorecards or cuts")
    bench.bench.clock.at += 28 * DAY
    calibrate(bench, "n3")
    run(moved(bench, "n4", CUTS), until)
    refuse(moved(bench, "n5"), "got other scorecards or cuts")


def test_scorecards_of_bands_change_as_cuts_do(bench: SealBench) -> None:
    """Other weights move a sum over cuts that stay."""
    other = {"scorecard": "6" * 64}
    bench.whole("s0")
    refuse(bench.seal("s1", **other), "got other scorecards or cuts 0.0 days")  # type: ignore[arg-type]
    refuse(bench.seal("s1", scores=1, cuts=CUTS[:1]), "got other scorecards or cuts 0.0 days")
    bench.whole("s1", kind=FINE, **other)  # what is to be calibrated is not in use yet
    bench.bench.clock.at += 28 * DAY
    refuse(bench.seal("n1/1", bench.night("n1"), **other), "or a calibration since")  # type: ignore[arg-type]
    calibrate(bench, "n2")
    run(bench.seal("n3/1", bench.night("n3"), **other))  # type: ignore[arg-type]
    calibrate(bench, "n4")
    refuse(bench.seal("n5/1", bench.night("n5")), "not those calibrated last")
    changed = bench.seal("n6/1", bench.night("n6"), cuts=OTHER, **other)  # type: ignore[arg-type]
    refuse(changed, "got other scorecards or cuts 0.0 days")
    bench.whole("n7/1", night=bench.night("n7"), **other)


CARD: dict[str, object] = {"scorecard": "6" * 64}
THIRD: dict[str, object] = {"scorecard": "7" * 64}


def carded(
    bench: SealBench, name: str, card: dict[str, object] | None = None, kind: SealKind = FINE
) -> HonestSeal:
    return bench.seal(f"{name}/1", bench.night(name), kind, **(card or {}))


def test_what_is_calibrated_changes_28_days_after_the_last_change(bench: SealBench) -> None:
    """A fine seal of crafted weights is a sharp question: not one a night."""
    run(carded(bench, "n1"))
    for number in range(2):
        refuse(carded(bench, f"r{number}", CARD), r"got other scorecards 0\.0 days after the last")
        run(carded(bench, f"s{number}"))
    bench.bench.clock.at += 14 * DAY
    run(carded(bench, "s2"))  # the same again begins no month anew
    bench.bench.clock.at += 14 * DAY - 1
    refuse(carded(bench, "n2", CARD), r"other scorecards 28\.0 days .* or at least 28 days")
    bench.bench.clock.at += 1
    run(carded(bench, "n3", CARD))
    for number, card in enumerate([None, THIRD]):
        refuse(carded(bench, f"q{number}", card), r"got other scorecards 0\.0 days")
    run(carded(bench, "n4", CARD))


@pytest.mark.parametrize("until", ["stored", "expired", "failed"])
def test_a_calibration_that_failed_is_tried_again_with_its_own_scorecards_alone(
    bench: SealBench, until: str
) -> None:
    run(carded(bench, "n1", CARD), until)
    refuse(carded(bench, "n2"), "got other scorecards 0")
    run(carded(bench, "n3", CARD))


def test_a_calibration_without_a_set_binds_nobody(bench: SealBench) -> None:
    run(carded(bench, "n1", CARD), "signed")
    run(carded(bench, "n2"))
    run(carded(bench, "n3", kind=BAND))


def test_bands_are_by_the_scorecards_calibrated_last_or_go_on(bench: SealBench) -> None:
    run(carded(bench, "n1", CARD))
    refuse(carded(bench, "n2", kind=BAND), "not those calibrated last")  # the first ones too
    run(carded(bench, "n3", CARD, BAND))
    bench.bench.clock.at += 28 * DAY
    calibrate(bench, "n4")
    run(carded(bench, "n5", THIRD))
    refuse(carded(bench, "n6", kind=BAND), "not those calibrated last")
    refuse(carded(bench, "n7", {**CARD, "cuts": OTHER}, BAND), "not those calibrated last")
    run(carded(bench, "n8", CARD, BAND))  # what stands goes on
    run(carded(bench, "n9", THIRD, BAND))
    refuse(carded(bench, "n10", CARD, BAND), "not those calibrated last")


def test_cuts_of_a_seal_without_a_set_bind_nobody(bench: SealBench) -> None:
    run(moved(bench, "n1"), "signed")
    run(moved(bench, "n2", CUTS))


def test_a_calibration_before_the_last_change_allows_no_other(bench: SealBench) -> None:
    run(moved(bench, "n1", CUTS))
    bench.bench.clock.at += 28 * DAY
    calibrate(bench, "n2")
    run(moved(bench, "n3"))
    bench.bench.clock.at += 28 * DAY
    refuse(moved(bench, "n4", CUTS), "or a calibration since")


def test_another_sum_than_a_calibration_allows_no_other_cuts(bench: SealBench) -> None:
    run(moved(bench, "n1", CUTS))
    bench.bench.clock.at += 28 * DAY
    lines = [PlannedReleases(Purpose.MOMENTS, 1, Rho(1, 1000))]
    night = bench.office.sign_night("n2", bench.bench.cut_off, lines)
    answer(bench, bench.office.sign_release(bench.bench.draft(night, "n2/1")))
    refuse(moved(bench, "n3"), "or a calibration since")


def test_the_middles_of_fine_bins_are_no_cuts_of_bands(bench: SealBench) -> None:
    bench.whole("s1")
    bench.whole("s2", kind=FINE, cuts=((8,), (12,)))
    bench.whole("s3", kind=FINE, cuts=((-4,), (88,)))
    bench.whole("s4")


def test_the_last_cuts_survive_a_restart(tmp_path: Path) -> None:
    bench = SealBench(f"sqlite:///{tmp_path / 'office.db'}")
    bench.whole("s1")
    bench.whole("s2/1", night=bench.night("s2"), kind=FINE)
    bench.restart()
    refuse(carded(bench, "s3", CARD), "got other scorecards")
    refuse(bench.seal("s2", cuts=OTHER), "got other scorecards or cuts")
    bench.whole("s2")
    assert SealPlan.decode(bench.seal("s3").sign().payload).cuts == CUTS
