"""The errors of `server.office`.

OfficeError (a HolderError)
+-- OfficePaused      nothing is signed, unlocked, evaluated, relayed or countersigned until the
                      office resumes
+-- NotAdmitted       an outlet that cannot be admitted to sums
"""

from __future__ import annotations

from server.holder.errors import HolderError


class OfficeError(HolderError):
    """Base of every error that `server.office` raises on purpose."""


class OfficePaused(OfficeError):
    """Nothing is signed, unlocked, evaluated, relayed or countersigned until the office resumes."""

    def __init__(self) -> None:
        super().__init__(
            "the privacy office is paused; it signs, unlocks, evaluates, relays and countersigns "
            "nothing until resumed"
        )


class NotAdmitted(OfficeError):
    """An outlet cannot be admitted to sums; nothing was changed."""

    def __init__(self, outlet: str, why: str) -> None:
        super().__init__(f"outlet {outlet}: {why}")
        self.outlet = outlet
