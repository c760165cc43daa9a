"""Plans: what an outlet may be asked, in the office's own hand.

A night plan says which releases a night may make and what they cost; a release plan fixes one of
them to the last parameter. Both are canonical JSON, signed as bytes, and parsed strictly: an
unknown, missing or mistyped field is refused. HQ drafts; only the office signs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from privacy.envelopes import SigningKey, VerifyKey, digest
from privacy.errors import InvalidParameter, PlanRefused
from privacy.fixed_point import LARGEST_NORM, LARGEST_SCALE, check_capacity, ring_type
from privacy.loss import Rho
from privacy.noise import LARGEST_NOISE_SCALE, DiscreteGaussian
from privacy.purposes import Purpose

LARGEST_DIMENSION = 2**27

_NIGHT_DOMAIN = b"escapement/v1/night-plan"
_RELEASE_DOMAIN = b"escapement/v1/release-plan"


@dataclass(frozen=True, slots=True)
class PlannedReleases:
    """A line of a night plan: `count` releases for one purpose, `rho` each at most.

    Attributes:
        purpose: What they are for.
        count: How many at most.
        rho: The cost of each; None of seals, whose sums are not opened, and where the releases
            carry no noise (sandbox only).
    """

    purpose: Purpose
    count: int
    rho: Rho | None

    @property
    def total(self) -> Rho:
        """What the line costs; 0 when it carries no noise, which the ledger marks as such."""
        return Rho(0) if self.rho is None else Rho(self.rho * self.count)


@dataclass(frozen=True, slots=True)
class NightPlan:
    """What one night may release.

    Attributes:
        night: The night's name, unique.
        cut_off: The night's cut-off, ISO 8601 date, the last day that a feature may see.
        releases: One line a purpose.
        ledger_length: How many entries the office's ledger had; it never goes back.
        ledger_head: The digest of its last entry.
        expires: When an outlet stops answering, in Unix seconds.
    """

    night: str
    cut_off: str
    releases: tuple[PlannedReleases, ...]
    ledger_length: int
    ledger_head: str
    expires: int

    def __post_init__(self) -> None:
        purposes = [line.purpose for line in self.releases]
        if len(set(purposes)) != len(purposes) or any(line.count < 1 for line in self.releases):
            raise PlanRefused("night plan: expected one line a purpose, each of a positive count")

    def line(self, purpose: Purpose) -> PlannedReleases:
        """The line of a purpose.

        Raises:
            PlanRefused: If the night has none.
        """
        for planned in self.releases:
            if planned.purpose is purpose:
                return planned
        raise PlanRefused(f"night plan {self.night}: plans no release for {purpose}")

    def encode(self) -> bytes:
        """The canonical bytes that are signed."""
        lines = [
            [line.purpose.value, line.count, None if line.rho is None else line.rho.encode()]
            for line in self.releases
        ]
        return canonical({**asdict(self), "releases": lines})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly."""
        raw = strict(cls, data)
        try:
            lines = tuple(
                PlannedReleases(Purpose(p), integer(n), None if rho is None else Rho.decode(rho))
                for p, n, rho in raw["releases"]
            )
        except (TypeError, ValueError, InvalidParameter) as error:
            raise PlanRefused("night plan: malformed releases") from error
        made = cls(**{**raw, "releases": lines})
        if made.encode() != data:
            raise PlanRefused("night plan: releases are no list of lists")
        return made


