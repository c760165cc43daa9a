"""The tables of the office: one store for all that stays, and the relay's, which no backup holds.

What is asked during a night is found through an index, so that no question takes longer the more
nights there were.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from privacy.directory import Directory
from server.holder.database import StoreSchema
from server.holder.meter import meter_schema

METADATA = sa.MetaData()

# --- ledger, releases, seals ----------------------------------------------------------------------

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text),
    sa.Column("rho", sa.Text, nullable=False),
    sa.Column("noiseless", sa.Boolean, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
)
"""What was reserved, charged and closed, in the order of its hash chain."""

NIGHTS = sa.Table(
    "nights",
    METADATA,
    sa.Column("night", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
)
"""Signed night plans."""

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("release", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("night", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("set_digest", sa.Text),
    sa.Column("answer", sa.LargeBinary),
)
"""Signed release plans, and how far each release is."""

sa.Index("releases_of_a_night", RELEASES.c.night)
sa.Index(
    "releases_with_a_key",
    RELEASES.c.night,
    sqlite_where=RELEASES.c.key.is_not(None),
    postgresql_where=RELEASES.c.key.is_not(None),
)

SEALS = sa.Table(
    "seals",
    METADATA,
    sa.Column("plan", sa.Text, sa.ForeignKey("releases.digest"), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("transfers", sa.LargeBinary, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("secrets", sa.LargeBinary),
    sa.Column("seeds", sa.LargeBinary),
    sa.Column("set_at", sa.BigInteger),
)
"""What a seal has more than a release: its state, wrapped secrets, and when its set was stored."""

sa.Index("seals_by_kind", SEALS.c.kind, SEALS.c.set_at)
sa.Index(
    "seals_with_secrets",
    SEALS.c.plan,
    sqlite_where=SEALS.c.secrets.is_not(None),
    postgresql_where=SEALS.c.secrets.is_not(None),
)


def filled(column: sa.Column[bytes]) -> sa.ColumnElement[bool]:
    """Whether bytes were not blanked; as it stands in the indexes of what is to be blanked."""
    return sa.func.length(column) > sa.literal_column("0")


for _name, _by, _column in (
    ("nights_with_a_plan", NIGHTS.c.expires, NIGHTS.c.payload),
    ("releases_with_a_plan", RELEASES.c.expires, RELEASES.c.payload),
    ("releases_with_an_answer", RELEASES.c.night, RELEASES.c.answer),
):
    sa.Index(_name, _by, sqlite_where=filled(_column), postgresql_where=filled(_column))

_TRANSFERS = filled(SEALS.c.transfers)
sa.Index("seals_with_transfers", SEALS.c.plan, sqlite_where=_TRANSFERS, postgresql_where=_TRANSFERS)

SEAL_CHUNKS = sa.Table(
    "seal_chunks",
    METADATA,
    sa.Column("plan", sa.Text, sa.ForeignKey("seals.plan"), primary_key=True),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("verified", sa.Boolean, nullable=False),
)
"""The digest of HQ's choices of each chunk, and whether their check was passed."""

