"""The facts of a night that its report is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path

    from features.sightings import Attached
    from outlet_client.contribution.contributions import HomeCustomers
    from outlet_client.ledger.intake import Intake
    from outlet_client.people.person_states import State
    from outlet_client.people.registration import Introduced
    from outlet_client.records.countersigning import LogStanding

LATEST = "report.html"
"""The latest night's report, in the outlet's folder."""


@dataclass(frozen=True, slots=True, repr=False)
class NightFacts:
    """What a night did and read; None for what it did not get as far as.

    Attributes:
        cut_off: The night's cut-off, ISO 8601.
        as_of: The last day in what bands are sealed of, ISO 8601.
        attached: The events, with the sightings that are somebody's and those that are nobody's.
        unknown_references: Rows whose reference is in no tier.
        book_left_out: Entries of the client book without a usable phone or e-mail.
        ambiguous: Pairs of entries of which a person has to say whether they are one customer.
        since: Unix seconds; what left from then on is in no earlier report.
        error: Why the night ended early, fit for an operator to read.
        log: How the log stands; None where it was not looked at.
        later_errors: What else went wrong, after `error`.
        book_as_of: The last day in the data of the band book, ISO 8601; None without one.
    """

    at: dt.datetime
    outlet: str
    home: Path
    cut_off: str | None
    as_of: str | None
    customers: HomeCustomers | None
    intake: Intake | None
    attached: Attached | None
    unknown_references: int
    book_left_out: int
    ambiguous: int
    people: Mapping[State, int]
    introduced: Introduced | None
    since: float
    error: str | None
    log: LogStanding | None = None
    later_errors: tuple[str, ...] = ()
    book_as_of: str | None = None
