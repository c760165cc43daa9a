"""The office as HQ reaches it: gRPC over mutual TLS, pinned to one certificate."""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from privacy.budget import LedgerEntry, LedgerPosition
from privacy.directory import DirectoryPosition
from privacy.errors import PrivacyError
from privacy.outlet_blocks import SumBlocks
from privacy.plans import NightPlan, Signed
from privacy.publications import Countersigned
from privacy.registrations import RegistrationRefused
from server.holder.directory_copy import DirectoryCopy
from server.hq.ledger_witness import check_goes_on, check_planned
from server.hq.office_messages import choice_parts, directory_parts, set_message
from server.hq.office_refusals import office_refusals
from server.hq.privacy_office import CollectedBatch
from server.wire import office_pb2, office_pb2_grpc
from server.wire.connections import CALLER_OPTIONS
from server.wire.handshakes import why_unreached
from server.wire.refusals import LEDGER_KEY, TIME_KEY
from server.wire.retries import Restartable, patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from privacy.directory import DirectoryChanges
    from privacy.identity import Card, Identity
    from privacy.plans import PlannedReleases, ReleaseDraft
    from privacy.published_books import BookSummary
    from privacy.registrations import Evidence
    from privacy.seal_plans import SealDraft
    from privacy.two_key_sum import Carried, Envelope
    from server.hq.ledger_witness import LedgerWitness

_LOG = logging.getLogger(__name__)

REPLACE_OFFICE = "run `escapement-hq office replace FILE` with the office's newest public.json"

CHUNK_SECONDS = 600.0
"""For a chunk of a seal at least: up to 100 MB come back."""


