"""A real ledger with phones and e-mails: none of it reaches HQ or the office, in no form."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from features.ledger import canonical_events
from features.snapshot import CutOff, Snapshot
from sandbox.network import Settings
from sandbox.processes import Processes
from sandbox.replay import World
from tests.federation.test_nights import start_patched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.federation

CUT_OFF, HORIZON_END = CutOff.parse("2011-08-31"), CutOff.parse("2011-12-09").date
CUSTOMERS = 250

RECORD_HQ = """
import pathlib
from server.hq.superlink import SuperLinkGrid
original = SuperLinkGrid._inflated
def record(self, head, end):
    reply = original(self, head, end)
    with open("{file}", "ab") as file:
        for name, value in reply.content.config_records["answer"].items():
            file.write(value if isinstance(value, bytes) else str(value).encode())
    return reply
SuperLinkGrid._inflated = record
"""
RECORD_OFFICE = """
from server.office.service import OfficeService
for name in ("SignNight", "SignRelease", "Unlock", "CloseNight"):
    def make(original):
        def record(self, request, context):
            with open("{file}", "ab") as file:
                file.write(request.SerializeToString())
            return original(self, request, context)
        return record
    setattr(OfficeService, name, make(getattr(OfficeService, name)))
"""


def raw_ledger(shared_data: Path) -> pl.DataFrame:
    """Rows of 250 real customers, phones and e-mails included."""
    ledger = pl.read_parquet(shared_data / "or_ledger.parquet").with_columns(
        pl.col(pl.Categorical).cast(pl.String)
    )
    early = ledger.filter(pl.col("purchased_at") <= CUT_OFF.date)
    some = early["customer_id"].unique().sort().head(CUSTOMERS)
    return ledger.filter(pl.col("customer_id").is_in(some.implode()))


def forms(text: str) -> Iterator[bytes]:
    """The forms in which an identifier could leave: plain, digits, last nine, hashed, base64."""
    digits = "".join(character for character in text if character.isdigit())
    plain = {text, text.lower()} | ({digits, digits[-9:]} if len(digits) >= 9 else set())
    for form in plain:
        yield form.encode()
        yield hashlib.sha256(form.encode()).hexdigest().encode()
        yield hashlib.sha256(form.encode()).digest()
        yield base64.b64encode(form.encode()).rstrip(b"=")


def test_no_phone_email_customer_or_purchase_is_in_anything_hq_or_the_office_has(
    shared_data: Path, tmp_path: Path
) -> None:
    raw = raw_ledger(shared_data)
    events = canonical_events(raw, "or_ledger")
    people = Snapshot.take(events, CUT_OFF, HORIZON_END).history["customer"].unique().sort()
    judged = pl.DataFrame({"customer_id": people, "y": np.arange(len(people)) % 2, "fold": 0})
    world = World.of(events, judged, CUT_OFF, HORIZON_END)
    everybody = np.ones(len(people), dtype=bool)
    settings = Settings.one_training(1.0, 1e-6, 1)
    network = Processes.enrol(tmp_path, world, "y_loyal", world.y, everybody, settings)
    for name in world.outlets:  # the outlet's own file has everything that a till writes
        own = raw.filter(pl.col("outlet_id") == name)
        own.write_parquet(network.outlet(name) / "ledger.parquet")
    hq, office = tmp_path / "hq", tmp_path / "office"
    try:
        patch = RECORD_OFFICE.format(file=office / "recorded.bin")
        start_patched(network, patch, "server.office.main", office, "serve")
        program = start_patched(
            network, RECORD_HQ.format(file=hq / "recorded.bin"), "server.hq.main", hq,
            "night", "--name", "n1", "--cut-off", str(CUT_OFF),
        )  # fmt: skip
        network.start_outlets()
        assert program.wait(timeout=180) == 0
    finally:
        network.stop()
    assert network.read_night("n1", "y_loyal").ended == "complete"

    held = b"\0".join(
        file.read_bytes() for folder in (hq, office) for file in folder.rglob("*") if file.is_file()
    )
    assert (hq / "recorded.bin").stat().st_size > 10_000
    assert (office / "recorded.bin").stat().st_size > 1_000
    searched = 0
    for column in ("phone", "email", "customer_id", "basket_id"):
        for text in raw[column].unique().to_list():
            for form in forms(text):
                assert form not in held, f"a {column} left its outlet"
                searched += 1
    for price in events["price"].filter(events["price"] % 1 != 0).unique().to_list()[:2000]:
        assert struct.pack("<d", price) not in held, "a price left its outlet"
    assert searched > 5_000
    found = (network.outlet(next(iter(world.outlets))) / "ledger.parquet").read_bytes()
    assert raw["customer_id"][0].encode() in found or len(found) > 1_000  # it was there to leave
