"""Workbooks: cells keep their types, whatever stands in the other rows, and none is lost."""

from __future__ import annotations

import datetime as dt
import gzip
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.cell_parsing import amounts, days, optional_keys
from features.errors import LedgerError
from outlet_client.setup.sampling import look_at_files, rows_before_header
from outlet_client.sources import workbooks
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import header_of, read_all, read_file
from tests.outlet_client.workbook_files import write_ods, write_xlsx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.outlet_client.workbook_files import Cell

NAMES = ("customer_id", "purchased_at", "price", "phone", "is_return")
MOMENT = dt.datetime(2024, 1, 4, 23, 59, 30)  # noqa: DTZ001  (a cell's own clock)
SALES: list[list[Cell]] = [
    list(NAMES),
    ["007", dt.date(2024, 1, 3), 13500, 81234567, False],
    [1001, MOMENT, -0.5, 6581234567, True],
    [None] * 5,
    [None, None, None, "+65 8123 4567", None],
]


def written(path: Path, rows: Sequence[Sequence[Cell]], **settings: Any) -> Source:
    write = write_ods if path.suffix == ".ods" else write_xlsx
    write(path, {"Sales": rows})
    return Source(source=str(path), **settings)


@pytest.mark.parametrize("name", ["a.xlsx", "a.XLSM", "a.ods", "since 1904.xlsx"])
def test_a_sheet_keeps_days_numbers_and_text_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("since"):
        write_xlsx(path, {"Sales": SALES}, since_1904=True)
    source = Source(source=str(path)) if path.exists() else written(path, SALES)
    (batch,) = read_file(source, path, NAMES)
    assert header_of(source) == list(NAMES)
    assert batch.rows["row"].to_list() == [1, 2, 4]
    assert batch.apart.rows() == [(3, "blank")]
    assert batch.rows["customer_id"].to_list() == ["007", "1001", None]
    assert days(batch.rows["purchased_at"], "").values.to_list() == [
        dt.date(2024, 1, 3), dt.date(2024, 1, 4), None
    ]  # fmt: skip
    assert amounts(batch.rows["price"], "").values.to_list() == [13500.0, -0.5, None]
    phones = ["81234567", "6581234567", "+65 8123 4567"]
    assert batch.rows["phone"].to_list() == phones
    assert batch.rows["is_return"].to_list() == [False, True, None]


def test_an_old_workbook_is_read_too() -> None:
    path = Path(__file__).with_name("old_till.xls")
    assert read_all(Source(source=str(path)), ("id", "date", "price")).rows() == [
        (1, "C1", dt.datetime(2024, 1, 3), 13500.5, "old_till.xls")  # noqa: DTZ001
    ]


CELLS = st.one_of(
    st.dates(dt.date(1950, 1, 1), dt.date(2049, 12, 31)),
    st.integers(-(10**12), 10**12),
    st.integers(-(10**9), 10**9).map(lambda cents: cents / 100),
    st.sampled_from(["x", "12", None, "", True]),
)


@settings(max_examples=25)
@given(
    CELLS,
    st.lists(CELLS, max_size=3),
    st.sampled_from(["%Y-%m-%d", "%d/%m/%Y", "%d. %B %y", "excel", "buddhist %d/%m/%Y", "epoch"]),
    st.sampled_from([".", ","]),
)
@example(dt.date(2024, 3, 2), ["13/03/2024"], "%d/%m/%Y", ",")
@example(1.125, ["x"], "%Y-%m-%d", ",")
@example(dt.date(1969, 1, 1), [0], "%d. %B %y", ".")
def test_what_a_cell_means_does_not_hang_on_the_others_of_its_column(
    cell: Cell, others: list[Cell], dates: str, decimal: str
) -> None:
    column = workbooks.column_of("c", [cell, *others], decimal, dates)
    if isinstance(cell, dt.date):
        found = days(column, "", dates).values[0]
        is_early = cell < dt.date(1980, 1, 1) and column.dtype == pl.String  # not in every form
        assert found == cell or (is_early and found is None)
    elif isinstance(cell, int | float) and not isinstance(cell, bool):
        assert (amounts(column, "", decimal).values[0] if column.dtype != pl.Boolean else 1) == cell
        whole = str(int(cell)) if cell == int(cell) else None
        if whole is not None and not column.dtype.is_temporal():
            assert optional_keys(column, "").values[0] == whole
    elif column.dtype == pl.String:
        assert column[0] == ("true" if cell is True else cell or None)


