"""`escapement-outlet init`: settings for a ledger that nobody has described yet.

Invariant: `init` reads the outlet's data and writes settings, and a password's file, and nothing
else; it never replaces settings that somebody made. It prints column names and counts, no cell of a
customer.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import phonenumbers
import sqlalchemy as sa
import typer
from rich.markup import escape
from sqlalchemy.exc import ArgumentError

from outlet_client.commands.command_errors import failing
from outlet_client.commands.options import HERE, Home
from outlet_client.commands.output import OUT
from outlet_client.errors import NotConfigured
from outlet_client.settings import OutletFile
from outlet_client.setup.column_matching import cells_of, fit
from outlet_client.setup.sampling import look_at_files, look_at_table
from outlet_client.setup.section_guess import (
    customer_among,
    describe_clients,
    describe_ledger,
    region_among,
)
from outlet_client.setup.settings_sections import Line, Section
from outlet_client.setup.settings_text import settings_text
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import primary_key_of
from privacy.keyring import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from outlet_client.setup.format_guess import Guess
    from outlet_client.setup.sampling import Seen

SETTINGS = "escapement.toml"
OLD_SETTINGS = "escapement.toml.old"
PASSWORD_FILE = "ledger.password"  # noqa: S105  (a file's name)
_REGION = "SG"


def init(
    source: Annotated[str, typer.Argument(help="The ledger: a CSV or Parquet file, or a URL.")],
    table: Annotated[str | None, typer.Option(help="The database's table or view.")] = None,
    query: Annotated[str | None, typer.Option(help="A SELECT instead of a table.")] = None,
    clients: Annotated[
        str | None, typer.Option(help="The client book: a file, or a table of the database.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Country of phones without one, such as SG.")
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
        place = home / SETTINGS
        if place.exists() and not force:
            raise NotConfigured(
                f"{place}: is there already; --force replaces it and keeps the old one"
            )
        if "://" in source:
            password = typer.prompt("Password", hide_input=True) if ask_password else None
            found = _of_database(source, password, table, query, clients)
        else:
            found = _of_files(source, clients)
        country = _region(region, found)
        text = settings_text(found.words, country, found.placed(home))
        OutletFile(**tomllib.loads(text))  # before anything is written: what it reads as settings
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if found.password is not None:
            write_private(home / PASSWORD_FILE, f"{found.password}\n".encode())
        if place.exists():
            write_private(home / OLD_SETTINGS, place.read_bytes())
        write_private(place, text.encode())
        _say(place, country, found)
        if found.password is not None and not ask_password:
            _told(
                "The password, as part of the URL, is in your shell's history too; --ask-password "
                "asks for it instead."
            )


@dataclass(frozen=True, slots=True, repr=False)
class _Found:
    """What `init` found.

    Attributes:
        words: What was looked at.
        tables: Each section with where its table is: absolute, without a password.
        samples: Of each section.
        password: The database's.
    """

    words: str
    tables: tuple[tuple[Section, Source], ...]
    samples: Mapping[str, pl.DataFrame]
    password: str | None = None

    def placed(self, home: Path) -> tuple[tuple[Section, Source], ...]:
        """The tables, with files relative to the folder of the settings where they are in it."""
        return tuple((section, _relative(source, home)) for section, source in self.tables)


def _of_files(pattern: str, clients: str | None) -> _Found:
    seen = look_at_files(pattern)
    ledger = _with_form(describe_ledger(seen.sample), seen)
    book = None if clients is None else look_at_files(clients)
    return _found(f"{len(seen.sample):,} rows of {Path(pattern).name}", ledger, seen, book)


def _found(words: str, ledger: Section, seen: Seen, book: Seen | None) -> _Found:
    """The ledger and, where there is one, the client book that holds its customers."""
    if book is None:
        return _Found(words, ((ledger, seen.source),), {"ledger": seen.sample})
    section = describe_clients(book.sample, _customer(book.sample, seen.sample))
    tables = ((ledger, seen.source), (_with_form(section, book), book.source))
    return _Found(words, tables, {"ledger": seen.sample, "clients": book.sample})


def _with_form(section: Section, seen: Seen) -> Section:
    """A section that says how a CSV file is written, too."""
    section.form[:0] = [Line(name, guess.value, guess.why) for name, guess in seen.guesses.items()]
    section.doubts[:0] = seen.doubts
    return section


def _customer(book: pl.DataFrame, ledger: pl.DataFrame) -> Guess | None:
    """The client book's column with the ledger's customers."""
    own = fit(ledger, ("customer_id",)).get("customer_id")
    if own is None:
        return None
    return customer_among(book, cells_of(ledger.select(own.value))[own.value].text)


def _relative(source: Source, home: Path) -> Source:
    """A source as the settings in a folder name it."""
    folder = home.resolve()
    if not source.is_database:
        return source.model_copy(update={"source": _from(folder, source.source)})
    url = sa.make_url(source.source)
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=_from(folder, url.database))
    return source.model_copy(update={"source": url.render_as_string(hide_password=False)})


def _from(folder: Path, file: str) -> str:
    path = Path(file).absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _of_database(
    text: str, asked: str | None, table: str | None, query: str | None, clients: str | None
) -> _Found:
    url = _url(text, asked)
    base = Source(source=url.render_as_string(hide_password=False))
    source = base.model_copy(update={"table": table, "query": query})
    seen = look_at_table(source)
    ledger = describe_ledger(seen.sample, primary_key_of(source))
    if any(line.todo for line in ledger.columns):
        doubt = "is the rest in another table? Name a SELECT that joins them with --query"
        ledger.doubts.append(doubt)
    book = None if clients is None else _client_book(base, clients)
    found = _found(f"{len(seen.sample):,} rows of {table or 'the query'}", ledger, seen, book)
    tables = tuple((section, _without_password(place, url)) for section, place in found.tables)
    return replace(found, tables=tables, password=url.password and str(url.password))


def _client_book(base: Source, name: str) -> Seen:
    """The client book: a file of that name, else a table of the ledger's database."""
    if Path(name).is_file():
        return look_at_files(name)
    return look_at_table(base.model_copy(update={"table": name}))


