"""`escapement-outlet lookup` and `serve`: a customer's bands, for a person or a program here."""

from __future__ import annotations

import json
import logging
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from outlet_client.allocation.waitlist import ruling_of, tier_of
from outlet_client.bands.lookup import LookUp, Status
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import ERR, HERE, OUT, Email, Home, Phone
from outlet_client.customer_access import people_of
from outlet_client.desk.socket_service import DESK_SOCKET, DeskService, start_desk
from outlet_client.logs import logged
from outlet_client.records.actor import Asked, Purpose
from outlet_client.services import services_of
from outlet_client.settings import OutletFile
from privacy.identity import Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.bands.lookup import Answer

_LOG = logging.getLogger(__name__)

_WITHOUT_BAND = {
    Status.NOT_IN_NETWORK: "From this outlet not yet, or no longer: decide as without a band.",
    Status.UNDER_REVIEW: "The customer disputes what is held of them: decide as without a band.",
    Status.CONSENT_NEEDED: "If the customer agrees to the notice, again with --consent NOTICE.",
}
"""What staff do where there is no band."""


def lookup(
    purpose: Annotated[
        Purpose, typer.Option(help="Why you look; kept, and shown to the customer.")
    ],
    phone: Phone = None,
    email: Email = None,
    by: Annotated[
        str | None, typer.Option(help="Who looks, and recorded the consent; else this user.")
    ] = None,
    consent: Annotated[
        str | None, typer.Option(help="The notice that the customer agreed to just now.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="What is asked for: says what the policy allows.")
    ] = None,
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="For programs.")
    ] = False,
) -> None:
    """Says which bands a customer has, and what they allow."""
    with failing():
        asked = Asked.of(by, purpose)
        settings = OutletFile.read(home / "escapement.toml")
        if reference is not None:
            tier_of(settings, reference)  # before a consent is recorded and an evaluation spent
        with _look_up(home) as (look_up, ring):
            if consent is None:
                answer = look_up.look_up(phone, email, asked)
            else:
                with closing(services_of(ring)) as services:
                    total = ring.token_key()
                    answer = look_up.first_time(phone, email, consent, services, total, asked)
        allowed = None
        if reference is not None:
            tier, ruling = ruling_of(settings, reference, answer)
            allowed = {
                "reference": reference, "tier": tier, "decision": ruling.decision, "say": ruling.say
            }  # fmt: skip
        _print_answer(answer, allowed, as_json=as_json)
        if answer.status is Status.CONSENT_NEEDED:
            raise typer.Exit(2)


def serve(home: Home = HERE) -> None:
    """Answers look-ups of this machine's own programs, on a socket in the folder."""
    say = None if ERR.is_terminal else lambda text: _LOG.error("%s", text)
    with (
        logged(ERR),
        failing(say),
        _look_up(home) as (look_up, ring),
        closing(services_of(ring)) as services,
    ):
        server = start_desk(DeskService(look_up, services, ring.token_key()), home)
        OUT.print(f"Look-ups at {home / DESK_SOCKET}; stop with Ctrl-C.", highlight=False)
        try:
            server.wait_for_termination()
        finally:
            server.stop(1).wait()


@contextmanager
def _look_up(home: Path) -> Iterator[tuple[LookUp, Keyring]]:
    ring = Keyring(home, Kind.OUTLET)
    hq_key = ring.peer(Kind.HQ).verify_key
    with (
        people_of(home) as (people, settings),
        closing(LookUp(home, people, hq_key, settings.region, settings.book_days)) as look_up,
    ):
        yield look_up, ring


def _print_answer(answer: Answer, allowed: dict[str, str] | None, *, as_json: bool) -> None:
    if as_json:
        OUT.print_json(json.dumps({**asdict(answer), "allocation": allowed}))
        return
    OUT.print(f"{answer.status}{f', as of {answer.as_of}' if answer.as_of else ''}")
    if answer.status in _WITHOUT_BAND:
        OUT.print(_WITHOUT_BAND[answer.status], highlight=False, soft_wrap=True)
    for band in answer.bands:
        OUT.print(f"{band.score}: {band.band}. {band.allows}", highlight=False, soft_wrap=True)
    if allowed is not None:
        OUT.print(
            "{reference} ({tier}): {decision}. To say: {say}".format(**allowed),
            highlight=False,
            soft_wrap=True,
        )
