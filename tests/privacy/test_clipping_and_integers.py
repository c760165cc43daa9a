"""Laws of clipping and of integer truncation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from privacy.clipping import clip_rows
from privacy.errors import InvalidParameter
from privacy.fixed_point import (
    _within,
    check_capacity,
    clipping_units,
    from_ring,
    ring_type,
    to_integers,
    to_ring,
)

finite = st.floats(-1e150, 1e150, allow_subnormal=False)
matrices = hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=finite)
norms = st.floats(1e-3, 1e3)


@given(matrices, norms)
def test_clipping_never_lengthens_and_ends_within_the_norm(rows: np.ndarray, norm: float) -> None:
    clipped, longer = clip_rows(rows, norm)
    lengths = [math.hypot(*row) for row in clipped]
    assert max(lengths) <= norm * (1 + 1e-12)
    assert (np.abs(clipped) <= np.abs(rows)).all()
    assert np.array_equal(clipped[~longer], rows[~longer])


@given(matrices, norms)
def test_clipping_is_idempotent(rows: np.ndarray, norm: float) -> None:
    once, _ = clip_rows(rows, norm)
    twice, _ = clip_rows(once, norm)
    np.testing.assert_allclose(twice, once, rtol=1e-12)


@pytest.mark.parametrize("over", [1e-12, 1e-9, 1e-3, 0.2, 1.0, 99.0])
def test_just_beyond_the_clipping_norm_a_row_is_shortened_and_up_to_it_kept_to_the_bit(
    over: float,
) -> None:
    norm = 5.0
    beyond, on, within = np.array([3.0, 4.0]) * (1 + over), [3.0, 4.0], [2.999999, 4.0]
    clipped, longer = clip_rows(np.array([beyond, on, within]), norm)
    assert longer.tolist() == [True, False, False]
    assert math.hypot(*clipped[0]) == pytest.approx(norm, rel=1e-14)
    assert clipped[1:].tolist() == [on, within]


@given(
    hnp.arrays(np.float64, (4, 3), elements=st.integers(-9, 9).map(float)),
    st.sampled_from([1e100, 1e155, 1e200, 1e290, 1e306]),
    norms,
)
def test_a_huge_row_keeps_its_direction(rows: np.ndarray, factor: float, norm: float) -> None:
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    expected = norm * rows / np.where(lengths > 0, lengths, 1.0)
    clipped, longer = clip_rows(rows * factor, norm)
    np.testing.assert_allclose(clipped, expected, rtol=1e-12)
    assert longer.tolist() == (lengths[:, 0] > 0).tolist()


def test_a_tiny_row_is_clipped_to_a_tinier_norm_and_keeps_its_direction() -> None:
    clipped, longer = clip_rows(np.array([[3e-200, 4e-200], [3e-210, 4e-210]]), 1e-200)
    assert longer.tolist() == [True, False]
    np.testing.assert_allclose(clipped, [[0.6e-200, 0.8e-200], [3e-210, 4e-210]], rtol=1e-14)


def test_a_row_of_zeros_is_divided_by_nothing() -> None:
    with np.errstate(invalid="raise", divide="raise"):
        clipped, longer = clip_rows(np.zeros((2, 3)), 1.0)
    assert (clipped.tolist(), longer.tolist()) == (np.zeros((2, 3)).tolist(), [False, False])


@pytest.mark.parametrize("norm", [0.0, -0.5, -2.0, np.inf, np.nan])
def test_a_clipping_norm_that_is_no_positive_number_is_refused(norm: float) -> None:
    with pytest.raises(InvalidParameter, match=r"clipping norm: got .*, expected a positive"):
        clip_rows(np.ones((1, 1)), norm)


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2)])
def test_what_is_no_matrix_of_contributions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidParameter, match=f"got {len(shape)} dimensions, expected 2"):
        clip_rows(np.ones(shape), 1.0)


@given(matrices, st.integers(1, 2**20), st.integers(1, 2**30))
def test_integer_rows_never_exceed_the_integer_norm(
    rows: np.ndarray, scale: int, norm: int
) -> None:
    integers, _ = to_integers(rows, scale, norm)
    for row in integers.tolist():
        assert sum(value * value for value in row) <= norm * norm


@pytest.mark.parametrize("bits", range(2, 28, 3))
@given(st.data())
def test_the_last_check_of_a_rows_length_is_exact_at_its_edge(
    bits: int, data: st.DataObject
) -> None:
    """Against Python's integers, for rows on the bound, one unit beyond and one below."""
    unit = data.draw(st.integers(2 ** (bits - 1), 2**bits - 1))
    for shape, root in (([3, 4], 5), ([1] * 4, 2), ([2, -3, 6], 7), ([1] * 64, 8), ([0, 1], 1)):
        on = [unit * one for one in shape]
        rows = [[*on, 0], [*on, 1], [on[0], on[1] - 1, *on[2:], 0], [*on[:-1], on[-1] + 1, 0]]
        norm = unit * root
        exact = [sum(value * value for value in row) <= norm * norm for row in rows]
        assert exact[:2] == [True, False]
        assert _within(np.array(rows, dtype=np.int64), norm).tolist() == exact


