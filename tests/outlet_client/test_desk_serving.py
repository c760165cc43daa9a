"""The desk as it is served: TLS, what a connection may do, and the program itself."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from typer.testing import CliRunner
from typing_extensions import override

from outlet_client.desk import connection_limits
from outlet_client.desk.asgi_app import desk_app
from outlet_client.desk.connection_limits import MOST_OF_ONE
from outlet_client.desk.desk_server import MOST_AT_ONCE, server_config
from outlet_client.desk.request_guard import MOST_WAITING
from outlet_client.errors import NotConfigured
from outlet_client.main import app
from outlet_client.settings import OutletFile
from outlet_client.staff.accounts import AT_ONCE, Accounts
from sandbox.enrolment import free_port
from sandbox.processes import ENVIRONMENT
from tests.outlet_client.desk_site import (
    ANNA,
    MEI,
    PASSWORD,
    PORT,
    URL,
    Browser,
    Desk,
    desk,
    home,
    network,
    opened,
    outlet,
    said,
)
from tests.outlet_client.localhost_certificate import write_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["desk", "home", "outlet"]

_FIELD = re.compile(r'<input type="hidden" name="csrf" value="([^"]*)">')


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:8480", "192.168.1.5:8480", "localhost:8480", "desk.shop.example:8480",
     "127.0.0.1.evil.example:8480", "[::]:8480", "[::1]:8480", "127.0.0.1", ":8480", "0:8480"],
)  # fmt: skip
def test_without_a_certificate_the_desk_listens_on_this_machine_only(
    tmp_path: Path, listen: str
) -> None:
    file = tmp_path / "escapement.toml"
    file.write_text(f'ledger = "ledger.csv"\n[desk]\nlisten = "{listen}"\n')
    with pytest.raises(NotConfigured):
        OutletFile.read(file)


@pytest.mark.parametrize("one", ["certificate", "key"])
def test_a_certificate_without_its_key_is_no_certificate(tmp_path: Path, one: str) -> None:
    file = tmp_path / "escapement.toml"
    file.write_text(f'ledger = "ledger.csv"\n[desk]\nlisten = "0.0.0.0:1"\n{one} = "a.pem"\n')
    with pytest.raises(NotConfigured, match="both certificate and key"):
        OutletFile.read(file)


def test_a_certificate_that_cannot_be_used_is_said_before_anybody_is_served(home: Path) -> None:
    secure(home, PORT)
    (home / "desk.pem").write_text("no certificate\n")
    with opened(home) as desk, pytest.raises(NotConfigured, match="expected PEM files"):
        server_config(desk.site)


# --- over TLS -------------------------------------------------------------------------------------


def secure(home: Path, port: int) -> None:
    """Makes a P-256 certificate for localhost, and lets the desk use it."""
    write_certificate(home / "desk.pem", home / "desk-key.pem")
    settings = (home / "escapement.toml").read_text()
    (home / "escapement.toml").write_text(
        settings.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{port}")
        + f'hosts = ["localhost:{port}"]\ncertificate = "desk.pem"\nkey = "desk-key.pem"\n'
    )


@contextmanager
def served(desk: Desk) -> Iterator[None]:
    """Serves a desk as the program does, from a thread."""
    server = uvicorn.Server(server_config(desk.site))
    runs = threading.Thread(target=server.run)
    runs.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert runs.is_alive()
            assert time.monotonic() < until
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        runs.join(20)


class Client(httpx.Client):
    """A browser over a socket."""

    def form(self, path: str, fields: dict[str, str], page: str) -> httpx.Response:
        text = self.get(page).text
        own = re.search(
            f'action="{path}".*?name="csrf" value="([^"]*)".*?name="once" value="([^"]*)"',
            text,
            re.DOTALL,
        )
        assert own is not None
        return self.post(path, data={"csrf": own[1], "once": own[2], **fields})


def over_tls(home: Path, port: int) -> Client:
    trust = ssl.create_default_context(cafile=str(home / "desk.pem"))
    return Client(base_url=f"https://localhost:{port}", verify=trust)


SIGN_IN = {"name": MEI, "password": PASSWORD}


@pytest.fixture
def tls(home: Path) -> Iterator[tuple[Desk, int]]:
    """A desk that is served over TLS."""
    port = free_port()
    secure(home, port)
    with opened(home) as made, served(made):
        yield made, port


def test_over_tls_cookies_are_bound_to_the_host_and_browsers_come_back_over_tls(
    tls: tuple[Desk, int],
) -> None:
    desk, port = tls
    with over_tls(desk.home, port) as browser:
        shown = browser.get("/sign-in")
        signed_in = browser.form("/sign-in", SIGN_IN, "/sign-in")
        assert signed_in.status_code == 303
        for answer, name in ((shown, "__Host-desk-form"), (signed_in, "__Host-desk")):
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith(f"{name}=")
            parts = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"secure", "httponly", "samesite=strict", "path=/"} == parts
            assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert "server" not in shown.headers
        assert browser.get("/look-up").status_code == 200
        session, form = browser.cookies["__Host-desk"], browser.cookies["__Host-desk-form"]
        browser.cookies.clear()
        refused = browser.get("/look-up", headers={"cookie": f"desk={session}"})
        assert refused.headers["location"] == "/sign-in"
        sent = browser.post(
            "/sign-in", data={"csrf": form, **SIGN_IN}, headers={"cookie": f"desk-form={form}"}
        )
        assert sent.status_code == 403  # a neighbour over plain HTTP could have set that one


def test_over_tls_nothing_is_answered_in_the_clear_nor_under_an_old_protocol(
    tls: tuple[Desk, int],
) -> None:
    desk, port = tls
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{port}/sign-in")
    context = server_config(desk.site).ssl
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    with over_tls(desk.home, port) as browser:
        for host in ("localhost", f"127.0.0.1:{port}", "evil.example"):
            assert browser.get("/sign-in", headers={"host": host}).status_code == 421


# --- what a connection may do ---------------------------------------------------------------------


@pytest.fixture
def plain(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, int]]:
    """A desk that is served on 127.0.0.1, with little patience."""
    port = free_port()
    text = (home / "escapement.toml").read_text()
    (home / "escapement.toml").write_text(text.replace(f":{PORT}", f":{port}"))
    monkeypatch.setattr(connection_limits, "REQUEST_SECONDS", 0.8)
    with opened(home) as made, served(made):
        yield made, port


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    made.settimeout(10)
    return made


def rest(connection: socket.socket) -> bytes:
    """What still comes until the other side ends it."""
    found = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def asked(port: int, request: bytes) -> bytes:
    with connect(port) as connection:
        with suppress(ConnectionError):  # where it has seen enough
            connection.sendall(request)
        return rest(connection)


def test_no_byte_of_a_request_becomes_a_header_of_ours(plain: tuple[Desk, int]) -> None:
    _, port = plain
    host = f"Host: localhost:{port}\r\nConnection: close\r\n".encode()
    put_in = b"x\r\nSet-Cookie: injected=1\r\n\r\ninjected"
    quoted = b"%0d%0aSet-Cookie:%20injected=1%0d%0a%0d%0ainjected"
    form = b"name=a" + quoted + b"&password=b" + quoted + b"&csrf=c" + quoted
    sent = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s"
    for request in (
        b"GET /sign-in" + quoted + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /sign-in?next=" + quoted + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /" + quoted + b"/ HTTP/1.1\r\n" + host + b"\r\n",
        b"GET //evil.example" + quoted + b"/ HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /sign-in HTTP/1.1\r\n" + host + b"Cookie: desk-form=" + quoted + b"\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\n" + host + b"Cookie: desk=a\rSet-Cookie: injected=1\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\n" + host + b"Origin: " + put_in[:1] + b"\n injected\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: localhost:1\rinjected: 1\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\n" + host + b"Host: injected\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\n" + host + sent % (len(form), form),
    ):
        head, _, _ = asked(port, request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 ")
        assert head.count(b"HTTP/1.1 ") == 1
        assert b"injected" not in head


def test_a_request_without_one_host_is_none(plain: tuple[Desk, int]) -> None:
    _, port = plain
    for hosts in (b"", f"Host: localhost:{port}\r\n".encode() * 2):
        answer = asked(port, b"GET /sign-in HTTP/1.1\r\n" + hosts + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
    assert asked(port, b"GET /sign-in HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_what_never_ends_is_cut_off(plain: tuple[Desk, int]) -> None:
    _, port = plain
    host = f"Host: localhost:{port}\r\n".encode()
    head = b"GET /sign-in HTTP/1.1\r\n" + host
    assert b" 400 " in asked(port, head + b"a: " + b"x" * 200_000)
    assert b" 400 " in asked(port, head + b"".join(b"a%d: b\r\n" % n for n in range(20_000)))
    long = b"POST /sign-in HTTP/1.1\r\n" + host + b"Content-Length: 99999999\r\n"
    long += b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + b"a" * 200_000
    with connect(port) as connection:
        connection.sendall(long)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


BODY = b"Content-Length: 999\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
BEGUN = {
    "a name": b"GET /sign-in HTT",
    "a header": b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\na: ",
    "a form": b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n" + BODY,
}


@pytest.mark.parametrize("what", BEGUN)
def test_whoever_says_something_very_slowly_is_not_waited_for(
    plain: tuple[Desk, int], what: str
) -> None:
    _, port = plain
    began = time.monotonic()
    with connect(port) as connection, suppress(ConnectionError):
        connection.sendall(BEGUN[what])
        while time.monotonic() - began < 10:
            time.sleep(0.05)
            connection.sendall(b"a")
    assert time.monotonic() - began < 8


def test_whoever_says_nothing_is_not_waited_for(plain: tuple[Desk, int]) -> None:
    _, port = plain
    with connect(port) as connection:
        assert rest(connection) == b""  # and not a timeout


def test_a_connection_that_is_used_is_kept(plain: tuple[Desk, int]) -> None:
    _, port = plain
    request = f"GET /desk.css HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    with connect(port) as connection:
        for _ in range(2):
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            while connection in _readable(connection):
                connection.recv(65536)
            time.sleep(1.0)  # longer than its patience


def _readable(connection: socket.socket) -> list[socket.socket]:
    connection.settimeout(0.1)
    try:
        return [connection] if connection.recv(1, socket.MSG_PEEK) else []
    except TimeoutError:
        return []
    finally:
        connection.settimeout(10)


def test_no_other_machine_can_take_all_connections(
    plain: tuple[Desk, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "REQUEST_SECONDS", 20.0)
    _, port = plain
    many = [connect(port, "127.0.0.2") for _ in range(MOST_AT_ONCE + 10)]
    own = [connect(port) for _ in range(MOST_OF_ONE + 4)]
    try:
        request = f"GET /sign-in HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
        with connect(port, "127.0.0.3") as other:
            other.sendall(request.encode())
            assert rest(other).startswith(b"HTTP/1.1 200 ")
        assert sum(map(_is_ended, many)) == len(many) - MOST_OF_ONE
        assert not any(map(_is_ended, own))  # a tunnel brings many browsers from here
    finally:
        for one in (*many, *own):
            one.close()


def _is_ended(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


class Slow(PasswordHasher):
    """Takes until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go, self.at_once, self.most = threading.Event(), 0, 0

    @override
    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.go.wait(20)
        self.at_once -= 1
        return super().verify(hash, password)


