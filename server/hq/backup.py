"""HQ's backup: a folder from which it goes on.

No key file of what dies is in it: a seal that was open when the copy was made is over in the copy.
The store is a SQLite file in it, also of an HQ whose store is on a server: `escapement-hq upgrade`
moves it there.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

from server.holder.backups import whole_folder
from server.holder.database import copy_store, open_store
from server.holder.meter import Meter
from server.hq.tables import HQ, HQ_METER

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.keyring import Keyring

FILES = ("identity.json", "token-share.json", "token-refresh.json", "public.json", "hq.toml")
FOLDERS = ("peers", "nights")


def back_up(ring: Keyring, folder: Path, url: str) -> None:
    """Copies keys, lists, settings, records of nights and stores; also while HQ serves.

    Args:
        ring: HQ's.
        folder: Where to; must not exist.
        url: Of HQ's store.

    Raises:
        PrivacyError: If HQ has no keys.
        StoreRefused: If a store is missing, or is another release's.
        BackupFailed: If the copy is damaged.
        OSError: If the folder exists, or cannot be written.
    """
    home, _ = ring.folder, ring.identity()
    with whole_folder(folder) as place:
        engine = open_store(url, HQ)
        try:
            copy_store(engine, HQ.url(place), HQ)
        finally:
            engine.dispose()
        with closing(Meter(HQ_METER.url(home), HQ_METER)) as meter:
            meter.copy(HQ_METER.url(place))
        # After the stores: of a refresh between the two the newer share is the one that counts.
        for name in FILES:
            if (home / name).exists():
                shutil.copy2(home / name, place / name)
        for name in FOLDERS:
            if (home / name).exists():
                shutil.copytree(home / name, place / name)
