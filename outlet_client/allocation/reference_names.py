"""References by the names of the outlet's own list, however they were typed or scanned.

Invariant: a reference is the one of the list that is written alike but for case, spaces, dots and
hyphens; where two of the list are, only the very spelling tells them apart, and nothing is guessed.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.errors import OWN_ERRORS, NotConfigured
from outlet_client.ledger.side_tables import read_references
from outlet_client.sources.table_reader import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from features.ledger import Tier
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source

_LEFT_OUT = re.compile(r"[\s._\-\u00ad\u2010-\u2015\u2212\u30fb\uff0e]+")
_MOST_OFFERED = 500
"""Names in a list to choose from; nobody looks through a longer one."""

_LEAST_PHONE = 7
"""So many digits without a letter may be a phone that was typed, or scanned, in the wrong place."""

_LEAST_PART = 3
"""Signs of a reference's name that say which one may be meant."""

_MOST_MEANT = 3
"""Names in an error; more would be a list to choose from."""

_LISTS: dict[str, tuple[object, ReferenceList]] = {}
"""By source, with what its files were when it was read: a page asks for it each time."""


def folded(typed: str) -> str:
    """A reference without case, spaces, dots and hyphens; full-width signs as plain ones."""
    return _LEFT_OUT.sub("", unicodedata.normalize("NFKC", typed)).casefold()


class ReferenceList:
    """The references of an outlet with their tiers."""

    def __init__(self, tiers: Mapping[str, Tier], source: str) -> None:
        """Takes tiers by name, and what their table is called in errors."""
        self._tiers, self._source = tiers, source
        self._names: dict[str, list[str]] = defaultdict(list)
        for name in sorted(tiers):
            self._names[folded(name)].append(name)

    @property
    def offered(self) -> tuple[str, ...]:
        """The names for a list to choose from, in order; none where there are too many."""
        return tuple(sorted(self._tiers)) if len(self._tiers) <= _MOST_OFFERED else ()

    @property
    def tiers(self) -> Mapping[str, Tier]:
        """The tiers by name."""
        return self._tiers

    def named(self, typed: str) -> tuple[str, Tier]:
        """The list's own name of a reference, and its tier.

        Raises:
            AllocationRefused: If it is in no tier, or two names are written like it.
        """
        if typed in self._tiers:
            return typed, self._tiers[typed]
        alike, got = self._names.get(folded(typed), []), _shown(typed)
        if len(alike) == 1:
            return alike[0], self._tiers[alike[0]]
        if alike:
            raise AllocationRefused(
                f"reference{got}: {' and '.join(alike)} in {self._source} are written like it; "
                "type one of them sign by sign"
            )
        near = difflib.get_close_matches(folded(typed), self._names, _MOST_MEANT, 0.8)
        near = near or self._with(folded(typed))
        meant = " or ".join(name for one in near for name in self._names[one])
        raise AllocationRefused(
            f"reference{got}: in no tier of {self._source}; add a row with its tier there, or "
            f"correct the reference{f': {meant} is there' if meant else ''}"
        )

    def _with(self, part: str) -> list[str]:
        """The names that have a part in them; none where many have."""
        found = [one for one in self._names if part in one] if len(part) >= _LEAST_PART else []
        return found if len(found) <= _MOST_MEANT else []

    def as_listed(self, column: pl.Series) -> pl.Series:
        """A column of references, each by its name of the list where one is written like it."""
        names = {}
        for typed in column.unique().drop_nulls():
            alike = self._names.get(folded(typed), [])
            if typed not in self._tiers and len(alike) == 1:
                names[typed] = alike[0]
        return column.replace(names) if names else column


def reference_list(settings: OutletFile) -> ReferenceList:
    """The references of an outlet, as their table has them now.

    Raises:
        NotConfigured: If it has none.
        LedgerError: If they cannot be read.
    """
    source = _source_of(settings)
    key, stamp = source.model_dump_json(), table_stamp(source)
    known = _LISTS.get(key)
    if known is not None and stamp is not None and known[0] == stamp:
        return known[1]
    made = ReferenceList(read_references(source), source.name)
    _LISTS[key] = stamp, made
    return made


def offered_references(settings: OutletFile) -> tuple[str, ...]:
    """The names for a list to choose from; none where there is none, or it cannot be read.

    A table of a database is as it was read last: no page waits for one that only helps to type.
    """
    if settings.references is None:
        return ()
    known = _LISTS.get(settings.references.model_dump_json())
    if known is not None and settings.references.is_database:
        return known[1].offered
    try:
        return reference_list(settings).offered
    except OWN_ERRORS:
        return ()  # whoever asks about one is told why


def named_reference(settings: OutletFile, typed: str) -> tuple[str, Tier]:
    """The list's own name of a reference that was typed or scanned, and its tier.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they cannot be read.
        AllocationRefused: If the reference is not in them, or two are written like it.
    """
    return reference_list(settings).named(typed.strip())


def table_stamp(source: Source) -> object:
    """What changes whenever the table's files do; None of a database, which is read each time."""
    if source.is_database:
        return None
    stats = [(path, path.stat()) for path in files_of(source)]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def _shown(typed: str) -> str:
    """What was typed, for an error; nothing of what may be somebody's phone or e-mail."""
    digits = sum(sign.isdecimal() for sign in typed)
    is_reference = any(sign.isalpha() for sign in typed) or digits < _LEAST_PHONE
    return f" {typed}" if is_reference and "@" not in typed else ""


def _source_of(settings: OutletFile) -> Source:
    """Where the tiers are.

    Raises:
        NotConfigured: If nowhere.
    """
    if settings.references is None:
        raise NotConfigured(
            "references: not set, expected a table with the columns reference and tier; set "
            "`references` in escapement.toml"
        )
    return settings.references
