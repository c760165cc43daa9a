"""Look-ups for this machine's own programs, over a Unix socket.

Invariant: only the user whom this program runs as can open the socket, from its first moment; and
no error's text reaches a caller but those of our own, which hold no customer's data. Who asks, and
why, comes with each look-up; one without is refused.
"""

from __future__ import annotations

import os
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from typing_extensions import override

from outlet_client.errors import OWN_ERRORS
from outlet_client.records.actor import Actor
from server.wire import office_pb2, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.bands.lookup import Answer, LookUp
    from outlet_client.services import Services

DESK_SOCKET = "desk.sock"


@dataclass(frozen=True)
class DeskService(outlets_pb2_grpc.DeskServicer):
    """Look-ups for the desk page, on this machine only; decides nothing.

    The services and the network's token key are for first times.
    """

    look_up: LookUp
    services: Services
    pinned_total: bytes

    @override
    def Lookup(
        self, request: outlets_pb2.LookupRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.LookupResponse:
        try:
            found = self._found(request)
        except OWN_ERRORS as error:
            refusal = office_pb2.Refusal(type=type(error).__name__, message=str(error))
            context.set_trailing_metadata(((METADATA_KEY, refusal.SerializeToString()),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, type(error).__name__)
        except Exception as error:  # noqa: BLE001  (its text may hold a customer's data)
            context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
        bands = [outlets_pb2.Band(score=b.score, band=b.band, allows=b.allows) for b in found.bands]
        return outlets_pb2.LookupResponse(
            status=found.status, as_of=found.as_of, bands=bands, many_outlets=found.many_outlets
        )

    def _found(self, request: outlets_pb2.LookupRequest) -> Answer:
        asked = Actor.of(request.by, request.purpose)
        if request.consent_notice:
            return self.look_up.first_time(
                request.phone,
                request.email,
                request.consent_notice,
                self.services,
                self.pinned_total,
                asked,
            )
        return self.look_up.look_up(request.phone, request.email, asked)


def start_desk(service: DeskService, home: Path) -> grpc.Server:
    """Starts serving look-ups on a socket that only this program's user can open."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    outlets_pb2_grpc.add_DeskServicer_to_server(service, server)
    place = (home / DESK_SOCKET).resolve()
    before = os.umask(0o177)  # no moment in which the socket is anybody else's
    try:
        server.add_insecure_port(f"unix:{place}")
    except RuntimeError as error:
        raise OSError(f"{place}: cannot be listened on; is its path too long?") from error
    finally:
        os.umask(before)
    server.start()
    return server
