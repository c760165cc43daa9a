"""Making a correction of one event, for the commands and the staff's pages.

Invariant: a correction, its entry in the log and the answer to the request that it was for are
stored together or not at all; the ledger itself is never written to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.allocation.reference_names import named_reference
from outlet_client.ledger import corrections
from outlet_client.ledger.intake import first_day
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records import customer_requests
from outlet_client.records.access_log import LogAct, record_act
from outlet_client.records.customer_requests import NewRequest, RequestKind, RequestRefused
from outlet_client.rights.request_handling import answer_or_make

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    import polars as pl
    import sqlalchemy as sa

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.rights.find_person import FoundPerson


_CELLS = {"price": "amount", "list_price": "list price", "date": "day", "kind": "what it was"}
"""Cells of an event, where a customer calls them otherwise."""


@dataclass(frozen=True, slots=True, repr=False)
class CorrectionMade:
    """What was corrected.

    Attributes:
        said: The cells that are now other than in the ledger, or that it is struck.
        told: The same as the customer is answered, in a sentence.
        answered: The number of the request that this answered; None where it was for none,
        left_open: or the numbers of those that stay open, since it was not said which it was for.
    """

    said: str
    told: str
    answered: int | None
    left_open: tuple[int, ...]


def make_correction(
    access: CustomerAccess,
    who: FoundPerson,
    rows: pl.DataFrame,
    event: str,
    values: Mapping[str, str] | None,
    by: str,
    at: dt.datetime,
    request: int | None = None,
) -> CorrectionMade:
    """Changes cells of an event, or strikes it.

    Args:
        access: The outlet's open stores.
        who: Whose event it is.
        rows: Theirs, as the ledger has them.
        event: Its id.
        values: New cells as `corrections.correct` takes them; None to strike it.
        by: Who takes it down.
        at: When.
        request: The number of the request that asked for it.

    Raises:
        CorrectionRefused: If there is no such event, or a cell cannot be as it was given.
        RequestRefused: If that is no open correction request of this customer.
        AllocationRefused: If a reference is in no tier.
    """
    settings = access.settings
    if values and values.get("reference") and settings.references is not None:
        name, _ = named_reference(settings, values["reference"])
        values = {**values, "reference": name}
    with rights_of(access.home) as connection:
        if values is None:
            corrections.strike(connection, rows, event, by, at)
            said, outcome, then = "struck", "struck", "was struck: it does not count."
        else:
            kept = first_day(settings, at)
            changes = corrections.correct(connection, rows, event, values, by, at, kept)
            told = ", ".join(f"{column}={cell}" for column, cell in changes.items())
            said, outcome = told or "as the ledger has it again", "corrected"
            then = f"was corrected: {_named(changes)}." if changes else "stands as our till has it."
        record_act(
            connection, at, LogAct.CORRECTION, by, key=who.key, about=f"event {event}",
            outcome=outcome,
        )  # fmt: skip
        taking = NewRequest(at.astimezone().date(), settings.request_days, by, at=at)
        answer = f"{_event(rows, event)} {then}"
        answered, left = _settle(connection, who.keys, request, answer, taking)
    return CorrectionMade(said, answer, answered, left)


def open_corrections(access: CustomerAccess, who: FoundPerson) -> list[int]:
    """The numbers of a person's open requests to have something corrected."""
    with rights_of(access.home) as connection:
        return customer_requests.open_numbers(connection, RequestKind.CORRECTION, who.keys)


def _event(rows: pl.DataFrame, event: str) -> str:
    """An event as the customer knows it: what it was, and of which day the ledger says that."""
    row = rows.row(corrections.event_ids(rows).index(event), named=True)
    return f"The {row['kind']} of {row['date']}"


def _named(changes: Mapping[str, object]) -> str:
    names = (_CELLS.get(name, name) for name in changes if name != "basket")
    return ", ".join(dict.fromkeys(names))


def _settle(
    connection: sa.Connection,
    keys: Sequence[str],
    number: int | None,
    answer: str,
    taking: NewRequest,
) -> tuple[int | None, tuple[int, ...]]:
    """Answers the request that a correction was for; or tells which of several stay open."""
    waiting = customer_requests.open_numbers(connection, RequestKind.CORRECTION, keys)
    if number is None and len(waiting) > 1:
        return None, tuple(waiting)
    if number is None:
        answer_or_make(connection, RequestKind.CORRECTION, keys, answer, taking)
        return (waiting[0] if waiting else None), ()
    if number not in waiting:
        raise RequestRefused(
            f"request {number}: no open correction request of this customer; the open requests "
            "of customers list them"
        )
    customer_requests.answer(connection, number, taking.by, answer, taking.at)
    return number, ()
