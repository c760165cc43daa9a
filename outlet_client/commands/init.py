"""`escapement-outlet init`: settings for a ledger that nobody has described yet.

Invariant: `init` reads the outlet's data and writes settings, a password's file and the secret of
customers' keys, and nothing else; it never replaces settings that somebody made. It prints column
names, counts and a masked preview, no cell by which a customer could be known.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import Annotated

import typer

from features.errors import LedgerError
from outlet_client.commands.check_report import print_doubts, print_preview
from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import OUT, say
from outlet_client.errors import NotConfigured
from outlet_client.settings import OutletFile
from outlet_client.setup.doubts import open_doubts
from outlet_client.setup.export_presets import NO_PRESET, presets
from outlet_client.setup.first_look import Asked, FirstLook, first_look
from outlet_client.setup.first_rows import first_rows
from outlet_client.setup.source_places import PASSWORD_FILE
from outlet_client.sources.customer_keys import ensure_secret
from privacy.keyring import write_private

SETTINGS = "escapement.toml"
OLD_SETTINGS = "escapement.toml.old"

_LIST = "list"


def init(
    source: Annotated[
        str, typer.Argument(help="The ledger: a table file such as CSV or xlsx, or a URL.")
    ] = "",
    table: Annotated[str | None, typer.Option(help="The database's table or view.")] = None,
    query: Annotated[str | None, typer.Option(help="A SELECT instead of a table.")] = None,
    clients: Annotated[
        str | None, typer.Option(help="The client book: a file, or a table of the database.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Country of phones without one, such as SG.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--as", help="Which system wrote it; 'list' names them, 'none' turns it off."),
    ] = None,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Asks for the database's password.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replaces settings that are there.")
    ] = False,
    home: Home = HERE,
) -> None:
    """Looks at the data and writes a commented escapement.toml. No keys are needed."""
    with failing():
        if preset == _LIST:
            _list_presets()
            return
        if not source:
            raise NotConfigured("init: name the ledger: a file, a pattern of files, or a URL")
        place = home / SETTINGS
        if place.exists() and not force:
            raise NotConfigured(
                f"{place}: is there already; --force replaces it and keeps the old one"
            )
        password = typer.prompt("Password", hide_input=True) if ask_password else None
        found = first_look(Asked(source, table, query, clients, region, preset, password))
        _write(found, home)
        _say_found(found)
        doubts = _say_rows(place)
        say(f"Settings: {place}")
        _say_next(found, doubts)
        if found.password is not None and not ask_password:
            say(
                "The password, as part of the URL, is in your shell's history too; --ask-password "
                "asks for it instead."
            )


def _list_presets() -> None:
    for name, preset in presets().items():
        say(f"{name.ljust(12)} {preset.title}")
    say(f"{NO_PRESET.ljust(12)} guess all of it from names and cells")


def _write(found: FirstLook, home: Path) -> None:
    """Writes the settings; the old ones are kept beside them."""
    text, place = found.settings(home), home / SETTINGS
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if found.password is not None:
        write_private(home / PASSWORD_FILE, f"{found.password}\n".encode())
    ensure_secret(home)
    if place.exists():
        write_private(home / OLD_SETTINGS, place.read_bytes())
    write_private(place, text.encode())


def _say_found(found: FirstLook) -> None:
    say(f"Looked at {found.words}:")
    known = "" if found.preset is None else f"as {found.preset.title} has it"
    if found.preset is not None:
        how = "as you said" if found.was_told else "by its headings; --as none turns that off"
        say(f"  It is {found.preset.title} ({how}).")
    for section, _ in found.tables:
        for place, line in section.lines:
            if not line.todo:
                value = ", ".join(line.value) if isinstance(line.value, tuple) else line.value
                why = "" if line.why == known else f"  ({line.why})"
                say(f"  {place} = {value!r}{why}")
    if found.password is not None:
        say(f"The password is in {PASSWORD_FILE}, for this user only.")


def _say_rows(place: Path) -> int:
    """Prints the first rows as the new settings read them; how many doubts they raise."""
    settings = OutletFile.read(place)
    try:
        rows, doubts = first_rows(settings, dt.datetime.now(dt.UTC).date())
    except LedgerError as error:
        say(f"No rows to show yet: {error}")
        return 0
    print_preview(rows, settings)
    print_doubts(doubts, settings)
    return len(open_doubts(doubts, settings))


def _say_next(found: FirstLook, doubts: int) -> None:
    todos = found.todos
    for todo in todos:
        OUT.print("[yellow]TODO[/]", end=" ")
        say(todo)
    after = [*(["the TODOs"] if todos else []), *(["the doubts"] if doubts else [])]
    say("Next: `escapement-outlet check`" + (f", after {' and '.join(after)}." if after else "."))
