"""The nightly report as one HTML page that opens from disk.

Invariant: the page is made of counts, sums and intervals; no phone, e-mail, token, customer id or
serial has a way in. It loads nothing from anywhere.

report.html            the latest
reports/<date>.html    the latest of each day, for KEPT days with a report, beside its figures
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from features.judging import WALK_IN
from outlet_client.contribution.scorecard_store import ScorecardMissing, read_scorecards
from outlet_client.ledger.intake import REASONS
from outlet_client.page_templates import page_templates
from outlet_client.report import charts, report_text
from outlet_client.report.data_quality import quality
from outlet_client.report.night_digest import digest
from outlet_client.report.night_facts import LATEST, NightFacts
from outlet_client.report.night_figures import FOLDER, figures_before, write_figures
from outlet_client.report.ranking_comparison import CONFIDENCE, LEAST, WIDENING, Compared, measure
from outlet_client.report.released_sums import read_released
from outlet_client.settings import OutletFile
from privacy.keyring import write_private
from privacy.log_heads import DIGEST_BYTES
from privacy.registrations import SEALED_BYTES
from privacy.voprf import POINT_BYTES

if TYPE_CHECKING:
    from outlet_client.ledger.intake import Intake
    from outlet_client.report.night_digest import Digest
    from outlet_client.report.ranking_comparison import Measured

__all__ = ["FOLDER", "KEPT", "LATEST", "NightFacts", "render", "write_report"]

KEPT = 30
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def _marked(text: str) -> Markup:
    """A sentence of ours for the page: days unbroken, and as code what is between backticks."""
    plain = _DAY.sub(r'<span class="day">\g<0></span>', str(escape(text))).split("`")
    parts = [f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(plain)]
    return Markup("".join(parts)) if len(plain) % 2 else escape(text)  # noqa: S704  (escaped)


_TEMPLATES = page_templates(
    Path(__file__).with_name("templates"),
    size=report_text.size,
    loss=report_text.loss,
    marked=_marked,
)


def write_report(facts: NightFacts) -> Path:
    """Writes a night's report, and keeps the last ones by day.

    Returns:
        The latest report's file. Nobody but its owner can read it.

    Raises:
        NotConfigured: If the settings cannot be read.
        OSError: If it cannot be written; the last one stays.
    """
    text, first = _made(facts)
    folder = facts.home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    page = text.encode()
    write_private(folder / f"{facts.at.date()}.html", page)
    latest = facts.home / LATEST
    write_private(latest, page)
    write_figures(facts.home, facts.at.date(), first.figures)
    for form in ("html", "json"):
        for old in sorted(folder.glob(f"????-??-??.{form}"))[:-KEPT]:
            old.unlink()
    return latest


def render(facts: NightFacts) -> str:
    """The page as HTML.

    Raises:
        NotConfigured: If the settings cannot be read.
    """
    return _made(facts)[0]


def _made(facts: NightFacts) -> tuple[str, Digest]:
    """The page, and what stands first on it."""
    settings = OutletFile.read(facts.home / "escapement.toml")
    scorecard_as_of, why_not, compared = _compared(facts)
    found = quality(facts)
    first = digest(facts, found, compared, figures_before(facts.home, facts.at.date()))
    months = charts.plot_months(found.months, facts.at.date()) if found.months else ""
    page = _TEMPLATES.get_template("report.html").render(
        facts=facts,
        first=first,
        told=[_told(one) for one in compared],
        why_not=why_not,
        scorecard_as_of=scorecard_as_of,
        quality=found,
        share=_share,
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
    return page, first


def _compared(facts: NightFacts) -> tuple[str | None, str, list[Measured]]:
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
    return kept.as_of, "", measure(facts.customers, kept.cards)


def _told(found: Measured) -> dict[str, object]:
    """A comparison in words and pictures, as the page shows it."""
    pictures: tuple[str, ...] = ()
    if isinstance(found, Compared):
        pictures = (charts.plot_ranking(found), charts.plot_difference(found))
    return {
        "found": found,
        "question": report_text.question(found.outcome),
        "verdict": report_text.verdict(found),
        "judged": report_text.judged(found),
        "too_few": report_text.too_few(found),
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
