"""Points: sums lose nothing where there is no noise, and no event says more than its length."""

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

from features.calibration import fine_bins
from features.errors import CatalogueError
from features.events import (
    DIMENSION,
    POINT_BOUNDS,
    RATE_BOUNDS,
    EventFeatures,
    customer_features,
)
from features.outcomes import Outcome
from features.points import (
    COUNT_SHARE,
    LARGEST_POINTS,
    LEAST_KEPT,
    MOST_NUMBERS,
    STANDARD_MEAN,
    STANDARD_SD,
    PointsCode,
    smooth,
)
from features.scorecard import LARGEST_WEIGHT, POINTS_PER_LOGIT, Scorecard, probability
from features.starting import starting_scorecard

PEOPLE = pl.Series(["anna", "ben", "cleo"])
OUTLETS = ("o1", "o2", "o3")

LOYAL = Scorecard.of("y_loyal", np.linspace(-0.5, 1.0, DIMENSION))
LAPSED = Scorecard.of("y_lapsed", np.linspace(0.8, -0.7, DIMENSION))
CARDS = (LOYAL, LAPSED)
SECOND = np.cov(np.random.default_rng(4).normal(size=(DIMENSION, 50))) + 0.2
POINT_PLACES = 1, 1 + len(POINT_BOUNDS)
RATE_PLACES = 1 + len(POINT_BOUNDS), DIMENSION - 1
CODES = {
    "lossless": PointsCode.lossless(CARDS),
    "tangent": PointsCode.tangent(CARDS, SECOND),
    "one score": PointsCode.tangent((LOYAL,), SECOND),
    "four scores": PointsCode.lossless(CARDS * 2),
}
every_code = pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())

weights = st.one_of(
    hnp.arrays(np.float64, DIMENSION, elements=st.floats(-5, 5)),
    hnp.arrays(np.float64, DIMENSION, elements=st.floats(-LARGEST_WEIGHT, LARGEST_WEIGHT)),
)
card_lists = st.lists(weights, min_size=1, max_size=4).map(
    lambda drawn: tuple(Scorecard.of(f"y{place}", one) for place, one in enumerate(drawn))
)


@st.composite
def events_of(draw: st.DrawFn) -> EventFeatures:
    """Any events that the catalogue allows, of a few people at a few outlets."""
    number = draw(st.integers(1, 30))
    who = draw(st.lists(st.sampled_from(PEOPLE.to_list()), min_size=number, max_size=number))
    where = draw(st.lists(st.sampled_from(OUTLETS), min_size=number, max_size=number))
    unit = st.floats(0, 1)
    return EventFeatures(
        pl.DataFrame({"customer": who, "outlet": where}),
        draw(hnp.arrays(np.float64, (number, len(POINT_BOUNDS)), elements=unit)) * POINT_BOUNDS,
        draw(hnp.arrays(np.float64, (number, len(RATE_BOUNDS)), elements=unit)) * RATE_BOUNDS,
    )


def outlet_sums(code: PointsCode, events: EventFeatures) -> np.ndarray:
    """What the outlets' sums add up to, each outlet taking its own events alone."""
    total = np.zeros((len(PEOPLE), code.width))
    for outlet in OUTLETS:
        here = (events.keys["outlet"] == outlet).to_numpy()
        own = EventFeatures(
            events.keys.filter(pl.Series(here)), events.points[here], events.rates[here]
        )
        rows = code.rows(own)
        for place, person in enumerate(PEOPLE):
            total[place] += rows[(own.keys["customer"] == person).to_numpy()].sum(axis=0)
    return total


def alike(events: int) -> EventFeatures:
    """One customer's events, each the same."""
    same = sample(1)
    return EventFeatures(
        pl.DataFrame({"customer": ["anna"] * events, "outlet": ["o1"] * events}),
        np.repeat(same.points, events, axis=0),
        np.repeat(same.rates, events, axis=0),
    )


def sample(number: int = 40, seed: int = 7) -> EventFeatures:
    random = np.random.default_rng(seed)
    return EventFeatures(
        pl.DataFrame({"customer": ["anna"] * number, "outlet": ["o1"] * number}),
        random.random((number, len(POINT_BOUNDS))) * POINT_BOUNDS,
        random.random((number, len(RATE_BOUNDS))) * RATE_BOUNDS,
    )


# --- sums and scores ------------------------------------------------------------------------------


