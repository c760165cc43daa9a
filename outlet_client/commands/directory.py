"""`escapement-outlet directory`: what the network's directory shows of this outlet's people."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from typing import Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home, Json
from outlet_client.commands.output import say, say_json
from outlet_client.errors import NotConfigured
from outlet_client.people.directory_files import latest_directory, numbered_directory
from outlet_client.people.people_store import People, State
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import checked_name
from privacy.identity import PartyKind
from privacy.keyring import Keyring

directory_app = typer.Typer(
    no_args_is_help=True, help="The network's directory, and the people it takes away."
)


@directory_app.command("show")
def show(home: Home = HERE, as_json: Json = False) -> None:
    """Says which directory was followed last, and whether losses wait for a person."""
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        found = latest_directory(home, ring.publishers().office)
        with closing(People.open(home, ring.identity())) as people:
            lost, listed = people.held_losses(), people.counts()[State.LISTED]
            nowhere, again = people.in_no_directory(), people.held_resync()
        facts = {
            "number": None if found is None else found.number,
            "batch": None if found is None else found.directory.batch,
            "slots": None if found is None else found.directory.slots,
            "listed": listed,
            "in_no_directory": nowhere,
            "lost": 0 if lost is None else lost.lost,
            "lost_since": None if lost is None else lost.since,
            "again": 0 if again is None else again.people,
            "again_since": None if again is None else again.since,
        }
        if as_json:
            say_json(facts)
            return
        if found is None:
            say("No directory yet: the first comes with a night of HQ's.")
        else:
            say(
                f"Directory: number {found.number} of the privacy office, "
                f"{found.directory.slots:,} slots, batch {found.directory.batch}"
            )
        say(f"Listed here: {listed:,}; handed in and in no directory: {nowhere:,}")
        if lost is not None:
            say(
                f"It takes {lost.lost:,} of your people away, since {lost.since}: ask the privacy "
                "office why; if they withdrew elsewhere, `escapement-outlet directory accept`"
            )
        if again is not None:
            say(
                f"HQ says once more that it lost registrations, {again.people:,} of them yours, "
                f"since {again.since}: ask the privacy office why; then `escapement-outlet "
                "directory resync`"
            )


@directory_app.command("resync")
def resync(
    by: Annotated[str, typer.Option(help="Who decided it.")],
    home: Home = HERE,
) -> None:
    """Hands in again what HQ lost more often than is done without a person.

    HQ sees each of these keys in one batch more, and the outlets that were in it. Ask the privacy
    office first whether HQ was really restored.
    """
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        with closing(People.open(home, ring.identity())) as people:
            if people.held_resync() is None:
                raise NotConfigured("directory: no loss of HQ's waits for a person")
            number = people.accept_resync(checked_name(by))
        say(f"{number:,} registrations are handed in again, over the next batches.")


@directory_app.command("accept")
def accept(
    by: Annotated[str, typer.Option(help="Who decided it.")],
    home: Home = HERE,
) -> None:
    """Ends the consents of those whom the directory takes away; a person decided that it is right.

    They withdrew elsewhere, as the privacy office saw proven. A new consent brings them back.
    """
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        with closing(People.open(home, ring.identity())) as people:
            lost = people.held_losses()
            number = people.followed_number()
            found = numbered_directory(home, number, ring.publishers().office)
            if lost is None or found is None:
                raise NotConfigured("directory: nothing waits for a person")
            about = f"{lost.lost} people whom directory {found.number} takes away"
            who = checked_name(by)
            people.follow(found.directory, found.number, accepted=True)
            record_act_in(home, dt.datetime.now(dt.UTC), LogAct.WITHDRAWAL, who, about=about)
        say(f"{lost.lost:,} people are withdrawn here, as they are elsewhere.")
