"""The names that people read the two scores under.

Invariant: a neutral name says nothing against anybody, since a customer may see the screen or the
print; what a score stands for is told to whoever asks, by `MEANING`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.bands import SCHEMES
from features.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    Wording = Literal["neutral", "plain"]

_LOYAL, _FLIPPED = (SCHEMES[one].name for one in (Outcome.LOYAL, Outcome.FLIPPED))

LABELS: Mapping[Wording, Mapping[str, str]] = {
    "neutral": {_LOYAL: "Eligibility", _FLIPPED: "Review level"},
    "plain": {_LOYAL: "Eligibility", _FLIPPED: "Flipper risk"},
}
"""A score's name, by `desk.labels`."""

MEANING: Mapping[str, str] = {
    _LOYAL: "how likely somebody comes back and buys, and resells nothing",
    _FLIPPED: "how likely a piece is resold, and so whether a person looks before an offer",
}
"""What each score is a guess of, in a sentence that is true under either name."""
