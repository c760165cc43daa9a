"""Nights of real processes as tests run them: what is released, begun, stopped, and compared."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from features.bands import BandPolicy
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.night.flower_node import client_app
from outlet_client.night.night_run import Nightly
from outlet_client.people.people_store import People
from privacy.books import Book
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.published_books import PublishedBook
from privacy.purposes import Purpose
from sandbox.local_grid import LocalGrid
from sandbox.network import LocalOffice, MemoryLibrary, Settings
from server.hq.banding import Banding
from server.hq.due import Tonight
from server.hq.flower_link import FlowerLink
from server.hq.known_slots import KnownSlots
from server.hq.night import HqNight
from server.hq.registry import Registry
from server.hq.store import HqStore
from server.office.ledger_store import OfficeStore
from server.office.vault import Vault
from tests.networks import CUT_OFF, TARGET, small_world

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flwr.clientapp import ClientApp

    from outlet_client.contribution.contributions import Outlet
    from server.hq.report import NightReport
    from tests.federation.forked import Forked

CUSTOMERS = 150

SHARES = {
    Purpose.USUAL: Fraction("0.02"),
    Purpose.MOMENTS: Fraction("0.13"),
    Purpose.TRAINING: Fraction("0.75"),
    Purpose.EVALUATION: Fraction("0.05"),
    Purpose.CALIBRATION: Fraction("0.05"),
}

UNLIMITED = {"cut_days": 0, "seals_a_week": 1000, "seals_a_year": 1000}
"""Of the office in tests that run several nights of one day."""

PATIENT = 25.0
"""For who is late by chance: a disk that syncs for seconds must not cost a night its quorum."""


def whole_nights(
    epsilon: float | None = 1.0,
    rounds: int = 1,
    trainings: int = 1,
    timeout: float = 30.0,
    patience: float = 3.0,
) -> Settings:
    """All of a budget in a few trainings, calibration included."""
    made = Settings.one_training(epsilon, 1e-6, rounds)
    wants = {
        "shares": SHARES,
        "trainings_a_year": trainings,
        "timeout": timeout,
        "patience": patience,
        "train_days": 0.0,
        "band_days": 0.0,
    }
    return Settings(
        made.office.model_copy(update={"shares": SHARES, **UNLIMITED}),
        made.hq.model_copy(update=wants),
        made.outlet,
    )


RELEASES = ("usual", "moments", "training", "evaluation", "points", "calibration", "points")
"""Of a whole night with one round and one outcome."""

HQ_NIGHT = ("night", "--name", "n1", "--cut-off", str(CUT_OFF), "--as-of", str(CUT_OFF))


NIGHT_NOW = f"""
import datetime as dt
import server.hq.daily_nights as nights
import server.hq.settings as hq
times = iter([dt.timedelta(0)])
hq.HqFile.next_night = lambda self, now: now + next(times, dt.timedelta(days=1))
nights.NightRecords.free_name = lambda self, day: "n1"
run = nights.run_night
nights.run_night = lambda home, name, cut_off, **how: run(
    home, name, {str(CUT_OFF)!r}, as_of={str(CUT_OFF)!r}, **how
)
nights.FIRST_WAIT = 0.5
"""
"""Lets `serve` begin night n1 at once, as of the world's days, and try again soon."""

NO_NIGHT_NOW = NIGHT_NOW.replace("timedelta(0)", "timedelta(days=1)")
"""The same `serve` a moment later: the night's time is past."""


def night(network: Forked, name: str = "n1") -> NightReport:
    return network.night(name, str(CUT_OFF))


CHARGED = tuple(what for what in RELEASES if what != Purpose.POINTS)
"""Seals open nothing and cost nothing."""


def charges(network: Forked) -> list[str]:
    return [entry.release for entry in network.ledger().entries if entry.release]


def start_night(network: Forked, *outlets: str) -> subprocess.Popen[bytes]:
    """Starts a night of some outlets; of all of them where none is named."""
    if "office serve" not in network.running:
        network.start_office()
    if "hq serve" not in network.running:
        network.start_services()
    hq = network.start("escapement-hq", *HQ_NIGHT, home=network.folder / "hq")
    for name in outlets:
        network.start("escapement-outlet", "nightly", home=network.outlet(name))
    if not outlets:
        network.start_outlets()
    return hq


def stop_until_tomorrow(network: Forked) -> None:
    """Ends all processes. An outlet that heard goodnight would finish that night, and join none."""
    network.stop()
    _forget_goodnight(network)


def end_night(network: Forked) -> None:
    """Ends HQ's night and the outlets' until tomorrow; the two servers stay."""
    network.stop(servers=False)
    _forget_goodnight(network)


