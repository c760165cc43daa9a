"""What `escapement-office doctor` and `status` look at besides keys, peers, clock and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.holder.doctor import Check, Noted, own_port, stores
from server.office.settings import OfficeFile
from server.office.tables import STORES

if TYPE_CHECKING:
    from pathlib import Path

PAUSE_FILE = "paused"
SETTINGS = "settings"


def office_checks(home: Path) -> list[Check]:
    """Settings, databases, the HQ that may call, whether it is paused, and its own port.

    The office calls nobody: HQ's doctor and the outlets' say whether they reach it.
    """
    ring = Keyring(home, PartyKind.OFFICE)
    return [
        *folder_checks(home),
        Check("HQ's card", lambda: ring.peer(PartyKind.HQ).fingerprint),
        Check("pause", lambda: _pause(home)),
        Check("own port", lambda: own_port(ring, _address(home, ring)), (SETTINGS,)),
    ]


def folder_checks(home: Path) -> list[Check]:
    """Settings and databases."""
    return [
        Check(SETTINGS, lambda: _settings(home)),
        *stores(home, STORES, lambda: OfficeFile.read(home / "office.toml").database, SETTINGS),
    ]


def _settings(home: Path) -> str:
    promise = OfficeFile.read(home / "office.toml").promise
    return f"epsilon {promise.epsilon:g} a year"


def _pause(home: Path) -> str:
    if (home / PAUSE_FILE).exists():
        raise Noted("paused: `escapement-office resume` ends it")
    return "not paused"


def _address(home: Path, ring: Keyring) -> str:
    return OfficeFile.read(home / "office.toml").listen or ring.identity().card.address
