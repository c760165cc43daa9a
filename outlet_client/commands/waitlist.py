"""`escapement-outlet waitlist`: wishes told at the desk or from a file, beside the outlet's list.

Invariant: output names customers by the outlet's own ids; an error holds no cell of a file; and
what is added, closed or erased has a name beside it.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from outlet_client.allocation.waiting_lists import waiting_lists
from outlet_client.allocation.wish_files import COLUMNS, read_wishes
from outlet_client.allocation.wish_store import add_wishes, erase_wishes, wishes_in, wishes_of
from outlet_client.allocation.wish_taking import end_wish, reached_by
from outlet_client.commands.command_errors import failing
from outlet_client.commands.consents import WRONG, pairs
from outlet_client.commands.options import HERE, By, Dates, Decider, Email, Home, Json, Phone, Sheet
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_customer_access, open_people
from outlet_client.errors import NoIdentifier
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.moments import now
from outlet_client.people.identifiers import typed_keys
from outlet_client.records.actor import actor_name
from outlet_client.setup.file_columns import FileForm
from outlet_client.setup.wish_columns import wish_source
from outlet_client.sources.customer_keys import ensure_secret
from outlet_client.sources.file_lines import line_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outlet_client.allocation.waiting_lists import WaitingList
    from outlet_client.allocation.wish_files import WishFile
    from outlet_client.sources.source import Source

waitlist_app = typer.Typer(
    no_args_is_help=True, help="Who waits for which reference, and wishes told at the desk."
)


@waitlist_app.command("list")
def list_(
    reference: Annotated[
        str, typer.Option(help="Of this one; case, spaces, dots and hyphens do not matter.")
    ] = "",
    closed: Annotated[
        bool, typer.Option("--closed", help="The wishes that were closed, instead.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Lists who waits, who waits longest first: your own list's entries and wishes of the desk."""
    with failing(), open_customer_access(home) as access:
        if closed:
            _list_closed(home, as_json=as_json)
            return
        found = waiting_lists(access, now(), reference)
        if as_json:
            say_json(
                [
                    {
                        "reference": one.reference,
                        "tier": one.tier,
                        "entries": [entry.as_dict() for entry in one.entries],
                    }
                    for one in found
                ]
            )
            return
        for line in _lines(found):
            say(line)


@waitlist_app.command()
def close(
    number: Annotated[int, typer.Argument(help="The wish's number, as `list` prints it.")],
    by: Decider,
    reason: Annotated[str, typer.Option(help="Why; the customer may read it.")],
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Closes a wish, with a reason that is kept beside it."""
    with failing():
        done = end_wish(home, number, by, reason, now())
        if as_json:
            say_json(done.as_dict())
        else:
            say(f"Wish {done.number} ({done.reference}) is closed.")


@waitlist_app.command("import")
def import_(
    file: Path,
    column: Annotated[
        list[str] | None,
        typer.Option(help='Your heading of one of ours, as reference="Model"; again for each.'),
    ] = None,
    constant: Annotated[
        list[str] | None,
        typer.Option(help='What stands in every row, as reference="GMT-II"; again for each.'),
    ] = None,
    dates: Dates = None,
    sheet: Sheet = None,
    check: Annotated[
        bool, typer.Option("--check", help="Reads and says what would be added.")
    ] = False,
    by: By = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Adds a file's wishes, all or none: customer_id or phone or email, reference, since."""
    with failing(), open_customer_access(home) as access:
        form = FileForm(
            pairs("column", column, COLUMNS), pairs("constant", constant, COLUMNS), dates, sheet
        )
        if not check:
            ensure_secret(home)
        source, who, at = wish_source(file, form, home), actor_name(by), now()
        found = read_wishes(source, access, at)
        if found.wishes and not (found.bad or check):
            with rights_of(home) as connection:
                add_wishes(connection, found.wishes, who, at)
        if as_json:
            say_json(_as_dict(source, found, check=check))
            raise typer.Exit(WRONG if found.bad else 0)
        found.check(source.name, line_numbers(source, [fault.row for fault in found.bad]))
        for name, own in source.columns.items():
            say(f"  {name.ljust(12)} {own}")
        say(_counts(found, check=check))


@waitlist_app.command()
def erase(
    phone: Phone = None,
    email: Email = None,
    by: By = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Erases all wishes of a customer who asks for it; a withdrawal of consent does so too."""
    with failing(), open_people(home) as (people, settings):
        who, keys = actor_name(by), typed_keys(phone, email, people.local_key, settings.region)
        if not keys:
            raise NoIdentifier
        reached = reached_by(people, keys)
        with rights_of(home) as connection:
            found = wishes_of(connection, *reached)
            erase_wishes(connection, keys[0], found, who, now())
        if as_json:
            say_json({"erased": len(found)})
        else:
            say(f"{len(found)} erased. Entries of your own list or ledger are not this program's.")


def _list_closed(home: Path, *, as_json: bool) -> None:
    found = [one for one in wishes_in(home) if one.closed is not None]
    if as_json:
        say_json([one.as_dict() for one in found])
        return
    for one in found:
        day = f"{one.closed:%Y-%m-%d}"
        say(f"wish {one.number}, {one.reference}: closed {day} by {one.closed_by}. {one.reason}")
    if not found:
        say("No closed wishes.")


def _lines(found: Sequence[WaitingList]) -> Iterator[str]:
    if not any(one.entries for one in found):
        yield "Nobody waits."
        return
    for one in found:
        yield f"{one.reference} ({one.tier or 'in no tier'}): {len(one.entries)} waiting"
        for place, entry in enumerate(one.entries, 1):
            told = entry.wish
            whose = "" if told is None else f"; wish {told.number}, by {told.by}"
            yield f"  {place}. {entry.customer}, since {entry.since or 'no day'}{whose}"


def _counts(found: WishFile, *, check: bool) -> str:
    told = f"{len(found.wishes)} added, {found.there} there already, {found.blank} blank"
    if found.unknown:
        told += f"; {found.unknown} of customers whom the client book does not know"
    return f"Nothing was added; an import would say: {told}" if check else told


def _as_dict(source: Source, found: WishFile, *, check: bool) -> dict[str, object]:
    return {
        "checked_only": check,
        "columns": source.columns,
        "constants": source.constants,
        "added": 0 if check or found.bad else len(found.wishes),
        "wishes": len(found.wishes),
        "there": found.there,
        "unknown": found.unknown,
        "blank": found.blank,
        "bad": [fault._asdict() for fault in found.bad],
    }
