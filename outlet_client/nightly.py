"""The outlet's night, top to bottom: keys, ledger, join, answer, leave."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.errors import FeatureError, LedgerError
from features.events import event_features, positions
from features.outcomes import Outcome, Thresholds, observe
from features.protocol import app_digest
from features.snapshot import CutOff, Snapshot
from outlet_client.answers import AnswerStore
from outlet_client.contribute import HomeCustomers, Outlet
from outlet_client.errors import NotConfigured, OutletError, Unforeseen
from outlet_client.flower_node import client_app, join_night
from outlet_client.purchases import read_events, read_table
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import Kind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path

    from features.events import Vector

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Directory:
    """Tonight's directory, as far as it concerns this outlet.

    Attributes:
        digest: The same at every outlet tonight.
        slots: How many customers the network has.
        customers: This outlet's customers who have a slot.
        positions: int64[n], their slots.
        home: bool[n], whether this outlet is their home.
    """

    digest: str
    slots: int
    customers: pl.Series
    positions: pl.Series
    home: pl.Series

    @classmethod
    def read(cls, file: Path) -> Directory:
        """Reads a directory file.

        Raises:
            NotConfigured: If it is not there or malformed.
        """
        try:
            raw = json.loads(file.read_text())
            rows = pl.DataFrame(
                raw["customers"],
                schema={"customer": pl.String, "slot": pl.Int64, "home": pl.Boolean},
                orient="row",
            )
            return cls(
                str(raw["digest"]), int(raw["slots"]), rows["customer"], rows["slot"], rows["home"]
            )
        except FileNotFoundError as error:
            raise NotConfigured(f"{file}: no directory of customers yet") from error
        except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise NotConfigured(f"{file}: malformed; fetch tonight's directory again") from error


def prepare(home: Path, cut_off: str, outcome: str) -> Outlet:
    """Gets the outlet ready to answer: reads its ledger as of a cut-off.

    Args:
        home: The outlet's folder.
        cut_off: ISO 8601 date.
        outcome: What the scorecard predicts.

    Raises:
        FeatureError: If the ledger cannot be read, or no outlet can judge the outcome.
        NotConfigured: If a setting or the directory is missing.
    """
    settings, ring = OutletFile.read(home / "escapement.toml"), Keyring(home, Kind.OUTLET)
    identity, directory = ring.identity(), Directory.read(settings.directory)
    cut = CutOff.parse(cut_off)
    horizon_end = cut.date + dt.timedelta(days=settings.horizon_days)
    snapshot = Snapshot.take(read_events(settings.ledger), cut, horizon_end)
    events = event_features(snapshot)
    mine = directory.customers.filter(directory.home)
    y = _outcomes(settings, outcome, snapshot, mine)
    _LOG.info("ready as of %s: %d events, %d rows later", cut, len(events.keys), snapshot.left_out)
    return Outlet(
        identity.card.name,
        settings.floors,
        identity.signing,
        ring.peer(Kind.OFFICE).verify_key,
        AnswerStore(f"sqlite:///{home / 'outlet.db'}"),
        time.time,
        cut_off,
        outcome,
        HomeCustomers.of(events, mine, y),
        events,
        directory.slots,
        positions_of(events.keys["customer"], directory),
        directory.digest,
    )


def positions_of(
    customers: pl.Series, directory: Directory
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The slot of each event's customer, int64[events]; -1 where there is none."""
    places = positions(customers, directory.customers)
    slots = directory.positions.to_numpy()
    return np.where(places >= 0, slots[places] if len(slots) else -1, -1)


def nightly(home: Path) -> int:
    """Joins tonight's night, answers, and leaves.

    Args:
        home: The outlet's folder.

    Returns:
        How many questions were answered.

    Raises:
        OutletError: If the night cannot be joined, or ends badly; or what made this outlet refuse
            its first question, once the night is over.
        PrivacyError: If a key or card is missing.
    """
    settings, ring = OutletFile.read(home / "escapement.toml"), Keyring(home, Kind.OUTLET)
    identity = ring.identity()
    refusals: list[Exception] = []
    app = client_app(identity.card.name, lambda cut, outcome: prepare(home, cut, outcome), refusals)
    answered = join_night(
        app,
        identity,
        ring.peer(Kind.HQ),
        app_digest(),
        window=60 * settings.join_minutes,
        night=3600 * settings.night_hours,
    )
    for refusal in refusals[:1]:
        if isinstance(refusal, OutletError | PrivacyError | FeatureError):
            raise refusal
        raise Unforeseen(type(refusal).__name__) from None  # its text may hold a customer's data
    return answered


def _outcomes(
    settings: OutletFile, outcome: str, snapshot: Snapshot, customers: pl.Series
) -> Vector:
    """What this outlet's own ledger shows of its home customers; or what the sandbox hands it."""
    if settings.outcomes is None:
        return observe(Outcome.named(outcome), snapshot, customers, Thresholds())
    given = read_table(settings.outcomes).select("customer_id", pl.col("y").cast(pl.Float64))
    frame = customers.alias("customer_id").to_frame()
    y = frame.join(given, on="customer_id", how="left", maintain_order="left")["y"]
    if y.null_count():
        raise LedgerError(settings.outcomes.name, None, "y", "a home customer without an outcome")
    return y.to_numpy()
