"""How a column writes days, guessed from its cells.

Invariant: a guess says why, and never with a cell. Where the cells speak for two readings, it says
so with the counts of both, and is not sure.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter

import polars as pl

from features.day_names import MONTHS
from features.day_parsing import BUDDHIST, EXCEL_DAYS, JAPANESE, days_of
from outlet_client.setup.guess import Guess

MOST_CELLS = 2000
"""So many different cells are looked at to tell how dates are written."""

_FIRST_CELLS = 50
"""So many of them are tried in every form."""

_LEAST_SHARE, _OF_NUMBERS = 0.5, 0.9
_FAR_BACK, _BUDDHIST_SINCE = 1950, 1990
_YEARS_AHEAD = 10
_NUMBERED_SINCE = dt.date(2000, 1, 1)
"""Days before are not taken from mere numbers, which could be anything."""

_DAYS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%Y%m%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d %m %Y", "%d%m%Y",
    "%y-%m-%d", "%y.%m.%d", "%y/%m/%d", "%d. %m. %Y", "%Y年%m月%d日", "%d%m%y", "%y%m%d",
)  # fmt: skip
_NAMED = (
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%d. %b %Y", "%b %d %Y", "%d.%b.%Y",
    "%d %b %y", "%d. %b %y", "%d.%b.%y", "%d/%b/%Y", "%d/%b/%y", "%Y-%b-%d", "%d%b%Y", "%d%b%y",
    "%d %b, %Y", "%Y年%b%d日", "%A, %d. %b %Y", "%A, %d %b %Y", "%A %d %b %Y", "%A, %b %d, %Y",
)  # fmt: skip
_MONTH_NAME = f"(?i){'|'.join(map(re.escape, MONTHS))}"
_CLOCK = re.compile(
    r"(?P<gap>,? +|T)(?P<hour>\d{1,2})(?P<colon>[:.])\d{2}(?P<second>[:.]\d{2})?"
    r"(?P<part>\.\d+)?(?P<half> ?[APap][Mm])?(?P<zone>Z| ?[+-]\d{2}:?\d{2}| UTC)?$"
)
_DAY_SECONDS, _QUARTER, _HOUR = 86_400, 900, 3600
_NEAR_MIDNIGHT = 2 * _HOUR
_SHORT_NAME = 4
_LONG_SINCE = dt.timedelta(days=31)


def days_in(cells: pl.Series, form: str, today: dt.date | None = None) -> pl.Series:
    """Reads text as days of these decades; null where it is none in that form.

    Args:
        cells: Text.
        form: As `day_parsing` has it, in full: a form without a clock reads no cell with one.
        today: The day; of the system's clock where None.
    """
    days = days_of(cells, "", form)
    first = _BUDDHIST_SINCE if form.startswith(BUDDHIST) else _FAR_BACK
    sane = days.dt.year().is_between(first, _today(today).year + _YEARS_AHEAD)
    return pl.select(pl.when(sane).then(days)).to_series()


def dates_of(cells: pl.Series, today: dt.date | None = None) -> Guess | None:
    """Guesses how a column writes days, or moments.

    Args:
        cells: Text, in the table's order; blanks are left out of account.
        today: The day, by which Excel's two systems of days are told apart.

    Returns:
        None if fewer than half of the cells are dates in any one form. Not sure where day and
        month could be told apart by no cell, or cells speak for both orders.
    """
    every = cells.drop_nulls().str.strip_chars()
    every = every.filter(every != "")
    text = every.unique(maintain_order=True).head(MOST_CELLS)
    if int(text.str.contains(r"\d.*\d").sum()) < len(text) * _LEAST_SHARE or every.is_empty():
        return None
    if (numbered := _numbered(text, _today(today))) is not None:
        return numbered
    times = every.replace_strict(text, pl.int_range(len(text), eager=True), default=None)
    weights = times.drop_nulls().value_counts().sort(times.name)["count"]
    clock = Counter(_clock_in(cell) for cell in text).most_common(1)[0][0]
    some = text.gather_every(max(len(text) // _FIRST_CELLS, 1))
    likely = [f for f in _forms(text, clock) if days_in(some, f, today).null_count() < len(some)]
    read = {form: days_in(text, form, today) for form in likely}
    counts = {form: int(weights.filter(days.is_not_null()).sum()) for form, days in read.items()}
    most = max(counts.values(), default=0)
    share = most / int(weights.sum())
    if share < _LEAST_SHARE:
        return None
    best = [form for form, count in counts.items() if count == most]
    best.sort(key=lambda form: _wandering(read[form]))  # ledgers are mostly in order of days
    return _chosen(best, read, weights, text, share, today)


def _chosen(
    best: list[str],
    read: dict[str, pl.Series],
    weights: pl.Series,
    text: pl.Series,
    share: float,
    today: dt.date | None,
) -> Guess:
    """The first of the forms that read most cells, and what speaks against it."""
    first = best[0]
    why = f"{share:.0%} of the sample's dates are written so"
    sure = not any(not read[form].equals(read[first]) for form in best[1:])
    if not sure:
        why += "; day, month and year could stand in another order"
    other = _exchanged(first)
    if other is not None:
        here, there = read[first].is_not_null(), days_in(text, other, today).is_not_null()
        only_there = int(weights.filter(~here & there).sum())
        if only_there:
            only_here = int(weights.filter(here & ~there).sum())
            both = int(weights.filter(here & there).sum())
            why += (
                f"; {only_here:,} are dates with this order only, {only_there:,} with day and "
                f"month exchanged only, {both:,} with both"
            )
            sure = False
    names = text.str.extract(r"([^\W\d_]{3,})", 1).drop_nulls().str.len_chars().mean()
    if isinstance(names, float) and names > _SHORT_NAME:
        first = first.replace("%b", "%B")
    return Guess(first, why, sure)


def _forms(text: pl.Series, clock: str) -> list[str]:
    """The forms that cells could have, all with one time of day."""
    has_names = bool(text.str.contains(_MONTH_NAME).any())
    forms = [form + clock for form in (*_DAYS, *(_NAMED if has_names else ()))]
    buddhist = [f"{BUDDHIST}{form}" for form in forms if "%Y" in form or "%y" in form]
    if text.str.contains(r"(^|\D)(24|25)\d\d(\D|$)").any() or not has_names:
        forms += buddhist
    return [*forms, JAPANESE]


def _exchanged(form: str) -> str | None:
    """A form with day and month exchanged; None where it names the month."""
    if not {"%d", "%m"} <= set(re.findall("%.", form)):
        return None
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _clock_in(cell: str) -> str:
    """The form of the time of day at the end of a cell; empty where there is none."""
    found = _CLOCK.search(cell)
    if found is None:
        return ""
    gap, colon, half, zone = (found[name] or "" for name in ("gap", "colon", "half", "zone"))
    form = gap + ("%I" if half else "%H") + colon + "%M"
    if found["second"]:
        form += found["second"][0] + "%S" + ("%.f" if found["part"] else "")
    form += half[:-2] + ("%p" if half else "")
    signed = " %z" if zone.startswith(" ") else "%z"
    return form + (zone if zone in ("", "Z", " UTC") else signed)


def _wandering(days: pl.Series) -> float:
    """How many days lie between one row and the next, on average."""
    steps = days.drop_nulls().diff().drop_nulls().dt.total_days().abs()
    return float(steps.sum()) / len(steps) if len(steps) else 0.0


def _today(told: dt.date | None) -> dt.date:
    return dt.datetime.now(dt.UTC).date() if told is None else told


# --- numbers --------------------------------------------------------------------------------------


def _numbered(text: pl.Series, today: dt.date) -> Guess | None:
    """Guesses of numbers which days they count; None where nearly all are none of some years."""
    last = today + dt.timedelta(days=366)
    for form in ("excel", "excel-1904", "epoch", "epoch-ms"):
        days = days_of(text, "", form)
        sane = days.is_between(_NUMBERED_SINCE, last).fill_null(value=False)
        if int(sane.sum()) >= len(text) * _OF_NUMBERS:
            share = f"{int(sane.sum()) / len(text):.0%} of the sample's numbers are such"
            numbers = text.filter(sane).str.replace(",", ".", literal=True).cast(pl.Float64)
            if form in EXCEL_DAYS:
                return _serial(form, days.filter(sane), share, today)
            return _epoch(form, numbers / (1000 if form == "epoch-ms" else 1), share)
    return None


def _serial(form: str, days: pl.Series, share: str, today: dt.date) -> Guess:
    last = days.sort()[-1]
    why = f"{share}: days as Excel counts them, the last {last}"
    other = dt.timedelta(days=EXCEL_DAYS["excel"] - EXCEL_DAYS["excel-1904"])
    if form == "excel" and last + other <= today + _LONG_SINCE:
        return Guess(form, f"{why}; as old Macs count, four years and a day later", sure=False)
    return Guess(form, why)


def _epoch(form: str, seconds: pl.Series, share: str) -> Guess:
    """Seconds since 1970: the clock by which they are midnight, or else UTC's."""
    of_day = seconds % _DAY_SECONDS
    starts = sorted(of_day.unique().to_list())
    what = "milliseconds" if form == "epoch-ms" else "seconds"
    why = f"{share}: {what} since 1970"
    is_midnight = len(starts) == 1 or (len(starts) == 2 and starts[1] - starts[0] == _HOUR)  # noqa: PLR2004  (summer)
    if is_midnight and all(start % _QUARTER == 0 for start in starts):
        ahead = max(
            -start if start <= _DAY_SECONDS / 2 else _DAY_SECONDS - start for start in starts
        )
        if ahead == 0:
            return Guess(form, f"{why}, all of them midnight in UTC")
        sign, minutes = ("-" if ahead < 0 else "+"), abs(int(ahead)) // 60
        clock = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
        return Guess(f"{form} {clock}", f"{why}, all of them midnight at {clock}")
    near = ((of_day < _NEAR_MIDNIGHT) | (of_day >= _DAY_SECONDS - _NEAR_MIDNIGHT)).sum()
    if near:
        own = f"days are UTC's; if your clock's are others, write such as '{form} +08:00'"
        return Guess(form, f"{why}; {near:,} are near midnight in UTC: {own}", sure=False)
    return Guess(form, f"{why}, none of them near midnight in UTC")
