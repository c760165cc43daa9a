"""What the office keeps of a seal: secrets that die, and stores that were copied back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from privacy import two_key_sum
from privacy.base_transfers import TRANSFERS
from privacy.errors import AnswerRefused, ReleaseClosed
from privacy.oblivious_transfer import TransferFailed
from privacy.sealing import SealSecrets, Sender
from server.office import sealing
from server.office.backup import FILES, copy_without_keys
from server.office.seal_store import SealState
from server.office.vault import KEY_FILE
from tests.server.seal_chunks.chunk_questions import (
    KINDS,
    ask,
    in_files,
    of,
    others,
    stored,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privacy.fixed_point import Residues
    from privacy.seal_plans import SealKind
    from tests.server.seal_benches import HonestSeal, SealBench


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
