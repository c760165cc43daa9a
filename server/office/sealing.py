"""The office's side of a seal: it signs, takes a set, makes tables of its masks, and forgets.

Invariant: a plan is sealed for one set, and a chunk of it for one vector of choices; each is stored
before anything is made of it, and nothing is answered of a seal that is over. The order is

    sign    plan, the transfers' second message, keys and secrets     durable, then the reply
    set     its digest, beside the vault's key; the same and its seeds; or who is at fault, and
            nothing stored
    chunk   the digest of its choices, in both places; their check; that it was passed; its tables
    close   secrets, seeds and the key that wraps them are gone

so that a kill between any two repeats nothing with other bytes. The argument is in
`privacy.sealing`, what is refused in `signing_rules` and `set_rules`, states in `seal_store`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from privacy.at_rest import SecretUnreadable
from privacy.base_transfers import Draw
from privacy.envelopes import SealKey
from privacy.errors import AnswerRefused, InvalidParameter, PlanRefused, ReleaseClosed
from privacy.masks import SEED_BYTES, Seed
from privacy.oblivious_transfer import TransferFailed
from privacy.seal_plans import SealKind, SealPlan, sign_seal
from privacy.sealing import SealSecrets, Sender
from privacy.slot_keys import OneTimeKey
from privacy.two_key_sum import KeptSeed, digest_of_set, open_seed, shares_of, sum_of_masks
from server.office.seal_store import SealState
from server.office.set_rules import (
    check_blocks,
    check_complete,
    check_set,
    kept_seeds,
    reached_slots,
)
from server.office.signing_rules import check_seal
from server.office.vault import OpenSeal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from privacy.directory import Directory
    from privacy.envelopes import SigningKey, VerifyKey
    from privacy.oblivious_transfer import Choices, Rows
    from privacy.plans import Signed
    from privacy.seal_plans import SealDraft
    from privacy.two_key_sum import Carried, Envelope
    from server.office.ledger_store import OfficeStore, Transaction
    from server.office.seal_store import StoredSeal
    from server.office.settings import OfficeSettings
    from server.office.vault import Vault

_DIMENSION_BYTES = 8
_WHY = {
    SealState.CLOSED: "closed",
    SealState.FAILED: "ended by a failed check, another directory, or a key that is gone",
    SealState.EXPIRED: "expired",
}


@dataclass(frozen=True, slots=True)
class Sealing:
    """Seals at the office. Moments are its own, in Unix seconds, after what is over was tidied.

    Attributes:
        settings: What the data-protection officer decided.
        store: Plans, states, what is wrapped.
        key: Signs plans.
        outlets: The office's own list of outlets and their signing keys.
        directory: Gives the digest of the directory that was countersigned last.
        listed: Gives that directory whole.
        vault: Wraps what must die with a seal.
    """

    settings: OfficeSettings
    store: OfficeStore
    key: SigningKey
    outlets: Mapping[str, VerifyKey]
    directory: Callable[[], str]
    listed: Callable[[], Directory]
    vault: Vault

    def sign(self, draft: SealDraft, at: int) -> tuple[Signed, bytes]:
        """Signs a seal plan with fresh keys; see `Office.sign_seal`."""
        draft.check()
        directory = self.listed()  # before the transaction, which others wait for
        with self.store.transaction() as transaction:
            known = transaction.seals.find(name=draft.release)
            if known is not None:
                return _known_plan(transaction, known, draft), known.transfers
            if transaction.release(name=draft.release) is not None:
                raise _signed_otherwise(draft)
            day = check_seal(transaction, self.settings, directory, draft, at)
            made = self._add(transaction, draft, at + self.settings.release_minutes * 60)
            transaction.keep_day(day, draft.as_of)
            return made

    def store_set(
        self, plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried], at: int
    ) -> str:
        """Takes a seal's set for good; see `Office.store_set`."""
        set_digest = digest_of_set(envelopes, carried)
        with self.store.transaction() as transaction:
            seal = _find(transaction, plan_digest)
            if _is_stored(seal, set_digest):
                return set_digest
        key = SealKey.from_bytes(self._opened(seal, "key"))
        minimum = self.settings.minimum_outlets
        check_set(seal.plan, plan_digest, minimum, self.outlets, envelopes, carried)
        fresh = {envelope: open_seed(envelope, plan_digest, key) for envelope in envelopes}
        names = {e.outlet for e in (*envelopes, *(last.envelope for last in carried))}
        with self.store.transaction() as transaction:
            seal = _find(transaction, plan_digest)
            if not _is_stored(seal, set_digest):  # another call was faster
                check_complete(transaction, seal.plan, self.outlets, names, at)
                if seal.plan.kind is SealKind.FINE:  # a calibration counts what it seals
                    check_blocks(transaction, seal.plan, names, self.outlets.keys(), minimum, at)
                    transaction.sum_sets.keep(names, at)
                kept = kept_seeds(transaction, seal.plan, carried, at)
                seeds = (KeptSeed(seed, seal.plan.dimension) for seed in fresh.values())
                wrapped = self.vault.wrapped(_encoded([*seeds, *kept]), f"seeds {plan_digest}")
                self._bind(seal, "set", set_digest)
                transaction.seals.store_set(plan_digest, set_digest, wrapped, at)
                transaction.seals.keep_outlets(names)
                if seal.plan.kind is SealKind.BAND:
                    transaction.seeds.keep(seal.plan, plan_digest, fresh, self.outlets, at)
                transaction.seals.keep_terms(seal.plan, at)
        return set_digest

    def chunk(self, plan_digest: str, chunk: int, choices: bytes) -> Iterator[bytes]:
        """Checks HQ's choices of a chunk and makes its tables; see `Office.seal_chunk`."""
        opened = self._open_seal(plan_digest)
        read = _read(opened.sender, chunk, choices)
        try:
            rows = self._verified(opened, chunk, read)
        except TransferFailed:
            self.end(plan_digest, SealState.FAILED)
            raise
        place = opened.sender.plan.places(chunk)
        run = slice(place.start, place.stop)
        masks, keys = opened.masks[run], opened.directory.keys[run]
        return opened.sender.tables(chunk, read, rows, masks, keys, opened.reached)

    def end(self, plan_digest: str, state: SealState) -> None:
        """Ends a seal; one that is over stays as it is.

        Raises:
            PlanRefused: If the plan is not the office's own.
        """
        with self.store.transaction() as transaction:
            _find(transaction, plan_digest)
            self._end(transaction, plan_digest, state)

    def tidy(self, transaction: Transaction, at: int) -> None:
        """Ends the open seal where its plan has expired, and forgets what others ended."""
        seal, known = transaction.seals.find_open(), self.vault.seal
        if known is not None and (seal is None or seal.signed.digest != known.sender.digest):
            self.vault.seal = None  # another process ended it
        if seal is not None and at >= seal.plan.expires:
            self._end(transaction, seal.signed.digest, SealState.EXPIRED)

    def _end(self, transaction: Transaction, plan_digest: str, state: SealState) -> None:
        """The key goes before the transaction ends: no seal is ever over whose secrets open."""
        if transaction.seals.end(plan_digest, state):
            self.vault.renew()

    def _add(
        self, transaction: Transaction, draft: SealDraft, expires: int
    ) -> tuple[Signed, bytes]:
        """Draws a seal's keys and secrets and stores them with its plan."""
        key, one_time = SealKey.generate(), OneTimeKey.generate()
        draw = Draw.fresh(bytes.fromhex(draft.transfer_key))
        terms = {**asdict(draft), "key": key.public.hex(), "slot_key": one_time.public.hex()}
        plan = SealPlan(**terms, expires=expires)
        signed = sign_seal(plan, self.key)
        secrets = SealSecrets.of(one_time, draw, plan, signed.digest)
        transaction.add_release(
            release=plan.release,
            night=plan.night,
            purpose=plan.purpose,
            directory=plan.directory,
            signed=signed,
            expires=expires,
            key=None,
        )
        self.vault.renew()
        transaction.seals.add(
            plan,
            signed,
            draw.answer,
            key=self.vault.wrapped(key.to_bytes(), f"key {signed.digest}"),
            secrets=self.vault.wrapped(secrets.encode(), f"secrets {signed.digest}"),
        )
        return signed, draw.answer

    def _open_seal(self, plan_digest: str) -> OpenSeal:
        """What chunks' tables are made of: from memory, or computed from what is stored."""
        with self.store.transaction() as transaction:
            seal, known = _find(transaction, plan_digest), self.vault.seal
        _check_open(seal)
        if seal.set_digest is None:
            raise PlanRefused(f"release {seal.plan.release}: its set is not stored yet")
        if known is not None and known.sender.digest != plan_digest:
            known = None
        directory = self.listed() if known is None else known.directory
        if not seal.plan.directory == directory.digest == self.directory():
            self.end(plan_digest, SealState.FAILED)
            raise ReleaseClosed(
                f"release {seal.plan.release}: another directory was countersigned since; it is "
                "over"
            )
        if known is None:
            secrets = SealSecrets.decode(self._opened(seal, "secrets"))
            seeds = _decoded(self._opened(seal, "seeds"))
            masks, reached = sum_of_masks(seal.plan, seeds), reached_slots(seal.plan, seeds)
            sender = Sender(seal.plan, plan_digest, seal.set_digest, secrets)
            known = OpenSeal(sender, shares_of(seal.plan, masks), directory, reached)
        return known

    def _verified(self, opened: OpenSeal, chunk: int, choices: Choices) -> Rows:
        """The office's rows, once that is durable by which no other choices come."""
        sender = opened.sender
        with self.store.transaction() as transaction:
            seal = _find(transaction, sender.digest)
            _check_open(seal)
            transaction.seals.take_choices(sender.digest, chunk, choices.digest)
            self._bind(seal, f"chunk {chunk}", choices.digest)
            self.vault.seal = opened
        rows = sender.rows(chunk, choices)
        with self.store.transaction() as transaction:
            _check_open(_find(transaction, sender.digest))
            transaction.seals.pass_chunk(sender.digest, chunk)
        return rows

    def _bind(self, seal: StoredSeal, name: str, value: str) -> None:
        """Refuses another set, or other choices, than this very seal had before.

        Raises:
            AnswerRefused: If the store was copied back since, and has forgotten it.
        """
        if not self.vault.note(f"{name} {seal.signed.digest}", value):
            raise AnswerRefused(
                f"release {seal.plan.release}: got another {name} than before a copy of the store "
                "was put back; send that one, or let it expire"
            )

    def _opened(self, seal: StoredSeal, name: str) -> bytes:
        """One of a seal's secrets; a seal whose secrets do not open is over.

        Raises:
            ReleaseClosed: If it does not.
        """
        try:
            return self.vault.opened(seal.secrets[name], f"{name} {seal.signed.digest}")
        except SecretUnreadable as error:
            self.end(seal.signed.digest, SealState.FAILED)
            raise ReleaseClosed(
                f"release {seal.plan.release}: this folder's key does not open its secrets, as of "
                "a store that was restored; it is over"
            ) from error


