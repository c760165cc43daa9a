"""Clipping: no contribution is longer than the clipping norm.

Clipping is idempotent, never lengthens, and is the only place where a contribution is shortened.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from privacy.errors import InvalidParameter

Rows = npt.NDArray[np.float64]


def clip_rows(rows: Rows, norm: float) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Scales every row that is longer than `norm` down to it.

    Args:
        rows: float64[n, d], finite, one contribution a row, everything a unit adds included.
        norm: The clipping norm, in the rows' own units.

    Returns:
        float64[n, d] of rows no longer than `norm` (up to rounding), and bool[n]: which were.

    Raises:
        InvalidParameter: If `norm` is not positive, or `rows` is not two-dimensional.
    """
    if rows.ndim != 2:  # noqa: PLR2004  (a matrix)
        raise InvalidParameter(f"contribution: got {rows.ndim} dimensions, expected 2")
    if not (norm > 0 and np.isfinite(norm)):
        raise InvalidParameter(f"clipping norm: got {norm}, expected a positive number")
    # Dividing by the largest entry first keeps the squares of huge rows finite.
    largest = np.abs(rows).max(axis=1, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)
    with np.errstate(over="ignore"):  # an infinite length clips a row to zero
        lengths = safe * np.sqrt(np.square(rows / safe[:, None]).sum(axis=1))
    longer = lengths > norm
    factor = np.ones(len(rows))
    factor[longer] = norm / lengths[longer]
    return rows * factor[:, None], longer
