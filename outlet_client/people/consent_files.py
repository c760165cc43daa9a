"""Files of consents: from rows of phone, e-mail, notice, day and staff to consents under keys.

Invariant: a phone or e-mail is turned into a key and forgotten; every record of a file is a
consent, left out and counted, or bad; and a bad cell is told by row, heading and reason, without
it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from features.cell_parsing import text_of
from features.errors import LedgerError
from outlet_client.errors import ConsentRefused
from outlet_client.people.book_reading import SHARED
from outlet_client.people.consent_moments import read_moments
from outlet_client.people.consents import Consent
from outlet_client.people.identifiers import read_email
from outlet_client.people.phone_numbers import check_region, read_phone
from outlet_client.people.record_linkage import MOST_SHARING
from outlet_client.sources.row_batches import ROW
from outlet_client.sources.table_reader import batches_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from outlet_client.people.consent_moments import Moment
    from outlet_client.people.identifier_flaws import Reading
    from outlet_client.sources.source import Source

NEEDED = ("notice", "recorded_at", "recorded_by")
"""Which text they agreed to, when, and recorded by whom."""

WHO = ("phone", "email")
"""One of both at least."""

ANSWERS = ("consented", "withdrawn")
"""What some files hold too: whether somebody agreed, and whether that has ended."""

COLUMNS = (*WHO, *NEEDED)
"""Of a file of consents."""

BLANK, SAID_NO, ENDED = "blank", "of somebody who said no", "of a consent that has ended"
"""Why records are left out."""

_YES = frozenset(
    {"true", "t", "yes", "y", "ja", "j", "oui", "o", "si", "sì", "s", "1", "x", "given"}
)
_NO = frozenset({"false", "f", "no", "n", "nein", "non", "0"})


class Fault(NamedTuple):
    """A bad cell, or one that is not used.

    Attributes:
        row: Its record, from 1 without the header.
        column: The file's own heading; "" where it is about the whole record.
    """

    row: int
    column: str
    reason: str


@dataclass(slots=True, repr=False)
class ConsentFile:
    """A file of consents as it was read.

    Attributes:
        consents: Its good rows.
        bad: What must be put right, in order; then none of the consents is to be recorded.
        unused: Phones and e-mails that identify nobody, of rows that have another that does.
        left_out: How many records were left out on purpose, by reason.
    """

    consents: list[Consent] = field(default_factory=list)
    bad: list[Fault] = field(default_factory=list)
    unused: list[Fault] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def check(self, name: str, lines: Mapping[int, int] | None = None) -> None:
        """Refuses a file with anything bad.

        Args:
            name: The file's.
            lines: The line of it that a row stands on, as far as it is known.

        Raises:
            ConsentRefused: With all that is bad.
        """
        if self.bad:
            raise ConsentRefused(name, self.bad, lines)


@dataclass(frozen=True, slots=True, repr=False)
class _Row:
    """A record that speaks of somebody who agreed."""

    number: int
    who: dict[str, Reading]
    notice: str
    moment: Moment
    by: str

    def identifiers(self) -> list[str]:
        """What is usable of phone and e-mail, the phone first."""
        return [one.identifier for one in self.who.values() if one.identifier is not None]


def read_consents(
    source: Source, key_of: Callable[[str], str], region: str | None, now: dt.datetime
) -> ConsentFile:
    """Reads a file of consents; nothing is recorded.

    Args:
        source: Where it is, with its own headings; `dates` as a table's, by default ISO 8601.
        key_of: The outlet's key of an identifier.
        region: Of phones without a country.
        now: A consent that is younger is bad.

    Raises:
        LedgerError: If there is no such file, or it cannot be read at all.
        NotConfigured: If the region is unknown.
    """
    check_region(region)
    found = ConsentFile()
    rows: list[_Row] = []
    for where, batch in batches_of(source, (*COLUMNS, *ANSWERS)):
        _refuse_days(batch.rows, source, where)
        found.bad += [Fault(*one) for one in batch.malformed.iter_rows()]
        found.left_out.update(batch.apart["reason"])
        rows += _rows_of(batch.rows, source, region, now, found)
    shared = _shared(rows)
    for row in rows:
        _judge(row, source, shared, key_of, found)
    found.bad.sort(key=lambda fault: fault.row)
    found.unused.sort(key=lambda fault: fault.row)
    return found


def _rows_of(
    table: pl.DataFrame, source: Source, region: str | None, now: dt.datetime, found: ConsentFile
) -> Iterator[_Row]:
    """The records of those who agreed; others are left out, or bad."""
    texts = {name: _texts(table, name, source) for name in (*COLUMNS, *ANSWERS)}
    moments = read_moments(_column(table, "recorded_at"), source.name, source.dates, now)
    own = [name for name in texts if name in table.columns and name not in source.constants]
    for place, number in enumerate(table[ROW]):
        cell = {name: texts[name][place] for name in texts}
        if not any(cell[name] for name in own):
            found.left_out[BLANK] += 1
        elif "consented" in own and not _agrees(cell["consented"]):
            if _agrees(cell["consented"]) is None:
                heading = _heading(source, "consented")
                found.bad.append(Fault(number, heading, "neither yes nor no; expected one of them"))
            else:
                found.left_out[SAID_NO] += 1
        elif cell["withdrawn"] and _agrees(cell["withdrawn"]) is not False:
            found.left_out[ENDED] += 1
        else:
            who = {"phone": read_phone(cell["phone"], region), "email": read_email(cell["email"])}
            yield _Row(number, who, cell["notice"], moments[place], cell["recorded_by"])


def _refuse_days(table: pl.DataFrame, source: Source, where: str) -> None:
    """Refuses days where the notice's version stands: a spreadsheet makes them of 2026-01.

    Raises:
        LedgerError: If that is so.
    """
    if "notice" in table.columns and table["notice"].dtype.is_temporal():
        reason = "days, as a spreadsheet makes of 2026-01; make the column text and type them again"
        raise LedgerError(where, None, _heading(source, "notice"), reason)


def _column(table: pl.DataFrame, name: str) -> pl.Series:
    if name in table.columns:
        return table[name]
    return pl.repeat(None, len(table), dtype=pl.String, eager=True)


def _texts(table: pl.DataFrame, name: str, source: Source) -> list[str]:
    """A column as text without blanks around; "" where a cell is blank."""
    column = _column(table, name)
    is_number = column.dtype.is_float() or column.dtype.is_decimal()
    text = text_of(column, source.name) if is_number else column.cast(pl.String)
    return text.str.strip_chars().fill_null("").to_list()


def _agrees(cell: str) -> bool | None:
    """Whether a cell says yes; None where it says neither yes nor no."""
    word = cell.casefold()
    return True if word in _YES else False if word in _NO else None


def _heading(source: Source, name: str) -> str:
    return source.columns.get(name, name)


def _shared(rows: Sequence[_Row]) -> set[str]:
    """Phones that stand beside too many different e-mails to be one person's, and vice versa."""
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        for one, other in permutations(row.identifiers(), 2):
            beside[one].add(other)
    return {one for one, others in beside.items() if len(others) > MOST_SHARING}


def _judge(
    row: _Row,
    source: Source,
    shared: set[str],
    key_of: Callable[[str], str],
    found: ConsentFile,
) -> None:
    """Adds a record's consent, or what is bad in it."""
    usable = [one for one in row.identifiers() if one not in shared]
    flaws = [
        Fault(row.number, _heading(source, name), SHARED if one.flaw is None else one.flaw)
        for name, one in row.who.items()
        if one.flaw is not None or one.identifier in shared
    ]
    bad = [] if usable else flaws
    if not usable and not flaws:
        there = [_heading(source, name) for name in WHO if name not in source.constants]
        bad.append(Fault(row.number, there[0], "empty, and the e-mail too; expected one of them"))
    for name, cell in (("notice", row.notice), ("recorded_by", row.by)):
        if not cell:
            bad.append(Fault(row.number, _heading(source, name), "empty; expected a value"))
    at = row.moment.at
    if at is None:
        bad.append(Fault(row.number, _heading(source, "recorded_at"), row.moment.reason))
    if bad or at is None:
        found.bad += bad
    else:
        found.unused += flaws
        key, *also = (key_of(one) for one in usable)
        found.consents.append(Consent(key, row.notice, at, row.by, tuple(also)))
