"""The first rows of a ledger as its new settings read them: what `init` shows at its end.

Invariant: nothing is written, and no more than the first rows are read; `check` reads all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from outlet_client.ledger.judged_rows import judged_file, paths_of
from outlet_client.setup.cell_doubts import CellCounters
from outlet_client.setup.event_doubts import event_doubts
from outlet_client.setup.mapping_doubts import mapping_doubts
from outlet_client.setup.mapping_problems import ask_mapping, first_rows_of, heading_twice
from outlet_client.setup.preview import Preview
from outlet_client.setup.sampling import SAMPLE_ROWS
from outlet_client.setup.unused_columns import is_always_sale, unused_doubts
from outlet_client.sources.table_reader import header_of

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.ledger.judged_rows import JudgedBatch
    from outlet_client.settings import OutletFile
    from outlet_client.setup.doubts import Doubt
    from outlet_client.setup.preview import PreviewRow
    from outlet_client.sources.row_batches import Batch


def first_rows(settings: OutletFile, today: dt.date) -> tuple[list[PreviewRow], list[Doubt]]:
    """Reads a ledger's first rows, and says what speaks against the settings already.

    Args:
        settings: The outlet's.
        today: By the outlet's clock.

    Returns:
        Rows as they are understood, masked; and doubts.

    Raises:
        LedgerError: If the ledger cannot be read so.
    """
    source = settings.ledger
    ask_mapping(source)
    cells, preview = CellCounters(source), Preview(settings.region)

    def hear(file: str, batch: Batch, judged: JudgedBatch) -> None:
        cells.add(file, batch, judged)
        preview.add(file, batch, judged)

    events: list[pl.DataFrame] = []
    for batch in judged_file(source, paths_of(source)[0], hear):
        events.append(batch.events)
        if sum(map(len, events)) >= SAMPLE_ROWS:
            break
    rows = pl.concat(events).with_columns(file=pl.lit(0))
    twice = heading_twice(source, header_of(source))
    doubts = [] if twice is None else [twice]
    first = first_rows_of(source, header_of(source))
    doubts += [*unused_doubts(source, first), *mapping_doubts(source, first)]
    doubts += event_doubts(
        rows, today, always_sales=is_always_sale(source), by_sign=cells.has_signed_returns
    )
    return preview.rows, doubts + cells.doubts(rows["price"], rows.select("file", "row", "date"))
