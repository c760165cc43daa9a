"""What both holders of the token key do alike: who may call, quotas, and refreshing the shares."""

from __future__ import annotations

import datetime as dt
import json
import logging
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from typer.testing import CliRunner

from privacy.identity import Card, Identity, PartyKind
from privacy.keyring import Keyring
from privacy.quotas import Quota, QuotaReached
from privacy.registrations import SEALED_BYTES
from privacy.tokens import (
    MOST_POINTS,
    Blinded,
    Evaluation,
    Token,
    TokenShare,
    total_key,
    unblind,
)
from privacy.voprf import POINT_BYTES
from server.holder import serving
from server.holder.database import create_stores
from server.holder.errors import HolderNotConfigured, NotAllowed, RefreshRefused
from server.holder.meter import Meter
from server.holder.peers import Peers
from server.holder.settings import TokenSettings
from server.holder.shares import PENDING_FILE, answer_refresh, refresh
from server.hq.errors import OfficeUnreachable
from server.hq.main import app as hq_app
from server.hq.office_client import OfficeClient
from server.hq.services import running as hq_running
from server.hq.settings import HqFile
from server.hq.tables import HQ_METER
from server.hq.tables import STORES as HQ_STORES
from server.office.main import app as office_app
from server.office.running import running as office_running
from server.office.settings import OfficeFile, OfficeTokens
from server.office.tables import OFFICE_METER
from server.office.tables import STORES as OFFICE_STORES
from server.wire import office_pb2, office_pb2_grpc, outlets_pb2, outlets_pb2_grpc
from server.wire.refusals import read_refusal
from tests.builders import store_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

DAY = 86400
NOON = 1_800_014_400.0  # 2027-01-15, 12:00 UTC
HOLDERS = (PartyKind.HQ, PartyKind.OFFICE)


STORES = {PartyKind.HQ: HQ_STORES, PartyKind.OFFICE: OFFICE_STORES}


@dataclass
class Parties:
    """Real keyrings of HQ, office and outlets, and what is running of them."""

    folder: Path
    stack: ExitStack
    messages: int = 2
    hours: float = 20.0
    tokens: TokenSettings = field(default_factory=TokenSettings)
    paused: bool = False

    def __post_init__(self) -> None:
        self.hq = self._made("hq", PartyKind.HQ)
        self.office = self._made("dpo", PartyKind.OFFICE)
        introduce(self.hq, self.office)
        introduce(self.office, self.hq)
        self.outlets: dict[str, Keyring] = {}
        for name in "abc":
            self.add(name)

    def add(self, name: str) -> None:
        self.outlets[name] = ring = self._made(name, PartyKind.OUTLET)
        for holder in (self.hq, self.office):
            introduce(ring, holder)
            introduce(holder, ring)

    def holder(self, kind: PartyKind) -> Keyring:
        return self.hq if kind is PartyKind.HQ else self.office

    def run(self, kind: PartyKind) -> str:
        """Starts a holder; gives where it listens."""
        if kind is PartyKind.HQ:
            settings = HqFile(services="127.0.0.1:0", tokens=self.tokens)
            return self.stack.enter_context(hq_running(self.hq, settings))
        quotas = self.tokens.model_dump()
        tokens = OfficeTokens(messages=self.messages, batch_hours=self.hours, **quotas)
        office = OfficeFile(tokens=tokens)
        return self.stack.enter_context(office_running(self.office, office, lambda: self.paused))

    def channel(self, caller: Keyring | Identity, kind: PartyKind, address: str) -> grpc.Channel:
        identity = caller.identity() if isinstance(caller, Keyring) else caller
        return self.stack.enter_context(
            open_channel(identity, self.holder(kind).identity().card, address)
        )

    def _made(self, name: str, kind: PartyKind) -> Keyring:
        ring = Keyring(self.folder / name, kind)
        address = "" if kind is PartyKind.OUTLET else f"127.0.0.1:{free_port()}"
        ring.create(name, address, dt.datetime.now(dt.UTC))
        if kind is not PartyKind.OUTLET:
            create_stores(ring.folder, STORES[kind])
        return ring


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def introduce(ring: Keyring, peer: Keyring) -> None:
    """Puts a party's card on the list of another."""
    data = peer.public_file.read_bytes()
    ring.trust(Card.decode(data, peer.kind), data)


