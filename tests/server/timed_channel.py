"""A channel to the office whose calls say a time, as HQ's own client does: for bare stubs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc

from server.wire.refusals import TIME_KEY

if TYPE_CHECKING:
    from collections.abc import Callable


class _SaysTime(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the time to every call."""

    def _timed(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        said = ((TIME_KEY, str(int(time.time()))),)
        return go_on(details._replace(metadata=(*(details.metadata or ()), *said)), request)

    intercept_unary_unary: Any = _timed
    intercept_unary_stream: Any = _timed
    intercept_stream_unary: Any = _timed
    intercept_stream_stream: Any = _timed


def timed(channel: grpc.Channel) -> grpc.Channel:
    """The channel, each of whose calls says the time."""
    return grpc.intercept_channel(channel, _SaysTime())
