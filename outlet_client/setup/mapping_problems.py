"""What is wrong with a ledger's mapping, in the outlet's own headings, before anything is read.

Invariant: headings are named, never a cell; of a file whose first line may be a row only headings
that the settings name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.errors import LedgerError
from features.ledger import IS_RETURN, KIND, NEEDED
from outlet_client.setup.column_matching import lookalikes
from outlet_client.setup.column_names import without_number
from outlet_client.setup.doubts import Doubt
from outlet_client.setup.format_guess import NO_HEADER, begins_with_data
from outlet_client.setup.sample_columns import cells_of
from outlet_client.setup.sampling import rows_before_header
from outlet_client.setup.settings_sections import WHAT
from outlet_client.sources.table_reader import batches_of, header_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from outlet_client.setup.sample_columns import SampleColumn
    from outlet_client.sources.source import Source

MOST_FIRST = 20_000
"""So many of a ledger's first rows are looked at."""


def ask_mapping(source: Source) -> None:
    """Refuses a ledger of which a needed column is neither there nor mapped to one that is.

    Args:
        source: The ledger.

    Raises:
        LedgerError: At what is missing, with what looked like it and why it is not taken.
    """
    header = header_of(source)
    if not source.is_database and begins_with_data(header):
        raise LedgerError(source.name, 1, None, NO_HEADER)  # which would list it as columns
    missing = missing_columns(source, header)
    if not missing:
        return
    sample = cells_of(first_rows_of(source, header))
    taken = {own: name for name, own in source.columns.items() if own in header}
    parts = [_said(source, name, sample, taken) for name in missing]
    above = 0 if source.is_database else rows_before_header(source)
    if above != source.skip_rows:
        parts.append(f"the header seems to be below {above} lines: set skip_rows = {above}")
    raise LedgerError(source.name, None, None, "; ".join(parts))


def missing_columns(source: Source, header: Sequence[str]) -> list[str]:
    """Needed canonical columns that are not there, and mapped ones whose heading is not."""
    there = {*header, *(without_number(one) for one in header)}
    mapped = [name for name, own in source.columns.items() if own not in there]

    def has(name: str) -> bool:
        return name in source.constants or source.columns.get(name, name) in there

    needed = [name for name in NEEDED if not has(name)]
    if "price" in needed and has("unit_price") and has("quantity"):
        needed.remove("price")
    if not has(KIND) and not has(IS_RETURN):
        needed.append(KIND)
    return list(dict.fromkeys((*mapped, *needed)))


def first_rows_of(source: Source, header: Sequence[str]) -> pl.DataFrame:
    """A ledger's first rows under the outlet's own names.

    Raises:
        LedgerError: If they cannot be read.
    """
    names = [name for name in dict.fromkeys(header) if name.strip()]
    bare: dict[str, object] = {"columns": {}, "constants": {}, "where": None, "fill_down": None}
    _, batch = next(batches_of(source.model_copy(update=bare), names))
    return batch.rows.drop("row").head(MOST_FIRST)


def _said(
    source: Source, name: str, sample: Mapping[str, SampleColumn], taken: dict[str, str]
) -> str:
    own = source.columns.get(name)
    what = f"no heading '{own}' ({name})" if own else f"no column for {name}"
    alike = "; ".join(lookalikes(sample, name, taken)) or "no heading sounds like it"
    return f"{what}: {WHAT.get(name, name)}; {alike}"


def heading_twice(source: Source, header: Sequence[str]) -> Doubt | None:
    """A mapped heading stands several times in the file."""
    found = {
        own: len([one for one in header if without_number(one) == without_number(own)])
        for own in source.columns.values()
        if own in header and without_number(own) != own
    }
    twice = {own: number for own, number in found.items() if number > 1}
    if not twice:
        return None
    said = ", ".join(
        f"'{own}' is column {list(header).index(own) + 1}, one of {number} of that name"
        for own, number in twice.items()
    )
    what = f"{said}: is it the right one?"
    return Doubt("heading-twice", "ledger", {"headings": len(twice)}, what)
