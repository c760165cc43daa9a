"""What an attacker on the outlets' port gets: nothing. Real TLS, real sockets."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import flwr
import httpx
import pytest
from flwr.proto.fleet_pb2 import RegisterNodeFleetRequest, RegisterNodeFleetResponse
from flwr.server.superlink.linkstate import LinkState
from flwr.superlink.routers.fleet.router import router as fleet_router
from flwr.supernode.fleet_http_client import FleetHttpClient

from features.protocol import app_digest
from outlet_client import flower_node
from outlet_client.errors import ClockOff, HqUnreachable, NotOnTheList
from outlet_client.flower_node import client_app, clock_difference, join_night
from privacy.identity import Card, Identity, Kind
from server.hq.superlink import SuperLink

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.federation

NOW = dt.datetime.now(dt.UTC)
HQ = Identity.generate(Kind.HQ, "hq", "127.0.0.1:0", NOW)
OUTLET = Identity.generate(Kind.OUTLET, "O1", "", NOW)
STRANGER = Identity.generate(Kind.OUTLET, "O1", "", NOW)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    superlink = SuperLink({"O1": OUTLET.card}, app_digest(), 1.0)
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
    mixed = Identity(OUTLET.card, OUTLET.signing, OUTLET.tls_key, STRANGER.node_key)
    with pytest.raises(NotOnTheList):
        join(port, mixed)


def test_another_hq_than_the_cards_is_noticed(port: int) -> None:
    other = Identity.generate(Kind.HQ, "hq", "", NOW)
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
    with pytest.raises(ClockOff, match="clock: 10 minutes behind HQ's, expected at most 5"):
        join(port, OUTLET)
    with pytest.raises(ClockOff):
        clock_difference(OUTLET, hq_card(port))


def test_an_hq_that_does_not_listen_is_named_with_its_address() -> None:
    with pytest.raises(
        HqUnreachable, match=r"127\.0\.0\.1:1: ConnectError; is a night running there"
    ):
        join(1, OUTLET)


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
