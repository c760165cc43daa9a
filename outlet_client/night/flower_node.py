"""The outlet's only contact with Flower: a ClientApp that answers questions, and a lean node.

Held to flwr 1.41.0 by a contract test. No code travels: the app is the one that is installed here,
and a run that carries another app's digest is answered with an error. An exception leaves as
Flower's error with its type's name, never its text; Flower itself would send the text.

The node joins one night, works, and leaves when HQ says goodnight. It reaches HQ over mutual TLS
and accepts the one certificate on HQ's card.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import logging
import ssl
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from outlet_client.errors import (
    OWN_ERRORS,
    ClockOff,
    HqUnreachable,
    NotOnTheList,
    OutletError,
    QuestionRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from outlet_client.contribution.contributions import Outlet
    from privacy.identity import Card, Identity

_LOG = logging.getLogger(__name__)

RAISED, NOT_APPROVED = 2, 7
"""Flower's code for an exception in a ClientApp, and ours for an app not installed here."""

GOODNIGHT = "query.goodnight"
MOST_BEHIND, MOST_AHEAD = 300, 4
"""Seconds: Flower refuses calls whose signed time is older, or in the future."""

_FIRST_WAIT, _LONGEST_WAIT, _HANG_UPS = 0.1, 15.0, 3


def client_app(
    name: str,
    prepare: Callable[[Mapping[str, str]], Outlet],
    refusals: list[Exception] | None = None,
) -> ClientApp:
    """Makes the ClientApp of an outlet.

    Args:
        name: The outlet's id.
        prepare: Gets the outlet ready for what a roll call says of tonight; see HQ's `Tonight`.
        refusals: Where what went wrong is put, for this outlet's own eyes.
    """
    app = ClientApp()
    ready: list[Outlet] = []
    refusals = [] if refusals is None else refusals

    @app.query("roll_call")
    def roll_call(message: Message, _context: Context) -> Message:
        with _types_only(message, refusals) as failure:
            tonight = {name: value.decode() for name, value in _question(message).items()}
            ready[:] = [prepare(tonight)]
        return failure[0] if failure else _reply(message, {"outlet": name})

    @app.query("release")
    def release(message: Message, _context: Context) -> Message:
        fields: dict[str, str | int | bytes] = {}
        with _types_only(message, refusals) as failure:
            if not ready:
                raise QuestionRefused("a release was asked for before roll call")
            share = ready[0].answer(_question(message))
            fields |= {
                "outlet": share.envelope.outlet,
                "vector": share.vector.tobytes(),
                "ring_bits": 8 * share.vector.dtype.itemsize,
                "salt": share.salt,
                "sealed_seed": share.envelope.sealed_seed,
                "commitment": share.envelope.commitment,
                "signature": share.envelope.signature,
            }
        return failure[0] if failure else _reply(message, fields)

    @app.query("goodnight")
    def goodnight(message: Message, _context: Context) -> Message:
        return _reply(message, {"outlet": name})

    return app


def join_night(
    app: ClientApp, identity: Identity, hq: Card, app_digest: str, *, window: float, night: float
) -> int:
    """Joins HQ's night, answers until goodnight, leaves; returns the number of answers.

    Where HQ goes away before it said goodnight, it may have been killed or started anew: this
    outlet joins again, and is asked again what HQ does not know.

    Args:
        app: From `client_app`.
        identity: This outlet's keys.
        hq: HQ's card.
        app_digest: What is installed here; another run is refused.
        window: Seconds to keep trying to join, each time.
        night: Seconds after which an endless night is left.

    Raises:
        HqUnreachable: If HQ did not listen within the window, also after it went away, or the night
            did not end in time.
        NotOnTheList: If HQ refuses this outlet.
        ClockOff: If this outlet's clock is why.
        CertificateEnded: If this outlet's certificate or HQ's is over: TLS would not say so.
    """
    _check_dates(identity, hq)
    private, end = identity.node_private_key, time.monotonic() + night
    client = FleetHttpClient(
        f"https://{hq.address}",
        verify=_tls(identity, hq),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(private, private.public_key()),
        ],
    )
    answered, wait, joined = 0, _FIRST_WAIT, False
    try:
        while True:
            node = _activate(client, identity, hq, window, joined=joined)
            session, joined = _Session(client, node, app, app_digest), True
            try:
                return answered + session.work(end)
            except (httpx.HTTPError, _QuestionLost) as error:
                _LOG.warning(
                    "HQ went away before its goodnight (%s); joining again, at most %g minutes",
                    type(error).__name__, window / 60,
                )  # fmt: skip
            answered += session.answered
            time.sleep(wait)
            wait = _FIRST_WAIT if session.answered else min(2 * wait, _LONGEST_WAIT)
    except httpx.HTTPError as error:
        raise HqUnreachable(hq.address, type(error).__name__) from error
    finally:
        client.close()


