"""The form with which staff add a customer to a waitlist, from the answer of a look-up.

Invariant: what was typed of a customer is in the page that answers that very form and nowhere else;
a page never adds a wish of somebody who withdrew after it was made, nor tells or adds one of
somebody whom whoever sends it did not look up, which is in the log.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.allocation.own_waits import own_waits
from outlet_client.allocation.wish_store import wishes_in
from outlet_client.allocation.wish_taking import (
    BY_MISTAKE,
    end_wish,
    open_wishes_of,
    take_wish_down,
    wish_key,
)
from outlet_client.desk.kept_answers import taken_back_since
from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import redirect_to
from outlet_client.errors import OWN_ERRORS
from outlet_client.people.identifiers import identifiers, typed_keys
from outlet_client.people.masked_identifiers import masked_identifier
from outlet_client.records.access_log import LogAct, recent_entries

if TYPE_CHECKING:
    from outlet_client.allocation.own_waits import OwnWait
    from outlet_client.allocation.wish_store import Wish
    from outlet_client.desk.site import DoneResponse, Site, Visit

_WITHDREW = (
    "The customer withdrew after this page was made, so nothing was added. Look them up again if "
    "they ask for it all the same."
)
_NOT_YOURS = (
    "Only who added a wish takes it back, and on that day. Ask a manager, who closes it with a "
    "reason."
)
_NOT_LOOKED_UP = "Nothing was added: look the customer up first."
_NO_REFERENCE = "Say which reference the customer wishes for."

_LOOKED_UP = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, repr=False)
class WishView:
    """What an answer shows of its customer's wishes.

    Attributes:
        understood: Phone and e-mail as they were read, masked.
        unread: Which of both was typed and cannot be used; "" where neither.
        waiting: The open wishes told at the desk.
        own: What they wait for by the outlet's own list.
        mine: The numbers of those that whoever looks added today, and may take back.
        refused: The reference as typed for a wish that was refused; "" without one.
    """

    understood: str
    unread: str
    waiting: tuple[Wish, ...]
    own: tuple[OwnWait, ...] = ()
    mine: frozenset[int] = frozenset()
    refused: str = ""

    def waits_for(self, reference: str) -> bool:
        """Whether one of them is for a reference."""
        told = {one.reference for one in self.waiting}
        return reference in told | {one.reference for one in self.own}


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
    return WishView(
        understood, "".join(missing), tuple(waiting), own_waits(site.access, key),
        frozenset(one.number for one in waiting if _may_take_back(one, visit)), refused,
    )  # fmt: skip


def add_wish(site: Site, visit: Visit) -> DoneResponse | tuple[HTTPStatus, str]:
    """Adds a customer to a waitlist; returns where to go on, or why it was refused."""
    typed = visit.typed("phone"), visit.typed("email")
    if not was_looked_up(site, visit):
        return HTTPStatus.CONFLICT, _NOT_LOOKED_UP
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
    return redirect_to("/look-up", f"Added to the waitlist for {reference} (wish number {number}).")


def was_looked_up(site: Site, visit: Visit) -> bool:
    """Whether whoever visits looked this very customer up within a day: else nothing is told."""
    people, region = site.access.people, site.access.settings.region
    keys = typed_keys(visit.typed("phone"), visit.typed("email"), people.local_key, region)
    with site.rights.reading() as connection:
        return not keys or any(
            recent_entries(
                connection,
                visit.at - _LOOKED_UP,
                by=visit.name,
                act=LogAct.LOOK_UP,
                key=key,
                limit=1,
            )
            for key in dict.fromkeys(one for typed in keys for one in people.keys_of(typed))
        )


def take_wish_back(site: Site, visit: Visit) -> DoneResponse | tuple[HTTPStatus, str]:
    """Closes a wish that whoever visits added today; returns where to go on, or why not."""
    number = visit.numbers["number"]
    found = next((one for one in wishes_in(site.home) if one.number == number), None)
    if found is None or not _may_take_back(found, visit):
        return HTTPStatus.CONFLICT, _NOT_YOURS
    try:
        end_wish(site.home, number, visit.name, BY_MISTAKE, visit.at)
    except OWN_ERRORS as error:
        return HTTPStatus.CONFLICT, message_of_error(error)
    return redirect_to("/look-up", f"Taken back: wish number {number}, for {found.reference}.")


def _may_take_back(wish: Wish, visit: Visit) -> bool:
    """Whether somebody may undo a wish: their own slip, on the day that they made it."""
    is_today = wish.at.astimezone().date() == visit.at.astimezone().date()
    return wish.by == visit.name and is_today
