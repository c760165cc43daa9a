"""`escapement-outlet`: what runs at an outlet, nightly, from a timer.

Exit codes of `nightly`: 0 the night was complete; 1 an error of our own, said in one line; 3 HQ was
not reached, or went away: tomorrow's night needs nothing from this one; 4 HQ does not know this
outlet; 5 this outlet's clock is wrong; 6 a setting, key or card is missing; 7 a holder of the token
key gives no more evaluations today. Of `lookup`: 0 there is an answer; 2 the customer's consent is
needed first; the others as above.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import shutil
import socket
import sqlite3
import tarfile
import tempfile
from concurrent import futures
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import grpc
import polars as pl
import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from features.errors import FeatureError
from outlet_client.consent import export_consents, import_consents
from outlet_client.errors import (
    ClockOff,
    HqUnreachable,
    NoIdentifier,
    NotConfigured,
    NotOnTheList,
    OutletError,
    QuotaSpent,
    ServiceUnreachable,
)
from outlet_client.flower_node import clock_difference
from outlet_client.identifiers import identifier
from outlet_client.introduce import client_book
from outlet_client.lookup import BOOK_FILE, Answer, DeskService, LookUp, Status
from outlet_client.nightly import nightly
from outlet_client.people import People, State
from outlet_client.purchases import read_events
from outlet_client.services import HQ, OFFICE, Services
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import Card, Kind
from privacy.keyring import Keyring, KeyringError, write_private
from server.wire import outlets_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)

consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to take part, and to which text.")
app.add_typer(consent_app, name="consent")

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
Phone = Annotated[str | None, typer.Option(help="As typed.")]
Email = Annotated[str | None, typer.Option(help="As typed; used where the phone is not usable.")]
HERE = Path()

EXIT_CODES: dict[type[Exception], int] = {
    HqUnreachable: 3,
    NotOnTheList: 4,
    ClockOff: 5,
    NotConfigured: 6,
    KeyringError: 6,
    ServiceUnreachable: 3,
    QuotaSpent: 7,
}
"""The one table from an error's type to an exit code; any other of our own is 1."""

LEAST_FREE_BYTES = 2**28
REACH_SECONDS = 5.0
DESK_SOCKET = "desk.sock"
KEPT = ("identity.json", "public.json", "escapement.toml", "peers")
"""What a backup holds beside `outlet.db`, without which an outlet would answer a plan twice."""

_out = Console()
_err = Console(stderr=True)

SETTINGS_TEXT = """\
# This outlet's settings; what is commented out is the default.
ledger = "ledger.csv"        # Parquet or CSV, relative to this file
# clients = "clients.csv"    # customer_id, phone, email; by default columns of the ledger
# region = "SG"              # of phones without a country
# evaluations_a_night = 512
# book_days = 30
# horizon_days = 180
# join_minutes = 30

[floors]                     # what this outlet refuses, whatever HQ and the office agree on
# least_quorum = 3
# least_noise = 4.0
# most_epsilon = 6.0
"""


@app.callback()
def private() -> None:
    """Whatever this program writes is for its own user only."""
    os.umask(0o077)


@app.command()
def enrol(
    name: Annotated[str, typer.Option(help="This outlet's name: letters, digits, hyphens.")],
    hq: Annotated[Path, typer.Option(help="HQ's public file.")],
    office: Annotated[Path, typer.Option(help="The privacy office's public file.")],
    home: Home = HERE,
    yes: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--yes", help="The fingerprints were compared already.")
    ] = False,
) -> None:
    """Makes this outlet's keys and one public file for HQ and the office to import."""
    with _failing():
        ring = Keyring(home, Kind.OUTLET)
        files = [(Kind.HQ, hq.read_bytes()), (Kind.OFFICE, office.read_bytes())]
        cards = [(Card.decode(data, kind), data) for kind, data in files]
        for card, _ in cards:
            _out.print(f"{card.kind} {card.name}, fingerprint {card.fingerprint}", highlight=False)
        if not yes:
            typer.confirm("Did both read you the same by another way?", abort=True)
        identity = ring.create(name, "", dt.datetime.now(dt.UTC))
        for card, data in cards:
            ring.trust(card, data)
        settings = home / "escapement.toml"
        if not settings.exists():
            settings.write_text(SETTINGS_TEXT)
        _out.print(
            f"Public file, for HQ and the office: {ring.public_file}\n"
            f"Fingerprint, to read to them: {identity.card.fingerprint}\n"
            f"Settings: {settings}\nBack up with `escapement-outlet backup FILE`.",
            highlight=False,
        )


