"""A statement is the office's, about one outlet, and tells nothing of the log it is about."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.envelopes import SigningKey, frame
from privacy.log_heads import (
    DIGEST_BYTES,
    KIND,
    LATEST,
    HeadRefused,
    HeadStatement,
    SignedHead,
    head_digest,
    open_head,
    sign_head,
)

OFFICE = SigningKey.generate()
STATEMENT = HeadStatement("O1", 7, 1_800_000_000, secrets.token_bytes(DIGEST_BYTES).hex())
SIGNED = sign_head(STATEMENT, OFFICE)

statements = st.builds(
    HeadStatement,
    st.text(min_size=1, max_size=20),
    st.integers(1, 2**60),
    st.integers(0, LATEST),
    st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES).map(bytes.hex),
)


@given(statements)
def test_what_the_office_signs_is_read_as_it_was_said(statement: HeadStatement) -> None:
    assert open_head(sign_head(statement, OFFICE), OFFICE.public, statement.outlet) == statement


def test_the_bytes_that_the_office_signs_are_frozen() -> None:
    """It signed others of them before, and outlets keep those."""
    said = HeadStatement("Genève", LATEST, LATEST, "0f" * DIGEST_BYTES)
    assert said.encode() == (
        b'{"at":253402300799,"digest":"%s","kind":"log-head","number":253402300799,'
        b'"outlet":"Gen\\u00e8ve"}' % (b"0f" * DIGEST_BYTES)
    )


@given(st.integers(0, len(SIGNED.payload) - 1), st.integers(1, 255))
def test_a_statement_of_which_a_byte_was_changed_is_refused(place: int, change: int) -> None:
    payload = bytearray(SIGNED.payload)
    payload[place] ^= change
    with pytest.raises(HeadRefused, match="not signed by the pinned privacy office"):
        open_head(replace(SIGNED, payload=bytes(payload)), OFFICE.public, "O1")


def test_a_statement_of_another_key_or_about_another_outlet_is_refused() -> None:
    with pytest.raises(HeadRefused, match="not signed"):
        open_head(sign_head(STATEMENT, SigningKey.generate()), OFFICE.public, "O1")
    with pytest.raises(HeadRefused, match="about outlet O1, expected O2"):
        open_head(SIGNED, OFFICE.public, "O2")
    with pytest.raises(HeadRefused, match="not signed"):
        open_head(SignedHead(b"", b""), OFFICE.public, "O1")


def test_what_the_office_signs_for_another_purpose_is_no_statement() -> None:
    for domain in (b"escapement/v1/night-plan", b"escapement/v1/release-plan", b""):
        forged = replace(SIGNED, signature=OFFICE.sign(domain, SIGNED.payload))
        with pytest.raises(HeadRefused, match="not signed"):
            open_head(forged, OFFICE.public, "O1")
    joined = OFFICE.sign(frame(b"escapement/v1/log-statement", SIGNED.payload))
    with pytest.raises(HeadRefused, match="not signed"):
        open_head(replace(SIGNED, signature=joined), OFFICE.public, "O1")


GOOD = json.loads(SIGNED.payload)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "other fields"),
        (json.dumps({**GOOD, "length": 9}).encode(), "other fields"),
        (json.dumps({**GOOD, "number": True}).encode(), "number is of another type than int"),
        (json.dumps({**GOOD, "number": 0}).encode(), "number 0, expected 1 or more"),
        (json.dumps({**GOOD, "at": -1}).encode(), "within the years"),
        (json.dumps({**GOOD, "at": LATEST + 1}).encode(), "within the years"),
        (json.dumps({**GOOD, "digest": "ab"}).encode(), "32 bytes in hex"),
        (json.dumps({**GOOD, "digest": GOOD["digest"].upper()}).encode(), "32 bytes in hex"),
        (json.dumps({**GOOD, "kind": "night-plan"}).encode(), f"expected {KIND}"),
        (json.dumps(GOOD, indent=1).encode(), "not in canonical form"),
        (SIGNED.payload.replace(b"{", b'{"kind":"x",', 1), "not in canonical form"),
    ],
)
def test_a_malformed_statement_is_refused_with_the_reason(payload: bytes, why: str) -> None:
    with pytest.raises(HeadRefused, match=why):
        HeadStatement.decode(payload)


numbers = st.integers(0, 2**60)
heads = st.tuples(numbers, numbers, st.binary(min_size=32, max_size=32))


@given(heads, heads)
def test_a_digest_stands_for_one_number_length_and_hash_only(
    one: tuple[int, int, bytes], other: tuple[int, int, bytes]
) -> None:
    assert (head_digest(*one) == head_digest(*other)) == (one == other)
    assert len(head_digest(*one)) == DIGEST_BYTES


def test_the_same_head_is_another_digest_on_another_night() -> None:
    """So the office does not learn that nothing was logged in between."""
    head = secrets.token_bytes(32)
    assert head_digest(3, 80, head) != head_digest(4, 80, head)