@contextmanager
def open_channel(identity: Identity, card: Card, address: str) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(
        card.certificate.encode(), identity.tls_key, identity.card.certificate.encode()
    )
    options = [("grpc.ssl_target_name_override", f"{card.name}.{card.kind}")]
    with grpc.secure_channel(address, credentials, options) as channel:
        yield channel


def evaluate(channel: grpc.Channel, points: Sequence[bytes]) -> Evaluation:
    request = outlets_pb2.EvaluateRequest(points=points)
    answer = outlets_pb2_grpc.TokensStub(channel).Evaluate(request, timeout=20)
    return Evaluation(answer.public_key, answer.epoch, tuple(answer.elements), answer.proof)


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """The status and message that a call is refused with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    refusal = read_refusal(caught.value)
    return cast("grpc.Call", caught.value).code(), refusal.message if refusal else ""


def blinded(count: int) -> list[bytes]:
    return [Blinded.dummy().point for _ in range(count)]


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    with ExitStack() as stack:
        yield Parties(tmp_path, stack)


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_thousand_guessed_phones_stop_at_the_quota_with_an_alert(
    parties: Parties, kind: PartyKind
) -> None:
    channel = parties.channel(parties.outlets["a"], kind, parties.run(kind))
    guesses = [Blinded.of(b"tel:+4122555%04d" % number).point for number in range(1000)]
    answered = 0
    for start in range(0, 1000, 80):
        try:
            answered += len(evaluate(channel, guesses[start : start + 80]).elements)
        except grpc.RpcError as error:
            call, refusal = cast("grpc.Call", error), read_refusal(error)
            assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refusal is not None
            assert "a: its quota of 640 evaluations a day is reached" in refusal.message
    assert answered == 640
    schema = STORES[kind][-1]
    meter = Meter(schema.url(parties.holder(kind).folder), schema)
    at = dt.datetime.now(dt.UTC).timestamp()
    assert [(alert.who, alert.quota) for alert in meter.alerts(at)] == [("a", 640)]
    app = hq_app if kind is PartyKind.HQ else office_app
    home = str(parties.holder(kind).folder)
    told = CliRunner().invoke(app, ["tokens", "status", "--json", "--home", home])
    status = json.loads(told.stdout)
    assert status["outlets"]["a"] == {"given": 640, "quota": 640}
    assert status["outlets"]["b"]["given"] == 0
    assert status["network"] == {"given": 640, "quota": TokenSettings().network_a_day}
    assert [alert["who"] for alert in status["alerts"]] == ["a"]
    assert status["epoch"] == 0
    shown = CliRunner().invoke(app, ["tokens", "status", "--home", home]).stdout
    assert "a reached 640 a day" in shown


def test_no_point_is_in_a_log_or_on_a_holders_disk(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    parties.tokens = TokenSettings(outlet_a_day=3)
    channel = parties.channel(parties.outlets["a"], PartyKind.HQ, parties.run(PartyKind.HQ))
    points = blinded(4)
    answer = evaluate(channel, points[:3])
    assert refused(lambda: evaluate(channel, points))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused(lambda: evaluate(channel, [b"\xff" * POINT_BYTES]))[1]
    assert "reached its quota of 3" in caplog.text
    disk = b"".join(file.read_bytes() for file in parties.hq.folder.rglob("*") if file.is_file())
    for point in (*points, *answer.elements):
        assert point.hex() not in caplog.text
        assert str(point) not in caplog.text
        assert point not in disk


def test_counting_survives_a_restart_and_begins_anew_at_midnight(tmp_path: Path) -> None:
    url, quota = f"sqlite:///{tmp_path / 'meter.db'}", Quota(10, 100, {})
    meter = Meter(store_at(url, HQ_METER), HQ_METER)
    meter.take("a", 6, quota, NOON)
    meter.close()
    reborn = Meter(store_at(url, HQ_METER), HQ_METER)
    with pytest.raises(QuotaReached):
        reborn.take("a", 6, quota, NOON + 60)
    reborn.take("a", 4, quota, NOON + 60)
    assert reborn.given(NOON) == {"a": 10}
    reborn.take("a", 10, quota, NOON + DAY / 2)
    assert reborn.given(NOON + DAY / 2) == {"a": 10}


def test_the_networks_quota_holds_for_all_together_and_an_outlet_may_have_its_own() -> None:
    meter, quota = Meter("sqlite://"), Quota(10, 25, {"big": 20})
    meter.take("big", 20, quota, NOON)
    meter.take("a", 5, quota, NOON)
    with pytest.raises(QuotaReached, match="network") as caught:
        meter.take("b", 1, quota, NOON)
    assert (caught.value.who, caught.value.quota) == ("network", 25)
    with pytest.raises(QuotaReached, match="big: its quota of 20"):
        meter.take("big", 1, quota, NOON)
    assert meter.given(NOON) == {"big": 20, "a": 5}


def test_an_alert_is_recorded_once_a_day_and_who_and_kept_for_thirty_days(
    caplog: pytest.LogCaptureFixture,
) -> None:
    meter, quota = Meter("sqlite://"), Quota(1, 100, {})
    for at in (NOON, NOON + 1, NOON + DAY):
        with pytest.raises(QuotaReached):
            meter.take("a", 2, quota, at)
    assert [alert.at for alert in meter.alerts(NOON + DAY)] == [NOON, NOON + DAY]
    assert len([record for record in caplog.records if "alert" in record.message]) == 2
    assert [alert.at for alert in meter.alerts(NOON + 31 * DAY)] == [NOON + DAY]
    meter.take("b", 1, quota, NOON + 40 * DAY)
    assert meter.alerts(NOON) == []
    with pytest.raises(ValueError, match="got 0"):
        meter.take("a", 0, quota, NOON)


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_removed_outlet_is_refused_on_an_open_channel_and_a_new_one_needs_no_restart(
    parties: Parties, kind: PartyKind
) -> None:
    address = parties.run(kind)
    channel = parties.channel(parties.outlets["a"], kind, address)
    assert len(evaluate(channel, blinded(2)).elements) == 2
    parties.holder(kind).distrust(PartyKind.OUTLET, "a")
    status, message = refused(lambda: evaluate(channel, blinded(2)))
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert "on no list here" in message
    again = parties.channel(parties.outlets["a"], kind, address)
    assert refused(lambda: evaluate(again, blinded(1)))[0] is grpc.StatusCode.UNAVAILABLE
    parties.add("d")
    newcomer = parties.channel(parties.outlets["d"], kind, address)
    assert len(evaluate(newcomer, blinded(2)).elements) == 2


def test_nobody_gets_in_while_the_list_is_empty(parties: Parties) -> None:
    for name in "abc":
        parties.hq.distrust(PartyKind.OUTLET, name)
    address = parties.run(PartyKind.HQ)
    for caller in (parties.outlets["a"], parties.hq):
        channel = parties.channel(caller, PartyKind.HQ, address)
        assert refused(lambda: evaluate(channel, blinded(1)))[0] in (  # noqa: B023
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.PERMISSION_DENIED,
        )


def test_another_outlets_name_on_a_fresh_certificate_is_refused(parties: Parties) -> None:
    thief = Identity.generate(PartyKind.OUTLET, "a", "", dt.datetime.now(dt.UTC))
    channel = parties.channel(thief, PartyKind.OFFICE, parties.run(PartyKind.OFFICE))
    assert refused(lambda: evaluate(channel, blinded(1)))[0] is grpc.StatusCode.UNAVAILABLE


def test_an_outlet_cannot_sign_unlock_collect_or_refresh(parties: Parties) -> None:
    channel = parties.channel(parties.outlets["a"], PartyKind.OFFICE, parties.run(PartyKind.OFFICE))
    stub = office_pb2_grpc.OfficeStub(channel)
    epoch = parties.office.token_share().epoch
    calls: list[Callable[[], object]] = [
        lambda: stub.SignNight(office_pb2.SignNightRequest(night="n"), timeout=20),
        lambda: stub.SignRelease(office_pb2.SignReleaseRequest(), timeout=20),
        lambda: list(stub.Unlock(office_pb2.UnlockRequest(), timeout=20)),
        lambda: stub.CloseNight(office_pb2.CloseNightRequest(night="n"), timeout=20),
        lambda: list(stub.CollectBatch(office_pb2.CollectBatchRequest(), timeout=20)),
        lambda: stub.RefreshShare(office_pb2.RefreshShareRequest(epoch=epoch), timeout=20),
    ]
    for call in calls:
        status, message = refused(call)
        assert status is grpc.StatusCode.PERMISSION_DENIED
        assert message == "caller: got outlet a, expected one of hq"


def test_hq_can_neither_evaluate_nor_submit_at_the_office(parties: Parties) -> None:
    channel = parties.channel(parties.hq, PartyKind.OFFICE, parties.run(PartyKind.OFFICE))
    relay = outlets_pb2_grpc.RelayStub(channel)
    submission = outlets_pb2.SubmitRequest(batch=1, sealed=[bytes(SEALED_BYTES)] * 2)
    calls: list[Callable[[], object]] = [
        lambda: evaluate(channel, blinded(1)),
        lambda: relay.OpenBatch(outlets_pb2.OpenBatchRequest(), timeout=20),
        lambda: relay.Submit(submission, timeout=20),
    ]
    for call in calls:
        status, message = refused(call)
        assert status is grpc.StatusCode.PERMISSION_DENIED
        assert message == "caller: got hq hq, expected one of outlet"


def test_every_service_of_the_wire_says_who_may_call_it() -> None:
    named = {
        f"{module.DESCRIPTOR.package}.{service}"
        for module in (office_pb2, outlets_pb2)
        for service in module.DESCRIPTOR.services_by_name
    }
    assert set(serving.CALLERS) == named - {"escapement.v1.Desk"}  # an outlet's own machine


def test_a_service_that_is_not_named_may_be_called_by_nobody(parties: Parties) -> None:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: b"in"
    )
    generic = grpc.method_handlers_generic_handler("escapement.v1.Other", {"Call": handler})
    identity, peers = parties.hq.identity(), Peers(parties.hq, PartyKind.OUTLET)
    server, port = serving.start(
        identity, peers, "127.0.0.1:0", lambda s: s.add_generic_rpc_handlers((generic,))
    )
    channel = parties.channel(parties.outlets["a"], PartyKind.HQ, f"127.0.0.1:{port}")
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        "/escapement.v1.Other/Call"
    )
    assert refused(lambda: call(b"", timeout=20))[0] is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(OSError, match="is another program there"):
        serving.start(identity, peers, f"127.0.0.1:{port}")
    server.stop(0).wait()


def test_a_request_of_no_or_too_many_points_costs_nothing(parties: Parties) -> None:
    channel = parties.channel(parties.outlets["a"], PartyKind.HQ, parties.run(PartyKind.HQ))
    for points in ([], [bytes(POINT_BYTES)] * (MOST_POINTS + 1)):
        status, message = refused(lambda: evaluate(channel, points))  # noqa: B023
        assert status is grpc.StatusCode.INVALID_ARGUMENT
        assert f"expected 1 to {MOST_POINTS}" in message
    meter = Meter(store_at(f"sqlite:///{parties.hq.folder / 'meter.db'}", HQ_METER), HQ_METER)
    assert meter.given(dt.datetime.now(dt.UTC).timestamp()) == {}


def test_an_evaluation_is_counted_even_where_it_then_fails(parties: Parties) -> None:
    channel = parties.channel(parties.outlets["a"], PartyKind.HQ, parties.run(PartyKind.HQ))
    assert refused(lambda: evaluate(channel, [b"\xff" * POINT_BYTES] * 5))[1]
    meter = Meter(store_at(f"sqlite:///{parties.hq.folder / 'meter.db'}", HQ_METER), HQ_METER)
    assert meter.given(dt.datetime.now(dt.UTC).timestamp()) == {"a": 5}


def test_a_paused_office_evaluates_relays_and_moves_nothing(parties: Parties) -> None:
    address = parties.run(PartyKind.OFFICE)
    parties.paused = True
    channel = parties.channel(parties.outlets["a"], PartyKind.OFFICE, address)
    relay = outlets_pb2_grpc.RelayStub(channel)
    for call in (
        lambda: evaluate(channel, blinded(1)),
        lambda: relay.OpenBatch(outlets_pb2.OpenBatchRequest(), timeout=20),
    ):
        status, message = refused(call)
        assert status is grpc.StatusCode.UNAVAILABLE
        assert "paused" in message
    hq = OfficeClient(parties.channel(parties.hq, PartyKind.OFFICE, address), 20)
    with pytest.raises(OfficeUnreachable, match="paused"):
        hq.collect_batch(0)
    with pytest.raises(OfficeUnreachable, match="paused"):
        hq.refresh_share(1, b"")
    parties.paused = False
    assert len(evaluate(channel, blinded(1)).elements) == 1


def tokens_of(parties: Parties, addresses: dict[PartyKind, str], pinned: bytes) -> list[Token]:
    """The tokens of two customers, as an outlet computes them."""
    asked = [Blinded.of(b"tel:+41225550001"), Blinded.of(b"tel:+41225550002")]
    answers = [
        evaluate(
            parties.channel(parties.outlets["a"], kind, addresses[kind]), [b.point for b in asked]
        )
        for kind in HOLDERS
    ]
    return list(unblind(asked, answers[0], answers[1], pinned))


def test_a_refresh_over_the_wire_leaves_tokens_and_the_pinned_total_as_they_were(
    parties: Parties,
) -> None:
    addresses = {kind: parties.run(kind) for kind in HOLDERS}
    pinned = parties.outlets["a"].token_key()
    before = tokens_of(parties, addresses, pinned)
    shares = {ring.token_share().public for ring in (parties.hq, parties.office)}
    channel = parties.channel(parties.hq, PartyKind.OFFICE, addresses[PartyKind.OFFICE])
    for epoch in (1, 2):
        assert refresh(parties.hq, OfficeClient(channel, 20)) == epoch
        assert tokens_of(parties, addresses, pinned) == before
    for ring in (parties.hq, parties.office):
        share = ring.token_share()
        assert share.epoch == 2
        assert share.public not in shares
        card = Card.decode(ring.public_file.read_bytes(), ring.kind)
        assert card == ring.identity().card
        assert card.token_key == share.public.hex()


@dataclass
class FakeOffice:
    """An office in the same process that may fail before or after it has moved."""

    ring: Keyring
    fails: str = ""

    def refresh_share(self, epoch: int, delta: bytes) -> tuple[int, bytes]:
        moving = epoch == self.ring.token_share().epoch + 1
        if moving and self.fails == "before":
            raise OfficeUnreachable("before")
        share = answer_refresh(self.ring, epoch, delta)
        if moving and self.fails == "after":
            raise OfficeUnreachable("after")
        return share.epoch, share.public


def total(parties: Parties) -> bytes:
    return total_key(parties.hq.token_share().public, parties.office.token_share().public)


@pytest.mark.parametrize("fails", ["before", "after"])
def test_a_refresh_that_was_interrupted_at_the_office_is_taken_up(
    parties: Parties, fails: str
) -> None:
    before = total(parties)
    with pytest.raises(OfficeUnreachable):
        refresh(parties.hq, FakeOffice(parties.office, fails))
    pending = parties.hq.folder / PENDING_FILE
    assert pending.stat().st_mode & 0o077 == 0
    assert parties.hq.token_share().epoch == 0
    assert refresh(parties.hq, FakeOffice(parties.office)) == 1
    assert total(parties) == before
    assert parties.office.token_share().epoch == 1
    assert not pending.exists()


@pytest.mark.parametrize("step", ["keep_token_share", "keep"])
def test_a_refresh_killed_while_hq_keeps_its_share_is_taken_up(
    parties: Parties, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    before, office = total(parties), FakeOffice(parties.office)
    answer_refresh(parties.office, 0, b"")  # nothing changes
    with pytest.raises(OfficeUnreachable):
        refresh(parties.hq, replace(office, fails="after"))
    with monkeypatch.context() as patched:
        patched.setattr(Keyring, step, die)
        with pytest.raises(Killed):
            refresh(parties.hq, office)
    assert refresh(parties.hq, office) == 1
    assert total(parties) == before
    assert parties.hq.identity().card.token_key == parties.hq.token_share().public.hex()


def test_a_refresh_whose_pending_delta_was_lost_changes_nothing_at_hq(parties: Parties) -> None:
    with pytest.raises(OfficeUnreachable):
        refresh(parties.hq, FakeOffice(parties.office, "after"))
    (parties.hq.folder / PENDING_FILE).unlink()  # as in a copy of the folder from before
    share = parties.hq.token_share().public
    with pytest.raises(RefreshRefused, match="got epoch 0, expected 1 or 2"):
        refresh(parties.hq, FakeOffice(parties.office))
    assert parties.hq.token_share().public == share


def test_an_office_that_moved_by_another_delta_is_noticed_before_hq_moves(
    parties: Parties,
) -> None:
    with pytest.raises(OfficeUnreachable):
        refresh(parties.hq, FakeOffice(parties.office, "before"))
    answer_refresh(parties.office, 1, TokenShare.generate().to_bytes())
    with pytest.raises(RefreshRefused, match="does not fit"):
        refresh(parties.hq, FakeOffice(parties.office))
    assert parties.hq.token_share().epoch == 0


def test_a_refresh_of_another_epoch_or_without_a_scalar_is_refused(parties: Parties) -> None:
    for epoch, delta in ((2, bytes(31) + b"\1"), (1, b""), (1, bytes(32)), (1, b"\xff" * 32)):
        with pytest.raises(RefreshRefused):
            answer_refresh(parties.office, epoch, delta)
    assert parties.office.token_share().epoch == 0


def test_an_offices_backup_holds_its_share(parties: Parties, tmp_path: Path) -> None:
    home, copy = parties.office.folder, tmp_path / "copy"
    Meter(store_at(f"sqlite:///{home / 'meter.db'}", OFFICE_METER), OFFICE_METER).take(
        "a", 2, Quota(9, 9, {}), NOON
    )
    done = CliRunner().invoke(office_app, ["backup", str(copy), "--home", str(home)])
    assert done.exit_code == 0, done.output
    restored = Keyring(copy, PartyKind.OFFICE)
    assert restored.token_share().public == parties.office.token_share().public
    assert Meter(store_at(f"sqlite:///{copy / 'meter.db'}", OFFICE_METER), OFFICE_METER).given(
        NOON
    ) == {"a": 2}
    for file in copy.rglob("*"):
        assert "relay" not in file.name


def test_a_card_without_an_address_for_services_says_what_to_do(parties: Parties) -> None:
    with pytest.raises(HolderNotConfigured, match="--services"), hq_running(parties.hq, HqFile()):
        pass
    made = CliRunner().invoke(
        hq_app,
        ["init", "--name", "hq", "--address", "h:1", "--services", "h:2", "--home",
         str(parties.folder / "new")],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    card = Keyring(parties.folder / "new", PartyKind.HQ).identity().card
    assert (card.address, card.service_address) == ("h:1", "h:2")
    (parties.folder / "new" / "hq.toml").write_text("[tokens]\noutlet_a_day = 7\n")
    assert HqFile.read(parties.folder / "new" / "hq.toml").tokens.outlet_a_day == 7


def test_a_caller_without_a_certificate_is_nobody(parties: Parties) -> None:
    class Anonymous:
        def auth_context(self) -> dict[str, list[bytes]]:
            return {}

    with pytest.raises(NotAllowed, match="on no list"):
        Peers(parties.hq, PartyKind.OUTLET).caller(cast("grpc.ServicerContext", Anonymous()))
