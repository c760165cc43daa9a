"""What an attacker on the outlets' port gets: nothing. Real TLS, real sockets."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import flwr
import httpx
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.proto.fleet_pb2 import (
    PushMessagesRequest,
    RegisterNodeFleetRequest,
    RegisterNodeFleetResponse,
)
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.superlink.routers.fleet.router import router as fleet_router
from flwr.supernode.fleet_http_client import FleetHttpClient

from features.protocol import app_digest
from outlet_client.errors import ClockOff, HqUnreachable, NotOnTheList
from outlet_client.night import flower_node
from outlet_client.night.flower_node import client_app, clock_difference, join_night
from privacy.identity import Card, Identity, PartyKind
from server.hq.gate import is_small
from server.hq.superlink import SuperLink
from tests.federation.fleet_calls import signed_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.federation

NOW = dt.datetime.now(dt.UTC)
HQ = Identity.generate(PartyKind.HQ, "hq", "127.0.0.1:0", NOW)
OUTLET = Identity.generate(PartyKind.OUTLET, "O1", "", NOW)
STRANGER = Identity.generate(PartyKind.OUTLET, "O1", "", NOW)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    superlink = SuperLink({"O1": OUTLET.card}, app_digest(), 1.0, 10_000)
    yield superlink.listen(HQ, "127.0.0.1", 0)
    superlink.close()


def hq_card(port: int) -> Card:
    return replace(HQ.card, address=f"127.0.0.1:{port}")


def client(port: int, identity: Identity) -> httpx.Client:
    context = flower_node._tls(identity, HQ.card)
    return httpx.Client(verify=context, base_url=f"https://127.0.0.1:{port}", timeout=5)


def test_plain_http_gets_nothing(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        raw.sendall(b"GET /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        try:
            while part := raw.recv(4096):
                received += part
        except ConnectionError:
            pass
    assert b"HTTP/" not in received


def test_no_certificate_gets_nothing(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=HQ.card.certificate)
    with pytest.raises(httpx.TransportError), httpx.Client(verify=context, timeout=5) as web:
        web.get(f"https://127.0.0.1:{port}/v1/fleet/pull-messages")


def test_a_certificate_that_is_not_on_the_list_gets_nothing(port: int) -> None:
    """Also a revoked outlet's: revoking is taking its card off the list."""
    with pytest.raises(httpx.TransportError), client(port, STRANGER) as web:
        web.get("/v1/fleet/pull-messages")
    with pytest.raises(NotOnTheList, match="HQ does not know its keys"):
        join(port, STRANGER)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/openapi.json", "/v1/control/start-run", "/v1/control/list-runs",
        "/v1/runtime/push-messages", "/v1/runtime/get-nodes", "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run", "//v1/control/start-run",
        "/v1/fleet//../runtime/get-nodes",
        "/V1/CONTROL/start-run", "/v1/fleet/pull-messages/../../runtime/get-nodes", "/health",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_fleet_routes_exist_even_for_a_listed_outlet(
    port: int, path: str, method: str
) -> None:
    with client(port, OUTLET) as web:
        request = web.build_request(method, "/", headers={"content-type": "application/protobuf"})
        request.url = request.url.copy_with(raw_path=path.encode())
        response = web.send(request)
    assert response.status_code == 404
    assert "run" not in response.text


def test_an_outlet_cannot_register_a_node_of_its_own(port: int) -> None:
    web = FleetHttpClient(
        f"https://127.0.0.1:{port}", verify=flower_node._tls(OUTLET, HQ.card), interceptors=[]
    )
    with pytest.raises(httpx.HTTPStatusError) as caught:
        web._unary_unary(
            path="/v1/fleet/register-node",
            rpc_method="",
            request=RegisterNodeFleetRequest(public_key=STRANGER.card.node_key_pem),
            response_type=RegisterNodeFleetResponse,
        )
    assert caught.value.response.status_code in (400, 401, 403)
    web.close()


