"""The ledger's law: nothing is released that was not reserved, charged, and within the year.

A `Ledger` is a value: `reserve`, `charge` and `close` return the ledger after the entry, or raise
before anything changes. Entries are hash-chained, so that a copy held elsewhere (HQ's mirror, an
outlet's memory of the head) notices a ledger that was cut or rewritten.

Invariant: what a ledger's entries add up to is kept with it, entry by entry, so no question to it
and no entry after it costs more the longer it is.

    reserve   a night plan's cost, purpose by purpose, before the plan is signed
    charge    one release, out of its night's reservation, before its noise is drawn
    close     the night's end: what it reserved and did not charge becomes available again

and, by the office's operator alone:

    clock      the office's clock was ahead: what was entered after this moment counts as of it
    reconcile  entries were brought back from copies; of a purpose, what they may lack is charged
    lost       entries are gone for good: the whole year's budget is charged

Spent is what was charged within the last 365 days; remaining is a purpose's share of the year's
rho, less spent, less what open reservations still hold. No entry of the operator's makes remaining
grow: `clock` brings charges that had left the year back into it, the others charge.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Self

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
    CLOCK = "clock"
    RECONCILE = "reconcile"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        sequence: Its place, from 0.
        at: When, in Unix seconds.
        act: What it records.
        night: The night's id; "" of an operator's entry.
        release: The release's id; "" unless a charge.
        purpose: What for; None where it is for none, as of `close`.
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

    def encode(self) -> bytes:
        """The entry as it travels: canonical JSON on one line."""
        body = {**asdict(self), "rho": self.rho.encode()}
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly; its digest is computed, not its place in a chain.

        Raises:
            LedgerBroken: If they are no such bytes.
        """
        try:
            raw = json.loads(data)
            purpose = raw["purpose"]
            purpose = None if purpose is None else Purpose(purpose)
            rho = Rho.decode(raw["rho"])
            made = cls(**{**raw, "act": LedgerAct(raw["act"]), "purpose": purpose, "rho": rho})
            if made.encode() != data or made.digest != made.compute_digest():
                raise LedgerBroken("ledger: an entry is not in canonical form, or was altered")
        except (
            AttributeError, KeyError, RecursionError, TypeError, ValueError, ZeroDivisionError,
            InvalidParameter,
        ) as error:  # fmt: skip
            raise LedgerBroken("ledger: an entry is malformed") from error
        return made


class LedgerPosition(NamedTuple):
    """How far a ledger was seen.

    Attributes:
        length: How many entries it had.
        head: The digest of the last; of zeros before the first.
    """

    length: int = 0
    head: str = GENESIS

    def followed_by(self, entries: Iterable[LedgerEntry]) -> LedgerPosition:
        """Where the ledger is after these entries; only the chain is checked, by no policy.

        Raises:
            LedgerBroken: At the first that does not follow.
        """
        length, head = self
        for entry in entries:
            chained = (entry.sequence, entry.previous) == (length, head)
            if not chained or entry.digest != entry.compute_digest():
                raise LedgerBroken(f"ledger: entry {length} does not follow from the one before")
            length, head = length + 1, entry.digest
        return LedgerPosition(length, head)


class LedgerBroken(PrivacyError):
    """An entry does not follow from the one before: the ledger was cut, reordered or rewritten."""


class LedgerForked(PrivacyError):
    """A ledger does not go on from what was seen of it: it was restored, lost or begun anew."""


class LedgerAhead(PrivacyError):
    """A ledger's last entry is of a moment that is yet to come."""


def is_charge(entry: LedgerEntry) -> bool:
    """Whether an entry spends of its purpose's share of the year."""
    extra = entry.act is LedgerAct.RECONCILE and entry.purpose is not None
    return entry.act is LedgerAct.CHARGE or extra


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
        if is_charge(entry):
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

    def at(self, moment: int, charges: Sequence[LedgerEntry], clock: _Clock) -> _Year:
        """The year before a later moment."""
        first, spent = self.first, self.spent
        while first < self.end and clock.moment_of(charges[first]) <= moment - YEAR_SECONDS:
            spent -= charges[first].rho
            first += 1
        return _Year(first, self.end, spent)

    def whole(self, charges: Sequence[LedgerEntry]) -> _Year:
        """All charges until now, those that had left the year too."""
        spent = sum((charge.rho for charge in charges[: self.end]), Fraction(0))
        return _Year(0, self.end, spent)


