"""The audit of the access log: its hash chain against the privacy office's statements.

Invariant: nothing is changed. An entry that was changed, removed, put in or moved after the office
countersigned the log does not give the digest that was countersigned then, whatever was done to the
rest of the log; a finding says which entries it is about.

What no finding can tell: entries since the last statement, for whoever can write in the folder; and
what was never written.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, TypeGuard

import sqlalchemy as sa

from outlet_client.errors import OutletError
from outlet_client.log_tables.hash_chain import HASH_BYTES, Link, next_link
from outlet_client.log_tables.rights_store import ANCHOR, HEADS, LOG, rights_as_they_are
from outlet_client.records.access_log import KEEP_DAYS
from outlet_client.records.signed_heads import KeptHead, moment_of, read_heads
from privacy.log_heads import HeadRefused, HeadStatement, head_digest, open_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from privacy.envelopes import VerifyKey
    from privacy.log_heads import SignedHead

_ENTRIES = (
    'SELECT number, hash, at, act, "by", purpose, "key", about, outcome FROM log ORDER BY number'
)
_THERE = sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")
_TABLES = {table.name for table in (LOG, ANCHOR, HEADS)}
_ANCHORS = "SELECT number, hash FROM log_anchor"

CANNOT_TELL = (
    "Entries since the last countersigned one: who can write here can change and cut them unseen.",
    "A folder that was put back whole to an earlier day, until the next night asks the office.",
    "What was never written, by a program that is not this one.",
)
"""What no finding says; printed with every verification."""


class Fault(StrEnum):
    """What is wrong with a log."""

    CHANGED = "changed"
    """Entries are not those that were written, or stand in another place."""
    MISSING = "missing"
    """Entries are missing."""
    OTHERWISE = "countersigned otherwise"
    """Entries are not those that the office countersigned."""
    EARLY = "removed too soon"
    """Entries went before they were a year old."""
    WENT_BACK = "went back"
    """Statements of the office are missing here, or are about entries that are."""
    STATEMENT = "statement"
    """A statement is not the office's, or does not fit those before it."""


CONTRADICTS = frozenset({Fault.CHANGED, Fault.MISSING, Fault.OTHERWISE})
"""With these nothing is countersigned: what the log says now is not what it said."""


class LogContradicted(OutletError):
    """The log is not the one that was written; it is not countersigned."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(
            f"log: {findings[0].text}; keep a copy of rights.db, tell the privacy office, and "
            "bring rights.db back from a backup; `escapement-outlet log verify` says all of it"
        )
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        fault: Which.
        first: The number of the first entry, or statement, that it is about.
        last: The number of the last.
        text: A sentence.
    """

    fault: Fault
    first: int
    last: int
    text: str


@dataclass(frozen=True, slots=True)
class LogAudit:
    """The result of an audit of the log.

    Attributes:
        begins: The place before the first entry.
        head: The last entry's place; `begins` where there is none.
        hashes: The chain's, from `begins` on, by number.
        covers: How many entries the log ever had at the last statement about it; 0 without one.
        covers_at: When that was made, UTC; None without one.
    """

    outlet: str
    begins: Link
    head: Link
    hashes: dict[int, bytes] = field(repr=False)
    last: HeadStatement | None
    last_signed: SignedHead | None
    covers: int
    covers_at: dt.datetime | None
    findings: tuple[Finding, ...]

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        """The findings with which nothing is countersigned."""
        return tuple(one for one in self.findings if one.fault in CONTRADICTS)


