"""Readings of a ledger's files: what is new is read, and what was read is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.errors import LedgerError
from outlet_client.ledger.event_store import EventsDamaged, EventStore
from outlet_client.settings import OutletFile
from tests.outlet_client.kept_ledger import (
    AT,
    HEADER,
    append,
    fates,
    home,
    lines,
    ours,
    outlet,
    row,
    store,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home", "ours", "store"]


def test_a_file_that_did_not_change_is_not_read_again(store: EventStore, ours: OutletFile) -> None:
    assert store.take_in(ours, AT).read_now == 3
    again = store.take_in(ours, AT)
    assert (again.read_now, again.rows) == (0, 3)
    assert store.counts() == again


def test_a_file_that_changed_is_read_whole_and_no_row_counts_twice(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("4"), row("5", price="x"))
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (5, (4, 0, 0, 1))
    assert list(lines(store)) == ["1", "2", "3", "4"]
    assert store.quarantine()["row"].to_list() == [5]


def test_a_file_with_another_beginning_replaces_all_that_was_read_of_it(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    append(home / "l.csv", row("bad", price="x"), row("old", day="2001-01-01"))
    assert fates(store.take_in(ours, AT)) == (3, 1, 0, 1)
    write(home / "l.csv", row("1", price="11"), row("3"), row("4"))
    found = store.take_in(ours, AT)
    assert (found.read_now, fates(found)) == (3, (3, 0, 0, 0))
    assert lines(store) == {"1": 11.0, "3": 10.0, "4": 10.0}
    assert (home / "quarantine.csv").read_text() == "file,row,line,column,reason\n"


def test_a_last_line_that_was_half_written_is_read_whole_later(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    append(home / "l.csv", row("4")[:9])
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 1)
    append(home / "l.csv", row("4")[9:])
    assert fates(store.take_in(ours, AT)) == (4, 0, 0, 0)


def test_new_files_of_a_pattern_come_in_and_those_that_vanished_keep_their_rows(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("2"), row("3"))
    assert store.take_in(ours, AT).read_now == 2
    (home / "exports" / "a.csv").unlink()
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 0)
    assert set(lines(store)) == {"1", "2", "3"}


def test_rows_that_a_file_holds_no_more_count_no_more_and_that_is_logged(
    home: Path, store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "jan.csv", row("1"), row("2"), row("3"))
    write(home / "exports" / "feb.csv", row("4"))
    store.take_in(ours, AT)
    write(home / "exports" / "jan.csv", row("1"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 0, 0)
    assert set(lines(store)) == {"1", "4"}
    assert "jan.csv: 2 rows fewer than before" in caplog.text


def test_a_renamed_file_is_the_one_it_was_also_where_a_new_one_has_its_name(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    plain = "customer_id,purchased_at,price,kind\n"
    sale = "anna,2026-01-0{},10,purchase\n"
    sales = home / "exports" / "sales.csv"
    for turn, month in enumerate(("jan", "feb"), start=1):
        write(sales, sale.format(turn) * 2, header=plain)
        store.take_in(ours, AT)
        sales.rename(home / "exports" / f"{month}.csv")
        found = store.take_in(ours, AT)
        assert (found.read_now, fates(found)) == (0, (2 * turn, 0, 0, 0))
    write(sales, sale.format(3) * 2, header=plain)
    store.take_in(ours, AT)
    sales.rename(home / "exports" / "mar.csv")
    write(sales, sale.format(4), header=plain)
    assert fates(store.take_in(ours, AT)) == (7, 0, 0, 0)


def test_an_outlets_folder_may_move_with_its_files(home: Path, store: EventStore) -> None:
    write(home / "exports" / "jan.csv", row("1"))
    write(home / "exports" / "feb.csv", row("2"))
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    (home / "exports" / "jan.csv").unlink()
    moved = home.rename(home.with_name("moved"))
    append(moved / "exports" / "feb.csv", row("3"))
    found = EventStore(moved).take_in(OutletFile.read(moved / "escapement.toml"), AT)
    assert (found.read_now, fates(found)) == (2, (3, 0, 0, 0))


def test_a_single_file_that_is_missing_is_an_error_and_loses_nothing(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    (home / "l.csv").unlink()
    with pytest.raises(LedgerError, match="no such file"):
        store.take_in(ours, AT)
    assert len(store.rows()) == 3


def test_a_file_that_cannot_be_read_leaves_the_others_as_they_were(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1"))
    store.take_in(ours, AT)
    write(home / "exports" / "a.csv", row("1", price="12"))
    write(home / "exports" / "b.csv", row("2"), header="some,other,columns\n")
    with pytest.raises(LedgerError, match=r"^b\.csv"):
        store.take_in(ours, AT)
    assert lines(store) == {"1": 10.0}


def test_another_mapping_means_that_all_is_read_anew(home: Path, store: EventStore) -> None:
    plain = outlet(home, 'ledger = "l.csv"\n')
    store.take_in(plain, AT)
    other = outlet(home, '[ledger]\nsource = "l.csv"\n[ledger.constants]\noutlet_id = "o9"\n')
    assert store.take_in(other, AT).read_now == 3
    assert store.rows()["outlet"].unique().to_list() == ["o9"]
    assert store.counts().rows == 3


def test_what_was_read_of_a_file_that_is_gone_stays_as_it_was_read_under_another_mapping(
    home: Path, store: EventStore
) -> None:
    for name in "ab":
        write(home / "exports" / f"{name}.csv", row(name))
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    (home / "exports" / "a.csv").unlink()
    text = '[ledger]\nsource = "exports/*.csv"\n[ledger.constants]\noutlet_id = "o9"\n'
    assert store.take_in(outlet(home, text), AT).read_now == 1
    assert dict(store.rows().select("line", "outlet").iter_rows()) == {"a": "here", "b": "o9"}


def test_events_that_were_deleted_are_read_anew_and_damaged_ones_are_named(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    whole = (home / "events" / "ledger.parquet").read_bytes()
    for damaged in (b"", whole[:-9], b"PAR1" + whole[4:-4] + b"none"):
        (home / "events" / "ledger.parquet").write_bytes(damaged)
        with pytest.raises(EventsDamaged, match=r"events/ledger\.parquet: damaged"):
            store.rows()
    (home / "events" / "ledger.parquet").unlink()
    assert not store.is_filled
    assert store.take_in(ours, AT).read_now == 3
    assert len(store.rows()) == 3


def test_what_was_read_is_one_private_file_without_phones_and_mails(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    for number in range(3):
        append(home / "l.csv", row(f"n{number}"), row("1", price=f"{number}"))
        store.take_in(ours, AT)
    (kept,) = (home / "events").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (home / "events").stat().st_mode & 0o777 == 0o700
    assert not set(pl.read_parquet_schema(kept)) & {"phone", "email"}
    assert b"91234567" not in kept.read_bytes()
    assert fates(store.counts()) == (6, 0, 3, 0)


def test_the_columns_of_a_ledger_are_those_that_all_its_files_have(
    home: Path, store: EventStore
) -> None:
    write(home / "exports" / "a.csv", row("1"))
    headed = HEADER.replace("phone", "reference")
    write(home / "exports" / "b.csv", row("2").replace("+6591234567", "R1"), header=headed)
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert "customer_id" in store.columns()
    assert "reference" not in store.columns()
