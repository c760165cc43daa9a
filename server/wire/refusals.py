"""Refusals over gRPC: the one table from an error's type to a status."""

from __future__ import annotations

from typing import cast

import grpc

from server.wire.office_pb2 import Refusal

METADATA_KEY = "escapement-refusal-bin"

TIME_KEY = "escapement-time"
"""Under which HQ says its time with a call, in Unix seconds."""

LEDGER_KEY = "escapement-ledger"
"""Under which it says how far its copy of the office's ledger is: length and head."""

STATUS: dict[str, grpc.StatusCode] = {
    "PlanRefused": grpc.StatusCode.FAILED_PRECONDITION,
    "ReleaseClosed": grpc.StatusCode.FAILED_PRECONDITION,
    "TransferFailed": grpc.StatusCode.INVALID_ARGUMENT,
    "AnswerRefused": grpc.StatusCode.INVALID_ARGUMENT,
    "BudgetExceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "InvalidParameter": grpc.StatusCode.INVALID_ARGUMENT,
    "OfficePaused": grpc.StatusCode.UNAVAILABLE,
    "NotAllowed": grpc.StatusCode.PERMISSION_DENIED,
    "QuotaReached": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "TokenRefused": grpc.StatusCode.INVALID_ARGUMENT,
    "RegistrationRefused": grpc.StatusCode.FAILED_PRECONDITION,
    "RefreshRefused": grpc.StatusCode.FAILED_PRECONDITION,
    "DirectoryRefused": grpc.StatusCode.NOT_FOUND,
    "PublicationRefused": grpc.StatusCode.FAILED_PRECONDITION,
    "PublicationTooSoon": grpc.StatusCode.FAILED_PRECONDITION,
    "BookRefused": grpc.StatusCode.INVALID_ARGUMENT,
    "HeadRefused": grpc.StatusCode.FAILED_PRECONDITION,
    "ClocksApart": grpc.StatusCode.FAILED_PRECONDITION,
    "LedgerAhead": grpc.StatusCode.FAILED_PRECONDITION,
    "LedgerForked": grpc.StatusCode.FAILED_PRECONDITION,
    "TooManyCalls": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "RequestTooLarge": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Every error that a peer may see, by the name of its type; any other is INTERNAL, without text."""


def read_refusal(error: grpc.RpcError) -> Refusal | None:
    """The refusal that a call ended with; None where it failed for another reason."""
    call = cast("grpc.Call", error)  # what a stub raises is both
    for key, value in call.trailing_metadata() or ():
        if key == METADATA_KEY and isinstance(value, bytes):
            return Refusal.FromString(value)
    return None
