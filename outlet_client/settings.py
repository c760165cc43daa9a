"""An outlet's own floors: what it refuses to answer, whatever HQ and the office agree on."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from outlet_client.errors import NotConfigured
from outlet_client.sources.source import Source
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


_SOURCES = ("ledger", "references", "sightings", "interests", "clients")
_FILES = ("policy", "outcomes")


class OutletFile(BaseModel):
    """escapement.toml. Unknown keys are refused; paths are relative to the file.

    Attributes:
        ledger: The ledger.
        references: The tier of each reference: reference and tier; None where references have
            none.
        sightings: Resale sightings: serial, seen_at and status; None where none are kept.
        interests: The waitlist: customer_id, reference and since; None where it is the ledger's
            rows of kind interest.
        clients: The client book: customer_id, phone and email; None where the ledger holds phone
            and email itself.
        policy: The allocation policy, TOML; the one that comes with the program where None.
        region: For phones without a country, such as "SG" or "US".
        most_quarantined: The largest share of the ledger's rows that may be in quarantine; with
            more, the night refuses to start.
        keep_days: Events older than this leave the features and are purged here.
        reread_days: A database that is read by `changed` is read whole after so many days, since
            rows that were deleted are not noticed otherwise.
        request_days: Within how many days a customer's request is to be answered.
        evaluations_a_night: How many tokens are asked for, dummies included: the same number
            every night, so that it tells nothing.
        book_days: A band book made longer ago is not shown.
        outcomes: For the sandbox: a CSV of customer_id and y instead of the ledger's own outcomes.
        horizon_days: How long after the cut-off an outcome is watched.
        join_minutes: How long to keep trying to join a night.
        night_hours: After how long an endless night is left.
        floors: What this outlet refuses.
    """

    # No error repeats what was written: it may be a URL with a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ledger: Source
    references: Source | None = None
    sightings: Source | None = None
    interests: Source | None = None
    clients: Source | None = None
    policy: Path | None = None
    region: str = Field("SG", pattern="^[A-Z]{2}$")
    most_quarantined: float = Field(0.02, ge=0, le=1)
    keep_days: int = Field(1826, ge=1)
    reread_days: int = Field(7, ge=1)
    request_days: int = Field(30, ge=1)
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
            found = cls(**tomllib.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise NotConfigured(
                f"{file}: no such file; `escapement-outlet init FILE-or-URL` makes one"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise NotConfigured(f"{file}: {error}") from error
        folder = file.parent.resolve()  # however it was named: paths are what was read before
        placed: dict[str, object] = {
            name: None if value is None else value.at(folder)
            for name in _SOURCES
            for value in [getattr(found, name)]
        }
        placed |= {
            name: None if value is None else folder / value
            for name in _FILES
            for value in [getattr(found, name)]
        }
        return found.model_copy(update=placed)
