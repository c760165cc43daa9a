"""Which of an outlet's columns is which canonical one.

Invariant: a column is taken for another only if its name *and* its cells speak for it, or if its
cells can be nothing else. No cell of a customer, phone or e-mail is in what a guess says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from outlet_client.setup.column_names import is_of_shop, likeness, without_number
from outlet_client.setup.format_guess import Guess
from outlet_client.setup.sample_columns import (
    FITS,
    SampleColumn,
    are_surely_mailboxes,
    are_surely_phones,
    cells_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import polars as pl

_MOST_NAMED = 3
"""So many columns that looked like a missing one are named."""

_ONLY: Mapping[str, tuple[Callable[[SampleColumn], bool], str]] = {
    "email": (are_surely_mailboxes, "its cells are e-mail addresses"),
    "phone": (are_surely_phones, "its cells look like phones"),
}
"""What is told by cells alone, if one column only is like that."""


def fit(
    sample: pl.DataFrame | Mapping[str, SampleColumn],
    wanted: Collection[str],
    given: Mapping[str, Guess] | None = None,
    refused: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Guess]:
    """Finds an outlet's own column for each canonical one.

    Args:
        sample: Rows under the outlet's own names, or `cells_of` them.
        wanted: The canonical columns that are looked for.
        given: Canonical columns that are known, whose own columns are not taken for others.
        refused: Own columns that a canonical one cannot be, whatever they are called.

    Returns:
        The own name of each canonical column that was found, and of each that was given.
    """
    cells = sample if isinstance(sample, Mapping) else cells_of(sample)
    found = dict(given or {})
    taken = {guess.value for guess in found.values()}
    offers = sorted(
        (
            (likeness(own, canonical), len(cells[own].filled), canonical, own)
            for canonical in wanted
            for own in cells
            if likeness(own, canonical) > 0 and own not in (refused or {}).get(canonical, ())
        ),
        key=lambda offer: (-offer[0], -offer[1]),
    )
    for _, _, canonical, own in offers:
        if canonical not in found and own not in taken and FITS[canonical][0](cells[own]):
            found[canonical] = _named(own, cells)
            taken.add(own)
    for canonical, (sure, why) in _ONLY.items():
        if canonical in wanted and canonical not in found:
            only = [
                own
                for own in cells
                if own not in taken and sure(cells[own]) and not is_of_shop(own)
            ]
            if len(only) == 1:
                found[canonical] = Guess(only[0], why, canonical == "email")
                taken.add(only[0])
    return found


def _named(own: str, cells: Mapping[str, SampleColumn]) -> Guess:
    """A guess by the name, and of which of several of one name it is."""
    twins = [name for name in cells if without_number(name) == without_number(own)]
    if len(twins) < 2:  # noqa: PLR2004  (itself only)
        return Guess(own, "by its name")
    places = ", ".join(f"{name} is column {list(cells).index(name) + 1}" for name in twins)
    return Guess(own, f"the heading stands {len(twins)} times ({places}); most cells", sure=False)


def lookalikes(
    sample: pl.DataFrame | Mapping[str, SampleColumn],
    canonical: str,
    taken: Mapping[str, str] | None = None,
) -> list[str]:
    """Which columns sound or look like a canonical one that was not found, and why none is it.

    Args:
        sample: Rows under the outlet's own names, or `cells_of` them.
        canonical: The missing one.
        taken: Canonical name of each own column that is mapped already.

    Returns:
        Up to three such as "`Datum` sounds like it, but its cells are ..."; without any cell.
    """
    cells = sample if isinstance(sample, Mapping) else cells_of(sample)
    fits, why_not = FITS[canonical]
    by_name = sorted(cells, key=lambda own: -likeness(own, canonical))
    sounding = [own for own in by_name if likeness(own, canonical) > 0]
    said = []
    for own in sounding:
        if own in (taken or {}):
            said.append(f"`{own}` sounds like it, but is taken for {(taken or {})[own]}")
        elif not fits(cells[own]):
            said.append(f"`{own}` sounds like it, but {why_not}")
        else:
            said.append(f"`{own}` sounds like it, and its cells look like it")
    if not sounding and canonical in ("purchased_at", "price", "phone", "email"):
        looking = [own for own in cells if own not in (taken or {}) and len(cells[own].filled)]
        said = [
            f"`{own}` has cells that look like it, under a name that says something else"
            for own in looking
            if fits(cells[own])
        ]
    return said[:_MOST_NAMED]
