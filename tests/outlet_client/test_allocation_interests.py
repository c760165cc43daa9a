"""Who waits for a reference, once each, how an interest ends, and who rests after a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.ledger import Tier
from outlet_client.allocation import allocation_decisions as decisions
from outlet_client.allocation.waitlist import Allocatable
from outlet_client.customer_access import open_customer_access
from outlet_client.errors import NotConfigured
from tests.outlet_client.waiting_customers import (
    NOW,
    PHONES,
    POLICY,
    SETTINGS,
    Boutique,
    boutique,
    day,
    desk,
    order_of,
    proposed,
)

if TYPE_CHECKING:
    from outlet_client.customer_access import CustomerAccess

__all__ = ["boutique", "desk"]


def test_two_customers_of_the_client_book_with_one_phone_count_once(boutique: Boutique) -> None:
    rows = f"customer_id,phone,email\nb2,{PHONES['b'][3:]},\nb,{PHONES['b']},\nc,{PHONES['c']},\n"
    boutique.write("clients.csv", rows)
    boutique.write(
        "interests.csv",
        "customer_id,reference,since\n"
        "b,R1,2026-02-02\nc,R1,2026-02-01\nb2,R1,2026-01-09\nb2,R1,2026-01-05\nb2,R2,2025-01-01\n",
    )
    found = boutique.allocate()
    assert [line["customer"] for line in found["lines"]] == ["c", "b2"]
    assert found["lines"][1]["also"] == ["b"]
    assert found["lines"][1]["since"] == "2026-01-05"
    assert (
        "b2 is one person with b in the client book, and counts once"
        in boutique.run("allocation", "show", "1")[1]
    )


def test_closed_interests_are_over_and_parquet_is_read_too(boutique: Boutique) -> None:
    table = pl.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "reference": ["R1"] * 3,
            "since": [day(1), day(2), day(3)],
            "closed_at": [None, None, day(9)],
        }
    )
    table.write_parquet(boutique.home / "interests.parquet")
    boutique.write("escapement.toml", SETTINGS.replace("interests.csv", "interests.parquet"))
    assert order_of(boutique.allocate()) == "ba"


def test_without_an_interest_list_the_ledger_tells_and_an_answer_closes(boutique: Boutique) -> None:
    boutique.write("escapement.toml", SETTINGS.replace('interests = "interests.csv"\n', ""))
    boutique.write(
        "ledger.csv",
        "customer_id,outlet_id,purchased_at,kind,price,list_price,basket_id,reference\n"
        "a,O,2026-01-01,interest,0,0,w1,R1\n"
        "b,O,2026-01-02,interest,0,0,w2,R1\n"
        "c,O,2026-01-03,interest,0,0,w3,R1\n"
        "e,O,2026-01-03,interest,0,0,w4,R1\n"
        "f,O,2026-01-03,interest,0,0,w5,R2\n"
        "b,O,2026-01-05,purchase,9,9,p1,R1\n"
        "c,O,2026-01-05,declined,0,0,w3,\n"
        "f,O,2026-01-05,service,0,0,w6,\n",
    )
    assert order_of(boutique.allocate()) == "bea"
    boutique.write(
        "ledger.csv", "customer_id,reference,purchased_at,price,is_return\na,R1,2026-01-01,9,0\n"
    )
    code, said = boutique.run("allocate", "--reference", "R1", "--pieces", "1")
    assert code == 1
    assert "ledger.csv, column kind: missing; add it, set `interests`" in said


def test_only_the_same_customers_answer_closes_an_interest(boutique: Boutique) -> None:
    boutique.write("escapement.toml", SETTINGS.replace('interests = "interests.csv"\n', ""))
    boutique.write(
        "ledger.csv",
        "customer_id,outlet_id,purchased_at,kind,price,list_price,basket_id,reference\n"
        "a,O,2026-01-01,interest,0,0,w1,R1\n"
        "b,O,2026-01-02, interest ,0,0,w1,R1\n"
        "c,O,2026-01-03,interest,0,0, w3,R1\n"
        "b,O,2026-01-04,accepted,0,0,w1,\n"
        " c,O,2026-01-05, declined,0,0,w3,\n",
    )
    assert order_of(boutique.allocate()) == "a"


def won(boutique: Boutique, *customers: str, reference: str = "R1", ties: str = "waiting") -> None:
    """Proposes the pieces of a reference and gives them to some customers."""
    made = boutique.allocate("--ties", ties, reference=reference, pieces=len(customers))
    others = set(proposed(made)) - set(customers)
    more = [word for one in customers if one not in proposed(made) for word in ("--give", one)]
    less = [word for one in others for word in ("--instead-of", one)]
    number = str(made["id"])
    if more:
        words = ("change", number, "--by", "Mei", "--reason", "So.", *more, *less)
    else:
        words = ("accept", number, "--by", "Mei")
    code, said = boutique.run("allocation", *words)
    assert code == 0, said


def test_who_was_just_given_a_piece_is_proposed_no_other_for_a_while(boutique: Boutique) -> None:
    rows = [f"{name},{ref},2026-01-02\n" for name in "bce" for ref in ("R1", "R2")]
    boutique.write("interests.csv", "customer_id,reference,since\n" + "".join(rows))
    won(boutique, "c")
    again = boutique.allocate(pieces=2)
    assert proposed(again) in ("be", "eb")  # and not c, who is priority
    [line] = [line for line in again["lines"] if line["customer"] == "c"]
    assert (line["rank"], line["rests"]) == (
        3, f"was given this piece on {NOW.date()}, and the wish is not closed"
    )  # fmt: skip
    other = boutique.allocate(reference="R2", pieces=3)
    rests = {line["customer"]: line["rests"] for line in other["lines"]}
    assert rests["c"] == f"was given a piece of R1 on {NOW.date()}"
    assert rests["b"] == f"is proposed a piece of R1 in proposal {again['id']}"
    assert proposed(other) == ""
    assert boutique.run("allocation", "rerun", str(again["id"]))[0] == 0
    policy = POLICY.text.replace("rest_days = 90", "rest_days = 0")
    boutique.write("p.toml", policy)
    boutique.write("escapement.toml", SETTINGS + 'policy = "p.toml"\n')
    free = boutique.allocate(reference="R2", pieces=3)
    assert sorted(proposed(free)) == ["b", "c", "e"]


def test_a_person_who_won_under_one_id_rests_under_another(boutique: Boutique) -> None:
    boutique.write("clients.csv", f"customer_id,phone\nc,{PHONES['c']}\nz,{PHONES['c']}\n")
    boutique.wait("c")
    won(boutique, "c")
    boutique.wait("z")
    made = boutique.allocate(pieces=1)
    assert proposed(made) == ""


def test_references_are_listed_with_their_tier_and_how_many_wait(
    boutique: Boutique, desk: CustomerAccess
) -> None:
    boutique.write(
        "interests.csv",
        "customer_id,reference,since,closed_at\n"
        "a,R1,2026-01-01,\nb,R1,2026-01-01,2026-02-01\nc,R3,2026-01-01,\nd,R3,soon,\n",
    )
    assert decisions.allocatable(desk, NOW) == (
        Allocatable("R1", Tier.ALLOCATION, 1),
        Allocatable("R2", Tier.LIMITED, 0),
        Allocatable("R3", Tier.OPEN, 2),
    )
    boutique.write("escapement.toml", 'ledger = "ledger.csv"\n')
    with (
        open_customer_access(boutique.home) as without,
        pytest.raises(NotConfigured, match="references: not set"),
    ):
        decisions.allocatable(without, NOW)
