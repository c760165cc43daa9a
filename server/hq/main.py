"""`escapement-hq`: runs the night; sees tokens and noisy sums, never a purchase."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from features.learning import MOMENTS_DIMENSION
from features.protocol import app_digest
from privacy.directory import Directory
from privacy.errors import PrivacyError
from privacy.identity import Card, Kind
from privacy.keyring import Keyring
from server.holder import status as token_status
from server.holder.errors import HolderError
from server.holder.meter import Meter
from server.holder.shares import refresh
from server.hq.banding import Banding
from server.hq.directory import Registry, collect_registrations
from server.hq.due import Tonight
from server.hq.errors import HqError, NotConfigured
from server.hq.flower_link import FlowerLink
from server.hq.night import Night
from server.hq.office_client import OfficeClient
from server.hq.plots import plot_scorecard
from server.hq.report import CAVEATS, JudgedScorecard
from server.hq.services import HqToml, running
from server.hq.store import HqStore
from server.hq.superlink import SuperLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.envelopes import SealKey
    from server.hq.directory import Relay
    from server.hq.report import NightReport

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)
office_app = typer.Typer(no_args_is_help=True, help="The privacy office that holds the second key.")
outlets_app = typer.Typer(no_args_is_help=True, help="HQ's list of outlets.")
tokens_app = typer.Typer(no_args_is_help=True, help="HQ's share of the token key.")
app.add_typer(office_app, name="office")
app.add_typer(outlets_app, name="outlets")
app.add_typer(tokens_app, name="tokens")

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
Fingerprint = Annotated[
    str | None, typer.Option(help="What the owner read to you; asked for when not given.")
]
HERE = Path("hq")
MOST_NEW_SLOTS = 2**20
"""More than one night's registrations can add: so large may a points answer be."""

_LOG = logging.getLogger(__name__)
_out = Console()
_err = Console(stderr=True)

SETTINGS_TEXT = """\
# HQ's settings; what is commented out is the default.
# listen = "{address}"
# services = "{services}"
# join_seconds = 600      # how long outlets may take to join a night
# night_at = "02:00"      # when `serve` begins a night, in UTC
# horizon_days = 180      # how long after the cut-off an outcome is watched

[training]
# rounds = 20
# quorum = 3
# trainings_a_year = 12

[tokens]
# outlet_a_day = 640      # evaluations a day to one outlet, dummies included
# network_a_day = 100000  # to all together
"""


@app.callback()
def private() -> None:
    """Whatever this program writes is for its own user only."""
    os.umask(0o077)


@app.command()
def init(
    name: Annotated[str, typer.Option(help="HQ's name.")],
    address: Annotated[str, typer.Option(help="host:port at which outlets join nights.")],
    services: Annotated[
        str, typer.Option(help="host:port of tokens and directories, for outlets.")
    ],
    home: Home = HERE,
) -> None:
    """Makes HQ's keys and settings, and the public file for the office and outlets."""
    with _failing():
        ring = Keyring(home, Kind.HQ)
        identity = ring.create(name, address, dt.datetime.now(dt.UTC), service_address=services)
        settings = home / "hq.toml"
        settings.write_text(SETTINGS_TEXT.format(address=address, services=services))
        _out.print(f"Settings: {settings}\nPublic file: {ring.public_file}", highlight=False)
        _out.print(f"Fingerprint: {identity.card.fingerprint}", highlight=False)


@office_app.command("add")
def office_add(file: Path, fingerprint: Fingerprint = None, home: Home = HERE) -> None:
    """Imports the office's public file, after comparing its fingerprint by another way."""
    _trust(Keyring(home, Kind.HQ), file, Kind.OFFICE, fingerprint)


@outlets_app.command("add")
def outlets_add(file: Path, fingerprint: Fingerprint = None, home: Home = HERE) -> None:
    """Imports an outlet's public file, after comparing its fingerprint by another way."""
    _trust(Keyring(home, Kind.HQ), file, Kind.OUTLET, fingerprint)


@outlets_app.command("remove")
def outlets_remove(name: str, home: Home = HERE) -> None:
    """Takes an outlet off the list: no tokens from now on, no night from the next one on."""
    with _failing():
        Keyring(home, Kind.HQ).distrust(Kind.OUTLET, name)
        _out.print(f"{name} is off the list.")


@app.command("night")
def night_command(
    home: Home = HERE,
    name: Annotated[
        str | None, typer.Option(help="The night's name; that of a killed night resumes it.")
    ] = None,
    cut_off: Annotated[
        str | None, typer.Option(help="Last day that a feature may see, YYYY-MM-DD.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Last day that bands are made from; today when not given.")
    ] = None,
) -> None:
    """Runs one night now: waits for outlets to join, combines what they answer, says goodnight.

    It does not open the port of tokens and directories: `serve` runs beside it for that.
    """
    _log_to_stderr()
    with _failing():
        report = run_night(home, name, cut_off, as_of=as_of)
        _out.print(f"Night {report.night}: {report.ended}", highlight=False)
        if report.ended != "complete":
            raise typer.Exit(1)


