"""The look-up page: a customer's two bands and what they allow.

Invariant: what was typed is in the page that answers that very form and nowhere else, not in an
address, a cookie or a log; and an answer shows bands, what they allow and the day that they are of,
never counts, prices, outlets, dates or people of purchases elsewhere.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.allocation.reference_names import named_reference, offered_references
from outlet_client.allocation.waitlist import allowance
from outlet_client.bands.lookup import Status
from outlet_client.bands.lookup_quota import LookupQuotaReached
from outlet_client.desk.kept_answers import may_still_be_shown, taken_back_since
from outlet_client.desk.lookup_usage import used_today
from outlet_client.desk.messages import MEANS, NO_BANDS, PURPOSES, message_of_error
from outlet_client.desk.site import render
from outlet_client.desk.wish_pages import add_wish, take_wish_back, was_looked_up, wish_view
from outlet_client.errors import OWN_ERRORS, NoIdentifier, OutletError
from outlet_client.records.actor import Actor, LookupPurpose, NotAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outlet_client.allocation.waitlist import Allowance
    from outlet_client.bands.lookup import Answer
    from outlet_client.desk.site import PageResponse, Site, Visit
    from outlet_client.desk.wish_pages import WishView

_PATIENCE = 5.0
_ALONE: dict[str, threading.Lock] = {}
"""Counting and looking up belong together: nobody passes a quota by asking twice at once. One each,
so that nobody waits for a colleague whose first-time look-up waits for the network.
"""


class Flaw(NamedTuple):
    """Why something was not done, and the field that it is about; "" where it is of none."""

    words: str
    at: str = ""


class Busy(OutletError):
    """Somebody's last look-up is still being answered."""

    def __init__(self) -> None:
        super().__init__("Your last look-up is still being answered. Wait for it, then try again.")


def show_look_up(site: Site, visit: Visit) -> Response:
    """An empty form."""
    return _page(site, visit)


def look_up(site: Site, visit: Visit) -> Response:
    """Answers for one customer."""

    def ask(asked: Actor) -> Answer:
        return site.access.look_up.look_up(visit.typed("phone"), visit.typed("email"), asked)

    return _answered(site, visit, ask)


def add_to_waitlist(site: Site, visit: Visit) -> Response:
    """Adds the customer who was looked up to the waitlist of a reference."""
    done = add_wish(site, visit)
    if isinstance(done, Response):
        return done
    status, words = done
    wish = None
    with suppress(NoIdentifier):  # of nobody there is no form
        if was_looked_up(site, visit):
            wish = wish_view(site, visit, visit.typed("reference"))
    form = {name: text for name, text in visit.form.items() if name != "reference"}
    return _page(site, replace(visit, form=form), status, error=Flaw(words), wish=wish)


def take_back(site: Site, visit: Visit) -> Response:
    """Closes a wish that whoever visits added by mistake today."""
    done = take_wish_back(site, visit)
    if isinstance(done, Response):
        return done
    status, words = done
    return _page(site, visit, status, error=Flaw(words))


def first_time(site: Site, visit: Visit) -> Response:
    """Records the agreement of a customer, and answers."""
    if visit.typed("agreed") != "yes" or visit.typed("notice") != site.notice.digest:
        words = "Tick the box once the customer has agreed to the notice as it stands here."
        return _page(
            site, visit, HTTPStatus.BAD_REQUEST, error=Flaw(words, "agreed"), nothing=_CONSENT
        )
    if visit.made is None or taken_back_since(site, *_typed(visit), visit.made):
        return _page(site, visit, HTTPStatus.CONFLICT, error=Flaw(_WITHDREW))

    def ask(asked: Actor) -> Answer:
        with site.services() as services:
            return site.access.look_up.first_time(
                visit.typed("phone"),
                visit.typed("email"),
                site.notice.version,
                services,
                site.pinned_total,
                asked,
            )

    told = f"Recorded: the customer agreed to notice {site.notice.version}."
    return _answered(site, visit, ask, HTTPStatus.ACCEPTED, told)


