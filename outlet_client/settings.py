"""An outlet's own floors: what it refuses to answer, whatever HQ and the office agree on."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from outlet_client.errors import NotConfigured
from privacy.units import Purpose


class OutletSettings(BaseModel):
    """What the outlet decides for itself. Unknown keys are refused.

    Attributes:
        least_noise: The least noise scale / clipping norm of each server, for customer sums.
        least_event_noise: The same for points releases, whose unit is one event.
        least_quorum: The fewest outlets in a sum that it will be part of.
        most_epsilon: The most that the customer sums it answered in a rolling year may cost,
            unlocked or not. Above the office's promise, because a night that fails uses this up
            and not the office's ledger; the ledger is what holds the promise.
        delta: The failure probability that goes with it.
        noiseless: Purposes whose plans are answered without noise. **For the sandbox only.**
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_noise: float = Field(4.0, gt=0)
    least_event_noise: float = Field(0.25, gt=0)
    least_quorum: int = Field(3, ge=2)
    most_epsilon: float = Field(6.0, gt=0)
    delta: float = Field(1e-6, gt=0, lt=1)
    noiseless: frozenset[Purpose] = frozenset()


_FILES = ("ledger", "references", "sightings", "interests", "policy", "clients", "outcomes")


class OutletFile(BaseModel):
    """escapement.toml. Unknown keys are refused; paths are relative to the file.

    Attributes:
        ledger: The ledger, Parquet or CSV.
        references: The tier of each reference, Parquet or CSV with reference and tier; None where
            references have none.
        sightings: Resale sightings, Parquet or CSV with serial, seen_at and status; None where
            none are kept.
        interests: The waitlist, Parquet or CSV with customer_id, reference and since; None where
            it is the ledger's rows of kind interest.
        policy: The allocation policy, TOML; the one that comes with the program where None.
        clients: The client book, Parquet or CSV with customer_id, phone and email; None where the
            ledger holds phone and email itself.
        region: For phones without a country, such as "SG" or "US".
        evaluations_a_night: How many tokens are asked for, dummies included: the same number
            every night, so that it tells nothing.
        book_days: A band book made longer ago is not shown.
        outcomes: For the sandbox: a CSV of customer_id and y instead of the ledger's own outcomes.
        horizon_days: How long after the cut-off an outcome is watched.
        join_minutes: How long to keep trying to join a night.
        night_hours: After how long an endless night is left.
        floors: What this outlet refuses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ledger: Path
    references: Path | None = None
    sightings: Path | None = None
    interests: Path | None = None
    policy: Path | None = None
    clients: Path | None = None
    region: str = Field("SG", pattern="^[A-Z]{2}$")
    evaluations_a_night: int = Field(512, ge=1)
    book_days: int = Field(30, ge=1)
    outcomes: Path | None = None
    horizon_days: int = Field(180, ge=1)
    join_minutes: float = Field(30.0, gt=0)
    night_hours: float = Field(4.0, gt=0)
    floors: OutletSettings = OutletSettings()

    @classmethod
    def read(cls, file: Path) -> OutletFile:
        """Reads a TOML file.

        Raises:
            NotConfigured: If it is not there, not TOML, or has unknown or wrong settings.
        """
        try:
            found = cls(**tomllib.loads(file.read_text()))
        except FileNotFoundError as error:
            raise NotConfigured(
                f"{file}: no such file; `escapement-outlet enrol` makes one"
            ) from error
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise NotConfigured(f"{file}: {error}") from error
        return found.model_copy(
            update={
                name: None if value is None else file.parent / value
                for name in _FILES
                for value in [getattr(found, name)]
            }
        )
