"""The allocation policy: every cell of the one we ship, and what no policy may say."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.allocation import (
    CELLS,
    ELIGIBILITY,
    FLIPPER_RISK,
    ORDER,
    SCARCE,
    AllocationPolicy,
    Decision,
    PolicyRefused,
    Ruling,
)
from features.errors import CatalogueError
from features.ledger import Tier
from outlet_client.allocation.ranking import DEFAULT_POLICY

DEFAULT = AllocationPolicy.parse(DEFAULT_POLICY.read_text(), "default_policy.toml")
O, M, N = Decision.OFFER, Decision.MANAGER, Decision.NOT_YET  # noqa: E741  (a table's cells)
RISKS = ("new", "low", "elevated", "review")
TABLE = {
    ("open", "new"): (O, O, O, M),
    ("open", "building"): (O, O, O, M),
    ("open", "eligible"): (O, O, O, M),
    ("open", "priority"): (O, O, O, M),
    ("limited", "new"): (M, M, M, M),
    ("limited", "building"): (M, M, M, M),
    ("limited", "eligible"): (O, O, M, M),
    ("limited", "priority"): (O, O, M, M),
    ("allocation", "new"): (M, M, M, M),
    ("allocation", "building"): (N, N, N, M),
    ("allocation", "eligible"): (O, O, M, M),
    ("allocation", "priority"): (O, O, M, M),
}
"""What the default policy decides: by tier and eligibility, one for each flipper risk."""

SAY = 'say = "Thank you."'
REVIEW = f'[[rule]]\nflipper_risk = ["review"]\ndecision = "manager decides"\n{SAY}\n'
OFFER = f'[[rule]]\ndecision = "offer"\n{SAY}\n'
DOUBTS = f'[[rule]]\nflipper_risk = ["elevated", "review"]\ndecision = "manager decides"\n{SAY}\n'
MANAGER = f'[[rule]]\ndecision = "manager decides"\n{SAY}\n'
NOT_YET = f'[[rule]]\ndecision = "not yet"\n{SAY}\n'


def parse(text: str) -> AllocationPolicy:
    return AllocationPolicy.parse(text, "p.toml")


def rule(lists: str, decision: str) -> str:
    return f'[[rule]]\n{lists}\ndecision = "{decision}"\n{SAY}\n'


def test_the_default_policy_decides_every_cell_as_its_table_says() -> None:
    decided = {
        (tier, eligibility, risk): decision
        for (tier, eligibility), row in TABLE.items()
        for risk, decision in zip(RISKS, row, strict=True)
    }
    assert len(decided) == len(CELLS) == 48
    for (tier, eligibility, risk), decision in decided.items():
        assert DEFAULT.decide(eligibility, risk, tier).decision is decision, (
            tier, eligibility, risk,
        )  # fmt: skip


def test_the_page_for_managers_shows_the_default_policy() -> None:
    page = (Path(__file__).parents[2] / "docs/allocation.md").read_text()
    shown = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in list(Tier) and len(cells) == 5:
            for one in ELIGIBILITY if cells[1] == "any" else cells[1].split(", "):
                shown[cells[0], one] = (cells[2], *cells[2:])
    assert shown == TABLE


def test_the_default_policy_never_treats_a_doubt_better_nor_a_better_customer_worse() -> None:
    for tier, (before, after) in product(Tier, zip(("low", "elevated"), RISKS[2:], strict=True)):
        for eligibility in ("new", "eligible", "priority"):
            better, worse = (DEFAULT.decide(eligibility, r, tier) for r in (before, after))
            assert ORDER.index(better.decision) <= ORDER.index(worse.decision)
    for tier, risk in product(Tier, RISKS):
        chances = [
            ORDER.index(DEFAULT.decide(one, risk, tier).decision)
            for one in ("building", "eligible", "priority")
        ]
        assert chances == sorted(chances, reverse=True)


def test_risk_gates_eligibility_nobody_with_a_doubt_is_offered_a_scarce_piece_first() -> None:
    """Of "priority" almost one in five resells, and about two in five of those with a doubt."""
    for tier, eligibility, risk in product(SCARCE, ELIGIBILITY, ("elevated", "review")):
        assert DEFAULT.decide(eligibility, risk, tier).decision is not Decision.OFFER
    assert DEFAULT.decide("priority", "low", "allocation").decision is Decision.OFFER


def test_what_is_said_to_a_customer_is_the_same_for_every_doubt_in_a_tier() -> None:
    for tier, eligibility in product(Tier, ("new", "eligible", "priority")):
        said = {DEFAULT.decide(eligibility, one, tier).say for one in ("elevated", "review")}
        assert len(said) == 1


def test_the_first_rule_that_fits_decides_and_is_named() -> None:
    policy = parse(REVIEW + rule('tier = ["open"]', "offer") + MANAGER)  # elevated: rule 3
    assert policy.decide("new", "new", "open").rule == 2
    assert policy.decide("new", "review", "open").rule == 1
    ruling = policy.decide("priority", "low", Tier.ALLOCATION)
    assert (ruling.decision, ruling.say, ruling.rule) == (Decision.MANAGER, "Thank you.", 3)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("vip", "low", "open"), "eligibility 'vip', expected new, building"),
        (("new", "high", "open"), "flipper_risk 'high', expected new, low, elevated or review"),
        (("new", "low", "rare"), "tier 'rare', expected open, limited or allocation"),
    ],
)
def test_a_name_that_the_policy_does_not_know_is_an_error(
    asked: tuple[str, str, str], said: str
) -> None:
    with pytest.raises(CatalogueError, match=said):
        DEFAULT.decide(*asked)


WRONG = [
    ("rule = 3", "p.toml: got no rules"),
    ("", "p.toml: got no rules"),
    ("rule = [1]", "p.toml, rule 1: got no table"),
    ("[[rule]", "p.toml: not TOML: .*line 1"),
    ("rules = 3\n" + OFFER, "p.toml: got the key 'rules', expected rule or rest_days; correct"),
    (REVIEW + OFFER + "colour = 1\n", "rule 2: got the key 'colour', expected tier, eligibility"),
    (rule('tier = ["rare"]', "offer"), "rule 1: tier: got 'rare', expected open, limited or"),
    (rule("tier = [3]", "offer"), "rule 1: tier: got '3', expected open"),
    (rule('tier = "open"', "offer"), "rule 1: tier: got 'open', expected a list"),
    (rule("tier = []", "offer"), "rule 1: tier: .* leave it out for any"),
    (rule('eligibility = ["vip"]', "offer"), "rule 1: eligibility: got 'vip', expected new, "),
    (rule('flipper_risk = ["high"]', "offer"), "rule 1: flipper_risk: got 'high', expected new, "),
    (rule("", "refuse"), "decision: got 'refuse', expected offer, manager decides or not yet"),
    (f"[[rule]]\n{SAY}", "rule 1: decision: got none, expected offer"),
    ('[[rule]]\ndecision = ["offer"]\n' + SAY, r"rule 1: decision: got '\['offer'\]', expected"),
    ('[[rule]]\ndecision = "offer"', "rule 1: say: got no sentence"),
    ('[[rule]]\ndecision = "offer"\nsay = " "', "rule 1: say: got no sentence"),
    (
        REVIEW + '[[rule]]\ndecision = "offer"\nsay = "We fear it is resold."',
        "rule 2: say: got 'resold', expected a sentence that neither reveals nor accuses",
    ),
    (
        REVIEW + rule('tier = ["open", "limited"]', "offer"),
        "p.toml: no rule decides eligibility new, flipper risk new, tier allocation; add one",
    ),
    (REVIEW + OFFER + MANAGER, "rule 3: no customer reaches it"),
    (REVIEW + REVIEW + OFFER, "rule 2: no customer reaches it"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_mistake_is_refused_with_rule_what_was_got_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(PolicyRefused, match=said):
        parse(text)


UNLAWFUL = [
    (OFFER, "rule 1: decides 'offer' for .* flipper risk review, .* expected 'manager decides'"),
    (
        rule('flipper_risk = ["review"]\ntier = ["open"]', "manager decides") + OFFER,
        "rule 2: decides 'offer' for .* flipper risk review, tier limited",
    ),
    (REVIEW + NOT_YET, "rule 2: decides 'not yet' for eligibility new, .* never a refusal"),
    (
        REVIEW + rule('eligibility = ["new"]\nflipper_risk = ["new"]', "manager decides") + OFFER,
        "rule 2: decides 'manager decides' for .* expected 'offer', as rule 3 does for .* low",
    ),
    (
        REVIEW
        + rule('eligibility = ["new"]', "manager decides")
        + rule('flipper_risk = ["low"]', "manager decides")
        + NOT_YET,
        "rule 4: decides 'not yet' for eligibility building, flipper risk new",
    ),
    (
        REVIEW
        + rule('eligibility = ["building"]\nflipper_risk = ["elevated"]', "not yet")
        + MANAGER,
        "rule 2: decides 'not yet' for .* elevated, .* as rule 3 does not refuse flipper risk low",
    ),
    (
        REVIEW + OFFER,
        "rule 2: decides 'offer' for .* flipper risk elevated, tier limited, expected 'manager",
    ),
    (
        REVIEW
        + rule('flipper_risk = ["elevated"]\ntier = ["open", "limited"]', "manager decides")
        + OFFER,
        "rule 3: decides 'offer' for .* flipper risk elevated, tier allocation, expected 'manager",
    ),
    (
        DOUBTS.replace("Thank you.", "We must look closer.") + OFFER,
        "rule 1: in tier open its sentence is said for '.*' and for nobody without a doubt",
    ),
    (
        REVIEW
        + rule('flipper_risk = ["elevated"]\ntier = ["limited"]', "manager decides").replace(
            "Thank you.", "We must look closer."
        )
        + rule('tier = ["open", "limited"]', "offer")
        + MANAGER,
        "rule 2: in tier limited its sentence is said for 'elevated' and for nobody without",
    ),
]


@pytest.mark.parametrize(("text", "said"), UNLAWFUL)
def test_an_unlawful_policy_is_refused(text: str, said: str) -> None:
    with pytest.raises(PolicyRefused, match=said):
        parse(text)


def test_elevated_brings_a_manager_in_for_scarce_pieces_and_may_be_refused_where_low_is() -> None:
    parse(REVIEW + rule('flipper_risk = ["elevated"]', "manager decides") + OFFER)
    scarce = 'flipper_risk = ["elevated"]\ntier = ["limited", "allocation"]'
    assert parse(REVIEW + rule(scarce, "manager decides") + OFFER).decide(
        "building", "elevated", "open"
    ) == (Ruling(Decision.OFFER, "Thank you.", 3))
    both = 'eligibility = ["building"]\nflipper_risk = ["new", "low", "elevated"]'
    parse(REVIEW + rule(both, "not yet") + MANAGER)


@pytest.mark.parametrize(
    ("say", "told"),
    [
        ("We do not sell to traders.", "traders"),
        ("You look like a Dealer to us.", "Dealer"),
        ("It was on the grey  market.", "grey  market"),
        ("It is a gray-market piece.", "gray-market"),
        ("Others make a profit with it.", "profit"),
        ("You are on our black list.", "black list"),
        ("You were blacklisted.", "blacklisted"),
        ("Other boutiques told us.", "Other boutiques"),
        ("Another outlet told us.", "Another outlet"),
        ("Your doubt is elevated.", "elevated"),
        ("Your band is too low.", "band"),
        ("Customers who sell on wait longer.", "sell on"),
        ("We know who is selling pieces.", "selling pieces"),
        ("You would re-sell it.", "re-sell"),
        ("We suspect something.", "suspect"),
    ],
)
def test_a_sentence_that_tells_is_refused_with_the_word(say: str, told: str) -> None:
    with pytest.raises(PolicyRefused, match=f"rule 1: say: got '{told}', expected a sentence"):
        parse(f'[[rule]]\ndecision = "manager decides"\nsay = "{say}"\n')


@pytest.mark.parametrize(
    "say",
    [
        "We sell very few of these; our other clients wait too.",
        "This piece was sold on Friday; we would gladly look at a trade-in.",
        "With pleasure. A brisk ride in the elevator, and you see it in our boutique.",
        "We have not abandoned your wish; one day we may offer another piece.",
    ],
)
def test_an_ordinary_sentence_passes(say: str) -> None:
    policy = parse(f'[[rule]]\ndecision = "manager decides"\nsay = "{say}"\n')
    assert policy.decide("new", "new", "open").say == say


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Any rules, most of them unlawful."""

    def some(name: str, names: tuple[str, ...]) -> str:
        chosen = draw(st.none() | st.lists(st.sampled_from(names), min_size=1, unique=True))
        listed = ", ".join(f'"{one}"' for one in chosen or ())
        return f"{name} = [{listed}]\n" if chosen else ""

    tiers = tuple(tier.value for tier in Tier)
    lists = {"tier": tiers, "eligibility": ELIGIBILITY, "flipper_risk": FLIPPER_RISK}
    words = st.sampled_from([SAY, 'say = "A moment, please."'])
    made = [
        rule("".join(some(*one) for one in lists.items()), draw(st.sampled_from(ORDER))).replace(
            SAY, draw(words)
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    first = draw(st.sampled_from(["", REVIEW, DOUBTS]))
    return first + "".join(made) + draw(st.sampled_from(["", OFFER, MANAGER]))


@given(policies())
def test_whatever_is_written_a_policy_that_is_taken_keeps_the_laws(text: str) -> None:
    try:
        policy = parse(text)
    except PolicyRefused:
        return
    for cell in CELLS:
        eligibility, risk, tier = cell
        decision = policy.decide(*cell).decision
        low = policy.decide(eligibility, "low", tier).decision
        if risk == "review":
            assert decision is Decision.MANAGER
        if eligibility == "new":
            assert decision is not Decision.NOT_YET
        if risk == "new":
            assert ORDER.index(decision) <= ORDER.index(low)
        if risk == "elevated" and decision is Decision.NOT_YET:
            assert low is Decision.NOT_YET
        if risk == "elevated" and tier in SCARCE:
            assert decision is not Decision.OFFER


@given(policies())
def test_whatever_is_written_a_policy_that_is_taken_tells_no_doubt_and_has_no_idle_rule(
    text: str,
) -> None:
    try:
        policy = parse(text)
    except PolicyRefused:
        return
    assert {policy.decide(*cell).rule for cell in CELLS} == set(range(1, len(policy.rules) + 1))
    for tier in Tier:
        said = {risk: set[str]() for risk in FLIPPER_RISK}
        for eligibility, risk in product(ELIGIBILITY, FLIPPER_RISK):
            said[risk].add(policy.decide(eligibility, risk, tier).say)
        assert said["elevated"] | said["review"] <= said["new"] | said["low"]


@pytest.mark.parametrize("days", ["-1", "3651", "true", "1.5", '"90"', "[]"])
def test_who_was_given_a_piece_rests_a_whole_number_of_days_of_ten_years_at_most(days: str) -> None:
    with pytest.raises(PolicyRefused, match="expected a whole number of days from 0 to 3650") as no:
        parse(f"rest_days = {days}\n{DOUBTS}{OFFER}")
    assert (no.value.source, no.value.rule) == ("p.toml", None)
    for fits in (0, 3650):
        assert parse(f"rest_days = {fits}\n{DOUBTS}{OFFER}").rest_days == fits


def test_a_mistake_in_a_rule_says_which() -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse(DOUBTS + OFFER.replace("offer", "give"))
    assert refused.value.rule == 2
