"""The ledger's law: nothing is released that was not reserved, charged, and within the year.

A `Ledger` is a value: `reserve`, `charge` and `close` return the ledger after the entry, or raise
before anything changes. Entries are hash-chained, so that a copy held elsewhere (HQ's mirror, an
outlet's memory of the head) notices a ledger that was cut or rewritten.

Invariant: what a ledger's entries add up to is kept with it, entry by entry, so no question to it
and no entry after it costs more the longer it is.

    reserve   a night plan's cost, purpose by purpose, before the plan is signed
    charge    one release, out of its night's reservation, before its noise is drawn
    close     the night's end: what it reserved and did not charge becomes available again

Spent is what was charged within the last 365 days; remaining is a purpose's share of the year's
rho, less spent, less what open reservations still hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from threading import Lock
from typing import TYPE_CHECKING, Self

from privacy.envelopes import digest
from privacy.errors import BudgetExceeded, InvalidParameter, PrivacyError
from privacy.loss import EpsilonDelta, Rho, epsilon_of
from privacy.purposes import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

YEAR_SECONDS = 365 * 24 * 3600
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Policy:
    """How much a year may cost, and how that is divided over its uses.

    Attributes:
        customer: The year's promise to one customer, over all outlets and everything that is ever
            opened.
        shares: The part of the year's rho that each purpose may spend; one not named has none.
    """

    customer: EpsilonDelta
    shares: Mapping[Purpose, Fraction]

    def __post_init__(self) -> None:
        total = sum(self.shares.values(), Fraction(0))
        if total > 1 or any(share < 0 for share in self.shares.values()):
            raise InvalidParameter(
                f"policy: the shares add up to {float(total):.4g}, expected at most 1 and none "
                "negative"
            )
        if self.shares.get(Purpose.POINTS):
            raise InvalidParameter("policy: points are sealed and cost nothing; expected no share")

    def limit(self, purpose: Purpose) -> Rho:
        """The most that a purpose may cost in a rolling year."""
        return Rho(self.customer.rho() * self.shares.get(purpose, Fraction(0)))


class LedgerAct(StrEnum):
    """What an entry records."""

    RESERVE = "reserve"
    CHARGE = "charge"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        sequence: Its place, from 0.
        at: When, in Unix seconds.
        act: What it records.
        night: The night's id.
        release: The release's id; "" unless a charge.
        purpose: What for; None for `close`.
        rho: The cost, for one customer; in ledgers of release 0.1 of points for one event.
        noiseless: Whether the release carries no noise at all, so that no rho bounds it.
        previous: The digest of the entry before.
        digest: Of this entry and all before it.
    """

    sequence: int
    at: int
    act: LedgerAct
    night: str
    release: str
    purpose: Purpose | None
    rho: Rho
    noiseless: bool
    previous: str
    digest: str

    def compute_digest(self) -> str:
        """The digest that this entry should carry."""
        body = [
            self.sequence, self.at, self.act.value, self.night, self.release,
            None if self.purpose is None else self.purpose.value,
            self.rho.encode(), self.noiseless, self.previous,
        ]  # fmt: skip
        return digest(json.dumps(body, separators=(",", ":")).encode())


class LedgerBroken(PrivacyError):
    """An entry does not follow from the one before: the ledger was cut, reordered or rewritten."""


class _Record:
    """The entries of ledgers that continue one another, and where they are found.

    A ledger of n entries reads the first n and no more, so it is the same after the record grew.
    """

    __slots__ = ("charges", "entries", "nights", "releases")

    def __init__(self, entries: Iterable[LedgerEntry] = ()) -> None:
        self.entries: list[LedgerEntry] = []
        self.nights: dict[str, int] = {}
        self.releases: dict[str, int] = {}
        self.charges: dict[Purpose | None, list[LedgerEntry]] = {}
        for entry in entries:
            self.add(entry)

    def grown(self, length: int, entry: LedgerEntry) -> _Record:
        """A record of its first `length` entries and this one: itself, or a copy if it has more."""
        with _GROWING:
            record = self if len(self.entries) == length else _Record(self.entries[:length])
            record.add(entry)
            return record

    def add(self, entry: LedgerEntry) -> None:
        """Puts an entry at the end."""
        self.nights.setdefault(entry.night, len(self.entries))
        self.releases.setdefault(entry.release, len(self.entries))
        if entry.act is LedgerAct.CHARGE:
            self.charges.setdefault(entry.purpose, []).append(entry)
        self.entries.append(entry)


