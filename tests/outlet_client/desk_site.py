"""An outlet's desk in this process, for tests over HTTP: everything real but the clock.

Passwords are hashed at next to no cost; `test_staff_accounts.py` says what the real cost is. The
customers are:

anna     known here: priority, low
ben      known here: eligible, elevated
emil     known here, withdrew
fay      a customer of other outlets only
gus      in nobody's book
"""

from __future__ import annotations

import asyncio
import datetime as dt
import html
import re
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from argon2 import PasswordHasher
from typing_extensions import override

from outlet_client.database import create_databases
from outlet_client.desk.asgi_app import desk_app
from outlet_client.desk.desk_server import open_site
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, LogEntry, recent_entries
from outlet_client.settings import OutletFile
from outlet_client.staff.accounts import Accounts, Role, secret_of
from outlet_client.staff.agreed_texts import UNDERTAKING, read_text
from outlet_client.staff.staff_store import StaffStore
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.tokens import token
from sandbox.enrolment import free_port, introduce
from tests.shelves import Press, band_codes, make_book, make_directory, shelve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.applications import Starlette

    from outlet_client.desk.site import Site
    from privacy.tokens import Token

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
MEI, RAFAEL, OKAFOR = "Mei Lin", "Rafael Ortiz", "Dr Okafor"
PARTIES = (PartyKind.HQ, PartyKind.OFFICE, PartyKind.OUTLET)
ROLES = {MEI: Role.ASSOCIATE, RAFAEL: Role.MANAGER, OKAFOR: Role.PRIVACY}
PASSWORD = "three quiet words"  # noqa: S105  (a test's)
PORT = 8480
URL = f"http://localhost:{PORT}"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

ANNA, BEN, EMIL, FAY, GUS = PHONES = [f"+121255501{number:02d}" for number in range(5)]
BANDS = {"anna": ("priority", "low"), "ben": ("eligible", "elevated"), "fay": ("eligible", "low")}
HERE = {"anna": ANNA, "ben": BEN, "emil": EMIL}
SETTINGS = f"""\
ledger = "ledger.csv"
clients = "clients.csv"
references = "references.csv"
interests = "interests.csv"
sightings = "sightings.csv"
region = "US"

[desk]
listen = "127.0.0.1:{PORT}"
"""

_FIELD = re.compile(r'<input type="hidden" name="csrf" value="([^"]*)">')