@given(events_of(), card_lists)
def test_lossless_sums_over_outlets_are_the_score_of_the_linked_records(
    events: EventFeatures, cards: tuple[Scorecard, ...]
) -> None:
    code = PointsCode.lossless(cards)
    scores = code.scores(outlet_sums(code, events))
    linked = customer_features(events, PEOPLE)
    assert len(scores) == len(cards)
    for card, score in zip(cards, scores, strict=True):
        size = max(1.0, float(np.abs(linked * np.asarray(card.weights)).max()) * 30)
        np.testing.assert_allclose(score, card.score(linked), rtol=1e-9, atol=1e-11 * size)


@given(events_of(), card_lists)
def test_a_lossless_number_is_at_most_1_and_its_row_at_most_the_norm(
    events: EventFeatures, cards: tuple[Scorecard, ...]
) -> None:
    code = PointsCode.lossless(cards)
    rows = code.rows(events)
    assert rows.shape == (len(events.keys), 2 * len(cards) + 1)
    assert np.abs(rows).max() <= 1 + 1e-12
    assert np.linalg.norm(rows, axis=1).max() <= code.norm * (1 + 1e-12)
    assert (rows[:, -1] == 1).all()


@given(
    events_of(),
    card_lists,
    hnp.arrays(np.float64, (DIMENSION, DIMENSION), elements=st.floats(-1e3, 1e3)),
)
def test_a_tangent_row_is_never_longer_than_1_however_noisy_the_moments(
    events: EventFeatures, cards: tuple[Scorecard, ...], drawn: np.ndarray
) -> None:
    second = (drawn + drawn.T) / 2  # symmetric, as read, and mostly indefinite
    code = PointsCode.tangent(cards, second)
    rows = code.rows(events)
    assert code.norm == 1
    assert rows.shape == (len(events.keys), len(cards) + 1)
    assert np.isfinite(rows).all()
    assert np.linalg.norm(rows, axis=1).max() <= 1 + 1e-9
    assert (rows[:, -1] == COUNT_SHARE).all()


@given(card_lists, hnp.arrays(np.float64, (DIMENSION, DIMENSION), elements=st.floats(-1e3, 1e3)))
def test_a_tangent_code_of_noisy_moments_can_be_sent(
    cards: tuple[Scorecard, ...], drawn: np.ndarray
) -> None:
    code = PointsCode.tangent(cards, (drawn + drawn.T) / 2)
    read = PointsCode.decode(code.encode())
    for name in ("matrix", "unmix", "usual", "rates", "events"):
        assert np.isfinite(getattr(read, name)).all()
        assert np.array_equal(getattr(read, name), getattr(code, name))


def uncapped(x: np.ndarray, cards: tuple[Scorecard, ...] = CARDS) -> PointsCode:
    """A code for whose average customer is x, whose caps are far above what one event says."""
    spread = np.diag([0.0, *[300.0] * (DIMENSION - 2), 0.0])
    return PointsCode.tangent(cards, np.outer(x, x) + spread)


def test_a_tangent_score_of_the_average_customer_is_the_true_score() -> None:
    """Where the tangent touches, rows that no cap shortens give the whole score."""
    [x] = customer_features(alike(9), PEOPLE.head(1))
    code = uncapped(x)
    assert code.events == pytest.approx(9)
    rows = code.rows(alike(9))
    assert np.linalg.norm(rows[:, :-1], axis=1).max() < np.sqrt(1 - COUNT_SHARE**2) - 1e-9
    found = code.scores(rows.sum(axis=0)[None, :])
    for card, score in zip(CARDS, found, strict=True):
        assert score[0] == pytest.approx(card.score(x[None, :])[0], rel=1e-9)


@pytest.mark.parametrize("events", [1, 2, 9, 40, 200])
@pytest.mark.parametrize("without", [slice(*POINT_PLACES), slice(*RATE_PLACES)], ids=repr)
def test_a_card_of_points_alone_or_of_rates_alone_is_told_exactly_at_any_count(
    without: slice, events: int
) -> None:
    weights = np.array(LOYAL.weights)
    weights[without] = 0.0
    card = Scorecard.of("y_loyal", weights)
    [average] = customer_features(alike(9), PEOPLE.head(1))
    code = uncapped(average, (card,))
    assert code.rates[0] == pytest.approx(0.0 if without.start > 1 else 1.0)
    rows = code.rows(sample(events))
    assert np.linalg.norm(rows[:, :-1], axis=1).max() < np.sqrt(1 - COUNT_SHARE**2) - 1e-9
    [score] = code.scores(rows.sum(axis=0)[None, :])
    x = customer_features(sample(events), PEOPLE.head(1))
    assert score[0] == pytest.approx(card.score(x)[0], rel=1e-9)


