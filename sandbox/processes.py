"""A network of real processes on loopback: each party's programs, over TLS, and a clean end.

Every party is started by its console script, in a folder that `sandbox.enrolment` made. Whatever
ends the sandbox, Ctrl-C included, ends them.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sqlalchemy.exc import SQLAlchemyError

from features.scorecard import Scorecard
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People
from outlet_client.people.person_states import keys_as_array
from privacy.books import Book
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.loss import Rho
from privacy.published_books import PublishedBook
from privacy.purposes import Purpose
from privacy.slot_keys import SlotKey
from privacy.tokens import token
from sandbox.enrolment import NOTICE, address_of, enrol
from server.holder.database import closing_engine, reading
from server.hq.banding import Judgement
from server.hq.registry import Registry
from server.hq.report import NightReport, ReleaseReport
from server.hq.settings import HqFile
from server.hq.store import HqStore
from server.hq.tables import HQ
from server.hq.training import ScorecardEvaluation
from server.office.store_place import open_office

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from features.events import Matrix, Vector
    from privacy.budget import Ledger
    from sandbox.network import Settings
    from sandbox.world import World
    from server.hq.model_store import StandingModel

CONSENT_NEEDED = 2
"""Exit code of a look-up of somebody never seen."""
NIGHT_SECONDS = 600.0
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class ProcessFailed(Exception):
    """A process of the sandbox ended badly; its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Held:
    """A published book, and what only all outlets together know of some customers.

    Attributes:
        book: As HQ published it.
        keys: Of n customers.
        slots: int64[n], their slots; -1 where there is none.
        at_home: By outlet, bool[n], whose home it is.
        dithers: By outlet, float64[n, k], how it rounds their parts.
    """

    book: Book
    keys: list[SlotKey] = field(repr=False)
    slots: npt.NDArray[np.int64]
    at_home: dict[str, npt.NDArray[np.bool_]]
    dithers: dict[str, Matrix]


