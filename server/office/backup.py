"""The office's backup: a folder from which it goes on, and opens no release that was open.

The key of the open seal is not in it, nor anything that it wraps.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

from server.holder.meter import Meter
from server.office.ledger_store import copy_without_keys
from server.office.notary import Notary
from server.office.publications import Publications

if TYPE_CHECKING:
    from pathlib import Path

    from privacy.keyring import Keyring

FILES = ("identity.json", "token-share.json", "public.json", "office.toml", "paused")


def back_up(ring: Keyring, folder: Path) -> None:
    """Copies keys, lists, settings, ledger, counts and statements, less every one-time key.

    Registrations in the relay are not in it.

    Args:
        ring: The office's.
        folder: Where to; must not exist.

    Raises:
        PrivacyError: If the office has no keys.
        OSError: If the folder exists, or cannot be written.
    """
    home, identity = ring.folder, ring.identity()
    folder.mkdir(parents=True, mode=0o700)
    for name in FILES:
        if (home / name).exists():
            shutil.copy2(home / name, folder / name)
    shutil.copytree(home / "peers", folder / "peers")
    copy_without_keys(f"sqlite:///{home / 'office.db'}", folder / "office.db")
    with closing(Meter(f"sqlite:///{home / 'meter.db'}")) as meter:
        meter.copy(folder / "meter.db")
    with closing(Notary(f"sqlite:///{home / 'notary.db'}", identity.signing)) as notary:
        notary.copy(folder / "notary.db")
    with closing(
        Publications(f"sqlite:///{home / 'publications.db'}", identity.signing, 0)
    ) as said:
        said.copy(folder / "publications.db")
