"""`escapement-outlet allocate` and `allocation`: who is offered a scarce piece, and who decided.

Invariant: a proposal is stored before it is shown; output names customers by the outlet's own ids,
never by phone or e-mail; and a piece goes to nobody without a person's name beside the decision.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from outlet_client.allocation import allocation_decisions
from outlet_client.allocation.disputed_lines import UNDER_REVIEW
from outlet_client.allocation.lottery import TieBreak
from outlet_client.allocation.proposal_notes import notes, passed_over_text
from outlet_client.bands.lookup import MANY_OUTLETS, WHOSE_BAND
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, By, Decider, Home, Json
from outlet_client.commands.output import OUT, hand_over, say, say_json
from outlet_client.customer_access import open_customer_access
from outlet_client.moments import now
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.rights.adverse_letter import adverse_letter, letter_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outlet_client.allocation.proposal_store import Proposal
    from outlet_client.allocation.ranking import ProposalLine
    from outlet_client.customer_access import CustomerAccess

allocation_app = typer.Typer(
    no_args_is_help=True, help="Proposals of who gets a scarce piece, and what was decided."
)

_MOST_LINES = 200
"""Of a table, which nobody reads to its end."""

Number = Annotated[int, typer.Argument(help="The proposal's number.")]


def allocate(
    reference: Annotated[str, typer.Option(help="The reference to allocate.")],
    pieces: Annotated[int, typer.Option(help="How many there are.")],
    ties: Annotated[
        TieBreak, typer.Option(help="What decides between customers who are otherwise equal.")
    ] = TieBreak.WAITING,
    seed: Annotated[
        str | None, typer.Option(help="Draw by this seed instead of a new one, to check a lottery.")
    ] = None,
    by: By = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Proposes who of those on the waitlist may be offered the pieces of a reference.

    Each of them is a look-up, and is logged as one.
    """
    with failing(), open_customer_access(home) as access:
        asked = Actor.of(by, LookupPurpose.ALLOCATION)
        made = allocation_decisions.propose(access, reference, pieces, ties, seed, asked, now())
        _print(made.proposal, as_json=as_json, no_book=made.no_book, earlier=made.earlier)


@allocation_app.command()
def accept(number: Number, by: Decider, home: Home = HERE) -> None:
    """Decides that the pieces go to those to whom they were proposed."""
    with failing(), open_customer_access(home) as access:
        _say_who_is_passed_over(access, number)
        _print_decision(allocation_decisions.accept(access, number, by, now()))


@allocation_app.command()
def change(
    number: Number,
    by: Decider,
    reason: Annotated[str, typer.Option(help="Why; it is kept beside the decision.")],
    give: Annotated[list[str], typer.Option(help="A customer who gets a piece; may be repeated.")],
    instead_of: Annotated[
        list[str] | None, typer.Option(help="A customer who does without; may be repeated.")
    ] = None,
    home: Home = HERE,
) -> None:
    """Decides otherwise than proposed, with a reason. The proposal stays as it was."""
    with failing(), open_customer_access(home) as access:
        others = instead_of or ()
        _say_who_is_passed_over(access, number, give, others)
        _print_decision(
            allocation_decisions.change(access, number, by, reason, give, others, now())
        )


@allocation_app.command()
def show(
    number: Annotated[int | None, typer.Argument(help="The proposal's; all without one.")] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Shows one proposal with its decision, or lists all."""
    with failing(), open_customer_access(home) as access:
        proposals = allocation_decisions.shown(access, number)
        if number is not None:
            _print(proposals[0], as_json=as_json)
            return
        if as_json:
            say_json([_as_dict(one) for one in proposals])
            return
        if not proposals:
            say("No proposals yet; `escapement-outlet allocate` makes one.")
        for one in proposals:
            terms, state = one.terms, one.decided.words if one.decided else "not decided"
            say(f"{one.id}: {one.made_at[:10]}, {terms.pieces} of {terms.reference}, {state}")


@allocation_app.command()
def letter(
    number: Number,
    customer: Annotated[str, typer.Argument(help="Who got no piece, by your own id.")],
    file: Annotated[Path, typer.Argument(help="Where the page is written, to print.")],
    by: By = None,
    home: Home = HERE,
) -> None:
    """Writes the letter that tells a customer why they got no piece, and how to dispute it."""
    with failing(), open_customer_access(home) as access:
        asked = Actor.of(by, LookupPurpose.CUSTOMER)
        made = adverse_letter(access, number, customer, asked, now())
        hand_over(file, letter_page(made).encode())
        say(f"{file}: for the customer; readable by you only.")


@allocation_app.command()
def rerun(number: Number, home: Home = HERE) -> None:
    """Computes a proposal's order again from what is stored, and says whether it is the same."""
    with failing(), open_customer_access(home) as access:
        lines = allocation_decisions.rerun(access, number)
        say(f"Allocation {number}: the same order, {lines} lines.")


def _say_who_is_passed_over(
    access: CustomerAccess, number: int, give: Sequence[str] = (), instead_of: Sequence[str] = ()
) -> None:
    if ranks := allocation_decisions.passed_over_by(access, number, give, instead_of):
        say(passed_over_text(ranks))


def _as_dict(proposal: Proposal) -> dict[str, Any]:
    found = asdict(proposal)
    del found["policy_text"]
    found["policy_digest"] = proposal.policy_digest
    found["lines"] = [
        _line_dict(proposal, rank, line) for rank, line in enumerate(proposal.lines, 1)
    ]
    return found


def _line_dict(proposal: Proposal, rank: int, line: ProposalLine) -> dict[str, Any]:
    told = {"say": proposal.say(line), "proposed": line.proposed, "why": line.why}
    return {"rank": rank, **asdict(line.candidate), **asdict(line.ruling), **told}


def _print(
    proposal: Proposal, *, as_json: bool, no_book: str = "", earlier: Sequence[int] | None = None
) -> None:
    if as_json:
        more = {"no_book": no_book, "earlier": earlier} if earlier is not None else {}
        say_json({**_as_dict(proposal), **more, "note": WHOSE_BAND})
        return
    if no_book:
        say(f"No bands: {no_book}.")
    OUT.print(_table(proposal))
    if (hidden := len(proposal.lines) - _MOST_LINES) > 0:
        say(f"And {hidden} more; `--json` has all, and the desk's page.")
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
            say(f"Said before it was decided: {passed_over_text(proposal.decided.passed_over)}")
        _print_decision(proposal)


def _table(proposal: Proposal) -> Table:
    terms = proposal.terms
    title = f"Allocation {proposal.id}: {terms.pieces} of {terms.reference} ({terms.tier})"
    table = Table(title=escape(title), show_lines=True)
    for name in ("rank", "customer", "bands", "waiting since", "decision", "why"):
        table.add_column(name, overflow="fold")
    for rank, line in enumerate(proposal.lines[:_MOST_LINES], 1):
        one = line.candidate
        bands = f"eligibility {one.eligibility}, flipper risk {one.flipper_risk}"
        if one.no_band == MANY_OUTLETS:
            bands = MANY_OUTLETS
        elif one.no_band:
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
