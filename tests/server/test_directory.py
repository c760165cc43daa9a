"""What a batch does to the directory, and what replays, reordering and withdrawals cannot do."""

from __future__ import annotations

import datetime as dt
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from outlet_client.people.consents import Recorded
from outlet_client.people.people_store import People, State
from privacy.directory import Directory
from privacy.envelopes import SealKey
from privacy.identity import PartyKind
from privacy.registrations import (
    SEALED_BYTES,
    Registration,
    RegistrationAct,
    RegistrationRefused,
    nonce_of,
    tag_of,
)
from privacy.tokens import Token, TokenShare
from server.hq.errors import OfficeUnreachable
from server.hq.night_assembly import _tonights_directory, run_night
from server.hq.registry import BatchCounts, Registry, SlotKey, collect_registrations
from server.wire import outlets_pb2, outlets_pb2_grpc
from tests.server.test_holder import Parties, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KEY = SealKey.generate()
# Public keys are group elements too: tokens as good as any.
TOKENS = [TokenShare.generate().public for _ in range(4)]
SECRETS = [secrets.token_bytes(32) for _ in range(5)]


def register(token: int = 0, secret: int = 0, since: int = 0) -> Registration:
    return Registration.register(TOKENS[token], SECRETS[secret], since)


def withdraw(token: int = 0, secret: int = 0) -> Registration:
    return Registration.withdraw(TOKENS[token], SECRETS[secret])


def tag(secret: int) -> bytes:
    return tag_of(nonce_of(SECRETS[secret]))


@dataclass
class Hq:
    """A registry, and the messages of its next batch."""

    registry: Registry = field(default_factory=lambda: Registry("sqlite://"))

    def apply(self, *messages: Registration, batch: int | None = None) -> BatchCounts:
        batch = batch or self.registry.last_batch() + 1
        sealed = [message.sealed(KEY.public, batch) for message in messages]
        return self.registry.apply(batch, sealed, KEY)

    def live(self) -> list[tuple[bytes | None, int, bytes]]:
        """Token, fingerprint and home tag of each slot; what is random left out."""
        directory = self.registry.directory()
        return [
            (None, 0, b"") if key is None else (key.token, int(fingerprint), home.tobytes())
            for key, fingerprint, home in zip(
                self.registry.keys(), directory.fingerprints, directory.home_tags, strict=True
            )
        ]


@pytest.fixture
def hq() -> Hq:
    return Hq()


def test_a_token_gets_a_slot_and_its_first_registration_is_the_home(hq: Hq) -> None:
    assert hq.apply(register(0, 0), Registration.dummy()) == BatchCounts(registered=1, nothing=1)
    assert hq.apply(register(0, 1), register(1, 2)) == BatchCounts(registered=2)
    assert hq.live() == [
        (TOKENS[0], Token(TOKENS[0]).fingerprint, tag(0)),
        (TOKENS[1], Token(TOKENS[1]).fingerprint, tag(2)),
    ]
    assert hq.registry.keys()[0] == SlotKey(TOKENS[0], nonce_of(SECRETS[0]))
    assert hq.registry.directory().batch == 2


def test_within_a_batch_no_outlet_can_choose_a_tag_that_makes_it_the_home() -> None:
    homes = set[bytes]()
    for _ in range(60):  # by chance one home for all at less than 1 in 10^41
        hq = Hq()
        hq.apply(*(register(0, secret) for secret in range(5)))
        homes.add(hq.live()[0][2])
    assert len(homes) > 1


def test_a_batch_that_is_applied_again_after_a_kill_has_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[list[bytes]] = []

    def killed(_connection: object, message: Registration, _batch: int) -> str:
        tried[-1].append(message.proof)
        if len(tried[-1]) == 5:
            raise KeyboardInterrupt
        return "nothing"

    messages = [register(0, secret) for secret in range(5)]
    with monkeypatch.context() as patched:
        patched.setattr("server.hq.registry.apply_message", killed)
        for _ in range(4):
            tried.append([])
            with pytest.raises(KeyboardInterrupt):
                Hq(Registry(f"sqlite:///{tmp_path / 'hq.db'}")).apply(*messages)
    hq = Hq(Registry(f"sqlite:///{tmp_path / 'hq.db'}"))
    assert hq.apply(*messages) == BatchCounts(registered=5)
    assert [tag_of(some[0]) for some in tried] == [hq.live()[0][2]] * 4
    assert tried == [tried[0]] * 4


