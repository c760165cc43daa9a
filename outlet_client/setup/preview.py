"""Ten rows of a ledger as this program understands them, for a person to compare with the till.

Invariant: of a customer and a phone a mask is shown, of a piece's reference the parts that are no
words; nothing in a preview tells who somebody is. A preview is kept nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import Kind
from outlet_client.people.phone_numbers import read_phone
from outlet_client.setup.redaction import customer_mask, phone_mask, reference_mask

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.ledger.judged_rows import JudgedBatch
    from outlet_client.sources.row_batches import Batch

MOST_SHOWN = 10
_OF_A_KIND = 3


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A row as it is understood.

    Attributes:
        file: The file's or table's name.
        row: Its number there, from 1 for the first after the header.
        day: When it was.
        kind: What it is; of a purchase that came back the same day both.
        reference: Of the piece, words masked; None where there is none.
        amount: In the outlet's currency.
        customer: Masked.
        phone: Masked, as it is read with the outlet's region; None where there is none.
    """

    file: str
    row: int
    day: dt.date
    kind: str
    reference: str | None
    amount: float
    customer: str
    phone: str | None


class Preview:
    """Collects rows while a ledger is read: the first of each kind, then the first of all.

    Args:
        region: The outlet's, of phones without a country; None where it is unset.
    """

    def __init__(self, region: str | None) -> None:
        self._region = region
        self._rows: list[PreviewRow] = []

    def add(self, file: str, batch: Batch, judged: JudgedBatch) -> None:
        """Takes rows of a batch, as long as some are wanted."""
        wanted = MOST_SHOWN - len(self._rows)
        if wanted <= 0 or judged.events.is_empty():
            return
        events = judged.events
        place = pl.int_range(pl.len()).over("kind", pl.col("refund").is_null())
        of_kinds = events.filter(place < _OF_A_KIND)
        first = pl.concat([of_kinds, events.head(wanted)])
        some = first.unique("row", maintain_order=True).head(wanted).sort("row")
        phones = {}
        if "phone" in batch.rows.columns:
            there = batch.rows.filter(pl.col("row").is_in(some["row"].implode()))
            phones = dict(there.select("row", pl.col("phone").cast(pl.String)).iter_rows())
        names = ("row", "date", "kind", "reference", "price", "customer", "refund")
        for row, day, kind, reference, price, customer, refund in some.select(names).iter_rows():
            self._rows.append(
                PreviewRow(
                    file,
                    row,
                    day,
                    kind if refund is None else f"{kind}+{Kind.RETURN.value}",
                    None if reference is None else reference_mask(reference),
                    price,
                    customer_mask(customer),
                    self._phone(phones.get(row)),
                )
            )

    def _phone(self, typed: str | None) -> str | None:
        if typed is None or not typed.strip():
            return None
        reading = read_phone(typed, self._region)
        if reading.identifier is None:
            return "not usable" if reading.flaw is None else f"not usable: {reading.flaw}"
        return phone_mask(reading.identifier.removeprefix("tel:"))

    @property
    def rows(self) -> list[PreviewRow]:
        """The rows, in the ledger's order."""
        return list(self._rows)
