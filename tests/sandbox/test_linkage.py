"""Linkage: tokens join what identifiers join, and the report says how well that went."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from features.errors import LedgerError
from features.ledger import canonical_events
from features.outcomes import Outcome, Thresholds, observe
from features.snapshot import CutOff, Snapshot
from sandbox.linkage import BATCH, LinkageQuality, client_books, link, tokens_of, typed_books
from sandbox.main import app
from sandbox.market import simulated_market
from sandbox.world import World
from tests.networks import CUT_OFF, LAST, TARGET

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = CliRunner()


def normalised(phone: str | None, email: str | None) -> str | None:
    """What a US client book's entry is known by, written anew: digits, else the address."""
    digits = re.sub(r"\D", "", phone or "")
    digits = re.sub(r"^00", "", digits)
    if len(digits) == 10:
        return f"+1{digits}"
    if len(digits) == 11 and digits.startswith("1"):
        return f"+{digits}"
    return (email or "").strip().lower() or None


def expected_quality(rows: list[tuple[str, str, str | None, str | None]]) -> LinkageQuality:
    """Counted pair by pair from outlet, customer, phone and email."""
    known = [(outlet, who, normalised(phone, email)) for outlet, who, phone, email in rows]
    usable = [entry for entry in known if entry[2] is not None]
    of_customer: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    of_identifier: dict[str | None, set[str]] = defaultdict(set)
    for outlet, who, one in usable:
        of_customer[who].append((outlet, one))
        of_identifier[one].add(who)
    pairs = [
        a[1] == b[1]
        for entries in of_customer.values()
        for a, b in itertools.combinations(entries, 2)
        if a[0] != b[0]
    ]
    return LinkageQuality(
        len(known),
        len(known) - len(usable),
        sum(pairs) / len(pairs) if pairs else None,
        sum(len(people) > 1 for people in of_identifier.values()),
    )


@pytest.fixture(scope="module")
def typed(shared_data: Path) -> tuple[pl.DataFrame, pl.DataFrame, LinkageQuality]:
    books = typed_books(shared_data / "or_registrations.csv.gz")
    linked, quality = link(books, "US")
    return books, linked, quality


def test_typed_client_books_are_linked_as_well_as_their_identifiers_say(
    typed: tuple[pl.DataFrame, pl.DataFrame, LinkageQuality], shared_data: Path
) -> None:
    table = pl.read_csv(shared_data / "or_registrations.csv.gz", infer_schema=False)
    columns = ["outlet_id", "customer_id_truth", "phone_as_typed", "email_as_typed"]
    expected = expected_quality(table.select(columns).rows())
    _, linked, quality = typed
    assert quality == LinkageQuality(
        expected.entries,
        expected.left_out,
        pytest.approx(expected.recall, abs=1e-12),  # type: ignore[arg-type]
        expected.false_links,
    )
    assert quality.entries == len(table) == 6214
    assert quality.recall is not None
    assert 0.85 < quality.recall < 0.99  # 4 % without phone, 2 % with a wrong digit, in each of two
    assert len(linked) == quality.entries - quality.left_out


def test_two_entries_have_one_token_exactly_where_they_have_one_identifier(
    typed: tuple[pl.DataFrame, pl.DataFrame, LinkageQuality],
) -> None:
    books, linked, _ = typed
    entries = {
        (outlet, customer): normalised(phone, email)
        for outlet, customer, phone, email in books.iter_rows()
    }
    pairs = {(entries[outlet, customer], token) for outlet, customer, token in linked.iter_rows()}
    assert len(pairs) == len({one for one, _ in pairs}) == len({token for _, token in pairs})


def test_a_replays_customers_are_tokens_and_no_id_of_the_ledger_is_left(
    shared_data: Path,
) -> None:
    cut_off = CutOff.parse("2011-03-31")
    files = shared_data / "or_ledger.parquet", shared_data / "or_labels.csv.gz"
    registrations = shared_data / "or_registrations.csv.gz"
    by_truth, whole = World.load(*files, cut_off, TARGET)
    by_typed, quality = World.load(*files, cut_off, TARGET, registrations=registrations)
    assert (whole.recall, whole.left_out, whole.false_links) == (1.0, 0, 0)
    assert quality.recall is not None
    assert quality.recall < 1
    for world in (by_truth, by_typed):
        assert world.customers.n_unique() == len(world.customers)
        assert all(re.fullmatch("[0-9a-f]{64}", customer) for customer in world.customers)
    # a split customer is judged under one of the tokens; who has no identifier is not judged
    assert len(by_truth.customers) - quality.left_out <= len(by_typed.customers)
    assert len(by_typed.customers) <= len(by_truth.customers)
    seen = [world.snapshot.history["customer"].n_unique() for world in (by_truth, by_typed)]
    assert seen[1] > seen[0]  # split customers


# --- small books ----------------------------------------------------------------------------------


def books_of(*rows: tuple[str, str, str | None, str | None]) -> pl.DataFrame:
    schema = {name: pl.String() for name in ("outlet", "customer", "phone", "email")}
    return pl.DataFrame(rows, schema=schema, orient="row")


