"""Purposes: what a release is for.

Every customer sum protects one customer: two networks are neighbours when one can be had from the
other by emptying everything of one token's events and outcomes, at all outlets. Each customer is
taken from one outlet only, its home, which is why one vector per customer and outlet is one per
customer; so a neighbouring sum differs by one vector, no longer than the clipping norm. Points are
another matter: their sums are never opened (`privacy.sealing`), and cost nothing.
"""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """What a release is for. The policy divides a year's rho over all of these but points."""

    USUAL = "usual"
    MOMENTS = "moments"
    TRAINING = "training"
    EVALUATION = "evaluation"
    CALIBRATION = "calibration"
    POINTS = "points"
    """Sealed; in ledgers of release 0.1 sums with noise, which count for nothing now."""
