"""The list of `escapement-outlet check --identifiers`: who cannot be recognised, by row.

Invariant: what is written names files, rows, headings and reasons, never a phone or e-mail.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.people.book_reading import useless_identifiers
from outlet_client.people.client_book import nobodys_keys
from outlet_client.sources.file_lines import lines_of

if TYPE_CHECKING:
    from outlet_client.settings import OutletFile


def list_identifiers(settings: OutletFile, *, as_json: bool) -> None:
    """Writes every phone and e-mail that identifies nobody: file, row, column and reason.

    Args:
        settings: Whose client book it is; without one the ledger is.
        as_json: A list of objects instead of CSV.

    Raises:
        LedgerError: If the client book cannot be read.
        NotConfigured: If the region is unknown.
    """
    source, nobody = settings.clients or settings.ledger, nobodys_keys(settings)
    found = useless_identifiers(source, settings.region, nobody)
    places = list(found.select("file", "row").iter_rows())
    lines = lines_of(source, places)
    told = pl.Series("line", [lines.get(place) for place in places], pl.Int64)
    found = found.insert_column(found.columns.index("row"), told)
    sys.stdout.write(
        f"{json.dumps(found.to_dicts(), ensure_ascii=False)}\n" if as_json else found.write_csv()
    )
