"""Codes read as bands, whatever they are; a policy moves thresholds and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bands import (
    EVIDENCE_CAP,
    KNOWN_EVIDENCE_CODE,
    LEAST_EVIDENCE,
    NEW,
    SCHEMES,
    BandPolicy,
    BandScheme,
    named,
    newcomer,
    scheme_of,
    schemes,
)
from features.errors import CatalogueError
from features.outcomes import Outcome

KNOWN = KNOWN_EVIDENCE_CODE
LOYAL, FLIPPED = (outcome.value for outcome in SCHEMES)
ALL_NEW = {"eligibility": NEW, "flipper_risk": NEW}


# --- what codes stand for -------------------------------------------------------------------------


def test_codes_are_places_among_cuts_loyalty_first() -> None:
    assert list(SCHEMES) == [Outcome.LOYAL, Outcome.FLIPPED]
    assert [named([code, 0], KNOWN)["eligibility"] for code in range(3)] == [
        "building", "eligible", "priority",
    ]  # fmt: skip
    assert [named([0, code], KNOWN)["flipper_risk"] for code in range(3)] == [
        "low", "elevated", "review",
    ]  # fmt: skip
    assert named([2, 1], KNOWN + 1) == {"eligibility": "priority", "flipper_risk": "elevated"}


@pytest.mark.parametrize("evidence", [0, 1])
def test_whoever_has_little_evidence_is_new_whatever_the_codes(evidence: int) -> None:
    for codes in ([0, 0], [2, 2], [3, 1], [1]):
        assert named(codes, evidence) == named(codes, evidence, [FLIPPED, LOYAL]) == ALL_NEW


def test_a_code_above_a_schemes_highest_reads_as_its_highest() -> None:
    """Two bits hold four codes, and a scheme has three: a crafted one is no error."""
    assert named([3, 3], KNOWN) == {"eligibility": "priority", "flipper_risk": "review"}


def test_a_scheme_without_a_score_reads_new() -> None:
    assert named([1], KNOWN) == {"eligibility": "eligible", "flipper_risk": NEW}
    assert named([], KNOWN) == ALL_NEW


def test_codes_of_named_outcomes_are_theirs_and_one_without_bands_has_none() -> None:
    assert named([2], KNOWN, [FLIPPED]) == {"eligibility": NEW, "flipper_risk": "review"}
    assert named([1, 2], KNOWN, [FLIPPED, LOYAL]) == {
        "eligibility": "priority", "flipper_risk": "elevated",
    }  # fmt: skip
    assert named([1, 2, 0], KNOWN, ["y_lapsed", LOYAL, FLIPPED]) == {
        "eligibility": "priority", "flipper_risk": "low",
    }  # fmt: skip


@given(st.lists(st.integers(0, 255), max_size=6), st.integers(0, 255))
def test_whatever_is_read_each_scheme_has_a_band_of_its_own(
    codes: list[int], evidence: int
) -> None:
    found = named(codes, evidence)
    assert list(found) == [scheme.name for scheme in SCHEMES.values()]
    for scheme in SCHEMES.values():
        assert scheme.sentence(found[scheme.name])  # which refuses a band of none
    assert (found == ALL_NEW) == (evidence < KNOWN or not codes)


def test_a_newcomer_is_new_in_every_scheme() -> None:
    assert newcomer() == ALL_NEW == named([2, 2], 0)


def test_evidence_that_is_asked_for_is_little_beside_what_one_outlet_may_tell() -> None:
    assert (EVIDENCE_CAP, LEAST_EVIDENCE) == (6, 3)


# --- schemes and policies -------------------------------------------------------------------------


def test_every_band_has_a_sentence_and_new_is_never_a_refusal() -> None:
    for scheme in SCHEMES.values():
        assert all(scheme.sentence(name).endswith(".") for name in scheme.bands)
        assert "never a refusal" in scheme.sentence(NEW)
        with pytest.raises(CatalogueError, match="update this outlet"):
            scheme.sentence("gold")


def test_no_sentence_about_risk_accuses_anybody() -> None:
    said = " ".join(SCHEMES[Outcome.FLIPPED].allows).lower()
    for word in ("flip", "resell", "resale", "resold", "fraud", "suspect", "refuse ", "deny"):
        assert word not in said
    assert "a person decides" in SCHEMES[Outcome.FLIPPED].sentence("review").lower()


def test_an_outcome_without_a_scheme_has_no_bands() -> None:
    assert scheme_of("y_flipped", BandPolicy()).name == "flipper_risk"
    for outcome in ("y_lapsed", "y_other"):
        with pytest.raises(CatalogueError, match="expected one of y_loyal, y_flipped"):
            scheme_of(outcome, BandPolicy())


def test_a_policy_moves_thresholds_and_nothing_else() -> None:
    scheme = schemes(BandPolicy(eligible=0.3, priority=0.7))[Outcome.LOYAL]
    default = SCHEMES[Outcome.LOYAL]
    assert scheme.thresholds == (0.3, 0.7)
    assert (scheme.name, scheme.bands, scheme.allows) == (
        default.name,
        default.bands,
        default.allows,
    )


def test_the_default_policy_is_the_one_of_which_the_page_for_managers_tells() -> None:
    policy = BandPolicy()
    assert (policy.eligible, policy.priority) == (0.2, 0.3)
    assert (policy.elevated, policy.review) == (0.08, 0.13)
    page = (Path(__file__).parents[2] / "docs/allocation.md").read_text()
    for name in ("eligible", "priority", "elevated", "review"):
        assert f"| {name} | {getattr(policy, name):g} |" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"eligible": 0.35},
        {"eligible": 0.0},
        {"priority": 1.0},
        {"review": math.nan},
    ],
)
def test_a_policy_outside_its_domain_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(CatalogueError, match="expected"):
        BandPolicy(**changes)


@pytest.mark.parametrize(
    ("bands", "thresholds", "sentences"),
    [
        (("low", "high"), (), 2),
        ((NEW,), (), 1),
        ((NEW, "a", "a"), (0.5,), 3),
        ((NEW, "a", "b", "c", "d"), (0.2, 0.4, 0.6), 5),
        ((NEW, "a", "b"), (0.5,), 2),
        ((NEW, "a", "b"), (), 3),
        ((NEW, "a", "b"), (0.2, 0.5), 3),
    ],
)
def test_a_scheme_that_does_not_fit_is_refused(
    bands: tuple[str, ...], thresholds: tuple[float, ...], sentences: int
) -> None:
    with pytest.raises(CatalogueError, match="expected"):
        BandScheme("s", bands, thresholds, ("x.",) * sentences)


@pytest.mark.parametrize("bands", [(), (NEW,), ("old", "a"), (NEW, *"abcd"), (NEW, NEW)])
def test_a_scheme_has_two_to_four_bands_of_which_new_is_the_first(bands: tuple[str, ...]) -> None:
    with pytest.raises(CatalogueError, match="expected 2 to 4 bands of different names, 'new' fir"):
        BandScheme("s", bands, (), ("x.",) * len(bands))
    for fits, thresholds in (((NEW, "a"), ()), ((NEW, "a", "b", "c"), (0.2, 0.4))):
        assert BandScheme("s", fits, thresholds, ("x.",) * len(fits)).bands == fits
