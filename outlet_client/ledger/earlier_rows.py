"""Stored rows of a ledger as this release keeps them, whichever release has written them.

Invariant: no row leaves here with a mailbox as its customer's key, and none becomes another
customer's because the secret behind these keys is another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.judging import WALK_IN
from outlet_client.errors import OutletError
from outlet_client.ledger.intake import EVENT_CELLS, ROW_SCHEMA, with_fates
from outlet_client.sources.customer_keys import (
    PREFIX,
    SECRET_FILE,
    are_mailboxes,
    ensure_secret,
    without_mailboxes,
)

if TYPE_CHECKING:
    from pathlib import Path

_SINCE_0_3 = ("refund", "apart")


class SecretLost(OutletError):
    """The secret is gone that customers' keys were made with."""

    def __init__(self) -> None:
        super().__init__(
            f"{SECRET_FILE}: not there, while customers are kept under keys made with it; "
            "bring it back from a backup of the outlet's folder"
        )


def of_this_release(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as they are kept now; those of release 0.2 are null in the columns that came since."""
    new = [name for name in _SINCE_0_3 if name not in rows.columns]
    fate = pl.col("fate").cast(pl.String).cast(ROW_SCHEMA["fate"])
    there = rows.with_columns(fate, *(pl.lit(None, ROW_SCHEMA[name]).alias(name) for name in new))
    return there.select(ROW_SCHEMA.keys())


def without_clear_mailboxes(rows: pl.DataFrame, home: Path) -> pl.DataFrame:
    """Rows of release 0.2 without the mailboxes that are a customer's key, or begin a basket's.

    Those of a mailbox that nobody has become walk-ins, as they are read now.

    Returns:
        The same object where there are none.
    """
    keys = rows["customer"]
    if not are_mailboxes(keys).any():
        return rows
    ensure_secret(home)
    hashed = without_mailboxes(keys, home)
    own = pl.col("basket").str.starts_with(pl.concat_str(pl.lit(keys), pl.lit("|")))
    rest = pl.col("basket").str.slice(keys.str.len_chars())
    basket = pl.when(own).then(pl.concat_str(pl.lit(hashed), rest)).otherwise("basket")
    told = rows.with_columns(hashed, basket.alias("basket"))
    nobody = pl.lit(hashed.is_null() & keys.is_not_null())
    if not told.select(nobody.any()).item():
        return told
    walk_in = pl.lit(WALK_IN)
    return with_fates(
        told.with_columns(
            pl.when(nobody).then(walk_in).otherwise("apart").alias("apart"),
            *(pl.when(~nobody).then(name).alias(name) for name in (*EVENT_CELLS, "refund")),
        )
    )


def ensure_customer_secret(home: Path, held: pl.DataFrame) -> None:
    """Makes the secret of mailbox keys, where no stored row was made with another one.

    Args:
        home: The outlet's folder.
        held: The rows that are stored.

    Raises:
        SecretLost: If one was.
    """
    if not (home / SECRET_FILE).exists():
        if held["customer"].str.starts_with(PREFIX).any():
            raise SecretLost
        ensure_secret(home)