def test_a_withdrawal_anywhere_buries_the_slot_everywhere(hq: Hq) -> None:
    hq.apply(register(0, 0), register(1, 1))
    hq.apply(register(0, 2))
    before = hq.registry.directory()
    assert hq.apply(withdraw(0, 2)) == BatchCounts(withdrawn=1)
    assert sorted(token is None for token, _, _ in hq.live()) == [False, True]
    after = hq.registry.directory()
    place = hq.registry.keys().index(None)
    assert after.fingerprints[place] != before.fingerprints[place]
    assert after.home_tags[place].tobytes() != before.home_tags[place].tobytes()
    assert after.slots == before.slots == 2
    assert hq.apply(withdraw(0, 0)) == BatchCounts(nothing=1)  # the home's own, after the fact


def test_a_withdrawal_with_a_wrong_secret_changes_nothing(hq: Hq) -> None:
    hq.apply(register(0, 0), register(1, 1))
    before = hq.live()
    wrong = [
        withdraw(0, 3),  # never registered
        withdraw(0, 1),  # of another token
        Registration(
            RegistrationAct.WITHDRAW, TOKENS[0], nonce_of(SECRETS[0])
        ),  # what HQ itself knows
        Registration(
            RegistrationAct.WITHDRAW, TOKENS[0], tag(0) + bytes(16)
        ),  # what everybody knows
    ]
    assert hq.apply(*wrong) == BatchCounts(refused=4)
    assert hq.live() == before


def test_a_replayed_registration_cannot_undo_a_withdrawal_and_new_consent_can(hq: Hq) -> None:
    hq.apply(register(0, 0), register(0, 1))
    hq.apply(withdraw(0, 0))
    buried = hq.registry.directory().encode()
    assert hq.apply(register(0, 0), register(0, 1)) == BatchCounts(nothing=2)
    assert hq.live() == [(None, 0, b"")]
    after = hq.registry.directory()
    assert after.fingerprints.tolist() == Directory.decode(buried).fingerprints.tolist()
    assert hq.apply(register(0, 2, since=2)) == BatchCounts(registered=1)
    assert hq.live() == [(None, 0, b""), (TOKENS[0], Token(TOKENS[0]).fingerprint, tag(2))]
    assert hq.apply(withdraw(0, 0)) == BatchCounts(nothing=1)  # an old secret does not reach it
    assert hq.live()[1][0] == TOKENS[0]


def test_a_consent_older_than_a_withdrawal_elsewhere_brings_nobody_back_and_a_newer_one_does(
    hq: Hq,
) -> None:
    hq.apply(register(0, 0), register(1, 1))
    hq.apply(withdraw(0, 0))
    assert hq.apply(register(0, 2), register(0, 3, since=1)) == BatchCounts(refused=2)
    assert [token for token, _, _ in hq.live() if token] == [TOKENS[1]]
    assert hq.apply(register(0, 4, since=2)) == BatchCounts(registered=1)
    assert hq.apply(register(0, 2)) == BatchCounts(refused=1)  # nor a home of the newer one
    hq.apply(withdraw(0, 4))
    assert hq.apply(register(0, 3, since=5)) == BatchCounts(refused=1)  # the last burial counts
    assert hq.apply(register(0, 3, since=6)) == BatchCounts(registered=1)


def test_a_withdrawal_at_an_outlet_that_never_registered_the_customer_reaches_all_outlets() -> None:
    hq, whose = Hq(), Token(TOKENS[0])
    first, second = (People("sqlite://", secret * 32) for secret in (b"1", b"2"))
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)

    def night(*lost: People) -> None:
        batch, sealed = hq.registry.last_batch() + 1, list[bytes]()
        for people in (first, second):
            handed = people.submission(batch, 2, KEY.public) or []
            people.submitted(batch)
            sealed += [] if people in lost else handed
        hq.registry.apply(batch, sealed, KEY)
        for people in (first, second):
            people.follow(hq.registry.directory())

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
    assert hq.registry.keys()[0] is not None
    for _ in range(3):
        night()
    assert hq.registry.keys() == [None]
    assert states() == [State.BURIED, State.WITHDRAWN]
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert first.record_consent("anna", "n", "mei", later) is Recorded.NEW
    night()
    assert states() == [State.LISTED, State.WITHDRAWN]


