"""The gate before Flower on the outlets' port: who calls, how much, and who waits for work.

Invariant: no byte of a body is read before its caller has proved to be an outlet's node, by the
headers that Flower itself checks, and has a place for it (`fleet_limits`). Flower alone reads a
body before it authenticates the call, and unfolds object trees recursively; these are bounded here.
Questions for work are held until there is some, so that nobody polls.
"""

from __future__ import annotations

import asyncio
import binascii
import datetime as dt
from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, verify_signature
from flwr.superlink.routers.fleet.router import router as fleet_router
from google.protobuf.message import DecodeError

from server.hq import fleet_limits
from server.hq.fleet_limits import (
    BodyBytes,
    BodyTooSlow,
    CallerGone,
    NoRoom,
    OutletCalls,
    TooManyAtOnce,
    read_body,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI
    from flwr.proto.message_pb2 import ObjectTree

_PULL, _PUSH = "/v1/fleet/pull-messages", "/v1/fleet/push-messages"
_PUSH_OBJECT = "/v1/fleet/push-object"
_PATHS = frozenset(getattr(route, "path", "") for route in fleet_router.routes)
_PUBLIC_KEY, _SIGNATURE, _TIMESTAMP = (
    name.lower().encode()
    for name in (FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER, TIMESTAMP_HEADER)
)
_HOLD_SECONDS = 2.0
_LARGEST_CALL = 2**16
_MOST_OBJECTS, _DEEPEST = 16, 6
"""A reply is a message, its records and a record: no honest tree comes near these."""


class FleetNode(NamedTuple):
    """A node of Flower's.

    Attributes:
        number: Flower's.
        outlet: Whose it is.
    """

    number: int
    outlet: str


class Gate:
    """Stands before Flower's app.

    Whoever holds a listed certificate and its node key has a few connections and calls of its own
    at a time, no more. A question for work is held until there is some; an outlet asks again after
    `_HOLD_SECONDS` without.
    """

    def __init__(
        self,
        app: FastAPI,
        nodes: Mapping[bytes, FleetNode],
        has_work: Callable[[int], bool],
        largest_answer: int,
    ) -> None:
        """Stands before an app.

        Args:
            app: Flower's.
            nodes: The Flower nodes that there are, by public key as PEM.
            has_work: Tells whether a message waits for a node.
            largest_answer: Bytes of the night's largest masked vector.
        """
        self._app = app
        self._nodes = dict(nodes)
        self._has_work = has_work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._largest_object = largest_answer + _LARGEST_CALL
        self._held = {node.number: asyncio.Event() for node in nodes.values()}
        self._holds = True
        self._calls = OutletCalls()
        most = max(fleet_limits.ANSWERS_AT_ONCE * self._largest_object, fleet_limits.LEAST_BYTES)
        self._objects, self._others = BodyBytes(most), BodyBytes(fleet_limits.LEAST_BYTES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one call as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._loop = asyncio.get_running_loop()
        if scope["path"] not in _PATHS:
            await _refuse(send, 404)
            return
        node = self._authenticated(dict(reversed(scope["headers"])))
        if node is None:
            await _refuse(send, 401)
            return
        try:
            await self._answer(node, scope, receive, send)
        except TooManyAtOnce:
            await _refuse(send, 429)
        except NoRoom:
            self._calls.say(node.outlet, "waited in vain for room among bodies of others")
            await _refuse(send, 503)
        except BodyTooSlow:
            self._calls.say(node.outlet, "sent a body too slowly; refused")
            await _refuse(send, 408, closing=True)
        except CallerGone:
            return

    async def _answer(self, node: FleetNode, scope: Any, receive: Any, send: Any) -> None:
        """Reads a call within its outlet's limits, and has Flower answer it.

        Raises:
            TooManyAtOnce: If the outlet has as many in flight as it may.
            NoRoom: If others leave none for its body.
            BodyTooSlow: If its body stalls.
            CallerGone: If its body ends early.
        """
        is_object = scope["path"] == _PUSH_OBJECT
        most = self._largest_object if is_object else _LARGEST_CALL
        length = _declared(scope["headers"], most)
        room = self._objects if is_object else self._others
        if length > most:
            await _refuse(send, 413)
            return
        with self._calls.place(node.outlet, is_object=is_object):
            async with room.promised(length):
                try:
                    body = await read_body(receive, length)
                except ValueError:
                    await _refuse(send, 413)
                    return
                if scope["path"] == _PULL:
                    await self._until_work(node.number)
                elif scope["path"] == _PUSH and not _are_small(body):
                    await _refuse(send, 400)
                    return
                await self._app(scope, _replaying(body, receive), send)

    def _authenticated(self, headers: Mapping[bytes, bytes]) -> FleetNode | None:
        """Whose node signed a call's headers, as Flower checks it again; None if nobody's."""
        try:
            key = b64decode(headers[_PUBLIC_KEY], validate=True)
            at = headers[_TIMESTAMP]
            age = (now() - dt.datetime.fromisoformat(at.decode("ascii"))).total_seconds()
            node = self._nodes[key]
            is_recent = -SYSTEM_TIME_TOLERANCE < age < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE
            signature = b64decode(headers[_SIGNATURE], validate=True)
            proves = verify_signature(bytes_to_public_key(key), at, signature)
        except (KeyError, ValueError, TypeError, binascii.Error):
            return None
        return node if is_recent and proves else None

    async def _until_work(self, node: int) -> None:
        """Waits until a message for the node was pushed, or `_HOLD_SECONDS`."""
        event = self._held[node]
        event.clear()
        # After the event was cleared, so that no push is missed.
        if self._holds and not self._has_work(node):
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), _HOLD_SECONDS)

    def open(self) -> None:
        """Holds nobody any more: the port is closed next."""
        self._holds = False
        self.wake(set(self._held))

    def wake(self, nodes: set[int]) -> None:
        """Wakes what is held for nodes; called from the night's thread."""
        loop = self._loop
        if loop is None:  # nobody has called yet, so nothing is held
            return
        for node in nodes & set(self._held):
            loop.call_soon_threadsafe(self._held[node].set)


def is_small(tree: ObjectTree) -> bool:
    """Whether a tree stays within what an honest reply needs, each object named once.

    Flower keeps trees by object id and unfolds them recursively: an id named twice a level doubles
    the work at each.
    """
    level, seen = [tree], set[str]()
    for _ in range(_DEEPEST):
        for node in level:
            if node.object_id in seen or len(seen) == _MOST_OBJECTS:
                return False
            seen.add(node.object_id)
        level = [child for node in level for child in node.children]
        if not level:
            return True
    return False


def _are_small(body: bytes) -> bool:
    """Whether all trees of a pushed message are; not where it is no such message."""
    try:
        return all(map(is_small, PushMessagesRequest.FromString(body).message_object_trees))
    except DecodeError:
        return False


def _declared(headers: list[tuple[bytes, bytes]], most: int) -> int:
    """How long a body says that it is; the most it may be where it does not say."""
    stated = next((value for name, value in headers if name == b"content-length"), None)
    return most if stated is None else int(stated)  # uvicorn's parser refuses what is no number


def _replaying(body: bytes, receive: Any) -> Callable[[], Any]:
    """Gives a body that was read, and then whatever comes."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return parts.pop() if parts else await receive()

    return replay


async def _refuse(send: Any, status: int, *, closing: bool = False) -> None:
    headers = [(b"connection", b"close")] if closing else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
