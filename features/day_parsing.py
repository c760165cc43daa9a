"""How an outlet's days become days.

    %d.%m.%Y            as strptime has it; names of months and weekdays in English, German, French,
                        Italian and Chinese
    excel               days since the end of 1899, as Excel counts them; a fraction is the time
    excel-1904          likewise since 1904, as workbooks from old Macs count them
    epoch, epoch-ms     seconds or milliseconds since 1970 in UTC; `epoch +08:00` for that clock
    buddhist %d/%m/%Y   years of the Buddhist era, 543 more
    japanese            years of an emperor's era: 令和6年1月5日, R6.1.5

Invariant: a cell is a day in the one form that is said, or none; what another form would make of it
never counts. So a form of numbers takes only those that no other form writes: an Excel day is no
moment of 1970, a second is no millisecond.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import polars as pl

from features.cell_columns import Cells, filled, is_text, text_of, where
from features.day_names import ERAS, MONTHS, WEEKDAYS
from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2199, 12, 31)
"""Public bounds on a day; one outside is a mistake, such as the year 26."""

ISO_DAY = "%Y-%m-%d"
BUDDHIST, JAPANESE = "buddhist ", "japanese"
BUDDHIST_YEARS = 543
"""So many more than of the common era."""

EXCEL_DAYS = {"excel": 25_569, "excel-1904": 24_107}
"""Which serial number 1970 began with, in each of Excel's two ways to count."""

_SERIALS = (10_000, 99_999)
"""Five digits, from 1927 on: with fewer or more they are more likely a year, or a day as 311224."""

_LEAST_SECOND = 315_532_800
"""1980: a smaller number is a day as Excel counts, or digits of a day such as 20240105."""

_DAY = 86_400
_EPOCH = re.compile(r"epoch(-ms)?(?: ([+-])(\d\d):?([0-5]\d))?")
_DIRECTIVES = frozenset("%" + letter for letter in "YymdbBheaAjHIklMSpTRFD") | {"%.f", "%#z"}
_DAYS = ({"%Y", "%y"}, {"%m", "%b", "%B", "%h"}, {"%d", "%e"})
_SHORT_FOR_A_DAY = ({"%F"}, {"%D"}, {"%Y", "%j"})
_PARTS = re.compile(r"%\.f|%#z|%.?|[^%]+", re.DOTALL)
_JOINED = re.compile(r"%[YymdHMSIj]%[YymdHMSIj]")
_DIGITS = {"%Y": 4, "%j": 3, **dict.fromkeys(("%y", "%m", "%d", "%H", "%I", "%M", "%S"), 2)}
_HALVES = {"上午": "AM", "下午": "PM", "a.m.": "AM", "p.m.": "PM"}
_APART = "\x1f"
"""Stands around the number of a month that was written as a name: no digits join it."""


def days(column: pl.Series, source: str, dates: str = ISO_DAY) -> Cells:
    """A column of days, each needed."""
    found = _days(column, source, dates)
    written = {ISO_DAY: "YYYY-MM-DD", "excel": "45296 (excel)", "epoch": "1704412800 (epoch)"}
    outside = found.is_not_null() & ~found.is_between(FIRST_DAY, LAST_DAY)
    reason = f"not readable; expected a date in the calendar, as {written.get(dates, dates)}"
    return Cells(
        where(~outside, found),
        (
            (~filled(column), "empty; expected a value"),
            (found.is_null(), reason),
            (outside, f"before {FIRST_DAY.year} or after {LAST_DAY.year}"),
        ),
    )


def days_of(column: pl.Series, source: str, dates: str = ISO_DAY) -> pl.Series:
    """A column of days; null where a cell is none, or none from `FIRST_DAY` to `LAST_DAY`.

    Of a moment, the day on its own clock, not UTC's.

    Raises:
        LedgerError: If it is neither of days, moments, numbers nor text, or `dates` is no way to
            write a day.
    """
    found = _days(column, source, dates)
    return where(found.is_between(FIRST_DAY, LAST_DAY), found)


def _days(column: pl.Series, source: str, dates: str) -> pl.Series:
    kind = column.dtype
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return column.dt.date()
    numbers = kind.is_numeric() and dates != ISO_DAY
    if not (is_text(kind) or kind == pl.Null or numbers):
        reason = f"got type {kind}, expected {pl.Date()}"
        raise LedgerError(source, None, column.name, reason)
    try:
        return _read(column, source, dates).alias(column.name)
    except (ValueError, pl.exceptions.ComputeError) as error:
        reason = (
            f"dates = {dates!r} is no way to write a day; expected such as '%d.%m.%Y', 'excel', "
            "'epoch +08:00', 'buddhist %d/%m/%Y' or 'japanese'"
        )
        raise LedgerError(source, None, column.name, reason) from error


