"""`escapement-outlet`: what runs at an outlet: nightly from a timer, and what staff ask by day.

Exit codes of `nightly`: 0 the night was complete; 1 an error of our own, said in one line; 3 HQ was
not reached, or went away: tomorrow's night needs nothing from this one; 4 HQ does not know this
outlet; 5 this outlet's clock is wrong; 6 a setting, key or card is missing; 7 a holder of the token
key gives no more evaluations today. Of `lookup`: 0 there is an answer; 2 the customer's consent is
needed first; the others as above. `reasons` ends likewise, and all other commands as `nightly`.
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

from outlet_client.allocation_commands import allocate, allocation_app
from outlet_client.bookshelf import BOOK_FILE
from outlet_client.commands import HERE, OUT, Home, failing, services_of
from outlet_client.consent import export_consents, import_consents
from outlet_client.desk_service import DESK_SOCKET, DeskService, start_desk
from outlet_client.errors import NoIdentifier, NotConfigured
from outlet_client.identifiers import identifier
from outlet_client.interests import ruling_of, tier_of
from outlet_client.introduce import client_book
from outlet_client.lookup import LookUp, Status
from outlet_client.nightly import nightly
from outlet_client.people import People, State
from outlet_client.reasons import reasons
from outlet_client.settings import OutletFile
from outlet_client.upkeep import backup, doctor, restore
from privacy.identity import Card, Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.lookup import Answer
    from outlet_client.people import Person

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: purchases, keys
    help=__doc__,
)

consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to take part, and to which text.")
app.add_typer(consent_app, name="consent")

Phone = Annotated[str | None, typer.Option(help="As typed.")]
Email = Annotated[str | None, typer.Option(help="As typed; used where the phone is not usable.")]

SETTINGS_TEXT = """\
# This outlet's settings; what is commented out is the default.
ledger = "ledger.csv"        # Parquet or CSV, relative to this file
# clients = "clients.csv"    # customer_id, phone, email; by default columns of the ledger
# references = "references.csv"  # reference, tier: open, limited or allocation; else all are open
# sightings = "sightings.csv"    # serial, seen_at, status: suspected, confirmed or dismissed
# interests = "interests.csv"    # customer_id, reference, since; by default rows of the ledger
# policy = "policy.toml"         # allocation policy; by default the one that comes with the program
# region = "SG"              # of phones without a country
# evaluations_a_night = 512
# book_days = 30
# horizon_days = 180
# join_minutes = 30

[floors]                     # what this outlet refuses, whatever HQ and the office agree on
# least_quorum = 3
# least_noise = 4.0
# most_epsilon = 6.0
"""


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
        settings = home / "escapement.toml"
        if not settings.exists():
            settings.write_text(SETTINGS_TEXT)
        OUT.print(
            f"Public file, for HQ and the office: {ring.public_file}\n"
            f"Fingerprint, to read to them: {identity.card.fingerprint}\n"
            f"Settings: {settings}\nBack up with `escapement-outlet backup FILE`.",
            highlight=False,
        )


@app.command("nightly")
def nightly_command(home: Home = HERE) -> None:
    """Joins tonight's night, answers, and leaves."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("flwr", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with failing():
        answered = nightly(home)
        OUT.print(f"Night complete, {answered} questions answered.", highlight=False)


