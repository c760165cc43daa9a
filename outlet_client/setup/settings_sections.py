"""What a section of `escapement.toml` says of a table: columns, codes, constants, and doubts.

Invariant: every line says why it is so, or what a person is to put there; none holds a cell, but
for the codes of a row's kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.ledger import IS_RETURN, KIND, LINE_ID

LEDGER = (
    "customer_id", "purchased_at", "price", "quantity", "unit_price", "returned_quantity", KIND,
    IS_RETURN, "status", "currency", "list_price", "basket_id", LINE_ID, "serial", "reference",
    "outlet_id", "phone", "email",
)  # fmt: skip
CLIENTS = ("customer_id", "phone", "email", "name", "given_name")

WHAT = {
    "customer_id": "your number or key of a customer",
    "purchased_at": "the day of the sale",
    "price": "what was paid for the row, net; below zero for a return",
    "unit_price": "what one piece of the row cost; the row's amount is it times quantity",
    "quantity": "how many pieces; below zero for a return",
    "returned_quantity": "how many of them came back",
    "status": "what became of the order",
    "currency": "the currency of the row's amounts",
    KIND: "what tells a sale from a return",
    IS_RETURN: "whether the row is a return",
    "list_price": "the price before discount; without it nothing had a discount",
    "basket_id": "the receipt; without it all that a customer bought in a day is one",
    LINE_ID: "a key of its own for every row, so that corrected rows replace the old ones",
    "serial": "the piece's serial number; without it no resale can be told",
    "reference": "the piece's reference; without it all are open",
    "phone": "the customer's phone",
    "email": "the customer's e-mail",
    "name": "the customer's name, for the search at the desk; it is read there and kept nowhere",
    "given_name": "the given name, where it stands in a column of its own",
    "outlet_id": "the outlet; without it all rows are of one",
}


Value = str | int | float | tuple[str, ...] | Mapping[str, float]
"""What a setting may be."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a settings file.

    Attributes:
        key: Its name.
        value: A text, a number, a list of texts, or a table of numbers.
        why: The comment behind it.
        todo: Whether it is commented out, for a person to fill in.
    """

    key: str
    value: Value
    why: str
    todo: bool = False


@dataclass(slots=True)
class Section:
    """A table of the outlet's as its settings.

    Attributes:
        name: The section's, such as "ledger".
        form: How its cells are written.
        columns: Own column of each canonical one.
        fill_down: Which cells an order's first row says for all of its rows; empty where none.
        codes: What is written for each kind of row.
        statuses: What is written for what became of an order.
        constants: What stands in every row.
        unused: Own columns that nothing uses.
        doubts: What a person should look at; each a sentence.
    """

    name: str
    form: list[Line] = field(default_factory=list)
    columns: list[Line] = field(default_factory=list)
    fill_down: list[Line] = field(default_factory=list)
    codes: list[Line] = field(default_factory=list)
    statuses: list[Line] = field(default_factory=list)
    constants: list[Line] = field(default_factory=list)
    unused: tuple[str, ...] = ()
    doubts: list[str] = field(default_factory=list)

    @property
    def lines(self) -> tuple[tuple[str, Line], ...]:
        """All of its lines, each with where it stands, such as `ledger.columns.price`."""
        parts = {
            "": self.form,
            "columns.": self.columns,
            "fill_down.": self.fill_down,
            "codes.": self.codes,
            "statuses.": self.statuses,
            "constants.": self.constants,
        }
        return tuple(
            (f"{self.name}.{part}{line.key}", line) for part, some in parts.items() for line in some
        )

    @property
    def todos(self) -> tuple[str, ...]:
        """What is left for a person, each with the section it is about."""
        missing = (f"{place}: {line.why}" for place, line in self.lines if line.todo)
        return (*missing, *(f"[{self.name}] {doubt}" for doubt in self.doubts))