SMALL = [
    ("o1", "anna", "(212) 555-0101", None),
    ("o2", "anna", "+1 212 555 0101", "anna@example.com"),
    ("o3", "anna", "212-555-0102", None),  # mistyped
    ("o1", "ben", None, "Ben@Example.com "),
    ("o2", "ben", "n/a", "ben@example.com"),
    ("o1", "cleo", None, None),
    ("o2", "cleo", "12", "not an address"),
    ("o3", "dora", "2125550102", None),  # who answers the number that anna's o3 mistyped
]


def test_a_mistyped_phone_splits_a_customer_and_a_shared_one_joins_two() -> None:
    linked, quality = link(books_of(*SMALL), "US")
    assert quality == LinkageQuality(entries=8, left_out=2, recall=2 / 4, false_links=1)
    tokens = {(outlet, who): token for outlet, who, token in linked.iter_rows()}
    assert tokens["o1", "anna"] == tokens["o2", "anna"] != tokens["o3", "anna"]
    assert tokens["o3", "anna"] == tokens["o3", "dora"]
    assert tokens["o1", "ben"] == tokens["o2", "ben"]
    assert len(set(tokens.values())) == 3


def test_without_any_pair_there_is_no_recall() -> None:
    _, quality = link(books_of(SMALL[0], SMALL[3]), "US")
    assert quality == LinkageQuality(entries=2, left_out=0, recall=None, false_links=0)


def test_books_without_any_usable_identifier_link_nobody() -> None:
    linked, nobody = link(books_of(SMALL[5]), "US")
    assert linked.is_empty()
    assert nobody == LinkageQuality(entries=1, left_out=1, recall=None, false_links=0)


def test_tokens_are_one_an_identifier_over_batches_and_fresh_every_time() -> None:
    identifiers = [f"tel:+1212555{index:04d}" for index in range(BATCH + 3)]
    once, again = tokens_of(identifiers), tokens_of([*identifiers[:2], identifiers[0]])
    assert len(set(once)) == BATCH + 3
    assert again[0] == again[2] != again[1]
    assert again[0] != once[0]
    assert all(re.fullmatch("[0-9a-f]{64}", token) for token in once)


def test_registrations_without_a_column_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "typed.csv"
    pl.DataFrame({"outlet_id": ["o1"], "customer_id_truth": ["anna"]}).write_csv(file)
    with pytest.raises(LedgerError, match="column phone_as_typed: missing"):
        typed_books(file)


def test_a_client_book_is_one_entry_a_customer_and_outlet() -> None:
    ledger = pl.DataFrame(
        {
            "outlet_id": ["o1", "o1", "o2"],
            "customer_id": ["anna", "anna", "anna"],
            "phone": ["2125550101", "2125550109", "2125550101"],
            "email": [None, None, None],
        }
    )
    linked, quality = link(client_books(ledger), "US")
    assert linked.select("outlet", "customer").rows() == [("o1", "anna"), ("o2", "anna")]
    assert linked["token"].n_unique() == 1  # the second phone at o1 makes no second customer
    assert quality == LinkageQuality(entries=2, left_out=0, recall=1.0, false_links=0)


def test_the_first_usable_identifier_counts_as_in_an_outlets_own_client_book() -> None:
    ledger = pl.DataFrame(
        {
            "outlet_id": ["o1", "o1", "o2"],
            "customer_id": ["anna", "anna", "anna"],
            "phone": [None, "2125550101", "2125550101"],
            "email": [None, None, None],
        },
        schema_overrides={"email": pl.String},
    )
    _, quality = link(client_books(ledger), "US")
    assert quality == LinkageQuality(entries=2, left_out=0, recall=1.0, false_links=0)


