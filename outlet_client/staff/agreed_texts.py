"""Texts that people agree to: the staff's undertaking, and the notice for customers.

Invariant: a text is known by the digest of all of it, so that an altered text is another one,
whatever version it calls itself.

Its first line is its version, such as "2026-11"; the rest is what is agreed to, one paragraph after
an empty line each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from outlet_client.errors import NotConfigured

_HERE = Path(__file__).parent
UNDERTAKING = _HERE / "undertaking.txt"
"""What staff undertake, where an outlet has no text of its own."""

NOTICE = _HERE / "notice.txt"
"""What a customer agrees to; likewise."""

_MOST_VERSION = 40


@dataclass(frozen=True, slots=True)
class Text:
    """A text that somebody agrees to."""

    version: str
    paragraphs: tuple[str, ...]
    digest: str

    @property
    def whole(self) -> str:
        """As it is kept beside who agreed to it."""
        return "\n\n".join((self.version, *self.paragraphs))


def read_text(path: Path) -> Text:
    """Reads a text.

    Raises:
        NotConfigured: If there is none, it has no version on its first line, or nothing else.
    """
    try:
        whole = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(
            f"{path}: cannot be read as text; correct `desk` in escapement.toml, or take the "
            "setting out to use the text that comes with the program"
        ) from error
    version, *rest = (" ".join(part.split()) for part in whole.split("\n\n"))
    if not version or len(version) > _MOST_VERSION or not any(rest):
        raise NotConfigured(
            f"{path}: expected a version of at most {_MOST_VERSION} characters on the first line, "
            "an empty line, and the text"
        )
    said = tuple(part for part in rest if part)
    return Text(version, said, hashlib.sha256(whole.encode()).hexdigest())
