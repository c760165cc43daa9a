"""What an HQ knew, lost and took over again: histories that tests restore."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from server.hq.directory_announcement import take_over, tonights_directory
from server.hq.registry import Registry
from server.hq.tables import HQ
from tests.builders import store_at
from tests.server.registrations import (
    HQ_SHARE,
    KEY,
    Hq,
    Message,
    OfficeOf,
    Register,
    Withdraw,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from privacy.directory import Directory
    from privacy.tokens import TokenShare
    from server.hq.registry_adoption import AdoptedSlots


NIGHTS: Sequence[Sequence[Message]] = [
    [Register(0, 0), Register(1, 1)],
    [Withdraw(0, 0), Register(2, 2), Register(1, 3)],
    [Register(3, 4), Register(0, 5, since=2)],
]
"""What outlets send in three batches: customer 0 leaves and comes back, 1 is known to two."""


def tonight(office: OfficeOf, hq: Hq) -> Directory:
    return tonights_directory("", office, hq.registry, KEY, HQ_SHARE, office.key.public)


def restore(office: OfficeOf, hq: Hq, share: TokenShare = HQ_SHARE) -> AdoptedSlots:
    """What `escapement-hq restored` does."""
    return take_over(office, hq.registry, share, office.key.public)


def recovered(office: OfficeOf, hq: Hq) -> Directory:
    """The directory of the first night after that."""
    restore(office, hq)
    return tonight(office, hq)


class History:
    """An HQ, its office, and a copy of HQ's database from before each night."""

    def __init__(self, folder: Path, nights: Sequence[Sequence[Message]] = NIGHTS) -> None:
        self.folder, self.office = folder, OfficeOf()
        self.newest = Hq(Registry(store_at(f"sqlite:///{folder / 'hq.db'}", HQ)))
        self.past: list[Directory] = []
        for messages in nights:
            self.copy()
            self.newest.apply(*messages)
            self.past.append(self.office.announce(self.newest.registry))
        self.office.asked.clear()

    def copy(self) -> None:
        shutil.copy(self.folder / "hq.db", self._file(self.newest.registry.last_batch()))

    def restored(self, batch: int) -> Hq:
        """HQ as it was when that was the last batch."""
        place = self.folder / f"restored-{len(list(self.folder.iterdir()))}.db"
        shutil.copy(self._file(batch), place)
        return Hq(Registry(store_at(f"sqlite:///{place}", HQ)))

    def _file(self, batch: int) -> Path:
        return self.folder / f"copy-{batch}.db"


def everything(hq: Hq) -> list[str]:
    """All that is in HQ's database."""
    file = hq.registry._engine.url.database
    assert file is not None
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())
