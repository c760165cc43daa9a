"""One taking in: what is new in the ledger goes to parts, and every row gets its fate.

Invariant: nothing here is committed. New parts are named by nobody until the caller saves the
state; and a state whose rows do not add up is never handed back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from outlet_client.errors import OutletError
from outlet_client.ledger.intake import Chunk, Chunks, Intake, due, first_day
from outlet_client.ledger.intake_state import Held, Part, mapping_of
from outlet_client.ledger.line_versions import Lines
from outlet_client.ledger.parquet_store import PART_SCHEMA, QUARANTINE_SCHEMA

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from outlet_client.ledger.intake_state import State
    from outlet_client.ledger.parquet_store import Parts
    from outlet_client.settings import OutletFile

_LOG = logging.getLogger(__name__)

PART_ROWS = 400_000
"""How many rows are gathered before a part is written."""

SMALL_ROWS, MOST_SMALL = 200_000, 8
"""More small parts than this become one."""

MOST_DEAD = 0.2
"""A part with a larger share of rows that count no more is rewritten."""


class CountsDiffer(OutletError):
    """Rows in and rows accounted for are not the same: a defect. Nothing of it was kept."""

    def __init__(self, found: Intake) -> None:
        super().__init__(
            f"ledger: got {found.rows} rows, and {found.accounted} of them accounted for; "
            "please report it"
        )


class Taking:
    """One taking in.

    Attributes:
        bad: The quarantine, as `QUARANTINE_SCHEMA`; complete once settled.
        entries: Client entries of what was read.
        whole: Whether all of the ledger was read, so that older entries are former ones.
        changed: Whether there is anything to save.
    """

    def __init__(self, parts: Parts, state: State, settings: OutletFile, at: dt.datetime) -> None:
        """Begins; what was read in another way before is forgotten."""
        self._parts, self._state, self._settings, self._at = parts, state, settings, at
        self.changed = _fit(parts, state, settings)
        self._before = first_day(settings, at)
        self._old = list(state.parts.values())
        self._lines = Lines()
        self._waiting: list[pl.DataFrame] = []
        self._waits, self._number = 0, 0
        self._read_now = 0
        self._bad_now: list[pl.DataFrame] = []
        self.bad = quarantined(parts, state)
        self.entries: list[pl.DataFrame] = []
        self.whole = False

    def read(self, progress: Callable[[int], None], *, noting: bool) -> None:
        """Reads every file that is due, or asks the database.

        Args:
            progress: Hears of the rows of each batch.
            noting: Whether client entries are to be noted.
        """
        whole = set()
        for path, held in due(self._settings, self._state, self._at, noting=noting):
            self.changed = True
            chunks = Chunks(self._settings.ledger, path, held)
            if not chunks.tail:
                whole.add(held.number)
                self._replace(held)
                held.whole_at = int(self._at.timestamp())
                held.kept_from = ""
            held.kept_from = max(held.kept_from, self._before.isoformat())
            for chunk in chunks:
                progress(chunk.rows)
                self._take(held, chunk, again=path is None and chunks.tail)
            held.mark, held.noted = chunks.mark, noting
        self._flush()
        self.whole = whole == {held.number for held in self._state.files.values()}

    def settle(self) -> Intake:
        """Ends rows that were corrected, merges small parts, and counts.

        Raises:
            CountsDiffer: If the counts do not add up.
        """
        before = self.bad
        self.bad = pl.concat([self.bad, *self._bad_now])
        self._end_corrected(before)
        self._compact()
        self._keep_quarantine()
        found = counted(self._state, self.bad, self._read_now)
        if found.rows != found.accounted:
            raise CountsDiffer(found)
        return found

    def _take(self, held: Held, chunk: Chunk, *, again: bool) -> None:
        held.rows += chunk.rows
        held.last_row = max(held.last_row, chunk.last_row)
        held.columns = chunk.columns
        self._read_now += chunk.rows
        kept = chunk.events["date"] >= self._before
        old = len(kept) - int(kept.sum())
        if again:  # a database gives them every night; they were counted when it was read whole
            held.rows -= old
        else:
            held.left_out += old
        self._number = self._number or self._state.next_number()
        self._lines.add(held.number, chunk.events, kept, self._number, self._waits)
        rows = chunk.events.filter(kept).with_columns(file=pl.lit(held.number, pl.Int32))
        self._waiting.append(rows.select(PART_SCHEMA.keys()))
        self._waits += len(rows)
        if not chunk.bad.is_empty():
            bad = chunk.bad.with_columns(file=pl.lit(held.number, pl.Int32))
            self._bad_now.append(bad.select(QUARANTINE_SCHEMA.keys()))
            self._lines.add_bad(held.number, chunk.bad)
        if chunk.entries is not None:
            self.entries.append(chunk.entries)
        if self._waits >= PART_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Writes what was gathered."""
        if self._waits:
            write(self._parts, self._state, pl.concat(self._waiting), self._number)
        self._waiting, self._waits, self._number = [], 0, 0

    def _replace(self, held: Held) -> None:
        """Everything read from a file so far counts no more, and is not counted."""
        for part in self._old:
            if held.number in part.files:
                files = self._parts.read(part.name, ["file"])["file"]
                part.kill((files == held.number).arg_true().to_numpy())
                part.files -= {held.number}
        self.bad = self.bad.filter(pl.col("file") != held.number)
        held.restart()

    def _end_corrected(self, before: pl.DataFrame) -> None:
        """Rows whose line was corrected count no more, of this reading and of earlier ones."""
        ended = self._lines.ended()
        if ended is None:
            return
        for (number,), rows in ended.good.group_by("part"):
            self._state.parts[int(number)].kill(rows["place"].to_numpy())
        gone = [ended.bad, before.join(ended.by_any, on="line", how="semi").select("file", "row")]
        for rows, now in ((ended.good, True), (ended.bad, True), (gone[1].unique(), False)):
            self._superseded(rows, now=now)
        for part in self._old:
            if part.has_lines and part.live:
                rows = self._parts.read(part.name, ["file", "line"]).with_row_index("place")
                rows = alive(rows, part).join(ended.by_good, on="line", how="semi")
                part.kill(rows["place"].to_numpy())
                self._superseded(rows, now=False)
        self.bad = self.bad.join(pl.concat(gone), on=["file", "row"], how="anti")

    def _superseded(self, rows: pl.DataFrame, *, now: bool) -> None:
        """Counts corrected rows; of a database's earlier readings, its row was replaced instead."""
        for number, count in by_file(rows):
            held = self._state.of(number)
            if now or held.name:
                held.superseded += count
            else:
                held.rows -= count

    def _compact(self) -> None:
        state = self._state
        for part in list(state.parts.values()):
            if part.live == 0:
                del state.parts[part.number]
            elif len(part.dead) > MOST_DEAD * part.rows:
                rewrite(self._parts, state, [part], live(self._parts, part))
        small = [part for part in state.parts.values() if part.live < SMALL_ROWS]
        if len(small) > MOST_SMALL:
            rows = pl.concat([live(self._parts, part) for part in small])
            rewrite(self._parts, state, small, rows)

    def _keep_quarantine(self) -> None:
        """Writes the quarantine where it is another than before."""
        if self.bad.equals(quarantined(self._parts, self._state)):
            return
        self._state.quarantine = ""
        if not self.bad.is_empty():
            self._state.quarantine = f"quarantine-{self._state.next_number()}.parquet"
            self._parts.write(self._state.quarantine, self.bad)


