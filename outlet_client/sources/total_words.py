"""The words by which people mark a row that adds others up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_WORDS = (
    r"(?:grand[\s-]*|net[\s-]*|sub[\s-]*)?totals?", r"sub[\s-]*totals?", "sum",
    r"(?:zwischen|gesamt|end|tages|monats)?summen?", "gesamt", "gesamtbetrag", "insgesamt",
    r"(?:sous[\s-]*)?total\s+g[ée]n[ée]ral", r"sous[\s-]*total", "somme", "montant total",
    r"(?:sub)?totale?(?:\s+(?:complessivo|generale|general|geral))?", "somma", "suma", "soma",
    r"(?:sub)?totaal", "eindtotaal", "razem", "suma końcowa", "итого", "всего", "toplam",
    r"合\s*计", r"总\s*计", r"小\s*计", r"合\s*計", r"總\s*計", r"小\s*計",
    "累计", "累計", "总额", "總額",
    "합계", "총계", "소계", "รวม", "รวมทั้งหมด", "ยอดรวม", "jumlah", "tổng", "tổng cộng",
)  # fmt: skip
_BEHIND = (
    r"sales?", "amount", "revenue", "net", "gross", "due", "all", "overall",
    r"(?:for|of|du|de|des|für|der)\s.{1,40}", r"\(.{0,40}\)", r"[\d.,:'/\s%-]+", "[A-Z]{3}",
)  # fmt: skip
_DASHES = "\u2013\u2014"
_WORD = rf"(?i)^[\s*={_DASHES}-]*(?:{'|'.join(_WORDS)})"
_PATTERN = rf"{_WORD}(?:[\s:\uff1a]+(?:{'|'.join(_BEHIND)}))?[\s:\uff1a=*.{_DASHES}-]*$"
_BEGINNING = rf"{_WORD}(?:[\s:\uff1a=*.{_DASHES}(-]|$)"


def are_totals(text: pl.Series) -> pl.Series:
    """Which cells are a word that marks a total, such as "Grand total:" or "合计"; Boolean."""
    return text.str.contains(_PATTERN).fill_null(value=False)


def begin_as_totals(text: pl.Series) -> pl.Series:
    """Which cells begin with such a word, such as "Total Orchard Road"; Boolean.

    A name may begin so too.
    """
    return text.str.contains(_BEGINNING).fill_null(value=False)
