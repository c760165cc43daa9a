"""Moments: this outlet's clock, and how a moment is kept as text."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from typing_extensions import override


def now() -> dt.datetime:
    """This moment, UTC."""
    return dt.datetime.now(dt.UTC)


def today() -> dt.date:
    """The day on this machine's own clock, as whoever takes a request down has it."""
    return now().astimezone().date()


def text_of_moment(at: dt.datetime) -> str:
    """Moments as text that sorts like them."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")


class MomentText(sa.TypeDecorator[dt.datetime]):
    """A column of moments, kept as `text_of_moment`."""

    impl = sa.Text
    cache_ok = True

    @override
    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else text_of_moment(value)

    @override
    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> dt.datetime | None:
        return None if value is None else dt.datetime.fromisoformat(value)