def test_a_withdrawal_in_the_batch_of_a_registration_comes_after_it(hq: Hq) -> None:
    assert hq.apply(withdraw(0, 0), register(0, 0)) == BatchCounts(registered=1, withdrawn=1)
    assert hq.live() == [(None, 0, b"")]


def test_the_same_batch_again_or_an_older_one_changes_nothing(hq: Hq) -> None:
    hq.apply(register(0, 0))
    hq.apply(register(1, 1))
    before = hq.live()
    for batch in (1, 2):
        assert hq.apply(register(2, 2), withdraw(0, 0), batch=batch) == BatchCounts()
    assert hq.live() == before
    with pytest.raises(RegistrationRefused, match="got 4, expected 3"):
        hq.apply(register(2, 2), batch=4)
    assert hq.registry.last_batch() == 2


def test_a_message_of_another_batch_a_broken_one_and_no_token_are_refused(hq: Hq) -> None:
    sealed = [
        register(0, 0).sealed(KEY.public, 2),
        register(0, 0).sealed(SealKey.generate().public, 1),
        b"",
        secrets.token_bytes(SEALED_BYTES),
        Registration(RegistrationAct.REGISTER, bytes(32), SECRETS[0]).sealed(KEY.public, 1),
        Registration(RegistrationAct.REGISTER, b"\xff" * 32, SECRETS[1]).sealed(KEY.public, 1),
    ]
    assert hq.registry.apply(1, sealed, KEY) == BatchCounts(refused=6)
    assert hq.live() == []
    assert hq.registry.last_batch() == 1


def test_a_fingerprint_of_another_live_slot_is_refused(
    hq: Hq, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Token, "fingerprint", property(lambda _self: 7))
    hq.apply(register(0, 0))
    assert hq.apply(register(1, 1), register(0, 2)) == BatchCounts(registered=1, refused=1)
    assert [token for token, _, _ in hq.live()] == [TOKENS[0]]


MESSAGES = st.one_of(
    st.builds(register, st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)),
    st.builds(withdraw, st.integers(0, 3), st.integers(0, 4)),
    st.builds(Registration.dummy),
)
BATCHES = st.lists(st.lists(MESSAGES, max_size=8), max_size=3)


@settings(max_examples=60)
@given(batches=BATCHES, data=st.data())
def test_any_order_and_any_repetition_within_a_batch_gives_the_same_directory(
    batches: Sequence[Sequence[Registration]], data: st.DataObject
) -> None:
    one, other = Hq(), Hq()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("server.hq.registry._fresh_order_key", lambda: bytes(32))
        for messages in batches:
            one.apply(*messages)
            twice = data.draw(st.lists(st.sampled_from(messages))) if messages else []
            other.apply(*data.draw(st.permutations([*messages, *twice])))
    assert one.live() == other.live()


@settings(max_examples=60)
@given(batches=BATCHES)
def test_replaying_everything_after_the_fact_brings_nobody_back(
    batches: Sequence[Sequence[Registration]],
) -> None:
    hq = Hq()
    for messages in batches:
        hq.apply(*messages)
    before = hq.live()
    registrations = [one for some in batches for one in some if one.act is RegistrationAct.REGISTER]
    assert hq.apply(*registrations).registered == 0
    assert hq.live() == before


@settings(max_examples=60)
@given(batches=BATCHES)
def test_slots_never_change_their_meaning(batches: Sequence[Sequence[Registration]]) -> None:
    hq, before = Hq(), list[tuple[bytes | None, int, bytes]]()
    for messages in batches:
        hq.apply(*messages)
        now = hq.live()
        for then, still in zip(before, now, strict=False):
            assert still in (then, (None, 0, b""))
        assert len(now) >= len(before)
        live = [token for token, _, _ in now if token is not None]
        assert len(set(live)) == len(live)
        before = now


