"""How well the rules know one person's client-book entries: the table of docs/benchmarks.md.

python -m benchmarks.duplicates ../shared/data [--region US]

The registrations of all outlets are pooled, as if one outlet had typed them all. Truth is the
ledger's own customer id, which no rule sees.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from outlet_client.people.identifiers import identifier
from outlet_client.people.record_linkage import ClientEntry, Groups, Shared, link_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Pairs = set[frozenset[str]]

FILE = "or_registrations.csv.gz"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the registrations")
    parser.add_argument("--region", default="US")
    options = parser.parse_args()
    began = time.perf_counter()
    entries, truth = _read(options.data / FILE, options.region)
    read = time.perf_counter() - began
    true = _pairs_of(truth)
    _print(f"{len(entries)} entries, {len(true)} pairs of one person; normalised in {read:.2f} s")
    began = time.perf_counter()
    found = link_entries(entries)
    _print(f"grouped in {time.perf_counter() - began:.2f} s", "")
    _print("| | joined pairs | precision | recall | left out | pairs for a person |")
    _print("|---|---|---|---|---|---|")
    _row("rules alone", entries, found, true)
    same: list[tuple[str, str]] = []
    different: list[tuple[str, str]] = []
    decided = 0
    while found.pairs:
        for pair in found.pairs:
            names = (pair.one, pair.other)
            (same if frozenset(names) in true else different).append(names)
        decided += len(found.pairs)
        found = link_entries(entries, same, different)
    _row(f"and {decided} decided rightly", entries, found, true)
    _print("")
    for shared, (count, right) in _ambiguous(link_entries(entries), true).items():
        _print(f"pairs for a person, {shared}: {count}, of which one person {right}")


def _read(file: Path, region: str) -> tuple[list[ClientEntry], dict[str, str]]:
    table = pl.read_csv(file, infer_schema=False)
    names = ("outlet_id", "local_customer_id", "phone_as_typed", "email_as_typed")
    entries, truth = [], {}
    for outlet, customer, phone, email, person in table.select(
        *names, "customer_id_truth"
    ).iter_rows():
        name = f"{outlet}/{customer}"
        entries.append(
            ClientEntry(name, identifier(phone, None, region), identifier(None, email, region))
        )
        truth[name] = person
    return entries, truth


def _pairs_of(persons: Mapping[str, str]) -> Pairs:
    members = defaultdict(list)
    for customer, person in persons.items():
        members[person].append(customer)
    return {
        frozenset(pair) for customers in members.values() for pair in combinations(customers, 2)
    }


def _row(what: str, entries: Iterable[ClientEntry], found: Groups, true: Pairs) -> None:
    joined = _pairs_of(found.persons)
    right = len(joined & true)
    unknown = sum(not ({entry.phone, entry.email} - {None} - found.contested) for entry in entries)
    _print(
        f"| {what} | {len(joined)} | {right / len(joined):.4f} | {right / len(true):.4f} "
        f"| {unknown} | {len(found.pairs)} |"
    )


def _ambiguous(found: Groups, true: Pairs) -> dict[Shared, tuple[int, int]]:
    counts = Counter(pair.shared for pair in found.pairs)
    right = Counter(
        pair.shared for pair in found.pairs if frozenset((pair.one, pair.other)) in true
    )
    return {shared: (counts[shared], right[shared]) for shared in Shared}


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