def audit_log(home: Path, office: VerifyKey, outlet: str, at: dt.datetime) -> LogAudit:
    """Computes the chain anew and holds it against the office's statements."""
    chain, statements = _Chain(Link(0, b"")), tuple[KeptHead, ...]()
    with rights_as_they_are(home) as connection:
        missing = () if connection is None else _TABLES - set(connection.scalars(_THERE))
        if missing:
            named = " and no ".join(sorted(missing))
            text = f"rights.db has no {named}: it is of a version before, or they were taken out"
            chain.findings.append(Finding(Fault.CHANGED, 0, 0, text))
        elif connection is not None:
            chain, statements = _chain(connection), read_heads(connection)
    opened, findings = _opened(statements, office, outlet)
    before = at - dt.timedelta(days=KEEP_DAYS)
    findings += list(_numbering(opened, findings, before))
    findings += _against(chain, opened, before)
    last = opened[-1] if opened else None
    covering = [one for one in opened if one.length is not None]
    return LogAudit(
        outlet=outlet,
        begins=chain.begins,
        head=chain.head,
        hashes=chain.hashes,
        last=None if last is None else last.statement,
        last_signed=None if last is None else last.signed,
        covers=0 if not covering else covering[-1].length or 0,
        covers_at=moment_of(covering[-1].statement) if covering else None,
        findings=(*chain.findings, *findings),
    )


@dataclass(slots=True)
class _Chain:
    """The chain as its hashes say, and where they do not follow."""

    begins: Link
    head: Link = field(init=False)
    hashes: dict[int, bytes] = field(init=False)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.head = self.begins
        self.hashes = {self.begins.number: self.begins.hash}


@dataclass(frozen=True, slots=True)
class _Opened:
    """A statement that the office made about this outlet."""

    statement: HeadStatement
    signed: SignedHead
    length: int | None


def _chain(connection: sa.Connection) -> _Chain:
    """Follows the chain from its anchor; each entry is held against the hash before it."""
    anchors = connection.exec_driver_sql(_ANCHORS).all()
    if len(anchors) != 1 or not isinstance(anchors[0][0], int) or not _is_hash(anchors[0][1]):
        text = "the log does not say where it begins: somebody changed that"
        chain = _Chain(Link(0, b""), findings=[Finding(Fault.CHANGED, 0, 0, text)])
    else:
        chain = _Chain(Link(*anchors[0]))
    wrong: list[int] = []
    for number, hash_, *cells in connection.exec_driver_sql(_ENTRIES):
        before = chain.head
        if number <= before.number:
            wrong.append(number)
            continue
        if number > before.number + 1:
            chain.findings.append(_missing(before.number + 1, number - 1))
        elif not _follows(before, hash_, cells):
            wrong.append(number)
        chain.head = Link(number, hash_ if _is_hash(hash_) else b"")
        chain.hashes[number] = chain.head.hash
    chain.findings += [_changed(*some) for some in _runs(wrong)]
    return chain


def _follows(before: Link, hash_: object, cells: Sequence[object]) -> bool:
    texts = [cell for cell in cells if isinstance(cell, str)]
    try:
        return len(texts) == len(cells) and next_link(before, texts).hash == hash_
    except UnicodeEncodeError:  # what was text is none any more
        return False


def _opened(
    statements: Sequence[KeptHead], office: VerifyKey, outlet: str
) -> tuple[list[_Opened], list[Finding]]:
    """The statements that the office made about this outlet, by number, and what the others are."""
    opened, findings = list[_Opened](), list[Finding]()
    for one in statements:
        try:
            statement = open_head(one.signed, office, outlet)
        except HeadRefused as error:
            why = str(error)
        else:
            if statement.number == one.number:
                opened.append(_Opened(statement, one.signed, one.length))
                continue
            why = f"statement: says that it is number {statement.number}"
        text = f"statement {one.number} cannot be used: {why}"
        findings.append(Finding(Fault.STATEMENT, one.number, one.number, text))
    return opened, findings