_WITHDREW = (
    "The customer withdrew after this page was made, so nothing was recorded. If they agree again, "
    "look them up again and read the notice to them."
)
_NO_PURPOSE = "Say why you look this customer up: choose a purpose."

_CONSENT = (Status.CONSENT_NEEDED.value, *NO_BANDS[Status.CONSENT_NEEDED])


def _answered(
    site: Site,
    visit: Visit,
    ask: Callable[[Actor], Answer],
    unanswered: HTTPStatus = HTTPStatus.CONFLICT,
    told: str = "",
) -> Response:
    """The page with what is answered.

    `unanswered` is the status where there is no answer, but something was stored on the way; `told`
    is a sentence above an answer.
    """
    reference = visit.typed("reference")
    settings = site.access.settings
    try:
        asked = Actor.of(visit.name, visit.typed("purpose"))
        if reference:
            named_reference(settings, reference)  # before anything is logged or spent
        with _alone(visit.name):
            used_today(site, visit, more=1)
            answer = ask(asked)
        allowed = None
        if reference and answer.status is not Status.CONSENT_NEEDED:
            allowed = allowance(settings, reference, answer)
    except OWN_ERRORS as error:
        return _unanswered(site, visit, error, unanswered)
    nothing = None
    if answer.no_band:
        nothing = (answer.no_band, *NO_BANDS[answer.no_band])
    wish = wish_view(site, visit)
    shown = replace(visit, told=told or visit.told)
    made = _page(site, shown, answer=answer, allowed=allowed, nothing=nothing, wish=wish)
    if answer.bands:
        made.still = partial(may_still_be_shown, site, *_typed(visit), visit.at)
    return made


def _unanswered(site: Site, visit: Visit, error: Exception, otherwise: HTTPStatus) -> PageResponse:
    """The page that says why there is no answer."""
    words, status, at = message_of_error(error), otherwise, ""
    if isinstance(error, NotAsked):
        words, status, at = _NO_PURPOSE, HTTPStatus.BAD_REQUEST, "purpose"
    elif isinstance(error, LookupQuotaReached | Busy):
        status = HTTPStatus.TOO_MANY_REQUESTS
    elif isinstance(error, NoIdentifier):  # nothing was stored yet
        status, at = HTTPStatus.CONFLICT, "phone"
    elif isinstance(error, AllocationRefused):
        at = "reference"
    return _page(site, visit, status, error=Flaw(words, at))


def _typed(visit: Visit) -> tuple[str, str]:
    return visit.typed("phone"), visit.typed("email")


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Lets one look-up of a person be made at a time.

    Raises:
        Busy: If another one takes long.
    """
    lock = _ALONE.setdefault(name, threading.Lock())
    if not lock.acquire(timeout=_PATIENCE):
        raise Busy
    try:
        yield
    finally:
        lock.release()


def _page(
    site: Site,
    visit: Visit,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    error: Flaw | None = None,
    answer: Answer | None = None,
    allowed: Allowance | None = None,
    nothing: tuple[str, str, str] | None = None,
    wish: WishView | None = None,
) -> PageResponse:
    settings, wrong = site.access.settings, error or Flaw("")
    typed = {name: visit.typed(name) for name in ("phone", "email", "purpose", "reference")}
    if allowed is not None:
        typed["reference"] = allowed.reference
    return render(
        "look_up.html", site, visit, status,
        typed=typed, purposes=[(one.value, word) for one, word in PURPOSES.items()],
        references=settings.references is not None, offered=offered_references(settings),
        left=used_today(site, visit, more=0), error=wrong.words, at=wrong.at,
        answer=answer, means=MEANS, allowed=allowed, nothing=nothing, wish=wish,
        notice=site.notice, own_request=LookupPurpose.CUSTOMER.value,
    )  # fmt: skip
