"""Whatever an outlet's files and mapping hold: never a traceback, never a silent drop.

A traceback is any error that is not one of ours, or one of ours that owns up to a defect. What is
dropped silently would be missing from the six fates of a row; rows in are counted here by other
means, and so is each fate that can be. What `check` finds is what the night finds.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from features.errors import FeatureError
from outlet_client.errors import OutletError
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.intake import Intake, first_day
from outlet_client.ledger.judged_rows import CountsDiffer, judged_file, paths_of
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import dry_run

AT = dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)
FORMS = ("excel", "epoch", "buddhist %d/%m/%Y", "japanese", "%d. %B %Y")
CANONICAL = (
    "customer_id", "outlet_id", "purchased_at", "price", "list_price", "kind", "is_return",
    "basket_id", "serial", "reference", "line_id",
)  # fmt: skip
OWN = ("Kunde", "Datum", "Betrag", "Art", "Beleg", "Größe", "phone", "")
KINDS = ("purchase", "return", "service", "interest", "accepted", "declined", "confirmed", "other")

words = st.text(max_size=4) | st.sampled_from(["V", "R", "purchase", "1", "", " ", '"', ";"])
names = st.sampled_from((*CANONICAL, *OWN)) | st.text(max_size=3)
cells = st.sampled_from(
    [
        "", " ", "anna", "ben", "2026-01-05", "05.01.2026", "2026-02-30", "0001-01-01",
        "05.01.2026 23:10", "1.234,50", "1,234.50", "-5", "5-", "1e400", "NaN", "inf", "€ 5", "0",
        "purchase", "return", "V", "R", "true", "J", "s1", "A1", "1.0", "=1+1", "é", "٣",
        "12,34,567", "(5.00)", "5 DR", "$5", "45294", "1704240000", "03/01/2567", "令和6年1月5日",
        "5. März 2026", '="7"', "'-5", "TOTAL", "CASH", "6.58E+09", "\x00", "\ufffd", "\x1f",
    ]
) | st.text(max_size=6)  # fmt: skip


def mapping(columns: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Sections `[ledger]`: sound ones, odd ones, and ones that no reader takes."""
    return st.fixed_dictionaries(
        {},
        optional={
            "delimiter": st.sampled_from([",", ";", "\t", "|", '"', "\n", "é", ";;", ""]),
            "encoding": st.sampled_from(
                ["utf-8", "utf-8-sig", "latin-1", "cp1252", "ascii", "utf-16", "rot13", "no-such"]
            ),
            "decimal": st.sampled_from([".", ",", "'", "cents"]),
            "dates": st.sampled_from(
                ["%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%q", "%", "", "%H:%M", "buddhist %q", *FORMS]
            ),
            "skip_rows": st.integers(-1, 3),
            "currency": st.sampled_from(["SGD", "EUR", "sgd", ""]),
            "sales_side": st.sampled_from(["debit", "credit", "both"]),
            "walk_ins": st.lists(words, max_size=2),
            "where": st.sampled_from(["Art = 'V'", "price > 5", "Art", "", "1 = 1", "Betrag + 1"]),
            "columns": columns,
            "codes": st.dictionaries(
                st.sampled_from(KINDS), st.lists(words, max_size=2), max_size=3
            ),
            "constants": st.dictionaries(names, words, max_size=2),
            "changed": names,
            "table": names,
            "surprise": words,
        },
    )


def sound() -> st.SearchStrategy[dict[str, Any]]:
    """Sections that can be read."""
    return st.fixed_dictionaries(
        {
            "delimiter": st.sampled_from([",", ";"]),
            "encoding": st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252", "ascii"]),
            "decimal": st.sampled_from([".", ","]),
            "dates": st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%d.%m.%Y %H:%M", *FORMS]),
        },
        optional={
            "currency": st.just("SGD"),
            "sales_side": st.just("debit"),
            "walk_ins": st.just(["CASH"]),
            "codes": st.just({"purchase": ["V"], "return": ["R", ""]}),
            "constants": st.just({"outlet_id": "o1"}),
        },
    )


