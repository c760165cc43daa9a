"""Ranking of candidates: decisions, then bands, then waiting time; the laws of every order."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.allocation import ELIGIBILITY, FLIPPER_RISK, Decision
from features.ledger import Tier
from outlet_client.allocation.lottery import AllocationRefused, Terms, TieBreak
from outlet_client.allocation.ranking import NO_PIECE_LEFT, Candidate, rank_candidates
from tests.outlet_client.waiting_customers import POLICY, SEED, day, names, terms

MIXED = [
    Candidate("a", day(1), "building", "low"),
    Candidate("b", day(2), "new", "new", no_band="consent needed"),
    Candidate("c", day(3), "eligible", "low"),
    Candidate("d", day(4), "priority", "review"),
    Candidate("e", day(5), "priority", "new"),
    Candidate("f", day(6), "eligible", "elevated"),
    Candidate("g", day(7), "eligible", "new"),
    Candidate("h", day(1), "building", "review"),
]


def test_decisions_come_first_then_bands_then_waiting_time() -> None:
    lines = rank_candidates(MIXED, POLICY, terms(pieces=2))
    assert [line.candidate.customer for line in lines] == list("ecgdfhba")
    assert [line.candidate.customer for line in lines if line.proposed] == ["e", "c"]
    alike = "number {} of 2 with 'offer' and eligibility eligible, by waiting time"
    assert lines[1].why == f"By rule 6; {alike.format(1)}."
    assert lines[2].why == f"By rule 6; {alike.format(2)}; no piece is left."
    assert lines[3].why == (
        "By rule 3; the only one with 'manager decides' and eligibility priority."
    )
    assert "with 'manager decides' and eligibility building or new, by waiting" in lines[5].why


def test_a_newcomer_and_who_is_building_are_equals() -> None:
    asked = Terms("R1", Tier.LIMITED, 1, TieBreak.WAITING, SEED, drawn=True)
    equals = [
        Candidate("a", day(3), "building", "low"),
        Candidate("b", day(2), "new", "new"),
        Candidate("c", day(1), "building", "low"),
    ]
    assert names(equals, asked) == "cba"


def test_nobody_is_told_of_an_offer_when_no_piece_is_left() -> None:
    lines = rank_candidates(MIXED, POLICY, terms(pieces=2))
    assert lines[1].say == lines[1].ruling.say == lines[2].ruling.say
    assert lines[2].say == NO_PIECE_LEFT
    assert all(line.say == line.ruling.say for line in lines[3:])


def test_more_pieces_than_offers_are_proposed_to_nobody_else() -> None:
    lines = rank_candidates(MIXED, POLICY, terms(pieces=20))
    proposed = {line.candidate.customer for line in lines if line.proposed}
    assert proposed == {"c", "e", "g"}


@given(
    st.lists(
        st.builds(
            Candidate,
            customer=st.uuids().map(str),
            since=st.dates(dt.date(2025, 1, 1), dt.date(2025, 1, 9)),
            eligibility=st.sampled_from(ELIGIBILITY),
            flipper_risk=st.sampled_from(FLIPPER_RISK),
        ),
        min_size=1,
        unique_by=lambda one: one.customer,
    ),
    st.sampled_from(list(Tier)),
    st.integers(1, 5),
    st.sampled_from(list(TieBreak)),
    st.randoms(),
)
def test_laws_of_every_order(
    candidates: list[Candidate], tier: Tier, pieces: int, ties: TieBreak, random: Any
) -> None:
    asked = Terms("R1", tier, pieces, ties, SEED, drawn=True)
    lines = rank_candidates(candidates, POLICY, asked)
    shuffled = random.sample(candidates, len(candidates))
    assert (
        rank_candidates(shuffled, POLICY, asked) == lines
    )  # whoever is listed first gains nothing
    offers = [line for line in lines if line.ruling.decision is Decision.OFFER]
    assert [line for line in lines if line.proposed] == offers[:pieces]
    assert lines[: len(offers)] == tuple(offers)
    for line in lines:
        if line.candidate.eligibility == "new":
            assert line.ruling.decision is not Decision.NOT_YET
        if line.candidate.flipper_risk == "review":
            assert not line.proposed


@pytest.mark.parametrize("pieces", [0, -1])
def test_fewer_than_one_piece_is_refused(pieces: int) -> None:
    with pytest.raises(AllocationRefused, match=f"pieces: got {pieces}, expected 1 or more"):
        terms(pieces=pieces)
