"""`escapement-hq`: runs the night; sees public slot keys and noisy sums, no token, score, band."""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

import server.wire.grpc_log  # noqa: F401  (before anything that imports grpc)
from privacy.identity import PartyKind
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
)
from server.holder.database import shown
from server.holder.doctor import add_doctor
from server.holder.errors import HolderNotConfigured
from server.holder.key_commands import add_key_commands
from server.holder.locks import SERVE_LOCK, locked, stopped
from server.holder.shares import refresh, renew
from server.hq.backup import back_up
from server.hq.daily_nights import run_nights
from server.hq.directory_announcement import take_over
from server.hq.health import hq_checks
from server.hq.hold_command import held_app, opened_holds
from server.hq.hq_status import HqStatus
from server.hq.ledger_command import ledger_app
from server.hq.night_assembly import run_night
from server.hq.office_client import OfficeClient
from server.hq.registry import Registry
from server.hq.registry_renewal import erase
from server.hq.report import CAVEATS, latest_calibrations, write_report
from server.hq.services import running
from server.hq.settings import HqFile, WatchedSettings
from server.hq.stopping import stoppable
from server.hq.tables import HQ, PROGRAM, STORES
from server.hq.upgrade import upgrade

HERE = Path("hq")

_LOG = logging.getLogger(__name__)
_program = HolderProgram(
    PartyKind.HQ,
    HERE,
    "hq.toml",
    HqFile.read,
    STORES,
    upgrade,
)
app = _program.app(__doc__)
office_app = typer.Typer(no_args_is_help=True, help="The privacy office that holds the second key.")
outlets_app = typer.Typer(no_args_is_help=True, help="HQ's list of outlets.")
tokens_app = typer.Typer(no_args_is_help=True, help="HQ's share of the token key.")
app.add_typer(office_app, name="office")
app.add_typer(outlets_app, name="outlets")
app.add_typer(tokens_app, name="tokens")
_program.add_peer_commands(office_app, PartyKind.OFFICE, "the office's")
_program.add_outlet_commands(outlets_app, "no tokens from now on, no night from the next one on")
_program.add_token_commands(tokens_app)
_program.add_store_commands(app)
add_key_commands(app, PartyKind.HQ, HERE, lambda _ring: None)
add_doctor(app, PartyKind.HQ, HERE, hq_checks)
app.add_typer(ledger_app, name="ledger")
app.add_typer(held_app, name="held")

SETTINGS_TEXT = """\
# HQ's settings; what is commented out is the default.
# listen = "{address}"
# services = "{services}"
# join_seconds = 600      # how long outlets may take to join a night
# night_at = "02:00"      # when `serve` begins a night, in UTC
# horizon_days = 180      # how long after the cut-off an outcome is watched

[training]
# rounds = 6
# quorum = 3
# trainings_a_year = 12

[tokens]
# outlet_a_day = 640      # evaluations a day to one outlet, dummies included
# network_a_day = 100000  # to all together
"""


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
    with one_line_errors():
        text = SETTINGS_TEXT.format(address=address, services=services)
        _program.create(home, name, address, services, text)


@app.command("night")
def night_command(
    home: Home = HERE,
    name: Annotated[
        str | None,
        typer.Option(
            help="The night's name; that of a killed night resumes it. Else today's that was "
            "interrupted is resumed, or a new one begins."
        ),
    ] = None,
    cut_off: Annotated[
        str | None, typer.Option(help="Last day that a feature may see, YYYY-MM-DD.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Last day that bands are made from; today when not given.")
    ] = None,
) -> None:
    """Runs one night now: waits for outlets to join, combines what they answer, says goodnight.

    A second one of a day is a night of its own: it does what is due by then, so it neither trains
    nor seals anew what the first did. The name of a night that is complete does nothing.

    It does not open the port of tokens and directories: `serve` runs beside it for that.
    """
    log_to_stderr()
    with one_line_errors(), stoppable(code=1):
        report = run_night(home, name, cut_off, as_of=as_of)
        say(f"Night {report.night}: {report.ended}")
        if report.again:
            say(
                "It was so before: nobody was asked anything, and nothing was charged. Without "
                "--name a new night begins."
            )
        if report.ended != "complete":
            raise typer.Exit(1)


@app.command()
def serve(home: Home = HERE) -> None:
    """Serves tokens and directories until stopped; runs a night every day when hq.toml says.

    A night that was interrupted is taken up first, under its name, until it expires.
    """
    log_to_stderr()
    with one_line_errors(), stoppable():
        ring, watched = Keyring(home, PartyKind.HQ), WatchedSettings(home / "hq.toml")
        with locked(home / SERVE_LOCK) as free:
            if not free:
                raise HolderNotConfigured(f"{home}: another process serves from this folder")
            settle_keys(ring)
            with running(ring, watched.now()) as address:
                _LOG.info("serving outlets at %s", address)
                run_nights(home, watched)


