"""A section of `escapement.toml` while it is made: what was found in a sample, what is written.

Invariant: what is guessed is active and says why; what could not be guessed is commented out and
says what to do. Neither holds a cell, but for codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import IS_RETURN
from outlet_client.setup.column_matching import lookalikes
from outlet_client.setup.settings_sections import WHAT, Line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.setup.format_guess import Guess
    from outlet_client.setup.sample_columns import SampleColumn
    from outlet_client.setup.settings_sections import Section


@dataclass(slots=True)
class Draft:
    """A section while it is made.

    Attributes:
        sample: Rows under the outlet's own names, without blank ones.
        cells: Their columns.
        found: Own column of each canonical one.
        section: What is written so far.
    """

    sample: pl.DataFrame
    cells: Mapping[str, SampleColumn]
    found: dict[str, Guess]
    section: Section

    def text(self, canonical: str) -> pl.Series | None:
        """The column found for a canonical one as text; None where there is none."""
        guess = self.found.get(canonical)
        if guess is None:
            return None
        return self.cells[guess.value].text

    def is_text(self, canonical: str) -> bool:
        """Whether that column is text, so that the settings must say how to read it."""
        guess = self.found.get(canonical)
        return guess is not None and self.sample[guess.value].dtype == pl.String

    def form(self, key: str) -> str | None:
        """A setting of how cells are written, as far as it is made."""
        return next((str(line.value) for line in self.section.form if line.key == key), None)

    def finished(self, wanted: tuple[str, ...], needed: tuple[str, ...]) -> Section:
        """The section, with the columns that are missing to be filled in.

        Args:
            wanted: The canonical columns that the table may have.
            needed: Those that it must have; of one that was not found, it is said what looked
                like it.
        """
        section, found = self.section, self.found
        section.columns = [
            Line(name, found[name].value, found[name].why) for name in wanted if name in found
        ] + [
            Line(name, "...", self._missing(name), todo=True)
            for name in needed
            if name not in found
        ]
        section.doubts += [
            f"{name}: is it {guess.value}? {guess.why}"
            for name, guess in found.items()
            if not guess.sure
        ]
        named = {*found, IS_RETURN, *(line.key for line in section.constants)}
        section.doubts += [
            f"{name}: your column of that name is read as {WHAT[name]}, which it does not look like"
            for name in wanted
            if name in self.sample.columns and name not in named
        ]
        used = {guess.value for guess in found.values()}
        section.unused = tuple(own for own in self.sample.columns if own not in used)
        return section

    def _missing(self, name: str) -> str:
        taken = {guess.value: canonical for canonical, guess in self.found.items()}
        said = "; ".join(lookalikes(self.cells, name, taken))
        return f"your column of {WHAT[name]}" + (f" ({said})" if said else "")
