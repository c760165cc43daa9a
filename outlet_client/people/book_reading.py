"""What a client book holds, judged row by row: who can be recognised, and why others cannot.

Invariant: nothing is stored, and neither a phone nor an e-mail nor a customer is in what is told;
the rows are read as a night reads them, and shared identifiers are found by the same rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import keys, text_of
from outlet_client.people.identifiers import read_email
from outlet_client.people.phone_numbers import check_region, read_phone
from outlet_client.people.record_linkage import MOST_SHARING, ClientEntry, link_entries
from outlet_client.sources.row_batches import ROW
from outlet_client.sources.table_reader import batches_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from outlet_client.people.identifier_flaws import Flaw, Reading
    from outlet_client.sources.row_batches import Batch
    from outlet_client.sources.source import Source

IDENTIFIERS = ("phone", "email")

SHARED = (
    f"shared: more than {MOST_SHARING} customers have it, so that it is nobody's own; the till's, "
    "or made up"
)
CROWD = (
    f"shared: its customer has more than {MOST_SHARING} phones or e-mails, so is nobody in person; "
    "does the key stand for all who gave no name? Then name it in `walk_ins`"
)
CONTESTED = (
    "shared: another customer has it who differs otherwise, so that nobody uses it; "
    "`escapement-outlet duplicates` lists the pairs"
)

_CUSTOMER, _FILE = "customer_id", "file"
_FAULTS = {_FILE: pl.String, ROW: pl.Int64, "column": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True, repr=False)
class BookReading:
    """A client book as it was read.

    Attributes:
        rows: Its entries: file, row, customer_id, phone and email as text.
        bad: Records that are no entries: file, row, column, their heading, and reason.
        apart: How many records were left out on purpose, by reason.
    """

    rows: pl.DataFrame
    bad: pl.DataFrame
    apart: Mapping[str, int]

    @property
    def customers(self) -> pl.Series:
        """Each customer once."""
        return self.rows[_CUSTOMER].unique()

    def missing(self, customers: pl.Series) -> int:
        """How many of some customers, each once, the book has not."""
        return len(customers) - int(customers.is_in(self.customers.implode()).sum())


@dataclass(frozen=True, slots=True)
class IdentifierTally:
    """How many phones, or e-mails, of a client book identify somebody.

    Attributes:
        different: How many different cells were looked at, those of most customers first.
        usable: How many of these are a phone or e-mail by which somebody can be recognised.
        flaws: How many customers have one that is not, by reason.
        shared: How many identifiers more than `MOST_SHARING` customers have,
        sharing: and how many customers that are.
    """

    different: int
    usable: int
    flaws: Counter[Flaw] = field(default_factory=Counter)
    shared: int = 0
    sharing: int = 0

    @property
    def placeholders(self) -> int:
        """How many customers have one that is typed where there is none."""
        return sum(count for flaw, count in self.flaws.items() if flaw.is_placeholder)


def read_book(source: Source, nobody: Collection[str] = ()) -> BookReading:
    """Reads a client book, or a ledger as one.

    Args:
        source: Where it is.
        nobody: What stands for nobody where a customer's key does, casefolded; see
            `nobodys_keys`.

    Raises:
        LedgerError: If it cannot be read at all, or a column is missing.
    """
    rows: list[pl.DataFrame] = []
    bad = [pl.DataFrame(schema=_FAULTS)]
    apart: Counter[str] = Counter()
    for file, batch in batches_of(source, (_CUSTOMER, *IDENTIFIERS)):
        good, wrong = _judged(batch, source, file)
        is_nobody = good[_CUSTOMER].str.to_lowercase().is_in(list(nobody))
        rows.append(good.filter(pl.col(_CUSTOMER).is_not_null() & ~is_nobody))
        bad += [_placed(batch.malformed, source, file), wrong]
        apart.update(batch.apart["reason"].to_list())
    return BookReading(pl.concat(rows), pl.concat(bad).sort(_FILE, ROW, maintain_order=True), apart)


def identifier_tally(
    cells: pl.DataFrame, name: str, region: str | None, most: int
) -> IdentifierTally:
    """Counts what is usable of a column.

    Args:
        cells: customer_id and the column, as they stand in a client book or ledger.
        name: phone or email.
        region: Of phones without a country.
        most: So many different cells are looked at.

    Raises:
        NotConfigured: If the region is unknown.
    """
    check_region(region)
    text = _text(cells[name], name)
    holders = pl.DataFrame([cells[_CUSTOMER].cast(pl.String), text]).drop_nulls()
    counts = holders.group_by(name).agg(pl.col(_CUSTOMER).n_unique().alias("n"))
    counts = counts.sort("n", name, descending=[True, False]).head(most)
    flaws: Counter[Flaw] = Counter()
    found: dict[str, str] = {}
    for cell, number in counts.iter_rows():
        reading = _read(name, cell, region)
        if reading.flaw is not None:
            flaws[reading.flaw] += number
        elif reading.identifier is not None:
            found[cell] = reading.identifier
    sharing = _holders(holders, name, found)
    return IdentifierTally(len(counts), len(found), flaws, len(sharing), int(sharing["n"].sum()))


def useless_identifiers(
    source: Source, region: str | None, nobody: Collection[str] = ()
) -> pl.DataFrame:
    """Every phone and e-mail by which nobody is recognised, by row: what is unusable or shared.

    Args:
        source: The client book, or the ledger as one.
        region: Of phones without a country.
        nobody: As for `read_book`; a phone beside it is nobody's, and not told.

    Returns:
        file, row, column, their heading, and reason, in order; never the cell.

    Raises:
        LedgerError: If it cannot be read at all, or a column is missing.
        NotConfigured: If the region is unknown.
    """
    check_region(region)
    rows = read_book(source, nobody).rows
    found: list[pl.DataFrame] = []
    for name in IDENTIFIERS:
        cells = rows[name].drop_nulls().unique()
        readings = [_read(name, cell, region) for cell in cells]
        told = pl.DataFrame(
            {
                name: cells,
                f"{name}_key": [one.identifier for one in readings],
                "reason": [one.flaw for one in readings],
            },
            schema_overrides={f"{name}_key": pl.String, "reason": pl.String},
        )
        rows = rows.join(told, on=name, how="left", maintain_order="left")
        rows = rows.rename({"reason": f"{name}_reason"})
    reasons = _shared(rows)
    for name in IDENTIFIERS:
        shared = pl.col(f"{name}_key").replace_strict(reasons, default=None, return_dtype=pl.String)
        reason = pl.coalesce(f"{name}_reason", shared)
        found.append(
            rows.select(
                _FILE, ROW, pl.lit(_heading(source, name)).alias("column"), reason.alias("reason")
            )
        )
    return pl.concat(found).drop_nulls("reason").sort(_FILE, ROW, maintain_order=True)


def _judged(batch: Batch, source: Source, file: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A batch's entries as text, and those that have no customer."""
    rows = batch.rows
    customers = keys(rows[_CUSTOMER], source.name) if _CUSTOMER in rows.columns else None
    bad = pl.DataFrame(schema={"at": pl.Int64, "reason": pl.String})
    if customers is not None:
        bad = customers.bad()
    columns = [
        _text(rows[name], source.name).alias(name)
        if name in rows.columns
        else pl.lit(None, pl.String).alias(name)
        for name in IDENTIFIERS
    ]
    values = pl.lit(None, pl.String) if customers is None else customers.values
    text = rows.select(pl.lit(file).alias(_FILE), pl.col(ROW), values.alias(_CUSTOMER), *columns)
    numbers = rows[ROW].gather(bad["at"])
    wrong = [numbers, pl.repeat(_CUSTOMER, len(numbers), eager=True), bad["reason"]]
    return text, _placed(pl.DataFrame(wrong, [ROW, "column", "reason"]), source, file)


