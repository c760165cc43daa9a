"""Rows that are no events, or of nobody, or two events at once: how they are counted and kept.

However its files came, each row is in one count, and the night goes on for a normal shop.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from outlet_client.commands.upkeep import copy_folder
from outlet_client.ledger.event_reader import TooManyBad, read_events
from outlet_client.ledger.event_store import EventStore, SecretLost
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import dry_run
from outlet_client.sources.customer_keys import SECRET_FILE, ensure_secret, stored_key

if TYPE_CHECKING:
    from outlet_client.ledger.intake import Intake

AT = dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)
HEADER = "line_id,customer_id,purchased_at,price,Type,Status,reference\n"
SETTINGS = """[ledger]
source = "exports/*.csv"
[ledger.columns]
kind = "Type"
status = "Status"
[ledger.codes]
purchase = ["Sale"]
ignore = ["Deposit"]
[ledger.statuses]
counts = ["paid"]
void = ["void"]
returned = ["refunded"]
"""


def outlet(home: Path, settings: str = SETTINGS) -> OutletFile:
    (home / "escapement.toml").write_text(settings)
    return OutletFile.read(home / "escapement.toml")


def write(home: Path, name: str, *rows: str, turn: int = 0, header: str = HEADER) -> None:
    place = home / "exports" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(header + "".join(f"{row}\n" for row in rows))
    os.utime(place, (turn, turn))


def row(line: str, status: str = "paid", customer: str = "anna", kind: str = "Sale") -> str:
    return f"{line},{customer},2026-01-05,10,{kind},{status},X1"


def counts(found: Intake) -> dict[str, int]:
    """The counts that are not 0; every row is in one of them."""
    assert found.rows == found.accounted
    assert sum(found.reasons.values()) == found.ignored + found.walk_ins
    names = ("used", "ignored", "walk_ins", "left_out", "superseded", "quarantined")
    return {name: count for name in names if (count := getattr(found, name))}


def kinds(store: EventStore) -> list[tuple[str, str]]:
    """Line and kind of every event."""
    return sorted(store.rows().select("line", pl.col("kind").cast(pl.String)).rows())


# --- counts ---------------------------------------------------------------------------------------


def test_rows_that_are_no_events_and_walk_ins_never_keep_an_outlet_away(tmp_path: Path) -> None:
    rows = [row(str(number)) for number in range(49)]
    apart = [row(f"w{number}", customer="") for number in range(40)]
    apart += [row("d", kind="Deposit"), row("v", "void"), ",,,,,,", ",TOTAL,,890,,,"]
    write(tmp_path, "a.csv", *rows, *apart, row("bad", kind="?"))
    ours = outlet(tmp_path)
    found = read_events(tmp_path, ours, AT).intake
    assert counts(found) == {"used": 49, "ignored": 4, "walk_ins": 40, "quarantined": 1}
    assert found.reasons == {"walk-in": 40, "code": 1, "void": 1, "blank": 1, "total": 1}
    assert found.share == 1 / 50
    write(tmp_path, "a.csv", *rows[:30], *apart, row("bad", kind="?"), turn=1)
    with pytest.raises(TooManyBad, match="1 of 31 rows"):
        read_events(tmp_path, ours, AT)


def test_a_ledger_of_walk_ins_alone_says_that_no_row_can_be_used(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", row("1", customer=""))
    with pytest.raises(LedgerError, match="no row of 1 can be used"):
        read_events(tmp_path, outlet(tmp_path), AT)


def test_bad_cells_are_told_under_the_outlets_own_headings(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", row("1"), row("2", "on hold"), row("3", kind="?"))
    store = EventStore(tmp_path)
    store.take_in(outlet(tmp_path), AT)
    assert store.quarantine().select("row", "column").rows() == [(2, "Status"), (3, "Type")]
    assert '"Type"' not in (tmp_path / "quarantine.csv").read_text()
    assert "a.csv,3,3,Type," in (tmp_path / "quarantine.csv").read_text()


# --- a line that was corrected --------------------------------------------------------------------


def test_a_line_that_is_void_by_now_is_no_sale_any_more(tmp_path: Path) -> None:
    store, ours = EventStore(tmp_path), outlet(tmp_path)
    write(tmp_path, "a.csv", row("1"), row("2"), row("3"))
    assert counts(store.take_in(ours, AT)) == {"used": 3}
    write(tmp_path, "b.csv", row("1", "void"), row("2", customer=""), turn=1)
    assert counts(store.take_in(ours, AT)) == {
        "used": 1, "ignored": 1, "walk_ins": 1, "superseded": 2
    }  # fmt: skip
    assert kinds(store) == [("3", "purchase")]
    write(tmp_path, "c.csv", row("1"), row("3", "?"), turn=2)
    assert counts(store.take_in(ours, AT)) == {
        "used": 2, "walk_ins": 1, "superseded": 3, "quarantined": 1
    }  # fmt: skip
    assert kinds(store) == [("1", "purchase"), ("3", "purchase")]


def test_a_void_line_that_is_read_again_replaces_nothing_that_came_since(tmp_path: Path) -> None:
    store, ours = EventStore(tmp_path), outlet(tmp_path)
    write(tmp_path, "a.csv", row("1", "void"))
    store.take_in(ours, AT)
    write(tmp_path, "b.csv", row("1"), turn=1)
    store.take_in(ours, AT)
    write(tmp_path, "a.csv", row("1", "void"), row("2"), turn=2)
    found = store.take_in(ours, AT)
    assert counts(found) == {"used": 2, "superseded": 1}
    assert found.reasons == {}
    write(tmp_path, "a.csv", row("1", customer=""), row("2"), turn=3)  # which is news
    assert counts(store.take_in(ours, AT)) == {"used": 1, "walk_ins": 1, "superseded": 1}


# --- what came back -------------------------------------------------------------------------------


def test_a_refunded_row_is_two_events_and_one_row_in_every_count(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", row("1", "refunded"), row("2"))
    store, ours = EventStore(tmp_path), outlet(tmp_path)
    assert counts(store.take_in(ours, AT)) == {"used": 2}
    assert kinds(store) == [("1", "purchase"), ("1", "return"), ("2", "purchase")]
    read = read_events(tmp_path, ours, AT)
    assert len(read.attached.events) == 3
    assert counts(read.intake) == {"used": 2}
    assert dry_run(ours, AT).kinds == {"purchase": 2, "return": 1}
    later = AT + dt.timedelta(days=2000)
    with pytest.raises(LedgerError, match="no row of 2 can be used"):
        read_events(tmp_path, ours, later)
    assert store.purge(dt.date(2026, 2, 1)) == 2
    assert counts(store.counts()) == {"left_out": 2}


def test_a_refunded_row_of_no_tier_waits_once(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", row("1", "refunded"), row("2").replace("X1", ""))
    (tmp_path / "refs.csv").write_text("reference,tier\nY1,open\n")
    ours = outlet(tmp_path, f'references = "refs.csv"\nmost_quarantined = 1.0\n{SETTINGS}')
    read = read_events(tmp_path, ours, AT)
    assert counts(read.intake) == {"used": 1, "quarantined": 1}
    assert (read.unknown, read.references) == (1, ("X1",))


# --- rates ----------------------------------------------------------------------------------------


def test_rates_that_change_are_rates_by_which_all_is_read_anew(tmp_path: Path) -> None:
    write(
        tmp_path, "a.csv", "anna,2026-01-05,100,JPY,Sale", "ben,2026-03-05,100,JPY,Sale",
        "cleo,2026-03-05,7,SGD,Sale", header="customer_id,purchased_at,price,currency,kind\n",
    )  # fmt: skip
    rates = tmp_path / "rates.csv"
    rates.write_text("currency,rate,since\nJPY,0.01,2026-01-01\nJPY,0.02,2026-03-01\n")
    ours = outlet(
        tmp_path,
        'rates = "rates.csv"\n[ledger]\nsource = "exports/*.csv"\ncurrency = "SGD"\n'
        '[ledger.codes]\npurchase = ["Sale"]\n',
    )
    store = EventStore(tmp_path)
    assert store.take_in(ours, AT).read_now == 3
    assert store.rows()["price"].to_list() == [1.0, 2.0, 7.0]
    assert store.take_in(ours, AT).read_now == 0
    rates.write_text("currency,rate,since\nJPY,0.03,2026-02-01\n")
    assert counts(store.take_in(ours, AT)) == {"used": 2, "quarantined": 1}
    assert store.rows()["price"].to_list() == [3.0, 7.0]
    assert "first day" in store.quarantine()["reason"][0]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("currency,rate\nYEN!,1\n", "currency"),
        ("currency,rate\nJPY,0\n", "rate"),
        ("currency,rate\nJPY,x\n", "rate"),
        ("currency,rate\nJPY,1\nJPY,2\n", "currency"),
        ("currency,rate,since\nJPY,1,\n", "since"),
        ("currency,since\nJPY,2026-01-01\n", "rate"),
    ],
)
def test_a_rate_that_is_none_is_one_error(tmp_path: Path, text: str, column: str) -> None:
    write(tmp_path, "a.csv", row("1"))
    (tmp_path / "rates.csv").write_text(text)
    with pytest.raises(LedgerError) as caught:
        EventStore(tmp_path).take_in(outlet(tmp_path, f'rates = "rates.csv"\n{SETTINGS}'), AT)
    assert (caught.value.source, caught.value.column) == ("rates.csv", column)


# --- what earlier releases stored -----------------------------------------------------------------

MAIL = "Jane@Example.org"


def as_of_0_2(home: Path) -> None:
    """What was read, as release 0.2 kept it: with mailboxes, without what came since."""
    place = home / "events" / "ledger.parquet"
    about = json.loads(pl.read_parquet_metadata(place)["escapement"])
    for file in about["files"]:
        del file["headings"]
    old = pl.Enum(["used", "left out", "superseded", "quarantined"])
    rows = pl.read_parquet(place).drop("refund", "apart").with_columns(
        pl.col("fate").cast(pl.String).cast(old),
        pl.col("customer").replace({stored_key(home, MAIL): MAIL, "nobody": "none@none.com"}),
        pl.col("basket").str.replace(stored_key(home, MAIL), MAIL, literal=True),
    )  # fmt: skip
    rows.write_parquet(place, metadata={"escapement": json.dumps(about)})
    (home / SECRET_FILE).unlink()


def test_a_ledger_of_release_0_2_is_used_and_read_anew_without_a_mailbox_in_clear(
    tmp_path: Path,
) -> None:
    store, ours = EventStore(tmp_path), outlet(tmp_path)
    write(tmp_path, "a.csv", row("1", customer=MAIL), row("2"))
    write(tmp_path, "b.csv", row("3", customer=MAIL.lower()), turn=1)
    write(tmp_path, "c.csv", row("4", customer="nobody"), turn=2)
    store.take_in(ours, AT)
    as_of_0_2(tmp_path)
    place = tmp_path / "events" / "ledger.parquet"
    assert MAIL.encode() in place.read_bytes()
    assert sorted(store.rows()["line"]) == ["1", "2", "3"]
    for name in ("a.csv", "c.csv"):
        (tmp_path / "exports" / name).unlink()
    found = store.take_in(ours, AT)
    assert (counts(found), found.read_now) == ({"used": 3, "walk_ins": 1}, 1)
    assert MAIL.encode() not in place.read_bytes()
    assert "@" not in str(store.rows().to_dicts())
    jane = stored_key(tmp_path, MAIL)
    theirs = store.rows().filter(pl.col("customer") == jane)
    assert sorted(theirs["line"]) == ["1", "3"]
    assert theirs["basket"].unique().to_list() == [f"{jane}|here|2026-01-05|purchase"]


def test_of_files_that_are_gone_no_mailbox_stays_in_clear_over_night(tmp_path: Path) -> None:
    store, ours = EventStore(tmp_path), outlet(tmp_path)
    write(tmp_path, "a.csv", row("1", customer=MAIL))
    store.take_in(ours, AT)
    as_of_0_2(tmp_path)
    (tmp_path / "exports" / "a.csv").unlink()
    with pytest.raises(LedgerError, match="no such file"):
        store.take_in(ours, AT)
    assert store.purge(dt.date(2020, 1, 1)) == 0
    assert MAIL.encode() not in (tmp_path / "events" / "ledger.parquet").read_bytes()
    assert store.rows()["customer"].to_list() == [stored_key(tmp_path, MAIL)]


def test_a_secret_that_is_lost_is_missed_before_anybody_becomes_another_customer(
    tmp_path: Path,
) -> None:
    store, ours = EventStore(tmp_path), outlet(tmp_path)
    write(tmp_path, "a.csv", row("1", customer=MAIL))
    store.take_in(ours, AT)
    secret = (tmp_path / SECRET_FILE).read_text()
    (tmp_path / SECRET_FILE).unlink()
    with pytest.raises(SecretLost, match=r"customer-keys\.secret: not there"):
        store.take_in(ours, AT)
    assert not (tmp_path / SECRET_FILE).exists()
    (tmp_path / SECRET_FILE).write_text(secret)
    assert counts(store.take_in(ours, AT)) == {"used": 1}


def test_a_backup_holds_the_secret_of_mailbox_keys(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    ensure_secret(home)
    copy_folder(home, tmp_path / "copy.tar.gz")
    with tarfile.open(tmp_path / "copy.tar.gz") as archive:
        assert SECRET_FILE in archive.getnames()


def test_a_check_makes_no_secret_and_counts_the_same_customers(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", row("1", customer=MAIL), row("2", customer=MAIL.upper()))
    ours = outlet(tmp_path)
    assert counts(dry_run(ours, AT, home=tmp_path).intake) == {"used": 2}
    assert not (tmp_path / SECRET_FILE).exists()


# --- the law --------------------------------------------------------------------------------------

_ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["1", "2", "3", ""]),
        st.sampled_from(["paid", "void", "refunded", "?"]),
        st.sampled_from(["anna", "", "TOTAL", MAIL]),
        st.sampled_from(["Sale", "Deposit", "?"]),
    )
    | st.just(",,,,,,"),
    max_size=5,
)


@given(st.lists(st.tuples(st.sampled_from("ab"), _ROWS), min_size=1, max_size=5))
def test_every_row_is_in_one_count_however_its_files_came(
    changes: list[tuple[str, list[str]]],
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        store, ours = EventStore(Path(one)), outlet(Path(one))
        last: dict[str, list[str]] = {}
        for turn, (name, rows) in enumerate(changes):
            # Lines of one file have ids that no other file has: which is read last can't matter.
            last[name] = [own if own[0] == "," else f"{name}{own}" for own in rows]
            write(Path(one), f"{name}.csv", *last[name], turn=turn)
            found = store.take_in(ours, AT)
            assert found.rows == found.accounted == sum(map(len, last.values()))
            assert int((~store.rows()["is_refund"]).sum()) == found.used
        for name, rows in last.items():
            write(Path(other), f"{name}.csv", *rows)
        at_once = EventStore(Path(other)).take_in(outlet(Path(other)), AT)
        assert counts(at_once) == counts(store.counts())
        assert at_once.reasons == store.counts().reasons
