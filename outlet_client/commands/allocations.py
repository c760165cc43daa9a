"""`escapement-outlet allocate` and `allocation`: who is offered a scarce piece, and who decided.

Invariant: a proposal is stored before it is shown; output names customers by the outlet's own ids,
never by phone or e-mail; and a piece goes to nobody without a person's name beside the decision.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from outlet_client.allocation import allocation_decisions
from outlet_client.allocation.disputed_lines import UNDER_REVIEW
from outlet_client.allocation.proposal_notes import notes, passing
from outlet_client.allocation.ranking import Ties
from outlet_client.bands.lookup import WHOSE_BAND
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, OUT, Home, Json, say
from outlet_client.customer_access import desk_of
from outlet_client.moments import now
from outlet_client.records.actor import Asked, Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.allocation.ranking import Line
    from outlet_client.customer_access import Desk

allocation_app = typer.Typer(
    no_args_is_help=True, help="Proposals of who gets a scarce piece, and what was decided."
)

Number = Annotated[int, typer.Argument(help="The proposal's number.")]
By = Annotated[str, typer.Option(help="Who decides.")]


def allocate(
    reference: Annotated[str, typer.Option(help="The reference to allocate.")],
    pieces: Annotated[int, typer.Option(help="How many there are.")],
    ties: Annotated[
        Ties, typer.Option(help="What decides between customers who are otherwise equal.")
    ] = Ties.WAITING,
    seed: Annotated[
        str | None, typer.Option(help="Draw by this seed instead of a new one, to check a lottery.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who asks; the operating system's user by default.")
    ] = None,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Proposes who of those on the waitlist may be offered the pieces of a reference.

    Each of them is a look-up, and is logged as one.
    """
    with failing(), desk_of(home) as desk:
        asked = Asked.of(by, Purpose.ALLOCATION)
        made = allocation_decisions.propose(desk, reference, pieces, ties, seed, asked, now())
        _print(made.proposal, as_json=as_json, no_book=made.no_book, earlier=made.earlier)


@allocation_app.command()
def accept(number: Number, by: By, home: Home = HERE) -> None:
    """Decides that the pieces go to those to whom they were proposed."""
    with failing(), desk_of(home) as desk:
        _say_who_is_passed_over(desk, number)
        _print_decision(allocation_decisions.accept(desk, number, by, now()))


@allocation_app.command()
def change(
    number: Number,
    by: By,
    reason: Annotated[str, typer.Option(help="Why; it is kept beside the decision.")],
    give: Annotated[list[str], typer.Option(help="A customer who gets a piece; may be repeated.")],
    instead_of: Annotated[
        list[str] | None, typer.Option(help="A customer who does without; may be repeated.")
    ] = None,
    home: Home = HERE,
) -> None:
    """Decides otherwise than proposed, with a reason. The proposal stays as it was."""
    with failing(), desk_of(home) as desk:
        others = instead_of or ()
        _say_who_is_passed_over(desk, number, give, others)
        _print_decision(allocation_decisions.change(desk, number, by, reason, give, others, now()))


@allocation_app.command()
def show(
    number: Annotated[int | None, typer.Argument(help="The proposal's; all without one.")] = None,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Shows one proposal with its decision, or lists all."""
    with failing(), desk_of(home) as desk:
        proposals = allocation_decisions.shown(desk, number)
        if number is not None:
            _print(proposals[0], as_json=as_json)
            return
        if as_json:
            OUT.print_json(json.dumps([_as_dict(one) for one in proposals]))
            return
        if not proposals:
            OUT.print("No proposals yet; `escapement-outlet allocate` makes one.")
        for one in proposals:
            terms, state = one.terms, one.decided.words if one.decided else "not decided"
            say(f"{one.id}: {one.made_at[:10]}, {terms.pieces} of {terms.reference}, {state}")


@allocation_app.command()
def rerun(number: Number, home: Home = HERE) -> None:
    """Computes a proposal's order again from what is stored, and says whether it is the same."""
    with failing(), desk_of(home) as desk:
        lines = allocation_decisions.rerun(desk, number)
        OUT.print(f"Allocation {number}: the same order, {lines} lines.", highlight=False)


def _say_who_is_passed_over(
    desk: Desk, number: int, give: Sequence[str] = (), instead_of: Sequence[str] = ()
) -> None:
    """Says it before it is decided."""
    if ranks := allocation_decisions.passed_over_by(desk, number, give, instead_of):
        say(passing(ranks))


def _as_dict(proposal: Proposal) -> dict[str, Any]:
    found = asdict(proposal)
    del found["policy_text"]
    found["policy_digest"] = proposal.policy_digest
    found["lines"] = [_line_dict(rank, line) for rank, line in enumerate(proposal.lines, 1)]
    return found


def _line_dict(rank: int, line: Line) -> dict[str, Any]:
    one, ruling = asdict(line.candidate), asdict(line.ruling)
    one["since"] = line.candidate.since.isoformat()
    told = {"say": line.say, "proposed": line.proposed, "why": line.why}
    return {"rank": rank, **one, **ruling, **told}


def _print(
    proposal: Proposal, *, as_json: bool, no_book: str = "", earlier: Sequence[int] | None = None
) -> None:
    if as_json:
        more = {"no_book": no_book, "earlier": earlier} if earlier is not None else {}
        OUT.print_json(json.dumps({**_as_dict(proposal), **more, "note": WHOSE_BAND}))
        return
    if no_book:
        say(f"No bands: {no_book}.")
    OUT.print(_table(proposal))
    for one in notes(proposal):
        say(one)
    if earlier:
        say(
            f"Proposed before for this reference: {', '.join(map(str, earlier))}; whoever got a "
            "piece then stays on the list until their interest is closed there."
        )
    if proposal.decided is None:
        say(
            f"Decide with `escapement-outlet allocation accept {proposal.id} --by NAME`, or "
            f"`change {proposal.id} --by NAME --reason TEXT --give CUSTOMER --instead-of CUSTOMER`."
        )
    else:
        if proposal.decided.passed_over:
            say(f"Said before it was decided: {passing(proposal.decided.passed_over)}")
        _print_decision(proposal)


def _table(proposal: Proposal) -> Table:
    terms = proposal.terms
    title = f"Allocation {proposal.id}: {terms.pieces} of {terms.reference} ({terms.tier})"
    table = Table(title=escape(title), show_lines=True)
    for name in ("rank", "customer", "bands", "waiting since", "decision", "why"):
        table.add_column(name, overflow="fold")
    for rank, line in enumerate(proposal.lines, 1):
        one = line.candidate
        bands = f"eligibility {one.eligibility}, flipper risk {one.flipper_risk}"
        if one.no_band:
            bands = f"no band here: decide as without ({one.no_band})"
        if not line.ruling.rule:
            bands = UNDER_REVIEW
        table.add_row(
            str(rank),
            escape(one.customer),
            bands,
            one.since.isoformat(),
            f"[bold]{line.ruling.decision}: proposed[/]" if line.proposed else line.ruling.decision,
            line.why,
        )
    return table


def _print_decision(proposal: Proposal) -> None:
    decided = proposal.decided
    if decided is None:
        return
    say(f"Allocation {proposal.id} {decided.words}.")
    if decided.reason:
        say(f"Reason: {decided.reason}")
    say(f"The pieces go to {', '.join(decided.given) or 'nobody'}.")
    say("Close these interests in the list when the pieces are handed over.")
