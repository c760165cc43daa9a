"""A secret at rest opens with its folder's key, in its place, and nowhere else."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.at_rest import AtRest, SecretUnreadable
from tests.privacy.slots import altered

FOLDER = secrets.token_bytes(32)
BOX = AtRest(b"domain", FOLDER)
SEALED = BOX.sealed(b"secret", b"row 1")


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_a_secret_opens_in_its_place(secret: bytes, place: bytes) -> None:
    sealed = BOX.sealed(secret, place)
    assert len(sealed) == len(secret) + 28
    assert AtRest(b"domain", FOLDER).opened(sealed, place) == secret


def test_a_secret_that_was_moved_does_not_open() -> None:
    for place in (b"row 2", b"", b"row 1 "):
        with pytest.raises(SecretUnreadable):
            BOX.opened(SEALED, place)


def test_a_secret_of_another_folder_or_domain_does_not_open() -> None:
    for domain, folder in ((b"domain", bytes(32)), (b"another", FOLDER), (b"", b"domain" + FOLDER)):
        with pytest.raises(SecretUnreadable):
            AtRest(domain, folder).opened(SEALED, b"row 1")


@given(st.one_of(altered(SEALED), st.binary(max_size=60)))
def test_altered_or_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(SecretUnreadable) as caught:
        BOX.opened(data, b"row 1")
    assert FOLDER.hex() not in str(caught.value)


def test_one_secret_looks_like_another_each_time() -> None:
    assert len({BOX.sealed(b"secret", b"row 1")[:12] for _ in range(50)}) == 50
    assert b"secret" not in SEALED