def _url(text: str, asked: str | None) -> sa.URL:
    """The database's address.

    Raises:
        NotConfigured: If it is none, or carries a password where it would be written down.
    """
    try:
        url = sa.make_url(text.replace("postgres://", "postgresql://", 1))
        url.get_dialect()
    except (ArgumentError, ImportError, ValueError) as error:
        raise NotConfigured(
            "URL: not readable; expected such as postgresql://user@host/database or "
            "sqlite:///file.db, with a driver that is installed here"
        ) from error
    if {"password", "passfile"} & set(url.query):
        raise NotConfigured("URL: a password behind the ?; write it as user:password@host instead")
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    return url if asked is None else url.set(password=asked)


def _without_password(source: Source, url: sa.URL) -> Source:
    if url.password is None or not source.is_database:
        return source
    bare = sa.URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database, url.query
    )
    return source.model_copy(
        update={
            "source": bare.render_as_string(hide_password=False),
            "password_file": Path(PASSWORD_FILE),
        }
    )


def _region(told: str | None, found: _Found) -> Line:
    """The outlet's country, as told or guessed."""
    if told is not None:
        if told.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise NotConfigured(f"--region: got '{told}', expected two letters such as SG or US")
        return Line("region", told.upper(), "as told with --region: of phones without a country")
    guess = region_among(found.samples)
    if guess is None:
        return Line(
            "region", _REGION, "two letters: your country, for phones without one", todo=True
        )
    return Line("region", guess.value, f"of phones without a country: {guess.why}")


def _say(place: Path, region: Line, found: _Found) -> None:
    """What was found, and what is left to do."""
    OUT.print(f"Looked at {escape(found.words)}:", highlight=False)
    for section, _ in found.tables:
        for line in (*section.form, *section.columns, *section.codes, *section.constants):
            if not line.todo:
                value = line.value if isinstance(line.value, str) else ", ".join(line.value)
                _told(f"  {section.name}: {line.key} = {value!r}  ({line.why})")
    todos = [f"[{section.name}] {todo}" for section, _ in found.tables for todo in section.todos]
    if region.todo:
        todos.insert(0, f"region: {region.why}")
    names = {line.key for section, _ in found.tables for line in section.columns}
    if not {"phone", "email"} & names:
        todos.append(
            "clients: nobody can be recognised without phone or e-mail; name the client book with "
            "--clients, or in a section [clients]"
        )
    if found.password is not None:
        _told(f"The password is in {PASSWORD_FILE}, for this user only.")
    _told(f"Settings: {place}")
    for todo in todos:
        OUT.print(f"[yellow]TODO[/] {escape(todo)}", highlight=False, soft_wrap=True)
    _told("Next: `escapement-outlet check`" + (", after the TODOs." if todos else "."))


def _told(text: str) -> None:
    OUT.print(escape(text), highlight=False, soft_wrap=True)
