"""How many outlets a seal may lack: a quarter of those of earlier seals, whatever HQ says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.books import Book
from privacy.errors import AnswerRefused
from privacy.masks import Seed
from privacy.seal_plans import SealKind
from privacy.two_key_sum import CARRY_DAYS, KeptSeed
from server.holder.vault import KeyFile
from server.office.backup import copy_without_keys
from server.office.ledger_store import end_network
from server.office.set_rules import reached_slots
from server.office.vault import KEY_FILE, Vault
from tests.privacy.seals import plan_of
from tests.server.seal_benches import DAY, MANY, HonestSeal, SealBench

if TYPE_CHECKING:
    from pathlib import Path

BAND, FINE = SealKind.BAND, SealKind.FINE
KINDS = pytest.mark.parametrize("kind", [BAND, FINE])
EVERYBODY = "abcdefgh"
SETTINGS = MANY.model_copy(update={"cut_days": 0})
"""So that a test need not wait for other scorecards."""

NOBODY_IS_CARRIED: dict[str, dict[str, object]] = {
    "calibration": {"kind": FINE},
    "other scorecards": {"scorecard": "6" * 64},
    "a score less": {"scores": 1, "cuts": ((-8, 8),)},
}
"""Drafts under which the kept answers of before are of no use."""


def bench_of(names: str = EVERYBODY, url: str = "sqlite://") -> SealBench:
    return SealBench(url, SETTINGS, names=tuple(names))


def attempt(
    bench: SealBench, release: str, names: str, *carried: tuple[HonestSeal, str], **given: object
) -> HonestSeal:
    """A seal of a night of its own, closed whether its set was taken or not."""
    with bench.bench.store.transaction() as transaction:
        transaction.seals.note_calibration()
    seal = bench.seal(release, bench.night(f"night of {release}"), **given)  # type: ignore[arg-type]
    seal.sign()
    try:
        seal.store(names, *carried)
    finally:
        bench.office.close_seal(seal.signed.digest)
    return seal


def refuse(bench: SealBench, release: str, names: str, why: str, **given: object) -> None:
    """Expects that a set is refused, and that nobody is at fault."""
    with pytest.raises(AnswerRefused, match=why) as caught:
        attempt(bench, release, names, **given)
    assert caught.value.outlet is None


@pytest.mark.parametrize("how", NOBODY_IS_CARRIED)
def test_a_seal_that_carries_nobody_is_of_three_quarters_of_those_of_before(how: str) -> None:
    """Two outlets of HQ's and one other would be that one's own bands."""
    bench, draft = bench_of(), NOBODY_IS_CARRIED[how]
    attempt(bench, "s0", EVERYBODY)
    for number, names in enumerate(["abh", "abcde"]):
        there = f"got {len(names)} of the 8 outlets that were in seals before, expected at least 6"
        refuse(bench, f"r{number}", names, f"{there}; seal on a night when more", **draft)
    attempt(bench, "s1", "abcdef", **draft)


@KINDS
def test_the_very_first_seal_is_of_whoever_is_there(kind: SealKind) -> None:
    attempt(bench_of(), "s1", "abc", kind=kind)


@pytest.mark.parametrize("how", NOBODY_IS_CARRIED)
def test_one_of_four_may_be_away(how: str) -> None:
    bench = bench_of("abcd")
    attempt(bench, "s0", "abcd")
    attempt(bench, "s1", "bcd", **NOBODY_IS_CARRIED[how])


@pytest.mark.parametrize("how", NOBODY_IS_CARRIED)
def test_of_seven_five_are_too_few(how: str) -> None:
    """Three quarters of them are more than five."""
    bench = bench_of("abcdefg")
    attempt(bench, "s0", "abcdefg")
    refuse(bench, "s1", "abcde", "5 of the 7 .* at least 6", **NOBODY_IS_CARRIED[how])


def test_who_is_carried_is_there() -> None:
    bench = bench_of()
    first = attempt(bench, "s0", EVERYBODY)
    attempt(bench, "s1", "abh", *((first, name) for name in "cdefg"))


@KINDS
def test_a_month_in_which_hq_says_that_the_others_are_away_frees_no_set(kind: SealKind) -> None:
    """Their seeds are deleted then, and nobody could be carried; who they are is not forgotten."""
    bench = bench_of()
    first = attempt(bench, "s0", EVERYBODY)
    for week in range(1, 5):
        bench.bench.clock.at += 7 * DAY
        attempt(bench, f"s{week}", "abh", *((first, name) for name in "cdefg"))
    for days in (CARRY_DAYS, 2 * 365):
        bench.bench.clock.at += days * DAY
        refuse(bench, f"r{days}", "abh", "got 3 of the 8 outlets", kind=kind)
    attempt(bench, "s9", "abcdef", kind=kind)


@KINDS
def test_seals_for_calibration_alone_are_not_of_one_outlet_after_another(kind: SealKind) -> None:
    bench = bench_of()
    attempt(bench, "s0", "abc", kind=FINE)
    for name in "defgh":
        refuse(bench, f"r{name}", f"ab{name}", "2 of the 3 .* at least 3", kind=kind)
    attempt(bench, "s1", "abcdefgh", kind=kind)


def test_a_set_counts_however_its_seal_ends_and_one_that_was_refused_does_not() -> None:
    bench = bench_of()
    attempt(bench, "s0", "abcd")  # closed before its first chunk
    refuse(bench, "r0", "abefgh", "2 of the 4 .* at least 3", kind=FINE)
    attempt(bench, "s1", "abc", kind=FINE)


@pytest.mark.parametrize(("fresh", "told"), [("agh", False), ("abcgh", False), ("abcdgh", True)])
def test_of_slots_listed_since_nothing_is_told_before_three_quarters_answered_about_them(
    fresh: str, *, told: bool
) -> None:
    """A carried answer has nothing of them: the sum is of the fresh ones, one among HQ's own."""
    bench = bench_of()
    first = bench.whole("s0", EVERYBODY)
    bench.list(*range(12), batch=2)
    carried = [(first, name) for name in EVERYBODY if name not in fresh]
    seal = bench.whole("s1", fresh, *carried, night=bench.night("n1"))
    clear = seal.clear()
    assert clear[6:].any(axis=0).all()  # there is something to be told
    if not told:
        clear[6:] = 0
    assert (seal.codes() == clear).all()
    book = Book.decode(seal.book().book)
    new = [seal.read(book, slot) for slot in range(6, 12)]
    assert (new == [((0, 0), 0)] * 6) != told