def _forget_goodnight(network: Forked) -> None:
    for home in (network.folder / "outlets").iterdir():
        with closing(sqlite3.connect(home / "outlet.db")) as database, database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'nights'").fetchone():
                database.execute("DELETE FROM nights WHERE ended IS NULL")


def record_of(network: Forked, name: str = "n1") -> dict[str, Any]:
    """The record of a night in HQ's folder; nothing before it begins."""
    file = network.folder / "hq" / "nights" / f"{name}.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def wait_until_over(network: Forked, name: str = "n1", seconds: float = 60.0) -> None:
    """Waits until the record of a night says that it is over."""
    end = time.monotonic() + seconds
    while record_of(network, name).get("state") != "over":
        assert time.monotonic() < end, last_words(network.folder / "hq")
        time.sleep(0.05)


def wait_for_words(file: Path, words: str, seconds: float = 60.0) -> None:
    """Waits until a log says so."""
    end = time.monotonic() + seconds
    while not (file.exists() and words in file.read_text()):
        assert time.monotonic() < end, f"{file} never said {words!r}; it ends: {tail(file)}"
        time.sleep(0.02)


def tail(file: Path) -> str:
    """The end of a log."""
    return file.read_text()[-1500:] if file.exists() else "(no file)"


def last_words(home: Path) -> str:
    """What a server said at last, for whoever reads of a failed test."""
    records = [*home.glob("*.log"), *home.glob("nights/*.json")]
    return "\n".join(file.read_text()[-1500:] for file in records)


class AtHome:
    """What `Services` gives a night that is prepared, without a process: published directories."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def directory(self, digest: str, held: str) -> bytes:
        return self._registry.published(digest, held) or b""


def in_one_process(network: Forked, tonight: Tonight) -> tuple[HqStore, Book]:
    """Runs a night again in this process: the same folders, new memory, no wire."""
    registry = Registry(f"sqlite:///{network.folder / 'hq' / 'hq.db'}")
    policy = network.settings.office.policy()
    signing = Keyring(network.folder / "office", PartyKind.OFFICE).identity().signing
    rings = {
        home.name: Keyring(home, PartyKind.OUTLET)
        for home in sorted((network.folder / "outlets").iterdir())
    }
    keys = {name: ring.identity().card.verify_key for name, ring in rings.items()}
    office = LocalOffice(
        network.settings.office,
        OfficeStore("sqlite://", policy),
        signing,
        keys,
        time.time,
        lambda: tonight.directory,
        registry.directory,
        Vault(),
    )

    def app(name: str, ring: Keyring) -> ClientApp:
        def prepare(said: Mapping[str, str]) -> Outlet:
            people = People.open(ring.folder, ring.identity())
            ready = Nightly(ring.folder, people, AtHome(registry), []).prepare(said)  # type: ignore[arg-type]
            return replace(ready, answers=AnswerStore("sqlite://"))

        return client_app(name, prepare)

    names = dict(enumerate(rings, start=1))
    grid = LocalGrid({node: app(name, rings[name]) for node, name in names.items()})
    store, shelf = HqStore("sqlite://"), MemoryLibrary()
    report = HqNight(
        tonight,
        network.settings.hq,
        office,
        FlowerLink(grid, names, 30.0),
        store,
        keys,
        Banding(
            KnownSlots(
                registry.directory().keys,
                registry.home_nonces(),
                registry.registrations_of_slots(),
            ),
            shelf,
            shelf.key,
            signing.public,
            BandPolicy(),
            time.time,
        ),
    ).run()
    assert report.ended == "complete"
    registry.close()
    return store, Book.decode(PublishedBook.decode(shelf.books[-1]).signed.book)


def assert_sums_of_one_process(network: Forked, releases: Sequence[str]) -> None:
    """Night n1 released and sealed what one process makes of the same folders, to the last bit."""
    customers = small_world(outlets=3, customers=CUSTOMERS).customers
    with closing(HqStore(f"sqlite:///{network.folder / 'hq' / 'hq.db'}")) as there:
        day = str(CUT_OFF)
        tonight = Tonight("n1", day, day, (TARGET,), there.directory_of("n1"), len(customers))
        here, book = in_one_process(network, tonight)
        opened = [release for release in releases if not release.endswith(Purpose.POINTS)]
        assert opened
        for release in opened:
            one, other = here.checkpoint(release), there.checkpoint(release)
            assert one is not None
            assert other is not None
            assert one.values is not None
            assert other.values is not None
            assert one.values.any(), release
            assert one.values.tobytes() == other.values.tobytes(), release
    held = network.held(customers, [TARGET])
    assert book.encode() != held.book.encode()
    told = [
        [one.read(int(slot), key) for slot, key in zip(held.slots, held.keys, strict=True)]
        for one in (book, held.book)
    ]
    assert told[0] == told[1]
    assert len({entry.evidence for entry in told[0] if entry is not None}) > 1
