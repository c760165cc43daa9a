"""`lookup --reference`: what the policy allows the customer who is looked up."""

from __future__ import annotations

import json

from tests.outlet_client.waiting_customers import LOOK, PHONES, Boutique, allowed, boutique

__all__ = ["boutique"]


def test_a_look_up_says_what_the_policy_allows_for_a_reference(boutique: Boutique) -> None:
    assert allowed(boutique, "a") == ("not yet", "allocation")
    assert allowed(boutique, "b") == ("offer", "allocation")
    assert allowed(boutique, "d") == ("manager decides", "allocation")
    assert allowed(boutique, "d", "R3") == ("manager decides", "open")
    assert allowed(boutique, "a", "R3") == ("offer", "open")


def test_who_has_no_band_is_decided_as_a_newcomer_at_a_look_up(boutique: Boutique) -> None:
    """Consented without a token yet; new in the book; and withdrawn: none is refused."""
    assert allowed(boutique, "h") == allowed(boutique, "f") == ("manager decides", "allocation")
    boutique.people.withdraw(boutique.key("c"))
    assert allowed(boutique, "c") == ("manager decides", "allocation")


def test_a_look_up_without_consent_decides_as_for_a_newcomer(boutique: Boutique) -> None:
    code, said = boutique.run(*LOOK, "--phone", "+65 8000 0004", "--reference", "R1", "--json")
    assert code == 2
    assert json.loads(said)["allocation"]["decision"] == "manager decides"
    assert json.loads(said)["bands"] == []


def test_a_look_up_for_a_reference_in_no_tier_says_what_to_do(boutique: Boutique) -> None:
    code, said = boutique.run(*LOOK, "--phone", PHONES["b"], "--reference", "R9")
    assert code == 1
    assert "reference R9: in no tier of references.csv; add a row with its tier there" in said


def test_a_look_up_in_words_ends_with_what_may_be_said(boutique: Boutique) -> None:
    code, said = boutique.run(*LOOK, "--phone", PHONES["b"], "--reference", "R1")
    assert code == 0
    assert "R1 (allocation): offer. To say: " in said
