"""Nights while HQ serves: one a day, and before it what was left unfinished.

A night that broke off is run again under its name, after growing waits, until its plan expires; so
is one that a power cut ended, when HQ serves again. Then the outlets' nights have waited for it or
are over, which its roll call finds out.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from server.holder.error_text import error_text
from server.holder.locks import NIGHT_LOCK, SERVE_LOCK, is_locked
from server.hq.errors import NightRuns, RecordUnreadable
from server.hq.night_assembly import run_night
from server.hq.night_record import UNPLANNED, NightRecords, NightState

if TYPE_CHECKING:
    from typing import NoReturn

    from server.hq.settings import WatchedSettings

FIRST_WAIT, LONGEST_WAIT = 2.0, 600.0
"""Seconds between two attempts at a night; each wait is twice the one before."""
LOOK_SECONDS = 30.0
"""Between two looks at the clock, the settings and other processes' nights."""

_LOG = logging.getLogger(__name__)


def run_nights(home: Path, watched: WatchedSettings) -> NoReturn:
    """Runs nights until the program is stopped.

    Args:
        home: HQ's folder.
        watched: Its settings, read again as they change.
    """
    records = NightRecords(home)
    for problem in records.read()[1]:
        _LOG.error("%s", problem)
    while True:
        _take_up(home, watched)
        _wait_until_night(home, watched)
        _take_up(home, watched)  # one that was begun by hand since
        _finish(home, watched, records.free_name(_now().date()))


def _take_up(home: Path, watched: WatchedSettings) -> None:
    """Ends every night that is unfinished and has not expired."""
    while (night := NightRecords(home).unfinished(_now())) is not None:
        if not is_locked(home / NIGHT_LOCK):
            _LOG.warning("night %s is unfinished: %s; taking it up", night.night, night.ended)
        _finish(home, watched, night.night)


def _wait_until_night(home: Path, watched: WatchedSettings) -> None:
    at, begins = None, _now()
    while (now := _now()) < begins or at is None:
        settings = watched.now()
        if settings.night_at != at:
            at, begins = settings.night_at, settings.next_night(now)
            _LOG.info("next night in %.0f minutes", (begins - now).total_seconds() / 60)
            _tell(home, begins)
        time.sleep(min(LOOK_SECONDS, max(0.0, (begins - now).total_seconds())))


def _finish(home: Path, watched: WatchedSettings, name: str) -> None:
    """Runs a night again and again until it is over, or expires."""
    records = NightRecords(home)
    wait, until = FIRST_WAIT, _now() + UNPLANNED
    while True:
        said, pause = _attempt(home, watched, name), wait
        if said is None:
            said, pause = "another process runs a night", LOOK_SECONDS
        try:
            record = records.find(name)
        except RecordUnreadable as error:
            _LOG.error("%s; this night is not taken up", error)
            return
        if record is not None and record.state is NightState.OVER:
            _LOG.info("night %s: %s", name, record.ended)
            return
        until = until if record is None or record.until is None else record.until
        left = (until - _now()).total_seconds()
        if left <= 0:
            _LOG.error("night %s: given up: %s", name, said)
            return
        pause = min(pause, left)
        _LOG.error(
            "night %s: %s; again in %.0f s, until %s UTC at most",
            name, said, pause, f"{until:%Y-%m-%d %H:%M}",
        )  # fmt: skip
        time.sleep(pause)
        wait = min(2 * wait, LONGEST_WAIT)


def _attempt(home: Path, watched: WatchedSettings, name: str) -> str | None:
    """Runs a night once; gives what became of it, None where another process runs one."""
    try:
        return run_night(home, name, None, settings=watched.now(), daily=True).ended
    except NightRuns:
        return None
    except Exception as error:  # noqa: BLE001  (whatever broke it off, it is tried again)
        passed = traceback.extract_tb(error.__traceback__)[-1]
        _LOG.info("broken off in %s, line %d", Path(passed.filename).name, passed.lineno or 0)
        return error_text(error)


def _tell(home: Path, begins: dt.datetime) -> None:
    """Leaves for `status` when the next night begins."""
    try:
        (home / SERVE_LOCK).write_text(begins.isoformat())
    except OSError as error:
        _LOG.warning("%s", error_text(error))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
