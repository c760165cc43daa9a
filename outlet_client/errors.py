"""The errors of `outlet_client`.

OutletError
+-- QuestionRefused   a question that does not fit its signed plan
+-- NotConfigured     a setting, key or card is missing or wrong
+-- HqUnreachable     HQ does not listen, or went away
+-- NotOnTheList      HQ does not know this outlet's keys
+-- ClockOff          this outlet's clock is too far from HQ's
+-- ServiceUnreachable   HQ's or the privacy office's services do not listen, or went away
+-- ServiceRefused    HQ or the privacy office said no, or answered what was not asked
+-- QuotaSpent        no more evaluations today
+-- NoIdentifier      neither a usable phone nor a usable e-mail
+-- ConsentRefused    a file of consents that cannot be read: file, row, column, reason
+-- BookMissing       no band book yet, or only one that is too old to show
+-- ScorecardMissing  no scorecard kept yet, or only one of another catalogue (scorecards.py)
+-- AllocationRefused   an allocation that cannot be proposed or decided as asked (allocation.py)
+-- TooManyBad        so many rows in quarantine that no night is joined (purchases.py)
+-- PartMissing       a part of the events read before is gone or damaged (parts.py)
+-- CountsDiffer      rows in and rows accounted for differ: a defect (taking.py)
+-- DecisionRefused   a decision on two customers that cannot be taken as asked (duplicates.py)
+-- CorrectionRefused an event that cannot be corrected as asked (corrections.py)
+-- SightingRefused   a sighting that cannot be reported or decided as asked (sightings.py)
+-- LogBroken         a log without its beginning, or with an entry that is none (rights/log.py)
+-- LogContradicted   a log that is not the one that was written (rights/audit.py)
+-- NotAsked          a look-up without who or why (rights/asked.py)
+-- StepFailed        a step of the night that an error ended that nobody wrote (nightly.py)
+-- Unforeseen        an error that nobody wrote, by its type only
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


class OutletError(Exception):
    """Base of every error that `outlet_client` raises on purpose."""


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
    """No band book yet, or only one that is too old to show."""


class Unforeseen(OutletError):
    """An error that nobody wrote, by its type only: its text may hold a customer's data."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"a question could not be answered: {type_name}; please report it")
