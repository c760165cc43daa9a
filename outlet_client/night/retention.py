"""Retention: deletes what is older than it may be kept.

Invariant: nothing goes unless HQ has seen this machine's clock not long ago, since a clock that is
wrong by years would take everything. Until then `read_events` leaves out what is too old.
"""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import closing
from typing import TYPE_CHECKING

from outlet_client.allocation.wish_store import KEEP_DAYS as WISH_DAYS
from outlet_client.allocation.wish_store import purge_wishes
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.intake import first_day
from outlet_client.log_tables.rights_store import CORRECTIONS, SIGHTINGS, purge_older
from outlet_client.night.health_file import read_health
from outlet_client.night.night_log import KEEP_DAYS, NightLog
from outlet_client.records.access_log import KEEP_DAYS as LOG_DAYS
from outlet_client.records.access_log import purge_log

if TYPE_CHECKING:
    from pathlib import Path

    from outlet_client.settings import OutletFile

_LOG = logging.getLogger(__name__)

TRUSTED = 40
"""For so many days after a complete night this machine's clock is believed."""


def purge(home: Path, settings: OutletFile, at: dt.datetime, *, joined: bool) -> None:
    """Removes what is older: events, corrections, sightings, wishes, the log, rows of nights.

    Without a night joined, HQ, which refuses a clock that is off, has to have seen it lately.
    """
    if not (joined or _seen_lately(home, at)):
        _LOG.warning("HQ has not seen this clock for %d days: nothing is removed", TRUSTED)
        return
    first = first_day(settings, at)
    events = EventStore(home).purge(first)
    for day in (CORRECTIONS.c.dated, SIGHTINGS.c.date):
        purge_older(home, day, first)
    purge_wishes(home, first, at - dt.timedelta(days=WISH_DAYS))
    entries = purge_log(home, at - dt.timedelta(days=LOG_DAYS))
    with closing(NightLog.open(home)) as log:
        log.purge(at - dt.timedelta(days=KEEP_DAYS))
    if events or entries:
        _LOG.info("too old and gone: %d events, %d entries of the log", events, entries)


def _seen_lately(home: Path, at: dt.datetime) -> bool:
    health = read_health(home)
    last = None if health is None else health.last_complete
    if last is None:
        return False
    return at - dt.datetime.fromisoformat(last) < dt.timedelta(days=TRUSTED)
