"""`escapement-outlet check`: reads what the settings name, writes nothing, says what is wrong.

Invariant: nothing is logged, and nothing is written. Exit code 0: a night could read it; 1:
something is wrong; 8: too many bad rows; 10: a doubt is open.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from outlet_client.commands.check_report import exit_code, print_report, report_as_json
from outlet_client.commands.command_errors import failing
from outlet_client.commands.identifier_list import list_identifiers
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import ERR, say_json
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import dry_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def check(
    home: Home = HERE,
    identifiers: Annotated[
        bool,
        typer.Option(
            "--identifiers", help="Lists phones and e-mails that identify nobody, by row."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Reads everything that escapement.toml names, writes nothing, and reports it by column."""
    with failing():
        settings = OutletFile.read(home / "escapement.toml")
        if identifiers:
            list_identifiers(settings, as_json=as_json)
            return
        with _bar() as progress:
            found = dry_run(settings, dt.datetime.now(dt.UTC), progress, home)
        code = exit_code(found, settings)
        if as_json:
            say_json(report_as_json(found, settings, code))
        else:
            print_report(found, settings, code)
        raise typer.Exit(code)


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
