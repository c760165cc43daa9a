"""An outlet with a desk, and everything around it that a browser's test needs: all real.

HQ's and the office's services answer over TLS on loopback; the desk is a process of its own. The
customers are:

anna     known here: priority, low
ben      known here: eligible, elevated
cora     known here: building, review
dan      known here: new, new
emil     known here, withdrew
hana     known here: eligible, low
ida      known here: priority, low; for a test that withdraws her
jon      known here: eligible, elevated; for a test in which he disputes that
fay      a customer of other outlets only: eligible, low
kit      likewise: priority, elevated
gus      in nobody's book
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
from typer.testing import CliRunner

from outlet_client.commands.staff import accounts_of
from outlet_client.database import create_databases
from outlet_client.main import app
from outlet_client.moments import now
from outlet_client.people.client_book import client_book
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People
from outlet_client.settings import OutletFile
from outlet_client.staff.agreed_texts import UNDERTAKING, read_text
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.tokens import token
from sandbox.enrolment import free_port, introduce
from sandbox.processes import ENVIRONMENT
from server.holder.database import create_stores
from server.holder.meter import Meter
from server.hq.services import running as hq_running
from server.hq.settings import HqFile
from server.hq.tables import HQ_METER
from server.hq.tables import STORES as HQ_STORES
from server.office.running import running as office_running
from server.office.settings import OfficeFile
from server.office.tables import OFFICE_METER
from server.office.tables import STORES as OFFICE_STORES
from tests.shelves import Press, band_codes, make_book, make_directory, shelve

if TYPE_CHECKING:
    from types import TracebackType

OUTLET = "boutique-rive"
BANDS = {
    "anna": ("priority", "low"),
    "ben": ("eligible", "elevated"),
    "cora": ("building", "review"),
    "dan": ("new", "new"),
    "hana": ("eligible", "low"),
    "ida": ("priority", "low"),
    "jon": ("eligible", "elevated"),
    "fay": ("eligible", "low"),
    "kit": ("priority", "elevated"),
}
HERE = ("anna", "ben", "cora", "dan", "emil", "hana", "ida", "jon")
WAITING = HERE[:5]
PHONES = {name: f"+1212555{n:04d}" for n, name in enumerate(sorted({*BANDS, "emil", "gus"}), 100)}
DIGITS = "212555"
"""In every phone here."""

ASSOCIATE, MANAGER, OFFICER = "Mei Lin", "Rafael Ortiz", "Dr Okafor"
ROLES = {ASSOCIATE: "associate", MANAGER: "manager", OFFICER: "privacy"}
WORDS = "copper lantern ferry"
"""The password of whoever has settled in."""

SETTINGS = """\
ledger = "ledger.csv"
clients = "clients.csv"
references = "references.csv"
interests = "interests.csv"
sightings = "sightings.csv"
region = "US"

