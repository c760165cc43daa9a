"""The office over gRPC, behind mutual TLS: only HQ's pinned certificate gets in."""

from __future__ import annotations

import logging
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from typing_extensions import override

from privacy.errors import InvalidParameter, PrivacyError
from privacy.loss import Rho
from privacy.plans import PlannedReleases, ReleaseDraft
from privacy.two_key_sum import Envelope
from privacy.units import Purpose
from server.office.errors import OfficeError
from server.wire import office_pb2, office_pb2_grpc
from server.wire.refusals import METADATA_KEY, STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from privacy.identity import Card, Identity
    from server.office.unlock import Office

_LOG = logging.getLogger(__name__)

CHUNK_BYTES = 2**20


class OfficeService(office_pb2_grpc.OfficeServicer):
    """Translates messages to calls of `Office` and refusals to statuses; decides nothing."""

    def __init__(self, office: Callable[[], Office]) -> None:
        """Serves an office.

        Args:
            office: Gives the office with its list as it is now.
        """
        self._office = office

    @override
    def SignNight(
        self, request: office_pb2.SignNightRequest, context: grpc.ServicerContext
    ) -> office_pb2.SignedPlan:
        with _refusals(context):
            lines = [_line(line) for line in request.releases]
            signed = self._office().sign_night(request.night, request.cut_off, lines)
            _LOG.info("night %r: signed", request.night)
            return office_pb2.SignedPlan(payload=signed.payload, signature=signed.signature)

    @override
    def SignRelease(
        self, request: office_pb2.SignReleaseRequest, context: grpc.ServicerContext
    ) -> office_pb2.SignedPlan:
        with _refusals(context):
            draft = ReleaseDraft.decode(request.draft)
            signed = self._office().sign_release(draft)
            return office_pb2.SignedPlan(payload=signed.payload, signature=signed.signature)

    @override
    def Unlock(
        self, request: office_pb2.UnlockRequest, context: grpc.ServicerContext
    ) -> Iterator[office_pb2.Chunk]:
        with _refusals(context):
            envelopes = [
                Envelope(raw.outlet, raw.sealed_seed, raw.vector_digest, raw.signature)
                for raw in request.envelopes
            ]
            answer = self._office().unlock(request.plan_digest, envelopes)
            _LOG.info("plan %r: unlocked for %d outlets", request.plan_digest[:12], len(envelopes))
            for start in range(0, len(answer), CHUNK_BYTES):
                yield office_pb2.Chunk(data=answer[start : start + CHUNK_BYTES])

    @override
    def CloseNight(
        self, request: office_pb2.CloseNightRequest, context: grpc.ServicerContext
    ) -> office_pb2.CloseNightResponse:
        with _refusals(context):
            self._office().close_night(request.night)
            _LOG.info("night %r: closed", request.night)
            return office_pb2.CloseNightResponse()


def start_server(
    service: OfficeService, identity: Identity, hq: Card, address: str
) -> tuple[grpc.Server, int]:
    """Starts serving over mutual TLS.

    Args:
        service: What is served.
        identity: The office's.
        hq: The only party that may call.
        address: `host:port`; port 0 takes a free one.

    Returns:
        The server, started, and its port.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    office_pb2_grpc.add_OfficeServicer_to_server(service, server)
    credentials = grpc.ssl_server_credentials(
        [(identity.tls_key, identity.card.certificate.encode())],
        root_certificates=hq.certificate.encode(),
        require_client_auth=True,
    )
    port = server.add_secure_port(address, credentials)
    server.start()
    return server, port


@contextmanager
def _refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns a refusal into its status; anything else ends the call without a word about it."""
    try:
        yield
    except (PrivacyError, OfficeError) as error:
        name = type(error).__name__
        _LOG.warning("refused: %s: %r", name, str(error))
        refusal = office_pb2.Refusal(
            type=name,
            message=str(error),
            outlet=getattr(error, "outlet", None) or "",
            purpose=getattr(error, "purpose", ""),
            requested=str(getattr(error, "requested", "")),
            remaining=str(getattr(error, "remaining", "")),
        )
        context.set_trailing_metadata(((METADATA_KEY, refusal.SerializeToString()),))
        context.abort(STATUS.get(name, grpc.StatusCode.INTERNAL), name)
    except Exception as error:  # noqa: BLE001  (its text stays here, also a database's)
        _LOG.error("call failed: %s", type(error).__name__)
        context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)


def _line(raw: office_pb2.PlannedReleases) -> PlannedReleases:
    try:
        rho = Rho(raw.rho) if raw.HasField("rho") else None
        return PlannedReleases(Purpose(raw.purpose), raw.count, rho)
    except ValueError as error:
        raise InvalidParameter("night: malformed releases") from error
