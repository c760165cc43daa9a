"""Lines of a ledger that were corrected: of rows with one line id the last one read stands.

Invariant: a good row ends every earlier row of its line, good or bad; a bad row ends earlier bad
ones only, so an unreadable correction leaves what was known.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

_NOWHERE = -1
"""The part of a row that is in none: too old, or bad."""


@dataclass(frozen=True, slots=True, repr=False)
class Ended:
    """Which rows of one reading a later row of it ended.

    Attributes:
        good: file, part and place of good ones that are in a part.
        bad: file and row of those in quarantine.
        by_good: The line ids of good rows, each once: they end earlier readings' good rows,
        by_any: and these their bad ones.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    by_good: pl.DataFrame
    by_any: pl.DataFrame


class Lines:
    """The lines of one reading, in the order in which they are read."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []

    def add(self, file: int, events: pl.DataFrame, kept: pl.Series, part: int, first: int) -> None:
        """Adds good rows.

        Args:
            file: Whose.
            events: row and line.
            kept: Which of them go to a part; the others are too old.
            part: Its number,
            first: and the place of the first of them there.
        """
        place = pl.when("kept").then(pl.col("kept").cast(pl.Int64).cum_sum() - 1 + first)
        where = pl.when("kept").then(pl.lit(part, pl.Int64)).otherwise(_NOWHERE)
        rows = events.select("row", "line", kept.alias("kept"))
        self._append(file, rows.select("row", "line", part=where, place=place), good=True)

    def add_bad(self, file: int, bad: pl.DataFrame) -> None:
        """Adds rows in quarantine: row and line, once a bad cell."""
        rows = bad.select("row", "line").unique("row", maintain_order=True)
        nowhere = rows.with_columns(part=pl.lit(_NOWHERE, pl.Int64), place=pl.lit(None, pl.Int64))
        self._append(file, nowhere, good=False)

    def ended(self) -> Ended | None:
        """What later rows ended; None where no row has a line id."""
        if not self._frames:
            return None
        rows = pl.concat(self._frames).sort("turn", "row")
        over = ~pl.col("line").is_last_distinct()
        good = rows.filter("good")
        return Ended(
            good.filter(over).filter(pl.col("part") != _NOWHERE).select("file", "part", "place"),
            rows.filter(over & ~pl.col("good")).select("file", "row"),
            good.select("line").unique(),
            rows.select("line").unique(),
        )

    def _append(self, file: int, rows: pl.DataFrame, *, good: bool) -> None:
        named = rows.filter(pl.col("line").is_not_null())
        if not named.is_empty():
            self._frames.append(
                named.with_columns(
                    file=pl.lit(file, pl.Int32), good=pl.lit(good), turn=pl.lit(self._turn(file))
                )
            )

    def _turn(self, file: int) -> int:
        """Files are read one after another; within one, rows ascend."""
        if self._frames and self._frames[-1]["file"][0] == file:
            return int(self._frames[-1]["turn"][0])
        return len(self._frames)
