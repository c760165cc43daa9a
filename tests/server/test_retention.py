"""What HQ and the office delete of nights that are over, and what stays for an audit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from privacy.errors import PlanRefused, ReleaseClosed
from privacy.plans import NightPlan, ReleasePlan, Signed, sign
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind
from privacy.two_key_sum import Aggregate
from server.hq.release_store import KEPT_DAYS as HQ_KEPT_DAYS
from server.hq.store import HqStore
from server.hq.tables import HQ
from server.office.retention import KEPT_DAYS
from tests.builders import Bench, store_at
from tests.server.hq_sealing import HqBench, Killed, in_chunks_of
from tests.server.seal_benches import DAY, SealBench

if TYPE_CHECKING:
    from privacy.plans import Signed

HOUR = 3600
KEPT = (Purpose.CALIBRATION, Purpose.EVALUATION)


# --- the office -----------------------------------------------------------------------------------


def rows_of(place: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(place)) as connection:
        return connection.execute(query).fetchall()


def unlocked(bench: Bench, signed: Signed) -> bytes:
    return bench.office.unlock(signed.digest, [bench.share(signed, n).envelope for n in "abc"])


def test_an_answer_is_given_again_until_its_night_is_over_and_then_it_is_in_no_file(
    tmp_path: Path,
) -> None:
    place = tmp_path / "office.db"
    bench = Bench(url=f"sqlite:///{place}")
    signed = bench.office.sign_release(bench.draft(bench.night(), dimension=64))
    envelopes = [bench.share(signed, name).envelope for name in "abc"]
    answer = bench.office.unlock(signed.digest, envelopes)
    assert bench.office.unlock(signed.digest, envelopes) == answer
    assert answer in place.read_bytes()
    head = bench.store.ledger().head
    bench.office.close_night("night-1")
    assert answer not in place.read_bytes()
    with pytest.raises(PlanRefused, match="r1: expired; its key is deleted"):
        bench.office.unlock(signed.digest, envelopes)
    ledger = bench.store.ledger()
    assert [entry.release for entry in ledger.entries if entry.release] == ["r1"]
    assert head in {entry.digest for entry in ledger.entries}


def test_an_answer_of_a_night_that_nobody_closed_goes_when_the_next_one_is(tmp_path: Path) -> None:
    place = tmp_path / "office.db"
    bench = Bench(url=f"sqlite:///{place}")
    signed = bench.office.sign_release(bench.draft(bench.night(), dimension=64))
    answer = unlocked(bench, signed)
    bench.clock.at += bench.settings.night_hours * HOUR
    bench.night("night-2")
    bench.office.close_night("night-2")
    assert answer not in place.read_bytes()


def test_long_after_a_night_only_plans_that_charged_the_ledger_stay(tmp_path: Path) -> None:
    place = tmp_path / "office.db"
    bench = Bench(url=f"sqlite:///{place}")
    night = bench.night()
    draft, later = bench.draft(night), bench.draft(night, "r2", parent="r1")
    charged = bench.office.sign_release(draft)
    unlocked(bench, charged)
    idle = bench.office.sign_release(later)
    bench.office.close_night("night-1")
    for days, kept in ((KEPT_DAYS - 1, True), (KEPT_DAYS + 1, False)):
        bench.clock.at += days * DAY if kept else 2 * DAY
        name = f"night-after-{days}"
        bench.night(name)
        bench.office.close_night(name)
        payloads = dict(rows_of(place, "SELECT release, payload FROM releases"))
        assert payloads == {"r1": charged.payload, "r2": idle.payload if kept else b""}
        nights = dict(rows_of(place, "SELECT night, payload FROM nights"))
        assert nights["night-1"] == (night.payload if kept else b"")
        assert nights[name]
    assert rows_of(place, "SELECT count(*) FROM releases WHERE signature = x''") == [(1,)]
    with pytest.raises(PlanRefused, match="night-1: it is over, and its plan was deleted"):
        bench.night()
    with pytest.raises(PlanRefused, match="r2: it is over, and its plan was deleted"):
        bench.office.sign_release(later)
    assert bench.office.sign_release(draft) == charged  # an auditor sees it as it was
    bench.store.ledger()


def test_of_seals_of_long_ago_what_counts_them_stays_and_the_last_books_stays_whole(
    tmp_path: Path,
) -> None:
    place = tmp_path / "office.db"
    seals = SealBench(url=f"sqlite:///{place}")
    first = seals.whole("s1", night=seals.night("night-1"))
    seals.office.close_night("night-1")
    transfers = "SELECT length(transfers) FROM seals ORDER BY set_at"
    assert rows_of(place, transfers) == [(0,)]
    seals.bench.clock.at += DAY
    second = seals.whole("s2", night=seals.night("night-2"))
    seals.night("beside")
    seals.office.close_night("beside")
    assert rows_of(place, transfers) == [(0,), (len(second.transfers),)]  # it may be taken up
    seals.office.close_night("night-2")
    seals.bench.clock.at += (KEPT_DAYS + 2) * DAY
    seals.night("night-3")
    seals.office.close_night("night-3")
    store = seals.bench.store
    assert store.complete_seal(first.signed.digest) is None
    complete = store.complete_seal(second.signed.digest)
    assert complete is not None
    assert complete.seal.choices
    with store.transaction() as transaction:
        assert transaction.seals.count(SealKind.BAND, 0) == 2
    chunks = rows_of(place, "SELECT DISTINCT plan FROM seal_chunks")
    assert chunks == [(second.signed.digest,)]
    with pytest.raises(PlanRefused, match="s1: it is over, and its plan was deleted"):
        seals.office.close_seal(first.signed.digest)


# --- HQ: sums -------------------------------------------------------------------------------------


@dataclass
class Sums:
    """HQ's store with one night, whose releases are summed and not released."""

    url: str
    bench: Bench = field(default_factory=lambda: Bench(count=9))

    def __post_init__(self) -> None:
        self.store = HqStore(store_at(self.url, HQ))
        self.night = self.bench.night()
        self.store.add_night("night-1", self.night, "d", [])
        self.end = NightPlan.decode(self.night.payload).expires

        self.made = self.bench.office.sign_release(self.bench.draft(self.night, dimension=64))
        self.shares = [self.bench.share(self.made, name) for name in "abc"]

    def summed(self, release: str, purpose: Purpose) -> Aggregate:
        """A release as HQ has it before the office answered."""
        plan = replace(ReleasePlan.decode(self.made.payload), release=release, purpose=purpose)
        self.store.add_plan(release, "night-1", sign(plan, self.bench.office_key))
        total = Aggregate.of(plan, self.shares)
        self.store.add_sum(release, total, np.arange(64))
        return total


