"""From an error to a gRPC status, for HQ and the office alike; the table is the wire's."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from privacy.errors import PrivacyError
from server.holder.error_text import error_text
from server.holder.errors import HolderError, TooManyCalls
from server.wire.office_pb2 import Refusal
from server.wire.refusals import METADATA_KEY, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)


@contextmanager
def refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns a refusal into its status; anything else ends the call without a word about it.

    What ends because its caller, or a deadline, ended the call is no error of this side.
    """
    try:
        yield
    except (PrivacyError, HolderError) as error:
        name = type(error).__name__
        if not isinstance(error, TooManyCalls):  # said once a minute, where it is counted
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
    except Exception as error:
        if not context.is_active():
            _LOG.info("call ended by its caller, or by its deadline")
            raise
        _LOG.error("call failed: %s", error_text(error))
        context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
