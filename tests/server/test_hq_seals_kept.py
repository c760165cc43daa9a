"""What HQ has of a seal: nothing of its sums when it is over, no more after 52 than after four."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.seal_plans import SealKind
from server.holder.vault import SECRETS_FILE, KeyFile
from server.hq.seal_store import SealStore
from server.hq.sealing import Sealing
from tests.server.hq_sealing import HqBench, Killed, in_chunks_of
from tests.server.seal_benches import SealBench

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from privacy.seal_plans import SealDraft
    from privacy.sealed_tables import Codes
    from privacy.slot_keys import OneTimeKey
    from privacy.two_key_sum import Aggregate

SLOTS = 48


class Watched:
    """What HQ's store was given of a seal and must not keep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secrets: dict[str, bytes] = {}
        self.wrapped: dict[bytes, bytes] = {}
        all_wrapped = KeyFile.all_wrapped
        draft, summed, codes = SealStore.add_draft, SealStore.add_seal_sum, SealStore.add_codes

        def add_draft(
            store: SealStore, night: str, made: SealDraft, seed: bytes, one_time: OneTimeKey
        ) -> None:
            self.secrets |= {"seed": seed, "one-time key": one_time.to_bytes()}
            draft(store, night, made, seed, one_time)

        def add_seal_sum(store: SealStore, release: str, aggregate: Aggregate) -> None:
            self.secrets["masked sum"] = aggregate.masked_sum.tobytes()
            summed(store, release, aggregate)

        def add_codes(
            store: SealStore, release: str, chunk: int, picked: Codes, *, last: bool
        ) -> None:
            self.secrets[f"codes {chunk}"] = picked.tobytes()
            codes(store, release, chunk, picked, last=last)

        def wrap(keys: KeyFile, found: Sequence[tuple[bytes, str]]) -> list[bytes]:
            made = all_wrapped(keys, found)
            self.wrapped |= zip((secret for secret, _ in found), made, strict=True)
            return made

        monkeypatch.setattr(KeyFile, "all_wrapped", wrap)
        monkeypatch.setattr(SealStore, "add_draft", add_draft)
        monkeypatch.setattr(SealStore, "add_seal_sum", add_seal_sum)
        monkeypatch.setattr(SealStore, "add_codes", add_codes)

    def there(self, folder: Path) -> set[str]:
        """Which of them the files of a folder hold, in bytes or in hex, or the key to."""
        data = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
        keys = KeyFile(folder / SECRETS_FILE)
        return {
            name
            for name, secret in self.secrets.items()
            if secret in data
            or secret.hex().encode() in data
            or (secret in self.wrapped and keys.holds([self.wrapped[secret]])[0])
        }


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    in_chunks_of(SLOTS // 2, monkeypatch)
    return Watched(monkeypatch)


@pytest.fixture
def hq(tmp_path: Path, watched: Watched) -> HqBench:
    at = SealBench(customers=tuple(range(SLOTS)))
    return HqBench(at, f"sqlite:///{tmp_path / 'hq.db'}")


@pytest.mark.parametrize("kind", list(SealKind))
def test_after_a_seal_no_file_of_hq_holds_its_sum_seed_key_or_codes(
    hq: HqBench, watched: Watched, tmp_path: Path, kind: SealKind
) -> None:
    hq.office.dies = ("close_seal", 1, "after")
    with pytest.raises(Killed):
        hq.seal(kind=kind)
    assert watched.there(tmp_path) == {"one-time key", "codes 0", "codes 1"}
    hq.restart()
    hq.seal(kind=kind)
    assert set(watched.secrets) == {"seed", "one-time key", "masked sum", "codes 0", "codes 1"}
    assert watched.there(tmp_path) == set()


def test_until_its_codes_are_picked_they_are_there(
    hq: HqBench, watched: Watched, tmp_path: Path
) -> None:
    hq.office.dies = ("seal_chunk", 2, "after")
    with pytest.raises(Killed):
        hq.seal()
    assert watched.there(tmp_path) == {"seed", "one-time key", "masked sum", "codes 0"}


@pytest.mark.parametrize("by", ["failure", "the next night"])
def test_a_seal_that_is_over_leaves_nothing_either(
    hq: HqBench, watched: Watched, tmp_path: Path, by: str
) -> None:
    hq.office.dies = ("seal_chunk", 2, "before")
    with pytest.raises(Killed):
        hq.seal()
    hq.restart()
    left = dict(watched.secrets)
    if by == "failure":
        hq.clock.at += 3600
        with pytest.raises(Exception, match="expired"):
            hq.seal()
    else:
        hq.seal("n2")
    watched.secrets = left
    assert watched.there(tmp_path) == set()


def test_a_fine_book_is_gone_when_it_was_counted_and_its_entries_before(
    hq: HqBench, tmp_path: Path
) -> None:
    file = tmp_path / "hq.db"
    seal = hq.seal(kind=SealKind.FINE)
    entries = hq.entries(seal).body
    assert entries in file.read_bytes()
    book = b"a fine book of these entries, made for tonight"
    hq.store.add_fine_book(seal.release, book)
    assert entries not in file.read_bytes()
    assert book in file.read_bytes()
    hq.store.forget_fine_book(seal.release)
    assert book not in file.read_bytes()
    known = hq.store.seal(seal.release)
    assert known is not None
    assert (known.is_sealed, known.entries, known.book) == (True, None, None)
    assert hq.seal(kind=SealKind.FINE) == known  # the night is run again: nothing is asked


def test_a_fine_book_that_a_night_never_counted_is_gone_with_the_next_seal(
    hq: HqBench, tmp_path: Path
) -> None:
    seal = hq.seal(kind=SealKind.FINE)
    book = b"a fine book of these entries, made for tonight"
    hq.store.add_fine_book(seal.release, book)
    asked = len(hq.office.calls("close_seal"))
    hq.seal("n2")
    assert book not in (tmp_path / "hq.db").read_bytes()
    assert hq.store.seal(seal.release) is None
    assert len(hq.office.calls("close_seal")) == asked + 1  # its own alone


@pytest.mark.slow
def test_52_seals_leave_hqs_disk_as_large_as_four_do(hq: HqBench, tmp_path: Path) -> None:
    file, sizes = tmp_path / "hq.db", []
    for week in range(52):
        hq.a_week_later("abcde" if week % 3 else "abc")
        hq.seal(f"n{week}")
        sizes.append(file.stat().st_size)
    assert max(sizes[4:]) == max(sizes[:4])
    assert [name for name in tmp_path.iterdir() if name.name.startswith("hq")] == [file]


def test_what_hq_logs_of_a_seal_is_how_far_it_is(
    hq: HqBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hq.seal("n0")
    hq.office.dies = ("seal_chunk", 4, "after")
    with pytest.raises(Killed):
        hq.seal("n1")
    hq.restart()
    caplog.clear()
    hq.seal("n2")
    said = [record.getMessage() for record in caplog.records if record.name.startswith("server")]
    assert said == [f"n2/001-points: chunk {chunk} of 2" for chunk in (1, 2)]


def test_no_value_shows_where_a_seals_parts_are_printed(hq: HqBench) -> None:
    """As in a traceback or a debugger's log."""
    seal = hq.seal()
    assert hq.entries(seal).body.hex() not in repr(seal)
    hq.office.dies = ("seal_chunk", 3, "after")
    with pytest.raises(Killed):
        hq.seal("n2")
    stored = hq.store.seal("n2/001-points")
    assert stored is not None
    assert stored.seed is not None
    assert stored.aggregate is not None
    shown = repr(stored) + repr(hq.store.chunks("n2/001-points", 3))
    assert repr(stored.seed) not in shown
    assert repr(stored.aggregate.masked_sum)[6:40] not in shown
    assert isinstance(hq.sealing(), Sealing)
    assert np.array2string(stored.aggregate.masked_sum[:4]) not in shown
