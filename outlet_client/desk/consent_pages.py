"""The privacy officer's page of consents: how many there are, the notice, one given on paper.

Invariant: a consent that is older than a withdrawal is not recorded; who recorded one is in the log
before the page says that it is done.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING

from outlet_client.desk.messages import message_of_error
from outlet_client.desk.site import redirect_to, render
from outlet_client.errors import OWN_ERRORS, NoIdentifier, OutletError
from outlet_client.people.consents import Recorded
from outlet_client.people.identifiers import typed_keys
from outlet_client.records.access_log import LogAct, record_act
from outlet_client.records.actor import LookupPurpose
from outlet_client.rights.general_kinds import kinds_in_general

if TYPE_CHECKING:
    from starlette.responses import Response

    from outlet_client.desk.site import Site, Visit

ON_PAPER = "on paper"
"""How the log says that a consent was given."""

_SAID = {
    Recorded.NEW: "Recorded: a consent on paper to notice {notice}, of {day}. The customer is "
    "registered with a coming night.",
    Recorded.ALREADY: "It was recorded already: a consent to notice {notice}, of {day}.",
}
_TOO_OLD = (
    "This customer withdrew on that day or later, so this consent does not count. One that was "
    "given since is recorded with its own day."
)
_MOST = 40


def show_consents(
    site: Site, visit: Visit, status: HTTPStatus = HTTPStatus.OK, error: str = "", at: str = ""
) -> Response:
    """How many consents there are to each notice, the notice, and what a band is made of."""
    return render(
        "consents.html", site, visit, status, notices=site.access.people.consent_counts(),
        notice=site.notice, kinds=kinds_in_general(site.home), error=error, at=at, most=_MOST,
        today=visit.at.astimezone().date().isoformat(),
        typed={name: visit.typed(name) for name in ("phone", "email", "notice", "given")},
    )  # fmt: skip


def record(site: Site, visit: Visit) -> Response:
    """Records a consent that a customer gave on paper."""
    try:
        notice, day = _given(site, visit)
        made = _recorded(site, visit, notice, day)
    except _Wrong as wrong:
        return show_consents(site, visit, HTTPStatus.BAD_REQUEST, str(wrong), wrong.at)
    except OWN_ERRORS as error:
        at = "phone" if isinstance(error, NoIdentifier) else ""
        return show_consents(site, visit, HTTPStatus.CONFLICT, message_of_error(error), at)
    if made is Recorded.TOO_OLD:
        return show_consents(site, visit, HTTPStatus.CONFLICT, _TOO_OLD, "given")
    return redirect_to("/consents", _SAID[made].format(notice=notice, day=day))


class _Wrong(OutletError):
    """A field that cannot be as it was filled in."""

    def __init__(self, at: str, words: str) -> None:
        super().__init__(words)
        self.at = at


def _given(site: Site, visit: Visit) -> tuple[str, dt.date]:
    """To which notice the customer agreed, and on which day.

    Raises:
        _Wrong: If a field is missing or cannot be read.
    """
    if visit.typed("signed") != "yes":
        raise _Wrong("signed", "Tick that you have the paper with the customer's signature.")
    notice = visit.typed("notice")
    if not notice or len(notice) > _MOST or not notice.isprintable():
        version = site.notice.version
        raise _Wrong("notice", f"Expected the version that the paper has, such as {version}.")
    try:
        day = dt.date.fromisoformat(visit.typed("given"))
    except ValueError as error:
        words = "Expected the day on which it was signed, such as 2026-11-30."
        raise _Wrong("given", words) from error
    if day > visit.at.astimezone().date():
        raise _Wrong("given", "This day is in the future; expected today or earlier.")
    return notice, day


def _recorded(site: Site, visit: Visit, notice: str, day: dt.date) -> Recorded:
    """Records it, and logs that.

    One of an earlier day counts from its beginning, so that it undoes no withdrawal of that day; so
    does one of today by a page of which nobody can say when it was made.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable.
    """
    access, moment = site.access, dt.datetime.combine(day, dt.time()).astimezone()
    if day == visit.at.astimezone().date() and visit.made is not None and visit.made <= visit.at:
        moment = visit.made
    typed = visit.typed("phone") or None, visit.typed("email") or None
    keys = typed_keys(*typed, access.people.local_key, access.settings.region)
    if not keys:
        raise NoIdentifier
    key, *also = keys
    made = access.people.record_consent(key, notice, visit.name, moment, also)
    if made is Recorded.NEW:
        with site.rights.transaction() as connection:
            record_act(
                connection, visit.at, LogAct.CONSENT, visit.name, key=key,
                purpose=LookupPurpose.CUSTOMER, about=ON_PAPER,
            )  # fmt: skip
    return made
