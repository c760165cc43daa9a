"""Integers in a ring: the only form in which a sum leaves an outlet.

Why the sensitivity is exact. A clipped row has a floating-point norm of at most C up to a relative
error of about d * 2^-53. It is shortened by 2^-40 of itself, multiplied by the scale, and truncated
toward zero, which can only shorten each coordinate. So its integer norm is at most C * scale; that
is then *checked* in integer arithmetic, not trusted; a row that fails the check counts as nothing.

Why sums never wrap. Each outlet saturates each coordinate at `outlet_bound` (a projection, so it
never increases a distance), and a plan is only signed when outlets x bound + noise tail < 2^(k-1).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.clipping import Rows, clip_rows
from privacy.errors import InvalidParameter

Integers = npt.NDArray[np.int64]
Residues = npt.NDArray[Any]
"""Unsigned residues modulo 2^k: uint16[d], uint32[d] or uint64[d]."""

RING_TYPES: dict[int, np.dtype[Any]] = {
    16: np.dtype("<u2"),
    32: np.dtype("<u4"),
    64: np.dtype("<u8"),
}
_MARGIN = 1 - 2.0**-40
LARGEST_NORM, LARGEST_SCALE = 2**30, 2**40
"""Bounds on what a plan may ask, so that no arithmetic below can overflow."""
_TAIL_SCALES = 12


def ring_type(bits: int) -> np.dtype[Any]:
    """The little-endian unsigned type of the ring modulo 2^bits.

    Raises:
        InvalidParameter: If the ring is not one of 16, 32 and 64 bits.
    """
    try:
        return RING_TYPES[bits]
    except KeyError:
        raise InvalidParameter(f"ring: got {bits} bits, expected 16, 32 or 64") from None


def noise_tail(noise_scale: int) -> int:
    """A magnitude that noise exceeds with probability below 2^-100 a coordinate.

    The discrete Gaussian is subgaussian: P(|X| > t) <= 2 exp(-t^2 / (2 sigma^2)) [CKS20, Cor. 17],
    at t = 12 sigma below 2^-102.
    """
    return _TAIL_SCALES * noise_scale


def check_capacity(*, outlets: int, outlet_bound: int, noise_scale: int, ring_bits: int) -> None:
    """Refuses a ring in which the sum of all outlets and both noises could wrap.

    Raises:
        InvalidParameter: If outlets x bound + noise tail >= 2^(k-1).
    """
    need = outlets * outlet_bound + 2 * noise_tail(noise_scale)
    if need >= 2 ** (ring_bits - 1):
        raise InvalidParameter(
            f"ring: {outlets} outlets x bound {outlet_bound} + noise need {need.bit_length() + 1} "
            f"bits, got {ring_bits}"
        )


def to_integers(rows: Rows, scale: int, norm: int) -> tuple[Integers, int]:
    """Clips rows and truncates them to integers whose norm is at most `norm`, checked.

    A row that is not finite, or whose integer norm is over the bound all the same, becomes zero. It
    is not an error: an error would reach HQ, and tell it without noise that there is such a row.

    Args:
        rows: float64[n, d], one whole contribution per unit.
        scale: Integer units per 1.0.
        norm: The clipping norm in integer units; the sensitivity of the sum.

    Returns:
        int64[n, d], and how many rows became zero, for the outlet's own eyes.

    Raises:
        InvalidParameter: If scale or norm, which are public, is outside its domain.
    """
    if not 1 <= scale <= LARGEST_SCALE or not 1 <= norm <= LARGEST_NORM:
        raise InvalidParameter(
            f"scale {scale}, norm {norm}: expected 1 to {LARGEST_SCALE} and 1 to {LARGEST_NORM}"
        )
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    clipped, _ = clip_rows(np.where(finite[:, None], rows, 0.0), norm / scale)
    truncated = np.trunc(clipped * (scale * _MARGIN))
    kept = finite & (np.abs(truncated).max(axis=1, initial=0.0) <= LARGEST_NORM)
    integers = np.where(kept[:, None], truncated, 0.0).astype(np.int64)
    kept &= _within(integers, norm)
    return np.where(kept[:, None], integers, 0), int((~kept).sum())


def _within(integers: Integers, norm: int) -> npt.NDArray[np.bool_]:
    """Tells which rows are no longer than `norm`, in exact integer arithmetic.

    Entries are at most 2^30, so a square is at most 2^60; squares are summed in two halves of 30
    bits, exact in int64 for rows of up to 2^30 entries.
    """
    squares = np.square(integers)
    low = (squares & (2**30 - 1)).sum(axis=1)
    high = (squares >> 30).sum(axis=1) + (low >> 30)
    low &= 2**30 - 1
    limit_high, limit_low = divmod(norm * norm, 2**30)
    return np.asarray((high < limit_high) | ((high == limit_high) & (low <= limit_low)))


def to_ring(sums: Integers, outlet_bound: int, ring_bits: int) -> Residues:
    """Saturates an outlet's sums at its bound and maps them into the ring.

    Args:
        sums: int64[d].
        outlet_bound: The most that one outlet may add to a coordinate.
        ring_bits: k, the ring being modulo 2^k.
    """
    if not 1 <= outlet_bound < 2 ** (ring_bits - 1):
        raise InvalidParameter(
            f"outlet bound: got {outlet_bound}, expected below 2^{ring_bits - 1}"
        )
    return np.clip(sums, -outlet_bound, outlet_bound).astype(ring_type(ring_bits))


def from_ring(residues: Residues, scale: int) -> Rows:
    """Decodes ring elements as signed numbers in the rows' own units.

    Returns:
        float64[d].
    """
    signed = residues.view(np.dtype(f"<i{residues.dtype.itemsize}"))
    return signed.astype(np.float64) / scale


def clipping_units(norm: float, scale: int) -> int:
    """A clipping norm in integer units, rounded down."""
    return math.floor(norm * scale)
