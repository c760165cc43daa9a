"""The form with which staff add a customer to a waitlist, from the answer of a look-up.

Invariant: what was typed of a customer is in the page that answers that very form and nowhere else;
a page never adds a wish of somebody who withdrew after it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.allocation.wish_taking import open_wishes_of, take_wish_down, wish_key
from outlet_client.desk.kept_answers import taken_back_since
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import redirect_to
from outlet_client.errors import OWN_ERRORS
from outlet_client.people.identifiers import identifiers
from outlet_client.people.masked_identifiers import masked_identifier

if TYPE_CHECKING:
    from outlet_client.allocation.wish_store import Wish
    from outlet_client.desk.site import DoneResponse, Site, Visit

_WITHDREW = (
    "The customer withdrew after this page was made, so nothing was added. Look them up again if "
    "they ask for it all the same."
)
_NO_REFERENCE = "Say which reference the customer wishes for."


@dataclass(frozen=True, slots=True, repr=False)
class WishView:
    """What an answer shows of its customer's wishes.

    Attributes:
        understood: Phone and e-mail as they were read, masked.
        unread: Which of both was typed and cannot be used; "" where neither.
        waiting: The open wishes told at the desk.
        refused: The reference as typed for a wish that was refused; "" without one.
    """

    understood: str
    unread: str
    waiting: tuple[Wish, ...]
    refused: str = ""

    def waits_for(self, reference: str) -> bool:
        """Whether one of them is for a reference."""
        return any(one.reference == reference for one in self.waiting)


def wish_view(site: Site, visit: Visit, refused: str = "") -> WishView:
    """What the answer about somebody shows.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable.
    """
    phone, email = visit.typed("phone"), visit.typed("email")
    read = identifiers(phone, email, site.access.settings.region)
    key = wish_key(site.access, phone, email)
    with site.rights.reading() as connection:
        waiting = open_wishes_of(connection, site.access.people, key)
    kinds = {one.partition(":")[0] for one in read}
    missing = [
        name
        for name, typed, kind in (("phone", phone, "tel"), ("e-mail", email, "mailto"))
        if typed and kind not in kinds
    ]
    understood = " and ".join(map(masked_identifier, read))
    return WishView(understood, "".join(missing), tuple(waiting), refused)


def add_wish(site: Site, visit: Visit) -> DoneResponse | tuple[HTTPStatus, str]:
    """Adds a customer to a waitlist; returns where to go on, or why it was refused."""
    typed = visit.typed("phone"), visit.typed("email")
    if not visit.typed("reference"):
        return HTTPStatus.BAD_REQUEST, _NO_REFERENCE
    if visit.made is None or taken_back_since(site, *typed, visit.made):
        return HTTPStatus.CONFLICT, _WITHDREW
    try:
        number, reference = take_wish_down(
            site.access, typed, visit.typed("reference"), visit.name, visit.at
        )
    except OWN_ERRORS as error:
        return HTTPStatus.CONFLICT, message_of_error(error)
    return redirect_to("/look-up", f"Added to the waitlist for {reference}, as wish {number}.")
