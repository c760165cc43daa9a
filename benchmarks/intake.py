"""How long an outlet's own work takes: check, the first reading, features, a later night.

    python -m benchmarks.intake [../shared/data] [--rows 1000000] [--new 1000]

The ledger is Online Retail, repeated with other customers until it has so many rows, as one
outlet's CSV: semicolons, decimal comma, dd.mm.yyyy, Latin-1, a line id in each row, phone and
e-mail in it. Every step is a process of its own; times leave out imports, memory is the process's
peak. Processor seconds are of all its threads: they say more where others use the machine too.
Beside them stands what polars alone needs to read two columns of that file and add up each
customer's amounts.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.events import event_features
from features.snapshot import CutOff, Snapshot
from outlet_client.contribution.tonights_data import RollCall, prepare_outlet
from outlet_client.database import create_databases
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.intake import first_day
from outlet_client.people.client_book import client_book
from outlet_client.people.people_store import People
from outlet_client.report.night_facts import NightFacts
from outlet_client.report.report_page import write_report
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import dry_run
from sandbox.network import home_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT = dt.datetime(2011, 12, 10, 2, 0, tzinfo=dt.UTC)
AS_OF, CUT_OFF = dt.date(2011, 12, 9), dt.date(2011, 6, 12)
SECRET = bytes(32)
SETTINGS = """region = "US"

[ledger]
source = "ledger.csv"
delimiter = ";"
encoding = "latin-1"
decimal = ","
dates = "%d.%m.%Y"

[ledger.columns]
customer_id = "Kunde"
outlet_id = "Filiale"
purchased_at = "Datum"
price = "Betrag"
list_price = "Listenpreis"
kind = "Art"
basket_id = "Beleg"
reference = "Artikel"
line_id = "Zeile"
phone = "Telefon"
email = "E-Mail"

[ledger.codes]
purchase = ["V"]
return = ["R"]
"""


def main() -> None:
    """Prints a row for each step: how long it took, peak memory, ratio to polars alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _run(options.step, options.data)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        new = _write(options.data, home, options.rows, options.new)
        size = (home / "ledger.csv").stat().st_size / 2**20
        sys.stdout.write(f"{options.rows:,} rows, {size:.0f} MiB\n\n")
        sys.stdout.write("| step | seconds | processor | peak MiB | x, processor |\n")
        sys.stdout.write("|---|---|---|---|---|\n")
        alone = 0.0
        for step in STEPS:
            if step == LATER:
                with (home / "ledger.csv").open("ab") as ledger:
                    ledger.write(new)
            for label, seconds, worked, peak in _measured(step, home):
                alone = alone or worked
                sys.stdout.write(
                    f"| {label} | {seconds:.2f} | {worked:.2f} | {peak} | {worked / alone:.1f} |\n"
                )
                sys.stdout.flush()


def _measured(step: str, home: Path) -> list[tuple[str, float, float, str]]:
    words = [sys.executable, "-m", "benchmarks.intake", str(home), "--step", step]
    done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603  (ourselves)
    found = json.loads(done.stdout.splitlines()[-1])
    peaks = [""] * (len(found["times"]) - 1) + [f"{found['peak']:.0f}"]
    return [(*times, peak) for times, peak in zip(found["times"], peaks, strict=True)]


def _run(step: str, home: Path) -> None:
    clock = Clock()
    STEPS[step](home, clock)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 2**10
    sys.stdout.write(json.dumps({"times": clock.times, "peak": peak}) + "\n")


class Clock:
    """How long each part of a step took.

    Attributes:
        times: Label, seconds, and processor seconds of all threads.
    """

    def __init__(self) -> None:
        self.times: list[tuple[str, float, float]] = []

    @contextmanager
    def of(self, label: str) -> Iterator[None]:
        """Measures a part."""
        began, worked = time.perf_counter(), time.process_time()
        yield
        took = time.perf_counter() - began
        self.times.append((label, took, time.process_time() - worked))


# --- the steps ------------------------------------------------------------------------------------


def _alone(home: Path, clock: Clock) -> None:
    with clock.of("polars alone: read the CSV, add up amounts by customer"):
        table = pl.read_csv(
            home / "ledger.csv",
            columns=["Kunde", "Betrag"],
            separator=";",
            encoding="latin-1",
            decimal_comma=True,
        )
        table.group_by("Kunde").agg(pl.col("Betrag").sum())


