"""A canary in a training night tells no more than the claim, and a planted fault is seen.

150 nights each way; the lower bound of the loss holds with 95 %, and of honest nights it lies about
.7 below the claim, so that a false alarm is a matter of one in thousands.
"""

from __future__ import annotations

import pytest

from benchmarks.canary import audit

pytestmark = pytest.mark.statistical


def test_the_strongest_adversary_measures_no_more_loss_than_is_claimed() -> None:
    found = audit(150)
    assert found.consistent
    assert found.measured > found.claimed / 2  # else the canary would be nobody


def test_half_the_noise_is_seen_as_a_larger_loss() -> None:
    assert not audit(150, "half").consistent
