"""The office as HQ reaches it: gRPC over mutual TLS, pinned to one certificate."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import grpc

from privacy.errors import AnswerRefused, BudgetExceeded, PlanRefused
from privacy.plans import Signed
from privacy.registrations import RegistrationRefused
from server.holder.errors import NotAllowed, RefreshRefused
from server.hq.errors import OfficeUnreachable
from server.wire import office_pb2, office_pb2_grpc
from server.wire.refusals import read_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privacy.identity import Card, Identity
    from privacy.plans import PlannedReleases, ReleaseDraft
    from privacy.two_key_sum import Carried, Envelope

_OTHERS: dict[str, type[Exception]] = {
    "RegistrationRefused": RegistrationRefused,
    "RefreshRefused": RefreshRefused,
    "NotAllowed": NotAllowed,
}
"""Refusals that carry a message and nothing else; PlanRefused where not named."""


@dataclass(frozen=True, slots=True)
class OfficeClient:
    """Calls a remote office; the same calls and errors as `server.office.unlock.Office`.

    Attributes:
        channel: From `connect`.
        timeout: Seconds for one call.
    """

    channel: grpc.Channel
    timeout: float

    @classmethod
    def connect(cls, identity: Identity, office: Card, timeout: float) -> OfficeClient:
        """Opens a channel on which each side accepts the other's certificate only."""
        credentials = grpc.ssl_channel_credentials(
            root_certificates=office.certificate.encode(),
            private_key=identity.tls_key,
            certificate_chain=identity.card.certificate.encode(),
        )
        name = f"{office.name}.{office.kind}"  # the certificate is pinned; its name is its own
        options = [("grpc.ssl_target_name_override", name)]
        return cls(grpc.secure_channel(office.address, credentials, options), timeout)

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
        with _refusals():
            # The night's first call waits for an office that is just starting.
            signed = self._stub.SignNight(request, timeout=self.timeout, wait_for_ready=True)
        return Signed(signed.payload, signed.signature)

    def sign_release(self, draft: ReleaseDraft) -> Signed:
        """Signs a release plan."""
        with _refusals():
            request = office_pb2.SignReleaseRequest(draft=draft.encode())
            signed = self._stub.SignRelease(request, timeout=self.timeout)
        return Signed(signed.payload, signed.signature)

    def unlock(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
    ) -> bytes:
        """Answers with the sum of masks less the office's noise."""
        request = office_pb2.UnlockRequest(
            plan_digest=plan_digest,
            envelopes=[_raw(envelope) for envelope in envelopes],
            carried=[
                office_pb2.CarriedEnvelope(
                    envelope=_raw(absent.envelope), plan_digest=absent.plan_digest
                )
                for absent in carried
            ],
        )
        with _refusals():
            chunks = [chunk.data for chunk in self._stub.Unlock(request, timeout=self.timeout)]
        return b"".join(chunks)

    def close_night(self, night: str) -> None:
        """Gives back what the night reserved and did not charge."""
        with _refusals():
            self._stub.CloseNight(office_pb2.CloseNightRequest(night=night), timeout=self.timeout)

    def collect_batch(self, after: int) -> tuple[int, list[bytes]]:
        """The registrations of the next batch; the office forgets those up to `after`.

        Returns:
            The batch and its sealed messages; (0, []) where none is ready.
        """
        request = office_pb2.CollectBatchRequest(after=after)
        with _refusals():
            stub = self._stub.CollectBatch
            # As a night's first call it waits for an office that is just starting.
            pieces = list(stub(request, timeout=self.timeout, wait_for_ready=True))
        batches = {piece.batch for piece in pieces}
        if len(batches) != 1:
            raise RegistrationRefused(f"batch: got pieces of {len(batches)} batches, expected 1")
        return batches.pop(), [one for piece in pieces for one in piece.sealed]

    def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
        """Moves the office's share of the token key to an epoch, or asks for the present one.

        Returns:
            The epoch and public half of the office's share afterwards.
        """
        with _refusals():
            request = office_pb2.RefreshShareRequest(epoch=epoch, delta=delta)
            share = self._stub.RefreshShare(request, timeout=self.timeout)
        return share.epoch, share.public_key

    def close(self) -> None:
        """Closes the channel."""
        self.channel.close()

    @property
    def _stub(self) -> office_pb2_grpc.OfficeStub:
        return office_pb2_grpc.OfficeStub(self.channel)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises what the office raised."""
    try:
        yield
    except grpc.RpcError as error:
        refusal = read_refusal(error)
        if refusal is None:
            raise OfficeUnreachable(cast("grpc.Call", error).code().name) from error
        if refusal.type == "BudgetExceeded":
            requested, remaining = Fraction(refusal.requested), Fraction(refusal.remaining)
            raise BudgetExceeded(refusal.purpose, requested, remaining) from error
        if refusal.type == "AnswerRefused":
            raise AnswerRefused(refusal.message, refusal.outlet or None) from error
        if refusal.type == "OfficePaused":
            raise OfficeUnreachable("paused") from error
        raise _OTHERS.get(refusal.type, PlanRefused)(refusal.message) from error


def _raw(envelope: Envelope) -> office_pb2.Envelope:
    return office_pb2.Envelope(
        outlet=envelope.outlet,
        sealed_seed=envelope.sealed_seed,
        vector_digest=envelope.vector_digest,
        signature=envelope.signature,
    )
