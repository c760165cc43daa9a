"""A holder's gRPC port: mutual TLS, and one table of who may call which service."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
from typing_extensions import override

from privacy.identity import PartyKind
from server.holder.errors import NotAllowed
from server.holder.peers import tls_credentials
from server.holder.refusals import refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.identity import Identity
    from server.holder.peers import Peers

CALLERS: dict[str, PartyKind] = {
    "escapement.v1.Office": PartyKind.HQ,
    "escapement.v1.Tokens": PartyKind.OUTLET,
    "escapement.v1.Relay": PartyKind.OUTLET,
    "escapement.v1.Notary": PartyKind.OUTLET,
    "escapement.v1.Library": PartyKind.OUTLET,
}
"""Who may call a service. What is not named here nobody may call."""

WORKERS = 16
_METHODS: dict[tuple[bool, bool], tuple[str, Callable[..., Any]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


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
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=WORKERS),
        interceptors=[_Doorkeeper(peers)],
        options=[("grpc.so_reuseport", 0)],  # or two programs could share a port unnoticed
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
    """Refuses a caller of the wrong kind before a service sees the call."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    @override
    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:  # no such method
            return None
        kind = CALLERS.get(handler_call_details.method.strip("/").rpartition("/")[0])
        name, make = _METHODS[handler.request_streaming, handler.response_streaming]
        behaviour = getattr(handler, name)

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            with refusals(context):
                if kind is None:
                    raise NotAllowed("caller: nobody may call this service")
                self._peers.require(context, kind)
            return behaviour(request, context)

        return make(guarded, handler.request_deserializer, handler.response_serializer)
