"""The hash chain of the access log.

Invariant: an entry's hash is made of the hash before it and of every cell of its own, each with its
length, so that no two lists of cells give the same bytes; whoever changes, removes, adds or moves
an entry has to make anew every hash after it, and the log's head with them.

The chain begins at an **anchor**: the number and the hash of the entry before the first one that is
still here. A new log begins at number 0 and 32 random bytes, so nobody who is shown a hash of it
can try out what it may be made of.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.envelopes import frame

if TYPE_CHECKING:
    from collections.abc import Iterable

HASH_BYTES = 32

_DOMAIN = b"escapement/v1/log-entry"


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain.

    Attributes:
        number: Of the entry; 0 before the first.
        hash: The entry's, 32 bytes.
    """

    number: int
    hash: bytes


def beginning() -> Link:
    """Where a new log begins."""
    return Link(0, secrets.token_bytes(HASH_BYTES))


def next_link(before: Link, cells: Iterable[str]) -> Link:
    """The place of the entry that follows another.

    Args:
        before: The other's.
        cells: All of the entry's but number and hash, in the table's order.
    """
    number = before.number + 1
    made = frame(_DOMAIN, before.hash, b"%d" % number, *(cell.encode() for cell in cells))
    return Link(number, hashlib.sha256(made).digest())
