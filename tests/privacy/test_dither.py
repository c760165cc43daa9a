"""A dither is in [0, 1), the same every week, and another one for each outlet, slot and score."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from privacy.dither import Dither
from privacy.envelopes import frame
from tests.privacy.seals import FALSE_ALARM, is_uniform

SECRET = bytes(range(32))
KEYS = [hashlib.sha256(b"key %d" % number).digest() for number in range(10_000)]
SCORES = ["y_loyal", "y_flipped"]
DITHERS = Dither.of(SECRET).of_slots(KEYS, SCORES)


@given(st.binary(max_size=40), st.lists(st.binary(max_size=32), max_size=4),
       st.lists(st.text(max_size=5), max_size=3))  # fmt: skip
def test_dithers_are_within_0_and_1_and_always_the_same(
    secret: bytes, keys: list[bytes], scores: list[str]
) -> None:
    made = Dither.of(secret).of_slots(keys, scores)
    assert made.shape == (len(keys), len(scores))
    assert made.dtype == np.float64
    assert ((made >= 0) & (made < 1)).all()
    assert (Dither.of(secret).of_slots(keys, scores) == made).all()
    for place, key in enumerate(keys):  # whoever else is a customer, and whatever else is scored
        assert (Dither.of(secret).of_slots([key], scores) == made[place]).all()
        for at, score in enumerate(scores):
            assert Dither.of(secret).of_slots([key], [score]) == made[place, at]


def test_the_largest_that_can_be_drawn_is_still_below_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "digest", lambda *_: b"\xff" * 32)
    assert Dither.of(SECRET).of_slots([b"k"], ["y"])[0, 0] == 1 - 2.0**-53


def test_a_dither_is_frozen() -> None:
    """Who changes this moves every part of every outlet by up to a point."""
    key = hashlib.sha256(frame(b"escapement/v1/dither", SECRET)).digest()
    made = hmac.digest(key, frame(KEYS[0], b"y_loyal"), "sha256")
    assert DITHERS[0, 0] == (int.from_bytes(made[:7], "big") >> 3) / 2**53
    assert DITHERS[0, 0].hex() == "0x1.fafa185f63b6cp-1"


@pytest.mark.statistical
def test_dithers_are_even_over_slots() -> None:
    """10,000 slots in 100 cells, both scores, each also of half as many cells a lag apart."""
    for column in DITHERS.T:
        cells = (column * 100).astype(int)
        assert is_uniform(cells, 100)
        assert is_uniform(cells[1:] // 10 * 10 + cells[:-1] // 10, 100)
    assert not is_uniform((DITHERS[:, 0] ** 1.3 * 100).astype(int), 100)  # 30 % wrong is seen


@pytest.mark.statistical
@pytest.mark.parametrize(
    "other",
    [
        DITHERS[:, ::-1],
        Dither.of(SECRET[::-1]).of_slots(KEYS, SCORES),
        Dither.of(SECRET).of_slots([key[::-1] for key in KEYS], SCORES),
        Dither.of(SECRET).of_slots(KEYS, ["y_loyal2", "y_flipped2"]),
    ],
    ids=["score", "outlet", "slot", "name"],
)
def test_dithers_are_independent_over_scores_outlets_and_slots(other: np.ndarray) -> None:
    """Chi-squared of 10 x 10 cells over 10,000 pairs; false alarms 1 in 10^6."""
    for one, two in zip(DITHERS.T, other.T, strict=True):
        assert is_uniform((one * 10).astype(int) * 10 + (two * 10).astype(int), 100)
        assert not (one == two).any()


@pytest.mark.statistical
def test_whole_points_under_dithers_are_the_points_on_average() -> None:
    """10,000 customers with .3 of a point each: 3,000 whole ones, not none."""
    whole = np.floor(0.3 + DITHERS[:, 0])
    assert set(whole) == {0, 1}
    assert stats.binomtest(int(whole.sum()), len(KEYS), 0.3).pvalue > FALSE_ALARM


def test_names_and_keys_do_not_run_into_one_another() -> None:
    one = Dither.of(SECRET).of_slots([b"ab"], ["c"])
    assert one != Dither.of(SECRET).of_slots([b"a"], ["bc"])


def test_the_secret_is_not_printed() -> None:
    made = Dither.of(SECRET)
    assert repr(made) == "Dither()"
