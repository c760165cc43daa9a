"""The office's backup: a folder from which it goes on, and opens no release that was open.

No key file is in it, nor anything that one wraps. The store is a SQLite file in it, also of an
office whose store is on a server: `escapement-office upgrade` moves it there.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from privacy.identity import PartyKind
from server.holder.backups import whole_folder
from server.holder.database import closing_engine, copy_store, open_store
from server.holder.meter import Meter
from server.office.seal_store import SealState
from server.office.tables import (
    KEPT_SEEDS,
    OFFICE,
    OFFICE_METER,
    RELEASES,
    SEALED_OUTLETS,
    SEALS,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from privacy.keyring import Keyring

FILES = ("identity.json", "token-share.json", "public.json", "office.toml", "paused")


def back_up(ring: Keyring, folder: Path, url: str = "") -> None:
    """Copies keys, lists, settings, ledger, counts and statements, less every one-time key.

    Registrations in the relay are not in it.

    Args:
        ring: The office's.
        folder: Where to; must not exist.
        url: Of the office's store; its file in the office's folder where none is given.

    Raises:
        PrivacyError: If the office has no keys.
        StoreRefused: If a store is missing, or is another release's.
        BackupFailed: If the copy is damaged.
        OSError: If the folder exists, or cannot be written.
    """
    home, _ = ring.folder, ring.identity()
    listed = ring.peers(PartyKind.OUTLET)
    with whole_folder(folder) as place:
        copy_without_keys(url or OFFICE.url(home), place / OFFICE.file, listed)
        with closing(Meter(OFFICE_METER.url(home), OFFICE_METER)) as meter:
            meter.copy(OFFICE_METER.url(place))
        # After the store: of a refresh between the two the newer share is the one that counts.
        for name in FILES:
            if (home / name).exists():
                shutil.copy2(home / name, place / name)
        shutil.copytree(home / "peers", place / "peers")


def copy_without_keys(url: str, place: Path, listed: Collection[str] = ()) -> None:
    """Copies a store into a new file, less every one-time key, open seal's secret and kept seed.

    So a restored copy can open no release that was open when it was made: it would otherwise
    answer that release for another set of outlets. The ledger is copied as it is, not verified.

    Args:
        url: Of the office's store.
        place: The new file.
        listed: Outlets that count in the copy as if they had been in a seal: they may be in one
            before it is restored.
    """
    engine, copy = open_store(url, OFFICE), f"sqlite:///{place}"
    try:
        copy_store(engine, copy, OFFICE, {KEPT_SEEDS.name})
    finally:
        engine.dispose()
    with closing_engine(copy, OFFICE) as target, target.begin() as connection:
        connection.execute(RELEASES.update().values(key=None))
        gone: dict[str, object] = dict.fromkeys(("key", "secrets", "seeds"), sa.null())
        over = SEALS.update().where(SEALS.c.secrets.is_not(None))
        connection.execute(over.values(**gone, state=SealState.EXPIRED.value))
        known = set(connection.scalars(sa.select(SEALED_OUTLETS.c.outlet)))
        rows = [{"outlet": name} for name in sorted(set(listed) - known)]
        if rows:
            connection.execute(SEALED_OUTLETS.insert(), rows)
