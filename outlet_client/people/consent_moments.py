"""When a consent was recorded, as a file of consents says it.

Invariant: a moment is read in the one form that was said, ISO 8601 by default; a cell that could
be two moments is none, and the reason names the option that decides it, never the cell.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from features.cell_parsing import FIRST_DAY, ISO_DAY, LAST_DAY, days

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLOCK_SKEW = dt.timedelta(minutes=5)
_EXCEL = {"excel": dt.datetime(1899, 12, 30, tzinfo=dt.UTC)} | {
    "excel-1904": dt.datetime(1904, 1, 1, tzinfo=dt.UTC)
}

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d|\d{8})"  # the same, with signs or without
    r"([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?|\d\d(\d\d([.,]\d+)?)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?)?",
    re.IGNORECASE,
)
_ORDERED = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?:( \d\d?:\d\d)(:\d\d)?( ?[AaPp][Mm])?)?"
)
_LARGEST_MONTH = 12
_BUDDHIST_ERA = 2400

_NUMBER = "a number; expected a date such as 2026-03-01, or --dates excel, epoch or epoch-ms"
_EIGHT_DIGITS = "eight digits that are no day as YYYYMMDD; expected --dates, such as '%d%m%Y'"
_EITHER_ORDER = "ambiguous: day and month may stand in either order"
_OTHER = "not a moment; expected ISO 8601 such as 2026-03-01T10:30:00+08:00, or --dates"
_FUTURE = "in the future"


class Moment(NamedTuple):
    """What was made of a cell: a moment in UTC, or why there is none."""

    at: dt.datetime | None = None
    reason: str = ""


def read_moments(column: pl.Series, source: str, dates: str, now: dt.datetime) -> list[Moment]:
    """Reads a column of moments; one that says no offset is UTC's, a day is its first moment.

    Args:
        column: Text, days, moments or numbers.
        source: The file's name, for errors.
        dates: The form of its days, as a table's `dates`; `ISO_DAY` is all of ISO 8601.
        now: A later moment is refused.

    Raises:
        LedgerError: If `dates` is no form.
    """
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        found = [_native(one) for one in column]
    elif dates == ISO_DAY:
        found = [_iso(text) for text in _texts(column)]
    else:
        found = _in_form(column, source, dates)
    return [_past(moment, now) for moment in found]


def _native(cell: dt.date | None) -> Moment:
    if cell is None:
        return Moment(reason="empty; expected a moment")
    return Moment(_utc(cell) if isinstance(cell, dt.datetime) else _midnight(cell))


def _texts(column: pl.Series) -> Iterable[str]:
    return column.cast(pl.String).fill_null("").str.strip_chars()


def _iso(text: str) -> Moment:
    """A moment in ISO 8601, its basic form too: 20260203 can be no other day in its order."""
    if not text:
        return Moment(reason="empty; expected a moment")
    if _ISO.fullmatch(text):
        try:
            moment = dt.datetime.fromisoformat(text.upper().replace(",", "."))
        except ValueError:
            moment = None
        if moment is not None and FIRST_DAY <= moment.date() <= LAST_DAY:
            return Moment(_utc(moment))
        return Moment(reason=_EIGHT_DIGITS if text.isdecimal() else _OTHER)
    if re.fullmatch(r"\d+([.,]\d+)?", text):
        return Moment(reason=_NUMBER)
    if found := _ORDERED.fullmatch(text):
        return Moment(reason=_ordered(found))
    return Moment(reason=_OTHER)


def _ordered(found: re.Match[str]) -> str:
    """What to say of a day with its parts in an order that ISO 8601 has not: the forms it fits."""
    one, sign, other, year, clock, seconds, half = found.groups()
    is_buddhist = len(year) > 2 and int(year) > _BUDDHIST_ERA  # noqa: PLR2004  (with its century)
    end = f"{sign}{'%y' if len(year) == 2 else '%Y'}"  # noqa: PLR2004  (without it)
    if clock:
        end += f" %{'I' if half else 'H'}:%M{':%S' if seconds else ''}"
        end += "" if not half else " %p" if half.startswith(" ") else "%p"
    before = "buddhist " if is_buddhist else ""
    forms = {"%d": int(other) <= _LARGEST_MONTH, "%m": int(one) <= _LARGEST_MONTH}
    fit = [
        f"--dates '{before}{first}{sign}{'%m' if first == '%d' else '%d'}{end}'"
        for first, fits in forms.items()
        if fits
    ]
    what = _EITHER_ORDER if len(fit) > 1 else "not in the order of ISO 8601"
    return f"{what}; expected {' or '.join(fit)}" if fit else _OTHER


def _in_form(column: pl.Series, source: str, dates: str) -> list[Moment]:
    """Moments in a form that was said: the day as ledgers read it, and its time if there is one."""
    cells = days(column, source, dates)
    reasons = dict(cells.bad().iter_rows())
    return [
        Moment(reason=reasons[place]) if day is None else Moment(_timed(text, dates, day))
        for place, (day, text) in enumerate(zip(cells.values, _texts(column), strict=True))
    ]


def _timed(text: str, dates: str, day: dt.date) -> dt.datetime:
    """A day's moment as the cell has it; its first moment where the form says no time."""
    moment = None
    try:
        if dates in _EXCEL:
            moment = _EXCEL[dates] + dt.timedelta(days=float(text.replace(",", ".")))
        elif dates.startswith("epoch"):
            seconds = float(text.replace(",", "."))
            is_thousandth = dates.startswith("epoch-ms")
            return dt.datetime.fromtimestamp(seconds / (1000 if is_thousandth else 1), dt.UTC)
        else:
            moment = _utc(dt.datetime.strptime(text, dates))  # noqa: DTZ007  (UTC where none is said)
            if "%z" in dates:
                return moment
    except ValueError:
        moment = None  # names of months, or an era: the day alone is known
    return moment if moment is not None and moment.date() == day else _midnight(day)


def _past(moment: Moment, now: dt.datetime) -> Moment:
    is_future = moment.at is not None and moment.at > now + _CLOCK_SKEW
    return Moment(reason=_FUTURE) if is_future else moment


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
