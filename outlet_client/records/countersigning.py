"""Has the access log's head countersigned by the privacy office, which learns nothing of the log.

Invariant: whatever is lost on the way, the next night needs nothing of it. The office stores a
statement before it sends it, and gives it again until this outlet shows that it has it; what the
statement is about is found in the chain, which is stored anyway. So nothing is stored before
asking, and a lost answer leaves no gap.

A statement that is about no log that is here is kept all the same: it says that this log went back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.errors import ServiceRefused
from outlet_client.log_tables.hash_chain import Link
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.records.log_audit import LogContradicted, audit_log, is_about
from outlet_client.records.signed_heads import KeptHead, keep_head, moment_of
from outlet_client.services import OFFICE
from privacy.log_heads import head_digest, open_head

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from outlet_client.records.log_audit import Finding, LogAudit
    from privacy.envelopes import VerifyKey
    from privacy.log_heads import HeadStatement, SignedHead

    Ask = Callable[[bytes, SignedHead | None], SignedHead]

ASKS = 2
"""How often the office is asked in one night: for what was lost of it before, and for tonight's."""


@dataclass(frozen=True, slots=True)
class LogStanding:
    """How the log stands after a night.

    Attributes:
        entries: How many entries it ever had when the office last countersigned it.
        at: When the office did, UTC; None if it never did.
    """

    entries: int
    at: dt.datetime | None
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, found: LogAudit) -> LogStanding:
        """How it stands before anybody is asked."""
        return cls(found.covers, found.covers_at, found.findings)


def countersign(
    home: Path, found: LogAudit, ask: Ask, office: VerifyKey, at: dt.datetime
) -> LogStanding:
    """Has the log's head countersigned, unless it was on this day (UTC) and nothing was added.

    `ask` asks the office, with a digest and the last statement that is here.

    Raises:
        LogContradicted: If the log is not the one that was written; nobody was asked.
        HeadRefused: If what the office answers is no statement of its own about this outlet.
        ServiceRefused: If the office makes none, or answers with older ones only.
        ServiceUnreachable: If it is.
    """
    if found.contradictions:
        raise LogContradicted(found.contradictions)
    last, signed = found.last, found.last_signed
    if last is not None and moment_of(last).date() == at.date() and is_about(last, found.head):
        return LogStanding.of(found)
    for _ in range(ASKS):
        number = 1 if last is None else last.number + 1
        signed = ask(head_digest(number, found.head.number, found.head.hash), signed)
        last = open_head(signed, office, found.outlet)
        if last.number < number:
            break
        length = _length(found, last)
        with rights_of(home) as connection:
            keep_head(connection, KeptHead(last.number, signed, length))
        if length == found.head.number:
            return LogStanding.of(audit_log(home, office, found.outlet, at))
    raise ServiceRefused(
        OFFICE,
        "HeadRefused",
        f"statement: got number {last.number if last else 0} again, expected a later one about "
        "tonight's log; tell the privacy office",
    )


def _length(found: LogAudit, statement: HeadStatement) -> int | None:
    """How many entries the log had that a statement is about; None if that log is not here."""
    for number, hash_ in reversed(found.hashes.items()):
        if is_about(statement, Link(number, hash_)):
            return number
    return None
