"""`escapement-outlet check`: reads what the settings name, writes nothing, says what is wrong.

Invariant: of a bad cell the terminal shows at most a date, an amount or a code, never a name, phone
or e-mail; nothing is logged. Exit code 0: a night could read it; 1: something is wrong; 8: too many
bad rows.
"""

from __future__ import annotations

import datetime as dt
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import ERR, HERE, OUT, Home
from outlet_client.settings import OutletFile
from outlet_client.setup.findings import WHOLE_ROW
from outlet_client.setup.redaction import reference_shown
from outlet_client.setup.settings_check import look_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outlet_client.setup.column_tally import Tally
    from outlet_client.setup.findings import Found, Table

WRONG, TOO_MANY_BAD = 1, 8
"""Exit codes."""

_SHOWN_REFERENCES = 10


def check(
    home: Home = HERE,
    as_json: Annotated[  # noqa: FBT002  (a flag on the command line)
        bool, typer.Option("--json", help="For programs.")
    ] = False,
) -> None:
    """Reads everything that escapement.toml names, writes nothing, and reports it by column."""
    with failing():
        settings = OutletFile.read(home / "escapement.toml")
        with _bar() as progress:
            found = look_over(settings, dt.datetime.now(dt.UTC), progress, home)
        code = _code(found, settings)
        if as_json:
            OUT.print_json(json.dumps(_as_json(found, settings, code)))
        else:
            for table in found.tables.values():
                _print_table(table)
            _print_counts(found, settings)
            _print_rest(found, code)
        raise typer.Exit(code)


def _code(found: Found, settings: OutletFile) -> int:
    if found.problems:
        return WRONG
    return TOO_MANY_BAD if found.counts.share > settings.most_quarantined else 0


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


# --- for people -----------------------------------------------------------------------------------


def _print_table(table: Table) -> None:
    OUT.print(
        f"\n[bold]{table.name}[/]: {escape(table.where)}, {table.rows:,} rows", highlight=False
    )
    grid = Grid("column", "yours", box=None, pad_edge=False)
    for name in ("filled", "distinct", "from", "to", "bad"):
        grid.add_column(name, justify="right")
    for tally in table.columns.values():
        if tally.name != WHOLE_ROW:
            low, high = _range(tally)
            bad = f"[red]{tally.bad:,}[/]" if tally.bad else ""
            row = (
                tally.name,
                escape(tally.own),
                f"{tally.filled:,}",
                f"{tally.distinct:,}",
                low,
                high,
                bad,
            )
            grid.add_row(*row)
    OUT.print(grid)
    for tally in table.columns.values():
        if tally.usable is not None:
            usable, looked_at = tally.usable
            OUT.print(
                f"{tally.name}: {usable:,} of {looked_at:,} different ones can be used",
                highlight=False,
            )
        _print_bad(tally)


def _print_bad(tally: Tally) -> None:
    first = tally.first_bad()
    for one in first:
        cell = "" if one.cell is None else f": {one.cell}"
        where = f", {tally.name}" if tally.name != WHOLE_ROW else ""
        text = f"  {one.file}, row {one.row}{where}: {one.reason}{cell}"
        OUT.print(escape(text), highlight=False, soft_wrap=True)
    if tally.bad > len(first):
        OUT.print(f"  ... and {tally.bad - len(first):,} more", highlight=False)


def _range(tally: Tally) -> tuple[str, str]:
    if tally.range is None:
        return "", ""
    low, high = (
        f"{end:,.2f}" if isinstance(end, float) else end.isoformat() for end in tally.range
    )
    return low, high


def _print_counts(found: Found, settings: OutletFile) -> None:
    counts = found.counts
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(counts.kinds.items()))
    corrected = f" + {counts.superseded:,} corrected later" if counts.superseded else ""
    OUT.print(
        f"\n{counts.rows:,} rows = {counts.used:,} used + {counts.left_out:,} left out by date"
        f"{corrected} + {counts.quarantined:,} in quarantine ({counts.share:.2%}, at most "
        f"{settings.most_quarantined:.2%})\n{kinds}",
        highlight=False,
        soft_wrap=True,
    )
    if found.unknown:
        first = list(found.unknown.items())[:_SHOWN_REFERENCES]
        said = ", ".join(f"{reference_shown(one)} ({number:,} rows)" for one, number in first)
        more = ", ..." if len(found.unknown) > len(first) else ""
        OUT.print(escape(f"In no tier: {said}{more}"), highlight=False, soft_wrap=True)
    if found.apart is not None:
        said = ", ".join(f"{number:,} {why}" for why, number in found.apart.items())
        OUT.print(f"Sightings of nobody: {said}", highlight=False)


def _print_rest(found: Found, code: int) -> None:
    for note in found.notes:
        OUT.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    for problem in found.problems:
        OUT.print(f"[red]wrong[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if code == TOO_MANY_BAD:
        OUT.print(
            "[red]wrong[/] too many rows cannot be used: a night would not start. Correct the "
            "ledger or the settings; or raise most_quarantined, if it is to be so",
            highlight=False,
            soft_wrap=True,
        )
    if code == 0:
        OUT.print("[green]A night could read all of it.[/]", highlight=False)


# --- for programs ---------------------------------------------------------------------------------


def _as_json(found: Found, settings: OutletFile, code: int) -> dict[str, object]:
    counts = found.counts
    return {
        "exit_code": code,
        "tables": [_table_as_json(table) for table in found.tables.values()],
        "counts": {
            name: getattr(counts, name)
            for name in ("rows", "used", "left_out", "superseded", "quarantined", "unknown")
        },
        "kinds": counts.kinds,
        "share": counts.share,
        "most_quarantined": settings.most_quarantined,
        "references_in_no_tier": len(found.unknown),
        "sightings_of_nobody": found.apart,
        "notes": found.notes,
        "problems": found.problems,
    }


def _table_as_json(table: Table) -> dict[str, object]:
    return {
        "name": table.name,
        "source": table.where,
        "rows": table.rows,
        "columns": [
            {
                "column": tally.name,
                "own": tally.own,
                "cells": tally.cells,
                "filled": tally.filled,
                "distinct": tally.distinct,
                "range": None if tally.range is None else [_plain(end) for end in tally.range],
                "usable": tally.usable,
                "bad": tally.bad,
                "first_bad": [
                    {"file": one.file, "row": one.row, "reason": one.reason, "cell": one.cell}
                    for one in tally.first_bad()
                ],
            }
            for tally in table.columns.values()
        ],
    }


def _plain(end: dt.date | float) -> str | float:
    return end.isoformat() if isinstance(end, dt.date) else end
