"""`escapement-outlet allocate` and `allocation`: who is offered a scarce piece, and who decided.

Invariant: a proposal is stored before it is shown; output names customers by the outlet's own ids,
never by phone or e-mail; and a piece goes to nobody without a person's name beside the decision.
"""

from __future__ import annotations

import json
import secrets
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from features.allocation import AllocationPolicy, Decision
from outlet_client.allocation.allocation import (
    SEED_BYTES,
    AllocationRefused,
    Terms,
    Ties,
    differences,
    given,
    ordered,
    passed_over,
    read_policy,
)
from outlet_client.allocation.allocation_store import AllocationStore, Decided, Proposal
from outlet_client.allocation.interests import Banded, banded, open_interests, tier_of
from outlet_client.allocation.review import UNDER_REVIEW, refuse_disputed, reviewed
from outlet_client.commands import HERE, OUT, Home, failing
from outlet_client.people.client_book import client_book
from outlet_client.rights.asked import Asked, Purpose
from outlet_client.rights.desk import desk_of, now
from outlet_client.settings import OutletFile
from privacy.identity import Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.allocation.allocation import Line

WHOSE_BAND = (
    "A band may reflect the whole network; which outlets, which pieces and when is not known here."
)

allocation_app = typer.Typer(
    no_args_is_help=True, help="Proposals of who gets a scarce piece, and what was decided."
)

Json = Annotated[bool, typer.Option("--json", help="For programs.")]
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
    with failing():
        asked = Asked.of(by, Purpose.ALLOCATION)
        settings = OutletFile.read(home / "escapement.toml")
        policy = read_policy(settings.policy)
        given_seed = None if seed is None else seed.strip().lower()
        drawn = secrets.token_hex(SEED_BYTES) if given_seed is None else given_seed
        tier = tier_of(settings, reference)
        terms = Terms(reference, tier, pieces, ties, drawn, drawn=seed is None)
        found = _banded(home, settings, reference, asked)
        with closing(AllocationStore.open(home)) as store:
            earlier = store.numbers(reference)
            number = store.add(
                Proposal(
                    _now(),
                    terms,
                    policy.source,
                    policy.text,
                    found.version,
                    found.as_of,
                    ordered(found.candidates, policy, terms),
                )
            )
            proposal = store.read(number)
        _print(proposal, as_json=as_json, no_book=found.no_book, earlier=earlier)


@allocation_app.command()
def accept(number: Number, by: By, home: Home = HERE) -> None:
    """Decides that the pieces go to those to whom they were proposed."""
    with failing(), _store(home) as store:
        proposal = _undecided(home, store, number)
        _decide(store, proposal, _named(by, "--by", "who decides"), "", proposal.given)


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
    with failing(), _store(home) as store:
        proposal = _undecided(home, store, number)
        who, why = _named(by, "--by", "who decides"), _named(reason, "--reason", "a sentence")
        final = given(proposal.lines, proposal.terms.pieces, give, instead_of or ())
        _decide(store, proposal, who, why, final)


@allocation_app.command()
def show(
    number: Annotated[int | None, typer.Argument(help="The proposal's; all without one.")] = None,
    home: Home = HERE,
    as_json: Json = False,  # noqa: FBT002  (a flag on the command line)
) -> None:
    """Shows one proposal with its decision, or lists all."""
    with failing(), _store(home) as store:
        if number is not None:
            [one] = reviewed(home, [store.read(number)])
            _print(one, as_json=as_json)
            return
        proposals = reviewed(home, [store.read(one) for one in store.numbers()])
        if as_json:
            OUT.print_json(json.dumps([_as_dict(one) for one in proposals]))
            return
        if not proposals:
            OUT.print("No proposals yet; `escapement-outlet allocate` makes one.")
        for one in proposals:
            terms, state = one.terms, one.decided.words if one.decided else "not decided"
            _say(f"{one.id}: {one.made_at[:10]}, {terms.pieces} of {terms.reference}, {state}")


@allocation_app.command()
def rerun(number: Number, home: Home = HERE) -> None:
    """Computes a proposal's order again from what is stored, and says whether it is the same."""
    with failing(), _store(home) as store:
        stored = store.read(number)
        policy = AllocationPolicy.parse(stored.policy_text, stored.policy_source)
        again = ordered((line.candidate for line in stored.lines), policy, stored.terms)
        if ranks := differences(stored.lines, again):
            raise AllocationRefused(
                f"allocation {number}: got another order from rank {ranks[0]} on, expected the "
                "stored one; it was altered, or made by another version of this program: keep "
                "the folder as it is and tell who looks after it"
            )
        OUT.print(f"Allocation {number}: the same order, {len(again)} lines.", highlight=False)


