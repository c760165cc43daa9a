"""What a check of an outlet's tables found.

Invariant: counts, column names, and of bad cells the first few as an operator may see them; nothing
here is of a customer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from outlet_client.setup.column_tally import Tally
from outlet_client.setup.format_guess import NO_HEADER, begins_with_data
from outlet_client.sources.table_reader import files_of, header_of, read_database, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from outlet_client.sources.row_batches import Batch, Reading
    from outlet_client.sources.source import Source

WHOLE_ROW = ""
"""The column of what is wrong with a record as a whole."""


@dataclass(slots=True)
class Table:
    """One table, as it was found.

    Attributes:
        name: The section's.
        where: The file's or database table's name.
        rows: How many records there were.
        columns: Of each canonical column that it has, and what is wrong with records as a whole.
    """

    name: str
    where: str
    rows: int = 0
    columns: dict[str, Tally] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """How many cells, or whole records, cannot be read."""
        return sum(tally.bad for tally in self.columns.values())


@dataclass(slots=True)
class Counts:
    """What would become of the ledger's rows; `rows` is the sum of the others.

    Attributes:
        rows: All.
        used: Those that count.
        left_out: Those older than is kept.
        superseded: Those whose line a later row corrects.
        quarantined: Those that cannot be used.
        unknown: Of them, those whose reference is in no tier.
        kinds: Of each kind of row, how many can be read.
    """

    rows: int = 0
    used: int = 0
    left_out: int = 0
    superseded: int = 0
    quarantined: int = 0
    unknown: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the rows, those in quarantine."""
        return self.quarantined / self.rows if self.rows else 0.0


@dataclass(slots=True)
class Found:
    """What a check found.

    Attributes:
        tables: Each, as far as it could be read.
        counts: What would become of the ledger's rows.
        unknown: References in no tier, and of how many rows each is.
        apart: Sightings that are nobody's, by reason; None where there are no sightings.
        problems: What must be put right; each a sentence.
        notes: What somebody should know.
    """

    tables: dict[str, Table] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    unknown: dict[str, int] = field(default_factory=dict)
    apart: dict[str, int] | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def add_bad(table: Table, file: str, batch: Batch, bad: pl.DataFrame) -> None:
    """Counts bad cells by column."""
    for (name,), cells in bad.group_by("column", maintain_order=True):
        column = str(name)

        def text(row: int, column: str = column) -> str | None:
            if column == WHOLE_ROW or column not in batch.rows.columns:
                return None
            found = batch.rows.filter(pl.col("row") == row)[column]
            return None if found.is_empty() or found[0] is None else str(found[0])

        tally = table.columns.setdefault(column, Tally(column, ""))
        tally.add_bad(file, cells, text)


def tally_of(table: Table, source: Source, name: str) -> Tally:
    """The tally of a canonical column, made when it is first asked for."""
    constant = source.constants.get(name)
    own = source.columns.get(name, name) if constant is None else f"always {constant}"
    return table.columns.setdefault(name, Tally(name, own))


def batches_of(
    source: Source, names: Sequence[str] | Mapping[str, object]
) -> Iterator[tuple[int, str, Batch, Reading | None]]:
    """A source's batches, the earliest changed file first.

    Returns:
        For each its file's number and name, and the reading it is of; None of a database.

    Raises:
        LedgerError: If it cannot be read.
    """
    wanted = tuple(names)
    if source.is_database:
        whole = source.model_copy(update={"changed": None})
        yield from ((0, source.name, batch, None) for batch in read_database(whole, wanted))
        return
    paths = sorted(files_of(source), key=lambda path: (path.stat().st_mtime_ns, path))
    for number, path in enumerate(paths):
        if path.suffix != ".parquet" and begins_with_data(header_of(source, path)):
            raise LedgerError(path.name, 1, None, NO_HEADER)  # which would list it as columns
        reading = read_file(source, path, wanted)
        yield from ((number, path.name, batch, reading) for batch in reading)
