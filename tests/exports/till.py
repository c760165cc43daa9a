"""An outlet's folder over an export: `init` and `check` as people run them, and what is understood.

What is understood is what a night would keep: events come out of the store that its first step
writes, never out of a reader.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import typer
from typer.testing import CliRunner

from outlet_client.commands.check import check
from outlet_client.commands.consents import consent_app
from outlet_client.commands.init import init
from outlet_client.customer_access import open_people
from outlet_client.database import create_databases
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.ledger_reading import read_ledger
from outlet_client.people.identifiers import identifiers
from outlet_client.settings import OutletFile
from privacy.identity import PartyKind
from privacy.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from click.testing import Result

EXPORTS = Path(__file__).parent
AT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
OPEN_DOUBTS = 10
"""The exit code of `check` while a doubt is open."""

_APP = typer.Typer()
_APP.command()(init)
_APP.command()(check)
_APP.add_typer(consent_app, name="consent")
_SETTINGS = "escapement.toml"

Event = tuple[str, str, str | None, float]
"""Day, kind, reference and price."""


@dataclass
class Checked:
    """What `check` said."""

    report: dict[str, Any]
    run: Callable[[], Result]

    @property
    def code(self) -> int:
        return int(self.report["exit_code"])

    @cached_property
    def text(self) -> str:
        """What it prints for people, who must come to the same."""
        result = self.run()
        assert result.exit_code == self.code
        return result.output

    @property
    def doubts(self) -> dict[str, dict[str, Any]]:
        """Those that are open, by name."""
        return {one["name"]: one for one in self.report["doubts"] if not one["accepted"]}

    @property
    def accepted(self) -> set[str]:
        """Those that somebody looked at."""
        return {one["name"] for one in self.report["doubts"] if one["accepted"]}


class Refused(Exception):
    """`init` wrote no settings; the text is what it said."""


class Till:
    """An outlet's folder over one export."""

    def __init__(self, home: Path, export: str, *options: str) -> None:
        """Copies one of these exports into the folder, and runs `init` over it.

        Raises:
            Refused: If it wrote no settings.
        """
        home.mkdir(exist_ok=True)
        shutil.copy(EXPORTS / export, home / export)
        self.home, self.export, self.said = home, home / export, ""
        self._begin(*options)

    @classmethod
    def guessed(cls, home: Path, export: Path, *options: str) -> Till:
        """The same over a file that is in the folder."""
        till = cls.__new__(cls)
        till.home, till.export, till.said = home, export, ""
        till._begin(*options)
        return till

    @classmethod
    def over(cls, home: Path, export: Path, settings: Mapping[str, Any]) -> Till:
        """The same with these settings, without `init`."""
        till = cls.__new__(cls)
        till.home, till.export, till.said = home, export, ""
        till._write(settings)
        return till

    def _begin(self, *options: str) -> None:
        result = self._run("init", str(self.export), *options)
        self.said = result.output
        if not (self.home / _SETTINGS).exists():
            raise Refused(self.said)
        assert result.exit_code == 0
        self._write({**self._read(), "keep_days": 36500})  # to be read in ten years too

    def _run(self, *words: str) -> Result:
        arguments = [*words, "--home", str(self.home)]
        return CliRunner().invoke(_APP, arguments, catch_exceptions=False)

    def _read(self) -> dict[str, Any]:
        return tomllib.loads((self.home / _SETTINGS).read_text())

    def _write(self, settings: Mapping[str, Any]) -> None:
        (self.home / _SETTINGS).write_text("\n".join(_toml(settings, "")))

    def edit(self, *, without: Iterable[str] = (), **changes: Any) -> Till:
        """Edits the settings of the ledger as a person does in the file; tables are merged."""
        settings = self._read()
        ledger = settings["ledger"]
        for name in without:
            table, _, key = name.rpartition(".")
            (ledger.get(table, {}) if table else ledger).pop(key, None)
        for name, value in changes.items():
            if isinstance(value, dict) and isinstance(ledger.get(name), dict):
                ledger[name] = {**ledger[name], **value}
            else:
                ledger[name] = value
        self._write(settings)
        return self

    def settle(self, **changes: Any) -> Till:
        """Edits settings that are not of the ledger."""
        self._write({**self._read(), **changes})
        return self

    def settings(self) -> OutletFile:
        return OutletFile.read(self.home / _SETTINGS)

    def accepted_before(self) -> list[str]:
        """The doubts that the settings accept now."""
        return list(self.settings().ledger.accept)

    def check(self) -> Checked:
        """Runs `check`."""
        result = self._run("check", "--json")
        found = Checked(json.loads(result.output), lambda: self._run("check"))
        assert found.code == result.exit_code
        return found

    def sound(self, *accepted: str) -> Checked:
        """`check` must end with 0, with just these doubts, which somebody looked at."""
        self.edit(accept=sorted(accepted))
        found = self.check()
        assert (found.code, set(found.doubts)) == (0, set()), found.text
        assert found.accepted == set(accepted)
        return found

    def kept(self) -> pl.DataFrame:
        """The rows as the night's first step stores them."""
        EventStore(self.home).take_in(self.settings(), AT)
        return pl.read_parquet(self.home / "events" / "ledger.parquet")

    def events(self) -> dict[str, list[Event]]:
        """What is understood: each customer's events, in the order of days."""
        self.kept()
        rows = EventStore(self.home).rows()
        found: dict[str, list[Event]] = {}
        for one in rows.iter_rows(named=True):
            event = (f"{one['date']}", one["kind"], one["reference"], round(one["price"], 2))
            found.setdefault(one["customer"], []).append(event)
        return {customer: sorted(events, key=str) for customer, events in found.items()}

    def fates(self) -> Counter[str]:
        """How many rows have each fate, with the reason of those that are apart."""
        rows = self.kept().select(pl.col("fate").cast(pl.String), "apart")
        return Counter(reason or fate for fate, reason in rows.iter_rows())

    def identified(self) -> dict[str, set[str]]:
        """What each customer of the ledger can be recognised by, as a night reads it."""
        settings = self.settings()
        entries = read_ledger(settings, self.home, AT, noting=True).entries
        assert entries is not None
        found: dict[str, set[str]] = {}
        for one in entries.iter_rows(named=True):
            keys = identifiers(one.get("phone"), one.get("email"), settings.region)
            found.setdefault(one["customer_id"], set()).update(keys)
        return found

    def identifiers_listed(self) -> str:
        """Which rows have a phone or e-mail that is unusable or shared."""
        return self._run("check", "--identifiers").output

    def baskets(self) -> list[int]:
        """How many events each basket has."""
        self.kept()
        counts = EventStore(self.home).rows().group_by("customer", "basket").len()
        return sorted(counts["len"].to_list())

    def consents(self, file: str, *options: str) -> tuple[int, str]:
        """Runs `consent import` over an export: its exit code, and what it says."""
        shutil.copy(EXPORTS / file, self.home / file)
        result = self._run("consent", "import", str(self.home / file), *options)
        return result.exit_code, result.output

    def consented(self) -> pl.DataFrame:
        """The consents that were recorded."""
        with open_people(self.home) as (people, _):
            return people.consents()

    def with_keys(self) -> Till:
        """Gives the outlet keys, as `enrol` does."""
        Keyring(self.home, PartyKind.OUTLET).create("boutique", "", AT)
        create_databases(self.home)
        return self

    def stored(self) -> str:
        """Everything that the outlet wrote, Parquet in clear, but for the export itself."""
        written = [one for one in self.home.rglob("*") if one.is_file() and one != self.export]
        parquet = [pl.read_parquet(one) for one in written if one.suffix == ".parquet"]
        texts = [one.read_bytes().decode("latin-1") for one in written]
        return "\n".join([*texts, *(str(frame.to_dicts()) for frame in parquet)])


