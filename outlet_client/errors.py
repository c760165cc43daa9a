"""The errors of `outlet_client` that several modules raise or tell apart.

Each is an `OutletError`, and so are those of one module, which stand in it: a refused allocation in
`allocation/lottery.py`, correction in `ledger/corrections.py`, sighting in
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
    from collections.abc import Mapping, Sequence
    from pathlib import Path


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


class ServiceBusy(ServiceUnreachable):
    """HQ or the privacy office has as many calls of this outlet in flight as it takes."""

    def __init__(self, which: str, why: str) -> None:
        OutletError.__init__(
            self,
            f"{which}: too busy with calls of this outlet, after waiting too ({why}); does another "
            "program use its keys, such as a second night? Calls that were cut off are over within "
            "minutes. What was stored is sent next time",
        )
        self.which = which


class CardsApart(ServiceUnreachable):
    """One side does not take the certificate that the other shows."""

    def __init__(self, which: str, why: str) -> None:
        OutletError.__init__(self, f"{which}: {why}. What was stored is sent next time")
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
            "it is not this region's or no region is set, or one address; none that is typed where "
            "there is none; ask the customer again"
        )


class ImportRefused(OutletError):
    """A file with something bad in it; nothing of it was recorded.

    Attributes:
        faults: All that is bad: row, from 1 without the header, or None where it is about the whole
            file; the file's own heading, "" where it is about the whole row; and reason.

    `lines` are the lines of the file that rows stand on, as far as they are known: they are told.
    """

    def __init__(
        self,
        source: str,
        faults: Sequence[tuple[int | None, str, str]],
        lines: Mapping[int, int] | None = None,
    ) -> None:
        known = lines or {}
        said = [f"{_place_of(row, column, known)}: {reason}" for row, column, reason in faults]
        told = "".join(f"\n  {one}" for one in said)
        super().__init__(f"{source}: nothing was recorded; put this right:{told}")
        self.faults = tuple(faults)


class ConsentRefused(ImportRefused):
    """A file of consents that was refused."""


class WishesRefused(ImportRefused):
    """A file of wishes that was refused."""


def _place_of(row: int | None, column: str, lines: Mapping[int, int]) -> str:
    if row is None:
        return f"column {column}"
    place = f"line {lines[row]}" if row in lines else f"row {row}"
    return f"{place}, {column}" if column else place


class BookMissing(OutletError):
    """No directory to read bands in, or only a band book that is too old to show."""


class BookBehind(OutletError):
    """HQ hands out an earlier book than is here; that one stays."""

    def __init__(self, offered: int, held: int) -> None:
        super().__init__(
            f"HQ hands out book {offered} of the privacy office's, book {held} is here and stays: "
            "HQ was restored from an older copy, and its next book comes with its next seal or "
            "night"
        )


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


class FolderInUse(OutletError):
    """A folder that somebody uses who must not, for what was asked."""

    def __init__(self, home: Path, why: str) -> None:
        super().__init__(f"{home}: {why}")


class StoreMissing(StoreRefused):
    """A database that is not there, and was made with the outlet's keys."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place}: not there, expected in the folder with this outlet's keys; name the right "
            "--home, or bring the whole folder back from a backup, never a database alone. Where "
            "it is lost for good, `escapement-outlet new-store` makes an empty one, and says what "
            "to do"
        )


class StoreOutdated(StoreRefused):
    """A database of an earlier release."""

    def __init__(self, place: str, revision: str, expected: str) -> None:
        super().__init__(
            f"{place}: got revision {revision} of the tables, expected {expected}: an earlier "
            "release made it. Run `escapement-outlet upgrade`"
        )
