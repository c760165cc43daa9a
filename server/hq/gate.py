"""The gate before Flower on the outlets' port: bounds what Flower reads, and holds who has no work.

Flower reads a body before it authenticates the call, and unfolds object trees recursively; both are
bounded here. Questions for work are held until there is some, so that nobody polls.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from fastapi import FastAPI
    from flwr.proto.message_pb2 import ObjectTree

_PULL, _PUSH = "/v1/fleet/pull-messages", "/v1/fleet/push-messages"
_PUSH_OBJECT = "/v1/fleet/push-object"
_HOLD_SECONDS = 2.0
_LARGEST_CALL = 2**16
_MOST_OBJECTS, _DEEPEST = 16, 6
"""A reply is a message, its records and a record: no honest tree comes near these."""


class Gate:
    """Stands before Flower's app.

    Bounds what is read from a connection before Flower authenticates it; refuses object trees that
    would unfold without end in Flower's recursion; and holds an outlet's question for work until
    there is some, so that nobody polls. An outlet asks again after `_HOLD_SECONDS` without. Whoever
    holds a listed certificate can keep connections open, no more.
    """

    def __init__(
        self,
        app: FastAPI,
        nodes: Collection[int],
        has_work: Callable[[int], bool],
        largest_answer: int,
    ) -> None:
        """Stands before an app.

        Args:
            app: Flower's.
            nodes: The Flower nodes that there are.
            has_work: Tells whether a message waits for a node.
            largest_answer: Bytes of the night's largest masked vector.
        """
        self._app = app
        self._has_work = has_work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._largest_object = largest_answer + _LARGEST_CALL
        self._held = {node: asyncio.Event() for node in nodes}
        self._holds = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one call as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._loop = asyncio.get_running_loop()
        path = scope["path"]
        body = await self._body(
            receive, self._largest_object if path == _PUSH_OBJECT else _LARGEST_CALL
        )
        if body is None:
            await _refuse(send, 413)
            return
        try:
            if path == _PULL:
                await self._until_work(PullMessagesRequest.FromString(body).node.node_id)
            elif path == _PUSH and not all(
                is_small(tree) for tree in PushMessagesRequest.FromString(body).message_object_trees
            ):
                await _refuse(send, 400)
                return
        except DecodeError:
            await _refuse(send, 400)
            return
        sent = False

        async def replay() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _body(self, receive: Any, most: int) -> bytes | None:
        """Reads a request's body; None where it is larger than `most`."""
        body, more = bytearray(), True
        while more:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
            if len(body) > most:
                return None
        return bytes(body)

    async def _until_work(self, node: int) -> None:
        """Waits until a message for the node was pushed, or `_HOLD_SECONDS`."""
        event = self._held.get(node)
        if event is None:
            return  # Flower refuses a node that it does not know
        event.clear()
        if self._holds and not self._has_work(
            node
        ):  # after the event was cleared, so that no push is missed
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


async def _refuse(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})
