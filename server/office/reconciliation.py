"""Bringing a ledger back that the office lost, from the copies of HQ and of outlets.

Invariant: no purpose has more left afterwards than it had before the loss. What is in a copy is
verified, chain and law; what may be in none is charged (`privacy.ledger_copies`), and where nobody
has the entries, a whole year is.

What the office's store forgot besides is taken as strictly: everybody on the list counts as having
been in a seal, and no seed is carried. How many seals of the week and the year there were is not
known again; see the threat model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.ledger_copies import brought_back, check_seen, unproven_charges

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from privacy.envelopes import VerifyKey
    from privacy.ledger_copies import LedgerCopy
    from privacy.loss import Rho
    from privacy.purposes import Purpose
    from server.office.ledger_store import OfficeStore


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was brought back.

    Attributes:
        before: How many entries the ledger had.
        after: How many it has now, with those that say that this happened.
        charged: By purpose, what may be in no copy and was charged.
        lost: Whether a whole year was charged.
    """

    before: int
    after: int
    charged: Mapping[Purpose, Rho]
    lost: bool


def reconcile(
    store: OfficeStore,
    copies: Sequence[LedgerCopy],
    office: VerifyKey,
    outlets: Collection[str],
    at: int,
    *,
    lost: bool = False,
) -> Reconciled:
    """Adds the entries that the ledger lacks, and those that say so, in one transaction.

    Args:
        store: The office's.
        copies: What HQ and outlets know.
        office: The office's own key, by which it knows its plans.
        outlets: Everybody on its list.
        at: Unix seconds.
        lost: Whether entries are in no copy: then a whole year is charged.

    Returns:
        What was done; nothing where no entry is missing and none is said to be lost.

    Raises:
        LedgerForked: If a copy does not go on from the ledger; or somebody has seen what is in no
            copy, and it is not said to be lost.
        LedgerBroken: If an entry breaks the law.
        PlanRefused: If a copy's plan is not the office's.
    """
    with store.transaction() as transaction:
        own = transaction.ledger()
        after = brought_back(own, copies)
        if not lost:
            check_seen(after, copies)
        if after.length == own.length and not lost:
            return Reconciled(own.length, own.length, {}, lost=False)
        charged = unproven_charges(after, copies, office) if after.length > own.length else {}
        after = after.reconcile(at, charged)
        if lost:
            after = after.lose(at)
        transaction.append(after)
        transaction.seals.keep_outlets(outlets)
        transaction.seeds.delete_all()
    return Reconciled(own.length, after.length, charged, lost)
