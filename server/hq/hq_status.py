"""How HQ is: whether it serves, what is wrong in its folder, and how its nights went."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from privacy.identity import PartyKind
from privacy.key_health import key_warnings
from privacy.keyring import Keyring
from server.holder.console import OURS
from server.holder.error_text import error_text
from server.holder.errors import HolderNotConfigured
from server.holder.locks import NIGHT_LOCK, SERVE_LOCK, is_locked
from server.hq.hold_command import opened_holds
from server.hq.night_record import NightRecords
from server.hq.settings import HqFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from server.hq.night_record import NightRecord

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class HqStatus:
    """What `escapement-hq status` says.

    Attributes:
        at: When.
        serving: Whether `serve` runs in the folder.
        in_night: Whether a process runs a night there.
        next_night: When `serve` begins the next one; None where it does not run.
        last: The night that began last; None before the first.
        complete: The last one that came to its end.
        unfinished: Nights that can be taken up, the first one first.
        wrong: Settings and records that cannot be read, each with its file and what to do; and the
            office's ledger, where it did not go on from HQ's copy when a night asked last.
        keys: What to see to among keys and cards, such as a certificate that ends.
        next_seal: From which day on bands are due again, ISO 8601, by the last night that knew; ""
            where none did.
        held: What waits for a person to accept it, and why; "" where nothing does.
    """

    at: dt.datetime
    serving: bool
    in_night: bool
    next_night: dt.datetime | None
    last: NightRecord | None
    complete: NightRecord | None
    unfinished: tuple[NightRecord, ...]
    wrong: tuple[str, ...]
    keys: tuple[str, ...]
    next_seal: str = ""
    held: str = ""

    @classmethod
    def of(cls, home: Path, at: dt.datetime) -> Self:
        """Looks at a folder; changes nothing there."""
        records, wrong = NightRecords(home).read()
        serving = is_locked(home / SERVE_LOCK)
        try:
            HqFile.read(home / "hq.toml")
        except HolderNotConfigured as error:
            then = "`serve` goes on with the settings of before" if serving else "mend it first"
            wrong.insert(0, f"{error}; {then}")
        held, unread = _held(home)
        if unread and not any(unread in text for text in wrong):
            wrong.append(unread)
        asked = next((one for one in reversed(records) if one.ledger is not None), None)
        if asked is not None and asked.ledger:
            wrong.append(
                f"{asked.ledger} (found in night {asked.night}; the next night asks again, and "
                "`escapement-hq doctor` now)"
            )
        return cls(
            at,
            serving,
            is_locked(home / NIGHT_LOCK),
            _next_night(home) if serving else None,
            records[-1] if records else None,
            next((record for record in reversed(records) if record.is_complete), None),
            tuple(record for record in records if record.is_open(at)),
            tuple(wrong),
            tuple(key_warnings(Keyring(home, PartyKind.HQ), at)),
            next((one.next_seal for one in reversed(records) if one.next_seal), ""),
            held,
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a monitor."""
        ago = self._hours_since_complete()
        return {
            "serving": self.serving,
            "night_runs": self.in_night,
            "next_night": None if self.next_night is None else self.next_night.isoformat(),
            "last_complete": None if self.complete is None else self.complete.night,
            "hours_since_complete": None if ago is None else round(ago, 2),
            "unfinished": [
                {"night": one.night, "until": _text(one.until), "ended": one.ended}
                for one in self.unfinished
            ],
            "wrong": list(self.wrong),
            "keys": list(self.keys),
            "next_seal": self.next_seal or None,
            "held": self.held or None,
            "last_night": None if self.last is None else self.last.model_dump(mode="json"),
        }

    def show(self, out: Console) -> None:
        """Prints it for people."""

        def say(text: str) -> None:
            out.print(text, highlight=False, markup=False, soft_wrap=True)

        next_night = "" if self.next_night is None else f", the next night {_text(self.next_night)}"
        say(f"Serving: yes{next_night}" if self.serving else "Serving: no; `escapement-hq serve`")
        held = (self.held,) if self.held else ()
        for name, texts in (("Wrong", self.wrong), ("Keys", self.keys), ("Held", held)):
            for text in texts:
                say(f"{name}: {text}")
        for one in self.unfinished:
            say(f"Unfinished: night {one.night}: {self._way_on(one)}")
        ago = self._hours_since_complete()
        if self.complete is not None and ago is not None:
            say(f"Last complete night: {self.complete.night}, {_hours(ago)} ago")
        if due := self.next_seal:
            say(f"Bands: sealed again from {due} on")
        if self.last is None:
            say("No night yet. `escapement-hq night` runs one.")
        else:
            self._show_last(out, self.last, say)

    def _way_on(self, night: NightRecord) -> str:
        if self.in_night:
            return "it runs now, or waits for the one that does"
        until = f"until {_text(night.until)}"
        serve = "`escapement-hq serve` takes it up when it starts"
        if self.serving:
            serve = "`serve` tries again, or takes it up before the next night"
        by_hand = f"`escapement-hq night --name {night.night}` does now"
        return f"{night.ended}; {serve}, {until}; {by_hand}"

    def _show_last(self, out: Console, night: NightRecord, say: Callable[[str], None]) -> None:
        say(f"Night {night.night}: {night.ended}")
        say(f"There: {', '.join(night.cohort) or 'nobody'}")
        say(f"Missing: {', '.join(night.missing) or 'nobody'}")
        table = Table("release", "outlets", "failures", "seconds")
        for step in night.steps:
            failures = ", ".join(f"{why}: {count}" for why, count in step.failures.items())
            name = step.release.rpartition("/")[2]
            table.add_row(name, str(step.outlets), failures, f"{step.seconds:.2f}")
        out.print(table)
        for skipped in night.skipped:
            say(f"Skipped: {skipped}")

    def _hours_since_complete(self) -> float | None:
        if self.complete is None or self.complete.over_at is None:
            return None
        return (self.at - self.complete.over_at).total_seconds() / _HOUR


def _held(home: Path) -> tuple[str, str]:
    """What waits for a person, and why that cannot be told; "" where it can."""
    try:
        with opened_holds(home) as store:
            waits = store.held()
    except (*OURS, SQLAlchemyError) as error:
        return "", error_text(error)
    return "" if waits is None else waits.said, ""


def _next_night(home: Path) -> dt.datetime | None:
    """What `serve` left of when it begins the next night."""
    try:
        return dt.datetime.fromisoformat((home / SERVE_LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _text(at: dt.datetime | None) -> str | None:
    return None if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} minutes" if hours < 2 else f"{hours:.0f} hours"  # noqa: PLR2004  (then in hours)
