"""Files of consents as outlets write them: read whole, or refused with all that is bad."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from outlet_client.database import create_databases
from outlet_client.errors import ConsentRefused
from outlet_client.main import app
from outlet_client.people.book_reading import SHARED
from outlet_client.people.consent_files import (
    BLANK,
    COLUMNS,
    ENDED,
    SAID_NO,
    ConsentFile,
    read_consents,
)
from outlet_client.people.consent_moments import read_moments
from outlet_client.people.consents import Recorded
from outlet_client.people.identifier_flaws import Flaw
from outlet_client.people.people_store import People
from outlet_client.people.record_linkage import MOST_SHARING
from outlet_client.setup.consent_columns import consent_source
from outlet_client.setup.file_columns import FileForm
from outlet_client.sources.source import Source
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

EXPORTS = Path(__file__).parent.parent / "exports"
NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
NONE = FileForm({}, {})
HEADER = ",".join(COLUMNS)


def read(file: Path, form: FileForm = NONE, region: str | None = "SG") -> ConsentFile:
    return read_consents(consent_source(file, form), lambda who: who, region, NOW)


def written(place: Path, *rows: str, header: str = HEADER) -> Path:
    place.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return place


def moment(cell: str, dates: str = "%Y-%m-%d") -> dt.datetime | str:
    [found] = read_moments(pl.Series("recorded_at", [cell]), "c.csv", dates, NOW)
    return found.at or found.reason


def test_all_bad_rows_are_told_at_once_by_row_heading_and_reason_without_the_cell() -> None:
    found = read(EXPORTS / "small_cons_many.csv")
    assert [fault[:2] for fault in found.bad] == [(2, "phone"), (3, "recorded_at"), (4, "notice")]
    with pytest.raises(ConsentRefused) as caught:
        found.check("small_cons_many.csv")
    assert "row 2, phone: no phone" in str(caught.value)
    assert "row 3, recorded_at: ambiguous" in str(caught.value)
    assert not any(piece in str(caught.value) for piece in ("8123", "03/02/2026 ", "Mei"))


def test_own_headings_are_mapped_and_an_ambiguous_day_is_refused_unless_its_form_is_set() -> None:
    file = EXPORTS / "small_c1.csv"
    source = consent_source(file, NONE)
    assert source.columns == {
        "phone": "Phone", "email": "Email", "notice": "Notice Version", "recorded_at": "Date",
        "recorded_by": "Staff",
    }  # fmt: skip
    [bad] = read(file).bad
    assert (bad.row, bad.column) == (1, "Date")
    for dates, day in (("%d/%m/%Y", (2026, 2, 3)), ("%m/%d/%Y", (2026, 3, 2))):
        [consent] = read(file, FileForm({}, {}, dates)).consents
        assert consent == (
            "tel:+6581234567",
            "2026-01",
            dt.datetime(*day, tzinfo=dt.UTC),
            "Mei Lin",
            (),
        )


def test_the_other_exports_are_read_as_they_must_be() -> None:
    blank = read(EXPORTS / "small_c7.csv")
    assert (len(blank.consents), blank.left_out, blank.bad) == (1, {BLANK: 1}, [])
    [basic] = read(EXPORTS / "small_c9.csv").consents
    assert basic.at == dt.datetime(2026, 2, 3, tzinfo=dt.UTC)
    serial = EXPORTS / "small_c10.csv"
    [bad] = read(serial).bad
    assert bad[:2] == (1, "recorded_at")
    assert "--dates excel" in bad.reason
    [consent] = read(serial, FileForm({}, {}, "excel")).consents
    assert consent.at == dt.datetime(2023, 3, 15, tzinfo=dt.UTC)
    with pytest.raises(
        ConsentRefused, match=r"column notice: missing.*\n.*column recorded_by: missing"
    ):
        read(EXPORTS / "consents.xlsx")  # a workbook of sales


@pytest.mark.parametrize(
    ("cell", "at"),
    [
        ("2026-02-03", (2026, 2, 3)),
        ("20260203", (2026, 2, 3)),
        ("2026-02-03 10:30", (2026, 2, 3, 10, 30)),
        ("2026-02-03T10:30:05+08:00", (2026, 2, 3, 2, 30, 5)),
        ("20260203T103005Z", (2026, 2, 3, 10, 30, 5)),
        ("2026-02-03t10:30:05.5z", (2026, 2, 3, 10, 30, 5, 500_000)),
    ],
)
def test_iso_8601_is_read_in_both_its_forms(cell: str, at: tuple[int, ...]) -> None:
    assert moment(cell) == dt.datetime(*at, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("03/02/2026", "ambiguous"),
        ("3.2.26", "ambiguous"),
        ("03/02/2026", "'%d/%m/%Y' or --dates '%m/%d/%Y'"),
        ("31.01.2026", "--dates '%d.%m.%Y'"),
        ("01/31/2026 10:30 PM", "--dates '%m/%d/%Y %I:%M %p'"),
        ("13/02/2569", "--dates 'buddhist %d/%m/%Y'"),
        ("03022026", "eight digits"),
        ("20261302", "eight digits"),
        ("45000", "--dates excel"),
        ("45000.5", "--dates excel"),
        ("1770000000", "epoch"),
        ("260203", "a number"),
        ("2026-W06-2", "not a moment"),
        ("2026-02", "not a moment"),
        ("0203-02-03", "not a moment"),
        ("2026-12-01", "in the future"),
        ("Feb 3, 2026", "not a moment"),
        ("", "empty"),
    ],
)
def test_what_can_be_two_days_is_no_moment_and_the_reason_names_what_decides(
    cell: str, why: str
) -> None:
    said = moment(cell)
    assert isinstance(said, str)
    assert why in said
    assert not cell or cell not in said


@pytest.mark.parametrize(
    ("cell", "dates", "at"),
    [
        ("03.02.2026 17:45", "%d.%m.%Y %H:%M", (2026, 2, 3, 17, 45)),
        ("3. Februar 2026", "%d. %B %Y", (2026, 2, 3)),
        ("03/02/2569", "buddhist %d/%m/%Y", (2026, 2, 3)),
        ("令和8年2月3日", "japanese", (2026, 2, 3)),
        ("46056.75", "excel", (2026, 2, 3, 18)),
        ("1770134400", "epoch", (2026, 2, 3, 16)),
        ("1770134400000", "epoch-ms", (2026, 2, 3, 16)),
    ],
)
def test_a_form_that_is_set_is_read_with_its_time(
    cell: str, dates: str, at: tuple[int, ...]
) -> None:
    assert moment(cell, dates) == dt.datetime(*at, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "cell", ["31.01.2026", "01/31/2026 10:30 PM", "31-01-26", "31/01/2569", "31/01/2026 10:30:05"]
)
def test_the_form_that_a_reason_names_reads_the_day(cell: str) -> None:
    said = moment(cell)
    assert isinstance(said, str)
    [form] = re.findall("--dates '([^']+)'", said)
    found = moment(cell, form)
    assert isinstance(found, dt.datetime)
    assert found.date() == dt.date(2026, 1, 31)


@given(st.dates(dt.date(1990, 1, 1), dt.date(2026, 11, 29)))
def test_a_day_in_any_form_is_itself_or_refused_by_any_reader(day: dt.date) -> None:
    at = dt.datetime.combine(day, dt.time(), dt.UTC)
    for form in ("%Y-%m-%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d%m%Y", "%y%m%d"):
        cell = at.strftime(form)
        assert moment(cell, form) == at
        by_default = moment(cell)
        assert isinstance(by_default, str) or by_default == at, cell


def test_a_consent_that_nobody_gave_or_that_ended_is_left_out_and_counted(tmp_path: Path) -> None:
    header = "Handy;E-Mail;Fassung;Datum der Einwilligung;Erfasst von;Eingewilligt;Widerrufen am"
    rows = (
        "+65 8123 4567;;v1;2026-02-03;Mei;ja;",
        "+65 8123 4568;;v1;2026-02-03;Mei;nein;",
        "+65 8123 4569;;v1;2026-02-03;Mei;ja;2026-03-01",
        "+65 8123 4560;;v1;2026-02-03;Mei;;",
    )
    found = read(written(tmp_path / "c.csv", *rows, header=header))
    assert [consent.key for consent in found.consents] == ["tel:+6581234567"]
    assert found.left_out == {SAID_NO: 1, ENDED: 1}
    assert [fault[:2] for fault in found.bad] == [(4, "Eingewilligt")]
    asked = written(tmp_path / "d.csv", "8123 4567,n,2026-02-03,Mei,no",
                    header="phone,notice,recorded_at,recorded_by,Accepts Marketing")  # fmt: skip
    assert len(read(asked).consents) == 1  # another consent's


def test_what_identifies_nobody_is_not_used_and_alone_is_bad(tmp_path: Path) -> None:
    rest = "n,2026-02-03,mei"
    crowd = [f"8123 4500,u{number}@x.com,{rest}" for number in range(MOST_SHARING + 1)]
    rows = (f"6.58E+09,anna@x.com,{rest}", f"8123 4567,none@none.com,{rest}", *crowd)
    found = read(written(tmp_path / "c.csv", *rows))
    assert not found.bad
    assert [consent.key for consent in found.consents[:3]] == [
        "mailto:anna@x.com", "tel:+6581234567", "mailto:u0@x.com",
    ]  # fmt: skip
    assert not any(consent.also for consent in found.consents)
    assert found.unused[:3] == [
        (1, "phone", Flaw.SCIENTIFIC), (2, "email", Flaw.PLACEHOLDER_EMAIL), (3, "phone", SHARED),
    ]  # fmt: skip
    alone = read(written(tmp_path / "d.csv", *crowd, f"8123 4500,,{rest}", f",,{rest}"))
    assert alone.bad[0] == (MOST_SHARING + 2, "phone", SHARED)
    assert alone.bad[1][:2] == (MOST_SHARING + 3, "phone")
    [abroad] = read(written(tmp_path / "e.csv", f"8123 4567,,{rest}"), region=None).bad
    assert abroad.reason == Flaw.NO_COUNTRY


def test_a_workbook_is_read_and_a_notice_that_became_a_day_is_refused(tmp_path: Path) -> None:
    found = read(EXPORTS / "consents_book.xlsx")
    assert found.consents
    assert not found.bad
    row = {"phone": "+6581234567", "recorded_at": "2026-02-03", "recorded_by": "mei"}
    pl.DataFrame([{**row, "notice": dt.date(2026, 1, 1)}]).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(Exception, match="notice: days, as a spreadsheet makes of 2026-01"):
        read(tmp_path / "c.parquet")
    pl.DataFrame([{**row, "notice": "n", "recorded_at": dt.date(2026, 2, 3)}]).write_parquet(
        tmp_path / "d.parquet"
    )
    assert read(tmp_path / "d.parquet").consents[0].at == dt.datetime(2026, 2, 3, tzinfo=dt.UTC)


def test_headings_are_told_by_options_and_a_missing_one_says_what_there_is(tmp_path: Path) -> None:
    file = written(tmp_path / "c.csv", "8123 4567,9123 4567,2026-02-03", header="Shop,Own,When")
    with pytest.raises(ConsentRefused) as caught:
        read(file)
    assert [column for _, column, _ in caught.value.faults] == [
        "notice", "recorded_at", "recorded_by", "phone",
    ]  # fmt: skip
    assert "the file has 'Shop', 'Own', 'When'" in str(caught.value)
    form = FileForm(
        {"phone": "Own", "recorded_at": "When"}, {"notice": "2026-01", "recorded_by": "Mei"}
    )
    [consent] = read(file, form).consents
    assert consent[:2] == ("tel:+6591234567", "2026-01")
    with pytest.raises(ConsentRefused, match="column Mine: not a heading of the file"):
        read(file, FileForm({"phone": "Mine"}, {}))


def test_a_heading_that_stands_twice_is_taken_when_it_was_told_which(tmp_path: Path) -> None:
    header = "Phone,Phone,notice,recorded_at,recorded_by"
    file = written(tmp_path / "c.csv", "8123 4567,9123 4567,n,2026-02-03,mei", header=header)
    with pytest.raises(ConsentRefused, match=r"'Phone#1' \(column 1\) or 'Phone#2' \(column 2\)"):
        read(file)
    [consent] = read(file, FileForm({"phone": "Phone#2"}, {})).consents
    assert consent.key == "tel:+6591234567"


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    Keyring(tmp_path, PartyKind.OUTLET).create("boutique", "", NOW)
    create_databases(tmp_path)
    (tmp_path / "escapement.toml").write_text('region = "SG"\nledger = "l.csv"\n')

    def run(*words: str) -> Result:
        home = ["--home", str(tmp_path)]
        return CliRunner().invoke(app, ["consent", *words, *home], terminal_width=200)

    return run


def test_check_reads_and_says_and_records_nothing_and_an_import_twice_changes_nothing(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "consents.csv"
    shutil.copy(EXPORTS / "small_c7.csv", file)
    for _ in range(2):
        checked = command("import", str(file), "--check")
        assert checked.exit_code == 0
        assert "an import would say: 1 recorded; 0 recorded already" in checked.output
        assert "1 row left out: blank" in checked.output
        assert "phone        phone" in checked.output
    assert "No consents yet" in command("show").output
    imported = command("import", str(file)).output
    assert "\n1 recorded; 0 recorded already" in imported
    assert "No tokens were asked for now: the next night reads who they are" in imported
    assert "\n0 recorded; 1 recorded already" in command("import", str(file)).output
    assert "0 recorded; 1 recorded already" in command("import", str(file), "--check").output
    assert command("show").output == "2026-01: 1 standing, 0 ended\n"


def test_a_file_with_a_bad_row_is_refused_whole_and_told_for_programs_too(
    command: Callable[..., Result],
) -> None:
    file = str(EXPORTS / "small_cons_many.csv")
    for words in ((), ("--check",)):
        refused = command("import", file, *words)
        assert refused.exit_code == 1
        assert all(f"line {line}, " in refused.output for line in (3, 4, 5))
        as_json = command("import", file, "--json", *words)
        assert as_json.exit_code == 1
        assert [bad["row"] for bad in json.loads(as_json.output)["bad"]] == [2, 3, 4]
    assert "No consents yet" in command("show").output
    form = ("--column", "phone=phone", "--constant", "recorded_by=Mei", "--dates", "%d/%m/%Y")
    told = json.loads(command("import", file, "--json", *form).output)
    assert [bad["row"] for bad in told["bad"]] == [1, 2, 2, 4, 4]
    assert command("import", file, "--column", "fone=phone").exit_code == 6


def test_people_judge_consents_without_changing_anything() -> None:
    people = People("sqlite://", b"s" * 32)
    source = Source(source=str(EXPORTS / "small_c7.csv"))
    consents = read_consents(source, people.local_key, "SG", NOW).consents
    assert people.judge_consents(consents) == [Recorded.NEW]
    assert people.consents().is_empty()
    assert people.record_consents(consents) == [Recorded.NEW]
    assert people.judge_consents(consents) == [Recorded.ALREADY]