def test_however_many_sign_in_at_once_other_pages_are_answered(desk: Desk) -> None:
    hasher, browser = Slow(), desk.signed_in(MEI)
    app = desk_app(replace(desk.site, accounts=Accounts(desk.store, b"s" * 32, hasher)))
    stranger = Browser(app, desk.site)
    form = {"csrf": stranger.token("/sign-in"), "password": "wrong, wrong"}
    form["once"] = stranger.key("/sign-in")
    stranger.close()

    async def together() -> tuple[httpx.Response, list[httpx.Response]]:
        transport = httpx.ASGITransport(app)
        cookies = {**stranger.cookies, **browser.cookies}
        async with (
            httpx.AsyncClient(transport=transport, base_url=URL, cookies=stranger.cookies) as many,
            httpx.AsyncClient(transport=transport, base_url=URL, cookies=cookies) as one,
        ):
            tries = [
                asyncio.create_task(many.post("/sign-in", data={"name": f"N{n}", **form}))
                for n in range(60)
            ]
            queued = AT_ONCE + MOST_WAITING
            try:
                async with asyncio.timeout(20):
                    while (
                        hasher.at_once < AT_ONCE or sum(one.done() for one in tries) < 60 - queued
                    ):
                        await asyncio.sleep(0.01)
                    shown = await one.get("/look-up")
            finally:
                hasher.go.set()
            return shown, await asyncio.gather(*tries)

    shown, tries = asyncio.run(together())
    assert shown.status_code == 200
    assert hasher.most == AT_ONCE
    statuses = [answer.status_code for answer in tries]
    assert statuses.count(303) == AT_ONCE + MOST_WAITING  # to a page that says no
    assert statuses.count(503) == 60 - AT_ONCE - MOST_WAITING
    full = next(answer for answer in tries if answer.status_code == 503)
    assert "Too many sign in just now" in full.text
    assert full.headers["cache-control"] == "no-store"