@every_code
def test_counts_read_back(code: PointsCode) -> None:
    for number in (0, 1, 17):
        sums = code.rows(sample(max(number, 1)))[:number].sum(axis=0)[None, :]
        assert code.counts(sums)[0] == pytest.approx(number)


@every_code
def test_a_slot_whose_sums_are_zero_scores_the_base(code: PointsCode) -> None:
    base = [card.weights[0] * POINTS_PER_LOGIT for card in code.cards]
    scores = code.scores(np.zeros((3, code.width)))
    np.testing.assert_allclose(np.stack(scores, axis=1), np.tile(base, (3, 1)))


@given(
    hnp.arrays(np.float64, (DIMENSION, DIMENSION), elements=st.floats(-1e3, 1e3)),
    hnp.arrays(np.float64, (20, len(CARDS) + 1), elements=st.floats(-50, 50)),
    st.integers(0, len(CARDS) - 1),
    st.floats(0.1, 100),
)
def test_a_score_ascends_with_what_was_said_of_it_and_the_other_does_not_move(
    drawn: np.ndarray, sums: np.ndarray, place: int, more: float
) -> None:
    code = PointsCode.tangent(CARDS, (drawn + drawn.T) / 2)
    assert (code.rates >= 0).all()
    assert (code.rates <= 1).all()
    step = np.linalg.inv(code.unmix)[:, place] * more  # `more` points of this score, 0 of others
    before = code.scores(sums)
    after = code.scores(sums + np.append(step, 0.0))
    size = np.abs(sums[:, :-1]).max() * np.abs(code.unmix).max() * 1e-9 + 1e-6
    for score in range(len(CARDS)):
        moved = after[score] - before[score]
        if score == place:
            assert (moved > -size).all()
            np.testing.assert_array_less(0.0, moved[sums[:, -1] <= 0])
        else:
            assert np.abs(moved).max() <= size * (1 + code.events)


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


def test_scores_of_customers_of_many_events_do_not_overshoot() -> None:
    """One sum a score, with no noise, tells nearly what two tell, also of whom buys every week."""
    events, people, whose = population(4000)
    x = customer_features(events, people)
    loyal = Scorecard.of(
        "y_loyal", np.r_[-3, 4, 0.6, -0.5, 0.9, 1, 0.8, -0.8, -0.5, -0.5, -0.4, 0.5, 0.7]
    )
    cards = (loyal, starting_scorecard(Outcome.FLIPPED))
    code = PointsCode.tangent(cards, x.T @ x / len(x))
    sums = sums_of(code, events, whose)
    counts = np.bincount(whose)
    many = counts >= np.quantile(counts, 0.95)
    random = np.random.default_rng(2)
    for card, told in zip(cards, code.scores(sums), strict=True):
        true = card.score(x)
        y = random.random(len(x)) < probability(true - np.median(true))
        assert roc_auc_score(y, told) > roc_auc_score(y, true) - 0.03
        spread = np.std(true[many])
        assert abs(np.mean(told[many]) - np.mean(true[many])) < 0.5 * spread
        assert np.std(told[many]) < 2 * spread


# --- encoding -------------------------------------------------------------------------------------


@every_code
def test_a_code_that_was_sent_gives_the_same_rows_and_scores(code: PointsCode) -> None:
    read = PointsCode.decode(code.encode())
    rows = code.rows(sample())
    assert read.encode() == code.encode()
    assert (read.cards, read.exact, read.width) == (code.cards, code.exact, code.width)
    assert read.rows(sample()).tolist() == rows.tolist()
    assert np.stack(read.scores(rows)).tolist() == np.stack(code.scores(rows)).tolist()
    assert (read.norm, read.scale, read.ring_bits) == (code.norm, code.scale, code.ring_bits)


def test_no_code_needs_more_numbers_than_the_most() -> None:
    assert max(code.width for code in CODES.values()) == MOST_NUMBERS


def _with(**changes: Any) -> bytes:
    return json.dumps({**json.loads(CODES["tangent"].encode()), **changes}).encode()