@dataclass(frozen=True, slots=True)
class ReleaseDraft:
    """What HQ asks the office to sign.

    Attributes:
        release: The release's id, never used twice.
        night: The digest of the night plan it belongs to.
        parent: The release before it in the same night, or "" for the first.
        purpose: What it is for; fixes the layout of the vector and the unit.
        dimension: d.
        ring_bits: The ring is modulo 2^ring_bits.
        scale: Integer units per 1.0.
        norm: The clipping norm in integer units: the sum's sensitivity for one unit.
        outlet_bound: The most that one outlet may add to a coordinate, in integer units.
        noise_scale: sigma of each server's noise, in integer units; 0 in the sandbox only.
        quorum: The least number of outlets in the sum.
        scorecard: Digest of the scorecard (and event catalogue) that the sum is taken at.
        directory: Digest of tonight's directory of customers and homes.
        as_of: The last day that its rows may see, ISO 8601.
        attachment: Digest of what the rows are computed with besides the scorecard: the linear map
            of a gradient, or the fine book of a calibration; "" for nothing.
    """

    release: str
    night: str
    parent: str
    purpose: Purpose
    dimension: int
    ring_bits: int
    scale: int
    norm: int
    outlet_bound: int
    noise_scale: int
    quorum: int
    scorecard: str
    directory: str
    as_of: str
    attachment: str

    def encode(self) -> bytes:
        """Canonical bytes; those of a plan are what is signed."""
        return canonical(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly."""
        raw = strict(cls, data)
        try:
            return cls(**{**raw, "purpose": Purpose(raw["purpose"])})
        except ValueError as error:
            raise PlanRefused("release plan: unknown purpose") from error

    def same_draft(self, other: ReleaseDraft) -> bool:
        """Tells whether two drafts, or a plan and a draft, ask for the same."""
        names = [entry.name for entry in fields(ReleaseDraft)]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def rho(self) -> Rho | None:
        """The cost for one unit, from the OpenDP measurement's map; None without noise."""
        if self.noise_scale == 0:
            return None
        return DiscreteGaussian(self.noise_scale).rho(self.norm)

    def check(self, outlets: int) -> None:
        """Refuses parameters with which the promised law would not hold.

        Args:
            outlets: How many outlets may take part at most.

        Raises:
            PlanRefused: If a parameter is outside its domain or the ring could wrap.
        """
        ceilings = {
            "dimension": LARGEST_DIMENSION,
            "scale": LARGEST_SCALE,
            "norm": LARGEST_NORM,
            "outlet_bound": 2**63,
            "quorum": 2**31,
        }
        for name, most in ceilings.items():
            if not 1 <= integer(getattr(self, name)) <= most:
                raise PlanRefused(f"release plan {self.release}: {name} is not within 1 and {most}")
        if not 0 <= integer(self.noise_scale) <= LARGEST_NOISE_SCALE:
            raise PlanRefused(f"release plan {self.release}: noise scale is outside its domain")
        try:
            ring_type(self.ring_bits)
            check_capacity(
                outlets=outlets,
                outlet_bound=self.outlet_bound,
                noise_scale=self.noise_scale,
                ring_bits=self.ring_bits,
            )
        except InvalidParameter as error:
            raise PlanRefused(f"release plan {self.release}: {error}") from error


@dataclass(frozen=True, slots=True)
class ReleasePlan(ReleaseDraft):
    """A draft that the office accepted.

    Attributes:
        key: The office's one-time HPKE public key, in hex.
        expires: When an outlet stops answering, in Unix seconds.
    """

    key: str
    expires: int


@dataclass(frozen=True, slots=True)
class Signed:
    """Plan bytes and the office's signature over them."""

    payload: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """How a plan is named in everything that is bound to it."""
        return digest(self.payload)


def sign(plan: NightPlan | ReleasePlan, key: SigningKey) -> Signed:
    """Signs a plan; the office only."""
    domain = _NIGHT_DOMAIN if isinstance(plan, NightPlan) else _RELEASE_DOMAIN
    payload = plan.encode()
    return Signed(payload, key.sign(domain, payload))


def open_night(signed: Signed, office: VerifyKey, at: int) -> NightPlan:
    """Reads a night plan that the office signed and that has not expired.

    Raises:
        PlanRefused: Otherwise.
    """
    plan = NightPlan.decode(verified(signed, office, _NIGHT_DOMAIN))
    check_expiry("night plan", plan.expires, at)
    return plan


def read_night(signed: Signed, office: VerifyKey) -> NightPlan:
    """Reads a night plan that the office signed, whether or not it has expired.

    Raises:
        PlanRefused: If the office did not.
    """
    return NightPlan.decode(verified(signed, office, _NIGHT_DOMAIN))


def open_release(signed: Signed, office: VerifyKey, at: int) -> ReleasePlan:
    """Reads a release plan that the office signed and that has not expired.

    Raises:
        PlanRefused: Otherwise.
    """
    plan = ReleasePlan.decode(verified(signed, office, _RELEASE_DOMAIN))
    check_expiry("release plan", plan.expires, at)
    return plan


def verified(signed: Signed, office: VerifyKey, domain: bytes) -> bytes:
    """A plan's bytes, signed in a domain.

    Raises:
        PlanRefused: If the office did not.
    """
    if not office.verify(signed.signature, domain, signed.payload):
        raise PlanRefused("plan: not signed by the pinned privacy office")
    return signed.payload


def check_expiry(what: str, expires: int, at: int) -> None:
    """Refuses what has expired.

    Raises:
        PlanRefused: If so.
    """
    if at >= expires:
        raise PlanRefused(f"{what}: expired {at - expires} s ago")


def canonical(value: dict[str, Any]) -> bytes:
    """Canonical JSON: sorted names, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def strict(cls: type[Any], data: bytes) -> dict[str, Any]:
    """Parses canonical JSON whose keys and scalar types are those of a dataclass."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PlanRefused("plan: not JSON") from error
    expected = {entry.name: entry.type for entry in fields(cls)}
    if not isinstance(raw, dict) or set(raw) != set(expected):
        raise PlanRefused(f"plan: got other fields than a {cls.__name__} has")
    for name, kind in expected.items():
        if kind == "int":
            integer(raw[name])
        elif kind == "str" and not isinstance(raw[name], str):
            raise PlanRefused(f"plan: {name} is not text")
    if canonical(raw) != data:
        raise PlanRefused("plan: not in canonical form")
    return raw


def integer(value: object) -> int:
    """A value that was parsed, if it is an integer.

    Raises:
        PlanRefused: If it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise PlanRefused("plan: got another type, expected an integer")
    return value
