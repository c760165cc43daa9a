"""What the privacy office's refusals become at HQ: the same errors as at the office.

A call that ended without a refusal did not reach it, or it was paused or too slow: that is one
error too, with what is known of the cause.
"""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import grpc

from privacy.books import BookRefused
from privacy.budget import LedgerAhead, LedgerForked
from privacy.directory import DirectoryRefused
from privacy.errors import (
    AnswerRefused,
    BudgetExceeded,
    ClocksApart,
    InvalidParameter,
    PlanRefused,
    ReleaseClosed,
)
from privacy.oblivious_transfer import TransferFailed
from privacy.publications import PublicationRefused, PublicationTooSoon
from privacy.registrations import RegistrationRefused
from privacy.voprf import TokenRefused
from server.holder.errors import NotAllowed, RefreshRefused
from server.hq.errors import OfficeBusy, OfficeUnreachable
from server.wire.connections import REFUSED_FOR_NOW
from server.wire.refusals import read_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OTHERS: dict[str, type[Exception]] = {
    "BookRefused": BookRefused,
    "DirectoryRefused": DirectoryRefused,
    "InvalidParameter": InvalidParameter,
    "RequestTooLarge": InvalidParameter,
    "PublicationRefused": PublicationRefused,
    "PublicationTooSoon": PublicationTooSoon,
    "RegistrationRefused": RegistrationRefused,
    "ReleaseClosed": ReleaseClosed,
    "TransferFailed": TransferFailed,
    "TokenRefused": TokenRefused,
    "RefreshRefused": RefreshRefused,
    "NotAllowed": NotAllowed,
    "ClocksApart": ClocksApart,
    "LedgerAhead": LedgerAhead,
    "LedgerForked": LedgerForked,
}
"""Refusals that carry a message and nothing else; PlanRefused where not named."""


@contextmanager
def office_refusals(unreached: Callable[[], str]) -> Iterator[None]:
    """Raises what the office raised.

    Args:
        unreached: Says why a call did not reach it, as far as certificates are why; "".
    """
    try:
        yield
    except grpc.RpcError as error:
        refusal = read_refusal(error)
        if refusal is None:
            code = cast("grpc.Call", error).code()
            why = unreached() if code in _NOT_REACHED else ""
            raise OfficeUnreachable(why or _why(code)) from error
        if refusal.type in REFUSED_FOR_NOW:
            raise OfficeBusy(refusal.message) from error
        if refusal.type == "BudgetExceeded":
            requested, remaining = Fraction(refusal.requested), Fraction(refusal.remaining)
            raise BudgetExceeded(refusal.purpose, requested, remaining) from error
        if refusal.type == "AnswerRefused":
            raise AnswerRefused(refusal.message, refusal.outlet or None) from error
        if refusal.type == "OfficePaused":
            raise OfficeUnreachable("paused") from error
        raise _OTHERS.get(refusal.type, PlanRefused)(refusal.message) from error


_NOT_REACHED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def _why(code: grpc.StatusCode) -> str:
    """What a status without a refusal says."""
    return "ended there: too slow" if code is grpc.StatusCode.CANCELLED else str(code.name)
