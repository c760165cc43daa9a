"""`escapement-outlet sightings`: what was seen for sale, who says so, and who decided what.

Invariant: output names customers by the outlet's own ids; an error holds no serial; nothing counts
without a name and words beside it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from features.ledger import Kind
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Decider, Home, Json, typed_day
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_customer_access
from outlet_client.ledger.sighting_rows import noted_in
from outlet_client.moments import now
from outlet_client.records.actor import actor_name
from outlet_client.sightings import sighting_decisions
from outlet_client.sightings.second_person import was_alone
from outlet_client.sightings.sighting_history import day_of, open_sightings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.ledger.sighting_rows import Noted
    from outlet_client.sightings.sighting_history import Sighting, SightingHistory

sightings_app = typer.Typer(
    no_args_is_help=True, help="Pieces that were sold here and seen for sale, and what was decided."
)

Serial = Annotated[str, typer.Argument(help="The piece's, as the ledger has it.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept beside the decision.")]

_FROM_WHEN = (
    "Features, reasons and the report have it from {day} on, sums from the next night; the band "
    "follows with a later book."
)


@sightings_app.command("list")
def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those about which there is nothing to decide.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Lists what was seen of pieces that were sold here, and is to be decided by a manager."""
    with failing(), open_customer_access(home) as access:
        seen = open_sightings(access, now())
        found = seen.sightings if everything else seen.open
        if as_json:
            say_json({"sightings": [asdict(one) for one in found], "nobodys": seen.nobodys})
            return
        for line in _lines(seen, found):
            say(line)


@sightings_app.command()
def report(
    serial: Serial,
    where: Annotated[str, typer.Option(help="Where it was seen; only staff here read it.")],
    seen: Annotated[
        str | None, typer.Option(help="On which day, YYYY-MM-DD; today by default.")
    ] = None,
    by: By = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Takes down that a piece was seen for sale, and is suspected from that day on."""
    with failing(), open_customer_access(home) as access:
        at = now()
        day = typed_day(seen, "--seen") or day_of(at)
        made = sighting_decisions.report(access, serial, day, where, actor_name(by), at)
        told = f"suspected from {day.isoformat()} on. A manager confirms or dismisses it."
        _print(made, told, as_json=as_json)


@sightings_app.command()
def confirm(
    serial: Serial,
    by: Decider,
    reason: Reason,
    seen: Annotated[
        str | None,
        typer.Option(help="On which day, YYYY-MM-DD, where it was seen on several."),
    ] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Decides that whoever had the piece on the day it was seen resold it."""
    with failing(), open_customer_access(home) as access:
        day = typed_day(seen, "--seen")
        made = sighting_decisions.confirm(access, serial, by, reason, now(), day)
        told = f"confirmed by {made.by}, as seen on {made.seen.isoformat()}"
        if was_alone(made.serial, made.seen, noted_in(home)):
            told += "; alone: they reported it too, and nobody else confirmed it so far"
        _print(made, f"{told}. {_FROM_WHEN.format(day=made.date.isoformat())}", as_json=as_json)


@sightings_app.command()
def dismiss(
    serial: Serial,
    by: Decider,
    reason: Reason,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Decides that what was seen of the piece so far was another one."""
    with failing(), open_customer_access(home) as access:
        made = sighting_decisions.dismiss(access, serial, by, reason, now())
        told = f"dismissed by {made.by}, all that was seen up to {made.date.isoformat()}"
        _print(made, f"{told}. {_FROM_WHEN.format(day=made.date.isoformat())}", as_json=as_json)


def _print(made: Noted, told: str, *, as_json: bool) -> None:
    if as_json:
        say_json(asdict(made))
    else:
        say(f"{made.serial}: {told}")


def _lines(seen: SightingHistory, found: tuple[Sighting, ...]) -> Iterator[str]:
    if not found:
        yield "Nothing to decide." if seen.sightings else "No sightings of a piece of this outlet."
    for one in found:
        piece = f"{one.serial} ({one.reference or 'no reference'}, {one.tier})"
        whose = f"customer {' and '.join(one.customers)} since {one.sold.isoformat()}"
        yield (
            f"{piece}: seen {one.seen.isoformat()}, {one.days} days after its sale; {whose}; "
            f"{one.status}{' alone' if one.alone else ''}{', to be decided' if one.is_open else ''}"
        )
        for said in one.said:
            which = "all so far" if said.kind is Kind.DISMISSED else f"seen {said.seen.isoformat()}"
            yield f"  {said.at:%Y-%m-%d}, {said.by}: {said.kind}, {which}. {said.words}"
    if seen.nobodys:
        counts = ", ".join(f"{count} {why}" for why, count in seen.nobodys.items())
        yield f"Of nobody's piece: {counts}."
