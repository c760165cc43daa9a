"""A network of real processes on loopback: fresh keys and certificates, TLS, and a clean end.

Every party gets a folder of its own, as on a machine of its own, and is started by its console
script. Whatever ends the sandbox, Ctrl-C included, ends them.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.scorecard import Scorecard
from privacy.envelopes import digest
from privacy.identity import Card, Kind
from privacy.keyring import Keyring
from privacy.loss import Rho
from privacy.plans import ReleasePlan
from privacy.two_key_sum import ScoreTable
from privacy.units import Purpose
from server.hq.night import NightReport, Step
from server.hq.store import HqStore
from server.hq.training import Evaluation
from server.office.ledger_store import OfficeStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

    from features.events import Vector
    from privacy.budget import Ledger
    from sandbox.network import Settings
    from sandbox.replay import World

JOIN_SECONDS = 40.0
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

    @classmethod
    def enrol(
        cls,
        folder: Path,
        world: World,
        target: str,
        y: Vector,
        training: npt.NDArray[np.bool_],
        settings: Settings,
    ) -> Processes:
        """Makes keys, cards, settings, ledgers and directories for everybody.

        Args:
            folder: An empty folder.
            world: What the outlets know.
            target: The outcome's name.
            y: float64[n], the outcomes that training sees.
            training: bool[n], the customers who are in training.
            settings: The three roles'.
        """
        made = cls(folder, settings)
        at = dt.datetime.now(dt.UTC)
        hq, office = Keyring(folder / "hq", Kind.HQ), Keyring(folder / "office", Kind.OFFICE)
        hq.create("hq", f"127.0.0.1:{_free_port()}", at)
        office.create("office", f"127.0.0.1:{_free_port()}", at)
        _introduce(hq, office)
        horizon = (world.snapshot.horizon_end - world.snapshot.cut_off.date).days
        for name, own in world.outlets.items():
            ring = Keyring(made.outlet(name), Kind.OUTLET)
            ring.create(name, "", at)
            _introduce(ring, hq)
            _introduce(ring, office)
            pl.concat([own.history, own.future]).select(
                customer_id="customer",
                outlet_id="outlet",
                purchased_at="date",
                price="price",
                list_price="list_price",
                is_return=pl.col("kind") == "return",
                basket_id="basket",
            ).write_parquet(ring.folder / "ledger.parquet")
            _write_directory(ring.folder, world, name, training)
            pl.DataFrame({"customer_id": world.customers, "y": y}).filter(
                world.homes == name
            ).write_csv(ring.folder / "outcomes.csv")
            _write_toml(
                ring.folder / "escapement.toml",
                {
                    "ledger": "ledger.parquet",
                    "outcomes": "outcomes.csv",
                    "horizon_days": horizon,
                    "join_minutes": JOIN_SECONDS / 60,
                },
                "floors",
                settings.outlet.model_dump(mode="json"),
            )
        _write_toml(folder / "office" / "office.toml", {}, "promise", _office(settings))
        _write_toml(
            folder / "hq" / "hq.toml",
            {"join_seconds": JOIN_SECONDS, "outcome": target, "points": True},
            "training",
            {**settings.hq.model_dump(mode="json"), "shares": _shares(settings.hq.shares)},
        )
        body = {"digest": _digest(world), "slots": len(world.customers)}
        (folder / "hq" / "directory.json").write_text(json.dumps(body))
        return made

    def outlet(self, name: str) -> Path:
        """An outlet's folder."""
        return self.folder / "outlets" / name

    def start(self, script: str, *arguments: str, home: Path) -> subprocess.Popen[bytes]:
        """Starts a console script; what it prints goes to a log file in its folder."""
        program = Path(sys.executable).parent / script
        with (home / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  (our own console script)
                [program, *arguments, "--home", home],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # Ctrl-C reaches the sandbox only, which ends them in order
            )
        self.running[f"{home.name} {arguments[0]}"] = process
        return process

    def start_office(self) -> None:
        """Starts the privacy office."""
        self.start("escapement-office", "serve", home=self.folder / "office")

    def start_outlets(self) -> None:
        """Starts every outlet's night."""
        for home in sorted((self.folder / "outlets").iterdir()):
            self.start("escapement-outlet", "nightly", home=home)

    def night(
        self,
        name: str,
        cut_off: str,
        outcome: str,
        on_release: Callable[[int], None] = lambda _n: None,
    ) -> NightReport:
        """Runs one night of all processes.

        Args:
            name: The night's name.
            cut_off: ISO 8601 date.
            outcome: What the scorecard predicts.
            on_release: Called with the number of releases made so far.

        Raises:
            ProcessFailed: If HQ ended without a record of the night.
        """
        try:
            self.start_office()
            hq = self.start(
                "escapement-hq", "night", "--name", name, "--cut-off", cut_off,
                home=self.folder / "hq",
            )  # fmt: skip
            self.start_outlets()
            end = time.monotonic() + NIGHT_SECONDS
            while hq.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
                on_release(self.released())
            for key, process in self.running.items():
                if key.endswith("nightly"):
                    process.wait(timeout=30)
            return self.read_night(name, outcome)
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends every process, asking first."""
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def released(self) -> int:
        """How many releases HQ has made; read without touching its database."""
        place = self.folder / "hq" / "hq.db"
        try:
            with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as database:
                query = "SELECT COUNT(*) FROM releases WHERE value IS NOT NULL"
                return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # not there yet, or being written
            return 0

    def read_night(self, name: str, outcome: str) -> NightReport:
        """Reads a night from HQ's folder, the score table included.

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
            Step(
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
        evaluation = None if raw["evaluation"] is None else Evaluation(**raw["evaluation"])
        report = NightReport(name, tuple(raw["cohort"]), steps, ended=raw["ended"])
        report.evaluation, report.skipped = evaluation, raw["skipped"]
        store = self._hq_store()
        card = store.scorecard(name, outcome)
        report.scorecard = None if card is None else Scorecard.decode(card)
        if steps and steps[-1].purpose is Purpose.POINTS:
            known = store.checkpoint(steps[-1].release)
            if known is not None and known.values is not None:
                plan = ReleasePlan.decode(known.signed.payload)
                report.points = ScoreTable(plan, known.outlets, known.values)
        store.close()
        return report

    def ledger(self) -> Ledger:
        """The office's ledger."""
        place = self.folder / "office" / "office.db"
        store = OfficeStore(f"sqlite:///{place}", self.settings.office.policy())
        ledger = store.ledger()
        store.close()
        return ledger

    def _hq_store(self) -> HqStore:
        return HqStore(f"sqlite:///{self.folder / 'hq' / 'hq.db'}")


def _introduce(one: Keyring, other: Keyring) -> None:
    """Two parties trust one another's cards."""
    for ring, peer in ((one, other), (other, one)):
        data = peer.public_file.read_bytes()
        ring.trust(Card.decode(data, peer.kind), data)


def _write_directory(home: Path, world: World, name: str, training: npt.NDArray[np.bool_]) -> None:
    """Slots and homes of one outlet's customers; only who is in training has a home."""
    mine = world.events[name].customers()
    known = pl.DataFrame(
        {
            "customer": world.customers,
            "slot": range(len(world.customers)),
            "home": (world.homes == name) & pl.Series(training),
        }
    ).filter(pl.col("customer").is_in(mine.implode()))
    body = {
        "digest": _digest(world),
        "slots": len(world.customers),
        "customers": [list(row) for row in known.iter_rows()],
    }
    (home / "directory.json").write_text(json.dumps(body))


def _digest(world: World) -> str:
    return digest("\n".join(world.customers.to_list()).encode())


def _office(settings: Settings) -> dict[str, object]:
    raw = settings.office.model_dump(mode="json")
    return {**raw, "shares": _shares(settings.office.shares)}


def _shares(shares: Mapping[Purpose, object]) -> dict[str, str]:
    return {purpose.value: str(share) for purpose, share in shares.items()}


def _write_toml(
    file: Path, top: dict[str, object], section: str, values: dict[str, object]
) -> None:
    """Writes flat settings, one section, and its `shares` as a section below."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    flat = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in flat.items())]
    for name, nested in values.items():
        if isinstance(nested, dict):
            lines += [f"[{section}.{name}]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in nested.items()]
    file.write_text("\n".join(lines) + "\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
