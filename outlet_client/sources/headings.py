"""A table's own headings, each told apart from the others.

Invariant: no two columns have one heading, and a heading that stands once, alone, stays as it is.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def numbered(header: Sequence[str]) -> list[str]:
    """Headings, of which those that stand several times are numbered from left to right.

    Args:
        header: Such as "Day", "", "Total", "Total".

    Returns:
        Such as "Day", "column 2", "Total#1", "Total#2": a blank one is named by its place.
    """
    counts = Counter(header)
    taken = {name for name in header if counts[name] == 1}
    seen: Counter[str] = Counter()
    found = []
    for place, name in enumerate(header, 1):
        base = name if name.strip() else f"column {place}"
        if counts[name] > 1 and name.strip():
            seen[base] += 1
            numbered_name = f"{base}#{seen[base]}"
        else:
            numbered_name = base
        while numbered_name in taken and numbered_name != name:
            seen[base] += 1
            numbered_name = f"{base}#{seen[base]}"
        taken.add(numbered_name)
        found.append(numbered_name)
    return found
