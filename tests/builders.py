"""Small real parts that tests build networks from: keys, plans, an office in memory."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from outlet_client.database import create_databases
from privacy.directory import Directory
from privacy.envelopes import SigningKey, VerifyKey
from privacy.loss import Rho
from privacy.noise import scale_for
from privacy.plans import PlannedReleases, ReleaseDraft, ReleasePlan, Signed
from privacy.purposes import Purpose
from privacy.two_key_sum import Contribution, MaskedShare, mask_share
from server.holder.database import MEMORY, StoreSchema, closing_engine, create_store, is_missing
from server.office.ledger_store import OfficeStore
from server.office.settings import OfficeSettings
from server.office.tables import OFFICE, RELEASES
from server.office.unlock import Office
from server.office.vault import KEY_FILE, Vault

SCALE = 2**16
CUT_OFF = "2026-07-19"
"""So long before the day of a clock that was not moved as an office's horizon is."""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    at: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


def vault_beside(url: str) -> Vault:
    """An office's vault, its key beside its store; in memory where the store is."""
    file = url.removeprefix("sqlite:///")
    return Vault() if file == url else Vault(Path(file).parent / KEY_FILE)


def store_at(url: str, schema: StoreSchema) -> str:
    """The same URL, once there is a store; one in memory makes itself."""
    if url != MEMORY and is_missing(url, schema):
        create_store(url, schema)
    return url


def outlet_at(home: Path) -> str:
    """The URL of `outlet.db` in an outlet's folder, once its databases are there."""
    home.mkdir(parents=True, exist_ok=True)
    create_databases(home)
    return f"sqlite:///{home / 'outlet.db'}"


def wrapped_key(url: str, release: str) -> bytes:
    """A release's one-time key as it is stored."""
    with closing_engine(url, OFFICE) as engine, engine.begin() as connection:
        query = sa.select(RELEASES.c.key).where(RELEASES.c.release == release)
        return bytes(connection.execute(query).scalar_one())


@dataclass
class Bench:
    """An office in memory, its outlets' keys, and one night signed."""

    names: tuple[str, ...] = ("a", "b", "c", "d")
    settings: OfficeSettings = field(default_factory=OfficeSettings)
    url: str = "sqlite://"
    clock: Clock = field(default_factory=Clock)
    rho: Rho | None = field(default_factory=lambda: Rho(1, 1000))
    count: int = 3
    purpose: Purpose = Purpose.MOMENTS
    directory: str = "d"

    def __post_init__(self) -> None:
        self.keys = {name: SigningKey.generate() for name in self.names}
        self.office_key = SigningKey.generate()
        self.store = OfficeStore(store_at(self.url, OFFICE), self.settings.policy())
        self.listed, self.vault = Directory.empty(), vault_beside(self.url)
        self.office = self.office_of()

    def office_of(self) -> Office:
        """The office with its list as it is now."""
        return Office(
            self.settings,
            self.store,
            self.office_key,
            self.public_keys,
            self.clock,
            lambda: self.directory,
            lambda: self.listed,
            self.vault,
        )

    @property
    def public_keys(self) -> dict[str, VerifyKey]:
        return {name: key.public for name, key in self.keys.items()}

    @property
    def today(self) -> str:
        """The office's day, ISO 8601."""
        return self.day(0)

    @property
    def cut_off(self) -> str:
        """The cut-off that the office expects today, ISO 8601."""
        return self.day(-self.settings.horizon_days)

    def day(self, days: int) -> str:
        """A day so many after the office's own, ISO 8601."""
        today = dt.datetime.fromtimestamp(self.clock.at, dt.UTC).date()
        return (today + dt.timedelta(days)).isoformat()

    def night(self, name: str = "night-1") -> Signed:
        lines = (PlannedReleases(self.purpose, self.count, self.rho),)
        return self.office.sign_night(name, self.cut_off, lines)

    def draft(self, plan: Signed, release: str = "r1", **changes: object) -> ReleaseDraft:
        values: dict[str, object] = {
            "release": release,
            "night": plan.digest,
            "parent": "",
            "purpose": self.purpose,
            "dimension": 4,
            "ring_bits": 64,
            "scale": SCALE,
            "norm": SCALE,
            "outlet_bound": SCALE * 1000,
            "noise_scale": 0 if self.rho is None else scale_for(self.rho, SCALE),
            "quorum": 3,
            "scorecard": "s",
            "directory": self.directory,
            "as_of": self.cut_off,
            "attachment": "",
        }
        return ReleaseDraft(**{**values, **changes})  # type: ignore[arg-type]

    def share(self, signed: Signed, name: str, rows: np.ndarray | None = None) -> MaskedShare:
        plan = ReleasePlan.decode(signed.payload)
        contribution = Contribution(np.full((2, plan.dimension), 0.25) if rows is None else rows)
        return mask_share(contribution, plan, signed.digest, name, self.keys[name])
