"""The proposals that wait for a decision.

Invariant: of a reference only the newest proposal can wait; an earlier one is over with it.
"""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.allocation.proposal_store import AllocationStore
from outlet_client.database import driver_rows

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy as sa

_OPEN = (
    "SELECT id, reference, pieces, made_at FROM allocation_proposals AS one WHERE NOT EXISTS ("
    "SELECT 1 FROM allocation_decisions WHERE proposal = one.id) AND NOT EXISTS (SELECT 1 FROM "
    "allocation_proposals AS later WHERE later.reference = one.reference AND later.id > one.id) "
    "ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """A proposal that nobody decided yet.

    Attributes:
        pieces: How many there are to give.
        made: When it was made, UTC.
    """

    number: int
    reference: str
    pieces: int
    made: dt.datetime


def open_proposals(connection: sa.Connection) -> tuple[OpenProposal, ...]:
    """The newest proposal of each reference where it is undecided, the oldest first.

    Args:
        connection: Of the store of proposals.
    """
    return tuple(
        OpenProposal(number, reference, pieces, dt.datetime.fromisoformat(made))
        for number, reference, pieces, made in driver_rows(connection, _OPEN)
    )


def open_proposals_in(home: Path) -> tuple[OpenProposal, ...]:
    """The same of an outlet's folder."""
    with closing(AllocationStore.open(home)) as store, store.reading() as connection:
        return open_proposals(connection)
