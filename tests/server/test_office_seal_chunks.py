"""What the office answers to HQ's choices, whom it answers no more, and what a kill leaves."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from privacy import two_key_sum
from privacy.at_rest import SecretUnreadable
from privacy.base_transfers import TRANSFERS
from privacy.errors import AnswerRefused, InvalidParameter, PlanRefused, ReleaseClosed
from privacy.oblivious_transfer import Choices, TransferFailed
from privacy.seal_plans import SealKind
from privacy.sealing import SealSecrets, Sender
from server.office import sealing
from server.office.backup import FILES, copy_without_keys
from server.office.seal_store import SealState, SealStore, StoredSeal
from server.office.vault import KEY_FILE, Vault
from tests.server.seal_benches import HonestSeal, SealBench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from privacy.fixed_point import Residues
    from server.office.unlock import Office

BAND, FINE = SealKind.BAND, SealKind.FINE
KINDS = pytest.mark.parametrize("kind", [BAND, FINE])
ROOT = Path(__file__).parents[2]


@pytest.fixture
def three_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks so small that the six slots of a bench are two."""
    for module in ("seal_plans", "books"):
        monkeypatch.setattr(f"privacy.{module}.CHUNK_SLOTS", 3)


@pytest.fixture
def bench() -> SealBench:
    return SealBench()


@pytest.fixture
def at_files(tmp_path: Path) -> SealBench:
    return SealBench(f"sqlite:///{tmp_path / 'office.db'}")


def stored(bench: SealBench, release: str = "s1", kind: SealKind = BAND) -> HonestSeal:
    """A seal whose set is stored."""
    seal = bench.seal(release, bench.night(f"night of {release}"), kind)
    seal.sign()
    seal.store("abcd")
    return seal


def of(bench: SealBench, seal: HonestSeal) -> StoredSeal:
    with bench.bench.store.transaction() as transaction:
        found = transaction.seals.find(digest=seal.signed.digest)
    assert found is not None
    return found


def others(seal: HonestSeal, chunk: int = 0, slot: int = 0) -> bytes:
    """Choices that are one vector, and another one: at one slot another sum."""
    place, sums = seal.plan.places(chunk), seal.sums
    sums[place.start + slot] += 1
    return seal.receiver.choose(chunk, sums[place.start : place.stop])[0].encode()


def ask(seal: HonestSeal, choices: bytes, chunk: int = 0, office: Office | None = None) -> bytes:
    office = office or seal.at.office
    return b"".join(office.seal_chunk(seal.signed.digest, chunk, choices))


# --- what is answered ---------------------------------------------------------------------------


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


def tables_of(seal: HonestSeal, data: bytes) -> list[np.ndarray]:
    """Each slot's tables, uint8."""
    slots, found, at = seal.plan.slots, [], 0
    for table in seal.plan.tables():
        size = slots * table.table_bytes
        found.append(np.frombuffer(data, np.uint8, size, at).reshape(slots, -1))
        at += size
    assert at == len(data)
    return list(np.concatenate(found, axis=1))


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


# --- choices that are not one vector --------------------------------------------------------------


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


# --- workers beside each other --------------------------------------------------------------------


@pytest.fixture(params=["one process", "two processes"])
def offices(request: pytest.FixtureRequest, at_files: SealBench) -> tuple[Office, Office]:
    """An office twice: as two calls of one process have it, or two processes at one file."""
    other = at_files.office if request.param == "one process" else at_files.twin()
    return at_files.office, other


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What calls that are made at the same time give, or raise."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


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


# --- kills --------------------------------------------------------------------------------------


class Killed(BaseException):
    """What ends a process."""


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


# --- over ---------------------------------------------------------------------------------------


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


# --- what the office keeps ------------------------------------------------------------------------


