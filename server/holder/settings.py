"""Settings of a holder: how its file is read, and the section `[tokens]` that both have."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privacy.quotas import Quota
from server.holder.errors import HolderNotConfigured

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

ADay = Annotated[int, Field(ge=0)]


class SettingsFile(BaseModel):
    """A holder's settings as one TOML file. Unknown keys are refused.

    Attributes:
        retired: Keys of earlier releases that mean nothing any more, behind their sections' names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    retired: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def read(cls, file: Path) -> Self:
        """Reads a TOML file; the defaults where there is none.

        Raises:
            HolderNotConfigured: If it is not TOML, or has unknown, retired or wrong settings.
        """
        try:
            text = file.read_text() if file.exists() else ""
            found = tomllib.loads(text)
            _refuse_retired(file, text, found, cls.retired)
            return cls(**found)
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise HolderNotConfigured(f"{file}: {error}") from error


def _refuse_retired(
    file: Path, text: str, found: Mapping[str, object], retired: Collection[str]
) -> None:
    """Refuses a file that has a retired key, and names the line that has to go."""
    for name in sorted(retired):
        *sections, key = name.split(".")
        within: object = found
        for section in sections:
            within = within.get(section) if isinstance(within, dict) else None
        if isinstance(within, dict) and key in within:
            lines = enumerate(text.splitlines(), start=1)
            place = next((f", line {n}" for n, line in lines if re.match(rf"\s*{key}\b", line)), "")
            raise HolderNotConfigured(
                f"{file}{place}: `{key}` of {'.'.join(sections)} means nothing any more; delete "
                "the line"
            )


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
