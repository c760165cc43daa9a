"""The curious office: it holds an outlet's seed and envelope, and guesses what the outlet sent.

A small outlet's sums are few: all of them can be tried. What the envelope says of the masked vector
must therefore tell nothing to who can compute the mask.
"""

from __future__ import annotations

import hashlib
from itertools import chain, combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.envelopes import digest
from privacy.fixed_point import to_ring
from privacy.masks import Seed, mask
from privacy.plans import ReleasePlan, Signed
from privacy.two_key_sum import SALT_BYTES, Contribution, _commitment, open_seed
from tests.builders import Bench

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from privacy.fixed_point import Residues
    from privacy.two_key_sum import Envelope, MaskedShare

CELLS = 12
"""Of a table of outcomes by bins, in which each home customer is one."""


class Curious:
    """The office with all that it ever had of one outlet's answer."""

    def __init__(self, customers: tuple[int, ...]) -> None:
        self.bench = Bench()
        draft = self.bench.draft(self.bench.night(), dimension=CELLS)
        self.signed: Signed = self.bench.office.sign_release(draft)
        self.plan = ReleasePlan.decode(self.signed.payload)
        self.share: MaskedShare = self.bench.share(self.signed, "a", np.eye(CELLS)[list(customers)])
        self.envelope: Envelope = self.share.envelope
        with self.bench.store.transaction() as transaction:
            stored = transaction.release(digest=self.signed.digest)
        assert stored is not None
        assert stored.key is not None
        self.seed = open_seed(self.envelope, self.signed.digest, stored.key)

    def guesses(self) -> Iterator[tuple[tuple[int, ...], Residues]]:
        """Every way in which up to two customers can fall, and its masked vector."""
        ways = chain.from_iterable(
            combinations_with_replacement(range(CELLS), customers) for customers in range(3)
        )
        one, hidden = self._one_customer(), mask(self.seed, CELLS, self.plan.ring_bits)
        for way in ways:
            sums = np.bincount(way, minlength=CELLS).astype(np.int64) * one
            yield way, to_ring(sums, self.plan.outlet_bound, self.plan.ring_bits) + hidden

    def _one_customer(self) -> int:
        """What a customer adds to a cell, in integer units."""
        return int(Contribution(np.eye(CELLS)[:1]).sums(self.plan)[0])

    def found(self, salts: Iterable[bytes]) -> list[tuple[int, ...]]:
        """The guesses that fit what the envelope says of the vector, under some salts."""
        salts = list(salts)
        return [
            way
            for way, vector in self.guesses()
            if digest(vector.tobytes()) == self.envelope.commitment  # what it was in release 0.1
            or any(
                _commitment(self.signed.digest, "a", salt, vector) == self.envelope.commitment
                for salt in salts
            )
        ]

    def salts(self) -> list[bytes]:
        """What the office could make of all that it holds."""
        held = (
            bytes(self.seed),
            self.envelope.sealed_seed,
            self.envelope.signature,
            bytes.fromhex(self.envelope.commitment),
            bytes.fromhex(self.signed.digest),
        )
        made = [each[:SALT_BYTES] for each in held] + [
            hashlib.sha256(each).digest() for each in held
        ]
        return [b"", bytes(SALT_BYTES), *made]


@pytest.mark.parametrize("customers", [(), (4,), (4, 9)])
def test_the_office_finds_no_value_by_trying_all_of_them(customers: tuple[int, ...]) -> None:
    curious = Curious(customers)
    assert curious.found(curious.salts()) == []
    # HQ has the salt and no mask; who has both finds it, so the guesses above were complete.
    assert curious.found([curious.share.salt]) == [customers]


def test_a_salt_is_no_function_of_the_seed_nor_of_the_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of one outlet, plan, seed and vector there are as many commitments as answers."""
    curious = Curious((4,))
    monkeypatch.setattr(Seed, "fresh", lambda: curious.seed)
    again = [curious.bench.share(curious.signed, "a", np.eye(CELLS)[[4]]) for _ in range(8)]
    assert all((share.vector == curious.share.vector).all() for share in again)
    assert len({share.envelope.commitment for share in [curious.share, *again]}) == 9
    assert len({share.salt for share in [curious.share, *again]}) == 9
    assert {len(share.salt) for share in again} == {SALT_BYTES}


def test_what_the_office_is_sent_holds_no_salt() -> None:
    curious = Curious((4,))
    sent = (
        curious.envelope.outlet.encode(),
        curious.envelope.sealed_seed,
        curious.envelope.commitment.encode(),
        curious.envelope.signature,
    )
    assert set(curious.envelope.__slots__) == {"outlet", "sealed_seed", "commitment", "signature"}
    assert curious.share.salt not in b"".join(sent)
    assert curious.share.salt.hex() not in repr(curious.share)
