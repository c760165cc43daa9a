"""The look-up page: a customer's two bands and what they allow.

Invariant: what was typed is in the answer to that very form and nowhere else, not in an address, a
cookie or a log; and an answer shows bands, what they allow and the day that they are of, never
counts, prices, outlets, dates or people of purchases elsewhere.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.allocation.waitlist import allowance, tier_of
from outlet_client.bands.lookup import Status
from outlet_client.desk.lookup_usage import LookupQuotaReached, used_today
from outlet_client.desk.messages import MEANS, NO_BANDS, PURPOSES, message_of_error
from outlet_client.desk.site import render
from outlet_client.errors import OWN_ERRORS, OutletError
from outlet_client.records.actor import Actor, LookupPurpose, NotAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.responses import Response

    from outlet_client.allocation.waitlist import Allowance
    from outlet_client.bands.lookup import Answer
    from outlet_client.desk.site import Site, Visit

_PATIENCE = 5.0
_ALONE: dict[str, threading.Lock] = {}
"""Counting and looking up belong together: nobody passes a quota by asking twice at once. One each,
so that nobody waits for a colleague whose first-time look-up waits for the network.
"""


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


def first_time(site: Site, visit: Visit) -> Response:
    """Records the agreement of a customer, and answers."""
    if visit.typed("agreed") != "yes" or visit.typed("notice") != site.notice.digest:
        words = "Tick the box once the customer has agreed to the notice as it stands here."
        return _page(site, visit, HTTPStatus.BAD_REQUEST, error=words, nothing=_CONSENT)

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

    return _answered(site, visit, ask)


_CONSENT = (Status.CONSENT_NEEDED.value, *NO_BANDS[Status.CONSENT_NEEDED])


def _answered(site: Site, visit: Visit, ask: Callable[[Actor], Answer]) -> Response:
    reference = visit.typed("reference")
    settings = site.access.settings
    try:
        asked = Actor.of(visit.name, visit.typed("purpose"))
        if reference:
            tier_of(settings, reference)  # before anything is logged or spent
        with _alone(visit.name):
            used_today(site, visit, more=1)
            answer = ask(asked)
        allowed = None
        if reference and answer.status is not Status.CONSENT_NEEDED:
            allowed = allowance(settings, reference, answer)
    except NotAsked:
        words = "Say why you look this customer up: choose a purpose."
        return _page(site, visit, HTTPStatus.BAD_REQUEST, error=words)
    except (LookupQuotaReached, Busy) as error:
        return _page(site, visit, HTTPStatus.TOO_MANY_REQUESTS, error=str(error))
    except OWN_ERRORS as error:
        return _page(site, visit, HTTPStatus.CONFLICT, error=message_of_error(error))
    nothing = None
    if answer.no_band:
        nothing = (answer.no_band, *NO_BANDS[answer.no_band])
    return _page(site, visit, answer=answer, allowed=allowed, nothing=nothing)


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
    error: str = "",
    answer: Answer | None = None,
    allowed: Allowance | None = None,
    nothing: tuple[str, str, str] | None = None,
) -> Response:
    return render(
        "look_up.html", site, visit, status,
        typed={name: visit.typed(name) for name in ("phone", "email", "purpose", "reference")},
        purposes=[(one.value, word) for one, word in PURPOSES.items()],
        references=site.access.settings.references is not None,
        left=used_today(site, visit, more=0), error=error, answer=answer, means=MEANS,
        allowed=allowed, nothing=nothing,
        notice=site.notice, own_request=LookupPurpose.CUSTOMER.value,
    )  # fmt: skip
