"""The texts of errors as the desk shows them to staff.

Invariant: no sentence says or hints what happened elsewhere, but that somebody is known at very
many outlets; "new" and a missing band are never a refusal, in any wording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.bands.lookup import A_PERSON_LOOKS, MANY_OUTLETS, Status
from outlet_client.errors import BookMissing, NoIdentifier, QuotaSpent, ServiceUnreachable
from outlet_client.records.actor import LookupPurpose

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = "/"

FORBIDDEN = (
    "Not for your role",
    "Your account may not see this page. Whoever runs this program gives out roles.",
)

PURPOSES: Mapping[LookupPurpose, str] = {
    LookupPurpose.SALE: "Sale in progress",
    LookupPurpose.ALLOCATION: "Allocation review",
    LookupPurpose.SERVICE: "Service",
    LookupPurpose.CUSTOMER: "The customer asked",
}
"""Why staff look somebody up; the order is the form's."""

NO_BANDS: Mapping[str, tuple[str, str]] = {
    Status.NOT_IN_NETWORK: (
        "No band here",
        "Not in the network from this outlet, or no longer. Decide as without a band.",
    ),
    Status.UNDER_REVIEW: (
        "Under review",
        "The customer disputes what is held of them. Decide as without a band.",
    ),
    Status.CONSENT_NEEDED: (
        "The customer's agreement comes first",
        "This outlet has none yet. Read the notice to them, or let them read it.",
    ),
    MANY_OUTLETS: ("A person looks", A_PERSON_LOOKS),
}
"""What is shown instead of bands, by `Answer.no_band`: a heading and a sentence."""

MEANS: Mapping[tuple[str, str], str] = {
    ("eligibility", "new"): "Not enough history",
    ("eligibility", "building"): "Building",
    ("eligibility", "eligible"): "Eligible",
    ("eligibility", "priority"): "Priority",
    ("flipper_risk", "new"): "Not enough history",
    ("flipper_risk", "low"): "Low",
    ("flipper_risk", "elevated"): "Elevated",
    ("flipper_risk", "review"): "A person decides",
}
"""Each band in words, by score and band."""

_SAID: Mapping[type[Exception], str] = {
    NoIdentifier: "Neither the phone nor the e-mail can be used. Check what was typed; a phone "
    "from abroad needs its country, such as +44.",
    QuotaSpent: "The network answers no more first-time look-ups of this outlet today. An "
    "agreement that was just given is recorded; look the customer up tomorrow.",
    ServiceUnreachable: "The network cannot be reached just now. An agreement that was just given "
    "is recorded; customers of this outlet can be looked up all the same.",
    BookMissing: "There is no band book here, or only one that is too old to show. Decide as "
    "without a band, and tell whoever runs this program: `escapement-outlet status` says why.",
}


def message_of_file_error(error: OSError) -> str:
    """Why a file cannot be read or written, without its path, which nobody at the desk needs."""
    why = error.strerror or type(error).__name__
    return (
        f"A file of this outlet cannot be read or written: {why}. Tell whoever runs this program."
    )


def message_of_error(error: Exception) -> str:
    """The text of one of our errors for staff; the error's own where there is no other."""
    return _SAID.get(type(error), str(error))