@app.command()
def serve(home: Home = HERE) -> None:
    """Serves tokens and directories until stopped; runs a night every day when hq.toml says."""
    _log_to_stderr()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _failing(), running(Keyring(home, Kind.HQ), HqToml.read(home / "hq.toml")) as address:
        _LOG.info("serving outlets at %s", address)
        while True:
            wait = HqToml.read(home / "hq.toml").seconds_until_night(dt.datetime.now(dt.UTC))
            _LOG.info("next night in %.0f minutes", wait / 60)
            if stop.wait(wait):
                return
            try:
                run_night(home, None, None)
            except Exception as error:  # noqa: BLE001  (tomorrow's night needs nothing from this one)
                ours = isinstance(
                    error, HqError | HolderError | PrivacyError | FeatureError | OSError
                )
                _LOG.error("night failed: %s", error if ours else type(error).__name__)


@tokens_app.command("status")
def tokens_status(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="Print it as JSON.")
    ] = False,
) -> None:
    """Says what was evaluated today, against quotas, and who reached one in the last 30 days."""
    with _failing():
        ring, quotas = Keyring(home, Kind.HQ), HqToml.read(home / "hq.toml").tokens
        ring.token_share()
        meter = Meter(f"sqlite:///{home / 'meter.db'}")
        if as_json:
            sys.stdout.write(token_status.as_json(ring, meter, quotas, time.time()))
        else:
            token_status.show(_out, ring, meter, quotas, time.time())
        meter.close()


@tokens_app.command("refresh")
def tokens_refresh(home: Home = HERE) -> None:
    """Moves HQ's and the office's shares of the token key; tokens stay as they are.

    Run it again if it was interrupted. Afterwards both have new public files for outlets that are
    yet to enrol, and both folders need a new backup: an older one does not fit any more.
    """
    with _failing():
        ring = Keyring(home, Kind.HQ)
        timeout = HqToml.read(home / "hq.toml").training.timeout
        office = OfficeClient.connect(ring.identity(), ring.peer(Kind.OFFICE), timeout)
        epoch = refresh(ring, office)
        office.close()
        _out.print(f"Both shares are of epoch {epoch}. Back both folders up now.", highlight=False)


@app.command()
def status(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="Print the last night's report as JSON.")
    ] = False,
) -> None:
    """Says how the last night went: who was there, who was missing, what was skipped and why."""
    with _failing():
        nights = sorted((home / "nights").glob("*.json"), key=lambda file: file.stat().st_mtime)
        if not nights:
            _out.print("No night yet. `escapement-hq night` runs one.")
            return
        last = json.loads(nights[-1].read_text())
        if as_json:
            sys.stdout.write(json.dumps(last, indent=2) + "\n")
            return
        _out.print(f"Night {last['night']}: {last['ended']}", highlight=False)
        _out.print(f"There: {', '.join(last['cohort']) or 'nobody'}", highlight=False)
        _out.print(f"Missing: {', '.join(last['missing']) or 'nobody'}", highlight=False)
        table = Table("release", "outlets", "failures", "seconds")
        for step in last["steps"]:
            failures = ", ".join(f"{why}: {count}" for why, count in step["failures"].items())
            table.add_row(
                step["release"].rpartition("/")[2],
                str(step["outlets"]),
                failures,
                f"{step['seconds']:.2f}",
            )
        _out.print(table)
        for skipped in last["skipped"]:
            _out.print(f"Skipped: {skipped}", highlight=False)


@app.command("report")
def report_command(
    home: Home = HERE,
    out: Annotated[
        Path | None, typer.Option(help="Folder of plots and JSON; report/ in --home if not given.")
    ] = None,
) -> None:
    """Says how right each scorecard's bands are; writes plots and JSON.

    From the noisy counts of the latest calibration alone: looking costs no privacy.
    """
    with _failing():
        store = HqStore(f"sqlite:///{home / 'hq.db'}")
        outcomes = HqToml.read(home / "hq.toml").outcomes
        latest = (JudgedScorecard.latest(store, outcome) for outcome in outcomes)
        found = [judged for judged in latest if judged is not None]
        store.close()
        if not found:
            _out.print("No calibration yet: a night with a training and a band book makes one.")
            return
        folder = out or home / "report"
        folder.mkdir(parents=True, exist_ok=True)
        for each in found:
            each.show(_out)
            picture = folder / f"{each.scheme}.png"
            plot_scorecard(each.outcome, each.night, each.release, each.judged, picture)
        _out.print(CAVEATS, highlight=False)
        body = {
            "caveats": " ".join(CAVEATS.split()),
            "scorecards": {each.outcome: each.as_json() for each in found},
        }
        (folder / "report.json").write_text(json.dumps(body, indent=2) + "\n")
        _out.print(f"Plots and JSON: {folder}", highlight=False)


