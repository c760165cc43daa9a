"""The errors of `outlet_client` that several modules raise or tell apart.

Each is an `OutletError`, and so are those of one module, which stand in it: a refused allocation in
`allocation/ranking.py`, correction in `ledger/corrections.py`, sighting in
`ledger/sighting_rows.py`, request in `records/customer_requests.py`, decision on two customers in
`people/duplicates.py`, account or sign-in in `staff/accounts.py`; a log that was altered in
`records/access_log.py` and `log_audit.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.errors import FeatureError
from privacy.errors import PrivacyError

if TYPE_CHECKING:
    import datetime as dt


class OutletError(Exception):
    """Base of every error that `outlet_client` raises on purpose."""


OWN_ERRORS = (OutletError, PrivacyError, FeatureError)
"""The errors that this program raises on purpose; their text holds no customer's data."""


class QuestionRefused(OutletError):
    """A question that does not fit its signed plan, or another plan under an answered name."""


class NotConfigured(OutletError):
    """A setting, key or card is missing or wrong."""


class HqUnreachable(OutletError):
    """HQ does not listen, or went away."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"{address}: {why}; is a night running there, and does a firewall let this outlet out? "
            "The next night needs nothing from this one"
        )


class NotOnTheList(OutletError):
    """HQ does not know this outlet's keys."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"outlet {name}: HQ does not know its keys, or is not the HQ on the card; send HQ the "
            "public file of `escapement-outlet enrol` and compare fingerprints"
        )


class ClockOff(OutletError):
    """This outlet's clock is too far from HQ's.

    Attributes:
        seconds: How far ahead of HQ's; negative when behind.
    """

    def __init__(self, seconds: float) -> None:
        way = "ahead of" if seconds > 0 else "behind"
        minutes = round(abs(seconds) / 60)
        size = f"{minutes} minutes" if minutes else f"{abs(seconds):.0f} s"
        super().__init__(
            f"clock: {size} {way} HQ's, expected at most 4 s ahead or 5 minutes behind; set the "
            "time, best by NTP"
        )
        self.seconds = seconds


class ServiceUnreachable(OutletError):
    """The services of HQ or of the privacy office do not listen, or went away.

    Attributes:
        which: "HQ" or "the privacy office".
    """

    def __init__(self, which: str, why: str) -> None:
        super().__init__(
            f"{which}: {why} from its services; are they up, does a firewall let this outlet out, "
            "and is this outlet on the list there? What was stored is sent next time"
        )
        self.which = which


class ServiceRefused(OutletError):
    """HQ or the privacy office said no, or answered what was not asked.

    Attributes:
        which: "HQ" or "the privacy office".
        kind: The refusal's type, as its side names it.
    """

    def __init__(self, which: str, kind: str, why: str) -> None:
        super().__init__(f"{which}: {why}")
        self.which = which
        self.kind = kind


class QuotaSpent(OutletError):
    """A holder of the token key gives no more evaluations today.

    Attributes:
        which: "HQ" or "the privacy office".
        until: When a new day's quota begins.
    """

    def __init__(self, which: str, why: str, until: dt.datetime) -> None:
        super().__init__(f"{which}: {why}; the next quota begins {until:%Y-%m-%d %H:%M} UTC")
        self.which = which
        self.until = until


class NoIdentifier(OutletError):
    """Neither a usable phone nor a usable e-mail was given."""

    def __init__(self) -> None:
        super().__init__(
            "customer: got no usable phone or e-mail, expected a whole number, with +country where "
            "it is not this region's, or one address; ask the customer again"
        )


class ConsentRefused(OutletError):
    """A file of consents that cannot be read; nothing of it was recorded.

    Attributes:
        row: The first bad row, counted from 1 without the header; None if it is about the whole.
        column: The bad column.
    """

    def __init__(self, source: str, row: int | None, column: str, reason: str) -> None:
        place = f"{source}, column {column}" if row is None else f"{source}, row {row}, {column}"
        super().__init__(f"{place}: {reason}; nothing was recorded")
        self.row = row
        self.column = column


class BookMissing(OutletError):
    """No directory to read bands in, or only a band book that is too old to show."""


class TokenUnreadable(OutletError):
    """A token in `outlet.db` that was encrypted with the keys of another folder."""

    def __init__(self) -> None:
        super().__init__(
            "outlet.db: a token in it was encrypted with other keys than this folder's; restore "
            "identity.json and outlet.db from one backup"
        )


class OldNetwork(OutletError):
    """A store of a network in which HQ held tokens."""

    def __init__(self) -> None:
        super().__init__(
            "outlet.db: of a network in which HQ held tokens, as release 0.1 made them; run "
            "`escapement-outlet upgrade` with HQ's and the privacy office's new public files"
        )


class Unforeseen(OutletError):
    """An error that nobody wrote, by its type only: its text may hold a customer's data."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(
            f"{what}: {type(error).__name__}; please report it with the log's line that says where"
        )
        self.what = what


class StoreRefused(OutletError):
    """A database that is none of this outlet's, or of a later release."""


class StoreOutdated(StoreRefused):
    """A database of an earlier release."""

    def __init__(self, place: str, revision: str, expected: str) -> None:
        super().__init__(
            f"{place}: got revision {revision} of the tables, expected {expected}: an earlier "
            "release made it. Run `escapement-outlet upgrade`"
        )
