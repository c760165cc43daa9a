"""The errors of `outlet_client`.

OutletError
+-- QuestionRefused   a question that does not fit its signed plan
+-- NotConfigured     a setting, key or card is missing or wrong
+-- HqUnreachable     HQ does not listen, or went away
+-- NotOnTheList      HQ does not know this outlet's keys
+-- ClockOff          this outlet's clock is too far from HQ's
+-- Unforeseen        an error that nobody wrote, by its type only
"""

from __future__ import annotations


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


class Unforeseen(OutletError):
    """An error that nobody wrote, by its type only: its text may hold a customer's data."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"a question could not be answered: {type_name}; please report it")
