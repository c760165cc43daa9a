"""Copies of the office's ledger that others keep, and how one that was lost is made of them.

HQ keeps every entry (a **witness**), each outlet how far the ledger was whenever it answered in a
night. A ledger that was restored from an older copy would let charges be made twice, so both refuse
one that does not go on from what they know, until the missing entries are back.

What may be taken from whom: an entry stands in a hash chain, and a night plan names length and head
in the office's own hand. So all entries up to the last plan that a copy shows are the office's, and
nobody can leave one out. Of entries after it HQ could leave some out; they are of the night that
was planned last. So whatever that night reserved and does not show as charged is charged then.
A copy that ends before later nights is noticed by the outlets that answered in them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from privacy.budget import LedgerAct, LedgerBroken, LedgerEntry, LedgerForked, LedgerPosition
from privacy.envelopes import is_digest
from privacy.loss import Rho
from privacy.plans import Signed, read_night

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from privacy.budget import Ledger
    from privacy.envelopes import VerifyKey
    from privacy.purposes import Purpose

KIND = "escapement ledger copy"


@dataclass(frozen=True, slots=True)
class LedgerCopy:
    """What one party knows of the ledger.

    Attributes:
        holder: Whose copy it is, for messages: nobody proves it.
        entries: From the first on; none where only positions are known.
        seen: Positions that the ledger had, ascending.
        plan: The last night plan that the office signed, as far as the holder knows.
    """

    holder: str
    entries: tuple[LedgerEntry, ...] = ()
    seen: tuple[LedgerPosition, ...] = ()
    plan: Signed | None = field(default=None, repr=False)

    def encode(self) -> bytes:
        """The copy as a file: a line of JSON about it, then an entry a line."""
        head = {
            "kind": KIND,
            "holder": self.holder,
            "entries": len(self.entries),
            "seen": [list(position) for position in self.seen],
            "plan": None if self.plan is None else self.plan.payload.hex(),
            "signature": None if self.plan is None else self.plan.signature.hex(),
        }
        lines = [json.dumps(head).encode(), *(entry.encode() for entry in self.entries)]
        return b"\n".join(lines) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes; whether the entries are one chain is checked.

        Raises:
            LedgerBroken: If they are no such bytes, or the chain is broken.
        """
        first, *lines = data.splitlines() or [b""]
        try:
            head = json.loads(first)
            if head["kind"] != KIND or head["entries"] != len(lines):
                raise LedgerBroken(
                    f"ledger copy: got {len(lines)} entries of {head['entries']}; copy it again"
                )
            seen = tuple(LedgerPosition(length, name) for length, name in head["seen"])
            plan = None
            if head["plan"] is not None:
                plan = Signed(bytes.fromhex(head["plan"]), bytes.fromhex(head["signature"]))
            made = cls(str(head["holder"]), tuple(map(LedgerEntry.decode, lines)), seen, plan)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise LedgerBroken(
                "ledger copy: no file that `escapement-hq ledger export` or `escapement-outlet "
                "ledger export` wrote"
            ) from error
        if not all(type(n) is int and n > 0 and is_digest(name) for n, name in made.seen):
            raise LedgerBroken("ledger copy: got a malformed position")
        if made.encode().splitlines() != data.splitlines():  # mail may have changed line ends
            raise LedgerBroken("ledger copy: not as it was written; copy it again")
        LedgerPosition().followed_by(made.entries)
        return made


def went_back(known: LedgerPosition) -> str:
    """What is said where the office's ledger does not go on from HQ's copy, and what to do."""
    return (
        f"ledger: the privacy office's does not go on from entry {known.length}, the last of HQ's "
        "copy: it was restored from an older copy, lost, or begun anew. Nothing is signed or "
        "unlocked until it is brought back: `escapement-hq ledger export FILE` at HQ, then "
        "`escapement-office ledger reconcile FILE` at the office"
    )


def brought_back(ledger: Ledger, copies: Sequence[LedgerCopy]) -> Ledger:
    """The ledger with the entries that it lacks, from the longest of some copies.

    Raises:
        LedgerForked: If a copy does not go on from the ledger, or two copies are of two histories.
        LedgerBroken: If an entry breaks the law of this ledger's policy.
    """
    longest = max(copies, key=lambda copy: len(copy.entries), default=LedgerCopy("nobody")).entries
    for name, entries in [
        ("the office's ledger", ledger.entries),
        *((f"the copy of {copy.holder}", copy.entries) for copy in copies),
    ]:
        ours, theirs = entries[: len(longest)], longest[: len(entries)]
        if ours != theirs:
            raise LedgerForked(
                f"ledger: {name} and the longest copy are of two histories; bring the right "
                "folder back, or, where it is gone, `escapement-office ledger reconcile --lost`, "
                "which charges a whole year"
            )
    for entry in longest[ledger.length :]:
        ledger = ledger.followed_by(entry)
    return ledger


def check_seen(ledger: Ledger, copies: Sequence[LedgerCopy]) -> None:
    """Refuses a ledger that lacks what some outlet has seen.

    Raises:
        LedgerForked: If so.
    """
    entries = ledger.entries
    for copy in copies:
        for length, head in copy.seen:
            if length > len(entries) or entries[length - 1].digest != head:
                raise LedgerForked(
                    f"ledger: {copy.holder} has seen {length} entries of it, and these are not in "
                    "any copy that was given; give a newer copy of HQ's, or, where there is none, "
                    "add --lost, which charges a whole year"
                )


def unproven_charges(
    ledger: Ledger, copies: Sequence[LedgerCopy], office: VerifyKey
) -> Mapping[Purpose, Rho]:
    """What may have been charged since the last plan in the office's hand, beside what is shown.

    Args:
        ledger: With the entries that were brought back.
        copies: They came in.
        office: The office's own key.

    Raises:
        PlanRefused: If a copy's plan is not the office's.
    """
    plans = [read_night(copy.plan, office) for copy in copies if copy.plan is not None]
    entries = ledger.entries
    proven = max(
        (
            plan.ledger_length
            for plan in plans
            if 0 < plan.ledger_length <= len(entries)
            and entries[plan.ledger_length - 1].digest == plan.ledger_head
        ),
        default=0,
    )
    later = entries[proven:]
    touched = {entry.night for entry in later if entry.night}
    last = {entry.night for entry in entries[:proven] if entry.act is LedgerAct.RESERVE}
    closed = {entry.night for entry in entries[:proven] if entry.act is LedgerAct.CLOSE}
    open_then = (last - closed) | touched
    left: dict[Purpose, Fraction] = {}
    for entry in entries:
        if entry.night in open_then and entry.purpose is not None:
            change = entry.rho if entry.act is LedgerAct.RESERVE else -entry.rho
            left[entry.purpose] = left.get(entry.purpose, Fraction(0)) + change
    return {purpose: Rho(rho) for purpose, rho in left.items() if rho > 0}
