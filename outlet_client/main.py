"""`escapement-outlet`: what runs at an outlet: nightly from a timer, and what staff ask by day.

Exit codes of `nightly`, by the first error of the night:

0  the night was complete, or another runs here already
1  an error of our own, said in one line, such as an unreadable ledger
3  HQ was not reached, or went away: the report was written, and
   tomorrow's night needs nothing from this one
4  HQ does not know this outlet
5  this outlet's clock is wrong
6  a setting, key or card is missing
7  a holder of the token key gives no more evaluations today
8  too many rows of the ledger cannot be used: no night was joined, but
   withdrawals left
9  the log is not the one that was written, and was not countersigned

`lookup` and `reasons` end with 2 where the customer's consent is needed
first, `log verify` with 9 where it finds anything, and all commands
otherwise as `nightly`.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from outlet_client.allocation.waitlist import ruling_of, tier_of
from outlet_client.bands.lookup import LookUp, Status
from outlet_client.commands.allocations import allocate, allocation_app
from outlet_client.commands.check import check
from outlet_client.commands.command_errors import ERR, HERE, OUT, Home, failing, services_of
from outlet_client.commands.customer import customer_app, withdraw
from outlet_client.commands.duplicates import duplicates, duplicates_decide
from outlet_client.commands.init import init
from outlet_client.commands.log import log_app
from outlet_client.commands.sightings import sightings_app
from outlet_client.commands.staff import staff_app
from outlet_client.commands.status import status
from outlet_client.commands.upkeep import backup, doctor, restore
from outlet_client.customer_access import now
from outlet_client.desk.desk_server import desk
from outlet_client.desk.socket_service import DESK_SOCKET, DeskService, start_desk
from outlet_client.logs import logged, shown
from outlet_client.night.night_run import nightly
from outlet_client.people.client_book import identifiers_of, refresh_clients
from outlet_client.people.consents import Recorded, export_consents, import_consents
from outlet_client.people.people_store import People
from outlet_client.reasons import reasons
from outlet_client.records.access_log import Act, record_in
from outlet_client.records.actor import Asked, Purpose, user
from outlet_client.settings import OutletFile
from privacy.identity import Card, Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.bands.lookup import Answer

_LOG = logging.getLogger(__name__)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)

_WITHOUT_BAND = {
    Status.NOT_IN_NETWORK: "From this outlet not yet, or no longer: decide as without a band.",
    Status.UNDER_REVIEW: "The customer disputes what is held of them: decide as without a band.",
    Status.CONSENT_NEEDED: "If the customer agrees to the notice, again with --consent NOTICE.",
}
"""What staff do where there is no band."""

consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to take part, and to which text.")
app.add_typer(consent_app, name="consent")

Phone = Annotated[str | None, typer.Option(help="As typed.")]
Email = Annotated[str | None, typer.Option(help="As typed; used where the phone is not usable.")]


@app.callback()
def private() -> None:
    """Whatever this program writes is for its own user only."""
    os.umask(0o077)


@app.command()
def enrol(
    name: Annotated[str, typer.Option(help="This outlet's name: letters, digits, hyphens.")],
    hq: Annotated[Path, typer.Option(help="HQ's public file.")],
    office: Annotated[Path, typer.Option(help="The privacy office's public file.")],
    home: Home = HERE,
    yes: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--yes", help="The fingerprints were compared already.")
    ] = False,
) -> None:
    """Makes this outlet's keys and one public file for HQ and the office to import."""
    with failing():
        ring = Keyring(home, Kind.OUTLET)
        files = [(Kind.HQ, hq.read_bytes()), (Kind.OFFICE, office.read_bytes())]
        cards = [(Card.decode(data, kind), data) for kind, data in files]
        for card, _ in cards:
            OUT.print(f"{card.kind} {card.name}, fingerprint {card.fingerprint}", highlight=False)
        if not yes:
            typer.confirm("Did both read you the same by another way?", abort=True)
        identity = ring.create(name, "", dt.datetime.now(dt.UTC))
        for card, data in cards:
            ring.trust(card, data)
        OUT.print(
            f"Public file, for HQ and the office: {ring.public_file}\n"
            f"Fingerprint, to read to them: {identity.card.fingerprint}\n"
            "Next: `escapement-outlet init FILE-or-URL` writes the settings from your ledger, "
            "`escapement-outlet check` tries them. Back up with `escapement-outlet backup FILE`.",
            highlight=False,
        )


