"""The office opens no sum by which, with the year's others, a few outlets' part could be told.

`hq_attacks`, A: four sums over three of four outlets each gave every outlet's counts.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import combinations
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from privacy.budget import YEAR_SECONDS
from privacy.errors import AnswerRefused
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.outlet_blocks import SumBlocks, smallest_block
from privacy.purposes import Purpose
from server.holder.database import create_stores
from server.office.clock import set_right
from server.office.errors import NotAdmitted
from server.office.main import app
from server.office.store_place import open_office
from server.office.sum_set_store import Admission
from server.office.tables import STORES
from tests.builders import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

pytestmark = pytest.mark.usefixtures("both_engines")


class Sums:
    """Asks for one sum after another, each over a set of outlets."""

    def __init__(self, bench: Bench, nights: str = "night") -> None:
        self.bench, self.count, self.nights = bench, 0, nights
        self.opened: list[frozenset[str]] = []

    def ask(self, names: str) -> bool:
        """Whether the office opens a sum over these outlets."""
        self.count += 1
        night = self.bench.night(f"{self.nights}-{self.count}")
        signed = self.bench.office.sign_release(
            self.bench.draft(night, f"{self.nights}-{self.count}/1")
        )
        envelopes = [self.bench.share(signed, name).envelope for name in names]
        before = self.bench.store.ledger().length
        refused: AnswerRefused | None = None
        try:
            self.bench.office.unlock(signed.digest, envelopes)
        except AnswerRefused as refusal:
            refused = refusal
        if refused is None:
            self.opened.append(frozenset(names))
            return True
        assert "fewer than 3 outlets" in str(refused)
        assert refused.outlet is None, "nobody is at fault"
        assert self.bench.store.ledger().length == before, "a refused sum costs nothing"
        return False


def bench_of(names: str, url: str = "sqlite://") -> Bench:
    return Bench(names=tuple(names), url=url)


def test_of_four_sums_over_three_of_four_outlets_one_is_opened() -> None:
    sums = Sums(bench_of("abcd"))
    assert [sums.ask("".join(three)) for three in combinations("abcd", 3)] == [
        True, False, False, False,
    ]  # fmt: skip


def test_whatever_sets_are_asked_for_every_block_keeps_a_quorum() -> None:
    sums = Sums(bench_of("abcdefg"))
    asked = ["abcdefg", "abcdef", "abcd", "abc", "defg", "efg", "abdefg", "abcefg"]
    assert [sums.ask(names) for names in asked] == [
        True, False, True, False, False, True, False, False,
    ]  # fmt: skip
    assert smallest_block(sums.opened) == frozenset("efg")
    assert sums.bench.office.sum_blocks() == SumBlocks(3, (frozenset("abcd"), frozenset("efg")))


def test_sums_for_different_uses_are_looked_at_together() -> None:
    bench = bench_of("abcd")
    assert Sums(bench).ask("abcd")
    bench.purpose = Purpose.EVALUATION
    assert not Sums(bench, "counts").ask("abc")


def test_a_restarted_office_remembers_and_after_a_year_forgets(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'office.db'}"
    first = bench_of("abcd", url)
    assert Sums(first).ask("abcd")
    again = bench_of("abcd", url)
    again.clock.at = first.clock.at + YEAR_SECONDS - 1
    assert not Sums(again, "later").ask("abc")
    again.clock.at += 1
    assert Sums(again, "next year").ask("abc")


def test_who_was_taken_off_the_list_stops_no_sum() -> None:
    bench = bench_of("abcd")
    sums = Sums(bench)
    assert sums.ask("abcd")
    del bench.keys["d"]
    bench.office = bench.office_of()
    assert sums.ask("abc")


def test_a_new_outlet_waits_for_company_or_is_admitted() -> None:
    bench = bench_of("abcdefgh")
    sums = Sums(bench)
    assert sums.ask("abcd")
    assert not sums.ask("abcde")
    assert sums.ask("abcdefg"), "three that are new are a block of their own"
    listed = bench.public_keys.keys()
    assert not sums.ask("abcdefgh")
    with bench.store.transaction() as transaction:
        coming, block = transaction.sum_sets.admit(
            "h", listed, 3, Admission(int(bench.clock.at), "M. Okafor", "it agreed")
        )
    assert (coming, block) == (frozenset("h"), frozenset("abcdh"))
    assert sums.ask("abcdefgh")
    assert bench.office.sum_blocks().admitted == frozenset("h")


def test_by_the_command_line_who_admits_an_outlet_and_why_is_kept_and_shown(
    tmp_path: Path,
) -> None:
    office = Keyring(tmp_path / "office", PartyKind.OFFICE)
    office.create("dpo", "h:1", dt.datetime.now(dt.UTC), "h:2")
    for name in "abcd":
        ring = Keyring(tmp_path / name, PartyKind.OUTLET)
        ring.create(name, "", dt.datetime.now(dt.UTC))
        office.trust(ring.identity().card, ring.public_file.read_bytes())
    create_stores(office.folder, STORES)
    with closing(open_office(office.folder)) as store, store.transaction() as transaction:
        transaction.sum_sets.keep(["a", "b", "c"], int(time.time()))

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["sums", *words, "--home", str(office.folder)])

    assert run("admit", "d", "--yes").exit_code == 2
    nobody = run("admit", "d", "--yes", "--by", " ", "--reason", "agreed")
    assert (nobody.exit_code, "--by: got 0 characters" in nobody.output) == (2, True)
    assert "in no sum of the last year: d" in run().output
    done = run("admit", "d", "--yes", "--by", "M. Okafor", "--reason", "agreed by its manager")
    assert done.exit_code == 0, done.output
    day = dt.datetime.now(dt.UTC).date()
    assert f"d ({day}, by M. Okafor: agreed by its manager)" in run().output
    [said] = json.loads(run("--json").output)["admitted"]
    assert (said["outlet"], said["by"], said["why"]) == ("d", "M. Okafor", "agreed by its manager")


@pytest.mark.parametrize(
    ("outlet", "why"), [("a", "in sums already"), ("z", "not on the office's list")]
)
def test_who_needs_no_admission_or_may_have_none_gets_none(outlet: str, why: str) -> None:
    bench = bench_of("abcd")
    assert Sums(bench).ask("abc")
    with bench.store.transaction() as transaction, pytest.raises(NotAdmitted, match=why):
        transaction.sum_sets.admit(
            outlet,
            bench.public_keys.keys(),
            3,
            Admission(int(bench.clock.at), "M. Okafor", "it agreed"),
        )
    assert bench.office.sum_blocks().blocks == (frozenset("abc"),)


def admit(bench: Bench, outlet: str) -> None:
    with bench.store.transaction() as transaction:
        transaction.sum_sets.admit(
            outlet,
            bench.public_keys.keys(),
            3,
            Admission(int(bench.clock.at), "M. Okafor", "it agreed"),
        )


def test_who_was_admitted_hides_nobody_for_a_year() -> None:
    bench = bench_of("abcdef")
    sums = Sums(bench)
    assert sums.ask("abcd")
    for outlet in "ef":
        admit(bench, outlet)
    assert not sums.ask("abc"), "of abcd the part of d alone would be told"
    assert sums.ask("abcdef")
    assert sums.ask("abcde"), "of f all is told already"
    bench.clock.at += YEAR_SECONDS
    assert sums.ask("abcdef")
    assert sums.ask("abc"), "the sums without them are of more than a year ago"


def test_those_who_are_left_of_a_block_are_admitted_together() -> None:
    bench = bench_of("abcdef")
    sums = Sums(bench)
    assert [sums.ask(names) for names in ("abcdef", "abc")] == [True, True]
    del bench.keys["d"]
    bench.office = bench.office_of()
    assert not sums.ask("abcef")
    admit(bench, "e")
    assert bench.office.sum_blocks().blocks == (frozenset("abcef"),)
    assert bench.office.sum_blocks().admitted == frozenset("ef")
    assert sums.ask("abcef")


def test_a_set_of_the_longest_names_is_kept() -> None:
    names = tuple(f"{place:03d}" + "x" * 37 for place in range(150))
    bench = Bench(names=names)
    with bench.store.transaction() as transaction:
        transaction.sum_sets.keep(names, int(bench.clock.at))
    assert bench.office.sum_blocks().blocks == (frozenset(names),)


def test_a_clock_that_was_ahead_lets_no_set_be_forgotten() -> None:
    bench = bench_of("abcd")
    assert Sums(bench).ask("abcd")
    now = bench.clock.at
    bench.clock.at += 1.5 * YEAR_SECONDS
    assert Sums(bench, "ahead").ask("abc")
    bench.clock.at = now
    with bench.store.transaction() as transaction:
        set_right(transaction, int(now), confirmed=True)
    assert bench.office.sum_blocks().blocks == (frozenset("abc"), frozenset("d"))
    assert not Sums(bench, "again").ask("abcd")


def test_of_two_calls_at_once_over_sets_that_differ_in_one_outlet_one_is_opened(
    tmp_path: Path,
) -> None:
    bench = bench_of("abcd", f"sqlite:///{tmp_path / 'office.db'}")
    nights = [bench.night(f"night-{place}") for place in range(4)]
    plans = [
        bench.office.sign_release(bench.draft(night, f"r{place}"))
        for place, night in enumerate(nights)
    ]
    start = Barrier(4)

    def unlocks(place: int) -> bool:
        names = "abcd".replace("abcd"[place], "")
        envelopes = [bench.share(plans[place], name).envelope for name in names]
        start.wait()
        try:
            bench.office.unlock(plans[place].digest, envelopes)
        except AnswerRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(unlocks, range(4))) == 1