def _banded(home: Path, settings: OutletFile, reference: str, asked: Asked) -> Banded:
    hq_key = Keyring(home, Kind.OUTLET).peer(Kind.HQ).verify_key
    with desk_of(home) as desk:
        interests = open_interests(home, settings, reference, now(), desk.people)
        book = client_book(settings, desk.people, by_day=True)
        return banded(interests, book, desk.look_up, home, hq_key, asked)


@contextmanager
def _store(home: Path) -> Iterator[AllocationStore]:
    Keyring(home, Kind.OUTLET).identity()  # an error where this is no outlet's folder
    with closing(AllocationStore.open(home)) as store:
        yield store


def _undecided(home: Path, store: AllocationStore, number: int) -> Proposal:
    """A proposal to decide on; whoever comes second hears so when they decide."""
    proposal = store.read(number)
    if proposal.decided is None:
        refuse_disputed(home, proposal)
    return proposal


def _decide(
    store: AllocationStore, proposal: Proposal, by: str, reason: str, final: tuple[str, ...]
) -> None:
    """Says who is passed over, then stores the decision, and that it was said."""
    passed = passed_over(proposal.lines, final)
    if passed and proposal.decided is None:
        _say(_passing(passed))
    store.decide(proposal.id, Decided(_now(), by, reason, final, passed))
    _print_decision(store.read(proposal.id))


def _passing(ranks: tuple[int, ...]) -> str:
    """Who is passed over, in words."""
    who, s = ("1 customer waits", "") if len(ranks) == 1 else (f"{len(ranks)} customers wait", "s")
    listed = ", ".join(map(str, ranks))
    return f"{who} for a manager's look (rank{s} {listed}): this passes them over."


def _now() -> str:
    return now().isoformat(timespec="seconds")


def _named(text: str, option: str, what: str) -> str:
    if not text.strip():
        raise AllocationRefused(f"{option}: empty, expected {what}; it is kept beside the decision")
    return " ".join(text.split())


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
    proposal: Proposal, *, as_json: bool, no_book: str = "", earlier: list[int] | None = None
) -> None:
    if as_json:
        more = {"no_book": no_book, "earlier": earlier} if earlier is not None else {}
        OUT.print_json(json.dumps({**_as_dict(proposal), **more, "note": WHOSE_BAND}))
        return
    if no_book:
        _say(f"No bands: {no_book}.")
    OUT.print(_table(proposal))
    for one in _notes(proposal):
        _say(one)
    if earlier:
        _say(
            f"Proposed before for this reference: {', '.join(map(str, earlier))}; whoever got a "
            "piece then stays on the list until their interest is closed there."
        )
    if proposal.decided is None:
        _say(
            f"Decide with `escapement-outlet allocation accept {proposal.id} --by NAME`, or "
            f"`change {proposal.id} --by NAME --reason TEXT --give CUSTOMER --instead-of CUSTOMER`."
        )
    else:
        if proposal.decided.passed_over:
            _say(f"Said before it was decided: {_passing(proposal.decided.passed_over)}")
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


def _notes(proposal: Proposal) -> Iterator[str]:
    """What is to be known about a proposal beside its lines."""
    terms = proposal.terms
    said: dict[str, list[str]] = {}
    for rank, line in enumerate(proposal.lines, 1):
        said.setdefault(line.say, []).append(str(rank))
    for sentence, ranks in said.items():
        yield f"To say to {', '.join(ranks)}: “{sentence}”"
    for line in proposal.lines:
        if line.candidate.also:
            yield (
                f"{line.candidate.customer} is one person with {', '.join(line.candidate.also)} in "
                "the client book, and counts once, since the earliest interest."
            )
    left = terms.pieces - sum(line.proposed for line in proposal.lines)
    if left:
        yield (
            f"Pieces that are proposed to nobody: {left}. Where it says '{Decision.MANAGER}', a "
            "manager gives one by `allocation change`, with a reason."
        )
    origin = "drawn for this proposal" if terms.drawn else "given on the command line, not drawn"
    equals = "by lottery" if terms.ties is Ties.LOTTERY else "by waiting time, by lot within a day"
    yield f"Equals {equals}; seed {terms.seed}, {origin}."
    book = f"version {proposal.book_version}, as of {proposal.book_as_of}"
    yield (
        f"Policy {proposal.policy_source}, SHA-256 {proposal.policy_digest[:16]}; band book "
        f"{'none' if proposal.book_version is None else book}."
    )
    yield WHOSE_BAND


def _print_decision(proposal: Proposal) -> None:
    decided = proposal.decided
    if decided is None:
        return
    _say(f"Allocation {proposal.id} {decided.words}.")
    if decided.reason:
        _say(f"Reason: {decided.reason}")
    _say(f"The pieces go to {', '.join(decided.given) or 'nobody'}.")
    _say("Close these interests in the list when the pieces are handed over.")


def _say(text: str) -> None:
    OUT.print(escape(text), highlight=False, soft_wrap=True)
