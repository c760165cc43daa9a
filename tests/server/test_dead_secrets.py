"""What must die is nowhere once it is over: not in SQLite's file, not in PostgreSQL's log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from privacy.at_rest import SecretUnreadable
from server.holder.database import closing_engine
from server.holder.vault import SECRETS_FILE, KeyFile
from server.hq.store import HqStore
from server.hq.tables import HQ
from server.office.tables import KEPT_SEEDS, OFFICE, RELEASES
from tests.builders import Bench, store_at
from tests.server.conftest import POSTGRES
from tests.server.hq_sealing import HqBench, Killed
from tests.server.seal_benches import SealBench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.server.conftest import PostgresServer


@pytest.fixture
def wrapped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Every secret that is stored, plain and as it is stored."""
    found: list[tuple[bytes, bytes]] = []
    honest = KeyFile.all_wrapped

    def all_wrapped(self: KeyFile, secrets: Sequence[tuple[bytes, str]]) -> list[bytes]:
        made = honest(self, secrets)
        found.extend((plain, one) for (plain, _), one in zip(secrets, made, strict=True))
        return made

    monkeypatch.setattr(KeyFile, "all_wrapped", all_wrapped)
    return found


@pytest.fixture
def stored_bytes(both_engines: str, request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    """The files of the store, its folder's included; PostgreSQL's whole data folder."""
    if both_engines != POSTGRES:
        return Stored([tmp_path], None)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    host = sa.make_url(server.url).query["host"]
    return Stored([tmp_path, Path(str(host)) / "data"], server)


class Stored:
    """All bytes that a role's store and folder have."""

    def __init__(self, folders: Sequence[Path], server: PostgresServer | None) -> None:
        self._folders, self._server = folders, server

    def holds(self, secrets: Sequence[bytes]) -> list[bytes]:
        """Which of some bytes are in some file."""
        if self._server is not None:
            self._server.checkpoint()
        files = [file for folder in self._folders for file in folder.rglob("*") if file.is_file()]
        data = [file.read_bytes() for file in files]
        return [one for one in secrets if any(one in content for content in data)]


def keys_of(folder: Path, secrets: Sequence[bytes]) -> list[bytes]:
    """The keys that some stored secrets are wrapped under."""
    content = (folder / SECRETS_FILE).read_bytes()
    return [content[at + 32 : at + 64] for at in (content.find(one[:32]) for one in secrets)]


def test_a_one_time_key_and_a_replaced_seed_are_nowhere_after_the_release(
    wrapped: list[tuple[bytes, bytes]], stored_bytes: Stored, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'office.db'}"
    bench = Bench(url=url)
    signed = bench.office.sign_release(bench.draft(bench.night()))
    ((plain, stored),) = wrapped
    (key,) = keys_of(tmp_path, [stored])
    assert stored_bytes.holds([stored, key, plain]) == [stored, key]  # the search finds things
    bench.office.unlock(signed.digest, [bench.share(signed, name).envelope for name in "abc"])
    assert not stored_bytes.holds([key, plain])
    with pytest.raises(SecretUnreadable):
        KeyFile(tmp_path / SECRETS_FILE).opened(stored, "key r1")

    wrapped.clear()
    seals = SealBench(url)
    seals.whole(night=seals.night("night-2"))
    first = list(wrapped)
    assert len(first) == 3
    keys = keys_of(tmp_path, [stored for _, stored in first])
    assert stored_bytes.holds(keys) == keys
    seals.bench.clock.at += 8 * 86_400
    seals.whole("s2", night=seals.night("night-3"))
    assert len(wrapped) == 6
    gone = [*keys, *(plain for plain, _ in wrapped)]
    assert not stored_bytes.holds(gone)
    seals.bench.clock.at += 32 * 86_400
    kept = keys_of(tmp_path, [stored for _, stored in wrapped[3:]])
    seals.office.tidy()
    assert not stored_bytes.holds(kept)
    with closing_engine(url, OFFICE) as engine, engine.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(KEPT_SEEDS)) == 0


def test_hqs_seed_and_one_time_key_are_nowhere_after_the_seal(
    wrapped: list[tuple[bytes, bytes]], stored_bytes: Stored, tmp_path: Path
) -> None:
    hq = HqBench(url=f"sqlite:///{tmp_path / 'hq.db'}")
    hq.office.dies = ("store_set", 1, "before")
    with pytest.raises(Killed):
        hq.seal()
    secrets = [one for one in wrapped if len(one[0]) == 32]
    assert len(secrets) >= 2
    keys = keys_of(tmp_path, [stored for _, stored in secrets[:2]])
    assert stored_bytes.holds(keys) == keys
    assert not stored_bytes.holds([plain for plain, _ in secrets])
    hq.restart()
    assert hq.seal().is_sealed
    assert not stored_bytes.holds([*keys, *(plain for plain, _ in secrets)])
    assert not any((tmp_path / SECRETS_FILE).read_bytes())  # HQ keeps no secret between seals