def counted(state: State, bad: pl.DataFrame, read_now: int) -> Intake:
    """What became of all rows."""
    files = state.files.values()
    return Intake(
        rows=sum(held.rows for held in files),
        used=state.live,
        left_out=sum(held.left_out for held in files),
        superseded=sum(held.superseded for held in files),
        quarantined=bad.select("file", "row").n_unique(),
        read_now=read_now,
    )


def quarantined(parts: Parts, state: State) -> pl.DataFrame:
    """The bad cells, as `QUARANTINE_SCHEMA`."""
    if not state.quarantine:
        return pl.DataFrame(schema=QUARANTINE_SCHEMA)
    return parts.read(state.quarantine)


def live(parts: Parts, part: Part) -> pl.DataFrame:
    """The rows of a part that count."""
    return alive(parts.read(part.name), part)


def alive(rows: pl.DataFrame, part: Part) -> pl.DataFrame:
    """Of all rows of a part, those that count."""
    if not len(part.dead):
        return rows
    mask = np.ones(part.rows, np.bool_)
    mask[part.dead] = False
    return rows.filter(pl.Series(mask))


def write(parts: Parts, state: State, rows: pl.DataFrame, number: int) -> None:
    """Writes rows as a part with a number, and enters it."""
    first, has_lines = rows["date"].min(), rows["line"].null_count() < len(rows)
    part = Part(number, len(rows), str(first), frozenset(rows["file"].unique()), has_lines)
    parts.write(part.name, rows)
    state.parts[number] = part


def rewrite(parts: Parts, state: State, old: list[Part], rows: pl.DataFrame) -> None:
    """Puts one part with these rows in the place of others; none where there are no rows."""
    if not rows.is_empty():
        write(parts, state, rows, state.next_number())
    for part in old:
        del state.parts[part.number]


def by_file(rows: pl.DataFrame) -> Iterable[tuple[int, int]]:
    """How many rows each file has."""
    return rows.group_by("file").len().iter_rows()


def _fit(parts: Parts, state: State, settings: OutletFile) -> bool:
    """Forgets what was read in another way, or what is no longer there; whether that was so."""
    mapping = mapping_of(settings)
    before = (state.mapping, state.keep_days)
    gone = state.named() != {""} and not parts.are_there
    if state.mapping != mapping or gone:
        if state.files:
            _LOG.warning("the ledger is read anew: its mapping changed, or `events` was deleted")
        state.forget()
    elif settings.keep_days > state.keep_days:  # what was too old may not be any more
        for held in state.files.values():
            held.mark = None
    state.mapping, state.keep_days = mapping, settings.keep_days
    return gone or before != (mapping, settings.keep_days)
