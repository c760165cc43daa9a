"""Doubts: where a ledger's rows speak against the settings that read them.

Invariant: a doubt has a name that does not change, counts, one sentence and the setting that
decides it; it holds no cell. One whose name is in the table's `accept` is shown and fails nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outlet_client.settings import OutletFile

DOUBTS = {
    "all-purchases": "`columns.kind`, `codes`",
    "refund-column": "`statuses`, `columns.returned_quantity`, `columns.kind`",
    "returns-outnumber": "`codes`, `sales_side`, `sales_are_negative`",
    "returns-of-one": "`columns.customer_id`",
    "few-customers": "`columns.customer_id`, `walk_ins`",
    "not-customers": "`columns.customer_id`, `columns.phone`, `columns.email`",
    "running-numbers": "`columns.serial`, `columns.customer_id`",
    "name-keys": "`columns.customer_id`",
    "mailbox-keys": "`columns.customer_id`",
    "walk-ins": "`columns.customer_id`, `fill_down`",
    "order-lines": "`fill_down`",
    "basket-header": "`codes.ignore`, `where`",
    "basket-repeats": "`columns.price`",
    "basket-below-zero": "`codes.ignore`, `where`",
    "unit-price": "`columns.unit_price`, `columns.quantity`",
    "taxes": "`columns.price`, `columns.unit_price`",
    "discounts": "`columns.price`, `columns.unit_price`",
    "sides": "`sales_side`, `columns.kind`",
    "quantities": "`columns.quantity`, `quantity_decimal`",
    "decimal": "`decimal`",
    "cents": "`decimal`, `columns.price`",
    "currencies": "`currency`, `rates`, `where`",
    "far-days": "`dates`, `columns.purchased_at`",
    "day-order": "`dates`",
    "one-day": "`columns.purchased_at`",
    "totals": "`where`",
    "kinds-unknown": "`codes`, `codes.ignore`",
    "statuses-partial": "`statuses`, `columns.returned_quantity`",
    "heading-twice": "`columns`",
    "clients-half": "`clients`: its `columns.customer_id`",
    "region": "`region`",
    "placeholders": "none: they identify nobody",
    "shared-identifiers": "`clients`: its `columns`",
}
"""Every doubt there is, and what decides it."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that speaks against the settings.

    Attributes:
        name: Of `DOUBTS`.
        table: The section that it is about, such as "ledger".
        counts: What was counted, by what it is.
        sentence: What was found, for people.
    """

    name: str
    table: str
    counts: Mapping[str, int]
    sentence: str

    @property
    def setting(self) -> str:
        """What decides it."""
        return DOUBTS[self.name]

    def is_accepted(self, settings: OutletFile) -> bool:
        """Whether somebody looked at it."""
        source = settings.clients if self.table == "clients" else settings.ledger
        accepted = () if source is None else source.accept
        return self.name in accepted or self.name in settings.ledger.accept


def open_doubts(doubts: Iterable[Doubt], settings: OutletFile) -> list[Doubt]:
    """Those that nobody looked at yet."""
    return [doubt for doubt in doubts if not doubt.is_accepted(settings)]


def ask_accepted(settings: OutletFile) -> None:
    """Refuses to accept what is no doubt: a slip of the pen would leave a real one unseen.

    Raises:
        NotConfigured: If a name in `accept` is none.
    """
    for name, source in (("ledger", settings.ledger), ("clients", settings.clients)):
        for word in () if source is None else source.accept:
            if word not in DOUBTS:
                raise NotConfigured(
                    f"{name}.accept: got '{word}', expected names of doubts as `check` shows them: "
                    f"{', '.join(DOUBTS)}"
                )


def counted(number: int, what: str, many: str | None = None) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"
