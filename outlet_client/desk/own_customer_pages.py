"""The outlet's own customers: found by name, and what they bought here.

Invariant: what is shown is the outlet's own client book and ledger, never a band and nothing of
other outlets. A search and a customer's purchases are each counted and in the log before they are
shown; what was typed is in the page that answers that very form and nowhere else.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.bands.lookup_quota import LookupQuotaReached, day_start, left_today
from outlet_client.desk.lookup_usage import used_today
from outlet_client.desk.messages import PURPOSES, message_of_error
from outlet_client.desk.site import render
from outlet_client.errors import OWN_ERRORS, NotConfigured, OutletError
from outlet_client.people.client_names import (
    LEAST_LETTERS,
    MOST_HITS,
    NameTooShort,
    names_of,
    search_names,
)
from outlet_client.records.access_log import LogAct, counts_of_day, note_lookups, record_act
from outlet_client.records.actor import Actor, LookupPurpose, NotAsked
from outlet_client.rights.own_purchases import (
    OWN_PURCHASES,
    OwnPurchases,
    purchases_of_customer,
    purchases_of_identifier,
)

if TYPE_CHECKING:
    from typing import Any

    from outlet_client.desk.site import PageResponse, Site, Visit


class SearchQuotaReached(OutletError):
    """Somebody has searched by name as often today as one person may."""

    def __init__(self, quota: int) -> None:
        super().__init__(
            f"You have searched {quota} times today, which is as often as one person may. Ask a "
            "colleague, or whoever runs this program to raise `desk.lookups_a_day`."
        )


def show(site: Site, visit: Visit) -> PageResponse:
    """An empty search."""
    return _page(site, visit)


def search(site: Site, visit: Visit) -> PageResponse:
    """Customers of the client book by name."""
    try:
        found = search_names(site.access.settings, visit.typed("name"))
        number = f"{len(found.customers)}{' or more' if found.more else ''} found"
        with site.rights.transaction() as connection:
            quota = site.access.settings.desk.lookups_a_day
            start = day_start(visit.at)
            if counts_of_day(connection, visit.name, start, LogAct.SEARCH) >= quota:
                raise SearchQuotaReached(quota)
            record_act(connection, visit.at, LogAct.SEARCH, visit.name, outcome=number)
    except OWN_ERRORS as error:
        return _refused(site, visit, error, "name")
    return _page(site, visit, hits=found)


def purchases(site: Site, visit: Visit) -> PageResponse:
    """What one customer bought, brought back and had serviced here."""
    try:
        asked = Actor.of(visit.name, visit.typed("purpose"))
        used_today(site, visit, more=1)  # before anything is read
        found = _purchases(site, visit)
        with site.rights.transaction() as connection:
            quota = site.access.settings.desk.lookups_a_day
            left_today(connection, visit.name, visit.at, quota, 1)
            note_lookups(connection, visit.at, asked, [(found.key, OWN_PURCHASES)])
    except OWN_ERRORS as error:
        return _refused(site, visit, error, "phone")
    return _page(site, visit, found=found, called=_name(site, found))


def _purchases(site: Site, visit: Visit) -> OwnPurchases:
    customer = visit.typed("customer")
    if customer:
        return purchases_of_customer(site.access, customer, visit.at)
    phone, email = visit.typed("phone") or None, visit.typed("email") or None
    return purchases_of_identifier(site.access, phone, email, visit.at)


def _name(site: Site, found: OwnPurchases) -> str:
    """What the client book calls the customer; "" where it has no names."""
    try:
        names = names_of(site.access.settings, found.customers)
    except NotConfigured:
        return ""
    return next((names[one] for one in found.customers if one in names), "")


def _refused(site: Site, visit: Visit, error: Exception, at: str) -> PageResponse:
    status, words = HTTPStatus.CONFLICT, message_of_error(error)
    if isinstance(error, SearchQuotaReached | LookupQuotaReached):
        status, at = HTTPStatus.TOO_MANY_REQUESTS, ""
    elif isinstance(error, NotAsked):
        status, at = HTTPStatus.BAD_REQUEST, "purpose"
        words = "Say why you look at the customer's purchases: choose a purpose."
    elif isinstance(error, NameTooShort):
        status = HTTPStatus.BAD_REQUEST
        words = f"Type at least {LEAST_LETTERS} letters of a first or last name."
    return _page(site, visit, status, error=words, at=at)


def _page(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, **values: Any
) -> PageResponse:
    told: dict[str, Any] = {"hits": None, "found": None, "called": "", "error": "", "at": ""}
    return render(
        "own_customers.html", site, visit, status,
        typed={name: visit.typed(name) for name in ("name", "phone", "email", "purpose")},
        purposes=[(one.value, word) for one, word in PURPOSES.items()],
        own_request=LookupPurpose.CUSTOMER.value, least=LEAST_LETTERS, most=MOST_HITS,
        left=used_today(site, visit, more=0), **{**told, **values},
    )  # fmt: skip
