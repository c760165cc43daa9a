"""Calls on the outlets' port as an outlet's node signs them, made by hand."""

from __future__ import annotations

import datetime as dt
import socket
from base64 import b64encode
from typing import TYPE_CHECKING

from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import sign_message

from outlet_client.night import flower_node

if TYPE_CHECKING:
    import ssl

    from privacy.identity import Card, Identity


def now() -> dt.datetime:
    """When a call is signed."""
    return dt.datetime.now(dt.UTC)


def signed_headers(identity: Identity) -> dict[str, str]:
    """What a node sends with each call."""
    at = now().isoformat()
    signature = sign_message(identity.node_private_key, at.encode())
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(identity.card.node_key_pem).decode(),
        TIMESTAMP_HEADER: at,
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(signature).decode(),
    }


def connected(port: int, identity: Identity, hq: Card) -> ssl.SSLSocket:
    """A connection that TLS accepted."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    return flower_node._tls(identity, hq).wrap_socket(raw)


def begun(connection: ssl.SSLSocket, identity: Identity, path: str, length: int) -> None:
    """Begins a call whose body shall be so long; nothing of it is sent."""
    lines = [
        f"POST /v1/fleet/{path} HTTP/1.1", "host: hq", "content-type: application/protobuf",
        f"content-length: {length}", *(f"{k}: {v}" for k, v in signed_headers(identity).items()),
    ]  # fmt: skip
    connection.sendall("\r\n".join([*lines, "", ""]).encode())


def status_of(connection: ssl.SSLSocket) -> int:
    """The status of the answer, waited for; 0 where the other side hung up."""
    try:
        answer = connection.recv(4096)
    except ConnectionError:
        return 0
    return int(answer.split(b" ", 2)[1]) if answer else 0
