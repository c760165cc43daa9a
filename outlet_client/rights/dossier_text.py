"""A dossier in plain lines, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outlet_client.rights import rights_text
from outlet_client.rights.dossier_page import moment, money, named, points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.rights.dossier import Dossier


def lines(made: Dossier) -> Iterator[str]:
    """What the page says, in the page's order."""
    yield f"{made.outlet}, {moment(made.made_at)}, for {made.asked}"
    yield f"Customer: {', '.join(made.customers) or 'nobody in the client book'}"
    yield rights_text.HELD_HERE
    yield made.standing
    yield from _band(made)
    yield from _reasons(made)
    yield from _block("Events in the ledger", [_event(one) for one in made.events])
    if made.corrections:
        yield f"  corrected, and changed or gone since: {', '.join(made.corrections)}"
    yield from _block(
        "Pieces seen for sale", [_joined(one, "date", "serial", "kind") for one in made.sightings]
    )
    yield from _block("Waitlist", [_joined(one, "reference", "since") for one in made.waitlist])
    yield from _block(
        "Allocations",
        [
            _joined(one, "number", "day", "reference", "proposal", "decision")
            for one in made.allocations
        ],
    )
    yield from _block("Consents", [_consent(one) for one in made.consents])
    looked = [
        f"{moment(one['at'])}, {one['by']}, {one['purpose']}, {one['act']}: {one['outcome']}"
        for one in made.look_ups
    ]
    yield from _block("Look-ups and exports in the past year", looked)
    asked = [_joined(one, "number", "kind", "received", "standing") for one in made.requests]
    yield from _block("Requests", asked)
    yield from _block("Held elsewhere", list(made.elsewhere))


def _band(made: Dossier) -> Iterator[str]:
    if made.band["bands"]:
        yield f"Band, as of {made.band['as_of']}:"
    else:
        yield f"Band: {made.band['status']}. {made.band['why']}"
    for band in made.band["bands"]:
        yield f"  {named(band['score'])}: {band['band']}. {band['allows']}"


def _reasons(made: Dossier) -> Iterator[str]:
    if not made.reasons["scores"]:
        yield f"Reasons: {made.reasons['why']}"
        return
    yield f"Reasons, as of {made.reasons['as_of']}. {made.reasons['note']}"
    for score, reasons in made.reasons["scores"].items():
        yield f"  {named(score)}:"
        for one in reasons:
            yield f"    {points(one['points']):>5}  {one['text']}"


def _event(one: dict[str, Any]) -> str:
    what = [one["date"], one["kind"], money(one["price"]), one["reference"], one["serial"]]
    told = one["correction"]
    text = f"{one['id']}  {', '.join(cell for cell in what if cell)}"
    if told is None:
        return text
    changes = ", ".join(
        f"{name}={'' if cell is None else cell}" for name, cell in told["changes"].items()
    )
    became = "struck" if told["struck"] else changes
    return f"{text} -> {became} (by {told['by']}, {moment(told['at'])})"


def _consent(one: dict[str, Any]) -> str:
    ended = f"ended {moment(one['withdrawn_at'])}" if one["withdrawn_at"] else "stands"
    return (
        f"{one['notice']}, {moment(one['recorded_at'])}, recorded by {one['recorded_by']}: {ended}"
    )


def _joined(one: dict[str, Any], *names: str) -> str:
    return ", ".join(str(one[name] or "") for name in names)


def _block(title: str, found: list[str]) -> Iterator[str]:
    yield f"{title}:{'' if found else ' none'}"
    for one in found:
        yield f"  {one}"
