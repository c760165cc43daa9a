"""Altered bytes for whatever a party reads of another, as many as there is time for.

python -m benchmarks.fuzz [--inputs 1000000] [--seed N]

Prints how many inputs each kind had, and how many of them were read as something else than the
example that they were made from; ends with 1 at the first that is misread, and shows its bytes.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time

from tests.fuzzing import Misread, readers, try_altered
from tests.fuzzing_calls import callers


def main() -> None:
    """Runs all readers, each as often as the others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311  (no secret)
    known = {**readers(), **callers()}
    each = -(-options.inputs // len(known))
    sys.stdout.write(f"seed {options.seed}, {each:,} inputs of each of {len(known)} kinds\n")
    for name, reader in known.items():
        began = time.monotonic()
        try:
            taken = sum(try_altered(reader, chance) for _ in range(each))
        except Misread as fault:
            sys.exit(f"MISREAD: {fault}")
        seconds = time.monotonic() - began
        sys.stdout.write(
            f"{name:28} {each:9,} inputs, {taken:7,} read otherwise, {seconds:6.1f} s\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