@pytest.mark.parametrize(
    "ids",
    [
        ("C1", "C2", "C3"),
        ("ab", "AB", "aB"),
        ("1", "01", "1.0"),
        ("anna smith", "ben@work", "x" * 80),
        ("é", "e\u0301", "\u2160"),
    ],
)
def test_a_ledger_without_phone_and_email_is_linked_by_its_ids_exactly(
    ids: tuple[str, ...],
) -> None:
    ledger = pl.DataFrame(
        [(outlet, one) for outlet in ("o1", "o2") for one in ids],
        schema=["outlet_id", "customer_id"],
        orient="row",
    )
    linked, quality = link(client_books(ledger), "US")
    assert quality == LinkageQuality(entries=6, left_out=0, recall=1.0, false_links=0)
    assert linked["token"].n_unique() == 3


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger without phone and email, its labels, and client books with known mistakes."""
    folder = tmp_path_factory.mktemp("market")
    ledger = simulated_market(np.random.default_rng(3), outlets=4, customers=400).ledger
    ledger.write_parquet(folder / "ledger.parquet")
    snapshot = Snapshot.take(canonical_events(ledger, "simulated"), CUT_OFF, LAST)
    people = snapshot.history["customer"].unique().sort()
    pl.DataFrame(
        {
            "customer_id": people,
            "cutoff": str(CUT_OFF),
            "horizon_end": LAST.isoformat(),
            TARGET: observe(Outcome.LOYAL, snapshot, people, Thresholds()).astype(int),
            "fold": np.arange(len(people)) % 3,
        }
    ).write_csv(folder / "labels.csv")
    entries = ledger.select("outlet_id", "customer_id").unique(maintain_order=True)
    typed = [
        (outlet, who, phone_of(who, wrong=place % 40 == 0), None if place % 25 else "")
        for place, (outlet, who) in enumerate(entries.iter_rows())
    ]
    pl.DataFrame(typed, schema=TYPED, orient="row").write_csv(folder / "typed.csv")
    return folder


TYPED = {
    "outlet_id": pl.String(),
    "customer_id_truth": pl.String(),
    "phone_as_typed": pl.String(),
    "email_as_typed": pl.String(),
}


def phone_of(customer: str, *, wrong: bool) -> str:
    digits = f"212556{int(customer[1:]) + 1:04d}"  # four zeros are what a spreadsheet leaves
    return f"{digits[:5]}9{digits[6:]}" if wrong else digits


def run(market: Path, report: Path, *options: str) -> str:
    arguments = [
        "replay", "--ledger", str(market / "ledger.parquet"),
        "--labels", str(market / "labels.csv"), "--cutoff", str(CUT_OFF), "--target", TARGET,
        "--epsilon", "inf", "--report", str(report), *options,
    ]  # fmt: skip
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_replay_with_registrations_writes_how_well_they_link_into_its_report(
    market: Path, tmp_path: Path
) -> None:
    printed = run(market, tmp_path / "r.json", "--registrations", str(market / "typed.csv"))
    found = json.loads((tmp_path / "r.json").read_text())["linkage"]
    rows = pl.read_csv(market / "typed.csv", infer_schema=False).rows()
    expected = expected_quality(rows)
    assert LinkageQuality(**found) == LinkageQuality(
        expected.entries,
        expected.left_out,
        pytest.approx(expected.recall),  # type: ignore[arg-type]
        expected.false_links,
    )
    assert expected.recall is not None
    assert 0.5 < expected.recall < 1
    assert f"Linked by token: {len(rows)} client-book entries, 0 without a usable" in printed
    assert f"recall {expected.recall:.1%} over outlets" in printed


def test_a_ledger_without_phone_and_email_still_replays(market: Path, tmp_path: Path) -> None:
    run(market, tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    entries = pl.read_parquet(market / "ledger.parquet")
    number = len(entries.select("outlet_id", "customer_id").unique())
    assert found["linkage"] == {
        "entries": number, "left_out": 0, "recall": 1.0, "false_links": 0
    }  # fmt: skip
    assert found["customers"] == len(pl.read_csv(market / "labels.csv"))
    assert 0.5 < found["auc"]["network"]["mean"] < 1


def test_registrations_that_are_not_there_are_one_clear_error(market: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(
        app,
        [
            "replay", "--ledger", str(market / "ledger.parquet"),
            "--labels", str(market / "labels.csv"), "--cutoff", str(CUT_OFF), "--target", TARGET,
            "--report", str(tmp_path / "r.json"), "--registrations", str(tmp_path / "nowhere.csv"),
        ],
    )  # fmt: skip
    assert result.exit_code == 1
    assert "no such file" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_of_two_customers_with_one_token_the_first_by_id_is_judged(
    market: Path, tmp_path: Path
) -> None:
    ledger = pl.read_parquet(market / "ledger.parquet")
    labels = pl.read_csv(market / "labels.csv", infer_schema=False)
    first, second = labels["customer_id"][:2]
    opposite = {"0": "1", "1": "0"}[labels[TARGET][0]]
    labels.with_columns(
        pl.when(pl.col("customer_id") == second)
        .then(pl.lit(opposite))
        .otherwise(pl.col(TARGET))
        .alias(TARGET)
    ).write_csv(tmp_path / "labels.csv")
    typed = [
        (outlet, who, None, f"{'shared' if who in (first, second) else who}@example.com")
        for outlet, who in ledger.select("outlet_id", "customer_id").unique().iter_rows()
    ]
    pl.DataFrame(typed, schema=TYPED, orient="row").write_csv(tmp_path / "typed.csv")
    world, quality = World.load(
        market / "ledger.parquet", tmp_path / "labels.csv", CUT_OFF, TARGET,
        registrations=tmp_path / "typed.csv",
    )  # fmt: skip
    assert quality.false_links == 1
    assert len(world.customers) == len(labels) - 1
    events = canonical_events(ledger, "simulated").filter(pl.col("date") <= CUT_OFF.date)
    both = events.filter(pl.col("customer").is_in([first, second]))
    sizes = dict(world.snapshot.history.group_by("customer").len().iter_rows())
    keys = both.select("date", "outlet", "basket", "price")
    joined = world.snapshot.history.join(keys, on=["date", "outlet", "basket", "price"])
    [token] = joined["customer"].unique()
    assert sizes[token] == len(both)
    assert world.given[TARGET][world.customers.to_list().index(token)] == float(labels[TARGET][0])
