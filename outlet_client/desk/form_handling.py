"""How the desk answers forms: each acts once, and its answer is a page to be read with GET.

Invariant: a form acts only with the mark of this very session and a key that nobody used; whatever
is sent again is answered with the result of the first. A form of ours that comes too late shows
what was typed, and does nothing.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from outlet_client.desk.browser_marks import anonymous_mark, known_mark, with_anonymous_mark
from outlet_client.desk.drafts import Draft
from outlet_client.desk.form_keys import CSRF, KEY, FormResult
from outlet_client.desk.kept_pages import AnswerPage, TypedForm
from outlet_client.desk.site import message_page, number_of, redirect_to

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from outlet_client.desk.kept_pages import KeptPages
    from outlet_client.desk.site import Page, Site, Visit

_LOG = logging.getLogger(__name__)

SHOWN = "shown"
"""In an address: the number of a page that is kept for this browser."""

SIGN_IN, HOME = "/sign-in", "/"
_MOST_DRAFT = 40_000
_OWN = (CSRF, KEY)

GONE = "What stood here is shown no more; nothing was done again."
TOO_LATE = (
    "Nothing was done: this page was too old when it was sent. Look at it, and send it again."
)
SIGNED_OUT = "You were signed out before this was sent, and nothing was done. Send it again."
SIGN_IN_AGAIN = "You were signed out, and nothing was done. Sign in: what you typed is kept."
DONE_BEFORE = "This had been done already; it was not done again."
UNKNOWN = (
    "The program was stopped just when this was sent. It may have been done or not: look before "
    "you send it again."
)
_UNDER_WAY = "This is still being done. Wait a moment, then go on."


def shown(site: Site, page: Page, visit: Visit) -> Response:
    """Answers a request with GET: a page that is kept for this browser, or the page itself."""
    assert page.get is not None  # noqa: S101  (whoever calls has looked)
    pages = _pages(site, visit)
    told = "" if pages is None else pages.said(_location(visit))
    number = visit.query.get(SHOWN)
    if number is None:
        return page.get(site, replace(visit, told=told))
    found = None if pages is None else pages.find(number_of(number), visit.path)
    if isinstance(found, AnswerPage):
        made = Response(found.body, found.status, found.headers, found.media_type)
        del made.headers["content-length"]
        made.headers["content-length"] = str(len(found.body))
        return made
    if isinstance(found, TypedForm):
        return page.get(site, replace(visit, form=found.fields, told=told or found.note))
    return page.get(site, replace(visit, told=told or GONE))


def taken(
    site: Site, page: Page, visit: Visit, failed: Callable[[Exception], Response]
) -> Response:
    """Takes a form, once, and sends the browser to the page that answers it."""
    assert page.post is not None  # noqa: S101  (likewise)
    name = "" if visit.account is None else visit.account.name
    made = site.form_keys.made_at(visit.form.get(KEY, ""), name, visit.path, visit.at)
    if page.opens_session and visit.session is not None and not _is_of_session(site, visit):
        return _went_on(site, visit, name)
    if not page.acts:
        return page.post(site, visit) if _is_of_session(site, visit) else not_ours(site, visit)
    if made is None or not _is_of_session(site, visit):
        return not_ours(site, visit) if made is None else _late(site, page, visit, name)
    digest = site.form_keys.digest(name, visit.path, visit.form)
    before = site.form_keys.begin(digest, visit.at, durable=page.durable)
    if before is not None:
        return _repeated(site, page, visit, before)
    try:
        answer = page.post(site, replace(visit, made=made))
    except Exception as error:  # noqa: BLE001  (said as everywhere, and remembered)
        answer = failed(error)
    return _finished(site, page, visit, digest, answer)


def signed_out(site: Site, page: Page, visit: Visit) -> Response:
    """Answers a form that came after its session: what was typed goes with the sign-in."""
    typed = [text for field, text in visit.form.items() if field not in _OWN and text.strip()]
    if not page.keeps_text or not typed or not visit.form.get(KEY):
        return redirect_to(SIGN_IN)
    sealed = site.drafts.sealed(Draft(visit.path, visit.form), visit.at)
    if len(sealed) > _MOST_DRAFT:
        return redirect_to(SIGN_IN)
    mark = anonymous_mark(site, visit)
    kept = TypedForm(SIGN_IN, {"draft": sealed}, SIGN_IN_AGAIN)
    return with_anonymous_mark(site, redirect_to(site.strangers.of(mark).keep(kept)), mark)


def resumed(site: Site, name: str, sealed: str, pages: KeptPages, visit: Visit) -> str:
    """Where somebody goes on who signed in with a draft; "" where it is not theirs, or old."""
    draft = site.drafts.opened(sealed, visit.at) if sealed else None
    if draft is None:
        return ""
    if site.form_keys.made_at(draft.fields.get(KEY, ""), name, draft.path, visit.at) is None:
        return ""
    before = site.form_keys.result_of(site.form_keys.digest(name, draft.path, draft.fields))
    if before is not None and before.location:
        pages.say(before.location, before.said or DONE_BEFORE)
        return before.location
    note = SIGNED_OUT if before is None else UNKNOWN
    fields = {field: text for field, text in draft.fields.items() if field not in _OWN}
    place = next((one.form_path(draft.path) for one in site.pages if one.fits(draft.path)), "")
    return pages.keep(TypedForm(place, fields, note)) if place else ""


def _went_on(site: Site, visit: Visit, name: str) -> Response:
    """Answers a sign-in of another tab, where somebody has signed in since."""
    assert visit.session is not None  # noqa: S101  (likewise)
    draft = visit.typed("draft")
    return redirect_to(resumed(site, name, draft, visit.session.pages, visit) or HOME)


def keep_typed(site: Site, visit: Visit) -> Response:
    """Shows a form anew with what was typed so far: the page would have put itself away."""
    path = visit.typed("form")
    fields = {field: text for field, text in visit.form.items() if field not in (*_OWN, "form")}
    place = next(
        (one.form_path(path) for one in site.pages if one.keeps_text and one.fits(path)), ""
    )
    if not place or visit.session is None:
        return not_ours(site, visit)
    note = "Kept: nothing was sent yet."
    return redirect_to(visit.session.pages.keep(TypedForm(place, fields, note)))


def not_ours(site: Site, visit: Visit) -> Response:
    """Refuses a form that no page of ours made for this session."""
    title = "This form is too old, or not from here"
    lines = ("Nothing was done. Go back, reload the page, and send it again.",)
    return message_page(site, visit, HTTPStatus.FORBIDDEN, title, *lines)


def _is_of_session(site: Site, visit: Visit) -> bool:
    """Whether a form comes from a page of ours that was made for this session."""
    sent = visit.form.get(CSRF, "")
    if visit.session is not None:
        return visit.session.is_form_of(sent)
    mark = known_mark(site, visit)
    return bool(mark) and hmac.compare_digest(mark.encode(), sent.encode())


def _pages(site: Site, visit: Visit) -> KeptPages | None:
    if visit.session is not None:
        return visit.session.pages
    mark = known_mark(site, visit)
    return site.strangers.of(mark) if mark else None


def _location(visit: Visit) -> str:
    number = visit.query.get(SHOWN)
    return visit.path if number is None else f"{visit.path}?{SHOWN}={number}"


def _late(site: Site, page: Page, visit: Visit, name: str) -> Response:
    """Answers a form of an earlier session of the same account; it does nothing."""
    if visit.session is None:
        return not_ours(site, visit)
    before = site.form_keys.result_of(site.form_keys.digest(name, visit.path, visit.form))
    if before is not None:
        return _repeated(site, page, visit, before)
    if not page.keeps_text:
        return not_ours(site, visit)
    fields = {field: text for field, text in visit.form.items() if field not in _OWN}
    kept = TypedForm(page.form_path(visit.path), fields, TOO_LATE)
    return redirect_to(visit.session.pages.keep(kept))


def _repeated(site: Site, page: Page, visit: Visit, before: FormResult) -> Response:
    """Answers what was sent again with the result of the first."""
    if before.location:
        pages = _pages(site, visit)
        if before.said and pages is not None:
            pages.say(before.location, before.said)
        return redirect_to(before.location)
    words = _UNDER_WAY if before.under_way else UNKNOWN
    back = page.form_path(visit.path)
    return message_page(site, visit, HTTPStatus.ACCEPTED, "One moment", words, back=back)


def _finished(site: Site, page: Page, visit: Visit, digest: str, answer: Response) -> Response:
    """Sends the browser to what came of a form, and remembers that."""
    is_redirect = HTTPStatus.MULTIPLE_CHOICES <= answer.status_code < HTTPStatus.BAD_REQUEST
    gone = answer if is_redirect else _kept(site, page, visit, answer)
    refused = HTTPStatus.BAD_REQUEST <= answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    nothing = refused or not getattr(answer, "acted", True)
    if (nothing and not page.checks_password) or (is_redirect and page.opens_session):
        site.form_keys.release(digest, durable=page.durable)
        return gone
    said = getattr(answer, "said", "")
    result = FormResult(gone.headers["location"], said)
    if said and visit.session is not None:
        visit.session.pages.say(result.location, said)
    _remember(site, page, digest, result, visit)
    return gone


def _remember(site: Site, page: Page, digest: str, result: FormResult, visit: Visit) -> None:
    if not page.durable:
        site.form_keys.finish_in_memory(digest, result, visit.at)
        return
    try:
        site.form_keys.finish(digest, result, visit.at)
    except SQLAlchemyError as error:  # it is done all the same, and begun is in the store
        _LOG.error("%s: what came of a form: %s", page.path, type(error).__name__)
        site.form_keys.finish_in_memory(digest, result, visit.at)


def _kept(site: Site, page: Page, visit: Visit, answer: Response) -> Response:
    """Keeps a page that answers a form, and sends the browser there."""
    headers: Mapping[str, str] = {
        name: text
        for name, text in answer.headers.items()
        if name not in ("content-length", "set-cookie", "content-type")
    }
    kept = AnswerPage(
        page.form_path(visit.path),
        answer.status_code,
        bytes(answer.body),
        headers,
        answer.media_type,
        getattr(answer, "still", lambda: True),
    )
    if visit.session is not None:
        gone = redirect_to(visit.session.pages.keep(kept))
        gone.background = answer.background
        return gone
    mark = anonymous_mark(site, visit)
    gone = redirect_to(site.strangers.of(mark).keep(kept))
    gone.background = answer.background
    return with_anonymous_mark(site, gone, mark)
