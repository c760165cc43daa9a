"""A real ledger with phones and e-mails: none of it reaches HQ or the office, in no form.

And no token reaches either of them, in a file, a message or a process's memory.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from features.ledger import canonical_events
from features.snapshot import CutOff, Snapshot
from outlet_client.database import create_databases
from outlet_client.ledger.event_store import EventStore
from outlet_client.people.client_book import client_book, identifiers_of
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People, State
from outlet_client.records.access_log import note_lookup_in
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.records.log_audit import audit_log
from outlet_client.settings import OutletFile
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.registrations import nonce_of, tag_of
from privacy.slot_keys import SlotKey
from privacy.tokens import Token, token
from sandbox.enrolment import NOTICE
from sandbox.world import World
from server.office.notary import Notary
from server.office.tables import OFFICE
from tests.builders import store_at
from tests.federation.forked import Forked
from tests.federation.nights import whole_nights
from tests.networks import TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privacy.log_heads import HeadStatement

pytestmark = [pytest.mark.federation, pytest.mark.xdist_group("leaks")]

CUT_OFF, HORIZON_END = CutOff.parse("2011-08-31"), CutOff.parse("2011-12-09").date
CUSTOMERS, OUTLETS = 250, 5
BY_EMAIL = 3
"""One customer of so many gave no phone."""

RECORD = """
def recorded(kind, *names):
    def make(original):
        def record(self, request, context):
            with open("{file}", "ab") as file:
                file.write(request.SerializeToString())
            return original(self, request, context)
        return record
    for name in names:
        setattr(kind, name, make(getattr(kind, name)))
from server.holder.service import TokensService
recorded(TokensService, "Evaluate")
"""
RECORD_OFFICE = (
    RECORD
    + """
from server.office.service import NotaryService, OfficeService, RelayService
recorded(OfficeService, "SignNight", "SignRelease", "Unlock", "SignSeal", "StoreSet", "CloseSeal",
    "CloseNight", "CollectBatch", "CountersignBook")
recorded(RelayService, "OpenBatch", "Submit")
recorded(NotaryService, "Countersign")
"""
)
RECORD_SERVICES = (
    RECORD
    + """
from server.hq.services import LibraryService
recorded(LibraryService, "Directory", "Book")
"""
)
RECORD_NIGHT = """
from server.hq.office_client import OfficeClient
from server.hq.superlink import SuperLinkGrid
inflated, collect = SuperLinkGrid._inflated, OfficeClient.collect_batch
def record(self, head, end):
    reply = inflated(self, head, end)
    answer = reply.content.config_records["answer"] if reply.has_content() else {"": reply.error}
    with open("{file}", "ab") as file:
        for value in answer.values():
            file.write(value if isinstance(value, bytes) else str(value).encode())
    return reply
def record_batch(self, after):
    collected = collect(self, after)
    with open("{file}", "ab") as file:
        file.write(b"".join(collected.sealed))
    return collected
SuperLinkGrid._inflated, OfficeClient.collect_batch = record, record_batch
from server.hq.registry import Registry
apply = Registry.apply
def apply_and_dump(self, *arguments):
    done = apply(self, *arguments)
    with open("/proc/self/maps") as maps:
        mapped = [line.split() for line in maps]
    with open("/proc/self/mem", "rb") as memory, open("{file}.memory", "wb") as file:
        for place, rights, *_ in mapped:
            start, end = (int(part, 16) for part in place.split("-"))
            if rights.startswith("rw"):
                memory.seek(start)
                file.write(memory.read(end - start))
    return done
Registry.apply = apply_and_dump
"""
IN_MEMORY = 25
"""Customers who are looked for in a process's memory."""


def raw_ledger(shared_data: Path) -> pl.DataFrame:
    """Rows of real customers at a few outlets as a till writes them, phones and e-mails included.

    Outlets get long names, which no random bytes spell; every third customer gave no phone.
    """
    ledger = pl.read_parquet(shared_data / "or_ledger.parquet").with_columns(
        pl.col(pl.Categorical).cast(pl.String)
    )
    largest = ledger["outlet_id"].value_counts(sort=True)["outlet_id"].head(OUTLETS)
    ledger = ledger.filter(pl.col("outlet_id").is_in(largest.implode())).with_columns(
        outlet_id="boutique-" + pl.col("outlet_id")
    )
    early = ledger.filter(pl.col("purchased_at") <= CUT_OFF.date)
    some = early["customer_id"].unique().sort().head(CUSTOMERS)
    silent = some.gather_every(BY_EMAIL).implode()
    return ledger.filter(pl.col("customer_id").is_in(some.implode())).with_columns(
        phone=pl.when(~pl.col("customer_id").is_in(silent)).then(pl.col("phone"))
    )


