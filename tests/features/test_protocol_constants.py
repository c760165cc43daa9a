"""Constants: what `features` and `privacy` each hold of one protocol is one number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features import bands, calibration, points
from features.bands import KNOWN_EVIDENCE_CODE, LEAST_EVIDENCE, SCHEMES
from features.calibration import CALIBRATION_BINS, Calibration, fine_bins
from privacy import seal_plans
from privacy.seal_plans import EVIDENCE_CUTS, MOST_SCORES, SealDraft, SealKind
from privacy.slot_keys import OneTimeKey

POINT = OneTimeKey.generate().public.hex()


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (points, ["PART_BOUND", "EVIDENCE_CAP"]),
        (bands, ["EVIDENCE_CAP"]),
        (calibration, ["FINE_CUTS", "FINE_STEP", "CUT_STEP", "LEAST_GAP", "LARGEST_CUT"]),
    ],
)
def test_both_sides_name_one_constant(module: object, names: list[str]) -> None:
    for name in names:
        assert getattr(module, name) == getattr(seal_plans, name), name


def draft(kind: SealKind, cuts: tuple[tuple[int, ...], ...]) -> SealDraft:
    return SealDraft(
        "r", "n", "", kind, 9, len(cuts), cuts, 3, "s", "d", "2026-01-31", POINT, POINT
    )


def test_whoever_has_the_least_evidence_has_the_first_code_that_is_no_newcomers() -> None:
    [*_, evidence] = draft(SealKind.BAND, ((0, 4), (0, 4))).tables()
    codes = evidence.codes(np.arange(LEAST_EVIDENCE + 1)).tolist()
    assert (codes[LEAST_EVIDENCE - 1], codes[LEAST_EVIDENCE]) == (
        KNOWN_EVIDENCE_CODE - 1, KNOWN_EVIDENCE_CODE,
    )  # fmt: skip
    assert LEAST_EVIDENCE in EVIDENCE_CUTS


def test_a_book_has_room_for_a_code_of_every_scheme() -> None:
    assert len(SCHEMES) == MOST_SCORES
    for scheme in SCHEMES.values():
        cuts = Calibration(0.0, 0.0, 1.0, 0.0).cuts(scheme.thresholds, 0.0)
        [table, _evidence] = draft(SealKind.BAND, (cuts,)).tables()
        assert len(scheme.bands) - 1 == len(table.cuts) + 1 <= 1 << table.bits


@given(
    st.floats(-1e5, 1e5),
    st.floats(-1e7, 1e7),
    st.tuples(st.floats(0.001, 0.5), st.floats(0.501, 0.999)),
)
def test_whatever_cuts_and_middles_are_found_the_office_takes_them(
    centre: float, base: float, thresholds: tuple[float, float]
) -> None:
    draft(SealKind.BAND, (Calibration(centre, 0.0, 1.0, 0.0).cuts(thresholds, base),)).check()


@given(
    hnp.arrays(np.int64, 20, elements=st.integers(-1020, 1020)),
    st.integers(-250, 250).map(lambda step: 4 * step),
)
def test_the_bins_of_sums_are_the_codes_that_a_fine_seal_gives(
    sums: np.ndarray, middle: int
) -> None:
    plan = draft(SealKind.FINE, ((middle,),))
    plan.check()
    [table] = plan.tables()
    assert table.codes(sums).tolist() == fine_bins(sums, middle).tolist()
    assert len(table.cuts) + 1 == CALIBRATION_BINS