@dataclass(slots=True)
class Processes:
    """The folders of a network, and the programs that run in them.

    Attributes:
        folder: Holds hq/, office/ and outlets/<id>/.
        settings: The three roles'.
        running: The programs by folder's name.
    """

    folder: Path
    settings: Settings
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _known: dict[str, SlotKey] = field(default_factory=dict, repr=False)

    @classmethod
    def enrol(
        cls,
        folder: Path,
        world: World,
        outcomes: Mapping[str, Vector],
        training: npt.NDArray[np.bool_],
        settings: Settings,
    ) -> Processes:
        """Makes everybody's folder; see `sandbox.enrolment.enrol`."""
        enrol(folder, world, outcomes, training, settings)
        return cls(folder, settings)

    def outlet(self, name: str) -> Path:
        """An outlet's folder."""
        return self.folder / "outlets" / name

    def start(self, script: str, *arguments: str, home: Path) -> subprocess.Popen[bytes]:
        """Starts a console script; what it prints goes to a log file in its folder."""
        program = Path(sys.executable).parent / script
        # Ctrl-C waits, so that no process is started without being known.
        with (home / f"{arguments[0]}.log").open("ab") as log, _undisturbed():
            self.running[f"{home.name} {arguments[0]}"] = process = subprocess.Popen(  # noqa: S603  (our own console script)
                [program, *arguments, "--home", home],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # Ctrl-C reaches the sandbox only, which ends them in order
            )
        return process

    def start_office(self) -> None:
        """Starts the privacy office."""
        self.start("escapement-office", "serve", home=self.folder / "office")

    def start_services(self) -> None:
        """Starts what HQ serves by day: tokens, directories and books."""
        self.start("escapement-hq", "serve", home=self.folder / "hq")

    def start_outlets(self) -> None:
        """Starts every outlet's night."""
        for home in sorted((self.folder / "outlets").iterdir()):
            self.start("escapement-outlet", "nightly", home=home)

    def night(
        self,
        name: str,
        cut_off: str,
        as_of: str | None = None,
        on_release: Callable[[int], None] = lambda _n: None,
    ) -> NightReport:
        """Runs one night of all processes.

        Args:
            name: The night's name.
            cut_off: ISO 8601 date.
            as_of: The last day that bands are made from; the cut-off where None.
            on_release: Called with the number of releases made so far.

        Raises:
            ProcessFailed: If HQ ended without a record of the night.
        """
        try:
            if "hq serve" not in self.running:
                self.start_office()
                self.start_services()
            hq = self.start(
                "escapement-hq", "night", "--name", name, "--cut-off", cut_off,
                "--as-of", as_of or cut_off, home=self.folder / "hq",
            )  # fmt: skip
            self.start_outlets()
            end = time.monotonic() + NIGHT_SECONDS
            watch(hq, end, lambda: on_release(self.released()))
            for key, process in self.running.items():
                if key.endswith("nightly"):
                    process.wait(timeout=30)
            return self.read_night(name)
        finally:
            self.stop(servers=False)

    def add_newcomer(self, customer: str) -> None:
        """Enters somebody who never bought anything in the first outlet's client book."""
        home = next(iter(sorted((self.folder / "outlets").iterdir())))
        book = pl.read_csv(home / "clients.csv", infer_schema=False)
        address = address_of(customer)
        row = pl.DataFrame({"customer_id": [customer], "phone": [""], "email": [address]})
        pl.concat([book.with_columns(pl.col("phone").fill_null("")), row]).write_csv(
            home / "clients.csv"
        )
        people = People.open(home, Keyring(home, PartyKind.OUTLET).identity())
        at = dt.datetime.now(dt.UTC)
        key = people.local_key(f"mailto:{address}")
        people.record_consents([Consent(key, NOTICE, at, "sandbox")])
        people.close()

    def look_up(
        self, outlet: str, email: str, reference: str | None = None, *, consent: bool = False
    ) -> dict[str, Any]:
        """What staff at an outlet are told, by the outlet's own command.

        Args:
            outlet: Its name.
            email: The customer's.
            reference: What the customer asks for, if anything.
            consent: Whether consent is recorded first, as for somebody never seen there.

        Raises:
            ProcessFailed: If the command failed.
        """
        why = ["--purpose", "sale", "--by", "sandbox"]
        agreed = ["--consent", NOTICE] if consent else []
        asked = [] if reference is None else ["--reference", reference]
        said = self._run(outlet, "lookup", "--email", email, "--json", *why, *agreed, *asked)
        return dict(json.loads(said))

    def withdraw(self, outlet: str, email: str) -> None:
        """Withdraws a customer's consent at an outlet, by the outlet's own command.

        Raises:
            ProcessFailed: If the command failed.
        """
        self._run(outlet, "withdraw", "--email", email)

    def _run(self, outlet: str, *arguments: str) -> str:
        program = Path(sys.executable).parent / "escapement-outlet"
        done = subprocess.run(  # noqa: S603  (our own console script)
            [program, *arguments, "--home", self.outlet(outlet)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **ENVIRONMENT},
        )
        if done.returncode not in (0, CONSENT_NEEDED):
            raise ProcessFailed(f"{outlet} {arguments[0]}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    def stop(self, *, servers: bool = True) -> None:
        """Ends every process, asking first; or only those of a night.

        Args:
            servers: Whether the office and HQ's services end too.
        """
        ending = {
            name: process
            for name, process in self.running.items()
            if servers or not name.endswith("serve")
        }
        for process in ending.values():
            if process.poll() is None:
                process.terminate()
        for name, process in ending.items():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            del self.running[name]

    def released(self) -> int:
        """How many releases HQ has made; read without touching its database."""
        try:
            with closing_engine(self._hq_database, HQ) as engine, reading(engine) as connection:
                query = "SELECT COUNT(*) FROM releases WHERE value IS NOT NULL"
                return int(connection.exec_driver_sql(query).scalar_one())
        except SQLAlchemyError:  # being written
            return 0

    def read_night(self, name: str) -> NightReport:
        """Reads a night from HQ's folder, with the scorecards that stand after it.

        Raises:
            ProcessFailed: If HQ left no record of it.
        """
        record = self.folder / "hq" / "nights" / f"{name}.json"
        if not record.exists():
            log = self.folder / "hq" / "night.log"
            words = log.read_text()[-2000:] if log.exists() else "nothing"
            raise ProcessFailed(f"HQ left no record of {name}; its last words:\n{words}")
        raw = json.loads(record.read_text())
        steps = [
            ReleaseReport(
                step["release"],
                Purpose(step["purpose"]),
                step["outlets"],
                step["failures"],
                step["signal_to_noise"],
                None if step["rho"] is None else Rho(step["rho"]),
                step["seconds"],
                step["clipped_share"],
            )
            for step in raw["steps"]
        ]
        report = NightReport(name, tuple(raw["cohort"]), tuple(raw["outcomes"]), steps)
        report.ended = raw["ended"]
        report.skipped, report.book = raw["skipped"], raw["book"]
        report.evaluations = {
            outcome: ScorecardEvaluation(**found) for outcome, found in raw["evaluations"].items()
        }
        report.calibrations = {
            outcome: judged
            for outcome, found in raw["calibrations"].items()
            if (judged := Judgement.from_json(found)) is not None
        }
        store = self._hq_store()
        models = [store.model(outcome) for outcome in raw["outcomes"]]
        found = [model for model in models if model is not None]
        report.scorecards = {model.outcome: Scorecard.decode(model.scorecard) for model in found}
        store.close()
        return report

    def standing(self, outcome: str) -> StandingModel | None:
        """What stands for an outcome at HQ: its scorecard and its cuts."""
        store = self._hq_store()
        model = store.model(outcome)
        store.close()
        return model

    def held(self, customers: pl.Series, outcomes: Sequence[str]) -> Held:
        """The published book, and what only all outlets together know of it.

        Args:
            customers: String[n].
            outcomes: What the scores predict, k of them.

        Raises:
            ProcessFailed: If there is no book yet.
        """
        registry = Registry(self._hq_database)
        directory, encoded = registry.directory(), registry.latest_book()
        registry.close()
        if encoded is None:
            raise ProcessFailed("HQ published no book")
        keys = self.slot_keys(customers)
        slots = directory.places(keys_as_array([key.public for key in keys]))
        at_home = {}
        for name, people in self._people():
            at_home[name] = np.isin(slots, list(people.home_keys(directory)))
        book = Book.decode(PublishedBook.decode(encoded).signed.book)
        return Held(book, keys, slots, at_home, self.dithers(customers, outcomes))

    def dithers(self, customers: pl.Series, outcomes: Sequence[str]) -> dict[str, Matrix]:
        """How each outlet rounds the parts of some customers, float64[n, k].

        Args:
            customers: String[n].
            outcomes: What the scores predict, k of them.
        """
        keys = [key.public for key in self.slot_keys(customers)]
        return {name: people.dither.of_slots(keys, outcomes) for name, people in self._people()}

    def _people(self) -> Iterator[tuple[str, People]]:
        """Every outlet's people, one after another."""
        for home in sorted((self.folder / "outlets").iterdir()):
            people = People.open(home, Keyring(home, PartyKind.OUTLET).identity())
            yield home.name, people
            people.close()

    def slot_keys(self, customers: pl.Series) -> list[SlotKey]:
        """The slot key of each customer.

        Only the sandbox can say: it has both shares of the token key.
        """
        shares = [
            Keyring(self.folder / role, kind).token_share()
            for role, kind in (("hq", PartyKind.HQ), ("office", PartyKind.OFFICE))
        ]
        for customer in customers:
            if customer not in self._known:
                made = token(f"mailto:{address_of(customer)}", *shares)
                self._known[customer] = SlotKey.of(made.raw)
        return [self._known[customer] for customer in customers]

    def ledger(self) -> Ledger:
        """The office's ledger."""
        store = open_office(self.folder / "office")
        ledger = store.ledger()
        store.close()
        return ledger

    def _hq_store(self) -> HqStore:
        home = self.folder / "hq"
        return HqStore.of(home, HqFile.database_of(home / "hq.toml"))

    @property
    def _hq_database(self) -> str:
        home = self.folder / "hq"
        return HQ.url(home, HqFile.database_of(home / "hq.toml"))


def watch(process: subprocess.Popen[bytes], end: float, look: Callable[[], None]) -> None:
    """Waits for a process, looking at what it did ten times a second.

    Ctrl-C is held back during a look: Python drops what is raised while it clears an object away.

    Args:
        process: It.
        end: Until when at most, by the monotonic clock.
        look: Looks.
    """
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
        with _undisturbed():
            look()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Holds Ctrl-C back until the end of a block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if noted:
            signal.raise_signal(signal.SIGINT)
