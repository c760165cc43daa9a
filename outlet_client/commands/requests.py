"""Commands for customers' requests: recording them, listing them, answering them.

Invariant: a dispute hides a band at once, and only a person with a name shows it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Decider, Email, Home, Json, Phone, typed_day
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_people
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.moments import now, today
from outlet_client.records import customer_requests
from outlet_client.records.actor import actor_name
from outlet_client.records.customer_requests import NewRequest, RequestKind
from outlet_client.rights.request_handling import settle_request, take_down_request

if TYPE_CHECKING:
    from pathlib import Path


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
    by: Decider,
    note: Annotated[str, typer.Option(help="What was decided or done; the customer reads it.")],
    home: Home = HERE,
) -> None:
    """Answers a request. After a dispute the band is shown again."""
    with failing(), open_people(home) as (people, _):
        found, more = settle_request(home, people, number, by, note, now())
        say(f"Request {number} ({found.kind}): {found.standing(today())}.")
        if found.kind is RequestKind.DISPUTE:
            say(
                "Another dispute is open: the band stays under review."
                if more
                else "The band is shown again from now on. What was wrong in an event is corrected "
                "with `escapement-outlet customer correct`; the band follows with a later book."
            )


def requests(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were answered.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Lists the requests that are open, and marks those that are overdue."""
    with failing(), open_people(home) as (people, _):
        with rights_of(home) as connection:
            found = [
                one
                for one in customer_requests.requests(connection)
                if everything or one.answered is None
            ]
        listed = [
            {**one.as_dict(today()), "customers": people.customers_of(one.key)} for one in found
        ]
        if as_json:
            say_json(listed)
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
    with failing(), open_people(home) as (people, settings):
        day = typed_day(received, "--received") or today()
        taking = NewRequest(day, settings.request_days, actor_name(by), about.strip())
        made, stands = take_down_request(home, people, settings, kind, typed, taking)
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
