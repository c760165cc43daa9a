"""What a night's report says first: what to decide, what broke, what changed since the last one.

Invariant: what is said here is said nowhere else on the page; and a line that a mail may have holds
days, and counts of rows and findings, but no count of people and no text of an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from outlet_client.records.customer_requests import open_requests
from outlet_client.report.night_figures import Figures
from outlet_client.report.report_text import judged, question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from outlet_client.report.data_quality import DataQuality
    from outlet_client.report.night_facts import NightFacts
    from outlet_client.report.ranking_comparison import Measured

LATE_DAYS = 7
"""The newest row of an export that runs is not older."""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence.

    Attributes:
        text: It, with what to do.
        mailed: Whether the night's mail may have it too.
    """

    text: str
    mailed: bool = False


@dataclass(frozen=True, slots=True)
class Digest:
    """The first lines of a report.

    Attributes:
        figures: What is counted of the night.
    """

    decide: tuple[Line, ...]
    broke: tuple[Line, ...]
    changed: tuple[Line, ...]
    figures: Figures


def digest(
    facts: NightFacts,
    found: DataQuality,
    compared: Sequence[Measured],
    before: tuple[str, Figures] | None,
) -> Digest:
    """Says what a manager should know first.

    Args:
        facts: What the night did.
        found: The quality of its data.
        compared: The network's scorecards against the outlet's own models.
        before: An earlier day and its figures; None for an outlet's first report.
    """
    decide, broke = tuple(_decide(facts, found)), tuple(_broke(facts, found))
    intake = facts.intake
    now = Figures(
        at=facts.at.isoformat(),
        since=None if before is None else before[0],
        used=None if intake is None else intake.used,
        quarantined=None if intake is None else intake.quarantined,
        consenting=found.consenting,
        listed=found.listed,
        book_as_of=facts.book_as_of,
        verdicts={one.outcome: judged(one) for one in compared},
        to_decide=len(decide),
    )
    earlier = None if before is None else before[1]
    changed = tuple(_changed(facts, now, earlier))
    figures = replace(now, broke=_mailed(broke), changed=_mailed(changed))
    return Digest(decide, broke, changed, figures)


def _decide(facts: NightFacts, found: DataQuality) -> Iterator[Line]:
    waiting, today = open_requests(facts.home), facts.at.date()
    request = "customer's request is", "customers' requests are"
    if overdue := sum(one.overdue(today) for one in waiting):
        yield Line(
            f"{_count(overdue, *request)} overdue: `escapement-outlet customer requests` lists "
            "them."
        )
    if coming := [one.due for one in waiting if not one.overdue(today)]:
        yield Line(f"{_count(len(coming), *request)} open, to be answered by {min(coming)}.")
    if found.undecided:
        yield Line(
            f"{_count(found.undecided, 'piece was', 'pieces were')} seen for sale: confirm or "
            "dismiss each at the desk, under Sightings."
        )
    if facts.attached is not None and (shared := facts.attached.shared):
        belongs = _count(shared, "sighting belongs", "sightings belong")
        yield Line(
            f"{belongs} to two customers who both bought the piece: book the return that is "
            "missing, or one of them is suspected wrongly."
        )
    if facts.ambiguous:
        yield Line(
            f"{_count(facts.ambiguous, 'pair', 'pairs')} in the client book may be one person: "
            "`escapement-outlet duplicates` asks you."
        )
    if facts.unknown_references:
        names = _count(facts.unknown_references, "row names", "rows name")
        yield Line(f"{names} a reference that is in no tier: add it to your list of references.")


def _broke(facts: NightFacts, found: DataQuality) -> Iterator[Line]:
    errors = () if facts.error is None else (facts.error, *facts.later_errors)
    yield from (Line(_sentence(text)) for text in dict.fromkeys(errors))
    if facts.intake is None:
        yield Line("The ledger was not read.", mailed=True)
    elif facts.intake.quarantined:
        waits = _count(facts.intake.quarantined, "row is", "rows are")
        yield Line(f"{waits} in quarantine: `quarantine.csv` says which and why.", mailed=True)
    behind = found.days_behind(facts.at.date())
    if behind > LATE_DAYS:
        old = f"The newest row is {behind:,} days old"
        yield Line(f"{old}: does the export still run?", mailed=True)
    if found.ahead:
        dated = _count(found.ahead, "row is", "rows are")
        yield Line(
            f"{dated} dated after today: a typing mistake, or a clock at the till that is wrong.",
            mailed=True,
        )
    yield from _network(facts)
    if facts.log is not None:
        said = " ".join(errors)  # what stopped the countersigning names its findings
        yield from (
            Line(f"The log: {one.text.rstrip('.')}.")
            for one in facts.log.findings
            if one.text not in said
        )


def _network(facts: NightFacts) -> Iterator[Line]:
    """What did not go as it should between this outlet and HQ and the privacy office."""
    done = facts.introduced
    if done is None:
        yield Line("Nothing was asked or handed in for new customers: the next night tries again.")
        return
    if done.failed is not None:
        said = _sentence(str(done.failed))
        yield Line(f"New customers: not all could be done, the next night tries again. {said}")
    if done.quota is not None:
        yield Line(f"No tokens for new customers tonight: {_sentence(str(done.quota))}")


def _changed(facts: NightFacts, now: Figures, before: Figures | None) -> Iterator[Line]:
    earlier = before or Figures("")
    if facts.intake is not None:
        rows = f"{facts.intake.used:,} ledger rows in use{_more(now.used, earlier.used)}"
        yield Line(f"{rows}, {facts.intake.read_now:,} read tonight.", mailed=True)
        more = _more(now.quarantined, earlier.quarantined)
        if more:
            yield Line(f"{facts.intake.quarantined:,} in quarantine{more}.", mailed=True)
    listed = _more(now.listed, earlier.listed if before else None)
    consenting = _more(now.consenting, earlier.consenting if before else None)
    if before is None or listed or consenting:
        yield Line(
            f"{now.consenting:,} people with a consent{consenting}, {now.listed:,} of them "
            f"listed{listed}."
        )
    if now.book_as_of != earlier.book_as_of:
        yield Line(f"A new band book: bands as of {now.book_as_of or 'never'}.", mailed=True)
    for outcome, said in now.verdicts.items():
        then = earlier.verdicts.get(outcome)
        if then not in (None, said):
            yield Line(f"{question(outcome).title}: {said}; before that, {then}.")


def _more(now: int | None, before: int | None) -> str:
    """By how much a count has changed: " (+12)"; "" where it has not, or nothing is known."""
    if now is None or before is None or now == before:
        return ""
    return f" ({now - before:+,})".replace("-", "\N{MINUS SIGN}")


def _mailed(lines: Iterable[Line]) -> tuple[str, ...]:
    return tuple(line.text for line in lines if line.mailed)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _sentence(text: str) -> str:
    """An error's text as a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
