"""Keys that print nothing, digests of one form, and what a copy of the ledger must be."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.budget import Ledger, LedgerBroken, LedgerPosition, Policy
from privacy.envelopes import SealKey, SigningKey, VerifyKey, digest, is_digest
from privacy.ledger_copies import LedgerCopy, unproven_charges
from privacy.loss import EpsilonDelta, Rho
from privacy.plans import NightPlan, sign
from privacy.purposes import Purpose

NAME = digest(b"anything")


@given(st.binary(max_size=99))
def test_what_digest_writes_is_a_digest(data: bytes) -> None:
    assert is_digest(digest(data))


@pytest.mark.parametrize(
    "text",
    ["", NAME[:-2], NAME + "00", NAME[:-1], NAME.upper(), NAME[:-2] + "zz", " " + NAME, NAME + "\n",
     NAME[:2] + " " + NAME[2:], "z" * 64, "A" * 64, NAME[:-1] + "F"],
)  # fmt: skip
def test_a_digest_has_one_form(text: str) -> None:
    """32 bytes in lower-case hex: anything else is another name, and no digest."""
    assert not is_digest(text)


def test_no_secret_key_is_printed_nor_a_key_that_was_renewed() -> None:
    old = SigningKey.generate()
    signing = SigningKey.from_bytes(SigningKey.generate().to_bytes(), (old.public.raw,))
    assert repr(signing) == "SigningKey()"
    sealing = SealKey.from_bytes(SealKey.generate().to_bytes(), (SealKey.generate(),))
    assert repr(sealing) == "SealKey()"


def test_a_party_is_who_its_last_key_says_whichever_it_had_before() -> None:
    """Two cards of one party, one of them older, name one party."""
    old, raw = SigningKey.generate().public.raw, SigningKey.generate().to_bytes()
    key = SigningKey.from_bytes(raw).public
    assert VerifyKey(key.raw, (old,)) == key != VerifyKey(old)
    whole = SigningKey.from_bytes(raw)
    assert SigningKey(whole._key, (old,)) == whole


POLICY = Policy(EpsilonDelta(4.0, 1e-6), {Purpose.TRAINING: Fraction(1, 2)})
OFFICE = SigningKey.generate()
COST = Rho(1, 1000)


def copied(**changes: Any) -> bytes:
    """A copy's file whose head says something else."""
    head, *lines = LedgerCopy("HQ", LEDGER.entries).encode().splitlines()
    changed = json.dumps({**json.loads(head), **changes}).encode()
    return b"\n".join([changed, *lines]) + b"\n"


LEDGER = (
    Ledger(POLICY)
    .reserve("a", {Purpose.TRAINING: COST}, 1)
    .charge("a", "a/1", Purpose.TRAINING, COST, 2)
    .close("a", 3)
    .reserve("b", {Purpose.TRAINING: COST}, 4)
)


@pytest.mark.parametrize(
    "seen", [[0, NAME], [-1, NAME], [True, NAME], [1.0, NAME], ["1", NAME], [1, "x"], [1, ""]]
)
def test_a_position_in_a_copy_is_a_number_of_entries_and_a_digest(seen: list[object]) -> None:
    """Where one alone of the two is malformed, too."""
    good = LedgerCopy.decode(copied(seen=[[1, NAME]]))
    assert good.seen == (LedgerPosition(1, NAME),)
    with pytest.raises(LedgerBroken, match="malformed position"):
        LedgerCopy.decode(copied(seen=[[1, NAME], seen]))


def test_a_copy_in_another_form_is_refused_and_other_line_ends_are_not() -> None:
    """Whether its first line sorts before or after the one that was written."""
    data = copied()
    others = [data.replace(b"{", b"{ ", 1), data.replace(b": ", b":", 1)]
    assert others[0] < data < others[1]
    for other in others:
        with pytest.raises(LedgerBroken, match="not as it was written"):
            LedgerCopy.decode(other)
    assert LedgerCopy.decode(data.replace(b"\n", b"\r\n")) == LedgerCopy("HQ", LEDGER.entries)


def test_a_copy_prints_no_plan() -> None:
    plan = sign(NightPlan("b", "2026-01-01", (), 4, LEDGER.head, 9), OFFICE)
    assert "Signed" not in repr(LedgerCopy("HQ", (), (), plan))


@pytest.mark.parametrize(("length", "head"), [(1, None), (4, None), (4, "0" * 64), (4, "f" * 64)])
def test_only_a_plan_that_names_this_very_ledger_proves_what_was_charged_before(
    length: int, head: str | None
) -> None:
    """A night that was closed before the plan is over; of none is a charge of nothing told."""
    named = head or LEDGER.entries[length - 1].digest
    plan = sign(NightPlan("b", "2026-01-01", (), length, named, 9), OFFICE)
    found = unproven_charges(LEDGER, [LedgerCopy("HQ", LEDGER.entries, (), plan)], OFFICE.public)
    assert found == {Purpose.TRAINING: COST}  # of the second night, which nothing closed
    closed = LEDGER.charge("b", "b/1", Purpose.TRAINING, COST, 5).close("b", 6)
    over = sign(NightPlan("c", "2026-01-01", (), closed.length, closed.head, 9), OFFICE)
    copies = [LedgerCopy("HQ", closed.entries, (), over)]
    assert unproven_charges(closed, copies, OFFICE.public) == {}


def test_of_a_ledger_with_one_entry_the_plan_that_names_it_proves_it() -> None:
    one = Ledger(POLICY).close("none", 1).reserve("a", {Purpose.TRAINING: COST}, 1)
    assert one.length == 1
    later = one.close("a", 2)
    plan = sign(NightPlan("a", "2026-01-01", (), 1, one.head, 9), OFFICE)
    copies = [LedgerCopy("HQ", later.entries, (), plan)]
    assert unproven_charges(later, copies, OFFICE.public) == {Purpose.TRAINING: COST}