# --- kills, and copies put back ------------------------------------------------------------------


def test_a_kill_before_a_key_is_erased_is_mended_when_the_store_is_opened(
    both_engines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert both_engines
    url = f"sqlite:///{tmp_path / 'office.db'}"
    bench = Bench(url=url)
    signed = bench.office.sign_release(bench.draft(bench.night()))
    key = (tmp_path / SECRETS_FILE).read_bytes()[32:64]
    shares = [bench.share(signed, name).envelope for name in "abc"]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    def die_of_some(_keys: KeyFile, wrapped: Sequence[bytes]) -> None:
        if wrapped:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(KeyFile, "erase", die_of_some)
        with pytest.raises(KeyboardInterrupt):
            bench.office.unlock(signed.digest, shares)
    assert key in (tmp_path / SECRETS_FILE).read_bytes()
    answer = Bench(url=url).store
    assert key not in (tmp_path / SECRETS_FILE).read_bytes()
    with answer.transaction() as transaction:
        found = transaction.release(name="r1")
    assert found is not None
    assert (found.key, found.answer is None) == (None, False)
    draft = bench.draft(bench.night("night-2"), "r2")
    # And one before the secret was stored leaves a key of nothing.
    with monkeypatch.context() as patched:
        patched.setattr("server.office.ledger_store.Transaction.keep_day", die)
        with pytest.raises(KeyboardInterrupt):
            bench.office.sign_release(draft)
    assert any((tmp_path / SECRETS_FILE).read_bytes())
    Bench(url=url).store.close()
    assert not any((tmp_path / SECRETS_FILE).read_bytes())


def test_a_store_that_was_copied_back_without_its_keys_opens_nothing(
    both_engines: str, tmp_path: Path
) -> None:
    assert both_engines
    url = f"sqlite:///{tmp_path / 'office.db'}"
    seals = SealBench(url)
    seals.whole()
    bench = Bench(url=url)
    bench.office.sign_release(bench.draft(bench.night("night-9"), "r9"))
    (tmp_path / SECRETS_FILE).unlink()
    Bench(url=url).store.close()
    with closing_engine(url, OFFICE) as engine, engine.begin() as connection:
        held = RELEASES.c.key.is_not(None)
        assert connection.scalar(sa.select(sa.func.count()).where(held)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(KEPT_SEEDS)) == 0


def test_an_hq_that_was_copied_back_without_its_keys_ends_the_seal(
    both_engines: str, tmp_path: Path
) -> None:
    assert both_engines
    url = f"sqlite:///{tmp_path / 'hq.db'}"
    hq = HqBench(url=url)
    hq.office.dies = ("store_set", 1, "before")
    with pytest.raises(Killed):
        hq.seal()
    (tmp_path / SECRETS_FILE).unlink()
    hq.store = HqStore(store_at(url, HQ))
    (name,) = [seal.release for seal in hq.store.leftover_seals("another")]
    seal = hq.store.seal(name)
    assert seal is not None
    assert "its secrets are gone" in seal.over
    assert (seal.seed, seal.one_time) == (None, None)


def test_a_key_file_holds_what_many_store_at_once_and_forgets_what_it_shall(tmp_path: Path) -> None:
    four = b""
    for keys in (KeyFile(), KeyFile(tmp_path / SECRETS_FILE)):
        one, two, three = (keys.wrapped(bytes([n]) * 8, f"place {n}") for n in (1, 2, 3))
        assert keys.opened(two, "place 2") == bytes([2]) * 8
        with pytest.raises(SecretUnreadable):
            keys.opened(two, "place 1")
        keys.erase([two])
        assert keys.holds([one, two, three]) == [True, False, True]
        four = keys.wrapped(b"four", "place 4")  # takes the free place
        keys.erase_others([four])
        assert keys.holds([one, three, four]) == [False, False, True]
    file = tmp_path / SECRETS_FILE
    assert (file.stat().st_mode & 0o777, file.stat().st_size) == (0o600, 3 * 64)
    file.write_bytes(file.read_bytes() + b"cut off by a kill")
    assert KeyFile(file).opened(four, "place 4") == b"four"
    assert KeyFile(file).holds([KeyFile(file).wrapped(b"five", "place 5")]) == [True]
