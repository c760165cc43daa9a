"""What HQ shows the office of directories, altered or not, and what it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from privacy.directory import (
    SLOT_BYTES,
    DirectoryChanges,
    DirectoryRefused,
)
from privacy.slot_keys import KEY_BYTES
from tests.server.slot_histories import NETWORK, HonestHq, PublishingOffice

if TYPE_CHECKING:
    from privacy.registrations import Evidence

HOUR = 3600.0


def changes_of(
    hq: HonestHq,
    batch: int,
    blanked: tuple[int, ...] = (),
    added: np.ndarray | None = None,
) -> DirectoryChanges:
    """Changes of HQ's present directory that nobody checked."""
    rows = np.zeros((0, SLOT_BYTES), np.uint8) if added is None else added
    return DirectoryChanges(hq.directory.digest, batch, np.array(blanked, np.uint32), rows)


def refuse(
    office: PublishingOffice,
    why: str,
    changes: DirectoryChanges,
    evidence: dict[int, Evidence] | None = None,
    *,
    network: bytes = NETWORK,
) -> None:
    """Expects a refusal that changes nothing and shows no key."""
    before = office.store.last_directory(), office.store.latest()
    with pytest.raises(DirectoryRefused, match=why) as caught:
        office.countersign(changes, evidence or {}, network=network)
    assert (office.store.last_directory(), office.store.latest()) == before
    for row in changes.added:
        key = row[:KEY_BYTES].tobytes()
        assert key.hex() not in str(caught.value)
        assert str(key)[2:-1] not in str(caught.value)


class Killed(BaseException):
    """What ends a process."""