BAND_TERMS = sa.Table(
    "band_terms",
    METADATA,
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("cuts", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("calibrated", sa.Boolean, nullable=False),
)
"""One row: by which scorecards bands are and where they begin, since when, and whether a
calibration was answered since."""

FINE_TERMS = sa.Table(
    "fine_terms",
    METADATA,
    sa.Column("scorecard", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
)

SEALED_OUTLETS = sa.Table(
    "sealed_outlets",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
)
"""Who was ever in the set of a seal, of whatever kind. Nothing deletes a row."""

SUM_SETS = sa.Table(
    "sum_sets",
    METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("outlets", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""Each set of outlets whose sum was opened, or whose fine bins were sealed: names in order as JSON
with their digest, which an index can hold, and when it last was."""

ADMITTED = sa.Table(
    "admitted_outlets",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("admitted_by", sa.Text, nullable=False, server_default=""),
    sa.Column("why", sa.Text, nullable=False, server_default=""),
)
"""Who was admitted to sums, when, by whom and why; "" where that was not kept yet."""

KEPT_SEEDS = sa.Table(
    "kept_seeds",
    METADATA,
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
)
"""Each outlet's last seed for bands: with it, an absent outlet counts with its last answer."""

sa.Index("kept_seeds_by_age", KEPT_SEEDS.c.answered_at)

LATEST_DAYS = sa.Table(
    "latest_days",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, nullable=False),
)
"""The latest last day of what was signed, ISO 8601, by the kind of day."""

# --- publications ---------------------------------------------------------------------------------

PUBLISHED_STATE = sa.Table(
    "state",
    METADATA,
    sa.Column("network", sa.LargeBinary, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("slots", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("hash_key", sa.LargeBinary, nullable=False),
    sa.Column("opened", sa.LargeBinary, nullable=False),
    sa.Column("encoded", sa.LargeBinary, nullable=False),
)
"""One row. What is asked often stands before what is long."""

WITHDRAWN = sa.Table(
    "withdrawn",
    METADATA,
    sa.Column("key_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
)
COUNTERSIGNED = sa.Table(
    "countersigned",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("sealed_at", sa.BigInteger, nullable=False),
)
"""The last statement of each kind, a digest of what it was asked for by, and of a book when its
seal's set was stored."""

REGISTRATION_LOSSES = sa.Table(
    "registration_losses",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)
"""What HQ said of registrations that it lost, each time."""

PUBLISHED = (PUBLISHED_STATE, WITHDRAWN, COUNTERSIGNED, REGISTRATION_LOSSES)
"""What begins anew with a token key."""

# --- the notary -----------------------------------------------------------------------------------

LAST_STATEMENTS = sa.Table(
    "last_statements",
    METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("given", sa.Integer, nullable=False),
)

# --- the relay ------------------------------------------------------------------------------------

RELAY_METADATA = sa.MetaData()
OPEN_BATCH = sa.Table(
    "open_batch",
    RELAY_METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
)
LAST_CLOSING = sa.Table(
    "last_closing",
    RELAY_METADATA,
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
)
SUBMISSIONS = sa.Table(
    "submissions",
    RELAY_METADATA,
    sa.Column("outlet", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
COLLECTED = sa.Table(
    "collected",
    RELAY_METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
BATCH_SIZES = sa.Table(
    "batch_sizes",
    RELAY_METADATA,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
)

EPOCH = sa.Table(
    "relay_epoch",
    RELAY_METADATA,
    sa.Column("epoch", sa.LargeBinary, nullable=False),
)
HANDED_IN = sa.Table(
    "handed_in",
    RELAY_METADATA,
    sa.Column("outlet_hash", sa.LargeBinary, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The last batch that each outlet handed in for; which messages are whose is nowhere."""

# --- stores ---------------------------------------------------------------------------------------

REVISION = "0003"
"""Of these tables; the head of `migrations`."""

PROGRAM = "escapement-office"
MIGRATIONS = "server.office:migrations"

_SQLITE_REFUSED = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
_END = "COALESCE((SELECT MAX(sequence) FROM ledger), -1) + 1"
TRIGGERS: dict[str, tuple[str, ...]] = {
    "sqlite": (
        f"CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger {_SQLITE_REFUSED}",
        f"CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger {_SQLITE_REFUSED}",
        (
            f"CREATE TRIGGER ledger_at_end BEFORE INSERT ON ledger WHEN NEW.sequence <> {_END} "
            f"{_SQLITE_REFUSED}"
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
"""The ledger is append-only for whoever holds a connection too: no row is changed or deleted, nor
put in another's place."""

_HASH_KEY_BYTES = 32


def make_append_only(connection: sa.Connection) -> None:
    """Has the database itself refuse to change the ledger."""
    for statement in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def begin_publications(connection: sa.Connection) -> None:
    """Writes the state before the first directory."""
    row = {
        "network": b"",
        "batch": 0,
        "slots": 0,
        "digest": "",
        "hash_key": secrets.token_bytes(_HASH_KEY_BYTES),
        "opened": b"",
        "encoded": Directory.empty().encode(),
    }
    connection.execute(PUBLISHED_STATE.insert().values(**row))


def _begin(connection: sa.Connection) -> None:
    make_append_only(connection)
    begin_publications(connection)


OFFICE = StoreSchema("office", METADATA, REVISION, PROGRAM, MIGRATIONS, 7402, "office.db", _begin)
RELAY = StoreSchema("relay", RELAY_METADATA, REVISION, PROGRAM, MIGRATIONS, 7403, "relay.db")
"""A SQLite file always: PostgreSQL would keep which outlet handed in what, and in which order."""

OFFICE_METER = meter_schema("office meter", REVISION, PROGRAM, MIGRATIONS)
STORES = (OFFICE, RELAY, OFFICE_METER)
