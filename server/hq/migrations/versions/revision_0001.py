"""The first revision: of the releases before stores had any, and of an empty database.

From release 0.1 stay the releases that were charged, and the nights; not what was opened of slots.
A registry of 0.1, by token, is refused before (`registry_renewal`).
"""

from __future__ import annotations

import json
import secrets

import sqlalchemy as sa
from alembic import context, op

from server.holder.database import STORE
from server.holder.migrating import adopt, rebuilt

revision = "0001"
down_revision = None

# --- tables, as of this revision ------------------------------------------------------------------

HQ = sa.MetaData()
sa.Table(
    "book_drafts",
    HQ,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
)
sa.Table(
    "books",
    HQ,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("encoded", sa.LargeBinary, nullable=False),
)
sa.Table(
    "burial_key",
    HQ,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("hash_key", sa.LargeBinary, nullable=False),
)
sa.Table(
    "burials",
    HQ,
    sa.Column("key_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sa.Table(
    "calibrations",
    HQ,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("judgement", sa.Text, nullable=False),
)
sa.Table(
    "directories",
    HQ,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, unique=True, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("slots", sa.BigInteger, nullable=False),
    sa.Column("countersigned", sa.LargeBinary, nullable=False),
    sa.Column("encoded", sa.LargeBinary),
)
sa.Table(
    "kept_answers",
    HQ,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, primary_key=True),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
sa.Table(
    "ledger_copy",
    HQ,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
)
sa.Table(
    "ledger_proof",
    HQ,
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
sa.Table(
    "nights",
    HQ,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("skipped", sa.Text, nullable=False),
)
sa.Table(
    "orders",
    HQ,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("order_key", sa.LargeBinary, nullable=False),
)
sa.Table(
    "registrations",
    HQ,
    sa.Column("tag", sa.LargeBinary, primary_key=True),
    sa.Column("slot", sa.Integer, index=True),
    sqlite_with_rowid=False,
)
sa.Table(
    "registry",
    HQ,
    sa.Column("last_batch", sa.BigInteger, nullable=False),
    sa.Column("last_version", sa.BigInteger, nullable=False),
    sa.Column("network", sa.LargeBinary),
)
sa.Table(
    "releases",
    HQ,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, unique=True, nullable=False),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("envelopes", sa.Text),
    sa.Column("masked_sum", sa.LargeBinary),
    sa.Column("noise", sa.LargeBinary),
    sa.Column("outlets", sa.Text),
    sa.Column("value", sa.LargeBinary),
)
sa.Table(
    "scorecards",
    HQ,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
sa.Table(
    "scorecards_in_use",
    HQ,
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("scorecard", sa.LargeBinary, nullable=False),
    sa.Column("second", sa.LargeBinary, nullable=False),
    sa.Column("cuts", sa.Text),
)
sa.Table(
    "seal_chunks",
    HQ,
    sa.Column("release", sa.Text, primary_key=True),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("codes", sa.LargeBinary),
)
sa.Table(
    "seals",
    HQ,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, unique=True, nullable=False),
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
sa.Table(
    "slot_evidence",
    HQ,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("act", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("batch", sa.BigInteger, index=True, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("bound", sa.LargeBinary, nullable=False),
    sa.Column("proof", sa.LargeBinary, nullable=False),
)
sa.Table(
    "slot_keys",
    HQ,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.LargeBinary, unique=True),
    sa.Column("home_nonce", sa.LargeBinary),
    sa.Column("home_tag", sa.LargeBinary),
    sa.Column("opened", sa.BigInteger, nullable=False),
)
METER = sa.MetaData()
sa.Table(
    "alerts",
    METER,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("who", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("quota", sa.BigInteger, nullable=False),
)
sa.Table(
    "evaluations",
    METER,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("given", sa.BigInteger, nullable=False),
)

# --- steps ----------------------------------------------------------------------------------------

_OPENED = ("points_answers", "points_sets", "estimates", "fine_books", "models")
"""Tables of release 0.1, which opened sums: they hold what nobody should, or of another law."""

_HASH_KEY_BYTES = 32


def upgrade() -> None:
    """Makes a store of the first revision."""
    connection, schema = op.get_bind(), context.config.attributes["schema"]
    if schema.role != "hq":
        adopt(connection, schema, METER)
        return
    _forget_opened(connection)
    if sa.inspect(connection).has_table("kept_answers"):  # the office carries none of before
        op.drop_table("kept_answers")
    _number_keys(connection)
    adopt(connection, schema, HQ)
    progress, keys = HQ.tables["registry"], HQ.tables["burial_key"]
    if connection.scalar(sa.select(progress.c.last_batch)) is None:
        connection.execute(progress.insert().values(last_batch=0, last_version=0))
    if connection.scalar(sa.select(keys.c.hash_key)) is None:
        connection.execute(keys.insert().values(hash_key=secrets.token_bytes(_HASH_KEY_BYTES)))
    network = connection.scalar(sa.select(progress.c.network))
    connection.execute(STORE.update().values(network=network))


def _forget_opened(connection: sa.Connection) -> None:
    """Forgets what release 0.1 opened per slot; sums left unfinished are asked for anew."""
    inspector = sa.inspect(connection)
    opened = [name for name in _OPENED if inspector.has_table(name)]
    if not opened:
        return
    for name in opened:
        op.drop_table(name)
    releases = HQ.tables["releases"]
    unfinished = {"envelopes": None, "masked_sum": None, "noise": None}
    connection.execute(releases.update().values(**unfinished))
    made = connection.execute(sa.select(releases.c.release, releases.c.payload)).all()
    points = [row.release for row in made if json.loads(row.payload)["purpose"] == "points"]
    connection.execute(releases.delete().where(releases.c.release.in_(points)))


def _number_keys(connection: sa.Connection) -> None:
    """Numbers the keys that burials are hashed with, in the order in which they came."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("burial_key"):
        return
    if "number" not in {column["name"] for column in inspector.get_columns("burial_key")}:
        rebuilt(connection, HQ.tables["burial_key"], {"number": "rowid", "hash_key": "hash_key"})
