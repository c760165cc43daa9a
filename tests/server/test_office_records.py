"""What the office keeps of the sets of its sums, of the ledger and of its plans, entry by entry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from privacy.budget import YEAR_SECONDS, LedgerForked, LedgerPosition
from privacy.errors import AnswerRefused
from privacy.plans import NightPlan, ReleasePlan
from server.office.errors import NotAdmitted
from server.office.settings import OfficeSettings
from server.office.sum_set_store import Admission, SumSetStore
from server.office.tables import SUM_SETS
from tests.builders import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTED, NOW = frozenset("abcdefghijk"), 1_800_000_000


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    SUM_SETS.metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection


def sets_of(connection: sa.Connection) -> set[str]:
    """All sets that are kept, as one word each."""
    return {"".join(json.loads(row)) for row in connection.scalars(sa.select(SUM_SETS.c.outlets))}


def admit(store: SumSetStore, outlet: str, quorum: int = 3, at: int = NOW) -> None:
    store.admit(outlet, LISTED, quorum, Admission(at, "Ada", "new"))


def test_a_set_is_deleted_two_years_after_its_sum(connection: sa.Connection) -> None:
    store = SumSetStore(connection)
    store.keep("abc", NOW)
    store.keep("abcd", NOW + 2 * YEAR_SECONDS - 1)
    assert sets_of(connection) == {"abc", "abcd"}
    store.keep("abcde", NOW + 2 * YEAR_SECONDS)
    assert sets_of(connection) == {"abcd", "abcde"}


def test_without_a_block_of_a_quorum_nobody_is_admitted(connection: sa.Connection) -> None:
    store = SumSetStore(connection)
    store.keep("abc", NOW - YEAR_SECONDS)
    with pytest.raises(NotAdmitted, match="no sum of a year is over a quorum"):
        admit(store, "d")


def test_who_is_admitted_is_in_each_set_of_its_block_of_the_year_and_in_no_other(
    connection: sa.Connection,
) -> None:
    store = SumSetStore(connection)
    for place, names in enumerate(("abcd", "abcdefg", "abcdhij", "abcdefghij", "efg", "hij")):
        store.keep(names, NOW - place)
    store.keep("abcdfgh", NOW - YEAR_SECONDS)
    admit(store, "k")
    within = {"abcdk", "abcdefgk", "abcdhijk", "abcdefghijk", "efg", "hij"}
    assert sets_of(connection) == {*within, "abcdfgh"}


def test_a_block_below_the_quorum_leaves_the_sets_in_which_it_was_by_itself(
    connection: sa.Connection,
) -> None:
    store = SumSetStore(connection)
    store.keep("abcd", NOW)
    store.keep("efg", NOW)
    admit(store, "e", quorum=4)
    assert sets_of(connection) == {"abcdefg"}
    assert store.admitted(NOW) == frozenset("efg")


def test_an_admission_counts_for_a_year_and_may_be_given_again(connection: sa.Connection) -> None:
    store = SumSetStore(connection)
    store.keep("abcd", NOW)
    for outlet in "gfe":
        admit(store, outlet)
    later = NOW + YEAR_SECONDS
    assert store.admitted(later - 1) == store.admissions(later - 1).keys() == frozenset("efg")
    assert store.admitted(later) == store.admissions(later).keys() == frozenset()
    store.keep("abcd", later)
    admit(store, "f", at=later)
    assert store.admitted(later) == frozenset("f")


def test_a_minimum_that_was_raised_after_signing_holds_for_blocks_too() -> None:
    """A plan's quorum of three does not leave three out where the office asks for four."""
    bench = Bench(names=tuple("abcdefg"))

    def ask(number: int, names: str, minimum: int) -> None:
        night = bench.night(f"night-{number}")
        signed = bench.office.sign_release(bench.draft(night, f"r{number}"))
        envelopes = [bench.share(signed, name).envelope for name in names]
        office = replace(bench.office, settings=OfficeSettings(minimum_outlets=minimum))
        office.unlock(signed.digest, envelopes)

    ask(1, "abcdefg", 3)
    with pytest.raises(AnswerRefused, match="fewer than 4 outlets"):
        ask(2, "abcd", 4)
    ask(3, "abcd", 3)


@pytest.mark.parametrize("other", ["0" * 64, "f" * 64])
def test_a_release_that_was_charged_for_one_set_is_charged_for_no_other(other: str) -> None:
    """Whichever digest is the larger."""
    bench = Bench()
    signed = bench.office.sign_release(bench.draft(bench.night()))
    plan, now = ReleasePlan.decode(signed.payload), int(bench.clock.at)
    for _ in range(2):
        bench.office._charge(plan, "8" * 64, frozenset("abc"), now)
    with pytest.raises(AnswerRefused, match="charged before for another set"):
        bench.office._charge(plan, other, frozenset("abcd"), now)
    assert [one.release for one in bench.store.ledger().entries if one.release] == ["r1"]


@pytest.mark.parametrize("wrong", ["0" * 64, "f" * 64])
def test_a_ledger_goes_on_from_each_of_its_own_entries_and_from_no_other(wrong: str) -> None:
    bench = Bench()
    for number in range(3):
        bench.night(f"night-{number}")
    entries = bench.store.ledger().entries
    bench.office.check_history(LedgerPosition())
    for place, entry in enumerate(entries):
        bench.office.check_history(LedgerPosition(place + 1, entry.digest))
        with pytest.raises(LedgerForked):
            bench.office.check_history(LedgerPosition(place + 1, wrong))
    with pytest.raises(LedgerForked):
        bench.office.check_history(LedgerPosition(len(entries) + 1, entries[-1].digest))


def test_plans_expire_to_the_second() -> None:
    bench = Bench()
    night = bench.night()
    release = bench.office.sign_release(bench.draft(night))
    after = [NightPlan.decode(night.payload).expires, ReleasePlan.decode(release.payload).expires]
    hours, minutes = bench.settings.night_hours, bench.settings.release_minutes
    assert [at - int(bench.clock.at) for at in after] == [hours * 3600, minutes * 60]
