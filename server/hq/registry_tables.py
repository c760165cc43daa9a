"""The tables of HQ's registry: slots, registrations, burials, and what is published.

No outlet is named in them, and no token is in them: HQ does not know whose a registration is.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
SLOT_KEYS = sa.Table(
    "slot_keys",
    METADATA,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.LargeBinary, unique=True),
    sa.Column("home_nonce", sa.LargeBinary),
    sa.Column("home_tag", sa.LargeBinary),
    sa.Column("opened", sa.BigInteger, nullable=False),
)
SLOT_EVIDENCE = sa.Table(
    "slot_evidence",
    METADATA,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("act", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("batch", sa.BigInteger, nullable=False, index=True),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("bound", sa.LargeBinary, nullable=False),
    sa.Column("proof", sa.LargeBinary, nullable=False),
)
"""Why a slot is blank, or has a key that was withdrawn before: what the office is shown, also one
that was restored from a copy. Kept for good. Of a withdrawal that HQ lost and took over from the
office there is a batch, and no proof."""

REGISTRATIONS = sa.Table(
    "registrations",
    METADATA,
    sa.Column("tag", sa.LargeBinary, primary_key=True),
    sa.Column("slot", sa.Integer, index=True),
    sqlite_with_rowid=False,  # in order of their tags: not even the order of arrival is kept
)
PROGRESS = sa.Table(
    "registry",
    METADATA,
    sa.Column("last_batch", sa.BigInteger, nullable=False),
    sa.Column("last_version", sa.BigInteger, nullable=False),
    sa.Column("network", sa.LargeBinary),
)
BURIALS = sa.Table(
    "burials",
    METADATA,
    sa.Column("key_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
BURIAL_KEY = sa.Table("burial_key", METADATA, sa.Column("hash_key", sa.LargeBinary, nullable=False))
"""What burials are hashed with: HQ's own, and the office's where its burials were taken over."""

ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("order_key", sa.LargeBinary, nullable=False),
)
DIRECTORIES = sa.Table(
    "directories",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("slots", sa.BigInteger, nullable=False),
    sa.Column("countersigned", sa.LargeBinary, nullable=False),
    sa.Column("encoded", sa.LargeBinary),
)
"""Published directories; the bytes of the latest only, so that who holds one gets what changed."""

DRAFTS = sa.Table(
    "book_drafts",
    METADATA,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
)
"""The book of the latest directory, stored before the office is asked about it."""

BOOKS = sa.Table(
    "books",
    METADATA,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("encoded", sa.LargeBinary, nullable=False),
)
