"""The first revision: of the releases before stores had any, and of an empty database.

The ledger stays as it is, byte for byte, and gets its triggers. Notary and publications had files
of their own then, which `upgrade` moves in.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import context, op

from privacy.directory import Directory
from server.holder.migrating import adopt

revision = "0001"
down_revision = None

# --- tables, as of this revision ------------------------------------------------------------------

OFFICE = sa.MetaData()
sa.Table(
    "band_terms",
    OFFICE,
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("cuts", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("calibrated", sa.Boolean, nullable=False),
)
sa.Table(
    "countersigned",
    OFFICE,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("sealed_at", sa.BigInteger, nullable=False),
)
sa.Table(
    "fine_terms",
    OFFICE,
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
)
sa.Table(
    "kept_seeds",
    OFFICE,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("commitment", sa.Text, nullable=False),
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("scores", sa.Integer, nullable=False),
    sa.Column("modulus", sa.Integer, nullable=False),
    sa.Column("dimension", sa.BigInteger, nullable=False),
    sa.Column("verify_key", sa.LargeBinary, nullable=False),
    sa.Column("answered_at", sa.BigInteger, nullable=False),
    sa.Column("seed", sa.LargeBinary, nullable=False),
    sa.Index("kept_seeds_by_age", "answered_at"),
)
sa.Table(
    "last_statements",
    OFFICE,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("given", sa.Integer, nullable=False),
)
sa.Table(
    "latest_days",
    OFFICE,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, nullable=False),
)
sa.Table(
    "ledger",
    OFFICE,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text),
    sa.Column("rho", sa.Text, nullable=False),
    sa.Column("noiseless", sa.Boolean, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, unique=True, nullable=False),
)
sa.Table(
    "nights",
    OFFICE,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, unique=True, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Index(
        "nights_with_a_plan",
        "expires",
        sqlite_where=sa.text("length(payload) > 0"),
        postgresql_where=sa.text("length(payload) > 0"),
    ),
)
sa.Table(
    "registration_losses",
    OFFICE,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
sa.Table(
    "releases",
    OFFICE,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, unique=True, nullable=False),
    sa.Column("digest", sa.Text, unique=True, nullable=False),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("set_digest", sa.Text),
    sa.Column("answer", sa.LargeBinary),
    sa.Index("releases_of_a_night", "night"),
    sa.Index(
        "releases_with_a_key",
        "night",
        sqlite_where=sa.text("key IS NOT NULL"),
        postgresql_where=sa.text("key IS NOT NULL"),
    ),
    sa.Index(
        "releases_with_a_plan",
        "expires",
        sqlite_where=sa.text("length(payload) > 0"),
        postgresql_where=sa.text("length(payload) > 0"),
    ),
    sa.Index(
        "releases_with_an_answer",
        "night",
        sqlite_where=sa.text("length(answer) > 0"),
        postgresql_where=sa.text("length(answer) > 0"),
    ),
)
sa.Table(
    "sealed_outlets",
    OFFICE,
    sa.Column("outlet", sa.Text, primary_key=True),
)
sa.Table(
    "state",
    OFFICE,
    sa.Column("network", sa.LargeBinary, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("slots", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("hash_key", sa.LargeBinary, nullable=False),
    sa.Column("opened", sa.LargeBinary, nullable=False),
    sa.Column("encoded", sa.LargeBinary, nullable=False),
)
sa.Table(
    "withdrawn",
    OFFICE,
    sa.Column("key_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
)
sa.Table(
    "seals",
    OFFICE,
    sa.Column("plan", sa.Text, sa.ForeignKey("releases.digest"), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("transfers", sa.LargeBinary, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("secrets", sa.LargeBinary),
    sa.Column("seeds", sa.LargeBinary),
    sa.Column("set_at", sa.BigInteger),
    sa.Index("seals_by_kind", "kind", "set_at"),
    sa.Index(
        "seals_with_secrets",
        "plan",
        sqlite_where=sa.text("secrets IS NOT NULL"),
        postgresql_where=sa.text("secrets IS NOT NULL"),
    ),
    sa.Index(
        "seals_with_transfers",
        "plan",
        sqlite_where=sa.text("length(transfers) > 0"),
        postgresql_where=sa.text("length(transfers) > 0"),
    ),
)
sa.Table(
    "seal_chunks",
    OFFICE,
    sa.Column("plan", sa.Text, sa.ForeignKey("seals.plan"), primary_key=True),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("verified", sa.Boolean, nullable=False),
)
RELAY = sa.MetaData()
sa.Table(
    "batch_sizes",
    RELAY,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
)
sa.Table(
    "collected",
    RELAY,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
sa.Table(
    "handed_in",
    RELAY,
    sa.Column("outlet_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sa.Table(
    "last_closing",
    RELAY,
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
)
sa.Table(
    "open_batch",
    RELAY,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
)
sa.Table(
    "relay_epoch",
    RELAY,
    sa.Column("epoch", sa.LargeBinary, nullable=False),
)
sa.Table(
    "submissions",
    RELAY,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
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

_REFUSED = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
_END = "COALESCE((SELECT MAX(sequence) FROM ledger), -1) + 1"
_TRIGGERS = {
    "sqlite": (
        *(
            f"DROP TRIGGER IF EXISTS {name}"
            for name in ("ledger_no_update", "ledger_no_delete", "ledger_at_end")
        ),
        "DROP TRIGGER IF EXISTS ledger_in_order",  # of release 0.1: it counted all entries
        f"CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger {_REFUSED}",
        f"CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger {_REFUSED}",
        (
            f"CREATE TRIGGER ledger_at_end BEFORE INSERT ON ledger WHEN NEW.sequence <> {_END} "
            f"{_REFUSED}"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION ledger_refuses() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        ),
        (
            "CREATE FUNCTION ledger_grows() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF NEW.sequence <> {_END} THEN RAISE EXCEPTION 'the ledger is append-only'; "
            "END IF; RETURN NEW; END $$"
        ),
        (
            "CREATE TRIGGER ledger_no_update BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW "
            "EXECUTE FUNCTION ledger_refuses()"
        ),
        (
            "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger FOR EACH STATEMENT "
            "EXECUTE FUNCTION ledger_refuses()"
        ),
        (
            "CREATE TRIGGER ledger_at_end BEFORE INSERT ON ledger FOR EACH ROW "
            "EXECUTE FUNCTION ledger_grows()"
        ),
    ),
}
_GONE = ("points_seeds", "points_sets", "kept_seeds")
"""Seeds of before: nothing says with which keys their outlets answered. And sets of points, which
have no rule any more. Nobody is carried in the first seal after the upgrade."""

_HASH_KEY_BYTES = 32


def upgrade() -> None:
    """Makes a store of the first revision."""
    connection, schema = op.get_bind(), context.config.attributes["schema"]
    if schema.role == "office":
        _office(connection)
    elif schema.role == "relay":
        adopt(connection, schema, RELAY)
    else:
        adopt(connection, schema, METER)


def _office(connection: sa.Connection) -> None:
    there = sa.inspect(connection)
    for name in _GONE:
        if there.has_table(name):
            op.drop_table(name)
    adopt(connection, context.config.attributes["schema"], OFFICE)
    for statement in _TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    state = OFFICE.tables["state"]
    if connection.scalar(sa.select(state.c.batch)) is None:
        row = {
            "network": b"",
            "batch": 0,
            "slots": 0,
            "digest": "",
            "hash_key": secrets.token_bytes(_HASH_KEY_BYTES),
            "opened": b"",
            "encoded": Directory.empty().encode(),
        }
        connection.execute(state.insert().values(**row))
