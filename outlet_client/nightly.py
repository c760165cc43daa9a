"""The outlet's night, top to bottom: introduce customers, join, answer, fetch the book, leave."""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.errors import FeatureError, LedgerError
from features.events import event_features
from features.outcomes import Outcome, Thresholds, observe
from features.protocol import app_digest
from features.snapshot import CutOff, Snapshot
from outlet_client.answers import AnswerStore
from outlet_client.bookshelf import fetch_book
from outlet_client.contribute import HomeCustomers, Outlet, SlotEvents
from outlet_client.errors import OutletError, Unforeseen
from outlet_client.flower_node import client_app, join_night
from outlet_client.introduce import client_book, introduce
from outlet_client.people import People
from outlet_client.purchases import read_events, read_table
from outlet_client.services import HQ, OFFICE, Services
from outlet_client.settings import OutletFile
from privacy.errors import PrivacyError
from privacy.identity import Kind
from privacy.keyring import Keyring
from privacy.tokens import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from features.events import Vector
    from privacy.directory import Directory

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Nightly:
    """One outlet's night.

    Attributes:
        home: The outlet's folder.
        people: Whom the network knows of this outlet's customers.
        services: HQ and the privacy office by day.
        refusals: What the outlet's operator must hear of, once the night is over.
        directory: Tonight's, once roll call named it.
    """

    home: Path
    people: People
    services: Services
    refusals: list[Exception]
    directory: Directory | None = None

    def introduce(self) -> None:
        """Asks for tokens and hands in registrations; a night goes on without where that fails."""
        settings, ring = OutletFile.read(self.home / "escapement.toml"), self._ring
        try:
            for which in (HQ, OFFICE):  # either may be starting
                self.services.reach(which)
            done = introduce(
                self.people,
                self.services,
                client_book(settings, self.people).identifiers,
                settings,
                ring.peer(Kind.HQ),
                ring.token_key(),
            )
        except TokenRefused as refused:
            _LOG.error("no new customers: %s", refused)
            self.refusals.append(refused)
            return
        except (OutletError, PrivacyError, FeatureError) as error:
            _LOG.warning("new customers wait for tomorrow: %s", error)
            return
        if done.quota is not None:
            _LOG.warning("no new tokens tonight: %s", done.quota)
        _LOG.info(
            "introduced: %d new tokens, %d registrations, %d withdrawals, %d wait",
            done.evaluated, done.registered, done.withdrawn, done.waiting,
        )  # fmt: skip

    def prepare(self, tonight: Mapping[str, str]) -> Outlet:
        """Gets the outlet ready to answer: fetches tonight's directory and reads the ledger.

        Args:
            tonight: What roll call says: `cut_off`, `as_of`, `outcomes` and `directory`.

        Raises:
            FeatureError: If the ledger cannot be read, or no outlet can judge an outcome.
            OutletError: If a setting is missing, or the directory is not the one named.
            PrivacyError: If the directory is malformed or a key is missing.
        """
        settings, ring = OutletFile.read(self.home / "escapement.toml"), self._ring
        identity = ring.identity()
        directory = self.services.directory(tonight["directory"])
        self.people.follow(directory)
        self.directory = directory
        listed = self._listed(settings, directory)
        read = read_events(settings)
        for why, count in read.counts().items():
            if count:
                _LOG.warning("sightings kept apart, %s: %d", why, count)
        if read.shared:
            _LOG.warning(
                "sightings of a piece that two bought and none brought back: %d", read.shared
            )
        events = _by_slot(read.events, listed)
        cut, as_of = CutOff.parse(tonight["cut_off"]), CutOff.parse(tonight["as_of"])
        horizon_end = cut.date + dt.timedelta(days=settings.horizon_days)
        snapshot = Snapshot.take(events, cut, horizon_end)
        views = {str(day): _view(Snapshot.take(events, day, day.date)) for day in {cut, as_of}}
        _LOG.info("ready as of %s: %d events", as_of, len(views[str(as_of)].slots))
        return Outlet(
            identity.card.name,
            settings.floors,
            identity.signing,
            ring.peer(Kind.OFFICE).verify_key,
            AnswerStore(f"sqlite:///{self.home / 'outlet.db'}"),
            time.time,
            str(cut),
            self._home_customers(settings, tonight["outcomes"].split(","), snapshot, listed),
            views,
            directory.slots,
            directory.digest,
        )

    def fetch_book(self) -> None:
        """Fetches the latest band book; the last good one stays where there is none to use."""
        if self.directory is None:
            return
        settings, hq = OutletFile.read(self.home / "escapement.toml"), self._ring.peer(Kind.HQ)
        at = dt.datetime.now(dt.UTC)
        try:
            new = fetch_book(
                self.home, self.services, self.directory, hq.verify_key, at, settings.book_days
            )
        except (OutletError, PrivacyError) as error:
            _LOG.warning("no new band book: %s", error)
        else:
            _LOG.info("band book: %s", "a new one" if new else "none newer")

    def _listed(self, settings: OutletFile, directory: Directory) -> pl.DataFrame:
        """Customers with a standing consent and a slot: customer, slot, home and key."""
        book = client_book(settings, self.people)
        return book.customers.join(self.people.listed(directory), on="key", how="inner").sort(
            "slot", "customer"
        )

    def _home_customers(
        self,
        settings: OutletFile,
        outcomes: list[str],
        snapshot: Snapshot,
        listed: pl.DataFrame,
    ) -> HomeCustomers:
        """The customers whose home is here, one a slot, with their outcomes and book keys."""
        # Who withdrew while the ledger was read has no key any more, and no row.
        keys = {} if self.directory is None else self.people.home_keys(self.directory)
        at_home = listed.filter(pl.col("home") & pl.col("slot").is_in(list(keys)))
        if settings.outcomes is not None:
            given = _given(settings.outcomes, outcomes, at_home)
            at_home = at_home.join(given.select("slot"), on="slot", how="semi")
        else:
            given = pl.DataFrame()
        slots = at_home["slot"].unique().sort()
        customers = slots.cast(pl.String)
        y: dict[str, Vector] = {}
        for outcome in outcomes:
            if settings.outcomes is None:
                y[outcome] = observe(Outcome.named(outcome), snapshot, customers, Thresholds())
            else:
                y[outcome] = given.sort("slot")[outcome].to_numpy()
        places = slots.to_numpy()
        return HomeCustomers.of(
            event_features(snapshot), customers, y, places, [keys[slot] for slot in places.tolist()]
        )

    @property
    def _ring(self) -> Keyring:
        return Keyring(self.home, Kind.OUTLET)