def secrets_of(bench: SealBench, seal: HonestSeal) -> dict[str, bytes]:
    """A seal's secrets as they are in memory while it is open."""
    found, vault = of(bench, seal), bench.bench.vault
    opened = {
        name: vault.opened(wrapped, f"{name} {seal.signed.digest}")
        for name, wrapped in found.secrets.items()
    }
    secrets = SealSecrets.decode(opened.pop("secrets"))
    for number, key in enumerate(secrets.transfers.keys):
        opened[f"base key {number}"] = key
    opened["one-time key"], opened["bits"] = secrets.one_time.to_bytes(), secrets.transfers.bits
    return opened


def in_files(folder: Path, secret: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if secret in file.read_bytes()]


@KINDS
@pytest.mark.parametrize("how", ["closed", "expired", "failed"])
def test_no_file_of_the_office_holds_a_secret_of_a_seal_that_is_over(
    at_files: SealBench, tmp_path: Path, kind: SealKind, how: str
) -> None:
    seal = at_files.seal(kind=kind)
    seal.sign()
    secrets = secrets_of(at_files, seal)
    wrapped = dict(of(at_files, seal).secrets)
    assert set(wrapped) == {"key", "secrets"}
    seal.store("abcd")
    secrets |= secrets_of(at_files, seal)
    assert in_files(tmp_path, wrapped["key"]) == []  # it opened the seeds, and is of no more use
    wrapped |= of(at_files, seal).secrets
    key = (tmp_path / KEY_FILE).read_bytes()[:32]
    if how != "failed":
        seal.take()
    assert len(secrets) == TRANSFERS + 4
    pieces = [blob[at : at + 32] for blob in wrapped.values() for at in range(0, len(blob), 32)]
    # Open: nothing is there but wrapped, beside the key.
    assert all(
        in_files(tmp_path, wrapped[one][:32]) == ["office.db"] for one in ("secrets", "seeds")
    )
    assert in_files(tmp_path, key) == [KEY_FILE]
    assert not any(in_files(tmp_path, secret) for secret in secrets.values())
    if how == "closed":
        seal.close()
    elif how == "expired":
        at_files.bench.clock.at += at_files.settings.release_minutes * 60
        at_files.night("later")
    else:
        with pytest.raises(TransferFailed):
            ask(seal, seal.cheating())
    assert not any(in_files(tmp_path, one) for one in (*pieces, *secrets.values(), key))
    assert len((tmp_path / KEY_FILE).read_bytes()) == len(key)
    assert at_files.bench.vault.seal is None


def test_the_key_is_overwritten_where_it_is_and_readable_for_its_owner_only(
    at_files: SealBench, tmp_path: Path
) -> None:
    seal, file = stored(at_files), tmp_path / KEY_FILE
    before, key = file.stat(), file.read_bytes()
    assert before.st_mode & 0o777 == 0o600
    with file.open("rb") as held:
        seal.close()
        held.seek(0)
        assert held.read() == file.read_bytes() != key
    assert file.stat().st_ino == before.st_ino


def test_a_worker_forgets_what_another_one_ended(at_files: SealBench) -> None:
    seal, other = stored(at_files), at_files.twin()
    seal.take()
    assert at_files.bench.vault.seal is not None
    other.close_seal(seal.signed.digest)
    at_files.night("whatever call comes next")
    assert at_files.bench.vault.seal is None


def test_a_worker_that_has_another_seal_in_memory_makes_this_ones_tables(
    at_files: SealBench,
) -> None:
    first = stored(at_files)
    first.take()
    at_files.bench.office, one = at_files.twin(), at_files.office  # all of it behind its back
    first.close()
    second = stored(at_files, "s2")
    at_files.bench.office = one
    second.take()
    assert (second.codes() == second.clear()).all()


def test_a_worker_forgets_a_seal_that_another_one_ended_and_followed_by_the_next(
    at_files: SealBench,
) -> None:
    seal, one = stored(at_files), at_files.office
    seal.take()
    at_files.bench.office = at_files.twin()
    seal.close()
    stored(at_files, "s2")
    assert one.vault.seal is not None
    one.tidy()
    assert one.vault.seal is None


