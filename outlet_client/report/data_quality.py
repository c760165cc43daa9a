"""The quality of the outlet's own data: counts of rows, months, quarantine reasons, people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import polars as pl

from features.events import pieces
from features.ledger import SIGHTINGS
from features.snapshot import CutOff, Snapshot
from outlet_client.people.person_states import State

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from outlet_client.report.night_facts import NightFacts

MOST_REASONS = 10
MOST_MONTHS = 60
_REASON = ("file", "column", "reason")


class QuarantineReason(NamedTuple):
    """Why rows are in quarantine.

    Attributes:
        column: Whose cell it is; empty where it is about the whole row.
        reason: What is wrong; never the cell.
    """

    file: str
    column: str
    reason: str
    rows: int


class Month(NamedTuple):
    """A month of the ledger."""

    first: dt.date
    rows: int


@dataclass(frozen=True, slots=True)
class DataQuality:
    """Counts of what came in.

    Attributes:
        other_rows: Bad cells for reasons that are not listed.
        months: The last months, each up to the last one, also those without rows.
        last_day: Of the newest row that is not dated after today; None without such a row.
        ahead: Rows that are dated after today.
        apart: How many sightings are nobody's, by why.
        undecided: Pieces that were seen for sale and wait for a person to confirm or dismiss it.
    """

    reasons: tuple[QuarantineReason, ...]
    other_rows: int
    months: tuple[Month, ...]
    last_day: dt.date | None
    ahead: int
    apart: dict[str, int]
    undecided: int
    customers: int
    consenting: int
    listed: int

    def days_behind(self, at: dt.date) -> int:
        """How old the newest row is, in days; 0 without rows."""
        return 0 if self.last_day is None else max((at - self.last_day).days, 0)

    @property
    def silent(self) -> list[Month]:
        """Months without a row between others that have some."""
        return [month for month in self.months if not month.rows]

    @property
    def consenting_share(self) -> float | None:
        """People with consent by customers of the ledger; None where that is no share."""
        fits = 0 < self.customers >= self.consenting
        return self.consenting / self.customers if fits else None


def quality(facts: NightFacts) -> DataQuality:
    """Counts what came in."""
    reasons = _reasons(facts.home / "quarantine.csv") if facts.intake is not None else []
    dates = pl.Series("date", [], dtype=pl.Date)
    customers, apart, ahead, undecided = 0, {}, 0, 0
    if facts.attached is not None:
        rows = facts.attached.events.filter(~pl.col("kind").is_in(list(SIGHTINGS)))
        # One mistake in a year must neither hide that no rows come any more, nor stretch the chart.
        dates = rows["date"].filter(rows["date"] <= facts.at.date())
        ahead, customers = len(rows) - len(dates), rows["customer"].n_unique()
        apart = facts.attached.counts()
        undecided = _undecided(facts.attached.events, CutOff(facts.at.date()))
    return DataQuality(
        reasons=tuple(reasons[:MOST_REASONS]),
        other_rows=sum(reason.rows for reason in reasons[MOST_REASONS:]),
        months=_months(dates),
        last_day=cast("dt.date", dates.max()) if len(dates) else None,
        ahead=ahead,
        apart={why: count for why, count in apart.items() if count},
        undecided=undecided,
        customers=customers,
        consenting=sum(count for state, count in facts.people.items() if state.stands),
        listed=facts.people.get(State.LISTED, 0),
    )


def _undecided(events: pl.DataFrame, day: CutOff) -> int:
    seen = events.filter(pl.col("kind").is_in(list(SIGHTINGS)))["serial"]
    rows = events.filter(pl.col("serial").is_in(seen.implode()))
    found = pieces(Snapshot.take(rows, day, day.date))
    status = found.group_by("customer", "key").agg(pl.col("suspected", "confirmed").any())
    return status.filter(pl.col("suspected") & ~pl.col("confirmed"))["key"].n_unique()


def _reasons(file: Path) -> list[QuarantineReason]:
    """Counts rows of the quarantine by file, column and reason; none where it cannot be read.

    A person may have opened the file and saved it in another shape; the report goes on.
    """
    try:
        table = pl.read_csv(file, infer_schema=False).select(*_REASON, "row").fill_null("")
    except (pl.exceptions.PolarsError, OSError):
        return []
    counted = table.group_by(_REASON).agg(pl.col("row").n_unique())
    ordered = counted.sort(["row", *_REASON], descending=[True, False, False, False])
    return [QuarantineReason(*cells) for cells in ordered.iter_rows()]


def _months(dates: pl.Series) -> tuple[Month, ...]:
    if not len(dates):
        return ()
    counted = dates.dt.truncate("1mo").value_counts()
    found = dict(zip(counted["date"].to_list(), counted["count"].to_list(), strict=True))
    every = pl.date_range(min(found), max(found), interval="1mo", eager=True).to_list()
    return tuple(Month(first, found.get(first, 0)) for first in every[-MOST_MONTHS:])
