"""Tokens at rest: a copy of the store holds none that could be read."""

from __future__ import annotations

import base64
import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlet_client.errors import TokenUnreadable
from outlet_client.people.people_store import People
from outlet_client.people.token_box import TokenBox
from privacy.envelopes import SealKey
from privacy.identity import Identity, PartyKind
from privacy.registrations import Registration
from privacy.slot_keys import SlotKey
from privacy.tokens import TokenShare, token
from tests.builders import outlet_at
from tests.outlet_client.fake_registry import Slots
from tests.shelves import NETWORK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
NAMES = [f"tel:+65812345{number:02d}" for number in range(20)]
SHARE, HQ = TokenShare.generate(), SealKey.generate()
TOKENS = {name: token(name, SHARE) for name in NAMES}
SECRET, OTHER = b"s" * 32, b"t" * 32


def spellings(raw: bytes) -> Iterator[bytes]:
    """Bytes as stores and logs write them, wherever in a text they begin."""
    yield from (raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode())
    yield repr(raw)[2:-1].encode()
    yield str(list(raw))[1:-1].encode()
    yield str(int.from_bytes(raw, "little")).encode()
    yield str(int.from_bytes(raw, "big")).encode()
    for start in range(3):  # of a base64 text that holds it, what depends on it alone
        text = base64.b64encode(b"\0" * start + raw)[4 if start else 0 : -4]
        yield text
        yield text.translate(bytes.maketrans(b"+/", b"-_"))


def fill(home: Path) -> People:
    """Somebody in every state that has a token, and tokens that were stored and stored anew."""
    people = People(outlet_at(home), SECRET, lambda: NOON)
    keys = {name: people.local_key(name) for name in NAMES}
    for name in NAMES:
        people.record_consent(keys[name], "n", "mei", NOON - dt.timedelta(days=1))
    people.keep_tokens({keys[name]: TOKENS[name] for name in NAMES[:15]})
    sealed = people.submission(1, 12, HQ.public, NETWORK)
    assert sealed is not None
    people.submitted(1)
    slots = Slots()
    for one in sealed:
        slots.apply(Registration.opened(one, HQ, NETWORK, 1))
    people.follow(slots.directory(1))
    for name in NAMES[:4]:
        people.withdraw(keys[name])
    people.submission(2, 12, HQ.public, NETWORK)
    people.keep_tokens({keys[name]: TOKENS[name] for name in NAMES})
    return people


def test_no_token_is_in_the_store_in_any_spelling(tmp_path: Path) -> None:
    people = fill(tmp_path)
    assert len({state for state, count in people.counts().items() if count}) >= 3
    open_files = b"".join(file.read_bytes() for file in tmp_path.glob("outlet.db*"))
    people.close()
    data = open_files + b"".join(file.read_bytes() for file in tmp_path.glob("outlet.db*"))
    for name in NAMES:
        raw = TOKENS[name].raw
        for spelled in spellings(raw):
            assert spelled not in data
        assert SlotKey.of(raw)._secret not in data
    for name in NAMES[:15]:  # while the public keys are
        assert SlotKey.of(TOKENS[name].raw).public in data


def test_the_spellings_are_found_where_a_token_is_written(tmp_path: Path) -> None:
    raw = TOKENS[NAMES[0]].raw
    written = raw + base64.b64encode(b"ab" + raw) + repr({"token": raw}).encode()
    found = [spelled in written for spelled in spellings(raw)]
    assert sum(found) >= 3


def test_a_token_opens_with_this_folders_key_for_this_person_only() -> None:
    box, made = TokenBox(SECRET), TOKENS[NAMES[0]]
    sealed = box.sealed("anna", made)
    assert box.slot_key("anna", sealed).public == SlotKey.of(made.raw).public
    assert TokenBox(SECRET).slot_key("anna", sealed).public == SlotKey.of(made.raw).public
    for other, person in ((TokenBox(OTHER), "anna"), (box, "ben"), (box, "")):
        with pytest.raises(TokenUnreadable) as caught:
            other.slot_key(person, sealed)
        said = str(caught.value)
        assert "encrypted with other keys than this folder's; restore identity.json and" in said
        for secret in (*spellings(made.raw), sealed.hex().encode(), b"anna", b"ben"):
            assert secret.decode(errors="replace") not in said


def test_no_two_rows_of_one_token_are_alike() -> None:
    """Else a copy of the store would tell who returned under another phone."""
    box = TokenBox(SECRET)
    sealed = {box.sealed("anna", TOKENS[NAMES[0]]) for _ in range(50)}
    assert len(sealed) == 50
    assert len({one[:12] for one in sealed}) == 50
    assert {len(one) for one in sealed} == {12 + 32 + 16}


@given(st.integers(0, 59), st.integers(1, 255), st.integers(0, 59))
def test_a_row_that_was_altered_or_cut_off_is_unreadable(place: int, flip: int, end: int) -> None:
    box = TokenBox(SECRET)
    sealed = bytearray(box.sealed("anna", TOKENS[NAMES[0]]))
    sealed[place] ^= flip
    with pytest.raises(TokenUnreadable):
        box.slot_key("anna", bytes(sealed))
    sealed[place] ^= flip
    with pytest.raises(TokenUnreadable):
        box.slot_key("anna", bytes(sealed[:end]))


def test_the_store_of_another_folder_or_another_persons_row_reads_nobodys_band(
    tmp_path: Path,
) -> None:
    fill(tmp_path).close()
    url = outlet_at(tmp_path)
    with closing(sqlite3.connect(tmp_path / "outlet.db")) as database:
        one, other = database.execute(
            "SELECT key, token FROM people WHERE state = 'listed' LIMIT 2"
        ).fetchall()
        database.execute("UPDATE people SET token = ? WHERE key = ?", (other[1], one[0]))
        database.commit()
    with closing(People(url, SECRET)) as people:
        assert people.person(other[0]) is not None
        with pytest.raises(TokenUnreadable):
            people.person(one[0])
    with closing(People(url, OTHER)) as stolen:
        for key in (one[0], other[0]):
            with pytest.raises(TokenUnreadable):
                stolen.person(key)
        with pytest.raises(TokenUnreadable):
            stolen.submission(3, 12, HQ.public, NETWORK)


def test_every_outlet_encrypts_under_a_key_of_its_own(tmp_path: Path) -> None:
    at = dt.datetime.now(dt.UTC)
    stores = []
    for name in ("O1", "O2"):
        outlet_at(tmp_path / name)
        stores.append(
            People.open(tmp_path / name, Identity.generate(PartyKind.OUTLET, name, "", at))
        )
    for people in stores:
        key = people.local_key(NAMES[0])
        people.record_consent(key, "n", "mei", NOON)
        people.keep_tokens({key: TOKENS[NAMES[0]]})
    keys = [people.local_key(NAMES[0]) for people in stores]
    assert keys[0] != keys[1]
    copied = People(outlet_at(tmp_path / "O1"), stores[1]._secret)
    with pytest.raises(TokenUnreadable):
        copied.person(keys[0])
    for people in (*stores, copied):
        people.close()
