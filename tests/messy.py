"""A made-up outlet's data as points of sale write it: German names and numbers, own codes."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    "Kundennummer", "Name", "Telefon", "E-Mail", "Kaufdatum", "Verkäufer", "Artikelnummer",
    "Verkaufspreis", "Listenpreis", "Vorgangsart", "Bonnummer",
)  # fmt: skip
FIRST_DAY = dt.date(2026, 1, 5)


@dataclass(frozen=True)
class Sale:
    """One row of the outlet's, before it is written."""

    number: int
    customer: int
    day: dt.date
    reference: str
    price: float
    list_price: float
    back: bool
    serial: str = field(default="")

    @property
    def phone(self) -> str:
        return f"+41 44 668 {self.customer // 100:02} {self.customer % 100:02}"

    @property
    def email(self) -> str:
        return f"kundin{self.customer}@example.org"

    @property
    def name(self) -> str:
        return ("Jürg Müller", "Zoë Groß", "Ålva Peña")[self.customer % 3] + f" {self.customer}"


def sales(number: int = 400, customers: int = 40) -> list[Sale]:
    """Rows in order of days; every twentieth is a return, with an amount below zero."""
    rng = random.Random(5)  # noqa: S311  (no secret)
    found = []
    for row in range(1, number + 1):
        back = row % 20 == 0
        list_price = rng.choice([49.5, 1200.0, 8900.0, 12500.75])
        price = round(list_price * rng.choice([1, 0.9]), 2) * (-1 if back else 1)
        day = FIRST_DAY + dt.timedelta(days=row // 4)
        found.append(
            Sale(
                row,
                rng.randrange(1, customers),
                day,
                f"1{rng.randrange(10):05}",
                price,
                list_price,
                back,
            )
        )
    return found


def german(amount: float) -> str:
    """An amount with a point between thousands and a comma before cents."""
    return f"{amount:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def german_csv(file: Path, rows: list[Sale], encoding: str = "latin-1") -> None:
    """Semicolons, decimal commas, dd.mm.yyyy, codes VK and RT, lines that end as on Windows."""
    lines = [";".join(HEADER)]
    lines += [
        ";".join(
            (
                f"K{sale.customer:04}", sale.name, sale.phone, sale.email,
                f"{sale.day:%d.%m.%Y}", "Müller", sale.reference, german(sale.price),
                german(sale.list_price), "RT" if sale.back else "VK", f"B{sale.number // 2}",
            )
        )
        for sale in rows
    ]  # fmt: skip
    file.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
