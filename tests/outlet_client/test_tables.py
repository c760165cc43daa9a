"""Files as outlets' programs write them: each record is a row or malformed, and none is lost."""

from __future__ import annotations

import bz2
import csv
import datetime as dt
import gzip
import io
import lzma
import re
import zipfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.errors import LedgerError
from features.ledger import judge
from outlet_client.sources import csv_files
from outlet_client.sources.headings import numbered
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import (
    decoded,
    files_of,
    format_of,
    header_of,
    read_all,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("customer_id", "purchased_at", "price", "kind", "phone", "email")
MESSY: dict[str, Any] = {
    "delimiter": ";",
    "encoding": "latin-1",
    "decimal": ",",
    "dates": "%d.%m.%Y",
    "columns": {"customer_id": "Kunde", "purchased_at": "Datum", "price": "Betrag"},
    "constants": {"kind": "purchase"},
}
HEADER = "Kunde;Datum;Betrag\r\n"


def written(folder: Path, data: str | bytes, name: str = "sales.csv", **settings: Any) -> Source:
    """A source whose file holds some text, in its encoding."""
    source = Source(source=str(folder / name), **settings)
    text = data if isinstance(data, bytes) else data.encode(source.encoding)
    (folder / name).write_bytes(text)
    return source


def read(source: Source) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows and the malformed records of a source's only file."""
    batches = list(read_file(source, Path(source.source), NAMES))
    return (
        pl.concat([batch.rows for batch in batches]),
        pl.concat([batch.malformed for batch in batches]),
    )


def customers(source: Source) -> list[str | None]:
    return read(source)[0]["customer_id"].to_list()


# --- what outlets write ---------------------------------------------------------------------------


def test_a_file_of_an_outlets_own_making_becomes_events(tmp_path: Path) -> None:
    text = HEADER + "Müller;31.12.2026;1.234,50\r\n Özil ;1.2.2026;5,00-\r\n"
    source = written(tmp_path, text, **MESSY)
    rows, malformed = read(source)
    judged = judge(rows, source.name, format_of(source))
    assert malformed.is_empty()
    assert judged.events["customer"].to_list() == ["Müller", "Özil"]
    assert judged.events["date"].to_list() == [dt.date(2026, 12, 31), dt.date(2026, 2, 1)]
    assert judged.events["price"].to_list() == [1234.5, 5.0]
    assert judged.events["kind"].to_list() == ["purchase", "return"]
    assert judged.events["row"].to_list() == [1, 2]
    assert "Müller" not in repr(judged)


def zipped(data: bytes, *names: str, secret: bool = False) -> bytes:
    """A zip file with some files of the same content, and what a Mac adds."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in (*names, "__MACOSX/._x", "folder/"):
            archive.writestr(name, b"" if name.endswith("/") else data)
    packed = bytearray(file.getvalue())
    if secret:  # the bit that says so, in both of each file's headers
        for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            packed[packed.index(sign) + place] |= 1
    return bytes(packed)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "sales.csv": bytes,
    "sales.txt": bytes,
    "sales.csv.gz": gzip.compress,
    "sales.csv.bz2": bz2.compress,
    "sales.CSV.XZ": lzma.compress,
    "sales.zip": lambda data: zipped(data, "Export/sales.csv"),
}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *product(["sales.csv"], ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]),
        *product([name for name in PACKED if name != "sales.csv"], ["utf-16"]),
    ],
)
def test_encodings_ends_of_lines_and_packing_make_no_difference(
    tmp_path: Path, name: str, encoding: str, ends: str
) -> None:
    lines = ["customer_id\tprice", "Zoë\t1", "", '"Ångström\t Bo"\t2', '"a ""b"""""\t3', "c\t", ""]
    data = ends.join(lines).replace("Bo", f"B{ends}o").encode(encoding)
    source = written(tmp_path, b"", name, encoding=encoding, delimiter="\t")
    Path(source.source).write_bytes(PACKED[name](data))
    rows, malformed = read(source)
    assert malformed.is_empty()
    assert rows.rows() == [
        (1, "Zoë", "1"),
        (2, f"Ångström\t B{ends}o", "2"),
        (3, 'a "b""', "3"),
        (4, "c", None),
    ]
    assert header_of(source) == ["customer_id", "price"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("x.zip", zipped(b"a,b\n1,2\n", "a.csv", "b.csv"), "holds 2 files; expected one"),
        ("x.zip", zipped(b"a,b\n1,2\n"), "holds 0 files"),
        ("x.zip", zipped(b"a,b\n1,2\n", "a.csv", secret=True), "has a password"),
        ("x.zip", b"PK\x03\x04 and so on", "not readable as .zip"),
        ("x.csv.gz", gzip.compress(b"a,b\n" * 9, mtime=0)[:-9], "not readable as .gz"),
        ("x.csv.xz", b"a,b\n", "not readable as .xz"),
        ("x.csv.zst", b"a,b\n", "unpack it first"),
        ("x.csv", gzip.compress(b"a,b\n", mtime=0), "holds a gzip file; expected text"),
        ("x.csv", zipped(b"a,b\n", "a.csv"), "holds an Excel workbook or zip file"),
    ],
)
def test_what_cannot_be_unpacked_or_is_packed_unsaid_is_an_error(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    with pytest.raises(LedgerError, match=re.escape(reason)):
        read(written(tmp_path, data, name))


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("before", "skip_rows"),
    [
        ([], 0), (["sep=;"], 0), (["", ";;", ""], 0), (["Report", "", "Store;Orchard;1"], 3),
        (['"Report', 'of May";;'], 2), (["sep=;", "Report"], 2), (["Report", "sep=;"], 1),
    ],
)  # fmt: skip
def test_lines_before_the_header_are_no_rows(
    tmp_path: Path, before: list[str], skip_rows: int, mark: str, ends: str
) -> None:
    text = mark + ends.join([*before, "customer_id;price", "ann;1", ""])
    source = written(tmp_path, text, delimiter=";", skip_rows=skip_rows, encoding="utf-8")
    assert read(source)[0].rows() == [(1, "ann", "1")]


