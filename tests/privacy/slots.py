"""Slot keys and directories of them, the same in every run, and altered bytes."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from hypothesis import strategies as st

from privacy.directory import Directory, Slots
from privacy.registrations import TAG_BYTES
from privacy.slot_keys import KEY_BYTES, SlotKey

ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of ristretto255 [RFC 9496, 4]."""

IDENTITY = bytes(32)
NOT_POINTS = [
    IDENTITY,
    *(bytes(length) for length in (0, 31, 33)),
    *map(
        bytes.fromhex,
        [  # [RFC 9496, A.2], one of each kind
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # not canonical
            "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # not canonical
            "0100000000000000000000000000000000000000000000000000000000000000",  # negative
            "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",  # no square
            "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",  # negative xy
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # s = -1
        ],
    ),
]
"""What no encoding of a key is: the identity, other lengths, and the RFC's invalid encodings."""


@cache
def slot_key(number: int) -> SlotKey:
    """The key pair of a customer, made of bytes that stand for a token."""
    return SlotKey.of(token_of(number))


def token_of(number: int) -> bytes:
    return hashlib.sha256(b"token %d" % number).digest()


def tag_for(number: int) -> bytes:
    return hashlib.sha256(b"home %d" % number).digest()[:TAG_BYTES]


def rows_of(*numbers: int | None) -> Slots:
    """A slot of each customer, uint8[n, 48]; blank where None."""
    rows = [
        bytes(KEY_BYTES + TAG_BYTES) if one is None else slot_key(one).public + tag_for(one)
        for one in numbers
    ]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, KEY_BYTES + TAG_BYTES)


def directory_of(batch: int, *numbers: int | None) -> Directory:
    return Directory(batch, rows_of(*numbers))


@st.composite
def altered(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes that differ from these: flipped, cut off, extended, with a part twice or gone."""
    place = draw(st.integers(0, len(data) - 1))
    end = draw(st.integers(place + 1, min(len(data), place + 60)))
    other = draw(
        st.sampled_from(
            [
                data[:place],
                data + draw(st.binary(min_size=1, max_size=60)),
                data[:place] + data[end:],
                data[:end] + data[place:],
                data[:place] + bytes([data[place] ^ draw(st.integers(1, 255))]) + data[place + 1 :],
                data[:place] + draw(st.binary(max_size=60)) + data[end:],
            ]
        )
    )
    return other if other != data else data + b"\0"
