"""What a section of `escapement.toml` says of a table: columns, codes, constants, and doubts.

Invariant: every line says why it is so, or what a person is to put there; none holds a cell, but
for the codes of a row's kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from features.ledger import IS_RETURN, KIND, LINE_ID

LEDGER = (
    "customer_id", "purchased_at", "price", KIND, IS_RETURN, "list_price", "basket_id", LINE_ID,
    "serial", "reference", "outlet_id", "phone", "email",
)  # fmt: skip
CLIENTS = ("customer_id", "phone", "email")

WHAT = {
    "customer_id": "your number or key of a customer",
    "purchased_at": "the day of the sale",
    "price": "what was paid for the row, net; below zero for a return",
    KIND: "what tells a sale from a return",
    "list_price": "the price before discount; without it nothing had a discount",
    "basket_id": "the receipt; without it all that a customer bought in a day is one",
    LINE_ID: "a key of its own for every row, so that corrected rows replace the old ones",
    "serial": "the piece's serial number; without it no resale can be told",
    "reference": "the piece's reference; without it all are open",
    "phone": "the customer's phone",
    "email": "the customer's e-mail",
    "outlet_id": "the outlet; without it all rows are of one",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a settings file.

    Attributes:
        key: Its name.
        value: As text, or a list of texts.
        why: The comment behind it.
        todo: Whether it is commented out, for a person to fill in.
    """

    key: str
    value: str | tuple[str, ...]
    why: str
    todo: bool = False


@dataclass(slots=True)
class Section:
    """A table of the outlet's as its settings.

    Attributes:
        name: The section's, such as "ledger".
        form: How its cells are written.
        columns: Own column of each canonical one.
        codes: What is written for each kind of row.
        constants: What stands in every row.
        unused: Own columns that nothing uses.
        doubts: What a person should look at; each a sentence.
    """

    name: str
    form: list[Line] = field(default_factory=list)
    columns: list[Line] = field(default_factory=list)
    codes: list[Line] = field(default_factory=list)
    constants: list[Line] = field(default_factory=list)
    unused: tuple[str, ...] = ()
    doubts: list[str] = field(default_factory=list)

    @property
    def todos(self) -> tuple[str, ...]:
        """What is left for a person."""
        lines = (*self.form, *self.columns, *self.codes, *self.constants)
        missing = (f"{line.key}: {line.why}" for line in lines if line.todo)
        return (*missing, *self.doubts)
