"""What an outlet decides for itself: `escapement.toml`, with its floors and its desk."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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


class DeskSettings(BaseModel):
    """The staff's pages. Unknown keys are refused; paths are relative to the file.

    Attributes:
        listen: host:port. Without a certificate the host has to be 127.0.0.1.
        hosts: With a certificate: the names under which browsers know the desk, with a port where
            it is not 443, such as "desk.shop.example:8480"; `listen` where empty. A request for
            another name is refused.
        certificate: TLS certificate with its chain, PEM,
        key: and its private key, PEM.
        idle_minutes: A session ends after so long without use,
        session_hours: and after so long at all.
        lookups_a_day: How many customers one person may look up a day.
        opens: Look-ups before this time of day, by this machine's clock,
        closes: and from this on are shown to the privacy officer.
        undertaking: What staff undertake before they look anybody up; its first line is its
            version. The program's own where None.
        notice: What a customer agrees to at the desk; likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field("127.0.0.1:8480", pattern=r"^[^:\s]+:\d{1,5}$")
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    idle_minutes: float = Field(15.0, gt=0)
    session_hours: float = Field(9.0, gt=0)
    lookups_a_day: int = Field(60, ge=1)
    opens: dt.time = dt.time(7)
    closes: dt.time = dt.time(22)
    undertaking: Path | None = None
    notice: Path | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        """Nobody signs in over a network without TLS."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("desk: expected both certificate and key, or neither")
        if self.certificate is None and self.host != "127.0.0.1":
            raise ValueError(
                "desk.listen: without certificate and key expected 127.0.0.1: passwords and bands "
                "would travel in the clear"
            )
        if self.opens >= self.closes:
            raise ValueError("desk: expected opens before closes")
        return self

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """On which port."""
        return int(self.listen.rpartition(":")[2])

    @property
    def origins(self) -> tuple[str, ...]:
        """The addresses under which browsers know the desk, the first for passkeys."""
        if self.certificate is not None:
            return tuple(f"https://{one.lower()}" for one in self.hosts or (self.listen,))
        local = (f"localhost:{self.port}", f"127.0.0.1:{self.port}")
        return tuple(f"http://{one}" for one in local)

    def at(self, folder: Path) -> Self:
        """The same with its paths in a folder."""
        names = ("certificate", "key", "undertaking", "notice")
        placed = {name: folder / path for name in names if (path := getattr(self, name))}
        return self.model_copy(update=placed)


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
        desk: The staff's pages.
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
    desk: DeskSettings = DeskSettings()
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
        placed["desk"] = found.desk.at(folder)
        return found.model_copy(update=placed)
