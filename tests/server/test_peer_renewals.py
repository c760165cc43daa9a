"""Which certificates a holder takes while cards are renewed, over real TLS."""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import pytest

from privacy.identity import CERTIFICATE_YEARS, Card, Identity, PartyKind, Renewed
from privacy.keyring import Keyring
from server.holder import serving
from server.holder.peers import Peers
from server.wire.handshakes import HandshakeFailed, shake_hands
from tests.server.test_holder import introduce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = dt.timedelta(days=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Holder:
    """HQ's port with a list of outlets, and no service behind it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.ring = Keyring(folder / "hq", PartyKind.HQ)
        self.ring.create("hq", "h:1", now(), "h:2")
        self.outlets = {name: Keyring(folder / name, PartyKind.OUTLET) for name in "ab"}
        for name, outlet in self.outlets.items():
            outlet.create(name, "", now())
            introduce(self.ring, outlet)
        self.stack, self.ahead = stack, 0 * DAY
        self.serve()

    def serve(self) -> None:
        """Starts with the keys of now."""
        identity = self.ring.identity()
        peers = Peers(self.ring, PartyKind.OUTLET, clock=lambda: now() + self.ahead)
        server, port = serving.start(identity, peers, "127.0.0.1:0")
        self.stack.callback(lambda: server.stop(None).wait())
        self.address = f"127.0.0.1:{port}"

    def takes(self, identity: Identity, card: Card | None = None) -> bool:
        """Whether a call gets as far as that there is no such service."""
        card = self.ring.identity().card if card is None else card
        accepted = "".join(card.accepted(now()))
        try:
            shake_hands(self.address, accepted, identity.card.certificate, identity.tls_key)
        except HandshakeFailed:
            return False
        return True


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    with ExitStack() as stack:
        yield Holder(tmp_path, stack)


def test_both_certificates_are_taken_with_the_new_card_and_the_old_one_with_the_old(
    holder: Holder,
) -> None:
    outlet = holder.outlets["a"]
    both = outlet.renew(now(), Renewed(overlap=10 * DAY))
    assert (holder.takes(both), holder.takes(both.newest)) == (True, False)
    holder.ring.take_renewal(outlet.public_file.read_bytes())
    assert (holder.takes(both), holder.takes(both.newest)) == (True, True)

    holder.ahead = 11 * DAY
    assert (holder.takes(both), holder.takes(both.newest)) == (False, True)  # without a restart


def test_who_is_taken_off_the_list_is_refused_under_both_certificates(holder: Holder) -> None:
    outlet = holder.outlets["a"]
    both = outlet.renew(now(), Renewed())
    holder.ring.take_renewal(outlet.public_file.read_bytes())
    holder.ring.distrust(PartyKind.OUTLET, "a")
    assert (holder.takes(both), holder.takes(both.newest)) == (False, False)
    assert holder.takes(holder.outlets["b"].identity())


def test_a_holder_that_renews_is_taken_before_and_after_it_finishes_by_who_has_its_new_card(
    holder: Holder,
) -> None:
    outlet, old = holder.outlets["a"].identity(), holder.ring.identity().card
    card = holder.ring.renew(now(), Renewed()).newest.card
    assert (holder.takes(outlet, old), holder.takes(outlet, card)) == (True, True)
    holder.ring.finish()
    holder.serve()
    assert (holder.takes(outlet, old), holder.takes(outlet, card)) == (False, True)


def test_grpc_takes_both_certificates_of_a_holder_too(holder: Holder) -> None:
    outlet = holder.outlets["a"].identity()
    card = holder.ring.renew(now(), Renewed()).newest.card
    for _ in range(2):
        credentials = grpc.ssl_channel_credentials(
            "".join(card.accepted(now())).encode(),
            outlet.tls_key,
            outlet.card.certificate.encode(),
        )
        name = [("grpc.ssl_target_name_override", "hq.hq")]
        with grpc.secure_channel(holder.address, credentials, name) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            call = channel.unary_unary("/escapement.v1.Tokens/Evaluate")
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        if holder.ring.identity().next is not None:
            holder.ring.finish()
            holder.serve()


def test_a_handshake_says_which_side_refuses_and_what_is_over(holder: Holder) -> None:
    own = holder.outlets["a"].identity()
    hq = holder.ring.identity().card

    def said(identity: Identity, accepted: str = hq.certificate, address: str = "") -> str:
        with pytest.raises(HandshakeFailed) as caught:
            shake_hands(
                address or holder.address, accepted, identity.card.certificate, identity.tls_key
            )
        return f"{caught.value.refused}: {caught.value}"

    stranger = Identity.generate(PartyKind.OUTLET, "a", "", now())
    assert "True: " in said(stranger)
    assert "it takes no connection under this certificate" in said(stranger)
    other = Keyring(holder.ring.folder.parent / "other", PartyKind.HQ)
    other.create("hq", "h:1", now(), "h:2")
    assert "False: " in said(own, other.identity().card.certificate)
    stale = said(own, other.identity().card.certificate)
    assert f"{holder.address} shows another certificate than its card here: import" in stale
    assert "does it listen there" in said(own, address="127.0.0.1:1")
    past = now() - dt.timedelta(days=365 * CERTIFICATE_YEARS + 2)
    ended = holder.ring.identity().renewed(past, Renewed(overlap=0 * DAY)).finished()
    holder.ring.keep(ended)
    holder.serve()
    assert "the certificate that it shows is over" in said(own, ended.card.certificate)


def test_a_damaged_card_refuses_its_outlet_alone_and_is_in_the_log_once(
    holder: Holder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    place = holder.ring.folder / "peers" / "outlet-b.json"
    whole = place.read_bytes()
    holder.outlets["a"].renew(now(), Renewed(overlap=DAY))
    holder.ring.take_renewal(holder.outlets["a"].public_file.read_bytes())
    place.write_bytes(whole[:400])
    one, other = (holder.outlets[name].identity() for name in "ab")
    for _ in range(3):
        assert (holder.takes(one), holder.takes(other)) == (True, False)
    one, holder.ahead = one.newest, 2 * DAY  # the list is read again as an overlap ends
    assert (holder.takes(one), holder.takes(other)) == (True, False)
    assert [str(place) in record.getMessage() for record in caplog.records] == [True]
    place.write_bytes(whole)
    assert holder.takes(other)
