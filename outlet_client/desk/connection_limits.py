"""Limits of a connection to the desk: how long it may be slow, how many one machine may have.

Invariant: a connection from which no whole request comes in time is ended, however slowly its bytes
trickle; and no other machine can take all connections, or all threads that answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

REQUEST_SECONDS = 20.0
"""Within which a whole request has to come."""

MOST_OF_ONE = 24
"""Connections of one address; fewer than there are threads."""

_HERE = "127.0.0.1"
"""Browsers on this machine, and what tunnels to it, are not counted."""


class LimitedHttp(H11Protocol):
    """HTTP/1.1 with bounded headers, time and connections, for a handful of browsers."""

    _due: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own type is wider
        super().connection_made(transport)
        if self._of_this_address() > MOST_OF_ONE:
            transport.abort()
        else:
            self._watch()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _of_this_address(self) -> int:
        if self.client is None or self.client[0] == _HERE:
            return 0
        there = [one.client for one in self.connections if isinstance(one, H11Protocol)]
        return sum(one is not None and one[0] == self.client[0] for one in there)

    def _watch(self) -> None:
        """Begins to wait where a request has begun or is due, and ends that where it is whole."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_watching()
        elif self._due is None:
            self._due = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
