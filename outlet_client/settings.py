"""The outlet's settings, `escapement.toml`: sources, floors, desk, mail."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from outlet_client.errors import NotConfigured
from outlet_client.sources.source import Source
from privacy.purposes import Purpose


class OutletSettings(BaseModel):
    """The floors that an outlet decides for itself. Unknown keys are refused.

    What each means stands in docs/settings.md. `most_epsilon` is above the office's promise: a
    night that fails uses this up and not the office's ledger, which is what holds the promise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_noise: float = Field(4.0, gt=0)
    least_quorum: int = Field(3, ge=2)
    most_epsilon: float = Field(6.0, gt=0)
    delta: float = Field(1e-6, gt=0, lt=1)
    days_off: int = Field(7, ge=0)
    noiseless: frozenset[Purpose] = frozenset()

    @field_validator("noiseless")
    @classmethod
    def _is_opened(cls, named: frozenset[Purpose]) -> frozenset[Purpose]:
        if Purpose.POINTS in named:
            raise ValueError("points are sealed and have no noise; take them out of the list")
        return named


class DeskSettings(BaseModel):
    """The staff's pages. Unknown keys are refused; paths are relative to the file.

    What each means stands in docs/settings.md.
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
    labels: Literal["neutral", "plain"] = "neutral"

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


_Address = Annotated[str, Field(max_length=254, pattern=r"^[\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+$")]

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""Where a mail server listens, by how the connection is secured."""


class MailSettings(BaseModel):
    """Whom to mail how a night went, and through which server. Unknown keys are refused.

    What each means stands in docs/settings.md; paths are relative to the file.
    """

    # No error repeats what was written: it may be somebody's address.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field(pattern=r"^[\w.-]+$")
    port: int | None = Field(None, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = Field(None, min_length=1)
    password_file: Path | None = None
    ca_file: Path | None = None
    sender: _Address
    to: tuple[_Address, ...] = Field(min_length=1)
    only_on_failure: bool = False

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        """Nothing crosses a network without TLS, and no password is asked of nobody."""
        if self.security == "none" and self.host not in {"127.0.0.1", "localhost"}:
            raise ValueError(
                'mail.security: "none" only for host 127.0.0.1 or localhost: text and password '
                'would travel in the clear; expected "starttls" or "tls"'
            )
        if (self.user is None) != (self.password_file is None):
            raise ValueError("mail: expected both user and password_file, or neither")
        return self

    @property
    def server_port(self) -> int:
        """On which port the server is asked."""
        return self.port or _PORTS[self.security]

    def at(self, folder: Path) -> Self:
        """The same with its paths in a folder."""
        names = ("password_file", "ca_file")
        placed = {name: folder / path for name in names if (path := getattr(self, name))}
        return self.model_copy(update=placed)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """Reads the section by itself, so that a mistake elsewhere in the file can be mailed.

        Returns:
            The settings; None where the file has no such section.

        Raises:
            NotConfigured: If there is no file, or it is not TOML, or the section is wrong.
        """
        try:
            section = tomllib.loads(file.read_text(encoding="utf-8")).get("mail")
            if section is None:
                return None
            return cls.model_validate(section).at(file.parent.resolve())
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise NotConfigured(f"{file}: mail: {error}") from error


_IN_FOLDER = (
    "ledger", "references", "rates", "sightings", "interests", "clients", "policy", "outcomes",
    "desk", "mail",
)  # fmt: skip
"""Settings with paths, which are relative to the file's folder."""


RETIRED = ("floors.least_event_noise",)
"""What `upgrade` takes out of the file."""

_RETIRED = "least_event_noise"
"""A floor of release 0.1 that says nothing now: whoever set it is to know that it is gone."""


def _refuse_retired(file: Path, text: str, settings: dict[str, Any]) -> None:
    if _RETIRED in settings.get("floors", {}):
        lines = (line.partition("#")[0] for line in text.splitlines())
        place = next(number for number, line in enumerate(lines, 1) if _RETIRED in line)
        raise NotConfigured(
            f"{file}, line {place}: {_RETIRED} is gone, since points are sealed and have no noise; "
            "delete that line"
        )


def _without_old_keys(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without what release 0.1 had and this one does not need."""
    return {key: value for key, value in settings.items() if key != "reread_days"}


class OutletFile(BaseModel):
    """escapement.toml. Unknown keys are refused; paths are relative to the file.

    What each setting means stands in docs/settings.md.
    """

    # No error repeats what was written: it may be a URL with a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ledger: Source
    references: Source | None = None
    rates: Source | None = None
    sightings: Source | None = None
    interests: Source | None = None
    clients: Source | None = None
    policy: Path | None = None
    region: str | None = Field(None, pattern="^[A-Z]{2}$")
    most_quarantined: float = Field(0.02, ge=0, le=1)
    keep_days: int = Field(1826, ge=1)
    request_days: int = Field(30, ge=1)
    contact: str = Field("", max_length=300)
    evaluations_a_night: int = Field(512, ge=1)
    evaluations_by_day: int = Field(64, ge=0)
    book_days: int = Field(30, ge=1)
    outcomes: Path | None = None
    horizon_days: int = Field(180, ge=1)
    join_minutes: float = Field(30.0, gt=0)
    night_hours: float = Field(4.0, gt=0)
    desk: DeskSettings = DeskSettings()
    mail: MailSettings | None = None
    floors: OutletSettings = OutletSettings()

    @classmethod
    def read(cls, file: Path) -> OutletFile:
        """Reads a TOML file.

        Raises:
            NotConfigured: If it is not there, not TOML, or has unknown, retired or wrong settings.
        """
        try:
            text = file.read_text(encoding="utf-8")
            settings = tomllib.loads(text)
            _refuse_retired(file, text, settings)
            found = cls(**_without_old_keys(settings))
        except FileNotFoundError as error:
            raise NotConfigured(
                f"{file}: no such file; `escapement-outlet init FILE-or-URL` makes one"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise NotConfigured(f"{file}: {error}") from error
        folder = file.parent.resolve()  # however it was named: paths are what was read before
        placed = {
            name: folder / value if isinstance(value, Path) else value.at(folder)
            for name in _IN_FOLDER
            if (value := getattr(found, name)) is not None
        }
        return found.model_copy(update=placed)
