"""In which currency an outlet's amounts are, from a column of currencies or the amounts' signs.

Invariant: amounts are not changed by what is guessed here; where there are several currencies, the
commonest is the outlet's own, and a person is asked for the rates of the others.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from features.currencies import candidates
from outlet_client.setup.sample_columns import cells_of
from outlet_client.setup.settings_sections import Line

if TYPE_CHECKING:
    import polars as pl

    from outlet_client.setup.settings_sections import Section

_OF_REGIONS = {
    "US": "USD", "SG": "SGD", "HK": "HKD", "AU": "AUD", "CA": "CAD", "NZ": "NZD", "TW": "TWD",
    "MX": "MXN", "CN": "CNY", "JP": "JPY", "GB": "GBP", "SE": "SEK", "NO": "NOK", "DK": "DKK",
    "IS": "ISK", "IN": "INR", "PK": "PKR", "LK": "LKR", "AE": "AED", "MA": "MAD",
}  # fmt: skip
"""The currency of countries whose sign others have too."""

_NO_MARK = r"[\d\s.,'\u{2019}\u{a0}\u{202f}()+\-\u{2212}\u{2013}\u{2014}]"


def marks_of(amounts: pl.Series) -> Counter[str]:
    """What stands beside amounts, such as "SGD" or "$", and how many cells have it."""
    marked = amounts.drop_nulls().str.replace_all(_NO_MARK, "")
    marked = marked.filter(marked.str.len_chars().is_between(1, 4))
    return Counter(dict(marked.str.to_uppercase().value_counts().iter_rows()))


def guess_currency(section: Section, sample: pl.DataFrame, region: str | None) -> None:
    """Writes in which currency amounts are kept, where the table says any.

    Args:
        section: Of the ledger, with its columns.
        sample: Rows under the outlet's own names.
        region: The outlet's country, by which "$" is told apart; None where it is unknown.
    """
    codes, is_sure = _codes(_marks(section, sample), _OF_REGIONS.get(region or ""))
    if not codes:
        return
    code, count = codes.most_common(1)[0]
    why = f"{count:,} amounts of the sample are in it"
    if not is_sure:
        why += ", if the sign is read right"
        section.doubts.append(f"currency: the sign of the amounts may be {code}'s; is it?")
    section.form.append(Line("currency", code, why))
    others = ", ".join(f"{other} ({number:,})" for other, number in codes.items() if other != code)
    if others:
        section.doubts.append(
            f"currency: there are amounts in {others} too; say what one is worth in {code} with "
            f"rates = {{ XXX = ... }}, or leave their rows out with where"
        )


def _marks(section: Section, sample: pl.DataFrame) -> Counter[str]:
    """Signs and codes of the column of currencies, else of the amounts."""
    cells = cells_of(sample)
    own = {line.key: str(line.value) for line in section.columns if not line.todo}
    marks: Counter[str] = Counter()
    if "currency" in own:
        marks.update(cells[own["currency"]].filled.str.to_uppercase().to_list())
    for name in ("price", "unit_price"):
        if not marks and name in own:
            marks = marks_of(cells[own[name]].text)
    return marks


def _codes(marks: Counter[str], here: str | None) -> tuple[Counter[str], bool]:
    """The currencies that signs stand for, and whether each sign is one's only."""
    codes: Counter[str] = Counter()
    is_sure = True
    for mark, count in marks.items():
        may_be = candidates(mark)
        if may_be:
            codes[here if here is not None and here in may_be else may_be[0]] += count
            is_sure = is_sure and (len(may_be) == 1 or here in may_be)
    return codes, is_sure
