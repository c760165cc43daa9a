"""Seal plans: the terms of a release whose sums nobody opens, in the office's own hand.

A seal turns each slot's sum into one masked code a table: a **band** seal into a code a score and
one of the evidence, a **fine** seal, for calibration, into a bin a score. What HQ may choose is
here, and little: where bands begin, whole points of the sum of parts. Everything else is a constant
of the protocol, so that no choice of codes makes the sum itself readable.

    D         2^11 for a score, 2^10 in directories above a million slots; 2^8 for the evidence
    cuts      two or three a score, even, LEAST_GAP apart at least: no band is one sum wide, and
              cuts that wander over many seals tell a sum to CUT_STEP, not to the point
    bins      FINE_CUTS from one middle a score, all multiples of FINE_STEP: middles that wander
              tell a sum to FINE_STEP. With middles and distances of any size 14 a year told HQ,
              together with an outlet, 84 of 100 sums exactly; so none, and 4.4 of their 6.4 bits
    evidence  EVIDENCE_CUTS

A sum wraps only where more than `most_outlets` outlets add to it, and a wrap turns the worst into
the best: who counts a slot's registrations marks a slot that has nearly as many (`most_counted`),
and nobody reads it as a band. D divides the ring, so that a code is of the sum itself: no rounding
is in the protocol.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from privacy.envelopes import frame
from privacy.errors import PlanRefused
from privacy.plans import Signed, canonical, check_expiry, integer, strict, verified
from privacy.purposes import Purpose
from privacy.sealed_tables import SealTable
from privacy.slot_keys import is_point_in_hex

if TYPE_CHECKING:
    from privacy.envelopes import SigningKey, VerifyKey

RING_BITS = 16
"""Of masked parts: both moduli divide it, and vectors are half as long as in the next ring."""

PART_BOUND = 60
"""The most points one outlet gives or takes of a score; `features.points` says why."""

EVIDENCE_CAP = 6
"""The most events of a customer that an outlet tells of."""

SCORE_MODULUS, SMALL_SCORE_MODULUS = 2**11, 2**10
"""Of a score's sum: 17 outlets reach neither end; 8 in a directory so large that tables of 2^11
would be a gigabyte and more."""

LARGEST_FULL = 1_000_000
"""Slots up to which scores have the larger modulus."""

EVIDENCE_MODULUS = 2**8
"""Of the evidence: 42 outlets."""

EVIDENCE_CUTS = (1, 3, 6)
"""Where the codes of the evidence begin: none, 1 or 2 events, 3 to 5, 6 and more."""

FINE_CUTS = (-12, -4, 0, 4, 12, 20, 44)
"""Where fine bins begin, in points from the middle: near even in asinh of log odds."""

FINE_STEP = 4
"""Middles and FINE_CUTS are multiples of it."""

CUT_STEP, LEAST_GAP = 2, 4
"""Cuts of bands are multiples of the one, and the other apart at least."""

LARGEST_CUT = 1000
"""A cut there is beyond everybody's sum."""

MOST_SCORES = 2
"""Of a book's byte: two bits each, two of evidence, one that marks."""

CHUNK_SLOTS = 50_000
"""Slots of one step of the transfer: of two scores 24 MB of choices and 54 MB of tables in a band
seal, 18 MB and 102 MB in a fine one."""

LEAST_THERE = Fraction(3, 4)
"""The part of the listed outlets of earlier seals without which nothing is sealed, and of a set's
answers without which nothing is told of a slot."""

_LARGEST_SLOTS = 2**25
_DOMAIN = b"escapement/v1/seal-plan"
_FEWEST_CUTS, _MOST_CUTS = 2, 3


class SealKind(StrEnum):
    """What a seal, and the book that it becomes, is for."""

    BAND = "band"
    """Bands, for every outlet that knows the customer."""

    FINE = "fine"
    """Score bins, for the home outlet alone, to be counted against outcomes."""


def score_modulus(slots: int) -> int:
    """D of the scores in a directory of so many slots."""
    return SCORE_MODULUS if slots <= LARGEST_FULL else SMALL_SCORE_MODULUS


