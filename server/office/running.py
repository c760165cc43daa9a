"""The office as a running program: its stores, its services, one port for HQ and outlets."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from privacy.identity import PartyKind
from server.holder import serving
from server.holder.errors import HolderNotConfigured
from server.holder.locks import SERVE_LOCK, locked
from server.holder.meter import Meter
from server.holder.peers import Peers
from server.holder.service import TokensService
from server.holder.shares import answer_refresh
from server.holder.vault import SECRETS_FILE, KeyFile
from server.office.clock import SET_CLOCK_FILE, confirmed_by
from server.office.errors import OfficePaused
from server.office.ledger_store import OfficeStore
from server.office.notary import Notary
from server.office.publications import Publications
from server.office.relay import Relay
from server.office.service import NotaryService, OfficeService, RelayService
from server.office.tables import OFFICE, OFFICE_METER, RELAY
from server.office.unlock import Office
from server.office.vault import KEY_FILE, Vault
from server.wire.office_pb2_grpc import add_OfficeServicer_to_server
from server.wire.outlets_pb2_grpc import (
    add_NotaryServicer_to_server,
    add_RelayServicer_to_server,
    add_TokensServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from privacy.keyring import Keyring
    from server.office.settings import OfficeFile

Given = TypeVar("Given")

_LOG = logging.getLogger(__name__)

TIDY_SECONDS = 300.0
"""Between two looks at what has expired."""


@contextmanager
def running(ring: Keyring, settings: OfficeFile, paused: Callable[[], bool]) -> Iterator[str]:
    """Serves from a folder until left.

    Args:
        ring: The office's keys and lists; its folder holds the databases.
        settings: The office's.
        paused: Tells, at every call, whether nothing may be answered.

    Yields:
        `host:port`, with the port that was taken where 0 was asked for.

    Raises:
        PrivacyError: If a key or card is missing.
        OSError: If the address cannot be bound.
    """
    identity, peers = ring.identity(), Peers(ring, PartyKind.HQ, PartyKind.OUTLET)
    ring.peer(PartyKind.HQ)  # what is missing is said here, not at the first call
    ring.token_share()

    def unless_paused(give: Callable[[], Given]) -> Given:
        if paused():
            raise OfficePaused
        return give()

    with ExitStack() as stack:
        folder, promise = ring.folder, settings.promise
        if not stack.enter_context(locked(folder / SERVE_LOCK)):
            raise HolderNotConfigured(
                f"{folder}: `escapement-office serve` or `upgrade` runs there already, expected "
                "one of them; wait, or stop it"
            )
        url, keys = OFFICE.url(folder, settings.database), KeyFile(folder / SECRETS_FILE)
        store = stack.enter_context(closing(OfficeStore(url, promise.policy(), keys)))
        meter = stack.enter_context(closing(Meter(OFFICE_METER.url(folder), OFFICE_METER)))
        own = settings.tokens
        least, hours = promise.minimum_outlets, own.batch_hours
        notary = stack.enter_context(closing(Notary(url, identity.signing)))
        publications = stack.enter_context(
            closing(Publications(url, identity.signing, hours, store.complete_seal))
        )
        relay = stack.enter_context(
            closing(
                Relay(
                    RELAY.url(folder), own.messages, least, hours, time.time,
                    lambda: publications.last_directory().batch,
                )
            )
        )  # fmt: skip
        vault = Vault(ring.folder / KEY_FILE)

        def office() -> Office:
            keys = {name: card.verify_key for name, card in peers.cards(PartyKind.OUTLET).items()}
            return Office(
                promise,
                store,
                identity.signing,
                keys,
                time.time,
                publications.latest_directory,
                publications.directory,
                vault,
                lambda: confirmed_by(ring.folder),
                lambda: (ring.folder / SET_CLOCK_FILE).unlink(missing_ok=True),
            )

        stack.enter_context(_tidying(lambda: office().tidy()))
        calls = OfficeService(
            lambda: unless_paused(office),
            lambda: unless_paused(lambda: relay),
            lambda: unless_paused(lambda: publications),
            lambda epoch, delta: unless_paused(lambda: answer_refresh(ring, epoch, delta)),
            time.time,
        )
        quota = own.quota()
        tokens = TokensService(
            lambda: unless_paused(ring.token_share), meter, quota, peers, time.time
        )
        relaying = RelayService(lambda: unless_paused(lambda: relay), peers)
        countersigning = NotaryService(
            lambda: unless_paused(lambda: notary),
            publications,
            peers,
            time.time,
            lambda after: unless_paused(lambda: store.ledger().since(after)),
        )
        address = settings.listen or identity.card.address
        server, port = serving.start(
            identity,
            peers,
            address,
            lambda server: add_OfficeServicer_to_server(calls, server),
            lambda server: add_TokensServicer_to_server(tokens, server),
            lambda server: add_RelayServicer_to_server(relaying, server),
            lambda server: add_NotaryServicer_to_server(countersigning, server),
        )
        stack.callback(lambda: server.stop(grace=5).wait())
        yield f"{address.rpartition(':')[0]}:{port}"


@contextmanager
def _tidying(tidy: Callable[[], None]) -> Iterator[None]:
    """Deletes what is over at once and every few minutes, also while paused and while nobody calls.

    Args:
        tidy: Does it.
    """
    over = Event()

    def run() -> None:
        while not over.wait(TIDY_SECONDS):
            try:
                tidy()
            except Exception:  # noqa: BLE001  (a round that fails ends no later one)
                _LOG.exception("what is over could not be deleted; it is tried again")

    tidy()
    thread = Thread(target=run, name="tidying", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
