"""What tokens cost each party, against libsodium's bare scalar multiplication through rbcl.

python -m benchmarks.tokens [count]

`count` identifiers (512 by default, at most 4,096) make one request, with one proof a holder.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import rbcl as sodium

from privacy.tokens import TokenShare, blind, token, total_key, unblind

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_COUNT = 512


def main() -> None:
    """Times each party's part of one request and prints tokens a second and ratios."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_COUNT
    names = [f"tel:+6581{index:06d}" for index in range(count)]
    hq, office = TokenShare.generate(), TokenShare.generate()
    pinned = total_key(hq.public, office.public)
    scalar = sodium.crypto_core_ristretto255_scalar_random()

    blinded = blind(names)
    points = [one.point for one in blinded]
    first, second = hq.evaluate(points), office.evaluate(points)
    if unblind(blinded, first, second, pinned) != [token(name, hq, office) for name in names]:
        raise SystemExit("a token differs from the direct evaluation")
    bare, blinding, opening, holder = _best(
        lambda: [sodium.crypto_scalarmult_ristretto255(scalar, point) for point in points],
        lambda: blind(names),
        lambda: unblind(blinded, first, second, pinned),
        lambda: hq.evaluate(points),
    )
    lines = [
        ("bare scalar multiplication", bare),
        ("outlet: blind", blinding),
        ("outlet: verify both, add, unblind", opening),
        ("outlet: all", blinding + opening),
        ("a holder: evaluate and prove", holder),
    ]
    for label, seconds in lines:
        rate = f"{count / seconds:10,.0f} a second"
        sys.stdout.write(f"{label:36s}{rate} {seconds / bare:8.2f} x\n")


def _best(*parts: Callable[[], object]) -> list[float]:
    """The best of five, in seconds; the parts take turns, so that a busy machine is busy to all."""
    best = [float("inf")] * len(parts)
    for _ in range(5):
        for index, part in enumerate(parts):
            began = time.perf_counter()
            part()
            best[index] = min(best[index], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
