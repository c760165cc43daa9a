"""A canary in a training night tells no more than the claim, and every planted fault is seen.

Honest nights measure 1.91 of the claimed 2, since the canary's row is a little shorter than a row
may be. In n nights each way the measure has a standard error of sqrt((2 + mu^2 / 4) / n), .1 in
300; the lines at 1.5 and 2.3 are four of them away, so a correct build fails one time in 15,000.
Draws are the system's own; there is no seed.
"""

from __future__ import annotations

import pytest

from benchmarks.canary import audit

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

LEAST, MOST = 1.5, 2.3


def test_the_strongest_adversary_measures_the_loss_that_is_claimed_and_no_more() -> None:
    found = audit(300)
    assert found.consistent
    assert LEAST < found.measured < MOST  # below: it would be nobody worth looking for


@pytest.mark.parametrize(
    ("fault", "nights"),
    [
        ("half", 80),  # measures 4.0
        ("double", 80),  # 3.9
        ("unclipped", 300),  # 2.7, and is missed one time in 3,000
    ],
)
def test_a_planted_fault_is_seen_as_a_larger_loss(fault: str, nights: int) -> None:
    assert audit(nights, fault).measured > MOST