def test_a_line_that_names_another_delimiter_than_the_settings_is_an_error(tmp_path: Path) -> None:
    source = written(tmp_path, "sep=;\ncustomer_id,price\nann,1\n")
    with pytest.raises(LedgerError, match=r"names the delimiter ';'; got delimiter = ','"):
        read(source)


def test_what_guards_a_cell_against_spreadsheets_is_no_part_of_it(tmp_path: Path) -> None:
    cells = '="0012",\'+6581234567\n"=""C1""",\'-5\n=1,\'n Beetje\n"=""""",x\n'
    source = written(tmp_path, "customer_id,phone\n" + cells)
    assert read(source)[0].rows() == [
        (1, "0012", "+6581234567"), (2, "C1", "-5"), (3, "=1", "'n Beetje"), (4, None, "x"),
    ]  # fmt: skip


def test_headings_are_told_apart(tmp_path: Path) -> None:
    source = written(tmp_path, "Total,,Total, ,Total#1,day\n1,2,3,4,5,6\n")
    assert header_of(source) == ["Total#2", "column 2", "Total#3", "column 4", "Total#1", "day"]
    assert numbered(header_of(source)) == header_of(source)


@pytest.mark.parametrize("header", ["customer_id", '"customer_id"', "\r\n\r\ncustomer_id"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(
    tmp_path: Path, header: str, encoding: str
) -> None:
    data = b"\xef\xbb\xbf" + header.encode() + b"\r\nann\r\n"
    source = written(tmp_path, data, encoding=encoding)
    assert header_of(source) == ["customer_id"]
    assert customers(source) == ["ann"]


def test_blank_lines_are_no_records_and_lines_of_delimiters_are_apart(tmp_path: Path) -> None:
    source = written(tmp_path, HEADER + "\r\n\r\na;1;1\r\n;;\r\n\r\nb;2;2\r\n", **MESSY)
    (batch,) = read_file(source, Path(source.source), NAMES)
    assert batch.rows.select("row", "customer_id").rows() == [(1, "a"), (3, "b")]
    assert batch.apart.rows() == [(2, "blank")]
    assert batch.malformed.is_empty()


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    for text in ("customer_id,price", "\n\ncustomer_id,price\n\n"):
        source = written(tmp_path, text)
        assert len(read(source)[0]) == 0
        assert read_all(source, NAMES).columns == ["row", "customer_id", "price", "file"]


# --- records that are no rows ---------------------------------------------------------------------

SOUND = "good;1.1.2026;1\r\n"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("bad;1.1.2026", "got 2 cells, expected 3"),
        ("bad", "got 1 cells, expected 3"),
        ("bad;1.1.2026;1;x", "got 4 cells, expected 3"),
        ("bad;1.1.2026;1,0;;x", "got 5 cells, expected 3"),
        ('bad;"1"1;1', "a bad quote"),
        ('"bad"x;1;1', "a bad quote"),
        ('bad;1;"1', "a bad quote"),
        ("bad\rx;1;1", "cells, expected 3|a bad quote"),
    ],
)
def test_a_malformed_record_costs_itself_only(tmp_path: Path, record: str, reason: str) -> None:
    text = HEADER + SOUND + record + "\r\n" + 'good;"1.1.\r\n2026";1\r\n' + SOUND
    rows, malformed = read(written(tmp_path, text, **MESSY))
    assert rows["customer_id"].to_list() == ["good"] * 3
    assert all(re.search(reason, found) for found in malformed["reason"])
    assert malformed["row"][0] == 2
    assert sorted([*rows["row"], *malformed["row"]]) == list(
        range(1, len(rows) + len(malformed) + 1)
    )
    assert "bad;" not in "".join(malformed["reason"])


