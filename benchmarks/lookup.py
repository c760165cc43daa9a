"""How long a look-up takes: known customers in the library and over the desk's socket, new ones.

    python -m benchmarks.lookup [--slots 1000000] [--known 2000] [--times 3000]

The book has `slots` entries; `known` of them are this outlet's people. A new customer's token is
asked of a real HQ and a real office, over TLS on loopback, after a recorded consent.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from benchmarks.directory import strangers
from features.bands import SCHEMES
from outlet_client.bands.lookup import LookUp, Status
from outlet_client.database import create_databases
from outlet_client.desk.socket_service import DESK_SOCKET, DeskService, start_desk
from outlet_client.log_tables.rights_store import RightsStore
from outlet_client.moments import today
from outlet_client.people.consents import Consent
from outlet_client.people.identifiers import identifiers
from outlet_client.people.people_store import People
from outlet_client.people.person_states import keys_as_array
from outlet_client.records.access_log import note_lookups
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.records.customer_requests import NewRequest, RequestKind, receive
from outlet_client.services import Services
from outlet_client.settings import DeskSettings, OutletFile
from privacy.directory import SLOT_BYTES, Directory
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.slot_keys import KEY_BYTES
from privacy.tokens import token
from sandbox.enrolment import free_port, introduce
from server.holder.database import create_stores
from server.hq.services import running as hq_running
from server.hq.settings import HqFile
from server.hq.tables import STORES as HQ_STORES
from server.office.running import running as office_running
from server.office.settings import OfficeFile, OfficeTokens
from server.office.tables import STORES as OFFICE_STORES
from server.wire import outlets_pb2, outlets_pb2_grpc
from tests.shelves import Press, make_book, public_keys, shelve

if TYPE_CHECKING:
    from collections.abc import Callable

    from privacy.tokens import Token

ASKED = Actor("benchmark", LookupPurpose.SALE)


def main() -> None:
    """Prints p50 and p99 of each kind of look-up, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=1_000_000)
    parser.add_argument("--known", type=int, default=2_000)
    parser.add_argument("--times", type=int, default=3_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        hq, office, outlet = parties(Path(folder))
        many = options.known + options.times
        quotas = OfficeTokens(outlet_a_day=many, network_a_day=many)
        stack.enter_context(office_running(office, OfficeFile(tokens=quotas), lambda: False))
        stack.enter_context(hq_running(hq, HqFile(tokens=quotas)))
        people = stack.enter_context(closing(People.open(outlet.folder, outlet.identity())))
        phones = fill(outlet, people, (hq, office), options.slots, options.known)
        services = stack.enter_context(
            closing(
                Services.connect(
                    outlet.identity(), outlet.peer(PartyKind.HQ), outlet.peer(PartyKind.OFFICE)
                )
            )
        )
        total = outlet.token_key()
        settings = OutletFile(ledger="none.csv", desk=DeskSettings(lookups_a_day=10**9))
        look_up = stack.enter_context(
            closing(LookUp(outlet.folder, people, outlet.publishers(), settings))
        )
        began = time.perf_counter()
        look_up.look_up(phones[0], None, ASKED)
        first = time.perf_counter() - began
        sys.stdout.write(f"first look-up, which reads the book: {first * 1e3:.0f} ms\n")
        random = np.random.default_rng(1)
        chosen = [phones[place] for place in random.integers(0, len(phones), options.times)]
        _report("known, in the library", chosen, lambda phone: look_up.look_up(phone, None, ASKED))
        rights = stack.enter_context(closing(RightsStore(outlet.folder)))
        _report("of that its entry in the log, durable", chosen, lambda _: note(rights))

        with rights.transaction() as connection:
            key = people.local_key(f"tel:{phones[0]}")
            receive(connection, RequestKind.DISPUTE, key, NewRequest(today(), 30, ASKED.by))
        others = [phone for phone in chosen if phone != phones[0]]
        _report(
            "known, in the library, while another's dispute is open",
            others,
            lambda phone: look_up.look_up(phone, None, ASKED),
        )
        server = start_desk(DeskService(look_up, services, total), outlet.folder)
        stack.callback(lambda: server.stop(None).wait())
        place = (outlet.folder / DESK_SOCKET).resolve()
        desk = outlets_pb2_grpc.DeskStub(
            stack.enter_context(grpc.insecure_channel(f"unix:{place}"))
        )
        _report(
            "known, over the socket",
            chosen,
            lambda phone: desk.Lookup(
                outlets_pb2.LookupRequest(phone=phone, by=ASKED.by, purpose=ASKED.purpose)
            ),
        )
        fresh = usable_phones("+6591", min(options.times, 300))
        _report(
            "new, both holders asked",
            fresh,
            lambda phone: look_up.first_time(phone, None, "n1", services, total, ASKED),
        )


def parties(folder: Path) -> tuple[Keyring, Keyring, Keyring]:
    """HQ, the office and one outlet, who trust one another."""
    at = dt.datetime.now(dt.UTC)
    hq, office = Keyring(folder / "hq", PartyKind.HQ), Keyring(folder / "office", PartyKind.OFFICE)
    outlet = Keyring(folder / "outlet", PartyKind.OUTLET)
    hq.create("hq", f"127.0.0.1:{free_port()}", at, f"127.0.0.1:{free_port()}")
    address = f"127.0.0.1:{free_port()}"
    office.create("office", address, at, address)
    outlet.create("outlet", "", at)
    create_databases(outlet.folder)
    for one, other in ((hq, office), (hq, outlet), (office, outlet)):
        introduce(one, other)
    create_stores(hq.folder, HQ_STORES)
    create_stores(office.folder, OFFICE_STORES)
    return hq, office, outlet


def fill(
    outlet: Keyring, people: People, holders: tuple[Keyring, Keyring], slots: int, known: int
) -> list[str]:
    """A book of `slots` entries, `known` of them of this outlet's people; their phones."""
    at, random = dt.datetime.now(dt.UTC), np.random.default_rng(1)
    phones = usable_phones("+6581", known)
    shares = [ring.token_share() for ring in holders]
    tokens: dict[str, Token] = {
        people.local_key(f"tel:{phone}"): token(f"tel:{phone}", *shares) for phone in phones
    }
    people.record_consents(Consent(key, "n1", at, "benchmark") for key in tokens)
    people.keep_tokens(tokens)
    sealing = bytes.fromhex(outlet.peer(PartyKind.HQ).sealing_key)
    people.submission(1, known, sealing, outlet.token_key())
    people.submitted(1)
    rows = random.integers(0, 256, (slots, SLOT_BYTES), np.uint8)
    places = random.permutation(slots)[:known]
    others = np.setdiff1d(np.arange(slots), places)
    rows[others, :KEY_BYTES] = keys_as_array(strangers(len(others)))
    rows[places, :KEY_BYTES] = public_keys(tokens.values())
    directory = Directory(1, rows)
    people.follow(directory, 1)
    codes = random.integers(0, 3, (slots, len(SCHEMES) + 1), np.uint8)
    made_at = at.timestamp()
    book = make_book(codes, directory, as_of=at.date().isoformat(), made_at=made_at)
    press = Press(*(ring.identity().signing for ring in holders))
    shelve(outlet.folder, book, directory, press, at)
    return phones


def usable_phones(beginning: str, count: int) -> list[str]:
    """Phones of six digits more, none of which is a placeholder."""
    numbered = (f"{beginning}{number:06d}" for number in itertools.count())
    usable = (phone for phone in numbered if identifiers(phone, None, None))
    return list(itertools.islice(usable, count))


def note(rights: RightsStore) -> None:
    """Adds an entry to the log, as each look-up does before its answer."""
    with rights.transaction() as connection:
        note_lookups(connection, dt.datetime.now(dt.UTC), ASKED, [("0" * 64, Status.KNOWN.value)])


def _report(label: str, phones: list[str], ask: Callable[[str], object]) -> None:
    times = []
    for phone in phones:
        began = time.perf_counter()
        ask(phone)
        times.append(time.perf_counter() - began)
    half, most = np.quantile(times, [0.5, 0.99]) * 1e3
    sys.stdout.write(f"{label}: p50 {half:.2f} ms, p99 {most:.2f} ms ({len(times)} times)\n")


if __name__ == "__main__":
    main()