def most_outlets(slots: int) -> int:
    """How many outlets may add to one slot's sums before they could wrap."""
    return min(score_modulus(slots) // (2 * PART_BOUND), EVIDENCE_MODULUS // EVIDENCE_CAP)


def most_counted(slots: int) -> int:
    """How many registrations a slot may have that is not marked.

    An outlet adds to a listed slot from the night on at which it has the customer, and its own
    registration comes days later: a quarter is room for those.
    """
    return most_outlets(slots) * 3 // 4


@dataclass(frozen=True, slots=True)
class SealDraft:
    """What HQ asks the office to sign.

    Attributes:
        release: The release's id, never used twice.
        night: The digest of the night plan it belongs to.
        parent: The release before it in the same night, or "" for the first.
        kind: What it is for.
        slots: How many slots the directory has.
        scores: How many scores each slot has.
        cuts: Of a band seal where each score's bands begin, in sums of parts; of a fine seal each
            score's middle alone.
        quorum: The least number of outlets that answer afresh.
        scorecard: Digest of the scorecards that parts are computed with.
        directory: Digest of tonight's directory.
        as_of: The last day that parts may see, ISO 8601.
        hq_key: HQ's one-time slot key, a point in hex: what the book's masks are made with.
        transfer_key: HQ's first message of the base transfers, a point in hex.
    """

    release: str
    night: str
    parent: str
    kind: SealKind
    slots: int
    scores: int
    cuts: tuple[tuple[int, ...], ...]
    quorum: int
    scorecard: str
    directory: str
    as_of: str
    hq_key: str
    transfer_key: str

    @property
    def purpose(self) -> Purpose:
        """What a night plan calls it."""
        return Purpose.POINTS

    @property
    def width(self) -> int:
        """Numbers a slot: a part a score, and the evidence."""
        return self.scores + 1

    @property
    def dimension(self) -> int:
        """The length of an outlet's vector; slot by slot."""
        return self.slots * self.width

    @property
    def ring_bits(self) -> int:
        """The ring is modulo 2^ring_bits."""
        return RING_BITS

    @property
    def outlet_bound(self) -> int:
        """The most that one outlet may add to a coordinate."""
        return PART_BOUND

    @property
    def chunks(self) -> int:
        """In how many steps the transfer goes."""
        return -(-self.slots // CHUNK_SLOTS)

    def places(self, chunk: int) -> range:
        """The slots of a chunk.

        Raises:
            PlanRefused: If the release has no such chunk.
        """
        if not 0 <= chunk < self.chunks:
            raise PlanRefused(
                f"release {self.release}: got chunk {chunk}, expected one of {self.chunks}"
            )
        return range(chunk * CHUNK_SLOTS, min((chunk + 1) * CHUNK_SLOTS, self.slots))

    def tables(self) -> tuple[SealTable, ...]:
        """The law from sums to codes: a table a score, of a band seal the evidence's last."""
        modulus = score_modulus(self.slots)
        if self.kind is SealKind.FINE:
            return tuple(
                SealTable.of_signed(modulus, tuple(middle + cut for cut in FINE_CUTS))
                for (middle,) in self.cuts
            )
        scores = (SealTable.of_signed(modulus, cuts) for cuts in self.cuts)
        return (*scores, SealTable.of_counts(EVIDENCE_MODULUS, EVIDENCE_CUTS))

    def encode(self) -> bytes:
        """Canonical bytes; those of a plan are what is signed."""
        return canonical(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads `encode`'s bytes, strictly.

        Raises:
            PlanRefused: If they are anything else.
        """
        raw = strict(cls, data)
        if not isinstance(raw["cuts"], list) or not all(isinstance(of, list) for of in raw["cuts"]):
            raise PlanRefused("seal plan: cuts are no lists of integers")
        cuts = tuple(tuple(integer(cut) for cut in of_one) for of_one in raw["cuts"])
        try:
            return cls(**{**raw, "kind": SealKind(raw["kind"]), "cuts": cuts})
        except ValueError as error:
            raise PlanRefused("seal plan: unknown kind") from error

    def same_draft(self, other: SealDraft) -> bool:
        """Tells whether two drafts, or a plan and a draft, ask for the same."""
        names = [entry.name for entry in fields(SealDraft)]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def check(self) -> None:
        """Refuses terms that are outside the protocol's constants.

        Raises:
            PlanRefused: If a number is outside its domain, or a cut is none.
        """
        for name, most in [("slots", _LARGEST_SLOTS), ("scores", MOST_SCORES), ("quorum", 2**31)]:
            if not 1 <= getattr(self, name) <= most:
                raise PlanRefused(f"seal plan {self.release}: {name} is not within 1 and {most}")
        if len(self.cuts) != self.scores:
            raise PlanRefused(
                f"seal plan {self.release}: got cuts of {len(self.cuts)} scores, expected "
                f"{self.scores}"
            )
        for cuts in self.cuts:
            if not (_is_middle(cuts) if self.kind is SealKind.FINE else _are_cuts(cuts)):
                raise PlanRefused(
                    f"seal plan {self.release}: got cuts {list(cuts)}, expected "
                    + (
                        f"one middle within +-{LARGEST_CUT}, a multiple of {FINE_STEP}"
                        if self.kind is SealKind.FINE
                        else f"{_FEWEST_CUTS} or {_MOST_CUTS} multiples of {CUT_STEP} within "
                        f"+-{LARGEST_CUT}, ascending by {LEAST_GAP} or more"
                    )
                )
        if not (is_point_in_hex(self.hq_key) and is_point_in_hex(self.transfer_key)):
            raise PlanRefused(f"seal plan {self.release}: a key is no point in hex")


@dataclass(frozen=True, slots=True)
class SealPlan(SealDraft):
    """A draft that the office accepted.

    Attributes:
        key: The office's one-time HPKE public key for the outlets' seeds, in hex.
        slot_key: The office's one-time slot key, a point in hex: what pads are made with.
        expires: When outlets stop answering and the office goes on no more, in Unix seconds.
    """

    key: str
    slot_key: str
    expires: int


def is_seal_plan(payload: bytes) -> bool:
    """Whether a plan's bytes are a seal's, or else a customer sum's; nothing is verified."""
    return b'"transfer_key":' in payload


def sign_seal(plan: SealPlan, key: SigningKey) -> Signed:
    """Signs a plan; the office only."""
    payload = plan.encode()
    return Signed(payload, key.sign(_DOMAIN, payload))


def open_seal_plan(signed: Signed, office: VerifyKey, at: int) -> SealPlan:
    """Reads a seal plan that the office signed and that has not expired.

    Raises:
        PlanRefused: Otherwise.
    """
    plan = SealPlan.decode(verified(signed, office, _DOMAIN))
    plan.check()
    check_expiry("seal plan", plan.expires, at)
    return plan


@dataclass(frozen=True, slots=True)
class SealContext:
    """What everything secret of a chunk is bound to.

    Attributes:
        plan: Digest of the signed plan: cuts, directory, moduli, both one-time keys.
        set: Digest of the set of answers.
        chunk: Which chunk.
    """

    plan: str
    set: str
    chunk: int

    def encode(self) -> bytes:
        """Framed, of one length."""
        place = self.chunk.to_bytes(8, "big")
        return frame(bytes.fromhex(self.plan), bytes.fromhex(self.set), place)


def _is_middle(cuts: tuple[int, ...]) -> bool:
    return len(cuts) == 1 and abs(cuts[0]) <= LARGEST_CUT and cuts[0] % FINE_STEP == 0


def _are_cuts(cuts: tuple[int, ...]) -> bool:
    within = all(cut % CUT_STEP == 0 and abs(cut) <= LARGEST_CUT for cut in cuts)
    apart = all(high - low >= LEAST_GAP for low, high in pairwise(cuts))
    return _FEWEST_CUTS <= len(cuts) <= _MOST_CUTS and within and apart
