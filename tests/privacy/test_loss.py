"""What a loss may be, how it is written, and its statement where noise or losses are extreme."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance

from privacy.errors import InvalidParameter
from privacy.loss import EpsilonDelta, Rho, epsilon_of, pld_epsilon


def test_a_loss_that_nobody_names_is_none() -> None:
    assert Rho() == 0


@given(st.fractions(min_value=0))
def test_a_loss_is_read_back_exactly(value: Fraction) -> None:
    assert Rho.decode(Rho(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "1e9", "0.5", "3", "-1/3", "1/-3", "+1/3", " 1/2", "1/2\n", "1/2/3", "", "/", "٣/٤",
        "1_0/3", f"{'9' * 401}/1", None, 1, 0.5, b"1/2", Fraction(1, 2),
    ],
)  # fmt: skip
def test_what_is_no_fraction_of_whole_numbers_is_no_loss(text: object) -> None:
    with pytest.raises(InvalidParameter, match="a fraction of whole numbers"):
        Rho.decode(text)


@pytest.mark.parametrize("text", ["2/4", "01/2", "0/7", "00/1", "10/20"])
def test_a_loss_has_one_way_to_be_written(text: str) -> None:
    """Entries of a ledger are compared by their bytes."""
    with pytest.raises(InvalidParameter, match="in lowest terms"):
        Rho.decode(text)


@pytest.mark.parametrize("epsilon", [0.0, -1e-9, -1.0, float("inf"), float("nan")])
def test_an_epsilon_that_promises_nothing_is_refused(epsilon: float) -> None:
    with pytest.raises(InvalidParameter, match="epsilon"):
        EpsilonDelta(epsilon, 1e-6)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_delta_is_a_probability_between_never_and_always(delta: float) -> None:
    with pytest.raises(InvalidParameter, match="delta"):
        EpsilonDelta(1.0, delta)
    assert EpsilonDelta(1.0, 0.999).delta == 0.999


@given(st.floats(1e-5, 0.05), st.sampled_from([1e-5, 1e-6]))
def test_the_rho_bought_for_a_small_epsilon_is_rounded_down(epsilon: float, delta: float) -> None:
    """Where the smallest step of a rho is a part of it that shows."""
    rho = EpsilonDelta(epsilon, delta).rho()
    assert epsilon * (1 - 1e-3) <= epsilon_of(rho, delta) <= epsilon


@given(st.floats(0.05, 5), st.floats(0.1, 0.9))
def test_the_rho_bought_at_a_large_delta_may_be_above_epsilon(epsilon: float, delta: float) -> None:
    rho = EpsilonDelta(epsilon, delta).rho()
    assert epsilon * (1 - 1e-6) <= epsilon_of(rho, delta) <= epsilon


@pytest.mark.parametrize("multiplier", [0.02, 0.1, 1.0])
def test_epsilon_agrees_with_opendp_where_there_is_hardly_any_noise(multiplier: float) -> None:
    gaussian = make_gaussian(
        vector_domain(atom_domain(T=int)), l2_distance(T=int), 1000 * multiplier
    )
    opendp = make_zCDP_to_approxDP(gaussian).map(1000).epsilon(1e-6)  # type: ignore[no-untyped-call]  # OpenDP tells no types
    assert epsilon_of(Rho(1 / (2 * multiplier**2)), 1e-6) == pytest.approx(opendp, rel=1e-3)


@pytest.mark.parametrize("delta", [1e-15, 1e-6, 0.9])
def test_epsilon_is_never_negative_and_nothing_for_no_loss(delta: float) -> None:
    assert epsilon_of(Rho(0), delta) == 0
    assert epsilon_of(Rho(1, 10**9), delta) >= 0


def test_the_tight_statement_of_nothing_is_nothing_and_of_something_is_not() -> None:
    assert pld_epsilon([], 1e-6) == 0
    assert 4 < pld_epsilon([1.0], 1e-6) < epsilon_of(Rho(1, 2), 1e-6)