def join(port: int, identity: Identity) -> int:
    def never(_cut_off: str, _outcome: str) -> object:
        raise AssertionError("no question was asked")

    return join_night(
        client_app("O1", never),  # type: ignore[arg-type]
        identity,
        hq_card(port),
        app_digest(),
        window=0.5,
        night=0.5,
    )


def test_a_certificate_without_its_own_node_key_joins_nothing(port: int) -> None:
    mixed = replace(OUTLET, node_key=STRANGER.node_key)
    with pytest.raises(NotOnTheList):
        join(port, mixed)


def test_another_hq_than_the_cards_is_noticed(port: int) -> None:
    other = Identity.generate(PartyKind.HQ, "hq", "", NOW)
    card = replace(other.card, address=f"127.0.0.1:{port}")
    with pytest.raises(NotOnTheList, match="or is not the HQ on the card"):
        join_night(
            client_app("O1", lambda *_: None),  # type: ignore[arg-type]
            OUTLET,
            card,
            app_digest(),
            window=0.5,
            night=0.5,
        )


def test_a_clock_ten_minutes_off_is_named_as_such(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert abs(clock_difference(OUTLET, hq_card(port))) < 5
    off = dt.timedelta(minutes=-10)
    monkeypatch.setattr(flower_node, "_now", lambda: dt.datetime.now(dt.UTC) + off)
    monkeypatch.setattr(
        "flwr.supernode.node_auth_http_interceptor.now", lambda: dt.datetime.now(dt.UTC) + off
    )
    with pytest.raises(ClockOff, match="clock: 10 minutes behind HQ's, expected at most 4 s ahead"):
        join(port, OUTLET)
    with pytest.raises(ClockOff):
        clock_difference(OUTLET, hq_card(port))


def test_an_hq_that_does_not_listen_is_named_with_its_address() -> None:
    with pytest.raises(
        HqUnreachable, match=r"127\.0\.0\.1:1: ConnectError; is a night running there"
    ):
        join(1, OUTLET)


def test_a_clock_ten_seconds_ahead_is_named_too(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = dt.timedelta(seconds=10)
    monkeypatch.setattr(flower_node, "_now", lambda: dt.datetime.now(dt.UTC) + ahead)
    monkeypatch.setattr(
        "flwr.supernode.node_auth_http_interceptor.now", lambda: dt.datetime.now(dt.UTC) + ahead
    )
    with pytest.raises(ClockOff, match=r"clock: \d+ s ahead of HQ's"):
        join(port, OUTLET)


def test_a_body_larger_than_any_honest_call_is_refused_before_it_is_read(port: int) -> None:
    with client(port, OUTLET) as web:
        for path, size in (("pull-messages", 2**17), ("push-object", 2**18)):
            headers = signed_headers(OUTLET)
            response = web.post(f"/v1/fleet/{path}", content=bytes(size), headers=headers)
            assert response.status_code == 413


def chain(names: str, *, twice: bool) -> ObjectTree:
    """A tree as deep as `names`; named twice, each level unfolds to twice the one below."""
    tree = ObjectTree(object_id=names[0])
    for name in names[1:]:
        again = [ObjectTree(object_id=tree.object_id)] if twice else []
        tree = ObjectTree(object_id=name, children=[tree, *again])
    return tree


@pytest.mark.parametrize("tree", [chain("abc", twice=True), chain("abcdefgh", twice=False)])
def test_an_object_tree_that_unfolds_without_end_is_refused_at_once(
    port: int, tree: ObjectTree
) -> None:
    request = PushMessagesRequest(message_object_trees=[tree])
    with client(port, OUTLET) as web:
        response = web.post(
            "/v1/fleet/push-messages",
            content=request.SerializeToString(),
            headers=signed_headers(OUTLET),
        )
    assert response.status_code == 400
    assert not is_small(tree)
    assert is_small(chain("abcd", twice=False))


def pushed(**lies: object) -> Message:
    """What HQ's grid makes of a reply whose pushed content lies about itself."""
    superlink = SuperLink({"O1": OUTLET.card}, app_digest(), 0.2, 10_000)
    state, grid = superlink._state, superlink.grid
    (node,) = superlink.names
    state.activate_node(node, 60)
    content = RecordDict({"question": ConfigRecord({})})
    question = Message(content, dst_node_id=node, message_type="query.roll_call", ttl=30.0)
    (asked,) = grid.push_messages([question])
    question.metadata.__dict__["_message_id"] = asked
    (got,) = state.get_message_ins(node, 1)
    answer = Message(RecordDict({"answer": ConfigRecord({"outlet": "O1"})}), reply_to=question)
    answer.metadata.__dict__.update({k: v for k, v in lies.items() if k.startswith("_")})
    with no_object_id_recompute():
        identifier = answer.object_id
        contents = {key: part.deflate() for key, part in get_all_nested_objects(answer).items()}
        tree = get_object_tree(answer)
    head = remove_content_from_message(answer)
    head.metadata.__dict__.update(
        _message_id=identifier, _src_node_id=node, _dst_node_id=got.metadata.src_node_id
    )
    session = state.start_session(grid.run.run_id)
    if lies.get("without_tree"):
        state.store_message_res(head)
    else:
        _, missing = state.store_message_and_object_tree(head, tree, session)
        for part in missing if not lies.get("without_content") else ():
            state.store_object(grid.run.run_id, session, part, contents[part])
    (made,) = grid.pull_messages([asked])
    assert made.metadata.src_node_id == node
    superlink.close()
    return made


@pytest.mark.parametrize("lie", ["without_tree", "without_content"])
def test_a_reply_that_flower_cannot_put_together_is_an_error_and_no_crash(lie: str) -> None:
    assert pushed(**{lie: True}).has_error()


def test_who_replied_is_what_flower_checked_and_not_what_the_content_says() -> None:
    made = pushed(_src_node_id=12345)
    assert made.content.config_records["answer"]["outlet"] == "O1"


def test_an_outlet_that_was_killed_joins_again_while_flower_believes_it_is_there() -> None:
    superlink = SuperLink({"O1": OUTLET.card}, app_digest(), 1.0, 10_000)
    here = superlink.listen(HQ, "127.0.0.1", 0)
    (node,) = superlink.names
    superlink._state.activate_node(node, 60)
    with pytest.raises(HqUnreachable, match=": 412; is a night"):  # tried until the window closed
        join(here, OUTLET)
    superlink._state.deactivate_node(node)
    with pytest.raises(HqUnreachable, match="did not end in time"):
        join(here, OUTLET)
    superlink.close()


def test_flower_is_the_version_that_the_adapters_were_written_for() -> None:
    """The contract: internals that the two adapters touch, in the one version they are held to."""
    assert flwr.__version__ == "1.41.0"
    for name in (
        "store_message_and_object_tree", "store_object", "get_object", "get_message_res",
        "delete_messages", "create_node", "create_run", "claim_task", "activate_task",
        "finish_task", "acknowledge_task_heartbeat", "start_session", "get_nodes",
    ):  # fmt: skip
        assert callable(getattr(LinkState, name)), name
    assert {getattr(route, "path", "") for route in fleet_router.routes} == {
        f"/v1/fleet/{name}"
        for name in (
            "register-node", "activate-node", "deactivate-node", "unregister-node",
            "send-node-heartbeat", "pull-messages", "push-messages", "get-run", "get-fab",
            "push-object", "pull-object", "confirm-message-received",
        )
    }  # fmt: skip


def test_hq_tells_flower_that_its_run_lives_while_it_waits_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flower fails a run that is silent for a minute: also while outlets are slow to join."""
    monkeypatch.setattr("server.hq.superlink.HEARTBEAT_SECONDS", 0.02)
    superlink = SuperLink({"O1": OUTLET.card}, app_digest(), 1.0, 10_000)
    told = threading.Event()
    before = superlink._state.acknowledge_task_heartbeat

    def acknowledge(task: int) -> bool:
        told.set()
        return before(task)

    monkeypatch.setattr(superlink._state, "acknowledge_task_heartbeat", acknowledge)
    assert told.wait(10)
    superlink.close()
    time.sleep(0.1)  # one may be under way
    told.clear()
    assert not told.wait(0.2)
