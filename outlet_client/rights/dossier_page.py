"""A dossier as a page for its customer.

Invariant: one file that opens from a disk, loads nothing and runs nothing; whatever stands in a
ledger or a note is text on it, and never markup.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from outlet_client.rights import rights_text

if TYPE_CHECKING:
    import jinja2

    from outlet_client.rights.dossier import Dossier

_TEMPLATES = Path(__file__).with_name("templates")


def page(made: Dossier, request_days: int) -> str:
    """Writes a dossier as HTML.

    Args:
        made: Of the customer who reads it.
        request_days: Within how many days a request is answered.
    """
    template = _environment().get_template("customer.html")
    return template.render(
        held=made,
        here=rights_text.HELD_HERE,
        outside=rights_text.OUTSIDE,
        rights=rights_text.RIGHTS.format(days=request_days),
    )


def _environment() -> jinja2.Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "moment": moment,
        "money": money,
        "named": named,
        "points": points,
        "cell": cell,
    }
    return made


def moment(text: str | None) -> str:
    """ISO 8601 for people: 2026-03-01 10:30 UTC."""
    if not text:
        return ""
    at = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    return f"{at:%Y-%m-%d %H:%M} UTC"


def money(amount: float) -> str:
    """An amount: 8,000.00."""
    return f"{amount:,.2f}"


def named(text: str) -> str:
    """A name of ours for people: "Flipper risk" for flipper_risk."""
    return text.replace("_", " ").capitalize()


def points(number: int) -> str:
    """Points with their sign, by a real minus."""
    return f"{number:+d}".replace("-", "\N{MINUS SIGN}") if number else "0"


def cell(found: str | float | None, name: str) -> str:
    """A corrected cell: amounts as amounts, and "none" where there is nothing now."""
    if found is None:
        return "none"
    return money(float(found)) if name in ("price", "list_price") else str(found)