@app.command()
def lookup(
    phone: Phone = None,
    email: Email = None,
    consent: Annotated[
        str | None, typer.Option(help="The notice that the customer agreed to just now.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who recorded that consent.")] = None,
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
        if (consent is None) != (by is None):
            raise NotConfigured("consent: got one of --consent and --by, expected both or neither")
        settings = OutletFile.read(home / "escapement.toml")
        if reference is not None:
            tier_of(settings, reference)  # before a consent is recorded and an evaluation spent
        with _desk(home) as (look_up, ring):
            if consent is None or by is None:
                answer = look_up.look_up(phone, email)
            else:
                with closing(services_of(ring)) as services:
                    total = ring.token_key()
                    answer = look_up.first_time(phone, email, consent, by, services, total)
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with failing(), _desk(home) as (look_up, ring), closing(services_of(ring)) as services:
        server = start_desk(DeskService(look_up, services, ring.token_key()), home)
        OUT.print(f"Look-ups at {home / DESK_SOCKET}; stop with Ctrl-C.", highlight=False)
        try:
            server.wait_for_termination()
        finally:
            server.stop(1).wait()


@app.command()
def withdraw(phone: Phone = None, email: Email = None, home: Home = HERE) -> None:
    """Ends a customer's consent, here and wherever this outlet can tell of it."""
    with failing(), _people(home) as (people, settings):
        who = identifier(phone, email, settings.region)
        if who is None:
            raise NoIdentifier
        key = people.local_key(who)
        before = people.person(key)
        state = people.withdraw(key)
        OUT.print(_withdrawn(before, state), highlight=False)


@app.command()
def status(home: Home = HERE) -> None:
    """Says how many people stand where, and which band book there is."""
    with failing(), _people(home) as (people, _):
        for state, count in people.counts().items():
            OUT.print(f"{count:>8} {state}", highlight=False)
        book = home / BOOK_FILE
        since = dt.datetime.fromtimestamp(book.stat().st_mtime, dt.UTC) if book.exists() else None
        OUT.print(f"band book: {f'stored {since:%Y-%m-%d}' if since else 'none yet'}")


app.command()(allocate)
app.add_typer(allocation_app, name="allocation")
app.command()(reasons)
app.command()(doctor)
app.command()(backup)
app.command()(restore)


@consent_app.command("import")
def consent_import(file: Path, home: Home = HERE) -> None:
    """Records the consents of a CSV: phone, email, notice, recorded_at, recorded_by."""
    with failing(), _people(home) as (people, settings):
        counts = import_consents(file, people, settings.region, dt.datetime.now(dt.UTC))
        OUT.print("; ".join(f"{count} {what}" for what, count in counts.items()), highlight=False)


@consent_app.command("export")
def consent_export(file: Path, home: Home = HERE) -> None:
    """Writes the standing consents of the client book's customers as such a CSV."""
    with failing(), _people(home) as (people, settings):
        identifiers = client_book(settings, people).identifiers
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


def _withdrawn(before: Person | None, state: State | None) -> str:
    """What a withdrawal came to, and whom nobody told."""
    if before is None or state is None:
        return (
            "This customer never consented here: there is nothing to withdraw, and no other "
            "outlet was told. Whoever consented elsewhere withdraws there."
        )
    if before.token is None:
        return (
            "Withdrawn here. Nothing of this customer ever left this outlet, so there was nothing "
            "to take back, and other outlets were not told. Whoever consented elsewhere too "
            "withdraws there."
        )
    if state is State.WITHDRAWING:
        return (
            "Withdrawn. Nothing of this customer is used here from tonight. The next nights tell "
            "HQ, and again until it is done: the first, or the second if this outlet had not "
            "registered the customer yet. The band book made then is without the entry, at every "
            "outlet; and any other outlet needs a new consent to register this customer again."
        )
    if state is State.BURIED:
        return (
            "Withdrawn before, at another outlet, or refused by HQ: nothing of this customer is "
            "used here, and nobody was told anything now. Whoever consented elsewhere since then "
            "withdraws there."
        )
    return (
        "Withdrawn before: nothing of this customer is used here, the network's directory had "
        "dropped the entry, and nobody was told anything now. Whoever consented elsewhere since "
        "then withdraws there."
    )


@contextmanager
def _people(home: Path) -> Iterator[tuple[People, OutletFile]]:
    settings = OutletFile.read(home / "escapement.toml")
    with closing(People.open(home, Keyring(home, Kind.OUTLET).identity())) as people:
        yield people, settings


@contextmanager
def _desk(home: Path) -> Iterator[tuple[LookUp, Keyring]]:
    ring = Keyring(home, Kind.OUTLET)
    hq_key = ring.peer(Kind.HQ).verify_key
    with _people(home) as (people, settings):
        yield LookUp(home, people, hq_key, settings.region, settings.book_days), ring


def _print_answer(answer: Answer, allowed: dict[str, str] | None, *, as_json: bool) -> None:
    if as_json:
        OUT.print_json(json.dumps({**asdict(answer), "allocation": allowed}))
        return
    OUT.print(f"{answer.status}{f', as of {answer.as_of}' if answer.as_of else ''}")
    for band in answer.bands:
        OUT.print(f"{band.score}: {band.band}. {band.allows}", highlight=False, soft_wrap=True)
    if allowed is not None:
        OUT.print(
            "{reference} ({tier}): {decision}. To say: {say}".format(**allowed),
            highlight=False,
            soft_wrap=True,
        )
