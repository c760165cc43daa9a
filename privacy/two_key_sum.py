"""The two-key sum: the one door through which a number about customers leaves an outlet.

    Contribution | Parts -> MaskedShare -> Aggregate -> CustomerRelease | Shares, sealed

An outlet clips, truncates, sums and masks; HQ adds masked vectors; the office opens the seeds of
exactly that set. Of a customer sum it answers with the sum of masks less its own noise, and HQ adds
noise of its own. Of parts it answers with nothing: HQ's masked sum and the office's sum of masks
are shares of what each slot adds up to, and only codes are made of the two (`privacy.sealing`).
Each arrow is the only way to make the next type. HQ sees masked vectors and noisy sums, the office
sees seeds: **the argument needs HQ and the office not to collude.**
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from privacy.envelopes import SealKey, SigningKey, VerifyKey, digest, frame, seal
from privacy.errors import AnswerRefused, InvalidParameter
from privacy.fixed_point import Integers, Residues, from_ring, ring_type, to_integers, to_ring
from privacy.masks import Seed, mask
from privacy.seal_plans import EVIDENCE_CAP, SealPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from privacy.clipping import Rows
    from privacy.plans import ReleasePlan
    from privacy.sealing import Shares

AnyPlan = TypeVar("AnyPlan", "ReleasePlan", SealPlan, contravariant=True)

_LOG = logging.getLogger(__name__)

SEALED_SEED_BYTES, DIGEST_CHARACTERS, SIGNATURE_BYTES, SALT_BYTES = 80, 64, 64, 32
"""X25519 share, seed and tag; SHA-256 in hex; Ed25519."""

CARRY_DAYS = 31
"""How old the last answer of an absent outlet may be for it to count."""

_SEED_DOMAIN = b"escapement/v1/seed"
_SHARE_DOMAIN = b"escapement/v1/share"
_COMMITMENT_DOMAIN = b"escapement/v1/commitment"


@dataclass(frozen=True, slots=True, repr=False)
class Contribution:
    """One outlet's contributions, one row a unit, before clipping.

    Attributes:
        rows: float64[n, d], the whole of what a unit adds, intercept and label terms included.
    """

    rows: Rows

    def sums(self, plan: ReleasePlan) -> Integers:
        """Clips, truncates and adds up, int64[d].

        Clipping is a row at a time, so taking one row away moves the sum by at most the plan's
        norm. Nothing here raises because of a value in a row.
        """
        integers, zeroed = to_integers(self.rows, plan.scale, plan.norm)
        if zeroed:
            _LOG.warning(
                "%s: %d rows not finite or too long count as nothing", plan.release, zeroed
            )
        if integers.shape[1] != plan.dimension:
            raise InvalidParameter(
                f"contribution: got width {integers.shape[1]}, expected {plan.dimension}"
            )
        return np.asarray(integers.sum(axis=0))


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """One outlet's parts of its customers' scores, for a seal.

    Attributes:
        parts: int64[n, w], whole points a score, and the evidence last.
        slots: int64[n], whose they are; each slot once.
    """

    parts: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]

    def sums(self, plan: SealPlan) -> Integers:
        """Every slot's, int64[d]; zeros of whom this outlet has not met.

        The evidence is held within EVIDENCE_CAP, which is below the plan's bound: `most_outlets`
        counts on it.
        """
        shape = (len(self.slots), plan.width)
        if self.parts.shape != shape or len(np.unique(self.slots)) != len(self.slots):
            raise InvalidParameter(f"parts: expected {plan.width} numbers a slot, each slot once")
        if len(self.slots) and not 0 <= self.slots.min() <= self.slots.max() < plan.slots:
            raise InvalidParameter("parts: a slot is outside the plan's")
        total = np.zeros((plan.slots, plan.width), dtype=np.int64)
        total[self.slots] = self.parts
        np.clip(total[:, -1], 0, EVIDENCE_CAP, out=total[:, -1])
        return total.ravel()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The part of a masked share that the office sees: no value, only whose seed it is.

    Attributes:
        outlet: The outlet's id.
        sealed_seed: The seed, sealed to the release's one-time key.
        commitment: Salted SHA-256 of the masked vector, in hex; see `MaskedShare`.
        signature: The outlet's, over plan digest, outlet, sealed seed and commitment.
    """

    outlet: str
    sealed_seed: bytes
    commitment: str
    signature: bytes

    def signed_by(self, key: VerifyKey, plan_digest: str) -> bool:
        """Tells whether the envelope has its exact form and the outlet signed it for this plan."""
        sizes = len(self.sealed_seed), len(self.commitment), len(self.signature)
        if sizes != (SEALED_SEED_BYTES, DIGEST_CHARACTERS, SIGNATURE_BYTES):
            return False
        if not set(self.commitment) <= set("0123456789abcdef"):
            return False
        return key.verify(self.signature, *_statement(plan_digest, self))


