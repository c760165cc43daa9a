"""`escapement-outlet check`: reads what the settings name, writes nothing, says what is wrong.

Invariant: of a bad cell the terminal shows at most a date, an amount or a code, never a name, phone
or e-mail; nothing is logged. Exit code 0: a night could read it; 1: something is wrong; 8: too many
bad rows.
"""

from __future__ import annotations

import datetime as dt
import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import ERR, OUT
from outlet_client.settings import OutletFile
from outlet_client.setup.column_tally import WHOLE_ROW
from outlet_client.setup.dry_run import dry_run
from outlet_client.setup.redaction import reference_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outlet_client.setup.column_tally import ColumnTally
    from outlet_client.setup.dry_run import DryRun

WRONG, TOO_MANY_BAD = 1, 8
"""Exit codes."""

_SHOWN_REFERENCES = 10


def check(
    home: Home = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Reads everything that escapement.toml names, writes nothing, and reports it by column."""
    with failing():
        settings = OutletFile.read(home / "escapement.toml")
        with _bar() as progress:
            found = dry_run(settings, dt.datetime.now(dt.UTC), progress, home)
        code = _code(found, settings)
        if as_json:
            OUT.print_json(json.dumps(_as_json(found, settings, code)))
        else:
            _print_columns(found, settings)
            _print_counts(found, settings)
            _print_rest(found, code)
        raise typer.Exit(code)


def _code(found: DryRun, settings: OutletFile) -> int:
    if found.problems:
        return WRONG
    return TOO_MANY_BAD if found.intake.share > settings.most_quarantined else 0


@contextmanager
def _bar() -> Iterator[Callable[[str, int, float | None], None]]:
    """A progress bar in a terminal, and nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as bar:
        task, rows = bar.add_task("reading", total=None), 0

        def hear(file: str, number: int, share: float | None) -> None:
            nonlocal rows
            rows += number
            said = f"{escape(file)}: {rows:,} rows"
            bar.update(task, description=said, total=None if share is None else 1, completed=share)

        yield hear


def _say(text: str) -> None:
    OUT.print(text, highlight=False, soft_wrap=True)


def _print_columns(found: DryRun, settings: OutletFile) -> None:
    _say(f"\n[bold]ledger[/]: {escape(settings.ledger.name)}, {found.intake.rows:,} rows")
    grid = Table("column", "yours", box=None, pad_edge=False)
    for name in ("filled", "from", "to", "bad"):
        grid.add_column(name, justify="right")
    for tally in found.columns.values():
        if tally.name != WHOLE_ROW:
            bad = f"[red]{tally.bad:,}[/]" if tally.bad else ""
            ends = _ends(tally)
            grid.add_row(tally.name, escape(tally.own), f"{tally.filled:,}", *ends, bad)
    OUT.print(grid)
    for tally in found.columns.values():
        if tally.usable is not None:
            usable, tried = tally.usable
            _say(f"{tally.name}: {usable:,} of {tried:,} different ones can be used")
        first = tally.first_bad()
        for one in first:
            where = f", {tally.name}" if tally.name != WHOLE_ROW else ""
            cell = "" if one.cell is None else f": {one.cell}"
            _say(escape(f"  {one.file}, row {one.row}{where}: {one.reason}{cell}"))
        if tally.bad > len(first):
            _say(f"  ... and {tally.bad - len(first):,} more")


def _ends(tally: ColumnTally) -> tuple[str, str]:
    if tally.range is None:
        return "", ""
    low, high = (f"{end:,.2f}" if isinstance(end, float) else str(end) for end in tally.range)
    return low, high


def _print_counts(found: DryRun, settings: OutletFile) -> None:
    intake = found.intake
    corrected = f" + {intake.superseded:,} corrected later" if intake.superseded else ""
    _say(
        f"\n{intake.rows:,} rows = {intake.used:,} used + {intake.left_out:,} left out by date"
        f"{corrected} + {intake.quarantined:,} in quarantine ({intake.share:.2%}, at most "
        f"{settings.most_quarantined:.2%})"
    )
    _say(", ".join(f"{number:,} {kind}" for kind, number in found.kinds.items()))
    if found.unknown:
        first = list(found.unknown.items())[:_SHOWN_REFERENCES]
        said = ", ".join(f"{reference_shown(one)} ({number:,} rows)" for one, number in first)
        _say(escape(f"In no tier: {said}{', ...' if len(found.unknown) > len(first) else ''}"))
    if found.apart is not None:
        said = ", ".join(f"{number:,} {why}" for why, number in found.apart.items())
        _say(f"Sightings of nobody: {said}")


def _print_rest(found: DryRun, code: int) -> None:
    for note in found.notes:
        _say(f"[yellow]note[/] {escape(note)}")
    for problem in found.problems:
        _say(f"[red]wrong[/] {escape(problem)}")
    if code == TOO_MANY_BAD:
        _say(
            "[red]wrong[/] too many rows cannot be used: a night would not start. Correct the "
            "ledger or the settings; or raise most_quarantined, if it is to be so"
        )
    if code == 0:
        _say("[green]A night could read all of it.[/]")


def _as_json(found: DryRun, settings: OutletFile, code: int) -> dict[str, object]:
    counts = {name: number for name, number in asdict(found.intake).items() if name != "read_now"}
    return {
        "exit_code": code,
        "ledger": settings.ledger.name,
        "columns": [_column_as_json(tally) for tally in found.columns.values()],
        "counts": {**counts, "unknown": sum(found.unknown.values())},
        "kinds": found.kinds,
        "share": found.intake.share,
        "most_quarantined": settings.most_quarantined,
        "references_in_no_tier": len(found.unknown),
        "sightings_of_nobody": found.apart,
        "notes": found.notes,
        "problems": found.problems,
    }


def _column_as_json(tally: ColumnTally) -> dict[str, object]:
    ends = tally.range or ()
    return {
        "column": tally.name,
        "own": tally.own,
        "filled": tally.filled,
        "range": [end.isoformat() if isinstance(end, dt.date) else end for end in ends] or None,
        "usable": tally.usable,
        "bad": tally.bad,
        "first_bad": [asdict(one) for one in tally.first_bad()],
    }
