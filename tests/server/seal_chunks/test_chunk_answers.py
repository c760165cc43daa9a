"""What the office answers to HQ's choices, and whom it answers no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from privacy.errors import InvalidParameter, PlanRefused, ReleaseClosed
from privacy.oblivious_transfer import TransferFailed
from server.office.seal_store import SealState
from tests.server.seal_benches import SealBench
from tests.server.seal_chunks.chunk_questions import (
    KINDS,
    ask,
    of,
    others,
    stored,
    tables_of,
)

if TYPE_CHECKING:
    from privacy.seal_plans import SealKind


@KINDS
@pytest.mark.parametrize("customers", [1, 6, 40])
@pytest.mark.usefixtures("three_a_chunk")
def test_codes_are_those_of_the_clear_sum_chunk_by_chunk(kind: SealKind, customers: int) -> None:
    bench = SealBench(customers=range(customers))
    seal = stored(bench, kind=kind)
    assert seal.plan.chunks == -(-customers // 3)
    seal.take_all()
    assert (seal.codes() == seal.clear()).all()


@KINDS
@pytest.mark.usefixtures("three_a_chunk")
def test_the_same_choices_get_the_same_bytes_also_after_a_restart(
    at_files: SealBench, kind: SealKind
) -> None:
    seal = stored(at_files, kind=kind)
    first, second = seal.take(0), seal.take(1)
    assert first != second
    for _ in range(2):
        assert (seal.take(0), seal.take(1)) == (first, second)
        at_files.restart()
    assert (seal.codes() == seal.clear()).all()


@pytest.mark.usefixtures("three_a_chunk")
def test_other_choices_for_a_chunk_are_refused_also_after_a_restart(at_files: SealBench) -> None:
    seal = stored(at_files)
    first = seal.take(0)
    for _ in range(2):
        for choices in (others(seal), others(seal, slot=2), seal.cheating()):
            with pytest.raises(PlanRefused, match="chunk 0: got other choices than before"):
                ask(seal, choices)
        assert seal.take(0) == first
        at_files.restart()
    seal.take(1)


@pytest.mark.usefixtures("three_a_chunk")
def test_chunks_are_taken_one_after_another(bench: SealBench) -> None:
    """Beside each other, each would tell HQ of a guess before the first failure is stored."""
    seal = stored(bench)
    with pytest.raises(PlanRefused, match="chunk 1: expected 0; each after the one before"):
        seal.take(1)
    for chunk in (-1, 2):
        with pytest.raises(PlanRefused, match=f"got chunk {chunk}, expected one of 2"):
            bench.office.seal_chunk(seal.signed.digest, chunk, b"")
    seal.take(0)
    seal.take(1)


def test_a_chunk_without_a_set_or_of_a_strange_plan_is_refused(bench: SealBench) -> None:
    seal = bench.seal()
    seal.sign()
    with pytest.raises(PlanRefused, match="s1: its set is not stored yet"):
        bench.office.seal_chunk(seal.signed.digest, 0, b"")
    for call in (
        lambda: bench.office.seal_chunk("0" * 64, 0, b""),
        lambda: bench.office.close_seal("0" * 64),
    ):
        with pytest.raises(PlanRefused, match="not signed here"):
            call()
    seal.store()
    seal.take()


def test_a_slot_that_is_blank_has_no_table() -> None:
    seal = stored(SealBench(customers=(0, None, 2, 3)))
    tables = tables_of(seal, seal.take())
    assert [table.any() for table in tables] == [True, False, True, True]
    assert (seal.codes() == seal.clear())[[0, 2, 3]].all()


@pytest.mark.parametrize("customers", [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 5, 4)])
@pytest.mark.usefixtures("three_a_chunk")
def test_another_directory_ends_the_seal(at_files: SealBench, customers: tuple[int, ...]) -> None:
    """A slot's sum would open under a key that is not its customer's."""
    seal = stored(at_files)
    seal.take(0)
    at_files.list(*customers, batch=2)
    for chunk in (1, 0):
        with pytest.raises(ReleaseClosed, match="another directory"):
            seal.take(chunk)
    assert (of(at_files, seal).state, of(at_files, seal).secrets) == (SealState.FAILED, {})
    stored(at_files, "s2").take_all()


def test_a_directory_that_comes_between_two_looks_ends_the_seal_too(at_files: SealBench) -> None:
    """The digest is asked for once, the directory itself beside it."""
    seal, before = stored(at_files), at_files.bench.directory
    at_files.list(0, None, 2, 3, 4, 5, batch=2)
    behind = replace(at_files.office, directory=lambda: before)
    with pytest.raises(ReleaseClosed, match="s1: another directory"):
        ask(seal, seal.choices(), office=behind)
    assert of(at_files, seal).state is SealState.FAILED


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.usefixtures("three_a_chunk")
def test_a_check_that_fails_ends_the_seal_for_good(at_files: SealBench, chunk: int) -> None:
    seal = stored(at_files)
    for before in range(chunk):
        seal.take(before)
    with pytest.raises(TransferFailed, match="not the same in all columns"):
        ask(seal, seal.cheating(chunk), chunk)
    for _ in range(2):
        assert (of(at_files, seal).state, of(at_files, seal).secrets) == (SealState.FAILED, {})
        for each in range(2):
            with pytest.raises(ReleaseClosed, match="s1: ended by a failed check"):
                seal.take(each)
        with pytest.raises(ReleaseClosed):
            at_files.office.sign_seal(seal.drafted)
        at_files.office.close_seal(seal.signed.digest)
        assert at_files.bench.store.complete_seal(seal.signed.digest) is None
        at_files.restart()
    stored(at_files, "s2").take_all()


@pytest.mark.usefixtures("three_a_chunk")
def test_choices_that_were_cut_off_on_the_way_end_nothing_and_bind_nothing(
    bench: SealBench,
) -> None:
    """As of an HQ that died while it sent them: nothing of them was tried."""
    seal = stored(bench)
    for chunk in range(2):
        honest = seal.choices(chunk)
        for data in (b"", b"123", honest[:-1], honest + b"0", honest[: len(honest) // 2]):
            with pytest.raises(InvalidParameter, match=f"s1: choices: got {len(data)} bytes"):
                ask(seal, data, chunk)
        seal.take(chunk)
    assert (seal.codes() == seal.clear()).all()


@pytest.mark.parametrize("how", ["closed", "expired"])
@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.usefixtures("three_a_chunk")
def test_a_seal_that_is_over_answers_nothing_and_is_complete_with_all_its_chunks(
    at_files: SealBench, how: str, taken: int
) -> None:
    seal = stored(at_files)
    for chunk in range(taken):
        seal.take(chunk)
    if how == "closed":
        seal.close()
    else:
        at_files.bench.clock.at += at_files.settings.release_minutes * 60
    for _ in range(2):
        for chunk in range(2):
            with pytest.raises(ReleaseClosed, match=f"s1: {how}; it is over"):
                seal.take(chunk)
        at_files.office.close_seal(seal.signed.digest)
        assert of(at_files, seal).state == how
        complete = at_files.bench.store.complete_seal(seal.signed.digest)
        assert (complete is not None) == (taken == 2)
        at_files.restart()


def test_a_seal_goes_on_until_its_plan_expires(bench: SealBench) -> None:
    seal = stored(bench)
    bench.bench.clock.at = seal.plan.expires - 1
    seal.take()
    bench.bench.clock.at += 1
    with pytest.raises(ReleaseClosed, match="s1: expired"):
        seal.take()
    bench.bench.clock.at -= 100
    with pytest.raises(ReleaseClosed, match="s1: expired"):
        seal.take()
