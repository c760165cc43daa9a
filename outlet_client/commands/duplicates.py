"""`escapement-outlet duplicates`: client-book entries that may be one person, for a decision.

Invariant: what is printed is the outlet's own customer ids and what they share, never a name, a
phone or an e-mail.
"""

from __future__ import annotations

from typing import Annotated

import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home, Json
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_people
from outlet_client.moments import now
from outlet_client.people.client_book import refresh_clients
from outlet_client.people.duplicates import pairs
from outlet_client.rights.duplicate_decisions import SHARE, decide_pair


def duplicates(home: Home = HERE, as_json: Json = False) -> None:
    """Lists pairs of customers who may be one person, for somebody to decide."""
    with failing(), open_people(home) as (people, settings):
        refresh_clients(settings, people, by_day=True)
        found = pairs(people)
        if as_json:
            rows = [{"one": p.one, "other": p.other, "share": p.shared.value} for p in found]
            say_json({"ambiguous": len(found), "pairs": rows})
            return
        for pair in found:
            say(f"{pair.one}  {pair.other}  {SHARE[pair.shared]}")
        say(
            f"{len(found)} pairs. Until a person decides, they count as two, and what they share "
            "is used by neither. Look at both in your own system, then: `escapement-outlet "
            'duplicates-decide ID ID --same|--different --by "NAME"`.'
            if found
            else "No pairs wait for anybody."
        )


def duplicates_decide(
    one: Annotated[str, typer.Argument(help="A customer's id.")],
    other: Annotated[str, typer.Argument(help="The other's.")],
    by: Annotated[str, typer.Option(help="Who decided.")],
    same: Annotated[bool, typer.Option("--same/--different", help="One person, or two?")],
    home: Home = HERE,
) -> None:
    """Records whether two customers are one person."""
    with failing(), open_people(home) as (people, _):
        said = decide_pair(home, people, (one, other), same=same, by=by, at=now())
        say(f"{one} and {other} are {said}")