@dataclass(frozen=True, slots=True)
class _Clock:
    """By when entries count: one that was made before the clock was set back, no later than that.

    Attributes:
        set_back: Place and moment of each entry that set the clock back.
    """

    set_back: tuple[tuple[int, int], ...] = ()

    def moment_of(self, entry: LedgerEntry) -> int:
        """When an entry counts as made, in Unix seconds."""
        later = (at for place, at in self.set_back if place > entry.sequence)
        return min((entry.at, *later))


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
    _clock: _Clock = field(default_factory=_Clock, repr=False, compare=False)
    _lost: LedgerEntry | None = field(default=None, repr=False, compare=False)
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

    @property
    def position(self) -> LedgerPosition:
        """How far it is."""
        return LedgerPosition(self.length, self.head)

    def not_before(self, at: int) -> int:
        """`at`, or the last entry's moment where a clock went back."""
        return at if self._last_at is None else max(at, self._last_at)

    def seconds_ahead(self, at: int) -> int:
        """How long after `at` the last entry was made; 0 where it was before."""
        return self.not_before(at) - at

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

    def set_clock(self, at: int) -> Self:
        """Notes that the clock was ahead until now: what is entered after `at` counts as of it.

        What it let leave the year is in it again. Where nothing is ahead, nothing changes.
        """
        if not self.seconds_ahead(at):
            return self
        after = self._append(LedgerAct.CLOCK, "", "", None, Rho(0), at)
        for night in self.open_nights():
            after = after.close(night, at)
        return after

    def reconcile(self, at: int, unproven: Mapping[Purpose, Rho]) -> Self:
        """Notes that the last entries were brought back from copies; open nights are over.

        Args:
            at: When.
            unproven: By purpose, what was perhaps charged and is in no copy; it is charged now.
        """
        after = self._append(LedgerAct.RECONCILE, "", "", None, Rho(0), at)
        for purpose, rho in unproven.items():
            after = after._charge_unproven(purpose, rho, at)  # noqa: SLF001  (its own class's)
        for night in self.open_nights():
            after = after.close(night, at)
        return after

    def _charge_unproven(self, purpose: Purpose, rho: Rho, at: int) -> Self:
        return self._append(LedgerAct.RECONCILE, "", "", purpose, rho, at)

    def lose(self, at: int) -> Self:
        """Notes that entries are gone and in no copy: all of a year's budget is spent."""
        after = self._append(LedgerAct.LOST, "", "", None, self.policy.customer.rho(), at)
        for night in self.open_nights():
            after = after.close(night, at)
        return after

    def open_nights(self) -> tuple[str, ...]:
        """The nights that reserved and did not close, in order."""
        return tuple(self._held)

    def held(self, night: str, purpose: Purpose) -> Rho | None:
        """What an open night still holds for a purpose; None if it reserved nothing for it."""
        return self._held.get(night, {}).get(purpose)

    def spent(self, purpose: Purpose, at: int) -> Rho:
        """What was charged for a purpose in the 365 days before `at`.

        In the year after a loss it is the purpose's share at least.
        """
        spent = self._year(purpose, at).spent
        if self._lost is not None:
            since = self.not_before(at) - self._clock.moment_of(self._lost)
            spent = max(spent, self.policy.limit(purpose)) if since < YEAR_SECONDS else spent
        return Rho(spent)

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
        charges = self._record.charges.get(purpose, ())
        return year.at(self.not_before(at), charges, self._clock)

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
            at if act is LedgerAct.CLOCK else self.not_before(at),
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
        if entry.act is LedgerAct.CLOCK:
            return self._set_back(entry)
        years = self._years
        if is_charge(entry) and entry.purpose is not None:
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
            _lost=entry if entry.act is LedgerAct.LOST else self._lost,
            _record=self._record.grown(self.length, entry),
        )

    def _set_back(self, entry: LedgerEntry) -> Self:
        """The ledger after its clock was set back; what had left the year is counted again.

        Raises:
            LedgerBroken: If it sets the clock on: charges would leave the year.
        """
        if self.not_before(entry.at) == entry.at:
            raise LedgerBroken(f"ledger: entry {entry.sequence} does not set the clock back")
        charges = self._record.charges
        return replace(
            self,
            length=self.length + 1,
            head=entry.digest,
            _last_at=entry.at,
            _years={purpose: year.whole(charges[purpose]) for purpose, year in self._years.items()},
            _clock=_Clock((*self._clock.set_back, (entry.sequence, entry.at))),
            _record=self._record.grown(self.length, entry),
        )

    def _held_after(self, entry: LedgerEntry) -> Mapping[str, Mapping[Purpose, Rho]]:
        """What open nights hold after an entry.

        Raises:
            LedgerBroken: If it charges more than its night holds, or names no purpose.
        """
        if entry.act in (LedgerAct.RECONCILE, LedgerAct.LOST):
            return self._held
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
