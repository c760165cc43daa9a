"""Corrected lines of a ledger: of the rows of one line the last one stands.

However they came in, bit by bit or at once, the same rows count, and every row has one fate.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.ledger.event_store import EventStore
from tests.outlet_client.kept_ledger import (
    AT,
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
    from collections.abc import Iterable

    from outlet_client.settings import OutletFile

__all__ = ["home", "ours", "store"]


def test_what_is_corrected_in_a_file_that_is_gone_stays_corrected(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "jan.csv", row("1"), row("bad", price="x"))
    write(home / "exports" / "feb.csv", row("2"))
    store.take_in(ours, AT)
    append(home / "exports" / "feb.csv", row("1", price="11"))
    store.take_in(ours, AT)
    (home / "exports" / "jan.csv").unlink()
    assert fates(store.take_in(ours, AT)) == (2, 0, 1, 1)
    assert lines(store) == {"1": 11.0, "2": 10.0}


def test_the_last_row_of_a_line_stands_also_under_another_customer(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    append(home / "l.csv", row("1", price="11"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 1, 0)
    append(home / "l.csv", row("1", "ben", price="12"), row("2", "anna"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 3, 0)
    stands = dict(store.rows().select("line", "customer").iter_rows())
    assert stands == {"1": "ben", "2": "anna", "3": "anna"}
    assert lines(store)["1"] == 12.0


def test_a_line_that_is_corrected_to_a_day_too_old_to_keep_counts_no_more(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("1", day="2001-01-01"))
    assert fates(store.take_in(ours, AT)) == (2, 1, 1, 0)
    append(home / "l.csv", row("1", day="2026-02-01"))
    assert fates(store.take_in(ours, AT)) == (3, 1, 1, 0)


def test_a_correction_that_cannot_be_read_leaves_what_was_known(
    home: Path, store: EventStore, ours: OutletFile
) -> None:
    store.take_in(ours, AT)
    append(home / "l.csv", row("1", price="x"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 0, 1)
    assert lines(store)["1"] == 10.0
    append(home / "l.csv", row("1", price="y"), row("1", price="13"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 3, 0)
    assert lines(store)["1"] == 13.0


def test_a_line_is_corrected_in_another_file_too_and_stays_so_as_both_grow(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    one, other = home / "exports" / "till-9.csv", home / "exports" / "till-10.csv"
    write(one, row("1"), row("2"))
    store.take_in(ours, AT)
    write(other, row("1", price="20"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 1, 0)
    append(one, row("3"))  # which says nothing new of line 1
    assert fates(store.take_in(ours, AT)) == (3, 0, 1, 0)
    assert lines(store) == {"1": 20.0, "2": 10.0, "3": 10.0}
    append(one, row("1", price="30"))  # which does
    assert fates(store.take_in(ours, AT)) == (3, 0, 2, 0)
    assert lines(store)["1"] == 30.0
    append(other, row("1", price="x"))
    assert fates(store.take_in(ours, AT)) == (3, 0, 2, 1)
    assert lines(store)["1"] == 30.0


def test_a_correction_that_is_taken_back_leaves_what_the_other_file_says(
    home: Path, store: EventStore
) -> None:
    ours = outlet(home, 'ledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("1", price="20"), row("2"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("2"))
    assert fates(store.take_in(ours, AT)) == (2, 0, 0, 0)
    assert lines(store) == {"1": 10.0, "2": 10.0}


def test_a_line_that_was_too_old_in_one_file_says_nothing_new_as_days_go_by(
    home: Path, store: EventStore
) -> None:
    """What it says of the line is as it was, kept or too old."""
    ours = outlet(home, 'keep_days = 30\nledger = "exports/*.csv"\n')
    write(home / "exports" / "a.csv", row("1", day="2026-11-01"))
    store.take_in(ours, AT)
    write(home / "exports" / "b.csv", row("1", day="2026-11-20"))
    store.take_in(ours, AT)
    append(home / "exports" / "a.csv", row("2", day="2026-11-19"))
    assert fates(store.take_in(ours, AT + dt.timedelta(days=10))) == (2, 1, 0, 0)
    longer = outlet(home, 'keep_days = 60\nledger = "exports/*.csv"\n')
    assert fates(store.take_in(longer, AT)) == (2, 0, 1, 0)
    assert dict(store.rows().select("line", "date").iter_rows())["1"] == dt.date(2026, 11, 20)


def test_rows_without_a_line_id_are_all_kept(home: Path, store: EventStore) -> None:
    (home / "l.csv").write_text(
        "customer_id,purchased_at,price,kind\n" + "anna,2026-01-05,10,purchase\n" * 3
    )
    assert fates(store.take_in(outlet(home, 'ledger = "l.csv"\n'), AT)) == (3, 0, 0, 0)


def test_many_rows_correct_one_another_across_batches_and_files(
    home: Path, store: EventStore
) -> None:
    number = 60_000
    write(home / "exports" / "a.csv", *(row(str(line)) for line in range(number)), row("7"))
    write(home / "exports" / "b.csv", row("2", price="12"), row("1", day="2001-01-01"))
    for turn, name in enumerate("ab"):
        os.utime(home / "exports" / f"{name}.csv", (turn, turn))
    found = store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert fates(found) == (number - 1, 1, 3, 0)
    assert lines(store)["2"] == 12.0
    assert "1" not in lines(store)


def test_of_files_that_are_read_together_the_one_written_last_corrects_the_others(
    home: Path, store: EventStore
) -> None:
    for turn, (name, price) in enumerate({"c": "1", "a": "3", "b": "2"}.items()):
        write(home / "exports" / f"{name}.csv", row("1", price=price))
        os.utime(home / "exports" / f"{name}.csv", (turn, turn))
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert lines(store) == {"1": 2.0}
    os.utime(home / "exports" / "a.csv", (9, 9))
    (home / "events" / "ledger.parquet").unlink()
    store.take_in(outlet(home, 'ledger = "exports/*.csv"\n'), AT)
    assert lines(store) == {"1": 3.0}


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3", "4", ""]),
        st.sampled_from(["anna", "ben", ""]),
        st.sampled_from(["2026-01-05", "2001-01-01", "soon"]),
        st.sampled_from(["1", "2", "3", "x"]),
    ),
    max_size=5,
)
_CHANGES = st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), _ROWS), min_size=1, max_size=6)


def written_rows(name: str, rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Lines of one file have ids that no other file has: which file is read last can't matter."""
    return [row(f"{name}{line}" if line else "", *others) for line, *others in rows]


@given(_CHANGES)
def test_rows_that_came_bit_by_bit_are_the_rows_of_one_reading(
    changes: list[tuple[str, bool, list[tuple[str, str, str, str]]]],
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        ours = outlet(Path(one), 'ledger = "exports/*.csv"\n')
        found = None
        store = EventStore(Path(one))
        for turn, (name, grows, some) in enumerate(changes):
            place = Path(one) / "exports" / f"{name}.csv"
            if grows and place.exists():
                append(place, *written_rows(name, some))
            else:
                write(place, *written_rows(name, some))
            os.utime(place, (turn, turn))
            found = store.take_in(ours, AT)
        at_once = EventStore(Path(other)).take_in(ours, AT)
        assert found is not None
        assert fates(at_once) == fates(found)
        rows, other_rows = store.rows(), EventStore(Path(other)).rows()
        order = [pl.col(name) for name in rows.columns]
        assert other_rows.sort(order).equals(rows.sort(order))