def test_an_unterminated_quote_does_not_swallow_the_rest_of_the_file(tmp_path: Path) -> None:
    text = HEADER + SOUND + 'bad;"1.1.2026;1\r\n' + SOUND * 20_000
    rows, malformed = read(written(tmp_path, text, **MESSY))
    assert len(rows) == 20_001
    assert malformed["row"].to_list() == [2]


def test_empty_cells_too_many_are_dropped(tmp_path: Path) -> None:
    rows, malformed = read(
        written(tmp_path, HEADER + "a;1.1.2026;1;\r\nb;1.1.2026;1;;\r\n", **MESSY)
    )
    assert rows["price"].to_list() == ["1", "1"]
    assert malformed.is_empty()


def test_bytes_that_are_no_character_make_a_wanted_cell_malformed(tmp_path: Path) -> None:
    """A name of no interest may hold them; a phone or e-mail is just not usable then."""
    data = b"customer_id,price,email,name\nann,1,a@b,M\xfcller\nb\xfc,2,c@d,x\ncy,3,\xfc@d,x\n"
    rows, malformed = read(written(tmp_path, data))
    assert rows.select("row", "customer_id", "email").rows() == [(1, "ann", "a@b"), (3, "cy", None)]
    assert malformed.rows() == [(2, "customer_id", "not readable as utf-8-sig")]


