"""Lotteries among equals: drawn by a seed, fair, drawn again by anybody, and odds that rise."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ledger import Tier
from outlet_client.allocation.lottery import AllocationRefused, Terms, TieBreak, odds
from outlet_client.allocation.ranking import Candidate
from tests.outlet_client.waiting_customers import (
    BANDS,
    OTHER,
    POLICY,
    SEED,
    SETTINGS,
    Boutique,
    boutique,
    day,
    names,
    order_of,
    proposed,
    terms,
)

__all__ = ["boutique"]

EQUALS = [Candidate(name, day(1 + i // 3), "priority", "low") for i, name in enumerate("abcdefgh")]


def test_a_lottery_is_drawn_again_by_its_seed_and_another_seed_draws_another() -> None:
    drawn = names(EQUALS, terms(ties=TieBreak.LOTTERY))
    by_hand = sorted(
        "abcdefgh",
        key=lambda one: hmac.new(
            bytes.fromhex(SEED), f"R1\n{one}".encode(), hashlib.sha256
        ).digest(),
    )
    assert drawn == "".join(by_hand)
    assert names(EQUALS[::-1], terms(ties=TieBreak.LOTTERY)) == drawn
    assert names(EQUALS, terms(ties=TieBreak.LOTTERY, seed=OTHER)) != drawn
    other_reference = Terms("R2", Tier.ALLOCATION, 1, TieBreak.LOTTERY, SEED, drawn=True)
    assert names(EQUALS, other_reference) != drawn


@pytest.mark.statistical
def test_a_lottery_puts_nobody_first_more_often_than_others() -> None:
    """4,000 seeds; chi-squared with 7 degrees of freedom, false alarms of one in a million."""
    seeds = [hashlib.sha256(str(i).encode()).hexdigest()[:32] for i in range(4000)]
    firsts = [names(EQUALS, terms(ties=TieBreak.LOTTERY, seed=seed))[0] for seed in seeds]

    def distance(counts: np.ndarray) -> float:
        return float(((counts - 500.0) ** 2 / 500.0).sum())

    fair = np.array([firsts.count(name) for name in "abcdefgh"])
    assert distance(fair) < 40.5
    skewed = np.array([650, 480, 478, 478, 478, 478, 479, 479])  # one customer 30 % ahead
    assert distance(skewed) > 40.5


def test_equals_of_one_day_are_drawn_by_lot_and_not_by_their_id() -> None:
    orders = {names(EQUALS, terms(seed=f"{i:032x}")) for i in range(20)}
    assert len(orders) > 5
    for one in orders:
        assert (set(one[:3]), set(one[3:6]), set(one[6:])) == (set("abc"), set("def"), set("gh"))


@pytest.mark.parametrize("seed", ["", "1234", "x" * 32, SEED + "00"])
def test_a_seed_that_is_none_is_refused(seed: str) -> None:
    with pytest.raises(AllocationRefused, match=r"^seed: expected 32 hex digits"):
        terms(seed=seed)


def test_a_lottery_is_kept_and_anybody_may_draw_it_again(boutique: Boutique) -> None:
    boutique.bands = dict.fromkeys(BANDS, ("priority", "low"))
    (boutique.home / "book.bin").unlink()
    boutique.book()
    first = boutique.allocate("--ties", "lottery")
    seed = first["terms"]["seed"]
    assert first["terms"]["drawn"]
    again = boutique.allocate("--ties", "lottery", "--seed", seed.upper())
    assert order_of(again) == order_of(first)
    assert not again["terms"]["drawn"]
    assert again["earlier"] == [1]
    others = {order_of(boutique.allocate("--ties", "lottery")) for _ in range(5)}
    assert len(others | {order_of(first)}) > 1
    assert order_of(boutique.allocate("--ties", "waiting")) == "abcdefghi"
    assert "given by whoever asked, not drawn" in boutique.run("allocation", "show", "2")[1]
    for number in range(1, 9):
        code, said = boutique.run("allocation", "rerun", str(number))
        assert (code, said) == (0, f"Allocation {number}: the same order, 9 lines.")


def test_odds_rise_with_each_fair_lottery_that_was_lost_and_not_by_proposals(
    boutique: Boutique,
) -> None:
    def losses() -> dict[str, int]:
        made = boutique.allocate("--ties", "rising", pieces=1)
        return {line["customer"]: line["losses"] for line in made["lines"]}

    boutique.wait("be")  # equals
    assert losses() == {"b": 0, "e": 0}
    assert losses() == {"b": 0, "e": 0}  # nobody decided about the first
    given = boutique.allocate("--ties", "rising", "--seed", SEED, pieces=1)
    boutique.run("allocation", "accept", str(given["id"]), "--by", "Mei")
    assert set(losses().values()) == {0}  # a seed that was given is no fair draw
    first = proposed(given)
    rows = "b,R1,2036-01-01\ne,R1,2036-01-01\n"
    boutique.write("interests.csv", f"customer_id,reference,since\n{rows}")
    boutique.write("p.toml", POLICY.text.replace("rest_days = 90", "rest_days = 0"))
    boutique.write("escapement.toml", SETTINGS + 'policy = "p.toml"\n')
    made = boutique.allocate("--ties", "lottery", pieces=1)
    boutique.run("allocation", "accept", str(made["id"]), "--by", "Mei")
    loser = ({"b", "e"} - set(proposed(made))).pop()
    assert losses() == {loser: 1, proposed(made): 0}
    assert first in "be"


def test_a_ticket_more_is_drawn_by_hand_and_odds_are_the_shares_that_are_drawn() -> None:
    """2,000 seeds; a share of 2 in 3 within five deviations, false alarms of one in a million."""
    rising = Terms("R1", Tier.ALLOCATION, 1, TieBreak.RISING, SEED, drawn=True)
    key = bytes.fromhex(SEED)
    by_hand = [hmac.new(key, text, hashlib.sha256).digest() for text in (b"R1\na", b"R1\na\n2")]
    assert rising.lot("a", 2) == min(by_hand)
    assert rising.lot("a") == by_hand[0]
    assert [rising.tickets(n) for n in (0, 1, 9, 40)] == [1, 2, 10, 10]
    assert terms(ties=TieBreak.LOTTERY).tickets(5) == 1
    one, other = (
        Candidate("a", day(1), "priority", "low", losses=1),
        Candidate("b", day(1), "priority", "low"),
    )
    firsts = 0
    for number in range(2000):
        asked = replace(rising, seed=hashlib.sha256(str(number).encode()).hexdigest()[:32])
        firsts += names([one, other], asked)[0] == "a"
    chance = odds([2, 1], 1)[2]
    assert abs(chance - 2 / 3) < 1e-3
    assert abs(firsts / 2000 - chance) < 5 * (2 / 9 / 2000) ** 0.5
    assert abs(firsts / 2000 - 1 / 2) > 5 * (2 / 9 / 2000) ** 0.5  # rejects equal odds


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40), st.integers(0, 12))
def test_odds_add_up_to_the_pieces(tickets: list[int], pieces: int) -> None:
    chances = odds(tickets, pieces)
    assert sum(chances[one] for one in tickets) == pytest.approx(
        min(pieces, len(tickets)), abs=0.02
    )
    ordered = [chances[one] for one in sorted(chances)]
    assert ordered == sorted(ordered)
