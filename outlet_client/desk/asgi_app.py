"""The desk as an ASGI application: its routes.

Invariant: an address that is not in `PAGES` does not exist, but for two files and an empty page;
and one that is there is reached by `request_guard.enter` only.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from typing_extensions import override

from outlet_client.desk import (
    allocation_pages,
    consent_pages,
    correction_pages,
    duplicate_pages,
    letter_pages,
    list_pages,
    log_pages,
    lookup_pages,
    own_customer_pages,
    report_pages,
    rights_pages,
    sighting_pages,
    sign_in_pages,
    today_pages,
    waitlist_pages,
)
from outlet_client.desk.browser_marks import own_origin
from outlet_client.desk.form_handling import keep_typed
from outlet_client.desk.page_roles import (
    EVERYBODY,
    HAVE_TODAY,
    MAY_ALLOCATE,
    MAY_DECIDE_DISPUTES,
    MAY_DECIDE_DUPLICATES,
    MAY_DECIDE_SIGHTINGS,
    MAY_KEEP_WAITLIST,
    MAY_LOOK_UP,
    MAY_READ_LOG,
    MAY_READ_RECORDS,
    MAY_READ_REPORT,
    MAY_REPORT_SIGHTINGS,
    MAY_SEE_OWN_PURCHASES,
    MAY_TAKE_LISTS,
)
from outlet_client.desk.request_guard import LEFT, Passwords, enter, left, with_headers
from outlet_client.desk.site import MOST_DIGITS, Page, script, style

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from outlet_client.desk.site import Site

PAGES = (
    Page(
        "/sign-in",
        frozenset(),
        sign_in_pages.show_sign_in,
        sign_in_pages.sign_in,
        checks_password=True,
        opens_session=True,
        durable=False,
    ),
    Page(
        "/sign-in/passkey",
        frozenset(),
        None,
        sign_in_pages.sign_in_by_passkey,
        opens_session=True,
        durable=False,
        shows="/sign-in",
    ),
    Page(
        "/sign-out",
        EVERYBODY,
        None,
        sign_in_pages.sign_out,
        before_undertaking=True,
        durable=False,
    ),
    Page("/keep", EVERYBODY, None, keep_typed, before_undertaking=True, acts=False),
    Page("/account", EVERYBODY, sign_in_pages.show_account, before_undertaking=True),
    Page(
        "/account/password",
        EVERYBODY,
        None,
        sign_in_pages.change_password,
        before_undertaking=True,
        checks_password=True,
        shows="/account",
    ),
    Page("/account/passkey", EVERYBODY, None, sign_in_pages.make_passkey, shows="/account"),
    Page(
        "/account/passkey/remove", EVERYBODY, None, sign_in_pages.remove_passkey, shows="/account"
    ),
    Page(
        "/undertaking",
        EVERYBODY,
        sign_in_pages.show_undertaking,
        sign_in_pages.undertake,
        before_undertaking=True,
    ),
    Page("/", EVERYBODY, sign_in_pages.start),
    Page("/today", HAVE_TODAY, today_pages.show),
    Page(
        "/look-up",
        MAY_LOOK_UP,
        lookup_pages.show_look_up,
        lookup_pages.look_up,
        keeps_text=True,
        durable=False,
    ),
    Page(
        "/look-up/agreed",
        MAY_LOOK_UP,
        None,
        lookup_pages.first_time,
        keeps_text=True,
        shows="/look-up",
    ),
    Page(
        "/look-up/wish",
        MAY_LOOK_UP,
        None,
        lookup_pages.add_to_waitlist,
        keeps_text=True,
        shows="/look-up",
    ),
    Page(
        "/look-up/wish/{number:number}/back",
        MAY_LOOK_UP,
        None,
        lookup_pages.take_back,
        shows="/look-up",
    ),
    Page(
        "/customers",
        MAY_SEE_OWN_PURCHASES,
        own_customer_pages.show,
        own_customer_pages.search,
        keeps_text=True,
        durable=False,
    ),
    Page(
        "/customers/purchases",
        MAY_SEE_OWN_PURCHASES,
        None,
        own_customer_pages.purchases,
        keeps_text=True,
        durable=False,
        shows="/customers",
    ),
    Page(
        "/sightings",
        MAY_REPORT_SIGHTINGS,
        sighting_pages.show,
        sighting_pages.tell,
        keeps_text=True,
    ),
    Page("/sightings/look", MAY_DECIDE_SIGHTINGS, None, sighting_pages.look_on, acts=False),
    Page(
        "/sightings/decision",
        MAY_DECIDE_SIGHTINGS,
        None,
        sighting_pages.decide,
        keeps_text=True,
        shows="/sightings",
    ),
    Page(
        "/allocations",
        MAY_ALLOCATE,
        allocation_pages.show_all,
        allocation_pages.ask,
        keeps_text=True,
    ),
    Page(
        "/allocations/{number:number}",
        MAY_ALLOCATE,
        allocation_pages.show_one,
        allocation_pages.decide,
        keeps_text=True,
    ),
    Page(
        "/allocations/{number:number}/look",
        MAY_ALLOCATE,
        None,
        allocation_pages.look_on,
        acts=False,
    ),
    Page("/allocations/{number:number}/draw", MAY_ALLOCATE, allocation_pages.show_draw),
    Page("/allocations/{number:number}/letter", MAY_ALLOCATE, letter_pages.show, letter_pages.make),
    Page("/waitlist", MAY_KEEP_WAITLIST, waitlist_pages.show),
    Page(
        "/waitlist/{number:number}/close",
        MAY_KEEP_WAITLIST,
        None,
        waitlist_pages.close,
        keeps_text=True,
        shows="/waitlist",
    ),
    Page("/report", MAY_READ_REPORT, report_pages.show),
    Page("/log", MAY_READ_LOG, log_pages.show_log),
    Page("/log/reviewed", MAY_READ_LOG, None, log_pages.review, shows="/log"),
    Page("/log/verify", MAY_READ_LOG, log_pages.verify),
    Page(
        "/customer",
        MAY_READ_RECORDS,
        rights_pages.show_customer,
        rights_pages.on_customer,
        keeps_text=True,
    ),
    Page(
        "/customer/correct",
        MAY_READ_RECORDS,
        correction_pages.show_again,
        correction_pages.correct,
        keeps_text=True,
    ),
    Page("/requests", MAY_DECIDE_DISPUTES, rights_pages.show_requests),
    Page(
        "/requests/{number:number}",
        MAY_DECIDE_DISPUTES,
        None,
        rights_pages.answer,
        keeps_text=True,
        shows="/requests",
    ),
    Page(
        "/duplicates",
        MAY_DECIDE_DUPLICATES,
        duplicate_pages.show,
        duplicate_pages.decide,
        keeps_text=True,
    ),
    Page("/lists", MAY_TAKE_LISTS, list_pages.show, list_pages.export, keeps_text=True),
    Page(
        "/consents",
        MAY_READ_RECORDS,
        consent_pages.show_consents,
        consent_pages.record,
        keeps_text=True,
    ),
)


def desk_app(site: Site) -> Starlette:
    """The application; a server runs it in one process."""
    passwords = Passwords()
    made = Starlette(routes=[_route(site, page, passwords) for page in PAGES] + _files(site))
    # It would send a browser on to whatever the request calls this host.
    made.router.redirect_slashes = False
    for status in (
        HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.INTERNAL_SERVER_ERROR
    ):  # fmt: skip
        made.add_exception_handler(status, _plain(site, status))
    return made


class _Number(Convertor[int]):
    """A number in a path, of a size that every table has room for."""

    regex = f"[0-9]{{1,{MOST_DIGITS}}}"

    @override
    def convert(self, value: str) -> int:
        return int(value)

    @override
    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", _Number())


def _route(site: Site, page: Page, passwords: Passwords) -> Route:
    async def answer(request: Request) -> Response:
        return await enter(site, page, request, passwords)

    return Route(page.path, answer, methods=["GET", "POST"])


def _files(site: Site) -> list[Route]:
    """What pages load, one style sheet and one script; and what they become when left alone."""

    def route(path: str, data: bytes, kind: str) -> Route:
        async def answer(request: Request) -> Response:
            if own_origin(site, request) is None:
                return with_headers(site, PlainTextResponse("No.", HTTPStatus.MISDIRECTED_REQUEST))
            made = Response(data, media_type=kind)
            made.headers["Cache-Control"] = "public, max-age=3600"
            return with_headers(site, made)

        return Route(path, answer)

    async def empty(request: Request) -> Response:
        return await left(site, request)

    return [
        Route(LEFT, empty),
        route(
            "/desk.css", style(site.access.settings.desk.idle_minutes)[0], "text/css; charset=utf-8"
        ),
        route("/passkeys.js", script(), "text/javascript; charset=utf-8"),
    ]


def _plain(site: Site, status: HTTPStatus) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, _error: Exception) -> Response:
        return with_headers(site, PlainTextResponse(f"{status.phrase}.", status))

    return answer