def test_a_sum_that_nobody_can_open_any_more_is_in_no_file(tmp_path: Path) -> None:
    place = tmp_path / "hq.db"
    sums = Sums(f"sqlite:///{place}")
    total = sums.summed("r1", Purpose.MOMENTS).masked_sum.tobytes()
    noise = np.arange(64).astype("<i8").tobytes()
    sums.store.forget_over(sums.end)  # HQ's clock may be ahead of the office's
    checkpoint = sums.store.checkpoint("r1")
    assert checkpoint is not None
    assert checkpoint.noise is not None
    sums.store.forget_over(sums.end + 2 * HOUR)
    checkpoint = sums.store.checkpoint("r1")
    assert checkpoint is not None
    assert (checkpoint.aggregate, checkpoint.noise) == (None, None)
    for secret in (total, noise):
        assert secret not in place.read_bytes()


def test_a_month_after_a_night_only_what_an_audit_reads_of_it_stays(tmp_path: Path) -> None:
    sums = Sums(f"sqlite:///{tmp_path / 'hq.db'}")
    values = np.linspace(0, 1, 64)
    purposes = dict(zip(("r1", "r2", "r3"), (Purpose.MOMENTS, *KEPT), strict=True))
    for release, purpose in purposes.items():
        sums.summed(release, purpose)
        sums.store.add_values(release, values)
    sums.store.save_scorecard("night-1", "y_loyal", b"card")
    sums.store.forget_over(sums.end + (HQ_KEPT_DAYS - 1) * DAY)
    assert sums.store.night("night-1") is not None
    assert all(sums.store.checkpoint(release) is not None for release in purposes)
    sums.store.forget_over(sums.end + (HQ_KEPT_DAYS + 1) * DAY)
    assert sums.store.night("night-1") is None
    assert sums.store.checkpoint("r1") is None
    for release in ("r2", "r3"):
        checkpoint = sums.store.checkpoint(release)
        assert checkpoint is not None
        assert checkpoint.outlets == tuple("abc")
        assert checkpoint.values is not None
        assert checkpoint.values.tolist() == values.tolist()
    assert sums.store.scorecard("night-1", "y_loyal") == b"card"


