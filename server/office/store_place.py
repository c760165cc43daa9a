"""Where the office's store is, by its folder's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.holder.vault import SECRETS_FILE, KeyFile
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeFile
from server.office.tables import OFFICE

if TYPE_CHECKING:
    from pathlib import Path


def office_url(home: Path) -> str:
    """The URL of the office's store."""
    return OFFICE.url(home, OfficeFile.read(home / "office.toml").database)


def open_office(home: Path) -> OfficeStore:
    """Opens the office's store, its ledger verified.

    Raises:
        StoreRefused: If there is none, or it is another role's or release's.
        LedgerBroken: If the ledger was cut, reordered or rewritten.
    """
    settings = OfficeFile.read(home / "office.toml")
    url, keys = OFFICE.url(home, settings.database), KeyFile(home / SECRETS_FILE)
    return OfficeStore(url, settings.promise.policy(), keys)
