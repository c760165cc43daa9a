"""`escapement-outlet lookup` and `serve`: a customer's bands, for a person or a program here."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from outlet_client.allocation.reference_names import named_reference
from outlet_client.allocation.waitlist import allowance
from outlet_client.bands.lookup import Status
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Email, Home, Json, Phone, Purpose
from outlet_client.commands.output import ERR, say, say_json
from outlet_client.customer_access import open_customer_access
from outlet_client.desk.socket_service import DESK_SOCKET, DeskService, start_desk
from outlet_client.folder_locks import in_use
from outlet_client.logs import logging_to
from outlet_client.records.actor import Actor
from outlet_client.services import services_of
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from outlet_client.allocation.waitlist import Allowance
    from outlet_client.bands.lookup import Answer

_LOG = logging.getLogger(__name__)

_WITHOUT_BAND = {
    Status.NOT_IN_NETWORK: "From this outlet not yet, or no longer: decide as without a band.",
    Status.UNDER_REVIEW: "The customer disputes what is held of them: decide as without a band.",
    Status.CONSENT_NEEDED: "If the customer agrees to the notice, again with --consent NOTICE.",
}
"""What staff do where there is no band."""


def lookup(
    purpose: Purpose,
    phone: Phone = None,
    email: Email = None,
    by: By = None,
    consent: Annotated[
        str | None, typer.Option(help="The notice that the customer agreed to just now.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="What is asked for: says what the policy allows.")
    ] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Says which bands a customer has, and what they allow."""
    with failing():
        asked = Actor.of(by, purpose)
        with open_customer_access(home) as access:
            if reference is not None:
                # Before a consent is recorded and an evaluation spent.
                named_reference(access.settings, reference)
            if consent is None:
                answer = access.look_up.look_up(phone, email, asked)
            else:
                ring = Keyring(home, PartyKind.OUTLET)
                with closing(services_of(ring)) as services:
                    answer = access.look_up.first_time(
                        phone, email, consent, services, ring.token_key(), asked
                    )
            allowed = None if reference is None else allowance(access.settings, reference, answer)
        _print_answer(answer, allowed, as_json=as_json)
        if answer.status is Status.CONSENT_NEEDED:
            raise typer.Exit(2)


def serve(home: Home = HERE) -> None:
    """Answers look-ups of this machine's own programs, on a socket in the folder."""
    with (
        logging_to(ERR),
        failing(None if ERR.is_terminal else lambda text: _LOG.error("%s", text)),
        in_use(home),
        open_customer_access(home) as access,
        closing(services_of(ring := Keyring(home, PartyKind.OUTLET))) as services,
    ):
        server = start_desk(DeskService(access.look_up, services, ring.token_key()), home)
        say(f"Look-ups at {home / DESK_SOCKET}; stop with Ctrl-C.")
        try:
            server.wait_for_termination()
        finally:
            server.stop(1).wait()


def _print_answer(answer: Answer, allowed: Allowance | None, *, as_json: bool) -> None:
    if as_json:
        allocation = None if allowed is None else asdict(allowed)
        say_json({**asdict(answer), "note": answer.note, "allocation": allocation})
        return
    say(f"{answer.status}{f', as of {answer.as_of}' if answer.as_of else ''}")
    if answer.status in _WITHOUT_BAND:
        say(_WITHOUT_BAND[answer.status])
    for band in answer.bands:
        say(f"{band.score}: {band.band}. {band.allows}")
    if answer.note:
        say(answer.note)
    if allowed is not None:
        say(f"{allowed.reference} ({allowed.tier}): {allowed.decision}. To say: {allowed.say}")