# --- HQ: seals ------------------------------------------------------------------------------------


@pytest.fixture
def hq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HqBench:
    in_chunks_of(8, monkeypatch)
    at = SealBench(customers=tuple(range(21)))
    made = HqBench(at, f"sqlite:///{tmp_path / 'hq.db'}")
    made.seal("n0")
    made.a_week_later("abcd")
    made.office.asked.clear()
    return made


def end_of(hq: HqBench, night: str) -> int:
    """When a night's plan ends; the night is known to HQ from then on."""
    signed = hq.at.night(night)
    if hq.store.night(night) is None:
        hq.store.add_night(night, signed, hq.at.bench.directory, [])
    return NightPlan.decode(signed.payload).expires


def left_at(hq: HqBench, step: str, kind: SealKind = SealKind.BAND) -> int:
    """HQ dies at a step of night n1's seal; when its plan ends."""
    end = end_of(hq, "n1")
    hq.office.dies = (step, 1, "after")
    with pytest.raises(Killed):
        hq.seal("n1", kind)
    hq.restart()
    return end


def test_a_seal_that_may_be_taken_up_keeps_what_it_needs(hq: HqBench) -> None:
    end = left_at(hq, "seal_chunk")
    hq.store.forget_over(end - 1)
    seal = hq.seal("n1")
    assert hq.codes(seal) == hq.clear(seal, "abcde")


def test_a_seal_whose_night_is_over_keeps_no_key_seed_or_code_and_the_next_carries_right(
    hq: HqBench,
) -> None:
    end = left_at(hq, "seal_chunk")
    stored = hq.store.seal("n1/001-points")
    assert stored is not None
    assert stored.seed
    hq.store.forget_over(end + 2 * HOUR)
    after = hq.store.seal("n1/001-points")
    assert after is not None
    assert (after.seed, after.one_time) == (None, None)
    assert hq.store.chunks("n1/001-points", 3) == []
    assert after.aggregate is not None  # until the office was asked whether it took this set
    with pytest.raises(ReleaseClosed):
        hq.seal("n1")
    hq.there = "bcd"
    end_of(hq, "n2")
    seal = hq.seal("n2")
    assert seal.outlets == tuple("abcde")
    assert hq.codes(seal) == hq.clear(seal, "abcde")


def test_the_standing_seal_stays_and_what_was_left_goes_after_a_month(hq: HqBench) -> None:
    standing = hq.store.standing_seal()
    end = left_at(hq, "store_set")
    hq.store.forget_over(end + (HQ_KEPT_DAYS + 1) * DAY)
    left = hq.store.seal("n1/001-points")
    assert left is not None
    assert (left.aggregate, left.over) == (None, "its night ended long ago")
    assert hq.store.standing_seal() == standing
    assert hq.store.carryable() == set()


def test_a_fine_seal_that_was_not_counted_goes_with_its_night(hq: HqBench) -> None:
    end = left_at(hq, "close_seal", SealKind.FINE)
    seal = hq.seal("n1", SealKind.FINE)
    assert seal.entries is not None
    hq.store.forget_over(end - 1)
    assert hq.store.seal(seal.release) == seal
    hq.store.forget_over(end + 2 * HOUR)
    assert hq.store.seal(seal.release) is None
