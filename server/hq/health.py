"""What `escapement-hq doctor` looks at besides keys, peers, clock and disk."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from privacy.errors import PrivacyError
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from server.holder.doctor import Check, Noted, handshakes, own_port, store_name, stores
from server.hq.directory_announcement import check_not_behind
from server.hq.hold_command import opened_holds
from server.hq.office_client import REPLACE_OFFICE, OfficeClient
from server.hq.registry import Registry
from server.hq.settings import HqFile
from server.hq.tables import HQ, STORES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.identity import Card, Identity

SETTINGS, OFFICE, LEDGER = "settings", "the privacy office", "the office's ledger"
SECONDS = 10.0
"""For a question to the office."""


def hq_checks(home: Path) -> list[Check]:
    """Settings, databases, HQ's own services; the privacy office, and what it has that HQ lacks."""
    ring = Keyring(home, PartyKind.HQ)
    checks = [
        Check(SETTINGS, lambda: _settings(home)),
        *stores(home, STORES, lambda: _database(home), SETTINGS),
        Check("scorecards", lambda: _held(home), (SETTINGS, store_name(HQ))),
        Check("HQ's own services", lambda: own_port(ring, _address(home, ring)), (SETTINGS,)),
    ]
    try:
        identity, office = ring.identity(), ring.peer(PartyKind.OFFICE)
    except PrivacyError:
        return [*checks, Check(OFFICE, lambda: ring.peer(PartyKind.OFFICE).name)]
    checks += handshakes(OFFICE, office.address, identity, office, REPLACE_OFFICE)
    there = (store_name(HQ), OFFICE)
    ledger = partial(_asked, home, identity, office, _ledger)
    directory = partial(_asked, home, identity, office, _directory)
    return [
        *checks,
        Check(LEDGER, ledger, there),
        Check("the office's directory", directory, (LEDGER,)),
    ]


def _asked(
    home: Path, identity: Identity, office: Card, ask: Callable[[OfficeClient, Registry], str]
) -> str:
    """What the office answers, held against HQ's store; nothing changes at either."""
    with closing(Registry(HQ.url(home, _database(home)))) as registry:
        client = OfficeClient.connect(identity, office, SECONDS, registry)
        with closing(client):
            return ask(client, registry)


def _ledger(office: OfficeClient, _registry: Registry) -> str:
    return f"its {office.check_ledger().length} entries go on from HQ's copy"


def _directory(office: OfficeClient, registry: Registry) -> str:
    check_not_behind(office, registry)
    return f"HQ's registry, of batch {registry.last_batch()}, is not behind it"


def _held(home: Path) -> str:
    """That nobody waits for a person's word.

    Raises:
        Noted: If something is held back.
    """
    with opened_holds(home) as store:
        held = store.held()
    if held is not None:
        raise Noted(held.said)
    return "none is held back"


def _address(home: Path, ring: Keyring) -> str:
    return HqFile.read(home / "hq.toml").services or ring.identity().card.service_address


def _database(home: Path) -> str:
    return HqFile.read(home / "hq.toml").database


def _settings(home: Path) -> str:
    read = HqFile.read(home / "hq.toml")
    return f"a night at {read.night_at:%H:%M} UTC"
