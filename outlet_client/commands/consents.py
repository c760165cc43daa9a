"""`escapement-outlet consent`: consents in from a file, out to a file, and how many there are.

Invariant: a phone or e-mail is read from a file, turned into a key and forgotten; what is printed
holds rows, headings, reasons and counts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path  # noqa: TC003  (typer reads it in annotations)
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Dates, Home, Sheet
from outlet_client.commands.output import say, say_json
from outlet_client.customer_access import open_people
from outlet_client.errors import NotConfigured
from outlet_client.moments import now
from outlet_client.night.tokens_by_day import tokens_after_import
from outlet_client.people.client_book import identifiers_of, refresh_clients
from outlet_client.people.consent_files import COLUMNS, read_consents
from outlet_client.people.consents import Recorded
from outlet_client.records.access_log import LogAct, record_act_in
from outlet_client.records.actor import system_user
from outlet_client.setup.consent_columns import NAMES, consent_source
from outlet_client.setup.file_columns import FileForm
from outlet_client.sources.file_lines import line_numbers
from privacy.keyring import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outlet_client.people.consent_files import ConsentFile, Fault
    from outlet_client.people.people_store import People
    from outlet_client.sources.source import Source

WRONG = 1
"""Exit code of a file with something bad in it."""

consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to take part, and to which text.")


@consent_app.command("import")
def consent_import(
    file: Path,
    column: Annotated[
        list[str] | None,
        typer.Option(help='Your heading of one of ours, as phone="Mobile"; again for each.'),
    ] = None,
    constant: Annotated[
        list[str] | None,
        typer.Option(help='What stands in every row, as notice="2026-01"; again for each.'),
    ] = None,
    dates: Dates = None,
    sheet: Sheet = None,
    check: Annotated[
        bool, typer.Option("--check", help="Reads and says what would be recorded.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    home: Home = HERE,
) -> None:
    """Records a file's consents, all or none: phone, email, notice, recorded_at, recorded_by."""
    with failing(), open_people(home) as (people, settings):
        form = FileForm(
            pairs("column", column, NAMES), pairs("constant", constant, NAMES), dates, sheet
        )
        source = consent_source(file, form)
        found = read_consents(source, people.local_key, settings.region, at := now())
        counts = None
        if check and not found.bad:
            counts = Counter(people.judge_consents(found.consents))
        elif not found.bad:
            counts = Counter(people.record_consents(found.consents))
            outcome = f"{counts[Recorded.NEW]} recorded"
            record_act_in(
                home, at, LogAct.CONSENT, system_user(), about="a file of consents", outcome=outcome
            )
        if as_json:
            say_json(_as_json(source, found, counts, check=check))
            raise typer.Exit(WRONG if found.bad else 0)
        _say_form(source)
        lines = line_numbers(source, [fault.row for fault in (*found.bad, *found.unused)])
        _say_rest(found, lines)
        found.check(source.name, lines)
        _say_counts(counts or Counter(), check=check)
        for line in () if check else tokens_after_import(home, people, settings):
            say(line)


@consent_app.command("export")
def consent_export(file: Path, home: Home = HERE) -> None:
    """Writes the standing consents of the client book's customers as such a CSV."""
    with failing(), open_people(home) as (people, settings):
        refresh_clients(settings, people, by_day=True)
        standing = people.consents().filter(pl.col("withdrawn_at").is_null())["key"]
        identifiers = identifiers_of(settings, people, standing.unique().to_list())
        record_act_in(
            home, now(), LogAct.EXPORT, system_user(), about="the consents", outcome="file"
        )
        written, left_out = export_consents(file, people, identifiers)
        say(f"{written} written; {left_out} of nobody in the client book")


@consent_app.command("show")
def consent_show(home: Home = HERE) -> None:
    """Says how many consents there are to each notice, standing and ended."""
    with failing(), open_people(home) as (people, _):
        counts = people.consent_counts()
        for one in counts:
            say(f"{one['notice']}: {one['standing']} standing, {one['ended']} ended")
        if not counts:
            say("No consents yet; `escapement-outlet consent import FILE` records some.")


def export_consents(file: Path, people: People, identifiers: Mapping[str, str]) -> tuple[int, int]:
    """Writes the standing consents as a file that can be imported, for its owner only.

    Returns:
        How many were written, and how many were left out because nobody in the client book has
        their key.
    """
    standing = people.consents().filter(pl.col("withdrawn_at").is_null())
    known = standing.filter(pl.col("key").is_in(list(identifiers)))
    tagged = [identifiers[key].partition(":") for key in known["key"]]
    table = known.with_columns(
        pl.Series("phone", [one if tag == "tel" else "" for tag, _, one in tagged], pl.String),
        pl.Series("email", [one if tag == "mailto" else "" for tag, _, one in tagged], pl.String),
    )
    write_private(file, table.select(COLUMNS).write_csv().encode())
    return len(known), len(standing) - len(known)


def pairs(option: str, told: Sequence[str] | None, known: Sequence[str]) -> dict[str, str]:
    """What was told as name=value, the names of those that are known.

    Raises:
        NotConfigured: If a name is none of ours, or there is no "=".
    """
    found: dict[str, str] = {}
    for one in told or ():
        name, equals, value = one.partition("=")
        if not equals or name.strip() not in known:
            names = ", ".join(known)
            raise NotConfigured(f"--{option}: got '{name}', expected NAME=TEXT, NAME of {names}")
        found[name.strip()] = value.strip()
    return found


def _say_form(source: Source) -> None:
    """Says which heading was taken for what, and how days are read."""
    for name in NAMES:
        if name in source.constants:
            say(f"  {name.ljust(12)} '{source.constants[name]}' in every row")
        elif name in source.columns:
            say(f"  {name.ljust(12)} {source.columns[name]}")
    if source.sheet is not None:
        say(f"  {'sheet'.ljust(12)} {source.sheet}")
    say(f"  {'dates'.ljust(12)} {_dates(source)}")


def _dates(source: Source) -> str:
    return "ISO 8601" if source.dates == "%Y-%m-%d" else source.dates


def _say_rest(found: ConsentFile, lines: Mapping[int, int]) -> None:
    """Says what is left out, and which phones and e-mails are not used."""
    for reason, count in found.left_out.items():
        say(f"{count} {'row' if count == 1 else 'rows'} left out: {reason}")
    for fault in found.unused:
        place = f"line {lines[fault.row]}" if fault.row in lines else f"row {fault.row}"
        say(f"{place}, column {fault.column} is not used, the other is: {fault.reason}")


def _say_counts(counts: Mapping[Recorded, int], *, check: bool) -> None:
    told = "; ".join(f"{counts.get(what, 0)} {what}" for what in Recorded)
    say(f"Nothing was recorded; an import would say: {told}" if check else told)


def _as_json(
    source: Source, found: ConsentFile, counts: Mapping[Recorded, int] | None, *, check: bool
) -> dict[str, object]:
    def rows(faults: Sequence[Fault]) -> list[dict[str, object]]:
        return [fault._asdict() for fault in faults]

    return {
        "checked_only": check,
        "columns": source.columns,
        "constants": source.constants,
        "dates": _dates(source),
        "consents": len(found.consents),
        "outcomes": None
        if counts is None
        else {what.name.lower(): counts[what] for what in Recorded},
        "left_out": dict(found.left_out),
        "bad": rows(found.bad),
        "unused": rows(found.unused),
    }
