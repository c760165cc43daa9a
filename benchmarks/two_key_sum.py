"""What masking, envelopes and the office cost, against a bare numpy sum of the same vectors.

python -m benchmarks.two_key_sum [--outlets 12] [--dimension 100000]
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from privacy.envelopes import SealKey, SigningKey, VerifyKey
from privacy.noise import DiscreteGaussian
from privacy.plans import ReleasePlan
from privacy.two_key_sum import (
    Aggregate,
    Contribution,
    KeptSeed,
    MaskedShare,
    check_share,
    mask_share,
    open_seed,
    sum_of_masks,
)
from privacy.units import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.fixed_point import Residues

DIGEST = "ab" * 32
T = TypeVar("T")


def main() -> None:
    """Times each party's part of one release and prints seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outlets", type=int, default=12)
    parser.add_argument("--dimension", type=int, default=100_000)
    options = parser.parse_args()
    key, names = SealKey.generate(), [f"o{index}" for index in range(options.outlets)]
    keys = {name: SigningKey.generate() for name in names}
    public = {name: signing.public for name, signing in keys.items()}
    scale = 2**8
    plan = ReleasePlan(
        "r", DIGEST, "", Purpose.POINTS, options.dimension, 32, scale, scale, scale * 2**11,
        scale // 2, 3, "", "", "2026-01-01", "", key.public.hex(), 2**40,
    )  # fmt: skip
    random = np.random.default_rng(1)
    width = 3
    slots = random.integers(0, options.dimension // width, (options.outlets, 20_000)) * width
    parts = [Contribution(random.normal(0, 20, (20_000, width)), starts) for starts in slots]

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
    office, _ = _timed(lambda: _unmask(aggregate, key))
    noise, _ = _timed(lambda: DiscreteGaussian(plan.noise_scale).draw(plan.dimension))
    lines = [
        ("each outlet: clip, truncate, add", bare / len(names), ""),
        ("each outlet: the same, masked, sealed, signed", outlets / len(names), outlets / bare),
        ("HQ: check answers", checks, checks / bare_sum),
        ("HQ: add masked vectors", adding, adding / bare_sum),
        ("bare numpy sum of all vectors", bare_sum, 1.0),
        ("office: open seeds, add masks", office, office / bare_sum),
        ("each server: noise (OpenDP)", noise, noise / bare_sum),
    ]
    for label, seconds, ratio in lines:
        times = f"{ratio:8.1f} x" if ratio else ""
        sys.stdout.write(f"{label:48s}{seconds * 1e3:10.1f} ms {times}\n")


def _check(shares: list[MaskedShare], plan: ReleasePlan, public: dict[str, VerifyKey]) -> None:
    for share in shares:
        check_share(share, plan, DIGEST, public)


def _unmask(aggregate: Aggregate, key: SealKey) -> Residues:
    plan = aggregate.plan
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
