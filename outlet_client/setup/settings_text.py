"""The text of an `escapement.toml`, from what was guessed of an outlet's tables.

Invariant: the text is TOML that the settings accept, whatever the outlet's columns are called; and
every guess in it has a comment that says why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.ledger import LINE_ID
from outlet_client.setup.settings_sections import WHAT, Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outlet_client.setup.settings_sections import Section, Value
    from outlet_client.sources.source import Source

_TOP = """\
# This outlet's settings. `escapement-outlet init` wrote them after looking at {seen};
# each guess says why. What is commented out is the default, or is for you to fill in (TODO).
# Correct what is wrong, then run `escapement-outlet check`.

"""

_REST = """
# most_quarantined = 0.02       # share of unreadable rows with which a night refuses to start
# keep_days = 1826              # events older than this are left out, and purged here
# policy = "policy.toml"        # allocation policy; by default the one that comes with the program
# evaluations_a_night = 512
# book_days = 30
# horizon_days = 180
# join_minutes = 30
"""

_TABLES = {
    "references": "reference, tier: open, limited or allocation; without it all are open",
    "sightings": "serial, seen_at, status: suspected, confirmed or dismissed",
    "interests": "customer_id, reference, since; by default the ledger's rows of kind interest",
}

_FLOORS = """
[floors]                        # what this outlet refuses, whatever HQ and the office agree on
# least_quorum = 3
# least_noise = 4.0
# most_epsilon = 6.0
"""

_COMMENT_AT = 32


def settings_text(seen: str, region: Line, tables: Sequence[tuple[Section, Source]]) -> str:
    """Writes the settings.

    Args:
        seen: What was looked at, in words.
        region: The outlet's country.
        tables: Sections, each with where its table is; the ledger first.
    """
    parts = [_TOP.format(seen=_one_line(seen)), _written(region), _REST]
    for section, source in tables:
        parts += ["\n", *_section(section, source)]
    parts.append("\n# Further tables, each with keys as in [ledger] if its columns differ:\n")
    parts += [f'# [{name}]\n# source = "{name}.csv"  # {what}\n' for name, what in _TABLES.items()]
    return "".join([*parts, _FLOORS])


def _section(section: Section, source: Source) -> Iterable[str]:
    yield f"[{section.name}]\n"
    yield from (_written(line) for line in _places(source))
    yield from (_written(line) for line in section.form)
    yield from (f"# TODO: {_one_line(doubt)}\n" for doubt in section.doubts)
    yield f"\n[{section.name}.columns]            # canonical = your own\n"
    yield from (_written(line) for line in section.columns)
    if section.name == "ledger":
        named = {line.key for line in (*section.columns, *section.constants)}
        for canonical in ("list_price", "basket_id", LINE_ID, "serial", "reference"):
            if canonical not in named:
                key = f'# {canonical} = "..."'.ljust(_COMMENT_AT)
                yield f"{key}# not found: {WHAT[canonical]}\n"
    if section.unused:
        yield f"# not used: {_one_line(', '.join(section.unused))}\n"
    parts = {
        "fill_down": section.fill_down,
        "codes": section.codes,
        "statuses": section.statuses,
        "constants": section.constants,
    }
    for name, lines in parts.items():
        if lines:
            yield f"\n[{section.name}.{name}]\n"
            yield from (_written(line) for line in lines)


def _places(source: Source) -> Iterable[Line]:
    """Where a table is."""
    yield Line("source", source.source, "")
    if source.password_file is not None:
        yield Line("password_file", str(source.password_file), "the password, by itself")
    for key in ("table", "query"):
        value = getattr(source, key)
        if value is not None:
            yield Line(key, value, "")


def _written(line: Line) -> str:
    key = f"{'# TODO: ' if line.todo else ''}{line.key} = {_toml(line.value)}"
    comment = f"  # {_one_line(line.why)}" if line.why else ""
    return f"{key.ljust(_COMMENT_AT - 2) if comment else key}{comment}\n"


def _toml(value: Value) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_quoted(key)} = {one}' for key, one in value.items())} }}"
    return str(value) if isinstance(value, int | float) else f"[{', '.join(map(_quoted, value))}]"


def _quoted(text: str) -> str:
    """A TOML string: JSON's, but for one sign that TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """A comment: without line ends and other signs that TOML has none of."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
