"""The letter to who got no piece: what it says, what it never says, and that it is logged."""

from __future__ import annotations

import html
import re
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from features.event_words import kinds_that_count
from features.events import DIMENSION, FEATURE_NAMES
from features.outcomes import Outcome
from features.scorecard import Scorecard
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.scorecard_store import KeptScorecards, keep_scorecards
from outlet_client.main import app
from outlet_client.records.access_log import LogAct
from tests.outlet_client.desk_site import BEN, OKAFOR, RAFAEL, Desk, desk, home, outlet, said

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.outlet_client.desk_site import Browser

__all__ = ["desk", "home", "outlet"]

REASON = "Anna was promised it at the fair"
LETTER = "/allocations/1/letter"


def decide(desk: Desk, reason: str = "") -> Browser:
    """Gives the only GMT-II to anna as proposed, or to emil for a reason; ben gets none."""
    rafael = desk.signed_in(RAFAEL)
    rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    ticks = {"less": rank(rafael, "anna"), "give": rank(rafael, "emil"), "reason": reason}
    fields = ticks if reason else {}
    asked = rafael.fill("/allocations/1", fields)
    seen = re.search(r'name="seen" value="([^"]*)"', asked.text)
    assert seen is not None
    assert (
        rafael.fill("/allocations/1", {**fields, "seen": html.unescape(seen[1])}).status_code == 303
    )
    return rafael


def rank(browser: Browser, customer: str) -> str:
    """A customer's rank on the page of the proposal."""
    found = re.search(rf"<td>(\d+)</td>\s*<td>{customer}", browser.get("/allocations/1").text)
    assert found is not None
    return found[1]


def letter(browser: Browser, customer: str) -> httpx.Response:
    """The letter to a customer, as the button beside them makes it."""
    return browser.fill(LETTER, {"rank": rank(browser, customer)})


def scorecard(**points: float) -> Scorecard:
    """A scorecard that counts these features and nothing else."""
    weights = np.zeros(DIMENSION)
    for name, weight in points.items():
        [place] = [n for n, one in enumerate(FEATURE_NAMES) if one.endswith(f": {name}")]
        weights[place] = weight
    return Scorecard.of(Outcome.LOYAL.value, weights)


def test_a_letter_says_what_was_decided_why_and_whom_to_ask_by_when(desk: Desk) -> None:
    rafael = decide(desk)
    before = len(desk.log())
    page = letter(rafael, "ben")
    text = said(page)
    assert "You were not given a piece of GMT-II" in text
    assert "Rafael Ortiz of boutique-rive decided" in text
    assert "Our rules ask that a person looks before you are offered a piece" in text
    assert "Eligibility: eligible." in text
    assert "Review level: elevated." in text
    assert "A band may reflect what happened at any outlet of the network" in text
    assert "by 2026-04-01 if you hand it in on the day of this letter" in text
    [one] = desk.log()[before:]
    assert (one.act, one.by, one.about) == (LogAct.LETTER, RAFAEL, "allocation 1")
    record = desk.signed_in(OKAFOR).fill("/customer", {"phone": BEN, "do": "show"})
    assert "your band, for a letter to you" in said(record)


def test_a_letter_names_nobody_else_and_nothing_that_a_manager_typed(desk: Desk) -> None:
    rafael = decide(desk, REASON)
    for customer in ("anna", "ben"):
        text = said(letter(rafael, customer))
        for other in {"anna", "ben", "emil", "fair", "promised", "Flipper risk"} - {customer}:
            assert other.lower() not in text.lower()
        assert not re.search(r"\b[Rr]ank", text)
    assert "Our rules proposed a piece for you. Rafael Ortiz decided otherwise" in said(
        letter(rafael, "anna")
    )


@pytest.mark.parametrize("do", ["withdraw", "dispute"])
def test_after_a_withdrawal_or_in_a_dispute_no_letter_names_a_band(desk: Desk, do: str) -> None:
    rafael = decide(desk)
    sent = rafael.post(
        LETTER,
        data={
            "csrf": rafael.token("/account"), "once": rafael.key(LETTER),
            "rank": rank(rafael, "ben"),
        },
    )  # fmt: skip
    kept = sent.headers["location"]
    assert "elevated" in rafael.get(kept).text
    fields = {"do": do, "sure": "yes"} if do == "withdraw" else {"kind": do, "about": "Wrong."}
    desk.signed_in(OKAFOR).fill("/customer", {"phone": BEN, **fields})
    for page in (rafael.get(kept), letter(rafael, "ben")):
        assert "elevated" not in page.text
        assert "Eligibility" not in page.text or "eligible." not in page.text
    expected = "Your consent ended since" if do == "withdraw" else "You dispute your band"
    assert expected in said(letter(rafael, "ben"))


def test_there_is_no_letter_before_a_decision_nor_to_who_was_given_a_piece(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    assert "not decided yet" in said(letter(rafael, "ben"))
    asked = rafael.fill("/allocations/1", {})
    seen = re.search(r'name="seen" value="([^"]*)"', asked.text)
    assert seen is not None
    rafael.fill("/allocations/1", {"seen": html.unescape(seen[1])})
    assert "was given a piece" in said(letter(rafael, "anna"))
    assert rafael.fill(LETTER, {"rank": "99"}).status_code == 400
    assert not desk.log(LogAct.LETTER)


def test_the_command_writes_it_with_the_kinds_that_the_standing_scorecard_counts(
    home: Path, desk: Desk, tmp_path: Path
) -> None:
    decide(desk)
    settings = home / "escapement.toml"
    settings.write_text('contact = "Dr Okafor, privacy@rive.example"\n' + settings.read_text())
    with (
        closing(AnswerStore(f"sqlite:///{home / 'outlet.db'}")) as store,
        store.transaction() as answers,
    ):
        keep_scorecards(
            answers,
            KeptScorecards("2026-03-01", (scorecard(returned=-1.0, recent_purchase=-20.0),)),
        )
    file = tmp_path / "letter.html"
    asked = ["allocation", "letter", "1", "ben", str(file), "--by", RAFAEL, "--home", str(home)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Dr Okafor, privacy@rive.example" in text
    assert "<li>pieces brought back</li>" in text
    assert "the size of purchases" not in text
    against = re.findall(r"this speaks against you most: (.*?)\.", text)
    assert [one.partition(",")[0] for one in against] == ["LIMITED reference"]  # eligibility's
    assert [one.by for one in desk.log(LogAct.LETTER)] == [RAFAEL]


def test_what_rounds_to_no_point_is_no_kind_that_counts() -> None:
    assert kinds_that_count([scorecard(returned=-1.0, discount=0.001)]) == ("pieces brought back",)
    assert len(kinds_that_count([])) == len(set(kinds_that_count([]))) == 10
