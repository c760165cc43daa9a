"""In which step a night failed, by the error's kind, and what to do then.

Invariant: of an error its type's name only; its text stays in the outlet's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from outlet_client.night.night_log import NightStep

_AFTER = {
    "HqUnreachable": "if the next fails too, `escapement-outlet doctor` says what is off",
    "ServiceUnreachable": "if the next fails too, `escapement-outlet doctor` says what is off",
    "ServiceBusy": "if the next fails too, look for a second night on another machine",
    "NotOnTheList": "send HQ this outlet's public.json, and compare fingerprints",
    "ClockOff": "set this machine's time, best by NTP",
    "LedgerError": "mend it; `escapement-outlet check` reads everything and says what is wrong",
    "TooManyBad": "mend them; `escapement-outlet check` lists them",
    "LogContradicted": "until then the log is not countersigned",
    "NotConfigured": "mend escapement.toml; `escapement-outlet check` tries it",
}


def advice(kind: str) -> str:
    """What to do after a night that failed, by the error's type."""
    return _AFTER.get(kind, "the log of that night says more")


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
