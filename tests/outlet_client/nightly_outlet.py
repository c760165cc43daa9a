"""One outlet of a fake network, ready for a night: its ledger, its client book, its people."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from features.errors import FeatureError
from features.events import DIMENSION, RATE_BOUNDS
from features.outcomes import Outcome
from features.scorecard import Scorecard, encode_scorecards
from outlet_client.database import create_databases
from outlet_client.errors import (
    OutletError,
)
from outlet_client.night import night_run
from outlet_client.night.night_run import Nightly
from outlet_client.people.consents import Consent
from outlet_client.people.people_store import People
from outlet_client.people.person_states import keys_as_array
from privacy.identity import Card, Identity, PartyKind
from privacy.keyring import Keyring
from privacy.plans import ReleasePlan
from tests.outlet_client.fake_network import Holder, serve_network, stop_servers
from tests.outlet_client.questions import UNLOCK, question

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from outlet_client.contribution.contributions import Outlet
    from outlet_client.people.directory_files import PublishedDirectory
    from outlet_client.services import Services
    from privacy.directory import Directory
    from privacy.purposes import Purpose
    from privacy.seal_plans import SealPlan
    from tests.outlet_client.fake_network import FakeNetwork, Notaries

CUT_OFF, AS_OF, HORIZON = "2026-01-31", "2026-02-28", 60


ASKED = dt.datetime(2026, 4, 1, 2, tzinfo=dt.UTC)
"""When questions are answered: the horizon after the cut-off."""

LOYAL, LAPSED = Outcome.LOYAL.value, Outcome.LAPSED.value


SECRET = "+65 8123 4501"  # noqa: S105  (a made-up phone)


CONSENTED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

# customer, phone, email
BOOK = [
    ("anna", "+65 8123 4501", None),
    ("ben", "8123 4502", None),
    ("ben-again", "+6581234502", "ben@example.com"),
    ("away", None, "away@example.com"),
    ("quiet", "+6581234504", None),
    ("gone", "+6581234505", None),
    ("late", "+6581234506", None),
    ("nameless", None, None),
]


IDENTIFIERS = {
    "anna": "tel:+6581234501",
    "ben": "tel:+6581234502",
    "away": "mailto:away@example.com",
    "gone": "tel:+6581234505",
    "late": "tel:+6581234506",
}


# customer, day, price, basket
EVENTS = [
    ("anna", "2026-01-05", 120.0, "b1"),
    ("anna", "2026-02-10", 80.0, "b2"),
    ("anna", "2026-03-10", 500.0, "b3"),
    ("ben", "2025-11-05", 40.0, "b4"),
    ("ben-again", "2026-01-20", 70.0, "b5"),
    ("ben-again", "2026-01-21", 75.0, "b6"),
    ("away", "2025-12-24", 900.0, "b7"),
]


UNSPOKEN = [
    ("quiet", "2026-01-06", 9e4, "b8"),
    ("quiet", "2026-02-06", 9e4, "b9"),
    ("gone", "2026-01-07", 8e4, "b10"),
    ("gone", "2026-02-07", 8e4, "b11"),
    ("late", "2026-01-08", 7e4, "b12"),
    ("nameless", "2026-01-09", 6e4, "b13"),
    ("not in the client book", "2026-01-10", 5e4, "b14"),
]


@dataclass
class OneOutlet:
    """An outlet's folder, and HQ and an office that it reaches over TLS."""

    network: FakeNetwork
    home: Path
    people: People
    night: Nightly
    published: PublishedDirectory
    notaries: Notaries

    @property
    def office(self) -> Identity:
        return self.network.office

    @property
    def directory(self) -> Directory:
        """The latest."""
        return self.published.directory

    def write_ledger(self, *events: tuple[str, str, float, str]) -> None:
        names = ["customer_id", "purchased_at", "price", "basket_id"]
        frame = pl.DataFrame(events, schema=names, orient="row").with_columns(
            outlet_id=pl.lit("O1"), list_price=pl.col("price") * 1.25, is_return=pl.lit("false")
        )
        frame.write_csv(self.home / "ledger.csv")

    def tonight(
        self, published: PublishedDirectory | str | None = None, **changes: str
    ) -> dict[str, str]:
        """What roll call says, of the latest directory where none is given."""
        named = self.published if published is None else published
        return {
            "cut_off": CUT_OFF,
            "as_of": AS_OF,
            "outcomes": f"{LOYAL},{LAPSED}",
            "directory": named if isinstance(named, str) else named.directory.digest,
            **changes,
        }

    def anew(self, people: People | None = None, services: Services | None = None) -> Nightly:
        """A night of its own: it reads settings, ledger and client book again."""
        self.night.close_answers()
        found = services or self.network.services
        self.night = Nightly(self.home, people or self.people, found, refusals=[])
        return self.night

    def prepare(self, tonight: Mapping[str, str]) -> Outlet:
        """What another night is ready for, and answers when these days are asked for."""
        return replace(self.anew().prepare(tonight), clock=ASKED.timestamp)

    def slot(self, person: str) -> int:
        key = keys_as_array([self.network.key(IDENTIFIERS[person])])
        [place] = self.directory.places(key).tolist()
        assert isinstance(place, int)
        return place

    def consent(self, person: str) -> None:
        key = self.people.local_key(IDENTIFIERS[person])
        self.people.record_consents([Consent(key, "n", CONSENTED, "mei")])

    def withdraw(self, person: str) -> None:
        self.people.withdraw(self.people.local_key(IDENTIFIERS[person]))


