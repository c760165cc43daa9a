"""Records of nights in HQ's folder: what a night began with, how far it is, what it came to.

Invariant: a night has its record before anybody is asked anything, and the record is whole at any
moment. A night that is run again under its name has the cut-off and the day that it began with.

States of a night, each durable before the next:

    running   the name, its days and until when it can be taken up     -> ending, or over
    ending    all is released, the book published; goodnight is said   -> over
    over      it is complete, or was refused; at the office it is closed

A night that is running or ending was interrupted where no process has the lock of nights; until it
expires it is taken up. The releases themselves are checkpoints of `release_store`.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from privacy.budget import LedgerForked
from privacy.keyring import write_private
from server.holder.error_text import error_text
from server.hq.errors import NightUnnamed, RecordUnreadable
from server.hq.report import NightReport
from server.hq.stopping import Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UNPLANNED = dt.timedelta(hours=12)
"""For so long a night without a plan can be taken up: as long as the office lets plans live."""

KEEP_DAYS = 400
"""Records of nights are kept for so long."""

_LOG = logging.getLogger(__name__)


class NightState(StrEnum):
    """How far a night is; see the module's table."""

    RUNNING = "running"
    ENDING = "ending"
    OVER = "over"


class ReleaseRecord(BaseModel):
    """What the record of a night has of a release at least."""

    model_config = ConfigDict(extra="allow", frozen=True)

    release: str
    outlets: int
    failures: dict[str, int]
    seconds: float


class NightRecord(BaseModel):
    """One night, as `nights/NAME.json` has it; what a `NightReport` says besides is there too.

    Attributes:
        night: Its name.
        state: How far it is.
        ended: "complete", or why it is not.
        cut_off: The last day that a feature may see, ISO 8601; "" in records of before.
        as_of: The last day that bands are made from, likewise.
        begun: When it began.
        until: Until when it can be taken up.
        over_at: When it was over.
        starts: How often it was begun or taken up.
        cohort: Outlets at roll call.
        missing: Outlets on HQ's list that were not.
        skipped: What was not done, and why.
        ledger: What is wrong with the office's ledger; "" where it goes on from HQ's copy, None
            where the office was not asked.
        next_seal: The day from which on bands are due again, ISO 8601; "" where it is not known.
        steps: One per release, in order.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    night: str
    state: NightState = NightState.OVER
    ended: str
    cut_off: str = ""
    as_of: str = ""
    begun: dt.datetime | None = None
    until: dt.datetime | None = None
    over_at: dt.datetime | None = None
    starts: int = 1
    cohort: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[str, ...]
    ledger: str | None = None
    next_seal: str = ""
    steps: tuple[ReleaseRecord, ...]

    def is_open(self, now: dt.datetime) -> bool:
        """Whether it can be taken up."""
        return self.state is not NightState.OVER and self.until is not None and now < self.until

    @property
    def is_complete(self) -> bool:
        """Whether it came to its end."""
        return self.state is NightState.OVER and self.ended == "complete"


@dataclass(frozen=True, slots=True)
class NightRecords:
    """The records of all nights.

    Attributes:
        home: HQ's folder.
    """

    home: Path

    def read(self) -> tuple[list[NightRecord], list[str]]:
        """All records that can be read, the latest last; and what cannot be, with its file."""
        found, wrong = list[tuple[float, NightRecord]](), list[str]()
        for file in sorted(self._folder.glob("*")):
            try:
                if file.suffix == ".json":
                    record = _read(file)
                    begun = record.begun or record.over_at
                    found.append((begun.timestamp() if begun else 0.0, record))
                elif file.suffix in _DAYS.values():
                    _read_day(file)
            except RecordUnreadable as error:
                wrong.append(str(error))
        return [record for _, record in sorted(found, key=lambda one: one[0])], wrong

    def find(self, name: str) -> NightRecord | None:
        """The record of one night; None where it never began.

        Raises:
            RecordUnreadable: If there is one that cannot be read.
        """
        file = self._file(name)
        return _read(file) if file.exists() else None

    def unfinished(self, now: dt.datetime) -> NightRecord | None:
        """The first night that can be taken up; None where there is none."""
        return next((record for record in self.read()[0] if record.is_open(now)), None)

    def free_name(self, day: dt.date) -> str:
        """A name for a night of a day that none had before."""
        name = first = f"night-{day.isoformat()}"
        number = 1
        while self._file(name).exists():
            number += 1
            name = f"{first}-{number}"
        return name

    def name_of(self, day: dt.date, now: dt.datetime) -> str:
        """The name of a day's night that can be taken up, else one that no night had before."""
        mine = [one for one in self.read()[0] if one.is_open(now) and _is_of(one.night, day)]
        return mine[-1].night if mine else self.free_name(day)

    def begin(self, name: str, cut_off: str, as_of: str, now: dt.datetime) -> NightRecord:
        """Notes that a night begins, or is taken up with the days that it began with.

        Raises:
            NightUnnamed: If it may not have this name.
            RecordUnreadable: If its record cannot be read.
        """
        known = self.find(name)
        until = now + UNPLANNED
        if known is not None and known.is_open(now):
            record = known.model_copy(update={"starts": known.starts + 1})
        else:
            days = {"cut_off": cut_off, "as_of": as_of}
            for day, suffix in _DAYS.items():
                if known is not None:
                    days[day] = getattr(known, day) or days[day]
                elif (file := self._folder / f"{name}{suffix}").exists():
                    days[day] = _read_day(file)
            record = NightRecord(
                **{**NightReport(name).as_json(), "ended": "it was interrupted"},
                state=NightState.RUNNING,
                begun=now,
                until=until,
                starts=1 if known is None else known.starts + 1,
                missing=(),
                **days,
            )
        self.keep(record)
        self.forget_old(now)
        return record

    def forget_old(self, now: dt.datetime) -> None:
        """Deletes what was written long ago: records, and what kills have left of some."""
        for file in self._folder.glob("*"):
            if file.suffix in {".json", ".part", *_DAYS.values()} and file.is_file():
                written = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
                if now - written > dt.timedelta(days=KEEP_DAYS):
                    file.unlink()

    def keep(self, record: NightRecord) -> None:
        """Writes a record, whole or not at all, durably.

        Raises:
            OSError: If that is not possible; the record of before stays then.
        """
        self._folder.mkdir(exist_ok=True)
        write_private(self._file(record.night), f"{record.model_dump_json(indent=2)}\n".encode())
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # else a power cut could take the new name back
        finally:
            os.close(descriptor)

    def _file(self, name: str) -> Path:
        if not re.fullmatch(r"[\w-][\w.-]{0,79}", name):
            raise NightUnnamed(name)
        return self._folder / f"{name}.json"

    @property
    def _folder(self) -> Path:
        return self.home / "nights"


