"""Tonight's features and outcomes: of which days, and of whom among those who are listed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.errors import LedgerError
from outlet_client.contribution.tonights_data import RollCall, prepare_outlet
from outlet_client.settings import OutletFile
from outlet_client.sources.source import Source
from sandbox.network import home_key
from tests.features.ledgers import events_of, row

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.contribution.contributions import HomeCustomers, SlotSums

CUT, LATER = "2026-01-31", "2026-06-30"
NAMES = ["anna", "ben", "cleo", "dora"]
EVENTS = events_of([row(name, dt.date(2026, 1, 5)) for name in NAMES])
LISTED = pl.DataFrame(
    {"customer": NAMES, "slot": [3, 2, 1, 0], "home": [True, True, True, False]},
    schema={"customer": pl.String, "slot": pl.Int64, "home": pl.Boolean},
)
KEYS = {slot: home_key(str(slot)) for slot in (1, 2, 3)}


def prepared(
    as_of: str = LATER, outcomes: Path | None = None, keys: tuple[int, ...] = (1, 2, 3)
) -> tuple[HomeCustomers, dict[str, SlotSums]]:
    settings = OutletFile(ledger=Source(source="ledger.csv"), horizon_days=60, outcomes=outcomes)
    asked = RollCall.of({"cut_off": CUT, "as_of": as_of, "outcomes": "y_loyal,y_lapsed"})
    return prepare_outlet(asked, settings, EVENTS, LISTED, {slot: KEYS[slot] for slot in keys})


@pytest.mark.parametrize("as_of", ["2025-12-01", CUT, LATER])
def test_each_day_of_the_roll_call_has_its_own_sums_be_it_before_or_after_the_cut_off(
    as_of: str,
) -> None:
    _, views = prepared(as_of)
    assert set(views) == {CUT, as_of}
    assert views[CUT].slots.tolist() == [0, 1, 2, 3]
    assert views[as_of].slots.tolist() == ([] if as_of < CUT else [0, 1, 2, 3])


def test_who_withdrew_while_the_ledger_was_read_is_in_no_row_and_nobody_elses_key_is_read() -> None:
    whole, _ = prepared()
    assert whole.slots.tolist() == [1, 2, 3]
    assert whole.keys == tuple(KEYS.values())
    less, views = prepared(keys=(1, 3))
    assert less.slots.tolist() == [1, 3]
    assert less.keys == (KEYS[1], KEYS[3])
    assert {name: len(values) for name, values in less.y.items()} == {"y_loyal": 2, "y_lapsed": 2}
    assert views[CUT].at_home.tolist() == [False, True, True, True]


@pytest.mark.parametrize("missing", ["customer_id", "y_loyal", "y_lapsed"])
def test_given_outcomes_without_a_column_are_refused_by_its_name(
    tmp_path: Path, missing: str
) -> None:
    file = tmp_path / "outcomes.csv"
    given = pl.DataFrame({"customer_id": ["anna"], "y_loyal": [1], "y_lapsed": [0]})
    given.drop(missing).write_csv(file)
    with pytest.raises(LedgerError, match=f"outcomes.csv.*{missing}"):
        prepared(outcomes=file)


def test_customers_of_given_outcomes_are_texts_though_they_look_like_numbers(
    tmp_path: Path,
) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_text("customer_id,y_loyal,y_lapsed\n7,0,1\n007,1,0\n42,0,0\n")
    listed = pl.DataFrame(
        {"customer": ["007", "42"], "slot": [3, 2], "home": [True, True]}, schema=LISTED.schema
    )
    settings = OutletFile(ledger=Source(source="ledger.csv"), horizon_days=60, outcomes=file)
    asked = RollCall.of({"cut_off": CUT, "as_of": CUT, "outcomes": "y_loyal,y_lapsed"})
    events = events_of([row(name, dt.date(2026, 1, 5)) for name in ("007", "42")])
    home, _ = prepare_outlet(asked, settings, events, listed, KEYS)
    assert home.slots.tolist() == [2, 3]
    assert {name: y.tolist() for name, y in home.y.items()} == {
        "y_loyal": [0, 1], "y_lapsed": [0, 0]
    }  # fmt: skip
