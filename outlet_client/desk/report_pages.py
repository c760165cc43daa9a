"""The page that shows managers the nightly report.

Invariant: it is the page that the night wrote, as it stands, below a line that leads back to the
desk; nothing in it may run.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse

from outlet_client.desk.site import OWN_STYLE, message_page
from outlet_client.desk.way_back import with_way_back

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
    note = "The report is as of the night; what waits by now stands under Today."
    text = with_way_back(text, {"/today": "Back to Today"}, note)
    return HTMLResponse(text, headers={"Content-Security-Policy": OWN_STYLE})