_GROWING = Lock()
"""Two threads that continue one ledger must not both find it at its end."""


@dataclass(frozen=True, slots=True)
class _Year:
    """What was charged for one purpose in the 365 days before a moment.

    Attributes:
        first: Place of the year's first charge among all charges for the purpose.
        end: The place after its last.
        spent: What they add up to.
    """

    first: int = 0
    end: int = 0
    spent: Fraction = Fraction(0)

    def at(self, moment: int, charges: Sequence[LedgerEntry]) -> _Year:
        """The year before a later moment."""
        first, spent = self.first, self.spent
        while first < self.end and charges[first].at <= moment - YEAR_SECONDS:
            spent -= charges[first].rho
            first += 1
        return _Year(first, self.end, spent)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All entries so far, under a policy. Two are equal if all their entries are.

    Attributes:
        policy: How much a year may cost.
        length: How many entries there are.
        head: The digest of the last entry; of zeros before the first.
    """

    policy: Policy
    length: int = 0
    head: str = GENESIS
    _last_at: int | None = field(default=None, repr=False, compare=False)
    _held: Mapping[str, Mapping[Purpose, Rho]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _years: Mapping[Purpose, _Year] = field(default_factory=dict, repr=False, compare=False)
    _noiseless: bool = field(default=False, repr=False, compare=False)
    _record: _Record = field(default_factory=_Record, repr=False, compare=False)

    @classmethod
    def of(cls, policy: Policy, entries: Iterable[LedgerEntry]) -> Self:
        """Reads a ledger from its first entry, checking the chain.

        Raises:
            LedgerBroken: At the first entry that does not follow.
        """
        ledger = cls(policy)
        for entry in entries:
            ledger = ledger.followed_by(entry)
        return ledger

    def followed_by(self, entry: LedgerEntry) -> Self:
        """The ledger with one more entry that was made elsewhere, checked against the head.

        Raises:
            LedgerBroken: If it does not follow from the last, or charges what no night holds.
        """
        chained = entry.sequence == self.length and entry.previous == self.head
        if not chained or entry.digest != entry.compute_digest():
            raise LedgerBroken(f"ledger: entry {self.length} does not follow from the one before")
        return self._with(entry)

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """All of them, the first one first."""
        return self.since(0)

    def since(self, length: int) -> tuple[LedgerEntry, ...]:
        """The entries after the first `length`."""
        return tuple(self._record.entries[length : self.length])

    def not_before(self, at: int) -> int:
        """`at`, or the last entry's moment where a clock went back."""
        return at if self._last_at is None else max(at, self._last_at)

    def reserve(self, night: str, costs: Mapping[Purpose, Rho], at: int) -> Self:
        """Sets aside what a night may cost at most.

        Raises:
            BudgetExceeded: If a purpose's cost is over what remains for it.
            InvalidParameter: If the night already reserved.
        """
        if self._has(self._record.nights, night):
            raise InvalidParameter(f"night {night}: reserved before; a night's name is used once")
        for purpose, cost in costs.items():
            remaining = self.remaining(purpose, at)
            if cost > remaining:
                raise BudgetExceeded(purpose.value, cost, remaining)
        after = self
        for purpose, cost in costs.items():
            after = after._append(LedgerAct.RESERVE, night, "", purpose, cost, at)
        return after

    def charge(self, night: str, release: str, purpose: Purpose, cost: Rho | None, at: int) -> Self:
        """Records a release's cost, for one customer.

        Args:
            night: The night whose reservation pays.
            release: The release's id.
            purpose: What it is for.
            cost: Its rho; None when it carries no noise (sandbox only).
            at: When.

        Raises:
            BudgetExceeded: If the cost is more than the night's reservation still holds.
            InvalidParameter: If the release was charged before.
        """
        if self._has(self._record.releases, release):
            raise InvalidParameter(f"release {release}: charged before")
        held = self.held(night, purpose)
        rho = Rho(0) if cost is None else cost
        if held is None or rho > held:
            raise BudgetExceeded(purpose.value, rho, held or Rho(0))
        noiseless = cost is None
        return self._append(LedgerAct.CHARGE, night, release, purpose, rho, at, noiseless=noiseless)

    def close(self, night: str, at: int) -> Self:
        """Ends a night: what it still holds becomes available again. Twice changes nothing."""
        if night not in self._held:
            return self
        return self._append(LedgerAct.CLOSE, night, "", None, Rho(0), at)

    def open_nights(self) -> tuple[str, ...]:
        """The nights that reserved and did not close, in order."""
        return tuple(self._held)

    def held(self, night: str, purpose: Purpose) -> Rho | None:
        """What an open night still holds for a purpose; None if it reserved nothing for it."""
        return self._held.get(night, {}).get(purpose)

    def spent(self, purpose: Purpose, at: int) -> Rho:
        """What was charged for a purpose in the 365 days before `at`."""
        return Rho(self._year(purpose, at).spent)

    def spent_in_year(self, at: int) -> Rho:
        """What was charged for customer sums in the 365 days before `at`."""
        sums = (purpose for purpose in Purpose if purpose is not Purpose.POINTS)
        return Rho.total(self.spent(purpose, at) for purpose in sums)

    def remaining(self, purpose: Purpose, at: int) -> Rho:
        """What a purpose may still cost at `at`, open reservations counted as spent."""
        held = Rho.total(self.held(night, purpose) or Rho(0) for night in self._held)
        left = self.policy.limit(purpose) - self.spent(purpose, at) - held
        return Rho(max(Fraction(0), left))

    def epsilon(self, at: int) -> float | None:
        """The last year's loss as epsilon at the policy's delta; None if a release had no noise."""
        if self._noiseless:
            return None
        return epsilon_of(self.spent_in_year(at), self.policy.customer.delta)

    def _has(self, places: Mapping[str, int], name: str) -> bool:
        """Whether a name is among this ledger's own entries."""
        return places.get(name, self.length) < self.length

    def _year(self, purpose: Purpose, at: int) -> _Year:
        year = self._years.get(purpose, _Year())
        return year.at(self.not_before(at), self._record.charges.get(purpose, ()))

    def _append(
        self,
        act: LedgerAct,
        night: str,
        release: str,
        purpose: Purpose | None,
        rho: Rho,
        at: int,
        *,
        noiseless: bool = False,
    ) -> Self:
        entry = LedgerEntry(
            self.length,
            self.not_before(at),
            act,
            night,
            release,
            purpose,
            rho,
            noiseless,
            self.head,
            "",
        )
        return self._with(replace(entry, digest=entry.compute_digest()))

    def _with(self, entry: LedgerEntry) -> Self:
        """The ledger after an entry, and what all of it adds up to."""
        years = self._years
        if entry.act is LedgerAct.CHARGE and entry.purpose is not None:
            year = self._year(entry.purpose, entry.at)
            after = _Year(year.first, year.end + 1, year.spent + entry.rho)
            years = {**years, entry.purpose: after}
        opened = entry.purpose is not Purpose.POINTS
        noiseless = self._noiseless or (entry.noiseless and opened)
        return replace(
            self,
            length=self.length + 1,
            head=entry.digest,
            _last_at=self.not_before(entry.at),
            _held=self._held_after(entry),
            _years=years,
            _noiseless=noiseless,
            _record=self._record.grown(self.length, entry),
        )

    def _held_after(self, entry: LedgerEntry) -> Mapping[str, Mapping[Purpose, Rho]]:
        """What open nights hold after an entry.

        Raises:
            LedgerBroken: If it charges more than its night holds, or names no purpose.
        """
        if entry.act is LedgerAct.CLOSE:
            return {night: held for night, held in self._held.items() if night != entry.night}
        mine = self._held.get(entry.night, {})
        held = None if entry.purpose is None else mine.get(entry.purpose)
        if entry.act is LedgerAct.RESERVE:
            after = (held or Rho(0)) + entry.rho
        elif held is None or entry.rho > held:
            raise LedgerBroken(f"ledger: entry {entry.sequence} charges more than its night holds")
        else:
            after = held - entry.rho
        if entry.purpose is None:
            raise LedgerBroken(f"ledger: entry {entry.sequence} names no purpose")
        return {**self._held, entry.night: {**mine, entry.purpose: Rho(after)}}