def _filled(name: str, value: object) -> bytes:
    """The field, one number of it replaced."""
    field = json.loads(CODES["tangent"].encode())[name]
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
    "too long": b" " * 2**16 + CODES["tangent"].encode(),
    "deep": b"[" * 2**15,
    "deep within": _with(matrix="deep").replace(b'"deep"', b"[" * 20_000 + b"]" * 20_000),
    "another catalogue": _with(catalogue="escapement/v0/retail"),
    "no scorecard": _with(cards=[]),
    "one scorecard too few": _with(cards=ONE_CARD["cards"]),
    "too many scorecards": PointsCode.lossless(CARDS * 3).encode(),
    "scorecards that are none": _with(cards=["{}", "{}"]),
    "scorecards that are numbers": _with(cards=[1, 2]),
    "a deep scorecard": _with(cards=["[" * 20_000] * 2),
    "a scorecard with a huge integer": _with(
        cards=[card.replace("0.8", "1" + "0" * 400) for card in json.loads(_with())["cards"]]
    ),
    "half a character": _with(cards=["\ud800", "\ud800"]),
    "exact as a number": _with(exact=0),
    "exact as text": _with(exact="true"),
    "another kind": _with(exact=True),
    "no matrix": _with(matrix=None),
    "a flat matrix": _with(matrix=[1.0] * 7),
    "a ragged matrix": _with(matrix=[[1.0], [1.0, 2.0], []]),
    "a matrix of objects": _with(matrix={}),
    "another width": _with(matrix=[[0.0] * 6] * 3),
    "another unmix": _with(unmix=[[1.0]]),
    "another number of usual events": _with(usual=[0.0]),
    "another number of rates": _with(rates=[0.5, 0.5, 0.5]),
    "an average customer for each score": _with(events=[1.0, 1.0]),
    "a key missing": json.dumps(
        {k: v for k, v in json.loads(_with()).items() if k != "unmix"}
    ).encode(),
    "an entry above the bound": _filled("matrix", 2 * LARGEST_POINTS),
    **{
        f"what overflows in {name}": _filled(name, 1e308)
        for name in ("unmix", "usual", "rates", "events")
    },
    **{
        f"{value!s:.9} in {name}": _filled(name, value)
        for name in ("matrix", "unmix", "usual", "rates", "events")
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
    """Whether everything that is computed with a code is finite and of its shape."""
    rows = code.rows(sample())
    scores = np.stack(code.scores(rows.cumsum(axis=0)))  # of customers of ever more events
    right = rows.shape == (40, code.width) and scores.shape == (len(code.cards), 40)
    return right and bool(np.isfinite(rows).all() and np.isfinite(scores).all())


@given(
    st.sampled_from(["catalogue", "cards", "exact", "matrix", "unmix", "usual", "rates", "events"]),
    json_values,
)
def test_a_field_replaced_by_anything_is_refused_or_leaves_a_usable_code(
    name: str, value: object
) -> None:
    _refused_or_usable(_with(**{name: value}))


@given(st.sampled_from(["cards", "matrix", "unmix", "usual", "rates", "events"]), leaves)
def test_an_entry_replaced_by_anything_is_refused_or_leaves_a_usable_code(
    name: str, value: object
) -> None:
    _refused_or_usable(_filled(name, value))


@given(st.data())
def test_flipped_bytes_are_refused_or_leave_a_usable_code(data: st.DataObject) -> None:
    raw = bytearray(CODES["tangent"].encode())
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
    code, mean = CODES["tangent"], np.array([3.0, -1.0, 2.0])
    noisy = mean + RANDOM.normal(0, 5.0, (20_000, 3))
    guess = code.estimate(noisy.ravel(), 5.0)
    np.testing.assert_allclose(guess.mean(axis=0), noisy.mean(axis=0), atol=1e-9)
    kept = np.std(guess - guess.mean(axis=0)) / np.std(noisy - noisy.mean(axis=0))
    assert LEAST_KEPT * 0.9 <= kept <= 0.05  # sampling moves an eigenvalue by a few per cent


def test_shrinking_comes_closer_to_the_truth_and_never_leaves_the_data() -> None:
    code = CODES["tangent"]
    noisy = TRUE + RANDOM.normal(0, 4.0, TRUE.shape)
    guess = code.estimate(noisy.ravel(), 4.0)
    assert np.square(guess - TRUE).mean() < 0.7 * np.square(noisy - TRUE).mean()
    spread = np.linalg.norm(guess - guess.mean(axis=0), axis=1)
    assert (spread <= np.linalg.norm(noisy - noisy.mean(axis=0), axis=1) + 1e-9).all()


def test_an_earlier_guess_helps() -> None:
    code = CODES["tangent"]
    first = code.estimate((TRUE + RANDOM.normal(0, 4.0, TRUE.shape)).ravel(), 4.0)
    noisy = (TRUE + RANDOM.normal(0, 4.0, TRUE.shape)).ravel()
    alone, with_first = code.estimate(noisy, 4.0), code.estimate(noisy, 4.0, first)
    assert np.square(with_first - TRUE).mean() < 0.85 * np.square(alone - TRUE).mean()


def test_a_new_slot_is_guessed_as_average() -> None:
    code = CODES["tangent"]
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
    code = CODES["tangent"]
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
    code = CODES["tangent"]
    noisy = (TRUE + RANDOM.normal(0, 4.0, TRUE.shape)).ravel()
    alone = code.estimate(noisy, 4.0)
    for before in (np.zeros((5000, 3)), np.ones((5000, 2)), RANDOM.normal(size=(5000, 3))):
        guess = code.estimate(noisy, 4.0, before)
        assert np.abs(guess - alone).mean() < 0.1


def test_a_score_for_calibration_depends_on_its_own_slot_alone() -> None:
    """Else one customer's events would move other customers' bins, and counts by more than one."""
    random = np.random.default_rng(5)
    second = np.eye(DIMENSION) + 0.3
    cards = tuple(Scorecard.of(f"y{index}", random.normal(0, 1, DIMENSION)) for index in range(2))
    code = PointsCode.tangent(cards, second)
    values = random.normal(0, 3, (50, code.width))
    before = code.scores_alone(values.ravel(), 0.7, second)
    values[7] += 1000.0
    after = code.scores_alone(values.ravel(), 0.7, second)
    for one, other in zip(before, after, strict=True):
        moved = np.flatnonzero(one != other)
        assert moved.tolist() == [7]
    smoothed = code.scores(code.estimate(values.ravel(), 0.7))[0]
    values[7] -= 1000.0
    assert (code.scores(code.estimate(values.ravel(), 0.7))[0] != smoothed).sum() > 1  # bands may


def test_scores_for_calibration_are_standard_however_rare_the_outcome() -> None:
    """Else the scores of a rare outcome would all fall in one fine bin, and say nothing."""
    events, people, whose = population(4000)
    x = customer_features(events, people)
    second = x.T @ x / len(x)
    common = starting_scorecard(Outcome.FLIPPED)
    rare = Scorecard.of("y_rare", np.r_[-9.0, np.array(common.weights[1:]) / 10])
    for card in (common, rare):
        code = PointsCode.tangent((card,), second)
        sums = sums_of(code, events, whose)
        noisy = sums + np.random.default_rng(6).normal(0, 0.7, sums.shape)
        [score] = code.scores_alone(noisy.ravel(), 0.7, second)
        assert np.mean(score) == pytest.approx(STANDARD_MEAN, abs=STANDARD_SD / 2)
        assert np.std(score) == pytest.approx(STANDARD_SD, rel=0.3)
        assert len(set(fine_bins(score))) > 20
        [raw] = code.scores(noisy)
        assert card is common or len(set(fine_bins(raw))) < 5


def test_without_noise_scores_for_calibration_are_the_scores() -> None:
    code = CODES["lossless"]
    values = code.rows(sample())
    alone = code.scores_alone(values.ravel(), 0.0, SECOND)
    assert np.stack(alone).tolist() == np.stack(code.scores(values)).tolist()


@given(hnp.arrays(np.float64, (DIMENSION, DIMENSION), elements=st.floats(-1e3, 1e3)))
def test_standard_scores_rank_as_scores_do_and_are_finite_whatever_the_moments(
    drawn: np.ndarray,
) -> None:
    second = (drawn + drawn.T) / 2
    code = PointsCode.tangent(CARDS, second)
    values = np.random.default_rng(8).normal(0, 3, (30, code.width))
    alone = code.scores_alone(values.ravel(), 0.7, second)
    for score, raw in zip(alone, code.scores(values), strict=True):
        assert np.isfinite(score).all()
        assert (np.diff(score[np.argsort(raw)]) >= 0).all()
