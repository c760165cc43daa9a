"""`escapement-outlet log`: who did what, and whether the log still says so.

Invariant: `verify` changes nothing and asks nobody.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlet_client.commands.command_errors import EXIT_CODES, failing
from outlet_client.commands.options import HERE, OUT, Home, Json, say
from outlet_client.customer_access import people_of
from outlet_client.log_tables.rights_store import rights_if_any
from outlet_client.moments import now
from outlet_client.records.access_log import Act, entries_since, record_in
from outlet_client.records.actor import NotAsked, user
from outlet_client.records.log_audit import CANNOT_TELL, LogContradicted, audit
from privacy.identity import Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from outlet_client.people.people_store import People
    from outlet_client.records.access_log import Entry
    from outlet_client.records.log_audit import Audit

log_app = typer.Typer(
    no_args_is_help=True, help="Who looked, decided, changed and exported, and whether it stands."
)


@log_app.command()
def verify(home: Home = HERE, as_json: Json = False) -> None:  # noqa: FBT002  (a flag)
    """Computes the log's chain anew and holds it against the privacy office's statements."""
    with failing():
        ring = Keyring(home, Kind.OUTLET)
        office, name = ring.peer(Kind.OFFICE).verify_key, ring.identity().card.name
        found = audit(home, office, name, now())
    if as_json:
        OUT.print_json(json.dumps(_as_dict(found)))
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
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Lists what was done, the oldest first. With --json it is an export, and logged as one."""
    with failing(), people_of(home) as (people, _):
        first = _day(since)
        with rights_if_any(home) as connection:
            found = () if connection is None else entries_since(connection, first, by=by)
        if as_json:
            record_in(home, now(), Act.EXPORT, user(), about="the log", outcome="json")
            OUT.print_json(json.dumps([_entry(one, people) for one in found]))
            return
        if not found:
            say("Nothing was logged.")
        for one in found:
            say(_line(one, people))


def _as_dict(found: Audit) -> dict[str, Any]:
    return {
        "outlet": found.outlet,
        "first": found.begins.number + 1,
        "last": found.head.number,
        "statements": 0 if found.last is None else found.last.number,
        "countersigned": found.covers,
        "countersigned_at": None if found.covers_at is None else found.covers_at.isoformat(),
        "findings": [
            {"fault": one.fault.value, "first": one.first, "last": one.last, "text": one.text}
            for one in found.findings
        ],
        "cannot_tell": list(CANNOT_TELL),
    }


def _print(found: Audit) -> None:
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


def _entry(one: Entry, people: People) -> dict[str, Any]:
    return {
        "number": one.number,
        "at": one.at.isoformat(timespec="seconds"),
        "act": one.act.value,
        "by": one.by,
        "purpose": one.purpose or "",
        "customers": list(people.customers_of(one.key)) if one.key else [],
        "key": one.key,
        "about": one.about,
        "outcome": one.outcome,
    }


def _line(one: Entry, people: People) -> str:
    who = people.customers_of(one.key) if one.key else ()
    whose = (", ".join(who) or "nobody in the client book") if one.key else ""
    said = [one.act.value, one.purpose or "", whose, one.about, one.outcome]
    return f"{one.number}  {one.at:%Y-%m-%d %H:%M} UTC  {one.by}: {', '.join(filter(None, said))}"


def _day(since: str | None) -> dt.datetime:
    """When a day begins, on this machine's own clock."""
    if since is None:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    try:
        day = dt.date.fromisoformat(since)
    except ValueError as error:
        raise NotAsked("--since: expected a date as YYYY-MM-DD") from error
    return dt.datetime.combine(day, dt.time()).astimezone()
