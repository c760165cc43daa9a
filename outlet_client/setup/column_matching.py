"""Which of an outlet's columns is which canonical one, and what its codes mean.

Invariant: a column is taken for another only if its name *and* its cells speak for it, or if its
cells can be nothing else. No cell of a customer, phone or e-mail is in what a guess says.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import phonenumbers
import polars as pl

from features.ledger import Kind
from outlet_client.setup.column_names import kind_of, likeness, truth_of
from outlet_client.setup.format_guess import CURRENCY, Guess, dates_of, is_amount

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

MOST_CODES = 30
"""A column with more different cells holds no codes."""

_MOST_SHOWN = 24
_PHONE = r"^(\+|\(?0)?[\d\s()/.\-]{6,22}$"
SURE_PHONE = r"^(\+|00|\(?0)[\d\s()/.\-]{7,22}$"
_EMAIL = r"^\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*$"
_HALF, _MOST = 0.5, 0.8
_LONGEST_KEY = 40


@dataclass(frozen=True, slots=True, repr=False)
class SampleColumn:
    """A column of a sample.

    Attributes:
        name: The outlet's own.
        text: As text without blanks around, null where there is nothing.
        dtype: As the file or database has it.
    """

    name: str
    text: pl.Series
    dtype: pl.DataType
    filled: pl.Series = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "filled", self.text.drop_nulls())

    def share(self, pattern: str) -> float:
        """Of the filled cells, which share looks like a pattern; 0 where none is filled."""
        return float(self.filled.str.contains(pattern).sum()) / max(len(self.filled), 1)


def cells_of(sample: pl.DataFrame) -> dict[str, SampleColumn]:
    """The columns of a sample that can be read as text."""
    found = {}
    for column in sample:
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
            continue
        text = column.cast(pl.String).str.strip_chars().replace("", None)
        found[column.name] = SampleColumn(column.name, text, column.dtype)
    return found


def _days(cells: SampleColumn) -> bool:
    return cells.dtype.is_temporal() or (
        cells.dtype == pl.String and dates_of(cells.text) is not None
    )


def _amounts(cells: SampleColumn) -> bool:
    if cells.dtype.is_numeric():
        return True
    bare = cells.filled.str.replace_all(CURRENCY, "").str.strip_chars()
    numbers = float(is_amount(bare).sum()) > _MOST * len(bare)
    return cells.dtype == pl.String and len(bare) > 0 and numbers and dates_of(bare) is None


def _codes(cells: SampleColumn) -> bool:
    return (
        0 < cells.filled.n_unique() <= MOST_CODES
        and bool((cells.filled.str.len_chars() <= _LONGEST_KEY).all())
        and cells.share(_EMAIL) == 0
    )


def _yes_or_no(cells: SampleColumn) -> bool:
    return len(cells.filled) > 0 and all(truth_of(code) is not None for code in _some(cells))


def _some(cells: SampleColumn) -> Iterable[str]:
    return list(cells.filled.unique(maintain_order=True).head(MOST_CODES + 1))


def _key(cells: SampleColumn) -> bool:
    """Short text or whole numbers; no dates."""
    is_text = cells.dtype in (pl.String, pl.Categorical)
    short = cells.filled.str.len_chars().mean() or 0
    return (
        (is_text or isinstance(cells.dtype, pl.Enum) or cells.dtype.is_integer())
        and isinstance(short, float | int)
        and short <= _LONGEST_KEY
        and cells.share(_EMAIL) < _HALF
        and not (is_text and cells.share(r"[./-]") > _HALF and dates_of(cells.text) is not None)
    )


def _unique(cells: SampleColumn) -> bool:
    """A key of its own in every row, and no mere count of the rows."""
    if cells.text.null_count() or cells.text.n_unique() < len(cells.text) or not _key(cells):
        return False
    numbers = cells.text.cast(pl.Int64, strict=False)
    first = numbers[0] if len(numbers) else None
    return not (first in (0, 1) and bool((numbers.diff().drop_nulls() == 1).all()))


_FITS: Mapping[str, Callable[[SampleColumn], bool]] = {
    "customer_id": lambda cells: _key(cells) and len(cells.filled) > 0,
    "purchased_at": _days,
    "price": _amounts,
    "kind": _codes,
    "is_return": _yes_or_no,
    "list_price": _amounts,
    "basket_id": _key,
    "line_id": _unique,
    "serial": _key,
    "reference": _key,
    "outlet_id": lambda cells: _key(cells) and len(cells.filled) > 0,
    "phone": lambda cells: (
        len(cells.filled) == 0 or (cells.share(_PHONE) > _HALF and not _days(cells))
    ),
    "email": lambda cells: len(cells.filled) == 0 or cells.share(_EMAIL) > _HALF,
}


def fit(sample: pl.DataFrame, wanted: Collection[str]) -> dict[str, Guess]:
    """Finds an outlet's own column for each canonical one.

    Args:
        sample: Rows under the outlet's own names.
        wanted: The canonical columns that are looked for.

    Returns:
        The own name of each canonical column that was found.
    """
    cells = cells_of(sample)
    offers = sorted(
        (
            (likeness(own, canonical), canonical, own)
            for canonical in wanted
            for own in cells
            if likeness(own, canonical) > 0
        ),
        key=lambda offer: -offer[0],
    )
    found: dict[str, Guess] = {}
    for _, canonical, own in offers:
        taken = own in {guess.value for guess in found.values()}
        if canonical not in found and not taken and _FITS[canonical](cells[own]):
            found[canonical] = Guess(own, "by its name")
    for canonical, (sure, why) in _ONLY.items():
        if canonical in wanted and canonical not in found:
            taken_ones = {guess.value for guess in found.values()}
            only = [own for own in cells if own not in taken_ones and sure(cells[own])]
            if len(only) == 1:
                found[canonical] = Guess(only[0], why, canonical == "email")
    return found


_ONLY: Mapping[str, tuple[Callable[[SampleColumn], bool], str]] = {
    "email": (lambda cells: cells.share(_EMAIL) > _MOST, "its cells are e-mail addresses"),
    "phone": (
        lambda cells: (
            cells.dtype == pl.String and cells.share(SURE_PHONE) > _MOST and not _days(cells)
        ),
        "its cells look like phones",
    ),
}
"""What is told by cells alone, if one column only is like that."""


@dataclass(frozen=True, slots=True)
class Codes:
    """What an outlet writes for each kind of row.

    Attributes:
        known: For each kind, its codes.
        unknown: Codes that sound like no kind, and how many rows have each.
        told: The share of rows whose code is known.
    """

    known: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, int]
    told: float


def codes_of(kinds: pl.Series, *, truths: bool = False) -> Codes:
    """Guesses which code is which kind, by the word.

    Args:
        kinds: Codes as text, null where blank.
        truths: Whether the codes say yes or no to "is this a return?".
    """
    counts = Counter(sorted(kinds.drop_nulls()))
    meant = {code: _truth_kind(code) if truths else kind_of(code) for code in counts}
    known = {
        kind.value: tuple(code for code, one in meant.items() if one is kind)
        for kind in Kind
        if kind in meant.values()
    }
    unknown = {code: counts[code] for code, one in meant.items() if one is None}
    return Codes(known, unknown, 1 - sum(unknown.values()) / max(counts.total(), 1))


def _truth_kind(code: str) -> Kind | None:
    returned = truth_of(code)
    return None if returned is None else Kind.RETURN if returned else Kind.PURCHASE


def may_be_shown(code: str) -> bool:
    """Whether a cell is short and like a code: no phone, address or sentence."""
    digits = sum(character.isdigit() for character in code)
    return len(code) <= _MOST_SHOWN and "@" not in code and digits < 7  # noqa: PLR2004  (a phone's)


def region_of(phones: pl.Series) -> Guess | None:
    """Guesses an outlet's country from phones that are written with one.

    Returns:
        None if hardly any is written with a country, or no country has a clear majority.
    """
    numbers = phones.drop_nulls().str.replace_all(r"[^\d+]", "").str.replace(r"^00", "+")
    abroad = numbers.filter(numbers.str.starts_with("+")).unique()
    codes: Counter[int] = Counter()
    for number in abroad.head(2000):
        try:
            codes[phonenumbers.parse(number, None).country_code or 0] += 1
        except phonenumbers.NumberParseException:
            continue
    if not codes:
        return None
    code, count = codes.most_common(1)[0]
    region = phonenumbers.region_code_for_country_code(code)
    share = count / sum(codes.values())
    if share < 0.6 or not re.fullmatch("[A-Z]{2}", region):  # noqa: PLR2004  (a clear majority)
        return None
    why = f"{share:.0%} of the phones with a country begin with +{code}"
    return Guess(region, why, len(abroad) >= 10)  # noqa: PLR2004  (a few could be tourists)
