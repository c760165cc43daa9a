"""`escapement-office`: the privacy office, on a machine that HQ does not control."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from privacy.errors import PrivacyError
from privacy.identity import Card, Kind
from privacy.keyring import Keyring
from privacy.units import Purpose, Unit
from server.holder import status
from server.holder.errors import HolderError
from server.holder.meter import Meter
from server.office.ledger_store import OfficeStore
from server.office.notary import Notary
from server.office.running import running
from server.office.settings import OfficeFile

if TYPE_CHECKING:
    from privacy.identity import Identity
    from privacy.log_heads import HeadStatement

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)
hq_app = typer.Typer(no_args_is_help=True, help="The HQ that may call.")
outlets_app = typer.Typer(no_args_is_help=True, help="The office's own list of outlets.")
tokens_app = typer.Typer(no_args_is_help=True, help="The office's share of the token key.")
app.add_typer(hq_app, name="hq")
app.add_typer(outlets_app, name="outlets")
app.add_typer(tokens_app, name="tokens")

Home = Annotated[Path, typer.Option(help="Folder of keys, settings and state.")]
Fingerprint = Annotated[
    str | None, typer.Option(help="What the owner read to you; asked for when not given.")
]
HERE = Path("office")

_out = Console()
_err = Console(stderr=True)

SETTINGS_TEXT = """\
# The privacy office's settings; what is commented out is the default.
# listen = "{address}"

[promise]
# epsilon = 4.0          # a year's promise to a customer, over all outlets
# delta = 1e-6
# minimum_outlets = 3    # no sum over fewer outlets is ever unlocked, no batch relayed

[tokens]
# outlet_a_day = 640     # evaluations a day to one outlet, dummies included
# network_a_day = 20000  # to all together
# messages = 512         # registrations in one submission, dummies included
"""


@app.callback()
def private() -> None:
    """Whatever this program writes is for its own user only."""
    os.umask(0o077)


@app.command()
def init(
    name: Annotated[str, typer.Option(help="The office's name.")],
    address: Annotated[str, typer.Option(help="host:port at which HQ and outlets reach it.")],
    home: Home = HERE,
) -> None:
    """Makes the office's keys and settings, and the public file for HQ and outlets."""
    with _failing():
        ring = Keyring(home, Kind.OFFICE)
        identity = ring.create(name, address, dt.datetime.now(dt.UTC), service_address=address)
        settings = home / "office.toml"
        settings.write_text(SETTINGS_TEXT.format(address=address))
        _out.print(f"Settings: {settings}\nPublic file: {ring.public_file}", highlight=False)
        _out.print(f"Fingerprint: {identity.card.fingerprint}", highlight=False)


@hq_app.command("add")
def hq_add(file: Path, fingerprint: Fingerprint = None, home: Home = HERE) -> None:
    """Imports HQ's public file, after comparing its fingerprint by another way."""
    _trust(Keyring(home, Kind.OFFICE), file, Kind.HQ, fingerprint)


@outlets_app.command("add")
def outlets_add(file: Path, fingerprint: Fingerprint = None, home: Home = HERE) -> None:
    """Imports an outlet's public file, after comparing its fingerprint by another way."""
    _trust(Keyring(home, Kind.OFFICE), file, Kind.OUTLET, fingerprint)


@outlets_app.command("remove")
def outlets_remove(name: str, home: Home = HERE) -> None:
    """Takes an outlet off the list; from then on it is in no sum."""
    with _failing():
        Keyring(home, Kind.OFFICE).distrust(Kind.OUTLET, name)
        _out.print(f"{name} is off the list.")


@outlets_app.command("list")
def outlets_list(home: Home = HERE) -> None:
    """Lists outlets and fingerprints."""
    with _failing():
        for card in Keyring(home, Kind.OFFICE).peers(Kind.OUTLET).values():
            _out.print(f"{card.name}  {card.fingerprint}", highlight=False)


@outlets_app.command("logs")
def outlets_logs(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="Print it as JSON.")
    ] = False,
) -> None:
    """Says when each outlet's log was last countersigned, and how often it was."""
    with _failing():
        ring = Keyring(home, Kind.OFFICE)
        with closing(_notary(home, ring.identity())) as notary:
            last = {statement.outlet: statement for statement in notary.last()}
        rows = [
            (name, statement.number if (statement := last.get(name)) else 0, _moment(statement))
            for name in sorted({*ring.peers(Kind.OUTLET), *last})
        ]
        if as_json:
            found = [
                {"outlet": name, "statements": number, "last": at} for name, number, at in rows
            ]
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
            return
        table = Table("outlet", "statements", "last")
        for name, number, at in rows:
            table.add_row(name, str(number), at or "never")
        _out.print(table)