@dataclass(frozen=True, slots=True)
class MaskedShare:
    """One outlet's masked vector and its envelope. Uniform to whoever lacks the seed.

    The office can open the seed and so knows the mask. Without the salt, which is random and goes
    to HQ alone, the commitment tells it nothing: it could else try values until one fits.

    Attributes:
        vector: The masked sums, [d].
        salt: SALT_BYTES random bytes, never made of the seed.
        envelope: What the office sees.
    """

    vector: Residues
    salt: bytes = field(repr=False)
    envelope: Envelope


class Summed(Protocol[AnyPlan]):
    """A `Contribution`, for a customer sum's plan, or `Parts`, for a seal's."""

    def sums(self, plan: AnyPlan) -> Integers:
        """int64[d]."""


def mask_share(
    contribution: Summed[AnyPlan], plan: AnyPlan, plan_digest: str, outlet: str, key: SigningKey
) -> MaskedShare:
    """Makes the one answer that an outlet gives to a plan: **the door**.

    Args:
        contribution: To a plan of this kind.
        plan: A plan that the outlet has verified.
        plan_digest: The digest of its signed bytes.
        outlet: The outlet's id.
        key: The outlet's signing key.

    """
    residues = to_ring(contribution.sums(plan), plan.outlet_bound, plan.ring_bits)
    seed = Seed.fresh()
    vector = residues + mask(seed, plan.dimension, plan.ring_bits)
    salt = secrets.token_bytes(SALT_BYTES)
    commitment = _commitment(plan_digest, outlet, salt, vector)
    sealed = seal(bytes.fromhex(plan.key), seed, *_seed_info(plan_digest, outlet, commitment))
    unsigned = Envelope(outlet, sealed, commitment, b"")
    signature = key.sign(*_statement(plan_digest, unsigned))
    return MaskedShare(vector, salt, Envelope(outlet, sealed, commitment, signature))


def check_share(
    share: MaskedShare,
    plan: ReleasePlan | SealPlan,
    plan_digest: str,
    keys: Mapping[str, VerifyKey],
) -> None:
    """Refuses a share that does not fit the plan or was not signed by its outlet.

    Raises:
        AnswerRefused: If it does not verify.
    """
    outlet = share.envelope.outlet
    if outlet not in keys:
        raise AnswerRefused(f"outlet {outlet}: not on the list", outlet)
    if share.vector.shape != (plan.dimension,) or share.vector.dtype != ring_type(plan.ring_bits):
        raise AnswerRefused(f"outlet {outlet}: a vector of another shape or ring", outlet)
    made = _commitment(plan_digest, outlet, share.salt, share.vector)
    if len(share.salt) != SALT_BYTES or made != share.envelope.commitment:
        raise AnswerRefused(f"outlet {outlet}: vector and commitment differ", outlet)
    if not share.envelope.signed_by(keys[outlet], plan_digest):
        raise AnswerRefused(f"outlet {outlet}: signature does not verify", outlet)


@dataclass(frozen=True, slots=True)
class Carried:
    """The last answer of an outlet that is absent from a seal.

    Attributes:
        envelope: As the outlet made it.
        plan_digest: The plan that it answered.
    """

    envelope: Envelope
    plan_digest: str


@dataclass(frozen=True, slots=True)
class KeptSeed:
    """What the office keeps of an outlet's last answer to a seal, so that it can be carried.

    Attributes:
        seed: The mask's.
        dimension: d of the plan it answered.
    """

    seed: Seed
    dimension: int


def open_seed(envelope: Envelope, plan_digest: str, key: SealKey) -> Seed:
    """Opens the seed of an envelope; the office only.

    Raises:
        AnswerRefused: If it does not open under its plan, outlet and vector.
    """
    info = _seed_info(plan_digest, envelope.outlet, envelope.commitment)
    try:
        return Seed.of(key.open(envelope.sealed_seed, *info))
    except (AnswerRefused, InvalidParameter) as error:
        raise AnswerRefused(
            f"outlet {envelope.outlet}: its seed does not open under plan and vector",
            envelope.outlet,
        ) from error


