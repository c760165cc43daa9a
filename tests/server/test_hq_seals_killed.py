"""A power cut at HQ between any two steps of a seal: the same night ends as it would have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from privacy.seal_plans import SealKind
from server.hq.errors import NightTwice
from server.hq.store import HqStore
from tests.server.hq_sealing import OFFICE_CALLS, HqBench, Killed, in_chunks_of
from tests.server.seal_benches import SealBench

if TYPE_CHECKING:
    from pathlib import Path

    from server.hq.seal_store import StoredSeal

CHUNKS = 3
STEPS = [
    ("add_draft", 1), ("sign_seal", 1), ("add_seal_plan", 1),
    ("add_answers", 1), ("add_seal_sum", 1), ("store_set", 1), ("add_set", 1),
    ("add_choices", 1), ("seal_chunk", 1), ("add_codes", 1),
    ("add_choices", CHUNKS), ("seal_chunk", CHUNKS), ("add_codes", CHUNKS),
    ("close_seal", 1), ("add_entries", 1),
]  # fmt: skip
"""What HQ stores and what it asks the office, in order: which of such calls it is."""


@pytest.fixture
def hq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HqBench:
    """A network whose outlet e answered a week ago, and is absent since."""
    in_chunks_of(8, monkeypatch)
    at = SealBench(customers=tuple(range(8 * CHUNKS - 3)))
    made = HqBench(at, f"sqlite:///{tmp_path / 'hq.db'}")
    made.seal("n0")
    made.a_week_later("abcd")
    made.office.asked.clear()
    made.questions.clear()
    return made


def cut_off(
    hq: HqBench, monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, kind: SealKind
) -> None:
    """Night n1 ends behind a step of its seal; HQ's next process begins."""
    original, seen = getattr(HqStore, step, None), 0

    def dying(store: HqStore, *args: object, **named: object) -> None:
        nonlocal seen
        seen += 1
        original(store, *args, **named)  # type: ignore[misc]
        if seen == occurrence:
            raise Killed

    with monkeypatch.context() as patched:
        if step in OFFICE_CALLS:
            hq.office.dies = (step, occurrence, "after")
        else:
            patched.setattr(HqStore, step, dying)
        with pytest.raises(Killed):
            hq.seal("n1", kind)
    hq.restart()


def assert_nothing_secret_is_left(hq: HqBench, seal: StoredSeal) -> None:
    assert (seal.seed, seal.one_time, seal.aggregate) == (None, None, None)
    assert hq.store.chunks(seal.release, 1) == []


@pytest.mark.parametrize("kind", list(SealKind))
@pytest.mark.parametrize(("step", "occurrence"), STEPS)
def test_a_seal_that_was_cut_off_ends_as_it_would_have_and_asks_nothing_twice(
    hq: HqBench, monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int, kind: SealKind
) -> None:
    cut_off(hq, monkeypatch, step, occurrence, kind)
    seal = hq.seal("n1", kind)
    who = "abcde" if kind is SealKind.BAND else "abcd"
    assert hq.codes(seal) == hq.clear(seal, who)
    assert seal.outlets == tuple(who)
    assert_nothing_secret_is_left(hq, seal)
    said = [(name, repr(args)) for name, args in hq.office.asked if name != "sum_blocks"]
    assert len(set(said)) == 3 + CHUNKS  # each call has one content, whenever it is made
    assert len(said) == 3 + CHUNKS + (step in OFFICE_CALLS)  # whose answer was lost is made twice
    assert len({question["plan"] for question in hq.questions}) == 1
    assert len(hq.questions) == 1 + (step == "add_answers")
    assert hq.seal("n1", kind) == seal
    assert hq.store.carryable() == set("abcde")


@pytest.mark.parametrize(("step", "occurrence"), STEPS[:-1])
def test_a_seal_that_a_night_left_is_ended_by_the_next_which_carries_right(
    hq: HqBench, monkeypatch: pytest.MonkeyPatch, step: str, occurrence: int
) -> None:
    before = dict(hq.parts)
    hq.parts = {name: parts[::-1].copy() for name, parts in before.items()}
    cut_off(hq, monkeypatch, step, occurrence, SealKind.BAND)
    taken = [one for one, _ in STEPS].index(step) >= [one for one, _ in STEPS].index("store_set")
    answered, hq.parts = hq.parts, {name: -parts for name, parts in before.items()}
    for name in before:
        hq.parts[name][:, -1] = 3
    hq.there = "bcd"
    seal = hq.seal("n2")
    assert seal.outlets == tuple("abcde")
    # a's last answer is that of n1, if the office took it
    hq.parts |= {"a": (answered if taken else before)["a"], "e": before["e"]}
    assert hq.codes(seal) == hq.clear(seal, "abcde")
    assert hq.store.leftover_seals("n3") == []
    assert_nothing_secret_is_left(hq, seal)


@pytest.mark.parametrize("step", ["add_draft", "add_seal_sum"])
def test_two_processes_on_one_night_do_not_both_draft_or_sum(
    hq: HqBench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    original = getattr(HqStore, step)

    def twice(store: HqStore, *args: object) -> None:
        original(store, *args)
        original(store, *args)

    monkeypatch.setattr(HqStore, step, twice)
    with pytest.raises(NightTwice):
        hq.seal("n1")
