"""Presets: which column is which in the exports of well-known systems, a small TOML file each.

Invariant: a preset says only what the export's own headings and codes mean; it is written into
`escapement.toml` line by line, and nothing of it is read again afterwards.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outlet_client.errors import NotConfigured
from outlet_client.setup.format_guess import Guess

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import polars as pl

    from outlet_client.setup.sample_columns import SampleColumn

_FOLDER = Path(__file__).with_name("presets")

NO_PRESET = "none"
"""What `--as` says where no preset is wanted."""


@dataclass(frozen=True, slots=True)
class ExportPreset:
    """How one system writes its export.

    Attributes:
        name: Such as "shopify".
        title: For people.
        headings: Those by which the export is known, all of them; of a group any one.
        columns: For each canonical column the headings that may be it, the best first.
        constants: Canonical columns that the export has not, and what stands for them.
        codes: What it writes for each kind of row, and for rows that are no events.
        statuses: What it writes for what became of an order.
        fill_down: Canonical columns that an order's first row says for all of its rows.
        leave_out: For some headings the cells of rows that are no events.
        accept: Doubts that the export raises always, and why they are none here.
    """

    name: str
    title: str
    headings: tuple[tuple[str, ...], ...]
    columns: Mapping[str, tuple[str, ...]]
    constants: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    statuses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fill_down: tuple[str, ...] = ()
    leave_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accept: Mapping[str, str] = field(default_factory=dict)

    def missing(self, headings: Collection[str]) -> list[str]:
        """The headings by which it is known that are not there."""
        groups = (group for group in self.headings if not set(group) & set(headings))
        return [" or ".join(group) for group in groups]

    def found(self, cells: Mapping[str, SampleColumn]) -> dict[str, Guess]:
        """Own column of each canonical one: the first heading of its list that has any cell."""
        why = f"as {self.title} has it"
        guesses = {}
        for canonical, headings in self.columns.items():
            there = [own for own in headings if own in cells]
            filled = [own for own in there if len(cells[own].filled)]
            if there:
                guesses[canonical] = Guess((filled or there)[0], why)
        return guesses

    def where(self, sample: pl.DataFrame) -> str | None:
        """The condition for the rows that are events; None where all are."""
        parts = []
        for heading, cells in self.leave_out.items():
            if heading in sample.columns:
                own = '"' + heading.replace('"', '""') + '"'
                others = (f"{own} <> '{cell.replace(chr(39), chr(39) * 2)}'" for cell in cells)
                parts.append(f"({own} IS NULL OR ({' AND '.join(others)}))")
        return " AND ".join(parts) or None


def presets() -> dict[str, ExportPreset]:
    """All presets by name, sorted."""
    return {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.toml"))}


def _read(path: Path) -> ExportPreset:
    told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    groups = (one if isinstance(one, list) else [one] for one in told.pop("headings"))
    for name in ("columns", "codes", "statuses", "leave_out"):
        told[name] = {key: tuple(some) for key, some in told.get(name, {}).items()}
    told["fill_down"] = tuple(told.get("fill_down", ()))
    return ExportPreset(name=path.stem, headings=tuple(tuple(group) for group in groups), **told)


def recognised(headings: Collection[str]) -> ExportPreset | None:
    """The preset whose headings are all there; None where none's are, or several's."""
    known = [preset for preset in presets().values() if not preset.missing(headings)]
    return known[0] if len(known) == 1 else None


def preset_named(name: str, headings: Collection[str]) -> ExportPreset | None:
    """The preset that was asked for; None for `NO_PRESET`.

    Raises:
        NotConfigured: If there is none of that name, or the table lacks its headings.
    """
    if name == NO_PRESET:
        return None
    known = presets()
    if name not in known:
        listed = ", ".join((*known, NO_PRESET))
        raise NotConfigured(f"--as: got '{name}', expected one of {listed}")
    missing = known[name].missing(headings)
    if missing:
        raise NotConfigured(
            f"--as {name}: {known[name].title} has the headings {', '.join(missing)}, this table "
            "has not; export it anew with them, or leave --as away"
        )
    return known[name]
