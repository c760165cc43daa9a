"""How much each person looks up: the quota, and unusual use for the privacy officer.

Invariant: both are read from the log alone, so what was looked up by a command counts too; a flag
names who, when and how many, never whom.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from outlet_client.bands.lookup import Status
from outlet_client.bands.lookup_quota import left_today
from outlet_client.records.access_log import LogAct
from outlet_client.records.actor import LookupPurpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outlet_client.desk.site import Site, Visit
    from outlet_client.records.access_log import LogEntry
    from outlet_client.settings import DeskSettings

WATCHED = dt.timedelta(days=30)
"""How far back use is looked at."""

TIMES_USUAL, LEAST_MANY = 3, 15
"""A day is unusual with so many times somebody's median day, and so many look-ups at least."""

MOST_STRANGERS = 10
"""Look-ups a day of customers this outlet has no agreement of."""

MOST_OF_ONE = 5
"""Look-ups that one person makes of one customer within a day; two that the customer asked for are
one."""

MANY_SEARCHES = 30
"""Searches by name that one person makes within a day."""


class FlagReason(StrEnum):
    """Why a person's use is unusual."""

    QUOTA = "the day's quota reached"
    MANY = "far more look-ups than on this person's usual day"
    STRANGERS = "many look-ups of customers without an agreement here"
    ONE_CUSTOMER = "one customer looked up again and again"
    SEARCHES = "many searches by name"
    HOURS = "look-ups outside opening hours"
    LOCK_OUT = "locked out after wrong passwords"


@dataclass(frozen=True, slots=True)
class Flag:
    """Something unusual, for a person to look at.

    Attributes:
        day: By this machine's own clock.
        by: Who.
        why: What is unusual.
        count: How many look-ups, or lock-outs, it is about.
    """

    day: dt.date
    by: str
    why: FlagReason
    count: int

    @property
    def name(self) -> str:
        """Under which the log says that it was looked at; another one once there are more."""
        return f"{self.day} {self.by}: {self.why} ({self.count})"


def used_today(site: Site, visit: Visit, *, more: int) -> int:
    """How many look-ups somebody has left today, without waiting for who writes to the log.

    What adds a look-up to the log counts again, with nobody in between.

    Raises:
        LookupQuotaReached: If there are not so many left.
    """
    quota = site.access.settings.desk.lookups_a_day
    with site.rights.reading() as connection:
        return left_today(connection, visit.name, visit.at, quota, more)


def unusual(entries: Iterable[LogEntry], settings: DeskSettings) -> list[Flag]:
    """What is unusual, the newest first."""
    days: dict[tuple[dt.date, str], list[LogEntry]] = defaultdict(list)
    lock_outs: Counter[tuple[dt.date, str]] = Counter()
    searches: Counter[tuple[dt.date, str]] = Counter()
    for one in entries:
        place = one.at.astimezone().date(), one.by
        if one.act is LogAct.LOOK_UP:
            days[place].append(one)
        elif one.act is LogAct.LOCK_OUT:
            lock_outs[place] += 1
        elif one.act is LogAct.SEARCH:
            searches[place] += 1
    sizes: dict[str, dict[dt.date, int]] = defaultdict(dict)
    for (day, by), some in days.items():
        if one_by_one := _one_by_one(some):
            sizes[by][day] = len(one_by_one)
    flags = [Flag(day, by, FlagReason.LOCK_OUT, count) for (day, by), count in lock_outs.items()]
    flags += [
        Flag(day, by, FlagReason.SEARCHES, count)
        for (day, by), count in searches.items()
        if count >= min(MANY_SEARCHES, settings.lookups_a_day)
    ]
    for (day, by), some in days.items():
        others = [size for other, size in sizes[by].items() if other != day]
        flags += [Flag(day, by, why, count) for why, count in _of_day(some, others, settings)]
    return sorted(flags, key=lambda flag: (flag.day, flag.by, flag.why), reverse=True)


def to_review(watched: Sequence[LogEntry], settings: DeskSettings) -> list[Flag]:
    """The flags of some entries that the privacy officer has not looked at, the newest first."""
    seen = {one.about for one in watched if one.act is LogAct.REVIEW}
    return [one for one in unusual(watched, settings) if one.name not in seen]


def _one_by_one(some: Sequence[LogEntry]) -> list[LogEntry]:
    """Without those that a proposal made of all who wait, as the quota has it."""
    return [one for one in some if not one.about]


def _of_day(
    everything: Sequence[LogEntry], others: Sequence[int], settings: DeskSettings
) -> list[tuple[FlagReason, int]]:
    opens, closes, some = settings.opens, settings.closes, _one_by_one(everything)
    usual = median(others) if others else 0
    strangers = sum(one.outcome == Status.CONSENT_NEEDED.value for one in some)
    closed = sum(not opens <= one.at.astimezone().time() < closes for one in everything)
    halves: Counter[str] = Counter()
    for one in some:  # a customer's own file is two look-ups each time it is shown
        halves[one.key] += 1 if one.purpose is LookupPurpose.CUSTOMER else 2
    most = max(halves.values(), default=0) // 2
    found = {
        FlagReason.QUOTA: len(some) * (len(some) >= settings.lookups_a_day),
        FlagReason.MANY: len(some)
        * bool(others and len(some) >= max(LEAST_MANY, TIMES_USUAL * usual)),
        FlagReason.STRANGERS: strangers * (strangers >= MOST_STRANGERS),
        FlagReason.ONE_CUSTOMER: most * (most >= MOST_OF_ONE),
        FlagReason.HOURS: closed,
    }
    return [(why, count) for why, count in found.items() if count]