[desk]
listen = "127.0.0.1:{port}"
opens = 00:00:00
closes = 23:59:59.999999
"""
OURS = "2027-01\n\nI look nobody up for fun.\n"
"""An undertaking that an outlet has of its own, in `ours.txt`."""

REFERENCES = "reference,tier\nGMT-II,allocation\nDiver-40,limited\nField-36,open\n"


@dataclass
class Counter:
    """One outlet with its desk.

    Attributes:
        folder: An empty one.
        port: The desk's.
        settings: More lines of its settings.
        passwords: Of the staff.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    settings: str = ""
    passwords: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._services = ExitStack()
        self._desk: subprocess.Popen[bytes] | None = None
        self.at = now()
        self._parties()
        self.home = self._outlet.folder
        self.log = self.home / "desk.log"
        self.is_served = False
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def url(self) -> str:
        """Where a browser finds the desk."""
        return f"http://localhost:{self.port}"

    def hire(self, name: str, role: str, *, settled: bool = True) -> str:
        """Makes an account, and returns its password.

        Args:
            name: Whose.
            role: As what.
            settled: Whether they changed the password and gave the undertaking.
        """
        said = self.run("staff", "add", name, "--role", role)
        password = said.split(f"{name}: ")[1].split()[0]
        if settled:
            with accounts_of(self.home) as accounts:
                accounts.change_password(name, password, WORDS, now())
                accounts.undertake(name, read_text(UNDERTAKING), now())
            password = WORDS
        self.passwords[name] = password
        return password

    def runs_with(self, settings: str) -> None:
        """Starts the desk anew, with other settings."""
        self._stop()
        self.settings = settings
        self._settle()
        self._start()

    def serve(self) -> None:
        """Starts HQ's and the office's services, where they are cut off."""
        if not self.is_served:
            office, hq = self._office, self._hq
            self._services.enter_context(office_running(office, OfficeFile(), lambda: False))
            self._services.enter_context(hq_running(hq, HqFile()))
            self.is_served = True

    def cut_off(self) -> None:
        """Ends HQ's and the office's services."""
        self._services.close()
        self.is_served = False

    def given(self) -> list[int]:
        """How many evaluations HQ and the office have given this outlet."""
        found = []
        for ring in (self._hq, self._office):
            schema = HQ_METER if ring.kind is PartyKind.HQ else OFFICE_METER
            with closing(Meter(schema.url(ring.folder), schema)) as meter:
                found.append(meter.given(time.time()).get(OUTLET, 0))
        return found

    def run(self, *words: str) -> str:
        """Runs a command at the outlet."""
        done = CliRunner().invoke(app, [*words, "--home", str(self.home)])
        assert done.exit_code == 0, done.output
        return done.output

    def _open(self) -> None:
        self.serve()
        self._write()
        self._people()
        for name, role in ROLES.items():
            self.hire(name, role)
        self._start()

    def _close(self) -> None:
        self._stop()
        self.cut_off()

    def _start(self) -> None:
        """Starts the desk, and waits until it answers."""
        with self.log.open("ab") as out:
            self._desk = desk = subprocess.Popen(  # noqa: S603  (our own script)
                [Path(sys.executable).with_name("escapement-outlet"), "desk"],
                cwd=self.home,
                env={**os.environ, **ENVIRONMENT},
                stdout=out,
                stderr=out,
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert desk.poll() is None, self.log.read_text()
            try:
                httpx.get(f"{self.url}/sign-in")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(self.log.read_text())

    def _stop(self) -> None:
        if self._desk is not None:
            self._desk.terminate()
            self._desk.wait(timeout=20)

    def _parties(self) -> None:
        self._hq = hq = Keyring(self.folder / "hq", PartyKind.HQ)
        self._office = office = Keyring(self.folder / "office", PartyKind.OFFICE)
        self._outlet = outlet = Keyring(self.folder / "outlet", PartyKind.OUTLET)
        hq.create("hq", f"127.0.0.1:{free_port()}", self.at, f"127.0.0.1:{free_port()}")
        create_stores(hq.folder, HQ_STORES)
        address = f"127.0.0.1:{free_port()}"
        office.create("office", address, self.at, address)
        create_stores(office.folder, OFFICE_STORES)
        outlet.create(OUTLET, "", self.at)
        create_databases(outlet.folder)
        for one, other in ((hq, office), (hq, outlet), (office, outlet)):
            introduce(one, other)

    def _settle(self) -> None:
        text = SETTINGS.format(port=self.port) + self.settings
        (self.home / "escapement.toml").write_text(text)

    def _write(self) -> None:
        """Files as a till would export them."""
        self._settle()
        day = self.at.date()
        rows = ["customer_id,purchased_at,price,kind,basket_id,serial,reference"]
        for number, name in enumerate(HERE):
            bought = day - dt.timedelta(days=90 + 30 * number)
            rows.append(f"{name},{bought},9500,purchase,b{number},SN-{number:03d},Diver-40")
        files = {
            "ledger.csv": "\n".join(rows) + "\n",
            "clients.csv": "customer_id,phone,email,name\n"
            + "".join(f"{name},{PHONES[name]},,{name.title()} Muster\n" for name in HERE),
            "references.csv": REFERENCES,
            "ours.txt": OURS,
            "interests.csv": "customer_id,reference,since\n"
            + "".join(
                f"{name},GMT-II,{day - dt.timedelta(days=200 - 20 * number)}\n"
                for number, name in enumerate(WAITING)
            ),
            "sightings.csv": "serial,seen_at,status\n"
            f"SN-002,{day - dt.timedelta(days=20)},suspected\n"
            f"SN-001,{day - dt.timedelta(days=9)},suspected\n",
        }
        for name, text in files.items():
            (self.home / name).write_text(text)

    def _people(self) -> None:
        """Consents, tokens, a directory and a book, as some nights leave them."""
        outlet, hq = self._outlet, self._hq
        shares = hq.token_share(), self._office.token_share()
        tokens = {name: token(f"tel:{PHONES[name]}", *shares) for name in (*BANDS, "emil")}
        with closing(People.open(self.home, outlet.identity())) as people:
            keys = {name: people.local_key(f"tel:{PHONES[name]}") for name in HERE}
            before = self.at - dt.timedelta(days=30)
            people.record_consents(
                Consent(key, "2026-03", before, ASSOCIATE) for key in keys.values()
            )
            people.keep_tokens({keys[name]: tokens[name] for name in HERE})
            sealing_key = bytes.fromhex(outlet.peer(PartyKind.HQ).sealing_key)
            people.submission(1, len(HERE), sealing_key, outlet.token_key())
            people.submitted(1)
            directory = make_directory(tokens.values())
            people.follow(directory)
            people.withdraw_all([keys["emil"]])
            client_book(OutletFile.read(self.home / "escapement.toml"), people)
        book = make_book(
            band_codes(BANDS.get(name, ("new", "new")) for name in tokens),
            directory,
            as_of=(self.at - dt.timedelta(days=1)).date().isoformat(),
            made_at=self.at.timestamp() - 3600,
        )
        press = Press(hq.identity().signing, self._office.identity().signing)
        shelve(self.home, book, directory, press, self.at)