odd = mapping(st.dictionaries(names, names, max_size=4))
usual: dict[str, list[str] | dict[str, list[str]]] = {
    "customer_id": ["anna", "ben", " anna ", "7"],
    "purchased_at": {
        "%Y-%m-%d": ["2026-01-05", "2001-01-05"],
        "%d.%m.%Y": ["05.01.2026", "31.12.2001"],
        "%d.%m.%Y %H:%M": ["05.01.2026 23:10"],
        "excel": ["46027", "46027.5"],
        "epoch": ["1767571200"],
        "buddhist %d/%m/%Y": ["05/01/2569"],
        "japanese": ["令和8年1月5日", "R8.1.5"],
        "%d. %B %Y": ["5. Januar 2026", "5. janv. 2026"],
    },
    "price": {".": ["10", "-5", "1,234.50"], ",": ["10", "-5", "1.234,50"]},
    "kind": ["purchase", "return", "interest"],
    "line_id": ["1", "2", "3"],
    "reference": ["A1", ""],
}
formats = {"purchased_at": "dates", "price": "decimal"}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], dict[str, Any]]:
    """A header under the outlet's own names, rows that mostly fit it, and how they are mapped."""
    section = draw(sound() | sound() | odd)
    there = list(usual)[: draw(st.integers(4, 6))]
    renamed = draw(st.booleans())
    header = [f"Spalte {place}" if renamed else name for place, name in enumerate(there)]
    fitting: dict[str, list[str]] = {}
    for name in there:
        some = usual[name]
        if isinstance(some, dict):
            some = some.get(section.get(formats[name], ""), ["10", "2026-01-05"])
        fitting[name] = some
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        row = [draw(st.sampled_from(fitting[name])) for name in there]
        if draw(st.integers(0, 3)) == 0:
            row[draw(st.integers(0, len(row) - 1))] = draw(cells)
        if draw(st.integers(0, 9)) == 0:
            row = row[: draw(st.integers(0, len(row)))] + draw(st.lists(cells, max_size=2))
        rows.append(row)
    if renamed and draw(st.integers(0, 5)):
        section["columns"] = dict(zip(there, header, strict=True))
    return header, rows, section


def toml_of(section: dict[str, Any]) -> str:
    def value(found: object) -> str:
        if isinstance(found, dict):
            inside = ", ".join(f"{json.dumps(k)} = {value(v)}" for k, v in found.items())
            return f"{{ {inside} }}"
        return json.dumps(found)

    lines = [f"{key} = {value(found)}" for key, found in section.items()]
    return "[ledger]\n" + "\n".join(lines) + "\n"


def outcome(home: Path, name: str, section: dict[str, Any]) -> Intake | None:
    """Reads as a night does, and again; None where an error of ours says why not."""
    text = toml_of({"source": name, **section})
    (home / "escapement.toml").write_text(text, encoding="utf-8")
    try:
        ours = OutletFile.read(home / "escapement.toml")
        store = EventStore(home)
        found = store.take_in(ours, AT)
        assert store.take_in(ours, AT).rows == found.rows
        assert len(store.rows()) == found.used
        assert store.quarantine().select("file", "row").n_unique() == found.quarantined
        batches = [
            batch for path in paths_of(ours.ledger) for batch in judged_file(ours.ledger, path)
        ]
    except CountsDiffer:
        raise
    except (OutletError, FeatureError) as error:
        event(type(error).__name__)
        return None
    try:
        read_events(home, ours, AT)
    except (OutletError, FeatureError) as error:
        event(f"night: {type(error).__name__}")
    assert found.rows == found.accounted == sum(len(batch.rows) for batch in batches)
    if not any("line_id" in batch.columns for batch in batches):  # nothing can have been replaced
        days = [batch.events["date"] for batch in batches]
        old = sum(int((some < first_day(ours, AT)).sum()) for some in days)
        assert (found.left_out, found.superseded) == (old, 0)
        assert found.used == sum(len(some) for some in days) - old
    checked = dry_run(ours, AT).intake
    assert checked.rows == found.rows
    for fate in ("used", "left_out", "superseded", "quarantined", "ignored", "walk_ins"):
        assert getattr(checked, fate) == getattr(found, fate), fate
        if getattr(found, fate):
            event(f"some rows are {fate}")
    return found


