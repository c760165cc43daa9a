"""The tables of HQ's registry: slots, registrations, burials, and what is published.

No outlet is named in them: HQ does not know whose a registration is.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
SLOTS = sa.Table(
    "slots",
    METADATA,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.LargeBinary, unique=True),
    sa.Column("home_nonce", sa.LargeBinary),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("home_tag", sa.LargeBinary, nullable=False),
)
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
)
BURIALS = sa.Table(
    "burials",
    METADATA,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
BURIAL_KEY = sa.Table("burial_key", METADATA, sa.Column("hash_key", sa.LargeBinary, nullable=False))
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
    sa.Column("encoded", sa.LargeBinary, nullable=False),
)
BOOKS = sa.Table(
    "books",
    METADATA,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("encoded", sa.LargeBinary, nullable=False),
)
