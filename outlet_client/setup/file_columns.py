"""Which headings of a file that is imported say what: of consents, or of a waitlist.

Invariant: a heading is taken for another only by its name, what was told goes before what is
guessed, and what was taken is shown; no cell is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.setup.code_guess import may_be_shown
from outlet_client.setup.column_names import likeness, without_number
from outlet_client.setup.sampling import look_at_files, rows_before_header
from outlet_client.sources.table_reader import header_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from outlet_client.errors import ImportRefused
    from outlet_client.sources.source import Source


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file that is imported may say.

    Attributes:
        names: All its canonical columns, in the order in which they are shown.
        needed: Those without which it says nothing.
        who: Of these one at least.
        refused: What is raised of a file that cannot be used.
    """

    names: tuple[str, ...]
    needed: tuple[str, ...]
    who: tuple[str, ...]
    refused: type[ImportRefused]


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a file is written, as it was told.

    Attributes:
        columns: Own headings by canonical name; "" where none is to be taken.
        constants: What stands in every row of a column that the file has not.
        dates: The form of its days; None for ISO 8601.
        sheet: Of a workbook; None for that of most rows.
    """

    columns: Mapping[str, str]
    constants: Mapping[str, str]
    dates: str | None = None
    sheet: str | None = None


def mapped_source(file: Path, told: FileForm, kind: FileKind) -> Source:
    """A file that is imported with its headings mapped.

    Raises:
        LedgerError: If there is no such file, or it cannot be read.
        ImportRefused: If a heading that was told is not there, or one that is needed is not found;
            naming all of them.
    """
    source = look_at_files(str(file)).source
    if told.sheet is not None:
        source = source.model_copy(update={"sheet": told.sheet})
        source = source.model_copy(update={"skip_rows": rows_before_header(source)})
    header = header_of(source)
    wrong = [
        (None, name, f"not a heading of the file; {_there(header, set())}")
        for name in told.columns.values()
        if name and name not in header
    ]
    if wrong:
        raise kind.refused(file.name, wrong)
    columns = _guessed(header, told, kind.names)
    twice = [
        (None, without_number(own), _twice(name, own, header))
        for name, own in columns.items()
        if name not in told.columns and len(_alike(own, header)) > 1
    ]
    if twice:
        raise kind.refused(file.name, twice)
    missing = [name for name in kind.needed if name not in {*columns, *told.constants}]
    missing += [] if {*kind.who} & {*columns, *told.constants} else kind.who[:1]
    if missing:
        reason = _missing(header, columns)
        raise kind.refused(file.name, [(None, name, reason.format(name=name)) for name in missing])
    changes = {"columns": columns, "constants": dict(told.constants)}
    return source.model_copy(update=changes | ({"dates": told.dates} if told.dates else {}))


def _guessed(header: list[str], told: FileForm, names: tuple[str, ...]) -> dict[str, str]:
    """Own headings by canonical name: those that were told, then those that sound like it."""
    found = {name: own for name, own in told.columns.items() if own}
    wanted = [name for name in names if name not in {*told.columns, *told.constants}]
    offers = sorted(
        ((likeness(own, name), name, own) for name in wanted for own in header),
        key=lambda offer: -offer[0],
    )
    for score, name, own in offers:
        if score > 0 and name not in found and own not in found.values():
            found[name] = own
    return {name: found[name] for name in names if name in found}


def _twice(name: str, own: str, header: list[str]) -> str:
    """What to say of a heading that stands several times, of which one was not told."""
    alike = _alike(own, header)
    places = [f"'{one}' (column {header.index(one) + 1})" for one in alike]
    return f'there {len(places)} times; say --column {name}="..." with {" or ".join(places)}'


def _alike(own: str, header: list[str]) -> list[str]:
    """The headings that are one but for the number that tells them apart."""
    return [one for one in header if without_number(one) == without_number(own)]


def _missing(header: list[str], columns: Mapping[str, str]) -> str:
    """What to say of a column that no heading sounds like; `{name}` stands for it."""
    constant = 'or, if it is the same in every row, --constant {name}="..."'
    return (
        f'missing; {_there(header, set(columns.values()))}. Say --column {{name}}="...", {constant}'
    )


def _there(header: list[str], taken: set[str]) -> str:
    """The file's headings that stand for nothing yet, as far as they cannot be somebody's cells."""
    free = [f"'{name}'" for name in header if name not in taken and may_be_shown(name)]
    used = [f"'{name}'" for name in header if name in taken]
    told = f"the file has {', '.join(free) or 'no other heading'}"
    return f"{told}, and for others {', '.join(used)}" if used else told
