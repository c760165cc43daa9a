"""Reading a ledger: which files are read tonight, from where on, and what each row is.

Invariant: every record that is read is a good event or in quarantine, never neither and never both:
`rows == len(events) + rows of bad`, chunk by chunk.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.ledger import (
    IS_RETURN,
    KIND,
    LINE_ID,
    NEEDED,
    OPTIONAL,
    ROW,
    Format,
    judge,
    text_of,
)
from outlet_client.sources.table_reader import (
    Batch,
    Mark,
    files_of,
    format_of,
    read_database,
    read_file,
    unchanged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlet_client.ledger.intake_state import Held, State
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source

CLIENT_NAMES = ("phone", "email")
LEDGER_NAMES = (*NEEDED, KIND, IS_RETURN, *OPTIONAL)
_WANTED = (*LEDGER_NAMES, *CLIENT_NAMES)

_DAY = 86_400
_HALF_A_DAY = _DAY // 2


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of a ledger's rows; `rows == used + left_out + superseded + quarantined`.

    Attributes:
        rows: All that were read and not replaced since.
        used: Those that count.
        left_out: Those that are older than is kept.
        superseded: Those whose line was corrected by a later row.
        quarantined: Those that cannot be read as events.
        read_now: How many were read just now.
    """

    rows: int
    used: int
    left_out: int
    superseded: int
    quarantined: int
    read_now: int

    @property
    def accounted(self) -> int:
        """How many rows have a fate; `rows`, or there is a defect."""
        return self.used + self.left_out + self.superseded + self.quarantined

    @property
    def share(self) -> float:
        """Of the rows, those in quarantine."""
        return self.quarantined / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Chunk:
    """Some rows of one file or query.

    Attributes:
        rows: How many.
        last_row: The largest row number among them; 0 of none.
        events: The good ones, as `judge` gives them.
        bad: Each bad cell of the others: row, line, column, reason.
        columns: The canonical names that the file has, and phone and email.
        entries: customer_id, phone and email as written, each once; None where there are none.
    """

    rows: int
    last_row: int
    events: pl.DataFrame
    bad: pl.DataFrame
    columns: frozenset[str]
    entries: pl.DataFrame | None


class Chunks:
    """One file or query, to be gone over once.

    Attributes:
        tail: Whether only what is new comes; else its rows replace all earlier ones.
        mark: Where the reading ended, once it has; None where the next one is whole.
    """

    def __init__(self, source: Source, path: Path | None, held: Held) -> None:
        """Opens it.

        Args:
            source: The ledger.
            path: The file; None of a database.
            held: How far it was read.

        Raises:
            LedgerError: If it cannot be read, or a column is missing.
        """
        self._source = source
        self._name = source.name if path is None else path.name
        self._begin, self._reading = 0, None
        if path is None:
            self.mark, self.tail = held.mark, held.mark is not None
            self._begin = held.last_row if self.tail else 0
            self._batches = iter(read_database(source, _WANTED, held.mark))
        else:
            after = None if held.mark is None else Mark(**json.loads(held.mark))
            self._reading = read_file(source, path, _WANTED, after)
            self.mark, self.tail = None, self._reading.tail
            self._batches = iter(self._reading)

    def __iter__(self) -> Iterator[Chunk]:
        form = format_of(self._source)
        for batch in self._batches:
            chunk = chunk_of(batch, self._name, form, begin=self._begin)
            if self._source.changed is not None and LINE_ID not in chunk.columns:
                reason = "missing; `changed` needs it, to know which row was changed"
                raise LedgerError(self._name, None, LINE_ID, reason)
            self.mark = batch.changed or self.mark
            yield chunk
        if self._reading is not None:
            self.mark = json.dumps(asdict(self._reading.mark))


