"""The errors of `server.hq`.

HqError
+-- QuorumNotMet      fewer outlets than the quorum answered
"""

from __future__ import annotations


class HqError(Exception):
    """Base of every error that `server.hq` raises on purpose."""


class QuorumNotMet(HqError):
    """Fewer outlets than the quorum answered.

    Attributes:
        answered: How many did.
        quorum: How many were needed.
    """

    def __init__(self, what: str, answered: int, quorum: int) -> None:
        super().__init__(f"{what}: {answered} outlets answered, expected at least {quorum}")
        self.answered = answered
        self.quorum = quorum