# --- the program ----------------------------------------------------------------------------------


def test_the_program_serves_over_tls_says_nothing_of_anybody_and_ends_when_told(
    tmp_path: Path,
) -> None:
    now, port = dt.datetime.now(dt.UTC), free_port()
    folder = network(tmp_path, now).outlet.folder
    secure(folder, port)
    words = [str(Path(sys.executable).with_name("escapement-outlet")), "desk"]
    around = {**os.environ, **ENVIRONMENT}
    log = folder / "desk.log"
    with log.open("wb") as out:
        program = subprocess.Popen(words, cwd=folder, env=around, stdout=out, stderr=out)  # noqa: S603
    try:
        with over_tls(folder, port) as browser:
            until = time.monotonic() + 60
            while True:
                try:
                    browser.get("/sign-in")
                    break
                except httpx.TransportError:
                    assert program.poll() is None, log.read_text()
                    assert time.monotonic() < until
                    time.sleep(0.05)
            assert browser.form("/sign-in", SIGN_IN, "/sign-in").status_code == 303
            look_up = {"phone": ANNA, "purpose": "sale"}
            answer = browser.form("/look-up", look_up, "/look-up")
            assert "Priority" in said(browser.get(answer.headers["location"]))
            assert browser.get("/allocations/1").status_code == 403
            assert browser.get(f"/{ANNA}").status_code == 404
        assert asked(port, f"GET /{ANNA} HTTP/1.1\r\n\r\n".encode()) == b""  # no TLS
    finally:
        program.send_signal(signal.SIGTERM)
        program.wait(20)
    first, *others = log.read_text().splitlines()
    assert first == f"The desk is at https://localhost:{port}; stop with Ctrl-C."
    lines = [json.loads(line) for line in others]
    assert [line["message"] for line in lines] == ["/allocations/{number:number}: another role"]
    text = log.read_text()
    assert not [one for one in (ANNA, ANNA[2:], MEI, PASSWORD, "127.0.0.1") if one in text]


def test_where_something_listens_already_the_program_says_so(plain: tuple[Desk, int]) -> None:
    desk, port = plain
    done = CliRunner().invoke(app, ["desk", "--home", str(desk.home)])
    assert done.exit_code == 6
    assert f"127.0.0.1:{port} cannot be listened on" in " ".join(done.output.split())