@dataclass(slots=True)
class NightJournal:
    """The record of one night while it runs.

    Attributes:
        records: Where it is kept.
        record: As it was kept last.
        expected: The outlets on HQ's list, once they are known.
    """

    records: NightRecords
    record: NightRecord
    expected: frozenset[str] = field(default=frozenset())

    def planned(self, expires: int) -> None:
        """Notes until when the office's plan of the night lives."""
        self._note(until=dt.datetime.fromtimestamp(expires, dt.UTC))

    def ending(self, report: NightReport) -> None:
        """Notes that all is done but to say goodnight and to close the night at the office."""
        self._note(state=NightState.ENDING, **self._told(report))

    def interrupted(self, report: NightReport) -> None:
        """Notes what a night came to that is to be taken up."""
        self._note(**self._told(report))

    def over(self, report: NightReport | None = None, skipped: Sequence[str] = ()) -> None:
        """Notes that the night is over: what it came to, and what could not be done at its end."""
        told = {} if report is None else self._told(report)
        told["skipped"] = (*(told or self.record.model_dump())["skipped"], *skipped)
        self._note(state=NightState.OVER, over_at=dt.datetime.now(dt.UTC), **told)

    def fault(self, error: BaseException) -> None:
        """Notes what broke the night off, as far as there is room for it."""
        ended = self.record.ended
        if self.record.state is NightState.RUNNING:
            ended = "it was stopped" if isinstance(error, Stopped) else error_text(error)
        forked = {"ledger": error_text(error)} if isinstance(error, LedgerForked) else {}
        try:
            self._note(ended=ended, **forked)
        except OSError as other:
            _LOG.warning("night %s: its record is that of before: %s", self.record.night,
                         error_text(other))  # fmt: skip

    def _told(self, report: NightReport) -> dict[str, Any]:
        missing = self.expected - set(report.cohort)
        return {**report.as_json(), "missing": tuple(sorted(missing))}

    def _note(self, **changes: Any) -> None:
        body = {**self.record.model_dump(), **changes}
        self.record = NightRecord.model_validate(body)
        self.records.keep(self.record)


_DAYS = {"cut_off": ".cut-off", "as_of": ".as-of"}
"""Files in which earlier releases kept the days of a night."""


def _read(file: Path) -> NightRecord:
    try:
        record = NightRecord.model_validate_json(file.read_bytes())
        written = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
    except OSError as error:
        raise RecordUnreadable(file.name, str(error.strerror)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordUnreadable(file.name, f"{where}: {first['msg']}".lstrip(": ")) from error
    if record.night != file.stem:
        raise RecordUnreadable(file.name, f"the record of {record.night!r:.60}")
    if record.state is NightState.OVER and record.over_at is None:  # of an earlier release
        return record.model_copy(update={"over_at": written})
    return record


def _is_of(name: str, day: dt.date) -> bool:
    """Whether a night has a name that `free_name` gives for a day."""
    return re.fullmatch(rf"night-{day.isoformat()}(-\d+)?", name) is not None


def _read_day(file: Path) -> str:
    text = b""
    try:
        text = file.read_bytes()
        return dt.date.fromisoformat(text.decode("ascii")).isoformat()
    except OSError as error:
        raise RecordUnreadable(file.name, str(error.strerror), "a day") from error
    except ValueError as error:
        raise RecordUnreadable(file.name, f"{text[:20]!r}", "a day") from error
