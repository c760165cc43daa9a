"""Flower's SuperLink, embedded: link state in memory, and a listener for outlets and nothing else.

Held to flwr 1.41.0 by a contract test. Only Flower's Fleet routes exist in this process: no Control
API that could start a run, no Runtime API with a token to steal, no subprocess. Outlets reach them
over mutual TLS, each with the one certificate on its card, and Flower authenticates each call with
the node key on the same card. The night's messages are put into the link state directly, by a Grid
that lives beside it.
"""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from fastapi import FastAPI
from flwr.app import Error, Message
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.constant import (
    HEARTBEAT_DEFAULT_INTERVAL,
    NOOP_FLWR_AID,
    SUPERLINK_NODE_ID,
    SubStatus,
)
from flwr.serverapp import Grid
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID, TaskType
from flwr.supercore.error import http_error_translator
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.config_loader import (
    get_federation_manager,
    get_objectstore_linkstate_factories,
)
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from flwr.superlink.routers.fleet.router import router as fleet_router
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from typing_extensions import override

from server.hq.fleet_limits import CONNECTIONS_A_CERTIFICATE, limited_protocol
from server.hq.gate import FleetNode, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flwr.server.superlink.linkstate import InMemoryLinkState, LinkState
    from flwr.supercore.run import Run

    from privacy.identity import Card, Identity

_RAISED = 2
_SPARE = 16
"""Connections that are taken above what all outlets may have, with two certificates each."""
HEARTBEAT_SECONDS = 10.0
_POLL_SECONDS = 0.004