def _check(home: Path, clock: Clock) -> None:
    with clock.of("check"):
        found = dry_run(_settings(home), AT)
    if found.problems:
        raise SystemExit(f"check: {found.problems}")


def _first(home: Path, clock: Clock) -> None:
    with (
        closing(_people(home)) as people,
        clock.of("first reading: judged, stored, client entries noted"),
    ):
        EventStore(home).take_in(_settings(home), AT, people)


def _features(home: Path, clock: Clock) -> None:
    events = read_events(home, _settings(home), AT, by_day=True).attached.events
    with clock.of("snapshot and features"):
        event_features(Snapshot.take(events, CutOff(AS_OF), AS_OF))


def _later(home: Path, clock: Clock) -> None:
    """What a night does here: no answer to HQ, and nothing that waits for it."""
    settings = _settings(home)
    began = time.time()
    with clock.of("a later night"), closing(_people(home)) as people:
        with clock.of("- retention"):
            EventStore(home).purge(first_day(settings, AT))
        with clock.of("- the ledger, which has grown, and all events"):
            read = read_events(home, settings, AT, people=people)
        with clock.of("- client book"):
            book = client_book(settings, people)
        slots = pl.int_range(len(book.customers), eager=True).alias("slot")
        listed = book.customers.with_columns(slots, home=pl.lit(value=True))
        keys = dict.fromkeys(slots.to_list(), home_key("anybody"))
        asked = RollCall(CutOff(CUT_OFF), CutOff(AS_OF), ("y_loyal", "y_flipped"))
        with clock.of("- two snapshots, features and outcomes"):
            customers, _ = prepare_outlet(asked, settings, read.attached.events, listed, keys)
        facts = NightFacts(
            AT, "outlet", home, str(CUT_OFF), str(AS_OF), customers, read.intake, read.attached,
            read.unknown, book.left_out, book.ambiguous, people.counts(), None, began, None,
        )  # fmt: skip
        with clock.of("- report"):
            write_report(facts)


LATER = "later"
STEPS: dict[str, Callable[[Path, Clock], None]] = {
    "alone": _alone,
    "check": _check,
    "first": _first,
    "features": _features,
    LATER: _later,
}


def _settings(home: Path) -> OutletFile:
    return OutletFile.read(home / "escapement.toml")


def _people(home: Path) -> People:
    create_databases(home)
    return People(f"sqlite:///{home / 'outlet.db'}", SECRET)


def _write(data: Path, home: Path, rows: int, new: int) -> bytes:
    """Writes settings and ledger; returns the bytes of `new` further rows."""
    (home / "escapement.toml").write_text(SETTINGS)
    given = pl.read_parquet(data / "or_ledger.parquet").with_columns(
        pl.col(pl.Categorical).cast(pl.String)
    )
    copies = [
        given.with_columns(
            pl.col("customer_id", "basket_id") + f"-{copy}",
            pl.format("+{}", pl.col("phone").str.slice(1).cast(pl.Int64) + 10_000 * copy).alias(
                "phone"
            ),  # theirs are +1 NPA 555 01xx: no two of these are the same
            pl.format("{}.{}", pl.lit(str(copy)), "email").alias("email"),
        )
        for copy in range((rows + new) // len(given) + 1)
    ]
    whole = pl.concat(copies).head(rows + new).with_row_index("line")
    written = whole.select(
        Zeile="line",
        Kunde="customer_id",
        Filiale=pl.lit("Zürich"),
        Datum=pl.col("purchased_at").dt.strftime("%d.%m.%Y"),
        Betrag=pl.col("price").map_elements(_amount, pl.String),
        Listenpreis=pl.col("list_price").map_elements(_amount, pl.String),
        Art=pl.when("is_return").then(pl.lit("R")).otherwise(pl.lit("V")),
        Beleg="basket_id",
        Artikel="reference",
        Telefon="phone",
        **{"E-Mail": pl.col("email")},
    )
    ledger = written.head(rows).write_csv(separator=";").encode("latin-1", "replace")
    (home / "ledger.csv").write_bytes(ledger)
    tail = written.tail(new).write_csv(separator=";", include_header=False)
    return tail.encode("latin-1", "replace")


def _amount(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


if __name__ == "__main__":
    main()