def sum_of_masks(plan: ReleasePlan | SealPlan, seeds: Iterable[KeptSeed]) -> Residues:
    """Adds masks up; the office only.

    A mask of an older, shorter plan covers the coordinates that plan had: slots are only ever added
    at the end, so the outlet's vector is zero beyond them.

    Raises:
        InvalidParameter: If a seed is not a seed, or its plan was longer than this one.
    """
    total = np.zeros(plan.dimension, dtype=ring_type(plan.ring_bits))
    for kept in seeds:
        if kept.dimension > plan.dimension:
            raise InvalidParameter(f"release {plan.release}: shorter than an answer it carries")
        total[: kept.dimension] += mask(kept.seed, kept.dimension, plan.ring_bits)
    return total


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The sum of masked vectors of a set of outlets. Uniform until the office answers.

    Attributes:
        plan: The release's, or the seal's.
        envelopes: Of the outlets that answered.
        masked_sum: The sum of all vectors, [d].
        carried: Of outlets that are absent and count with their last answer.
    """

    plan: ReleasePlan | SealPlan
    envelopes: tuple[Envelope, ...]
    masked_sum: Residues
    carried: tuple[Carried, ...] = ()

    @classmethod
    def of(
        cls,
        plan: ReleasePlan | SealPlan,
        shares: Iterable[MaskedShare],
        carried: Iterable[tuple[Carried, Residues]] = (),
    ) -> Aggregate:
        """Adds up shares that `check_share` accepted, one an outlet, and last answers."""
        ordered = sorted(shares, key=lambda share: share.envelope.outlet)
        total = np.zeros(plan.dimension, dtype=ring_type(plan.ring_bits))
        for share in ordered:
            total += share.vector
        absent = sorted(carried, key=lambda pair: pair[0].envelope.outlet)
        for _, vector in absent:
            total[: len(vector)] += vector
        envelopes = tuple(share.envelope for share in ordered)
        return cls(plan, envelopes, total, tuple(last for last, _ in absent))

    @property
    def outlets(self) -> tuple[str, ...]:
        """Who is in the sum, in order."""
        absent = (last.envelope for last in self.carried)
        return tuple(sorted(envelope.outlet for envelope in (*self.envelopes, *absent)))

    def customer_release(self, answer: bytes, own_noise: Integers) -> CustomerRelease:
        """Takes the masks off and HQ's noise on: the only way to a `CustomerRelease`.

        Args:
            answer: The office's, little-endian residues: sum of masks less its noise.
            own_noise: int64[d], HQ's noise, stored before this call; zeros in the sandbox's
                noiseless mode.

        Raises:
            InvalidParameter: If the plan is a seal's: its sums are opened for nobody.
        """
        plan = self.plan
        if isinstance(plan, SealPlan):
            raise InvalidParameter(f"release {plan.release}: the sums of a seal are never opened")
        kind = ring_type(plan.ring_bits)
        if len(answer) != self.masked_sum.nbytes:
            raise AnswerRefused("office answer: another length than the plan's vector")
        masks = np.frombuffer(answer, dtype=kind)
        values = from_ring(self.masked_sum - masks + own_noise.astype(kind), plan.scale)
        return CustomerRelease(plan, self.outlets, values)

    def shares(self) -> Shares:
        """HQ's shares of each slot's sums, uint16[slots, width], to be sealed.

        Raises:
            InvalidParameter: If the plan is no seal's.
        """
        return shares_of(self.plan, self.masked_sum)


def shares_of(plan: ReleasePlan | SealPlan, total: Residues) -> Shares:
    """Sums of masked vectors, or of masks, slot by slot: uint16[slots, width].

    Raises:
        InvalidParameter: If the plan is no seal's.
    """
    if not isinstance(plan, SealPlan):
        raise InvalidParameter(f"release {plan.release}: a customer sum is not sealed")
    return total.reshape(plan.slots, plan.width)


@dataclass(frozen=True, slots=True)
class CustomerRelease:
    """A differentially private sum over customers: what thresholds, plots and reports may take.

    Attributes:
        plan: The plan it was released under.
        outlets: Who is in the sum.
        values: float64[d], in the contributions' own units.
    """

    plan: ReleasePlan
    outlets: tuple[str, ...]
    values: Rows

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the noise in each value: both servers' together."""
        return 2**0.5 * self.plan.noise_scale / self.plan.scale

    @property
    def signal_to_noise(self) -> float | None:
        """Length of the values over the expected length of the noise; None without noise."""
        if self.plan.noise_scale == 0:
            return None
        return float(np.linalg.norm(self.values) / (self.noise_sd * self.plan.dimension**0.5))


def digest_of_set(envelopes: Iterable[Envelope], carried: Iterable[Carried]) -> str:
    """Names a set of answers down to the last byte, in whatever order they came.

    HQ computes it itself: its streams of a seal are bound to it, and an office that gave one name
    to two sets would see the same streams twice.
    """
    answered = [(envelope, "") for envelope in envelopes]
    answered += [(last.envelope, last.plan_digest) for last in carried]
    parts = sorted(
        frame(e.outlet.encode(), e.sealed_seed, e.commitment.encode(), e.signature, plan.encode())
        for e, plan in answered
    )
    return digest(frame(*parts))


def _commitment(plan_digest: str, outlet: str, salt: bytes, vector: Residues) -> str:
    bound = (bytes.fromhex(plan_digest), outlet.encode(), salt, vector.tobytes())
    return digest(frame(_COMMITMENT_DOMAIN, *bound))


def _seed_info(plan_digest: str, outlet: str, commitment: str) -> tuple[bytes, ...]:
    return (
        _SEED_DOMAIN,
        bytes.fromhex(plan_digest),
        outlet.encode(),
        bytes.fromhex(commitment),
    )


def _statement(plan_digest: str, envelope: Envelope) -> tuple[bytes, ...]:
    return (
        _SHARE_DOMAIN,
        bytes.fromhex(plan_digest),
        envelope.outlet.encode(),
        envelope.sealed_seed,
        bytes.fromhex(envelope.commitment),
    )
