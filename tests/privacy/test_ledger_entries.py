"""A ledger's entries: their one form, the chain that they make, and what each of them costs."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from fractions import Fraction

import pytest

from privacy.budget import (
    GENESIS,
    YEAR_SECONDS,
    Ledger,
    LedgerAct,
    LedgerBroken,
    LedgerEntry,
    LedgerPosition,
    Policy,
)
from privacy.envelopes import digest
from privacy.errors import InvalidParameter
from privacy.loss import EpsilonDelta, Rho
from privacy.purposes import Purpose

POLICY = Policy(EpsilonDelta(1.0, 1e-6), {Purpose.MOMENTS: Fraction(1, 2)})
COST = Rho(1, 1000)


def night(ledger: Ledger, name: str, at: int = 10) -> Ledger:
    """A ledger with one more night that reserved and stays open."""
    return ledger.reserve(name, {Purpose.MOMENTS: COST}, at)


LEDGER = night(Ledger(POLICY), "n1").charge("n1", "r1", Purpose.MOMENTS, COST, 11)


def chained(entry: LedgerEntry, **changes: object) -> LedgerEntry:
    """An entry with other content, whose digest is that of its content."""
    other = replace(entry, **changes)  # type: ignore[arg-type]  # fields by name
    return replace(other, digest=other.compute_digest())


def test_a_year_is_365_days_to_the_second() -> None:
    assert dt.timedelta(seconds=YEAR_SECONDS) == dt.timedelta(days=365)


def test_one_negative_share_among_others_is_refused() -> None:
    """It would leave room for more than the whole elsewhere."""
    shares = {Purpose.MOMENTS: Fraction(-1, 2), Purpose.TRAINING: Fraction(1)}
    with pytest.raises(InvalidParameter, match="none negative"):
        Policy(EpsilonDelta(1.0, 1e-6), shares)


def test_a_ledger_without_entries_has_a_head_of_the_form_of_every_other() -> None:
    assert Ledger(POLICY).position == LedgerPosition() == (0, GENESIS)
    assert len(GENESIS) == len(digest(b""))
    assert int(GENESIS, 16) == 0


def test_the_form_in_which_an_entry_travels_is_frozen() -> None:
    """HQ's copies and every office read it, and their releases differ."""
    entry = LEDGER.entries[1]
    assert entry.encode() == (
        b'{"act":"charge","at":11,"digest":"%s","night":"n1","noiseless":false,"previous":"%s",'
        b'"purpose":"moments","release":"r1","rho":"1/1000","sequence":1}'
        % (entry.digest.encode(), LEDGER.entries[0].digest.encode())
    )
    assert LedgerEntry.decode(entry.encode()) == entry


def test_an_entry_in_any_other_form_is_refused() -> None:
    data = LEDGER.entries[1].encode()
    for other in (
        data.replace(b"{", b"{ ", 1),
        data.replace(b":", b": ", 1),
        data + b" ",
        b" " + data,
        data.replace(b'"at":11', b'"at":11.0'),
        data.replace(b'"1/1000"', b'"2/2000"'),
    ):
        with pytest.raises(LedgerBroken):
            LedgerEntry.decode(other)


ANOTHER = {
    "a sequence before": {"sequence": 0},
    "a sequence after": {"sequence": 2},
    "a head below all": {"previous": "0" * 64},
    "a head above all": {"previous": "f" * 64},
}


@pytest.mark.parametrize("changes", ANOTHER.values(), ids=ANOTHER)
def test_an_entry_of_another_place_or_after_another_head_does_not_follow(
    changes: dict[str, object],
) -> None:
    """Though its digest is that of its content."""
    first, second = LEDGER.entries
    forged = chained(second, **changes)
    with pytest.raises(LedgerBroken, match="entry 1 does not follow"):
        Ledger.of(POLICY, [first, forged])
    with pytest.raises(LedgerBroken, match="entry 1 does not follow"):
        LedgerPosition().followed_by([first, forged])


@pytest.mark.parametrize("wrong", ["0" * 64, "f" * 64])
def test_an_entry_whose_digest_is_not_of_its_content_does_not_follow(wrong: str) -> None:
    first, second = LEDGER.entries
    assert LedgerPosition().followed_by([first, second]) == LEDGER.position
    for entries in ([replace(first, digest=wrong)], [first, replace(second, digest=wrong)]):
        with pytest.raises(LedgerBroken, match="does not follow"):
            Ledger.of(POLICY, entries)
        with pytest.raises(LedgerBroken, match="does not follow"):
            LedgerPosition().followed_by(entries)


def test_a_reservation_for_no_purpose_is_no_entry_of_a_ledger() -> None:
    forged = chained(LEDGER.entries[0], purpose=None)
    with pytest.raises(LedgerBroken, match="names no purpose"):
        Ledger(POLICY).followed_by(forged)


def test_a_ledger_goes_on_without_copying_what_it_has() -> None:
    """No entry costs more the longer the ledger is."""
    after = LEDGER.close("n1", 12)
    assert after._record is LEDGER._record
    assert LEDGER.length == 2
    assert len(LEDGER.entries) == 2


def test_a_ledger_prints_how_far_it_is_and_none_of_its_entries() -> None:
    later = night(LEDGER, "n2").lose(20)
    expected = f"Ledger(policy={POLICY!r}, length={later.length}, head={later.head!r})"
    assert repr(later) == expected


OPERATORS = {
    "clock": lambda ledger: ledger.set_clock(5),
    "reconcile": lambda ledger: ledger.reconcile(20, {}),
    "lose": lambda ledger: ledger.lose(20),
}


@pytest.mark.parametrize("act", OPERATORS)
def test_after_an_operators_entry_no_night_is_open(act: str) -> None:
    """What a night of before still held could else be charged beside what was brought back."""
    after: Ledger = OPERATORS[act](night(night(LEDGER, "n2"), "n3"))
    assert after.open_nights() == ()
    closed = [entry.night for entry in after.entries if entry.act is LedgerAct.CLOSE]
    assert closed == ["n1", "n2", "n3"]
    assert [entry.sequence for entry in after.entries] == list(range(after.length))
    assert Ledger.of(POLICY, after.entries) == after


def test_only_what_spends_has_a_cost() -> None:
    """Who adds up a copy's costs finds a year's: a close, a clock and a return are free."""
    ledger = night(LEDGER, "n2").set_clock(5).reconcile(20, {Purpose.MOMENTS: COST}).close("n2", 21)
    free = {LedgerAct.CLOSE, LedgerAct.CLOCK}
    for entry in ledger.entries:
        costs = entry.act not in free and entry.purpose is not None
        assert entry.rho == (COST if costs else 0)
    assert {entry.act for entry in ledger.entries} >= {*free, LedgerAct.RECONCILE}
