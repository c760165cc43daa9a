"""Settings of a holder: how its file is read, and the section `[tokens]` that both have."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privacy.quotas import Quota
from server.holder.errors import HolderNotConfigured

if TYPE_CHECKING:
    from pathlib import Path

ADay = Annotated[int, Field(ge=0)]


class SettingsFile(BaseModel):
    """A holder's settings as one TOML file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Reads a TOML file; the defaults where there is none.

        Raises:
            HolderNotConfigured: If it is not TOML, or has unknown or wrong settings.
        """
        try:
            return cls(**tomllib.loads(file.read_text())) if file.exists() else cls()
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise HolderNotConfigured(f"{file}: {error}") from error


class TokenSettings(BaseModel):
    """What a holder gives of its share of the token key. Unknown keys are refused.

    Attributes:
        outlet_a_day: Evaluations a day (UTC) to one outlet, dummies included.
        network_a_day: To all outlets together.
        outlets: To an outlet by name instead, such as one with a large first load.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outlet_a_day: ADay = 640
    network_a_day: ADay = 100_000
    outlets: dict[str, ADay] = {}

    def quota(self) -> Quota:
        """The rule that every request is checked against."""
        return Quota(self.outlet_a_day, self.network_a_day, self.outlets)