@app.command("nightly")
def nightly_command(home: Home = HERE) -> None:
    """Joins tonight's night, answers, and leaves."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("flwr", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with _failing():
        answered = nightly(home)
        _out.print(f"Night complete, {answered} questions answered.", highlight=False)


@app.command()
def lookup(
    phone: Phone = None,
    email: Email = None,
    consent: Annotated[
        str | None, typer.Option(help="The notice that the customer agreed to just now.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who recorded that consent.")] = None,
    home: Home = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002
) -> None:
    """Says which bands a customer has, and what they allow."""
    with _failing():
        if (consent is None) != (by is None):
            raise NotConfigured("consent: got one of --consent and --by, expected both or neither")
        with _desk(home) as (look_up, ring):
            if consent is None or by is None:
                answer = look_up.look_up(phone, email)
            else:
                with closing(_services(ring)) as services:
                    total = ring.token_key()
                    answer = look_up.first_time(phone, email, consent, by, services, total)
        _print_answer(answer, as_json=as_json)
        if answer.status is Status.CONSENT_NEEDED:
            raise typer.Exit(2)


@app.command()
def serve(home: Home = HERE) -> None:
    """Answers look-ups of this machine's own programs, on a socket in the folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with _failing(), _desk(home) as (look_up, ring), closing(_services(ring)) as services:
        server = start_desk(DeskService(look_up, services, ring.token_key()), home)
        _out.print(f"Look-ups at {home / DESK_SOCKET}; stop with Ctrl-C.", highlight=False)
        try:
            server.wait_for_termination()
        finally:
            server.stop(1).wait()


@app.command()
def withdraw(phone: Phone = None, email: Email = None, home: Home = HERE) -> None:
    """Ends a customer's consent, here and in the whole network."""
    with _failing(), _people(home) as (people, settings):
        who = identifier(phone, email, settings.region)
        if who is None:
            raise NoIdentifier
        state = people.withdraw(people.local_key(who))
        if state is None:
            _out.print("This customer never consented here: there is nothing to withdraw.")
            return
        _out.print(
            "Withdrawn. From tonight nothing of this customer is used here; the entry is gone "
            "from the network's next band book, at every outlet; and any other outlet needs a new "
            "consent before it may register this customer again."
            + (" The next night tells HQ." if state is State.WITHDRAWING else "")
        )


@app.command()
def status(home: Home = HERE) -> None:
    """Says how many people stand where, and which band book there is."""
    with _failing(), _people(home) as (people, _):
        for state, count in people.counts().items():
            _out.print(f"{count:>8} {state}", highlight=False)
        book = home / BOOK_FILE
        since = dt.datetime.fromtimestamp(book.stat().st_mtime, dt.UTC) if book.exists() else None
        _out.print(f"band book: {f'stored {since:%Y-%m-%d}' if since else 'none yet'}")


@consent_app.command("import")
def consent_import(file: Path, home: Home = HERE) -> None:
    """Records the consents of a CSV: phone, email, notice, recorded_at, recorded_by."""
    with _failing(), _people(home) as (people, settings):
        counts = import_consents(file, people, settings.region, dt.datetime.now(dt.UTC))
        _out.print("; ".join(f"{count} {what}" for what, count in counts.items()), highlight=False)


@consent_app.command("export")
def consent_export(file: Path, home: Home = HERE) -> None:
    """Writes the standing consents of the client book's customers as such a CSV."""
    with _failing(), _people(home) as (people, settings):
        identifiers = client_book(settings, people).identifiers
        written, left_out = export_consents(file, people, identifiers)
        _out.print(f"{written} written; {left_out} of nobody in the client book", highlight=False)


@consent_app.command("show")
def consent_show(home: Home = HERE) -> None:
    """Says how many consents there are to each notice, standing and ended."""
    with _failing(), _people(home) as (people, _):
        ended = pl.col("withdrawn_at").is_not_null()
        counts = people.consents().group_by("notice").agg(all=pl.len(), ended=ended.sum())
        for notice, everything, over in counts.sort("notice").iter_rows():
            _out.print(f"{notice}: {everything - over} standing, {over} ended", highlight=False)
        if counts.is_empty():
            _out.print("No consents yet; `escapement-outlet consent import FILE` records some.")


