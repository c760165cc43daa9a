"""A night put together: HQ's keys, lists, settings and stores of one folder, and the outlets' port.

Invariant: a night that is run again under its name has the cut-off, the day and the directory that
it began with. Whatever ends it, its record says how far it is, and no two run at once.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from features.learning import MOMENTS_DIMENSION
from features.protocol import app_digest
from privacy.identity import CertificateEnded, PartyKind
from privacy.keyring import Keyring
from privacy.seal_plans import RING_BITS
from server.holder.errors import HolderNotConfigured
from server.holder.locks import NIGHT_LOCK, locked
from server.hq.banding import Banding
from server.hq.directory_announcement import tonights_directory
from server.hq.due import Tonight
from server.hq.errors import NightRuns
from server.hq.flower_link import FlowerLink
from server.hq.known_slots import KnownSlots
from server.hq.night import HqNight, end_night
from server.hq.night_record import NightJournal, NightRecords, NightState
from server.hq.office_client import OfficeClient
from server.hq.registry import Registry
from server.hq.report import NightReport
from server.hq.settings import HqFile
from server.hq.store import HqStore
from server.hq.superlink import SuperLink
from server.hq.tables import HQ

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_NEW_SLOTS = 2**20
"""More than one night's registrations can add: so large may an answer to a seal be."""

LEAVE_SECONDS = 60.0
"""For outlets that did not hear the goodnight of a night that was killed as it was said."""

_LOG = logging.getLogger(__name__)


def run_night(
    home: Path,
    name: str | None,
    cut_off: str | None,
    listening: Callable[[int], None] = lambda _port: None,
    as_of: str | None = None,
    *,
    settings: HqFile | None = None,
    daily: bool = False,
) -> NightReport:
    """Runs one night with the keys, lists and settings of a folder.

    Where another process runs one it waits for its end. A night that is complete already is not
    run again: its record and its releases stay what they are.

    Args:
        home: HQ's folder.
        name: The night's name. Where None, today's that is unfinished, or else a new one of today.
        cut_off: ISO 8601 date; the horizon before today where None.
        listening: Called with the port once outlets can join.
        as_of: ISO 8601 date, the last day that bands are made from; today where None.
        settings: HQ's; those in the folder where None.
        daily: Whether `serve` runs it: it waits for no other night, and keeps outlets where it
            is to be taken up.

    Raises:
        HqError: If the office cannot be reached; or, if daily, where another process runs a night.
        PrivacyError: If a key or card is missing.
        OSError: If the address cannot be bound, or the night's record not be written.
    """
    settings = settings or HqFile.read(home / "hq.toml")
    today = dt.datetime.now(dt.UTC).date()
    horizon = (today - dt.timedelta(days=settings.horizon_days)).isoformat()
    records = NightRecords(home)
    name = name or records.name_of(today, dt.datetime.now(dt.UTC))
    with ExitStack() as stack:
        free = stack.enter_context(locked(home / NIGHT_LOCK))
        if not free and daily:
            raise NightRuns
        if not free:
            _LOG.info("another process runs a night; waiting until it is over")
            stack.enter_context(locked(home / NIGHT_LOCK, wait=True))
        done = records.find(name)
        if done is not None and (done.is_complete or (daily and done.state is NightState.OVER)):
            return NightReport(name, done.cohort, ended=done.ended, again=True)
        begins = dt.datetime.now(dt.UTC)
        record = records.begin(name, cut_off or horizon, as_of or today.isoformat(), begins)
        journal = NightJournal(records, record)
        try:
            report = _run(home, settings, journal, listening, daily=daily)
        except BaseException as fault:
            journal.fault(fault)
            raise
    return report


def _run(
    home: Path,
    settings: HqFile,
    journal: NightJournal,
    listening: Callable[[int], None],
    *,
    daily: bool,
) -> NightReport:
    """Runs a night whose record says that it began."""
    ring = Keyring(home, PartyKind.HQ)
    ring.finish_where_over(dt.datetime.now(dt.UTC))
    coming = _coming(ring, dt.datetime.now(dt.UTC))
    identity, outlets, share = ring.identity(), ring.peers(PartyKind.OUTLET), ring.token_share()
    if identity.sealing is None:
        raise HolderNotConfigured("HQ's keys lack one for registrations; make them anew")
    office_card = ring.peer(PartyKind.OFFICE)
    journal.expected = frozenset(outlets)
    with ExitStack() as stack:
        registry = stack.enter_context(closing(Registry(HQ.url(home, settings.database))))
        store = stack.enter_context(closing(HqStore.of(home, settings.database)))
        store.forget_over(time.time())
        timeout = settings.training.timeout
        opened = OfficeClient.connect(identity, office_card, timeout, registry)
        office = stack.enter_context(closing(opened))
        sealed = (len(settings.outcomes) + 1) * (registry.directory().slots + MOST_NEW_SLOTS)
        superlink = SuperLink(
            outlets,
            app_digest(),
            settings.training.patience,
            max(RING_BITS // 8 * sealed, 8 * MOMENTS_DIMENSION),
        )
        stack.enter_context(closing(superlink))
        host, _, port = (settings.listen or identity.card.address).rpartition(":")
        listening(superlink.listen(identity, host, int(port)))
        link = FlowerLink(superlink.grid, superlink.names, timeout)
        record = journal.record
        if record.state is NightState.ENDING:
            seconds = min(settings.join_seconds, LEAVE_SECONDS)
            _wait_for_outlets(superlink, set(record.cohort), seconds)
            journal.over(skipped=end_night(record.night, office, link))
            return NightReport(record.night, record.cohort, ended=record.ended)
        _wait_for_outlets(superlink, coming, settings.join_seconds)
        directory = tonights_directory(
            store.directory_of(record.night),
            office,
            registry,
            identity.sealing,
            share,
            office_card.verify_key,
        )
        tonight = Tonight(
            record.night,
            record.cut_off,
            record.as_of,
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
            link,
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
            on_plan=journal.planned,
            on_end=journal.ending,
            follow_ledger=office.follow_ledger,
            stays=daily,
        ).run()
    if report.resumable:
        journal.interrupted(report)
    else:
        journal.over(report)
    return report


def _coming(ring: Keyring, at: dt.datetime) -> set[str]:
    """Who can come tonight. Names who is refused and why: TLS gives HQ no word of it."""
    coming = set[str]()
    for unreadable in ring.unreadable(PartyKind.OUTLET):
        _LOG.error("%s", unreadable)
    for card in ring.peers(PartyKind.OUTLET).values():
        try:
            card.check_dates(at)
        except CertificateEnded as error:
            _LOG.warning("%s", error)
        else:
            coming.add(card.name)
    return coming


def _wait_for_outlets(superlink: SuperLink, expected: set[str], seconds: float) -> None:
    """Waits until everybody on the list has joined, or the window is over."""
    end = time.monotonic() + seconds
    while (missing := expected - superlink.online()) and time.monotonic() < end:
        time.sleep(0.02)
    if missing:
        _LOG.warning("not there tonight: %s", ", ".join(sorted(missing)))
