"""`escapement-office ledger`: prints the ledger, and what its operator does after a loss."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.ledger_copies import LedgerCopy
from server.holder.console import OUT, AsJson, Home, one_line_errors, print_json, say
from server.holder.locks import stopped
from server.office import office_report
from server.office.clock import MOST_AHEAD, SET_CLOCK_FILE, seconds_ahead
from server.office.reconciliation import reconcile
from server.office.store_place import open_office
from server.office.tables import PROGRAM

if TYPE_CHECKING:
    from server.office.reconciliation import Reconciled

HERE = Path("office")

ledger_app = typer.Typer(help="The ledger of losses, its chain verified.")


@ledger_app.callback(invoke_without_command=True)
def ledger(context: typer.Context, home: Home = HERE, as_json: AsJson = False) -> None:  # noqa: FBT002  (a flag on the command line)
    """Prints the ledger of losses, its chain verified; or does what a subcommand says."""
    if context.invoked_subcommand is not None:
        return
    with one_line_errors():
        with closing(open_office(home)) as store:
            book = store.ledger()
        if as_json:
            print_json([office_report.entry_as_json(entry) for entry in book.entries])
        else:
            office_report.show_ledger(OUT, book, int(time.time()))


@ledger_app.command("reconcile")
def reconcile_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="What `escapement-hq ledger export` and outlets' exports wrote."),
    ] = None,
    home: Home = HERE,
    lost: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool,
        typer.Option("--lost", help="Entries are in no copy any more: charges a whole year."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Brings entries back that are lost here, from HQ's and outlets' copies. Stop `serve` before.

    Entries after the last night plan that a copy proves are taken too, and what its night reserved
    and does not show as charged is charged. The ledger notes that this happened.
    """
    with one_line_errors():
        ring = Keyring(home, PartyKind.OFFICE)
        identity = ring.identity()
        copies = [LedgerCopy.decode(file.read_bytes()) for file in files or []]
        if lost and not yes:
            typer.confirm(
                "Is every copy of HQ's folder gone, too? This charges a whole year: no training, "
                "no calibration for 365 days.",
                abort=True,
            )
        with stopped(home, PROGRAM), closing(open_office(home)) as store:
            done = reconcile(
                store,
                copies,
                identity.card.verify_key,
                ring.peers(PartyKind.OUTLET),
                int(time.time()),
                lost=lost,
            )
        _show(done)


@ledger_app.command("set-clock")
def set_clock(
    home: Home = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Says that the clock was ahead when the ledger's last entries were made, and is right now.

    With HQ's next call, if its clock agrees, the ledger notes it: what was entered too late counts
    as of then, and what had left the year by it is in it again.
    """
    with one_line_errors():
        Keyring(home, PartyKind.OFFICE).identity()
        now = int(time.time())
        with closing(open_office(home)) as store, store.transaction() as transaction:
            ahead = seconds_ahead(transaction, now)
        if ahead <= MOST_AHEAD:
            say("The ledger's last entry is not ahead of this machine's clock; nothing to do.")
            return
        if not yes:
            typer.confirm(
                f"Is it {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC now, and was the "
                f"clock up to {ahead // 86_400} days ahead?",
                abort=True,
            )
        (home / SET_CLOCK_FILE).touch()
        say("Noted: the ledger's clock is set back with HQ's next call, if HQ's clock agrees.")


def _show(done: Reconciled) -> None:
    if done.after == done.before:
        say(f"Nothing is missing: the ledger has all {done.before} entries of the copies.")
        return
    say(f"The ledger had {done.before} entries and has {done.after}; it notes what happened.")
    for purpose, rho in done.charged.items():
        say(f"Charged, as no copy proves that it was not: {purpose} rho {float(rho):.6g}.")
    if done.lost:
        say("A whole year's budget is charged: nothing is trained for 365 days. HQ: `escapement-hq "
            "ledger accept`.")  # fmt: skip
    say("Start the office; the next night goes on. Make a new backup.")
    say(
        "No book is countersigned of a seal that this store does not know: until HQ seals bands "
        "again, outlets keep the last one. `escapement-hq status` says from which day on that is."
    )