class Clock:
    """A clock that can be moved."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> dt.datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += dt.timedelta(**by)


class InProcess(httpx.BaseTransport):
    """Hands requests to an application without a socket."""

    def __init__(self, app: Starlette) -> None:
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            answer = await self._inner.handle_async_request(request)
            content = await answer.aread()
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)

        return asyncio.run(answered())


class Browser(httpx.Client):
    """A browser that follows no redirect."""

    def __init__(self, app: Starlette, site: Site) -> None:
        super().__init__(transport=InProcess(app), base_url=URL)
        self._tokens: dict[tuple[str, ...], str] = {}
        self._site, self.name = site, ""

    def token(self, page: str) -> str:
        """What the forms of a page carry; it is read once a session."""
        if self._held not in self._tokens:
            found = _FIELD.search(self.get(page).text)
            assert found is not None, f"{page} has no form"
            self._tokens[self._held] = html.unescape(found[1])
        return self._tokens[self._held]

    @property
    def _held(self) -> tuple[str, ...]:
        return tuple(sorted(f"{one.name}={one.value}" for one in self.cookies.jar))

    def fill(
        self,
        path: str,
        fields: Mapping[str, Any] | None = None,
        *,
        page: str = "/account",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Sends a form as a page of ours would, and reads the page that answers it."""
        data = {"csrf": self.token(page), **(fields or {})}
        return self.sent(path, data, headers)

    def sent(
        self, path: str, data: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Sends fields under a key of their own, and reads the page that answers them."""
        return self.answered(
            self.post(path, data={"once": self.key(path), **data}, headers=headers)
        )

    def key(self, path: str) -> str:
        """The one-time key of a form that a page of ours would have just now."""
        return self._site.form_keys.make(self.name, path, self._site.clock())

    def answered(self, sent: httpx.Response) -> httpx.Response:
        """The page that a form was answered with; where it sent the browser on, that."""
        location = sent.headers.get("location", "")
        return self.get(location) if "?shown=" in location else sent

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        self._tokens.clear()
        self.name = ""
        fields = {"name": name, "password": password}
        answer = self.fill("/sign-in", fields, page="/sign-in")
        if answer.status_code == HTTPStatus.SEE_OTHER:
            found = self._site.accounts.find(name)
            self.name = name if found is None else found.name
        return answer

    def look_up(self, phone: str, purpose: str = "sale", **fields: str) -> httpx.Response:
        typed = {"phone": phone, "email": "", "purpose": purpose, "reference": "", **fields}
        return self.fill("/look-up", typed)


class Desk:
    """One outlet's desk."""

    def __init__(self, home: Path, clock: Clock, site: Site, store: StaffStore) -> None:
        self.home, self.clock, self.store = home, clock, store
        secret = secret_of(Keyring(home, PartyKind.OUTLET).identity())
        self.accounts = Accounts(store, secret, CHEAP)
        self.site = replace(site, accounts=self.accounts)
        self.app = desk_app(self.site)

    def browser(self) -> Browser:
        return Browser(self.app, self.site)

    def signed_in(self, name: str, password: str = PASSWORD) -> Browser:
        browser = self.browser()
        answer = browser.sign_in(name, password)
        assert answer.status_code == 303, said(answer)
        return browser

    def log(self, *acts: LogAct) -> list[LogEntry]:
        with self.site.rights.transaction() as connection:
            found = recent_entries(connection, NOON - dt.timedelta(days=400))[::-1]
        return [one for one in found if not acts or one.act in acts]


@contextmanager
def opened(home: Path) -> Iterator[Desk]:
    """Opens the desk of an outlet's folder."""
    clock = Clock()
    with open_site(home, clock) as site, closing(StaffStore(home)) as store:
        yield Desk(home, clock, site, store)


@dataclass
class Parties:
    """The three of a network; the outlet has customers, a book and staff."""

    hq: Keyring
    office: Keyring
    outlet: Keyring

    @classmethod
    def of(cls, folder: Path) -> Parties:
        """Those whose folders are in a folder."""
        return cls(*(Keyring(folder / kind.value, kind) for kind in PARTIES))

    def tokens(self) -> dict[str, Token]:
        """Of everybody who is in the network, by phone."""
        shares = self.hq.token_share(), self.office.token_share()
        return {phone: token(f"tel:{phone}", *shares) for phone in (*HERE.values(), FAY)}

    def shelve(self, home: Path, at: dt.datetime, version: int = 1, at_many: str = "") -> None:
        """Stores a book as a night does, in which one may be known at too many outlets."""
        directory, names = make_directory(self.tokens().values()), [*HERE, "fay"]
        book = make_book(
            band_codes(BANDS.get(name, ("new", "new")) for name in names),
            directory,
            as_of=(at - dt.timedelta(days=1)).date().isoformat(),
            made_at=at.timestamp() - 3600,
            version=version,
            marked=[names.index(at_many)] if at_many else [],
        )
        press = Press(self.hq.identity().signing, self.office.identity().signing)
        shelve(home, book, directory, press, at)


def network(folder: Path, at: dt.datetime = NOON) -> Parties:
    """Makes the parties of a network, of which the outlet's folder is filled."""
    made = Parties.of(folder)
    hq, office, outlet = made.hq, made.office, made.outlet
    hq.create("hq", f"127.0.0.1:{free_port()}", at, f"127.0.0.1:{free_port()}")
    address = f"127.0.0.1:{free_port()}"
    office.create("office", address, at, address)
    outlet.create("boutique-rive", "", at)
    create_databases(outlet.folder)
    create_databases(outlet.folder)
    for one, other in ((hq, office), (hq, outlet), (office, outlet)):
        introduce(one, other)
    _write(outlet.folder, at.date())
    _fill(made, at)
    for name, role in ROLES.items():
        hire(outlet.folder, name, role, at)
    with opened(outlet.folder):  # makes the tables
        return made


def hire(home: Path, name: str, role: Role, at: dt.datetime = NOON) -> None:
    """Makes an account whose holder has chosen a password and given the undertaking."""
    secret = secret_of(Keyring(home, PartyKind.OUTLET).identity())
    with closing(StaffStore(home)) as store:
        accounts = Accounts(store, secret, CHEAP)
        accounts.change_password(name, accounts.add(name, role, at), PASSWORD, at)
        desk = OutletFile.read(home / "escapement.toml").desk
        accounts.undertake(name, read_text(desk.undertaking or UNDERTAKING), at)


def _write(home: Path, day: dt.date) -> None:
    """Files as a till would export them."""
    rows = ["customer_id,purchased_at,price,kind,basket_id,serial,reference"]
    clients, interests = ["customer_id,phone,email,name"], ["customer_id,reference,since"]
    for number, (name, phone) in enumerate(HERE.items()):
        bought = day - dt.timedelta(days=90 + 30 * number)
        rows.append(f"{name},{bought},9500,purchase,b{number},SN-{number},Diver-40")
        clients.append(f"{name},{phone},,{name.capitalize()} Muster")
        interests.append(f"{name},GMT-II,{day - dt.timedelta(days=200 - 20 * number)}")
    seen = f"SN-0,{day - dt.timedelta(days=9)},suspected"
    files = {
        "escapement.toml": [SETTINGS],
        "ledger.csv": rows,
        "clients.csv": clients,
        "references.csv": ["reference,tier", "GMT-II,allocation", "Diver-40,limited"],
        "interests.csv": interests,
        "sightings.csv": ["serial,seen_at,status", seen],
    }
    for name, lines in files.items():
        (home / name).write_text("\n".join(lines) + "\n")


def _fill(made: Parties, at: dt.datetime) -> None:
    """Consents, tokens, a directory and a book, as some nights leave them."""
    home, outlet, tokens = made.outlet.folder, made.outlet, made.tokens()
    with closing(People.open(home, outlet.identity())) as people:
        keys = {phone: people.local_key(f"tel:{phone}") for phone in HERE.values()}
        before = at - dt.timedelta(days=30)
        people.record_consents(Consent(key, "2026-03", before, MEI) for key in keys.values())
        people.keep_tokens({keys[phone]: tokens[phone] for phone in HERE.values()})
        sealing_key = bytes.fromhex(outlet.peer(PartyKind.HQ).sealing_key)
        people.submission(1, len(HERE), sealing_key, outlet.token_key())
        people.submitted(1)
        people.follow(make_directory(tokens.values()))
        people.withdraw_all([keys[EMIL]])
    made.shelve(home, at)


@pytest.fixture(scope="session")
def outlet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outlet's folder with customers, a book and staff; copied, never opened."""
    return network(tmp_path_factory.mktemp("network")).outlet.folder


@pytest.fixture
def home(outlet: Path, tmp_path: Path) -> Path:
    """Such a folder, to be changed."""
    return Path(shutil.copytree(outlet, tmp_path / "outlet"))


@pytest.fixture
def desk(home: Path) -> Iterator[Desk]:
    """A desk of a test's own."""
    with opened(home) as made:
        yield made


@pytest.fixture(scope="module")
def open_desk(outlet: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk that a file's tests share, none of which changes what another sees."""
    with opened(Path(shutil.copytree(outlet, tmp_path_factory.mktemp("open") / "outlet"))) as made:
        yield made


def kept(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """What stands in an outlet's databases, by table."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for file in sorted(home.glob("*.db")):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in tables.fetchall():
                rows = database.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
                found[f"{file.name}: {name}"] = rows
    return found


def said(answer: httpx.Response) -> str:
    """A page's words, without tags and line breaks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())
