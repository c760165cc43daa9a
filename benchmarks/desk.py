"""How long the desk's look-up page takes, at a steady rate, with a large book.

    python -m benchmarks.desk [--slots 1000000] [--known 2000] [--rate 20] [--seconds 60]
                              [--waiting 10000]

A desk is a process of its own, on plain HTTP on 127.0.0.1, with a book of `slots` entries; `known`
are this outlet's people. Forms are sent at fixed moments, whether or not earlier ones have been
answered, and each is timed from the moment at which it was due: a slow answer delays no other from
being counted. Each answer is a whole page, read by GET after its entry in the log is durable.
Beside them, at the same rate and in turn, an empty answer of the same server and what it costs to
be asked for the form alone.

With `--waiting`, so many of them wait for one reference, and a manager has it allocated: how long
until the proposal can be read, how large its page is, and how long look-ups of others take
meanwhile.
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
from outlet_client.customer_access import open_people
from outlet_client.desk.asgi_app import desk_app
from outlet_client.desk.desk_server import open_site, server_config
from outlet_client.people.client_book import update_people
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
MANAGER = "the manager"
REFERENCE, PIECES = "R1", 3
SETTINGS = """\
ledger = "ledger.csv"
clients = "clients.csv"
references = "references.csv"
interests = "interests.csv"
region = "SG"

[desk]
listen = "127.0.0.1:{}"
lookups_a_day = 1000000
"""


def main() -> None:
    """Prints p50, p99 and the largest of each kind, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=1_000_000)
    parser.add_argument("--known", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--waiting", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        hq, office, outlet = parties(Path(folder))
        with closing(People.open(outlet.folder, outlet.identity())) as people:
            known = max(options.known, options.waiting)
            phones = fill(outlet, people, (hq, office), options.slots, known)
        _tables(outlet.folder, phones, options.waiting)
        port = free_port()
        (outlet.folder / "escapement.toml").write_text(SETTINGS.format(port))
        _staff(outlet.folder, secret_of(outlet.identity()))
        with open_people(outlet.folder) as (people, settings):
            update_people(settings, people)  # as each night does
        words = [sys.executable, "-m", "benchmarks.desk", "--serve", str(outlet.folder)]
        server = subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ})  # noqa: S603  (ourselves)
        try:
            url = f"http://localhost:{port}"
            if options.waiting:
                asyncio.run(_measure_allocation(url, phones, options.rate))
            else:
                asyncio.run(_measure(url, phones, options.rate, options.seconds))
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
        first = accounts.add(MANAGER, Role.MANAGER, at)
        accounts.change_password(MANAGER, first, PASSWORD, at)
        accounts.undertake(MANAGER, read_text(UNDERTAKING), at + dt.timedelta(seconds=1))


def _tables(home: Path, phones: list[str], waiting: int) -> None:
    """A client book of everybody, and a list of those who wait."""
    today = dt.datetime.now(dt.UTC).date()
    clients = [f"C{number:05d},{phone}," for number, phone in enumerate(phones)]
    interests = [
        f"C{number:05d},{REFERENCE},{today - dt.timedelta(days=1 + number % 900)}"
        for number in range(waiting)
    ]
    tables = {
        "clients.csv": ["customer_id,phone,email", *clients],
        "interests.csv": ["customer_id,reference,since", *interests],
        "references.csv": ["reference,tier", f"{REFERENCE},limited"],
    }
    for name, lines in tables.items():
        (home / name).write_text("\n".join(lines) + "\n")


