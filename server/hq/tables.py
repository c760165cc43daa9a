"""The tables of HQ's store, all in one: releases and seals, what they came to, and the registry.

Of the registry no outlet is named, and no token: HQ does not know whose a registration is.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from server.holder.database import StoreSchema
from server.holder.meter import meter_schema

METADATA = sa.MetaData()

# --- nights ---------------------------------------------------------------------------------------

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.Text),
    sa.Column("masked_sum", sa.LargeBinary),
    sa.Column("noise", sa.LargeBinary),
    sa.Column("outlets", sa.Text),
    sa.Column("value", sa.LargeBinary),
)
"""Releases, and how far each is."""

SEALS = sa.Table(
    "seals",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("draft", sa.LargeBinary, nullable=False),
    sa.Column("seed", sa.LargeBinary),
    sa.Column("one_time", sa.LargeBinary),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("signature", sa.LargeBinary),
    sa.Column("transfers", sa.LargeBinary),
    sa.Column("envelopes", sa.Text),
    sa.Column("masked_sum", sa.LargeBinary),
    sa.Column("outlets", sa.Text),
    sa.Column("set_digest", sa.Text),
    sa.Column("entries", sa.LargeBinary),
    sa.Column("book", sa.LargeBinary),
    sa.Column("book_digest", sa.Text),
    sa.Column("over", sa.Text),
)
"""Seals, and how far each is; see `seal_store`."""

SEAL_CHUNKS = sa.Table(
    "seal_chunks",
    METADATA,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("codes", sa.LargeBinary),
)
"""Of a seal that is open, a chunk each: the digest of HQ's choices, and what it picked."""

KEPT_ANSWERS = sa.Table(
    "kept_answers",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, primary_key=True),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
"""Each outlet's last answer to a seal: with it, an outlet that is absent counts."""

NIGHTS = sa.Table(
    "nights",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("skipped", sa.Text, nullable=False),
)
"""What each night began with."""

SCORECARDS_IN_USE = sa.Table(
    "scorecards_in_use",
    METADATA,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
    sa.Column("cuts", sa.Text),
)
"""What stands: the scorecard, and its cuts once they are calibrated."""

SCORECARDS_TO_CALIBRATE = sa.Table(
    "scorecards_to_calibrate",
    METADATA,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
)
"""What was trained since, and stands once it is calibrated."""

SEALED_OUTLETS = sa.Table(
    "sealed_outlets",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
)
"""Who was ever in the set of a seal, as the office keeps it: of these some have to be there."""

CALIBRATIONS = sa.Table(
    "calibrations",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("judgement", sa.Text, nullable=False),
)
"""What each night's calibration counts said; the counts themselves are among the releases."""

HOLDS = sa.Table(
    "holds",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("trained", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("accepted_at", sa.BigInteger),
    sa.Column("accepted_by", sa.Text),
    sa.Column("accepted_why", sa.Text),
)
"""What was held back, and who accepted it; kept for good."""

SCORECARDS = sa.Table(
    "scorecards",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
"""The scorecard after a night's last step so far."""

# --- the registry ---------------------------------------------------------------------------------

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
BURIAL_KEY = sa.Table(
    "burial_key",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("hash_key", sa.LargeBinary, nullable=False),
)
"""What burials are hashed with: HQ's own, the first, and the office's where
its burials were taken over."""

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

LEDGER_COPY = sa.Table(
    "ledger_copy",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
)
"""HQ's copy of the office's ledger, an entry a row."""

LEDGER_PROOF = sa.Table(
    "ledger_proof",
    METADATA,
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
"""One row: the last night plan that the office signed; it names how far the ledger was."""

# --- the store ------------------------------------------------------------------------------------

REVISION = "0003"
"""Of these tables; the head of `migrations`."""

PROGRAM = "escapement-hq"
MIGRATIONS = "server.hq:migrations"

BY_SLOT = (
    SEALS,
    SEAL_CHUNKS,
    KEPT_ANSWERS,
    SLOT_KEYS,
    SLOT_EVIDENCE,
    REGISTRATIONS,
    PROGRESS,
    BURIALS,
    BURIAL_KEY,
    ORDERS,
    DIRECTORIES,
    DRAFTS,
    BOOKS,
)
"""What begins anew with a token key."""

_HASH_KEY_BYTES = 32


def begin_registry(connection: sa.Connection) -> None:
    """Writes what an empty registry begins with."""
    fresh = secrets.token_bytes(_HASH_KEY_BYTES)
    connection.execute(BURIAL_KEY.insert().values(hash_key=fresh))
    connection.execute(PROGRESS.insert().values(last_batch=0, last_version=0))


HQ = StoreSchema("hq", METADATA, REVISION, PROGRAM, MIGRATIONS, 7401, "hq.db", begin_registry)
HQ_METER = meter_schema("hq meter", REVISION, PROGRAM, MIGRATIONS)
STORES = (HQ, HQ_METER)
