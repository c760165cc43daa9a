"""An outlet of the simulated market whose night has ended, as its report is made of it."""

from __future__ import annotations

import datetime as dt
import html.parser
import re
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from typing_extensions import override

from features.events import (
    event_features,
)
from features.ledger import Tier, canonical_events
from features.outcomes import Outcome, Thresholds, observe
from features.sightings import Attached, attach, canonical_sightings
from features.snapshot import Snapshot
from features.starting import starting_scorecard
from outlet_client.contribution.answer_store import AnswerStore
from outlet_client.contribution.contributions import HomeCustomers
from outlet_client.contribution.scorecard_store import KeptScorecards, keep_scorecards
from outlet_client.database import create_databases
from outlet_client.ledger.intake import Intake
from outlet_client.people.person_states import State
from outlet_client.people.registration import Introduced
from outlet_client.report.report_page import NightFacts, render
from privacy.envelopes import SigningKey
from privacy.purposes import Purpose
from privacy.two_key_sum import Contribution, Parts, mask_share
from sandbox.market import Market, simulated_market
from sandbox.network import home_key
from tests.networks import CUT_OFF, LAST
from tests.outlet_client.questions import plan_of, seal_of

if TYPE_CHECKING:
    from pathlib import Path

    from features.scorecard import Scorecard


AT = dt.datetime(2026, 11, 24, 3, 16, tzinfo=dt.UTC)
BEGAN = AT.timestamp() - 600
LOYAL, FLIPPED = Outcome.LOYAL.value, Outcome.FLIPPED.value
CARDS = tuple(starting_scorecard(outcome) for outcome in (Outcome.LOYAL, Outcome.FLIPPED))
QUARANTINE = "file,row,line,column,reason\n"


@cache
def market() -> Market:
    return simulated_market(np.random.default_rng(3), outlets=3, customers=900)


@cache
def largest_outlet() -> tuple[str, Attached]:
    """The outlet with most rows, its sightings and one that is nobody's."""
    made = market()
    tiers = {name: Tier(tier) for name, tier in made.references["reference", "tier"].iter_rows()}
    outlet = made.ledger["outlet_id"].value_counts(sort=True)["outlet_id"][0]
    ledger = made.ledger.filter(pl.col("outlet_id") == outlet)
    seen = made.sightings.filter(pl.col("outlet_id") == outlet)["serial", "seen_at", "status"]
    foreign = pl.DataFrame([{"serial": "X9", "seen_at": LAST, "status": "confirmed"}])
    sightings = pl.concat([seen, foreign], how="vertical_relaxed")
    events = canonical_events(ledger, "ledger.csv", tiers)
    return str(outlet), attach(events, canonical_sightings(sightings, "sightings.csv"))


@cache
def home_customers() -> HomeCustomers:
    events = largest_outlet()[1].events
    snapshot = Snapshot.take(events, CUT_OFF, LAST)
    customers = snapshot.history["customer"].unique().sort()
    y = {
        outcome: observe(Outcome.named(outcome), snapshot, customers, Thresholds())
        for outcome in (LOYAL, FLIPPED)
    }
    slots = np.arange(len(customers))
    keys = [home_key(customer) for customer in customers]
    return HomeCustomers.of(event_features(snapshot), customers, y, slots, keys)


@dataclass
class Outlet:
    """An outlet's folder with what a night leaves in it."""

    home: Path
    key: SigningKey = field(default_factory=SigningKey.generate)

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        create_databases(self.home)
        self.write("escapement.toml", 'ledger = "ledger.csv"\n')

    def write(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)

    def keep(self, *cards: Scorecard) -> None:
        with closing(self.answers()) as store, store.transaction() as answers:
            keep_scorecards(answers, KeptScorecards("2026-11-20", cards))

    def answer(self, name: str, purpose: Purpose, at: float = BEGAN + 60, size: int = 4) -> int:
        """Answers a sum, or a seal of so many slots; returns the bytes of vector and seed."""
        ours = "d2" * 32, "a", self.key
        with closing(self.answers()) as store, store.transaction() as answers:
            if purpose is Purpose.POINTS:
                seal = seal_of(size, str(LAST), release=name)
                share = mask_share(Parts(np.zeros((0, 3), int), np.zeros(0, int)), seal, *ours)
                answers.add(seal, ours[0], share, int(at))
            else:
                plan = plan_of(purpose, size, 1.0, str(CUT_OFF), release=name)
                share = mask_share(Contribution(np.full((2, size), 0.25)), plan, *ours)
                answers.add(plan, ours[0], share, int(at))
        return share.vector.nbytes + len(share.envelope.sealed_seed)

    def facts(self, **changes: object) -> NightFacts:
        name, attached = largest_outlet()
        used = len(attached.events)
        values: dict[str, object] = {
            "at": AT,
            "outlet": name,
            "home": self.home,
            "cut_off": str(CUT_OFF),
            "as_of": str(LAST),
            "customers": home_customers(),
            "intake": Intake(
                used + 255, used, 60, 5, 150, 120, 10, 30, {"walk-in": 30, "total": 4, "void": 6}
            ),
            "attached": attached,
            "unknown_references": 2,
            "book_left_out": 31,
            "ambiguous": 4,
            "people": {State.LISTED: 210, State.SENT: 7, State.WITHDRAWN: 3, State.KNOWN: 12},
            "introduced": Introduced(512, 14, 64, 7, 1, waiting=2),
            "since": BEGAN,
            "error": None,
        }
        return NightFacts(**{**values, **changes})  # type: ignore[arg-type]  # a test's changes

    def page(self, **changes: object) -> str:
        return render(self.facts(**changes))

    def said(self, **changes: object) -> str:
        return text_of(self.page(**changes))

    def answers(self) -> AnswerStore:
        return AnswerStore(f"sqlite:///{self.home / 'outlet.db'}")


class _Text(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.silent = False

    @override
    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.silent = tag == "style"

    @override
    def handle_endtag(self, tag: str) -> None:
        self.silent = False

    @override
    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(data)


def text_of(page: str) -> str:
    """What a reader reads, blanks made one."""
    reader = _Text()
    reader.feed(page)
    return re.sub(r"\s+", " ", " ".join(reader.words))


@pytest.fixture
def outlet(tmp_path: Path) -> Outlet:
    made = Outlet(tmp_path / "outlet")
    made.keep(*CARDS)
    return made