def _read(column: pl.Series, source: str, dates: str) -> pl.Series:
    """Days in one form.

    Raises:
        ValueError: If `dates` is no form.
    """
    epoch = _EPOCH.fullmatch(dates)
    if dates in EXCEL_DAYS:
        serial = _numbers(column, "[1-9][0-9]{4}").floor()
        return where(serial.is_between(*_SERIALS), serial - EXCEL_DAYS[dates]).cast(pl.Date)
    if epoch is not None:
        return _moments(_numbers(column, "[1-9][0-9]{8,12}"), epoch)
    if is_text(column.dtype):
        text = column.cast(pl.String).str.strip_chars()
    else:
        text = text_of(column, source)
    if dates == JAPANESE:
        return _era_days(text)
    pattern = _pattern(dates.removeprefix(BUDDHIST))
    if column.dtype.is_numeric() and _JOINED.search(pattern):  # which lose a zero in front
        text = text.str.zfill(sum(_DIGITS.get(part, 0) for part in _PARTS.findall(pattern)))
    text, pattern = _without_names(text, pattern)
    if dates.startswith(BUDDHIST):
        text, pattern = _common_years(text, pattern)
    if _JOINED.search(pattern):
        text = where(text.str.contains(f"^{_shape(_PARTS.findall(pattern))}$"), text)
    return text.str.to_date(pattern, strict=False)


def _pattern(dates: str) -> str:
    """A way to write a day, as polars has it.

    Raises:
        ValueError: If it leaves out a part of the day, or holds what is no part of a moment.
    """
    pattern = dates.replace(".%f", "%.f").replace("%z", "%#z")
    found = {part for part in _PARTS.findall(pattern) if part.startswith("%")}
    whole = all(found & part for part in _DAYS) or any(part <= found for part in _SHORT_FOR_A_DAY)
    if not (found <= _DIRECTIVES and whole):
        raise ValueError(dates)
    return pattern


def _shape(parts: Iterable[str], *, exact: bool = True) -> str:
    """A regular expression of what a pattern's parts look like, numbers with all their digits."""
    least = "" if exact else "1,"
    shapes = {part: f"[0-9]{{{least}{width}}}" for part, width in _DIGITS.items()}
    return "".join(
        shapes.get(part, ".*?" if part.startswith("%") else re.escape(part)) for part in parts
    )


# --- numbers --------------------------------------------------------------------------------------


def _numbers(column: pl.Series, whole: str) -> pl.Series:
    """Float64; of text, what is plain digits, with a fraction perhaps."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64)
    text = column.cast(pl.String).str.strip_chars()
    plain = where(text.str.contains(rf"^{whole}(?:[.,][0-9]+)?$"), text)
    return plain.str.replace(",", ".", literal=True).cast(pl.Float64)


def _moments(number: pl.Series, form: re.Match[str]) -> pl.Series:
    """Days of seconds or milliseconds since 1970, on a clock so far from UTC's."""
    milliseconds, sign, hours, minutes = form.groups()
    ahead = int(hours or 0) * 3600 + int(minutes or 0) * 60
    second = number / 1000 if milliseconds else number
    day = (second + (-ahead if sign == "-" else ahead)) / _DAY
    last = (LAST_DAY - dt.date(1970, 1, 1)).days
    return where((second >= _LEAST_SECOND) & (day <= last), day.floor()).cast(pl.Date)


# --- names and eras -------------------------------------------------------------------------------

_ORDINAL = r"(?i)\b([0-9]{1,2})(?:st|nd|rd|th|er)\b"


