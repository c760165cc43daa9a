"""The ledger's law: nothing is released that was not reserved, charged, and within the year.

A `Ledger` is a value: `reserve`, `charge` and `close` return the ledger after the entry, or raise
before anything changes. Entries are hash-chained, so that a copy held elsewhere (HQ's mirror, an
outlet's memory of the head) notices a ledger that was cut or rewritten.

    reserve   a night plan's cost, purpose by purpose, before the plan is signed
    charge    one release, out of its night's reservation, before its noise is drawn
    close     the night's end: what it reserved and did not charge becomes available again

Spent is what was charged within the last 365 days; remaining is a purpose's share of the year's
rho, less spent, less what open reservations still hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from privacy.envelopes import digest
from privacy.errors import BudgetExceeded, InvalidParameter, PrivacyError
from privacy.loss import EpsilonDelta, Rho, epsilon_of
from privacy.units import Purpose, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

YEAR_SECONDS = 365 * 24 * 3600
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Policy:
    """How much a year may cost, and how that is divided over its uses.

    Attributes:
        customer: The year's promise to one customer, over all outlets.
        event: The year's promise for one event (points releases only).
        shares: The part of its unit's rho that each purpose may spend; one not named has none.
    """

    customer: EpsilonDelta
    event: EpsilonDelta
    shares: Mapping[Purpose, Fraction]

    def __post_init__(self) -> None:
        for unit in Unit:
            total = sum((s for p, s in self.shares.items() if p.unit is unit), Fraction(0))
            if total > 1 or any(share < 0 for share in self.shares.values()):
                raise InvalidParameter(
                    f"policy: the shares of unit {unit} add up to {float(total):.4g}, "
                    "expected at most 1 and none negative"
                )

    def guarantee(self, unit: Unit) -> EpsilonDelta:
        """The year's promise for a unit."""
        return self.customer if unit is Unit.CUSTOMER else self.event

    def limit(self, purpose: Purpose) -> Rho:
        """The most that a purpose may cost in a rolling year."""
        return Rho(self.guarantee(purpose.unit).rho() * self.shares.get(purpose, Fraction(0)))


