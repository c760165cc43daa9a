"""`escapement-outlet customer`: what a customer may ask of this outlet, and what was done about it.

Invariant: what is stored names who did it; files that are written are for their owner only; and an
export holds all that the page shows.
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Email, Home, Json, Phone
from outlet_client.commands.output import hand_over, say, say_json
from outlet_client.commands.requests import decide, dispute, receive, requests
from outlet_client.customer_access import open_customer_access, open_people
from outlet_client.ledger.corrections import CorrectionRefused
from outlet_client.moments import now, today
from outlet_client.records.actor import Actor, LookupPurpose, actor_name
from outlet_client.records.customer_requests import NewRequest
from outlet_client.rights import rights_text
from outlet_client.rights.correction_making import CorrectionMade, make_correction
from outlet_client.rights.dossier import Dossier, Form, dossier
from outlet_client.rights.dossier_formats import dossier_page, dossier_text
from outlet_client.rights.find_person import find_person
from outlet_client.rights.ledger_view import read_ledger_view
from outlet_client.rights.request_handling import end_consent

if TYPE_CHECKING:
    from outlet_client.settings import OutletFile

customer_app = typer.Typer(
    no_args_is_help=True, help="What is held of a customer, and what the customer asks for."
)
for command in (receive, dispute, decide, requests):
    customer_app.command()(command)


@customer_app.command()
def show(
    phone: Phone = None,
    email: Email = None,
    by: By = None,
    html: Annotated[Path | None, typer.Option(help="Write a page for the customer.")] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Shows what is held of a customer, the band with its reasons, and who looked."""
    with failing():
        made, settings = _dossier(
            home, phone, email, by, Form.SCREEN if html is None else Form.PAGE
        )
        if html is not None:
            hand_over(html, dossier_page(made, settings).encode())
        if as_json:  # beside a page too; then nothing but JSON is printed
            say_json(made.as_dict())
        elif html is not None:
            say(f"{html}: for the customer; readable by you only.")
        else:
            say(dossier_text(made))


@customer_app.command()
def export(
    file: Path, phone: Phone = None, email: Email = None, by: By = None, home: Home = HERE
) -> None:
    """Writes all of it as a JSON file, for the customer to take along."""
    with failing():
        made, _ = _dossier(home, phone, email, by, Form.FILE)
        text = json.dumps(made.as_dict(), indent=2, ensure_ascii=False)
        hand_over(file, f"{text}\n".encode())
        say(f"{file}: for the customer; readable by you only.")


@customer_app.command()
def correct(
    event: Annotated[str, typer.Argument(help="The event's id, as `show` prints it.")],
    phone: Phone = None,
    email: Email = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="COLUMN=VALUE, such as price=950.00; may be repeated."),
    ] = None,
    strike: Annotated[
        bool, typer.Option("--strike", help="It happened to somebody else, or not at all.")
    ] = False,
    request: Annotated[
        int | None, typer.Option(help="The number of the request that asked for it.")
    ] = None,
    by: By = None,
    home: Home = HERE,
) -> None:
    """Corrects an event, or strikes it. The ledger itself stays; the next night uses this."""
    with failing():
        if bool(values) == strike:
            raise CorrectionRefused("correction: expected --set, at least once, or --strike")
        wanted = None if strike else dict(_pair(one) for one in values or ())
        name, at = actor_name(by), now()
        with open_customer_access(home) as access:
            taken = read_ledger_view(access, at)
            who = find_person(access.people, access.settings, phone, email)
            rows = taken.rows_of(who.customers)
            made = make_correction(access, who, rows, event, wanted, name, at, request)
        then = "are without it" if strike else "use it so"
        say(
            f"Event {event}: {made.said}. Features and sums {then} from the next night on; the "
            "band follows with a book that is made after that. Correct it in the till too, if it "
            "can be."
        )
        say(_answered(made))


@customer_app.command()
def withdraw(phone: Phone = None, email: Email = None, by: By = None, home: Home = HERE) -> None:
    """Ends a customer's consent, here and wherever this outlet can tell of it."""
    with failing(), open_people(home) as (people, settings):
        taking = NewRequest(today(), settings.request_days, actor_name(by))
        say(rights_text.withdrawn(end_consent(home, people, settings, (phone, email), taking)))


def _answered(made: CorrectionMade) -> str:
    """What became of the request that a correction was for."""
    if made.left_open:
        listed = ", ".join(map(str, made.left_open))
        return (
            f"Requests {listed} stay open: which of them this was for was not said. Answer it with "
            "`escapement-outlet customer decide NUMBER`, or say --request NUMBER next time."
        )
    if made.answered is None:
        return "No request was open for it."
    return f"Request {made.answered} is answered."


def _dossier(
    home: Path, phone: str | None, email: str | None, by: str | None, form: Form
) -> tuple[Dossier, OutletFile]:
    asked = Actor.of(by, LookupPurpose.CUSTOMER)
    with open_customer_access(home) as access:
        return dossier(access, phone, email, asked, now(), form), access.settings


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CorrectionRefused("--set: expected COLUMN=VALUE, such as price=950.00")
    return name.strip(), value.strip()
