"""Rows are named by the line of the file, or the row of the sheet, that a person sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from outlet_client.main import app
from outlet_client.sources import csv_files
from outlet_client.sources.csv_files import csv_lines
from outlet_client.sources.file_lines import lines_of, place_text
from outlet_client.sources.source import Source
from tests.outlet_client.workbook_files import write_ods, write_xlsx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = "customer_id;purchased_at;price\n"
RECORDS = {
    "plain": "K{};2026-01-02;5\n",
    "windows": "K{};2026-01-02;5\r\n",
    "of two lines": 'K{};"2026-\n01-02";5\n',
    "blank": "\n",
    "bad quote": 'K{};"2026-01-02;5\n',
}


@given(
    kinds=st.lists(st.sampled_from(list(RECORDS)), min_size=1, max_size=12),
    above=st.integers(0, 3),
    names_delimiter=st.booleans(),
    block=st.sampled_from([4, 30, 1 << 22]),
)
def test_a_record_is_found_on_the_line_it_begins_with(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    kinds: list[str],
    above: int,
    names_delimiter: bool,
    block: int,
) -> None:
    records = [RECORDS[kind].format(number) for number, kind in enumerate(kinds)]
    text = "Report of a till\n" * above + "sep=;\n" * names_delimiter + HEADER + "".join(records)
    file = tmp_path_factory.mktemp("lines") / "l.csv"
    file.write_bytes(text.encode())
    seen = [at for at, line in enumerate(text.split("\n"), 1) if line.startswith("K")]
    source = Source(source=str(file), delimiter=";", skip_rows=above)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "_BLOCK_CHARACTERS", block)
        found = csv_lines(source, file, range(1, len(seen) + 1))
    assert found == dict(enumerate(seen, 1))


@pytest.mark.parametrize("write", [write_xlsx, write_ods])
def test_a_row_of_a_sheet_has_the_number_that_a_spreadsheet_shows(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    file = tmp_path / ("l.xlsx" if write is write_xlsx else "l.ods")
    rows = [["Report", None], [None, None], [None, None], ["customer_id", "price"]]
    write(file, {"Sales": [*rows, ["K1", 5], [None, None], ["K2", 6]]})
    source = Source(source=str(file), skip_rows=1, sheet="Sales")
    assert lines_of(source, [(file.name, 1), (file.name, 3)]) == {
        (file.name, 1): 5, (file.name, 3): 7
    }  # fmt: skip


def test_where_no_line_is_known_a_row_keeps_its_own_number(tmp_path: Path) -> None:
    gone = Source(source=str(tmp_path / "gone.csv"))
    assert lines_of(gone, [("gone.csv", 3)]) == {}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "l.csv").write_text("price\n1\n")
    twice = Source(source=str(tmp_path / "*" / "l.csv"))
    assert lines_of(twice, [("l.csv", 1)]) == {}  # which of the two?
    assert place_text({}, "l.csv", 3) == "row 3"
    assert place_text({("l.csv", 3): 9}, "l.csv", 3) == "line 9"


def test_check_names_lines_in_bad_cells_in_the_preview_and_among_identifiers(
    tmp_path: Path,
) -> None:
    """Two lines above the header and a blank one within: rows 1 to 3 are lines 4, 5 and 7."""
    (tmp_path / "l.csv").write_text(
        "Report\nof March\ncustomer_id,purchased_at,price,phone\n"
        "K1,2026-03-01,5,12345\n\nK2,2026-13-01,5,+6581234567\nK3,2026-03-02,7,\n"
    )
    (tmp_path / "escapement.toml").write_text(
        'region = "SG"\n[ledger]\nsource = "l.csv"\nskip_rows = 2\n[ledger.constants]\n'
        'kind = "purchase"\n'
    )

    def said(*options: str) -> str:
        return CliRunner().invoke(app, ["check", "--home", str(tmp_path), *options]).output

    shown = said()
    assert "l.csv, line 6, purchased_at: " in shown
    assert [line.split()[0] for line in shown.splitlines() if "  purchase " in line] == ["4", "7"]
    assert "row 2" not in shown
    header, first, *_ = said("--identifiers").splitlines()
    assert header == "file,line,row,column,reason"
    assert first.startswith("l.csv,4,1,phone,")
