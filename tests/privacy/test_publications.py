"""What the office said of one directory or book holds for its very bytes, and for nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.envelopes import SigningKey, digest, frame
from privacy.log_heads import LATEST
from privacy.publications import (
    Countersigned,
    Publication,
    PublicationKind,
    PublicationRefused,
    check_published,
    countersign,
    open_publication,
)
from tests.privacy.slots import altered, directory_of

OFFICE = SigningKey.from_bytes(bytes(range(32)))
DATA = directory_of(3, 1, None, 2).encode()
DIRECTORY, BOOK = PublicationKind.DIRECTORY, PublicationKind.BOOK
SAID = Publication(DIRECTORY, 7, digest(DATA), digest(DATA), 1_800_000_000)
OF_BOOK = Publication(BOOK, 7, digest(b"book"), digest(DATA), 1_800_000_001)
SIGNED = countersign(SAID, OFFICE)
LARGEST = 2**53

hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
publications = st.builds(
    Publication,
    st.sampled_from(PublicationKind),
    st.integers(1, LARGEST),
    hexes,
    hexes,
    st.integers(0, LATEST),
)


# The format


def test_the_encoding_of_a_publication_is_frozen() -> None:
    assert SAID.encode() == (
        b'{"at":1800000000,"digest":"%s","directory":"%s","kind":"directory","number":7}'
        % (digest(DATA).encode(), digest(DATA).encode())
    )
    assert b'"kind":"book"' in OF_BOOK.encode()


def test_the_encoding_of_what_is_countersigned_is_frozen() -> None:
    payload = SAID.encode()
    assert SIGNED.encode() == len(payload).to_bytes(4, "big") + payload + SIGNED.signature
    assert SIGNED.signature == OFFICE.sign(b"escapement/v1/publication", payload)
    assert (
        digest(SIGNED.encode())
        == "849122fa3aa0df339dcb6b84dc8f6d91a8d9e55b1f9a67ae6f6d941919d63699"
    )


@given(publications)
def test_what_the_office_countersigns_is_read_as_it_was_said(said: Publication) -> None:
    assert open_publication(countersign(said, OFFICE), OFFICE.public, said.kind) == said
    assert Publication.decode(said.encode()) == said


@given(st.binary(max_size=100))
def test_what_is_countersigned_is_cut_off_from_what_follows(rest: bytes) -> None:
    assert Countersigned.cut_off(SIGNED.encode() + rest) == (SIGNED, rest)


# What outlets refuse


def test_the_bytes_that_were_countersigned_are_taken_and_no_others() -> None:
    assert check_published(SIGNED, OFFICE.public, DIRECTORY, DATA) == SAID
    with pytest.raises(PublicationRefused, match="; keep the last one and tell the office"):
        check_published(SIGNED, OFFICE.public, DIRECTORY, DATA + b"\0")


@given(altered(DATA))
def test_altered_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PublicationRefused, match="got digest"):
        check_published(SIGNED, OFFICE.public, DIRECTORY, data)


@given(altered(SIGNED.encode()))
def test_an_altered_statement_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        signed, rest = Countersigned.cut_off(data)
        open_publication(signed, OFFICE.public, DIRECTORY)
    except PublicationRefused:
        return
    assert (signed, bool(rest)) == (SIGNED, True)  # only something behind it: not the statement's


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(PublicationRefused):
        Publication.decode(data)
    try:
        signed, _ = Countersigned.cut_off(data)
    except PublicationRefused:
        return
    with pytest.raises(PublicationRefused):
        open_publication(signed, OFFICE.public, DIRECTORY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\0" + bytes(63),
        b"\0\0\4\0" + bytes(2000),  # a payload that is too long
        b"\xff\xff\xff\xff" + bytes(2000),
        SIGNED.encode()[:-1],
    ],
)
def test_what_is_cut_off_or_too_long_is_refused(data: bytes) -> None:
    with pytest.raises(PublicationRefused, match="cut off; fetch it again"):
        Countersigned.cut_off(data)


def test_nobody_but_the_office_countersigns() -> None:
    for forger in (SigningKey.generate(), SigningKey.from_bytes(bytes(32))):
        with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
            open_publication(countersign(SAID, forger), OFFICE.public, DIRECTORY)
    for signature in (b"", bytes(64), SIGNED.signature[:-1], SIGNED.signature + b"\0"):
        with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
            open_publication(replace(SIGNED, signature=signature), OFFICE.public, DIRECTORY)


def test_what_the_office_signs_for_another_purpose_is_no_publication() -> None:
    payload = SAID.encode()
    others = [
        OFFICE.sign(domain, payload)
        for domain in (b"escapement/v1/log-statement", b"escapement/v1/night-plan", b"")
    ]
    for signature in (*others, OFFICE.sign(frame(b"escapement/v1/publication", payload))):
        with pytest.raises(PublicationRefused, match="not countersigned by the pinned"):
            open_publication(Countersigned(payload, signature), OFFICE.public, DIRECTORY)


def test_what_was_said_of_a_book_is_not_said_of_a_directory() -> None:
    of_book = countersign(OF_BOOK, OFFICE)
    with pytest.raises(PublicationRefused, match="got what the office said of a book"):
        open_publication(of_book, OFFICE.public, DIRECTORY)
    with pytest.raises(PublicationRefused, match="got what the office said of a directory"):
        check_published(SIGNED, OFFICE.public, BOOK, DATA)
    assert check_published(of_book, OFFICE.public, BOOK, b"book") == OF_BOOK


GOOD = json.loads(SAID.encode())


def written(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"[]", "malformed"),
        (b"null", "malformed"),
        (b"{}", "other fields"),
        (written(more=1), "other fields"),
        (written(number=True), "other fields"),
        (written(number=7.0), "other fields"),
        (written(at="1"), "other fields"),
        (written(digest=None), "other fields"),
        (written(number=0), "outside its domain"),
        (written(number=LARGEST + 1), "outside its domain"),
        (written(number=2**63), "outside its domain"),
        (written(at=-1), "outside its domain"),
        (written(at=LATEST + 1), "outside its domain"),
        (written(digest=digest(DATA).upper()), "digests in hex"),
        (written(digest=digest(DATA)[:-2]), "digests in hex"),
        (written(digest=" " + digest(DATA)[:-2] + " "), "digests in hex"),
        (written(directory=""), "digests in hex"),
        (written(directory="\ud800" * 64), "digests in hex"),
        (written(kind="plan"), "malformed"),
        (json.dumps(GOOD, sort_keys=True).encode(), "not in canonical form"),
        (SAID.encode().replace(b"{", b'{"number":9,', 1), "not in canonical form"),
        (SAID.encode() + b"\n", "not in canonical form"),
        (SAID.encode().decode().encode("utf-16"), "not in canonical form"),
    ],
)
def test_a_malformed_publication_is_refused_with_the_reason(payload: bytes, why: str) -> None:
    assert Publication.decode(written()) == SAID
    with pytest.raises(PublicationRefused, match=why):
        Publication.decode(payload)
    signed = Countersigned(payload, OFFICE.sign(b"escapement/v1/publication", payload))
    with pytest.raises(PublicationRefused, match=why):
        open_publication(signed, OFFICE.public, DIRECTORY)
