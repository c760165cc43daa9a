"""What HQ serves outlets besides nights: its share of the token key, directories, the band book.

Directories are handed out whole, or as all that changed since one, and the book is handed out
whole: asking for one says nothing about a customer.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from typing_extensions import override

from privacy.directory import DirectoryRefused
from privacy.identity import PartyKind
from server.holder import serving
from server.holder.errors import HolderNotConfigured
from server.holder.meter import Meter
from server.holder.peers import Peers
from server.holder.refusals import refusals
from server.holder.service import TokensService
from server.hq.registry import Registry
from server.hq.tables import HQ, HQ_METER
from server.wire import outlets_pb2, outlets_pb2_grpc
from server.wire.outlets_pb2_grpc import (
    add_LibraryServicer_to_server,
    add_TokensServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from privacy.keyring import Keyring
    from server.hq.settings import HqFile

PIECE_BYTES = 2**20
LEAVE_SECONDS = 2.0
"""For calls in flight when HQ stops; outlets ask again."""


class LibraryService(outlets_pb2_grpc.LibraryServicer):
    """Hands out what is published, in pieces of at most 1 MiB."""

    def __init__(self, registry: Registry) -> None:
        """Serves a registry."""
        self._registry = registry

    @override
    def Directory(
        self, request: outlets_pb2.DirectoryRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.Piece]:
        with refusals(context):
            encoded = self._registry.published(request.digest, request.held)
            if encoded is None:
                raise DirectoryRefused(
                    "directory: got a digest that is not among the latest; take tonight's plan's"
                )
            yield from _pieces(encoded)

    @override
    def Book(
        self, request: outlets_pb2.BookRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.Piece]:
        with refusals(context):
            yield from _pieces(self._registry.latest_book() or b"")


@contextmanager
def running(ring: Keyring, settings: HqFile) -> Iterator[str]:
    """Serves outlets from a folder until left.

    Args:
        ring: HQ's keys and lists; its folder holds the databases.
        settings: HQ's.

    Yields:
        `host:port`, with the port that was taken where 0 was asked for.

    Raises:
        HolderNotConfigured: If neither settings nor card say where to listen.
        PrivacyError: If a key is missing.
        OSError: If the address cannot be bound.
    """
    identity, peers = ring.identity(), Peers(ring, PartyKind.OUTLET)
    ring.token_share()  # what is missing is said here, not at the first call
    address = settings.services or identity.card.service_address
    if not address:
        raise HolderNotConfigured(
            f"{ring.folder}: its card names no address of services; make HQ's keys anew with "
            "`init --services host:port`"
        )
    with ExitStack() as stack:
        registry = stack.enter_context(closing(Registry(HQ.url(ring.folder, settings.database))))
        meter = stack.enter_context(closing(Meter(HQ_METER.url(ring.folder), HQ_METER)))
        quota = settings.tokens.quota()
        tokens = TokensService(ring.token_share, meter, quota, peers, time.time)
        library = LibraryService(registry)
        server, port = serving.start(
            identity,
            peers,
            address,
            lambda server: add_TokensServicer_to_server(tokens, server),
            lambda server: add_LibraryServicer_to_server(library, server),
        )
        stack.callback(lambda: server.stop(grace=LEAVE_SECONDS).wait())
        yield f"{address.rpartition(':')[0]}:{port}"


def _pieces(data: bytes) -> Iterator[outlets_pb2.Piece]:
    for start in range(0, len(data), PIECE_BYTES):
        yield outlets_pb2.Piece(data=data[start : start + PIECE_BYTES])
