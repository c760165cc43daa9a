"""Noisy points: no event says more than its length, and without noise sums tell event points."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from features.errors import CatalogueError
from features.events import DIMENSION, POINT_BOUNDS, RATE_BOUNDS, CustomerSums, EventFeatures
from features.noisy_points import (
    COUNT_SHARE,
    LARGEST_POINTS,
    LEAST_KEPT,
    MOST_NUMBERS,
    SCALE,
    PointsCode,
    smooth,
)
from features.outcomes import Outcome
from features.points import base_points, count_points, event_points
from features.scorecard import (
    LARGEST_WEIGHT,
    POINTS_PER_LOGIT,
    Scorecard,
    encode_scorecards,
    probability,
)
from features.starting import starting_scorecard
from privacy.fixed_point import clipping_units, to_integers
from tests.features.ledgers import USUAL, any_events, sample

LOYAL = Scorecard.of("y_loyal", np.linspace(-0.5, 1.0, DIMENSION), USUAL)
LAPSED = Scorecard.of("y_lapsed", np.linspace(0.8, -0.7, DIMENSION), USUAL)
CARDS = (LOYAL, LAPSED)
FOUR = tuple(Scorecard.of(f"y{place}", np.roll(LOYAL.weights, place), USUAL) for place in range(4))
SECOND = np.cov(np.random.default_rng(4).normal(size=(DIMENSION, 50))) + 0.2
CODES = {
    "two scores": PointsCode.of(CARDS, SECOND),
    "one score": PointsCode.of((LOYAL,), SECOND),
    "four scores": PointsCode.of(FOUR, SECOND),
}
every_code = pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())

weights = st.one_of(
    hnp.arrays(np.float64, DIMENSION, elements=st.floats(-5, 5)),
    hnp.arrays(np.float64, DIMENSION, elements=st.floats(-LARGEST_WEIGHT, LARGEST_WEIGHT)),
)
usual_events = hnp.arrays(np.float64, len(RATE_BOUNDS), elements=st.floats(0, 1)).map(
    lambda shares: shares * RATE_BOUNDS
)
card_lists = st.tuples(st.lists(weights, min_size=1, max_size=4), usual_events).map(
    lambda drawn: tuple(
        Scorecard.of(f"y{place}", one, drawn[1]) for place, one in enumerate(drawn[0])
    )
)
noisy_moments = hnp.arrays(np.float64, (DIMENSION, DIMENSION), elements=st.floats(-1e3, 1e3)).map(
    lambda drawn: (drawn + drawn.T) / 2
)
"""Symmetric, as read, and mostly indefinite."""


# --- rows and scores ------------------------------------------------------------------------------


@given(any_events(), card_lists, noisy_moments)
def test_a_row_is_never_longer_than_1_however_noisy_the_moments(
    events: EventFeatures, cards: tuple[Scorecard, ...], second: np.ndarray
) -> None:
    rows = PointsCode.of(cards, second).rows(events)
    assert rows.shape == (len(events.keys), len(cards) + 1)
    assert np.isfinite(rows).all()
    assert np.linalg.norm(rows, axis=1).max() <= 1 + 1e-9
    assert (rows[:, -1] == COUNT_SHARE).all()


@given(card_lists, noisy_moments)
def test_a_code_of_noisy_moments_can_be_sent(
    cards: tuple[Scorecard, ...], second: np.ndarray
) -> None:
    code = PointsCode.of(cards, second)
    read = PointsCode.decode(code.encode())
    assert read.cards == cards
    for name in ("matrix", "unmix"):
        assert np.isfinite(getattr(read, name)).all()
        assert np.array_equal(getattr(read, name), getattr(code, name))


def uncapped(cards: tuple[Scorecard, ...] = CARDS) -> PointsCode:
    """A code whose caps are far above what one event says."""
    return PointsCode.of(cards, np.diag([0.0, *[300.0] * (DIMENSION - 2), 0.0]))


def exact_scores(cards: tuple[Scorecard, ...], events: EventFeatures) -> list[float]:
    """Base, event points and the points of the number, as if all events were at one home."""
    total, at_home = events.total(), np.array([True])
    return [
        float(
            base_points(card)
            + event_points(card, total)[0]
            + count_points(card, total.counts, at_home)[0]
        )
        for card in cards
    ]


@given(any_events())
def test_without_noise_and_caps_the_sums_are_the_events_points(events: EventFeatures) -> None:
    code = uncapped()
    rows = code.rows(events)
    assert np.linalg.norm(rows[:, :-1], axis=1).max() < np.sqrt(1 - COUNT_SHARE**2) - 1e-9
    scores = code.scores(rows.sum(axis=0)[None, :])
    for score, exact in zip(scores, exact_scores(CARDS, events), strict=True):
        assert score[0] == pytest.approx(exact, rel=1e-9, abs=1e-7)


@given(any_events())
def test_truncation_to_integers_takes_less_than_a_unit_of_each_number_and_event(
    events: EventFeatures,
) -> None:
    code, number = uncapped(), len(events.keys)
    integers, zeroed = to_integers(code.rows(events), SCALE, clipping_units(1.0, SCALE))
    sums = integers.sum(axis=0)[None, :] / SCALE
    assert zeroed == 0
    counted = code.counts(sums)[0]
    assert number * (1 - 1 / (SCALE * COUNT_SHARE)) - 1e-9 <= counted <= number
    for place, card in enumerate(CARDS):
        [exact] = event_points(card, events.total())
        found = (sums[0, :-1] @ code.unmix[place]).item()
        assert abs(found - exact) <= number * np.abs(code.unmix[place]).sum() / SCALE + 1e-6
        score = code.scores(sums)[place][0]
        count = count_points(card, np.array([counted]), np.array([True]))[0]
        assert score == pytest.approx(base_points(card) + found + count)


@pytest.mark.parametrize("events", [1, 2, 9, 40, 200])
def test_scores_are_told_exactly_at_any_number_of_events(events: int) -> None:
    code = uncapped()
    scores = code.scores(code.rows(sample(events)).sum(axis=0)[None, :])
    assert np.concatenate(scores).tolist() == pytest.approx(exact_scores(CARDS, sample(events)))


@every_code
def test_counts_read_back(code: PointsCode) -> None:
    for number in (0, 1, 17):
        sums = code.rows(sample(max(number, 1)))[:number].sum(axis=0)[None, :]
        assert code.counts(sums)[0] == pytest.approx(number)


@every_code
def test_a_score_for_calibration_depends_on_its_own_slot_alone(code: PointsCode) -> None:
    """Its counts promise that one customer moves them by one row."""
    sums = np.random.default_rng(8).normal(0, 3, (40, code.width))
    moved = sums.copy()
    moved[1:] += np.random.default_rng(9).normal(0, 30, moved[1:].shape)
    for before, after in zip(code.scores(sums), code.scores(moved), strict=True):
        assert before[0] == after[0]
        assert (before[1:] != after[1:]).all()


@every_code
def test_a_slot_whose_sums_are_zero_scores_the_base(code: PointsCode) -> None:
    base = [card.weights[0] * POINTS_PER_LOGIT for card in code.cards]
    scores = code.scores(np.zeros((3, code.width)))
    np.testing.assert_allclose(np.stack(scores, axis=1), np.tile(base, (3, 1)))


@given(
    noisy_moments,
    hnp.arrays(np.float64, (20, len(CARDS) + 1), elements=st.floats(-50, 50)),
    st.integers(0, len(CARDS) - 1),
    st.floats(0.1, 100),
)
def test_a_score_ascends_by_what_is_said_of_it_and_the_other_does_not_move(
    second: np.ndarray, sums: np.ndarray, place: int, more: float
) -> None:
    code = PointsCode.of(CARDS, second)
    step = np.linalg.inv(code.unmix)[:, place] * more  # `more` points of this score, 0 of others
    before, after = code.scores(sums), code.scores(sums + np.append(step, 0.0))
    size = np.abs(sums[:, :-1]).max() * np.abs(code.unmix).max() * 1e-9 + 1e-6
    for score in range(len(CARDS)):
        moved = after[score] - before[score]
        np.testing.assert_allclose(moved, more if score == place else 0.0, atol=size)


def population(customers: int) -> tuple[EventFeatures, pl.Series, np.ndarray]:
    """Customers with tastes of their own, of whom one in seven has many events, and whose."""
    random = np.random.default_rng(1)
    many = np.where(random.random(customers) < 0.15, 8, 1)
    counts = np.minimum(random.geometric(0.35, customers) * many, 120)
    whose = np.repeat(np.arange(customers), counts)
    taste = random.beta(1.5, 1.5, customers)[whose, None]
    said = (taste + random.random((len(whose), len(POINT_BOUNDS) + len(RATE_BOUNDS)))) / 2
    points, rates = said[:, : len(POINT_BOUNDS)], said[:, len(POINT_BOUNDS) :]
    age = random.random((len(whose), 1)) ** 2
    seldom = random.random(rates.shape) < np.where(np.arange(len(RATE_BOUNDS)) < 3, 1.0, 0.1)
    people = pl.Series([f"customer {place}" for place in range(customers)])
    keys = pl.DataFrame({"customer": people.gather(whose), "outlet": ["o1"] * len(whose)})
    return (
        EventFeatures(keys, points * age * POINT_BOUNDS, rates * seldom * RATE_BOUNDS),
        people,
        whose,
    )


def sums_of(code: PointsCode, events: EventFeatures, whose: np.ndarray) -> np.ndarray:
    sums = np.zeros((whose.max() + 1, code.width))
    np.add.at(sums, whose, code.rows(events))
    return sums


def test_caps_take_little_of_the_ranking_and_customers_of_many_events_do_not_overshoot() -> None:
    """One capped sum a score, with no noise, ranks nearly as the score, also of weekly buyers."""
    events, people, whose = population(4000)
    loyal = Scorecard.of(
        "y_loyal",
        np.r_[-3, 4, 0.6, -0.5, 0.9, 1, 0.8, -0.8, -0.5, -0.5, -0.4, 0.5, 0.7] / 4,
        events.rates.mean(axis=0),
    )
    cards = (loyal, starting_scorecard(Outcome.FLIPPED, events.rates.mean(axis=0)))
    exact = CustomerSums.of(events, people)
    x = loyal.vectors(exact)
    code = PointsCode.of(cards, x.T @ x / len(x))
    sums = np.zeros((len(people), code.width))
    np.add.at(sums, whose, code.rows(events))
    counts = np.bincount(whose)
    many = counts >= np.quantile(counts, 0.95)
    random = np.random.default_rng(2)
    for card, told in zip(cards, code.scores(sums), strict=True):
        true = card.score(exact)
        y = random.random(len(x)) < probability(true - np.median(true))
        assert roc_auc_score(y, told) > roc_auc_score(y, true) - 0.03
        spread = np.std(true[many])
        assert abs(np.mean(told[many]) - np.mean(true[many])) < 0.5 * spread
        assert np.std(told[many]) < 1.2 * spread


# --- encoding -------------------------------------------------------------------------------------


@every_code
def test_a_code_that_was_sent_gives_the_same_rows_and_scores(code: PointsCode) -> None:
    read = PointsCode.decode(code.encode())
    rows = code.rows(sample())
    assert read.encode() == code.encode()
    assert (read.cards, read.width) == (code.cards, code.width)
    assert read.rows(sample()).tolist() == rows.tolist()
    assert np.stack(read.scores(rows)).tolist() == np.stack(code.scores(rows)).tolist()


def test_no_code_needs_more_numbers_than_the_most() -> None:
    assert max(code.width for code in CODES.values()) == MOST_NUMBERS


def _with(**changes: Any) -> bytes:
    return json.dumps({**json.loads(CODES["two scores"].encode()), **changes}).encode()


def _filled(name: str, value: object) -> bytes:
    """The field, one number of it replaced."""
    field = json.loads(CODES["two scores"].encode())[name]
    if not isinstance(field, list):
        field = value
    elif isinstance(field[0], list):
        field[0][0] = value
    else:
        field[0] = value
    return _with(**{name: field})


ONE_CARD = json.loads(CODES["one score"].encode())
NOT_CODES = {
    "nothing": b"",
    "not JSON": b"x",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "an empty object": b"{}",
    "not UTF-8": b"\xff\xfe\xfd",
    "too long": b" " * 2**16 + CODES["two scores"].encode(),
    "deep": b"[" * 2**15,
    "deep within": _with(matrix="deep").replace(b'"deep"', b"[" * 20_000 + b"]" * 20_000),
    "another catalogue": _with(catalogue="escapement/v0/retail"),
    "no scorecard": _with(cards="[]"),
    "one scorecard too few": _with(cards=ONE_CARD["cards"]),
    "too many scorecards": _with(cards=encode_scorecards(FOUR + CARDS).decode()),
    "one scorecard twice": _with(cards=encode_scorecards([LOYAL, LOYAL]).decode()),
    "scorecards that are none": _with(cards="[{}, {}]"),
    "scorecards as a list": _with(
        cards=json.loads(json.loads(CODES["two scores"].encode())["cards"])
    ),
    "scorecards that are numbers": _with(cards=12),
    "a deep scorecard": _with(cards="[" * 20_000),
    "a scorecard with a huge integer": _with(
        cards=json.loads(CODES["two scores"].encode())["cards"].replace("0.8", "1" + "0" * 400)
    ),
    "half a character": _with(cards="\ud800"),
    "no matrix": _with(matrix=None),
    "a flat matrix": _with(matrix=[1.0] * 7),
    "a ragged matrix": _with(matrix=[[1.0], [1.0, 2.0], []]),
    "a matrix of objects": _with(matrix={}),
    "another width": _with(matrix=[[0.0] * 6] * 3),
    "another unmix": _with(unmix=[[1.0]]),
    "a key missing": json.dumps(
        {k: v for k, v in json.loads(_with()).items() if k != "unmix"}
    ).encode(),
    "an entry above the bound": _filled("matrix", 2 * LARGEST_POINTS),
    "what overflows in unmix": _filled("unmix", 1e308),
    "another row for the number of events": _with(
        matrix=[*CODES["two scores"].matrix[:-1].tolist(), CODES["two scores"].matrix[0].tolist()]
    ),
    **{
        f"{value!s:.9} in {name}": _filled(name, value)
        for name in ("matrix", "unmix")
        for value in (float("nan"), float("inf"), -float("inf"), None, "x", 10**400)
    },
}


@pytest.mark.parametrize("data", NOT_CODES.values(), ids=NOT_CODES.keys())
def test_what_is_no_points_code_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(CatalogueError):
        PointsCode.decode(data)


@given(st.binary(max_size=400))
def test_random_bytes_are_never_a_points_code(data: bytes) -> None:
    with pytest.raises(CatalogueError):
        PointsCode.decode(data)


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([])
)
json_values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def usable(code: PointsCode) -> bool:
    """Whether all that is computed with a code is finite, of its shape, and no row too long."""
    rows = code.rows(sample())
    scores = np.stack(code.scores(rows.cumsum(axis=0)))  # of customers of ever more events
    right = rows.shape == (40, code.width) and scores.shape == (len(code.cards), 40)
    right &= bool(np.linalg.norm(rows, axis=1).max() <= 1 + 1e-9)
    return right and bool(np.isfinite(rows).all() and np.isfinite(scores).all())


@given(
    st.sampled_from(["catalogue", "cards", "matrix", "unmix"]),
    json_values,
)
def test_a_field_replaced_by_anything_is_refused_or_leaves_a_usable_code(
    name: str, value: object
) -> None:
    _refused_or_usable(_with(**{name: value}))


@given(st.sampled_from(["cards", "matrix", "unmix"]), leaves)
def test_an_entry_replaced_by_anything_is_refused_or_leaves_a_usable_code(
    name: str, value: object
) -> None:
    _refused_or_usable(_filled(name, value))


@given(st.data())
def test_flipped_bytes_are_refused_or_leave_a_usable_code(data: st.DataObject) -> None:
    raw = bytearray(CODES["two scores"].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _refused_or_usable(bytes(raw))


def _refused_or_usable(data: bytes) -> None:
    try:
        code = PointsCode.decode(data)
    except CatalogueError:
        return
    assert usable(code)


# --- guessing sums from noisy ones ----------------------------------------------------------------

RANDOM = np.random.default_rng(11)
TRUE = RANDOM.gamma(2.0, 3.0, (5000, 3))


@every_code
def test_without_noise_the_guess_is_the_sums(code: PointsCode) -> None:
    values = RANDOM.normal(size=6 * code.width)
    before = RANDOM.normal(size=(4, 2))
    for known in (None, before):
        assert code.estimate(values, 0.0, known).ravel().tolist() == values.tolist()


@given(
    hnp.arrays(np.float64, (8, 3), elements=st.floats(-1e3, 1e3)),
    hnp.arrays(np.float64, (8, 2), elements=st.floats(-1e3, 1e3)),
)
def test_smoothing_without_noise_changes_nothing(sums: np.ndarray, known: np.ndarray) -> None:
    np.testing.assert_allclose(smooth(sums, 0.0, known), sums, rtol=1e-9, atol=1e-9)


def test_pure_noise_shrinks_to_the_mean() -> None:
    code, mean = CODES["two scores"], np.array([3.0, -1.0, 2.0])
    noisy = mean + RANDOM.normal(0, 5.0, (20_000, 3))
    guess = code.estimate(noisy.ravel(), 5.0)
    np.testing.assert_allclose(guess.mean(axis=0), noisy.mean(axis=0), atol=1e-9)
    kept = np.std(guess - guess.mean(axis=0)) / np.std(noisy - noisy.mean(axis=0))
    assert LEAST_KEPT * 0.9 <= kept <= 0.05  # sampling moves an eigenvalue by a few per cent


def test_shrinking_comes_closer_to_the_truth_and_never_leaves_the_data() -> None:
    code = CODES["two scores"]
    noisy = TRUE + RANDOM.normal(0, 4.0, TRUE.shape)
    guess = code.estimate(noisy.ravel(), 4.0)
    assert np.square(guess - TRUE).mean() < 0.7 * np.square(noisy - TRUE).mean()
    spread = np.linalg.norm(guess - guess.mean(axis=0), axis=1)
    assert (spread <= np.linalg.norm(noisy - noisy.mean(axis=0), axis=1) + 1e-9).all()


def test_an_earlier_guess_helps() -> None:
    code = CODES["two scores"]
    first = code.estimate((TRUE + RANDOM.normal(0, 4.0, TRUE.shape)).ravel(), 4.0)
    noisy = (TRUE + RANDOM.normal(0, 4.0, TRUE.shape)).ravel()
    alone, with_first = code.estimate(noisy, 4.0), code.estimate(noisy, 4.0, first)
    assert np.square(with_first - TRUE).mean() < 0.85 * np.square(alone - TRUE).mean()


def test_a_new_slot_is_guessed_as_average() -> None:
    code = CODES["two scores"]
    noisy = TRUE + RANDOM.normal(0, 4.0, TRUE.shape)
    old = code.estimate(noisy[:4000].ravel(), 4.0)
    filled = np.vstack([old, np.tile(old.mean(axis=0), (1000, 1))])
    guess = code.estimate(noisy.ravel(), 4.0, old)
    assert guess.tolist() == code.estimate(noisy.ravel(), 4.0, filled).tolist()
    # two new slots that say the same are guessed the same
    noisy[4500] = noisy[4501]
    twins = code.estimate(noisy.ravel(), 4.0, old)
    assert twins[4500].tolist() == pytest.approx(twins[4501].tolist())


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 9])
def test_a_guess_by_another_code_may_have_any_number_of_columns(columns: int) -> None:
    code = CODES["two scores"]
    noisy = TRUE + RANDOM.normal(0, 4.0, TRUE.shape)
    mix = RANDOM.normal(size=(3, columns))
    before = (TRUE + RANDOM.normal(0, 1.0, TRUE.shape)) @ mix
    guess = code.estimate(noisy.ravel(), 4.0, before)
    assert guess.shape == TRUE.shape
    assert np.isfinite(guess).all()
    alone = code.estimate(noisy.ravel(), 4.0)
    assert np.square(guess - TRUE).mean() < np.square(alone - TRUE).mean()


@every_code
@pytest.mark.parametrize("slots", [0, 1, 2])
def test_a_network_of_hardly_anybody_has_a_guess_too(code: PointsCode, slots: int) -> None:
    values = RANDOM.normal(size=slots * code.width)
    for before in (None, np.zeros((0, 3)), np.ones((slots, 3))):
        guess = code.estimate(values, 1.0, before)
        assert guess.shape == (slots, code.width)
        assert np.isfinite(guess).all()


def test_a_useless_earlier_guess_does_no_harm() -> None:
    code = CODES["two scores"]
    noisy = (TRUE + RANDOM.normal(0, 4.0, TRUE.shape)).ravel()
    alone = code.estimate(noisy, 4.0)
    for before in (np.zeros((5000, 3)), np.ones((5000, 2)), RANDOM.normal(size=(5000, 3))):
        guess = code.estimate(noisy, 4.0, before)
        assert np.abs(guess - alone).mean() < 0.1