def write_settings(home: Path, **settings: object) -> None:
    values = {
        "ledger": "ledger.csv",
        "clients": "clients.csv",
        "region": "SG",
        "evaluations_a_night": 16,
        "horizon_days": HORIZON,
        "keep_days": 36_500,  # these days stay what they are
        **settings,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    (home / "escapement.toml").write_text("\n".join(lines) + "\n")


def start(folder: Path) -> OneOutlet:
    """Introduces everybody who consented, with one of them at home elsewhere."""
    today = dt.datetime.now(dt.UTC)
    rings = {kind: Keyring(folder / kind.value, kind) for kind in PartyKind}
    made = {kind: ring.create(kind.value, "127.0.0.1:1", today) for kind, ring in rings.items()}
    for kind in (PartyKind.HQ, PartyKind.OFFICE):
        data = rings[kind].public_file.read_bytes()
        rings[PartyKind.OUTLET].trust(Card.decode(data, kind), data)
    at_hq, at_office = Holder(), Holder()
    at_hq.share, at_office.share = (
        rings[k].token_share() for k in (PartyKind.HQ, PartyKind.OFFICE)
    )
    outlet = made[PartyKind.OUTLET]
    network, notaries = serve_network(
        made[PartyKind.HQ], made[PartyKind.OFFICE], outlet, at_hq, at_office
    )
    home = rings[PartyKind.OUTLET].folder
    create_databases(home)
    pl.DataFrame(BOOK, schema=["customer_id", "phone", "email"], orient="row").write_csv(
        home / "clients.csv"
    )
    write_settings(home)
    people = People.open(home, outlet)
    night = Nightly(home, people, network.services, refusals=[])
    one = OneOutlet(network, home, people, night, network.publish(0), notaries)
    one.write_ledger(*EVENTS, *UNSPOKEN)
    for person in ("anna", "ben", "away", "gone"):
        one.consent(person)
    network.elsewhere(*(f"tel:+6598000{place:03d}" for place in range(3)))
    network.elsewhere(IDENTIFIERS["away"])
    night.introduce()
    one.published = network.shown(people)
    one.withdraw("gone")  # by day: the directory still lists it
    one.consent("late")  # by day too: no slot yet
    return one


@pytest.fixture
def one(tmp_path: Path) -> Iterator[OneOutlet]:
    made = start(tmp_path)
    yield made
    made.night.close()
    stop_servers()


def names_in(outlet: Outlet, day: str) -> set[int]:
    return set(outlet.views[day].slots.tolist())


def plan_of(
    one: OneOutlet, purpose: Purpose, dimension: int, norm: float, **changes: object
) -> ReleasePlan:
    scale = 2**20
    units = int(norm * scale)
    plan = ReleasePlan(
        "r", "", "", purpose, dimension, 64, scale, units, 2**50, units * 8, 3,
        "", one.directory.digest, CUT_OFF, "", UNLOCK.public.hex(), 2**40,
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


USUAL = 0.2 * RATE_BOUNDS


CARDS = tuple(
    Scorecard.of(outcome, np.linspace(-0.5, 1.0, DIMENSION), USUAL) for outcome in (LOYAL, LAPSED)
)


ONE_CARD, BOTH_CARDS = encode_scorecards(CARDS[:1]), encode_scorecards(CARDS)


def ask(one: OneOutlet, plan: ReleasePlan | SealPlan) -> dict[str, bytes]:
    """A question that the pinned office signed."""
    return question(plan, one.office.signing, cut_off=CUT_OFF, scorecard=ONE_CARD)


def run(night: Nightly) -> Exception | None:
    """Runs all steps where HQ's night cannot be reached, and says how the night ended."""
    try:
        night_run._run(night)
    except (OutletError, FeatureError, OSError) as error:
        return error
    return None


def hurried(one: OneOutlet, **settings: object) -> None:
    """Nobody listens where HQ's card says; the outlet finds out at once."""
    write_settings(one.home, join_minutes=0.0001, **settings)
