"""A band follows its score, does not flicker, and survives one byte."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.bands import (
    EVIDENCE_CAP,
    LEAST_EVIDENCE,
    NEW,
    SCHEMES,
    UNKNOWN,
    BandPolicy,
    BandRefused,
    BandScheme,
    assign,
    pack,
    scheme_of,
    schemes,
    unpack,
)
from features.errors import CatalogueError
from features.outcomes import Outcome

CUTS = (-20.0, 15.0)
MANY = 10.0
NAMES = [scheme.name for scheme in SCHEMES.values()]

SCORES = st.floats(-200, 200)
BANDS = hnp.arrays(np.uint8, 20, elements=st.integers(0, 3))


def band(
    score: float,
    previous: int = UNKNOWN,
    count: float = MANY,
    margin: float = 5.0,
    cuts: tuple[float, ...] = CUTS,
) -> int:
    before = np.array([previous], dtype=np.int8)
    return int(assign(np.array([score]), np.array([count]), cuts, before, margin, 1.5)[0])


@given(hnp.arrays(np.float64, 30, elements=SCORES), st.tuples(SCORES, SCORES), st.floats(0, 50))
def test_without_a_previous_band_the_cuts_alone_decide(
    scores: np.ndarray, ends: tuple[float, float], margin: float
) -> None:
    cuts = sorted(ends)
    for previous in (UNKNOWN, 0):
        before = np.full(30, previous, dtype=np.int8)
        got = assign(scores, np.full(30, MANY), cuts, before, margin, 1.5)
        assert got.dtype == np.uint8
        assert got.tolist() == [1 + sum(score >= cut for cut in cuts) for score in scores]


@given(SCORES, st.floats(0.1, 50), st.lists(st.floats(-0.999, 0.999), max_size=10))
def test_a_score_that_moves_within_the_margin_keeps_its_band(
    score: float, margin: float, moves: list[float]
) -> None:
    first = current = band(score)
    for move in moves:
        current = band(score + move * margin, current, margin=margin)
        assert current == first


@given(SCORES, st.integers(1, 3), st.floats(0, 30))
def test_a_band_is_left_only_when_a_cut_is_passed_by_more_than_the_margin(
    score: float, previous: int, margin: float
) -> None:
    got = band(score, previous, margin=margin)
    for cut, upper in zip(CUTS, (2, 3), strict=True):
        if previous < upper <= got:
            assert score > cut + margin
        if got < upper <= previous:
            assert score < cut - margin


@given(SCORES, st.integers(1, 3), st.floats(0, 30))
def test_a_cut_that_is_passed_by_more_than_the_margin_is_followed(
    score: float, previous: int, margin: float
) -> None:
    assume(all(abs(score - cut) > margin for cut in CUTS))
    assert band(score, previous, margin=margin) == band(score)


@given(SCORES, SCORES, st.integers(-1, 3))
def test_a_higher_score_is_never_in_a_lower_band(one: float, other: float, previous: int) -> None:
    low, high = sorted((one, other))
    assert band(low, previous) <= band(high, previous)


def test_hysteresis_at_one_cut_step_by_step() -> None:
    assert [band(score, 1) for score in (-20.0, -15.0, -14.9, 21.0)] == [1, 1, 2, 3]
    assert [band(score, 3) for score in (15.0, 10.0, 9.9, -25.0, -25.1)] == [3, 3, 2, 2, 1]


def test_too_few_events_are_new_with_half_an_event_of_hysteresis() -> None:
    assert [band(50.0, UNKNOWN, count) for count in (-3.0, 1.4, 1.5)] == [0, 0, 3]
    assert [band(50.0, 0, count) for count in (1.9, 2.0)] == [0, 3]
    assert [band(50.0, 2, count) for count in (0.9, 1.0)] == [0, 3]


def test_what_is_not_a_number_is_new() -> None:
    assert band(math.nan) == band(math.inf) == band(50.0, 2, math.nan) == 0


@pytest.mark.parametrize(
    ("cuts", "previous", "margin", "count"),
    [
        ((1.0, 0.0), UNKNOWN, 1.0, 1),
        ((math.nan, 0.0), UNKNOWN, 1.0, 1),
        ((0.0, math.inf), UNKNOWN, 1.0, 1),
        ((0.0, 1.0, 2.0), UNKNOWN, 1.0, 1),
        (CUTS, 4, 1.0, 1),
        (CUTS, -2, 1.0, 1),
        (CUTS, UNKNOWN, -1.0, 1),
        (CUTS, UNKNOWN, math.nan, 1),
        (CUTS, UNKNOWN, 1.0, 2),
    ],
)
def test_what_does_not_fit_is_refused(
    cuts: tuple[float, ...], previous: int, margin: float, count: int
) -> None:
    before = np.array([previous], dtype=np.int8)
    with pytest.raises(CatalogueError, match="expected"):
        assign(np.zeros(1), np.zeros(count), cuts, before, margin, 1.5)


@given(BANDS, BANDS)
def test_packed_bands_are_read_back(one: np.ndarray, other: np.ndarray) -> None:
    packed = pack(dict(zip(NAMES, (one, other), strict=True)))
    assert packed.shape == (20, 1)
    for row, first, second in zip(packed, one, other, strict=True):
        assert unpack(row.tobytes()) == {
            "eligibility": SCHEMES[Outcome.LOYAL].bands[first],
            "flipper_risk": SCHEMES[Outcome.FLIPPED].bands[second],
        }


def test_a_scheme_without_a_scorecard_reads_new() -> None:
    packed = pack({"flipper_risk": np.array([3], dtype=np.uint8)})
    assert unpack(packed[0].tobytes()) == {"eligibility": NEW, "flipper_risk": "review"}


def test_of_all_bytes_only_those_that_pack_makes_are_read() -> None:
    index = np.arange(16)
    made = pack(
        {"eligibility": (index % 4).astype(np.uint8), "flipper_risk": (index // 4).astype(np.uint8)}
    )
    read = set()
    for byte in range(256):
        try:
            unpack(bytes([byte]))
        except BandRefused:
            continue
        read.add(byte)
    assert read == set(made[:, 0].tolist())
    assert 0 not in read


def test_no_entry_of_a_book_of_other_schemes_is_read() -> None:
    """Books before watches marked their bytes 0b1000_0000; 'high' would read as 'review'."""
    for byte in range(0b1000_0000, 0b1001_0000):
        with pytest.raises(BandRefused, match="not bands"):
            unpack(bytes([byte]))


@pytest.mark.parametrize("entry", [b"", b"\x80\x80"])
def test_an_entry_of_another_length_is_refused(entry: bytes) -> None:
    with pytest.raises(BandRefused, match="expected 1"):
        unpack(entry)


@pytest.mark.parametrize(
    "bands",
    [
        {},
        {"lapse_risk": np.zeros(2, np.uint8)},
        {"eligibility": np.array([4], np.uint8)},
        {"eligibility": np.array([1], np.int64)},
        {"eligibility": np.zeros(2, np.uint8), "flipper_risk": np.zeros(3, np.uint8)},
    ],
)
def test_bands_that_are_none_are_not_packed(bands: dict[str, np.ndarray]) -> None:
    with pytest.raises(CatalogueError):
        pack(bands)


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


def test_who_has_less_evidence_than_is_asked_for_is_new_under_the_default_policy() -> None:
    assert (EVIDENCE_CAP, LEAST_EVIDENCE) == (6, 3)
    policy = BandPolicy()
    evidence = np.arange(7.0)
    before = np.full(7, UNKNOWN, dtype=np.int8)
    found = assign(np.full(7, 50.0), evidence, CUTS, before, policy.margin, policy.least_events)
    assert found.tolist() == [0, 0, 0, 3, 3, 3, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"eligible": 0.35},
        {"eligible": 0.0},
        {"priority": 1.0},
        {"review": math.nan},
        {"margin": -1.0},
        {"margin": math.inf},
        {"least_events": 0.0},
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
    ],
)
def test_a_scheme_that_does_not_fit_is_refused(
    bands: tuple[str, ...], thresholds: tuple[float, ...], sentences: int
) -> None:
    with pytest.raises(CatalogueError, match="expected"):
        BandScheme("s", bands, thresholds, ("x.",) * sentences)
