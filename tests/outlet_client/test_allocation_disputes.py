"""Allocation while a customer disputes: no band under review is shown, read or decided by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records.customer_requests import answer
from tests.outlet_client.waiting_customers import EMAIL, NOW, PHONES, Boutique, boutique, disputed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["boutique"]


def test_a_dispute_hides_also_that_a_customer_is_known_at_many_outlets(tmp_path: Path) -> None:
    boutique = Boutique(tmp_path)
    boutique.book(at_many="f")
    boutique.allocate()
    number = disputed(boutique, "f")
    [line] = [line for line in boutique.shown()["lines"] if line["customer"] == "f"]
    assert (line["no_band"], line["rule"]) == ("under review", 0)
    said = boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert f"escapement-outlet customer decide {number}" in said


def settled(boutique: Boutique, number: int) -> None:
    with rights_of(boutique.home) as connection:
        answer(connection, number, "Noor", "looked into", NOW)


def test_nobody_decides_by_a_band_that_came_under_review(boutique: Boutique) -> None:
    boutique.allocate()
    number = disputed(boutique, "b")
    accept = ("accept", "1", "--by", "Mei")
    change = ("change", "1", "--by", "Mei", "--reason", "r", "--give", "e", "--instead-of", "b")
    for words in (accept, change):
        code, said = boutique.run("allocation", *words)
        assert code == 1
        assert "allocation 1: customer b is under review" in said
        assert f"escapement-outlet customer decide {number}" in said
    assert boutique.shown()["decided"] is None
    settled(boutique, number)
    assert boutique.run("allocation", *accept)[0] == 0
    disputed(boutique, "b")
    assert "decided already" in boutique.run("allocation", *accept)[1]


def test_a_stored_proposal_hides_the_band_that_came_under_review_and_no_other(
    boutique: Boutique,
) -> None:
    before = boutique.allocate()
    rows = boutique.rows()
    number = disputed(boutique, "c")
    for shown in (
        boutique.shown(),
        json.loads(boutique.run("allocation", "show", "--json")[1])[0],
    ):
        first, *others = shown["lines"]
        assert (first["customer"], first["no_band"]) == ("c", "under review")
        assert (first["eligibility"], first["flipper_risk"], first["rule"]) == ("new", "new", 0)
        assert "priority" not in json.dumps(first)
        assert others == before["lines"][1:]
    said = boutique.run("allocation", "show", "1")[1]
    assert "priority, flipper risk low" not in said
    assert boutique.run("allocation", "rerun", "1")[0] == 0
    assert boutique.rows() == rows
    settled(boutique, number)
    assert boutique.shown()["lines"] == before["lines"]


def test_a_new_proposal_reads_no_band_under_review_and_can_be_decided(boutique: Boutique) -> None:
    disputed(boutique, "c")
    lines = {line["customer"]: line for line in boutique.allocate()["lines"]}
    assert (lines["c"]["no_band"], lines["c"]["decision"]) == ("under review", "manager decides")
    assert boutique.run("allocation", "accept", "1", "--by", "Mei")[0] == 0


def test_a_dispute_under_another_phone_of_the_person_is_one(boutique: Boutique) -> None:
    """Customer b is b2 too, who left another phone and the same e-mail."""
    rows = f"customer_id,phone,email\nb,{PHONES['b']},{EMAIL}\nb2,,{EMAIL}\nc,{PHONES['c']},\n"
    boutique.write("clients.csv", rows)
    boutique.wait("bc")
    boutique.allocate()
    disputed(boutique, "e")  # by e-mail
    said = boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert "customer b is under review" in said
    assert boutique.shown()["lines"][0]["no_band"] == ""
