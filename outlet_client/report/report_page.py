"""The nightly report as one HTML page that opens from disk.

Invariant: the page is made of counts, sums and intervals; no phone, e-mail, token, customer id or
serial has a way in. It loads nothing from anywhere.

report.html            the latest
reports/<date>.html    the latest of each day, for KEPT days with a report
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from features.judging import WALK_IN
from outlet_client.contribution.scorecard_store import ScorecardMissing, read_scorecards
from outlet_client.ledger.intake import REASONS
from outlet_client.page_templates import page_templates
from outlet_client.report import charts, report_text
from outlet_client.report.data_quality import quality
from outlet_client.report.night_facts import LATEST, NightFacts
from outlet_client.report.ranking_comparison import CONFIDENCE, LEAST, WIDENING, Compared, measure
from outlet_client.report.released_sums import read_released
from outlet_client.settings import OutletFile
from privacy.keyring import write_private
from privacy.log_heads import DIGEST_BYTES
from privacy.registrations import SEALED_BYTES
from privacy.voprf import POINT_BYTES

if TYPE_CHECKING:
    from outlet_client.ledger.intake import Intake
    from outlet_client.report.ranking_comparison import Measured

__all__ = ["FOLDER", "KEPT", "LATEST", "NightFacts", "render", "write_report"]

FOLDER = "reports"
KEPT = 30

_TEMPLATES = page_templates(
    Path(__file__).with_name("templates"), size=report_text.size, loss=report_text.loss
)


def write_report(facts: NightFacts) -> Path:
    """Writes a night's report, and keeps the last ones by day.

    Returns:
        The latest report's file. Nobody but its owner can read it.

    Raises:
        NotConfigured: If the settings cannot be read.
        OSError: If it cannot be written; the last one stays.
    """
    page = render(facts).encode()
    folder = facts.home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    write_private(folder / f"{facts.at.date()}.html", page)
    latest = facts.home / LATEST
    write_private(latest, page)
    for old in sorted(folder.glob("????-??-??.html"))[:-KEPT]:
        old.unlink()
    return latest


def render(facts: NightFacts) -> str:
    """The page as HTML.

    Raises:
        NotConfigured: If the settings cannot be read.
    """
    settings = OutletFile.read(facts.home / "escapement.toml")
    scorecard_as_of, why_not, told = _compared(facts)
    found = quality(facts)
    months = charts.plot_months(found.months, facts.at.date()) if found.months else ""
    return _TEMPLATES.get_template("report.html").render(
        facts=facts,
        told=told,
        why_not=why_not,
        scorecard_as_of=scorecard_as_of,
        quality=found,
        share=_share,
        days_behind=found.days_behind(facts.at.date()),
        rows=_rows(facts.intake),
        months=months,
        left=read_released(facts, settings.floors),
        since=dt.datetime.fromtimestamp(facts.since, dt.UTC),
        settings=settings,
        sentences=report_text.SENTENCES,
        point_bytes=POINT_BYTES,
        sealed_bytes=SEALED_BYTES,
        digest_bytes=DIGEST_BYTES,
        colours={"network": charts.NETWORK, "own": charts.OWN, "plain": charts.PLAIN},
        confidence=CONFIDENCE,
        least=LEAST,
        widening=WIDENING,
        kept=KEPT,
    )


def _compared(facts: NightFacts) -> tuple[str | None, str, list[dict[str, object]]]:
    """The scorecards' day, why nothing is compared, and what was."""
    if facts.customers is None:
        return None, "The night ended before your customers' outcomes were read.", []
    try:
        kept = read_scorecards(facts.home)
    except ScorecardMissing:
        reason = (
            "No scorecard of the network's has come yet. One comes when the network seals "
            "bands, about once a week."
        )
        return None, reason, []
    found = measure(facts.customers, kept.cards)
    return kept.as_of, "", [_told(one) for one in found]


def _told(found: Measured) -> dict[str, object]:
    """A comparison in words and pictures, as the page shows it."""
    pictures: tuple[str, ...] = ()
    if isinstance(found, Compared):
        pictures = (charts.plot_ranking(found), charts.plot_difference(found))
    return {
        "found": found,
        "question": report_text.question(found.outcome),
        "verdict": report_text.verdict(found),
        "figures": report_text.figures(found),
        "charts": pictures,
    }


def _rows(intake: Intake | None) -> list[tuple[str, int]]:
    if intake is None:
        return []
    apart = {REASONS[why]: count for why, count in intake.reasons.items() if why != WALK_IN}
    return [
        ("used", intake.used),
        ("walk-ins: sales to nobody you know", intake.walk_ins),
        *((f"no event: {why}", count) for why, count in apart.items()),
        ("left out: older than you keep", intake.left_out),
        ("replaced by a later version of the same line", intake.superseded),
        ("in quarantine: not readable, left aside until mended", intake.quarantined),
    ]


def _share(part: int, whole: int) -> str:
    """A share for people; what is there is never shown as nothing, nor what lacks as all."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.1:  # noqa: PLR2004  (what would be shown as 0.0)
        return "under 0.1 %"
    if 99.9 < percent < 100:  # noqa: PLR2004  (what would be shown as 100.0)
        return "over 99.9 %"
    return f"{percent:.1f} %"
