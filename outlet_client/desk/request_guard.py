"""The guard of every request and answer of the desk: session, role, form, headers.

Invariant: a page is reached only by who is signed in with a role that may see it, after the
undertaking; a form is taken only from a page of ours made for that very session; and no text of an
error reaches a browser but those of our own.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse

from outlet_client.database import database_error_text
from outlet_client.desk.browser_marks import own_origin
from outlet_client.desk.form_handling import not_ours, shown, signed_out, taken
from outlet_client.desk.messages import FORBIDDEN, HOME, message_of_error, message_of_file_error
from outlet_client.desk.site import Visit, message_page, redirect_to
from outlet_client.errors import OWN_ERRORS
from outlet_client.staff.accounts import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from outlet_client.desk.site import Page, Site
    from outlet_client.staff.accounts import Account

_LOG = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
"""Of a form."""

MOST_WAITING = 16
"""Forms with a password that wait until it is checked; one more is turned away."""

LEFT = "/left"

_MOST_FIELDS = 200
_ENCODED = "application/x-www-form-urlencoded"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without one, browsers send no Origin with forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class NoForm(Exception):
    """A form that the desk did not make was sent."""


class Full(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """The queue of password checks, which take long; one a process.

    They wait here and not in threads, so that whoever sends many keeps no other page waiting.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._there = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for one's turn.

        Raises:
            Full: If too many do.
        """
        if self._there >= AT_ONCE + MOST_WAITING:
            raise Full
        self._there += 1
        try:
            async with self._turns:
                yield
        finally:
            self._there -= 1


async def enter(site: Site, page: Page, request: Request, passwords: Passwords) -> Response:
    """Answers one request for a page."""
    is_form = request.method == "POST"
    try:
        form = await _form(request) if is_form else {}
    except (NoForm, ValueError, ClientDisconnect):
        return with_headers(site, PlainTextResponse("No form of ours.", HTTPStatus.BAD_REQUEST))
    try:
        async with passwords.turn() if is_form and page.checks_password else nullcontext():
            return await run_in_threadpool(_entered, site, page, request, form)
    except Full:
        words = "Too many sign in just now. Wait a moment, then send it again."
        return with_headers(site, PlainTextResponse(words, HTTPStatus.SERVICE_UNAVAILABLE))


def with_headers(site: Site, answer: Response) -> Response:
    """Adds the headers that every answer carries; what an answer set itself stays."""
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if site.is_secure:
        answer.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return answer


async def left(site: Site, request: Request) -> Response:
    """What a page becomes that was left alone for as long as a session lasts without use.

    It is no use of a session, so that no page keeps one open.
    """
    origin = own_origin(site, request)
    if origin is None:
        return with_headers(site, PlainTextResponse("No.", HTTPStatus.MISDIRECTED_REQUEST))
    visit = Visit(site.clock(), {}, {}, {}, None, None, origin)
    line = "This page was left alone for a while, so it shows nothing any more."
    return with_headers(site, message_page(site, visit, HTTPStatus.OK, "Put down", line, back=HOME))


def _entered(site: Site, page: Page, request: Request, form: Mapping[str, str]) -> Response:
    origin = own_origin(site, request)
    if origin is None:
        known = ", ".join(site.origins)
        return with_headers(site, PlainTextResponse(f"Open the desk as {known}.", 421))
    path, query = request.path_params, request.query_params
    visit = Visit(
        site.clock(), form, path, query, None, None, origin, request.cookies,
        path=request.url.path,
    )  # fmt: skip
    try:
        visit = _known(site, visit)
        answer = _answered(site, page, visit, request)
    except Exception as error:  # noqa: BLE001  (its text may hold a customer's data)
        answer = _failed(site, page, visit, error)
    if visit.account is not None and answer.media_type == "text/html":
        # Whoever takes up a tablet that was put down finds nothing on it.
        seconds = round(60 * site.access.settings.desk.idle_minutes)
        answer.headers["Refresh"] = f"{seconds}; url={LEFT}"
    return with_headers(site, answer)


def _failed(site: Site, page: Page, visit: Visit, error: Exception) -> Response:
    """A page that says what went wrong, in words of ours."""
    title, status = "That did not work", HTTPStatus.CONFLICT
    if isinstance(error, OWN_ERRORS):
        return message_page(site, visit, status, title, message_of_error(error))
    _LOG.error("%s: %s", page.path, type(error).__name__)
    if isinstance(error, OSError | SQLAlchemyError | sqlite3.Error):
        return message_page(site, visit, status, title, _why(error))
    lines = (
        f"The desk made a mistake ({type(error).__name__}); it is in the program's log.",
        "What you asked for may not have been done. Tell whoever runs this program.",
    )
    return message_page(site, visit, HTTPStatus.INTERNAL_SERVER_ERROR, "A mistake", *lines)


def _why(error: OSError | SQLAlchemyError | sqlite3.Error) -> str:
    """What may be said of it: neither a cell nor a path."""
    if isinstance(error, OSError):
        return message_of_file_error(error)
    return (
        database_error_text(error) if isinstance(error, SQLAlchemyError) else f"database: {error}"
    )


def _known(site: Site, visit: Visit) -> Visit:
    """A visit with whose it is."""
    cookie = visit.cookies.get(site.cookie, "")
    session = site.sessions.find(cookie, visit.at)
    if session is None:
        return visit
    account = site.accounts.find(session.name)
    if account is None or account.generation != session.generation:
        site.sessions.end(cookie)
        return visit
    return replace(visit, account=account, session=session)


def _answered(site: Site, page: Page, visit: Visit, request: Request) -> Response:
    is_form = request.method == "POST"
    view = page.post if is_form else page.get
    if view is None:
        return message_page(site, visit, HTTPStatus.METHOD_NOT_ALLOWED, "Nothing here", back=HOME)
    account = visit.account
    if is_form and not _is_from_here(visit, request):
        return not_ours(site, visit)
    if page.roles and account is None:
        return signed_out(site, page, visit) if is_form else redirect_to("/sign-in")
    if page.roles and account is not None and (elsewhere := _elsewhere(site, page, visit, account)):
        return elsewhere
    if not is_form:
        return shown(site, page, visit)
    return taken(site, page, visit, lambda error: _failed(site, page, visit, error))


def _elsewhere(site: Site, page: Page, visit: Visit, account: Account) -> Response | None:
    """Where somebody is sent who may not see a page, or not yet; None who may."""
    if not page.before_undertaking and (first := _first(site, account)):
        return redirect_to(first)
    if account.role in page.roles:
        return None
    _LOG.warning("%s: another role", page.path)
    return message_page(site, visit, HTTPStatus.FORBIDDEN, *FORBIDDEN)


def _first(site: Site, account: Account) -> str | None:
    """Where somebody has to go before anything else."""
    if account.temporary:
        return "/account"
    return None if site.accounts.undertook(account.name, site.undertaking) else "/undertaking"


def _is_from_here(visit: Visit, request: Request) -> bool:
    """Whether a form was sent by a page under this desk's own address."""
    if request.headers.get("origin", visit.origin) != visit.origin:
        return False
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name, all, a line each."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _ENCODED:
        raise NoForm
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise NoForm
    found: dict[str, str] = {}
    pairs = parse_qsl(
        data.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
    )
    for name, value in pairs:
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found
