"""`escapement-outlet new-store`: an empty database in place of one that is lost for good."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import say
from outlet_client.database import DATABASES, create_databases, is_missing
from outlet_client.folder_locks import alone
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, record_act_in, withdrawals_in
from outlet_client.records.actor import system_user
from privacy.identity import PartyKind
from privacy.keyring import Keyring

_LOST = {
    "outlet.db": (
        "Gone: consents, tokens, who was registered, and which nights were answered. Before the "
        "next night import the consents that stand (`escapement-outlet consent import`, from your "
        "last `consent export`), without anybody who withdrew: the log brought {withdrawals} "
        "withdrawals of the past year back, older ones nothing here knows. HQ takes none of them "
        "that is older than a withdrawal elsewhere. Who withdraws before `escapement-outlet "
        "status` counts them as listed again stays in the network: repeat it then. Tell HQ not to "
        "resume a night that began before now."
    ),
    "rights.db": (
        "Gone: the log, requests, disputes, corrections, what staff saw for sale. Take disputes "
        "and corrections down again with `escapement-outlet customer` before a band is shown. The "
        "next night finds that the log went back, and says so from then on: tell the privacy "
        "office why."
    ),
    "staff.db": (
        "Gone: accounts, passkeys, undertakings. `escapement-outlet staff add NAME --role manager` "
        "makes the first."
    ),
}
"""What is lost with each, and what to do."""


def new_store(
    home: Home = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Does not ask.")] = False,
) -> None:
    """Makes each database that is missing, empty: where it is lost, and there is no backup."""
    with failing():
        identity = Keyring(home, PartyKind.OUTLET).identity()
        missing = [name for name in DATABASES if is_missing(home / name)]
        for name in missing:
            if not yes:
                typer.confirm(f"{name}: is all of it lost for good, also in backups?", abort=True)
        if not missing:
            say("No database is missing.")
            return
        with alone(home):
            create_databases(home)
            known = {} if "rights.db" in missing else withdrawals_in(home)
            with closing(People.open(home, identity)) as people:
                people.bring_back_withdrawals(known)
        about = ", ".join(missing)
        record_act_in(home, dt.datetime.now(dt.UTC), LogAct.NEW_STORE, system_user(), about=about)
        for name in missing:
            say(f"{name}: made, empty. {_LOST[name].format(withdrawals=len(known))}")
