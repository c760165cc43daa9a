"""What `escapement-hq doctor` looks at besides keys, peers, clock and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.holder.doctor import Check, handshakes, own_port, stores
from server.hq.settings import HqFile
from server.hq.tables import STORES

if TYPE_CHECKING:
    from pathlib import Path


def hq_checks(home: Path) -> list[Check]:
    """Settings, databases, the privacy office and HQ's own services."""
    checks = [
        Check("settings", lambda: _settings(home)),
        *stores(home, STORES, lambda: _database(home)),
    ]
    ring = Keyring(home, PartyKind.HQ)
    checks.append(Check("HQ's own services", lambda: own_port(ring, _address(home, ring))))
    try:
        identity, office = ring.identity(), ring.peer(PartyKind.OFFICE)
    except PrivacyError:
        return [*checks, Check("the privacy office", lambda: ring.peer(PartyKind.OFFICE).name)]
    return [*checks, *handshakes("the privacy office", office.address, identity, office)]


def _address(home: Path, ring: Keyring) -> str:
    return HqFile.read(home / "hq.toml").services or ring.identity().card.service_address


def _database(home: Path) -> str:
    return HqFile.read(home / "hq.toml").database


def _settings(home: Path) -> str:
    read = HqFile.read(home / "hq.toml")
    return f"a night at {read.night_at:%H:%M} UTC"
