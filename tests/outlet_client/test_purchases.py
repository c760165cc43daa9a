"""An outlet's files as they come: read alike, or refused with file, row and column."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest

from features.errors import LedgerError
from features.ledger import Tier
from features.sightings import Apart
from outlet_client.ledger.event_reader import Read, TooManyBad, read_events
from outlet_client.ledger.side_tables import read_references
from outlet_client.settings import OutletFile
from outlet_client.sources.source import Source

AT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)

LEDGER = pl.DataFrame(
    {
        "customer_id": ["anna", "anna", "ben"],
        "outlet_id": ["o1"] * 3,
        "purchased_at": [dt.date(2026, 1, day) for day in (1, 2, 3)],
        "kind": ["interest", "purchase", "purchase"],
        "price": [0.0, 9000.0, 50.0],
        "list_price": [0.0, 9500.0, 50.0],
        "basket_id": ["i1", "b1", "b2"],
        "serial": [None, "s1", None],
        "reference": ["X1", "X1", "A1"],
        "phone": ["+6591234567", "+6591234567", None],
    }
)
REFERENCES = "reference,tier,list_price\nA1,open,50\nX1, allocation ,9500\nL1,limited,1\n"
SIGHTINGS = (
    "outlet_id,serial,seen_at,status\n"
    "o1,s1,2026-02-01,suspected\no1,s1,2026-02-09,confirmed\no1,s7,2026-02-09,confirmed\n"
)


def outlet(folder: Path, **settings: str | float) -> OutletFile:
    """An outlet whose files are in a folder; its ledger where none is told."""
    if "ledger" not in settings:
        LEDGER.write_parquet(folder / "ledger.parquet")
        settings["ledger"] = "ledger.parquet"
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "escapement.toml").write_text("\n".join(lines))
    return OutletFile.read(folder / "escapement.toml")


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def read(settings: OutletFile, *, by_day: bool = False) -> Read:
    """What the outlet read, without the client book."""
    return read_events(Path(settings.ledger.source).parent, settings, AT, by_day=by_day)


def source(path: Path) -> Source:
    return Source(source=str(path))


# --- ledgers --------------------------------------------------------------------------------------


def test_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    LEDGER.write_csv(tmp_path / "l.csv")
    from_csv = read(outlet(tmp_path, ledger="l.csv")).attached.events
    assert from_csv.equals(read(outlet(tmp_path)).attached.events)
    assert from_csv["serial"].to_list() == [None, "s1", None]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.csv", "no such file"), ("empty.csv", "no rows"), ("bad.parquet", "not readable")],
)
@pytest.mark.parametrize("which", ["ledger", "references", "sightings"])
def test_a_file_that_is_missing_empty_or_no_table_is_named(
    tmp_path: Path, which: str, name: str, reason: str
) -> None:
    written(tmp_path, "empty.csv", "")
    written(tmp_path, "bad.parquet", "hello")
    with pytest.raises(LedgerError, match=rf"{name}.*: {reason}"):
        read(outlet(tmp_path, **{which: name}))


def test_a_header_without_rows_is_no_ledger(tmp_path: Path) -> None:
    LEDGER.clear().write_csv(tmp_path / "l.csv")
    with pytest.raises(LedgerError, match=r"^l\.csv: no rows"):
        read(outlet(tmp_path, ledger="l.csv"))


def test_a_ledger_of_which_all_is_too_old_says_so(tmp_path: Path) -> None:
    LEDGER.with_columns(purchased_at=dt.date(1999, 1, 1)).write_csv(tmp_path / "l.csv")
    with pytest.raises(LedgerError, match=r"^l\.csv: no row of 3 can be used"):
        read(outlet(tmp_path, ledger="l.csv"))


def test_bad_rows_are_left_in_quarantine_and_the_others_count(tmp_path: Path) -> None:
    spoiled = LEDGER.cast(pl.String).with_columns(
        price=pl.when(pl.col("customer_id") == "ben").then(pl.lit("fifty")).otherwise("price")
    )
    spoiled.write_csv(tmp_path / "l.csv")
    settings = outlet(tmp_path, ledger="l.csv", most_quarantined=0.5)
    found = read(settings)
    assert found.attached.events["customer"].to_list() == ["anna", "anna"]
    assert (found.intake.rows, found.intake.used, found.intake.quarantined) == (3, 2, 1)
    text = (tmp_path / "quarantine.csv").read_text()
    assert text.splitlines()[1].startswith("l.csv,3,,price,")
    assert "fifty" not in text
    assert "ben" not in text
    assert (tmp_path / "quarantine.csv").stat().st_mode & 0o777 == 0o600


def test_too_many_bad_rows_keep_the_outlet_from_the_night_and_not_from_the_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoiled = LEDGER.cast(pl.String).with_columns(price=pl.lit("fifty"))
    pl.concat([LEDGER.cast(pl.String), spoiled]).write_csv(tmp_path / "l.csv")
    settings = outlet(tmp_path, ledger="l.csv", most_quarantined=0.49)
    with pytest.raises(TooManyBad) as caught:
        read(settings)
    said = str(caught.value)
    assert "3 of 6 rows (50.0%) cannot be used, expected at most 49.0%" in said
    assert "l.csv, row 4, column price" in said
    assert "fifty" not in said
    assert len(read(settings, by_day=True).attached.events) == 3
    assert "rows in quarantine: 3 of 6" in caplog.text
    assert "fifty" not in caplog.text
    assert "anna" not in caplog.text
    assert read(outlet(tmp_path, ledger="l.csv", most_quarantined=0.5)).intake.used == 3


# --- references and sightings ---------------------------------------------------------------------


def test_without_references_and_sightings_all_is_open_and_nothing_is_apart(tmp_path: Path) -> None:
    found = read(outlet(tmp_path)).attached
    assert found.events["tier"].to_list() == ["open"] * 3
    assert found.events["reference"].to_list() == ["X1", "X1", "A1"]
    assert sum(found.counts().values()) == 0


def test_events_have_the_tiers_of_their_references_and_the_sightings_of_their_pieces(
    tmp_path: Path,
) -> None:
    written(tmp_path, "r.csv", REFERENCES)
    written(tmp_path, "s.csv", SIGHTINGS)
    found = read(outlet(tmp_path, references="r.csv", sightings="s.csv")).attached
    assert found.events["kind"].to_list() == [
        "interest", "purchase", "purchase", "suspected", "confirmed"
    ]  # fmt: skip
    assert found.events["tier"].to_list() == [
        "allocation", "allocation", "open", "allocation", "allocation"
    ]  # fmt: skip
    assert found.events["customer"].to_list() == ["anna", "anna", "ben", "anna", "anna"]
    assert found.counts()[Apart.NEVER_SOLD.value] == 1
    assert "phone" not in found.events.columns
    assert "anna" not in repr(found)


def test_an_outlet_that_has_seen_nothing_yet_keeps_a_table_without_rows(tmp_path: Path) -> None:
    written(tmp_path, "s.csv", "outlet_id,serial,seen_at,status\n")
    found = read(outlet(tmp_path, sightings="s.csv")).attached
    assert len(found.events) == len(LEDGER)
    assert sum(found.counts().values()) == 0


def test_a_bad_sighting_names_its_own_file(tmp_path: Path) -> None:
    written(tmp_path, "s.csv", SIGHTINGS.replace("confirmed", "sold"))
    with pytest.raises(LedgerError, match=r"^s\.csv, row 2, column status: expected one of"):
        read(outlet(tmp_path, sightings="s.csv"))


def test_sightings_may_have_the_outlets_own_columns_codes_and_dates(tmp_path: Path) -> None:
    written(tmp_path, "s.csv", "Serie;Am;Stand\ns1;09.02.2026;V\ns1;10.02.2026;dismissed\n")
    outlet(tmp_path)
    with (tmp_path / "escapement.toml").open("a") as more:
        more.write(
            '\n[sightings]\nsource = "s.csv"\ndelimiter = ";"\ndates = "%d.%m.%Y"\n'
            '[sightings.columns]\nserial = "Serie"\nseen_at = "Am"\nstatus = "Stand"\n'
            '[sightings.codes]\nconfirmed = ["V"]\n'
        )
    events = read(OutletFile.read(tmp_path / "escapement.toml")).attached.events
    assert events["kind"].to_list()[3:] == ["confirmed", "dismissed"]
    assert events["date"].to_list()[3:] == [dt.date(2026, 2, 9), dt.date(2026, 2, 10)]


def test_rows_whose_reference_is_in_no_tier_wait_until_it_has_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, "r.csv", "reference,tier\nX1,allocation\n")
    settings = outlet(tmp_path, references="r.csv", most_quarantined=0.34)
    found = read(settings)
    assert found.attached.events["customer"].to_list() == ["anna", "anna"]
    assert (found.unknown, found.references) == (1, ("A1",))
    assert (found.intake.used, found.intake.quarantined) == (2, 1)
    assert found.intake.rows == found.intake.accounted
    assert "references in no tier: 1;" in caplog.text
    with pytest.raises(TooManyBad):
        read(outlet(tmp_path, references="r.csv", most_quarantined=0.33))
    written(tmp_path, "r.csv", REFERENCES)
    again = read(settings)
    assert (again.unknown, again.references) == (0, ())
    assert again.attached.events["customer"].to_list() == ["anna", "anna", "ben"]


# --- the references file --------------------------------------------------------------------------


def test_references_are_read_with_their_tiers_and_further_columns_are_left(tmp_path: Path) -> None:
    expected = {"A1": Tier.OPEN, "X1": Tier.ALLOCATION, "L1": Tier.LIMITED}
    assert read_references(source(written(tmp_path, "r.csv", REFERENCES))) == expected
    table = pl.DataFrame(
        {"reference": list(expected), "tier": [tier.value for tier in expected.values()]}
    )
    table.cast(pl.Categorical).write_parquet(tmp_path / "r.parquet")
    assert read_references(source(tmp_path / "r.parquet")) == expected


@pytest.mark.parametrize(
    ("text", "row", "column", "reason"),
    [
        ("reference,list_price\nA1,5\n", None, "tier", "missing; got 2 columns"),
        ("ref,tier\nA1,open\n", None, "reference", "missing; got 2 columns"),
        ("reference,tier\nA1,open\nB1,open\nA1,limited\n", 3, "reference", "named twice"),
        ("reference,tier\nA1,open\n A1 ,open\n", 2, "reference", "named twice"),
        ("reference,tier\nA1,open\n  ,open\n", 2, "reference", "empty"),
        ("reference,tier\nA1,scarce\n", 1, "tier",
         "expected one of open, limited, allocation"),
        ("reference,tier\nA1,open\nB1,Open\n", 2, "tier", "expected one of open"),
        ("reference,tier\nA1,\n", 1, "tier", "expected one of open, limited, allocation"),
    ],
)  # fmt: skip
def test_a_bad_references_file_is_one_error_that_names_file_row_and_column(
    tmp_path: Path, text: str, row: int | None, column: str, reason: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        read_references(source(written(tmp_path, "r.csv", text)))
    assert (caught.value.source, caught.value.row, caught.value.column) == ("r.csv", row, column)
    assert reason in str(caught.value)
