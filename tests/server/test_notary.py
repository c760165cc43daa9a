"""What the notary says, and stores before it says it: one number after another, none lost."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path  # noqa: TC003  (hypothesis and pytest read annotations)
from typing import TYPE_CHECKING

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from privacy.envelopes import SigningKey
from privacy.identity import PartyKind
from privacy.log_heads import (
    DIGEST_BYTES,
    HeadRefused,
    HeadStatement,
    SignedHead,
    open_head,
    sign_head,
)
from server.office.main import app
from server.office.notary import MOST_A_DAY, Notary
from server.office.tables import OFFICE as OFFICE_STORE
from server.wire import outlets_pb2, outlets_pb2_grpc
from tests.builders import store_at
from tests.server.test_holder import Parties, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("both_engines")

DAY = 86_400.0
NOON = 1_800_014_400.0  # 2027-01-15, 12:00 UTC
OFFICE = SigningKey.generate()


def digest() -> bytes:
    return secrets.token_bytes(DIGEST_BYTES)


def said(signed: SignedHead, outlet: str = "a") -> HeadStatement:
    return open_head(signed, OFFICE.public, outlet)


@pytest.fixture
def notary() -> Notary:
    return Notary("sqlite://", OFFICE)


def test_statements_are_numbered_from_one_for_each_outlet(notary: Notary) -> None:
    for outlet in "ab":
        held: SignedHead | None = None
        for number in range(1, 4):
            shown = digest()
            held = notary.countersign(outlet, shown, held, NOON + number * DAY)
            at = int(NOON + number * DAY)
            assert said(held, outlet) == HeadStatement(outlet, number, at, shown.hex())
    assert [(one.outlet, one.number) for one in notary.last()] == [("a", 3), ("b", 3)]


def test_an_answer_that_was_lost_is_given_again_on_any_day_and_for_any_digest(
    notary: Notary,
) -> None:
    first = notary.countersign("a", digest(), None, NOON)
    lost = notary.countersign("a", digest(), first, NOON + DAY)
    for days in range(2, 50):
        assert notary.countersign("a", digest(), first, NOON + days * DAY) == lost
    assert notary.countersign("a", digest(), None, NOON + 50 * DAY) == lost
    next_ = notary.countersign("a", digest(), lost, NOON + 51 * DAY)
    assert said(next_).number == 3


def test_the_same_digest_again_gets_the_very_same_statement(notary: Notary) -> None:
    shown = digest()
    made = notary.countersign("a", shown, None, NOON)
    assert notary.countersign("a", shown, None, NOON + 60) == made
    assert notary.countersign("a", shown, made, NOON + 61) == made


@pytest.mark.sqlite_only
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=30))
def test_whatever_is_lost_an_outlet_that_asks_on_has_every_number(
    nights: list[tuple[bool, int]],
) -> None:
    """`True`: the answer is lost; then days go by. No number is ever given for two digests."""
    with closing(Notary("sqlite://", OFFICE)) as notary:
        held: list[SignedHead] = []
        given: dict[int, SignedHead] = {}
        at = NOON
        for lost, days in [*nights, (False, 0), (False, 0)]:
            at += (1 + days) * DAY
            answer = notary.countersign("a", digest(), held[-1] if held else None, at)
            number = said(answer).number
            assert given.setdefault(number, answer) == answer
            if not lost:
                held.append(answer)
        assert [said(one).number for one in held] == list(range(1, len(held) + 1))
        assert len(given) == len(held)


def test_a_day_has_a_most_of_statements_and_the_next_day_more(notary: Notary) -> None:
    held: SignedHead | None = None
    for _ in range(MOST_A_DAY):
        held = notary.countersign("a", digest(), held, NOON)
    with pytest.raises(HeadRefused, match=f"a had {MOST_A_DAY} today, the most there may be"):
        notary.countersign("a", digest(), held, NOON)
    notary.countersign("b", digest(), None, NOON)  # another outlet's are its own
    assert said(notary.countersign("a", digest(), held, NOON + DAY)).number == MOST_A_DAY + 1


@pytest.mark.sqlite_only
def test_one_row_an_outlet_is_all_that_is_kept(tmp_path: Path) -> None:
    with closing(
        Notary(store_at(f"sqlite:///{tmp_path / 'notary.db'}", OFFICE_STORE), OFFICE)
    ) as notary:
        held: SignedHead | None = None
        for night in range(40):
            held = notary.countersign("a", digest(), held, NOON + night * DAY)
    with closing(sqlite3.connect(tmp_path / "notary.db")) as store:
        assert store.execute("SELECT COUNT(*) FROM last_statements").fetchall() == [(1,)]


@pytest.mark.parametrize("shown", [b"", bytes(DIGEST_BYTES - 1), bytes(DIGEST_BYTES + 1)])
def test_a_digest_of_another_length_is_refused(notary: Notary, shown: bytes) -> None:
    with pytest.raises(HeadRefused, match=f"got {len(shown)} bytes, expected {DIGEST_BYTES}"):
        notary.countersign("a", shown, None, NOON)


def test_what_an_outlet_shows_as_held_must_be_this_offices_about_it(notary: Notary) -> None:
    other = notary.countersign("b", digest(), None, NOON)
    own = notary.countersign("a", digest(), None, NOON)
    forged = sign_head(replace(said(own), number=9), SigningKey.generate())
    for held, why in (
        (other, "about outlet b, expected a"),
        (forged, "not signed"),
        (replace(own, payload=own.payload + b" "), "not signed"),
        (SignedHead(b"", b""), "not signed"),
    ):
        with pytest.raises(HeadRefused, match=why):
            notary.countersign("a", digest(), held, NOON)
    assert said(notary.countersign("a", digest(), own, NOON)).number == 2


@pytest.mark.sqlite_only
def test_an_office_that_was_restored_goes_on_after_what_an_outlet_shows(
    tmp_path: Path,
) -> None:
    with closing(
        Notary(store_at(f"sqlite:///{tmp_path / 'notary.db'}", OFFICE_STORE), OFFICE)
    ) as notary:
        held = notary.countersign("a", digest(), None, NOON)
        shutil.copy(tmp_path / "notary.db", tmp_path / "copy.db")
        for night in range(1, 4):
            held = notary.countersign("a", digest(), held, NOON + night * DAY)
    with closing(
        Notary(store_at(f"sqlite:///{tmp_path / 'copy.db'}", OFFICE_STORE), OFFICE)
    ) as restored:
        assert said(restored.countersign("a", digest(), held, NOON + 4 * DAY)).number == 5


def test_an_office_with_another_key_begins_again_and_gives_no_statement_of_the_old_one(
    tmp_path: Path,
) -> None:
    url, another = f"sqlite:///{tmp_path / 'notary.db'}", SigningKey.generate()
    with closing(Notary(store_at(url, OFFICE_STORE), OFFICE)) as notary:
        old = notary.countersign("a", digest(), None, NOON)
    with closing(Notary(store_at(url, OFFICE_STORE), another)) as notary:
        with pytest.raises(HeadRefused, match="not signed"):
            notary.countersign("a", digest(), old, NOON)
        made = notary.countersign("a", digest(), None, NOON)
    assert open_head(made, another.public, "a").number == 1


def test_a_statement_is_stored_before_it_is_sent(tmp_path: Path) -> None:
    """Whoever opens the file then finds it; the process may die at once."""
    url = f"sqlite:///{tmp_path / 'notary.db'}"
    with (
        closing(Notary(store_at(url, OFFICE_STORE), OFFICE)) as notary,
        closing(Notary(store_at(url, OFFICE_STORE), OFFICE)) as other,
    ):
        made = notary.countersign("a", digest(), None, NOON)
        assert other.countersign("a", digest(), None, NOON + DAY) == made


def test_threads_that_ask_at_once_get_one_statement(tmp_path: Path) -> None:
    with closing(
        Notary(store_at(f"sqlite:///{tmp_path / 'notary.db'}", OFFICE_STORE), OFFICE)
    ) as notary:
        found: list[SignedHead] = []
        threads = [
            threading.Thread(
                target=lambda: found.append(notary.countersign("a", digest(), None, NOON))
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


# --- over gRPC ------------------------------------------------------------------------------------


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def ask(channel: grpc.Channel, shown: bytes, held: SignedHead | None = None) -> SignedHead:
    request = outlets_pb2.CountersignRequest(digest=shown)
    if held is not None:
        request.held.payload, request.held.signature = held.payload, held.signature
    made = outlets_pb2_grpc.NotaryStub(channel).Countersign(request, timeout=20).statement
    return SignedHead(made.payload, made.signature)


def test_an_outlet_is_who_its_certificate_says_and_others_may_not_ask(parties: Parties) -> None:
    address = parties.run(PartyKind.OFFICE)
    key = parties.office.identity().card.verify_key
    a, b = (parties.channel(parties.outlets[name], PartyKind.OFFICE, address) for name in "ab")
    shown = digest()
    own, other = ask(a, shown), ask(b, shown)
    assert open_head(own, key, "a").number == open_head(other, key, "b").number == 1
    assert refused(lambda: ask(b, digest(), own)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "statement: about outlet a, expected b",
    )
    hq = parties.channel(parties.hq, PartyKind.OFFICE, address)
    status, why = refused(lambda: ask(hq, digest()))
    assert (status, "expected one of outlet" in why) == (grpc.StatusCode.PERMISSION_DENIED, True)


def test_a_paused_office_countersigns_nothing(parties: Parties) -> None:
    address = parties.run(PartyKind.OFFICE)
    channel = parties.channel(parties.outlets["a"], PartyKind.OFFICE, address)
    parties.paused = True
    status, why = refused(lambda: ask(channel, digest()))
    assert (status, "is paused" in why) == (grpc.StatusCode.UNAVAILABLE, True)


@pytest.mark.sqlite_only
def test_the_office_lists_whose_log_was_countersigned_when_and_a_backup_has_it(
    parties: Parties, tmp_path: Path
) -> None:
    address = parties.run(PartyKind.OFFICE)
    ask(parties.channel(parties.outlets["a"], PartyKind.OFFICE, address), digest())
    home = str(parties.office.folder)
    done = CliRunner().invoke(app, ["outlets", "logs", "--json", "--home", home])
    found = json.loads(done.output)
    assert [(one["outlet"], one["statements"]) for one in found] == [("a", 1), ("b", 0), ("c", 0)]
    assert found[0]["last"].endswith("+00:00")
    assert found[1]["last"] is None
    done = CliRunner().invoke(app, ["outlets", "logs", "--home", home])
    assert "never" in done.output
    copy = tmp_path / "copy"
    assert CliRunner().invoke(app, ["backup", str(copy), "--home", home]).exit_code == 0
    done = CliRunner().invoke(app, ["outlets", "logs", "--json", "--home", str(copy)])
    assert json.loads(done.output) == found
