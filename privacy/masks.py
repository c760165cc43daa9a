"""Masks: AES-256 in counter mode, so that a share alone is uniform.

y = x + AES-256-CTR(seed) modulo 2^k, with 32 fresh random bytes a share. Whoever holds y without
the seed sees uniform residues; whoever holds the seed without y sees nothing of x. Masks add up
like the shares do: the sum of the masks takes them all off at once.
"""

from __future__ import annotations

import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from typing_extensions import override

from privacy.errors import InvalidParameter
from privacy.fixed_point import Residues, ring_type

SEED_BYTES = 32


class Seed(bytes):
    """A mask's seed. Its bytes never appear in a message or a log."""

    @override
    def __repr__(self) -> str:
        return "Seed(<secret>)"

    __str__ = __repr__

    @classmethod
    def of(cls, raw: bytes) -> Seed:
        """Takes bytes that were a seed before.

        Raises:
            InvalidParameter: If they are of another length.
        """
        if len(raw) != SEED_BYTES:
            raise InvalidParameter(f"seed: got {len(raw)} bytes, expected {SEED_BYTES}")
        return cls(raw)

    @classmethod
    def fresh(cls) -> Seed:
        """Draws a seed from the operating system, for one share only."""
        return cls(secrets.token_bytes(SEED_BYTES))


def mask(seed: bytes, dimension: int, ring_bits: int) -> Residues:
    """Expands a seed into a mask.

    Args:
        seed: 32 bytes, used for this one mask.
        dimension: d.
        ring_bits: k.

    Returns:
        Uniform residues modulo 2^k, [d], the little-endian reading of the AES-256-CTR key stream.
    """
    key = Seed.of(seed)
    kind = ring_type(ring_bits)
    # A key is used for one stream only, so that the counter may start at zero.
    stream = Cipher(algorithms.AES(bytes(key)), modes.CTR(bytes(16))).encryptor()
    return np.frombuffer(stream.update(bytes(dimension * kind.itemsize)), dtype=kind).copy()
