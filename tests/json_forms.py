"""Other ways to write down JSON that has one canonical form."""

from __future__ import annotations

import json


def other_forms(data: bytes) -> list[bytes]:
    """The same value with a blank somewhere; some sort before the canonical bytes, some after."""
    others = [
        data.replace(b"{", b"{ ", 1),
        data.replace(b":", b": ", 1),
        data.replace(b",", b" ,", 1),
        data + b" ",
        b" " + data,
    ]
    assert min(others) < data < max(others)
    assert all(json.loads(other) == json.loads(data) for other in others)
    return others
