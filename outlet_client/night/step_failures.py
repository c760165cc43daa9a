"""In which step a night failed, what that means, and what to do then.

Invariant: of an error its type's name only; its text stays in the outlet's folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from outlet_client.night.night_log import NightStep

_DOCTOR = "if the next fails too, `escapement-outlet doctor` says what is off"
_KINDS = {
    "HqUnreachable": ("HQ was not reached, or broke off", _DOCTOR),
    "ServiceUnreachable": ("HQ or the privacy office was not reached", _DOCTOR),
    "ServiceBusy": (
        "HQ or the privacy office was busy with calls of this outlet",
        "if the next fails too, look for a second night on another machine",
    ),
    "CardsApart": ("HQ or the privacy office has another certificate than here", _DOCTOR),
    "NotOnTheList": (
        "HQ does not know this outlet",
        "send HQ this outlet's public.json, and compare fingerprints",
    ),
    "ClockOff": ("this machine's clock is wrong", "set this machine's time, best by NTP"),
    "LedgerError": (
        "the ledger or the client book could not be read",
        "mend it; `escapement-outlet check` reads everything and says what is wrong",
    ),
    "TooManyBad": (
        "too many rows of the ledger are unreadable",
        "mend them; `escapement-outlet check` lists them",
    ),
    "LogContradicted": (
        "the log is not the one that was written",
        "until then the log is not countersigned",
    ),
    "NotConfigured": (
        "a setting, key or card is missing or wrong",
        "mend escapement.toml; `escapement-outlet check` tries it",
    ),
    "QuotaSpent": ("the day's tokens are used up", "the next night asks for more"),
    "TokenRefused": (
        "a token that does not fit the network's key came back",
        "tell HQ and the privacy office",
    ),
    "HeadRefused": (
        "what the privacy office signed is not about this outlet's log",
        "tell the privacy office",
    ),
    "QuestionRefused": ("a question of HQ's was refused", "tell the privacy office"),
    "Unforeseen": ("a fault of this program", "tell who maintains it"),
    "FolderInUse": ("an upgrade was running in this folder", "the next night makes up for it"),
    "OSError": ("a file could not be read or written", "look for room and rights on the disk"),
}
_LOG_SAYS = "the log of that night says more"


def words(kind: str) -> str:
    """What an error's type means, for people; a type that is not known here in its own words."""
    found = _KINDS.get(kind)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    return found[0] if found else f"an error: {spaced}"


def advice(kind: str) -> str:
    """What to do after a night that failed, by the error's type."""
    found = _KINDS.get(kind)
    return found[1] if found else _LOG_SAYS


@dataclass(frozen=True, slots=True)
class StepFailure:
    """What went wrong in a step.

    Attributes:
        step: Where; None before the first.
        kind: The name of the error's type.
    """

    step: NightStep | None
    kind: str

    @classmethod
    def of(cls, step: NightStep | None, error: BaseException) -> Self:
        """An error's kind."""
        return cls(step, type(error).__name__)
