"""Linkage: customers of a replayed ledger by token, through both holders and their proofs.

An outlet knows a customer as its own client book has them. What makes one customer of two entries
is the token alone, so a mistyped phone splits a customer, and a shared one joins two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import polars as pl

from features.errors import LedgerError
from outlet_client.people.identifiers import identifier
from privacy.tokens import TokenShare, blind, total_key, unblind
from sandbox.canonical_files import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BATCH = 1024
_TYPED = {
    "outlet_id": "outlet",
    "customer_id_truth": "customer",
    "phone_as_typed": "phone",
    "email_as_typed": "email",
}


@dataclass(frozen=True, slots=True)
class LinkageQuality:
    """How well tokens know a customer again.

    Attributes:
        entries: Client-book entries.
        left_out: Those with neither a usable phone nor e-mail.
        recall: Of pairs of linked entries of one customer at two outlets, the share with one token.
        false_links: Tokens that stand for two customers or more.
    """

    entries: int
    left_out: int
    recall: float | None
    false_links: int

    @classmethod
    def certain(cls, entries: int) -> Self:
        """Customers who are known by one id everywhere."""
        return cls(entries, 0, None, 0)


def client_books(ledger: pl.DataFrame) -> pl.DataFrame:
    """Each outlet's client books as its ledger has them: outlet, customer, phone, email.

    A customer has a row for each spelling; `link` makes one entry of them.

    A ledger without phone and email is linked by its own customer id.
    """
    keys = [pl.col("outlet_id").cast(pl.String), pl.col("customer_id").cast(pl.String)]
    for name in ("phone", "email"):
        typed = pl.col(name).cast(pl.String) if name in ledger.columns else pl.lit(None, pl.String)
        keys.append(typed.alias(name))
    known = {"phone", "email"} & set(ledger.columns)
    rows = ledger.select(keys).rename({"outlet_id": "outlet", "customer_id": "customer"})
    if not known:
        place = pl.col("customer").rank("dense").cast(pl.Int64).cast(pl.String)
        rows = rows.with_columns(email="c" + place + "@ledger.example")
    return rows.unique(maintain_order=True)


def typed_books(path: Path) -> pl.DataFrame:
    """Client books as staff typed them, from a file of registrations.

    Raises:
        LedgerError: If a column is missing.
    """
    table = read_table(path)
    for name in _TYPED:
        if name not in table.columns:
            raise LedgerError(path.name, None, name, f"missing; got {', '.join(table.columns)}")
    rows = table.select(pl.col(old).cast(pl.String).alias(new) for old, new in _TYPED.items())
    return rows.unique(maintain_order=True)


def link(books: pl.DataFrame, region: str) -> tuple[pl.DataFrame, LinkageQuality]:
    """Tokens of every client-book entry.

    Where an outlet has several rows of a customer, the first usable identifier counts.

    Args:
        books: outlet, customer, phone and email.
        region: For phones without a country.

    Returns:
        outlet, customer and token (hex), without the entries that have no identifier; and how well
        they link.
    """
    found = [identifier(phone, email, region) for phone, email in books["phone", "email"].rows()]
    entries = books.select("outlet", "customer").with_columns(
        identifier=pl.Series(found, dtype=pl.String)
    )
    usable = entries.filter(pl.col("identifier").is_not_null()).unique(
        ["outlet", "customer"], keep="first", maintain_order=True
    )
    distinct = usable["identifier"].unique().sort().to_list()
    tokens = pl.DataFrame(
        {"identifier": distinct, "token": tokens_of(distinct)},
        schema={"identifier": pl.String, "token": pl.String},
    )
    linked = usable.join(tokens, on="identifier", how="left", maintain_order="left")
    total = entries.select("outlet", "customer").n_unique()
    return linked.drop("identifier"), _quality(total, linked)


def tokens_of(identifiers: Sequence[str]) -> list[str]:
    """Tokens in hex under fresh keys, from two holders whose proofs are checked."""
    hq, office = TokenShare.generate(), TokenShare.generate()
    total = total_key(hq.public, office.public)
    found: list[str] = []
    for start in range(0, len(identifiers), BATCH):
        blinded = blind(identifiers[start : start + BATCH])
        points = [one.point for one in blinded]
        tokens = unblind(blinded, hq.evaluate(points), office.evaluate(points), total)
        found += [token.raw.hex() for token in tokens]
    return found


def _quality(entries: int, linked: pl.DataFrame) -> LinkageQuality:
    pairs = linked.join(linked, on="customer", suffix="_other").filter(
        pl.col("outlet") < pl.col("outlet_other")
    )
    same = (pairs["token"] == pairs["token_other"]).mean()
    shared = linked.group_by("token").agg(pl.col("customer").n_unique().alias("customers"))
    return LinkageQuality(
        entries,
        entries - len(linked),
        float(same) if isinstance(same, float) else None,
        int((shared["customers"] > 1).sum()),
    )
