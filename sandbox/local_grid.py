"""A Flower `Grid` in one process: any number of ClientApps, messages encoded as on the wire."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from typing_extensions import override

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp
    from flwr.supercore.run import Run

Drop = Callable[[int, Message], bool]


class LocalGrid(Grid):
    """Delivers messages to ClientApps by calling them.

    Args:
        apps: The ClientApp of each Flower node.
        drop: Tells whether a node never gets a message; a stand-in for an outlet that is down.
    """

    def __init__(
        self, apps: Mapping[int, ClientApp], drop: Drop = lambda _node, _message: False
    ) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self._apps = apps
        self._drop = drop
        self._contexts = {
            node: Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
            for node in apps
        }
        self._replies: dict[str, Message] = {}
        self._run: Run | None = None

    @override
    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    @override
    def run(self) -> Run:
        if self._run is None:
            raise RuntimeError("LocalGrid: no run was set")
        return self._run

    @override
    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise TypeError("LocalGrid: make a Message(...) instead; this call is Flower's old one")

    @override
    def get_node_ids(self) -> Iterable[int]:
        return list(self._apps)

    @override
    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers = []
        for message in messages:
            identifier = uuid.uuid4().hex
            identifiers.append(identifier)
            message.metadata.__dict__.update(_message_id=identifier, _src_node_id=1, _run_id=1)
            node = message.metadata.dst_node_id
            if self._drop(node, message):
                continue
            message.content = _over_the_wire(message.content)
            try:
                reply = self._apps[node](message=message, context=self._contexts[node])
            except Exception as error:  # noqa: BLE001  (an outlet's failure is an answer, as on the wire)
                reply = Message(Error(2, type(error).__name__), reply_to=message)
            if reply.has_content():
                reply.content = _over_the_wire(reply.content)
            self._replies[identifier] = reply
        return identifiers

    @override
    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(i) for i in list(message_ids) if i in self._replies]

    @override
    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))


def _over_the_wire(content: RecordDict) -> RecordDict:
    """Encodes and decodes a content as Flower does between processes."""
    encoded = recorddict_to_proto(content)
    return recorddict_from_proto(type(encoded).FromString(encoded.SerializeToString()))
