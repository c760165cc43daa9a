"""Whether day and month stand in one order in a column of days, and in the one that is set.

Invariant: only counts are kept. Where every day is written with its month's name, or the year
first, there is nothing to doubt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import days_of
from features.errors import LedgerError
from outlet_client.setup.doubts import Doubt, counted
from outlet_client.sources.file_lines import MOST_PLACES, places_text

if TYPE_CHECKING:
    from outlet_client.sources.source import Source

_LAST_MONTH = 12
_LEAST, _SOME, _NEARLY = 2, 0.2, 0.9
_LEAST_SPREAD = 3
_PLACE = ("file", "row")
_BOTH = re.compile(r"^(?!%[Yy]).*(%d|%m|%e)\W+(%d|%m|%e)")


class DayOrderCounter:
    """Counts which days only the order that is set can read, which only the other, which both.

    Args:
        source: The ledger, with how its days are written.
    """

    def __init__(self, source: Source) -> None:
        dates = source.dates
        form = dates.removeprefix("buddhist ")
        prefix = dates.removesuffix(form)
        swapped = form.replace("%e", "%d").replace("%d", "\0").replace("%m", "%d")
        self._source, self._dates = source, dates
        self._files: list[str] = []
        self._exchanged: list[tuple[str, int]] = []
        self._other = prefix + swapped.replace("\0", "%m") if _BOTH.search(form) else None
        self._here = self._there = self._either = 0

    def add(self, file: str, rows: pl.DataFrame, events: pl.DataFrame, bad: pl.DataFrame) -> None:
        """Counts a batch.

        Args:
            file: The name of the file that it is of.
            rows: As they were read, with row and purchased_at.
            events: The good ones of them, with date.
            bad: Their bad cells: row, column and reason.
        """
        if self._other is None or rows["purchased_at"].dtype != pl.String:
            return
        if file not in self._files:
            self._files.append(file)
        day, month = events["date"].dt.day(), events["date"].dt.month()
        self._here += int((day > _LAST_MONTH).sum())
        self._either += int(((day <= _LAST_MONTH) & (day != month)).sum())
        unread = bad.filter(column="purchased_at")["row"]
        if unread.is_empty():
            return
        cells = rows.filter(pl.col("row").is_in(unread.implode()))
        try:
            read = days_of(cells["purchased_at"], "", self._other)
        except LedgerError:
            return  # no form at all with day and month exchanged: nothing speaks for it
        there = cells["row"].filter(read.is_not_null())
        self._there += len(there)
        wanted = MOST_PLACES + 1 - len(self._exchanged)
        self._exchanged += [(file, row) for row in there.head(max(wanted, 0))]

    def doubt(self, days: pl.DataFrame) -> Doubt | None:
        """What speaks for another order of day and month.

        Args:
            days: file, row and date of the events that are used, in the files' order.
        """
        if self._other is None:
            return None
        found = misplaced_days(days)
        misplaced, places = len(found), self._exchanged
        counts = {
            "only as set": self._here,
            "only exchanged": self._there,
            "both ways": self._either,
            "nearer exchanged": misplaced,
        }
        if self._there:
            number = counted(self._there, "day is", "days are")
            why = f"{number} right only with day and month exchanged"
        elif self._either and not self._here:
            why, places = "all could be read with day and month exchanged", []
        elif misplaced:
            number = counted(misplaced, "day fits", "days fit")
            why = f"{number} among the rows around only with day and month exchanged"
            places = [(file, row) for file in self._files[:1] for row in found["row"]]
            places = places if len(self._files) == 1 else []
        else:
            return None
        what = (
            f"{why}{places_text(self._source, places)}; {self._here:,} can be read as "
            f"{self._dates} only, {self._there:,} as "
            f"{self._other} only, {self._either:,} both ways"
        )
        return Doubt("day-order", "ledger", counts, what)


def misplaced_days(days: pl.DataFrame) -> pl.DataFrame:
    """Rows of days that fit among the days around them only with day and month exchanged.

    Those of a file of which no day can be read in one order alone, and which spans a third of the
    time with day and month exchanged; and days between others that can, where these are in order.

    Args:
        days: file, row and date, in the files' order.
    """
    return pl.concat([_in_narrow_files(days), _between_others(days)])


def _in_narrow_files(days: pl.DataFrame) -> pl.DataFrame:
    """The days of files that are a month's with day and month exchanged, and spread out without."""
    sure = pl.col("date").dt.day() > _LAST_MONTH
    open_files = days.filter(~sure.any().over("file"))
    if open_files.is_empty():
        return open_files.select(_PLACE)
    spans = (
        _with_other(open_files)
        .drop_nulls("other")
        .group_by("file")
        .agg(
            kinds=pl.col("date").n_unique(),
            here=(pl.col("date").max() - pl.col("date").min()).dt.total_days(),
            there=(pl.col("other").max() - pl.col("other").min()).dt.total_days(),
        )
    )
    narrow = (pl.col("kinds") > _LEAST) & (pl.col("there") * _LEAST_SPREAD < pl.col("here"))
    files = spans.filter(narrow)["file"]
    rows = _with_other(open_files).drop_nulls("other")
    return rows.filter(pl.col("file").is_in(files.implode())).select(_PLACE)


def _between_others(days: pl.DataFrame) -> pl.DataFrame:
    """Days that lie between days that are sure only with day and month exchanged."""
    sure = days.filter(pl.col("date").dt.day() > _LAST_MONTH)
    steps = sure.select(pl.col("date").diff().dt.total_days().over("file").alias("days"))
    steps = steps.drop_nulls()
    rises, falls = int((steps["days"] >= 0).sum()), int((steps["days"] <= 0).sum())
    if len(steps) < _LEAST or max(rises, falls) < len(steps) * _NEARLY:
        return days.clear().select(_PLACE)
    rows = _with_other(days)
    before = pl.col("sure").forward_fill().over("file")
    after = pl.col("sure").backward_fill().over("file")
    low, high = pl.min_horizontal(before, after), pl.max_horizontal(before, after)
    between = rows.with_columns(low=low, high=high).filter(
        pl.col("other").is_not_null() & before.is_not_null() & after.is_not_null()
    )
    out = ~pl.col("date").is_between("low", "high") & pl.col("other").is_between("low", "high")
    misplaced = between.filter(out).select(_PLACE)
    return misplaced if len(misplaced) >= max(_LEAST, len(between) * _SOME) else misplaced.clear()


def _with_other(days: pl.DataFrame) -> pl.DataFrame:
    """Days with `other`, day and month exchanged, or `sure`, where there is no such day."""
    day, month = pl.col("date").dt.day(), pl.col("date").dt.month()
    is_sure = day > _LAST_MONTH
    exchanged = pl.date(pl.col("date").dt.year(), pl.min_horizontal(day, _LAST_MONTH), month)
    return days.with_columns(
        other=pl.when(~is_sure & (day != month)).then(exchanged),
        sure=pl.when(is_sure).then("date"),
    )