class _QuestionLost(Exception):
    """A question that HQ gave and has no more."""


class _Session:
    """One node's night, from activation to goodnight, or until HQ goes away."""

    def __init__(
        self, client: FleetHttpClient, node_id: int, app: ClientApp, app_digest: str
    ) -> None:
        self._client = client
        self._node = Node(node_id=node_id)
        self._app = app
        self._app_digest = app_digest
        self._contexts: dict[int, Context | None] = {}
        self.answered = 0

    def work(self, end: float) -> int:
        """Answers questions until goodnight; gives how many.

        Raises:
            HqUnreachable: If there is none until `end` on the monotonic clock.
        """
        beat = time.monotonic()
        try:
            while time.monotonic() < end:
                if time.monotonic() - beat > HEARTBEAT_DEFAULT_INTERVAL / 2:
                    self._client.SendNodeHeartbeat(
                        SendNodeHeartbeatRequest(
                            node=self._node, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
                        )
                    )
                    beat = time.monotonic()
                pulled = self._client.PullMessages(PullMessagesRequest(node=self._node))
                if not pulled.messages_list:
                    continue  # HQ holds the question back until there is work, or two seconds
                head = message_from_proto(pulled.messages_list[0])
                over = head.metadata.message_type == GOODNIGHT
                with suppress(*([httpx.HTTPError] if over else [])):  # HQ may be gone by then
                    self._reply(head, pulled.message_object_trees[0])
                self.answered += 1
                if over:
                    return self.answered
        finally:
            try:
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=self._node.node_id))
            except httpx.HTTPError:
                _LOG.info("HQ was gone before this outlet could say that it leaves")
        raise HqUnreachable("HQ", "the night did not end in time")

    def _reply(self, head: Message, tree: ObjectTree) -> None:
        run_id = head.metadata.run_id
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = (
            run_id,
            self._node.node_id,
            1,
        )
        began = time.monotonic()
        message = self._pull(run_id, tree)
        context = self._context(run_id)
        if context is None:
            reply = Message(Error(NOT_APPROVED, "AppNotInstalledHere"), reply_to=message)
        else:
            reply = self._app(message=message, context=context)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        self._push(run_id, reply, time.monotonic() - began)

    def _context(self, run_id: int) -> Context | None:
        """The run's context; None where the run is of another app than the one installed."""
        if run_id not in self._contexts:
            request = GetRunRequest(node=self._node, run_id=run_id)
            approved = self._client.GetRun(request).run.fab_hash == self._app_digest
            if not approved:
                _LOG.error("HQ runs another release of escapement than is installed here")
            context = Context(run_id, self._node.node_id, {}, RecordDict(), {})
            self._contexts[run_id] = context if approved else None
        return self._contexts[run_id]

    def _pull(self, run_id: int, tree: ObjectTree) -> Message:
        contents: dict[str, bytes] = {}
        for part in iterate_object_tree(tree):
            request = PullObjectRequest(node=self._node, run_id=run_id, object_id=part.object_id)
            while not (pulled := self._client.PullObject(request)).object_available:
                if not pulled.object_found:
                    raise _QuestionLost
                time.sleep(0.01)
            contents[part.object_id] = pulled.object_content
        self._client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self._node, run_id=run_id, message_object_id=tree.object_id
            )
        )
        message = inflate_object_from_contents(tree.object_id, contents)
        if not isinstance(message, Message):
            raise HqUnreachable("HQ", "a question that is no message")
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def _push(self, run_id: int, reply: Message, seconds: float) -> None:
        with no_object_id_recompute():
            objects, tree = get_all_nested_objects(reply), get_object_tree(reply)
            head = remove_content_from_message(reply) if reply.has_content() else reply
            pushed = self._client.PushMessages(
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(head)],
                    message_object_trees=[tree],
                    clientapp_runtime_list=[seconds],
                )
            )
            for identifier in pushed.objects_to_push:
                self._client.PushObject(
                    PushObjectRequest(
                        node=self._node,
                        run_id=run_id,
                        session_id=pushed.session_id,
                        object_id=identifier,
                        object_content=objects[identifier].deflate(),
                    )
                )


