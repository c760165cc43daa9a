"""`escapement-outlet`: what runs at an outlet: nightly from a timer, and what staff ask by day.

Exit codes of `nightly`, by the first error of the night:

0  the night was complete, or another runs here already
1  an error of our own, said in one line, such as an unreadable ledger
3  HQ was not reached, or went away: the report was written, and
   tomorrow's night needs nothing from this one
4  HQ does not know this outlet
5  this outlet's clock is wrong
6  a setting, key or card is missing
7  a holder of the token key gives no more evaluations today
8  too many rows of the ledger cannot be used: no night was joined, but
   withdrawals left
9  the log is not the one that was written, and was not countersigned

What became of the night's mail changes none of these: it is in the log
and in `status`.

`lookup` and `reasons` end with 2 where the customer's consent is needed
first, `log verify` with 9 where it finds anything, `check` with 10
while a doubt is open, `mail test` with 11 where the mail was not sent,
and all commands otherwise as `nightly`.
"""

from __future__ import annotations

import os

import typer

import server.wire.grpc_log  # noqa: F401  (before anything that imports grpc)
from outlet_client.commands.allocations import allocate, allocation_app
from outlet_client.commands.check import check
from outlet_client.commands.consents import consent_app
from outlet_client.commands.customer import customer_app, withdraw
from outlet_client.commands.desk import desk
from outlet_client.commands.directory import directory_app
from outlet_client.commands.doctor import doctor
from outlet_client.commands.duplicates import duplicates, duplicates_decide
from outlet_client.commands.init import init
from outlet_client.commands.install_timer import install_timer
from outlet_client.commands.keys import keys_app, peers_app
from outlet_client.commands.ledger import ledger_app
from outlet_client.commands.log import log_app
from outlet_client.commands.lookup import lookup, serve
from outlet_client.commands.mail import mail_app
from outlet_client.commands.new_store import new_store
from outlet_client.commands.night import enrol, nightly_command
from outlet_client.commands.reasons import reasons
from outlet_client.commands.sightings import sightings_app
from outlet_client.commands.staff import staff_app
from outlet_client.commands.status import status
from outlet_client.commands.upgrade import upgrade
from outlet_client.commands.upkeep import backup, restore
from outlet_client.commands.waitlist import waitlist_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)


@app.callback()
def private() -> None:
    """Whatever this program writes is for its own user only."""
    os.umask(0o077)


app.add_typer(consent_app, name="consent")
app.command()(enrol)
app.command("nightly")(nightly_command)
app.command()(lookup)
app.command()(serve)
app.command()(status)
app.command()(init)
app.command()(check)
app.add_typer(customer_app, name="customer")
app.command()(withdraw)
app.add_typer(log_app, name="log")
app.command()(duplicates)
app.command("duplicates-decide")(duplicates_decide)
app.command()(allocate)
app.add_typer(allocation_app, name="allocation")
app.add_typer(sightings_app, name="sightings")
app.command()(reasons)
app.command()(desk)
app.add_typer(staff_app, name="staff")
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.command()(upgrade)
app.command()(new_store)
app.command()(install_timer)
app.add_typer(directory_app, name="directory")
app.add_typer(keys_app, name="keys")
app.add_typer(ledger_app, name="ledger")
app.add_typer(mail_app, name="mail")
app.add_typer(peers_app, name="peers")
app.add_typer(waitlist_app, name="waitlist")

if __name__ == "__main__":  # `python -m outlet_client.main`
    app()