@pytest.mark.parametrize("block", [4, 1 << 22])
@given(
    parts=st.lists(
        st.sampled_from(
            ["a", "b", ";", ";", "\n", "\n", "\r\n", "\r", '"', '"', '""', "\ufffd", " "]
        )
    )
)
@example(parts=["a", ";", '"', "\n", "a", ";", '"'])
@example(parts=["\r", "\n", "a", ";", "b"])
@example(parts=["a", "\r", "a"])
@example(parts=['"', "\n", ";", "\n", '"'])
def test_no_record_is_lost_and_where_a_block_ends_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], block: int
) -> None:
    """Whatever the bytes: a record is as few lines as make one, or one malformed line."""
    folder = tmp_path_factory.mktemp("odd")
    settings: dict[str, Any] = {"delimiter": ";", "columns": {"customer_id": "c", "price": "p"}}
    data = "c;p\n" + "".join(parts)
    source = written(folder, data.encode(), **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "_BLOCK_CHARACTERS", block)
        batches = list(read_file(source, Path(source.source), NAMES))
    numbers = [n for b in batches for f in (b.rows, b.malformed, b.apart) for n in f["row"]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    found = {
        number: cells for one in batches for number, *cells in one.rows.fill_null("").rows()
    } | {number: None for one in batches for number in one.malformed["row"]}
    found |= {number: ["", ""] for one in batches for number in one.apart["row"]}
    assert [found[number] for number in sorted(found)] == by_the_rule(data)


def by_the_rule(text: str) -> list[list[str] | None]:
    """The records after the header: a record is as few lines as make one, or one malformed line."""
    lines = text.splitlines(keepends=True) if "\n" not in text else text.split("\n")
    if "\n" in text:
        lines = [line + "\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]
    records: list[list[str] | None] = []
    while lines:
        size, cells = first_record(lines)
        lines = lines[size:]
        if cells != []:
            two = cells is not None and len(cells) >= 2 and not any(cells[2:])
            sound = cells and two and "\ufffd" not in "".join(cells)
            is_blank = cells and sound and not "".join(cells).strip()
            records.append(["", ""] if is_blank else cells[:2] if cells and sound else None)
    return records[1:]


def first_record(lines: list[str]) -> tuple[int, list[str] | None]:
    for size in range(1, len(lines) + 1):
        try:
            (cells,) = csv.reader(lines[:size], delimiter=";", strict=True)
        except csv.Error as error:
            if "end of data" not in str(error):
                break
        else:
            return size, cells
    return 1, None


# --- what is wrong with a whole file --------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "settings", "column", "reason"),
    [
        ("", {}, None, "no rows"),
        ("\n\n", {}, None, "no rows"),
        ('"customer_id\nann\n', {}, None, "the header is not readable: a bad quote"),
        ("a,b\n1,2\n", {"columns": {"price": "c"}}, "c", "missing; got 2 columns"),
        ("price,x,price\n1,2,3\n", {}, "price", "'price#1' (column 1) or 'price#2' (column 3)"),
        ("a,b\n1,2\n", {"skip_rows": 5}, None, "no rows behind skip_rows = 5"),
        ("a,b\n", {"columns": {"price": "a"}, "constants": {"price": "1"}}, "price", "both in"),
        ("a,b\n", {"encoding": "klingon"}, None, "encoding = 'klingon' is none"),
        ("a,b\n", {"encoding": "hex"}, None, "encoding = 'hex' is none"),
        ("a,b\n", {"encoding": "a\0b"}, None, "is none"),
        ("a,b\n", {"delimiter": '"'}, None, "delimiter = "),
        ("a,b\n".encode("utf-16"), {}, None, "no text in utf-8-sig; set `encoding`"),
        (b"\x1f\x8bnot", {"name": "x.csv.gz"}, None, "not readable as .gz"),
        (b"hello", {"name": "x.parquet"}, None, "not readable as Parquet"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_at_all_is_one_error_that_names_the_file(
    tmp_path: Path, data: str | bytes, settings: dict[str, Any], column: str | None, reason: str
) -> None:
    given_data = data if isinstance(data, bytes) else data.encode()
    source = written(tmp_path, given_data, **settings)
    with pytest.raises(LedgerError, match=re.escape(reason)) as caught:
        read(source)
    assert (caught.value.source, caught.value.row) == (Path(source.source).name, None)
    assert caught.value.column == column


def test_a_column_of_no_interest_may_be_there_twice(tmp_path: Path) -> None:
    assert customers(written(tmp_path, "customer_id,x,x,\nann,1,2,3\n")) == ["ann"]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "*.csv", "[", "a\0b"])
def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    source = Source(source=str(tmp_path / name))
    with pytest.raises(LedgerError, match=r"no such file"):
        files_of(source)
    with pytest.raises(LedgerError, match=r"no such file|not readable"):
        list(read_file(source, tmp_path / "none.csv", NAMES))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"a folder; expected a file"):
        files_of(Source(source=str(tmp_path)))


def test_a_pattern_names_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt"):
        written(tmp_path, f"customer_id\n{name}\n", name)
    (tmp_path / "d.csv").mkdir()
    source = Source(source=str(tmp_path / "*.csv"))
    assert [path.name for path in files_of(source)] == ["a.csv", "b.csv"]
    found = read_all(source, NAMES)
    assert found.select("row", "customer_id", "file").rows() == [
        (1, "a.csv", "a.csv"),
        (1, "b.csv", "b.csv"),
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    assert customers(written(tmp_path, "customer_id\nann\n", "sales [old].csv")) == ["ann"]
    source = Source(source=str(tmp_path / "sales [old].csv"))
    assert files_of(source) == [tmp_path / "sales [old].csv"]


def test_a_malformed_record_of_a_small_table_is_an_error(tmp_path: Path) -> None:
    source = written(tmp_path, "customer_id,price\nann,1\nben\n")
    with pytest.raises(LedgerError, match=r"^sales\.csv, row 2: got 1 cells, expected 2$"):
        read_all(source, NAMES)


# --- Parquet --------------------------------------------------------------------------------------


def test_native_types_of_parquet_are_read_as_they_are(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 1, 1, 20, tzinfo=dt.UTC)
    local = pl.Series([moment, None, moment]).dt.convert_time_zone("Asia/Singapore")
    frame = pl.DataFrame(
        {
            "Kunde": pl.Series([7, 8, 9], dtype=pl.Int32),
            "Zeit": local,
            "Betrag": pl.Series(["1.50", "2", "-3"]).cast(pl.Decimal(10, 2)),
            "is_return": [False, True, False],
            "basket_id": pl.Series(["b1", "b2", "b3"], dtype=pl.Categorical),
            "serial": pl.Series([1.0, None, 3.0]),
            "secret": ["x", "y", "z"],
        }
    )
    frame.write_parquet(tmp_path / "l.parquet")
    source = Source(
        source=str(tmp_path / "l.parquet"),
        columns={"customer_id": "Kunde", "purchased_at": "Zeit", "price": "Betrag"},
    )
    names = (*NAMES, "is_return", "basket_id", "serial", "outlet_id")
    (batch,) = read_file(source, tmp_path / "l.parquet", names)
    assert header_of(source) == frame.columns
    assert batch.rows.columns == [
        "row", "customer_id", "purchased_at", "price", "is_return", "basket_id", "serial"
    ]  # fmt: skip
    judged = judge(batch.rows, "l.parquet")
    assert judged.bad.rows() == [(2, "purchased_at", "empty; expected a value")]
    assert judged.events.select("customer", "outlet", "date", "kind", "price", "serial").rows() == [
        ("7", "here", dt.date(2026, 1, 2), "purchase", 1.5, "1"),
        ("9", "here", dt.date(2026, 1, 2), "return", 3.0, "3"),
    ]


def test_parquet_comes_in_batches_with_running_numbers(tmp_path: Path) -> None:
    pl.DataFrame({"price": range(120_001)}).write_parquet(tmp_path / "l.parquet")
    source = Source(source=str(tmp_path / "l.parquet"), constants={"kind": "service"})
    batches = list(read_file(source, tmp_path / "l.parquet", NAMES))
    assert [round(batch.share or 0, 2) for batch in batches] == [0.42, 0.83, 1.0]
    found = pl.concat([batch.rows for batch in batches])
    assert found["row"].to_list() == list(range(1, 120_002))
    assert found["price"].to_list() == list(range(120_001))
    assert found["kind"].unique().to_list() == ["service"]


# --- codes ----------------------------------------------------------------------------------------


def test_an_outlets_own_codes_are_kinds_and_an_empty_cell_may_be_one() -> None:
    source = Source(source="l.csv", codes={"return": ["R", " RET "], "purchase": ["", "V"]})
    rows = pl.DataFrame(
        {
            "customer_id": ["a"] * 6,
            "purchased_at": ["2026-01-01"] * 6,
            "price": ["1"] * 6,
            "kind": ["R", "RET ", "  ", None, "service", "r"],
        }
    )
    judged = judge(rows, "l.csv", format_of(source))
    assert judged.events["kind"].to_list() == [
        "return", "return", "purchase", "purchase", "service"
    ]  # fmt: skip
    assert judged.bad.select("row", "column").rows() == [(6, "kind")]


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ({"sale": ["V"]}, "codes of 'sale'; expected of one of purchase, return"),
        ({"confirmed": ["V"]}, "codes of 'confirmed'"),
        ({"purchase": ["V"], "return": [" V"]}, "the code 'V' is of two kinds"),
        ({"purchase": ["return"]}, "the code 'return' is of two kinds"),
    ],
)
def test_codes_that_stand_for_no_kind_or_two_are_refused(
    codes: dict[str, list[str]], reason: str
) -> None:
    with pytest.raises(LedgerError, match=re.escape(reason)):
        format_of(Source(source="l.csv", codes=codes))


def test_codes_of_other_columns_become_canonical_words() -> None:
    tiers = pl.Series("tier", ["L", " A", "open", None, "x"])
    found = decoded(tiers, {"limited": ["L"], "allocation": ["A", "B"]})
    assert found.to_list() == ["limited", "allocation", "open", None, "x"]
    assert found.name == "tier"
