"""Which secret files of a folder others on this machine can read or change."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

_SECRET_FILES = (
    "identity.json", "token-share.json", "token-refresh.json", "*.key", "*.password",
)  # fmt: skip
_PASSWORD = re.compile(rb"://[^/\s:@]*:[^@\s]+@")
"""Of a database's URL in a settings file."""

_OTHERS = 0o077
"""Of a mode: what anybody but the owner may do."""


@dataclass(frozen=True, slots=True)
class OpenMode:
    """A file or folder that others on this machine can read or change.

    Attributes:
        place: Which.
        mode: Its permissions.
        wanted: What they should be.
    """

    place: Path
    mode: int
    wanted: int

    @override
    def __str__(self) -> str:
        return (
            f"{self.place}: mode {self.mode:03o}, others on this machine can read or change it; "
            f"run `chmod {self.wanted:03o} {shlex.quote(str(self.place))}`"
        )


def open_modes(folder: Path) -> list[OpenMode]:
    """Secret files of a folder that others can read or change, and the folder itself."""
    if not folder.exists():
        return []
    places = [place for name in _SECRET_FILES for place in sorted(folder.glob(name))]
    places += [
        place
        for place in sorted(folder.glob("*.toml"))
        if _is_open(place) and _PASSWORD.search(place.read_bytes())
    ]
    found = [OpenMode(one, _mode(one), 0o600) for one in places if _is_open(one)]
    if _is_open(folder):
        found.append(OpenMode(folder.resolve(), _mode(folder), 0o700))
    return found


def _mode(place: Path) -> int:
    return place.stat().st_mode & 0o777


def _is_open(place: Path) -> bool:
    return bool(_mode(place) & _OTHERS)
