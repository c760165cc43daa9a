"""Workers beside each other on one chunk, and what a kill at any step leaves."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pytest

from privacy.errors import PlanRefused, ReleaseClosed
from privacy.oblivious_transfer import Choices, TransferFailed
from privacy.sealing import Sender
from server.office.seal_store import SealStore
from server.office.vault import Vault
from tests.server.seal_chunks.chunk_questions import (
    ROOT,
    Killed,
    ask,
    at_once,
    of,
    others,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.office.unlock import Office
    from tests.server.seal_benches import SealBench


@pytest.fixture(params=["one process", "two processes"])
def offices(request: pytest.FixtureRequest, at_files: SealBench) -> tuple[Office, Office]:
    """An office twice: as two calls of one process have it, or two processes at one file."""
    other = at_files.office if request.param == "one process" else at_files.twin()
    return at_files.office, other


@pytest.mark.parametrize("same", [True, False])
def test_of_two_workers_with_other_choices_one_wins(
    at_files: SealBench,
    offices: tuple[Office, Office],
    monkeypatch: pytest.MonkeyPatch,
    *,
    same: bool,
) -> None:
    seal = stored(at_files)
    honest, both = Sender.read, Barrier(2, timeout=60)

    def read(sender: Sender, chunk: int, data: bytes) -> Choices:
        both.wait()  # neither is stored
        return honest(sender, chunk, data)

    monkeypatch.setattr(Sender, "read", read)
    given = [seal.choices(), seal.choices() if same else others(seal)]
    found = at_once(
        *(
            lambda data=data, office=office: ask(seal, data, office=office)
            for data, office in zip(given, offices, strict=True)
        )
    )
    kinds = Counter(type(each).__name__ for each in found)
    assert kinds == ({"bytes": 2} if same else {"bytes": 1, "PlanRefused": 1})
    if same:
        assert found[0] == found[1]
    monkeypatch.undo()
    [won] = {data for data, each in zip(given, found, strict=True) if isinstance(each, bytes)}
    assert ask(seal, won) in found


def test_while_a_chunk_is_checked_no_other_choices_are_and_no_other_chunk_is(
    at_files: SealBench,
    offices: tuple[Office, Office],
    three_a_chunk: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a guess that is wrong is stored before HQ can learn from a second one."""
    seal = stored(at_files)
    checking, go_on = Event(), Event()
    honest, checked = Sender.rows, []

    def rows(sender: Sender, chunk: int, choices: Choices) -> object:
        checked.append((chunk, choices.digest))
        checking.set()
        assert go_on.wait(60)
        return honest(sender, chunk, choices)

    monkeypatch.setattr(Sender, "rows", rows)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: ask(seal, seal.cheating(), office=offices[0]))
        assert checking.wait(60)
        for chunk, choices in ((0, others(seal)), (1, seal.choices(1)), (1, seal.cheating(1))):
            with pytest.raises(PlanRefused, match=r"other choices|expected 0"):
                ask(seal, choices, chunk, office=offices[1])
        go_on.set()
        assert isinstance(first.exception(), TransferFailed)
    assert len(checked) == 1
    with pytest.raises(ReleaseClosed):
        ask(seal, seal.choices(), office=offices[1])


def test_a_seal_that_ends_while_a_chunk_is_checked_gives_no_table(
    at_files: SealBench, offices: tuple[Office, Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = stored(at_files)
    honest = Sender.rows

    def rows(sender: Sender, chunk: int, choices: Choices) -> object:
        made = honest(sender, chunk, choices)
        offices[1].close_seal(seal.signed.digest)
        return made

    monkeypatch.setattr(Sender, "rows", rows)
    with pytest.raises(ReleaseClosed, match="s1: closed"):
        ask(seal, seal.choices(), office=offices[0])
    assert at_files.bench.store.complete_seal(seal.signed.digest) is None


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (Sender, "read"),
        (SealStore, "take_choices"),
        (Sender, "rows"),
        (SealStore, "pass_chunk"),
        (Sender, "tables"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.usefixtures("three_a_chunk")
def test_after_a_kill_at_any_step_of_a_chunk_the_same_choices_get_the_same_bytes(
    at_files: SealBench,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    step: str,
    when: str,
) -> None:
    seal = stored(at_files)
    seal.take(0)
    honest = getattr(owner, step)

    def dying(*args: object) -> None:
        if when == "after":
            honest(*args)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dying)
        with pytest.raises(Killed):
            seal.take(1)
    at_files.restart()
    if step in ("rows", "pass_chunk", "tables"):  # else other choices would still be the first
        with pytest.raises(PlanRefused, match="other choices"):
            ask(seal, others(seal, 1), 1)
    made = seal.take(1)
    at_files.restart()
    assert seal.take(1) == made
    assert (seal.codes() == seal.clear()).all()


@pytest.mark.parametrize("step", ["renew", "end"])
@pytest.mark.parametrize("how", ["closed", "failed", "expired"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_kill_while_a_seal_ends_it_is_over_at_the_next_call(
    at_files: SealBench, monkeypatch: pytest.MonkeyPatch, step: str, how: str, when: str
) -> None:
    seal = stored(at_files)
    owner = Vault if step == "renew" else SealStore
    honest = getattr(owner, step)

    def dying(*args: object) -> None:
        if when == "after":
            honest(*args)
        raise Killed

    calls: dict[str, Callable[[], object]] = {
        "closed": lambda: at_files.office.close_seal(seal.signed.digest),
        "failed": lambda: ask(seal, seal.cheating()),
        "expired": at_files.night,
    }
    if how == "expired":
        at_files.bench.clock.at += at_files.settings.release_minutes * 60
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dying)
        with pytest.raises(Killed):
            calls[how]()
    at_files.restart()
    if how == "failed" and (step, when) != ("renew", "after"):
        with pytest.raises(TransferFailed):  # the same choices, and they fail again
            calls[how]()
    elif how == "failed":
        with pytest.raises(ReleaseClosed, match="key does not open its secrets"):
            calls[how]()
    else:
        calls[how]()
    assert of(at_files, seal).secrets == {}
    with pytest.raises(ReleaseClosed):
        seal.take()
    stored(at_files, "s2").take()


CHILD = """
import os, pickle, sys
from privacy.sealing import Sender
from server.office.ledger_store import OfficeStore
from tests.builders import Bench
from tests.server.seal_benches import SealBench

url, listed, digest, choices, step = pickle.loads(sys.stdin.buffer.read())
bench = SealBench(url, customers=listed)
honest = getattr(Sender, step)

def dying(*args):
    made = honest(*args)
    os._exit(9)

setattr(Sender, step, dying)
bench.office.seal_chunk(digest, 0, choices)
"""


@pytest.mark.parametrize("step", ["read", "rows", "tables"])
def test_another_process_goes_on_where_one_was_killed(at_files: SealBench, step: str) -> None:
    seal = stored(at_files)
    given = at_files.url, tuple(at_files.customers), seal.signed.digest, seal.choices(), step
    child = subprocess.run(  # noqa: S603  (this very program)
        [sys.executable, "-c", CHILD],
        input=pickle.dumps(given),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=120,
    )
    assert child.returncode == 9
    if step != "read":
        with pytest.raises(PlanRefused, match="other choices"):
            ask(seal, others(seal))
    seal.take()
    assert (seal.codes() == seal.clear()).all()