def test_sheets_headers_and_rows_before_them_are_found_or_named(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    table: list[list[Cell]] = [[None, "Report"], [], [None, *NAMES], *([[None, *SALES[1]]] * 9)]
    notes: list[list[Cell]] = [["key", "meaning"], ["C", "customer"]]
    write_xlsx(
        path, {"Old": table, "Notes": notes, "May": table, "June": table[:7]}, hidden=["Old"]
    )
    seen = look_at_files(str(path))
    assert {key: guess.value for key, guess in seen.guesses.items()} == {
        "sheet": "May", "skip_rows": "2"
    }  # fmt: skip
    assert (seen.source.sheet, seen.source.skip_rows) == ("May", 2)
    assert header_of(seen.source) == list(NAMES)  # columns that are blank all the way are none
    assert len(seen.sample) == 9
    assert [doubt for doubt in seen.doubts if "with the same columns in June" in doubt]
    bare = Source(source=str(path), sheet="May")
    assert rows_before_header(bare) == 2
    first = Source(source=str(path))
    assert header_of(first) == ["key", "meaning"]
    with pytest.raises(LedgerError, match="no sheet 'Mai'; got Old, Notes, May, June"):
        header_of(bare.model_copy(update={"sheet": "Mai"}))
    with pytest.raises(LedgerError, match="no rows in the sheet 'Notes'"):
        header_of(first.model_copy(update={"skip_rows": 9}))


def test_days_beside_text_are_doubted_since_a_spreadsheet_may_have_exchanged_them(
    tmp_path: Path,
) -> None:
    rows: list[list[Cell]] = [["id", "day"], ["a", dt.date(2024, 3, 1)], ["b", "13/01/2024"]]
    written(tmp_path / "l.xlsx", rows)
    seen = look_at_files(str(tmp_path / "l.xlsx"))
    assert any("1 cells of day are days and 1 are text" in doubt for doubt in seen.doubts)


def test_rows_of_a_large_sheet_come_in_batches_and_blank_ones_at_the_end_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "ROWS_A_BATCH", 2)
    rows: list[list[Cell]] = [["price"], [1], [None], [2.5], [" "], [3], [None], [""], [" "]]
    source = written(tmp_path / "l.xlsx", rows)
    batches = list(read_file(source, tmp_path / "l.xlsx", NAMES))
    assert [row for batch in batches for row in batch.rows.select("row", "price").rows()] == [
        (1, 1), (3, 2.5), (5, 3)
    ]  # fmt: skip
    assert [row for batch in batches for row in batch.apart["row"]] == [2, 4]
    assert (batches[-1].share or 0) <= 1.0


def test_a_workbook_in_a_packed_file_is_read_and_text_of_its_name_is_text(tmp_path: Path) -> None:
    inner = tmp_path / "inner.xlsx"
    written(inner, SALES)
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.write(inner, "export/sales.xlsx")
    (tmp_path / "l.xlsx.gz").write_bytes(gzip.compress(inner.read_bytes()))
    (tmp_path / "text.xls").write_bytes("customer_id\tprice\nann\t1\n".encode("utf-16"))
    for name in ("l.zip", "l.xlsx.gz"):
        assert header_of(Source(source=str(tmp_path / name))) == list(NAMES)
    seen = look_at_files(str(tmp_path / "text.xls"))
    assert (seen.source.delimiter, seen.source.encoding) == ("\t", "utf-16")
    assert read_all(seen.source, NAMES)["customer_id"].to_list() == ["ann"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("l.xlsx", b"PK\x03\x04 and so on", "not readable as a workbook"),
        ("l.xls", b"\xd0\xcf\x11\xe0 and so on", "not readable as a workbook"),
        ("l.xls", b"<html><table><tr><td>id</td></tr></table>", "a web page or XML"),
        ("l.csv", b"PK\x03\x04 and so on", "holds an Excel workbook or zip file"),
    ],
)
def test_what_is_no_workbook_is_an_error_that_says_what_it_is(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LedgerError, match=reason):
        look_at_files(str(tmp_path / name))