class Act(StrEnum):
    """What an entry records."""

    RESERVE = "reserve"
    CHARGE = "charge"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        sequence: Its place, from 0.
        at: When, in Unix seconds.
        act: What it records.
        night: The night's id.
        release: The release's id; "" unless a charge.
        purpose: What for; None for `close`.
        rho: The cost, for one unit of the purpose.
        noiseless: Whether the release carries no noise at all, so that no rho bounds it.
        previous: The digest of the entry before.
        digest: Of this entry and all before it.
    """

    sequence: int
    at: int
    act: Act
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


@dataclass(frozen=True, slots=True)
class Ledger:
    """All entries so far, under a policy."""

    policy: Policy
    entries: tuple[Entry, ...] = ()

    def not_before(self, at: int) -> int:
        """`at`, or the last entry's moment where a clock went back."""
        return max(at, self.entries[-1].at) if self.entries else at

    @property
    def head(self) -> str:
        """The digest of the last entry."""
        return self.entries[-1].digest if self.entries else GENESIS

    def verify(self) -> None:
        """Checks the chain from its first entry.

        Raises:
            LedgerBroken: At the first entry that does not follow.
        """
        previous = GENESIS
        for index, entry in enumerate(self.entries):
            chained = entry.sequence == index and entry.previous == previous
            if not chained or entry.digest != entry.compute_digest():
                raise LedgerBroken(f"ledger: entry {index} does not follow from the one before")
            previous = entry.digest

    def reserve(self, night: str, costs: Mapping[Purpose, Rho], at: int) -> Ledger:
        """Sets aside what a night may cost at most.

        Raises:
            BudgetExceeded: If a purpose's cost is over what remains for it.
            InvalidParameter: If the night already reserved.
        """
        if any(entry.night == night for entry in self.entries):
            raise InvalidParameter(f"night {night}: reserved before; a night's name is used once")
        after = self
        for purpose, cost in costs.items():
            remaining = self.remaining(purpose, at)
            if cost > remaining:
                raise BudgetExceeded(purpose.value, cost, remaining)
            after = after._append(Act.RESERVE, night, "", purpose, cost, at)
        return after

    def charge(
        self, night: str, release: str, purpose: Purpose, cost: Rho | None, at: int
    ) -> Ledger:
        """Records a release's cost, for one unit of its purpose.

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
        if any(entry.release == release for entry in self.entries):
            raise InvalidParameter(f"release {release}: charged before")
        held = self.held(night, purpose)
        rho = Rho(0) if cost is None else cost
        if held is None or rho > held:
            raise BudgetExceeded(purpose.value, rho, held or Rho(0))
        return self._append(Act.CHARGE, night, release, purpose, rho, at, noiseless=cost is None)

    def close(self, night: str, at: int) -> Ledger:
        """Ends a night: what it still holds becomes available again. Twice changes nothing."""
        if night not in self.open_nights():
            return self
        return self._append(Act.CLOSE, night, "", None, Rho(0), at)

    def open_nights(self) -> tuple[str, ...]:
        """The nights that reserved and did not close, in order."""
        closed = {entry.night for entry in self.entries if entry.act is Act.CLOSE}
        reserved = (entry.night for entry in self.entries if entry.act is Act.RESERVE)
        return tuple(dict.fromkeys(night for night in reserved if night not in closed))

    def held(self, night: str, purpose: Purpose) -> Rho | None:
        """What an open night still holds for a purpose; None if it reserved nothing for it."""
        if night not in self.open_nights():
            return None
        mine = [e for e in self.entries if e.night == night and e.purpose is purpose]
        if not mine:
            return None
        reserved = Rho.total(e.rho for e in mine if e.act is Act.RESERVE)
        return Rho(reserved - Rho.total(e.rho for e in mine if e.act is Act.CHARGE))

    def spent(self, purpose: Purpose, at: int) -> Rho:
        """What was charged for a purpose in the 365 days before `at`."""
        at = self.not_before(at)
        return Rho.total(
            e.rho
            for e in self.entries
            if e.act is Act.CHARGE and e.purpose is purpose and e.at > at - YEAR_SECONDS
        )

    def charges(self, purpose: Purpose, at: int) -> int:
        """How many releases were charged for a purpose in the 365 days before `at`."""
        since = self.not_before(at) - YEAR_SECONDS
        mine = (e for e in self.entries if e.act is Act.CHARGE and e.purpose is purpose)
        return sum(e.at > since for e in mine)

    def spent_in_unit(self, unit: Unit, at: int) -> Rho:
        """What was charged for all purposes of a unit in the 365 days before `at`."""
        return Rho.total(self.spent(purpose, at) for purpose in Purpose if purpose.unit is unit)

    def remaining(self, purpose: Purpose, at: int) -> Rho:
        """What a purpose may still cost at `at`, open reservations counted as spent."""
        held = Rho.total(self.held(night, purpose) or Rho(0) for night in self.open_nights())
        left = self.policy.limit(purpose) - self.spent(purpose, at) - held
        return Rho(max(Fraction(0), left))

    def epsilon(self, unit: Unit, at: int) -> float | None:
        """The last year's loss as epsilon at the policy's delta; None if a release had no noise."""
        if any(
            e.noiseless and e.purpose is not None and e.purpose.unit is unit for e in self.entries
        ):
            return None
        return epsilon_of(self.spent_in_unit(unit, at), self.policy.guarantee(unit).delta)

    def _append(
        self,
        act: Act,
        night: str,
        release: str,
        purpose: Purpose | None,
        rho: Rho,
        at: int,
        *,
        noiseless: bool = False,
    ) -> Ledger:
        entry = Entry(
            len(self.entries),
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
        return replace(self, entries=(*self.entries, replace(entry, digest=entry.compute_digest())))
