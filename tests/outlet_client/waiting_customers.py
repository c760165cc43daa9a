"""Customers who wait for a piece: as candidates of a ranking, and in an outlet's folder."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from features.ledger import Tier
from outlet_client.allocation.lottery import Terms, TieBreak
from outlet_client.allocation.ranking import Candidate, rank_candidates, read_policy
from outlet_client.customer_access import open_customer_access
from outlet_client.database import create_databases
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.main import app
from outlet_client.people.people_store import People
from outlet_client.records.customer_requests import NewRequest, RequestKind, receive
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from privacy.tokens import TokenShare, token
from tests.shelves import Press, band_codes, make_book, make_directory, shelve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.customer_access import CustomerAccess

NOW = dt.datetime.now(dt.UTC)
AS_OF = (NOW - dt.timedelta(days=1)).date().isoformat()
SEED, OTHER = "00112233445566778899aabbccddeeff", "f" * 32
POLICY = read_policy(None)
PHONES = {name: f"+65812346{i:02d}" for i, name in enumerate("abcdefgh")}
EMAIL = "e@example.com"
"""Of customer e, who has no usable phone."""
LOOK = ("lookup", "--purpose", "sale")
SETTINGS = """\
region = "SG"
ledger = "ledger.csv"
clients = "clients.csv"
references = "references.csv"
interests = "interests.csv"
"""


def day(number: int) -> dt.date:
    return dt.date(2026, 1, number)


def terms(pieces: int = 1, ties: TieBreak = TieBreak.WAITING, seed: str = SEED) -> Terms:
    return Terms("R1", Tier.ALLOCATION, pieces, ties, seed, drawn=True)


def names(candidates: list[Candidate], asked: Terms) -> str:
    return "".join(line.candidate.customer for line in rank_candidates(candidates, POLICY, asked))


BANDS = {
    "a": ("building", "low"),
    "b": ("eligible", "low"),
    "c": ("priority", "low"),
    "d": ("priority", "review"),
    "e": ("eligible", "low"),
    "f": ("new", "new"),
}


class Boutique:
    """An outlet's folder with customers a to i, as `enrol` and some nights leave it."""

    def __init__(self, place: Path) -> None:
        self.home = place / "outlet"
        self.bands = dict(BANDS)
        rings = {kind: Keyring(place / kind.value, kind) for kind in PartyKind}
        for kind, ring in rings.items():
            where = "" if kind is PartyKind.OUTLET else "127.0.0.1:9"
            ring.create(kind.value, where, NOW, service_address=where)
        create_databases(rings[PartyKind.OUTLET].folder)
        signing = [rings[kind].identity().signing for kind in (PartyKind.HQ, PartyKind.OFFICE)]
        self.press = Press(*signing)
        outlet = rings[PartyKind.OUTLET]
        for kind in (PartyKind.HQ, PartyKind.OFFICE):
            outlet.trust(rings[kind].identity().card, rings[kind].public_file.read_bytes())
        self.people = People.open(self.home, outlet.identity())
        self.tokens = {}
        share = TokenShare.generate()
        for name in self.bands:
            key = self.key(name)
            self.people.record_consent(key, "n", "mei", NOW)
            self.tokens[name] = token(self.who(name), share)
            self.people.keep_tokens({key: self.tokens[name]})
        self.people.record_consent(self.key("h"), "n", "mei", NOW)  # no token yet
        self.write("escapement.toml", SETTINGS)
        self.write("references.csv", "reference,tier\nR1,allocation\nR2,limited\nR3,open\n")
        rows = [f"{name},{phone},\n" for name, phone in PHONES.items() if name != "e"]
        rows.append(f"e,12,{EMAIL}\n")
        self.write("clients.csv", "customer_id,phone,email\n" + "".join(rows))
        self.wait("abcdefghi")

    def who(self, name: str) -> str:
        return f"mailto:{EMAIL}" if name == "e" else f"tel:{PHONES[name]}"

    def key(self, name: str) -> str:
        return self.people.local_key(self.who(name))

    def write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)

    def wait(self, customers: str, reference: str = "R1") -> None:
        rows = [f"{name},{reference},2026-01-{i:02d}\n" for i, name in enumerate(customers, 1)]
        self.write("interests.csv", "customer_id,reference,since\n" + "".join(rows))

    def book(self, days_old: int = 0, at_many: str = "") -> None:
        """Stores a signed book of everybody's bands, and the directory that it is read in.

        Some may be known at too many outlets.
        """
        made_at = NOW - dt.timedelta(days=days_old, hours=1)
        directory = make_directory(self.tokens.values())
        book = make_book(
            band_codes(self.bands.values()),
            directory,
            marked=[slot for slot, name in enumerate(self.bands) if name in at_many],
            as_of=AS_OF,
            made_at=made_at.timestamp(),
            version=7,
        )
        shelve(self.home, book, directory, self.press, made_at)

    def run(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--home", str(self.home)])
        assert not any(one in done.output for one in (*PHONES.values(), EMAIL))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, " ".join(done.output.split())

    def allocate(self, *words: str, reference: str = "R1", pieces: int = 2) -> dict[str, Any]:
        asked = ("allocate", "--reference", reference, "--pieces", str(pieces), "--json")
        code, said = self.run(*asked, *words)
        assert code == 0, said
        found: dict[str, Any] = json.loads(said)
        return found

    def shown(self, number: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("allocation", "show", str(number), "--json")[1])
        return found

    def rows(self) -> list[str]:
        """Everything that the database holds, but decisions."""
        with closing(sqlite3.connect(self.home / "outlet.db")) as connection:
            return [one for one in connection.iterdump() if '"allocation_decisions"' not in one]


@pytest.fixture
def boutique(tmp_path: Path) -> Boutique:
    made = Boutique(tmp_path)
    made.book()
    return made


def order_of(proposal: dict[str, Any]) -> str:
    return "".join(line["customer"] for line in proposal["lines"])


def proposed(proposal: dict[str, Any]) -> str:
    return "".join(line["customer"] for line in proposal["lines"] if line["proposed"])


@pytest.fixture
def desk(boutique: Boutique) -> Iterator[CustomerAccess]:
    with open_customer_access(boutique.home) as opened:
        yield opened


def allowed(boutique: Boutique, name: str, reference: str = "R1") -> tuple[str, str]:
    """The decision on one customer, and the tier, as `lookup --reference` has them."""
    who = ("--email", EMAIL) if name == "e" else ("--phone", PHONES[name])
    code, said = boutique.run(*LOOK, *who, "--reference", reference, "--json")
    assert code == 0, said
    found = json.loads(said)["allocation"]
    assert found["reference"] == reference
    assert found["say"]
    return found["decision"], found["tier"]


def disputed(boutique: Boutique, name: str) -> int:
    with rights_of(boutique.home) as connection:
        taking = NewRequest(NOW.date(), 30, "mei", "no")
        return receive(connection, RequestKind.DISPUTE, boutique.key(name), taking)