class SuperLink:
    """One night's Flower: nodes registered anew from HQ's own list, one run, one listener.

    Attributes:
        grid: What a `Night` asks its outlets through.
        names: Outlet id of each Flower node.
    """

    def __init__(
        self, outlets: Mapping[str, Card], app_digest: str, patience: float, largest_answer: int
    ) -> None:
        """Makes the link state.

        Args:
            outlets: HQ's list.
            app_digest: What an outlet must have installed; carried where Flower has a FAB's hash.
            patience: Seconds to wait for the rest, once half of the asked have answered.
            largest_answer: Bytes of the night's largest masked vector.
        """
        self._largest_answer = largest_answer
        manager = get_federation_manager(is_simulation=False)
        _, self._factory = get_objectstore_linkstate_factories(FLWR_IN_MEMORY_DB_NAME, manager)
        self._state: LinkState = self._factory.state()
        self._nodes = {
            key: FleetNode(
                self._state.create_node(
                    NOOP_FLWR_AID, "", key, HEARTBEAT_DEFAULT_INTERVAL, name=name
                ),
                name,
            )
            for name, card in outlets.items()
            for key in card.node_keys_pem
        }
        self.names: dict[int, str] = {node.number: node.outlet for node in self._nodes.values()}
        run_id = self._state.create_run(
            None, None, app_digest, {}, NOOP_FEDERATION_ID, None, None, TaskType.SERVER_APP
        )
        self._run = next(iter(self._state.get_run_info(run_ids=[run_id])))
        self._task = self._run.primary_task_id or 0
        self._state.claim_task(self._task)
        self._state.activate_task(self._task)
        self.grid = SuperLinkGrid(self._state, self._run, patience)
        self._outlets = outlets
        self._over = threading.Event()
        threading.Thread(target=self._keep_alive, name="heartbeat", daemon=True).start()
        self._gate: Gate | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def listen(self, identity: Identity, host: str, port: int) -> int:
        """Opens the outlets' port, over mutual TLS.

        Returns:
            The port; a free one was taken where 0 was asked for.

        Raises:
            OSError: If the address cannot be bound.
        """
        app = FastAPI(
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            middleware=[
                Middleware(BaseHTTPMiddleware, dispatch=http_error_translator),
                Middleware(ProtobufTranslationMiddleware),
                Middleware(NodeAuthMiddleware),
            ],
        )
        app.state.linkstate_factory = self._factory
        app.state.enable_supernode_auth = True
        app.state.fleet_event_log_plugin = None
        app.include_router(fleet_router)
        self._gate = gate = Gate(app, self._nodes, self.grid.has_work, self._largest_answer)
        self.grid.on_push = gate.wake
        config = uvicorn.Config(
            gate,
            host=host,
            port=port,
            log_level="warning",
            lifespan="off",
            ws="none",
            ssl_cert_reqs=ssl.CERT_REQUIRED,
            timeout_graceful_shutdown=3,
            server_header=False,
            limit_concurrency=_SPARE + 2 * CONNECTIONS_A_CERTIFICATE * len(self._outlets),
        )
        config.load()
        config.http_protocol_class = limited_protocol(config.http_protocol_class)
        config.ssl = _tls(identity, self._outlets)
        server = uvicorn.Server(config)
        sockets = [config.bind_socket()] if port == 0 else None
        thread = threading.Thread(target=server.run, args=(sockets,), name="fleet", daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise OSError(f"cannot listen on {host}:{port}")
            time.sleep(0.01)
        self._server, self._thread = server, thread
        bound: int = server.servers[0].sockets[0].getsockname()[1]
        return bound

    def online(self) -> set[str]:
        """The outlets that have joined and not left."""
        return {self.names[node] for node in self.grid.get_node_ids() if node in self.names}

    def _keep_alive(self) -> None:
        """Tells Flower that the run lives: it fails one that is silent for a minute."""
        while not self._over.wait(HEARTBEAT_SECONDS):
            self._state.acknowledge_task_heartbeat(self._task)

    def close(self) -> None:
        """Ends the run and closes the port."""
        self._over.set()
        self._state.finish_task(self._task, SubStatus.COMPLETED, "")
        if self._server is not None and self._thread is not None:
            if self._gate is not None:
                self._gate.open()
            self._server.should_exit = True
            self._thread.join(timeout=10)


class SuperLinkGrid(Grid):
    """A Grid on the link state itself, in the same process: no socket, no token, no polling delay.

    Attributes:
        patience: Seconds to wait for the rest, once half of the asked have answered.
        on_push: Called with the nodes for which messages were pushed.
    """

    def __init__(self, state: LinkState, run: Run, patience: float) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id = run.run_id, SUPERLINK_NODE_ID
        self._task = run.primary_task_id or 0
        TaskIdentity.task_id = self._task
        self._state = state
        self._run = run
        self.patience = patience
        self.on_push: Callable[[set[int]], None] = lambda _nodes: None
        self._end = float("inf")

    @override
    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    @override
    def run(self) -> Run:
        return self._run

    @override
    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise TypeError("make a Message(...) instead; this call is Flower's old one")

    @override
    def get_node_ids(self) -> Iterable[int]:
        return sorted(self._state.get_nodes(self._run.run_id))

    @override
    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        identifiers, nodes = [], set[int]()
        with no_object_id_recompute():
            for message in messages:
                message.metadata.__dict__["_message_id"] = message.object_id
                objects, tree = get_all_nested_objects(message), get_object_tree(message)
                session = self._state.start_session(self._run.run_id)
                head = remove_content_from_message(message)
                stored, missing = self._state.store_message_and_object_tree(head, tree, session)
                for identifier in missing if stored else ():
                    content = objects[identifier].deflate()
                    self._state.store_object(self._run.run_id, session, identifier, content)
                identifiers.append(message.metadata.message_id if stored else "")
                nodes.add(message.metadata.dst_node_id)
        self.on_push(nodes)
        return identifiers

    def has_work(self, node: int) -> bool:
        """Whether a message waits for a node."""
        store = cast("InMemoryLinkState", self._state).message_ins_store
        return any(
            message.metadata.dst_node_id == node and message.metadata.delivered_at == ""
            for message in list(store.values())
        )

    @override
    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        heads = self._state.get_message_res(set(message_ids), self._run.run_id)
        asked = {head.metadata.reply_to_message_id for head in heads}
        end = min(self._end, time.monotonic() + self.patience)
        replies = [self._inflated(head, end) for head in heads]
        self._state.delete_messages(message_ins_ids=asked)
        return replies

    @override
    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        waiting = {identifier for identifier in self.push_messages(messages) if identifier}
        asked, replies = len(waiting), list[Message]()
        self._end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while waiting and time.monotonic() < self._end:
            came = list(self.pull_messages(waiting))
            waiting -= {reply.metadata.reply_to_message_id for reply in came}
            replies += came
            if came and 2 * len(replies) >= asked:
                self._end = min(self._end, time.monotonic() + self.patience)
            if not came:
                time.sleep(_POLL_SECONDS)
        self._state.delete_messages(message_ins_ids=waiting)
        return replies

    def _inflated(self, head: Message, end: float) -> Message:
        """A reply with its content, once all of it was pushed; an error where that fails.

        Whatever an outlet pushed, the outcome is a reply: nothing of it may end the night. Who
        replied to what is taken from the head, which Flower checked, not from the content.
        """
        if head.has_error():
            return head
        identifier = head.metadata.message_id
        try:
            tree = self._state.object_store.get_object_tree(identifier)
            contents: dict[str, bytes] = {}
            for part in (node.object_id for node in iterate_object_tree(tree)):
                while not (content := self._state.get_object(self._run.run_id, part)):
                    if time.monotonic() > end:
                        return _failed(head, "Incomplete")
                    time.sleep(_POLL_SECONDS)
                contents[part] = content
            message = inflate_object_from_contents(identifier, contents)
            if not isinstance(message, Message) or not message.has_content():
                return _failed(head, "NoMessage")
            content_only = message.content
        except Exception as error:  # noqa: BLE001  (an outlet's bytes, read by Flower's code)
            return _failed(head, type(error).__name__)
        finally:
            with suppress(Exception):
                self._state.object_store.delete(identifier)
        return make_message(metadata=head.metadata, content=content_only)


def _failed(head: Message, reason: str) -> Message:
    """A reply whose content could not be had, in the name of who sent its head."""
    return make_message(metadata=head.metadata, error=Error(_RAISED, reason))


def _tls(identity: Identity, outlets: Mapping[str, Card]) -> ssl.SSLContext:
    """Serves with HQ's certificate, and accepts the certificates on its list and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    at = dt.datetime.now(dt.UTC)
    accepted = [certificate for card in outlets.values() for certificate in card.accepted(at)]
    context.load_verify_locations(cadata="".join(accepted))
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files only
        pem = Path(folder) / "key.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(identity.card.certificate.encode() + identity.tls_key)
        context.load_cert_chain(pem)
    return context
