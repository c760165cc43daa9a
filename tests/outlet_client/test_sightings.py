"""Sightings at an outlet: what staff see, who may decide what, and who hears of it."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner

from features.events import pieces
from features.ledger import Kind
from features.snapshot import CutOff, Snapshot
from outlet_client.customer_access import open_customer_access
from outlet_client.errors import NotConfigured
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.sighting_rows import (
    Noted,
    SightingRefused,
    add,
    noted_in,
    sightings_of,
)
from outlet_client.log_tables.rights_store import SIGHTINGS, purge_older, rights_of
from outlet_client.main import app
from outlet_client.night.retention import purge
from outlet_client.records.access_log import LogAct, LogBroken, recent_entries
from outlet_client.records.actor import NotAsked
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import dry_run
from outlet_client.sightings.sighting_decisions import confirm, dismiss, report
from outlet_client.sightings.sighting_history import day_of, open_sightings
from tests.outlet_client.test_reasons import ANNA, BEN, HEADER, LEDGER, SETTINGS, STRANGER, Boutique

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.sightings.sighting_history import Sighting

NOW = dt.datetime.now(dt.UTC)
TODAY = day_of(NOW)
DAY = dt.timedelta(days=1)
SEEN = dt.date(2026, 2, 1)
BEFORE = dt.date(2026, 1, 31)
NO_TABLE = SETTINGS.replace('sightings = "sightings.csv"\n', "")
WHERE = "on a marketplace, seller xyz"


class Shop(Boutique):
    """The outlet of `test_reasons`, whose desk is open: pieces s1 and s3 are Anna's, s6 Ben's."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.enrol()
        self.keep()

    def saw(self, *rows: tuple[str, dt.date, str]) -> None:
        """Writes the outlet's own table."""
        lines = (f"{serial},{day},{status}\n" for serial, day, status in rows)
        self.write("sightings.csv", "serial,seen_at,status\n" + "".join(lines))

    def command(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["sightings", *words, "--home", str(self.home)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        assert not any(one in done.output for one in (ANNA, BEN, STRANGER))
        return " ".join(done.output.split())

    @property
    def settings(self) -> OutletFile:
        return OutletFile.read(self.home / "escapement.toml")

    def events(self) -> pl.DataFrame:
        """What a night reads."""
        return read_events(self.home, self.settings, NOW).attached.events

    def status(self, serial: str, day: dt.date = TODAY) -> str:
        """What a piece says in a snapshot of a day."""
        one = pieces(Snapshot.take(self.events(), CutOff(day), day)).filter(key=serial)
        if one["confirmed"].any():
            return "confirmed"
        return "suspected" if one["suspected"].any() else ""

    def logged(self) -> list[tuple[str, str, str]]:
        with rights_of(self.home) as connection:
            found = recent_entries(connection, NOW - DAY, act=LogAct.SIGHTING, limit=99)
        return [(one.by, one.about, one.outcome) for one in reversed(found)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def desk(shop: Shop) -> Iterator[CustomerAccess]:
    with open_customer_access(shop.home) as opened:
        yield opened


def only(desk: CustomerAccess, serial: str = "s6") -> Sighting:
    [one] = open_sightings(desk, NOW).of(serial)
    return one


# --- what staff see -------------------------------------------------------------------------------


def test_a_manager_sees_whose_piece_was_seen_and_how_long_after_its_sale(
    shop: Shop, desk: CustomerAccess
) -> None:
    shop.saw(("s6", SEEN, "suspected"), ("s3", SEEN, "confirmed"))
    found = open_sightings(desk, NOW)
    first, second = found.sightings
    assert found.open == (first,)
    assert (first.serial, first.reference, first.tier.value) == ("s6", "R3", "open")
    assert (first.seen, first.customers, first.status) == (SEEN, ("b",), Kind.SUSPECTED)
    assert (first.sold, first.days) == (dt.date(2026, 1, 10), 22)
    assert first.said == ()
    assert (second.serial, second.customers, second.status) == ("s3", ("a2",), Kind.CONFIRMED)
    assert found.nobodys == {}


def test_what_is_nobodys_is_counted_and_nothing_more(shop: Shop, desk: CustomerAccess) -> None:
    shop.saw(
        ("s6", dt.date(2026, 1, 9), "suspected"),
        ("s6", TODAY + DAY, "suspected"),
        ("elsewhere", SEEN, "suspected"),
        ("elsewhere", SEEN, "confirmed"),
        ("elsewhere", SEEN + DAY, "dismissed"),
    )
    found = open_sightings(desk, NOW)
    assert found.sightings == ()
    assert found.nobodys == {
        "seen before its sale": 1, "never sold here": 1, "dated after today": 1
    }  # fmt: skip


def test_each_day_of_a_piece_is_once_in_the_list_at_who_had_it_then(
    shop: Shop, desk: CustomerAccess
) -> None:
    back = "b,O1,2026-02-03,return,5000,5000,b7,s6,R3\na1,O1,2026-02-05,purchase,5,5,b8,s6,R3\n"
    shop.write("ledger.csv", HEADER + LEDGER + back)
    last = dt.date(2026, 2, 9)
    shop.saw(("s6", SEEN, "suspected"), ("s6", SEEN, "suspected"), ("s6", last, "suspected"))
    found = open_sightings(desk, NOW).of("s6")
    assert [(one.seen, one.customers, one.days) for one in found] == [
        (last, ("a1",), 4), (SEEN, ("b",), 22)
    ]  # fmt: skip


def test_an_outlet_without_serials_is_told_so(shop: Shop, desk: CustomerAccess) -> None:
    shop.write("ledger.csv", "customer_id,purchased_at,kind,price\nb,2026-01-10,purchase,5\n")
    for ask in (
        lambda: open_sightings(desk, NOW),
        lambda: report(desk, "s6", SEEN, WHERE, "mei", NOW),
        lambda: confirm(desk, "s6", "Noor", "r", NOW),
    ):
        with pytest.raises(NotConfigured, match=r"serial: no row of the ledger has one"):
            ask()


def test_an_outlet_without_a_table_and_without_reports_has_none(
    shop: Shop, desk: CustomerAccess
) -> None:
    shop.write("escapement.toml", NO_TABLE)
    with open_customer_access(shop.home) as without:
        assert open_sightings(without, NOW).sightings == ()
    assert sightings_of(shop.home, shop.settings) is None
    assert "sightings" not in CliRunner().invoke(app, ["doctor", "--home", str(shop.home)]).output


# --- reported -------------------------------------------------------------------------------------


def test_what_staff_report_is_suspected_from_the_day_it_was_seen(
    shop: Shop, desk: CustomerAccess
) -> None:
    made = report(desk, " s6 ", SEEN, f"{WHERE}\n", " mei  lin ", NOW)
    assert (made.number, made.serial, made.by, made.words) == (1, "s6", "mei lin", WHERE)
    assert (shop.status("s6", SEEN - DAY), shop.status("s6", SEEN)) == ("", "suspected")
    one = only(desk)
    assert one.is_open
    assert one.said == (made,)
    assert shop.logged() == [("mei lin", "sighting 1", "reported")]


def test_without_a_table_the_stored_ones_are_read(shop: Shop) -> None:
    shop.write("escapement.toml", NO_TABLE)
    with open_customer_access(shop.home) as desk:
        report(desk, "s6", SEEN, WHERE, "mei", NOW)
        assert shop.status("s6") == "suspected"
        confirm(desk, "s6", "Noor", "Photographs.", NOW)
    assert shop.status("s6") == "confirmed"
    said = CliRunner().invoke(app, ["doctor", "--home", str(shop.home)]).output
    assert "✓ sightings: 0 of no customer here" in said
    found = dry_run(shop.settings, NOW, home=shop.home)
    assert found.apart is not None
    assert sum(found.apart.values()) == 0


@pytest.mark.parametrize(
    ("serial", "seen", "said"),
    [
        ("s9", SEEN, "serial: no piece with it was sold here"),
        ("S6", SEEN, "serial: no piece with it was sold here"),
        ("  ", SEEN, "serial: empty"),
        ("s6", dt.date(2026, 1, 9), "seen: the piece was not sold yet on that day"),
        ("s6", TODAY + DAY, "seen: in the future; expected today or an earlier day"),
        ("s3", dt.date(2025, 7, 5), "seen: it is known that the piece was seen on that day"),
    ],
)
def test_what_cannot_be_reported_is_refused_and_nothing_is_kept(
    shop: Shop, desk: CustomerAccess, serial: str, seen: dt.date, said: str
) -> None:
    with pytest.raises(SightingRefused, match=said) as caught:
        report(desk, serial, seen, WHERE, "mei", NOW)
    assert serial.strip() not in str(caught.value) or not serial.strip()
    assert noted_in(shop.home) == ()
    assert shop.logged() == []


def test_a_piece_that_was_back_here_is_reported_of_nobody(shop: Shop, desk: CustomerAccess) -> None:
    back = "b,O1,2026-02-03,return,5000,5000,b7,s6,R3\n"
    shop.write("ledger.csv", HEADER + LEDGER + back)
    with pytest.raises(SightingRefused, match="seen: the piece was back here on that day"):
        report(desk, "s6", dt.date(2026, 2, 9), WHERE, "mei", NOW)


@pytest.mark.parametrize("words", ["", " \n", "x" * 1001])
def test_a_report_says_where_and_a_decision_why(desk: CustomerAccess, words: str) -> None:
    with pytest.raises(NotAsked, match="where: "):
        report(desk, "s6", SEEN, words, "mei", NOW)
    for decide in (confirm, dismiss):
        with pytest.raises(NotAsked, match="reason: "):
            decide(desk, "s3", "Noor", words, NOW)
        with pytest.raises(NotAsked, match="by: "):
            decide(desk, "s3", " ", "A reason.", NOW)


# --- decided --------------------------------------------------------------------------------------


def test_a_confirmation_counts_from_its_own_day_and_changes_no_day_before(
    shop: Shop, desk: CustomerAccess
) -> None:
    shop.saw(("s6", SEEN, "suspected"))
    before = shop.events()
    made = confirm(desk, "s6", "Noor", "The photographs show our strap.", NOW)
    assert (made.date, made.seen, made.kind) == (TODAY, SEEN, Kind.CONFIRMED)
    assert shop.status("s6", TODAY - DAY) == "suspected"
    assert shop.status("s6") == "confirmed"
    earlier = shop.events().filter(pl.col("date") < TODAY)
    assert earlier.equals(before)
    one = only(desk)
    assert (one.status, one.is_open, one.said) == (Kind.CONFIRMED, False, (made,))
    assert shop.logged() == [("Noor", "sighting 1", "confirmed")]


def test_a_dismissal_takes_back_what_the_table_and_staff_said_so_far(
    shop: Shop, desk: CustomerAccess
) -> None:
    shop.saw(("s6", SEEN, "confirmed"))
    report(desk, "s6", TODAY, WHERE, "mei", NOW)
    dismiss(desk, "s6", "Noor", "Another strap.", NOW)
    assert shop.status("s6", TODAY - DAY) == "confirmed"
    assert shop.status("s6") == ""
    assert {one.status for one in open_sightings(desk, NOW).of("s6")} == {Kind.DISMISSED}
    assert open_sightings(desk, NOW).open == ()


def test_a_later_decision_wins_on_the_same_day_too_and_every_one_stays(
    shop: Shop, desk: CustomerAccess
) -> None:
    shop.saw(("s6", SEEN, "suspected"))
    for decide, said in ((confirm, "confirmed"), (dismiss, ""), (confirm, "confirmed")):
        decide(desk, "s6", "Noor", "Looked again.", NOW)
        assert shop.status("s6") == said
    assert [one.kind.value for one in noted_in(shop.home)] == [
        "confirmed", "dismissed", "confirmed"
    ]  # fmt: skip
    assert len(shop.logged()) == 3


def test_a_newer_row_of_the_table_wins_from_its_own_day_on(
    shop: Shop, desk: CustomerAccess
) -> None:
    shop.saw(("s6", SEEN, "suspected"))
    dismiss(desk, "s6", "Noor", "Another strap.", NOW - 9 * DAY)
    newer = TODAY - 3 * DAY
    shop.saw(("s6", SEEN, "suspected"), ("s6", newer, "suspected"))
    assert shop.status("s6", newer - DAY) == ""
    assert shop.status("s6", newer) == "suspected"
    assert [one.seen for one in open_sightings(desk, NOW).open] == [newer, SEEN]
    shop.saw(("s6", SEEN, "suspected"), ("s6", TODAY - 9 * DAY, "confirmed"))
    assert shop.status("s6") == ""  # of the decision's own day: the decision stands


def test_a_report_of_a_day_up_to_a_dismissal_waits_for_a_manager(
    shop: Shop, desk: CustomerAccess
) -> None:
    """Who reports again what was dismissed moves nobody by that."""
    shop.saw(("s6", SEEN, "suspected"))
    dismiss(desk, "s6", "Noor", "Another strap.", NOW)
    report(desk, "s6", TODAY - DAY, WHERE, "mei", NOW)
    assert shop.status("s6") == ""
    [one] = open_sightings(desk, NOW).open
    assert (one.seen, one.status) == (TODAY - DAY, Kind.DISMISSED)
    confirm(desk, "s6", "Noor", "It is ours after all.", NOW)
    assert noted_in(shop.home)[-1].seen == TODAY - DAY
    assert shop.status("s6") == "confirmed"


def test_a_confirmation_is_of_who_had_the_piece_then_and_not_of_who_bought_it_since(
    shop: Shop, desk: CustomerAccess
) -> None:
    resold = "b,O1,2026-02-03,return,5000,5000,b7,s6,R3\na1,O1,2026-02-05,purchase,5,5,b8,s6,R3\n"
    shop.write("ledger.csv", HEADER + LEDGER + resold)
    shop.saw(("s6", SEEN, "suspected"))
    confirm(desk, "s6", "Noor", "Photographs.", NOW)
    confirmed = shop.events().filter(pl.col("kind") == "confirmed", pl.col("serial") == "s6")
    assert confirmed["customer"].to_list() == ["b"]


def test_where_two_had_the_piece_it_is_said_which_day_is_meant(
    shop: Shop, desk: CustomerAccess
) -> None:
    resold = "b,O1,2026-02-03,return,5000,5000,b7,s6,R3\na1,O1,2026-02-05,purchase,5,5,b8,s6,R3\n"
    shop.write("ledger.csv", HEADER + LEDGER + resold)
    last = dt.date(2026, 2, 9)
    shop.saw(("s6", SEEN, "suspected"), ("s6", last, "suspected"))
    with pytest.raises(SightingRefused, match="say which: 2026-02-09 or 2026-02-01"):
        confirm(desk, "s6", "Noor", "Photographs.", NOW)
    with pytest.raises(SightingRefused, match="seen: not that day; expected 2026-02-09 or"):
        confirm(desk, "s6", "Noor", "Photographs.", NOW, SEEN + DAY)
    confirm(desk, "s6", "Noor", "Photographs.", NOW, SEEN)
    assert {one.customers: one.status.value for one in open_sightings(desk, NOW).of("s6")} == {
        ("a1",): "suspected", ("b",): "confirmed"
    }  # fmt: skip
    confirm(desk, "s6", "Noor", "Photographs.", NOW)
    assert {one.status for one in open_sightings(desk, NOW).of("s6")} == {Kind.CONFIRMED}


def test_a_sighting_of_two_is_open_while_it_is_so_of_one(shop: Shop, desk: CustomerAccess) -> None:
    """The return of Ben's piece was not booked, and Anna bought it."""
    shop.write("ledger.csv", HEADER + LEDGER + "a1,O1,2026-02-05,purchase,5,5,b8,s6,R3\n")
    last = dt.date(2026, 2, 9)
    shop.saw(("s6", SEEN, "suspected"), ("s6", last, "suspected"))
    confirm(desk, "s6", "Noor", "Photographs.", NOW, SEEN)
    both, bens = open_sightings(desk, NOW).of("s6")
    assert (both.customers, both.is_open, both.sold) == (("a1", "b"), True, dt.date(2026, 2, 5))
    assert (bens.customers, bens.status.value) == (("b",), "confirmed")
    confirm(desk, "s6", "Noor", "Photographs.", NOW)
    assert open_sightings(desk, NOW).open == ()


def test_what_is_decided_already_or_not_there_is_refused(shop: Shop, desk: CustomerAccess) -> None:
    for serial in ("s1", "s9", "S3"):  # sold and never seen; never sold; another piece
        for decide in (confirm, dismiss):
            with pytest.raises(SightingRefused, match="serial: there is no sighting of a piece"):
                decide(desk, serial, "Noor", "r", NOW)
    with pytest.raises(SightingRefused, match="confirmed already; dismiss it if that was wrong"):
        confirm(desk, "s3", "Noor", "r", NOW)
    dismiss(desk, "s3", "Noor", "r", NOW)
    again = f"dismissed already by Noor on {TODAY}; confirm it if"
    with pytest.raises(SightingRefused, match=again):
        dismiss(desk, "s3", "Bo", "r", NOW)
    confirm(desk, "s3", "Bo", "r", NOW)
    with pytest.raises(SightingRefused, match=f"confirmed already by Bo on {TODAY}"):
        confirm(desk, "s3", "Noor", "r", NOW)
    assert len(noted_in(shop.home)) == 2


def test_a_decision_that_an_older_clock_would_outrank_is_refused(desk: CustomerAccess) -> None:
    dismiss(desk, "s3", "Noor", "r", NOW)
    with pytest.raises(SightingRefused, match=r"clock: this machine says .* set the clock"):
        confirm(desk, "s3", "Noor", "r", NOW - 2 * DAY)


def test_of_two_who_decide_at_once_the_second_hears_so(shop: Shop, desk: CustomerAccess) -> None:
    dismiss(desk, "s3", "Noor", "r", NOW)
    late = Noted("s3", Kind.CONFIRMED, TODAY, SEEN, NOW, "Bo", "r")
    with (
        pytest.raises(SightingRefused, match="Noor said 'dismissed' of this piece just now"),
        rights_of(shop.home) as connection,
    ):
        add(connection, late, 0)
    assert len(noted_in(shop.home)) == 1


def test_where_the_log_cannot_take_an_entry_no_sighting_is_decided(
    shop: Shop, desk: CustomerAccess
) -> None:
    with rights_of(shop.home) as connection:
        connection.exec_driver_sql("DELETE FROM log")
        connection.exec_driver_sql("DELETE FROM log_anchor")
    with pytest.raises(LogBroken):
        dismiss(desk, "s3", "Noor", "r", NOW)
    assert noted_in(shop.home) == ()
    assert shop.status("s3") == "confirmed"


# --- who hears of it ------------------------------------------------------------------------------


def test_reasons_and_the_customers_own_page_have_a_decision_at_once(
    shop: Shop, desk: CustomerAccess
) -> None:
    def shown(phone: str) -> list[dict[str, Any]]:
        words = ["customer", "show", "--phone", phone, "--by", "mei", "--json"]
        done = CliRunner().invoke(app, [*words, "--home", str(shop.home)])
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = json.loads(done.output)["sightings"]
        return found

    assert "confirmed resold" in shop.run("--phone", ANNA)[1]
    dismiss(desk, "s3", "Noor", WHERE, NOW)
    assert "confirmed resold" not in shop.run("--phone", ANNA)[1]
    assert [one["kind"] for one in shown(ANNA)] == ["confirmed", "dismissed"]
    report(desk, "s6", SEEN, WHERE, "mei", NOW)
    assert shown(BEN) == [{"date": str(SEEN), "serial": "s6", "kind": "suspected", "alone": False}]
    confirm(desk, "s6", "Mei", WHERE, NOW)
    assert [one["alone"] for one in shown(BEN)] == [False, True]
    confirm(desk, "s6", "Noor", WHERE, NOW)
    assert not any(one["alone"] for one in shown(BEN))


def test_who_confirms_what_they_reported_is_said_to_be_alone_until_a_second_person_does(
    shop: Shop, desk: CustomerAccess
) -> None:
    report(desk, "s6", SEEN, WHERE, "Noor", NOW)
    confirm(desk, "s6", "NOOR", WHERE, NOW)
    assert only(desk).alone
    assert only(desk).status is Kind.CONFIRMED
    assert "confirmed alone" in shop.command("list", "--all")
    with pytest.raises(SightingRefused, match="confirmed already by NOOR"):
        confirm(desk, "s6", "noor", WHERE, NOW)
    confirm(desk, "s6", "Rafael", WHERE, NOW)
    assert not only(desk).alone
    with pytest.raises(SightingRefused, match="confirmed already"):
        confirm(desk, "s6", "Mei", WHERE, NOW)
    with rights_of(shop.home) as connection:
        found = recent_entries(connection, NOW - DAY, act=LogAct.SIGHTING)
    assert [one.outcome for one in found] == ["confirmed", "confirmed alone", "reported"]


def test_what_somebody_else_reported_or_the_table_says_is_confirmed_by_one(
    shop: Shop, desk: CustomerAccess
) -> None:
    report(desk, "s6", SEEN, WHERE, "mei", NOW)
    confirm(desk, "s6", "Noor", WHERE, NOW)
    assert not only(desk).alone
    shop.saw(("s3", SEEN, "suspected"))
    confirm(desk, "s3", "Noor", WHERE, NOW)
    assert not only(desk, "s3").alone


def test_what_was_typed_beside_a_sighting_is_in_no_event_and_no_log(
    shop: Shop, desk: CustomerAccess
) -> None:
    report(desk, "s6", SEEN, WHERE, "mei", NOW)
    confirm(desk, "s6", "Noor", WHERE, NOW)
    assert WHERE not in shop.events().write_csv()
    assert "xyz" not in repr(noted_in(shop.home))
    with rights_of(shop.home) as connection:
        assert "xyz" not in repr(recent_entries(connection, NOW - DAY, limit=99))


def test_what_is_older_than_events_are_kept_goes_with_them(
    shop: Shop, desk: CustomerAccess
) -> None:
    assert purge_older(shop.home / "nowhere", SIGHTINGS.c.date, TODAY) == 0
    report(desk, "s6", SEEN, WHERE, "mei", NOW)
    confirm(desk, "s6", "Noor", "r", NOW)
    assert purge_older(shop.home, SIGHTINGS.c.date, SEEN) == 0
    assert purge_older(shop.home, SIGHTINGS.c.date, SEEN + DAY) == 1
    assert [one.kind for one in noted_in(shop.home)] == [Kind.CONFIRMED]
    shorter = shop.settings.model_copy(update={"keep_days": 30})
    purge(shop.home, shorter, NOW + 30 * DAY, joined=True)
    assert len(noted_in(shop.home)) == 1
    purge(shop.home, shorter, NOW + 31 * DAY, joined=True)
    assert noted_in(shop.home) == ()


def test_a_backup_brings_back_what_was_reported_and_decided(
    shop: Shop, desk: CustomerAccess, tmp_path: Path
) -> None:
    report(desk, "s6", SEEN, WHERE, "mei", NOW)
    confirm(desk, "s6", "Noor", "r", NOW)
    for words in (["backup"], ["restore"]):
        home = shop.home if words == ["backup"] else tmp_path / "again"
        done = CliRunner().invoke(app, [*words, str(tmp_path / "b.gz"), "--home", str(home)])
        assert done.exit_code == 0, done.output
    assert noted_in(tmp_path / "again") == noted_in(shop.home)


# --- commands -------------------------------------------------------------------------------------


def test_a_piece_is_reported_listed_confirmed_and_dismissed_from_the_command_line(
    shop: Shop,
) -> None:
    said = shop.command("report", "s6", "--seen", str(SEEN), "--where", WHERE, "--by", "mei")
    assert said == ("s6: suspected from 2026-02-01 on. A manager confirms or dismisses it.")
    said = shop.command("list")
    assert said.startswith(
        "s6 (R3, open): seen 2026-02-01, 22 days after its sale; customer b since 2026-01-10; "
        "suspected, to be decided"
    )
    assert said.endswith(f"mei: suspected, seen 2026-02-01. {WHERE}")
    said = shop.command("confirm", "s6", "--by", "Noor", "--reason", "Photographs.")
    assert said.startswith("s6: confirmed by Noor, as seen on 2026-02-01. Features")
    assert shop.command("list") == "Nothing to decide."
    said = shop.command("dismiss", "s6", "--by", "Noor", "--reason", "Wrong strap.")
    assert f"all that was seen up to {TODAY}" in said
    assert "Noor: dismissed, all so far. Wrong strap." in shop.command("list", "--all")


def test_programs_read_sightings_as_json(shop: Shop) -> None:
    made = json.loads(shop.command("report", "s6", "--where", WHERE, "--by", "mei", "--json"))
    assert (made["number"], made["kind"], made["seen"]) == (1, "suspected", str(TODAY))
    decided = ("--by", "Noor", "--reason", "r", "--json")
    assert json.loads(shop.command("confirm", "s6", *decided))["kind"] == "confirmed"
    found = json.loads(shop.command("list", "--all", "--json"))
    assert found["nobodys"] == {}
    one = next(one for one in found["sightings"] if one["serial"] == "s6")
    assert (one["status"], one["customers"], one["is_open"]) == ("confirmed", ["b"], False)
    assert [said["by"] for said in one["said"]] == ["mei", "Noor"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("confirm", "s9", "--by", "N", "--reason", "r"), "serial: there is no sighting"),
        (("dismiss", "s9", "--by", "N", "--reason", "r"), "serial: there is no sighting"),
        (("confirm", "s3", "--by", "N", "--reason", "r"), "confirmed already"),
        (("confirm", "s3", "--by", " ", "--reason", "r"), "by: expected the name"),
        (("confirm", "s3", "--by", "N", "--reason", " "), "reason: empty, expected a sentence"),
        (("confirm", "s3", "--by", "N", "--reason", "r", "--seen", "May"), "seen: expected a date"),
        (("report", "s6", "--where", "w", "--seen", "2199-01-01"), "seen: in the future"),
        (("report", "s9", "--where", "w"), "serial: no piece with it was sold here"),
    ],
)
def test_an_error_says_what_was_expected(shop: Shop, words: tuple[str, ...], said: str) -> None:
    answer = shop.command(*words, code=1)
    assert said in answer
    assert "s9" not in answer
    assert noted_in(shop.home) == ()