def run_night(
    home: Path,
    name: str | None,
    cut_off: str | None,
    listening: Callable[[int], None] = lambda _port: None,
    as_of: str | None = None,
) -> NightReport:
    """Runs one night with the keys, lists and settings of a folder.

    Args:
        home: HQ's folder.
        name: The night's name; today's date where None.
        cut_off: ISO 8601 date; the horizon before today where None.
        listening: Called with the port once outlets can join.
        as_of: ISO 8601 date, the last day that bands are made from; today where None.

    Raises:
        HqError: If the office cannot be reached.
        PrivacyError: If a key or card is missing.
        OSError: If the address cannot be bound.
    """
    settings, ring = HqToml.read(home / "hq.toml"), Keyring(home, Kind.HQ)
    identity, outlets = ring.identity(), ring.peers(Kind.OUTLET)
    today = dt.datetime.now(dt.UTC).date()
    name = name or f"night-{today.isoformat()}"
    horizon = (today - dt.timedelta(days=settings.horizon_days)).isoformat()
    office = OfficeClient.connect(identity, ring.peer(Kind.OFFICE), settings.training.timeout)
    store = HqStore(f"sqlite:///{home / 'hq.db'}")
    registry = Registry(f"sqlite:///{home / 'hq.db'}")
    most = (2 * len(settings.outcomes) + 1) * (registry.directory().slots + MOST_NEW_SLOTS)
    superlink = SuperLink(
        outlets,
        app_digest(),
        settings.training.patience,
        8 * max(most, MOMENTS_DIMENSION),
    )
    try:
        host, _, port = (settings.listen or identity.card.address).rpartition(":")
        listening(superlink.listen(identity, host, int(port)))
        _wait_for_outlets(superlink, set(outlets), settings.join_seconds)
        directory = _tonights_directory(
            store.directory_of(name), office, registry, identity.sealing
        )
        tonight = Tonight(
            name,
            _remembered(home, name, "cut-off", cut_off or horizon),
            _remembered(home, name, "as-of", as_of or today.isoformat()),
            settings.outcomes,
            directory.digest,
            directory.slots if settings.points else 0,
        )
        keys = registry.keys()[: directory.slots]
        report = Night(
            tonight,
            settings.training,
            office,
            FlowerLink(superlink.grid, superlink.names, settings.training.timeout),
            store,
            {outlet: card.verify_key for outlet, card in outlets.items()},
            Banding(keys, registry, identity.signing, settings.bands, time.time)
            if settings.points
            else None,
            on_step=lambda step: _LOG.info("%s: %d outlets", step.release, step.outlets),
        ).run()
    finally:
        superlink.close()
        for opened in (store, registry, office):
            opened.close()
    _record(home, report, set(outlets))
    return report


def _tonights_directory(
    planned: str, office: Relay, registry: Registry, key: SealKey | None
) -> Directory:
    """The directory that a night was planned with; else one with what was registered since."""
    published = registry.published(planned)
    if published is not None:
        return Directory.decode(published)
    if key is None:
        raise NotConfigured("HQ's keys lack one for registrations; make them anew")
    try:
        collect_registrations(office, registry, key)
    except (HqError, HolderError, PrivacyError) as error:
        _LOG.warning("registrations: %s; going on with the directory as it is", error)
    directory = registry.publish()
    _LOG.info("directory: %d slots", directory.slots)
    return directory


def _remembered(home: Path, name: str, what: str, value: str) -> str:
    """What a night of this name began with; `value` where it begins now."""
    folder = home / "nights"
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.{what}"
    if not file.exists():
        file.write_text(value)
    return file.read_text()


def _wait_for_outlets(superlink: SuperLink, expected: set[str], seconds: float) -> None:
    """Waits until everybody on the list has joined, or the window is over."""
    end = time.monotonic() + seconds
    while (missing := expected - superlink.online()) and time.monotonic() < end:
        time.sleep(0.02)
    if missing:
        _LOG.warning("not there tonight: %s", ", ".join(sorted(missing)))


def _record(home: Path, report: NightReport, expected: set[str]) -> None:
    """Writes the night's record, for `status` and for people."""
    folder = home / "nights"
    folder.mkdir(exist_ok=True)
    body = {**report.as_json(), "missing": sorted(expected - set(report.cohort))}
    (folder / f"{report.night}.json").write_text(json.dumps(body, indent=2) + "\n")


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("flwr", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _trust(ring: Keyring, file: Path, kind: Kind, fingerprint: str | None) -> None:
    with _failing():
        data = file.read_bytes()
        card = Card.decode(data, kind)
        if fingerprint is None:
            _out.print(f"{kind} {card.name}, fingerprint {card.fingerprint}", highlight=False)
            typer.confirm("Did its owner read you the same by another way?", abort=True)
        elif fingerprint.split() != card.fingerprint.split():
            raise typer.BadParameter(f"{file}: its fingerprint is {card.fingerprint}")
        ring.trust(card, data)
        _out.print(f"{kind} {card.name} is on the list.", highlight=False)


class _failing:  # noqa: N801  (used as a word in a with statement)
    """Ends the program with one line where one of our own errors says enough."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SQLAlchemyError):
            cause = getattr(error, "orig", None)
            error = OSError(f"database: {cause or type(error).__name__}; is the disk full?")
        if isinstance(error, OSError) and error.filename:
            error = OSError(f"{error.filename}: {error.strerror}")
        if isinstance(error, PrivacyError | HolderError | HqError | FeatureError | OSError):
            _err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
            raise typer.Exit(1) from error
