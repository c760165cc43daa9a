"""The folders of a network on one machine: keys, settings, ledgers and consents of every party.

Every party gets a folder of its own, as on a machine of its own, with what its people would have
made by hand: its keys, the other parties' cards, its settings, and at an outlet its exports.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import socket
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import SIGHTINGS
from outlet_client.database import create_databases
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People
from privacy.identity import Card, PartyKind
from privacy.keyring import Keyring
from server.holder.database import create_stores
from server.hq.tables import STORES as HQ_STORES
from server.office.tables import STORES as OFFICE_STORES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from features.events import Vector
    from features.snapshot import Snapshot
    from privacy.purposes import Purpose
    from sandbox.network import Settings
    from sandbox.world import World

JOIN_SECONDS = 60.0
KEEP_DAYS = 36_500  # replays of old ledgers are about the past
SPARE_MESSAGES = 64
"""Room for newcomers and withdrawals in every submission."""
NOTICE = "sandbox-1"
FIRST_PORT, PORTS = 16_384, 16_384
"""Ports of loopback to choose from: below those that Linux gives to whoever asks for any."""


def enrol(
    folder: Path,
    world: World,
    outcomes: Mapping[str, Vector],
    training: npt.NDArray[np.bool_],
    settings: Settings,
) -> None:
    """Makes keys, cards, settings, ledgers, client books and consents for everybody.

    Args:
        folder: An empty folder; gets hq/, office/ and outlets/<id>/.
        world: What the outlets know.
        outcomes: By name, float64[n], as training sees them.
        training: bool[n], the customers who are in training.
        settings: The three roles'.
    """
    at = dt.datetime.now(dt.UTC)
    hq, office = Keyring(folder / "hq", PartyKind.HQ), Keyring(folder / "office", PartyKind.OFFICE)
    hq.create("hq", f"127.0.0.1:{free_port()}", at, f"127.0.0.1:{free_port()}")
    create_stores(hq.folder, HQ_STORES)
    address = f"127.0.0.1:{free_port()}"
    office.create("office", address, at, address)
    create_stores(office.folder, OFFICE_STORES)
    introduce(hq, office)
    most = max(own.history["customer"].n_unique() for own in world.outlets.values())
    messages = SPARE_MESSAGES + most
    horizon = (world.snapshot.horizon_end - world.snapshot.cut_off.date).days
    whole = pl.concat([world.snapshot.history, world.snapshot.future])
    tiers = whole.select("reference", "tier").drop_nulls().unique("reference").sort("reference")
    labels = pl.DataFrame({"customer_id": world.customers, **outcomes}).filter(pl.Series(training))
    for name, own in world.outlets.items():
        ring = Keyring(folder / "outlets" / name, PartyKind.OUTLET)
        ring.create(name, "", at)
        create_databases(ring.folder)
        introduce(ring, hq)
        introduce(ring, office)
        _write_ledger(ring.folder, own)
        tiers.write_csv(ring.folder / "references.csv")
        _write_people(ring, own, at)
        labels.write_csv(ring.folder / "outcomes.csv")
        _write_outlet_settings(ring.folder, settings, messages, horizon)
    quotas = {"outlet_a_day": 4 * messages, "network_a_day": 4 * messages * len(world.outlets)}
    _write_toml(office.folder / "office.toml", {}, "promise", _office(settings))
    _add_section(
        office.folder / "office.toml", "tokens", {**quotas, "messages": messages, "batch_hours": 0}
    )
    _write_toml(
        hq.folder / "hq.toml",
        {
            "join_seconds": JOIN_SECONDS,
            "night_at": f"{at + dt.timedelta(hours=12):%H:%M}",
            "horizon_days": horizon,
            "outcomes": list(outcomes),
        },
        "training",
        {**settings.hq.model_dump(mode="json"), "shares": _shares(settings.hq.shares)},
    )
    _add_section(hq.folder / "hq.toml", "tokens", quotas)


def introduce(one: Keyring, other: Keyring) -> None:
    """Two parties trust one another's cards."""
    for ring, peer in ((one, other), (other, one)):
        data = peer.public_file.read_bytes()
        ring.trust(Card.decode(data, peer.kind), data)


def address_of(customer: str) -> str:
    """The e-mail address by which a simulated customer is known everywhere."""
    return f"{customer.lower()}@customers.example"


def _write_ledger(folder: Path, own: Snapshot) -> None:
    """An outlet's ledger and the sightings it holds, as its own programs read them."""
    rows = pl.concat([own.history, own.future])
    seen = pl.col("kind").is_in(list(SIGHTINGS))
    rows.filter(~seen).select(
        "kind", "price", "list_price", "serial", "reference",
        customer_id="customer", outlet_id="outlet", purchased_at="date", basket_id="basket",
    ).write_parquet(folder / "ledger.parquet")  # fmt: skip
    rows.filter(seen).select("serial", seen_at="date", status="kind").write_csv(
        folder / "sightings.csv"
    )


def _write_people(ring: Keyring, own: Snapshot, at: dt.datetime) -> None:
    """An outlet's client book, and everybody's consent in it."""
    customers = own.history["customer"].unique().sort().to_list()
    addresses = [address_of(customer) for customer in customers]
    book = {"customer_id": customers, "phone": [""] * len(customers), "email": addresses}
    pl.DataFrame(book).write_csv(ring.folder / "clients.csv")
    people = People.open(ring.folder, ring.identity())
    people.record_consents(
        Consent(people.local_key(f"mailto:{address}"), NOTICE, at, "sandbox")
        for address in addresses
    )
    people.close()


def _write_outlet_settings(folder: Path, settings: Settings, messages: int, horizon: int) -> None:
    """An outlet's settings, for so many registrations a night and days of an outcome."""
    _write_toml(
        folder / "escapement.toml",
        {
            "region": "SG",
            "ledger": "ledger.parquet",
            "references": "references.csv",
            "sightings": "sightings.csv",
            "clients": "clients.csv",
            "evaluations_a_night": messages,
            "outcomes": "outcomes.csv",
            "horizon_days": horizon,
            "keep_days": KEEP_DAYS,
            "join_minutes": JOIN_SECONDS / 60,
        },
        "floors",
        settings.outlet.model_dump(mode="json"),
    )


def _office(settings: Settings) -> dict[str, object]:
    raw = settings.office.model_dump(mode="json")
    return {**raw, "shares": _shares(settings.office.shares)}


def _shares(shares: Mapping[Purpose, object]) -> dict[str, str]:
    return {purpose.value: str(share) for purpose, share in shares.items()}


def _write_toml(
    file: Path, top: dict[str, object], section: str, values: dict[str, object]
) -> None:
    """Writes flat settings, one section, and its `shares` as a section below."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    flat = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in flat.items())]
    for name, nested in values.items():
        if isinstance(nested, dict):
            lines += [f"[{section}.{name}]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in nested.items()]
    file.touch(mode=0o600)  # programs refuse what others can read
    file.write_text("\n".join(lines) + "\n")


def _add_section(file: Path, section: str, values: Mapping[str, object]) -> None:
    lines = [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    file.write_text(file.read_text() + "\n".join(lines) + "\n")


def free_port() -> int:
    """A port of loopback that nobody listens at just now.

    Nobody is given it either while the program that listens there is being started again.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
