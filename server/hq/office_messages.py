"""Messages to the office: sets of answers, HQ's choices, and what changed in a directory.

Invariant: no part of a stream is longer than 1 MiB.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from privacy.directory import SLOT_BYTES
from server.wire import office_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from privacy.directory import DirectoryChanges
    from privacy.publications import Countersigned
    from privacy.registrations import Evidence
    from privacy.two_key_sum import Carried, Envelope

_PART_BYTES = 2**20 - 2**12
"""Room for what protobuf adds, below the 1 MiB that a part may have."""
_EVIDENCE_BYTES = 256
"""More than the evidence of one slot has."""


def set_message(
    plan_digest: str, envelopes: Sequence[Envelope], carried: Sequence[Carried] = ()
) -> office_pb2.UnlockRequest:
    """A set of answers."""
    return office_pb2.UnlockRequest(
        plan_digest=plan_digest,
        envelopes=[envelope_message(envelope) for envelope in envelopes],
        carried=[
            office_pb2.CarriedEnvelope(
                envelope=envelope_message(absent.envelope), plan_digest=absent.plan_digest
            )
            for absent in carried
        ],
    )


def choice_parts(
    plan_digest: str, chunk: int, choices: bytes
) -> Iterator[office_pb2.SealChunkPart]:
    """HQ's choices of a chunk as they travel; the first part says of which."""
    for start in range(0, len(choices), _PART_BYTES):
        data = choices[start : start + _PART_BYTES]
        if start:
            yield office_pb2.SealChunkPart(data=data)
        else:
            yield office_pb2.SealChunkPart(plan_digest=plan_digest, chunk=chunk, data=data)


def envelope_message(envelope: Envelope) -> office_pb2.Envelope:
    """What the office sees of an answer: neither its vector nor its salt."""
    return office_pb2.Envelope(
        outlet=envelope.outlet,
        sealed_seed=envelope.sealed_seed,
        commitment=envelope.commitment,
        signature=envelope.signature,
    )


def directory_parts(
    network: bytes,
    changes: DirectoryChanges,
    evidence: Mapping[int, Evidence],
    last: Countersigned | None,
) -> Iterator[office_pb2.DirectoryPart]:
    """A directory's changes as they travel; what is blanked is told by its evidence."""
    said = None
    if last is not None:
        said = office_pb2.CountersignedPublication(payload=last.payload, signature=last.signature)
    head = office_pb2.DirectoryHead(
        network=network, base=changes.base, batch=changes.batch, last=said
    )
    yield office_pb2.DirectoryPart(head=head)
    slots = _PART_BYTES // SLOT_BYTES
    for start in range(0, len(changes.added), slots):
        yield office_pb2.DirectoryPart(added=changes.added[start : start + slots].tobytes())
    shown = iter(evidence.items())
    while some := list(islice(shown, _PART_BYTES // _EVIDENCE_BYTES)):
        yield office_pb2.DirectoryPart(evidence=[_shown(*one) for one in some])


def _shown(slot: int, evidence: Evidence) -> office_pb2.SlotEvidence:
    return office_pb2.SlotEvidence(
        slot=slot,
        act=int(evidence.act),
        batch=evidence.batch,
        since=evidence.since,
        bound=evidence.bound,
        proof=evidence.proof,
    )