def alike(found: Mapping[str, list[Event]], truth: Mapping[str, list[Event]]) -> bool:
    """Whether both are the same customers' events, whatever the customers are called."""

    def groups(of: Mapping[str, list[Event]]) -> list[list[Event]]:
        return sorted((sorted(some, key=str) for some in of.values()), key=str)

    return groups(found) == groups(truth)


def truth(text: str) -> dict[str, list[Event]]:
    """Events as a test writes them: lines of customer, day, kind, reference and price."""
    found: dict[str, list[Event]] = {}
    for line in text.strip().splitlines():
        customer, day, kind, reference, price = line.split()
        event = (day, kind, None if reference == "-" else reference, float(price))
        found.setdefault(customer.replace("_", " "), []).append(event)
    return {customer: sorted(some, key=str) for customer, some in found.items()}


def counted(events: Mapping[str, list[Event]]) -> Counter[str]:
    """How many events of each kind there are."""
    return Counter(kind for some in events.values() for _, kind, _, _ in some)


NO_EXCUSE = ("mailbox-keys", "name-keys", "placeholders", "region", "shared-identifiers")
"""Doubts about who customers are; a wrong event beside one of them is as silent as alone."""


def never_silent(till: Till, right: Mapping[str, list[Event]]) -> Checked:
    """The law of every export: read rightly, or `check` says that somebody has to look."""
    before = till.accepted_before()
    found = till.edit(accept=[*before, *NO_EXCUSE]).check()
    if found.code == 0:
        assert alike(till.events(), right), (found.text, till.events())
    till.edit(accept=before)
    return found


def _toml(table: Mapping[str, Any], name: str) -> list[str]:
    """A table of settings as TOML; JSON's strings, numbers and lists are TOML's too."""
    plain = {key: one for key, one in table.items() if not isinstance(one, dict)}
    tables = {key: one for key, one in table.items() if isinstance(one, dict)}
    lines = [f"[{name}]"] if name else []
    lines += [f"{_text(key)} = {_text(one)}" for key, one in plain.items()]
    for key, one in tables.items():
        lines += _toml(one, f"{name}.{_text(key)}" if name else _text(key))
    return lines


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
