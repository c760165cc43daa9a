"""What of the office's ledger is verified when, and what a night of a long ledger reads of it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from privacy.budget import Ledger, LedgerBroken, LedgerEntry
from privacy.loss import Rho
from privacy.purposes import Purpose
from server.holder.database import closing_engine
from server.holder.migrating import upgrade_tables
from server.office.backup import copy_without_keys
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE
from tests.builders import Bench, store_at, wrapped_key
from tests.server.seal_benches import SealBench

pytestmark = pytest.mark.usefixtures("both_engines")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An office whose ledger has one night: what it reserved, one charge, its end."""
    bench = Bench(url=f"sqlite:///{tmp_path / 'office.db'}")
    release(bench, "night-1")
    return bench


def release(bench: Bench, night: str) -> None:
    """A night of one release."""
    signed = bench.office.sign_release(bench.draft(bench.night(night), f"{night}/1"))
    bench.office.unlock(signed.digest, [bench.share(signed, name).envelope for name in "abc"])
    bench.office.close_night(night)


def opened(bench: Bench) -> OfficeStore:
    """The store as another process has it open."""
    return OfficeStore(store_at(bench.url, OFFICE), bench.settings.policy())


def past_the_triggers(bench: Bench, *statements: str) -> None:
    """Changes the file as nobody may who goes through the store."""
    place = bench.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(place)) as connection:
        for name in ("ledger_no_update", "ledger_no_delete", "ledger_at_end"):
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def reads(store: OfficeStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequence of every entry whose digest is computed from now on."""
    computed: list[int] = []
    honest = LedgerEntry.compute_digest

    def noted(entry: LedgerEntry) -> str:
        computed.append(entry.sequence)
        return honest(entry)

    monkeypatch.setattr(LedgerEntry, "compute_digest", noted)
    store.ledger()
    return computed


def test_the_ledger_is_verified_whole_once_and_then_from_where_it_stood(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reads(bench.store, monkeypatch) == [2]  # the last entry, every time
    store = opened(bench)
    assert reads(store, monkeypatch)[-1:] == [2]
    bench.night("night-2")
    computed = reads(store, monkeypatch)
    assert computed[:2] == [2, 3]
    assert set(computed) == {2, 3}


def test_what_another_process_appended_is_followed_and_counts(bench: Bench) -> None:
    other = Bench(url=bench.url)
    other.clock.at += 60
    other.night("night-2")
    assert bench.store.ledger().open_nights() == ("night-2",)
    assert bench.store.ledger() == other.store.ledger()
    release(bench, "night-3")
    other.office.close_night("night-2")
    entries = bench.store.ledger().entries
    assert [e.night for e in entries[3:]] == ["night-2", *["night-3"] * 3, "night-2"]
    assert Ledger.of(bench.settings.policy(), entries) == other.store.ledger()


@pytest.mark.sqlite_only
def test_an_entry_of_another_process_that_does_not_follow_is_refused(bench: Bench) -> None:
    forged = "INSERT INTO ledger SELECT 3, at, act, 'night-2', '', purpose, rho, noiseless, "
    past_the_triggers(bench, f"{forged} digest, 'x' FROM ledger WHERE sequence = 2")
    for _ in range(2):  # and again: nothing of it was taken for verified
        with pytest.raises(LedgerBroken, match="entry 3 does not follow"):
            bench.night("night-3")
    with pytest.raises(LedgerBroken, match="entry 3"):
        opened(bench)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger WHERE sequence = 2",
        "DELETE FROM ledger",
        "UPDATE ledger SET digest = 'x' WHERE sequence = 2",
        "UPDATE ledger SET at = at + 1 WHERE sequence = 2",
        "UPDATE ledger SET act = 'x' WHERE sequence = 2",
    ],
)
def test_a_ledger_that_was_cut_or_has_another_head_is_refused_at_once(
    bench: Bench, statement: str
) -> None:
    past_the_triggers(bench, statement)
    for _ in range(2):
        with pytest.raises(LedgerBroken, match="ledger: entry 2 "):
            bench.night("night-2")
    with closing(sqlite3.connect(bench.url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT COUNT(*) FROM nights").fetchone() == (1,)


@pytest.mark.sqlite_only
def test_a_ledger_that_was_cut_and_grew_to_its_length_again_is_refused_at_once(
    bench: Bench, tmp_path: Path
) -> None:
    other = Bench(url=f"sqlite:///{tmp_path / 'other.db'}")
    release(other, "another night")
    past_the_triggers(
        bench,
        "DELETE FROM ledger",
        f"ATTACH '{tmp_path / 'other.db'}' AS other",
        "INSERT INTO ledger SELECT * FROM other.ledger",
    )
    with pytest.raises(LedgerBroken, match="not the one that was verified before"):
        bench.store.ledger()
    assert opened(bench).ledger() == other.store.ledger()  # a chain of its own: HQ has the old head


@pytest.mark.sqlite_only
def test_an_entry_altered_before_the_verified_head_is_noticed_at_the_next_opening(
    bench: Bench,
) -> None:
    spent = bench.store.ledger().spent(Purpose.MOMENTS, 0)
    past_the_triggers(bench, "UPDATE ledger SET rho = '0/1' WHERE act = 'charge'")
    assert spent > 0
    assert bench.store.ledger().spent(Purpose.MOMENTS, 0) == spent  # it counts as it was verified
    with pytest.raises(LedgerBroken, match="entry 1 does not follow"):
        opened(bench)


def test_a_transaction_that_is_rolled_back_leaves_what_is_verified_as_it_was(bench: Bench) -> None:
    before = bench.store.ledger()
    costs = {Purpose.MOMENTS: Rho(1, 1000)}

    def fail() -> None:
        with bench.store.transaction() as transaction:
            after = transaction.ledger().reserve("night-2", costs, int(bench.clock.at))
            transaction.append(after)
            assert transaction.ledger() == after
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert bench.store.ledger() == before
    release(bench, "night-2")
    assert bench.store.ledger() == opened(bench).ledger()


def test_nights_at_once_in_threads_of_two_processes_make_one_chain(bench: Bench) -> None:
    other = Bench(url=bench.url)
    threads = [
        Thread(target=each.night, args=(f"night-{number}",))
        for number in range(2, 8)
        for each in ((bench, other)[number % 2],)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger = opened(bench).ledger()
    assert len(ledger.open_nights()) == 6
    assert bench.store.ledger() == other.store.ledger() == ledger


@pytest.mark.sqlite_only
def test_no_statement_of_a_night_reads_a_whole_table(bench: Bench, tmp_path: Path) -> None:
    seals = SealBench(f"sqlite:///{tmp_path / 'seals.db'}")
    plans: dict[str, list[str]] = {}

    def explain(_: object, cursor: sqlite3.Cursor, statement: str, *given: Any) -> None:
        parameters, _context, many = given
        first = parameters[0] if many else parameters
        rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", first)
        plans[statement] = [row[3] for row in rows]

    for store in (bench.store, seals.bench.store):
        sa.event.listen(store._engine, "before_cursor_execute", explain)
    for night in ("night-2", "night-3"):
        release(bench, night)
    first = seals.whole("s1", "abcd")
    second = seals.seal("s2")
    second.sign()
    second.store("abc", (first, "d"))
    second.take_all()
    second.close()
    assert seals.bench.store.complete_seal(second.signed.digest) is not None
    assert {s.split()[0] for s in plans} >= {"SELECT", "INSERT", "UPDATE", "DELETE"}
    tables = "ledger|nights|releases|seals|seal_chunks|kept_seeds|latest_days"
    waiting = "(releases_with_(a_key|an_answer)|seals_with_(secrets|transfers))"
    whole = re.compile(rf"SCAN ({tables})(?! USING (COVERING )?INDEX {waiting})")
    assert [s for s, steps in plans.items() if any(map(whole.match, steps))] == []
    with closing(sqlite3.connect(bench.url.removeprefix("sqlite:///"))) as connection:
        held = connection.execute("SELECT COUNT(*) FROM releases WHERE key IS NOT NULL").fetchone()
    assert held == (0,)  # that index holds what waits for its answer, and nothing else


@pytest.mark.sqlite_only
def test_a_store_of_release_0_1_is_opened_and_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "office.db"
    with closing(sqlite3.connect(place)) as connection:
        connection.executescript((ROOT / "tests/stores/0.1/office-office.sql").read_text())
        (entries,) = connection.execute("SELECT COUNT(*) FROM ledger").fetchone()
    with closing_engine(f"sqlite:///{place}", OFFICE) as engine:
        upgrade_tables(engine, OFFICE, lambda _said: None)
    bench = Bench(url=f"sqlite:///{place}")
    assert bench.store.ledger().length == entries > 40
    release(bench, "night-1")
    assert bench.store.ledger().length == entries + 3
    at = int(bench.clock.at)
    assert (
        bench.store.ledger().spent(Purpose.POINTS, at) > 0
    )  # they are read, and count for nothing
    customers = [p for p in Purpose if p is not Purpose.POINTS]
    assert bench.store.ledger().spent_in_year(at) == sum(
        bench.store.ledger().spent(purpose, at) for purpose in customers
    )
    seals = SealBench(bench.url)
    seals.whole(night=seals.night("night-2"))
    with closing(sqlite3.connect(place)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"ledger_at_end", "releases_of_a_night", "releases_with_a_key"} <= names
    assert not {"ledger_in_order", "points_seeds", "points_sets"} & names


@pytest.mark.sqlite_only
def test_a_copy_holds_no_one_time_key_of_an_open_release(bench: Bench, tmp_path: Path) -> None:
    bench.office.sign_release(bench.draft(bench.night("night-2"), "night-2/1"))
    with bench.store.transaction() as transaction:
        stored = transaction.release(name="night-2/1")
    assert stored is not None
    assert stored.key is not None
    copy_without_keys(bench.url, tmp_path / "copy.db")
    wrapped = wrapped_key(bench.url, "night-2/1")
    assert wrapped in (tmp_path / "office.db").read_bytes()
    assert wrapped not in (tmp_path / "copy.db").read_bytes()
    for place in tmp_path.iterdir():
        assert stored.key.to_bytes() not in place.read_bytes()


@pytest.mark.sqlite_only
def test_a_copy_is_made_of_a_broken_ledger_too(bench: Bench, tmp_path: Path) -> None:
    past_the_triggers(bench, "UPDATE ledger SET rho = '0/1' WHERE act = 'charge'")
    copy_without_keys(bench.url, tmp_path / "copy.db")
    with pytest.raises(LedgerBroken):
        OfficeStore(
            store_at(f"sqlite:///{tmp_path / 'copy.db'}", OFFICE), OfficeSettings().policy()
        )