def _numbering(
    opened: Sequence[_Opened], refused: Iterable[Finding], before: dt.datetime
) -> Iterator[Finding]:
    """What statements are missing, or are about entries that are."""
    if not opened:
        return
    first = opened[0].statement
    begins = first.number if moment_of(first) < before else 1
    there = {one.statement.number for one in opened if one.length is not None}
    there |= {one.first for one in refused}
    gone = [n for n in range(begins, opened[-1].statement.number + 1) if n not in there]
    for start, end in _runs(gone):
        last = [one for one in opened if one.statement.number < start]
        next_ = [one for one in opened if one.statement.number > end]
        since = _day(last[-1].statement) if last else "the log began"
        until = _day(next_[0].statement) if next_ else _day(opened[-1].statement)
        text = (
            f"{_are('statement', start, end, of=' of the privacy office')} missing here: this log "
            f"was restored from a backup, or cut; what was logged between {since} and {until} may "
            "be gone"
        )
        yield Finding(Fault.WENT_BACK, start, end, text)
    for one, other in pairwise(one for one in opened if one.length is not None):
        if (other.length or 0) < (one.length or 0):
            number = other.statement.number
            text = (
                f"statement {number} is kept as one about {other.length} entries, and "
                f"{one.statement.number} before it about {one.length}: expected no fewer"
            )
            yield Finding(Fault.STATEMENT, number, number, text)


def _against(chain: _Chain, opened: Sequence[_Opened], before: dt.datetime) -> Iterator[Finding]:
    """What is not as it was when the office countersigned it."""
    begins, ends, good = chain.begins.number, chain.head.number, 0
    covering = [(one.length, one) for one in opened if one.length is not None]
    early = [length for length, one in covering if moment_of(one.statement) >= before]
    if min(early, default=begins) < begins:
        yield _early(min(early) + 1, begins)
    longest = max((length for length, _ in covering), default=0)
    if longest > ends:
        yield _missing(ends + 1, longest)
    otherwise: list[_Opened] = []
    for length, one in covering:
        if not begins <= length <= ends:
            continue
        if is_about(one.statement, Link(length, chain.hashes.get(length, b""))):
            yield from _otherwise(otherwise, good)
            otherwise, good = [], length
        else:
            otherwise.append(one)
    yield from _otherwise(otherwise, good)


def is_about(statement: HeadStatement, head: Link) -> bool:
    """Whether a statement is about a log whose last entry is at this place."""
    return head_digest(statement.number, head.number, head.hash).hex() == statement.digest


def _otherwise(statements: Sequence[_Opened], good: int) -> Iterator[Finding]:
    """One finding about statements in a row that are about other entries than there are."""
    if not statements:
        return
    first = statements[0]
    start, end = good + 1, max(first.length or 0, good + 1)
    text = (
        f"{_are('entry', start, end)} not as the privacy office countersigned "
        f"on {_day(first.statement)}, in statement {first.statement.number}: changed, put in or "
        "removed since, and what follows with it"
    )
    yield Finding(Fault.OTHERWISE, start, end, text)


def _missing(start: int, end: int) -> Finding:
    text = f"{_are('entry', start, end)} missing"
    return Finding(Fault.MISSING, start, end, text)


def _changed(start: int, end: int) -> Finding:
    what = "the entry" if start == end else "the entries"
    text = (
        f"{_are('entry', start, end, 'does')} not follow from what is before: {what}, "
        f"or entry {start - 1}, changed, put in or moved"
    )
    return Finding(Fault.CHANGED, start, end, text)


def _early(start: int, end: int) -> Finding:
    text = (
        f"{_are('entry', start, end)} removed though younger than {KEEP_DAYS} "
        "days, as the privacy office's statements say"
    )
    return Finding(Fault.EARLY, start, end, text)


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers in order as runs without a gap: the first and the last of each."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _are(what: str, start: int, end: int, verb: str = "is", of: str = "") -> str:
    """Such as "entry 3 is" or "entries 3 to 5 are"."""
    if start == end:
        return f"{what} {start}{of} {verb}"
    many = {"entry": "entries", "statement": "statements", "is": "are", "does": "do"}
    return f"{many[what]} {start} to {end}{of} {many[verb]}"


def _day(statement: HeadStatement) -> str:
    return f"{moment_of(statement):%Y-%m-%d %H:%M} UTC"


def _is_hash(cell: object) -> TypeGuard[bytes]:
    return isinstance(cell, bytes) and len(cell) == HASH_BYTES
