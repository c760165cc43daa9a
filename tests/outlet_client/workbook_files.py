"""Writes workbooks as spreadsheets do, as far as tests need: .xlsx and .ods from cells."""

from __future__ import annotations

import datetime as dt
import zipfile
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Cell = str | float | bool | dt.date | None

_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DAY, _MOMENT = 1, 2
"""Styles of days and of moments."""


def write_xlsx(
    path: Path,
    sheets: Mapping[str, Sequence[Sequence[Cell]]],
    *,
    since_1904: bool = False,
    hidden: Sequence[str] = (),
) -> None:
    """Writes a workbook; days are numbers with a style that says so, as Excel keeps them."""
    names = list(sheets)
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{at}" r:id="r{at}"'
        f"{' state=' + chr(34) + 'hidden' + chr(34) if name in hidden else ''}/>"
        for at, name in enumerate(names, 1)
    )
    system = '<workbookPr date1904="1"/>' if since_1904 else ""
    targets = "".join(
        f'<Relationship Id="r{at}" Type="{_OFFICE}/worksheet" Target="worksheets/s{at}.xml"/>'
        for at in range(1, len(names) + 1)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_OFFICE}">{system}'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{targets}'
        f'<Relationship Id="rs" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet {_MAIN}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/>'
        '<xf numFmtId="22"/></cellXfs></styleSheet>',
    }
    for at, name in enumerate(names, 1):
        rows = "".join(
            f'<row r="{number}">{_xlsx_row(row, number, since_1904=since_1904)}</row>'
            for number, row in enumerate(sheets[name], 1)
        )
        parts[f"xl/worksheets/s{at}.xml"] = (
            f"<worksheet {_MAIN}><sheetData>{rows}</sheetData></worksheet>"
        )
    _write(path, parts)


def _xlsx_row(row: Sequence[Cell], number: int, *, since_1904: bool) -> str:
    found = []
    for column, cell in enumerate(row):
        place = f'r="{chr(ord("A") + column)}{number}"'
        if isinstance(cell, bool):
            found.append(f'<c {place} t="b"><v>{int(cell)}</v></c>')
        elif isinstance(cell, str):
            found.append(f'<c {place} t="inlineStr"><is><t>{escape(cell)}</t></is></c>')
        elif isinstance(cell, dt.date):
            first = dt.date(1904, 1, 1) if since_1904 else dt.date(1899, 12, 30)
            time = cell.time() if isinstance(cell, dt.datetime) else dt.time()
            day = cell.date() if isinstance(cell, dt.datetime) else cell
            seconds = (time.hour * 60 + time.minute) * 60 + time.second
            serial = (day - first).days + seconds / 86_400
            style = _DAY if type(cell) is dt.date else _MOMENT
            found.append(f'<c {place} s="{style}"><v>{serial}</v></c>')
        elif cell is not None:
            found.append(f"<c {place}><v>{cell}</v></c>")
    return "".join(found)


_ODS_TYPES = {bool: "boolean", str: "string", int: "float", float: "float"}


def write_ods(path: Path, sheets: Mapping[str, Sequence[Sequence[Cell]]]) -> None:
    """Writes a workbook as LibreOffice does."""
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    tables = "".join(
        f'<table:table table:name="{escape(name)}">'
        + "".join(
            f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows
        )
        + "</table:table>"
        for name, rows in sheets.items()
    )
    content = (
        f'<office:document-content xmlns:office="{urn}:office:1.0" xmlns:table="{urn}:table:1.0" '
        f'xmlns:text="{urn}:text:1.0"><office:body><office:spreadsheet>{tables}'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = f'<manifest:manifest xmlns:manifest="{urn}:manifest:1.0"/>'
    _write(path, {"mimetype": kind, "META-INF/manifest.xml": manifest, "content.xml": content})


def _ods_cell(cell: Cell) -> str:
    if cell is None:
        return "<table:table-cell/>"
    if isinstance(cell, dt.date):
        kind, value = "date", f'office:date-value="{cell.isoformat()}"'
    else:
        kind = _ODS_TYPES[type(cell)]
        shown = str(cell).lower() if isinstance(cell, bool) else cell
        value = (
            ""
            if kind == "string"
            else f'office:{"boolean-" if kind == "boolean" else ""}value="{shown}"'
        )
    text = f"<text:p>{escape(str(cell))}</text:p>"
    return f'<table:table-cell office:value-type="{kind}" {value}>{text}</table:table-cell>'


def _write(path: Path, parts: Mapping[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
