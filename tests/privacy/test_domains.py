"""What is hashed or signed for one purpose stands for nothing else: no two share a domain."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from privacy.envelopes import frame

ROOT = Path(__file__).resolve().parents[2]
PREFIX = b"escapement/"


def domains() -> list[bytes]:
    """Every domain that stands in the code; a constant, or an argument where it is used once."""
    return [
        node.value
        for part in ("privacy", "server", "outlet_client", "features", "sandbox")
        for place in sorted((ROOT / part).rglob("*.py"))
        for node in ast.walk(ast.parse(place.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and node.value.startswith(PREFIX)
    ]


def test_no_domain_stands_for_two_purposes() -> None:
    found = Counter(domains())
    assert b"escapement/v1/slot-proof" in found
    assert len(found) >= 20
    assert [domain for domain, count in found.items() if count > 1] == []


@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_no_two_lists_of_fields_have_one_frame(one: list[bytes], other: list[bytes]) -> None:
    assert (frame(*one) == frame(*other)) == (one == other)


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=5), st.data())
def test_fields_that_are_cut_elsewhere_have_another_frame(
    fields: list[bytes], data: st.DataObject
) -> None:
    joined = b"".join(fields)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(joined)), max_size=4)))
    moved = [joined[a:b] for a, b in zip([0, *cuts], [*cuts, len(joined)], strict=True)]
    assert (frame(*moved) == frame(*fields)) == (moved == fields)
