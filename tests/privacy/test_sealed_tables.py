"""The entry at Y of a table of M is the code of x = Y - M, for every x, M, cut and wrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.errors import InvalidParameter
from privacy.seal_plans import (
    EVIDENCE_CUTS,
    EVIDENCE_MODULUS,
    FINE_CUTS,
    SCORE_MODULUS,
    SMALL_SCORE_MODULUS,
)
from privacy.sealed_tables import SealTable
from tests.privacy.reference_transfer import Law
from tests.privacy.seals import entries_of

MODULI = [16, 64, 256, SMALL_SCORE_MODULUS, SCORE_MODULUS]


@st.composite
def tables(draw: st.DrawFn) -> SealTable:
    """Of either kind, whose cuts may lie beyond all sums."""
    modulus = draw(st.sampled_from(MODULI))
    cuts = st.lists(st.integers(-modulus, modulus), min_size=1, max_size=15, unique=True)
    made = SealTable.of_signed if draw(st.booleans()) else SealTable.of_counts
    return made(modulus, tuple(sorted(draw(cuts))))


def edges(table: SealTable) -> list[int]:
    """Sums at which a code or the ring may turn."""
    low, high = table.lowest, table.lowest + table.modulus
    near = [low, low + 1, -1, 0, 1, high - 1, high, low - 1, high + table.modulus, 2**15, -(2**15)]
    return [*near, *(cut + step for cut in table.cuts for step in (-1, 0, 1))]


@given(tables(), st.lists(st.integers(-(2**40), 2**40), max_size=20))
def test_a_code_is_the_number_of_cuts_that_the_wrapped_sum_reaches(
    table: SealTable, sums: list[int]
) -> None:
    law = Law(table.modulus, table.bits, table.cuts, table.lowest)
    some = edges(table) + [total % 2**16 - 2**15 for total in sums]
    assert table.codes(np.array(some)).tolist() == [law.code(total) for total in some]
    assert table.codes(np.array(some) + 5 * table.modulus).tolist() == [
        law.code(total) for total in some
    ]


@given(tables(), st.integers(0, 2**16 - 1), st.integers(0, 2**32))
def test_the_entry_at_hqs_share_is_the_code_of_the_sum(
    table: SealTable, mask: int, seed: int
) -> None:
    """For every sum of the modulus under a drawn mask, and for edges under all kinds of masks."""
    entries = entries_of(table, table.packed().tobytes())
    sums = np.arange(table.lowest, table.lowest + table.modulus)
    masks = np.full(len(sums), mask, np.uint16)
    check(table, entries, sums, masks)
    random = np.random.default_rng(seed)
    some = np.array(edges(table))
    check(table, entries, some, random.integers(0, 2**16, len(some)).astype(np.uint16))
    for whole in (0, 1, table.modulus - 1, 2**16 - 1):
        check(table, entries, some, np.full(len(some), whole, np.uint16))


def check(table: SealTable, entries: np.ndarray, sums: np.ndarray, masks: np.ndarray) -> None:
    shares = (sums.astype(np.uint16) + masks).astype(np.uint16)  # in the ring of 2^16
    found = entries[table.residues(masks), table.residues(shares)]
    assert (found == table.codes(sums)).all()


@given(tables())
def test_packed_tables_have_codes_only_and_lie_in_order(table: SealTable) -> None:
    packed = table.packed()
    assert packed.dtype == np.uint8
    assert packed.flags.c_contiguous  # tables are made in place of views of its rows
    assert packed.shape == (table.modulus, table.table_bytes)
    entries = entries_of(table, packed.tobytes())
    assert entries.max() <= len(table.cuts) < 1 << table.bits
    for mask in (0, 1, table.modulus - 1):
        assert (entries[mask] == np.roll(table.codes(np.arange(table.modulus)), mask)).all()


def test_the_protocols_own_tables_have_their_sizes() -> None:
    band = SealTable.of_signed(SCORE_MODULUS, (-8, 8, 24))
    evidence = SealTable.of_counts(EVIDENCE_MODULUS, EVIDENCE_CUTS)
    fine = SealTable.of_signed(SCORE_MODULUS, FINE_CUTS)
    sizes = [(t.bits, t.codes_a_byte, t.table_bytes, t.choice_bits, t.all_codes) for t in
             (band, evidence, fine)]  # fmt: skip
    assert sizes == [(2, 4, 512, 11, 0x55), (2, 4, 64, 8, 0x55), (4, 2, 1024, 11, 0x11)]


def test_codes_of_evidence_are_none_few_some_and_enough() -> None:
    table = SealTable.of_counts(EVIDENCE_MODULUS, EVIDENCE_CUTS)
    assert table.codes(np.array([0, 1, 2, 3, 5, 6, 42, 252, 255])).tolist() == [
        0, 1, 1, 2, 2, 3, 3, 3, 3,
    ]  # fmt: skip
    assert table.codes(np.array([256, 257])).tolist() == [0, 1]  # why slots are marked


def test_a_wrapped_score_turns_the_worst_into_the_best() -> None:
    """Which is why slots of too many outlets are marked."""
    table = SealTable.of_signed(SCORE_MODULUS, (-8, 8, 24))
    assert table.codes(np.array([-1024, 1023, 1024, -1025])).tolist() == [0, 3, 0, 3]


@pytest.mark.parametrize("cuts", [(), tuple(range(16))])
def test_cuts_of_more_codes_than_four_bits_have_are_refused(cuts: tuple[int, ...]) -> None:
    with pytest.raises(InvalidParameter, match=f"cuts: got {len(cuts)}, expected 1 to 15"):
        SealTable.of_signed(64, cuts)