def test_what_was_withdrawn_is_in_no_file_of_hq_and_no_table_names_an_outlet(
    tmp_path: Path,
) -> None:
    file = tmp_path / "hq.db"
    hq = Hq(Registry(f"sqlite:///{file}"))
    hq.apply(register(0, 0), register(1, 1))
    for forgotten in (TOKENS[0], nonce_of(SECRETS[0])):
        assert forgotten in file.read_bytes()
    hq.apply(withdraw(0, 0))
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for forgotten in (TOKENS[0], nonce_of(SECRETS[0]), SECRETS[0]):
        assert forgotten not in held
    assert TOKENS[1] in held
    columns = {
        column["name"]
        for table in sa.inspect(sa.create_engine(f"sqlite:///{file}")).get_table_names()
        for column in sa.inspect(sa.create_engine(f"sqlite:///{file}")).get_columns(table)
    }
    assert columns == {
        "slot", "token", "home_nonce", "fingerprint", "home_tag", "tag", "last_batch",
        "last_version", "number", "digest", "encoded", "version", "token_hash", "hash_key", "batch",
        "order_key",
    }  # fmt: skip


def test_keys_are_never_printed(hq: Hq) -> None:
    hq.apply(register(0, 0))
    assert repr(hq.registry.keys()) == "[SlotKey()]"


def test_the_latest_three_directories_are_kept_and_publishing_again_changes_nothing(
    hq: Hq,
) -> None:
    digests = [hq.registry.publish().digest]
    assert hq.registry.publish().digest == digests[0]
    for number in range(3):
        hq.apply(register(number, number))
        digests.append(hq.registry.publish().digest)
    assert hq.registry.published(digests[0]) is None
    for digest in digests[1:]:
        encoded = hq.registry.published(digest)
        assert encoded is not None
        assert Directory.decode(encoded).digest == digest
    assert hq.registry.published("") is None
    assert digests[-1] == hq.registry.directory().digest


def test_a_registry_restored_from_an_old_copy_gives_later_versions_than_it_gave_before() -> None:
    now = 1_800_000_000.5
    lost = Registry("sqlite://", clock=lambda: now)
    given = [lost.next_version() for _ in range(3)]
    assert given == [1_800_000_000, 1_800_000_001, 1_800_000_002]
    now += 86_400
    assert Registry("sqlite://", clock=lambda: now).next_version() > given[-1]


def test_no_version_of_a_book_is_given_twice_and_none_goes_back() -> None:
    registry = Registry("sqlite://", clock=lambda: 0.0)
    assert registry.latest_book() is None
    first, second = registry.next_version(), registry.next_version()
    assert (first, second) == (1, 2)
    registry.add_book(second, b"two")
    registry.add_book(second, b"two")
    for version, encoded in ((first, b"one"), (second, b"other"), (3, b"never given")):
        with pytest.raises(ValueError, match="expected 3 to 2"):
            registry.add_book(version, encoded)
    assert registry.latest_book() == b"two"
    assert registry.next_version() == 3


@dataclass
class FakeOffice:
    """Batches that are ready, and what was asked for."""

    batches: dict[int, list[bytes]]
    asked: list[int] = field(default_factory=list)
    says: int | None = None

    def collect_batch(self, after: int) -> tuple[int, list[bytes]]:
        self.asked.append(after)
        if self.says is not None:
            return self.says, []
        found = self.batches.get(after + 1)
        return (0, []) if found is None else (after + 1, found)


