"""A directory as it arrives at the office: in parts, as what changed, with evidence for it.

What becomes blank is not said apart: it is what there is evidence of a withdrawal for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privacy.directory import SLOT_BYTES, DirectoryChanges, DirectoryRefused
from privacy.publications import Countersigned
from privacy.registrations import Evidence, RegistrationAct
from server.office.directory_rules import MOST_SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from server.wire import office_pb2

Shown = tuple[bytes, DirectoryChanges, dict[int, Evidence], Countersigned | None]


def read_directory(parts: Iterable[office_pb2.DirectoryPart]) -> Shown:
    """Puts the parts together.

    Returns:
        Network, changes, evidence by slot, and what HQ was told last; as
        `Publications.countersign_directory` takes them. Nothing is verified yet.

    Raises:
        DirectoryRefused: If they are malformed, or more than the office can hold.
    """
    head: office_pb2.DirectoryHead | None = None
    added, evidence = bytearray(), dict[int, Evidence]()
    for part in parts:
        if part.HasField("head") != (head is None):
            raise DirectoryRefused("directory: expected one head, in its first part")
        head = part.head if head is None else head
        added += part.added
        for raw in part.evidence:
            if raw.slot in evidence or raw.slot >= MOST_SLOTS:
                raise DirectoryRefused(f"slot {raw.slot}: has evidence twice, or cannot be")
            evidence[raw.slot] = _evidence(raw)
        if len(added) > MOST_SLOTS * SLOT_BYTES:
            raise DirectoryRefused(f"directory: got more than {MOST_SLOTS} slots")
    if head is None or len(added) % SLOT_BYTES:
        raise DirectoryRefused(f"directory: expected a head, and slots of {SLOT_BYTES} bytes")
    blanked = [slot for slot, shown in evidence.items() if shown.act is RegistrationAct.WITHDRAW]
    changes = DirectoryChanges(
        head.base,
        head.batch,
        np.sort(np.array(blanked, dtype=np.uint32)),
        np.frombuffer(bytes(added), dtype=np.uint8).reshape(-1, SLOT_BYTES),
    )
    told = Countersigned(head.last.payload, head.last.signature) if head.HasField("last") else None
    return head.network, changes, evidence, told


def _evidence(raw: office_pb2.SlotEvidence) -> Evidence:
    try:
        act = RegistrationAct(raw.act)
    except ValueError as error:
        raise DirectoryRefused(f"slot {raw.slot}: has evidence of no known act") from error
    return Evidence(act, raw.batch, raw.since, raw.bound, raw.proof)
