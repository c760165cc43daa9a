"""What one customer waits for by the outlet's own waitlist, for the answer of a look-up.

Invariant: no answer waits for a database, and none fails for a list that cannot be read: the page
of the waitlist says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from outlet_client.allocation.interest_rows import read_interests
from outlet_client.allocation.reference_names import reference_list, table_stamp
from outlet_client.errors import OWN_ERRORS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from outlet_client.customer_access import CustomerAccess
    from outlet_client.settings import OutletFile


class OwnWait(NamedTuple):
    """An open entry of the outlet's own list; `since` is None where it has no day."""

    reference: str
    since: dt.date | None


_LISTS: dict[str, tuple[object, Mapping[str, list[OwnWait]]]] = {}
"""By source, with what its files were when it was read: an answer asks for it each time."""


def own_waits(access: CustomerAccess, key: str) -> tuple[OwnWait, ...]:
    """What the person with a key waits for by the outlet's own list; who waits longest first."""
    customers = access.people.customers_of(key)
    try:
        known = _waits(access.settings) if customers else {}
    except (*OWN_ERRORS, OSError):
        return ()
    return tuple(one for customer in customers for one in known.get(customer, ()))


def _waits(settings: OutletFile) -> Mapping[str, list[OwnWait]]:
    """The open entries by customer; none of a ledger or a database."""
    source = settings.interests
    if source is None or (stamp := table_stamp(source)) is None:
        return {}
    place = source.model_dump_json()
    known = _LISTS.get(place)
    if known is not None and known[0] == stamp:
        return known[1]
    rows = read_interests(source)
    names = reference_list(settings).as_listed(rows["reference"])
    found: dict[str, list[OwnWait]] = {}
    for customer, name, since, closed in zip(
        rows["customer"], names, rows["since"], rows["closed"], strict=True
    ):
        if not closed:
            found.setdefault(customer, []).append(OwnWait(name, since))
    _LISTS[place] = stamp, found
    return found
