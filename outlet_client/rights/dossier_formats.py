"""The dossier as an HTML page for the customer, and as lines for a terminal.

Invariant: the page is one file that opens from a disk, loads nothing and runs nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from outlet_client.bands.band_labels import LABELS, MEANING
from outlet_client.page_templates import page_templates
from outlet_client.rights import rights_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outlet_client.rights.dossier import Dossier
    from outlet_client.settings import OutletFile


def dossier_page(made: Dossier, settings: OutletFile) -> str:
    """Writes a dossier as HTML, with the names of scores that the outlet has set."""
    return _TEMPLATES.get_template("customer.html").render(
        held=made,
        here=rights_text.HELD_HERE,
        outside=rights_text.OUTSIDE,
        rights=rights_text.rights(settings),
        purpose=rights_text.PURPOSE,
        kept=rights_text.kept(settings),
        requested=rights_text.REQUEST_KINDS,
        looked=_looked(made.look_ups),
        labels=LABELS[settings.desk.labels],
        meaning=MEANING,
    )


def dossier_text(made: Dossier) -> str:
    """Writes a dossier as lines for a terminal, in the page's order."""
    return _TEMPLATES.get_template("customer.txt").render(held=made, here=rights_text.HELD_HERE)


def _looked(look_ups: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
    """Who looked, and how often, the most often first."""
    return Counter(one["by"] for one in look_ups).most_common()


def _money(amount: float) -> str:
    return f"{amount:,.2f}"


def _points(number: int) -> str:
    """Points with their sign, by a real minus."""
    return f"{number:+d}".replace("-", "\N{MINUS SIGN}") if number else "0"


def _cell(found: str | float | None, name: str) -> str:
    """A corrected cell: amounts as amounts, and "none" where there is nothing now."""
    if found is None:
        return "none"
    return _money(float(found)) if name in ("price", "list_price") else str(found)


_TEMPLATES = page_templates(
    Path(__file__).with_name("templates"), money=_money, points=_points, cell=_cell
)
