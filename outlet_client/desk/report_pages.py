"""The page that shows managers the nightly report.

Invariant: it is the page that the night wrote, as it stands, and nothing in it may run.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from outlet_client.desk.site import OWN_STYLE, message_page

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit


def show(site: Site, visit: Visit) -> Response:
    """Shows the report of the last night."""
    try:
        text = (site.home / "report.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        title, line = "No report yet", "The first night that ends writes one."
        return message_page(site, visit, HTTPStatus.NOT_FOUND, title, line)
    return HTMLResponse(text, headers={"Content-Security-Policy": OWN_STYLE})
