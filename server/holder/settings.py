"""Settings of a holder: how its file is read, and the section `[tokens]` that both have."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Annotated, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privacy.quotas import Quota
from server.holder.errors import HolderNotConfigured

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

ADay = Annotated[int, Field(ge=0)]


class SettingsFile(BaseModel):
    """A holder's settings as one TOML file. Unknown keys are refused.

    Attributes:
        retired: Keys of earlier releases that mean nothing any more, behind their sections' names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    retired: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def read(cls, file: Path) -> Self:
        """Reads a TOML file; the defaults where there is none.

        Raises:
            HolderNotConfigured: If it is not TOML, or has unknown, retired or wrong settings. It
                names the file, each key, what it got and what it expected.
        """
        try:
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            found = tomllib.loads(text)
            _refuse_retired(file, text, found, cls.retired)
            return cls(**found)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise HolderNotConfigured(f"{file}: {error}; expected TOML") from error
        except ValidationError as error:
            wrong = "; ".join(_explained(cls, one) for one in error.errors(include_url=False))
            raise HolderNotConfigured(f"{file}: {wrong}") from error


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


def _explained(model: type[BaseModel], error: ErrorDetails) -> str:
    """One wrong setting: its key, what it got, what was expected."""
    where, said = ".".join(str(part) for part in error["loc"]), error["msg"]
    if error["type"] == "extra_forbidden":
        names = _names(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), names, n=1)
        return f"{where}: got an unknown key, expected " + (
            f"perhaps {near[0]}" if near else f"one of {', '.join(names)}"
        )
    said = said.removeprefix("Value error, ")
    if error["type"] == "value_error":  # a rule of ours, which says both by itself
        return f"{where}: {said}" if where else said
    said = said.removeprefix("Input should be ")
    got = repr(error["input"])
    if error["loc"][:1] == ("database",):  # it may hold a password
        got = f"a value of type {type(error['input']).__name__}"
    return f"{where}: got {got:.60}, expected {said[:1].lower()}{said[1:]}"


def _names(model: type[BaseModel], sections: Sequence[int | str]) -> list[str]:
    """The keys that a section may have."""
    for section in sections:
        field = model.model_fields.get(str(section))
        kind = None if field is None else field.annotation
        found = [one for one in (kind, *get_args(kind)) if isinstance(one, type)]
        inner = [one for one in found if issubclass(one, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return sorted(model.model_fields)


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


class HolderSettings(SettingsFile):
    """What both holders' files have.

    Attributes:
        database: URL of a PostgreSQL database; a SQLite file of the folder where empty.
        tokens: What a holder gives of its share of the token key.
    """

    database: str = ""
    tokens: TokenSettings = TokenSettings()

    @staticmethod
    def database_of(file: Path) -> str:
        """The setting `database` alone, of a file whose other settings may be of another release.

        Raises:
            HolderNotConfigured: If it is no TOML, or that setting is no text.
        """
        try:
            found = tomllib.loads(file.read_text()).get("database", "") if file.exists() else ""
        except tomllib.TOMLDecodeError as error:
            raise HolderNotConfigured(f"{file}: {error}") from error
        if not isinstance(found, str):
            raise HolderNotConfigured(f"{file}: database: expected a URL in quotes")
        return found
