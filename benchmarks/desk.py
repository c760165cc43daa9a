"""How long the desk's look-up page takes, at a steady rate, with a large book.

    python -m benchmarks.desk [--slots 1000000] [--known 2000] [--rate 20] [--seconds 60]

A desk is a process of its own, on plain HTTP on 127.0.0.1, with a book of `slots` entries; `known`
are this outlet's people. Forms are sent at fixed moments, whether or not earlier ones have been
answered, and each is timed from the moment at which it was due: a slow answer delays no other from
being counted. Each answer is a whole page, written after its entry in the log is durable. Beside
them, at the same rate and in turn, an empty answer of the same server and what it costs to be asked
for the form alone.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import uvicorn
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.lookup import fill, parties
from outlet_client.desk.asgi_app import desk_app
from outlet_client.desk.desk_server import open_site, server_config
from outlet_client.people.people_store import People
from outlet_client.staff.accounts import Accounts, Role, secret_of
from outlet_client.staff.agreed_texts import UNDERTAKING, read_text
from outlet_client.staff.staff_store import StaffStore
from sandbox.enrolment import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from starlette.requests import Request

STAFF, PASSWORD = 4, "three words of a benchmark"
SETTINGS = 'ledger = "ledger.csv"\n\n[desk]\nlisten = "127.0.0.1:{}"\nlookups_a_day = 1000000\n'


def main() -> None:
    """Prints p50, p99 and the largest of each kind, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=1_000_000)
    parser.add_argument("--known", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        hq, office, outlet = parties(Path(folder))
        with closing(People.open(outlet.folder, outlet.identity())) as people:
            phones = fill(outlet, people, (hq, office), options.slots, options.known)
        port = free_port()
        (outlet.folder / "escapement.toml").write_text(SETTINGS.format(port))
        _staff(outlet.folder, secret_of(outlet.identity()))
        words = [sys.executable, "-m", "benchmarks.desk", "--serve", str(outlet.folder)]
        server = subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ})  # noqa: S603  (ourselves)
        try:
            asyncio.run(_measure(f"http://localhost:{port}", phones, options.rate, options.seconds))
        finally:
            server.terminate()
            server.wait()


def _serve(home: Path) -> None:
    """The desk, with one address more that answers nothing."""

    async def nothing(_request: Request) -> Response:
        return Response()

    with open_site(home) as site:
        config = server_config(site)
        app = desk_app(site)
        app.router.routes.append(Route("/nothing", nothing, methods=["GET", "POST"]))
        config.app = app
        config.loaded = False
        uvicorn.Server(config).run()


def _staff(home: Path, secret: bytes) -> None:
    at = dt.datetime.now(dt.UTC)
    with closing(StaffStore(home)) as store:
        accounts = Accounts(store, secret)
        for number in range(STAFF):
            name = f"staff {number}"
            first = accounts.add(name, Role.ASSOCIATE, at)
            accounts.change_password(name, first, PASSWORD, at)
            accounts.undertake(name, read_text(UNDERTAKING), at + dt.timedelta(seconds=1))


async def _measure(url: str, phones: list[str], rate: int, seconds: int) -> None:
    clients = [await _signed_in(url, number) for number in range(STAFF)]
    random = np.random.default_rng(1)
    chosen = [phones[place] for place in random.integers(0, len(phones), rate * seconds)]

    async def look_up(number: int) -> httpx.Response:
        client, csrf = clients[number % STAFF]
        form = {"csrf": csrf, "phone": chosen[number], "purpose": "sale"}
        return await client.post("/look-up", data=form)

    async def form(number: int) -> httpx.Response:
        return await clients[number % STAFF][0].get("/look-up")

    async def nothing(number: int) -> httpx.Response:
        return await clients[number % STAFF][0].get("/nothing")

    began = time.perf_counter()
    first = await look_up(0)
    took = time.perf_counter() - began
    assert "Eligibility" in first.text, first.text  # noqa: S101  (a benchmark of errors is none)
    sys.stdout.write(f"first look-up, which reads the book: {took * 1e3:.0f} ms\n\n")
    sys.stdout.write(f"| at {rate} a second | p50 ms | p99 ms | largest |\n")
    sys.stdout.write("|---|---|---|---|\n")
    medians = {}
    for label, ask, says in (
        ("an empty answer", nothing, ""),
        ("the form alone", form, "Look a customer up"),
        ("look-up, logged durably", look_up, "Eligibility"),
    ):
        times = await _paced(ask, says, rate, seconds)
        half, most = np.quantile(times, [0.5, 0.99]) * 1e3
        medians[label] = half
        sys.stdout.write(f"| {label} | {half:.1f} | {most:.1f} | {max(times) * 1e3:.1f} |\n")
        sys.stdout.flush()
    ratio = medians["look-up, logged durably"] / medians["an empty answer"]
    sys.stdout.write(f"\na look-up takes {ratio:.1f} times an empty answer (medians)\n")
    for client, _ in clients:
        await client.aclose()


async def _paced(
    ask: Callable[[int], Coroutine[Any, Any, httpx.Response]], says: str, rate: int, seconds: int
) -> list[float]:
    """Seconds of each, from the moment at which it was due."""
    began = time.perf_counter() + 0.1

    async def one(number: int) -> float:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        answer = await ask(number)
        took = time.perf_counter() - due
        assert answer.status_code == 200, answer.text  # noqa: S101, PLR2004  (likewise)
        assert says in answer.text  # noqa: S101  (likewise)
        return took

    return list(await asyncio.gather(*map(one, range(rate * seconds))))


async def _signed_in(url: str, number: int) -> tuple[httpx.AsyncClient, str]:
    client = httpx.AsyncClient(base_url=url, follow_redirects=True, timeout=60)
    page = await _reached(client)
    name = f"staff {number}"
    page = await client.post(
        "/sign-in", data={"csrf": _csrf(page), "name": name, "password": PASSWORD}
    )
    return client, _csrf(page)


async def _reached(client: httpx.AsyncClient) -> httpx.Response:
    for _ in range(600):
        try:
            return await client.get("/sign-in")
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the desk did not start")


def _csrf(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text  # noqa: S101  (likewise)
    return found[1]


if __name__ == "__main__":
    main()
