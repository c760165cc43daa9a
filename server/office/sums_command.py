"""`escapement-office sums`: which outlets sums tell together only, and who is admitted to them."""

from __future__ import annotations

import datetime as dt
import logging
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.holder.console import (
    AsJson,
    Home,
    checked_words,
    one_line_errors,
    print_json,
    say,
)
from server.office.clock import seconds_ahead
from server.office.settings import OfficeFile
from server.office.store_place import open_office
from server.office.sum_set_store import Admission

if TYPE_CHECKING:
    from server.office.ledger_store import Transaction

HERE = Path("office")

_LOG = logging.getLogger(__name__)

sums_app = typer.Typer(help="Which outlets the last year's opened sums tell together only.")


@sums_app.callback(invoke_without_command=True)
def sums(context: typer.Context, home: Home = HERE, as_json: AsJson = False) -> None:  # noqa: FBT002  (a flag on the command line)
    """Lists groups of outlets of which each sum held all or none, and who waits for company.

    A sum that held a part of a group would tell the rest of it. Outlets that were in no sum yet are
    in one once a quorum of them is there on the same night, or `sums admit` says so.
    """
    if context.invoked_subcommand is not None:
        return
    with one_line_errors():
        listed = _listed(home)
        with closing(open_office(home)) as store, store.transaction() as transaction:
            sets, at = transaction.sum_sets, _now(transaction)
            blocks = [sorted(one) for one in sets.blocks(listed, at)]
            found = sets.admissions(at)
        admitted = {name: found[name] for name in sorted(found.keys() & listed)}
        waiting = sorted(listed.difference(*blocks))
        if as_json:
            said = [{"outlet": name, **one._asdict()} for name, one in admitted.items()]
            print_json({"together": blocks, "in_no_sum": waiting, "admitted": said})
            return
        for block in blocks:
            say(f"together: {', '.join(block)}")
        say(f"in no sum of the last year: {', '.join(waiting) or 'nobody'}")
        told = ", ".join(_line(name, one) for name, one in admitted.items())
        say(f"admitted within the year, and hiding nobody: {told or 'nobody'}")


@sums_app.command("admit")
def admit(
    outlet: Annotated[str, typer.Argument(help="An outlet that was in no sum yet.")],
    by: Annotated[str, typer.Option(help="Who admits it: a person's name.")],
    reason: Annotated[str, typer.Option(help="Why, such as who at the outlet agreed.")],
    home: Home = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Lets an outlet into sums without waiting for others that are new.

    HQ can then tell its part, with both noises, from sums before it and after it came. So ask the
    outlet first. One that is left of a group of which others were taken off the list is admitted
    with all who are left. For a year it counts for no quorum. Who admitted it and why is kept.
    """
    with one_line_errors():
        who, why = checked_words("--by", by), checked_words("--reason", reason)
        listed = _listed(home)
        quorum = OfficeFile.read(home / "office.toml").promise.minimum_outlets
        with closing(open_office(home)) as store, store.transaction() as transaction:
            said = Admission(_now(transaction), who, why)
            coming, block = transaction.sum_sets.admit(outlet, listed, quorum, said)
            names = ", ".join(sorted(coming))
            if not yes:
                typer.confirm(
                    f"HQ will be able to tell the counts of {names}, with noise, from the "
                    "difference of two trainings. Do they agree?",
                    abort=True,
                )
        others = ", ".join(sorted(block - coming))
        _LOG.info("sums: %s admitted by %s", names, who)
        say(f"{names}: in sums from the next training on, together with {others}.")


def _line(outlet: str, said: Admission) -> str:
    day = dt.datetime.fromtimestamp(said.at, dt.UTC).date()
    return f"{outlet} ({day}, by {said.by or 'whom is not known'}{said.why and f': {said.why}'})"


def _listed(home: Path) -> frozenset[str]:
    return frozenset(Keyring(home, PartyKind.OFFICE).peers(PartyKind.OUTLET))


def _now(transaction: Transaction) -> int:
    """Now, never before the ledger's last entry."""
    now = int(time.time())
    return now + seconds_ahead(transaction, now)
