"""What is over dies at a running office that nobody calls: at its start and every few minutes."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (pytest reads annotations)
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from privacy.identity import PartyKind
from privacy.two_key_sum import CARRY_DAYS
from server.office import running
from server.office.seal_store import SealState, StoredSeal
from server.office.tables import KEPT_SEEDS
from server.office.unlock import Office
from server.office.vault import KEY_FILE
from tests.server.seal_benches import DAY, SealBench
from tests.server.test_holder import Parties

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class LeftOver:
    """A seal in an office's folder that nobody closes, and a seed that grows too old with it.

    Attributes:
        folder: The office's.
        seconds: How long both have to live; fewer than none, and both are over.
    """

    folder: Path
    seconds: float

    def __post_init__(self) -> None:
        self.bench = SealBench(f"sqlite:///{self.folder / 'office.db'}")
        age = self.bench.settings.release_minutes * 60 - self.seconds
        self.bench.bench.clock.at = time.time() - age
        self.seal = self.bench.seal()
        self.seal.sign()
        self.seal.store("abcd")
        answered_at = int(time.time() + self.seconds) - CARRY_DAYS * DAY - 1
        mine = KEPT_SEEDS.c.outlet == "d"
        with self.bench.bench.store.transaction() as transaction:
            connection = transaction.seeds.connection
            connection.execute(KEPT_SEEDS.update().where(mine).values(answered_at=answered_at))
            seed = connection.scalar(sa.select(KEPT_SEEDS.c.seed).where(mine))
        self.secrets = [bytes(seed or b""), (self.folder / KEY_FILE).read_bytes()[:32]]
        self.secrets += [wrapped[:48] for wrapped in self._stored().secrets.values()]
        assert self.on_disk() == len(self.secrets) == 4

    def _stored(self) -> StoredSeal:
        with self.bench.bench.store.transaction() as transaction:
            found = transaction.seals.find(digest=self.seal.signed.digest)
        assert found is not None
        return found

    @property
    def state(self) -> SealState:
        return self._stored().state

    def on_disk(self) -> int:
        """How many of the secrets a file of the folder holds."""
        files = [file.read_bytes() for file in self.folder.iterdir() if file.is_file()]
        return sum(any(secret in data for data in files) for secret in self.secrets)

    def wait(self) -> None:
        """Until all of them are gone, half a minute at most."""
        until = time.monotonic() + 30
        while self.on_disk() and time.monotonic() < until:
            time.sleep(0.02)
        assert (self.on_disk(), self.state) == (0, SealState.EXPIRED)


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def tidying() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "tidying"]


@pytest.mark.parametrize("paused", [False, True])
def test_what_expired_while_the_office_was_down_is_gone_once_it_runs(
    parties: Parties, *, paused: bool
) -> None:
    left = LeftOver(parties.office.folder, -1)
    parties.paused = paused
    parties.run(PartyKind.OFFICE)
    assert (left.on_disk(), left.state) == (0, SealState.EXPIRED)


@pytest.mark.parametrize("paused", [False, True])
def test_what_expires_while_the_office_runs_is_gone_without_a_call(
    parties: Parties, monkeypatch: pytest.MonkeyPatch, *, paused: bool
) -> None:
    assert running.TIDY_SECONDS == 300
    monkeypatch.setattr(running, "TIDY_SECONDS", 0.05)
    parties.paused = paused
    parties.run(PartyKind.OFFICE)
    LeftOver(parties.office.folder, 3).wait()


def test_a_round_that_fails_is_logged_and_the_next_one_goes_on(
    parties: Parties, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running, "TIDY_SECONDS", 0.05)
    parties.run(PartyKind.OFFICE)
    honest, errors = Office.tidy, [OSError("disk full"), ZeroDivisionError("by nobody foreseen")]

    def failing(office: Office) -> None:
        if errors:
            raise errors.pop(0)
        honest(office)

    monkeypatch.setattr(Office, "tidy", failing)
    LeftOver(parties.office.folder, 3).wait()
    logged = [record for record in caplog.records if record.name == running.__name__]
    assert [record.levelname for record in logged] == ["ERROR", "ERROR"]
    assert "disk full" in caplog.text
    assert "by nobody foreseen" in caplog.text


def test_tidying_ends_with_the_server(parties: Parties) -> None:
    before = tidying()
    with ExitStack() as stack:
        parties.stack = stack
        parties.run(PartyKind.OFFICE)
        [thread] = set(tidying()) - set(before)
        assert thread.is_alive()
        began = time.monotonic()
    assert time.monotonic() - began < 20  # it does not wait for its next round
    assert not thread.is_alive()
    assert tidying() == before


def test_a_start_that_cannot_tidy_says_so(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Office) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Office, "tidy", failing)
    with pytest.raises(OSError, match="disk full"):
        parties.run(PartyKind.OFFICE)
    assert tidying() == []
