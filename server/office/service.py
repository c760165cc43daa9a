"""The office over gRPC, behind mutual TLS: HQ's calls, the relay and the notary for outlets.

Who may call which service is decided before, by `server.holder.serving`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from typing_extensions import override

from privacy.errors import InvalidParameter
from privacy.identity import PartyKind
from privacy.log_heads import SignedHead
from privacy.loss import Rho
from privacy.plans import PlannedReleases, ReleaseDraft
from privacy.published_books import BookSummary
from privacy.purposes import Purpose
from privacy.registrations import SEALED_BYTES
from privacy.seal_plans import SealDraft
from privacy.two_key_sum import Carried, Envelope
from server.holder.refusals import refusals
from server.office.choice_parts import read_choices
from server.office.clock import check_time, said_position
from server.office.directory_parts import read_directory
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import grpc

    from privacy.budget import LedgerEntry
    from privacy.publications import Countersigned
    from privacy.tokens import TokenShare
    from server.holder.peers import Peers
    from server.office.notary import Notary
    from server.office.publications import Publications
    from server.office.relay import Relay
    from server.office.unlock import Office

_LOG = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
_ENTRIES_A_PIECE = 1000
_MESSAGES_A_PIECE = CHUNK_BYTES // (SEALED_BYTES + 3)  # with what protobuf adds to each


class OfficeService(office_pb2_grpc.OfficeServicer):
    """Translates messages to calls of `Office` and refusals to statuses; decides nothing."""

    def __init__(
        self,
        office: Callable[[], Office],
        relay: Callable[[], Relay],
        publications: Callable[[], Publications],
        refresh: Callable[[int, bytes], TokenShare],
        clock: Callable[[], float],
    ) -> None:
        """Serves an office. Each argument but the last refuses where the office is paused.

        Args:
            office: Gives the office with its list as it is now.
            relay: Gives the relay.
            publications: Gives what was countersigned.
            refresh: Moves the office's share of the token key to an epoch by a delta.
            clock: Unix seconds.
        """
        self._office, self._relay, self._publications = office, relay, publications
        self._refresh, self._clock = refresh, clock

    @contextmanager
    def _timely(self, context: grpc.ServicerContext) -> Iterator[None]:
        """A call by which something is signed, unlocked or counted.

        HQ's clock has to agree, and the ledger to go on from HQ's copy of it.
        """
        with refusals(context):
            check_time(context, self._clock())
            self._office().check_history(said_position(context))
            yield

    @override
    def SignNight(
        self, request: office_pb2.SignNightRequest, context: grpc.ServicerContext
    ) -> office_pb2.SignedPlan:
        with self._timely(context):
            lines = [_line(line) for line in request.releases]
            signed = self._office().sign_night(request.night, request.cut_off, lines)
            _LOG.info("night %r: signed", request.night)
            return office_pb2.SignedPlan(payload=signed.payload, signature=signed.signature)

    @override
    def SignRelease(
        self, request: office_pb2.SignReleaseRequest, context: grpc.ServicerContext
    ) -> office_pb2.SignedPlan:
        with self._timely(context):
            draft = ReleaseDraft.decode(request.draft)
            signed = self._office().sign_release(draft)
            return office_pb2.SignedPlan(payload=signed.payload, signature=signed.signature)

    @override
    def Unlock(
        self, request: office_pb2.UnlockRequest, context: grpc.ServicerContext
    ) -> Iterator[office_pb2.Chunk]:
        with self._timely(context):
            if request.carried:
                raise InvalidParameter("unlock: a sum that is opened carries nobody")
            envelopes = [_envelope(raw) for raw in request.envelopes]
            answer = self._office().unlock(request.plan_digest, envelopes)
            _LOG.info("plan %r: unlocked for %d outlets", request.plan_digest[:12], len(envelopes))
            yield from _chunks(answer)

    @override
    def SumBlocks(
        self, request: office_pb2.SumBlocksRequest, context: grpc.ServicerContext
    ) -> office_pb2.SumBlocksResponse:
        with self._timely(context):
            quorum, blocks, admitted = self._office().sum_blocks()
            told = [office_pb2.SumBlock(outlets=sorted(block)) for block in blocks]
            return office_pb2.SumBlocksResponse(
                quorum=quorum, blocks=told, admitted=sorted(admitted)
            )

    @override
    def SignSeal(
        self, request: office_pb2.SignReleaseRequest, context: grpc.ServicerContext
    ) -> office_pb2.SignedSeal:
        with self._timely(context):
            draft = SealDraft.decode(request.draft)
            signed, transfers = self._office().sign_seal(draft)
            _LOG.info("plan %r: a %s seal signed", signed.digest[:12], draft.kind)
            return office_pb2.SignedSeal(
                payload=signed.payload, signature=signed.signature, transfers=transfers
            )

    @override
    def StoreSet(
        self, request: office_pb2.UnlockRequest, context: grpc.ServicerContext
    ) -> office_pb2.StoreSetResponse:
        with self._timely(context):
            envelopes = [_envelope(raw) for raw in request.envelopes]
            carried = [Carried(_envelope(raw.envelope), raw.plan_digest) for raw in request.carried]
            stored = self._office().store_set(request.plan_digest, envelopes, carried)
            _LOG.info(
                "plan %r: set of %d outlets stored, %d carried",
                request.plan_digest[:12], len(envelopes), len(carried),
            )  # fmt: skip
            return office_pb2.StoreSetResponse(set_digest=stored)

    @override
    def SealChunk(
        self,
        request_iterator: Iterator[office_pb2.SealChunkPart],
        context: grpc.ServicerContext,
    ) -> Iterator[office_pb2.Chunk]:
        with self._timely(context):
            office = self._office()
            plan_digest, chunk, choices = read_choices(request_iterator)
            for piece in office.seal_chunk(plan_digest, chunk, choices):
                yield from _chunks(piece)
            _LOG.info("plan %r: tables of chunk %d sent", plan_digest[:12], chunk)

    @override
    def CloseSeal(
        self, request: office_pb2.CloseSealRequest, context: grpc.ServicerContext
    ) -> office_pb2.CloseSealResponse:
        with self._timely(context):
            self._office().close_seal(request.plan_digest)
            _LOG.info("plan %r: seal closed", request.plan_digest[:12])
            return office_pb2.CloseSealResponse()

    @override
    def CloseNight(
        self, request: office_pb2.CloseNightRequest, context: grpc.ServicerContext
    ) -> office_pb2.CloseNightResponse:
        with self._timely(context):
            self._office().close_night(request.night)
            _LOG.info("night %r: closed", request.night)
            return office_pb2.CloseNightResponse()

    @override
    def CollectBatch(
        self, request: office_pb2.CollectBatchRequest, context: grpc.ServicerContext
    ) -> Iterator[office_pb2.SealedBatch]:
        with refusals(context):
            last = self._publications().last_directory()
            batch, sealed, forgotten = self._relay().collect(
                request.after, last.batch if last.digest else None
            )
            _LOG.info("batch %d: %d messages collected", batch, len(sealed))
            if forgotten:
                _LOG.warning("HQ lost batches %d to %d", request.after + 1, forgotten)
            for start in range(0, max(len(sealed), 1), _MESSAGES_A_PIECE):
                piece = sealed[start : start + _MESSAGES_A_PIECE]
                yield office_pb2.SealedBatch(batch=batch, sealed=piece, forgotten=forgotten)

    @override
    def LastDirectory(
        self, request: office_pb2.LastDirectoryRequest, context: grpc.ServicerContext
    ) -> office_pb2.LastDirectoryResponse:
        with refusals(context):
            last = self._publications().last_directory()
            return office_pb2.LastDirectoryResponse(
                batch=last.batch, slots=last.slots, digest=last.digest
            )

    @override
    def FetchDirectory(
        self, request: office_pb2.FetchDirectoryRequest, context: grpc.ServicerContext
    ) -> Iterator[office_pb2.Chunk]:
        with refusals(context):
            publications = self._publications()
            copy = publications.fetch_directory(request.network)
            publications.note_loss(request.after, self._clock())
            _LOG.warning(
                "directory: HQ lost the batches after %d, and takes the last countersigned one "
                "over; outlets are told",
                request.after,
            )
            yield from _chunks(copy.encode())

    @override
    def CountersignDirectory(
        self,
        request_iterator: Iterator[office_pb2.DirectoryPart],
        context: grpc.ServicerContext,
    ) -> office_pb2.CountersignedPublication:
        with self._timely(context):
            publications, relay = self._publications(), self._relay()
            network, changes, evidence, last = read_directory(request_iterator)
            made = publications.countersign_directory(
                network,
                changes,
                evidence,
                last,
                open_batch=relay.open_batch().batch,
                sizes=relay.sizes(),
                at=self._clock(),
            )
            _LOG.info(
                "directory of batch %d: countersigned, %d slots more and %d blank",
                changes.batch, len(changes.added), len(changes.blanked),
            )  # fmt: skip
            return _publication(made)

    @override
    def CountersignBook(
        self, request: office_pb2.CountersignBookRequest, context: grpc.ServicerContext
    ) -> office_pb2.CountersignedPublication:
        with self._timely(context):
            summary = BookSummary(request.signature, request.header, request.body)
            made = self._publications().countersign_book(
                request.directory, summary, at=self._clock()
            )
            _LOG.info("book %r: countersigned", summary.digest[:12])
            return _publication(made)

    @override
    def RefreshShare(
        self, request: office_pb2.RefreshShareRequest, context: grpc.ServicerContext
    ) -> office_pb2.RefreshShareResponse:
        with refusals(context):
            share = self._refresh(request.epoch, request.delta)
            _LOG.info("share of the token key: epoch %d", share.epoch)
            return office_pb2.RefreshShareResponse(epoch=share.epoch, public_key=share.public)

    @override
    def FetchLedger(
        self, request: office_pb2.FetchLedgerRequest, context: grpc.ServicerContext
    ) -> Iterator[office_pb2.LedgerEntries]:
        with refusals(context):
            entries = self._office().entries(request.after)
            for some in _some_entries(entries):
                yield office_pb2.LedgerEntries(entries=some)


class RelayService(outlets_pb2_grpc.RelayServicer):
    """Takes sealed registrations from outlets; decides nothing and opens none."""

    def __init__(self, relay: Callable[[], Relay], peers: Peers) -> None:
        """Serves a relay.

        Args:
            relay: Gives it, or refuses where the office is paused.
            peers: Who may call.
        """
        self._relay, self._peers = relay, peers

    @override
    def OpenBatch(
        self, request: outlets_pb2.OpenBatchRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.OpenBatchResponse:
        with refusals(context):
            outlet = self._peers.require(context, PartyKind.OUTLET).name
            found = self._relay().open_batch(outlet)
            return outlets_pb2.OpenBatchResponse(
                batch=found.batch, messages=found.messages, epoch=found.epoch, last=found.last
            )

    @override
    def Submit(
        self, request: outlets_pb2.SubmitRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.SubmitResponse:
        with refusals(context):
            outlet = self._peers.require(context, PartyKind.OUTLET).name
            self._relay().submit(outlet, request.batch, list(request.sealed))
            return outlets_pb2.SubmitResponse()


class NotaryService(outlets_pb2_grpc.NotaryServicer):
    """Countersigns the heads of outlets' logs; decides nothing. Never logs a digest.

    With it an outlet hears from the office itself what HQ has published last.
    """

    def __init__(
        self,
        notary: Callable[[], Notary],
        publications: Publications,
        peers: Peers,
        clock: Callable[[], float],
        entries: Callable[[int], Sequence[LedgerEntry]],
    ) -> None:
        """Serves a notary.

        Args:
            notary: Gives it, or refuses where the office is paused.
            publications: What was countersigned for HQ.
            peers: Who may call.
            clock: Unix seconds.
            entries: Gives the ledger's entries after so many.
        """
        self._notary, self._publications = notary, publications
        self._peers, self._clock, self._entries = peers, clock, entries

    @override
    def Countersign(
        self, request: outlets_pb2.CountersignRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.CountersignResponse:
        with refusals(context):
            outlet = self._peers.require(context, PartyKind.OUTLET).name
            shown = request.held
            held = SignedHead(shown.payload, shown.signature) if request.HasField("held") else None
            made = self._notary().countersign(outlet, request.digest, held, self._clock())
            statement = outlets_pb2.LogStatement(payload=made.payload, signature=made.signature)
            directory, book = map(_encoded, self._publications.latest())
            return outlets_pb2.CountersignResponse(
                statement=statement,
                directory=directory,
                book=book,
                loss=_encoded(self._publications.last_loss()),
            )

    @override
    def Ledger(
        self, request: outlets_pb2.LedgerRequest, context: grpc.ServicerContext
    ) -> Iterator[outlets_pb2.LedgerPart]:
        with refusals(context):
            self._peers.require(context, PartyKind.OUTLET)
            for some in _some_entries(self._entries(request.after)):
                yield outlets_pb2.LedgerPart(entries=some)


def _some_entries(entries: Sequence[LedgerEntry]) -> Iterator[list[bytes]]:
    """The entries as they travel, so many that a message stays below 1 MiB."""
    for start in range(0, len(entries), _ENTRIES_A_PIECE):
        yield [entry.encode() for entry in entries[start : start + _ENTRIES_A_PIECE]]


def _encoded(made: Countersigned | None) -> bytes:
    return b"" if made is None else made.encode()


def _publication(made: Countersigned) -> office_pb2.CountersignedPublication:
    return office_pb2.CountersignedPublication(payload=made.payload, signature=made.signature)


def _chunks(data: bytes) -> Iterator[office_pb2.Chunk]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield office_pb2.Chunk(data=data[start : start + CHUNK_BYTES])


def _envelope(raw: office_pb2.Envelope) -> Envelope:
    return Envelope(raw.outlet, raw.sealed_seed, raw.commitment, raw.signature)


def _line(raw: office_pb2.PlannedReleases) -> PlannedReleases:
    try:
        rho = Rho.decode(raw.rho) if raw.HasField("rho") else None
        return PlannedReleases(Purpose(raw.purpose), raw.count, rho)
    except ValueError as error:
        raise InvalidParameter("night: malformed releases") from error