async def _measure_allocation(url: str, phones: list[str], rate: int) -> None:
    """Prints how long a proposal takes, and what it costs those who look up meanwhile."""
    manager, page = await _signed_in(url, MANAGER)
    seconds = 20
    ask = await _look_ups(url, phones, rate * seconds)
    await ask(0)
    page = await manager.get("/allocations")
    form = {
        **_own(page, "/allocations"),
        "reference": REFERENCE,
        "pieces": str(PIECES),
        "ties": "waiting",
    }
    if 'name="pieces:' in page.text:
        form = {**_own(page, "/allocations"), f"pieces:{REFERENCE}": str(PIECES), "ties": "waiting"}
    took: list[float] = []
    shown: list[httpx.Response] = []

    async def propose() -> None:
        await asyncio.sleep(2.0)
        began = time.perf_counter()
        shown.append(await manager.post("/allocations", data=form))
        took.append(time.perf_counter() - began)

    pace = _paced(ask, "Eligibility", rate, seconds, refused=True)
    times, _ = await asyncio.gather(pace, propose())
    first = int(2.0 * rate)
    meanwhile = times[first : first + max(1, int(took[0] * rate)) + 1]
    answered = [one for one in meanwhile if one < np.inf]
    half, most = np.quantile(answered, [0.5, 0.99]) * 1e3
    page = shown[0]
    assert REFERENCE in page.text, page.text  # noqa: S101  (likewise)
    began = time.perf_counter()
    again = await manager.get(page.url)
    reread = time.perf_counter() - began
    sys.stdout.write(
        f"proposal until its page is read: {took[0]:.2f} s; the page again: {reread:.2f} s; "
        f"{len(again.content) / 1000:.0f} kB\n"
        f"look-ups meanwhile ({len(meanwhile)}): p50 {half:.1f} ms, p99 {most:.1f} ms, "
        f"largest {max(answered) * 1e3:.1f} ms; turned away: {len(meanwhile) - len(answered)}\n"
    )


async def _look_ups(
    url: str, phones: list[str], count: int
) -> Callable[[int], Coroutine[Any, Any, httpx.Response]]:
    """What looks customers up, by the number of the look-up; each with a form of its own."""
    clients = [(await _signed_in(url, f"staff {number}"))[0] for number in range(STAFF)]
    random = np.random.default_rng(1)
    chosen = [phones[place] for place in random.integers(0, len(phones), count + 1)]
    own = [
        _own(await clients[number % STAFF].get("/look-up"), "/look-up")
        for number in range(count + 1)
    ]

    async def look_up(number: int) -> httpx.Response:
        form = {**own[number], "phone": chosen[number], "purpose": "sale"}
        return await clients[number % STAFF].post("/look-up", data=form)

    return look_up


async def _measure(url: str, phones: list[str], rate: int, seconds: int) -> None:
    clients = [(await _signed_in(url, f"staff {number}"))[0] for number in range(STAFF)]
    look_up = await _look_ups(url, phones, rate * seconds)

    async def form(number: int) -> httpx.Response:
        return await clients[number % STAFF].get("/look-up")

    async def nothing(number: int) -> httpx.Response:
        return await clients[number % STAFF].get("/nothing")

    began = time.perf_counter()
    first = await look_up(rate * seconds)
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
    for client in clients:
        await client.aclose()


async def _paced(
    ask: Callable[[int], Coroutine[Any, Any, httpx.Response]],
    says: str,
    rate: int,
    seconds: int,
    *,
    refused: bool = False,
) -> list[float]:
    """Seconds of each, from the moment at which it was due.

    With `refused` one that the desk turned away, since too many wait, is endless; else an error.
    """
    began = time.perf_counter() + 0.1

    async def one(number: int) -> float:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        answer = await ask(number)
        took = time.perf_counter() - due
        if refused and answer.status_code in (429, 503):
            return float("inf")
        assert answer.status_code == 200, answer.text  # noqa: S101, PLR2004  (likewise)
        assert says in answer.text  # noqa: S101  (likewise)
        return took

    return list(await asyncio.gather(*map(one, range(rate * seconds))))


async def _signed_in(url: str, name: str) -> tuple[httpx.AsyncClient, httpx.Response]:
    client = httpx.AsyncClient(base_url=url, follow_redirects=True, timeout=120)
    page = await _reached(client)
    form = {**_own(page, "/sign-in"), "name": name, "password": PASSWORD}
    page = await client.post("/sign-in", data=form)
    return client, page


async def _reached(client: httpx.AsyncClient) -> httpx.Response:
    for _ in range(600):
        try:
            return await client.get("/sign-in")
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the desk did not start")


def _own(page: httpx.Response, path: str) -> dict[str, str]:
    """The fields that the desk put into a page's form."""
    _, found, form = page.text.partition(f'action="{path}"')
    assert found, page.text  # noqa: S101  (likewise)
    form = form.partition("</form>")[0]
    return dict(re.findall(r'name="(csrf|once|draft)" value="([^"]*)"', form))


if __name__ == "__main__":
    main()
