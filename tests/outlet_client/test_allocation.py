"""Allocation at an outlet: who comes first, what is kept, and what a manager may change."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from features.allocation import ELIGIBILITY, FLIPPER_RISK, Decision
from features.ledger import Tier
from outlet_client.allocation import allocation_decisions as decisions
from outlet_client.allocation.lottery import AllocationRefused, Terms, TieBreak, odds
from outlet_client.allocation.ranking import (
    NO_PIECE_LEFT,
    Candidate,
    rank_candidates,
    read_policy,
)
from outlet_client.allocation.waitlist import NO_BOOK_YET, Allocatable
from outlet_client.bands.lookup import MANY_OUTLETS, NO_BANDS_YET
from outlet_client.customer_access import open_customer_access
from outlet_client.database import create_databases
from outlet_client.errors import NotConfigured
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.main import app
from outlet_client.people.directory_files import keep_directory
from outlet_client.people.people_store import People
from outlet_client.records.access_log import LogAct, LogBroken, recent_entries
from outlet_client.records.actor import Actor, NotAsked
from outlet_client.records.customer_requests import NewRequest, RequestKind, answer, receive
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


MIXED = [
    Candidate("a", day(1), "building", "low"),
    Candidate("b", day(2), "new", "new", no_band="consent needed"),
    Candidate("c", day(3), "eligible", "low"),
    Candidate("d", day(4), "priority", "review"),
    Candidate("e", day(5), "priority", "new"),
    Candidate("f", day(6), "eligible", "elevated"),
    Candidate("g", day(7), "eligible", "new"),
    Candidate("h", day(1), "building", "review"),
]


def test_decisions_come_first_then_bands_then_waiting_time() -> None:
    lines = rank_candidates(MIXED, POLICY, terms(pieces=2))
    assert [line.candidate.customer for line in lines] == list("ecgdfhba")
    assert [line.candidate.customer for line in lines if line.proposed] == ["e", "c"]
    alike = "number {} of 2 with 'offer' and eligibility eligible, by waiting time"
    assert lines[1].why == f"By rule 6; {alike.format(1)}."
    assert lines[2].why == f"By rule 6; {alike.format(2)}; no piece is left."
    assert lines[3].why == (
        "By rule 3; the only one with 'manager decides' and eligibility priority."
    )
    assert "with 'manager decides' and eligibility building or new, by waiting" in lines[5].why


def test_a_newcomer_and_who_is_building_are_equals() -> None:
    asked = Terms("R1", Tier.LIMITED, 1, TieBreak.WAITING, SEED, drawn=True)
    equals = [
        Candidate("a", day(3), "building", "low"),
        Candidate("b", day(2), "new", "new"),
        Candidate("c", day(1), "building", "low"),
    ]
    assert names(equals, asked) == "cba"


def test_nobody_is_told_of_an_offer_when_no_piece_is_left() -> None:
    lines = rank_candidates(MIXED, POLICY, terms(pieces=2))
    assert lines[1].say == lines[1].ruling.say == lines[2].ruling.say
    assert lines[2].say == NO_PIECE_LEFT
    assert all(line.say == line.ruling.say for line in lines[3:])


def test_more_pieces_than_offers_are_proposed_to_nobody_else() -> None:
    lines = rank_candidates(MIXED, POLICY, terms(pieces=20))
    proposed = {line.candidate.customer for line in lines if line.proposed}
    assert proposed == {"c", "e", "g"}


EQUALS = [Candidate(name, day(1 + i // 3), "priority", "low") for i, name in enumerate("abcdefgh")]


def test_a_lottery_is_drawn_again_by_its_seed_and_another_seed_draws_another() -> None:
    drawn = names(EQUALS, terms(ties=TieBreak.LOTTERY))
    by_hand = sorted(
        "abcdefgh",
        key=lambda one: hmac.new(
            bytes.fromhex(SEED), f"R1\n{one}".encode(), hashlib.sha256
        ).digest(),
    )
    assert drawn == "".join(by_hand)
    assert names(EQUALS[::-1], terms(ties=TieBreak.LOTTERY)) == drawn
    assert names(EQUALS, terms(ties=TieBreak.LOTTERY, seed=OTHER)) != drawn
    other_reference = Terms("R2", Tier.ALLOCATION, 1, TieBreak.LOTTERY, SEED, drawn=True)
    assert names(EQUALS, other_reference) != drawn


@pytest.mark.statistical
def test_a_lottery_puts_nobody_first_more_often_than_others() -> None:
    """4,000 seeds; chi-squared with 7 degrees of freedom, false alarms of one in a million."""
    seeds = [hashlib.sha256(str(i).encode()).hexdigest()[:32] for i in range(4000)]
    firsts = [names(EQUALS, terms(ties=TieBreak.LOTTERY, seed=seed))[0] for seed in seeds]

    def distance(counts: np.ndarray) -> float:
        return float(((counts - 500.0) ** 2 / 500.0).sum())

    fair = np.array([firsts.count(name) for name in "abcdefgh"])
    assert distance(fair) < 40.5
    skewed = np.array([650, 480, 478, 478, 478, 478, 479, 479])  # one customer 30 % ahead
    assert distance(skewed) > 40.5


def test_equals_of_one_day_are_drawn_by_lot_and_not_by_their_id() -> None:
    orders = {names(EQUALS, terms(seed=f"{i:032x}")) for i in range(20)}
    assert len(orders) > 5
    for one in orders:
        assert (set(one[:3]), set(one[3:6]), set(one[6:])) == (set("abc"), set("def"), set("gh"))


@given(
    st.lists(
        st.builds(
            Candidate,
            customer=st.uuids().map(str),
            since=st.dates(dt.date(2025, 1, 1), dt.date(2025, 1, 9)),
            eligibility=st.sampled_from(ELIGIBILITY),
            flipper_risk=st.sampled_from(FLIPPER_RISK),
        ),
        min_size=1,
        unique_by=lambda one: one.customer,
    ),
    st.sampled_from(list(Tier)),
    st.integers(1, 5),
    st.sampled_from(list(TieBreak)),
    st.randoms(),
)
def test_laws_of_every_order(
    candidates: list[Candidate], tier: Tier, pieces: int, ties: TieBreak, random: Any
) -> None:
    asked = Terms("R1", tier, pieces, ties, SEED, drawn=True)
    lines = rank_candidates(candidates, POLICY, asked)
    shuffled = random.sample(candidates, len(candidates))
    assert (
        rank_candidates(shuffled, POLICY, asked) == lines
    )  # whoever is listed first gains nothing
    offers = [line for line in lines if line.ruling.decision is Decision.OFFER]
    assert [line for line in lines if line.proposed] == offers[:pieces]
    assert lines[: len(offers)] == tuple(offers)
    for line in lines:
        if line.candidate.eligibility == "new":
            assert line.ruling.decision is not Decision.NOT_YET
        if line.candidate.flipper_risk == "review":
            assert not line.proposed


@pytest.mark.parametrize("pieces", [0, -1])
def test_fewer_than_one_piece_is_refused(pieces: int) -> None:
    with pytest.raises(AllocationRefused, match=f"pieces: got {pieces}, expected 1 or more"):
        terms(pieces=pieces)


@pytest.mark.parametrize("seed", ["", "1234", "x" * 32, SEED + "00"])
def test_a_seed_that_is_none_is_refused(seed: str) -> None:
    with pytest.raises(AllocationRefused, match=r"^seed: expected 32 hex digits"):
        terms(seed=seed)


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


def as_proposed(proposal: dict[str, Any]) -> list[dict[str, Any]]:
    """Its lines, without what is said, which follows the decision."""
    return [
        {name: cell for name, cell in one.items() if name != "say"} for one in proposal["lines"]
    ]


def proposed(proposal: dict[str, Any]) -> str:
    return "".join(line["customer"] for line in proposal["lines"] if line["proposed"])


def test_the_pieces_are_proposed_from_the_local_book_and_newcomers_are_never_refused(
    boutique: Boutique,
) -> None:
    found = boutique.allocate()
    assert order_of(found) == "cbedfghia"
    assert proposed(found) == "cb"
    lines = {line["customer"]: line for line in found["lines"]}
    assert lines["c"]["eligibility"] == "priority"
    assert lines["a"]["decision"] == "not yet"
    without = {
        "g": "consent needed",
        "h": "not in the network",
        "i": "no usable phone or e-mail in the client book",
    }
    for name, why in without.items():
        assert lines[name]["no_band"] == why
        assert (lines[name]["eligibility"], lines[name]["flipper_risk"]) == ("new", "new")
        assert lines[name]["decision"] == lines["f"]["decision"] == "manager decides"
    assert (found["book_version"], found["book_as_of"]) == (7, AS_OF)
    assert "may reflect the whole network" in found["note"]
    for tier_reference in ("R1", "R2", "R3"):
        boutique.wait("abcdefghi", tier_reference)
        for line in boutique.allocate(reference=tier_reference)["lines"]:
            assert line["eligibility"] != "new" or line["decision"] != "not yet"


def test_the_table_says_bands_reasons_and_what_to_say(boutique: Boutique) -> None:
    code, said = boutique.run("allocate", "--reference", "R1", "--pieces", "4")
    assert code == 0
    for part in (
        "Allocation 1: 4 of R1 (allocation)",
        "To say to 1 to 3: “We would be glad to offer you this piece.",
        "To say to 9: “Thank you for your interest. More people ask for this piece",
        "Pieces that are proposed to nobody: 1.",
        "Equals by waiting time",
        "drawn for this proposal",
        f"band book version 7, as of {AS_OF}",
        "A band may reflect the whole network",
        "escapement-outlet allocation accept 1 --by NAME",
    ):
        assert part in said
    assert stat.S_IMODE((boutique.home / "outlet.db").stat().st_mode) & 0o077 == 0
    assert (
        "Proposed before for this reference: 1;"
        in boutique.run("allocate", "--reference", "R1", "--pieces", "1")[1]
    )


@pytest.mark.parametrize("days_old", [None, 31])
def test_without_a_fresh_book_everybody_is_decided_as_without_a_band(
    tmp_path: Path, days_old: int | None
) -> None:
    boutique = Boutique(tmp_path)
    if days_old is not None:
        boutique.book(days_old)
    found = boutique.allocate()
    assert order_of(found) == "abcdefghi"
    assert {line["decision"] for line in found["lines"]} == {"manager decides"}
    assert proposed(found) == ""
    assert "band book: " in found["no_book"]
    assert found["book_version"] is None
    said = boutique.run("allocate", "--reference", "R1", "--pieces", "1")[1]
    assert "No bands: band book: " in said
    assert "band book none" in said


def test_before_the_first_book_everybody_who_is_listed_is_decided_as_a_newcomer(
    tmp_path: Path,
) -> None:
    boutique = Boutique(tmp_path)
    directory = make_directory(boutique.tokens.values())
    keep_directory(boutique.home, boutique.press.directory(directory))
    for reference, decision in (("R1", "manager decides"), ("R3", "offer")):
        boutique.wait("abcdefghi", reference)
        found = boutique.allocate(reference=reference)
        lines = {line["customer"]: line for line in found["lines"]}
        for name in "abcdef":
            assert (lines[name]["no_band"], lines[name]["decision"]) == ("", decision)
            assert (lines[name]["eligibility"], lines[name]["flipper_risk"]) == ("new", "new")
            assert allowed(boutique, name, reference)[0] == decision
        assert lines["g"]["no_band"] == "consent needed"
        assert (found["book_version"], found["book_as_of"]) == (None, "")
        assert found["no_book"] == NO_BOOK_YET
    said = boutique.run("allocate", "--reference", "R3", "--pieces", "1")[1]
    assert f"No bands: {NO_BOOK_YET}." in said
    code, said = boutique.run(*LOOK, "--phone", PHONES["c"], "--json")
    found = json.loads(said)
    assert (code, found["status"], found["as_of"], found["note"]) == (0, "known", "", NO_BANDS_YET)
    assert [band["band"] for band in found["bands"]] == ["new", "new"]
    assert NO_BANDS_YET in boutique.run(*LOOK, "--phone", PHONES["c"])[1]
    boutique.book()
    assert json.loads(boutique.run(*LOOK, "--phone", PHONES["c"], "--json")[1])["note"] == ""
    assert NO_BANDS_YET not in boutique.run(*LOOK, "--phone", PHONES["c"])[1]


def test_a_damaged_book_is_an_error_and_no_proposal(boutique: Boutique) -> None:
    place = boutique.home / "book.bin"
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    assert "not signed" in allocate_refused(boutique, "--reference", "R1", "--pieces", "1")


@pytest.mark.parametrize("reference", ["R1", "R2", "R3"])
def test_who_is_known_at_too_many_outlets_goes_to_a_person_whatever_the_tier(
    tmp_path: Path, reference: str
) -> None:
    """A newcomer is offered what is open; here a person looks first, as at "review"."""
    boutique = Boutique(tmp_path)
    boutique.book(at_many="cf")
    boutique.wait("abcdef", reference)
    found = boutique.allocate(reference=reference, pieces=6)
    lines = {line["customer"]: line for line in found["lines"]}
    for name in "cf":
        assert lines[name]["no_band"] == MANY_OUTLETS
        assert (lines[name]["eligibility"], lines[name]["flipper_risk"]) == ("new", "new")
        assert lines[name]["decision"] == lines["d"]["decision"] == "manager decides"
        assert allowed(boutique, name, reference)[0] == "manager decides"
    assert proposed(found) == ("bea" if reference == "R3" else "be")
    code, said = boutique.run("allocation", "show", "1")
    assert (code, "no band" in said) == (0, False)
    assert said.count("looks") == 2
    assert boutique.run("allocation", "rerun", "1")[0] == 0


def test_a_dispute_hides_also_that_a_customer_is_known_at_many_outlets(tmp_path: Path) -> None:
    boutique = Boutique(tmp_path)
    boutique.book(at_many="f")
    boutique.allocate()
    number = disputed(boutique, "f")
    [line] = [line for line in boutique.shown()["lines"] if line["customer"] == "f"]
    assert (line["no_band"], line["rule"]) == ("under review", 0)
    said = boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert f"escapement-outlet customer decide {number}" in said


def test_two_customers_of_the_client_book_with_one_phone_count_once(boutique: Boutique) -> None:
    rows = f"customer_id,phone,email\nb2,{PHONES['b'][3:]},\nb,{PHONES['b']},\nc,{PHONES['c']},\n"
    boutique.write("clients.csv", rows)
    boutique.write(
        "interests.csv",
        "customer_id,reference,since\n"
        "b,R1,2026-02-02\nc,R1,2026-02-01\nb2,R1,2026-01-09\nb2,R1,2026-01-05\nb2,R2,2025-01-01\n",
    )
    found = boutique.allocate()
    assert [line["customer"] for line in found["lines"]] == ["c", "b2"]
    assert found["lines"][1]["also"] == ["b"]
    assert found["lines"][1]["since"] == "2026-01-05"
    assert (
        "b2 is one person with b in the client book, and counts once"
        in boutique.run("allocation", "show", "1")[1]
    )


def test_closed_interests_are_over_and_parquet_is_read_too(boutique: Boutique) -> None:
    table = pl.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "reference": ["R1"] * 3,
            "since": [day(1), day(2), day(3)],
            "closed_at": [None, None, day(9)],
        }
    )
    table.write_parquet(boutique.home / "interests.parquet")
    boutique.write("escapement.toml", SETTINGS.replace("interests.csv", "interests.parquet"))
    assert order_of(boutique.allocate()) == "ba"


def test_without_an_interest_list_the_ledger_tells_and_an_answer_closes(boutique: Boutique) -> None:
    boutique.write("escapement.toml", SETTINGS.replace('interests = "interests.csv"\n', ""))
    boutique.write(
        "ledger.csv",
        "customer_id,outlet_id,purchased_at,kind,price,list_price,basket_id,reference\n"
        "a,O,2026-01-01,interest,0,0,w1,R1\n"
        "b,O,2026-01-02,interest,0,0,w2,R1\n"
        "c,O,2026-01-03,interest,0,0,w3,R1\n"
        "e,O,2026-01-03,interest,0,0,w4,R1\n"
        "f,O,2026-01-03,interest,0,0,w5,R2\n"
        "b,O,2026-01-05,purchase,9,9,p1,R1\n"
        "c,O,2026-01-05,declined,0,0,w3,\n"
        "f,O,2026-01-05,service,0,0,w6,\n",
    )
    assert order_of(boutique.allocate()) == "bea"
    boutique.write(
        "ledger.csv", "customer_id,reference,purchased_at,price,is_return\na,R1,2026-01-01,9,0\n"
    )
    code, said = boutique.run("allocate", "--reference", "R1", "--pieces", "1")
    assert code == 1
    assert "ledger.csv, column kind: missing; add it, set `interests`" in said


def test_only_the_same_customers_answer_closes_an_interest(boutique: Boutique) -> None:
    boutique.write("escapement.toml", SETTINGS.replace('interests = "interests.csv"\n', ""))
    boutique.write(
        "ledger.csv",
        "customer_id,outlet_id,purchased_at,kind,price,list_price,basket_id,reference\n"
        "a,O,2026-01-01,interest,0,0,w1,R1\n"
        "b,O,2026-01-02, interest ,0,0,w1,R1\n"
        "c,O,2026-01-03,interest,0,0, w3,R1\n"
        "b,O,2026-01-04,accepted,0,0,w1,\n"
        " c,O,2026-01-05, declined,0,0,w3,\n",
    )
    assert order_of(boutique.allocate()) == "a"


def test_a_lottery_is_kept_and_anybody_may_draw_it_again(boutique: Boutique) -> None:
    boutique.bands = dict.fromkeys(BANDS, ("priority", "low"))
    (boutique.home / "book.bin").unlink()
    boutique.book()
    first = boutique.allocate("--ties", "lottery")
    seed = first["terms"]["seed"]
    assert first["terms"]["drawn"]
    again = boutique.allocate("--ties", "lottery", "--seed", seed.upper())
    assert order_of(again) == order_of(first)
    assert not again["terms"]["drawn"]
    assert again["earlier"] == [1]
    others = {order_of(boutique.allocate("--ties", "lottery")) for _ in range(5)}
    assert len(others | {order_of(first)}) > 1
    assert order_of(boutique.allocate("--ties", "waiting")) == "abcdefghi"
    assert "given by whoever asked, not drawn" in boutique.run("allocation", "show", "2")[1]
    for number in range(1, 9):
        code, said = boutique.run("allocation", "rerun", str(number))
        assert (code, said) == (0, f"Allocation {number}: the same order, 9 lines.")


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE allocation_lines SET proposed = 1 WHERE rank = 9",
        "UPDATE allocation_lines SET since = '2020-01-01' WHERE rank = 3",
        "UPDATE allocation_proposals SET pieces = 3",
    ],
)
def test_a_rerun_notices_what_was_altered(boutique: Boutique, tampering: str) -> None:
    boutique.allocate()
    with closing(sqlite3.connect(boutique.home / "outlet.db")) as connection:
        connection.execute(tampering)
        connection.commit()
    code, said = boutique.run("allocation", "rerun", "1")
    assert code == 1
    assert "allocation 1: got another order from rank" in said


def test_a_rerun_uses_the_rules_of_the_day_and_not_those_of_now(boutique: Boutique) -> None:
    boutique.allocate()
    boutique.write("escapement.toml", SETTINGS + 'policy = "policy.toml"\n')
    boutique.write(
        "policy.toml", '[[rule]]\ndecision = "manager decides"\nsay = "We will call you."\n'
    )
    assert boutique.run("allocation", "rerun", "1")[0] == 0
    after = boutique.allocate()
    assert proposed(after) == ""
    assert after["policy_source"] == "policy.toml"
    assert after["policy_digest"] != boutique.shown(1)["policy_digest"]
    boutique.write("policy.toml", '[[rule]]\ndecision = "offer"\nsay = "Yes."\n')
    code, said = boutique.run("allocate", "--reference", "R1", "--pieces", "1")
    assert code == 1
    assert "policy.toml, rule 1: decides 'offer' for" in said


def test_accepting_adds_a_decision_and_changes_no_row(boutique: Boutique) -> None:
    before = boutique.allocate()
    rows = boutique.rows()
    code, said = boutique.run("allocation", "accept", "1", "--by", " Mei  Lin ")
    assert code == 0
    assert "Allocation 1 accepted by Mei Lin at" in said
    assert "The pieces go to c, b." in said
    after = boutique.shown()
    assert after["decided"]["given"] == ["c", "b"]
    assert after["decided"]["reason"] == ""
    assert as_proposed(after) == as_proposed(before)
    assert boutique.rows() == rows
    words = ("--by", "Bo", "--reason", "x", "--give", "e", "--instead-of", "b")
    for again in (("accept", "1", "--by", "Bo"), ("change", "1", *words)):
        code, said = boutique.run("allocation", *again)
        assert code == 1
        assert "allocation 1: decided already, and a decision stays" in said
    assert boutique.shown() == after


def test_a_change_needs_a_reason_and_keeps_what_was_proposed(boutique: Boutique) -> None:
    before = boutique.allocate()
    rows = boutique.rows()
    words = ("allocation", "change", "1", "--by", "Mei", "--give", "d", "--instead-of", "b")
    code, said = boutique.run(*words, "--reason", "  ")
    assert code == 1
    assert "reason: empty, expected a sentence" in said
    assert boutique.run(*words)[0] == 2
    code, said = boutique.run(*words, "--reason", "A friend of the house.")
    assert code == 0
    assert "Allocation 1 changed by Mei" in said
    after = boutique.shown()
    assert after["decided"]["given"] == ["c", "d"]
    assert after["decided"]["reason"] == "A friend of the house."
    assert as_proposed(after) == as_proposed(before)
    assert boutique.rows() == rows
    listed = boutique.run("allocation", "show")[1]
    assert "1: " in listed
    assert "2 of R1, changed by Mei" in listed
    assert len(json.loads(boutique.run("allocation", "show", "--json")[1])) == 1


@pytest.mark.parametrize(
    ("command", "said", "ranks"),
    [
        ("accept", "5 customers wait for a manager's look (ranks 4 to 8)", [4, 5, 6, 7, 8]),
        ("change", "4 customers wait for a manager's look (ranks 5 to 8)", [5, 6, 7, 8]),
    ],
)
def test_whoever_decides_is_told_first_whom_it_passes_over_and_that_is_kept(
    boutique: Boutique, command: str, said: str, ranks: list[int]
) -> None:
    words = ("--by", "Mei", "--reason", "Promised.", "--give", "d", "--instead-of", "b")
    boutique.allocate()
    code, output = boutique.run(
        "allocation", command, "1", *(words if command == "change" else words[:2])
    )
    assert code == 0
    assert output.startswith(f"{said}: this passes them over. Allocation 1 ")
    assert boutique.shown()["decided"]["passed_over"] == ranks
    assert f"Said before it was decided: {said}" in boutique.run("allocation", "show", "1")[1]


def won(boutique: Boutique, *customers: str, reference: str = "R1", ties: str = "waiting") -> None:
    """Proposes the pieces of a reference and gives them to some customers."""
    made = boutique.allocate("--ties", ties, reference=reference, pieces=len(customers))
    others = set(proposed(made)) - set(customers)
    more = [word for one in customers if one not in proposed(made) for word in ("--give", one)]
    less = [word for one in others for word in ("--instead-of", one)]
    number = str(made["id"])
    if more:
        words = ("change", number, "--by", "Mei", "--reason", "So.", *more, *less)
    else:
        words = ("accept", number, "--by", "Mei")
    code, said = boutique.run("allocation", *words)
    assert code == 0, said


def test_who_was_just_given_a_piece_is_proposed_no_other_for_a_while(boutique: Boutique) -> None:
    rows = [f"{name},{ref},2026-01-02\n" for name in "bce" for ref in ("R1", "R2")]
    boutique.write("interests.csv", "customer_id,reference,since\n" + "".join(rows))
    won(boutique, "c")
    again = boutique.allocate(pieces=2)
    assert proposed(again) in ("be", "eb")  # and not c, who is priority
    [line] = [line for line in again["lines"] if line["customer"] == "c"]
    assert (line["rank"], line["rests"]) == (
        3, f"was given this piece on {NOW.date()}, and the wish is not closed"
    )  # fmt: skip
    other = boutique.allocate(reference="R2", pieces=3)
    rests = {line["customer"]: line["rests"] for line in other["lines"]}
    assert rests["c"] == f"was given a piece of R1 on {NOW.date()}"
    assert rests["b"] == f"is proposed a piece of R1 in proposal {again['id']}"
    assert proposed(other) == ""
    assert boutique.run("allocation", "rerun", str(again["id"]))[0] == 0
    policy = POLICY.text.replace("rest_days = 90", "rest_days = 0")
    boutique.write("p.toml", policy)
    boutique.write("escapement.toml", SETTINGS + 'policy = "p.toml"\n')
    free = boutique.allocate(reference="R2", pieces=3)
    assert sorted(proposed(free)) == ["b", "c", "e"]


def test_a_person_who_won_under_one_id_rests_under_another(boutique: Boutique) -> None:
    boutique.write("clients.csv", f"customer_id,phone\nc,{PHONES['c']}\nz,{PHONES['c']}\n")
    boutique.wait("c")
    won(boutique, "c")
    boutique.wait("z")
    made = boutique.allocate(pieces=1)
    assert proposed(made) == ""


def test_odds_rise_with_each_fair_lottery_that_was_lost_and_not_by_proposals(
    boutique: Boutique,
) -> None:
    def losses() -> dict[str, int]:
        made = boutique.allocate("--ties", "rising", pieces=1)
        return {line["customer"]: line["losses"] for line in made["lines"]}

    boutique.wait("be")  # equals
    assert losses() == {"b": 0, "e": 0}
    assert losses() == {"b": 0, "e": 0}  # nobody decided about the first
    given = boutique.allocate("--ties", "rising", "--seed", SEED, pieces=1)
    boutique.run("allocation", "accept", str(given["id"]), "--by", "Mei")
    assert set(losses().values()) == {0}  # a seed that was given is no fair draw
    first = proposed(given)
    rows = "b,R1,2036-01-01\ne,R1,2036-01-01\n"
    boutique.write("interests.csv", f"customer_id,reference,since\n{rows}")
    boutique.write("p.toml", POLICY.text.replace("rest_days = 90", "rest_days = 0"))
    boutique.write("escapement.toml", SETTINGS + 'policy = "p.toml"\n')
    made = boutique.allocate("--ties", "lottery", pieces=1)
    boutique.run("allocation", "accept", str(made["id"]), "--by", "Mei")
    loser = ({"b", "e"} - set(proposed(made))).pop()
    assert losses() == {loser: 1, proposed(made): 0}
    assert first in "be"


def test_a_ticket_more_is_drawn_by_hand_and_odds_are_the_shares_that_are_drawn() -> None:
    """2,000 seeds; a share of 2 in 3 within five deviations, false alarms of one in a million."""
    rising = Terms("R1", Tier.ALLOCATION, 1, TieBreak.RISING, SEED, drawn=True)
    key = bytes.fromhex(SEED)
    by_hand = [hmac.new(key, text, hashlib.sha256).digest() for text in (b"R1\na", b"R1\na\n2")]
    assert rising.lot("a", 2) == min(by_hand)
    assert rising.lot("a") == by_hand[0]
    assert [rising.tickets(n) for n in (0, 1, 9, 40)] == [1, 2, 10, 10]
    assert terms(ties=TieBreak.LOTTERY).tickets(5) == 1
    one, other = (
        Candidate("a", day(1), "priority", "low", losses=1),
        Candidate("b", day(1), "priority", "low"),
    )
    firsts = 0
    for number in range(2000):
        asked = replace(rising, seed=hashlib.sha256(str(number).encode()).hexdigest()[:32])
        firsts += names([one, other], asked)[0] == "a"
    chance = odds([2, 1], 1)[2]
    assert abs(chance - 2 / 3) < 1e-3
    assert abs(firsts / 2000 - chance) < 5 * (2 / 9 / 2000) ** 0.5
    assert abs(firsts / 2000 - 1 / 2) > 5 * (2 / 9 / 2000) ** 0.5  # rejects equal odds


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40), st.integers(0, 12))
def test_odds_add_up_to_the_pieces(tickets: list[int], pieces: int) -> None:
    chances = odds(tickets, pieces)
    assert sum(chances[one] for one in tickets) == pytest.approx(
        min(pieces, len(tickets)), abs=0.02
    )
    ordered = [chances[one] for one in sorted(chances)]
    assert ordered == sorted(ordered)


def test_the_sentence_follows_the_decision(boutique: Boutique) -> None:
    boutique.allocate(pieces=1)
    boutique.run("allocation", "change", "1", "--by", "Mei", "--reason", "So.",
                 "--give", "d", "--instead-of", "c")  # fmt: skip
    said = {line["customer"]: line["say"] for line in boutique.shown()["lines"]}
    assert said["d"] == POLICY.offer_sentence(Tier.ALLOCATION)  # whom a manager was to look at
    assert said["c"] == said["f"] == NO_PIECE_LEFT
    assert "your name stays on our list" in said["a"]  # not yet, as before


def test_who_is_passed_over_is_not_mentioned_where_nobody_waits_for_a_look(
    boutique: Boutique,
) -> None:
    boutique.wait("abc")
    boutique.allocate()
    assert "manager's look" not in boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert boutique.shown()["decided"]["passed_over"] == []
    boutique.wait("bd")
    boutique.allocate()
    said = boutique.run("allocation", "accept", "2", "--by", "Mei")[1]
    assert said.startswith("1 customer waits for a manager's look (rank 2): this passes them over.")


def test_a_manager_may_give_pieces_that_were_proposed_to_nobody(boutique: Boutique) -> None:
    boutique.allocate(pieces=5)
    words = ("allocation", "change", "1", "--by", "Mei", "--reason", "They asked first.")
    code, said = boutique.run(*words, "--give", "a", "--give", "g", "--give", "d")
    assert code == 1
    assert "that makes 6 customers, and there are 5 pieces; say instead of whom" in said
    code, said = boutique.run(*words, "--give", "a", "--give", "g")
    assert code == 0
    assert "The pieces go to c, b, e, a, g." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("accept", "9", "--by", "Mei"), "allocation 9: there is none of this number"),
        (("show", "9"), "allocation 9: there is none of this number"),
        (("rerun", "9"), "allocation 9: there is none of this number"),
        (("accept", "1", "--by", " "), "by: expected the name of whoever asks"),
        (("change", "1", "--by", "M", "--reason", "r", "--give", "zoe"), "give: got a customer"),
        (("change", "1", "--by", "M", "--reason", "r", "--give", "c"), "give: got a customer"),
        (
            ("change", "1", "--by", "M", "--reason", "r", "--give", "d", "--instead-of", "zoe"),
            "instead of: got a customer to whom no piece was proposed",
        ),
    ],
)
def test_what_cannot_be_decided_is_refused_and_nothing_is_kept(
    boutique: Boutique, words: tuple[str, ...], said: str
) -> None:
    boutique.allocate()
    code, answer = boutique.run("allocation", *words)
    assert code == 1
    assert said in answer
    assert "zoe" not in answer
    assert boutique.shown()["decided"] is None


def allocate_refused(boutique: Boutique, *words: str) -> str:
    code, said = boutique.run("allocate", *words)
    assert code in (1, 6)
    assert "No proposals yet" in boutique.run("allocation", "show")[1]
    return said


def test_what_cannot_be_proposed_is_said_clearly_and_nothing_is_kept(boutique: Boutique) -> None:
    asked = ("--reference", "R1", "--pieces")
    assert "pieces: got 0, expected 1 or more" in allocate_refused(boutique, *asked, "0")
    said = allocate_refused(boutique, *asked, "1", "--seed", "12")
    assert "seed: expected 32 hex digits" in said
    said = allocate_refused(boutique, "--reference", "R9", "--pieces", "1")
    assert "reference R9: in no tier of references.csv; add a row" in said
    said = allocate_refused(boutique, "--reference", "R2", "--pieces", "1")
    assert "reference R2: no open interest in interests.csv" in said
    boutique.write("interests.csv", "customer_id,reference,since\na,R1,yesterday\n")
    said = allocate_refused(boutique, *asked, "1")
    assert "interests.csv, row 1, column since: not readable" in said
    boutique.write("interests.csv", "customer_id,reference,since\na,R1,2026-01-01\n,R1,\n")
    said = allocate_refused(boutique, *asked, "1")
    assert "interests.csv, row 2, column customer_id: empty" in said
    boutique.write("escapement.toml", SETTINGS + 'policy = "none.toml"\n')
    assert "none.toml cannot be read" in allocate_refused(boutique, *asked, "1")
    boutique.write("escapement.toml", 'ledger = "ledger.csv"\n')
    assert "references: not set" in allocate_refused(boutique, *asked, "1")


# --- as a page calls it ---------------------------------------------------------------------------

MEI = Actor.of("mei", "allocation")


@pytest.fixture
def desk(boutique: Boutique) -> Iterator[CustomerAccess]:
    with open_customer_access(boutique.home) as opened:
        yield opened


def logged(boutique: Boutique) -> list[tuple[str, str, str, str]]:
    with rights_of(boutique.home) as connection:
        found = recent_entries(connection, NOW - dt.timedelta(days=1), limit=99)
    return [
        (one.act.value, one.by, one.about, one.outcome)
        for one in reversed(found)
        if one.act in (LogAct.DECISION, LogAct.OVERRIDE)
    ]


def test_one_open_desk_proposes_tells_and_decides(boutique: Boutique, desk: CustomerAccess) -> None:
    before, made = (
        decisions.propose(desk, "R1", 2, TieBreak.WAITING, None, MEI, NOW) for _ in range(2)
    )
    assert (before.earlier, made.earlier, made.no_book) == ((), (1,), "")
    assert decisions.shown(desk, 2) == [made.proposal]
    assert decisions.passed_over_by(desk, 2) == (4, 5, 6, 7, 8)
    assert decisions.passed_over_by(desk, 2, ["d"], ["b"]) == (5, 6, 7, 8)
    assert [one.decided for one in decisions.shown(desk)] == [
        None,
        None,
    ]  # telling decides nothing
    first = decisions.accept(desk, 1, " Mei  Lin ", NOW)
    second = decisions.change(desk, 2, "Bo", "Promised.", ["d"], ["b"], NOW)
    assert decisions.shown(desk) == [first, second]
    assert first.decided is not None
    assert (first.decided.by, first.decided.passed_over) == ("Mei Lin", (4, 5, 6, 7, 8))
    assert second.given == ("c", "d")
    assert decisions.rerun(desk, 2) == 9
    assert logged(boutique) == [
        ("decision", "Mei Lin", "allocation 1", "accepted"),
        ("override", "Bo", "allocation 2", "changed: 1 given, 1 instead"),
    ]


def test_what_is_refused_is_in_no_log_and_decides_nothing(
    boutique: Boutique, desk: CustomerAccess
) -> None:
    decisions.propose(desk, "R1", 2, TieBreak.WAITING, None, MEI, NOW)
    refused = {
        "d": "give: that makes 3 customers",
        "": "allocation 1: got no change; say who is given a piece",
        "z": "give: got a customer who has no line",
    }
    for give, said in refused.items():
        with pytest.raises(AllocationRefused, match=said):
            decisions.change(desk, 1, "Bo", "r", list(give), [], NOW)
    with pytest.raises(NotAsked):
        decisions.accept(desk, 1, "", NOW)
    with pytest.raises(NotAsked):
        decisions.change(desk, 1, "Bo", " ", ["d"], ["b"], NOW)
    assert logged(boutique) == []
    assert decisions.shown(desk, 1)[0].decided is None


def test_where_the_log_cannot_take_an_entry_nothing_is_decided(
    boutique: Boutique, desk: CustomerAccess
) -> None:
    decisions.propose(desk, "R1", 2, TieBreak.WAITING, None, MEI, NOW)
    with rights_of(boutique.home) as connection:
        connection.exec_driver_sql("DELETE FROM log")
        connection.exec_driver_sql("DELETE FROM log_anchor")
    with pytest.raises(LogBroken):
        decisions.accept(desk, 1, "Mei", NOW)
    assert decisions.shown(desk, 1)[0].decided is None


def test_references_are_listed_with_their_tier_and_how_many_wait(
    boutique: Boutique, desk: CustomerAccess
) -> None:
    boutique.write(
        "interests.csv",
        "customer_id,reference,since,closed_at\n"
        "a,R1,2026-01-01,\nb,R1,2026-01-01,2026-02-01\nc,R3,2026-01-01,\nd,R3,soon,\n",
    )
    assert decisions.allocatable(desk, NOW) == (
        Allocatable("R1", Tier.ALLOCATION, 1),
        Allocatable("R2", Tier.LIMITED, 0),
        Allocatable("R3", Tier.OPEN, 2),
    )
    boutique.write("escapement.toml", 'ledger = "ledger.csv"\n')
    with (
        open_customer_access(boutique.home) as without,
        pytest.raises(NotConfigured, match="references: not set"),
    ):
        decisions.allocatable(without, NOW)


# --- look-up for a reference ----------------------------------------------------------------------


def allowed(boutique: Boutique, name: str, reference: str = "R1") -> tuple[str, str]:
    """The decision on one customer, and the tier, as `lookup --reference` has them."""
    who = ("--email", EMAIL) if name == "e" else ("--phone", PHONES[name])
    code, said = boutique.run(*LOOK, *who, "--reference", reference, "--json")
    assert code == 0, said
    found = json.loads(said)["allocation"]
    assert found["reference"] == reference
    assert found["say"]
    return found["decision"], found["tier"]


def test_a_look_up_says_what_the_policy_allows_for_a_reference(boutique: Boutique) -> None:
    assert allowed(boutique, "a") == ("not yet", "allocation")
    assert allowed(boutique, "b") == ("offer", "allocation")
    assert allowed(boutique, "d") == ("manager decides", "allocation")
    assert allowed(boutique, "d", "R3") == ("manager decides", "open")
    assert allowed(boutique, "a", "R3") == ("offer", "open")


def test_who_has_no_band_is_decided_as_a_newcomer_at_a_look_up(boutique: Boutique) -> None:
    """Consented without a token yet; new in the book; and withdrawn: none is refused."""
    assert allowed(boutique, "h") == allowed(boutique, "f") == ("manager decides", "allocation")
    boutique.people.withdraw(boutique.key("c"))
    assert allowed(boutique, "c") == ("manager decides", "allocation")


def test_a_look_up_without_consent_decides_as_for_a_newcomer(boutique: Boutique) -> None:
    code, said = boutique.run(*LOOK, "--phone", "+65 8000 0004", "--reference", "R1", "--json")
    assert code == 2
    assert json.loads(said)["allocation"]["decision"] == "manager decides"
    assert json.loads(said)["bands"] == []


def test_a_look_up_for_a_reference_in_no_tier_says_what_to_do(boutique: Boutique) -> None:
    code, said = boutique.run(*LOOK, "--phone", PHONES["b"], "--reference", "R9")
    assert code == 1
    assert "reference R9: in no tier of references.csv; add a row with its tier there" in said


def test_a_look_up_in_words_ends_with_what_may_be_said(boutique: Boutique) -> None:
    code, said = boutique.run(*LOOK, "--phone", PHONES["b"], "--reference", "R1")
    assert code == 0
    assert "R1 (allocation): offer. To say: " in said


# --- under review ---------------------------------------------------------------------------------


def disputed(boutique: Boutique, name: str) -> int:
    with rights_of(boutique.home) as connection:
        taking = NewRequest(NOW.date(), 30, "mei", "no")
        return receive(connection, RequestKind.DISPUTE, boutique.key(name), taking)


def settled(boutique: Boutique, number: int) -> None:
    with rights_of(boutique.home) as connection:
        answer(connection, number, "Noor", "looked into", NOW)


def test_nobody_decides_by_a_band_that_came_under_review(boutique: Boutique) -> None:
    boutique.allocate()
    number = disputed(boutique, "b")
    accept = ("accept", "1", "--by", "Mei")
    change = ("change", "1", "--by", "Mei", "--reason", "r", "--give", "e", "--instead-of", "b")
    for words in (accept, change):
        code, said = boutique.run("allocation", *words)
        assert code == 1
        assert "allocation 1: customer b is under review" in said
        assert f"escapement-outlet customer decide {number}" in said
    assert boutique.shown()["decided"] is None
    settled(boutique, number)
    assert boutique.run("allocation", *accept)[0] == 0
    disputed(boutique, "b")
    assert "decided already" in boutique.run("allocation", *accept)[1]


def test_a_stored_proposal_hides_the_band_that_came_under_review_and_no_other(
    boutique: Boutique,
) -> None:
    before = boutique.allocate()
    rows = boutique.rows()
    number = disputed(boutique, "c")
    for shown in (
        boutique.shown(),
        json.loads(boutique.run("allocation", "show", "--json")[1])[0],
    ):
        first, *others = shown["lines"]
        assert (first["customer"], first["no_band"]) == ("c", "under review")
        assert (first["eligibility"], first["flipper_risk"], first["rule"]) == ("new", "new", 0)
        assert "priority" not in json.dumps(first)
        assert others == before["lines"][1:]
    said = boutique.run("allocation", "show", "1")[1]
    assert "priority, flipper risk low" not in said
    assert boutique.run("allocation", "rerun", "1")[0] == 0
    assert boutique.rows() == rows
    settled(boutique, number)
    assert boutique.shown()["lines"] == before["lines"]


def test_a_new_proposal_reads_no_band_under_review_and_can_be_decided(boutique: Boutique) -> None:
    disputed(boutique, "c")
    lines = {line["customer"]: line for line in boutique.allocate()["lines"]}
    assert (lines["c"]["no_band"], lines["c"]["decision"]) == ("under review", "manager decides")
    assert boutique.run("allocation", "accept", "1", "--by", "Mei")[0] == 0


def test_a_dispute_under_another_phone_of_the_person_is_one(boutique: Boutique) -> None:
    """Customer b is b2 too, who left another phone and the same e-mail."""
    rows = f"customer_id,phone,email\nb,{PHONES['b']},{EMAIL}\nb2,,{EMAIL}\nc,{PHONES['c']},\n"
    boutique.write("clients.csv", rows)
    boutique.wait("bc")
    boutique.allocate()
    disputed(boutique, "e")  # by e-mail
    said = boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert "customer b is under review" in said
    assert boutique.shown()["lines"][0]["no_band"] == ""
