"""A night put together: HQ's keys, lists, settings and stores of one folder, and the outlets' port.

Invariant: a night that is run again under its name has the cut-off, the day and the directory that
it began with.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING

from features.learning import MOMENTS_DIMENSION
from features.protocol import app_digest
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.seal_plans import RING_BITS
from server.holder.errors import HolderNotConfigured
from server.hq.banding import Banding
from server.hq.directory_announcement import tonights_directory
from server.hq.due import Tonight
from server.hq.flower_link import FlowerLink
from server.hq.known_slots import KnownSlots
from server.hq.night import HqNight
from server.hq.night_record import record
from server.hq.office_client import OfficeClient
from server.hq.registry import Registry
from server.hq.settings import HqFile
from server.hq.store import HqStore
from server.hq.superlink import SuperLink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server.hq.report import NightReport

MOST_NEW_SLOTS = 2**20
"""More than one night's registrations can add: so large may an answer to a seal be."""

_LOG = logging.getLogger(__name__)


def run_night(
    home: Path,
    name: str | None,
    cut_off: str | None,
    listening: Callable[[int], None] = lambda _port: None,
    as_of: str | None = None,
) -> NightReport:
    """Runs one night with the keys, lists and settings of a folder.

    Args:
        home: HQ's folder.
        name: The night's name; today's date where None.
        cut_off: ISO 8601 date; the horizon before today where None.
        listening: Called with the port once outlets can join.
        as_of: ISO 8601 date, the last day that bands are made from; today where None.

    Raises:
        HqError: If the office cannot be reached.
        PrivacyError: If a key or card is missing.
        OSError: If the address cannot be bound.
    """
    settings, ring = HqFile.read(home / "hq.toml"), Keyring(home, PartyKind.HQ)
    identity, outlets, share = ring.identity(), ring.peers(PartyKind.OUTLET), ring.token_share()
    if identity.sealing is None:
        raise HolderNotConfigured("HQ's keys lack one for registrations; make them anew")
    office_card = ring.peer(PartyKind.OFFICE)
    today = dt.datetime.now(dt.UTC).date()
    name = name or f"night-{today.isoformat()}"
    horizon = (today - dt.timedelta(days=settings.horizon_days)).isoformat()
    office = OfficeClient.connect(identity, office_card, settings.training.timeout)
    registry = Registry(f"sqlite:///{home / 'hq.db'}")
    store = HqStore(f"sqlite:///{home / 'hq.db'}")
    sealed = (len(settings.outcomes) + 1) * (registry.directory().slots + MOST_NEW_SLOTS)
    superlink = SuperLink(
        outlets,
        app_digest(),
        settings.training.patience,
        max(RING_BITS // 8 * sealed, 8 * MOMENTS_DIMENSION),
    )
    try:
        host, _, port = (settings.listen or identity.card.address).rpartition(":")
        listening(superlink.listen(identity, host, int(port)))
        _wait_for_outlets(superlink, set(outlets), settings.join_seconds)
        directory = tonights_directory(
            store.directory_of(name),
            office,
            registry,
            identity.sealing,
            share,
            office_card.verify_key,
        )
        tonight = Tonight(
            name,
            _remembered(home, name, "cut-off", cut_off or horizon),
            _remembered(home, name, "as-of", as_of or today.isoformat()),
            settings.outcomes,
            directory.digest,
            directory.slots if settings.points else 0,
        )
        known = slice(directory.slots)  # of a resumed night: others may have come since
        slots = KnownSlots(
            registry.directory().keys[known],
            registry.home_nonces()[known],
            registry.registrations_of_slots()[known],
        )
        report = HqNight(
            tonight,
            settings.training,
            office,
            FlowerLink(superlink.grid, superlink.names, settings.training.timeout),
            store,
            {outlet: card.verify_key for outlet, card in outlets.items()},
            Banding(
                slots,
                registry,
                identity.signing,
                office_card.verify_key,
                settings.bands,
                time.time,
            )
            if settings.points
            else None,
            on_step=lambda step: _LOG.info("%s: %d outlets", step.release, step.outlets),
        ).run()
    finally:
        superlink.close()
        for opened in (store, registry, office):
            opened.close()
    record(home, report, set(outlets))
    return report


def _remembered(home: Path, name: str, what: str, value: str) -> str:
    """What a night of this name began with; `value` where it begins now."""
    folder = home / "nights"
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.{what}"
    if not file.exists():
        file.write_text(value)
    return file.read_text()


def _wait_for_outlets(superlink: SuperLink, expected: set[str], seconds: float) -> None:
    """Waits until everybody on the list has joined, or the window is over."""
    end = time.monotonic() + seconds
    while (missing := expected - superlink.online()) and time.monotonic() < end:
        time.sleep(0.02)
    if missing:
        _LOG.warning("not there tonight: %s", ", ".join(sorted(missing)))
