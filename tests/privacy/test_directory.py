"""A directory grows and blanks, nothing else; what is altered is refused or has another digest."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.directory import (
    SLOT_BYTES,
    Directory,
    DirectoryChanges,
    DirectoryPosition,
    DirectoryRefused,
)
from privacy.envelopes import digest
from privacy.slot_keys import KEY_BYTES
from tests.privacy.slots import altered, directory_of, rows_of, slot_key, tag_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

BEFORE = directory_of(3, 1, None, 2, 3)
AFTER = directory_of(5, 1, None, None, 3, 4, 5)
CHANGES = DirectoryChanges.between(BEFORE, AFTER)


def keys_of(*keys: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)


def same(one: Directory, other: Directory) -> bool:
    return one.digest == other.digest and one.encode() == other.encode()


# The format


def test_the_encoding_of_a_directory_is_frozen() -> None:
    head = b'escapement/v1/directory\n{"batch": 3, "slots": 4}\n'
    body = b"".join(
        bytes(48) if one is None else slot_key(one).public + tag_for(one) for one in (1, None, 2, 3)
    )
    assert BEFORE.encode() == head + body
    assert BEFORE.digest == digest(head + body)
    assert BEFORE.digest == "63ab2414bcb828b9b34cf71051c4467f9752c1137103c432ccff02efac972d7e"


def test_the_encoding_of_changes_is_frozen() -> None:
    head = (
        b'escapement/v1/directory-changes\n{"added": 2, "base": "%s", "batch": 5, "blanked": 1}\n'
        % BEFORE.digest.encode()
    )
    added = b"".join(slot_key(one).public + tag_for(one) for one in (4, 5))
    assert CHANGES.encode() == head + b"\2\0\0\0" + added
    assert digest(CHANGES.encode()) == (
        "8c2c10ec392a92d8bd3a71505430d29f52a04eec289f3a8c278477224a80c685"
    )


def test_the_empty_directory_is_frozen() -> None:
    empty = Directory.empty()
    assert (empty.batch, empty.slots) == (0, 0)
    assert empty.digest == "34452168e932f155f43ade0c243e577dae26a5034998f6c40494f88c0d568a3f"
    assert same(Directory.decode(empty.encode()), empty)
    assert DirectoryPosition() == DirectoryPosition(0, 0, "")


def test_a_slot_is_48_bytes_and_a_day_is_4_a_blanked_slot_and_48_a_new_one() -> None:
    assert SLOT_BYTES == 48
    heads = len(DirectoryChanges.between(BEFORE, BEFORE).encode())
    assert len(CHANGES.encode()) == heads + 1 * 4 + 2 * 48
    assert len(AFTER.encode()) - len(BEFORE.encode()) == 2 * 48


def test_whole_directories_and_changes_are_told_apart() -> None:
    assert DirectoryChanges.are_in(CHANGES.encode())
    assert not DirectoryChanges.are_in(AFTER.encode())
    with pytest.raises(DirectoryRefused):
        Directory.decode(CHANGES.encode())
    with pytest.raises(DirectoryRefused):
        DirectoryChanges.decode(AFTER.encode())


# What is in one


def test_keys_tags_and_blank_slots_are_found_where_they_are() -> None:
    assert BEFORE.slots == 4
    assert BEFORE.keys[2].tobytes() == slot_key(2).public
    assert BEFORE.home_tags[2].tobytes() == tag_for(2)
    assert BEFORE.blank.tolist() == [False, True, False, False]


def test_a_key_is_found_in_its_slot_and_one_that_is_not_listed_nowhere() -> None:
    wanted = keys_of(*(slot_key(one).public for one in (3, 9, 1, 2, 1)))
    assert BEFORE.places(wanted).tolist() == [3, -1, 0, 2, 0]
    assert Directory.empty().places(wanted).tolist() == [-1] * 5
    assert BEFORE.places(wanted[:0]).tolist() == []


def test_keys_are_found_however_numpy_laid_them_out() -> None:
    wanted = keys_of(*(slot_key(one).public for one in (3, 9, 1, 2)))
    for rows in (BEFORE.rows, np.asfortranarray(BEFORE.rows), BEFORE.rows.repeat(2, axis=0)[::2]):
        for asked in (wanted, np.asfortranarray(wanted), wanted.repeat(2, axis=1)[:, ::2]):
            assert Directory(3, rows).places(asked).tolist() == [3, -1, 0, 2]
            assert Directory(3, rows).digest == BEFORE.digest


def test_finding_one_person_copies_no_directory() -> None:
    """A desk looks people up one by one: in a million slots a copy took 14 ms of each look-up."""
    rows = np.random.default_rng(1).integers(0, 256, (50_000, SLOT_BYTES), np.uint8)
    directory, wanted = Directory(1, rows), rows[77:78, :KEY_BYTES].copy()
    tracemalloc.start()
    try:
        assert directory.places(wanted).tolist() == [77]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < rows.nbytes / 100


@pytest.mark.parametrize("numbers", [(None,), (1, None), (None, None, None), (1, None, 2, None)])
def test_a_blank_slot_is_found_by_nobody(numbers: Sequence[int | None]) -> None:
    directory = directory_of(1, *numbers)
    zeros = bytes(KEY_BYTES)
    assert directory.places(keys_of(zeros, slot_key(9).public, zeros)).tolist() == [-1] * 3


# Bytes as numpy sees them: zeros in front, within and behind, high bits, equal beginnings.
crafted = st.one_of(
    st.lists(st.sampled_from([0, 0, 0, 1, 127, 128, 255]), min_size=32, max_size=32).map(bytes),
    st.binary(max_size=3).map(lambda start: start.ljust(32, b"\0")),
    st.binary(max_size=3).map(lambda end: end.rjust(32, b"\0")),
    st.binary(max_size=2).map(lambda end: b"\x7f" * 29 + end.rjust(3, b"\0")),
)


@given(st.lists(crafted, unique=True, max_size=12), st.lists(crafted, max_size=12))
def test_keys_are_compared_as_all_of_their_bytes(listed: list[bytes], more: list[bytes]) -> None:
    rows = np.zeros((len(listed), SLOT_BYTES), np.uint8)
    rows[:, :KEY_BYTES] = keys_of(*listed)
    directory = Directory(1, rows)
    expected = {key: slot for slot, key in enumerate(listed) if any(key)}
    wanted = [*listed, *more]
    assert directory.places(keys_of(*wanted)).tolist() == [expected.get(key, -1) for key in wanted]
    assert directory.blank.tolist() == [not any(key) for key in listed]


@given(st.lists(crafted, min_size=1, max_size=12), st.data())
def test_a_key_that_stands_for_two_slots_is_refused(
    listed: list[bytes], data: st.DataObject
) -> None:
    twice = data.draw(st.permutations([*listed, data.draw(st.sampled_from(listed))]))
    keys = [key for key in twice if any(key)]
    rows = np.zeros((len(twice), SLOT_BYTES), np.uint8)
    rows[:, :KEY_BYTES] = keys_of(*twice)
    if len(set(keys)) == len(keys):
        assert Directory(1, rows).slots == len(twice)
    else:
        with pytest.raises(DirectoryRefused, match="a key stands for two slots"):
            Directory(1, rows)


def test_many_blank_slots_are_no_duplicates() -> None:
    assert directory_of(1, None, 1, None, None, 2).slots == 5


def test_a_slot_with_a_home_and_no_key_is_refused() -> None:
    for place in (KEY_BYTES, SLOT_BYTES - 1):
        rows = rows_of(1, None).copy()
        rows[1, place] = 1
        with pytest.raises(DirectoryRefused, match="a home and no key"):
            Directory(1, rows)


@pytest.mark.parametrize("shape", [(2, SLOT_BYTES - 1), (2, SLOT_BYTES + 1), (SLOT_BYTES,)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DirectoryRefused, match="48 bytes a slot"):
        Directory(1, np.zeros(shape, np.uint8))


# Bytes from outside


@given(st.integers(0, 2**53), st.lists(st.none() | st.integers(0, 30), max_size=12, unique=True))
def test_a_directory_is_read_as_it_was_made(batch: int, numbers: list[int | None]) -> None:
    made = directory_of(batch, *numbers)
    read = Directory.decode(made.encode())
    assert same(read, made)
    assert (read.rows == made.rows).all()
    assert read.batch == batch


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for start in (b"", AFTER.encode()[:24], CHANGES.encode()[:32]):
        for read in (Directory.decode, DirectoryChanges.decode):
            with pytest.raises(DirectoryRefused):
                read(start + data)


@given(altered(AFTER.encode()))
def test_an_altered_directory_is_refused_or_has_another_digest(data: bytes) -> None:
    try:
        read = Directory.decode(data)
    except DirectoryRefused:
        return
    assert read.encode() == data
    assert read.digest == digest(data) != AFTER.digest


@given(altered(CHANGES.encode()))
def test_altered_changes_are_refused_or_make_a_directory_of_another_digest(data: bytes) -> None:
    try:
        made = DirectoryChanges.decode(data).applied(BEFORE)
    except DirectoryRefused:
        return
    assert made.digest != AFTER.digest


HEAD = {"batch": 5, "slots": 6}
CHANGES_HEAD = {"added": 2, "base": BEFORE.digest, "batch": 5, "blanked": 1}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def with_head(data: bytes, head: bytes) -> bytes:
    magic, _, body = data.split(b"\n", 2)
    return magic + b"\n" + head + b"\n" + body


@given(st.sampled_from(sorted(CHANGES_HEAD)), JSON)
def test_a_field_of_another_value_is_refused_or_read_as_it_is(name: str, value: object) -> None:
    head = json.dumps({**CHANGES_HEAD, name: value}, sort_keys=True).encode()
    data = with_head(CHANGES.encode(), head)
    try:
        assert DirectoryChanges.decode(data).encode() == data
    except DirectoryRefused:
        assert data != CHANGES.encode()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"batch": 5}',
        b'{"batch": 5, "slots": 6, "more": 1}',
        b'{"batch": 5, "slots": 6.0}',
        b'{"batch": true, "slots": 6}',
        b'{"batch": "5", "slots": 6}',
        b'{"batch": -1, "slots": 6}',
        b'{"batch": 9007199254740993, "slots": 6}',
        b'{"batch": 5, "slots": 7}',
        b'{"batch": 5, "slots": 999999999999999}',
        b'{"batch": 5,"slots": 6}',
        b'{"slots": 6, "batch": 5}',
        b'{"batch": 4, "batch": 5, "slots": 6}',
        b' {"batch": 5, "slots": 6}',
        '{"batch": 5, "slots": 6}'.encode("utf-16"),
        b"\xff\xfe",
    ],
)
def test_a_head_outside_the_form_is_refused(head: bytes) -> None:
    assert with_head(AFTER.encode(), json.dumps(HEAD).encode()) == AFTER.encode()
    for data in (AFTER.encode(), CHANGES.encode()):
        for read in (Directory.decode, DirectoryChanges.decode):
            with pytest.raises(DirectoryRefused, match="malformed; fetch it again"):
                read(with_head(data, head))


# One that goes on from another


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (directory_of(3, 1, None, 9, 3), "has another one"),  # re-keyed
        (directory_of(3, 1, None, 3, 2), "has another one"),  # two slots changed places
        (directory_of(3, 1, 9, 2, 3), "has another one"),  # un-blanked
        (directory_of(4, None, 1, 2, 3), "has another one"),
        (directory_of(9, 1, None, 2), "went back"),  # shrunken
        (directory_of(9), "went back"),
        (directory_of(2, 1, None, 2, 3), "went back"),  # of an earlier batch
        (directory_of(2, 1, None, 2, 3, 4), "went back"),
    ],
)
def test_what_does_more_than_blank_and_add_is_refused(after: Directory, why: str) -> None:
    with pytest.raises(DirectoryRefused, match=why):
        after.check_goes_on(BEFORE)
    with pytest.raises(DirectoryRefused, match=why):
        DirectoryChanges.between(BEFORE, after)


@given(st.integers(0, 3), st.integers(0, SLOT_BYTES - 1), st.integers(1, 255))
def test_no_byte_of_a_slot_may_change(slot: int, place: int, change: int) -> None:
    """Re-keyed by a byte, re-homed by a byte, or un-blanked by one."""
    rows = BEFORE.rows.copy()
    rows[slot, place] ^= change
    try:
        after = Directory(9, rows)
    except DirectoryRefused:  # a home and no key
        return
    with pytest.raises(DirectoryRefused, match="has another one"):
        after.check_goes_on(BEFORE)


def test_a_slot_that_keeps_its_key_and_loses_its_home_is_refused() -> None:
    rows = BEFORE.rows.copy()
    rows[0, KEY_BYTES:] = 0
    with pytest.raises(DirectoryRefused, match="has another one"):
        Directory(9, rows).check_goes_on(BEFORE)


def test_a_directory_goes_on_from_itself_from_nothing_and_by_a_key_that_returns() -> None:
    for before in (AFTER, BEFORE, Directory.empty()):
        AFTER.check_goes_on(before)
    directory_of(6, 1, None, None, 3, 4, 5, 2).check_goes_on(AFTER)


# Random histories: each day some slots blank, some customers come, once or again


@st.composite
def histories(draw: st.DrawFn) -> list[Directory]:
    slots: list[int | None] = []
    days = [Directory.empty()]
    batch = 0
    for _ in range(draw(st.integers(1, 5))):
        gone = draw(st.sets(st.sampled_from(range(len(slots))))) if slots else set()
        slots = [None if place in gone else one for place, one in enumerate(slots)]
        fresh = draw(st.lists(st.integers(0, 15) | st.none(), max_size=5, unique=True))
        slots += [one for one in fresh if one is None or one not in slots]
        batch += draw(st.integers(0, 3))
        days.append(directory_of(batch, *slots))
    return days


@given(histories(), st.data())
def test_changes_between_any_two_days_make_the_later_of_the_earlier(
    days: list[Directory], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(days) - 1))
    then = data.draw(st.integers(first, len(days) - 1))
    changes = DirectoryChanges.between(days[first], days[then])
    made = changes.applied(days[first])
    assert same(made, days[then])
    read = DirectoryChanges.decode(changes.encode())
    assert read.encode() == changes.encode()
    assert same(read.applied(days[first]), days[then])
    made.check_goes_on(days[first])


@given(histories())
def test_every_day_finds_who_is_in_it(days: list[Directory]) -> None:
    for day in days:
        everybody = keys_of(*(slot_key(one).public for one in range(16)))
        found = day.places(everybody).tolist()
        for number, slot in enumerate(found):
            held = [row.tobytes() == slot_key(number).public for row in day.keys]
            assert slot == (held.index(True) if any(held) else -1)


def test_changes_of_another_directory_are_refused() -> None:
    for other in (AFTER, Directory.empty(), directory_of(4, 1, None, 2, 3)):
        with pytest.raises(DirectoryRefused, match="changes of another one; fetch it whole"):
            CHANGES.applied(other)


@pytest.mark.parametrize(
    "changes",
    [
        replace(CHANGES, blanked=np.array([4], np.uint32)),  # no slot
        replace(CHANGES, blanked=np.array([2**32 - 1], np.uint32)),
        replace(CHANGES, blanked=np.array([2, 2], np.uint32)),  # twice
        replace(CHANGES, blanked=np.array([3, 2], np.uint32)),  # descending
        replace(CHANGES, blanked=np.array([1, 2], np.uint32)),  # blank already
        replace(CHANGES, batch=2),  # goes back
        replace(CHANGES, added=rows_of(4, 4)),
        replace(CHANGES, added=rows_of(4, 1)),
    ],
)
def test_changes_that_nobody_makes_are_refused(changes: DirectoryChanges) -> None:
    with pytest.raises(DirectoryRefused):
        DirectoryChanges.decode(changes.encode()).applied(BEFORE)


def test_a_key_that_was_blanked_returns_in_a_new_slot_only() -> None:
    """Also within one day's changes: that the office asks for proofs of both is its own rule."""
    made = replace(CHANGES, blanked=np.array([2], np.uint32), added=rows_of(2)).applied(BEFORE)
    assert made.places(keys_of(slot_key(2).public)).tolist() == [4]
    assert made.blank.tolist() == [False, True, True, False, False]


def test_applying_changes_leaves_what_they_are_applied_to_as_it_was() -> None:
    was = BEFORE.encode()
    CHANGES.applied(BEFORE)
    assert BEFORE.encode() == was
