"""What a night's report says first, what it compares with, and that it says nothing twice."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.sightings import Attached
from outlet_client.errors import QuotaSpent, ServiceUnreachable
from outlet_client.ledger.intake import Intake
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.people.person_states import State
from outlet_client.people.registration import Introduced
from outlet_client.records.countersigning import LogStanding
from outlet_client.records.customer_requests import NewRequest, RequestKind, receive
from outlet_client.records.log_audit import Fault, Finding
from outlet_client.report.data_quality import quality
from outlet_client.report.night_figures import read_figures
from outlet_client.report.report_page import render, write_report
from outlet_client.services import HQ, OFFICE
from privacy.purposes import Purpose
from tests.outlet_client.reported_outlet import (
    AT,
    CARDS,
    LOYAL,
    QUARANTINE,
    Outlet,
    largest_outlet,
    outlet,
    text_of,
)

if TYPE_CHECKING:
    from outlet_client.report.night_facts import NightFacts

__all__ = ["outlet"]

DAY = dt.timedelta(days=1)
QUIET = {"ambiguous": 0, "unknown_references": 0, "error": None}


def full(outlet: Outlet, **changes: object) -> NightFacts:
    """A night in which everything happened that a report has words for."""
    outlet.write("quarantine.csv", QUARANTINE + "ledger.csv,7,LINE-7,price,not an amount\n")
    for purpose in Purpose:
        outlet.answer(f"RELEASE-{purpose.value}", purpose)
    with rights_of(outlet.home) as store:
        for days in (3, 40):
            taking = NewRequest(AT.date() - 10 * DAY, days, "mei")
            receive(store, RequestKind.ACCESS, f"key-{days}", taking)
    attached = largest_outlet()[1]
    late = attached.events.head(1).with_columns(date=pl.date(2099, 1, 1))
    spent = QuotaSpent(HQ, "no more evaluations today", AT)
    values: dict[str, object] = {
        "error": "HQ: no answer in 30 s",
        "later_errors": ("office: certificate ended", "HQ: no answer in 30 s"),
        "attached": replace(attached, events=pl.concat([attached.events, late]), shared=1),
        "introduced": Introduced(
            512, 14, 64, 7, 1, waiting=2, quota=spent,
            failed=ServiceUnreachable(OFFICE, "UNAVAILABLE"),
        ),
        "log": LogStanding(7, AT, (Finding(Fault.MISSING, 2, 2, "entry 2 is missing"),)),
        "book_as_of": "2026-11-20",
    }  # fmt: skip
    return outlet.facts(**{**values, **changes})


def first_of(page: str) -> dict[str, list[str]]:
    """The lines before what is folded, by heading, in order."""
    before = page[page.index("<main>") : page.index("<details>")]
    found = {}
    for part in before.split("<h2>")[1:]:
        heading, _, rest = part.partition("</h2>")
        lines = re.findall(r"<li>(.*?)</li>", rest, flags=re.DOTALL)
        found[_read(heading)] = [_read(line) for line in lines]
    return found


def _read(part: str) -> str:
    return text_of(part).strip().replace(" .", ".")


def test_what_to_decide_comes_first_then_what_broke_then_what_changed_and_the_rest_is_folded(
    outlet: Outlet,
) -> None:
    page = render(full(outlet))
    found = first_of(page)
    assert list(found) == ["To decide", "What broke", "What is there, on the first night"]
    decide, broke, _ = found.values()
    for words in (
        "1 customer's request is overdue: escapement-outlet customer requests",
        "1 customer's request is open, to be answered by 2026-12-24",
        "seen for sale: confirm or dismiss each",
        "1 sighting belongs to two customers who both bought the piece",
        "4 pairs in the client book may be one person",
        "2 rows name a reference that is in no tier",
    ):
        assert [line for line in decide if words in line], words
    for words in (
        "HQ: no answer in 30 s.", "office: certificate ended.", "150 rows are in quarantine",
        "does the export still run?", "1 row is dated after today", "not all could be done",
        "No tokens for new customers tonight: HQ", "The log: entry 2 is missing.",
    ):  # fmt: skip
        assert len([line for line in broke if words in line]) == 1, words
    after = page[page.index("<details>") :]
    assert re.findall(r"<h2>(.*?)</h2>", after) == [
        "The network's scorecard against a model of your own", "Your data",
        "What left the outlet tonight", "The log",
    ]  # fmt: skip
    assert after.count("<details>") == after.count("</details>") == after.count("<summary>") == 4


def test_no_sentence_stands_twice_on_the_page(outlet: Outlet) -> None:
    facts = full(outlet)
    write_report(replace(facts, at=AT - DAY))
    pages = (
        render(facts),
        outlet.page(),
        outlet.page(intake=None, attached=None, introduced=None, customers=None, cut_off=None),
    )
    for page in pages:
        body = re.sub(r"<svg.*?</svg>", "", page[page.index("<main>") :], flags=re.DOTALL)
        blocks = re.split(r"</?(?:p|li|h2|h3|td|th|caption|summary|span)\b[^>]*>", body)
        said = [one for block in blocks for one in re.split(r"(?<=[.?:]) ", text_of(block).strip())]
        long = [one for one in said if len(one.split()) >= 4]
        assert len(long) > 10
        assert [one for one in set(long) if long.count(one) > 1] == []


def test_a_night_in_which_nothing_happened_says_so_in_two_lines(outlet: Outlet) -> None:
    used = len(largest_outlet()[1].events)
    plain = Attached.without(largest_outlet()[1].events.filter(pl.col("kind") == "purchase"))
    newest = quality(outlet.facts(attached=plain)).last_day
    assert newest is not None
    at = dt.datetime.combine(newest + DAY, dt.time(3), dt.UTC)
    facts = outlet.facts(**QUIET, at=at, attached=plain, intake=Intake(used, used, 0, 0, 0, 0))
    write_report(replace(facts, at=at - DAY))
    page = render(facts)
    assert list(first_of(page).values()) == [
        [],
        [],
        [f"{used:,} ledger rows in use, 0 read tonight."],
    ]
    assert "Nothing waits for you. What broke Nothing did." in text_of(page)


def test_changes_are_counted_from_the_last_report_of_an_earlier_day(outlet: Outlet) -> None:
    facts = outlet.facts(book_as_of="2026-11-20")
    earlier = outlet.facts(
        at=AT - 3 * DAY, book_as_of="2026-11-13", people={State.LISTED: 207},
        intake=Intake(500, 213, 0, 0, 153, 0),
    )  # fmt: skip
    write_report(earlier)
    later, used = "What changed since 2026-11-21", facts.intake.used if facts.intake else 0
    expected = [
        f"{used:,} ledger rows in use (+{used - 213:,}), 120 read tonight.",
        "150 in quarantine (\N{MINUS SIGN}3).",
        "229 people with a consent (+22), 210 of them listed (+3).",
        "A new band book: bands as of 2026-11-20.",
    ]
    assert first_of(render(facts))[later] == expected
    write_report(facts)  # again on the same day: as from the day before
    assert first_of(render(facts))[later] == expected


def test_a_verdict_that_turned_is_a_change_and_one_that_stands_is_none(outlet: Outlet) -> None:
    outlet.keep(*CARDS)
    write_report(outlet.facts(at=AT - DAY))
    assert not [
        line for line in first_of(outlet.page())["What changed since 2026-11-23"] if "Who" in line
    ]
    file = outlet.home / "reports" / "2026-11-23.json"
    figures = read_figures(outlet.home, (AT - DAY).date())
    assert figures is not None
    then = figures.verdicts[LOYAL]
    file.write_text(file.read_text().replace(then, "your own model ranks better"))
    [line] = [
        one for one in first_of(outlet.page())["What changed since 2026-11-23"] if "Who" in one
    ]
    assert line == f"Who comes back: {then}; before that, your own model ranks better."


@pytest.mark.parametrize("spoilt", [b"", b"[]", b"\xff", b'{"at": "x", "used": "many"}'])
def test_figures_that_cannot_be_read_are_as_none(outlet: Outlet, spoilt: bytes) -> None:
    write_report(outlet.facts(at=AT - DAY))
    (outlet.home / "reports" / "2026-11-23.json").write_bytes(spoilt)
    assert "What is there, on the first night" in first_of(outlet.page())


def test_the_lines_for_a_mail_hold_no_errors_text_and_no_count_of_people(outlet: Outlet) -> None:
    write_report(full(outlet))
    figures = read_figures(outlet.home, AT.date())
    assert figures is not None
    assert figures.to_decide == 6
    forms = (
        r"150 rows are in quarantine: `quarantine.csv` says which and why\.",
        r"The newest row is \d+ days old: does the export still run\?",
        r"1 row is dated after today: .* that is wrong\.",
        r"[\d,]+ ledger rows in use, \d+ read tonight\.",
        r"A new band book: bands as of 2026-11-20\.",
    )
    lines = [*figures.broke, *figures.changed]
    assert len(lines) == len(forms)
    for line, form in zip(lines, forms, strict=True):
        assert re.fullmatch(form, line), line
