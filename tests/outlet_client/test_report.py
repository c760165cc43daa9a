"""The nightly report: what it counts, what it says, and what it can never hold."""

from __future__ import annotations

import datetime as dt
import html.parser
import re
import stat
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from typing_extensions import override

from features.sightings import Attached
from outlet_client.errors import NotConfigured, QuotaSpent, ServiceUnreachable
from outlet_client.people.person_states import State
from outlet_client.people.registration import Introduced
from outlet_client.report import charts, report_text
from outlet_client.report.data_quality import MOST_REASONS, quality
from outlet_client.report.ranking_comparison import (
    Compared,
    TooFew,
    measure,
)
from outlet_client.report.released_sums import read_released
from outlet_client.report.report_page import KEPT, render, write_report
from outlet_client.services import HQ, OFFICE
from outlet_client.settings import OutletSettings
from privacy.loss import Rho, epsilon_of
from privacy.purposes import Purpose
from tests.networks import LAST
from tests.outlet_client.reported_outlet import (
    AT,
    BEGAN,
    CARDS,
    QUARANTINE,
    Outlet,
    home_customers,
    largest_outlet,
    outlet,
    text_of,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["outlet"]


# --- data ---------------------------------------------------------------------------------------


def test_reasons_are_counted_by_row_and_the_most_frequent_come_first(outlet: Outlet) -> None:
    bad = ["ledger.csv,7,L7,price,not an amount", "ledger.csv,7,L7,price,not an amount"]
    bad += [f"ledger.csv,{row},,purchased_at,not a date" for row in range(1, 4)]
    bad += [f'new.csv,{row},,,"too many cells, {row}"' for row in range(MOST_REASONS)]
    outlet.write("quarantine.csv", QUARANTINE + "\n".join(bad) + "\n")
    found = quality(outlet.facts())
    assert found.reasons[0] == ("ledger.csv", "purchased_at", "not a date", 3)
    assert ("ledger.csv", "price", "not an amount", 1) in found.reasons
    assert len(found.reasons) == MOST_REASONS
    assert found.other_rows == 2
    said = outlet.said()
    assert "purchased_at not a date" in said
    assert "other reasons 2" in said
    assert "(whole row)" in said
    assert "L7" not in said


@pytest.mark.parametrize("spoilt", [b"", b"file;row;column\n1;2;3\n", b"\xff\xfe\x00\x01", None])
def test_a_quarantine_file_that_cannot_be_read_does_not_stop_the_report(
    outlet: Outlet, spoilt: bytes | None
) -> None:
    if spoilt is not None:
        (outlet.home / "quarantine.csv").write_bytes(spoilt)
    assert quality(outlet.facts()).reasons == ()
    said = outlet.said()
    assert "in quarantine: not readable, left aside until mended 150" in said
    assert "walk-ins: sales to nobody you know 30" in said
    assert "no event: a total of other rows 4" in said
    assert "no event: void, by its status 6" in said
    assert "Why rows are in quarantine" not in said


def test_months_without_a_row_are_shown_and_named(outlet: Outlet) -> None:
    name, attached = largest_outlet()
    gap = (pl.col("date") >= dt.date(2024, 3, 1)) & (pl.col("date") < dt.date(2024, 5, 1))
    holey = Attached.without(attached.events.filter(~gap))
    facts = outlet.facts(attached=holey)
    found = quality(facts)
    assert [str(month.first) for month in found.silent] == ["2024-03-01", "2024-04-01"]
    assert sum(month.rows for month in found.months) == len(
        holey.events.filter(~pl.col("kind").is_in(["suspected", "confirmed", "dismissed"]))
    )
    assert "2 months without a row (2024-03, 2024-04)" in text_of(render(facts))
    assert "No month between the first and the last is without rows" in outlet.said()
    assert "days old: does the export still run?" in outlet.said()
    fresh = dt.datetime.combine(LAST, dt.time(), dt.UTC) + dt.timedelta(days=2)
    assert "does the export still run" not in outlet.said(at=fresh)
    assert name in outlet.said()


def test_a_row_dated_in_the_future_neither_hides_a_silence_nor_stretches_the_chart(
    outlet: Outlet,
) -> None:
    attached = largest_outlet()[1]
    late = attached.events.head(1).with_columns(date=pl.date(2099, 1, 1))
    facts = outlet.facts(attached=replace(attached, events=pl.concat([attached.events, late])))
    found, before = quality(facts), quality(outlet.facts())
    assert (found.ahead, before.ahead) == (1, 0)
    assert (found.last_day, found.months) == (before.last_day, before.months)
    said = text_of(render(facts))
    assert "does the export still run?" in said
    assert "1 row is dated after today" in said
    assert "dated after today" not in outlet.said()


def test_sightings_apart_and_people_are_told_in_numbers(outlet: Outlet) -> None:
    _, attached = largest_outlet()
    apart = attached.counts()
    said = outlet.said()
    assert apart["never sold here"] > 0
    for why, count in apart.items():
        assert (f"{count} sighting" in said and f": {why}." in said) == bool(count)
    customers = attached.events["customer"].n_unique()
    assert f"customers in the ledger {customers}" in said
    assert f"{100 * 229 / customers:.1f} % of that number 229" in said
    assert "already in the network's directory 210" in said
    assert "without a usable phone or e-mail 31" in said
    many = outlet.said(people={State.KNOWN: customers + 1})
    assert f"people with a recorded consent {customers + 1} of these" in many


# --- what left ----------------------------------------------------------------------------------


def test_what_left_tonight_is_what_was_answered_since_the_night_began(outlet: Outlet) -> None:
    outlet.answer("before", Purpose.TRAINING, at=BEGAN - 86_400)
    outlet.answer("long before", Purpose.TRAINING, at=BEGAN - 400 * 86_400)
    trained = outlet.answer("t1", Purpose.TRAINING) + outlet.answer("t2", Purpose.TRAINING)
    points = outlet.answer("p1", Purpose.POINTS, size=1_000)
    found = read_released(outlet.facts(), OutletSettings())
    assert [(one.purpose, one.count, one.size) for one in found.sums] == [
        (Purpose.TRAINING, 2, trained), (Purpose.POINTS, 1, points)
    ]  # fmt: skip
    assert (found.count, found.size) == (3, trained + points)
    one = found.sums[0].rho / 2
    assert found.tonight == 2 * one > 0
    assert found.spent == 3 * one  # nothing of what was sealed, and not what is older than a year
    assert found.epsilon == epsilon_of(Rho(found.spent), 1e-6)
    said = outlet.said()
    assert f"epsilon {found.epsilon:.2f} of at most 6" in said
    assert f"3 masked sums, {report_text.size(trained + points)}; epsilon of the past year" in said
    assert f"{report_text.SENTENCES[Purpose.TRAINING][1]} 2 {report_text.size(trained)}" in said
    assert not found.sums[1].rho
    assert points == 1_000 * 3 * 2 + 80
    assert f"{report_text.SENTENCES[Purpose.POINTS][1]} 1 6.1 kB sealed: nothing is opened" in said


def test_every_purpose_has_its_words(outlet: Outlet) -> None:
    for purpose in Purpose:
        outlet.answer(purpose.value, purpose)
    said = outlet.said()
    for name, what in report_text.SENTENCES.values():
        assert f"{name}. {what} 1 " in said


def test_a_night_without_questions_says_that_nothing_left(outlet: Outlet) -> None:
    said = outlet.said(introduced=None)
    assert "No sums were asked for tonight, so none left." in said
    assert "Nothing was asked or handed in for new customers: the next night tries again." in said


def test_a_sum_without_noise_is_called_so(outlet: Outlet) -> None:
    outlet.answer("t1", Purpose.TRAINING)
    with closing(outlet.answers()) as store, store.transaction() as answers:
        answers.connection.exec_driver_sql("UPDATE answers SET rho = '0/1'")
    assert "no noise (trial network only)" in outlet.said()


def test_introductions_are_told_and_so_is_a_quota_that_is_spent(outlet: Outlet) -> None:
    said = outlet.said()
    assert "512 a day (16.4 kB) go to HQ and the same to the privacy office" in said
    assert "512 evaluations were asked of HQ and as many of the privacy office" in said
    assert "64 sealed messages were handed in" in said
    assert "Counted from 2026-11-24 03:06 UTC on" in said
    assert "not all could be done" not in said
    assert "14 brought a new customer's token" in said
    assert "7 registrations and 1 withdrawal, among as many dummies as make up" in said
    assert "2 wait for tomorrow" in said
    spent = QuotaSpent(HQ, "no more evaluations today", AT)
    said = outlet.said(introduced=Introduced(messages=64, registered=1, quota=spent))
    assert "No tokens for new customers tonight: HQ: no more evaluations" in said
    assert "1 registration and 0 withdrawals" in said
    assert "for tomorrow" not in said
    broke = Introduced(asked=512, evaluated=3, failed=ServiceUnreachable(OFFICE, "UNAVAILABLE"))
    said = outlet.said(introduced=broke)
    assert "512 evaluations were asked" in said
    assert "0 sealed messages were handed in" in said
    assert "the next night tries again. the privacy office: UNAVAILABLE" in said


# --- the page -----------------------------------------------------------------------------------


def full(outlet: Outlet, **changes: object) -> str:
    """A page with everything on it."""
    outlet.write("quarantine.csv", QUARANTINE + "ledger.csv,7,LINE-7,price,not an amount\n")
    for purpose in Purpose:
        outlet.answer(f"RELEASE-{purpose.value}", purpose)
    return outlet.page(error="HQ: no answer in 30 s", **changes)


def test_no_page_holds_a_phone_a_mail_a_customer_a_piece_or_a_basket(outlet: Outlet) -> None:
    """Customers go by their phone or e-mail here, as they do at some tills."""
    attached = largest_outlet()[1]
    number = pl.col("customer").rank("dense")
    phone = pl.format("+65{}", 80_000_000 + number)
    mail = pl.format("client{}@mail.example", number)
    named = attached.events.with_columns(
        customer=pl.when(number % 2 == 0).then(phone).otherwise(mail)
    )
    outlet.write("clients.csv", "customer_id,phone,email\nc1,+6581234567,anna@mail.example\n")
    page = full(outlet, attached=replace(attached, events=named))
    found = set(re.findall(r"[\w.+@-]+", page))
    for events in (named, attached.events):
        for column in ("customer", "serial", "basket"):
            cells = set(events[column].drop_nulls().to_list())
            assert len(cells) > 300
            assert not cells & found, column
    assert not set(attached.apart["serial"]) & found
    assert not [word for word in found if "@" in word and not word.startswith("@media")]
    assert not re.search(r"\d{7}", page)  # a phone, whole or in part
    assert not re.search(r"[0-9a-f]{16}", page)  # a key, a token or a digest
    assert "LINE-7" not in page
    assert "RELEASE" not in page


def test_the_page_loads_nothing_from_anywhere(outlet: Outlet) -> None:
    page = full(outlet)
    elsewhere = re.sub(r'(href="|url\()#', "", page)  # what a chart has of itself
    for word in ("<script", "<link", "<img", "<iframe", "src=", "href=", "url(", "@import"):
        assert word not in elsewhere
    addresses = set(re.findall(r"https?://[^\"' <]+", page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names


def test_charts_are_well_formed_and_titled_and_the_page_closes_what_it_opens(
    outlet: Outlet,
) -> None:
    page = full(outlet)
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 3
    for chart in charts:
        root = ET.fromstring(chart)  # noqa: S314  (our own)
        assert root[0].tag.endswith("title")
        assert root[0].text
    stack: list[str] = []

    class Balance(html.parser.HTMLParser):
        @override
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                stack.append(tag)

        @override
        def handle_startendtag(self, tag: str, attrs: object) -> None:
            return None

        @override
        def handle_endtag(self, tag: str) -> None:
            assert stack.pop() == tag

    Balance().feed(page)
    assert stack == []


def test_whatever_stands_in_a_reason_or_an_error_is_text_and_never_markup(outlet: Outlet) -> None:
    hostile = "<script>alert(1)</script>"
    outlet.write("quarantine.csv", f'{QUARANTINE}{hostile},1,,{hostile},"{hostile}"\n')
    page = outlet.page(error=hostile, outlet=hostile)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5


def test_a_night_that_ended_early_has_a_report_that_says_so(outlet: Outlet) -> None:
    said = outlet.said(
        customers=None, intake=None, attached=None, introduced=None, cut_off=None, as_of=None,
        people={}, error="HQ: connection refused",
    )  # fmt: skip
    assert "The night did not end as it should. HQ: connection refused" in said
    assert "The night ended before your customers' outcomes were read." in said
    assert "The ledger was not read." in said
    assert "did not end as it should" not in outlet.said()


def test_without_a_scorecard_the_page_says_when_one_comes(tmp_path: Path) -> None:
    said = Outlet(tmp_path / "new").said()
    assert "No scorecard of the network's has come yet" in said
    assert "What this cannot say" not in said


def test_the_page_says_what_the_comparison_found_and_what_it_cannot_say(outlet: Outlet) -> None:
    loyal, flipped = measure(home_customers(), CARDS)
    assert isinstance(loyal, Compared)
    assert isinstance(flipped, TooFew)
    said = outlet.said()
    assert said.count(report_text.verdict(loyal)) == 1
    assert charts.interval_text(loyal.difference, signed=True) in said
    assert report_text.too_few(flipped) in said
    assert f"Judged: {loyal.customers:,} home customers" in said
    assert "A band at the desk also counts what customers did at other outlets." in said
    assert "was trained with these customers among others" in said


def test_a_night_that_refused_for_bad_rows_has_a_report_that_counts_them(outlet: Outlet) -> None:
    said = outlet.said(attached=None, unknown_references=0, error="TooManyBad: too many rows")
    assert "TooManyBad" in said
    assert "150" in said, "rows in quarantine"


def test_reports_are_private_and_the_last_ones_are_kept_by_day(outlet: Outlet) -> None:
    folder = outlet.home / "reports"
    first = AT - dt.timedelta(days=KEPT + 2)
    facts = outlet.facts(customers=None, attached=None, intake=None)
    folder.mkdir()
    (folder / "notes.html").write_text("somebody's own")
    days = [first + dt.timedelta(days=day) for day in range(KEPT + 3)]
    latest = [write_report(replace(facts, at=day)) for day in days][-1]
    assert latest == outlet.home / "report.html"
    kept = sorted(file.name for file in folder.glob("2*.html"))
    assert len(kept) == KEPT
    assert kept[-1] == f"{AT.date()}.html"
    assert (folder / "notes.html").exists()
    assert (folder / kept[-1]).read_bytes() == latest.read_bytes()
    for file in (latest, folder / kept[0]):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_settings_that_cannot_be_read_leave_the_last_report_as_it_is(outlet: Outlet) -> None:
    facts = outlet.facts(customers=None, attached=None, intake=None)
    before = write_report(facts).read_bytes()
    outlet.write("escapement.toml", "nonsense = 1\n")
    with pytest.raises(NotConfigured):
        write_report(replace(facts, error="another"))
    assert (outlet.home / "report.html").read_bytes() == before
