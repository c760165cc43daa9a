"""Requests of customers: taking them down, listing them, answering them.

Invariant: a dispute hides a band at once, and only a person with a name shows it again.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, OUT, By, Email, Home, Json, Phone, say
from outlet_client.customer_access import people_of
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.moments import now, today
from outlet_client.records import customer_requests
from outlet_client.records.actor import named_or_user
from outlet_client.records.customer_requests import RequestKind, RequestRefused, Taking
from outlet_client.rights.request_handling import settle, take_down

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.records.customer_requests import Request


def dispute(
    about: Annotated[str, typer.Option(help="What the customer says is wrong.")],
    phone: Phone = None,
    email: Email = None,
    by: By = None,
    home: Home = HERE,
) -> None:
    """Hides a customer's band from look-ups and allocations until a named person decides."""
    _receive(home, RequestKind.DISPUTE, (phone, email), about, by, None)


def receive(
    kind: Annotated[RequestKind, typer.Argument(help="What the customer asks for.")],
    phone: Phone = None,
    email: Email = None,
    about: Annotated[str, typer.Option(help="What the customer says.")] = "",
    received: Annotated[
        str | None, typer.Option(help="On which day, YYYY-MM-DD; today by default.")
    ] = None,
    by: By = None,
    home: Home = HERE,
) -> None:
    """Takes a request down, with the day by which it is to be answered."""
    _receive(home, kind, (phone, email), about, by, received)


def decide(
    number: Annotated[int, typer.Argument(help="The request's.")],
    by: Annotated[str, typer.Option(help="Who decides: a person's name.")],
    note: Annotated[str, typer.Option(help="What was decided or done; the customer reads it.")],
    home: Home = HERE,
) -> None:
    """Answers a request. After a dispute the band is shown again."""
    with failing(), people_of(home) as (people, _):
        found, more = settle(home, people, number, by, note, now())
        say(f"Request {number} ({found.kind}): {found.standing(today())}.")
        if found.kind is RequestKind.DISPUTE:
            say(
                "Another dispute is open: the band stays under review."
                if more
                else "The band is shown again from now on. What was wrong in an event is corrected "
                "with `escapement-outlet customer correct`; the band follows with a later book."
            )


def requests(
    everything: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--all", help="Also those that were answered.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Lists the requests that are open, and marks those that are overdue."""
    with failing(), people_of(home) as (people, _):
        with rights_of(home) as connection:
            found = [
                one
                for one in customer_requests.requests(connection)
                if everything or one.answered is None
            ]
        listed = [_listed(one, people.customers_of(one.key), today()) for one in found]
        if as_json:
            OUT.print_json(json.dumps(listed))
            return
        if not found:
            say("No open requests." if not everything else "No requests yet.")
        for row in listed:
            who = ", ".join(row["customers"]) or "nobody in the client book"
            day = f"received {row['received']}"
            say(f"{row['number']}: {row['kind']}, {who}, {day}, {row['standing']}")


def _receive(
    home: Path,
    kind: RequestKind,
    typed: tuple[str | None, str | None],
    about: str,
    by: str | None,
    received: str | None,
) -> None:
    with failing(), people_of(home) as (people, settings):
        taking = Taking(_day(received), settings.request_days, named_or_user(by), about.strip())
        made, stands = take_down(home, people, settings, kind, typed, taking)
        say(f"Request {made.number} ({kind}), to be answered by {made.due.isoformat()}.")
        if kind is RequestKind.DISPUTE:
            say(
                "Look-ups, allocations and the customer's own page say 'under review' from now on."
                if stands
                else "There is no standing consent here: look-ups and allocations say that, and "
                "show no band, with this dispute or without."
            )
            say(
                "A proposal that was made with the band hides it, and cannot be decided before "
                "this is."
            )
        command = f"escapement-outlet customer decide {made.number}"
        say(f"Answer it with `{command} --by NAME --note TEXT`.")


def _listed(one: Request, customers: tuple[str, ...], day: dt.date) -> dict[str, Any]:
    return {
        "number": one.number,
        "kind": one.kind.value,
        "customers": list(customers),
        "received": one.received.isoformat(),
        "due": one.due.isoformat(),
        "overdue": one.overdue(day),
        "standing": one.standing(day),
        "taken_by": one.taken_by,
        "about": one.about,
        "answer": one.answer,
    }


def _day(received: str | None) -> dt.date:
    try:
        return today() if received is None else dt.date.fromisoformat(received)
    except ValueError as error:
        raise RequestRefused("--received: expected a date as YYYY-MM-DD") from error
