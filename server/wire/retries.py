"""How a caller waits while HQ or the office has as many of its calls in flight as it takes.

Such a call was refused before a byte of it was read, so it may be made again as it is. It is made
again after waits that grow, each drawn at random so that callers do not come back together, until
its deadline; then the refusal is the caller's to read.
"""

from __future__ import annotations

import random
import time
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import grpc

from server.wire.connections import REFUSED_FOR_NOW
from server.wire.refusals import read_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
"""Seconds; each wait is between half of it and one and a half times that long."""

UNLIMITED_SECONDS = 30.0
"""For how long a call without a deadline is made again."""


class Restartable:
    """A stream of a request that can be sent from its beginning again."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        """Makes the stream anew for each attempt."""
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        """The stream from its beginning."""
        return self._make()


def patient(channel: grpc.Channel) -> grpc.Channel:
    """The channel, whose calls are made again while they are refused for now.

    Not one whose request is a stream that is no `Restartable`.
    """
    return grpc.intercept_channel(channel, _Patience())


class _Patience(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Makes calls again; gRPC names the request first of what it hands on."""

    def _one(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        attempts = _attempts(details, request)
        while True:
            timed, is_last = next(attempts)
            call = go_on(timed, _sent(request))
            if is_last or not _is_for_now(call.exception()):
                return call

    def _several(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        attempts = _attempts(details, request)
        while True:
            timed, is_last = next(attempts)
            call = go_on(timed, _sent(request))
            try:
                first = list(islice(call, 1))
            except grpc.RpcError as error:
                if is_last or not _is_for_now(error):
                    raise
            else:
                return chain(first, call)

    intercept_unary_unary: Any = _one
    intercept_stream_unary: Any = _one
    intercept_unary_stream: Any = _several
    intercept_stream_stream: Any = _several


def _attempts(details: Any, request: Any) -> Iterator[tuple[Any, bool]]:
    """Gives the call's details for each attempt, and whether it is the last; waits between two.

    What is left of the deadline is each attempt's.
    """
    seconds = UNLIMITED_SECONDS if details.timeout is None else details.timeout
    end, wait = time.monotonic() + seconds, FIRST_WAIT
    if hasattr(request, "__next__"):  # a stream that cannot be sent again
        yield details, True
    while True:
        pause = wait * random.uniform(0.5, 1.5)  # noqa: S311  (no secret)
        left = end - time.monotonic()
        is_last = left <= pause
        yield details._replace(timeout=None if details.timeout is None else max(left, 0)), is_last
        time.sleep(pause)
        wait = min(2 * wait, LONGEST_WAIT)


def _sent(request: Any) -> Any:
    return iter(request) if isinstance(request, Restartable) else request


def _is_for_now(error: Exception | None) -> bool:
    if not isinstance(error, grpc.RpcError):
        return False
    refusal = read_refusal(error)
    return refusal is not None and refusal.type in REFUSED_FOR_NOW
