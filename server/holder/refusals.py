"""From an error to a gRPC status, for HQ and the office alike; the table is the wire's."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from privacy.errors import PrivacyError
from server.holder.errors import HolderError
from server.wire.office_pb2 import Refusal
from server.wire.refusals import METADATA_KEY, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)


@contextmanager
def refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns a refusal into its status; anything else ends the call without a word about it."""
    try:
        yield
    except (PrivacyError, HolderError) as error:
        name = type(error).__name__
        _LOG.warning("refused: %s: %r", name, str(error))
        if name not in STATUS:  # it may name a file: that stays in the log
            context.abort(grpc.StatusCode.INTERNAL, name)
        refusal = Refusal(
            type=name,
            message=str(error),
            outlet=getattr(error, "outlet", None) or "",
            purpose=getattr(error, "purpose", ""),
            requested=str(getattr(error, "requested", "")),
            remaining=str(getattr(error, "remaining", "")),
        )
        context.set_trailing_metadata(((METADATA_KEY, refusal.SerializeToString()),))
        context.abort(STATUS[name], name)
    except Exception as error:  # noqa: BLE001  (its text stays here, also a database's)
        _LOG.error("call failed: %s", type(error).__name__)
        context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