def records_in(data: bytes) -> int:
    """How many records there are below the header, in a file that has no quotes."""
    end = b"\n" if b"\n" in data or b"\r" not in data else b"\r"
    lines = data.removeprefix(b"\xef\xbb\xbf").split(end)
    there = [line for line in lines if line.strip(b"\r")]
    header = next((at for at, line in enumerate(there) if line.strip(b" ,;\t|\r")), len(there))
    return max(len(there) - header - 1, 0)


quick = settings(suppress_health_check=[HealthCheck.too_slow], print_blob=True)


def written(header: list[str], rows: list[list[str]], section: dict[str, Any]) -> bytes:
    delimiter = section.get("delimiter", ",")
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=delimiter if delimiter in (",", ";", "\t", "|") else ",",
        lineterminator="\n",
        quoting=csv.QUOTE_ALL,
    )
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


@quick
@given(tables(), st.integers(0, 8))
def test_every_record_that_was_written_has_a_fate_also_where_it_came_later(
    table: tuple[list[str], list[list[str]], dict[str, Any]], cut: int
) -> None:
    header, rows, section = table
    with tempfile.TemporaryDirectory() as folder:
        for some in (rows[:cut], rows):
            (Path(folder) / "l.csv").write_bytes(written(header, some, section))
            found = outcome(Path(folder), "l.csv", section)
            skipped = section.get("skip_rows")
            if found is not None and section.get("encoding") != "utf-16" and not skipped:
                event("rows were read" if found.used else "all rows have another fate")
                assert found.rows == sum(1 for row in some if row)


HEADER = b"customer_id,purchased_at,price,kind\n"
pieces = st.lists(
    st.sampled_from(
        [
            HEADER, b"anna,2026-01-05,10,purchase\n", b"\r", b"\n", b"\r\n", b'"',
            b"anna,2026-01-05,10", b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b",,,\n",
            b"ben,2026-01-05,\xe9,purchase\r\n", b"PAR1", b"\x1f\x8b\x08\x00",
        ]
    ),
    max_size=9,
).map(b"".join)  # fmt: skip


@quick
@given(
    st.binary(max_size=60) | pieces | pieces.map(lambda data: HEADER + data),
    st.sampled_from(
        [
            "l.csv",
            "l.txt",
            "l.csv.gz",
            "l.csv.xz",
            "l.zip",
            "l.xlsx",
            "l.xls",
            "l.ods",
            "l.parquet",
            "l",
            "*.csv",
            "l[.csv",
            ".",
        ]
    ),
    st.just({}) | sound() | odd,
)
def test_bytes_of_any_kind_are_read_or_refused(
    data: bytes, name: str, section: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ("l.csv" if name in ("*.csv", ".") else name)).write_bytes(data)
        found = outcome(Path(folder), name, section)
    plain = section.get("encoding") != "utf-16" and name in ("l.csv", "l.txt", "l", "*.csv")
    plain = plain and not section.get("skip_rows")
    if found is not None and plain and b'"' not in data:
        assert found.rows == records_in(data)


_LINES = (
    'ledger = "l.csv"', "[ledger]", 'source = "l.csv"', 'source = "sqlite:///none.db"',
    'table = "t"', 'source = "postgres://nobody@/none"', "[ledger.columns]",
    'price = "Betrag"', 'region = "XX"',
    "keep_days = 0", "keep_days = 99999999999", "most_quarantined = nan", "most_quarantined = 2",
    'clients = "none.csv"', 'references = "l.csv"', 'sightings = "l.csv"', "[floors]", "[[ledger]]",
    'password_file = "none"', 'source = "no://such"', 'source = "://"', 'query = "DROP TABLE t"',
)  # fmt: skip


@quick
@given(
    st.lists(st.sampled_from(_LINES) | st.text(max_size=8), max_size=4),
    st.sampled_from(["", 'ledger = "l.csv"', '[ledger]\nsource = "l.csv"']),
)
def test_settings_of_any_kind_are_read_or_refused(some: list[str], first: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "l.csv").write_text(
            "customer_id,purchased_at,price,kind\nanna,2026-01-05,10,purchase\n"
        )
        place = home / "escapement.toml"
        place.write_bytes("\n".join([first, *some]).encode("utf-8", "replace"))
        try:
            event("read" if read_events(home, OutletFile.read(place), AT).intake.used else "none")
        except (OutletError, FeatureError) as error:
            event(type(error).__name__)
