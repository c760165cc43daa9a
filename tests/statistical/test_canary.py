"""A canary in a training night tells no more than the claim, and a planted fault is seen.

150 nights each way. The measure has a standard error of .2: honest nights measure about 1.4 of the
claimed 2, nights of half the noise about 2.9, and the line is drawn at 2.2.
"""

from __future__ import annotations

import pytest

from benchmarks.canary import audit

pytestmark = pytest.mark.statistical


def test_the_strongest_adversary_measures_no_more_loss_than_is_claimed() -> None:
    found = audit(150)
    assert found.consistent
    assert found.claimed / 2 < found.measured < 1.1 * found.claimed  # else it would be nobody


def test_half_the_noise_is_seen_as_a_larger_loss() -> None:
    found = audit(150, "half")
    assert found.measured > 1.1 * found.claimed
