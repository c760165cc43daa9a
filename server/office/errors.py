"""The errors of `server.office`.

OfficeError
+-- OfficePaused      nothing is signed or unlocked until the office resumes
"""

from __future__ import annotations


class OfficeError(Exception):
    """Base of every error that `server.office` raises on purpose."""


class OfficePaused(OfficeError):
    """Nothing is signed or unlocked until the office resumes."""

    def __init__(self) -> None:
        super().__init__("the privacy office is paused; it signs and unlocks nothing until resumed")
