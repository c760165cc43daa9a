"""Templates of the outlet's pages: the desk, the nightly report, a customer's record.

Invariant: what stands in a ledger or a note is text on a page, and never markup.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def page_templates(folder: Path, **filters: Callable[..., str]) -> jinja2.Environment:
    """The templates of a folder; all have the filters `moment` and `named`, and more."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment_text, "named": name_in_words, **filters}
    return made


def moment_text(at: str | dt.datetime | None) -> str:
    """A moment for people: 2026-03-01 10:30 UTC; "" for none."""
    if not at:
        return ""
    moment = at if isinstance(at, dt.datetime) else dt.datetime.fromisoformat(at)
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def name_in_words(name: str) -> str:
    """A name of ours for people: "Flipper risk" for flipper_risk."""
    return name.replace("_", " ").capitalize()
