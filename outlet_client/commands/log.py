"""`escapement-outlet log`: verifies the access log, or lists it.

Invariant: `verify` changes nothing and asks nobody.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlet_client.commands.command_errors import EXIT_CODES, failing
from outlet_client.commands.options import HERE, Home, Json, typed_day
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_people
from outlet_client.log_tables.rights_store import rights_if_any
from outlet_client.moments import now
from outlet_client.records.access_log import LogAct, recent_entries, record_act_in
from outlet_client.records.actor import system_user
from outlet_client.records.log_audit import CANNOT_TELL, LogContradicted, audit_log
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from outlet_client.people.people_store import People
    from outlet_client.records.access_log import LogEntry
    from outlet_client.records.log_audit import LogAudit

log_app = typer.Typer(
    no_args_is_help=True, help="Who looked, decided, changed and exported, and whether it stands."
)

_BEGINNING = dt.datetime.min.replace(tzinfo=dt.UTC)


@log_app.command()
def verify(home: Home = HERE, as_json: Json = False) -> None:
    """Computes the log's chain anew and holds it against the privacy office's statements."""
    with failing():
        ring = Keyring(home, PartyKind.OUTLET)
        office, name = ring.peer(PartyKind.OFFICE).verify_key, ring.identity().card.name
        found = audit_log(home, office, name, now())
    if as_json:
        say_json(_as_dict(found))
    else:
        _print(found)
    if found.findings:
        raise typer.Exit(EXIT_CODES[LogContradicted])


@log_app.command()
def show(
    since: Annotated[
        str | None, typer.Option(help="From which day on, YYYY-MM-DD; all that is kept by default.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="What this person did only.")] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Lists what was done, the oldest first. With --json it is an export, and logged as one."""
    with failing(), open_people(home) as (people, _):
        day = typed_day(since, "--since")
        # When the day begins, on this machine's own clock.
        first = dt.datetime.combine(day, dt.time()).astimezone() if day else _BEGINNING
        with rights_if_any(home) as connection:
            found = () if connection is None else recent_entries(connection, first, by=by)[::-1]
        if as_json:
            record_act_in(
                home, now(), LogAct.EXPORT, system_user(), about="the log", outcome="json"
            )
            say_json([_entry(one, people) for one in found])
            return
        if not found:
            say("Nothing was logged.")
        for one in found:
            say(_line(one, people))


def _as_dict(found: LogAudit) -> dict[str, Any]:
    return {
        "outlet": found.outlet,
        "first": found.begins.number + 1,
        "last": found.head.number,
        "statements": 0 if found.last is None else found.last.number,
        "countersigned": found.covers,
        "countersigned_at": found.covers_at,
        "findings": [asdict(one) for one in found.findings],
        "cannot_tell": list(CANNOT_TELL),
    }


def _print(found: LogAudit) -> None:
    first, last = found.begins.number + 1, found.head.number
    say(
        f"Log of {found.outlet}: "
        + (f"entries {first} to {last}." if last >= first else "no entries are kept.")
    )
    if found.covers_at is None or found.last is None:
        say("Countersigned by the privacy office: never.")
    else:
        say(
            f"Countersigned by the privacy office: up to entry {found.covers}, on "
            f"{found.covers_at:%Y-%m-%d %H:%M} UTC; its last statement here is number "
            f"{found.last.number}."
        )
    say("Findings:" if found.findings else "Findings: none.")
    for one in found.findings:
        say(f"  {one.fault}: {one.text}")
    say("What this cannot tell:")
    for text in CANNOT_TELL:
        say(f"  {text}")


def _entry(one: LogEntry, people: People) -> dict[str, Any]:
    customers = people.customers_of(one.key) if one.key else ()
    return {**asdict(one), "purpose": one.purpose or "", "customers": customers}


def _line(one: LogEntry, people: People) -> str:
    who = people.customers_of(one.key) if one.key else ()
    whose = (", ".join(who) or "nobody in the client book") if one.key else ""
    said = [one.act.value, one.purpose or "", whose, one.about, one.outcome]
    return f"{one.number}  {one.at:%Y-%m-%d %H:%M} UTC  {one.by}: {', '.join(filter(None, said))}"
