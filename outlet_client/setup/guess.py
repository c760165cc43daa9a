"""What is guessed of an outlet's table, and why.

Invariant: a reason never holds a cell.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guess:
    """What an outlet means, and why it is thought so.

    Attributes:
        value: For the settings.
        why: In words, without any cell.
        sure: Whether nothing speaks for another reading as much.
    """

    value: str
    why: str
    sure: bool = True
