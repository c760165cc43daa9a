"""An outlet's files as they come: read alike, or refused with file, row and column."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.errors import LedgerError
from features.ledger import Tier
from features.sightings import Apart
from outlet_client.purchases import read_events, read_references
from outlet_client.settings import OutletFile

if TYPE_CHECKING:
    from pathlib import Path

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


def outlet(folder: Path, **settings: str) -> OutletFile:
    """An outlet whose files are in a folder; its ledger where none is told."""
    if "ledger" not in settings:
        LEDGER.write_parquet(folder / "ledger.parquet")
        settings["ledger"] = "ledger.parquet"
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    (folder / "escapement.toml").write_text("\n".join(lines))
    return OutletFile.read(folder / "escapement.toml")


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


# --- ledgers --------------------------------------------------------------------------------------


def test_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    LEDGER.write_csv(tmp_path / "l.csv")
    from_csv = read_events(outlet(tmp_path, ledger="l.csv")).events
    assert from_csv.equals(read_events(outlet(tmp_path)).events)
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
        read_events(outlet(tmp_path, **{which: name}))


# --- references and sightings ---------------------------------------------------------------------


def test_without_references_and_sightings_all_is_open_and_nothing_is_apart(tmp_path: Path) -> None:
    found = read_events(outlet(tmp_path))
    assert found.events["tier"].to_list() == ["open"] * 3
    assert found.events["reference"].to_list() == ["X1", "X1", "A1"]
    assert sum(found.counts().values()) == 0


def test_events_have_the_tiers_of_their_references_and_the_sightings_of_their_pieces(
    tmp_path: Path,
) -> None:
    written(tmp_path, "r.csv", REFERENCES)
    written(tmp_path, "s.csv", SIGHTINGS)
    found = read_events(outlet(tmp_path, references="r.csv", sightings="s.csv"))
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
    found = read_events(outlet(tmp_path, sightings="s.csv"))
    assert len(found.events) == len(LEDGER)
    assert sum(found.counts().values()) == 0


def test_a_bad_sighting_names_its_own_file(tmp_path: Path) -> None:
    written(tmp_path, "s.csv", SIGHTINGS.replace("confirmed", "sold"))
    with pytest.raises(LedgerError, match=r"^s\.csv, row 2, column status: expected one of"):
        read_events(outlet(tmp_path, sightings="s.csv"))


def test_a_reference_of_the_ledger_in_no_tier_names_the_ledger_and_no_row(tmp_path: Path) -> None:
    written(tmp_path, "r.csv", "reference,tier\nX1,allocation\n")
    with pytest.raises(LedgerError, match=r"^ledger\.parquet, column reference: 'A1' is in"):
        read_events(outlet(tmp_path, references="r.csv"))


# --- the references file --------------------------------------------------------------------------


def test_references_are_read_with_their_tiers_and_further_columns_are_left(tmp_path: Path) -> None:
    expected = {"A1": Tier.OPEN, "X1": Tier.ALLOCATION, "L1": Tier.LIMITED}
    assert read_references(written(tmp_path, "r.csv", REFERENCES)) == expected
    table = pl.DataFrame(
        {"reference": list(expected), "tier": [tier.value for tier in expected.values()]}
    )
    table.cast(pl.Categorical).write_parquet(tmp_path / "r.parquet")
    assert read_references(tmp_path / "r.parquet") == expected


@pytest.mark.parametrize(
    ("text", "row", "column", "reason"),
    [
        ("reference,list_price\nA1,5\n", None, "tier", "missing; got reference, list_price"),
        ("ref,tier\nA1,open\n", None, "reference", "missing; got ref, tier"),
        ("reference,tier\nA1,open\nB1,open\nA1,limited\n", 3, "reference", "named twice"),
        ("reference,tier\nA1,open\n A1 ,open\n", 2, "reference", "named twice"),
        ("reference,tier\nA1,open\n  ,open\n", 2, "reference", "empty"),
        ("reference,tier\nA1,scarce\n", 1, "tier",
         "got 'scarce', expected one of open, limited, allocation"),
        ("reference,tier\nA1,open\nB1,Open\n", 2, "tier", "got 'Open', expected one of open"),
        ("reference,tier\nA1,\n", 1, "tier", "expected one of open, limited, allocation"),
    ],
)  # fmt: skip
def test_a_bad_references_file_is_one_error_that_names_file_row_and_column(
    tmp_path: Path, text: str, row: int | None, column: str, reason: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        read_references(written(tmp_path, "r.csv", text))
    assert (caught.value.source, caught.value.row, caught.value.column) == ("r.csv", row, column)
    assert reason in str(caught.value)