def _either(names: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


_CHINESE_MONTHS = [name for name in MONTHS if name.endswith("月")]
_WEEKDAY = rf"(?i)^()({_either(WEEKDAYS)})\.?((?:[^\p{{L}}].*)?)$"
_MONTH = rf"(?i)^(|.*?[^\p{{L}}])({_either(MONTHS)})\.?((?:[^\p{{L}}].*)?)$"
_CHINESE_MONTH = rf"^(|.*?[^0-9])({_either(_CHINESE_MONTHS)})(.*)$"


def _without_names(text: pl.Series, pattern: str) -> tuple[pl.Series, str]:
    """Text and pattern with numbers of months instead of names, and English weekdays."""
    if re.match("%[aA]", pattern):
        text, pattern = _translated(text, _WEEKDAY, WEEKDAYS, ""), f"%a{pattern[2:]}"
    if "%p" in pattern:
        text = text.str.replace_many(_HALVES)
    if re.search("%[bBh]", pattern) is None:
        return text, pattern
    plain = text.str.replace(_ORDINAL, "${1}")
    chinese = text.str.contains("月", literal=True)
    numbered = (
        pl.when(chinese)
        .then(_translated(plain, _CHINESE_MONTH, MONTHS, _APART))
        .otherwise(_translated(plain, _MONTH, MONTHS, _APART))
    )
    return pl.select(numbered).to_series(), re.sub(r"%[bBh]\.?", f"{_APART}%m{_APART}", pattern)


def _translated(text: pl.Series, pattern: str, names: Mapping[str, str], around: str) -> pl.Series:
    """Text with another word for the name that is a pattern's second group; null without one."""
    found = text.str.extract_groups(pattern).struct.unnest()
    word = found["2"].str.to_lowercase().replace_strict(names, default=None)
    return found["1"] + around + word + around + found["3"]


def _common_years(text: pl.Series, pattern: str) -> tuple[pl.Series, str]:
    """Text and pattern with years of the common era instead of the Buddhist one.

    Raises:
        ValueError: If the pattern has no year by itself.
    """
    parts = _PARTS.findall(pattern)
    place = next((at for at, part in enumerate(parts) if part in ("%Y", "%y")), None)
    if place is None:
        raise ValueError(pattern)
    is_joined = _JOINED.search(pattern) is not None
    before, year = _shape(parts[:place], exact=is_joined), _shape([parts[place]])
    after = ".*" if is_joined else "(?:[^0-9].*)?"
    found = text.str.extract_groups(f"^({before})({year})({after})$").struct.unnest()
    century = 2500 if parts[place] == "%y" else 0
    common = found["2"].cast(pl.Int32) + (century - BUDDHIST_YEARS)
    written = found["1"] + common.cast(pl.String).str.zfill(4) + found["3"]
    return written, "".join([*parts[:place], "%Y", *parts[place + 1 :]])


_ERA = (
    rf"^({'|'.join(ERAS)})\s*(元|[0-9]{{1,2}})\s*[年./-]\s*([0-9]{{1,2}})\s*[月./-]\s*([0-9]{{1,2}})\s*日?"
    r"(?:\s*\([月火水木金土日]\))?(?:\s+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?$"
)


def _era_days(text: pl.Series) -> pl.Series:
    """Days of the Japanese eras; one that its era has not is none."""
    same = text.str.normalize("NFKC").str.to_uppercase()
    found = same.str.extract_groups(_ERA).struct.unnest()
    eras = {name: number for number, name in enumerate(ERAS)}
    which = found["1"].replace_strict(eras, default=None, return_dtype=pl.Int32)
    before, first, last = (
        which.replace_strict(range(len(ERAS)), column, default=None)
        for column in (
            pl.Series([first.year - 1 for first, _ in ERAS.values()]),
            pl.Series([first for first, _ in ERAS.values()], dtype=pl.Date),
            pl.Series([last for _, last in ERAS.values()], dtype=pl.Date),
        )
    )
    year = before + found["2"].replace("元", "1").cast(pl.Int64)
    iso = pl.concat_str([year.cast(pl.String), found["3"], found["4"]], separator="-")
    day = pl.select(iso).to_series().str.to_date(ISO_DAY, strict=False)
    return where((day >= first) & (day <= last), day)


# --- the other way --------------------------------------------------------------------------------


def written_day(moment: dt.datetime, dates: str) -> str:
    """Writes a moment in a form, so that `days` reads its day again.

    Args:
        moment: On its own clock.
        dates: As `days` takes it. What is no form, or has no way to write this day, such as 1969
            in two digits, is written as ISO has it: so it is a bad cell, and no other day.
    """
    epoch = _EPOCH.fullmatch(dates)
    if dates in EXCEL_DAYS:
        return str((moment - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1) + EXCEL_DAYS[dates])  # noqa: DTZ001  (the cell's own clock)
    if epoch is not None:
        _, sign, hours, minutes = epoch.groups()
        ahead = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        zone = dt.timezone(-ahead if sign == "-" else ahead)
        second = round(moment.replace(tzinfo=zone).timestamp())
        return f"{second}{'000' if epoch[1] else ''}"
    if dates == JAPANESE:
        for name, (first, last) in ERAS.items():
            if first <= moment.date() <= last:
                year = moment.year - first.year + 1
                return f"{name}{year}年{moment.month}月{moment.day}日"
    year, form = moment.year, dates.removeprefix(BUDDHIST)
    if dates.startswith(BUDDHIST):
        year += BUDDHIST_YEARS
        form = form.replace("%Y", str(year)).replace("%y", f"{year % 100:02}")
    least = 2500 if dates.startswith(BUDDHIST) else 1970
    if "%" not in form or ("%y" in dates and not least <= year < least + 100):
        return moment.strftime(ISO_DAY)
    return moment.strftime(form)