def test_an_answer_that_is_carried_counts_for_the_slots_that_it_is_about() -> None:
    bench = bench_of()
    first = bench.whole("s0", EVERYBODY)
    bench.list(*range(12), batch=2)
    carried = [(first, name) for name in "bcdef"]
    second = bench.whole("s1", "agh", *carried, night=bench.night("n1"))
    carried = [(second, "g"), (second, "h"), (first, "e"), (first, "f")]
    third = bench.whole("s2", "abcd", *carried, night=bench.night("n2"))
    assert (third.codes() == third.clear()).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_the_slots_that_are_told_are_those_three_quarters_answered_about(
    lengths: list[int],
) -> None:
    plan = plan_of(9)
    seeds = [KeptSeed(Seed(bytes(32)), slots * plan.width) for slots in lengths]
    told = [4 * sum(slot < slots for slots in lengths) >= 3 * len(lengths) for slot in range(9)]
    assert [slot < reached_slots(plan, seeds) for slot in range(9)] == told


def test_who_was_taken_off_the_list_is_missed_by_nobody() -> None:
    """A person has to say so; HQ cannot."""
    bench = bench_of()
    attempt(bench, "s0", EVERYBODY)
    listed = {name: key for name, key in bench.office.outlets.items() if name in "abcd"}
    whole, bench.bench.office = bench.office, replace(bench.office, outlets=listed)
    attempt(bench, "s1", "abc", kind=FINE)
    bench.bench.office = whole  # put on it again, they count again
    refuse(bench, "s2", "abc", "3 of the 8", kind=FINE)


def test_neither_restart_nor_backup_nor_another_network_forgets_who_was_there(
    tmp_path: Path,
) -> None:
    bench = bench_of(url=f"sqlite:///{tmp_path / 'office.db'}")
    attempt(bench, "s0", EVERYBODY)
    bench.restart()
    refuse(bench, "r1", "abh", "3 of the 8", kind=FINE)
    end_network(bench.url, Vault(tmp_path / KEY_FILE), KeyFile.beside(bench.url))
    bench.list(*range(6, 16))
    refuse(bench, "r2", "abh", "3 of the 8")
    (tmp_path / "copy").mkdir()
    copy_without_keys(bench.url, tmp_path / "copy" / "office.db")
    bench.url = f"sqlite:///{tmp_path / 'copy' / 'office.db'}"
    bench.restart()
    refuse(bench, "r3", "abh", "3 of the 8")
    attempt(bench, "s1", "abcdef")