def test_a_row_on_the_bound_is_kept_to_within_one_unit() -> None:
    integers, zeroed = to_integers(np.array([[3.0, 4.0]]), 1000, 5000)
    assert (integers.tolist(), zeroed) == ([[2999, 3999]], 0)


def test_a_row_that_a_clip_failed_on_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.fixed_point.clip_rows", lambda rows, _norm: (rows, None))
    rows = np.array([[0.1, 0.1], [0.8, 0.8], [1e300, 0.0]])
    integers, zeroed = to_integers(rows, 2**20, 2**20)
    assert zeroed == 2
    assert integers[0].any()
    assert not integers[1:].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_counts_as_nothing_and_is_no_error(bad: float) -> None:
    integers, zeroed = to_integers(np.array([[0.5, 1.0], [bad, 0.5]]), 10, 10)
    assert zeroed == 1
    assert integers[0].any()
    assert not integers[1].any()


@given(
    hnp.arrays(np.float64, (3, 3), elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.integers(1, 2**40),
    st.integers(1, 2**30),
)
def test_no_value_in_a_row_raises(rows: np.ndarray, scale: int, norm: int) -> None:
    integers, zeroed = to_integers(rows, scale, norm)
    assert integers.shape == rows.shape
    assert zeroed >= int((~np.isfinite(rows).all(axis=1)).sum())


@pytest.mark.parametrize(("scale", "norm"), [(0, 1), (1, 0), (2**41, 1), (1, 2**31)])
def test_a_scale_or_norm_outside_its_domain_is_refused(scale: int, norm: int) -> None:
    with pytest.raises(InvalidParameter, match="expected 1 to"):
        to_integers(np.ones((1, 1)), scale, norm)


@pytest.mark.parametrize(("scale", "norm"), [(1, 1), (2**40, 1), (1, 2**30), (2**40, 2**30)])
def test_a_scale_and_norm_at_the_ends_of_their_domains_are_taken(scale: int, norm: int) -> None:
    integers, zeroed = to_integers(np.array([[2.0**31]]), scale, norm)
    assert zeroed == 0
    assert norm - 1 <= integers[0, 0] <= norm


def test_a_row_is_shortened_by_2_to_the_minus_40_of_itself_and_by_no_more() -> None:
    length, part = 2**30 - 2, (2**30 - 2) * 2.0**-40
    rows = np.array([[length + 1.5 * part], [length + 0.75 * part]])
    assert to_integers(rows, 1, 2**30)[0].tolist() == [[length], [length - 1]]


@given(
    hnp.arrays(np.int64, 5, elements=st.integers(-1000, 1000)),
    st.sampled_from([16, 32, 64]),
)
def test_the_ring_keeps_signed_sums(sums: np.ndarray, bits: int) -> None:
    assert from_ring(to_ring(sums, 2000, bits), 1).tolist() == sums.tolist()


def test_units_of_a_sum_are_parts_of_one_and_a_norm_in_units_is_rounded_down() -> None:
    assert from_ring(to_ring(np.array([3, -1, 8]), 9, 16), 4).tolist() == [0.75, -0.25, 2.0]
    assert clipping_units(2.5, 3) == 7


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_an_outlets_sum_saturates_at_its_bound_of_either_sign_and_nowhere_before(bits: int) -> None:
    for bound in (1, 6, 2 ** (bits - 1) - 1):
        most = 2**62 if bits == 64 else bound + 1
        sums = [0, bound - 1, bound, most, 1 - bound, -bound, -most]
        read = from_ring(to_ring(np.array(sums), bound, bits), 1)
        expected = [0, bound - 1, bound, min(most, bound), 1 - bound, -bound, max(-most, -bound)]
        np.testing.assert_allclose(read, expected, rtol=1e-15)


def test_a_bound_that_the_ring_cannot_hold_is_refused() -> None:
    for bound in (0, 2**15):
        with pytest.raises(InvalidParameter, match="outlet bound"):
            to_ring(np.array([1]), bound, 16)


@pytest.mark.parametrize(
    ("outlets", "bound", "noise"), [(10, 1001, 948), (1, 2**15 - 25, 1), (30, 1000, 115)]
)
def test_a_ring_that_could_wrap_is_refused(outlets: int, bound: int, noise: int) -> None:
    """Twelve scales of each server's noise have room beside what outlets add, and not one more."""
    check_capacity(outlets=outlets, outlet_bound=bound, noise_scale=noise, ring_bits=16)
    for more in ({"noise_scale": noise + 1}, {"outlets": outlets + 1}, {"outlet_bound": bound + 1}):
        with pytest.raises(InvalidParameter, match="got 16"):
            check_capacity(
                **{"outlets": outlets, "outlet_bound": bound, "noise_scale": noise} | more,
                ring_bits=16,
            )


@pytest.mark.parametrize("bits", [0, 8, 15, 128])
def test_a_ring_of_another_width_is_refused(bits: int) -> None:
    with pytest.raises(InvalidParameter, match="expected 16, 32 or 64"):
        ring_type(bits)
