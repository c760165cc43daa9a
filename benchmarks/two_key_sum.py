"""What masking, envelopes and the office cost, against a bare numpy sum of the same vectors.

python -m benchmarks.two_key_sum [--outlets 12] [--slots 33333]
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from privacy.envelopes import SealKey, SigningKey, VerifyKey
from privacy.seal_plans import SealKind, SealPlan
from privacy.slot_keys import OneTimeKey
from privacy.two_key_sum import (
    Aggregate,
    KeptSeed,
    MaskedShare,
    Parts,
    check_share,
    mask_share,
    open_seed,
    sum_of_masks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.fixed_point import Residues

DIGEST = "ab" * 32
MET = 20_000
"""Customers whom one outlet has met, of a directory that has more."""
T = TypeVar("T")


def main() -> None:
    """Times each party's part of one seal's sum and prints seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outlets", type=int, default=12)
    parser.add_argument("--slots", type=int, default=33_333)
    options = parser.parse_args()
    key, names = SealKey.generate(), [f"o{index}" for index in range(options.outlets)]
    keys = {name: SigningKey.generate() for name in names}
    public = {name: signing.public for name, signing in keys.items()}
    point = OneTimeKey.generate().public.hex()
    plan = SealPlan(
        "r", DIGEST, "", SealKind.BAND, options.slots, 2, ((10, 24), (-4, 8)), 3, DIGEST, DIGEST,
        "2026-01-01", point, point, key.public.hex(), point, 2**40,
    )  # fmt: skip
    random = np.random.default_rng(1)
    met = min(MET, options.slots)
    parts = [
        Parts(random.integers(-60, 61, (met, plan.width)), random.permutation(options.slots)[:met])
        for _ in names
    ]
    bare, plain = _timed(lambda: [part.sums(plan) for part in parts])
    bare_sum, _ = _timed(lambda: np.sum(plain, axis=0))
    outlets, shares = _timed(
        lambda: [
            mask_share(part, plan, DIGEST, name, keys[name])
            for part, name in zip(parts, names, strict=True)
        ]
    )
    checks, _ = _timed(lambda: _check(shares, plan, public))
    adding, aggregate = _timed(lambda: Aggregate.of(plan, shares))
    office, _ = _timed(lambda: _masks(plan, aggregate, key))
    lines = [
        ("each outlet: place its parts", bare / len(names), ""),
        ("each outlet: the same, masked, sealed, signed", outlets / len(names), outlets / bare),
        ("HQ: check answers", checks, checks / bare_sum),
        ("HQ: add masked vectors", adding, adding / bare_sum),
        ("bare numpy sum of all vectors", bare_sum, 1.0),
        ("office: open seeds, add masks", office, office / bare_sum),
    ]
    for label, seconds, ratio in lines:
        times = f"{ratio:8.1f} x" if ratio else ""
        sys.stdout.write(f"{label:48s}{seconds * 1e3:10.1f} ms {times}\n")


def _check(shares: list[MaskedShare], plan: SealPlan, public: dict[str, VerifyKey]) -> None:
    for share in shares:
        check_share(share, plan, DIGEST, public)


def _masks(plan: SealPlan, aggregate: Aggregate, key: SealKey) -> Residues:
    seeds = [open_seed(envelope, DIGEST, key) for envelope in aggregate.envelopes]
    return sum_of_masks(plan, [KeptSeed(seed, plan.dimension) for seed in seeds])


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Runs once to warm up, then takes the best of three."""
    result = work()
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - began)
    return best, result


if __name__ == "__main__":
    main()
