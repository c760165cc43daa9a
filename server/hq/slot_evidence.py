"""Evidence of what changed slots: which the privacy office is shown, and which ones are new.

Invariant: every slot that became blank here has the evidence of the withdrawal that blanked it, and
every slot that a key got here that had been withdrawn before has that of the registration that
brought it back. What was taken over from the office has none: it has seen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.registrations import Evidence, RegistrationAct
from server.hq.tables import SLOT_EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

_TABLE = SLOT_EVIDENCE.c


def keep_evidence(connection: sa.Connection, slot: int, evidence: Evidence) -> None:
    """Keeps the evidence of what changed a slot."""
    row = {
        "slot": slot,
        "act": int(evidence.act),
        "batch": evidence.batch,
        "since": evidence.since,
        "bound": evidence.bound,
        "proof": evidence.proof,
    }
    connection.execute(SLOT_EVIDENCE.insert().values(**row))


def keep_loss(connection: sa.Connection, slot: int, batch: int) -> None:
    """Keeps that a slot is blank by this batch, by a withdrawal that HQ lost."""
    keep_evidence(connection, slot, Evidence(RegistrationAct.WITHDRAW, batch, 0, b"", b""))


def withdrawals(
    connection: sa.Connection, slots: int, after: int, upto: int
) -> dict[int, Evidence]:
    """What blanked some of the first slots, by slot, ascending.

    Args:
        connection: To the registry.
        slots: How many slots are asked about, from the first on.
        after: The last batch that is not asked about.
        upto: The last one that is.
    """
    asked = (_TABLE.slot < slots) & (_TABLE.batch > after) & (_TABLE.batch <= upto)
    return _read(connection, RegistrationAct.WITHDRAW, asked)


def returns(connection: sa.Connection, slots: Iterable[int]) -> dict[int, Evidence]:
    """What brought keys back that had been withdrawn before, by the slot that they got.

    Args:
        connection: To the registry.
        slots: Which are asked about.
    """
    wanted = set(slots)
    first = min(wanted, default=0)
    found = _read(connection, RegistrationAct.REGISTER, _TABLE.slot >= first)
    return {slot: evidence for slot, evidence in found.items() if slot in wanted}


def _read(
    connection: sa.Connection, act: RegistrationAct, asked: sa.ColumnElement[bool]
) -> dict[int, Evidence]:
    query = sa.select(SLOT_EVIDENCE).where(asked, _TABLE.act == int(act)).order_by(_TABLE.slot)
    return {
        row.slot: Evidence(act, row.batch, row.since, row.bound, row.proof)
        for row in connection.execute(query)
    }