def start_desk(service: DeskService, home: Path) -> grpc.Server:
    """Starts serving look-ups on a socket that only this program's user can open."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    outlets_pb2_grpc.add_DeskServicer_to_server(service, server)
    place = (home / DESK_SOCKET).resolve()
    before = os.umask(0o177)  # no moment in which the socket is anybody else's
    try:
        server.add_insecure_port(f"unix:{place}")
    except RuntimeError as error:
        raise OSError(f"{place}: cannot be listened on; is its path too long?") from error
    finally:
        os.umask(before)
    server.start()
    return server


@app.command()
def doctor(home: Home = HERE) -> None:
    """Checks keys, cards, settings, ledger, disk, HQ and clock, and says what to do."""
    healthy = True
    for check in _checks(home):
        try:
            found = check.look()
        except (OutletError, PrivacyError, FeatureError, OSError) as error:
            healthy = False
            _out.print(f"[red]✗[/] {check.name}: {error}", highlight=False, soft_wrap=True)
        else:
            _out.print(f"[green]✓[/] {check.name}: {found}", highlight=False, soft_wrap=True)
    if not healthy:
        raise typer.Exit(1)


@app.command()
def backup(file: Path, home: Home = HERE) -> None:
    """Writes keys, cards, settings and the memory of answers into one file. Keep it secret."""
    with _failing():
        Keyring(home, Kind.OUTLET).identity()
        write_private(file, b"")
        with tempfile.TemporaryDirectory() as folder, tarfile.open(file, "w:gz") as archive:
            for name in KEPT:
                if (home / name).exists():
                    archive.add(home / name, name)
            if (home / "outlet.db").exists():  # whole, also while a night is writing to it
                copy = Path(folder) / "outlet.db"
                with (
                    closing(sqlite3.connect(home / "outlet.db")) as source,
                    closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
                archive.add(copy, "outlet.db")
        _out.print(f"{file}: holds this outlet's secret keys; keep it where only you can read it.")


@app.command()
def restore(file: Path, home: Home = HERE) -> None:
    """Brings a backup back into an empty folder."""
    with _failing():
        if (home / "identity.json").exists():
            raise KeyringError(f"{home}: has keys already; restore into an empty folder")
        home.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file) as archive:
            archive.extractall(home, filter="data")
        _out.print(
            f"Restored to {home}. Plans answered after the backup are not remembered: tell HQ not "
            "to resume a night that began before now."
        )


def _services(ring: Keyring, timeout: float = 30.0) -> Services:
    hq, office = ring.peer(Kind.HQ), ring.peer(Kind.OFFICE)
    return Services.connect(ring.identity(), hq, office, timeout)


@contextmanager
def _people(home: Path) -> Iterator[tuple[People, OutletFile]]:
    settings = OutletFile.read(home / "escapement.toml")
    with closing(People.open(home, Keyring(home, Kind.OUTLET).identity())) as people:
        yield people, settings


@contextmanager
def _desk(home: Path) -> Iterator[tuple[LookUp, Keyring]]:
    ring = Keyring(home, Kind.OUTLET)
    hq_key = ring.peer(Kind.HQ).verify_key
    with _people(home) as (people, settings):
        yield LookUp(home, people, hq_key, settings.region, settings.book_days), ring


def _print_answer(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        _out.print_json(json.dumps(asdict(answer)))
        return
    _out.print(f"{answer.status}{f', as of {answer.as_of}' if answer.as_of else ''}")
    for band in answer.bands:
        _out.print(f"{band.score}: {band.band}. {band.allows}", highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    look: Callable[[], str]


def _checks(home: Path) -> list[_Check]:
    ring = Keyring(home, Kind.OUTLET)

    def ledger() -> str:
        events = read_events(OutletFile.read(home / "escapement.toml").ledger)
        first, last = events.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
        return f"{len(events)} rows, {first} to {last}"

    def disk() -> str:
        free = shutil.disk_usage(home).free
        if free < LEAST_FREE_BYTES:
            raise NotConfigured(f"{free // 2**20} MiB free, expected 256; make room")
        return f"{free // 2**20} MiB free"

    def reach() -> str:
        host, _, port = ring.peer(Kind.HQ).address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise HqUnreachable(f"{host}:{port}", type(error).__name__) from error
        return f"{host}:{port} listens"

    def services(which: str) -> str:
        with closing(_services(ring, REACH_SECONDS)) as both:
            both.reach(which)
        return "answer under the card's certificate"

    def clock() -> str:
        off = clock_difference(ring.identity(), ring.peer(Kind.HQ))
        return f"{off:+.0f} s against HQ's"

    return [
        _Check("keys", lambda: f"outlet {ring.identity().card.name}"),
        _Check("HQ's card", lambda: ring.peer(Kind.HQ).fingerprint),
        _Check("office's card", lambda: ring.peer(Kind.OFFICE).fingerprint),
        _Check("ledger", ledger),
        _Check("disk", disk),
        _Check("HQ (listens during a night only)", reach),
        _Check("HQ's services", lambda: services(HQ)),
        _Check("office's services", lambda: services(OFFICE)),
        _Check("clock", clock),
    ]


class _failing:  # noqa: N801  (used as a word in a with statement)
    """Ends the program with one line and a documented code for an error of our own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SQLAlchemyError):
            cause = getattr(error, "orig", None)
            error = OSError(f"database: {cause or type(error).__name__}; is the disk full?")
        if isinstance(error, OutletError | PrivacyError | FeatureError | OSError):
            _err.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
            raise typer.Exit(EXIT_CODES.get(type(error), 1)) from error
