"""`escapement-outlet staff`: who may use the desk. Whoever may write the folder decides that.

Invariant: every change is in the log before it takes effect, and a password is shown once.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Home, Json
from outlet_client.commands.output import OUT, say, say_json
from outlet_client.moments import now
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import actor_name
from outlet_client.staff.accounts import Accounts, Role, secret_of
from outlet_client.staff.staff_store import StaffStore
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

staff_app = typer.Typer(no_args_is_help=True, help="Who may use the desk, and as what.")

Name = Annotated[str, typer.Argument(help="As it will stand in the log, such as 'Mei Lin'.")]
AsRole = Annotated[
    Role,
    typer.Option(
        help="associate: looks up. manager: allocates and decides sightings too. privacy: reads "
        "the log, answers requests and disputes."
    ),
]


@staff_app.command()
def add(name: Name, role: AsRole, by: By = None, home: Home = HERE) -> None:
    """Makes an account, and prints a temporary password to hand over."""
    with failing(), accounts_of(home) as accounts:
        name = accounts.free(name)
        _log(home, by, name, f"added as {role}")
        _hand_over(name, accounts.add(name, role, now()))


@staff_app.command()
def reset(name: Name, by: By = None, home: Home = HERE) -> None:
    """Prints a new temporary password, and takes passkeys and lock-out away."""
    with failing(), accounts_of(home) as accounts:
        name = accounts.named(name).name
        _log(home, by, name, "new password")
        _hand_over(name, accounts.reset(name))


@staff_app.command("role")
def role_command(name: Name, role: AsRole, by: By = None, home: Home = HERE) -> None:
    """Gives somebody another role; ends their sessions."""
    with failing(), accounts_of(home) as accounts:
        name = accounts.named(name).name
        _log(home, by, name, f"now {role}")
        accounts.give(name, role)
        say(f"{name}: {role} from now on; signed out wherever they were signed in.")


@staff_app.command()
def remove(name: Name, by: By = None, home: Home = HERE) -> None:
    """Takes an account away; its entries in the log stay."""
    with failing(), accounts_of(home) as accounts:
        name = accounts.named(name).name
        _log(home, by, name, "removed")
        accounts.remove(name)
        say(f"{name}: removed, and signed out.")


@staff_app.command("list")
def list_command(home: Home = HERE, as_json: Json = False) -> None:
    """Lists the accounts, what each undertook and when, and who is locked out."""
    with failing(), accounts_of(home) as accounts:
        found = [
            (one, accounts.undertaken(one.name), accounts.locked(one.name, now()))
            for one in accounts.all()
        ]
        if as_json:
            say_json(
                [
                    {
                        "name": one.name,
                        "role": one.role,
                        "undertook": undertaken and undertaken[0],
                        "undertook_at": undertaken and undertaken[1],
                        "temporary_password": one.temporary,
                        "locked_out": locked,
                    }
                    for one, undertaken, locked in found
                ]
            )
            return
        if not found:
            say("Nobody yet; `escapement-outlet staff add NAME --role ROLE` makes an account.")
            return
        table = Table("name", "role", "undertaking", "state")
        for one, undertaken, locked in found:
            states = ["temporary password"] * one.temporary + ["locked out"] * locked
            given = "none" if undertaken is None else f"{undertaken[0]}, {undertaken[1][:10]}"
            table.add_row(escape(one.name), one.role, escape(given), ", ".join(states))
        OUT.print(table)


@contextmanager
def accounts_of(home: Path) -> Iterator[Accounts]:
    """Opens the accounts of an outlet's folder."""
    identity = Keyring(home, PartyKind.OUTLET).identity()
    with closing(StaffStore(home)) as store:
        yield Accounts(store, secret_of(identity))


def _log(home: Path, by: str | None, name: str, outcome: str) -> None:
    record_act_in(home, now(), LogAct.STAFF, actor_name(by), about=name, outcome=outcome)


def _hand_over(name: str, password: str) -> None:
    say(f"{name}: {password}")
    say("Hand it over in person; it has to be changed at the first sign-in. It is not shown again.")