def test_what_is_in_memory_is_computed_once_and_of_one_seal(
    bench: SealBench, three_a_chunk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, computed = two_key_sum.sum_of_masks, []

    def sum_of_masks(*args: Any) -> Residues:
        computed.append(args)
        return honest(*args)

    monkeypatch.setattr(sealing, "sum_of_masks", sum_of_masks)
    for number in range(4):
        seal = stored(bench, f"s{number}")
        seal.take_all()
        held = bench.bench.vault.seal
        assert held is not None
        assert held.sender.digest == seal.signed.digest
        assert len(computed) == number + 1
        seal.close()
        assert bench.bench.vault.seal is None


# --- copies -------------------------------------------------------------------------------------


def copied(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def copied_back(bench: SealBench, folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    bench.restart()


def test_a_store_that_was_copied_back_goes_on_with_no_seal_that_was_open(
    at_files: SealBench, tmp_path: Path
) -> None:
    seal = stored(at_files)
    old = copied(tmp_path)
    first = seal.take()
    seal.close()
    del old[KEY_FILE]
    copied_back(at_files, tmp_path, old)
    for choices in (seal.choices(), others(seal)):
        with pytest.raises(ReleaseClosed, match=r"s1: (this folder|ended)"):
            ask(seal, choices)
    assert of(at_files, seal).state is SealState.FAILED
    (tmp_path / KEY_FILE).unlink()
    stored(at_files, "s2").take()
    assert first


@pytest.mark.parametrize("step", ["signed", "stored"])
def test_a_store_without_its_key_says_so(at_files: SealBench, tmp_path: Path, step: str) -> None:
    seal = at_files.seal()
    seal.sign()
    if step == "stored":
        seal.store("abc")
    (tmp_path / KEY_FILE).unlink()
    at_files.restart()
    with pytest.raises(ReleaseClosed, match="this folder's key does not open its secrets"):
        seal.store("abc") if step == "signed" else seal.take()
    assert of(at_files, seal).secrets == {}
    stored(at_files, "s2").take()


def test_a_backup_has_neither_the_key_nor_what_it_wraps(
    at_files: SealBench, tmp_path: Path
) -> None:
    seal, copy = stored(at_files), tmp_path / "copy"
    copy.mkdir()
    wrapped = of(at_files, seal).secrets
    assert len(wrapped) == 2
    copy_without_keys(at_files.url, copy / "office.db")
    assert not any(in_files(copy, one[:32]) for one in wrapped.values())
    assert KEY_FILE not in FILES
    (copy / KEY_FILE).write_bytes((tmp_path / KEY_FILE).read_bytes())  # even with its key
    at_files.url = f"sqlite:///{copy / 'office.db'}"
    at_files.restart()
    with pytest.raises(ReleaseClosed, match="s1: expired"):
        seal.take()
    stored(at_files, "s2").take()


def test_a_store_copied_back_while_its_seal_is_open_takes_no_other_choices(
    at_files: SealBench, tmp_path: Path
) -> None:
    """The store has forgotten them, the vault has not."""
    seal = stored(at_files)
    old = copied(tmp_path)
    first = seal.take()
    del old[KEY_FILE]
    for _ in range(2):
        copied_back(at_files, tmp_path, old)
        with pytest.raises(AnswerRefused, match="got another chunk 0 than before a copy"):
            ask(seal, others(seal))
        assert seal.take() == first
    seal.close()
    stored(at_files, "s2").take()


def test_a_store_copied_back_while_its_seal_is_open_takes_no_other_set(
    at_files: SealBench, tmp_path: Path
) -> None:
    seal = at_files.seal()
    seal.sign()
    old = copied(tmp_path)
    given = [seal.share(name).envelope for name in "abcd"]
    seal.set = at_files.office.store_set(seal.signed.digest, given)
    del old[KEY_FILE]
    copied_back(at_files, tmp_path, old)
    with pytest.raises(AnswerRefused, match="got another set than before a copy"):
        at_files.office.store_set(seal.signed.digest, given[:3])
    assert at_files.office.store_set(seal.signed.digest, given) == seal.set
    seal.take()


def test_an_office_copied_back_with_its_key_gives_other_streams_to_other_choices(
    at_files: SealBench, tmp_path: Path
) -> None:
    """It cannot notice; but two tables of one slot, XORed, are not two pads XORed.

    Were hashes and pads not bound to the digest of the choices, the tables of a slot whose own
    choice is the same in both would be the same bytes, and where its own choice is another the
    streams of the bits that are not would cancel.
    """
    seal = stored(at_files)
    old = copied(tmp_path)
    first = tables_of(seal, seal.take())
    assert (first[1] == tables_of(seal, seal.take())[1]).all()
    copied_back(at_files, tmp_path, old)
    second = tables_of(seal, ask(seal, others(seal)))
    for slot in range(seal.plan.slots):
        both = first[slot] ^ second[slot]
        counts = np.bincount(both, minlength=256)
        spread = float(((counts - len(both) / 256) ** 2 / (len(both) / 256)).sum())
        assert spread < 400  # chi-squared with 255 degrees of freedom: once in 10^8 slots


def test_a_vault_opens_for_its_own_place_and_until_it_is_renewed(tmp_path: Path) -> None:
    for vault in (Vault(), Vault(tmp_path / KEY_FILE)):
        with pytest.raises(SecretUnreadable, match="there is no key"):
            vault.wrapped(b"secret", "a place")
        vault.renew()
        wrapped = vault.wrapped(b"secret", "a place")
        assert b"secret" not in wrapped
        assert vault.opened(wrapped, "a place") == b"secret"
        with pytest.raises(SecretUnreadable):
            vault.opened(wrapped, "another place")
        vault.renew()
        with pytest.raises(SecretUnreadable):
            vault.opened(wrapped, "a place")


def test_a_vault_notes_one_value_a_name_until_it_is_renewed(tmp_path: Path) -> None:
    one, two = "1" * 64, "2" * 64
    for file in (None, tmp_path / KEY_FILE):
        vault = Vault(file)
        vault.renew()
        wrapped = vault.wrapped(b"secret", "a place")
        for _ in range(2):
            assert vault.note("set", one)
            assert vault.note("chunk 0", two)
            assert not vault.note("set", two)
            assert not vault.note("chunk 0", one)
            assert vault.opened(wrapped, "a place") == b"secret"
            vault = vault if file is None else Vault(file)  # as another process has it
        vault.renew()
        assert vault.note("set", two)
        assert not vault.note("set", one)


def test_a_note_that_a_kill_cut_off_is_none_and_harms_no_other(tmp_path: Path) -> None:
    one, two, file = "1" * 64, "2" * 64, tmp_path / KEY_FILE
    for cut in (1, 31, 32, 40, 63):
        vault = Vault(file)
        vault.renew()
        assert vault.note("set", one)
        whole = file.read_bytes()
        assert vault.note("chunk 0", one)
        file.write_bytes(file.read_bytes()[: len(whole) + cut])
        assert vault.note("chunk 0", two)  # nothing was stored of it yet
        assert vault.note("chunk 1", one)
        assert [vault.note(name, one) for name in ("set", "chunk 0", "chunk 1")] == [
            True, False, True,
        ]  # fmt: skip


def test_a_vault_without_a_key_notes_nothing(tmp_path: Path) -> None:
    for vault in (Vault(), Vault(tmp_path / KEY_FILE)):
        assert not vault.note("set", "1" * 64)
    assert not (tmp_path / KEY_FILE).exists()


def test_tables_leave_once_the_digest_of_the_choices_is_durable(
    at_files: SealBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal, other = stored(at_files), at_files.twin()
    honest, seen = Sender.tables, []

    def tables(sender: Sender, *args: object) -> Iterator[bytes]:
        with other.store.transaction() as transaction:  # as it is on the disk
            seen.extend(transaction.seals._passed(sender.digest))
        return honest(sender, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Sender, "tables", tables)
    seal.take()
    assert seen == seal.chosen()
