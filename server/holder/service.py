"""Evaluation under a holder's share of the token key; it sees blinded points and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from privacy.identity import PartyKind
from privacy.tokens import MOST_POINTS, TokenRefused
from server.holder.refusals import refusals
from server.wire import outlets_pb2, outlets_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from privacy.quotas import Quota
    from privacy.tokens import TokenShare
    from server.holder.meter import Meter
    from server.holder.peers import Peers


class TokensService(outlets_pb2_grpc.TokensServicer):
    """Evaluates for listed outlets, within their quota. Never logs or stores a point."""

    def __init__(
        self,
        share: Callable[[], TokenShare],
        meter: Meter,
        quota: Quota,
        peers: Peers,
        clock: Callable[[], float],
    ) -> None:
        """Serves a share.

        Args:
            share: Gives the share as it is now, or refuses, as where the holder is paused.
            meter: Counts what is given.
            quota: How much a day allows.
            peers: Who may call.
            clock: Unix seconds.
        """
        self._share, self._meter, self._quota = share, meter, quota
        self._peers, self._clock = peers, clock

    @override
    def Evaluate(
        self, request: outlets_pb2.EvaluateRequest, context: grpc.ServicerContext
    ) -> outlets_pb2.EvaluateResponse:
        with refusals(context):
            outlet = self._peers.require(context, PartyKind.OUTLET).name
            asked = len(request.points)
            if not 1 <= asked <= MOST_POINTS:
                raise TokenRefused(f"request: got {asked} points, expected 1 to {MOST_POINTS}")
            share = self._share()
            # Counted first: what was given and not counted could be asked for without end.
            self._meter.take(outlet, asked, self._quota, self._clock())
            evaluation = share.evaluate(list(request.points))
            return outlets_pb2.EvaluateResponse(
                public_key=evaluation.public,
                epoch=evaluation.epoch,
                elements=evaluation.elements,
                proof=evaluation.proof,
            )