def chunk_of(batch: Batch, name: str, form: Format, begin: int = 0) -> Chunk:
    """Judges a batch.

    Args:
        batch: Of a ledger.
        name: The file's or table's, for errors.
        form: How its cells are written.
        begin: What is added to its row numbers.

    Raises:
        LedgerError: If a column is missing, or is of a type that cannot be read.
    """
    rows = batch.rows.with_columns(pl.col(ROW) + begin)
    malformed = batch.malformed.with_columns(pl.col(ROW) + begin)
    judged = judge(rows, name, form)
    bad = pl.concat([malformed.select(judged.bad.columns), judged.bad])
    line = pl.lit(None, pl.String).alias("line")
    if LINE_ID in rows.columns and not bad.is_empty():
        lines = pl.DataFrame([rows[ROW], text_of(rows[LINE_ID], name).alias("line")])
        bad = bad.join(lines, on=ROW, how="left", maintain_order="left")
    else:
        bad = bad.with_columns(line)
    last = [column.max() for column in (rows[ROW], malformed[ROW]) if len(column)]
    return Chunk(
        len(rows) + malformed[ROW].n_unique(),
        max((int(row) for row in last if isinstance(row, int)), default=0),
        judged.events,
        bad.select(ROW, "line", "column", "reason"),
        frozenset(_WANTED).intersection(rows.columns),
        _entries(rows),
    )


def chunks_of(settings: OutletFile) -> Iterator[Chunk]:
    """Reads and judges the whole ledger, keeping nothing.

    Raises:
        LedgerError: If a file or table cannot be read at all.
    """
    source = settings.ledger
    form = format_of(source)
    if source.is_database:
        whole = source.model_copy(update={"changed": None})
        for batch in read_database(whole, LEDGER_NAMES):
            yield chunk_of(batch, source.name, form)
        return
    for path in files_of(source):
        for batch in read_file(source, path, LEDGER_NAMES):
            yield chunk_of(batch, path.name, form)


def first_day(settings: OutletFile, at: dt.datetime) -> dt.date:
    """The first day whose events are kept."""
    return at.date() - dt.timedelta(days=min(settings.keep_days, at.date().toordinal() - 1))


def due(
    settings: OutletFile, state: State, at: dt.datetime, *, noting: bool
) -> list[tuple[Path | None, Held]]:
    """Which files are to be read, the earliest changed first; None is the database.

    Args:
        settings: The outlet's.
        state: What was read so far; what is due whole has no mark any more.
        at: When this is.
        noting: Whether client entries are wanted.

    Raises:
        LedgerError: If a file is not there.
    """
    source, first = settings.ledger, first_day(settings, at).isoformat()
    for held in state.files.values():
        if (noting and not held.noted) or first < held.kept_from:  # a clock that was ahead
            held.mark = None
    if source.is_database:
        held = state.held("")
        age = at.timestamp() - held.whole_at
        if source.changed is None or age >= settings.reread_days * _DAY - _HALF_A_DAY:
            held.mark = None
        return [(None, held)]
    found, paths = [], files_of(source)
    _follow(state, paths)
    for path in paths:
        held = state.held(str(path))
        if held.mark is None or not unchanged(path, Mark(**json.loads(held.mark))):
            found.append((path.stat().st_mtime_ns, path, held))
    return [(path, held) for _, path, held in sorted(found, key=lambda one: one[:2])]


def _follow(state: State, paths: list[Path]) -> None:
    """A CSV file that was renamed is the one it was: its rows must not count twice."""
    marks = {name: Mark(**json.loads(one.mark)) for name, one in state.files.items() if one.mark}
    gone = {
        mark.sha256: (name, mark)
        for name, mark in marks.items()
        if mark.sha256 and mark.offset == mark.size and not Path(name).exists()
    }
    sizes = {mark.size for _, mark in gone.values()}
    for path in paths:
        if str(path) in state.files or path.stat().st_size not in sizes:
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest in gone:
            name, mark = gone.pop(digest)
            held = state.files.pop(name)
            held.name, held.mark = str(path), json.dumps(asdict(_seen_at(mark, path)))
            state.files[held.name] = held


def _seen_at(mark: Mark, path: Path) -> Mark:
    return replace(mark, mtime_ns=path.stat().st_mtime_ns)


def _entries(rows: pl.DataFrame) -> pl.DataFrame | None:
    """Who the customers of a ledger are, where it says so."""
    if not any(name in rows.columns for name in CLIENT_NAMES) or rows.is_empty():
        return None
    cells = {
        name: pl.col(name).cast(pl.String) if name in rows.columns else pl.lit(None, pl.String)
        for name in CLIENT_NAMES
    }
    customer = text_of(rows["customer_id"], "")
    return rows.select(customer, **cells).filter(pl.col("customer_id").is_not_null()).unique()
