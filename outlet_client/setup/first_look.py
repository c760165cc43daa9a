"""What `init` finds out: the outlet's tables, described section by section, and their settings.

Invariant: looking reads the outlet's data and changes nothing; what is found holds column names,
codes and counts, and no cell of a customer.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import phonenumbers

from outlet_client.errors import NotConfigured
from outlet_client.settings import OutletFile
from outlet_client.setup.column_matching import fit
from outlet_client.setup.currency_guess import guess_currency
from outlet_client.setup.export_presets import ExportPreset, preset_named, recognised
from outlet_client.setup.sample_columns import cells_of
from outlet_client.setup.sampling import look_at_files, look_at_table
from outlet_client.setup.section_guess import (
    customer_among,
    describe_clients,
    describe_ledger,
    region_among,
)
from outlet_client.setup.settings_sections import Line, Section
from outlet_client.setup.settings_text import settings_text
from outlet_client.setup.source_places import database_url, relative_to, without_password
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import primary_key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from outlet_client.setup.format_guess import Guess
    from outlet_client.setup.sampling import Seen

_EXAMPLE_REGION = "SG"


@dataclass(frozen=True, slots=True)
class Asked:
    """What `init` was asked to look at.

    Attributes:
        source: The ledger: a file, a pattern of files, or a database's URL.
        table: The database's table or view,
        query: or a SELECT instead.
        clients: The client book: a file, or a table of the database.
        region: The outlet's country, such as "SG"; None to guess it.
        preset: The system that wrote the export, "none", or None to recognise it.
        password: The database's, where it was asked for.
    """

    source: str
    table: str | None = None
    query: str | None = None
    clients: str | None = None
    region: str | None = None
    preset: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class FirstLook:
    """What was found.

    Attributes:
        words: What was looked at.
        tables: Each section with where its table is: absolute, without a password.
        region: The outlet's country.
        preset: Which system wrote the ledger; None where that is unknown.
        was_told: Whether it was said which, so that nothing was recognised.
        password: The database's.
    """

    words: str
    tables: tuple[tuple[Section, Source], ...]
    region: Line
    preset: ExportPreset | None = None
    was_told: bool = False
    password: str | None = None

    @property
    def todos(self) -> list[str]:
        """What is left for a person; each a sentence."""
        todos = [todo for section, _ in self.tables for todo in section.todos]
        if self.region.todo:
            todos.insert(0, f"region: {self.region.why}")
        names = {line.key for section, _ in self.tables for line in section.columns}
        if not {"phone", "email"} & names:
            todos.append(
                "clients: nobody can be recognised without phone or e-mail; name the client book "
                "with --clients, or in a section [clients]"
            )
        return todos

    def settings(self, home: Path) -> str:
        """The text of `escapement.toml`, with files relative to its folder where they are in it.

        Raises:
            pydantic.ValidationError: If the settings would not take it: a defect.
        """
        tables = [(section, relative_to(source, home)) for section, source in self.tables]
        text = settings_text(self.words, self.region, tables)
        OutletFile(**tomllib.loads(text))
        return text


def first_look(asked: Asked) -> FirstLook:
    """Looks at an outlet's ledger and client book.

    Raises:
        LedgerError: If a file or table cannot be read.
        NotConfigured: If what was asked for is not there.
    """
    ask_region(asked.region)
    if "://" not in asked.source:
        seen = look_at_files(asked.source)
        book = None if asked.clients is None else look_at_files(asked.clients)
        words = f"{len(seen.sample):,} rows of {Path(asked.source).name}"
        return _look(asked, words, seen, book)
    url = database_url(asked.source, asked.password)
    base = Source(source=url.render_as_string(hide_password=False))
    source = base.model_copy(update={"table": asked.table, "query": asked.query})
    seen = look_at_table(source)
    book = None if asked.clients is None else _client_book(base, asked.clients)
    words = f"{len(seen.sample):,} rows of {asked.table or 'the query'}"
    found = _look(asked, words, seen, book, primary_key_of(source))
    ledger = found.tables[0][0]
    if any(line.todo for line in ledger.columns):
        doubt = "is the rest in another table? Name a SELECT that joins them with --query"
        ledger.doubts.append(doubt)
    tables = tuple((section, without_password(place, url)) for section, place in found.tables)
    return replace(found, tables=tables, password=url.password and str(url.password))


def _look(
    asked: Asked, words: str, seen: Seen, book: Seen | None, line_key: str | None = None
) -> FirstLook:
    """The ledger and, where there is one, the client book that holds its customers."""
    preset = (
        recognised(seen.sample.columns)
        if asked.preset is None
        else preset_named(asked.preset, seen.sample.columns)
    )
    ledger = describe_ledger(seen.sample, line_key, preset)
    tables = [(_with_form(ledger, seen), seen.source)]
    samples = {"ledger": seen.sample}
    if book is not None:
        own = next((line for line in ledger.columns if line.key == "customer_id"), None)
        section = describe_clients(book.sample, _customer(book.sample, seen.sample, own))
        tables.append((_with_form(section, book), book.source))
        samples["clients"] = book.sample
    region = _region(asked.region, samples)
    guess_currency(ledger, seen.sample, None if region.todo else str(region.value))
    return FirstLook(words, tuple(tables), region, preset, asked.preset is not None)


def _with_form(section: Section, seen: Seen) -> Section:
    """A section that says how its file is written, too."""
    section.form[:0] = [_form_line(name, guess) for name, guess in seen.guesses.items()]
    section.doubts[:0] = seen.doubts
    return section


def _form_line(name: str, guess: Guess) -> Line:
    return Line(name, int(guess.value) if name == "skip_rows" else guess.value, guess.why)


def _customer(book: pl.DataFrame, ledger: pl.DataFrame, own: Line | None) -> Guess | None:
    """The client book's column with the ledger's customers."""
    name = str(own.value) if own is not None and not own.todo else None
    if name is None:
        guess = fit(ledger, ("customer_id",)).get("customer_id")
        name = None if guess is None else guess.value
    if name is None:
        return None
    return customer_among(book, cells_of(ledger.select(name))[name].text)


def _client_book(base: Source, name: str) -> Seen:
    """The client book: a file of that name, else a table of the ledger's database."""
    if Path(name).is_file():
        return look_at_files(name)
    return look_at_table(base.model_copy(update={"table": name}))


def ask_region(told: str | None) -> None:
    """Refuses what is no country.

    Raises:
        NotConfigured: If it is none.
    """
    if told is not None and told.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise NotConfigured(f"--region: got '{told}', expected two letters such as SG or US")


def _region(told: str | None, samples: Mapping[str, pl.DataFrame]) -> Line:
    """The outlet's country, as told or guessed."""
    if told is not None:
        return Line("region", told.upper(), "as told with --region: of phones without a country")
    guess = region_among(samples)
    if guess is None:
        why = "two letters: your country, for phones without one"
        return Line("region", _EXAMPLE_REGION, why, todo=True)
    return Line("region", guess.value, f"of phones without a country: {guess.why}")
