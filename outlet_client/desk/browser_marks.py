"""Marks of browsers in which nobody is signed in, and the addresses that the desk is known under.

Invariant: a mark is random and in a cookie of that browser only; no host but the desk's own is
answered.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit

_MARK = re.compile(r"[A-Za-z0-9_-]{43}")
_FORM = "desk-form"
"""Cookie of a browser in which nobody is signed in yet; its forms carry the same."""


def own_origin(site: Site, request: Request) -> str | None:
    """Which of the desk's addresses a request was made to; None where it is none of them."""
    host = request.headers.get("host", "").lower()
    return next((one for one in site.origins if urlsplit(one).netloc == host), None)


def anonymous_mark(site: Site, visit: Visit) -> str:
    """The mark in forms of a browser in which nobody is signed in."""
    return known_mark(site, visit) or secrets.token_urlsafe()


def known_mark(site: Site, visit: Visit) -> str:
    """The mark that such a browser brings; "" where it brings none."""
    found = visit.cookies.get(site.cookie_of(_FORM), "")
    return found if _MARK.fullmatch(found) else ""


def with_anonymous_mark(site: Site, answer: Response, mark: str) -> Response:
    """Adds the cookie that belongs to the mark in the form."""
    name = site.cookie_of(_FORM)
    answer.set_cookie(name, mark, httponly=True, samesite="strict", secure=site.is_secure)
    return answer
