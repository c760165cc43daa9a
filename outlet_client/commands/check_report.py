"""What `check` and `init` print of a ledger: the verdict, columns, doubts, ten rows, counts.

Invariant: of a bad cell the terminal shows at most a shape or a code, of a row of the preview a
mask of its customer; a name, phone or e-mail never.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from outlet_client.commands.output import OUT
from outlet_client.ledger.intake import REASONS
from outlet_client.setup.column_tally import WHOLE_ROW
from outlet_client.setup.doubts import open_doubts
from outlet_client.setup.redaction import reference_shown
from outlet_client.sources.file_lines import lines_of, place_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outlet_client.settings import OutletFile
    from outlet_client.setup.column_tally import BadCell, ColumnTally
    from outlet_client.setup.doubts import Doubt
    from outlet_client.setup.dry_run import DryRun
    from outlet_client.setup.preview import PreviewRow
    from outlet_client.sources.source import Source

WRONG, TOO_MANY_BAD, DOUBTED = 1, 8, 10
"""Exit codes."""

_SHOWN_REFERENCES = 10
_SHOWN_ROWS = 10


def exit_code(found: DryRun, settings: OutletFile) -> int:
    """How `check` ends; what is wrong goes before what is doubted."""
    if found.problems:
        return WRONG
    if found.intake.share > settings.most_quarantined:
        return TOO_MANY_BAD
    return DOUBTED if open_doubts(found.doubts, settings) else 0


def print_report(found: DryRun, settings: OutletFile, code: int) -> None:
    """Prints the whole report, the verdict first and last."""
    verdict = _verdict(found, settings, code)
    _say(verdict)
    _print_columns(found, settings)
    print_preview(found.preview, settings)
    _print_counts(found, settings)
    for note in found.notes:
        _say(f"[yellow]note[/] {escape(note)}")
    print_doubts(found.doubts, settings)
    for problem in found.problems:
        _say(f"[red]wrong[/] {escape(problem)}")
    _say(verdict)


def _verdict(found: DryRun, settings: OutletFile, code: int) -> str:
    if code == WRONG:
        number = len(found.problems)
        some = "1 thing has" if number == 1 else f"{number} things have"
        return f"[red]wrong[/] {some} to be put right before a night can read it."
    if code == TOO_MANY_BAD:
        return (
            "[red]wrong[/] too many rows cannot be used: a night would not start. Correct the "
            "ledger or the settings; or raise most_quarantined, if it is to be so"
        )
    if code == DOUBTED:
        names = ", ".join(doubt.name for doubt in open_doubts(found.doubts, settings))
        return (
            f"[yellow]doubt[/] A night could read all of it, but is it read as it is meant? "
            f"{escape(names)}: correct the settings, or add to `accept` what is as it should be."
        )
    return "[green]A night could read all of it.[/]"


def print_preview(rows: Sequence[PreviewRow], settings: OutletFile) -> None:
    """Prints rows as they are understood, customers and phones masked; as lines where files are."""
    if not rows:
        return
    _say("\nSome rows as they are understood; compare them with the till's:")
    source = settings.ledger
    amounts = f"amount {source.currency}" if source.currency else "amount"
    lines = lines_of(source, [(one.file, one.row) for one in rows])
    names = ("line" if lines else "row", "day", "kind", "reference", amounts, "customer", "phone")
    grid = Table(*names, box=None, pad_edge=False)
    for one in rows:
        amount, reference, phone = f"{one.amount:,.2f}", one.reference or "", one.phone or ""
        place = str(lines.get((one.file, one.row), one.row))
        cells = (place, str(one.day), one.kind, reference, amount, one.customer, phone)
        grid.add_row(*map(escape, cells))
    OUT.print(grid)


def print_doubts(doubts: Sequence[Doubt], settings: OutletFile) -> None:
    """Prints what speaks against the settings, what decides each, and what is accepted."""
    for doubt in doubts:
        accepted = doubt.is_accepted(settings)
        head = "[green]accepted[/]" if accepted else "[yellow]doubt[/]"
        decides = "" if accepted else f" (decides: {doubt.setting})"
        _say(f"{head} {escape(f'{doubt.name}: [{doubt.table}] {doubt.sentence}{decides}')}")


def _say(text: str) -> None:
    OUT.print(text, highlight=False, soft_wrap=True)


def _print_columns(found: DryRun, settings: OutletFile) -> None:
    _say(f"\n[bold]ledger[/]: {escape(settings.ledger.name)}, {found.intake.rows:,} rows")
    grid = Table("column", "yours", box=None, pad_edge=False)
    for name in ("filled", "from", "to", "bad"):
        grid.add_column(name, justify="right")
    for tally in found.columns.values():
        if tally.name != WHOLE_ROW:
            bad = f"[red]{tally.bad:,}[/]" if tally.bad else ""
            ends = _ends(tally)
            grid.add_row(tally.name, escape(tally.own), f"{tally.filled:,}", *ends, bad)
    OUT.print(grid)
    for tally in found.columns.values():
        if tally.usable is not None:
            usable, tried = tally.usable
            _say(f"{tally.name}: {usable:,} of {tried:,} different ones can be used")
        _print_bad(tally.first_bad(), tally.bad, tally.heading, settings.ledger)
    clients = settings.clients or settings.ledger
    _print_bad(found.clients_bad[:_SHOWN_ROWS], len(found.clients_bad), "", clients)


def _print_bad(first: Sequence[BadCell], number: int, heading: str, source: Source) -> None:
    lines = lines_of(source, [(one.file, one.row) for one in first])
    for one in first:
        where = f", {heading}" if heading else ""
        cell = "" if one.cell is None else f": {one.cell}"
        place = place_text(lines, one.file, one.row)
        _say(escape(f"  {one.file}, {place}{where}: {one.reason}{cell}"))
    if number > len(first):
        _say(f"  ... and {number - len(first):,} more")


def _ends(tally: ColumnTally) -> tuple[str, str]:
    if tally.range is None:
        return "", ""
    low, high = (f"{end:,.2f}" if isinstance(end, float) else str(end) for end in tally.range)
    return low, high


def _print_counts(found: DryRun, settings: OutletFile) -> None:
    intake = found.intake
    parts = {
        "used": intake.used,
        "no events": intake.ignored,
        "of walk-ins": intake.walk_ins,
        "left out by date": intake.left_out,
        "corrected later": intake.superseded,
    }
    always = ("used", "left out by date")
    said = " + ".join(f"{n:,} {what}" for what, n in parts.items() if n or what in always)
    _say(
        f"\n{intake.rows:,} rows = {said} + {intake.quarantined:,} in quarantine "
        f"({intake.share:.2%}, at most {settings.most_quarantined:.2%})"
    )
    if intake.reasons:
        reasons = ", ".join(f"{n:,} {REASONS.get(why, why)}" for why, n in intake.reasons.items())
        _say(escape(f"No customer's events: {reasons}"))
    _say(", ".join(f"{number:,} {kind}" for kind, number in found.kinds.items()))
    if found.unknown:
        first = list(found.unknown.items())[:_SHOWN_REFERENCES]
        said = ", ".join(f"{reference_shown(one)} ({number:,} rows)" for one, number in first)
        _say(escape(f"In no tier: {said}{', ...' if len(found.unknown) > len(first) else ''}"))
    if found.apart is not None:
        said = ", ".join(f"{number:,} {why}" for why, number in found.apart.items())
        _say(f"Sightings of nobody: {said}")


def report_as_json(found: DryRun, settings: OutletFile, code: int) -> dict[str, object]:
    """The whole report for programs; as masked as what is printed."""
    counts = {name: number for name, number in asdict(found.intake).items() if name != "read_now"}
    return {
        "exit_code": code,
        "ledger": settings.ledger.name,
        "columns": [_column_as_json(tally) for tally in found.columns.values()],
        "preview": [{**asdict(one), "currency": settings.ledger.currency} for one in found.preview],
        "doubts": [_doubt_as_json(doubt, settings) for doubt in found.doubts],
        "counts": {**counts, "unknown": sum(found.unknown.values())},
        "kinds": found.kinds,
        "share": found.intake.share,
        "most_quarantined": settings.most_quarantined,
        "references_in_no_tier": len(found.unknown),
        "sightings_of_nobody": found.apart,
        "clients_bad": [asdict(one) for one in found.clients_bad],
        "notes": found.notes,
        "problems": found.problems,
    }


def _doubt_as_json(doubt: Doubt, settings: OutletFile) -> dict[str, object]:
    return {
        **asdict(doubt), "setting": doubt.setting, "accepted": doubt.is_accepted(settings)
    }  # fmt: skip


def _column_as_json(tally: ColumnTally) -> dict[str, object]:
    ends = tally.range or ()
    return {
        "column": tally.name,
        "own": tally.own,
        "filled": tally.filled,
        "range": [end.isoformat() if isinstance(end, dt.date) else end for end in ends] or None,
        "usable": tally.usable,
        "bad": tally.bad,
        "first_bad": [asdict(one) for one in tally.first_bad()],
    }