def _read(sender: Sender, chunk: int, encoded: bytes) -> Choices:
    """HQ's choices; of another length they were cut off on the way, and nothing was tried.

    Raises:
        PlanRefused: If there is no such chunk.
        InvalidParameter: If they are of another length.
    """
    try:
        return sender.read(chunk, encoded)
    except TransferFailed as error:
        raise InvalidParameter(f"release {sender.plan.release}: {error}") from error


def _find(transaction: Transaction, plan_digest: str) -> StoredSeal:
    seal = transaction.seals.find(digest=plan_digest)
    if seal is None:
        raise PlanRefused("seal: this plan was not signed here")
    return seal


def _check_open(seal: StoredSeal) -> None:
    if seal.state in _WHY:
        raise ReleaseClosed(f"release {seal.plan.release}: {_WHY[seal.state]}; it is over")


def _is_stored(seal: StoredSeal, set_digest: str) -> bool:
    """Whether this set was stored before, also of a seal that is over."""
    if seal.set_digest is None:
        _check_open(seal)
    elif seal.set_digest != set_digest:
        raise AnswerRefused(
            f"release {seal.plan.release}: stored before for another set of answers"
        )
    return seal.set_digest is not None


def _known_plan(transaction: Transaction, known: StoredSeal, draft: SealDraft) -> Signed:
    """A plan that was signed before, unless nothing can become of it any more."""
    if not draft.same_draft(known.plan):
        raise _signed_otherwise(draft)
    if transaction.seals.complete(known.signed.digest) is None:
        _check_open(known)
    return known.signed


def _signed_otherwise(draft: SealDraft) -> PlanRefused:
    return PlanRefused(f"release {draft.release}: signed before with another content")


def _encoded(seeds: Iterable[KeptSeed]) -> bytes:
    """Seeds of a set, each behind the length of its mask."""
    return b"".join(
        kept.dimension.to_bytes(_DIMENSION_BYTES, "big") + bytes(kept.seed) for kept in seeds
    )


def _decoded(data: bytes) -> list[KeptSeed]:
    size = _DIMENSION_BYTES + SEED_BYTES
    rows = (data[at : at + size] for at in range(0, len(data), size))
    return [
        KeptSeed(Seed.of(row[_DIMENSION_BYTES:]), int.from_bytes(row[:_DIMENSION_BYTES], "big"))
        for row in rows
    ]
