"""`escapement-office`: the privacy office, on a machine that HQ does not control."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

import server.wire.grpc_log  # noqa: F401  (before anything that imports grpc)
from privacy.identity import PartyKind
from privacy.key_health import key_warnings
from privacy.keyring import Keyring
from server.holder.commands import (
    OUT,
    AsJson,
    HolderProgram,
    Home,
    log_to_stderr,
    one_line_errors,
    print_json,
    say,
    settle_keys,
    stop_signal,
)
from server.holder.doctor import add_doctor, faults
from server.holder.key_commands import add_key_commands
from server.holder.locks import stopped
from server.office import office_report
from server.office.backup import back_up
from server.office.health import PAUSE_FILE, folder_checks, office_checks
from server.office.notary import Notary
from server.office.reconcile_command import ledger_app
from server.office.renewal import renew_network, sign_again
from server.office.running import running
from server.office.settings import OfficeFile
from server.office.store_place import office_url
from server.office.sums_command import sums_app
from server.office.tables import OFFICE, PROGRAM, STORES
from server.office.upgrade import upgrade

HERE = Path("office")

_program = HolderProgram(PartyKind.OFFICE, HERE, "office.toml", OfficeFile.read, STORES, upgrade)
app = _program.app(__doc__)
hq_app = typer.Typer(no_args_is_help=True, help="The HQ that may call.")
outlets_app = typer.Typer(no_args_is_help=True, help="The office's own list of outlets.")
tokens_app = typer.Typer(no_args_is_help=True, help="The office's share of the token key.")
app.add_typer(hq_app, name="hq")
app.add_typer(outlets_app, name="outlets")
app.add_typer(tokens_app, name="tokens")
app.add_typer(ledger_app, name="ledger")
app.add_typer(sums_app, name="sums")
_program.add_peer_commands(hq_app, PartyKind.HQ, "HQ's")
_program.add_outlet_commands(outlets_app, "from then on it is in no sum")
_program.add_token_commands(tokens_app)
_program.add_store_commands(app)
add_key_commands(app, PartyKind.OFFICE, HERE, sign_again)
add_doctor(app, PartyKind.OFFICE, HERE, office_checks)

SETTINGS_TEXT = """\
# The privacy office's settings; what is commented out is the default.
# listen = "{address}"

[promise]
# epsilon = 4.0          # a year's promise to a customer, over all outlets
# delta = 1e-6
# minimum_outlets = 3    # no sum over fewer outlets is unlocked or sealed, no batch relayed
# seals_a_week = 2       # of one kind
# seals_a_year = 66      # for bands
# calibrations_a_year = 14  # for calibration
# cut_days = 28          # bands keep scorecards and cuts for so long at least
# horizon_days = 180     # a cut-off lies so long before today: how long HQ watches outcomes
# days_off = 7           # and may lie so many days off that; bands off today likewise

[tokens]
# outlet_a_day = 640     # evaluations a day to one outlet, dummies included
# network_a_day = 100000  # to all together
# messages = 512         # registrations in one submission, dummies included
# batch_hours = 20       # between two batches, and two directories with their books
"""


@app.command()
def init(
    name: Annotated[str, typer.Option(help="The office's name.")],
    address: Annotated[str, typer.Option(help="host:port at which HQ and outlets reach it.")],
    home: Home = HERE,
) -> None:
    """Makes the office's keys and settings, and the public file for HQ and outlets."""
    with one_line_errors():
        _program.create(home, name, address, address, SETTINGS_TEXT.format(address=address))


