"""What a batch does to slots, and what replays, copied keys and reordering cannot do."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People, State
from privacy.envelopes import SealKey
from privacy.registrations import (
    SEALED_BYTES,
    Evidence,
    Registration,
    RegistrationAct,
    RegistrationRefused,
)
from privacy.slot_keys import PROOF_BYTES, SlotKey
from privacy.tokens import Token, TokenShare
from server.hq.registry import BatchCounts, Registry
from server.hq.tables import HQ
from tests.builders import store_at
from tests.privacy.slots import NOT_POINTS, slot_key
from tests.server.registrations import (
    BLANK,
    KEY,
    NETWORK,
    SECRETS,
    Dummy,
    Hq,
    Message,
    Register,
    Withdraw,
    nonce,
    sealed,
    slot,
    tag,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("both_engines")


@pytest.fixture
def hq() -> Hq:
    return Hq()


def test_a_key_gets_a_slot_and_its_first_registration_is_the_home(hq: Hq) -> None:
    assert hq.apply(Register(0, 0), Dummy()) == BatchCounts(registered=1, nothing=1)
    assert hq.apply(Register(0, 1), Register(1, 2)) == BatchCounts(registered=2)
    assert hq.slots() == [slot(0, 0), slot(1, 2)]
    assert hq.registry.home_nonces() == [nonce(0), nonce(2)]
    assert hq.registry.directory().batch == 2


@pytest.mark.sqlite_only
def test_within_a_batch_no_outlet_can_choose_a_tag_that_makes_it_the_home() -> None:
    homes = set[bytes]()
    for _ in range(60):  # by chance one home for all at less than 1 in 10^41
        hq = Hq()
        hq.apply(*(Register(0, secret) for secret in range(5)))
        homes.add(hq.slots()[0][2])
    assert len(homes) > 1


def test_a_batch_that_is_applied_again_after_a_kill_has_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[list[bytes]] = []

    def killed(_connection: object, messages: Sequence[Registration]) -> None:
        tried.append([message.shown for message in messages])
        raise KeyboardInterrupt

    messages = [Register(0, secret) for secret in range(5)]
    with monkeypatch.context() as patched:
        patched.setattr("server.hq.registry.apply_messages", killed)
        for _ in range(4):
            with pytest.raises(KeyboardInterrupt):
                Hq(Registry(store_at(f"sqlite:///{tmp_path / 'hq.db'}", HQ))).apply(*messages)
    hq = Hq(Registry(store_at(f"sqlite:///{tmp_path / 'hq.db'}", HQ)))
    assert hq.apply(*messages) == BatchCounts(registered=5)
    assert [some[0] for some in tried] == [hq.slots()[0][1]] * 4
    assert tried == [tried[0]] * 4


def test_what_is_known_is_found_however_many_are_asked_for_at_once(
    hq: Hq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.hq.slot_changes._AT_ONCE", 2)
    messages = [Register(0, secret) for secret in range(5)]
    assert hq.apply(*messages) == BatchCounts(registered=5)
    assert hq.apply(*messages) == BatchCounts(nothing=5)


def registrations(hq: Hq) -> dict[bytes, int]:
    """How many each key has that is live; of blank slots under b""."""
    keys = [key for key, _, _ in hq.slots()]
    return dict(zip(keys, hq.registry.registrations_of_slots().tolist(), strict=True))


def test_live_registrations_are_counted_slot_by_slot(hq: Hq) -> None:
    assert hq.registry.registrations_of_slots().tolist() == []
    hq.apply(Register(0, 0), Register(0, 1))
    hq.apply(Register(1, 2), Register(0, 3), Register(2, 4), Register(0, 3))
    counts = registrations(hq)
    assert [counts[slot_key(key).public] for key in range(3)] == [3, 1, 1]
    hq.apply(Withdraw(0, 1))
    counts = registrations(hq)
    assert [counts[slot_key(1).public], counts[b""], counts[slot_key(2).public]] == [1, 0, 1]
    hq.apply(Register(0, 5, since=3))  # in a slot of its own
    assert hq.registry.registrations_of_slots()[-1] == 1


# --- withdrawals and returns -------------------------------------------------------------------


def test_a_withdrawal_anywhere_blanks_the_slot_everywhere(hq: Hq) -> None:
    hq.apply(Register(0, 0))
    hq.apply(Register(0, 2), Register(1, 1))
    assert hq.apply(Withdraw(0, 2)) == BatchCounts(withdrawn=1)
    assert hq.slots() == [BLANK, slot(1, 1)]
    after = hq.registry.directory()
    assert not after.rows[0].any()
    assert after.slots == 2
    assert hq.apply(Withdraw(0, 0)) == BatchCounts(nothing=1)  # the home's own, after the fact


def test_a_withdrawal_with_a_wrong_secret_changes_nothing(hq: Hq) -> None:
    hq.apply(Register(0, 0), Register(1, 1))
    before = hq.slots()
    known = [nonce(0), tag(0) + bytes(16)]  # to HQ itself; to everybody
    made = [
        Withdraw(0, 3)(2),  # never registered
        Withdraw(0, 1)(2),  # of another key
        *(Registration.withdraw(NETWORK, slot_key(0), shown, 2) for shown in known),
    ]
    assert apply(hq, *made) == BatchCounts(refused=4)
    assert hq.slots() == before


def apply(hq: Hq, *made: Registration) -> BatchCounts:
    """Applies messages as they are."""
    batch = hq.registry.last_batch() + 1
    return hq.registry.apply(batch, [one.sealed(KEY.public) for one in made], KEY, NETWORK)


def test_a_registration_of_a_known_nonce_cannot_undo_a_withdrawal_and_new_consent_can(
    hq: Hq,
) -> None:
    hq.apply(Register(0, 0), Register(0, 1))
    hq.apply(Withdraw(0, 0))
    assert hq.apply(Register(0, 0, since=2), Register(0, 1, since=2)) == BatchCounts(nothing=2)
    assert hq.slots() == [BLANK]
    assert hq.apply(Register(0, 2, since=2)) == BatchCounts(registered=1)
    assert hq.slots() == [BLANK, slot(0, 2)]
    assert hq.apply(Withdraw(0, 0)) == BatchCounts(nothing=1)  # an old secret does not reach it
    assert hq.slots()[1] == slot(0, 2)


def test_a_consent_older_than_a_withdrawal_elsewhere_brings_nobody_back_and_a_newer_one_does(
    hq: Hq,
) -> None:
    hq.apply(Register(1, 1))
    hq.apply(Register(0, 0))
    hq.apply(Withdraw(0, 0))
    assert hq.apply(Register(0, 2), Register(0, 3, since=2)) == BatchCounts(refused=2)
    assert hq.slots() == [slot(1, 1), BLANK]
    assert hq.apply(Register(0, 4, since=3)) == BatchCounts(registered=1)
    assert hq.apply(Register(0, 2)) == BatchCounts(refused=1)  # nor a home of the newer one
    hq.apply(Withdraw(0, 4))
    assert hq.apply(Register(0, 3, since=6)) == BatchCounts(refused=1)  # the last burial counts
    assert hq.apply(Register(0, 3, since=7)) == BatchCounts(registered=1)
    assert hq.slots() == [slot(1, 1), BLANK, BLANK, slot(0, 3)]


def test_a_withdrawal_in_the_batch_of_a_registration_comes_after_it(hq: Hq) -> None:
    assert hq.apply(Withdraw(0, 0), Register(0, 0)) == BatchCounts(registered=1, withdrawn=1)
    assert hq.slots() == [BLANK]


def test_a_withdrawal_at_an_outlet_that_never_registered_the_customer_reaches_all_outlets() -> None:
    hq, whose = Hq(), Token(TokenShare.generate().public)
    first, second = (People("sqlite://", secret * 32) for secret in (b"1", b"2"))
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)

    def night(*lost: People) -> None:
        batch, handed = hq.registry.last_batch() + 1, list[bytes]()
        for people in (first, second):
            mine = people.submission(batch, 2, KEY.public, NETWORK) or []
            people.submitted(batch)
            handed += [] if people in lost else mine
        hq.registry.apply(batch, handed, KEY, NETWORK)
        for people in (first, second):
            people.follow(hq.registry.directory(), batch)

    def states() -> list[State]:
        found = [people.person("anna") for people in (first, second)]
        return [person.state for person in found if person is not None]

    first.record_consent("anna", "n", "mei", at)
    first.keep_tokens({"anna": whose})
    night()
    second.record_consent("anna", "n", "mei", at)
    second.keep_tokens({"anna": whose})
    assert second.withdraw("anna") is State.WITHDRAWING
    night(second)  # neither of its messages arrives at first
    night(second)
    assert hq.slots()[0][0] == SlotKey.of(whose.raw).public
    for _ in range(12):  # each attempt after the first is within three batches
        night()
    assert hq.slots() == [BLANK]
    assert states() == [State.BURIED, State.WITHDRAWN]
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert first.record_consent("anna", "n", "mei", later) is Recorded.NEW
    night()
    assert states() == [State.LISTED, State.WITHDRAWN]


# --- who does not have the token ---------------------------------------------------------------


def test_a_stranger_who_copied_a_key_registers_nobody_and_buries_nobody(hq: Hq) -> None:
    """Every outlet, HQ and the office read public keys; the token alone has the secret."""
    hq.apply(Register(0, 0))
    copied, mine, stranger = slot_key(0).public, slot_key(1), SECRETS[5]
    # A registration under the stranger's own secret key, with the copied one written into it.
    registers = replace(Registration.register(NETWORK, mine, stranger, 2, 2), key=copied)
    assert apply(hq, registers) == BatchCounts(refused=1)
    # And, had it gone through, the withdrawal by the secret of that registration.
    buries = replace(Registration.withdraw(NETWORK, mine, stranger, 3), key=copied)
    assert apply(hq, buries) == BatchCounts(refused=1)
    assert hq.slots() == [slot(0, 0)]


def test_a_proof_that_was_seen_proves_nothing_else(hq: Hq) -> None:
    """Evidence is shown to the office: what is in it serves for no other message."""
    hq.apply(Register(0, 0))
    seen = Register(0, 0)(1)
    again = [
        replace(Registration.register(NETWORK, slot_key(1), SECRETS[5], 2), key=seen.key),
        Registration(RegistrationAct.REGISTER, seen.key, nonce(5), 0, 2, seen.proof),
        Registration(RegistrationAct.REGISTER, seen.key, seen.shown, 2, 2, seen.proof),
        Registration(RegistrationAct.WITHDRAW, seen.key, SECRETS[0], 0, 2, seen.proof),
        Registration(RegistrationAct.REGISTER, seen.key, nonce(5), 0, 2, bytes(PROOF_BYTES)),
    ]
    assert apply(hq, *again) == BatchCounts(refused=len(again))
    assert hq.slots() == [slot(0, 0)]


@pytest.mark.parametrize("act", [Register(1, 1), Withdraw(0, 0)])
def test_a_proof_for_another_network_batch_or_act_is_refused(hq: Hq, act: Message) -> None:
    hq.apply(Register(0, 0))
    before, good = hq.slots(), act(2)
    other = (
        RegistrationAct.WITHDRAW
        if good.act is RegistrationAct.REGISTER
        else RegistrationAct.REGISTER
    )
    elsewhere = slot_key(9).public
    made_there = {
        RegistrationAct.REGISTER: Registration.register(elsewhere, slot_key(1), SECRETS[1], 2),
        RegistrationAct.WITHDRAW: Registration.withdraw(elsewhere, slot_key(0), SECRETS[0], 2),
    }
    wrong = [
        made_there[good.act],
        replace(act(1), batch=2),  # proved for the first batch, sealed for the second
        replace(act(3), batch=2),
        replace(good, act=other),
        replace(good, since=1),
    ]
    assert apply(hq, *wrong) == BatchCounts(refused=len(wrong))
    assert hq.slots() == before


def test_a_withdrawal_that_is_sent_again_by_others_reaches_nobody_who_came_back(hq: Hq) -> None:
    hq.apply(Register(0, 0))
    (kept,) = sealed(2, Withdraw(0, 0))
    assert hq.registry.apply(2, [kept], KEY, NETWORK) == BatchCounts(withdrawn=1)
    hq.apply(Register(0, 1, since=2))
    back = hq.slots()
    assert hq.registry.apply(4, [kept], KEY, NETWORK) == BatchCounts(refused=1)
    assert apply(hq, replace(Withdraw(0, 0)(2), batch=5)) == BatchCounts(refused=1)
    assert hq.slots() == back == [BLANK, slot(0, 1)]


def test_a_message_of_another_batch_a_broken_one_and_no_key_are_refused(hq: Hq) -> None:
    no_key = [
        replace(Register(0, 0)(1), key=key).sealed(KEY.public)
        for key in NOT_POINTS
        if len(key) == 32
    ]
    wrong = [
        Register(0, 0)(2).sealed(KEY.public),
        Register(0, 0)(1).sealed(SealKey.generate().public),
        b"",
        secrets.token_bytes(SEALED_BYTES),
        *no_key,
    ]
    assert hq.registry.apply(1, wrong, KEY, NETWORK) == BatchCounts(refused=len(wrong))
    assert hq.slots() == []
    assert hq.registry.last_batch() == 1


# --- evidence ----------------------------------------------------------------------------------


def evidence_of(hq: Hq) -> dict[tuple[int, RegistrationAct], Evidence]:
    """All evidence that is kept."""
    with hq.registry._engine.begin() as connection:
        rows = connection.execute(sa.text("SELECT * FROM slot_evidence")).all()
    acts = [RegistrationAct(row.act) for row in rows]
    return {
        (row.slot, act): Evidence(act, row.batch, row.since, row.bound, row.proof)
        for row, act in zip(rows, acts, strict=True)
    }


def test_evidence_is_kept_of_every_blank_slot_and_of_who_came_back_and_of_nothing_else(
    hq: Hq,
) -> None:
    hq.apply(Register(0, 0), Register(1, 1))
    hq.apply(Withdraw(0, 0))
    hq.apply(Register(0, 2, since=2))
    hq.apply(Register(0, 3, since=2), Register(2, 4))  # known; and new
    hq.apply(Withdraw(0, 3))
    kept = evidence_of(hq)
    came = RegistrationAct.REGISTER
    left = RegistrationAct.WITHDRAW
    first, second = sorted((hq.slots().index(BLANK), 2))
    assert set(kept) == {(first, left), (second, came), (second, left)}
    numbers = {place: (one.batch, one.since) for place, one in kept.items()}
    assert numbers == {(first, left): (2, 0), (second, came): (3, 2), (second, left): (5, 0)}
    for one in kept.values():
        one.check(NETWORK, slot_key(0).public)


def test_evidence_gives_neither_secret_nor_nonce_away(hq: Hq) -> None:
    hq.apply(Register(0, 0))
    hq.apply(Withdraw(0, 0))
    hq.apply(Register(0, 1, since=2))
    for one in evidence_of(hq).values():
        for hidden in (SECRETS[0], nonce(0), tag(0), SECRETS[1], nonce(1), tag(1)):
            assert hidden not in one.bound + one.proof


# --- laws --------------------------------------------------------------------------------------


MESSAGES = st.one_of(
    st.builds(Register, st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)),
    st.builds(Withdraw, st.integers(0, 3), st.integers(0, 4)),
    st.builds(Dummy),
)
BATCHES = st.lists(st.lists(MESSAGES, max_size=8), max_size=3)


@pytest.mark.sqlite_only
@settings(max_examples=60)
@given(batches=BATCHES, data=st.data())
def test_any_order_and_any_repetition_within_a_batch_gives_the_same_registry(
    batches: Sequence[Sequence[Message]], data: st.DataObject
) -> None:
    one, other = Hq(), Hq()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("server.hq.registry._fresh_order_key", lambda: bytes(32))
        for batch, messages in enumerate(batches, 1):
            made = sealed(batch, *messages)
            one.registry.apply(batch, made, KEY, NETWORK)
            twice = data.draw(st.lists(st.sampled_from(made))) if made else []
            mixed = data.draw(st.permutations([*made, *twice]))
            other.registry.apply(batch, mixed, KEY, NETWORK)
    assert one.slots() == other.slots()
    assert evidence_of(one) == evidence_of(other)


def test_of_two_proofs_of_one_registration_the_same_is_evidence_in_whatever_order() -> None:
    (one, other), kept = (Register(0, 1, since=2)(3).sealed(KEY.public) for _ in range(2)), set()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("server.hq.registry._fresh_order_key", lambda: bytes(32))
        for messages in ([one, other], [other, one]):
            hq = Hq()
            hq.apply(Register(0, 0))
            hq.apply(Withdraw(0, 0))
            assert hq.registry.apply(3, messages, KEY, NETWORK).registered == 1
            kept.add(evidence_of(hq)[1, RegistrationAct.REGISTER].proof)
    assert len(kept) == 1


@pytest.mark.sqlite_only
@settings(max_examples=60)
@given(batches=BATCHES)
def test_registering_everything_again_after_the_fact_brings_nobody_back(
    batches: Sequence[Sequence[Message]],
) -> None:
    hq = Hq()
    for messages in batches:
        hq.apply(*messages)
    before = hq.slots()
    again = [one for some in batches for one in some if isinstance(one, Register)]
    assert hq.apply(*again).registered == 0
    assert hq.slots() == before


@pytest.mark.sqlite_only
@settings(max_examples=60)
@given(batches=BATCHES)
def test_a_slot_has_one_key_for_ever_or_none_any_more(batches: Sequence[Sequence[Message]]) -> None:
    hq, before = Hq(), list[tuple[bytes, bytes, bytes]]()
    for messages in batches:
        hq.apply(*messages)
        now = hq.slots()
        for then, still in zip(before, now, strict=False):
            assert still in (then, BLANK)
        assert len(now) >= len(before)
        live = [one for one in now if one != BLANK]
        assert len({key for key, _, _ in live}) == len(live)
        before = now


def test_the_same_batch_again_or_an_older_one_changes_nothing(hq: Hq) -> None:
    hq.apply(Register(0, 0))
    hq.apply(Register(1, 1))
    before = hq.slots()
    for batch in (1, 2):
        assert hq.apply(Register(2, 2), Withdraw(0, 0), batch=batch) == BatchCounts()
    assert hq.slots() == before
    with pytest.raises(RegistrationRefused, match="got 4, expected 3"):
        hq.apply(Register(2, 2), batch=4)
    assert hq.registry.last_batch() == 2


# --- what is kept ------------------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_what_was_withdrawn_is_in_no_file_of_hq_and_no_table_names_an_outlet(
    tmp_path: Path,
) -> None:
    file = tmp_path / "hq.db"
    hq = Hq(Registry(store_at(f"sqlite:///{file}", HQ)))
    hq.apply(Register(0, 0), Register(1, 1))
    gone = (slot_key(0).public, nonce(0), tag(0))
    for forgotten in gone:
        assert forgotten in file.read_bytes()
    hq.apply(Withdraw(0, 0))
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for forgotten in (*gone[:2], SECRETS[0]):
        assert forgotten not in held
    assert slot_key(1).public in held
    columns = {
        f"{table}.{column['name']}"
        for table in (
            "slot_keys",
            "slot_evidence",
            "registrations",
            "registry",
            "burials",
            "burial_key",
            "orders",
            "ledger_copy",
            "ledger_proof",
            "directories",
            "book_drafts",
            "books",
        )
        for column in sa.inspect(sa.create_engine(f"sqlite:///{file}")).get_columns(table)
    }
    assert columns == {
        "burial_key.number",
        *(f"slot_keys.{name}" for name in ("slot", "key", "home_nonce", "home_tag", "opened")),
        *(f"slot_evidence.{name}"
          for name in ("slot", "act", "batch", "since", "bound", "proof")),
        *(f"registrations.{name}" for name in ("tag", "slot")),
        *(f"registry.{name}" for name in ("last_batch", "last_version", "network")),
        *(f"burials.{name}" for name in ("key_hash", "batch")),
        "burial_key.hash_key",
        *(f"orders.{name}" for name in ("batch", "order_key")),
        *(f"directories.{name}"
          for name in ("number", "digest", "batch", "slots", "countersigned", "encoded")),
        *(f"book_drafts.{name}" for name in ("version", "directory", "signed")),
        *(f"books.{name}" for name in ("version", "encoded")),
        *(f"ledger_copy.{name}" for name in ("sequence", "digest", "entry")),
        *(f"ledger_proof.{name}" for name in ("payload", "signature")),
    }  # fmt: skip


def test_a_withdrawn_key_cannot_be_found_by_its_hash_alone(hq: Hq) -> None:
    other = Hq()
    hashes = set()
    for one in (hq, other):
        one.apply(Register(0, 0))
        one.apply(Withdraw(0, 0))
        with one.registry._engine.begin() as connection:
            hashes.add(connection.scalar(sa.text("SELECT key_hash FROM burials")))
    assert len(hashes) == 2  # each under a random key of its own


def test_the_networks_key_is_kept_for_good(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hq.db'}"
    registry = Registry(store_at(url, HQ))
    assert registry.network() is None
    registry.keep_network(NETWORK)
    registry.close()
    assert Registry(store_at(url, HQ)).network() == NETWORK