def test_every_batch_that_is_ready_is_collected_and_the_last_one_confirmed(
    hq: Hq, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ready = {
        batch: [register(batch, batch).sealed(KEY.public, batch), b"broken"] for batch in (1, 2)
    }
    office = FakeOffice(ready)
    collect_registrations(office, hq.registry, KEY)
    assert office.asked == [0, 1, 2]
    assert [token for token, _, _ in hq.live()] == [TOKENS[1], TOKENS[2]]
    assert "batch 2: 1 registered, 0 withdrawn, 1 refused" in caplog.text
    for batch in (1, 2):
        assert TOKENS[batch].hex() not in caplog.text


@pytest.mark.parametrize("says", [1, 3])
def test_another_batch_than_the_next_is_refused_instead_of_asked_for_without_end(
    hq: Hq, says: int
) -> None:
    hq.apply(register(0, 0))
    with pytest.raises(RegistrationRefused, match=f"got {says}, expected 2"):
        collect_registrations(FakeOffice({}, says=says), hq.registry, KEY)


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


def test_outlets_fetch_directory_and_book_whole_and_hq_gives_them_to_outlets_only(
    parties: Parties,
) -> None:
    address = parties.run(PartyKind.HQ)
    registry = Registry(f"sqlite:///{parties.hq.folder / 'hq.db'}")
    stub = outlets_pb2_grpc.LibraryStub(
        parties.channel(parties.outlets["a"], PartyKind.HQ, address)
    )
    assert list(stub.Book(outlets_pb2.BookRequest(), timeout=20)) == []
    Hq(registry).apply(register(0, 0), register(1, 1))
    directory = registry.publish()
    book = secrets.token_bytes(2**21 + 5)
    registry.add_book(registry.next_version(), book)
    request = outlets_pb2.DirectoryRequest(digest=directory.digest)
    fetched = b"".join(piece.data for piece in stub.Directory(request, timeout=20))
    assert Directory.decode(fetched).digest == directory.digest
    pieces = [piece.data for piece in stub.Book(outlets_pb2.BookRequest(), timeout=20)]
    assert b"".join(pieces) == book
    assert [len(piece) for piece in pieces] == [2**20, 2**20, 5]
    unknown = outlets_pb2.DirectoryRequest(digest="beef")
    status, message = refused(lambda: list(stub.Directory(unknown, timeout=20)))
    assert status is grpc.StatusCode.NOT_FOUND
    assert "not among the latest" in message
    parties.hq.distrust(PartyKind.OUTLET, "a")
    status, _ = refused(lambda: list(stub.Book(outlets_pb2.BookRequest(), timeout=20)))
    assert status is grpc.StatusCode.PERMISSION_DENIED


def test_a_night_goes_on_with_the_directory_as_it_is_where_the_office_cannot_be_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent:
        def collect_batch(self, after: int) -> tuple[int, list[bytes]]:
            raise OfficeUnreachable("UNAVAILABLE")

    registry = Registry("sqlite://")
    hq = Hq(registry)
    hq.apply(register(0, 0))
    tonight = _tonights_directory("", Silent(), registry, KEY)
    assert tonight.slots == 1
    assert "going on with the directory as it is" in caplog.text
    hq.apply(register(1, 1))
    ready = FakeOffice({3: [register(2, 2).sealed(KEY.public, 3)]})
    again = _tonights_directory(tonight.digest, ready, registry, KEY)
    assert again.digest == tonight.digest  # a night that was planned with it keeps its directory
    assert ready.asked == []
    assert _tonights_directory("", ready, registry, KEY).slots == 3


def test_a_night_publishes_what_outlets_registered_before_it_asks_anybody(
    parties: Parties,
) -> None:
    address, home = parties.run(PartyKind.OFFICE), parties.hq.folder
    sealing = parties.hq.identity().sealing
    assert sealing is not None
    for number, ring in enumerate(parties.outlets.values()):
        stub = outlets_pb2_grpc.RelayStub(parties.channel(ring, PartyKind.OFFICE, address))
        sealed = [
            one.sealed(sealing.public, 1) for one in (register(number, number), withdraw(3, 3))
        ]
        stub.Submit(outlets_pb2.SubmitRequest(batch=1, sealed=sealed), timeout=20)
    (home / "hq.toml").write_text('listen = "127.0.0.1:0"\njoin_seconds = 0.1\n')
    report = run_night(home, "n1", None)
    assert report.ended.startswith("QuorumNotMet")  # nobody joined; registrations count the same
    registry = Registry(f"sqlite:///{home / 'hq.db'}")
    assert {key.token for key in registry.keys() if key is not None} == set(TOKENS[:3])  # noqa: SIM118
    encoded = registry.published(registry.directory().digest)
    assert encoded is not None
    assert Directory.decode(encoded).batch == 1
