"""Whatever bytes a party is sent: an error of our own, and nothing altered is taken.

A bounded part of `python -m benchmarks.fuzz`, other bytes at every run; a failure shows the bytes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from privacy.errors import PrivacyError
from tests.fuzzing import Misread, Reader, readers, try_altered
from tests.fuzzing_calls import callers

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = 400


@pytest.mark.parametrize("name", readers())
def test_a_reader_takes_no_altered_bytes_and_ends_with_an_error_of_ours(name: str) -> None:
    reader, chance = readers()[name], random.SystemRandom()
    for example in reader.examples:
        if reader.written is not None:
            assert reader.written(reader.read(example)) == example
    for _ in range(INPUTS):
        try_altered(reader, chance)


@pytest.mark.parametrize("name", callers())
def test_a_call_or_settings_file_is_answered_or_refused_whatever_it_holds(name: str) -> None:
    chance = random.SystemRandom()
    for _ in range(INPUTS // 4):
        try_altered(callers()[name], chance)


def _traceback(data: bytes) -> bytes:
    raise KeyError(data)


def _refuses_short(data: bytes) -> bytes:
    if len(data) < 3:
        raise PrivacyError
    return data


@pytest.mark.parametrize(
    ("read", "written"),
    [(_traceback, None), (_refuses_short, None), (_refuses_short, lambda made: made[:3])],
    ids=["a traceback", "what is signed is taken", "two ways to write one thing"],
)
def test_a_reader_at_fault_is_found(
    read: Callable[[bytes], bytes], written: Callable[[bytes], bytes] | None
) -> None:
    reader, chance = Reader("faulty", (b"abcdef",), read, written), random.SystemRandom()
    with pytest.raises(Misread, match="faulty"):
        any(try_altered(reader, chance) and False for _ in range(INPUTS))