@app.command("nightly")
def nightly_command(home: Home = HERE) -> None:
    """Reads what is new, joins tonight's night, answers, and leaves. Safe to start at any time."""
    with shown(ERR) as progress, failing(progress.error):
        answered = nightly(home, progress)
        OUT.print(
            "A night is running here already."
            if answered is None
            else f"Night complete, {answered} questions answered.",
            highlight=False,
        )


@app.command()
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
        with _desk(home) as (look_up, ring):
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


@app.command()
def serve(home: Home = HERE) -> None:
    """Answers look-ups of this machine's own programs, on a socket in the folder."""
    say = None if ERR.is_terminal else lambda text: _LOG.error("%s", text)
    with (
        logged(ERR),
        failing(say),
        _desk(home) as (look_up, ring),
        closing(services_of(ring)) as services,
    ):
        server = start_desk(DeskService(look_up, services, ring.token_key()), home)
        OUT.print(f"Look-ups at {home / DESK_SOCKET}; stop with Ctrl-C.", highlight=False)
        try:
            server.wait_for_termination()
        finally:
            server.stop(1).wait()


@app.command("status")
def status_command(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="For programs.")
    ] = False,
) -> None:
    """Says how this outlet stands: nights, book, ledger, people, requests, and what to do next."""
    with failing():
        status(home, as_json=as_json)


app.command()(init)
app.command()(check)
app.add_typer(customer_app, name="customer")
app.command()(withdraw)
app.add_typer(log_app, name="log")
app.command()(duplicates)
app.command("duplicates-decide")(duplicates_decide)
app.command()(allocate)
app.add_typer(allocation_app, name="allocation")
app.add_typer(sightings_app, name="sightings")
app.command()(reasons)
app.command()(desk)
app.add_typer(staff_app, name="staff")
app.command()(doctor)
app.command()(backup)
app.command()(restore)


@consent_app.command("import")
def consent_import(file: Path, home: Home = HERE) -> None:
    """Records the consents of a CSV: phone, email, notice, recorded_at, recorded_by."""
    with failing(), _people(home) as (people, settings):
        counts = import_consents(file, people, settings.region, at := now())
        outcome = f"{counts[Recorded.NEW]} recorded"
        record_in(home, at, Act.CONSENT, user(), about="a file of consents", outcome=outcome)
        OUT.print("; ".join(f"{count} {what}" for what, count in counts.items()), highlight=False)


@consent_app.command("export")
def consent_export(file: Path, home: Home = HERE) -> None:
    """Writes the standing consents of the client book's customers as such a CSV."""
    with failing(), _people(home) as (people, settings):
        refresh_clients(settings, people, by_day=True)
        standing = people.consents().filter(pl.col("withdrawn_at").is_null())["key"]
        identifiers = identifiers_of(settings, people, standing.unique().to_list())
        record_in(home, now(), Act.EXPORT, user(), about="the consents", outcome="file")
        written, left_out = export_consents(file, people, identifiers)
        OUT.print(f"{written} written; {left_out} of nobody in the client book", highlight=False)


@consent_app.command("show")
def consent_show(home: Home = HERE) -> None:
    """Says how many consents there are to each notice, standing and ended."""
    with failing(), _people(home) as (people, _):
        ended = pl.col("withdrawn_at").is_not_null()
        counts = people.consents().group_by("notice").agg(all=pl.len(), ended=ended.sum())
        for notice, everything, over in counts.sort("notice").iter_rows():
            OUT.print(f"{notice}: {everything - over} standing, {over} ended", highlight=False)
        if counts.is_empty():
            OUT.print("No consents yet; `escapement-outlet consent import FILE` records some.")


@contextmanager
def _people(home: Path) -> Iterator[tuple[People, OutletFile]]:
    settings = OutletFile.read(home / "escapement.toml")
    with closing(People.open(home, Keyring(home, Kind.OUTLET).identity())) as people:
        yield people, settings


@contextmanager
def _desk(home: Path) -> Iterator[tuple[LookUp, Keyring]]:
    ring = Keyring(home, Kind.OUTLET)
    hq_key = ring.peer(Kind.HQ).verify_key
    with (
        _people(home) as (people, settings),
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
