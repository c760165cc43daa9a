"""HQ's choices of a chunk as they arrive at the office: in parts, no more than a chunk can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.base_transfers import TRANSFERS
from privacy.errors import InvalidParameter
from privacy.oblivious_transfer import CHECK_BYTES, padded
from privacy.seal_plans import CHUNK_SLOTS, EVIDENCE_MODULUS, MOST_SCORES, SCORE_MODULUS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from server.wire import office_pb2

_MOST_BITS = MOST_SCORES * (SCORE_MODULUS.bit_length() - 1) + EVIDENCE_MODULUS.bit_length() - 1
MOST_BYTES = CHECK_BYTES + TRANSFERS * padded(CHUNK_SLOTS * _MOST_BITS) // 8
"""Of choices of one chunk, whatever the plan: 24 MB."""


def read_choices(parts: Iterable[office_pb2.SealChunkPart]) -> tuple[str, int, bytes]:
    """Puts the parts together.

    Returns:
        The plan's digest, the chunk, and its choices. Nothing is verified yet.

    Raises:
        InvalidParameter: If they are malformed, or more than a chunk can have.
    """
    named: list[tuple[str, int]] = []
    data = bytearray()
    for part in parts:
        if bool(part.plan_digest) == bool(named):
            raise InvalidParameter("choices: expected the plan's digest, in the first part only")
        if part.plan_digest:
            named.append((part.plan_digest, part.chunk))
        data += part.data
        if len(data) > MOST_BYTES:
            raise InvalidParameter(f"choices: got more than {MOST_BYTES} bytes of one chunk")
    if not named:
        raise InvalidParameter("choices: got no part")
    return *named[0], bytes(data)
