"""When those who consented have bands: what waits for what, and the day of the first seal.

Days are the earliest: a night that stays away, or a batch that fewer than three outlets are in,
moves them. The last seal is the stored book's; the next comes `SEAL_DAYS` later.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outlet_client.people.waiting_people import WaitingPeople

SEAL_DAYS = 7
"""Between two seals of bands, as HQ's `band_days` is by default."""

NIGHT_BEGINS = dt.time(1, 55)
"""UTC; of the timer that comes with this program."""

_AFTER_LISTING = "the first seal after they are listed"
_DECISION = (
    "{count:,} share a phone or e-mail with another customer: `escapement-outlet duplicates` lists "
    "them, and no token is asked for until somebody decides"
)
_BOOK = (
    "{count:,} consented under a phone or e-mail that no row had when the client book (`clients` "
    "of escapement.toml, else the ledger) was last read; the next night reads it again, and asks "
    "for no token before"
)


def next_night(at: dt.datetime) -> dt.date:
    """The UTC day of the next night."""
    here = at.astimezone(dt.UTC)
    return here.date() + dt.timedelta(days=0 if here.time() < NIGHT_BEGINS else 1)


def token_night(waiting: WaitingPeople, a_night: int, at: dt.datetime) -> dt.date:
    """The night in which the last of those who wait for a token gets it."""
    nights = max(-(-waiting.token // a_night), 1)
    return next_night(at) + dt.timedelta(days=nights - 1)


def first_seal(listed: dt.date, book_as_of: str | None) -> dt.date:
    """The first seal that has people in it who are listed in the night of a day.

    Args:
        listed: UTC day of that night.
        book_as_of: The day that the stored book's data ends with; None before the network's first
            seal, which comes with the first night on which somebody is listed.
    """
    if book_as_of is None:
        return listed
    last = dt.date.fromisoformat(book_as_of)
    seals = max(-(-(listed - last).days // SEAL_DAYS), 1)
    return last + dt.timedelta(days=seals * SEAL_DAYS)


def outlook(
    waiting: WaitingPeople, a_night: int, book_as_of: str | None, at: dt.datetime
) -> list[str]:
    """What waits for what and until when, a sentence each; none where nobody waits.

    Args:
        waiting: Who waits.
        a_night: How many tokens a night asks for.
        book_as_of: See `first_seal`.
        at: Now.
    """
    tonight, last = next_night(at), token_night(waiting, a_night, at)
    said = []
    if waiting.token:
        several = (
            f", {a_night:,} a night, the last on {last}; a larger quota of both holders (`tokens` "
            "in their settings) and `evaluations_a_night` make it quicker"
        )
        until = f": the night of {tonight}" if last == tonight else several
        said.append(f"{waiting.token:,} wait for tokens{until}")
    if waiting.batch:
        said.append(f"{waiting.batch:,} have a token and are handed in by the night of {tonight}")
    if waiting.directory:
        said.append(
            f"{waiting.directory:,} are handed in: the next directory of HQ's lists them, once "
            "three outlets are in their batch"
        )
    if waiting.again:
        said.append(f"{waiting.again:,} are handed in again within a week, at random")
    if waiting.coming:
        day = first_seal(last, book_as_of)
        sealed = "the network's first seal" if book_as_of is None else _AFTER_LISTING
        said.append(f"bands other than `new` from {day} at the earliest, {sealed}")
    for count, text in ((waiting.decision, _DECISION), (waiting.book, _BOOK)):
        if count:
            said.append(text.format(count=count))
    return said
