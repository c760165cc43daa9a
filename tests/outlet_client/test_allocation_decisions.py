"""Decisions on a proposal: accepted or changed once, by name, with whom they pass over."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from features.ledger import Tier
from outlet_client.allocation import allocation_decisions as decisions
from outlet_client.allocation.lottery import AllocationRefused, TieBreak
from outlet_client.allocation.ranking import NO_PIECE_LEFT
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records.access_log import LogAct, LogBroken, recent_entries
from outlet_client.records.actor import Actor, NotAsked
from tests.outlet_client.waiting_customers import NOW, POLICY, Boutique, boutique, desk

if TYPE_CHECKING:
    from outlet_client.customer_access import CustomerAccess

__all__ = ["boutique", "desk"]


def as_proposed(proposal: dict[str, Any]) -> list[dict[str, Any]]:
    """Its lines, without what is said, which follows the decision."""
    return [
        {name: cell for name, cell in one.items() if name != "say"} for one in proposal["lines"]
    ]


def test_accepting_adds_a_decision_and_changes_no_row(boutique: Boutique) -> None:
    before = boutique.allocate()
    rows = boutique.rows()
    code, said = boutique.run("allocation", "accept", "1", "--by", " Mei  Lin ")
    assert code == 0
    assert "Allocation 1 accepted by Mei Lin at" in said
    assert "The pieces go to c, b." in said
    after = boutique.shown()
    assert after["decided"]["given"] == ["c", "b"]
    assert after["decided"]["reason"] == ""
    assert as_proposed(after) == as_proposed(before)
    assert boutique.rows() == rows
    words = ("--by", "Bo", "--reason", "x", "--give", "e", "--instead-of", "b")
    for again in (("accept", "1", "--by", "Bo"), ("change", "1", *words)):
        code, said = boutique.run("allocation", *again)
        assert code == 1
        assert "allocation 1: decided already, and a decision stays" in said
    assert boutique.shown() == after


def test_a_change_needs_a_reason_and_keeps_what_was_proposed(boutique: Boutique) -> None:
    before = boutique.allocate()
    rows = boutique.rows()
    words = ("allocation", "change", "1", "--by", "Mei", "--give", "d", "--instead-of", "b")
    code, said = boutique.run(*words, "--reason", "  ")
    assert code == 1
    assert "reason: empty, expected a sentence" in said
    assert boutique.run(*words)[0] == 2
    code, said = boutique.run(*words, "--reason", "A friend of the house.")
    assert code == 0
    assert "Allocation 1 changed by Mei" in said
    after = boutique.shown()
    assert after["decided"]["given"] == ["c", "d"]
    assert after["decided"]["reason"] == "A friend of the house."
    assert as_proposed(after) == as_proposed(before)
    assert boutique.rows() == rows
    listed = boutique.run("allocation", "show")[1]
    assert "1: " in listed
    assert "2 of R1, changed by Mei" in listed
    assert len(json.loads(boutique.run("allocation", "show", "--json")[1])) == 1


@pytest.mark.parametrize(
    ("command", "said", "ranks"),
    [
        ("accept", "5 customers wait for a manager's look (ranks 4 to 8)", [4, 5, 6, 7, 8]),
        ("change", "4 customers wait for a manager's look (ranks 5 to 8)", [5, 6, 7, 8]),
    ],
)
def test_whoever_decides_is_told_first_whom_it_passes_over_and_that_is_kept(
    boutique: Boutique, command: str, said: str, ranks: list[int]
) -> None:
    words = ("--by", "Mei", "--reason", "Promised.", "--give", "d", "--instead-of", "b")
    boutique.allocate()
    code, output = boutique.run(
        "allocation", command, "1", *(words if command == "change" else words[:2])
    )
    assert code == 0
    assert output.startswith(f"{said}: this passes them over. Allocation 1 ")
    assert boutique.shown()["decided"]["passed_over"] == ranks
    assert f"Said before it was decided: {said}" in boutique.run("allocation", "show", "1")[1]


def test_the_sentence_follows_the_decision(boutique: Boutique) -> None:
    boutique.allocate(pieces=1)
    boutique.run("allocation", "change", "1", "--by", "Mei", "--reason", "So.",
                 "--give", "d", "--instead-of", "c")  # fmt: skip
    said = {line["customer"]: line["say"] for line in boutique.shown()["lines"]}
    assert said["d"] == POLICY.offer_sentence(Tier.ALLOCATION)  # whom a manager was to look at
    assert said["c"] == said["f"] == NO_PIECE_LEFT
    assert "your name stays on our list" in said["a"]  # not yet, as before


def test_who_is_passed_over_is_not_mentioned_where_nobody_waits_for_a_look(
    boutique: Boutique,
) -> None:
    boutique.wait("abc")
    boutique.allocate()
    assert "manager's look" not in boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert boutique.shown()["decided"]["passed_over"] == []
    boutique.wait("bd")
    boutique.allocate()
    said = boutique.run("allocation", "accept", "2", "--by", "Mei")[1]
    assert said.startswith("1 customer waits for a manager's look (rank 2): this passes them over.")


def test_a_manager_may_give_pieces_that_were_proposed_to_nobody(boutique: Boutique) -> None:
    boutique.allocate(pieces=5)
    words = ("allocation", "change", "1", "--by", "Mei", "--reason", "They asked first.")
    code, said = boutique.run(*words, "--give", "a", "--give", "g", "--give", "d")
    assert code == 1
    assert "that makes 6 customers, and there are 5 pieces; say instead of whom" in said
    code, said = boutique.run(*words, "--give", "a", "--give", "g")
    assert code == 0
    assert "The pieces go to c, b, e, a, g." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("accept", "9", "--by", "Mei"), "allocation 9: there is none of this number"),
        (("show", "9"), "allocation 9: there is none of this number"),
        (("rerun", "9"), "allocation 9: there is none of this number"),
        (("accept", "1", "--by", " "), "by: expected the name of whoever asks"),
        (("change", "1", "--by", "M", "--reason", "r", "--give", "zoe"), "give: got a customer"),
        (("change", "1", "--by", "M", "--reason", "r", "--give", "c"), "give: got a customer"),
        (
            ("change", "1", "--by", "M", "--reason", "r", "--give", "d", "--instead-of", "zoe"),
            "instead of: got a customer to whom no piece was proposed",
        ),
    ],
)
def test_what_cannot_be_decided_is_refused_and_nothing_is_kept(
    boutique: Boutique, words: tuple[str, ...], said: str
) -> None:
    boutique.allocate()
    code, answer = boutique.run("allocation", *words)
    assert code == 1
    assert said in answer
    assert "zoe" not in answer
    assert boutique.shown()["decided"] is None


MEI = Actor.of("mei", "allocation")


def logged(boutique: Boutique) -> list[tuple[str, str, str, str]]:
    with rights_of(boutique.home) as connection:
        found = recent_entries(connection, NOW - dt.timedelta(days=1), limit=99)
    return [
        (one.act.value, one.by, one.about, one.outcome)
        for one in reversed(found)
        if one.act in (LogAct.DECISION, LogAct.OVERRIDE)
    ]


def test_one_open_desk_proposes_tells_and_decides(boutique: Boutique, desk: CustomerAccess) -> None:
    before, made = (
        decisions.propose(desk, "R1", 2, TieBreak.WAITING, None, MEI, NOW) for _ in range(2)
    )
    assert (before.earlier, made.earlier, made.no_book) == ((), (1,), "")
    assert decisions.shown(desk, 2) == [made.proposal]
    assert decisions.passed_over_by(desk, 2) == (4, 5, 6, 7, 8)
    assert decisions.passed_over_by(desk, 2, ["d"], ["b"]) == (5, 6, 7, 8)
    assert [one.decided for one in decisions.shown(desk)] == [
        None,
        None,
    ]  # telling decides nothing
    first = decisions.accept(desk, 1, " Mei  Lin ", NOW)
    second = decisions.change(desk, 2, "Bo", "Promised.", ["d"], ["b"], NOW)
    assert decisions.shown(desk) == [first, second]
    assert first.decided is not None
    assert (first.decided.by, first.decided.passed_over) == ("Mei Lin", (4, 5, 6, 7, 8))
    assert second.given == ("c", "d")
    assert decisions.rerun(desk, 2) == 9
    assert logged(boutique) == [
        ("decision", "Mei Lin", "allocation 1", "accepted"),
        ("override", "Bo", "allocation 2", "changed: 1 given, 1 instead"),
    ]


def test_what_is_refused_is_in_no_log_and_decides_nothing(
    boutique: Boutique, desk: CustomerAccess
) -> None:
    decisions.propose(desk, "R1", 2, TieBreak.WAITING, None, MEI, NOW)
    refused = {
        "d": "give: that makes 3 customers",
        "": "allocation 1: got no change; say who is given a piece",
        "z": "give: got a customer who has no line",
    }
    for give, said in refused.items():
        with pytest.raises(AllocationRefused, match=said):
            decisions.change(desk, 1, "Bo", "r", list(give), [], NOW)
    with pytest.raises(NotAsked):
        decisions.accept(desk, 1, "", NOW)
    with pytest.raises(NotAsked):
        decisions.change(desk, 1, "Bo", " ", ["d"], ["b"], NOW)
    assert logged(boutique) == []
    assert decisions.shown(desk, 1)[0].decided is None


def test_where_the_log_cannot_take_an_entry_nothing_is_decided(
    boutique: Boutique, desk: CustomerAccess
) -> None:
    decisions.propose(desk, "R1", 2, TieBreak.WAITING, None, MEI, NOW)
    with rights_of(boutique.home) as connection:
        connection.exec_driver_sql("DELETE FROM log")
        connection.exec_driver_sql("DELETE FROM log_anchor")
    with pytest.raises(LogBroken):
        decisions.accept(desk, 1, "Mei", NOW)
    assert decisions.shown(desk, 1)[0].decided is None
