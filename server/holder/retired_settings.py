"""Retired settings in a settings file: found, and taken out with everything else left as it is."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from server.holder.errors import HolderNotConfigured

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_SECTION = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")


def without_retired(file: Path, retired: Collection[str]) -> tuple[str, list[str]]:
    """A settings file without its retired settings.

    Args:
        file: TOML; nothing is taken out of one that is not there.
        retired: Keys behind their sections' names, such as `promise.event_noise`.

    Returns:
        The text, and each setting that was taken out.

    Raises:
        HolderNotConfigured: If it is no TOML, or has one in a form that only a person can take out.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HolderNotConfigured(f"{file}: {error}") from error
    removed = [name for name in sorted(retired) if _take(found, name)]
    for name in removed:
        text = _without(text, name)
    try:
        same = tomllib.loads(text) == found
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise HolderNotConfigured(
            f"{file}: got {', '.join(f'`{name}`' for name in removed)}, which mean nothing any "
            "more, within other settings; take them out by hand"
        )
    return text, removed


def _take(found: dict[str, object], name: str) -> bool:
    """Takes a setting out of what was read; tells whether it was there."""
    *sections, key = name.split(".")
    within: object = found
    for section in sections:
        within = within.get(section) if isinstance(within, dict) else None
    if not isinstance(within, dict) or key not in within:
        return False
    del within[key]
    return True


def _without(text: str, name: str) -> str:
    """The text without the lines of a setting, of which a list may have several."""
    section, _, key = name.rpartition(".")
    kept, within, depth = list[str](), "", 0
    for line in text.splitlines(keepends=True):
        header = _SECTION.match(line)
        if depth > 0:
            depth += _depth(line)
            continue
        if header:
            within = header[1].strip()
        elif within == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            depth = _depth(line)
            continue
        kept.append(line)
    return "".join(kept)


def _depth(line: str) -> int:
    """How many brackets a line leaves open."""
    code = line.partition("#")[0]
    return code.count("[") + code.count("{") - code.count("]") - code.count("}")