def forms(text: str) -> Iterator[bytes]:
    """The forms in which an identifier could leave: plain, digits, last nine, hashed, base64."""
    digits = "".join(character for character in text if character.isdigit())
    plain = {text, text.lower()} | ({digits, digits[-9:]} if len(digits) >= 9 else set())
    for form in plain:
        yield form.encode()
        yield hashlib.sha256(form.encode()).hexdigest().encode()
        yield hashlib.sha256(form.encode()).digest()
        yield base64.b64encode(form.encode()).rstrip(b"=")


def written(folder: Path) -> dict[str, bytes]:
    """Every file of a folder: databases, settings, logs, what was recorded of messages."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".memory"
    }


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """Raw, hex and base64."""
    return secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")


@dataclass(frozen=True, slots=True)
class Aftermath:
    """A network after a night, stopped.

    Attributes:
        network: Its folders.
        raw: What the tills wrote.
        identifiers: Of each outlet's customers.
        tokens: Of all customers, computed from both shares.
    """

    network: Forked
    raw: pl.DataFrame
    identifiers: dict[str, set[str]]
    tokens: dict[str, Token]


@pytest.fixture(scope="module")
def after(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    raw = raw_ledger(shared_data)
    events = canonical_events(raw, "or_ledger")
    people = Snapshot.take(events, CUT_OFF, HORIZON_END).history["customer"].unique().sort()
    judged = pl.DataFrame({"customer_id": people, TARGET: np.arange(len(people)) % 2, "fold": 0})
    world = World.of(events, judged, CUT_OFF, HORIZON_END)
    everybody = np.ones(len(people), dtype=bool)
    folder = tmp_path_factory.mktemp("leaks") / "n"
    network = Forked.enrol(folder, world, world.given, everybody, whole_nights())
    identifiers = {name: _keep_own_book(network.outlet(name), raw) for name in world.outlets}
    for number, name in enumerate(world.outlets):
        _work(network.outlet(name), 1 + 3 * number)
    hq, office = folder / "hq", folder / "office"
    try:
        for patch, script, arguments, home in (
            (RECORD_OFFICE, "escapement-office", ("serve",), office),
            (RECORD_SERVICES, "escapement-hq", ("serve",), hq),
            (
                RECORD_NIGHT, "escapement-hq",
                ("night", "--name", "n1", "--cut-off", str(CUT_OFF), "--as-of", str(CUT_OFF)), hq,
            ),
        ):  # fmt: skip
            file = home / f"recorded-{arguments[0]}.bin"
            network.start_patched(patch.replace("{file}", str(file)), script, *arguments, home=home)
        network.start_outlets()
        assert network.running["hq night"].wait(timeout=180) == 0
        for name in world.outlets:
            assert network.running[f"{name} nightly"].wait(timeout=30) == 0
    finally:
        network.stop()
    report = network.read_night("n1")
    assert report.ended == "complete"
    assert report.book is not None
    shares = [
        Keyring(hq, PartyKind.HQ).token_share(),
        Keyring(office, PartyKind.OFFICE).token_share(),
    ]
    everyone = sorted(set().union(*identifiers.values()))
    return Aftermath(network, raw, identifiers, {who: token(who, *shares) for who in everyone})


def _work(home: Path, count: int) -> None:
    """Staff of an outlet looks so many customers up."""
    for number in range(count):
        asked = Actor(f"clerk-of-{home.name}", LookupPurpose.SALE)
        note_lookup_in(
            home, dt.datetime.now(dt.UTC), asked, f"key-{number}-at-{home.name}", "known"
        )


def _keep_own_book(home: Path, raw: pl.DataFrame) -> set[str]:
    """Gives an outlet the file that its till writes as ledger and client book in one.

    Returns:
        Its customers' identifiers; all of them have consented.
    """
    raw.filter(pl.col("outlet_id") == home.name).write_parquet(home / "ledger.parquet")
    for name in ("clients.csv", "outlet.db"):
        (home / name).unlink()
    create_databases(home)
    settings = home / "escapement.toml"
    lines = settings.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("clients", "region"))]
    settings.write_text("\n".join(['region = "US"', *kept]) + "\n")
    ring = Keyring(home, PartyKind.OUTLET)
    people = People.open(home, ring.identity())
    read, at = OutletFile.read(settings), dt.datetime.now(dt.UTC)
    EventStore(home).take_in(read, at, people)
    book = client_book(read, people)
    assert book.left_out == 0
    keys = book.customers["key"].unique().to_list()
    identifiers = identifiers_of(read, people, keys)
    assert set(identifiers) == set(keys)
    people.record_consents(Consent(key, NOTICE, at, "till") for key in keys)
    people.close()
    return set(identifiers.values())


def test_every_outlet_had_identifiers_to_leak_and_used_them_for_tokens(after: Aftermath) -> None:
    """Without this, what the other tests do not find would not have been there to be found."""
    assert len(after.identifiers) == OUTLETS
    for name, identifiers in after.identifiers.items():
        home = after.network.outlet(name)
        file = pl.read_parquet(home / "ledger.parquet")
        own = file.unique("customer_id")
        assert own["phone"].null_count() < len(own)
        assert own["email"].null_count() == 0
        assert file["outlet_id"].unique().to_list() == [name]
        tagged = {who.partition(":")[0] for who in identifiers}
        assert tagged == {"tel", "mailto"}
        assert len(identifiers) == len(own) > 10
        people = People.open(home, Keyring(home, PartyKind.OUTLET).identity())
        assert people.counts()[State.LISTED] == len(identifiers)
        for who in identifiers:
            person = people.person(people.local_key(who))
            assert person is not None
            assert person.slot_key is not None
            assert person.slot_key.public == SlotKey.of(after.tokens[who].raw).public
        people.close()


def test_no_phone_email_customer_or_purchase_is_in_anything_hq_or_the_office_has(
    after: Aftermath,
) -> None:
    files = [written(after.network.folder / role) for role in ("hq", "office")]
    for role, least in zip(files, ((10_000, 1_000), (10_000,)), strict=True):
        recorded = sorted(
            (len(data) for name, data in role.items() if "recorded" in name), reverse=True
        )
        assert len(recorded) == len(least)
        assert all(size > bound for size, bound in zip(recorded, least, strict=True))
    held = b"\0".join(data for role in files for data in role.values())
    searched = 0
    for column in ("phone", "email", "customer_id", "basket_id"):
        for text in after.raw[column].drop_nulls().unique().to_list():
            for form in forms(text):
                assert form not in held, f"a {column} left its outlet"
                searched += 1
    for who in after.tokens:
        assert all(form not in held for form in forms(who)), "an identifier left its outlet"
    prices = canonical_events(after.raw, "or_ledger")["price"]
    for price in prices.filter(prices % 1 != 0).unique().to_list()[:2000]:
        assert struct.pack("<d", price) not in held, "a price left its outlet"
    assert searched > 5_000


def test_no_token_is_in_any_file_message_or_log_of_hq_or_the_office(after: Aftermath) -> None:
    hq, office = (written(after.network.folder / role) for role in ("hq", "office"))
    stores = {"office.db", "relay.db", "meter.db"}
    assert stores | {"recorded-serve.bin", "serve.log"} <= set(office)
    assert {"hq.db", "meter.db", "recorded-serve.bin", "recorded-night.bin", "serve.log"} <= set(hq)
    held = b"\0".join([*hq.values(), *office.values()])
    for one in after.tokens.values():
        assert all(spelling not in held for spelling in spellings(one.raw))
    # The search would have found them: public keys are there, but where a page of the file ends.
    publics = [SlotKey.of(one.raw).public for one in after.tokens.values()]
    assert all(public in hq["hq.db"] for public in publics)
    assert sum(public in office["office.db"] for public in publics) > len(publics) * 0.9


def test_after_a_registration_no_token_is_in_hqs_memory(after: Aftermath) -> None:
    memory = (after.network.folder / "hq" / "recorded-night.bin.memory").read_bytes()
    some = list(after.tokens.values())[:IN_MEMORY]
    publics = [SlotKey.of(one.raw).public for one in some]
    assert sum(public in memory for public in publics) > IN_MEMORY / 2  # they were just applied
    assert all(one.raw not in memory for one in some)


def test_the_office_countersigned_every_log_and_knows_nothing_that_is_in_one(
    after: Aftermath,
) -> None:
    office = written(after.network.folder / "office")
    at_office = b"\0".join(office.values())
    at_hq = b"\0".join(written(after.network.folder / "hq").values())
    key = Keyring(after.network.folder / "office", PartyKind.OFFICE).identity().card.verify_key
    at = dt.datetime.now(dt.UTC)
    lengths = []
    for name in after.identifiers:
        home = after.network.outlet(name)
        found = audit_log(home, key, name, at)
        assert found.findings == ()
        assert found.last is not None
        assert found.covers == found.head.number
        lengths.append(found.head.number)
        assert found.last.digest.encode() in office["office.db"]  # the search would have found it
        assert f"clerk-of-{name}".encode() in (home / "rights.db").read_bytes()
        for held in (at_office, at_hq):
            assert f"clerk-of-{name}".encode() not in held
            assert f"-at-{name}".encode() not in held
            for hash_ in found.hashes.values():
                assert all(spelling not in held for spelling in spellings(hash_))
    assert sorted(lengths) == [1 + 3 * number for number in range(OUTLETS)]
    sizes = {len(statement.encode()) - len(statement.outlet) for statement in _statements(after)}
    assert len(sizes) == 1  # of a long log is said as much as of a short one


def _statements(after: Aftermath) -> list[HeadStatement]:
    folder = after.network.folder / "office"
    signing = Keyring(folder, PartyKind.OFFICE).identity().signing
    with closing(Notary(store_at(f"sqlite:///{folder / 'office.db'}", OFFICE), signing)) as notary:
        return notary.last()


def test_no_table_of_hqs_says_whose_a_slot_is(after: Aftermath) -> None:
    """No row, and no table, has an outlet's name beside a slot key or what stands for one."""
    names = [name.encode() for name in after.identifiers]
    with closing(sqlite3.connect(after.network.folder / "hq" / "hq.db")) as database:
        tables = {
            table: (
                [column[1] for column in database.execute(f"PRAGMA table_info({table})")],
                [[_bytes(cell) for cell in row] for row in database.execute(query)],
            )
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for query in [f"SELECT * FROM {table}"]  # noqa: S608  (the database's own names)
        }
    columns, slots = tables["slot_keys"]
    assert len(slots) == len(after.tokens)
    assert {row[columns.index("key")] for row in slots} == {
        SlotKey.of(one.raw).public for one in after.tokens.values()
    }
    secret = {
        row[columns.index(name)] for name in ("key", "home_nonce", "home_tag") for row in slots
    }
    secret |= _registrations(after)
    naming, holding = set[str](), set[str]()
    for table, (kept, rows) in tables.items():
        cells = [cell for row in rows for cell in row]
        if "outlet" in kept or any(name in cell for cell in cells for name in names):
            naming.add(table)
        whole = b"\0".join(cells)
        if any(spelling in whole for one in secret for spelling in spellings(one)):
            holding.add(table)
    assert holding == {"slot_keys", "registrations", "directories"}
    assert {"releases", "kept_answers"} <= naming
    assert not naming & holding


def _bytes(cell: object) -> bytes:
    return cell if isinstance(cell, bytes) else str(cell).encode()


def _registrations(after: Aftermath) -> set[bytes]:
    """Nonces and tags of every registration, as only the outlets know them."""
    found = set[bytes]()
    for name in after.identifiers:
        with closing(sqlite3.connect(after.network.outlet(name) / "outlet.db")) as database:
            for (secret,) in database.execute("SELECT secret FROM people"):
                found |= {nonce_of(secret), tag_of(nonce_of(secret))}
    return found


def test_an_outlets_database_lists_no_phone_and_no_email(after: Aftermath) -> None:
    for name, identifiers in after.identifiers.items():
        held = (after.network.outlet(name) / "outlet.db").read_bytes()
        own = after.raw.filter(pl.col("outlet_id") == name)
        plain = {*identifiers, *own["phone"].drop_nulls(), *own["email"]}
        for text in plain:
            assert all(form not in held for form in forms(text))
        for who in identifiers:
            token_ = after.tokens[who].raw
            assert SlotKey.of(token_).public in held  # this file it is, and the search finds things
            assert all(spelling not in held for spelling in spellings(token_))
