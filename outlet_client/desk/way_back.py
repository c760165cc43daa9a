"""The line above a page that is a file of its own, with which people go on at the desk.

Invariant: it is not printed, and the page below it stays as it was written.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_BODY = "<body>"
_LOOK = (
    "<style>.way-back { font-size: .9rem; padding: .5rem 1.25rem; max-width: 54rem; "
    "margin: 0 auto; } .way-back a { color: inherit; margin-right: 1.25rem; } "
    "@media print { .way-back { display: none; } }</style>"
)


def with_way_back(page: str, links: Mapping[str, str], note: str = "") -> str:
    """A page with a line at its top.

    Args:
        page: HTML.
        links: Words by address.
        note: A sentence behind them.
    """
    ways = " ".join(
        f'<a href="{escape(address)}">{escape(words)}</a>' for address, words in links.items()
    )
    line = f'{_LOOK}<nav class="way-back" aria-label="Desk">{ways} {escape(note)}</nav>'
    return page.replace(_BODY, f"{_BODY}\n{line}", 1)
