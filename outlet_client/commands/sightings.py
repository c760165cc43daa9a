"""`escapement-outlet sightings`: what was seen for sale, who says so, and who decided what.

Invariant: output names customers by the outlet's own ids; an error holds no serial; nothing counts
without a name and words beside it.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.ledger import Kind
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, OUT, By, Home, Json, say
from outlet_client.customer_access import desk_of
from outlet_client.ledger.sighting_rows import SightingRefused
from outlet_client.moments import now
from outlet_client.records.actor import named_or_user
from outlet_client.sightings import sighting_decisions
from outlet_client.sightings.sighting_history import day_of, open_sightings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.ledger.sighting_rows import Noted
    from outlet_client.sightings.sighting_history import Seen, Sighting

sightings_app = typer.Typer(
    no_args_is_help=True, help="Pieces that were sold here and seen for sale, and what was decided."
)

Serial = Annotated[str, typer.Argument(help="The piece's, as the ledger has it.")]
Who = Annotated[str, typer.Option("--by", help="Who decides: a person's name.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept beside the decision.")]

_FROM_WHEN = (
    "Features, reasons and the report have it from {day} on, sums from the next night; the band "
    "follows with a later book."
)


@sightings_app.command("list")
def list_(
    everything: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--all", help="Also those about which there is nothing to decide.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Lists what was seen of pieces that were sold here, and is to be decided by a manager."""
    with failing(), desk_of(home) as desk:
        seen = open_sightings(desk, now())
        found = seen.sightings if everything else seen.open
        if as_json:
            listed = {"sightings": [_as_dict(one) for one in found], "nobodys": seen.nobodys}
            OUT.print_json(json.dumps(listed))
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
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Takes down that a piece was seen for sale, and is suspected from that day on."""
    with failing(), desk_of(home) as desk:
        at = now()
        day = _day(seen) or day_of(at)
        made = sighting_decisions.report(desk, serial, day, where, named_or_user(by), at)
        told = f"suspected from {day.isoformat()} on. A manager confirms or dismisses it."
        _print(made, told, as_json=as_json)


@sightings_app.command()
def confirm(
    serial: Serial,
    by: Who,
    reason: Reason,
    seen: Annotated[
        str | None,
        typer.Option(help="On which day, YYYY-MM-DD, where it was seen on several."),
    ] = None,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Decides that whoever had the piece on the day it was seen resold it."""
    with failing(), desk_of(home) as desk:
        made = sighting_decisions.confirm(desk, serial, by, reason, now(), _day(seen))
        told = f"confirmed by {made.by}, as seen on {made.seen.isoformat()}"
        _print(made, f"{told}. {_FROM_WHEN.format(day=made.date.isoformat())}", as_json=as_json)


@sightings_app.command()
def dismiss(
    serial: Serial,
    by: Who,
    reason: Reason,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Decides that what was seen of the piece so far was another one."""
    with failing(), desk_of(home) as desk:
        made = sighting_decisions.dismiss(desk, serial, by, reason, now())
        told = f"dismissed by {made.by}, all that was seen up to {made.date.isoformat()}"
        _print(made, f"{told}. {_FROM_WHEN.format(day=made.date.isoformat())}", as_json=as_json)


def _print(made: Noted, told: str, *, as_json: bool) -> None:
    if as_json:
        OUT.print_json(json.dumps(_noted(made)))
    else:
        say(f"{made.serial}: {told}")


def _lines(seen: Seen, found: tuple[Sighting, ...]) -> Iterator[str]:
    if not found:
        yield "Nothing to decide." if seen.sightings else "No sightings of a piece of this outlet."
    for one in found:
        piece = f"{one.serial} ({one.reference or 'no reference'}, {one.tier})"
        whose = f"customer {' and '.join(one.customers)} since {one.sold.isoformat()}"
        yield (
            f"{piece}: seen {one.seen.isoformat()}, {one.days} days after its sale; {whose}; "
            f"{one.status}{', to be decided' if one.is_open else ''}"
        )
        for said in one.said:
            yield f"  {said.at:%Y-%m-%d}, {said.by}: {_what(said)}. {said.words}"
    if seen.nobodys:
        counts = ", ".join(f"{count} {why}" for why, count in seen.nobodys.items())
        yield f"Of nobody's piece: {counts}."


def _what(said: Noted) -> str:
    """What somebody said, in words."""
    which = "all so far" if said.kind is Kind.DISMISSED else f"seen {said.seen.isoformat()}"
    return f"{said.kind}, {which}"


def _as_dict(one: Sighting) -> dict[str, Any]:
    found = asdict(one)
    found |= {"seen": one.seen.isoformat(), "sold": one.sold.isoformat()}
    return {**found, "said": [_noted(said) for said in one.said]}


def _noted(one: Noted) -> dict[str, Any]:
    days = {"date": one.date.isoformat(), "seen": one.seen.isoformat()}
    return {**asdict(one), **days, "at": one.at.isoformat(timespec="seconds")}


def _day(text: str | None) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError as error:
        raise SightingRefused("seen: expected a date as YYYY-MM-DD") from error