@app.command()
def backup(folder: Path, home: Home = HERE) -> None:
    """Copies keys, lists, settings, records of nights, counts and the store; also while HQ serves.

    To restore, use the copy as `--home` and run `escapement-hq restored` once. A seal that was open
    when the copy was made is over. Make a new copy after every `escapement-hq tokens refresh`.
    """
    with one_line_errors():
        database = HqFile.database_of(home / "hq.toml")  # a mistake elsewhere stops no backup
        back_up(Keyring(home, PartyKind.HQ), folder, HQ.url(home, database))
        OUT.print(f"{folder}: holds HQ's secret keys; keep it where only you can read it.")


@app.command()
def restored(
    home: Home = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Does not ask whether it was.")] = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Takes the privacy office's directory over, after HQ was restored from an older copy.

    Of the batches since that copy HQ believes what the office says, without proof. Where nobody
    restored one, do not run it: ask the office why it is ahead. Stop `serve` before.
    """
    with one_line_errors():
        ring, settings = Keyring(home, PartyKind.HQ), HqFile.read(home / "hq.toml")
        identity, card = ring.identity(), ring.peer(PartyKind.OFFICE)
        database, timeout = HQ.url(home, settings.database), settings.training.timeout
        if not yes:
            typer.confirm(f"Did you restore {shown(database)} from an older copy?", abort=True)
        with (
            stopped(home, PROGRAM),
            closing(OfficeClient.connect(identity, card, timeout)) as office,
            closing(Registry(database)) as registry,
        ):
            done = take_over(office, registry, ring.token_share(), card.verify_key)
        OUT.print(
            f"The registry was of batch {done.since}, and is now the privacy office's directory of "
            f"batch {done.batch}: {done.added} slots more, {done.blanked} withdrawn. Fine books "
            "hide the new ones from their homes too, and HQ knows of fewer outlets of each than "
            "there are, until outlets have handed in again what was lost: they do so by "
            "themselves, within some batches. Run the night.",
            highlight=False,
            soft_wrap=True,
        )


@tokens_app.command("refresh")
def tokens_refresh(home: Home = HERE) -> None:
    """Moves HQ's and the office's shares of the token key; tokens stay as they are.

    Run it again if it was interrupted. Afterwards both have new public files for outlets that are
    yet to enrol, and both folders need a new backup: an older one does not fit any more.
    """
    with one_line_errors():
        ring = Keyring(home, PartyKind.HQ)
        timeout = HqFile.read(home / "hq.toml").training.timeout
        office = OfficeClient.connect(ring.identity(), ring.peer(PartyKind.OFFICE), timeout)
        with closing(office):
            epoch = refresh(ring, office)
        OUT.print(f"Both shares are of epoch {epoch}. Back both folders up now.", highlight=False)


@tokens_app.command("renew")
def tokens_renew(
    home: Home = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Does not ask before it erases.")] = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Begins a new token key: makes HQ's share anew and erases HQ's registry, for good.

    Every customer is registered anew afterwards, by the outlets' own nights. Stop `serve` before.
    """
    with one_line_errors():
        ring = Keyring(home, PartyKind.HQ)
        database = HQ.url(home, HqFile.read(home / "hq.toml").database)
        ring.identity()
        if not yes:
            asked = f"Erase all slots, directories and books in {shown(database)}?"
            typer.confirm(asked, abort=True)
        with stopped(home, PROGRAM):
            renew(ring)
            erase(database)
        OUT.print(
            f"HQ has a new share of the token key, and an empty registry. Next:\n"
            f"1. At the office: `escapement-office tokens renew`. Run no night before that.\n"
            f"2. Give {ring.public_file} to the office (`escapement-office hq add`), and the"
            f" office's to HQ (`escapement-hq office add`).\n"
            f"   Fingerprint: {ring.identity().card.fingerprint}\n"
            f"3. Give both to every outlet (`escapement-outlet upgrade`).\n"
            f"4. Back both folders up, and destroy the copies from before.",
            highlight=False,
            soft_wrap=True,
        )


@app.command()
def status(home: Home = HERE, as_json: AsJson = False) -> None:  # noqa: FBT002  (a flag on the command line)
    """Says whether HQ serves, what is wrong in its folder, and how the last night went."""
    with one_line_errors():
        found = HqStatus.of(home, dt.datetime.now(dt.UTC))
        if as_json:
            print_json(found.as_json())
        else:
            found.show(OUT)


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
    with one_line_errors():
        found = latest_calibrations(home, HqFile.read(home / "hq.toml"))
        with opened_holds(home) as store:
            held = store.held()
        if held is not None:
            say(f"Held: {held.said}")
        if not found:
            OUT.print("No calibration yet: a night with a training and a band book makes one.")
            return
        for each in found:
            each.show(OUT)
        folder = out or home / "report"
        write_report(found, folder)
        OUT.print(CAVEATS, highlight=False)
        OUT.print(f"Plots and JSON: {folder}", highlight=False)