@app.command()
def serve(home: Home = HERE) -> None:
    """Serves HQ and outlets over mutual TLS until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _failing():
        ring = Keyring(home, Kind.OFFICE)
        with running(ring, _settings(home), _pause_file(home).exists) as address:
            name = ring.identity().card.name
            _out.print(f"The privacy office {name} serves {address}.", highlight=False)
            stop.wait()


@tokens_app.command("status")
def tokens_status(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="Print it as JSON.")
    ] = False,
) -> None:
    """Says what was evaluated today, against quotas, and who reached one in the last 30 days."""
    with _failing():
        ring, settings = Keyring(home, Kind.OFFICE), _settings(home).tokens
        ring.token_share()
        meter = Meter(f"sqlite:///{home / 'meter.db'}")
        if as_json:
            sys.stdout.write(status.as_json(ring, meter, settings, time.time()))
        else:
            status.show(_out, ring, meter, settings, time.time())
        meter.close()


@app.command()
def pause(home: Home = HERE) -> None:
    """Signs and unlocks nothing until resumed. Takes effect at once."""
    with _failing():
        name = Keyring(home, Kind.OFFICE).identity().card.name
        _pause_file(home).touch()
        _out.print(f"{name} is paused.")


@app.command()
def resume(home: Home = HERE) -> None:
    """Ends a pause."""
    with _failing():
        name = Keyring(home, Kind.OFFICE).identity().card.name
        _pause_file(home).unlink(missing_ok=True)
        _out.print(f"{name} is resumed.")


@app.command()
def ledger(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="Print every entry as JSON.")
    ] = False,
) -> None:
    """Prints the ledger of losses, its chain verified."""
    with _failing():
        policy = _settings(home).promise.policy()
        store = OfficeStore(f"sqlite:///{home / 'office.db'}", policy)
        book, at = store.ledger(), int(time.time())
        store.close()
        if as_json:
            entries = [
                {
                    "sequence": entry.sequence,
                    "at": entry.at,
                    "act": entry.act.value,
                    "night": entry.night,
                    "release": entry.release,
                    "purpose": None if entry.purpose is None else entry.purpose.value,
                    "rho": entry.rho.encode(),
                    "noiseless": entry.noiseless,
                    "digest": entry.digest,
                }
                for entry in book.entries
            ]
            sys.stdout.write(json.dumps(entries, indent=2) + "\n")
            return
        table = Table(title=f"{len(book.entries)} entries, head {book.head[:16]}")
        for column in ("use", "spent", "held", "remaining", "a year"):
            table.add_column(column, justify="left" if column == "use" else "right")
        for purpose in Purpose:
            limit, spent = book.policy.limit(purpose), book.spent(purpose, at)
            left = book.remaining(purpose, at)
            figures = (spent, limit - spent - left, left, limit)
            table.add_row(purpose.value, *(f"{float(figure):.5f}" for figure in figures))
        _out.print(table)
        for unit in Unit:
            spent_epsilon = book.epsilon(unit, at)
            stated = (
                "unbounded: a sum had no noise" if spent_epsilon is None else f"{spent_epsilon:.3f}"
            )
            promise = book.policy.guarantee(unit)
            _out.print(
                f"{unit}: epsilon {stated} of {promise.epsilon:g} at delta {promise.delta:g}",
                highlight=False,
            )


@app.command()
def backup(folder: Path, home: Home = HERE) -> None:
    """Copies keys, lists, settings, ledger, counts and statements, less every one-time key.

    To restore, use the copy as `--home`. A release that was open when the copy was made stays
    closed for ever; registrations that HQ had not collected are not in it, outlets hand them in
    again. Make a new copy after every `escapement-hq tokens refresh`.
    """
    with _failing():
        identity = Keyring(home, Kind.OFFICE).identity()
        folder.mkdir(parents=True, mode=0o700)
        for name in ("identity.json", "token-share.json", "public.json", "office.toml", "paused"):
            if (home / name).exists():
                shutil.copy2(home / name, folder / name)
        shutil.copytree(home / "peers", folder / "peers")
        policy = _settings(home).promise.policy()
        store = OfficeStore(f"sqlite:///{home / 'office.db'}", policy)
        store.copy_without_keys(folder / "office.db")
        store.close()
        meter = Meter(f"sqlite:///{home / 'meter.db'}")
        meter.copy(folder / "meter.db")
        meter.close()
        with closing(_notary(home, identity)) as notary:
            notary.copy(folder / "notary.db")
        _out.print(f"{folder}: holds the office's secret keys; keep it where only you can read it.")


def _settings(home: Path) -> OfficeFile:
    try:
        return OfficeFile.read(home / "office.toml")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _notary(home: Path, identity: Identity) -> Notary:
    return Notary(f"sqlite:///{home / 'notary.db'}", identity.signing)


def _moment(statement: HeadStatement | None) -> str | None:
    if statement is None:
        return None
    return dt.datetime.fromtimestamp(statement.at, dt.UTC).isoformat()


def _pause_file(home: Path) -> Path:
    return home / "paused"


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
        if isinstance(error, PrivacyError | HolderError | OSError):
            _err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
            raise typer.Exit(1) from error