def _activate(
    client: FleetHttpClient, identity: Identity, hq: Card, window: float, *, joined: bool = False
) -> int:
    """Joins, trying again with growing waits while HQ does not listen yet.

    Args:
        client: Reaches HQ.
        identity: This outlet's keys.
        hq: HQ's card.
        window: Seconds to keep trying.
        joined: Whether it had joined this night: then HQ knows its certificate, and hangs up
            because it is being stopped or started.
    """
    request = ActivateNodeRequest(
        public_key=identity.card.node_key_pem, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
    )
    end, wait, hung_up = time.monotonic() + window, _FIRST_WAIT, 0
    while True:
        try:
            return int(client.ActivateNode(request).node_id)
        except httpx.HTTPStatusError as error:
            # Anything but 401 may pass, such as Flower still believing that this node is there.
            if error.response.status_code == httpx.codes.UNAUTHORIZED:
                raise _refusal(error.response, identity.card.name) from error
            if time.monotonic() + wait > end:
                raise HqUnreachable(hq.address, str(error.response.status_code)) from error
        except httpx.TransportError as error:
            # HQ hangs up on a certificate that is not on its list; once may be chance.
            hung_up += isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
            refused = hung_up >= _HANG_UPS and not joined
            if refused or "certificate" in str(error).lower():
                raise NotOnTheList(identity.card.name) from error
            if time.monotonic() + wait > end:
                raise HqUnreachable(hq.address, type(error).__name__) from error
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


def clock_difference(identity: Identity, hq: Card) -> float:
    """How many seconds this outlet's clock is ahead of HQ's, while HQ listens.

    Raises:
        HqUnreachable: If HQ does not listen.
        ClockOff: If Flower would refuse calls for it.
        CertificateEnded: If this outlet's certificate or HQ's is over.
    """
    _check_dates(identity, hq)
    try:
        with httpx.Client(verify=_tls(identity, hq), timeout=5) as client:
            response = client.get(f"https://{hq.address}/")
    except httpx.HTTPError as error:
        raise HqUnreachable(hq.address, type(error).__name__) from error
    off = _clock_off(response)
    if off is None:
        raise HqUnreachable(hq.address, "no date in its answer")
    if not -MOST_BEHIND < off < MOST_AHEAD:
        raise ClockOff(off)
    return off


def _check_dates(identity: Identity, hq: Card) -> None:
    identity.card.check_dates(_now(), own=True)
    hq.check_dates(_now())


def _clock_off(response: httpx.Response) -> float | None:
    stated = response.headers.get("date")
    if stated is None:
        return None
    there = email.utils.parsedate_to_datetime(stated)
    return (_now() - there).total_seconds()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _refusal(response: httpx.Response, name: str) -> OutletError:
    """Why Flower refused: a clock that is off, or an outlet that is not on the list."""
    off = _clock_off(response)
    if off is not None and not -MOST_BEHIND < off < MOST_AHEAD:
        return ClockOff(off)
    return NotOnTheList(name)


def _tls(identity: Identity, hq: Card) -> ssl.SSLContext:
    """Accepts HQ's pinned certificate and no other, and shows this outlet's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate itself is pinned, wherever HQ may stand
    context.load_verify_locations(cadata="".join(hq.accepted(_now())))
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files only
        pem = Path(folder) / "key.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(identity.card.certificate.encode() + identity.tls_key)
        context.load_cert_chain(pem)
    return context


def _question(message: Message) -> dict[str, bytes]:
    record = message.content.config_records["question"]
    return {name: value for name, value in record.items() if isinstance(value, bytes)}


@contextmanager
def _types_only(message: Message, refusals: list[Exception]) -> Iterator[list[Message]]:
    """Turns whatever goes wrong into an error reply that says its type and nothing else."""
    failure: list[Message] = []
    try:
        yield failure
    except Exception as error:  # noqa: BLE001  (whatever it is, its text must not leave)
        ours = isinstance(error, OWN_ERRORS)
        _LOG.warning("question refused: %s", error if ours else type(error).__name__)
        refusals.append(error)
        failure.append(Message(Error(RAISED, type(error).__name__), reply_to=message))


def _reply(message: Message, fields: dict[str, str | int | bytes]) -> Message:
    return Message(RecordDict({"answer": ConfigRecord(dict(fields))}), reply_to=message)