@dataclass(frozen=True, slots=True)
class OfficeClient:
    """Calls a remote office; the same calls and errors as `server.office.unlock.Office`.

    With what is signed, unlocked or closed HQ says its time, and the office refuses where its own
    is far from it. After each of these HQ takes what the office's ledger has more into its own
    copy, so that no charge that HQ had an answer for is missing there; a ledger that does not go on
    from the copy gets nothing signed any more.

    Attributes:
        channel: From `connect`.
        timeout: Seconds for one call.
        witness: Keeps the copy; None where none is kept.
        clock: Unix seconds.
        unreached: Says why a call did not reach the office, as far as certificates are why; "".
    """

    channel: grpc.Channel
    timeout: float
    witness: LedgerWitness | None = None
    clock: Callable[[], float] = time.time
    unreached: Callable[[], str] = lambda: ""

    @classmethod
    def connect(
        cls, identity: Identity, office: Card, timeout: float, witness: LedgerWitness | None = None
    ) -> OfficeClient:
        """Opens a channel on which each side accepts the other's certificate only.

        Raises:
            CertificateEnded: If the time of one of the two is over.
        """
        at = dt.datetime.now(dt.UTC)
        identity.card.check_dates(at, own=True)
        office.check_dates(at)
        accepted, own = "".join(office.accepted(at)), identity.card.certificate
        credentials = grpc.ssl_channel_credentials(
            root_certificates=accepted.encode(),
            private_key=identity.tls_key,
            certificate_chain=own.encode(),
        )
        name = f"{office.name}.{office.kind}"  # the certificate is pinned; its name is its own
        options = [("grpc.ssl_target_name_override", name), *CALLER_OPTIONS]
        channel = grpc.secure_channel(office.address, credentials, options)
        why = partial(why_unreached, office.address, accepted, own, identity.tls_key,
                      replace=REPLACE_OFFICE)  # fmt: skip
        return cls(channel, timeout, witness, unreached=why)

    def sign_night(self, night: str, cut_off: str, lines: Sequence[PlannedReleases]) -> Signed:
        """Signs a night plan and reserves its cost."""
        releases = [
            office_pb2.PlannedReleases(
                purpose=line.purpose.value,
                count=line.count,
                rho=None if line.rho is None else line.rho.encode(),
            )
            for line in lines
        ]
        request = office_pb2.SignNightRequest(night=night, cut_off=cut_off, releases=releases)
        self.follow_ledger()  # it waits for an office that is just starting
        with self._refusals():
            signed = self._stub.SignNight(request, timeout=self.timeout, metadata=self._now())
        if self.witness is not None:
            self.follow_ledger()
            check_planned(NightPlan.decode(signed.payload), self.witness)
            self.witness.keep_proof(Signed(signed.payload, signed.signature))
        return Signed(signed.payload, signed.signature)

    def follow_ledger(self) -> None:
        """Takes what the office's ledger has more into HQ's copy of it.

        Raises:
            LedgerForked: If it does not go on from the copy.
        """
        if self.witness is None:
            return
        self.witness.keep_entries(self._later_entries(self.witness))

    def check_ledger(self) -> LedgerPosition:
        """How far the office's ledger is, without taking anything into HQ's copy.

        Raises:
            LedgerForked: If it does not go on from the copy.
        """
        if self.witness is None:
            return LedgerPosition()
        return self.witness.ledger_position().followed_by(self._later_entries(self.witness))

    def _later_entries(self, witness: LedgerWitness) -> list[LedgerEntry]:
        """The entries that the office's ledger has after those of HQ's copy."""
        known = witness.ledger_position()
        # The last that is known is asked for too: a ledger that lacks it went back.
        request = office_pb2.FetchLedgerRequest(after=max(known.length - 1, 0))
        with self._refusals():
            stub = self._stub.FetchLedger
            parts = list(stub(request, timeout=self.timeout, wait_for_ready=True))
        return check_goes_on(
            known, [LedgerEntry.decode(raw) for one in parts for raw in one.entries]
        )

    def sign_release(self, draft: ReleaseDraft) -> Signed:
        """Signs a release plan."""
        with self._refusals():
            request = office_pb2.SignReleaseRequest(draft=draft.encode())
            signed = self._stub.SignRelease(request, timeout=self.timeout, metadata=self._now())
        return Signed(signed.payload, signed.signature)

    def unlock(self, plan_digest: str, envelopes: Sequence[Envelope]) -> bytes:
        """Answers with the sum of masks less the office's noise."""
        request, stub = set_message(plan_digest, envelopes), self._stub.Unlock
        with self._refusals():
            chunks = list(stub(request, timeout=self.timeout, metadata=self._now()))
        self.follow_ledger()
        return b"".join(chunk.data for chunk in chunks)

    def sum_blocks(self) -> SumBlocks:
        """Which outlets the sums of the last year tell together only."""
        with self._refusals():
            request = office_pb2.SumBlocksRequest()
            told = self._stub.SumBlocks(request, timeout=self.timeout, metadata=self._now())
        blocks = tuple(frozenset(block.outlets) for block in told.blocks)
        return SumBlocks(told.quorum, blocks, frozenset(told.admitted))

    def sign_seal(self, draft: SealDraft) -> tuple[Signed, bytes]:
        """Signs a seal plan, and answers the first message of the transfers."""
        with self._refusals():
            request = office_pb2.SignReleaseRequest(draft=draft.encode())
            signed = self._stub.SignSeal(request, timeout=self.timeout, metadata=self._now())
        return Signed(signed.payload, signed.signature), signed.transfers

    def store_set(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
    ) -> str:
        """Takes a seal's set of answers, for good; gives its digest."""
        with self._refusals():
            request = set_message(plan_digest, envelopes, carried)
            stored = self._stub.StoreSet(request, timeout=self.timeout, metadata=self._now())
            return str(stored.set_digest)

    def seal_chunk(self, plan_digest: str, chunk: int, choices: bytes) -> Iterator[bytes]:
        """Checks HQ's choices of a chunk, and gives its hidden tables, a part at a time."""
        parts: Any = Restartable(partial(choice_parts, plan_digest, chunk, choices))
        stub = self._stub.SealChunk
        longest = max(self.timeout, CHUNK_SECONDS)
        with self._refusals():
            for answer in stub(parts, timeout=longest, metadata=self._now()):
                yield answer.data

    def close_seal(self, plan_digest: str) -> None:
        """Ends a seal."""
        request = office_pb2.CloseSealRequest(plan_digest=plan_digest)
        with self._refusals():
            self._stub.CloseSeal(request, timeout=self.timeout, metadata=self._now())

    def close_night(self, night: str) -> None:
        """Gives back what the night reserved and did not charge."""
        request = office_pb2.CloseNightRequest(night=night)
        try:
            with self._refusals():
                self._stub.CloseNight(request, timeout=self.timeout, metadata=self._now())
            self.follow_ledger()
        except PrivacyError as error:
            # What ended the night has said so; of the ledger the next night will.
            _LOG.warning("night %s: not closed at the privacy office: %s", night, error)

    def collect_batch(self, after: int) -> CollectedBatch:
        """The registrations of the next batch; the office forgets those up to `after`."""
        request = office_pb2.CollectBatchRequest(after=after)
        with self._refusals():
            stub = self._stub.CollectBatch
            # As a night's first call it waits for an office that is just starting.
            pieces = list(stub(request, timeout=self.timeout, wait_for_ready=True))
        batches = {(piece.batch, piece.forgotten) for piece in pieces}
        if len(batches) != 1:
            raise RegistrationRefused(f"batch: got pieces of {len(batches)} batches, expected 1")
        batch, forgotten = batches.pop()
        return CollectedBatch(batch, [one for piece in pieces for one in piece.sealed], forgotten)

    def last_directory(self) -> DirectoryPosition:
        """How far the directory is that the office countersigned last."""
        with self._refusals():
            request = office_pb2.LastDirectoryRequest()
            last = self._stub.LastDirectory(request, timeout=self.timeout)
        return DirectoryPosition(last.batch, last.slots, last.digest)

    def fetch_directory(self, network: bytes, after: int) -> DirectoryCopy:
        """That directory whole, with the office's last statement; nothing is verified yet.

        Args:
            network: The network's token key.
            after: The last batch whose registrations HQ has: outlets hear that it lost the others.
        """
        request = office_pb2.FetchDirectoryRequest(network=network, after=after)
        with self._refusals():
            stub = self._stub.FetchDirectory
            chunks = [chunk.data for chunk in stub(request, timeout=self.timeout)]
        return DirectoryCopy.decode(b"".join(chunks))

    def countersign_directory(
        self,
        network: bytes,
        changes: DirectoryChanges,
        evidence: Mapping[int, Evidence],
        last: Countersigned | None,
    ) -> Countersigned:
        """Has the office countersign the directory that follows its last one.

        Args:
            network: The network's token key.
            changes: What it has more.
            evidence: By slot, of each that was blanked and each whose key was brought back.
            last: What the office said last of a directory, as far as HQ knows.
        """
        parts: Any = Restartable(partial(directory_parts, network, changes, evidence, last))
        with self._refusals():
            stub = self._stub.CountersignDirectory
            said = stub(parts, timeout=self.timeout, metadata=self._now())
        return Countersigned(said.payload, said.signature)

    def countersign_book(self, directory: str, summary: BookSummary) -> Countersigned:
        """Has the office countersign the one book of the directory that it countersigned last."""
        request = office_pb2.CountersignBookRequest(
            directory=directory,
            signature=summary.signature,
            header=summary.header,
            body=summary.body,
        )
        with self._refusals():
            said = self._stub.CountersignBook(request, timeout=self.timeout, metadata=self._now())
        return Countersigned(said.payload, said.signature)

    def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
        """Moves the office's share of the token key to an epoch, or asks for the present one.

        Returns:
            The epoch and public half of the office's share afterwards.
        """
        with self._refusals():
            request = office_pb2.RefreshShareRequest(epoch=epoch, delta=delta)
            share = self._stub.RefreshShare(request, timeout=self.timeout)
        return share.epoch, share.public_key

    def close(self) -> None:
        """Closes the channel."""
        self.channel.close()

    def _now(self) -> tuple[tuple[str, str | bytes], ...]:
        """HQ's time, and how far its copy of the ledger is, as they go with a call."""
        time_now = (TIME_KEY, str(int(self.clock())))
        if self.witness is None:
            return (time_now,)
        length, head = self.witness.ledger_position()
        return time_now, (LEDGER_KEY, f"{length} {head}")

    def _refusals(self) -> AbstractContextManager[None]:
        return office_refusals(self.unreached)

    @property
    def _stub(self) -> office_pb2_grpc.OfficeStub:
        return office_pb2_grpc.OfficeStub(patient(self.channel))
