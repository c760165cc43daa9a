"""Whether what the desk answered about a customer may still be shown, or recorded.

Invariant: nothing that a customer took back since is shown again, and no consent is recorded by a
page that is older than a withdrawal: a page never undoes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.database import driver_rows
from outlet_client.moments import text_of_moment
from outlet_client.people.identifiers import identifiers
from outlet_client.people.tables import CONSENTS, WITHDRAWALS
from outlet_client.records.customer_requests import disputed

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.desk.site import Site

_ANY_SINCE = f"SELECT 1 FROM {WITHDRAWALS.name} WHERE at >= ? LIMIT 1"  # noqa: S608  (our own name)


def taken_back_since(
    site: Site, phone: str, email: str, moment: dt.datetime, key: str = ""
) -> bool:
    """Whether a customer withdrew since a moment, under whatever phone or e-mail of theirs.

    Nobody can say so of a moment that is to come: the clock was set back since.
    """
    if moment > site.clock():
        return True
    since = text_of_moment(moment)
    with site.access.people.reading() as connection:
        if not driver_rows(connection, _ANY_SINCE, (since,)):  # as nearly always
            return False
    keys = _reached(site, phone, email, key)
    with site.access.people.reading() as connection:
        for table, at in ((WITHDRAWALS, WITHDRAWALS.c.at), (CONSENTS, CONSENTS.c.withdrawn_at)):
            query = sa.select(table.c.key).where(table.c.key.in_(keys), at >= since)
            if connection.execute(query.limit(1)).first() is not None:
                return True
    return False


def may_still_be_shown(
    site: Site, phone: str, email: str, answered: dt.datetime, key: str = ""
) -> bool:
    """Whether a band that was answered may be shown again: no withdrawal since, and no dispute."""
    if taken_back_since(site, phone, email, answered, key):
        return False
    with site.rights.reading() as connection:
        under_review = disputed(connection)
    if not under_review:
        return True
    return under_review.keys().isdisjoint(_reached(site, phone, email, key))


def _reached(site: Site, phone: str, email: str, key: str) -> set[str]:
    """Every key of a customer, by what was typed or by one of them."""
    people = site.access.people
    if key:
        return set(people.reached(key))
    typed = identifiers(phone, email, site.access.settings.region)
    return {key for one in typed for key in people.reached(people.local_key(one))}
