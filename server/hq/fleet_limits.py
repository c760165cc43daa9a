"""How much of the outlets' port one outlet may have at a time: connections, calls, bytes, seconds.

Invariant: a body's bytes are promised before one of them is read, and kept until its call has
ended; all promises together never exceed what there is. An outlet has places of its own, fewer than
there are, so whatever it does with them others find some.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_LOG = logging.getLogger(__name__)

CONNECTIONS_A_CERTIFICATE = 8
"""An outlet's node has one, one more while it joins again, and `doctor` a third."""

CALLS_AN_OUTLET = 8
OBJECTS_AN_OUTLET = 2
"""Calls that carry a masked vector; a node sends one after the other."""

STALL_SECONDS = 60.0
"""A body of which no byte comes for so long is refused."""

SLOWEST_BYTES = 2**14
"""A second: a body may take as long as at this pace, and `STALL_SECONDS` more."""

TURN_SECONDS = 30.0
"""How long a body waits until others have left room for it; a node's own calls wait as long."""

ANSWERS_AT_ONCE, LEAST_BYTES = 8, 2**26
"""Of bodies in flight together: so many of the largest, or these bytes where that is less."""

_SAID_SECONDS = 60.0


class BodyTooSlow(Exception):
    """A body that stalled, or trickles."""


class NoRoom(Exception):
    """Bodies of others take all the room there is, for longer than is waited."""


class CallerGone(Exception):
    """A connection that was closed before its body was whole."""


class TooManyAtOnce(Exception):
    """An outlet has as many calls in flight as it may."""


class BodyBytes:
    """Promises bytes of bodies to calls in the order in which they ask; for one event loop."""

    def __init__(self, total: int) -> None:
        """Promises so many bytes at a time, which no single body exceeds."""
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def promised(self, count: int) -> AsyncIterator[None]:
        """Keeps bytes until left; waits for its turn.

        Raises:
            NoRoom: If that takes longer than `TURN_SECONDS`.
        """
        await self._take(count)
        try:
            yield
        finally:
            self._give(count)

    async def _take(self, count: int) -> None:
        if not self._waiting and count <= self._free:
            self._free -= count
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # promised in the very moment
                self._give(count)
            else:
                turn.cancel()
                self._give(0)
            if isinstance(error, TimeoutError):
                raise NoRoom from error
            raise

    def _give(self, count: int) -> None:
        self._free += count
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= wanted
                turn.set_result(None)


class OutletCalls:
    """Counts the calls that are in flight, by outlet; for one event loop."""

    def __init__(self) -> None:
        self._all, self._objects = Counter[str](), Counter[str]()
        self._said: dict[str, float] = {}

    @contextmanager
    def place(self, outlet: str, *, is_object: bool) -> Iterator[None]:
        """Keeps a place for a call until left.

        Raises:
            TooManyAtOnce: If the outlet has as many in flight as it may.
        """
        if self._all[outlet] >= CALLS_AN_OUTLET:
            self._refuse(outlet, "calls", CALLS_AN_OUTLET)
        if is_object and self._objects[outlet] >= OBJECTS_AN_OUTLET:
            self._refuse(outlet, "answers", OBJECTS_AN_OUTLET)
        self._all[outlet] += 1
        self._objects[outlet] += is_object
        try:
            yield
        finally:
            self._all[outlet] -= 1
            self._objects[outlet] -= is_object

    def say(self, outlet: str, what: str) -> None:
        """Writes into the log what was refused, once a minute and outlet."""
        now = time.monotonic()
        if now - self._said.get(outlet, -_SAID_SECONDS) >= _SAID_SECONDS:
            self._said[outlet] = now
            _LOG.warning("outlet %s: %s", outlet, what)

    def _refuse(self, outlet: str, what: str, most: int) -> None:
        self.say(outlet, f"asks for one more while {most} {what} are in flight; refused")
        raise TooManyAtOnce


async def read_body(receive: Any, length: int) -> bytes:
    """Reads a request's body as it comes.

    Args:
        receive: ASGI's.
        length: The most that it may have.

    Raises:
        BodyTooSlow: If no byte comes for `STALL_SECONDS`, or all of it slower than it may.
        CallerGone: If the connection is closed before its end.
        ValueError: If there is more.
    """
    loop, body, more = asyncio.get_running_loop(), bytearray(), True
    end = loop.time() + STALL_SECONDS + length / SLOWEST_BYTES
    while more:
        try:
            async with asyncio.timeout_at(min(end, loop.time() + STALL_SECONDS)):
                part = await receive()
        except TimeoutError as error:
            raise BodyTooSlow from error
        if part["type"] == "http.disconnect":
            raise CallerGone
        body += part.get("body", b"")
        more = part.get("more_body", False)
        if len(body) > length:
            raise ValueError(f"body: got {len(body)} bytes or more, expected {length}")
    return bytes(body)


def limited_protocol(base: Any) -> Any:
    """Uvicorn's HTTP protocol, which hangs up on a certificate's connections beyond what it may.

    Args:
        base: A class of uvicorn's, `Config.http_protocol_class`.
    """
    standing = Counter[bytes]()

    class Limited(base):  # type: ignore[misc]  # a class that uvicorn gives
        """Counts its certificate's connections."""

        _certificate = b""

        def connection_made(self, transport: Any) -> None:
            """Takes a connection whose certificate TLS accepted; hangs up on one too many."""
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            self._certificate = tls.getpeercert(binary_form=True) or b""
            standing[self._certificate] += 1
            if standing[self._certificate] > CONNECTIONS_A_CERTIFICATE:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            """Gives the certificate's place back."""
            standing[self._certificate] -= 1
            super().connection_lost(exc)

    return Limited
