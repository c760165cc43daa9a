"""A holder's gRPC port: mutual TLS, one table of who may call which service, and limits a caller.

How much one caller may have at a time is in `call_limits`.
"""

from __future__ import annotations

from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from typing_extensions import override

from privacy.identity import PartyKind
from server.holder.call_limits import CallLimits, Progress, limits_of
from server.holder.errors import NotAllowed
from server.holder.peers import tls_credentials
from server.holder.refusals import refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from privacy.identity import Identity
    from server.holder.call_limits import MethodLimits
    from server.holder.peers import Peers

CALLERS: dict[str, PartyKind] = {
    "escapement.v1.Office": PartyKind.HQ,
    "escapement.v1.Tokens": PartyKind.OUTLET,
    "escapement.v1.Relay": PartyKind.OUTLET,
    "escapement.v1.Notary": PartyKind.OUTLET,
    "escapement.v1.Library": PartyKind.OUTLET,
}
"""Who may call a service. What is not named here nobody may call."""

WORKERS, LONG_WORKERS = 24, 24
"""Of short calls, and of those that move much: three callers at their limits leave some free."""

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # or two programs could share a port unnoticed
    # A caller that is gone is noticed while a call waits for it; who has no call is not asked,
    # and disconnected after some minutes: its next call connects again.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),  # callers ask once a minute
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.max_concurrent_streams", 16),  # of one connection; more wait at the caller
    ("grpc.max_allowed_incoming_connections", 8192),
    ("grpc.max_receive_message_length", 4 * 2**20),
    ("grpc.max_metadata_size", 8192),
]
_METHODS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
_MAKE: dict[bool, Callable[..., Any]] = {
    False: grpc.stream_unary_rpc_method_handler,
    True: grpc.stream_stream_rpc_method_handler,
}
_MOST_CALLS = 4096
"""In flight and waiting for a worker, over all callers."""


def start(
    identity: Identity, peers: Peers, address: str, *services: Callable[[grpc.Server], None]
) -> tuple[grpc.Server, int]:
    """Starts serving over mutual TLS.

    Args:
        identity: The holder's.
        peers: Who may call at all; `CALLERS` says what.
        address: `host:port`; port 0 takes a free one.
        services: Each adds one service to the server.

    Returns:
        The server, started, and its port.

    Raises:
        OSError: If the address cannot be bound.
    """
    long_workers = futures.ThreadPoolExecutor(max_workers=LONG_WORKERS)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=WORKERS),
        interceptors=[_Doorkeeper(peers, long_workers)],
        options=_OPTIONS,
        maximum_concurrent_rpcs=_MOST_CALLS,
    )
    for add in services:
        add(server)
    try:
        port = server.add_secure_port(address, tls_credentials(identity, peers))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}; is another program there?") from error
    server.start()
    return server, port


class _Doorkeeper(grpc.ServerInterceptor):
    """Refuses who may not call, and who asks for too much, before a service sees the call.

    To gRPC every method's request is a stream here: a worker would wait for a single message before
    anything is known of who sends it.
    """

    def __init__(self, peers: Peers, long_workers: futures.ThreadPoolExecutor) -> None:
        self._peers, self._long_workers = peers, long_workers
        self._limits = CallLimits()

    @override
    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:  # no such method
            return None
        method = handler_call_details.method
        kind = CALLERS.get(method.strip("/").rpartition("/")[0])
        door = _Door(handler, limits_of(method))

        @contextmanager
        def admitted(context: grpc.ServicerContext) -> Iterator[Progress]:
            with ExitStack() as stack:
                with refusals(context):
                    if kind is None:
                        raise NotAllowed("caller: nobody may call this service")
                    caller = self._peers.require(context, kind)
                    stack.enter_context(self._limits.place(caller, method))
                what = f"{method} of {caller.kind} {caller.name}"
                progress = Progress(what, door.limits, context.cancel)
                stack.enter_context(progress.watched())
                yield progress

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            with admitted(context) as progress:
                return door.behave(messages, context, progress)

        def answers(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            with admitted(context) as progress:
                for each in door.behave(messages, context, progress):
                    with progress.waiting():
                        yield each

        behaviour: Any = answers if handler.response_streaming else answer
        if door.limits.is_long:
            behaviour.experimental_thread_pool = self._long_workers
        make = _MAKE[handler.response_streaming]
        return make(behaviour, None, handler.response_serializer)


@dataclass(frozen=True, slots=True)
class _Door:
    """One method behind its limits.

    Attributes:
        handler: gRPC's, of the service.
        limits: The method's.
    """

    handler: Any
    limits: MethodLimits

    def behave(
        self, messages: Iterator[bytes], context: grpc.ServicerContext, progress: Progress
    ) -> Any:
        """Calls the service with the request as it declared it: one message, or a stream."""
        name = _METHODS[self.handler.request_streaming, self.handler.response_streaming]
        read = self._read(messages, progress)
        if self.handler.request_streaming:
            return getattr(self.handler, name)(read, context)
        with refusals(context):
            request = next(read, None)
        if request is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "request: got none, expected one")
        return getattr(self.handler, name)(request, context)

    def _read(self, messages: Iterator[bytes], progress: Progress) -> Iterator[Any]:
        while True:
            with progress.waiting():
                message = next(messages, None)
            if message is None:
                return
            progress.add_bytes(len(message))
            yield self.handler.request_deserializer(message)
