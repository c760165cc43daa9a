"""Any curve that a calibration may be: a cut is its inverse, straight or bent either way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.calibration import (
    CALIBRATION_EDGES,
    CALIBRATION_ENDS,
    CALIBRATION_MIDDLES,
    LARGEST_CUT,
    LEAST_SLOPE,
    PRIOR_MEAN,
    PRIOR_SD,
    Calibration,
    compressed,
)
from features.errors import CatalogueError


@given(
    st.floats(-60, 60),
    st.floats(-3, 3),
    st.floats(LEAST_SLOPE, 4),
    st.sampled_from([0.0, 1e-12, -1e-12]) | st.floats(-1, 1),
    st.floats(-30, 30),
)
def test_a_cut_is_where_the_probability_is_that_it_stands_for(
    centre: float, intercept: float, slope: float, bend: float, away: float
) -> None:
    """Also where a curve bends, and on the straight piece beyond its turn."""
    curve = Calibration(centre, intercept, slope, bend)
    [wanted] = curve.probability(np.array([centre + away])).tolist()
    assume(1e-9 < wanted < 1 - 1e-9)
    cut = curve.cut(wanted)
    assert cut == pytest.approx(centre + away, abs=1e-3)
    assert curve.probability(np.array([cut]))[0] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("centre", [-400.0, 0.0, 400.0])
def test_a_probability_that_nobody_reaches_has_its_cut_at_the_largest_either_way(
    centre: float,
) -> None:
    flat = Calibration(centre, -centre / 10, LEAST_SLOPE, 0.0)
    assert (flat.cut(0.999), flat.cut(0.001)) == (LARGEST_CUT, -LARGEST_CUT)
    assert flat.cut(0.5) == pytest.approx(centre)


def test_a_score_that_is_not_a_number_is_below_all_others() -> None:
    """No customer is named first, or asked about, because of what could not be read."""
    scores = np.array([np.nan, -1e9, 0.0, 1e9])
    found = compressed(scores, 0.0)
    assert np.isfinite(found).all()
    assert found[0] == found.min()
    assert found[0] < found[2] < found[3]


@pytest.mark.parametrize("thresholds", [(0.2, 0.2), (0.3, 0.2), (0.1, 0.3, 0.3)])
def test_two_thresholds_are_never_the_same(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(CatalogueError, match="expected ascending"):
        Calibration(0.0, 0.0, 1.0, 0.0).cuts(thresholds, 0.0)


@pytest.mark.parametrize(
    "constant",
    [CALIBRATION_EDGES, CALIBRATION_ENDS, CALIBRATION_MIDDLES, PRIOR_MEAN, PRIOR_SD],
    ids=["edges", "ends", "middles", "mean", "sd"],
)
def test_no_code_changes_a_constant_of_the_protocol_in_its_place(constant: np.ndarray) -> None:
    with pytest.raises(ValueError, match="read-only"):
        constant[0] = 1.0
