"""A canary in a training night tells no more than the claim, and a planted fault is seen.

150 nights each way. The measure has a standard error of .2: honest nights lie four of them below
the line that is drawn, and nights of half the noise four above it.
"""

from __future__ import annotations

import pytest

from benchmarks.canary import audit

pytestmark = pytest.mark.statistical


def test_the_strongest_adversary_measures_no_more_loss_than_is_claimed() -> None:
    found = audit(150)
    assert found.consistent
    assert found.claimed / 2 < found.measured < 1.25 * found.claimed  # else it would be nobody


def test_half_the_noise_is_seen_as_a_larger_loss() -> None:
    found = audit(150, "half")
    assert found.measured > 1.25 * found.claimed