def nightly(home: Path) -> int:
    """Introduces new customers, joins tonight's night, answers, fetches the book, and leaves.

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
    identity, hq, office = ring.identity(), ring.peer(Kind.HQ), ring.peer(Kind.OFFICE)
    refusals: list[Exception] = []
    people, services = People.open(home, identity), Services.connect(identity, hq, office)
    night = Nightly(home, people, services, refusals)
    try:
        night.introduce()
        answered = join_night(
            client_app(identity.card.name, night.prepare, refusals),
            identity,
            hq,
            app_digest(),
            window=60 * settings.join_minutes,
            night=3600 * settings.night_hours,
        )
        night.fetch_book()
    finally:
        night.services.close()
        night.people.close()
    for refusal in refusals[:1]:
        if isinstance(refusal, OutletError | PrivacyError | FeatureError):
            raise refusal
        raise Unforeseen(type(refusal).__name__) from None  # its text may hold a customer's data
    return answered


def _by_slot(events: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Events of listed customers only, under their slot: one person is one customer from here."""
    slots = listed.select("customer", pl.col("slot").cast(pl.String))
    joined = events.join(slots, on="customer", how="inner", maintain_order="left")
    return joined.with_columns(customer=pl.col("slot")).drop("slot")


def _view(snapshot: Snapshot) -> SlotEvents:
    events = event_features(snapshot)
    return SlotEvents(events, events.keys["customer"].cast(pl.Int64).to_numpy().astype(np.int64))


def _given(path: Path, outcomes: list[str], at_home: pl.DataFrame) -> pl.DataFrame:
    """Outcomes that the sandbox hands over, one row a slot; who is in no row trains nothing."""
    table = read_table(path)
    for name in ("customer_id", *outcomes):
        if name not in table.columns:
            raise LedgerError(path.name, None, name, "missing")
    given = table.select(
        pl.col("customer_id").cast(pl.String).alias("customer"),
        *(pl.col(name).cast(pl.Float64) for name in outcomes),
    )
    joined = at_home.select("customer", "slot").join(given, on="customer", how="inner")
    return joined.unique("slot", keep="first", maintain_order=True).drop("customer")
