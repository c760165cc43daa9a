"""Keys of customers that are mailboxes: what stands in their place wherever anything is stored.

Invariant: no key with an "@" leaves this module. The same mailbox becomes the same key in every
table of an outlet, and nobody without the outlet's own secret can tell whose it is, or try.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from outlet_client.sources.placeholders import is_placeholder_mailbox
from privacy.keyring import write_private

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from outlet_client.sources.source import Source

SECRET_FILE = "customer-keys.secret"  # noqa: S105  (its name)
PREFIX = "mail-"

_BYTES = 32
_DIGITS = 32
_MARKS = ("@", "\uff20")
_throw_away = secrets.token_bytes(_BYTES)
"""For who looks at an outlet's tables and keeps nothing, in a folder without a secret."""


def ensure_secret(home: Path) -> None:
    """Makes the secret of an outlet's mailbox keys, for who is about to store some.

    Args:
        home: The outlet's folder; a secret that is there stays.
    """
    place = home / SECRET_FILE
    if not place.exists():
        write_private(place, f"{secrets.token_hex(_BYTES)}\n".encode())


def secret_of(home: Path | None) -> bytes:
    """An outlet's secret; one of this process only where there is none.

    Raises:
        LedgerError: If the file is damaged.
    """
    place = None if home is None else home / SECRET_FILE
    if place is None or not place.exists():
        return _throw_away
    try:
        found = bytes.fromhex(place.read_text(encoding="ascii").strip())
    except ValueError:
        found = b""
    if len(found) != _BYTES:
        reason = f"damaged; expected {2 * _BYTES} hex digits: bring it back from a backup"
        raise LedgerError(SECRET_FILE, None, None, reason)
    return found


def are_mailboxes(column: pl.Series) -> pl.Series:
    """Which keys of customers, as text, are mailboxes; Boolean."""
    return column.str.contains_any(list(_MARKS)).fill_null(value=False)


def stored_key(home: Path | None, key: str) -> str:
    """What a customer's key is stored under: a mailbox as its keyed hash, others as they are."""
    return _hashed(key, secret_of(home)) if any(mark in key for mark in _MARKS) else key


def fingerprint(home: Path) -> str:
    """Tells one secret of an outlet from another, and nothing of either."""
    return hmac.new(secret_of(home), b"fingerprint", hashlib.sha256).hexdigest()[:_DIGITS]


def without_mailboxes(
    column: pl.Series, home: Path | None, spared: Collection[str] = ()
) -> pl.Series:
    """A column of customers' keys, of which those that are mailboxes are hashed.

    What stands for a mailbox that nobody has, such as none@none.com, is no key: it would make one
    customer of strangers.

    Args:
        column: Of any type; only text can hold a mailbox.
        home: The outlet's folder.
        spared: Cells that stand for nobody, casefolded: they are no customer's.
    """
    if column.dtype == pl.Categorical or isinstance(column.dtype, pl.Enum):
        column = column.cast(pl.String)  # a Parquet file's text may be that
    if column.dtype != pl.String or not (found := are_mailboxes(column)).any():
        return column
    secret = secret_of(home)
    there = column.filter(found).unique()
    keys = {
        one: None if _is_nobodys(one) else _hashed(one, secret)
        for one in there
        if one.strip().casefold() not in spared
    }
    return column.replace(keys)


def _address(key: str) -> str:
    """A mailbox as it is compared."""
    return unicodedata.normalize("NFKC", key).strip().casefold()


def _is_nobodys(key: str) -> bool:
    mailbox, _, domain = _address(key).partition("@")
    whole = "@" not in domain and "." in domain
    return whole and is_placeholder_mailbox(mailbox, domain)


def _hashed(key: str, secret: bytes) -> str:
    address = _address(key)
    digest = hmac.new(secret, f"customer:{address}".encode(), hashlib.sha256).hexdigest()
    return f"{PREFIX}{digest[:_DIGITS]}"


def spared_of(source: Source) -> frozenset[str]:
    """What stands in a table for nobody, as `without_mailboxes` takes it."""
    return frozenset(word.strip().casefold() for word in source.walk_ins)
