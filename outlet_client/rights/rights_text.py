"""The sentences that customers are told about their rights.

Invariant: no sentence promises more than the program does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.bands.lookup import Status
from outlet_client.people.people_store import State
from outlet_client.records.access_log import KEEP_DAYS
from outlet_client.records.customer_requests import RequestKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.people.people_store import Person
    from outlet_client.people.withdrawals import Withdrawal
    from outlet_client.settings import OutletFile

OUTSIDE = (
    "This page is of what the program for customer scores holds at this outlet. Your name, phone "
    "and e-mail address are in the outlet's own till and client book, which are not part of it: "
    "ask the outlet."
)
HELD_HERE = (
    "This program stores no phone and no e-mail address. It knows you by a code that it computes "
    "from them with a secret of this outlet."
)
NOTHING_LEFT = (
    "Nothing of you has left this outlet through this program, so nobody else holds anything of "
    "you from here."
)
_AT_HQ = (
    "The network's headquarters (HQ) knows you by a pseudonym that it cannot turn into a phone or "
    "an e-mail address. Under it, it holds your band, masked, and for a month the masked numbers "
    "that it was made of. Neither it nor the network's privacy office can read them, unless one of "
    "them works against the rules with the other, or with an outlet that knows your phone or "
    "e-mail address. No purchase, name or address is sent to it."
)
_DROPPED = (
    "Your consent has ended here: nothing of you is used at this outlet. HQ is told to drop your "
    "entry: its next book has no band of you, and the masked numbers that it was sent of you go "
    "within a month. It keeps a code by which it knows a withdrawn customer, so that nobody brings "
    "you back without a new consent."
)
_AT_OUTLETS = (
    "Every outlet has the network's directory and its band book. Your entry there is masked: it is "
    "read with your phone or e-mail address only, and the program shows it only where you agreed."
)
_AT_HOLDERS = (
    "HQ and the privacy office hold one half each of the key from which pseudonyms are made. "
    "Neither is shown your phone or e-mail address for it, and neither keeps anything of it."
)
_IN_SCORECARDS = (
    "Scorecards are made of sums over all customers who agreed, with noise on them. How much they "
    "may tell of any one customer is bounded, and stated in the network's privacy statement."
)
_RIGHTS = (
    "You may have this as a file, have what is wrong corrected, end your consent, or dispute your "
    "band: it is not shown then until a named person has looked into it. Ask {whom}; you have an "
    "answer within {days} days. If it does not content you, you may complain to the authority for "
    "data protection, where there is one."
)
PURPOSE = (
    "Bands help to decide who is offered a piece that is scarce, and whether a person looks before "
    "that. A person decides."
)
_YEAR = 365.25
_KEPT = (
    "What you bought is kept here for {days} after it happened, and who looked for {log_days} days."
)

REQUEST_KINDS: Mapping[RequestKind, str] = {
    RequestKind.ACCESS: "see what is held",
    RequestKind.EXPORT: "have it as a file",
    RequestKind.CORRECTION: "have something corrected",
    RequestKind.WITHDRAWAL: "withdraw",
    RequestKind.DISPUTE: "dispute the band",
}
"""What a customer may wish to do; the order is the form's."""

_WISHES = "Wishes told at the desk are erased; the outlet's own waitlist is not changed."

NO_SCORECARD = (
    "No scorecard has come to this outlet yet, so nobody here can say what each event adds to your "
    "score."
)
NO_EVENTS = "There is no event in this outlet's ledger, so there is nothing to explain."

WHY = {
    Status.CONSENT_NEEDED: "You never agreed here, so no band of you is read.",
    Status.NOT_IN_NETWORK: "You are not in the network from here, so there is no band.",
    Status.UNDER_REVIEW: "You dispute it. It is not shown until a named person has decided.",
}
"""Why there is no band, by what a look-up says."""

_STATES = {
    State.KNOWN: "You agreed to take part. You are not in the network yet.",
    State.EVALUATED: "You agreed to take part. Your registration leaves with a coming night.",
    State.SENT: "You agreed to take part. Your registration is on its way.",
    State.LISTED: "You agreed to take part, and are in the network.",
    State.WITHDRAWING: "You withdrew your consent. HQ is being told.",
    State.WITHDRAWN: "You withdrew your consent, and are no longer in the network from here.",
    State.BURIED: "Your consent was withdrawn at another outlet.",
}


def rights(settings: OutletFile) -> str:
    """What a customer may ask for, whom, and by when they have an answer."""
    whom = f"our privacy officer ({settings.contact})" if settings.contact else "at this outlet"
    return _RIGHTS.format(whom=whom, days=settings.request_days)


def kept(settings: OutletFile) -> str:
    """For how long this program keeps what it holds of a customer."""
    days, years = settings.keep_days, round(settings.keep_days / _YEAR)
    about = f" (about {years} years)" if years > 1 else ""
    return _KEPT.format(days=f"{days:,} days{about}", log_days=KEEP_DAYS)


def standing(person: Person | None) -> str:
    """Where a customer stands, in words."""
    return "You never agreed to take part here." if person is None else _STATES[person.state]


def elsewhere(person: Person | None) -> tuple[str, ...]:
    """What others hold of a customer, and what nobody does."""
    if person is None or person.slot_key is None:
        return (NOTHING_LEFT,)
    at_hq = _AT_HQ if person.state.stands else _DROPPED
    return (at_hq, _AT_OUTLETS, _AT_HOLDERS, _IN_SCORECARDS)


def withdrawn(found: Withdrawal) -> str:
    """What a withdrawal came to, and whom nobody told."""
    shared = (
        " The phone or e-mail is of several customers in the client book, and nobody has decided "
        "whether they are one person: it ended for all of them. See the duplicates."
        if found.persons > 1
        else ""
    )
    return f"{_withdrawn(found)} {_WISHES}{shared}"


def _withdrawn(found: Withdrawal) -> str:
    if found.state is None:
        return (
            "This customer never consented here: there is nothing to withdraw, and no other "
            "outlet was told. Whoever consented elsewhere withdraws there."
        )
    if not found.left:
        return (
            "Withdrawn here. Nothing of this customer ever left this outlet, so there was nothing "
            "to take back, and other outlets were not told. Whoever consented elsewhere too "
            "withdraws there."
        )
    if found.state is State.WITHDRAWING:
        return (
            "Withdrawn. Nothing of this customer is used here from tonight. The next nights tell "
            "HQ, and again until it is done: the first, or the second if this outlet had not "
            "registered the customer yet. The band book made then is without the entry, at every "
            "outlet; and any other outlet needs a new consent to register this customer again. "
            "No training after that uses this customer; scorecards that were trained before stay."
        )
    if found.state is State.BURIED:
        return (
            "Withdrawn before, at another outlet, or refused by HQ: nothing of this customer is "
            "used here, and nobody was told anything now. Whoever consented elsewhere since then "
            "withdraws there."
        )
    return (
        "Withdrawn before: nothing of this customer is used here, the network's directory had "
        "dropped the entry, and nobody was told anything now. Whoever consented elsewhere since "
        "then withdraws there."
    )