@outlets_app.command("logs")
def outlets_logs(
    home: Home = HERE,
    as_json: AsJson = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Says when each outlet's log was last countersigned, and how often it was."""
    with one_line_errors():
        ring = Keyring(home, PartyKind.OFFICE)
        with closing(Notary(office_url(home), ring.identity().signing)) as notary:
            rows = office_report.countersigned(ring, notary)
        if as_json:
            print_json([row.as_json() for row in rows])
        else:
            office_report.show_countersigned(OUT, rows)


@tokens_app.command("renew")
def tokens_renew(
    home: Home = HERE,
    yes: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--yes", help="Do not ask.")
    ] = False,
) -> None:
    """Begins a new token key: makes the office's share anew, erases relay and directory, for good.

    Every customer is registered anew afterwards, by the outlets' own nights. The ledger goes on: it
    is about the same customers. Stop `serve` before.
    """
    with one_line_errors():
        ring = Keyring(home, PartyKind.OFFICE)
        name = ring.identity().card.name
        if not yes:
            typer.confirm(f"Is {name} stopped? Erase its relay, directory and seeds?", abort=True)
        with stopped(home, PROGRAM):
            renew_network(ring, office_url(home))
        OUT.print(
            f"{name} has a new share of the token key, and has forgotten the directory. Next:\n"
            "1. At HQ: `escapement-hq tokens renew`, if it was not done yet.\n"
            f"2. Give {ring.public_file} to HQ and to every outlet, and HQ's to the office and to "
            "every outlet: each adds it again.\n"
            f"   Fingerprint: {ring.identity().card.fingerprint}\n"
            "3. Start the office. Back both folders up, and destroy the copies from before.",
            highlight=False,
            soft_wrap=True,
        )


@app.command()
def serve(home: Home = HERE) -> None:
    """Serves HQ and outlets over mutual TLS until stopped."""
    log_to_stderr()
    stop = stop_signal()
    with one_line_errors():
        ring, settings = Keyring(home, PartyKind.OFFICE), OfficeFile.read(home / "office.toml")
        settle_keys(ring)
        with running(ring, settings, _pause_file(home).exists) as address:
            name = ring.identity().card.name
            OUT.print(f"The privacy office {name} serves {address}.", highlight=False)
            stop.wait()


@app.command()
def status(
    home: Home = HERE,
    as_json: AsJson = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Says how the office stands: whether it is paused, its lists, and what to do about keys.

    The exit code is 1 where settings or a database are wrong or missing; `doctor` looks further.
    """
    with one_line_errors():
        ring = Keyring(home, PartyKind.OFFICE)
        warnings = key_warnings(ring, dt.datetime.now(dt.UTC))
        paused, outlets = _pause_file(home).exists(), len(ring.peers(PartyKind.OUTLET))
        wrong = faults(folder_checks(home))
        if as_json:
            found = {"paused": paused, "outlets": outlets, "warnings": warnings, "wrong": wrong}
            print_json(found)
        else:
            say(f"{'Paused' if paused else 'Not paused'}, {outlets} outlets on the list.")
            for line in warnings or ["Nothing to do about keys and cards."]:
                say(line)
            for line in wrong:
                say(f"Wrong: {line}")
        if wrong:
            raise typer.Exit(1)


@app.command()
def pause(home: Home = HERE) -> None:
    """Signs and unlocks nothing until resumed. Takes effect at once."""
    with one_line_errors():
        name = Keyring(home, PartyKind.OFFICE).identity().card.name
        _pause_file(home).touch()
        OUT.print(f"{name} is paused.")


@app.command()
def resume(home: Home = HERE) -> None:
    """Ends a pause."""
    with one_line_errors():
        name = Keyring(home, PartyKind.OFFICE).identity().card.name
        _pause_file(home).unlink(missing_ok=True)
        OUT.print(f"{name} is resumed.")


@app.command()
def backup(folder: Path, home: Home = HERE) -> None:
    """Copies keys, lists, settings, ledger, counts and statements, less every one-time key.

    To restore, use the copy as `--home`. A release or seal that was open when the copy was made is
    over; registrations that HQ had not collected are not in it, outlets hand them in
    again. Make a new copy after every `escapement-hq tokens refresh`.
    """
    with one_line_errors():
        database = OfficeFile.database_of(
            home / "office.toml"
        )  # a mistake elsewhere stops no backup
        back_up(Keyring(home, PartyKind.OFFICE), folder, OFFICE.url(home, database))
        OUT.print(f"{folder}: holds the office's secret keys; keep it where only you can read it.")


def _pause_file(home: Path) -> Path:
    return home / PAUSE_FILE
