"""Reports of the office: its ledger, and how outlets' logs were countersigned."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from privacy.identity import PartyKind
from privacy.purposes import Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from privacy.budget import Ledger, LedgerEntry
    from privacy.keyring import Keyring
    from server.office.notary import Notary


@dataclass(frozen=True, slots=True)
class LogStatements:
    """How often an outlet's log was countersigned.

    Attributes:
        outlet: Its name.
        statements: How many there are.
        last: When the last was made, ISO 8601; None before the first.
    """

    outlet: str
    statements: int
    last: str | None

    def as_json(self) -> dict[str, object]:
        """Plain values, for `json.dumps`."""
        return {"outlet": self.outlet, "statements": self.statements, "last": self.last}


def countersigned(ring: Keyring, notary: Notary) -> list[LogStatements]:
    """Every outlet that is on the list, or was countersigned once, by name."""
    last = {statement.outlet: statement for statement in notary.last()}
    never = [
        LogStatements(name, 0, None) for name in ring.peers(PartyKind.OUTLET) if name not in last
    ]
    once = [
        LogStatements(name, s.number, dt.datetime.fromtimestamp(s.at, dt.UTC).isoformat())
        for name, s in last.items()
    ]
    return sorted([*never, *once], key=lambda row: row.outlet)


def show_countersigned(out: Console, rows: Sequence[LogStatements]) -> None:
    """Prints how often each outlet's log was countersigned."""
    table = Table("outlet", "statements", "last")
    for row in rows:
        table.add_row(row.outlet, str(row.statements), row.last or "never")
    out.print(table)


def entry_as_json(entry: LedgerEntry) -> dict[str, object]:
    """An entry of the ledger in plain values, for `json.dumps`."""
    return {
        "sequence": entry.sequence,
        "at": entry.at,
        "act": entry.act.value,
        "night": entry.night,
        "release": entry.release,
        "purpose": None if entry.purpose is None else entry.purpose.value,
        "rho": entry.rho.encode(),
        "noiseless": entry.noiseless,
        "digest": entry.digest,
    }


def show_ledger(out: Console, ledger: Ledger, at: int) -> None:
    """Prints what a year's uses may cost and have cost, and the year's promise."""
    table = Table(title=f"{ledger.length} entries, head {ledger.head[:16]}")
    for column in ("use", "spent", "held", "remaining", "a year"):
        table.add_column(column, justify="left" if column == "use" else "right")
    for purpose in Purpose:
        if purpose is Purpose.POINTS:  # sealed, never opened
            continue
        limit, spent = ledger.policy.limit(purpose), ledger.spent(purpose, at)
        left = ledger.remaining(purpose, at)
        figures = (spent, limit - spent - left, left, limit)
        table.add_row(purpose.value, *(f"{float(figure):.5f}" for figure in figures))
    out.print(table)
    epsilon, promise = ledger.epsilon(at), ledger.policy.customer
    stated = "unbounded: a sum had no noise" if epsilon is None else f"{epsilon:.3f}"
    out.print(
        f"epsilon {stated} of {promise.epsilon:g} at delta {promise.delta:g}", highlight=False
    )
