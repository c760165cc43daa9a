"""Moments: this outlet's clock, and how a moment is kept as text."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """This moment, UTC."""
    return dt.datetime.now(dt.UTC)


def today() -> dt.date:
    """The day on this machine's own clock, as whoever takes a request down has it."""
    return now().astimezone().date()


def text_of_moment(at: dt.datetime) -> str:
    """Moments as text that sorts like them."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")
