"""Whose record a form of the privacy officer's is about: what was typed, or who made a request.

Invariant: a request is named by its number, and by nothing else of the customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlet_client.records.customer_requests import RequestRefused, requests

if TYPE_CHECKING:
    from outlet_client.desk.site import Site, Visit

OF = "of"
"""The field with the number of the request whose customer is meant."""


@dataclass(frozen=True, slots=True, repr=False)
class AskedCustomer:
    """Who is meant.

    Attributes:
        phone: As typed; None where none was.
        email: Likewise.
        key: Of the customer of a request; "" where none was named, and what was typed counts.
    """

    phone: str | None
    email: str | None
    key: str


def asked_customer(site: Site, visit: Visit) -> AskedCustomer:
    """Who is meant by a form.

    Raises:
        RequestRefused: If there is no request of the number that it names.
    """
    phone, email = visit.typed("phone") or None, visit.typed("email") or None
    if not visit.typed(OF):
        return AskedCustomer(phone, email, "")
    number = visit.number(OF)
    with site.rights.reading() as connection:
        found = [] if number is None else requests(connection, number=number)
    if not found:
        raise RequestRefused("request: there is none of this number; reload the page of requests")
    return AskedCustomer(None, None, found[0].key)