def _placed(faults: pl.DataFrame, source: Source, file: str) -> pl.DataFrame:
    """Bad records under the file's name and their own headings."""
    headings = {name: _heading(source, name) for name in (_CUSTOMER, *IDENTIFIERS)}
    return faults.select(
        pl.lit(file).alias(_FILE), ROW, pl.col("column").replace(headings), "reason"
    )


def _heading(source: Source, name: str) -> str:
    return source.columns.get(name, name)


def _text(column: pl.Series, source: str) -> pl.Series:
    """A column as it was typed, null where a cell is blank; whole numbers without a fraction."""
    if column.dtype == pl.String:
        return column.str.strip_chars().replace("", None)
    return text_of(column, source)


def _read(name: str, cell: str, region: str | None) -> Reading:
    return read_phone(cell, region) if name == "phone" else read_email(cell)


def _holders(holders: pl.DataFrame, name: str, found: Mapping[str, str]) -> pl.DataFrame:
    """The identifiers of more customers than may share one, and of how many."""
    known = holders.with_columns(
        key=pl.col(name).replace_strict(found, default=None, return_dtype=pl.String)
    ).drop_nulls("key")
    counts = known.group_by("key").agg(pl.col(_CUSTOMER).n_unique().alias("n"))
    return counts.filter(pl.col("n") > MOST_SHARING)


def _shared(rows: pl.DataFrame) -> dict[str, str]:
    """Why identifiers that several customers have are nobody's."""
    entries = rows.select(_CUSTOMER, "phone_key", "email_key").unique(maintain_order=True)
    contested = link_entries(ClientEntry(*row) for row in entries.iter_rows()).contested
    held = pl.concat(
        entries.select(_CUSTOMER, key=name).drop_nulls().unique().with_columns(kind=pl.lit(name))
        for name in ("phone_key", "email_key")
    )
    crowds = held.group_by(_CUSTOMER, "kind").len().filter(pl.col("len") > MOST_SHARING)
    of_crowds = set(held.join(crowds, on=_CUSTOMER, how="semi")["key"])
    counts = dict(held.group_by("key").len().iter_rows())
    return {
        key: SHARED if counts[key] > MOST_SHARING else CROWD if key in of_crowds else CONTESTED
        for key in contested
    }
